"""Kinds of cell: by what the library says that a cell does, not by its name."""

import pytest

from asq_sw.formats import WeightFormat
from hw.nodes import NODES
from hw.rtl.verilog import to_rtlil
from hw.synth.libraries import library as libraries
from hw.synth.mapping.flow import synthesize
from hw.synth.mapping.kinds import KINDS, area_by_kind, kind
from hw.units.spec import UnitSpec

NAMED = {
    "full adders": ("FA_X1", "sky130_fd_sc_hd__fa_1", "FAx1_ASAP7_75t_R"),
    "exclusive-or": ("XOR2_X1", "XNOR2_X1", "sky130_fd_sc_hd__xnor2_1", "sky130_fd_sc_hd__xor3_1", "XOR2x2_ASAP7_75t_R"),
    "inverters and buffers": ("INV_X1", "BUF_X2", "sky130_fd_sc_hd__inv_2", "INVx1_ASAP7_75t_R"),
    "registers": ("DFF_X1", "sky130_fd_sc_hd__dfxtp_1", "DFFHQNx1_ASAP7_75t_R"),
    "other gates": ("NAND2_X1", "HA_X1", "MUX2_X1", "sky130_fd_sc_hd__maj3_1", "AO22x1_ASAP7_75t_R"),
}  # fmt: skip


@pytest.mark.parametrize("expected", KINDS)
def test_cells_are_what_they_compute(expected):
    cells = {name: cell for node in list(NODES) for name, cell in libraries.load(node).cells.items()}
    assert {name: kind(cells[name]) for name in NAMED[expected]} == dict.fromkeys(NAMED[expected], expected)


def test_kinds_add_up_to_the_netlist():
    spec = UnitSpec("pe", WeightFormat("int", 4), 4)
    rtlil = to_rtlil(spec.build(), "top")
    netlist = synthesize(rtlil, libraries.load("nangate45"), 2.0, only=("cells-ripple area",)).netlist
    found = area_by_kind(netlist)
    assert sum(found.values()) == pytest.approx(netlist.area)
    assert found["registers"] == pytest.approx(netlist.area_sequential)
    assert found["full adders"] == pytest.approx(4.256 * netlist.by_type["FA_X1"])
