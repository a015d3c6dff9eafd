"""``asq synth``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from asq_sw.formats import GRIDS, WeightFormat

if TYPE_CHECKING:
    from hw.synth.measure import UnitCost

NODES = ("nangate45", "sky130hd", "asap7")


@click.command(
    "synth",
    epilog="Example: asq synth pe --grid post --wbits 4 --abits 4 --node nangate45 --json cost.json",
    help="Synthesize UNIT (multiplier, pe, array, ...) for a cell library: area, delay, leakage, and energy "
    "per multiply-accumulate from a gate-level simulation of the netlist.",
)
@click.argument("unit")
@click.option("--grid", type=click.Choice(GRIDS), default="post", show_default=True, help="Weight grid.")
@click.option("--wbits", type=int, default=4, show_default=True, help="Weight bits, 2 to 8.")
@click.option("--abits", type=int, default=4, show_default=True, help="Activation bits, 2 to 8.")
@click.option("--variant", default="", help="Datapath; by default the grid's first.")
@click.option("--frac-bits", type=int, help="Fractional bits of the sqrt(2) table.  [default: 2]")
@click.option("--signed", is_flag=True, help="Two's complement activations.")
@click.option("--rows", type=int, default=1, show_default=True, help="Rows of an array or tile.")
@click.option("--cols", type=int, default=1, show_default=True, help="Columns of an array or tile.")
@click.option("--dataflow", type=click.Choice(["ws", "os"]), default="ws", show_default=True)
@click.option("--terms", type=int, default=0, help="Products that a sum holds.  [default: the unit's]")
@click.option("--node", type=click.Choice(NODES), help="Cell library.  [default: nangate45]")
@click.option(
    "--liberty",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Liberty file instead of a node (may be repeated for a library in parts).",
)
@click.option("--clock-ns", type=float, help="Clock period to meet, ns.  [default: the node's]")
@click.option(
    "--wires",
    type=click.Choice(["fanout", "library", "none"]),
    default="fanout",
    show_default=True,
    help="Wire-load model.",
)
@click.option("--weights", type=click.Path(path_type=Path), help=".npz of weights to multiply, (K, N).")
@click.option("--activations", type=click.Path(path_type=Path), help=".npz of activation codes, (K, T).")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the default operands.")
@click.option("--json", "json_path", type=click.Path(), help="JSON file, - for standard output.")
def command(
    unit: str,
    grid: str,
    wbits: int,
    abits: int,
    variant: str,
    frac_bits: int | None,
    signed: bool,
    rows: int,
    cols: int,
    dataflow: str,
    terms: int,
    node: str | None,
    liberty: tuple[Path, ...],
    clock_ns: float | None,
    wires: str,
    weights: Path | None,
    activations: Path | None,
    seed: int,
    json_path: str | None,
) -> None:
    if node and liberty:
        raise click.UsageError("both --node and --liberty are given, expected one of them")
    if (weights is None) != (activations is None):
        raise click.UsageError("only one of --weights and --activations is given, expected both or none")
    from asq_sw.files import write_text
    from asq_sw.provenance import provenance
    from hw.design import UnitSpec

    spec = UnitSpec(
        unit,
        WeightFormat(grid, wbits, frac_bits),
        abits,
        signed_activations=signed,
        variant=variant,
        rows=rows,
        cols=cols,
        terms=terms,
        dataflow=dataflow,
    )
    from hw.synth.measure import measure, read_liberty
    from hw.synth.operands import from_files

    operands = None
    if weights is not None and activations is not None:
        operands = from_files(spec.weight, spec.activation, weights, activations)
    library = read_liberty(liberty) if liberty else node or NODES[0]
    try:
        with _working(f"synthesizing {spec.name}"):
            cost = measure(spec, library, clock_ns, operands, wires, seed)
    except RuntimeError as error:
        click.echo(f"asq: error: {error}", err=True)
        sys.exit(1)
    if json_path is not None:
        inputs = [p for p in (*liberty, weights, activations) if p is not None]
        record = cost.to_json() | {"provenance": provenance(inputs, seed)}
        write_text(json_path, json.dumps(record, indent=1) + "\n")
    if json_path != "-":
        _print(cost)


def _working(message: str) -> Any:
    """A spinner on a terminal, nothing elsewhere."""
    from rich.console import Console

    console = Console(stderr=True)
    if console.is_terminal:
        return console.status(message)
    from contextlib import nullcontext

    return nullcontext()


def _print(cost: UnitCost) -> None:
    from rich.console import Console
    from rich.table import Table

    name = f"{cost.unit} {cost.grid} {cost.wbits}x{cost.abits} {cost.variant}"
    if cost.frac_bits is not None:
        name += f" F={cost.frac_bits}"
    table = Table(
        title=f"{name} on {cost.node}, {cost.clock_ns:g} ns", title_justify="left", show_header=False
    )
    table.add_column()
    table.add_column(justify="right")
    table.add_column()
    share = cost.area_sequential_um2 / cost.area_um2 if cost.area_um2 else 0.0
    rows: list[tuple[str, str, str]] = [
        ("cells", f"{cost.cells}", ""),
        ("area", f"{cost.area_um2:.4g}", "um2"),
        ("  of it registers", f"{share:.1%}", ""),
        ("  per MAC", f"{cost.area_per_mac_um2:.4g}", "um2"),
        ("delay", f"{cost.delay_ns:.4g}", "ns"),
        ("slack", f"{cost.slack_ns:.4g}", "ns"),
        ("leakage", f"{cost.leakage_nw:.4g}", "nW"),
        ("energy per MAC", f"{cost.energy_per_mac_fj:.4g}", "fJ"),
        *((f"  {part}", f"{value:.4g}", "fJ") for part, value in cost.energy_fj.items()),
        ("transitions per net and cycle", f"{cost.activity:.4g}", ""),
    ]
    for row in rows:
        table.add_row(*row)
    console = Console()
    console.print(table)
    console.print(f"operands: {cost.operands}; wires: {cost.wires}; recipe: {cost.recipe}", highlight=False)
