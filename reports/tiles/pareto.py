"""Tiles beside the networks trained on their grid and width: area and energy against accuracy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reports.blocks import Row
from reports.tiles.rows import HELD, area, compared
from reports.trained import TILE_GRIDS, taught

Tiles = Mapping[tuple[str, int], Row]
"""(grid, bits) -> a tile's row."""


def smallest(
    rows: Sequence[Row], node: str, registers: bool = False
) -> dict[tuple[str, int], dict[str, Any]]:
    """(grid, bits) -> the tile of 16 x 16 with the least area (:func:`reports.tiles.rows.compared`), of rows of one clock.

    The area counts the correction's adder.
    """
    tiles: dict[tuple[str, int], dict[str, Any]] = {}
    for r in sorted(compared(rows, node, registers), key=area):
        tiles.setdefault((r["grid"], r["wbits"]), dict(r))
    return tiles


def trained_points(tiles: Tiles, accuracy: Sequence[Row]) -> list[dict[str, Any]]:
    """A point per grid and width that has both a measured tile and a trained network (seed 0), and which are best.

    ``area_front`` and ``energy_front``: no other point is as good in both and better in one of accuracy and that figure.
    """
    trained: dict[tuple[str, int], list[Row]] = {}
    for r in accuracy:
        grid = TILE_GRIDS.get(r["quantizer"])
        if grid is not None and r["seed"] == "0" and r["wbits"] == r["abits"] and not taught(r):
            trained.setdefault((grid, int(r["wbits"])), []).append(r)
    points = []
    for (grid, bits), networks in trained.items():
        tile = tiles.get((grid, bits))
        if tile is None:
            continue
        # Where a network was trained with the table that the tile rounds, it alone stands for the tile.
        same = [r for r in networks if r["rounded"] == "True" and r["frac_bits"] == str(tile["frac_bits"])]
        points += [
            {"grid": grid, "bits": bits, "accuracy": r["test_accuracy"], "area": area(tile), "energy": tile[HELD]}
            for r in same or networks
        ]  # fmt: skip
    for p in points:
        for axis in ("area", "energy"):
            p[f"{axis}_front"] = not any(
                (q["accuracy"] >= p["accuracy"] and q[axis] <= p[axis])
                and (q["accuracy"] > p["accuracy"] or q[axis] < p[axis])
                for q in points
            )
    return points
