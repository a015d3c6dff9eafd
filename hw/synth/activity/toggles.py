"""Gate-level simulation of a mapped netlist, 64 patterns in a machine word, counting every net's toggles.

Each of the ``64 * words`` bit positions (*lanes*) is an independent copy of the unit with its own
operands, which advance in time together. Cells are evaluated once per cycle in order of their dependence
(zero delay), so toggles are the ones that the function requires; :mod:`hw.synth.activity.glitches` adds delays.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic
from numpy.typing import ArrayLike, NDArray

from asq_sw.errors import InputError
from hw.synth.activity.program import ALL_ONES, AND, Program
from hw.synth.netlists.netlist import ONE

LANES_PER_WORD = 64

Kernel = Callable[..., None]
"""Simulates some cycles. Arguments: input nets (i,) int32, their values (cycles, i, words) uint64, all
slots' values (slots, words) before and after, which cycles to count (cycles,) bool, traced nets (o,)
int32, their values (cycles or 0, o, words) to fill, toggles (nets,) int64 and state changes (f,) int64 to
add to."""


@intrinsic
def ones(typing_context: Any, word: Any) -> Any:
    """Number of set bits of a 64-bit word (LLVM's ctpop)."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        count = builder.module.declare_intrinsic("llvm.ctpop", [ir.IntType(64)])
        return builder.call(count, args)

    return types.int64(types.uint64), generate


@njit(cache=True, nogil=True)
def gate(kind: int, a: np.uint64, b: np.uint64) -> np.uint64:
    """An operation of :class:`hw.synth.activity.program.Program` on a word of each source, before its inversions."""
    return a & b if kind == AND else a ^ b


@njit(cache=True, nogil=True)
def _simulate(
    ops: NDArray[np.int32],
    flips: NDArray[np.uint64],
    states: NDArray[np.int32],
    next_states: NDArray[np.int32],
    nets: int,
    inputs: NDArray[np.int32],
    stimulus: NDArray[np.uint64],
    values: NDArray[np.uint64],
    counting: NDArray[np.bool_],
    outputs: NDArray[np.int32],
    traced: NDArray[np.uint64],
    toggles: NDArray[np.int64],
    changes: NDArray[np.int64],
) -> None:
    """A :data:`Kernel` after its first five arguments; about 1 ns per operation and 64 lanes."""
    words = values.shape[1]
    for t in range(stimulus.shape[0]):
        count = counting[t]
        for i in range(inputs.shape[0]):
            net = inputs[i]
            total = 0
            for w in range(words):
                new = stimulus[t, i, w]
                total += ones(new ^ values[net, w])
                values[net, w] = new
            if count:
                toggles[net] += total
        for k in range(ops.shape[0]):
            a, b, target = ops[k, 1], ops[k, 2], ops[k, 3]
            flip_a, flip_b, flip = flips[k, 0], flips[k, 1], flips[k, 2]
            if target >= nets or not count:
                for w in range(words):
                    values[target, w] = gate(ops[k, 0], values[a, w] ^ flip_a, values[b, w] ^ flip_b) ^ flip
            else:
                total = 0
                for w in range(words):
                    new = gate(ops[k, 0], values[a, w] ^ flip_a, values[b, w] ^ flip_b) ^ flip
                    total += ones(new ^ values[target, w])
                    values[target, w] = new
                toggles[target] += total
        if traced.shape[0]:
            for i in range(outputs.shape[0]):
                for w in range(words):
                    traced[t, i, w] = values[outputs[i], w]
        for i in range(states.shape[0]):
            total = 0
            for w in range(words):
                new = values[next_states[i], w]
                total += ones(new ^ values[states[i], w])
                values[states[i], w] = new
            if count:
                changes[i] += total


def zero_delay(program: Program) -> Kernel:
    """The kernel that evaluates every cell once per cycle; for a program that is not compiled ``apart``."""
    if program.apart:
        raise ValueError("the program is compiled apart, expected one whose functions are the nets")

    def kernel(*rest: Any) -> None:
        nets = program.netlist.nets
        _simulate(program.ops, program.flips, program.states, program.next_states, nets, *rest)

    return kernel


@dataclass(frozen=True, eq=False)
class Activity:
    """What a simulation counted.

    Attributes
    ----------
    cycles, lanes : int
        Counted cycles, and copies of the unit.
    toggles : (nets,) float64
        Mean transitions per cycle of each net.
    changes : (f,) float64
        Mean changes of state per cycle of each flip-flop.
    samples : (s, nets) uint8
        Values of all nets in some cycles and lanes.
    outputs : dict of str
        If traced: each output port's bit pattern (unsigned), shape (cycles, lanes).
    """

    cycles: int
    lanes: int
    toggles: NDArray[np.float64]
    changes: NDArray[np.float64]
    samples: NDArray[np.uint8]
    outputs: dict[str, NDArray[Any]]


def _words(values: NDArray[Any], bits: int) -> NDArray[np.uint64]:
    """(cycles, lanes) integers -> (cycles, bits, words) uint64, lane l in bit l % 64 of word l // 64."""
    cycles, lanes = values.shape
    places = np.arange(bits)
    if values.dtype != object:
        places = np.minimum(places, 63)  # beyond that the sign goes on
    planes = ((values[:, None, :] >> places.astype(values.dtype)[None, :, None]) & 1).astype(np.uint8)
    packed = np.packbits(planes, axis=2, bitorder="little")
    return packed.view(np.uint64).reshape(cycles, bits, lanes // LANES_PER_WORD)


def _fields(values: NDArray[Any], bits: int) -> list[NDArray[np.uint64]]:
    """:func:`_words` of each field of a port of ``bits``; ``values``: (cycles, lanes, ...)."""
    if values.ndim == 2:
        return [_words(values, bits)]
    fields = values.reshape(*values.shape[:2], -1)
    return [_words(fields[..., i], bits // fields.shape[2]) for i in range(fields.shape[2])]


def _integers(words: NDArray[np.uint64]) -> NDArray[Any]:
    """The inverse, as unsigned bit patterns; int64, or object from 64 bits on."""
    bits = np.unpackbits(np.ascontiguousarray(words).view(np.uint8), axis=2, bitorder="little")
    kind: Any = np.int64 if words.shape[1] < 64 else object
    total = np.zeros((bits.shape[0], bits.shape[2]), dtype=kind)
    for place in range(words.shape[1]):
        total += bits[:, place].astype(kind) << place
    return total


def simulate(
    program: Program,
    stimulus: Mapping[str, ArrayLike],
    counting: ArrayLike | None = None,
    trace: bool = False,
    chunk: int = 256,
    kernel: Kernel | None = None,
) -> Activity:
    """Simulate a netlist cycle by cycle.

    Parameters
    ----------
    program : Program
    stimulus : dict of str
        Input port -> whole numbers, shape (cycles, lanes), one value per cycle; negative ones in two's
        complement; int64, or Python integers where a port is wider. Lanes: a multiple of 64. Inputs that
        are not named stay 0. Further axes are the equal fields of a packed port, the first (in C order)
        at its lowest bits.
    counting : (cycles,) bool, optional
        Which cycles to count; by default all but the first, which sets the inputs.
    trace : bool
        Keep the output ports of every cycle.
    chunk : int
        Cycles packed at a time.
    kernel : Kernel, optional
        What simulates; by default without delays.

    Raises
    ------
    InputError
        For a port that the netlist does not have, or shapes that differ.

    Notes
    -----
    Flip-flops start at 0. In a cycle, flip-flops show their state, inputs take their value, the logic
    settles; then flip-flops capture. Cost: about 1 ns per two-input operation and 64 lanes.
    """
    netlist = program.netlist
    run = kernel or zero_delay(program)
    ports = netlist.inputs()
    arrays = {name: np.asarray(values) for name, values in stimulus.items()}
    for name, array in arrays.items():
        if array.dtype != object:
            arrays[name] = array.astype(np.int64)
        if name not in ports:
            raise InputError(f"the unit has no input {name!r}, expected some of {', '.join(ports)}")
    for name, array in arrays.items():
        fields = int(np.prod(array.shape[2:]))
        if array.ndim > 2 and (not fields or len(ports[name].nets) % fields):
            raise InputError(
                f"stimulus of {name} has {fields} fields, expected as many as divide its "
                f"{len(ports[name].nets)} bits"
            )
    shapes = {array.shape[:2] for array in arrays.values()}
    if len(shapes) != 1 or len(next(iter(shapes))) != 2 or next(iter(shapes))[1] % LANES_PER_WORD:
        raise InputError(f"stimulus has shapes {sorted(shapes)}, expected one (cycles, multiple of 64 lanes)")
    cycles, lanes = next(iter(shapes))
    count = np.ones(cycles, dtype=np.bool_) if counting is None else np.asarray(counting, dtype=np.bool_)
    if counting is None:
        count[:1] = False
    words = lanes // LANES_PER_WORD
    values = np.zeros((program.slots, words), dtype=np.uint64)
    values[ONE] = ALL_ONES
    outputs = netlist.outputs()
    input_nets = np.array([n for name in arrays for n in ports[name].nets], dtype=np.int32)
    output_nets = np.array([n for p in outputs.values() for n in p.nets], dtype=np.int32)
    toggles = np.zeros(netlist.nets, dtype=np.int64)
    changes = np.zeros(len(program.states), dtype=np.int64)
    samples: list[NDArray[np.uint8]] = []
    traces: list[NDArray[np.uint64]] = []
    for start in range(0, cycles, chunk):
        part = slice(start, min(start + chunk, cycles))
        size = part.stop - part.start
        planes = [
            plane for name, array in arrays.items() for plane in _fields(array[part], len(ports[name].nets))
        ]
        traced = np.zeros((size if trace else 0, len(output_nets), words), dtype=np.uint64)
        packed = np.ascontiguousarray(np.concatenate(planes, axis=1))
        run(input_nets, packed, values, count[part], output_nets, traced, toggles, changes)
        if trace:
            traces.append(traced)
        if count[part].any():
            bits = np.unpackbits(values[: netlist.nets].view(np.uint8), axis=1, bitorder="little")
            samples.append(bits.T)
    counted = max(int(count.sum()) * lanes, 1)
    result: dict[str, NDArray[Any]] = {}
    if trace:
        whole, at = np.concatenate(traces), 0
        for name, port in outputs.items():
            result[name] = _integers(whole[:, at : at + len(port.nets)])
            at += len(port.nets)
    return Activity(
        cycles=int(count.sum()),
        lanes=lanes,
        toggles=toggles / counted,
        changes=changes / counted,
        samples=np.concatenate(samples) if samples else np.zeros((0, netlist.nets), dtype=np.uint8),
        outputs=result,
    )
