"""Gate-level simulation with delays: the toggles of :mod:`hw.synth.activity.toggles`, and glitches beside them.

Within a clock cycle time advances in ticks. Every output has an inertial delay of d ticks: it takes a new
value when its function has differed from it for d ticks on end, so pulses shorter than the delay die out.
64 patterns to a word as in the zero-delay simulation: each lane counts its own ticks, in a counter whose
bits are words.

``library`` delays are the cells' own (mean over inputs and edges, at the net's load and static timing's
slews), in ticks of a quarter of the typical gate delay. ``unit`` gives every output one tick. Flip-flop
outputs change after their clock-to-Q delay, inputs of a unit with flip-flops as if they came from one;
else at tick 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from asq_sw.errors import InputError
from hw.synth.activity.program import Program
from hw.synth.activity.toggles import Kernel, gate, ones
from hw.synth.netlists.netlist import Netlist
from hw.synth.netlists.wires import net_load
from hw.synth.timing import Timing, typical_delay, typical_slew

MODES = ("none", "unit", "library")
PLANES = 7
"""Bits of a lane's tick counter: delays up to 126 ticks, 30 typical gate delays."""
TICKS_PER_DELAY = 4


def output_delays(
    netlist: Netlist, timing: Timing, mode: str, wires: str
) -> tuple[list[int], list[int], int]:
    """Delays in ticks: of each combinational output in order of evaluation, of each flip-flop's outputs,
    and of the unit's inputs."""
    if mode not in ("unit", "library"):
        raise InputError(f"glitches is {mode!r}, expected one of {', '.join(MODES)}")
    library = netlist.library
    load = net_load(netlist, wires).mean(axis=1)
    slew = timing.slew.mean(axis=1)
    clock_slew = typical_slew(library)
    tick = typical_delay(library) / TICKS_PER_DELAY

    def ticks(delays: list[float]) -> int:
        if mode == "unit" or not delays:
            return 1
        return min(max(round(float(np.mean(delays)) / tick), 1), (1 << PLANES) - 2)

    logic = []
    for instance in netlist.combinational:
        for pin, output in instance.cell.outputs.items():
            if pin in instance.pins:
                at = load[instance.pins[pin]]
                delays = [
                    table.at(slew[instance.pins[arc.related]], at)
                    for arc in output.arcs
                    if arc.related in instance.pins
                    for table in (arc.rise, arc.fall)
                ]
                logic.append(ticks(delays))
    registers = []
    for instance in netlist.flipflops:
        ff = instance.cell.flipflop
        assert ff is not None
        for pin, output in instance.cell.outputs.items():
            if pin in instance.pins:
                at = load[instance.pins[pin]]
                delays = [
                    table.at(clock_slew, at)
                    for arc in output.arcs
                    if arc.related == ff.clock
                    for table in (arc.rise, arc.fall)
                ]
                registers.append(ticks(delays))
    inputs = round(float(np.mean(registers))) if registers else 0
    return logic, registers, inputs


@njit(cache=True, nogil=True)
def _evaluate(
    ops: NDArray[np.int32], flips: NDArray[np.uint64], values: NDArray[np.uint64], first: int, last: int
) -> None:
    words = values.shape[1]
    for k in range(first, last):
        a, b, target = ops[k, 1], ops[k, 2], ops[k, 3]
        flip_a, flip_b, flip = flips[k, 0], flips[k, 1], flips[k, 2]
        for w in range(words):
            values[target, w] = gate(ops[k, 0], values[a, w] ^ flip_a, values[b, w] ^ flip_b) ^ flip


