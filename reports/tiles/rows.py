"""The tiles' rows: names, figures, and which of them are compared."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any

from asq_sw.formats import GRID_RECORDS
from hw import carried as tables
from hw.nodes import NODES
from hw.studies import space
from hw.synth.libraries.library import load
from hw.synth.mapping.polarity import full_adder
from reports.blocks import Row

ALL_CELLS = "asap7-all"
"""asap7 with the smallest drives (``xp``) that OpenROAD's flow does not use, and that node asap7 here leaves out.

Its rows are in the tables if there are any.
"""
BASELINE = "int"
"""The grid over which every ratio is."""
SHAPE, LARGE = space.SIZES
BITS = (4, 3, 2)
"""Bits of the formats that are compared, the most important first."""
AREA, HELD, STREAMING = "area", "energy_held_per_mac_fj", "energy_per_mac_fj"
"""Figures that tiles are compared by: ``area`` counts the requantizer's adder (:func:`area`)."""
FIGURES = (AREA, HELD, STREAMING)
ACCOUNTS: tuple[tuple[str, bool, tuple[int, int]], ...] = (
    ("16x16", False, SHAPE),
    ("16x16 + weight registers", True, SHAPE),
    ("24x48", False, LARGE),
)
"""What stands side by side: name, with weight registers, rows and columns."""


def in_order(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """Rows of the nodes that the report knows, by node, then area."""
    place = {node: i for i, node in enumerate((*NODES, ALL_CELLS))}
    known = (dict(r) for r in rows if r["node"] in place)
    return sorted(known, key=lambda r: (place[r["node"]], r["area_per_mac_um2"]))


def carried(trained: bool = False) -> list[dict[str, Any]]:
    """The rows of :func:`hw.carried.tiles`, all at their node's default clock, in order."""
    return in_order(tables.tiles(trained).values())


def carried_fronts() -> list[dict[str, Any]]:
    """The rows at several clocks (:func:`hw.carried.fronts`), in order."""
    return in_order(tables.fronts().values())


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
    """A format in a word, such as ``post4 F0``: with bits where its grid has several widths, with F where it has a sqrt(2) table."""
    record = GRID_RECORDS[row["grid"]]
    bits = "" if len(record.widths) == 1 else row["wbits"]
    fraction = f" F{row['frac_bits']}" if record.sqrt2 else ""
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


def nodes_of(rows: Iterable[Row]) -> list[str]:
    """Nodes that have rows, in a fixed order."""
    present = {r["node"] for r in rows}
    return [node for node in (*NODES, ALL_CELLS) if node in present]


def formats_of(rows: Iterable[Row], node: str, bits: int) -> list[str]:
    """Formats of so many bits that a node has contenders of, int first, then in the space's order."""
    present = {r["format"] for r in compared(rows, node)}
    ordered = sorted(
        (w for w in space.CONTENDERS if w.bits == bits and w.name in present),
        key=lambda w: w.grid != BASELINE,
    )
    return [w.name for w in ordered]
