"""``asq sweep``."""

from __future__ import annotations

from typing import Any

import click

from asq_sw.commands.options import Values, machine_options

SHOWN = ("grid", "wbits", "dataflow", "rows", "cols")
"""Fields that every sweep has a column of, given or not."""
FRONT = ("latency", "energy", "area", "sqnr", "accuracy")


@click.command(
    "sweep",
    epilog="Example: asq sweep resnet18 --rows 8,16,32 --cols 8,16,32 --wbits 2,3,4,8 --dataflow ws,os "
    "--require 'sqnr_db>=15' -o sweep.parquet",
    help="Evaluate NETWORK on every combination of the given values (each option takes several, with commas between "
    "them) and mark the Pareto front over latency, energy, area and the format's error. Points whose clock the netlist "
    "does not reach are not of the front. Run again after an interrupt, it goes on where it stopped.",
)
@click.argument("network")
@machine_options(many=True)
@click.option("--batch", default=1, show_default=True, type=click.IntRange(min=1), help="Images at once.")
@click.option(
    "--front",
    "objectives",
    type=Values(str),
    default=",".join(FRONT),
    show_default=True,
    help="What the front is over. accuracy: where the format's network was trained (ResNet-20, CIFAR-10).",
)
@click.option(
    "--objective",
    type=click.Choice(FRONT),
    default="latency",
    show_default=True,
    help="The printed table's order.",
)
@click.option(
    "--require",
    multiple=True,
    metavar="COLUMN>=X",
    help="What the front must keep, such as sqnr_db>=15 or area_mm2<2 (>= <= > < ==); may be repeated.",
)
@click.option(
    "--allow-missed-clock",
    is_flag=True,
    help="Points that miss their clock may be of the front.",
)
@click.option(
    "--refine", is_flag=True, help="Fidelity 2 on the points that the closed form does not rule out."
)
@click.option("--dask", "address", help="Address of a Dask scheduler to run on, tcp://host:port.")
@click.option("--workers", type=click.IntRange(min=1), help="Local processes.  [default: one per core]")
@click.option("-o", "--output", required=True, type=click.Path(), help="OUT.parquet or OUT.csv.")
def command(
    network: str,
    machine: dict[str, tuple[Any, ...]],
    config: str | None,
    batch: int,
    objectives: tuple[str, ...],
    objective: str,
    require: tuple[str, ...],
    allow_missed_clock: bool,
    address: str | None,
    workers: int | None,
    refine: bool,
    output: str,
) -> None:
    from asq_sw.terminal import notice, progress
    from hw.machine.spec import read_values
    from sim import Accelerator
    from sim import sweep as sweeps
    from sim.front import Goal, Requirement
    from sim.sweep_report import pareto_table, sweep_notes

    fixed: dict[str, Any] = {}
    if config is not None:
        Accelerator.from_toml(config)  # a machine by itself, or refused with the file's name
        fixed = read_values(config)
    default = Accelerator.model_fields
    shown = {name: (fixed.get(name, default[name].default),) for name in SHOWN}
    given = shown | machine
    axes = tuple((name, given[name]) for name in sweeps.AXES if name in given)
    rest = tuple((name, value) for name, value in fixed.items() if name not in given)
    plan = sweeps.Sweep(network, axes, rest, batch)
    goal = Goal(objectives, tuple(map(Requirement.parse, require)), allow_missed_clock)
    with progress(f"{len(plan):,} points") as step:
        result = sweeps.run(plan, output, address, workers, step, refine, goal)
    for note in sweep_notes(result):
        notice(note)
    click.echo(pareto_table(result, objective))
    click.echo(f"{result.table.num_rows:,} points written to {output}")
