"""Figures as tables and pictures for notebooks: of plain records, so that a simulation and a sweep share them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from asq_sw.extras import missing

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame

Rows = Sequence[Mapping[str, Any]]
MOST_ROWS = 60
"""Rows of a notebook's table; of more, the first."""


def flat(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record without nested ones: their names are joined by a dot."""
    found: dict[str, Any] = {}
    for key, value in record.items():
        if isinstance(value, dict):
            found.update({f"{key}.{inner}": v for inner, v in value.items()})
        else:
            found[key] = value
    return found


def frame(rows: Rows) -> DataFrame:
    """Records as a table of pandas.

    Raises
    ------
    InputError
        Without pandas.
    """
    try:
        import pandas
    except ImportError:
        raise missing("to_pandas", "pandas", "pandas") from None
    return pandas.DataFrame([dict(row) for row in rows])


def html_table(rows: Rows, caption: str) -> str:
    """Records as an HTML table, numbers to the right; the caption says how many rows are left out."""
    if len(rows) > MOST_ROWS:
        caption += f" (the first {MOST_ROWS} of {len(rows):,} rows)"
    names = list(rows[0]) if rows else []
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    body = "".join("<tr>" + "".join(_cell(row[name]) for name in names) + "</tr>" for row in rows[:MOST_ROWS])
    return (
        f"<table><caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead>"
        f"<tbody>{body}</tbody></table>"
    )


def _cell(value: Any) -> str:
    if isinstance(value, bool) or value is None or isinstance(value, str):
        text = "" if value is None else str(value)
        return f'<td style="text-align:left">{escape(text)}</td>'
    return f'<td style="text-align:right">{value:,}</td>' if isinstance(value, int) else (
        f'<td style="text-align:right">{value:.4g}</td>'
    )  # fmt: skip


def layer_figure(rows: Rows, parts: Sequence[str], title: str) -> Figure:
    """Two bars a layer, side by side: cycles (computing, stalled) and energy by part.

    ``rows``: records with ``name``, ``compute_cycles``, ``stall_cycles`` and ``energy_pj.PART``.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 1.5 + 0.2 * len(rows)), layout="constrained")
    cycles, energy = figure.subplots(1, 2, sharey=True)
    names = [row["name"] for row in rows]
    for axes, stacks in (
        (cycles, {key: [row[f"{key}_cycles"] / 1e3 for row in rows] for key in ("compute", "stall")}),
        (energy, {part: [row[f"energy_pj.{part}"] / 1e6 for row in rows] for part in parts}),
    ):
        left = [0.0] * len(rows)
        for label, values in stacks.items():
            axes.barh(range(len(rows)), values, left=left, label=label)
            left = [a + b for a, b in zip(left, values, strict=True)]
        axes.legend(frameon=False)
    cycles.set(xlabel="thousand cycles", yticks=range(len(rows)), yticklabels=names)
    cycles.invert_yaxis()
    energy.set(xlabel="energy, uJ")
    figure.suptitle(title)
    return figure


def sweep_figure(rows: Rows, title: str) -> Figure:
    """Energy against latency, a mark a point, a colour a weight format; points of the front are filled.

    ``rows``: records with ``latency_s``, ``energy_uj``, ``label`` and ``pareto``.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 5), layout="constrained")
    axes = figure.subplots()
    for i, label in enumerate(dict.fromkeys(row["label"] for row in rows)):
        for front in (False, True):
            points = [row for row in rows if row["label"] == label and bool(row["pareto"]) is front]
            axes.scatter(
                [1e3 * row["latency_s"] for row in points], [row["energy_uj"] for row in points],
                s=30 if front else 14, facecolors=f"C{i % 10}" if front else "none", edgecolors=f"C{i % 10}",
                label=f"{label}, front" if front else label,
            )  # fmt: skip
    axes.set(xscale="log", yscale="log", xlabel="latency, ms", ylabel="energy, uJ", title=title)
    axes.legend(frameon=False, fontsize="small")
    return figure
