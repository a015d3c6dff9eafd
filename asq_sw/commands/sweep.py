"""``asq sweep``."""

from __future__ import annotations

from typing import Any

import click

from asq_sw.formats import GRIDS


class Values(click.ParamType):
    """Comma-separated values of one type."""

    name = "values"

    def __init__(self, kind: type):
        self.kind = kind

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[Any, ...]:
        if isinstance(value, tuple):
            return value
        try:
            return tuple(self.kind(part.strip()) for part in value.split(","))
        except ValueError:
            word = {int: "whole numbers", float: "numbers"}[self.kind]
            self.fail(f"{value!r}, expected {word} with commas between them", param, ctx)


@click.command(
    "sweep",
    epilog="Example: asq sweep resnet18 --rows 8,16,32 --cols 8,16,32 --wbits 2,3,4,8 --dataflow ws,os -o sweep.parquet",
    help="Evaluate NETWORK on every combination of the given values and mark the Pareto front over latency, energy "
    "and area. Run again after an interrupt, it goes on where it stopped.",
)
@click.argument("network")
@click.option("--grid", type=Values(str), default="post", show_default=True, help=f"Of {', '.join(GRIDS)}.")
@click.option("--wbits", type=Values(int), default="4", show_default=True, help="Weight bits, 2 to 8.")
@click.option("--abits", type=Values(int), help="Activation bits.  [default: as many as weight bits]")
@click.option("--dataflow", type=Values(str), default="ws", show_default=True, help="Of ws, os, is.")
@click.option("--rows", type=Values(int), default="32", show_default=True)
@click.option("--cols", type=Values(int), default="32", show_default=True)
@click.option("--ifmap-kib", type=Values(float), help="Scratchpad, KiB.")
@click.option("--filter-kib", type=Values(float), help="Scratchpad, KiB.")
@click.option("--ofmap-kib", type=Values(float), help="Scratchpad, KiB.")
@click.option("--dram-gb-per-s", type=Values(float), help="DRAM bandwidth, 1e9 bytes a second.")
@click.option("--clock-mhz", type=Values(float), help="Clock, MHz.")
@click.option(
    "--node", default="nangate45", show_default=True, help="Cell library of the processing elements."
)
@click.option("--batch", default=1, show_default=True, type=click.IntRange(min=1))
@click.option(
    "--objective", type=click.Choice(["latency", "energy", "area"]), default="latency", show_default=True
)
@click.option(
    "--refine", is_flag=True, help="Fidelity 2 on the points that the closed form does not rule out."
)
@click.option("--dask", "address", help="Address of a Dask scheduler to run on, tcp://host:port.")
@click.option("--workers", type=click.IntRange(min=1), help="Local processes.  [default: one per core]")
@click.option("-o", "--output", required=True, type=click.Path(), help="OUT.parquet or OUT.csv.")
def command(
    network: str,
    node: str,
    batch: int,
    objective: str,
    address: str | None,
    workers: int | None,
    refine: bool,
    output: str,
    **axes: Any,
) -> None:
    from asq_sw.terminal import progress
    from sim import sweep as sweeps
    from sim.report import pareto_table

    given = tuple((name, axes[name]) for name in sweeps.AXES if axes.get(name))
    plan = sweeps.Sweep(network, given, node, batch)
    with progress(f"{len(plan):,} points") as step:
        table = sweeps.run(plan, output, address, workers, step, refine)
    key = {"latency": "latency_s", "energy": "energy_uj", "area": "area_mm2"}[objective]
    click.echo(pareto_table(table, key, [name for name, _ in given]))
    click.echo(f"{table.num_rows:,} points written to {output}")
