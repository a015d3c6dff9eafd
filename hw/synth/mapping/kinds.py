"""Area of a netlist by kind of cell: what a datapath spends on sums, signs, selection and state."""

from __future__ import annotations

from hw.synth.libraries.boolean import parse, truth_table
from hw.synth.libraries.library import Cell
from hw.synth.mapping.polarity import is_full_adder
from hw.synth.netlists.netlist import Netlist

KINDS = ("registers", "full adders", "exclusive-or", "inverters and buffers", "other gates")


def kind(cell: Cell) -> str:
    """One of :data:`KINDS`; adders that ABC builds of gates are gates."""
    if cell.flipflop is not None:
        return "registers"
    if is_full_adder(cell):
        return "full adders"
    pins = list(cell.inputs)
    if len(pins) == 1:
        return "inverters and buffers"
    tables = {
        truth_table(parse(output.function), pins) for output in cell.outputs.values() if output.function
    }
    parity = sum(1 << i for i in range(2 ** len(pins)) if i.bit_count() % 2)
    inverted = parity ^ (2**2 ** len(pins) - 1)
    return "exclusive-or" if tables <= {parity, inverted} else "other gates"


def area_by_kind(netlist: Netlist) -> dict[str, float]:
    """um^2 of each of :data:`KINDS`; together :attr:`Netlist.area`."""
    areas = dict.fromkeys(KINDS, 0.0)
    kinds = {cell.name: kind(cell) for cell in {i.cell.name: i.cell for i in netlist.instances}.values()}
    for instance in netlist.instances:
        areas[kinds[instance.cell.name]] += instance.cell.area
    return areas
