"""What the report's figures share: one style, labels that do not overlap, and SVG that is the same bytes for the same data."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from typing import Any

import matplotlib

matplotlib.use("svg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": "#dddddd",
    "axes.axisbelow": True,
    "legend.frameon": False,
}
COLUMNS = 2
"""Panels beside one another, of a figure with one for each network."""
TICKS = 60
"""Names below an axis that can be read beside one another."""

PLAIN = "{x:g}"
"""Numbers of a logarithmic axis in full, not as powers."""

_PLACES = ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (1, -1), (-1, 1), (-1, -1))
"""Directions from a mark in which its label may stand, the first that is free."""


def panels(count: int, width: float = 4.75, height: float = 3.2, **options: Any) -> tuple[Figure, list[Axes]]:
    """A figure of ``count`` panels, :data:`COLUMNS` beside one another, each of so many inches."""
    columns = min(COLUMNS, count)
    rows = -(-count // columns)
    figure, axes = plt.subplots(
        rows,
        columns,
        figsize=(width * columns, height * rows),
        layout="constrained",
        squeeze=False,
        **options,
    )
    every = list(axes.flat)
    for axis in every[count:]:
        axis.remove()
    return figure, every[:count]


def name_ticks(axis: Axes, names: Sequence[str]) -> None:
    """Names below the places 0, 1, ..., upright; of more than :data:`TICKS` only every second, third, ..."""
    every = -(-len(names) // TICKS)
    axis.set_xticks(range(0, len(names), every), names[::every], rotation=90, fontsize=7)


def label_points(
    axis: Axes,
    points: Sequence[tuple[float, float]],
    texts: Sequence[str],
    size: float = 7,
    radius: float = 5,
) -> None:
    """Write a text beside each point so that none lies on another or on a mark; a thin line leads to those far off.

    ``radius``: of a mark, in points. Call it last: the axes must not change afterwards.
    """
    figure = axis.get_figure(root=True)
    assert figure is not None
    figure.draw_without_rendering()
    scale = figure.dpi / 72
    inside = axis.get_window_extent()
    at = [tuple(axis.transData.transform(point)) for point in points]
    wide = radius * scale
    taken = [Bbox.from_extents(x - wide, y - wide, x + wide, y + wide) for x, y in at]
    for (x, y), (dot_x, dot_y), text in zip(points, at, texts, strict=True):
        probe = axis.text(x, y, text, fontsize=size)
        box = probe.get_window_extent()
        probe.remove()
        width, height = box.width, box.height
        for distance, (right, up) in ((d, place) for d in range(1, 16) for place in _PLACES):
            gap = wide + 5.0 * (distance - 1) + 1.5
            left = dot_x + right * gap - (width / 2 if right == 0 else width if right < 0 else 0)
            low = dot_y + up * gap - (height / 2 if up == 0 else height if up < 0 else 0)
            place = Bbox.from_bounds(left, low, width, height)
            free = not any(place.overlaps(other) for other in taken)
            if (
                free
                and inside.x0 <= place.x0
                and place.x1 <= inside.x1
                and inside.y0 <= place.y0
                and place.y1 <= inside.y1
            ):
                break
        taken.append(place)
        to_data = axis.transData.inverted().transform
        label_x, label_y = to_data((place.x0, place.y0))
        note = axis.text(label_x, label_y, text, fontsize=size, va="bottom", zorder=4)
        note.set_in_layout(False)
        if distance > 2:
            near = (min(max(dot_x, place.x0), place.x1), min(max(dot_y, place.y0), place.y1))
            end_x, end_y = to_data(near)
            axis.plot(
                [x, end_x], [y, end_y], color="#999999", linewidth=0.5, zorder=2, scalex=False, scaley=False
            )


def to_svg(figure: Figure, name: str) -> str:
    """SVG element of a figure, without a date; ``name`` keeps the identifiers of several figures apart."""
    buffer = io.StringIO()
    with plt.rc_context({"svg.hashsalt": name, "svg.fonttype": "none"}):
        figure.savefig(buffer, format="svg", bbox_inches="tight", metadata={"Date": None, "Creator": None})
    plt.close(figure)
    text = buffer.getvalue()
    text = re.sub(r"\s*<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.S)
    # Names of groups are the same in every figure, and one page holds them all; a hundredth of a point is never seen.
    text = re.sub(r'<g id="[\w.]+">', "<g>", text)
    # The page says the typeface; what a mark's definition says, its uses need not say again.
    text = re.sub(r' font-family: [^;"]*;| transform="rotate\(-0 [^)]*\)"', "", text)
    text = re.sub(r'(<use [^>]*) style="stroke: #000000; stroke-width: 0.8"', r"\1", text)
    text = re.sub(r"(\d\.\d\d)\d+", r"\1", text)
    return re.sub(r"\s*\n\s*", "\n", text)
