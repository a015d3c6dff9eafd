"""Breakdown by part, buffer trees, the published reference operations."""

import circuits
import numpy as np
import pytest

from asq_sw.formats import WeightFormat
from hw.studies.published_figures import PUBLISHED, measure_references
from hw.synth.activity.program import compile_netlist
from hw.synth.activity.toggles import simulate
from hw.synth.breakdown import breakdown
from hw.synth.libraries import library as libraries
from hw.synth.mapping import buffers
from hw.synth.timing import analyze
from hw.units.spec import UnitSpec


def test_parts_of_a_post_element():
    library = libraries.load("nangate45")
    spec = UnitSpec("pe", WeightFormat("post", 4), 4)
    found = breakdown(spec, library)
    assert {"table", "shifter", "sign", "adder", "registers"} <= set(found.parts)
    assert found.total_um2 == pytest.approx(sum(found.parts.values()))
    # Cut apart it is a little larger than whole, and no part is missing.
    assert 0.98 * found.whole_um2 < found.total_um2 < 1.15 * found.whole_um2
    registers = (spec.abits + spec.weight.storage_bits + spec.psum_bits) * library.cells["DFF_X1"].area
    # Registers, and what chooses between holding and loading the weight.
    assert registers < found.parts["registers"] < registers + 4 * 3


@pytest.mark.slow
def test_parts_of_an_int_element():
    found = breakdown(UnitSpec("pe", WeightFormat("int", 4), 4), libraries.load("nangate45"))
    assert set(found.parts) == {"registers", "multiplier", "adder"}


def wide(mini, sinks):
    cells = {f"i{n:03}": ("INV", {"A": 2, "Y": 10 + n}) for n in range(sinks)}
    ports = {"a": ("input", [2]), "y": ("output", [10 + n for n in range(sinks)])}
    return circuits.netlist(mini, ports, cells)


@pytest.mark.parametrize("sinks", [1, 24, 25, 100, 300])
def test_buffer_trees_keep_the_function(mini, sinks):
    design = wide(mini, sinks)
    found = buffers.buffered(design)
    assert found.fanout[2:].max() <= buffers.MAX_SINKS
    if sinks <= buffers.MAX_SINKS:
        assert found is design
    added = found.by_type.get("BUF", 0)
    assert added == {1: 0, 24: 0, 25: 2, 100: 7, 300: 19 + 2}[sinks]
    assert found.by_type["INV"] == sinks
    values = circuits.run(found, [{"a": 0}, {"a": 1}])
    nets = found.ports["y"].nets
    assert [[v[n] for n in nets] for v in values] == [[1] * sinks, [0] * sinks]


def test_array_broadcasts_through_a_tree():
    """``load`` reaches every element, within the clock."""
    from hw.synth.measure import synthesize_unit

    spec = UnitSpec("array", WeightFormat("post", 2), 2, rows=6, cols=6)
    netlist = synthesize_unit(spec, libraries.load("nangate45")).netlist
    assert netlist.fanout[[n for p in netlist.inputs().values() for n in p.nets]].max() <= buffers.MAX_SINKS
    assert analyze(netlist).delay_ns < 2.0
    generator = np.random.default_rng(0)
    lanes, t_total = 64, 9
    weights = generator.integers(0, 4, (6, 6, lanes))
    acts = generator.integers(0, 4, (t_total, 6, lanes))
    cycles = 6 + t_total + 6 + 6
    inputs = {f"a__{r}": np.zeros((cycles, lanes), dtype=int) for r in range(6)}
    inputs |= {f"w__{c}": np.zeros((cycles, lanes), dtype=int) for c in range(6)}
    inputs["load"] = np.zeros((cycles, lanes), dtype=int)
    inputs["load"][:6] = 1
    for c in range(6):
        for r in range(6):
            inputs[f"w__{c}"][5 - r] = weights[r, c]
    for r in range(6):
        inputs[f"a__{r}"][6 + r : 6 + r + t_total] = acts[:, r]
    found = simulate(compile_netlist(netlist), inputs, trace=True).outputs
    table = spec.weight.product_table(2)
    for c in range(6):
        for t in range(t_total):
            expected = sum(table[acts[t, r], weights[r, c]] for r in range(6))
            got = found[f"psum__{c}"][6 + t + 6 + c]
            assert np.array_equal(got, expected & ((1 << spec.psum_bits) - 1))


@pytest.mark.slow
def test_published_operations():
    """Areas within a tenth of the published ones; energies above, for the reasons that the module gives."""
    found = {r.name: r for r in measure_references()}
    assert set(found) == set(PUBLISHED)
    for r in found.values():
        assert r.area_um2 == pytest.approx(r.published_area_um2, rel=0.1)
        assert r.published_energy_fj < r.energy_at_published_voltage_fj < 4 * r.published_energy_fj
        assert 0 < r.glitch_fj < r.energy_fj
