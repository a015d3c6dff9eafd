"""A sweep's front as a table for people, and what they must know with it."""

from __future__ import annotations

from rich.table import Table

from asq_sw.terminal import render
from sim.front import OBJECTIVES
from sim.sweep import SweepResult


def pareto_table(result: SweepResult, objective: str, most: int = 15) -> str:
    """The Pareto front of a sweep, best in ``objective`` (of :data:`sim.sweep.OBJECTIVES`) first, at most ``most`` rows.

    A refined sweep's latencies and energies are fidelity 2's.
    """
    axes = [name for name, _ in result.sweep.axes]
    tiled = "tiled_" if result.refined else ""
    columns = {
        "latency ms": lambda row: f"{1e3 * row[f'{tiled}latency_s']:.4g}",
        "images/s": lambda row: f"{result.sweep.batch / row[f'{tiled}latency_s']:,.1f}",
        "util.": lambda row: f"{100 * row['utilization']:.1f}%",
        "energy uJ": lambda row: f"{row[f'{tiled}energy_uj']:,.1f}",
        "area mm2": lambda row: f"{row['area_mm2']:.3f}",
        "SQNR dB": lambda row: f"{row['sqnr_db']:.1f}",
        "top-1 %": lambda row: "-" if row["top1_percent"] is None else f"{row['top1_percent']:.2f}",
        "MHz reached": lambda row: (
            f"{row['clock_mhz_reached']:.0f}" + ("" if row["meets_clock"] else " MISSED")
        ),
    }
    column, sign = OBJECTIVES[objective]
    column = tiled + column if objective in ("latency", "energy") else column
    front = result.front()
    front.sort(key=lambda row: (row[column] is None, sign * (row[column] or 0), row["point"]))
    over = ", ".join(result.goal.objectives)
    title = f"Pareto front over {over}: {len(front)} of {result.table.num_rows:,} points"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for name in [*axes, *columns]:
        table.add_column(name, justify="right")
    for row in front[:most]:
        cells = [str(row[name]) if row[name] is not None else "-" for name in axes]
        table.add_row(*cells, *(text(row) for text in columns.values()))
    if len(front) > most:
        table.caption = f"and {len(front) - most} more"
    return render(table, ("util.", "images/s", "SQNR dB", "top-1 %"))


def sweep_notes(result: SweepResult) -> list[str]:
    """What a reader of the front must know: points that do not exist, missed clocks, requirements, refined points."""
    table, goal = result.table, result.goal
    notes = list(result.sweep.left_out)
    missed = table.num_rows - sum(table["meets_clock"].to_pylist())
    if missed:
        of_front = (
            "may be of the front"
            if goal.allow_missed_clock
            else "not of the front (--allow-missed-clock takes them)"
        )
        notes.append(f"{missed:,} of {table.num_rows:,} points miss their clock: {of_front}")
    for requirement in goal.require:
        met = int(requirement.met(table).sum())
        notes.append(f"{met:,} of {table.num_rows:,} points have {requirement}")
    if "accuracy" in goal.objectives and (unknown := table["top1_percent"].null_count):
        notes.append(
            f"{unknown:,} of {table.num_rows:,} points have no measured accuracy, which counts as worse than any"
        )
    if "tiled_cycles" in table.column_names:
        notes.append(
            f"fidelity 2 ran on {result.refined:,} of {table.num_rows:,} points, those that the closed form does not rule "
            "out; the front is of its figures"
        )
    return notes
