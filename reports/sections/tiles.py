"""The section on broadcast tiles: fronts of area and energy against delay, and ratios read off them, alike for all.

Every format is treated alike (:mod:`hw.studies.space`): the best of its contenders by each figure, over the best of int of the
same bits; and one tile (least area times energy) over one tile by the same rule. Only tiles that meet the clock and
hold whole sums are compared. Areas count the adder that applies the weights' correction in the requantizer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from statistics import median
from typing import Any, NamedTuple

import matplotlib.pyplot as plt

from hw import carried as tables
from hw.nodes import DEFAULT_NODE, NODES
from hw.studies import space
from hw.synth.libraries.library import load
from hw.synth.mapping.polarity import full_adder
from reports.figures import GRID_COLOURS, STYLE, to_svg
from reports.sections.accuracy import trained_with

Row = Mapping[str, Any]
Block = dict[str, Any]
ALL_CELLS = "asap7-all"
"""asap7 with the smallest drives (``xp``) that OpenROAD's flow does not use, and that node asap7 here leaves out.

Its rows are in the tables if there are any.
"""
SHAPE, LARGE = space.SIZES
BITS = (4, 3, 2)
AREA, HELD, STREAMING = "area", "energy_held_per_mac_fj", "energy_per_mac_fj"
"""Figures that tiles are compared by: ``area`` counts the requantizer's adder (:func:`area`)."""
FIGURES = (AREA, HELD, STREAMING)
ACCOUNTS: tuple[tuple[str, bool, tuple[int, int]], ...] = (
    ("16x16", False, SHAPE),
    ("16x16 + weight registers", True, SHAPE),
    ("24x48", False, LARGE),
)
"""What stands side by side: name, with weight registers, rows and columns."""
EQUAL_DB = 0.3
"""Grids whose SQNR is less than this below another's are said to be as accurate."""


def _order(rows: Iterable[Row]) -> list[dict[str, Any]]:
    place = {node: i for i, node in enumerate((*NODES, ALL_CELLS))}
    known = (dict(r) for r in rows if r["node"] in place)
    return sorted(known, key=lambda r: (place[r["node"]], r["area_per_mac_um2"]))


def carried(trained: bool = False) -> list[dict[str, Any]]:
    """The rows of :func:`hw.carried.tiles`, all at their node's default clock, by node, then area."""
    return _order(tables.tiles(trained).values())


def fronts() -> list[dict[str, Any]]:
    """The rows at several clocks, by node, then area; none while they are not carried."""
    return _order(tables.fronts().values())


@cache
def _adder(node: str) -> float:
    cell = full_adder(load("asap7" if node == ALL_CELLS else node))
    assert cell is not None
    return cell.area


def correction(row: Row) -> float:
    """Area per MAC, um^2, of the ripple adder in the requantizer that adds a column's constant: shared by its rows."""
    return _adder(row["node"]) * float(row["sum_bits"]) / float(row["rows"])


def area(row: Row) -> float:
    """Area per MAC, um^2, of the tile and of :func:`correction`."""
    return float(row["area_per_mac_um2"]) + correction(row)


def figure(row: Row, name: str, clock_ns: float | None = None) -> float:
    """One of :data:`FIGURES`; at another clock than its own a tile leaks for longer or shorter."""
    if name == AREA:
        return area(row)
    longer = 0.0 if clock_ns is None else clock_ns - row["clock_ns"]
    return float(row[name]) + 1e-3 * float(row["leakage_per_mac_nw"]) * longer  # nW * ns = 1e-3 fJ


def format_name(row: Row) -> str:
    """A format in a word, such as ``post4 F0``."""
    bits = "" if row["grid"] in ("fp4", "nf4") else row["wbits"]
    fraction = f" F{row['frac_bits']}" if row["frac_bits"] is not None and row["grid"] != "nf4" else ""
    exact = " on fp4's datapath" if row["format"] == space.GAP4_E2M1.name else ""
    return f"{row['grid']}{bits}{fraction}{exact}"


def way(row: Row) -> str:
    """How a tile is made, such as ``one-hot-shift, codes 7 6 5 4 3 2 1 0``."""
    text = str(row["variant"])
    if row["abits"] != row["wbits"]:
        text += f" x {row['abits']}-bit activations"
    if row["tree"] != "wallace":
        text += f", {row['tree']} tree"
    if row["edge_registers"]:
        text += ", registers at the edge"
    if row["stage"] != "none":
        text += f", register behind the {row['stage']}"
    if row["carry_save"]:
        text += ", carry-save"
    if row["order"]:
        text += f", codes {' '.join(map(str, row['order']))}"
    if row["share"] != row["cols"]:
        text += f", table for {row['share']} columns"
    return text + (", weight registers" if row["registers"] else "")


