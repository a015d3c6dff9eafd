"""``asq verilog``."""

from __future__ import annotations

from typing import Any

import click

from asq_sw.commands.options import tile_options, unit_of, weight_options
from asq_sw.formats import WeightFormat

ARRAY_SIDE = 32


@click.command(
    "verilog",
    epilog="Example: asq verilog pe --grid post --wbits 4 --abits 4 -o pe.v",
    help="Write synthesizable Verilog of UNIT: multiplier, pe (processing element), array (systolic) or tile "
    "(broadcast, R x C products a cycle). A tile's ports are packed: row r's activation is a[r*A +: A], the weight "
    "of row r and column c w[(r*C+c)*B +: B], column c's sum acc[c*S +: S]; the file's head gives A, B, C and S, "
    "and the constants that make its sums exact.",
)
@click.argument("unit")
@weight_options
@click.option("--abits", type=int, default=4, show_default=True, help="Activation bits, 2 to 8.")
@click.option("--variant", default="", help="Datapath: shift-lut, table, ...; by default the grid's first.")
@click.option("--signed", is_flag=True, help="Two's complement activations.")
@click.option("--rows", type=int, help="Rows of an array or tile, 1 to 1024.  [default: 32]")
@click.option("--cols", type=int, help="Columns of an array or tile, 1 to 1024.  [default: 32]")
@click.option(
    "--dataflow",
    type=click.Choice(["ws", "os"]),
    default="ws",
    show_default=True,
    help="What stays in a pe or array: weights or sums.",
)
@click.option("--skew", is_flag=True, help="The array delays its inputs and aligns its outputs itself.")
@click.option(
    "--terms",
    type=click.IntRange(min=1),
    help="Products that a sum holds.  [default: the array's rows, a tile's 32768]",
)
@tile_options
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
def command(
    unit: str,
    weight: WeightFormat,
    abits: int,
    variant: str,
    signed: bool,
    rows: int | None,
    cols: int | None,
    dataflow: str,
    skew: bool,
    terms: int | None,
    tile: dict[str, Any],
    corrections: str | None,
    output: str,
) -> None:
    from asq_sw.files import write_text
    from hw.rtl.verilog import unit_verilog
    from hw.units.spec import SHAPED_UNITS, UnitSpec

    side = ARRAY_SIDE if unit in SHAPED_UNITS else 1
    plain = UnitSpec(
        unit,
        weight,
        abits,
        signed,
        variant=variant,
        rows=side if rows is None else rows,
        cols=side if cols is None else cols,
        dataflow=dataflow,
        skew=skew,
        terms=terms or 0,
    )
    spec = unit_of(plain, tile)
    if corrections is not None:
        from hw.units.contract import text
        from hw.units.tile import TileSpec

        if not isinstance(spec, TileSpec):
            raise click.UsageError(f"--corrections is given for unit {unit}, expected unit tile")
        if corrections == output:
            raise click.UsageError(f"--corrections and -o are both {output}, expected two files")
        constants = text(spec)
    write_text(output, unit_verilog(spec))
    if corrections is not None:
        write_text(corrections, constants)
    if output != "-":
        click.echo(f"{output}: module {spec.name}")
