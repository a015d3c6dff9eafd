"""Simulation with delays: against a plain event-by-event simulation of one lane, and by hand."""

import circuits
import numpy as np
import pytest

from asq_sw.errors import InputError
from hw.synth.activity import glitches
from hw.synth.activity.program import compile_netlist
from hw.synth.activity.toggles import simulate
from hw.synth.libraries import boolean
from hw.synth.timing import analyze, typical_delay


def plain(design, stimulus, delays, first=0):
    """Transitions per net after the first cycle, one lane: every output follows after d ticks of difference."""
    logic, registers, input_delay = delays
    outputs = [(i, pin) for i in design.flipflops for pin in i.cell.outputs if pin in i.pins]
    outputs += [(i, pin) for i in design.combinational for pin in i.cell.outputs if pin in i.pins]
    delay = registers + logic
    values = [0] * design.nets
    values[1] = 1
    states = {i.name: 0 for i in design.flipflops}
    toggles = np.zeros(design.nets, dtype=int)
    for t, x in enumerate(stimulus):
        since = [None] * len(outputs)  # the tick since when a function has differed from its net
        for tick in range(2000):
            if tick == input_delay:
                for i, net in enumerate(design.ports["x"].nets):
                    toggles[net] += t > 0 and tick >= first and values[net] != x >> i & 1
                    values[net] = x >> i & 1
            for k, (instance, pin) in enumerate(outputs):
                function = boolean.parse(instance.cell.outputs[pin].function)
                known = {p: values[instance.pins[p]] for p in instance.cell.inputs if p in instance.pins}
                if instance.cell.flipflop:
                    known = {instance.cell.flipflop.state: states[instance.name]}
                net = instance.pins[pin]
                if boolean.evaluate(function, known) == values[net]:
                    since[k] = None
                    continue
                since[k] = tick if since[k] is None else since[k]
                if tick - since[k] == delay[k]:
                    values[net] ^= 1
                    toggles[net] += t > 0 and tick >= first
                    since[k] = None
            if tick > input_delay and all(s is None for s in since):
                break
        else:
            raise AssertionError("does not settle")
        following = {}
        for instance in design.flipflops:
            following[instance.name] = values[instance.pins["D"]]
        states = following
    return toggles


@pytest.mark.parametrize("mode", ["unit", "library"])
@pytest.mark.parametrize("seed", range(4))
def test_random_circuits(mini, seed, mode):
    design = circuits.random_netlist(mini, seed, gates=30)
    timing = analyze(design, "none")
    program = compile_netlist(design, apart=True)
    kernel = glitches.delayed(program, timing, mode, "none")
    x = np.random.default_rng(seed).integers(0, 32, (12, 64))
    found = simulate(program, {"x": x}, trace=True, kernel=kernel)
    delays = glitches.output_delays(design, timing, mode, "none")
    tick = typical_delay(mini) / glitches.TICKS_PER_DELAY
    lanes = (0, 17, 63)
    total = sum(plain(design, x[:, lane].tolist(), delays) for lane in lanes)
    alone = np.repeat(x[:, lanes], 64 // len(lanes) + 1, axis=1)[:, :64]  # 22, 22 and 20 copies
    again = simulate(program, {"x": alone}, kernel=kernel)
    counts = [22, 22, 20]
    weighted = sum(
        n * plain(design, x[:, lane].tolist(), delays) for n, lane in zip(counts, lanes, strict=True)
    )
    assert again.toggles * 64 * 11 == pytest.approx(weighted)
    late = simulate(program, {"x": alone}, kernel=glitches.delayed(program, timing, mode, "none", tick * 9))
    weighted = sum(
        n * plain(design, x[:, lane].tolist(), delays, 9) for n, lane in zip(counts, lanes, strict=True)
    )
    assert late.toggles * 64 * 11 == pytest.approx(weighted)
    # Where it settles does not depend on delays, and no net moves less than its function requires.
    still = simulate(compile_netlist(design), {"x": x}, trace=True)
    assert np.array_equal(found.outputs["y"], still.outputs["y"])
    assert np.array_equal(found.changes, still.changes)
    assert (found.toggles >= still.toggles - 1e-12).all()
    assert total.sum() > 0


def hazard(mini, inverters):
    """y = not (a and delayed not a): a rising ``a`` makes a pulse as long as the inverters."""
    cells = {"n": ("NAND", {"A": 2, "B": 2 + inverters, "Y": 100})}
    for i in range(inverters):
        cells[f"i{i}"] = ("INV", {"A": 2 + i, "Y": 3 + i})
    return circuits.netlist(mini, {"a": ("input", [2]), "y": ("output", [100])}, cells)


def test_pulses_and_inertia(mini):
    """Three unit delays make a pulse of three ticks, which passes one tick of inertia; none requires it."""
    a = np.tile(np.array([0, 1, 0, 1, 0])[:, None], (1, 64))
    design = hazard(mini, 3)
    y = design.ports["y"].nets[0]
    still = simulate(compile_netlist(design), {"a": a})
    assert still.toggles[y] == 0
    program = compile_netlist(design, apart=True)
    found = simulate(program, {"a": a}, kernel=glitches.delayed(program, analyze(design), "unit"))
    assert found.toggles[y] * 4 == pytest.approx(4)  # two rising edges, a pulse each
    # With its real delay NAND is slower than one inverter's pulse: 21.5 ps against some 10 ps to fall.
    short = hazard(mini, 1)
    program = compile_netlist(short, apart=True)
    timing = analyze(short, "none")
    logic, _, _ = glitches.output_delays(short, timing, "library", "none")
    inverter, nand = (logic[[i.cell.name for i in short.combinational].index(n)] for n in ("INV", "NAND"))
    found = simulate(program, {"a": a}, kernel=glitches.delayed(program, timing, "library", "none"))
    expected = 4 if inverter > nand else 0
    assert found.toggles[short.ports["y"].nets[0]] * 4 == pytest.approx(expected)


def test_modes(mini):
    design = hazard(mini, 3)
    program = compile_netlist(design, apart=True)
    with pytest.raises(ValueError, match="is not compiled apart"):
        glitches.delayed(compile_netlist(design), analyze(design))
    with pytest.raises(ValueError, match="is compiled apart"):
        simulate(program, {"a": np.zeros((2, 64), dtype=int)})
    with pytest.raises(InputError, match="glitches is 'fast', expected one of none, unit, library"):
        glitches.delayed(program, analyze(design), "fast")