def label(row: Row) -> str:
    """A tile in a word, such as ``post4 F0 one-hot-shift``."""
    return f"{format_name(row)} {way(row)}"


@cache
def _ways() -> frozenset[tuple[str, str, tuple[int, ...]]]:
    return frozenset(
        (weight.name, tile.variant, tile.order)
        for weight, ways in space.CONTENDERS.items()
        for tile in (space.tile(weight, w) for w in ways)
    )


def contender(row: Row) -> bool:
    """Whether a row is of :data:`hw.studies.space.CONTENDERS`: what some formats have beside them is compared with nothing."""
    plain = (row["tree"], row["carry_save"], row["share"]) == ("wallace", False, row["cols"])
    return plain and (row["format"], row["variant"], tuple(row["order"])) in _ways()


def compared(
    rows: Iterable[Row], node: str, registers: bool = False, shape: tuple[int, int] = SHAPE
) -> list[Row]:
    """Contenders of a node, accounting and shape that meet the clock that they were made for."""
    return [
        r for r in rows
        if (r["node"], r["registers"], r["rows"], r["cols"]) == (node, registers, *shape)
        and r["slack_ns"] >= 0 and contender(r)
    ]  # fmt: skip


def best(rows: Iterable[Row], name: str, clock_ns: float | None = None) -> Row | None:
    """The tile with the least of a figure among those that meet a clock (by default each one's own)."""
    able = (r for r in rows if clock_ns is None or r["delay_ns"] <= clock_ns)
    return min(able, key=lambda r: figure(r, name, clock_ns), default=None)


def one(rows: Iterable[Row]) -> Row | None:
    """The one tile of a format: the least area times energy with weights held."""
    return min(rows, key=lambda r: area(r) * r[HELD], default=None)


def clocks(rows: Iterable[Row], node: str, formats: Iterable[str], registers: bool = False) -> list[float]:
    """Clock periods, ns, at which tiles of some formats were made, met or missed."""
    wanted = set(formats)
    return sorted(
        {
            round(r["clock_ns"], 6)
            for r in rows
            if (r["node"], r["registers"]) == (node, registers) and r["format"] in wanted
        }
    )


def front(
    rows: Sequence[Row], node: str, formats: Sequence[str], name: str, registers: bool = False
) -> dict[float, Row]:
    """By clock, the tile of some formats with the least of a figure that meets it.

    Every tile that is fast enough counts, also one made for another clock. A format takes part at the clocks that
    it was made for, so that one without fronts is not held against those that have them.
    """
    able = compared(rows, node, registers)
    found = {}
    for clock in clocks(rows, node, formats, registers):
        here = [f for f in formats if clock in clocks(rows, node, [f], registers)]
        least = best((r for r in able if r["format"] in here), name, clock)
        if least is not None:
            found[clock] = least
    return found


class Spread(NamedTuple):
    """Ratios over the clocks that both meet."""

    median: float
    low: float
    high: float
    clocks: int

    def __str__(self) -> str:
        middle = f"{self.median:.2f}"
        return middle if self.clocks == 1 else f"{middle} ({self.low:.2f}–{self.high:.2f})"


def spread(mine: Mapping[float, Row], theirs: Mapping[float, Row], name: str) -> Spread | None:
    """Ratios of two fronts at equal clock; None if they share none."""
    found = [
        figure(mine[c], name, c) / figure(theirs[c], name, c) for c in sorted(mine.keys() & theirs.keys())
    ]
    return Spread(median(found), min(found), max(found), len(found)) if found else None


def nodes_of(rows: Iterable[Row]) -> list[str]:
    """Nodes that have rows, in a fixed order."""
    present = {r["node"] for r in rows}
    return [node for node in (*NODES, ALL_CELLS) if node in present]


def formats_of(rows: Iterable[Row], node: str, bits: int) -> list[str]:
    """Formats of so many bits that a node has contenders of, int first, then in the space's order."""
    present = {r["format"] for r in compared(rows, node)}
    ordered = sorted(
        (w for w in space.CONTENDERS if w.bits == bits and w.name in present), key=lambda w: w.grid != "int"
    )
    return [w.name for w in ordered]


