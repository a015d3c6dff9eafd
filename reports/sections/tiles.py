"""The section on broadcast tiles: fronts of area and energy against delay, and ratios read off them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt

from hw.nodes import DEFAULT_NODE, NODES
from hw.studies import space
from reports.blocks import Figure, Row, Section, Table
from reports.figures import STYLE, label_points, panels, to_svg
from reports.palette import FRONT, GRIDS
from reports.scope import Request
from reports.tiles.compare import (
    EQUAL_DB,
    best_rows,
    distinct,
    equal_accuracy_rows,
    error_points,
    front,
    one_rows,
    ratio_rows,
)
from reports.tiles.rows import (
    ACCOUNTS,
    AREA,
    BASELINE,
    BITS,
    FIGURES,
    HELD,
    STREAMING,
    area,
    carried,
    carried_fronts,
    correction,
    figure,
    format_name,
    in_order,
    nodes_of,
    way,
)
from reports.trained import trained_with


def rows(request: Request, data: Mapping[str, Any]) -> dict[str, Any]:
    """``tiles``: every tile at its node's default clock; ``tiles_trained``: with a trained layer's operands;
    ``tiles_fronts``: at several clocks."""
    return {"tiles": carried(), "tiles_trained": carried(trained=True), "tiles_fronts": carried_fronts()}


def _lines(rows: Sequence[Row], name: str, words: str, identifier: str) -> str:
    """Fronts of a figure against the clock period: a column per node, a row per width, a line per grid."""
    nodes = [node for node in nodes_of(rows) if node in NODES] or [DEFAULT_NODE]
    with plt.rc_context(STYLE | {"axes.grid.axis": "both"}):
        figure_, axes = plt.subplots(
            len(BITS), len(nodes), figsize=(3.3 * len(nodes), 2.7 * len(BITS)), squeeze=False
        )
        handles: dict[str, Any] = {}
        for j, node in enumerate(nodes):
            for i, bits in enumerate(BITS):
                axis = axes[i][j]
                for weight in dict.fromkeys(w for weights in space.FRONTS for w in weights):
                    by_clock = front(rows, node, [weight.name], name) if weight.bits == bits else {}
                    if by_clock:
                        values = [figure(r, name, c) for c, r in by_clock.items()]
                        handles[weight.grid] = axis.plot(
                            list(by_clock), values, "o-", ms=3, linewidth=1.2, color=GRIDS[weight.grid].colour
                        )[0]
                if i == 0:
                    axis.set_title(node)
                if i == len(BITS) - 1:
                    axis.set_xlabel("clock period, ns")
                if j == 0:
                    axis.set_ylabel(f"{bits} bits: {words}")
        if handles:
            figure_.legend(
                list(handles.values()), list(handles), loc="lower center", ncols=len(handles), fontsize=8
            )
        figure_.tight_layout(rect=(0, 0.03, 1, 1))
        return to_svg(figure_, identifier)


def _errors(rows: Sequence[Row]) -> str:
    """Error against area, a panel per node."""
    points = error_points(rows)
    nodes = [node for node in nodes_of(rows) if node in NODES] or [DEFAULT_NODE]
    with plt.rc_context(STYLE | {"axes.grid.axis": "both"}):
        drawing, axes = panels(len(nodes), width=5.2, height=4.2)
        drawn = []
        for axis, node in zip(axes, nodes, strict=True):
            mine = sorted((p for p in points if p["node"] == node), key=lambda p: p["area"])
            whole = next((p["area"] for p in mine if p["format"] == f"{BASELINE}4"), float("inf"))
            near = [p for p in mine if p["area"] <= 2.5 * whole]
            step = [p for p in near if p["front"]]
            axis.plot([p["area"] for p in step], [p["db"] for p in step], color=FRONT, linewidth=1, zorder=1)
            for p in near:
                axis.scatter(p["area"], p["db"], s=24, color=GRIDS[p["row"]["grid"]].colour, zorder=3)
            axis.set_title(node)
            axis.set_xlabel("area per MAC, µm²")
            drawn.append((axis, near))
        axes[0].set_ylabel("SQNR, Gaussian weights, dB")
        for axis, near in drawn:
            label_points(
                axis,
                [(p["area"], p["db"]) for p in near],
                [format_name(p["row"]) for p in near],
                size=7,
                radius=3,
            )
        return to_svg(drawing, "tiles-error")


def _number(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:.1f}"


def _cell(value_and_ratio: tuple[float, float | None] | None) -> str:
    if value_and_ratio is None:
        return "–"
    value, over = value_and_ratio
    return _number(value) + ("" if over is None else f" ({over:.2f})")


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _operands(row: Row) -> str:
    return "trained" if ".npz" in row["operands"] else "Gaussian"


HEADER = (
    "node", "format", "way", "shape", "clock ns", "delay ns", "tile µm²/MAC", "correction µm²/MAC", "total µm²/MAC",
    "fJ/MAC held", "fJ/MAC streaming", "SQNR dB", "ResNet-20 %", "operands",
)  # fmt: skip


def table_row(row: Row, accuracy: Sequence[Row]) -> list[str]:
    """A line of the table of all rows; a tile that misses its clock has no figures but its delay."""
    met = row["slack_ns"] >= 0

    def shown(value: float) -> str:
        return _number(value) if met else "–"

    return [
        row["node"], format_name(row), way(row), f"{row['rows']}x{row['cols']}", f"{row['clock_ns']:g}",
        f"{row['delay_ns']:.2f}" + ("" if met else " (late)"), shown(row["area_per_mac_um2"]), shown(correction(row)),
        shown(area(row)), shown(row[HELD]), "–" if row["registers"] else shown(row[STREAMING]),
        f"{row['sqnr_db']:.2f}", _percent(trained_with(accuracy, row)), _operands(row),
    ]  # fmt: skip


def _shown(ratios: Row) -> list[str]:
    """The spreads of :data:`reports.tiles.rows.FIGURES`, a dash where there is none."""
    return ["–" if ratios[name] is None else str(ratios[name]) for name in FIGURES]


def _ratios(rows: Sequence[Row]) -> list[list[Any]]:
    return [
        [
            r["node"], r["bits"], r["name"], f"{r['clocks']} of {r['of']}", *_shown(r),
            *("–" if s is None else str(s) for s in r["registers"].values()),
            f"{r['sqnr_db']:.2f}", f"{r['to_int_db']:+.2f}",
        ]
        for r in ratio_rows(rows)
    ]  # fmt: skip


WORDS = {AREA: "µm²/MAC", HELD: "fJ/MAC held", STREAMING: "fJ/MAC streaming"}
COLUMNS = [
    (account, name)
    for name in FIGURES
    for account, registers, _ in ACCOUNTS
    if not (registers and name == STREAMING)
]
"""(account, figure) of the table of the best: with weight registers nothing streams."""


def _bests(groups: Mapping[str, Sequence[Row]]) -> list[list[Any]]:
    return [
        [r["node"], operands, r["name"], *(_cell(r["cells"].get(column)) for column in COLUMNS)]
        for operands, rows in groups.items()
        for r in best_rows(rows)
    ]


def _singles(groups: Mapping[str, Sequence[Row]]) -> list[list[Any]]:
    lines = []
    for operands, rows in groups.items():
        for r in one_rows(rows):
            tile, whole = r["tile"], r[BASELINE]
            cells = {
                n: _cell((figure(tile, n), None if whole is None else figure(tile, n) / figure(whole, n)))
                for n in FIGURES
            }
            if tile["registers"]:
                cells[STREAMING] = "–"
            lines.append(
                [
                    r["node"], operands, r["account"], format_name(tile), way(tile), *cells.values(),
                    f"{tile['delay_ns']:.2f}",
                ]
            )  # fmt: skip
    return lines


def _source(rows: Sequence[Row]) -> str:
    operands = {r["operands"].rpartition(" ")[0] if ".npz" in r["operands"] else r["operands"] for r in rows}
    return (
        "Measured here: RTL proven against the integer definition, synthesized for each clock, timed with its broadcast "
        f"lines, gate-level energy with glitches. Operands: {'; '.join(sorted(operands))}. python -m hw.studies.search remakes the rows."
    )


def section(data: Mapping[str, Any]) -> Section:
    """Figures and tables."""
    at_default, trained, several = data["tiles"], data["tiles_trained"], data["tiles_fronts"]
    at_all = distinct(at_default, several)
    groups = {"Gaussian": at_default, "trained": trained}
    source = _source([*at_default, *trained])
    blocks: list[Figure | Table] = [
        Figure(
            "Area against delay",
            _lines(at_all, AREA, "µm²/MAC", "tiles-area"),
            "Tiles of 16 x 16 without weight registers: the least area of each grid that meets a clock, with the adder "
            "that applies the weights' correction in the requantizer. POST and post-gap have F = 0. A clock that no tile of "
            "a grid meets has no point.",
            source,
        ),
        Figure(
            "Energy against delay",
            _lines(at_all, HELD, "fJ/MAC held", "tiles-energy"),
            "The same for energy with weights held: the least of each grid that meets a clock, another tile than the "
            "smallest where that is better. The correction's adder works once per sum and is not counted.",
            source,
        ),
        Figure(
            "Error against area",
            _errors(at_default),
            "The smallest tile of each format at the default clock, and its signal to quantization noise with the "
            "table's rounding; the line joins those that no other beats in both. Formats far larger than int4 are left out.",
            source,
        ),
        Table(
            "Ratios to int of the same bits",
            [
                "node", "bits", "format", "clocks", "area / int", "held / int", "streaming / int",
                "area / int, weight registers", "held / int, weight registers", "SQNR dB", "dB to int",
            ],
            _ratios(at_all),
            "Read off the fronts at equal clock: median over the clocks that both meet, and in brackets the least and the "
            "most. Tiles with weight registers are measured at the default clock. SQNR: Gaussian weights, the table's rounding "
            "counted.",
            source,
        ),
        Table(
            "Ratios to int at equal accuracy",
            ["node", f"as accurate as, less {EQUAL_DB} dB", "grid", "smallest", "area / int", "held / int", "streaming / int"],
            [[r["node"], r["target"], r["grid"], r["smallest"], *_shown(r)] for r in equal_accuracy_rows(at_all)],
            "Each grid at any bits and F with the SQNR of int, or less by no more than the header says; a grid that is not listed "
            "reaches it at no width measured. Activations have as many bits as weights, so that a grid that needs more "
            "bits also has wider activations.",
            source,
        ),
        Table(
            "The best by each figure at the default clock",
            ["node", "operands", "format", *(f"{WORDS[name]}, {account}" for account, name in COLUMNS)],
            _bests(groups),
            "The least of each figure, in brackets over int's of the same bits. Weight registers: each column holds its "
            "own weights, and nothing streams. Area counts the correction's adder.",
            source,
        ),
        Table(
            "One tile against one tile at the default clock",
            ["node", "operands", "tiles", "format", "way", *WORDS.values(), "delay ns"],
            _singles(groups),
            "The tile of each format with the least area times energy with weights held, in brackets over int's of the "
            "same bits, chosen by the same rule.",
            source,
        ),
        Table(
            "Tiles, winners and losers",
            HEADER,
            [table_row(r, data["accuracy"]) for r in in_order(distinct(at_default, several, trained))],
            "Late: misses its clock, and no figure of it is quoted. Carry-save: what adds the two words is not in the tile, "
            "so that these are compared with nothing. ResNet-20: trained with this grid, these widths and this table in the "
            "forward pass (seed 0), where that was done.",
            source,
        ),
    ]  # fmt: skip
    return Section(
        "Tiles: the datapath that shares its tables", blocks, ("tiles", "tiles_trained", "tiles_fronts")
    )
