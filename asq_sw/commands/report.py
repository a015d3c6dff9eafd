"""``asq report``."""

from __future__ import annotations

import click

from asq_sw.commands.options import Number
from asq_sw.commands.options import clock_mhz as in_mhz


@click.command(
    "report",
    epilog="Example: asq report resnet20 mobilenet_v2 --quick -o report",
    help="Write the cross-check of throughput, area, energy, accuracy and error as one HTML page, with its data. "
    "NETWORK: a built-in name, an .onnx file or a SCALE-Sim topology .csv; by default resnet18 and resnet20. "
    "Nothing is trained: accuracies are those of ResNet-20 that asq accuracies made.",
)
@click.argument("networks", nargs=-1, metavar="[NETWORK]...")
@click.option("--quick", is_flag=True, help="One node and the closed form only, in a minute.")
@click.option("-o", "--output", "folder", default="report", show_default=True, help="Folder to write.")
@click.option(
    "--rows", default=32, show_default=True, type=click.IntRange(1, 1024), help="Rows of the array."
)
@click.option(
    "--cols", default=32, show_default=True, type=click.IntRange(1, 1024), help="Columns of the array."
)
@click.option("--clock-mhz", type=Number(min=0, min_open=True), help="Clock, MHz.  [default: 500]")
@click.option("--clock-ns", type=Number(min=0, min_open=True), help="The clock by its period, ns.")
@click.option("--node", default="nangate45", show_default=True, help="Cell library of the netlists.")
def command(
    networks: tuple[str, ...],
    quick: bool,
    folder: str,
    rows: int,
    cols: int,
    clock_mhz: float | None,
    clock_ns: float | None,
    node: str,
) -> None:
    from asq_sw.terminal import notice, progress
    from reports.collect import build
    from reports.scope import NETWORKS, ReportOptions

    clock = in_mhz(clock_mhz, clock_ns)
    fields = {} if clock is None else {"clock_mhz": clock}
    options = ReportOptions(rows=rows, cols=cols, node=node, **fields)
    with progress("sections") as done:
        page = build(folder, options, notice, whole=not quick, given=networks or NETWORKS, done=done)
    click.echo(page)
