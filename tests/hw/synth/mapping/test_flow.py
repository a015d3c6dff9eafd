"""Full-adder cells: found by their functions, taken for adders, and right with true and inverted outputs."""

import dataclasses

import numpy as np
import pytest

from asq_sw.formats import WeightFormat
from hw.rtl.verilog import to_rtlil
from hw.synth.activity.program import compile_netlist
from hw.synth.activity.toggles import simulate
from hw.synth.libraries import library as libraries
from hw.synth.mapping.flow import recipes, synthesize
from hw.synth.mapping.polarity import full_adder
from hw.units.spec import UnitSpec

ADDERS = {"nangate45": "FA_X1", "sky130hd": "sky130_fd_sc_hd__fa_1", "asap7": "FAx1_ASAP7_75t_R"}


@pytest.mark.parametrize("node", ADDERS)
def test_the_smallest_full_adder_is_found(node):
    cell = full_adder(libraries.load(node))
    assert cell is not None
    assert cell.name == ADDERS[node]


@pytest.mark.parametrize("node", ADDERS)
@pytest.mark.parametrize("adder", ["cells-ripple", "cells-brent-kung"])
def test_adders_of_cells_multiply_all_operands_right(node, adder):
    spec = UnitSpec("multiplier", WeightFormat("int", 4), 4)
    mapped = synthesize(to_rtlil(spec.build(), "top"), libraries.load(node), 2.0, only=(f"{adder} area",))
    assert mapped.netlist.by_type[ADDERS[node]] >= 4
    a, w = (values.reshape(4, 64) for values in np.divmod(np.arange(256), 16))
    found = simulate(compile_netlist(mapped.netlist), {"a": a, "w": w}, trace=True).outputs["p"]
    assert np.array_equal(found, spec.weight.product(a, w) % 2**8)


def test_a_library_without_one_is_mapped_by_the_other_recipes():
    library = libraries.load("nangate45")
    without = dataclasses.replace(
        library, cells={name: cell for name, cell in library.cells.items() if name not in ("FA_X1", "HA_X1")}
    )
    rtlil = to_rtlil(UnitSpec("multiplier", WeightFormat("int", 2), 2).build(), "top")
    assert full_adder(without) is None
    assert not [name for name in recipes(rtlil, without) if "cells-" in name]
    assert [name for name in recipes(rtlil, library) if "cells-" in name]
    mapped = synthesize(rtlil, without, 2.0, only=("cells-ripple area", "ripple area"))
    assert set(mapped.tried) == {"ripple area"}
