"""``asq verilog``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from asq_sw.commands.options import unit_options

if TYPE_CHECKING:
    from hw.units.unit import Unit


@click.command(
    "verilog",
    epilog="Example: asq verilog pe --grid post --wbits 4 --abits 4 -o pe.v",
    help="Write synthesizable Verilog of UNIT: multiplier, pe (processing element), array (systolic) or tile "
    "(broadcast, R x C products a cycle). A tile's ports are packed: row r's activation is a[r*A +: A], the weight "
    "of row r and column c w[(r*C+c)*B +: B], column c's sum acc[c*S +: S]; the file's head gives A, B, C and S, "
    "and the constants that make its sums exact.",
)
@unit_options(side=32)
@click.option(
    "--corrections",
    type=click.Path(dir_okay=False),
    help="Tile: JSON file of its ports, stored codes and correction constants.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(),
    default="-",
    show_default=True,
    help="File to write, - for standard output.",
)
def command(unit: Unit, corrections: str | None, output: str) -> None:
    from asq_sw.files import write_text
    from hw.rtl.verilog import unit_verilog
    from hw.units.unit import UNITS, imported

    constants = ""
    if corrections is not None:
        name = unit.record()["unit"]
        if not UNITS[name].contract:
            owners = " or ".join(other for other, line in UNITS.items() if line.contract)
            raise click.UsageError(f"--corrections is given for unit {name}, expected unit {owners}")
        if corrections == output:
            raise click.UsageError(f"--corrections and -o are both {output}, expected two files")
        constants = imported(UNITS[name].contract)(unit)
    write_text(output, unit_verilog(unit))
    if corrections is not None:
        write_text(corrections, constants)
    if output != "-":
        click.echo(f"{output}: module {unit.name}")
