"""``asq report``."""

from __future__ import annotations

import click


@click.command(
    "report",
    epilog="Example: asq report --quick -o report",
    help="Write the cross-check of throughput, area, energy and error as one HTML page, with its data.",
)
@click.option("--quick", is_flag=True, help="Built-in networks and netlists only, in a minute; no training.")
@click.option("-o", "--output", "folder", default="report", show_default=True, help="Folder to write.")
@click.option(
    "--rows", default=32, show_default=True, type=click.IntRange(1, 1024), help="Rows of the array."
)
@click.option(
    "--cols", default=32, show_default=True, type=click.IntRange(1, 1024), help="Columns of the array."
)
@click.option("--clock-mhz", default=500.0, show_default=True, type=click.FloatRange(min=0, min_open=True))
@click.option("--node", default="nangate45", show_default=True, help="Cell library of the netlists.")
def command(quick: bool, folder: str, rows: int, cols: int, clock_mhz: float, node: str) -> None:
    from reports.build import build_quick
    from reports.quick import QuickOptions

    if not quick:
        raise click.UsageError("only the quick report exists so far, expected --quick")
    options = QuickOptions(rows=rows, cols=cols, clock_mhz=clock_mhz, node=node)
    page = build_quick(folder, options, step=lambda message: click.echo(f"asq report: {message}", err=True))
    click.echo(page)