def ratio_rows(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Every format over int of the same bits, by each figure and at equal clock; ``rows`` of all clocks.

    ``registers``: area and energy with weights held of tiles with weight registers, at the clocks of those.
    """
    found = []
    for node in nodes_of(rows):
        for bits in BITS:
            whole = {name: front(rows, node, [f"int{bits}"], name) for name in FIGURES}
            for fmt in formats_of(rows, node, bits):
                mine = {name: front(rows, node, [fmt], name) for name in FIGURES}
                spreads = {name: spread(mine[name], whole[name], name) for name in FIGURES}
                reach = spreads[AREA]
                if reach is None:
                    continue
                held = {
                    name: spread(
                        front(rows, node, [fmt], name, True),
                        front(rows, node, [f"int{bits}"], name, True),
                        name,
                    )
                    for name in (AREA, HELD)
                }
                sample = next(iter(mine[AREA].values()))
                base = next(iter(whole[AREA].values()))
                found.append(
                    {
                        "node": node, "bits": bits, "format": fmt, "name": format_name(sample), **spreads, "registers": held,
                        "clocks": reach.clocks, "of": len(clocks(rows, node, [fmt])),
                        "sqnr_db": sample["sqnr_db"], "to_int_db": sample["sqnr_db"] - base["sqnr_db"],
                    }
                )  # fmt: skip
    return found


def equal_accuracy_rows(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Each grid at whatever bits and F is as accurate as int4, int3, int2, over int by the same rule."""
    found = []
    for node in nodes_of(rows):
        able = compared(rows, node)
        accuracy = {r["format"]: r["sqnr_db"] for r in able}
        grids: dict[str, list[str]] = {}
        for r in able:
            if r["format"] not in grids.setdefault(r["grid"], []):
                grids[r["grid"]].append(r["format"])
        for bits in BITS:
            if f"int{bits}" not in accuracy:
                continue
            floor = accuracy[f"int{bits}"] - EQUAL_DB
            reach = {
                grid: sorted(f for f in formats if accuracy[f] >= floor) for grid, formats in grids.items()
            }
            whole = {name: front(rows, node, reach["int"], name) for name in FIGURES}
            for grid in sorted(grids, key=lambda g: (g != "int", g)):
                if not reach[grid]:
                    continue
                mine = {name: front(rows, node, reach[grid], name) for name in FIGURES}
                spreads = {name: spread(mine[name], whole[name], name) for name in FIGURES}
                if spreads[AREA] is None:
                    continue
                used = sorted({format_name(r) for r in mine[AREA].values()})
                found.append(
                    {
                        "node": node,
                        "target": f"int{bits}",
                        "grid": grid,
                        "smallest": ", ".join(used),
                        **spreads,
                    }
                )
    return found


def best_rows(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The least of each figure by format at one clock, in every account of :data:`ACCOUNTS`, with its ratio to int's.

    ``cells``: (account, figure) -> (value, ratio), where it was measured. With weight registers nothing streams.
    """
    found = []
    for node in nodes_of(rows):
        accounts = {name: compared(rows, node, registers, shape) for name, registers, shape in ACCOUNTS}
        for bits in BITS:
            for fmt in formats_of(rows, node, bits):
                cells = {}
                named = None
                for account, registers, _ in ACCOUNTS:
                    for name in FIGURES:
                        if registers and name == STREAMING:
                            continue
                        mine = best((r for r in accounts[account] if r["format"] == fmt), name)
                        whole = best((r for r in accounts[account] if r["format"] == f"int{bits}"), name)
                        if mine is not None:
                            named = mine
                            value = figure(mine, name)
                            over = None if whole is None else value / figure(whole, name)
                            cells[account, name] = (value, over)
                if named is not None:
                    found.append(
                        {
                            "node": node,
                            "bits": bits,
                            "format": fmt,
                            "name": format_name(named),
                            "cells": cells,
                        }
                    )
    return found


def one_rows(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """One tile of each format (:func:`one`) over one tile of int of the same bits, in every account."""
    found = []
    for node in nodes_of(rows):
        for account, registers, shape in ACCOUNTS:
            able = compared(rows, node, registers, shape)
            for bits in BITS:
                whole = one(r for r in able if r["format"] == f"int{bits}")
                for fmt in formats_of(rows, node, bits):
                    mine = one(r for r in able if r["format"] == fmt)
                    if mine is not None:
                        found.append({"node": node, "account": account, "tile": mine, "int": whole})
    return found


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
                    found = front(rows, node, [weight.name], name) if weight.bits == bits else {}
                    if found:
                        values = [figure(r, name, c) for c, r in found.items()]
                        handles[weight.grid] = axis.plot(
                            list(found), values, "o-", ms=3, linewidth=1.2, color=GRID_COLOURS[weight.grid]
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


def error_points(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """By node and format of 2 to 4 bits: the least area of its 16 x 16 tiles and the format's SQNR.

    ``front``: no other format of the node is both smaller and more accurate.
    """
    points = []
    for node in nodes_of(rows):
        able = compared(rows, node)
        mine = []
        for fmt in dict.fromkeys(f for bits in BITS for f in formats_of(rows, node, bits)):
            least = best((r for r in able if r["format"] == fmt), AREA)
            assert least is not None
            mine.append(
                {"node": node, "format": fmt, "row": least, "area": area(least), "db": least["sqnr_db"]}
            )
        for p in mine:
            p["front"] = not any(q["area"] < p["area"] and q["db"] >= p["db"] for q in mine)
        points += mine
    return points


def _errors(rows: Sequence[Row]) -> str:
    """Error against area, a panel per node."""
    points = error_points(rows)
    nodes = [node for node in nodes_of(rows) if node in NODES] or [DEFAULT_NODE]
    with plt.rc_context(STYLE | {"axes.grid.axis": "both"}):
        drawing, axes = plt.subplots(1, len(nodes), figsize=(3.6 * len(nodes), 3.4), squeeze=False)
        for axis, node in zip(axes[0], nodes, strict=True):
            mine = sorted((p for p in points if p["node"] == node), key=lambda p: p["area"])
            whole = next((p["area"] for p in mine if p["format"] == "int4"), float("inf"))
            near = [p for p in mine if p["area"] <= 2.5 * whole]
            step = [p for p in near if p["front"]]
            axis.plot(
                [p["area"] for p in step], [p["db"] for p in step], color="#999999", linewidth=1, zorder=1
            )
            for p in near:
                axis.scatter(p["area"], p["db"], s=24, color=GRID_COLOURS[p["row"]["grid"]], zorder=3)
                axis.annotate(
                    format_name(p["row"]),
                    (p["area"], p["db"]),
                    fontsize=6,
                    xytext=(4, -7),
                    textcoords="offset points",
                )
            axis.set_title(node)
            axis.set_xlabel("area per MAC, µm²")
        axes[0][0].set_ylabel("SQNR, Gaussian weights, dB")
        drawing.tight_layout()
        return to_svg(drawing, "tiles-error")


def _number(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:.1f}"


def _cell(found: tuple[float, float | None] | None) -> str:
    if found is None:
        return "–"
    value, over = found
    return _number(value) + ("" if over is None else f" ({over:.2f})")


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _operands(row: Row) -> str:
    return "trained" if ".npz" in row["operands"] else "Gaussian"


def _identity(row: Row) -> tuple[Any, ...]:
    return (
        row["node"], row["format"], row["abits"], way(row), row["rows"], row["cols"], round(row["clock_ns"], 6),
        row["operands"],
    )  # fmt: skip


def distinct(*parts: Iterable[Row]) -> list[Row]:
    """Rows of several files, each once."""
    return list({_identity(r): r for rows in parts for r in rows}.values())


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


HEADER = (
    "node", "format", "way", "shape", "clock ns", "delay ns", "tile µm²/MAC", "correction µm²/MAC", "total µm²/MAC",
    "fJ/MAC held", "fJ/MAC streaming", "SQNR dB", "ResNet-20 %", "operands",
)  # fmt: skip


def section(
    rows: Sequence[Row], trained: Sequence[Row], accuracy: Sequence[Row], several: Sequence[Row] = ()
) -> dict[str, Any]:
    """Title, figures and tables.

    ``trained``: the rows with a trained layer's operands. ``accuracy``: the trained networks. ``several``: the rows at
    several clocks.
    """
    at_all = distinct(rows, several)
    operands = sorted(
        {
            r["operands"].rpartition(" ")[0] if ".npz" in r["operands"] else r["operands"]
            for r in [*rows, *trained]
        }
    )
    source = (
        "Measured here: RTL proven against the integer definition, synthesized for each clock, timed with its broadcast "
        f"lines, gate-level energy with glitches. Operands: {'; '.join(operands)}. python -m hw.studies.search remakes the rows."
    )

    def table(name: str, header: Sequence[str], body: Sequence[Sequence[Any]], caption: str) -> Block:
        return {"svg": "", "name": name, "header": header, "rows": body, "caption": caption, "source": source}

    def drawn(name: str, svg: str, caption: str) -> Block:
        return {"svg": svg, "name": name, "caption": caption, "source": source}

    def shown(found: Row) -> list[str]:
        return ["–" if found[name] is None else str(found[name]) for name in FIGURES]

    def with_registers(found: Row) -> list[str]:
        return ["–" if s is None else str(s) for s in found["registers"].values()]

    by_figure = [
        [
            r["node"], r["bits"], r["name"], f"{r['clocks']} of {r['of']}", *shown(r), *with_registers(r),
            f"{r['sqnr_db']:.2f}", f"{r['to_int_db']:+.2f}",
        ]
        for r in ratio_rows(at_all)
    ]  # fmt: skip
    by_accuracy = [
        [r["node"], r["target"], r["grid"], r["smallest"], *shown(r)] for r in equal_accuracy_rows(at_all)
    ]
    columns = [
        (account, name)
        for name in FIGURES
        for account, registers, _ in ACCOUNTS
        if not (registers and name == STREAMING)
    ]
    words = {AREA: "µm²/MAC", HELD: "fJ/MAC held", STREAMING: "fJ/MAC streaming"}
    bests, singles = [], []
    for group, made in ((rows, "Gaussian"), (trained, "trained")):
        bests += [
            [r["node"], made, r["name"], *(_cell(r["cells"].get(column)) for column in columns)]
            for r in best_rows(group)
        ]
        for r in one_rows(group):
            tile, whole = r["tile"], r["int"]
            over = [
                (figure(tile, n), None if whole is None else figure(tile, n) / figure(whole, n))
                for n in FIGURES
            ]
            cells = [_cell(over[0]), _cell(over[1]), "–" if tile["registers"] else _cell(over[2])]
            singles.append(
                [r["node"], made, r["account"], format_name(tile), way(tile), *cells, f"{tile['delay_ns']:.2f}"]
            )  # fmt: skip
    blocks = [
        drawn(
            "Area against delay",
            _lines(at_all, AREA, "µm²/MAC", "tiles-area"),
            "Tiles of 16 x 16 without weight registers: the least area of each grid that meets a clock, with the adder "
            "that applies the weights' correction in the requantizer. POST and post-gap have F = 0. A clock that no tile of "
            "a grid meets has no point.",
        ),
        drawn(
            "Energy against delay",
            _lines(at_all, HELD, "fJ/MAC held", "tiles-energy"),
            "The same for energy with weights held: the least of each grid that meets a clock, another tile than the "
            "smallest where that is better. The correction's adder works once per sum and is not counted.",
        ),
        drawn(
            "Error against area",
            _errors(rows),
            "The smallest tile of each format at the default clock, and its signal to quantization noise with the "
            "table's rounding; the line joins those that no other beats in both. Formats far larger than int4 are left out.",
        ),
        table(
            "Ratios to int of the same bits",
            [
                "node", "bits", "format", "clocks", "area / int", "held / int", "streaming / int",
                "area / int, weight registers", "held / int, weight registers", "SQNR dB", "dB to int",
            ],
            by_figure,
            "Read off the fronts at equal clock: median over the clocks that both meet, and in brackets the least and the "
            "most. Tiles with weight registers are measured at the default clock. SQNR: Gaussian weights, the table's rounding "
            "counted.",
        ),
        table(
            "Ratios to int at equal accuracy",
            ["node", "as accurate as", "grid", "smallest", "area / int", "held / int", "streaming / int"],
            by_accuracy,
            f"Each grid at any bits and F with an SQNR of no less than int's less {EQUAL_DB} dB; a grid that is not listed "
            "reaches it at no width measured. Activations have as many bits as weights, so that a grid that needs more "
            "bits also has wider activations.",
        ),
        table(
            "The best by each figure at the default clock",
            ["node", "operands", "format", *(f"{words[name]}, {account}" for account, name in columns)],
            bests,
            "The least of each figure, in brackets over int's of the same bits. Weight registers: each column holds its "
            "own weights, and nothing streams. Area counts the correction's adder.",
        ),
        table(
            "One tile against one tile at the default clock",
            ["node", "operands", "tiles", "format", "way", "µm²/MAC", "fJ/MAC held", "fJ/MAC streaming", "delay ns"],
            singles,
            "The tile of each format with the least area times energy with weights held, in brackets over int's of the "
            "same bits, chosen by the same rule.",
        ),
        table(
            "Tiles, winners and losers",
            HEADER,
            [table_row(r, accuracy) for r in _order(distinct(rows, several, trained))],
            "Late: misses its clock, and no figure of it is quoted. Carry-save: what adds the two words is not in the tile, "
            "so that these are compared with nothing. ResNet-20: trained with this grid, these widths and this table in the "
            "forward pass (seed 0), where that was done.",
        ),
    ]  # fmt: skip
    return {"title": "Tiles: the datapath that shares its tables", "blocks": blocks}
