"""What the tiles' rows say: fronts at equal clock, ratios to int, the best of each figure, one tile against one tile."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any, NamedTuple

from reports.blocks import Row
from reports.tiles.rows import (
    ACCOUNTS,
    AREA,
    BASELINE,
    BITS,
    FIGURES,
    HELD,
    STREAMING,
    area,
    best,
    compared,
    figure,
    format_name,
    formats_of,
    nodes_of,
    one,
    way,
)

EQUAL_DB = 0.3
"""Grids whose SQNR is less than this below another's are said to be as accurate."""


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
    least_by_clock = {}
    for clock in clocks(rows, node, formats, registers):
        here = [f for f in formats if clock in clocks(rows, node, [f], registers)]
        least = best((r for r in able if r["format"] in here), name, clock)
        if least is not None:
            least_by_clock[clock] = least
    return least_by_clock


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
    ratios = [
        figure(mine[c], name, c) / figure(theirs[c], name, c) for c in sorted(mine.keys() & theirs.keys())
    ]
    return Spread(median(ratios), min(ratios), max(ratios), len(ratios)) if ratios else None


def ratio_rows(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Every format over int of the same bits, by each figure and at equal clock; ``rows`` of all clocks.

    ``registers``: area and energy with weights held of tiles with weight registers, at the clocks of those.
    """
    ratios = []
    for node in nodes_of(rows):
        for bits in BITS:
            whole = {name: front(rows, node, [f"{BASELINE}{bits}"], name) for name in FIGURES}
            for fmt in formats_of(rows, node, bits):
                mine = {name: front(rows, node, [fmt], name) for name in FIGURES}
                spreads = {name: spread(mine[name], whole[name], name) for name in FIGURES}
                reach = spreads[AREA]
                if reach is None:
                    continue
                with_registers = {
                    name: spread(
                        front(rows, node, [fmt], name, True),
                        front(rows, node, [f"{BASELINE}{bits}"], name, True),
                        name,
                    )
                    for name in (AREA, HELD)
                }
                sample = next(iter(mine[AREA].values()))
                base = next(iter(whole[AREA].values()))
                ratios.append(
                    {
                        "node": node, "bits": bits, "format": fmt, "name": format_name(sample), **spreads, "registers": with_registers,
                        "clocks": reach.clocks, "of": len(clocks(rows, node, [fmt])),
                        "sqnr_db": sample["sqnr_db"], "to_int_db": sample["sqnr_db"] - base["sqnr_db"],
                    }
                )  # fmt: skip
    return ratios


def equal_accuracy_rows(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Each grid at whatever bits and F is as accurate as int4, int3, int2, over int by the same rule."""
    ratios = []
    for node in nodes_of(rows):
        able = compared(rows, node)
        accuracy = {r["format"]: r["sqnr_db"] for r in able}
        grids: dict[str, list[str]] = {}
        for r in able:
            if r["format"] not in grids.setdefault(r["grid"], []):
                grids[r["grid"]].append(r["format"])
        for bits in BITS:
            if f"{BASELINE}{bits}" not in accuracy:
                continue
            floor = accuracy[f"{BASELINE}{bits}"] - EQUAL_DB
            reach = {
                grid: sorted(f for f in formats if accuracy[f] >= floor) for grid, formats in grids.items()
            }
            whole = {name: front(rows, node, reach[BASELINE], name) for name in FIGURES}
            for grid in sorted(grids, key=lambda g: (g != BASELINE, g)):
                if not reach[grid]:
                    continue
                mine = {name: front(rows, node, reach[grid], name) for name in FIGURES}
                spreads = {name: spread(mine[name], whole[name], name) for name in FIGURES}
                if spreads[AREA] is None:
                    continue
                used = sorted({format_name(r) for r in mine[AREA].values()})
                ratios.append(
                    {
                        "node": node,
                        "target": f"{BASELINE}{bits}",
                        "grid": grid,
                        "smallest": ", ".join(used),
                        **spreads,
                    }
                )
    return ratios


def best_rows(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The least of each figure by format at one clock, in every account of :data:`ACCOUNTS`, with its ratio to int's.

    ``cells``: (account, figure) -> (value, ratio), where it was measured. With weight registers nothing streams.
    """
    bests = []
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
                        whole = best(
                            (r for r in accounts[account] if r["format"] == f"{BASELINE}{bits}"), name
                        )
                        if mine is not None:
                            named = mine
                            value = figure(mine, name)
                            over = None if whole is None else value / figure(whole, name)
                            cells[account, name] = (value, over)
                if named is not None:
                    bests.append(
                        {
                            "node": node,
                            "bits": bits,
                            "format": fmt,
                            "name": format_name(named),
                            "cells": cells,
                        }
                    )
    return bests


def one_rows(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """One tile of each format (:func:`one`) over one tile of int of the same bits, in every account."""
    singles = []
    for node in nodes_of(rows):
        for account, registers, shape in ACCOUNTS:
            able = compared(rows, node, registers, shape)
            for bits in BITS:
                whole = one(r for r in able if r["format"] == f"{BASELINE}{bits}")
                for fmt in formats_of(rows, node, bits):
                    mine = one(r for r in able if r["format"] == fmt)
                    if mine is not None:
                        singles.append({"node": node, "account": account, "tile": mine, BASELINE: whole})
    return singles


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


def _identity(row: Row) -> tuple[Any, ...]:
    return (
        row["node"], row["format"], row["abits"], way(row), row["rows"], row["cols"], round(row["clock_ns"], 6),
        row["operands"],
    )  # fmt: skip


def distinct(*parts: Iterable[Row]) -> list[Row]:
    """Rows of several files, each once."""
    return list({_identity(r): r for rows in parts for r in rows}.values())
