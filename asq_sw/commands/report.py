"""``asq report``."""

from __future__ import annotations

import click


@click.command(
    "report",
    epilog="Example: asq report --quick -o report",
    help="Write the cross-check of throughput, area, energy, accuracy and error as one HTML page, with its data. "
    "Nothing is trained: accuracies are those that asq accuracies made.",
)
@click.option("--quick", is_flag=True, help="One node and the closed form only, in a minute.")
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
    from asq_sw.terminal import notice, progress
    from reports.collect import build
    from reports.scope import ReportOptions

    options = ReportOptions(rows=rows, cols=cols, clock_mhz=clock_mhz, node=node)
    with progress("sections") as done:
        page = build(folder, options, notice, whole=not quick, done=done)
    click.echo(page)