@njit(cache=True, nogil=True)
def _simulate(
    ops: NDArray[np.int32],
    flips: NDArray[np.uint64],
    outputs: NDArray[np.int32],
    sources: NDArray[np.int32],
    capture: NDArray[np.int32],
    states: NDArray[np.int32],
    next_states: NDArray[np.int32],
    input_delay: int,
    first_tick: int,
    inputs: NDArray[np.int32],
    stimulus: NDArray[np.uint64],
    values: NDArray[np.uint64],
    counting: NDArray[np.bool_],
    traced_nets: NDArray[np.int32],
    traced: NDArray[np.uint64],
    toggles: NDArray[np.int64],
    changes: NDArray[np.int64],
) -> None:
    """A :data:`Kernel` after its first nine arguments; about 10 ns per active output, tick and 64 lanes.

    ``outputs`` rows: first op, last op, slot of the function's value, net, delay, first and last source in
    ``sources`` (the nets that it depends on; empty for flip-flop outputs). ``capture``: the ops that make
    the next states.
    """
    words = values.shape[1]
    size = outputs.shape[0]
    counter = np.zeros((size, PLANES, words), dtype=np.uint64)
    pending = np.zeros(size, dtype=np.bool_)
    moved = np.zeros(values.shape[0], dtype=np.bool_)
    for t in range(stimulus.shape[0]):
        for i in range(size):  # after a clock edge every function is looked at once
            pending[i] = True
        tick = 0
        while True:
            active = False
            moved[:] = False
            if tick == input_delay:
                for i in range(inputs.shape[0]):
                    net = inputs[i]
                    total = 0
                    for w in range(words):
                        new = stimulus[t, i, w]
                        total += ones(new ^ values[net, w])
                        values[net, w] = new
                    if total:
                        moved[net] = True
                        if counting[t] and tick >= first_tick:
                            toggles[net] += total
            for i in range(size):
                look = pending[i]
                for s in range(outputs[i, 5], outputs[i, 6]):
                    look = look or moved[sources[s]]
                if not look:
                    continue
                _evaluate(ops, flips, values, outputs[i, 0], outputs[i, 1])
                wanted, net, limit = outputs[i, 2], outputs[i, 3], outputs[i, 4] + 1
                waiting = False
                total = 0
                for w in range(words):
                    differs = values[wanted, w] ^ values[net, w]
                    # Add one where it differs, clear where not; equal to the limit: take the new value.
                    carry = differs
                    due = differs
                    for p in range(PLANES):
                        old = counter[i, p, w] & differs
                        counter[i, p, w] = old ^ carry
                        carry = old & carry
                        if (limit >> p) & 1:
                            due = due & counter[i, p, w]
                        else:
                            due = due & ~counter[i, p, w]
                    if due:
                        values[net, w] ^= due
                        total += ones(due)
                        for p in range(PLANES):
                            counter[i, p, w] &= ~due
                    if differs ^ due:
                        waiting = True
                pending[i] = waiting
                if waiting:
                    active = True
                if total:
                    moved[net] = True
                    if counting[t] and tick >= first_tick:
                        toggles[net] += total
            tick += 1
            if not active and tick > input_delay:
                break
        if traced.shape[0]:
            for i in range(traced_nets.shape[0]):
                for w in range(words):
                    traced[t, i, w] = values[traced_nets[i], w]
        _evaluate(ops, flips, values, capture[0], capture[1])
        for i in range(states.shape[0]):
            total = 0
            for w in range(words):
                new = values[next_states[i], w]
                total += ones(new ^ values[states[i], w])
                values[states[i], w] = new
            if counting[t]:
                changes[i] += total


def delayed(
    program: Program, timing: Timing, mode: str = "library", wires: str = "fanout", after_ns: float = 0.0
) -> Kernel:
    """The kernel for :func:`hw.synth.activity.toggles.simulate` in which every output has its delay.

    Parameters
    ----------
    program : Program
        Compiled ``apart``.
    timing : Timing
        Static timing of its netlist, for the slews.
    mode : "library" or "unit"
    wires : str
        Wire model.
    after_ns : float
        Only toggles from this time after the clock edge on are counted.

    Raises
    ------
    InputError
        For another mode.
    """
    if not program.apart:
        raise ValueError("the program is not compiled apart: a net must be able to lag behind its function")
    logic, registers, input_delay = output_delays(program.netlist, timing, mode, wires)
    first_tick = round(after_ns * TICKS_PER_DELAY / typical_delay(program.netlist.library))
    rows: list[tuple[int, ...]] = []
    sources: list[int] = []
    for driver, delay in zip(program.drivers, registers + logic, strict=True):
        first, last, slot, net, needs = driver
        rows.append((first, last, slot, net, delay, len(sources), len(sources) + len(needs)))
        sources += needs
    outputs = np.array(rows, dtype=np.int32).reshape(-1, 7)
    reads = np.array(sources, dtype=np.int32)
    capture = np.array(program.capture, dtype=np.int32)

    def kernel(inputs: NDArray[np.int32], *rest: Any) -> None:
        _simulate(
            program.ops,
            program.flips,
            outputs,
            reads,
            capture,
            program.states,
            program.next_states,
            input_delay,
            first_tick,
            inputs,
            *rest,
        )

    return kernel
