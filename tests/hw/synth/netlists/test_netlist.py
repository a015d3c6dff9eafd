"""Mapped netlists: order, constants, faults, and the Verilog that other tools get."""

import re

import circuits
import pytest

from asq_sw.errors import InputError
from hw.synth.netlists.netlist import to_verilog
from hw.synth.netlists.wires import net_load


def test_cells_come_after_what_drives_them(mini):
    design = circuits.random_netlist(mini, 3)
    made = set()
    drivers = {i.pins["Y"] for i in design.combinational}
    for instance in design.combinational:
        for pin in instance.cell.inputs:
            net = instance.pins[pin]
            assert net in made or net not in drivers
        made.add(instance.pins["Y"])
    assert all(i.cell.flipflop for i in design.instances[-len(design.flipflops) :])


def test_figures(mini):
    design = circuits.netlist(
        mini,
        {"clk": ("input", [2]), "a": ("input", [3]), "y": ("output", [6])},
        {
            "n": ("NAND", {"A": 3, "B": 4, "Y": 5}),
            "i": ("INV", {"A": 5, "Y": 6}),
            "f": ("DFF", {"D": 5, "CK": 2, "Q": 4}),
        },
    )
    assert design.area == 9.0
    assert design.area_sequential == 6.0
    assert design.by_type == {"DFF": 1, "INV": 1, "NAND": 1}
    assert design.clock == "clk"
    nand = next(i for i in design.instances if i.name == "n")
    net = nand.pins["Y"]
    assert design.pin_load[net] == pytest.approx([3.0, 2.0])  # INV 2 rising, 1 falling; D 1
    assert design.fanout[net] == 2


def test_wire_models(mini):
    design = circuits.random_netlist(mini, 0)
    assert (net_load(design, "none") == design.pin_load).all()
    pitch = (design.area / len(design.instances) / 0.7) ** 0.5
    extra = net_load(design, "fanout")[:, 0] - design.pin_load[:, 0]
    assert extra[2:] == pytest.approx(0.2 * 1.5 * pitch * design.fanout[2:])
    with pytest.raises(InputError, match="no wire-load table"):
        net_load(design, "library")
    with pytest.raises(InputError, match="wires is 'thick'"):
        net_load(design, "thick")


def test_constants_and_open_inputs(mini):
    design = circuits.netlist(
        mini,
        {"a": ("input", [2]), "y": ("output", [3, 4, "1", "x"])},
        {"n": ("NAND", {"A": 2, "B": "1", "Y": 3}), "m": ("NAND", {"A": 2, "Y": 4})},
    )
    values = circuits.run(design, [{"a": 0}, {"a": 1}])
    port = design.ports["y"].nets
    assert [[v[n] for n in port] for v in values] == [[1, 1, 1, 0], [0, 1, 1, 0]]


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ({"a": ("INV", {"A": 3, "Y": 4}), "b": ("INV", {"A": 4, "Y": 3})}, "combinational loop"),
        ({"a": ("INV", {"A": 2, "Y": 4}), "b": ("INV", {"A": 2, "Y": 4})}, "driven twice"),
        ({"a": ("AND99", {"A": 2, "Y": 4})}, "library mini has no cell AND99"),
        (
            {"a": ("DFF", {"D": 2, "CK": 2, "Q": 3}), "b": ("DFF", {"D": 2, "CK": 3, "Q": 4})},
            "not one clock",
        ),
    ],
)
def test_faults(mini, cells, message):
    with pytest.raises(InputError, match=message):
        circuits.netlist(mini, {"x": ("input", [2]), "y": ("output", [4])}, cells)


def test_verilog_has_every_cell_and_port(mini):
    design = circuits.random_netlist(mini, 1)
    text = to_verilog(design, "unit")
    assert text.startswith("module unit (clk, x, y);")
    assert len(re.findall(r"^  (?:INV|BUF|NAND|XOR|DFF) u\d+ \(", text, re.M)) == len(design.instances)
