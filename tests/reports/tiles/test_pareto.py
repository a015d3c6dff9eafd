"""Tiles beside trained networks."""

from __future__ import annotations

from typing import Any

from report_rows import first

from hw.studies.space import FP4, INT4, POST4
from reports.tiles.pareto import smallest, trained_points


def test_the_smallest_tile_by_width_is_a_contender_that_meets_the_clock() -> None:
    small = first(POST4, 80.0)
    rows = [small, first(POST4, 70.0, delay_ns=3.0), first(POST4, 60.0, carry_save=True), first(INT4, 90.0)]
    assert smallest(rows, "nangate45") == {("post", 4): small, ("int", 4): rows[-1]}


def network(quantizer: str, bits: int, accuracy: float, **fields: Any) -> dict[str, Any]:
    row = {"quantizer": quantizer, "wbits": str(bits), "abits": str(bits), "seed": "0", "teacher": "", "rounded": "False",
           "frac_bits": "", "test_accuracy": accuracy}  # fmt: skip
    return row | fields


def test_points_are_tiles_whose_arithmetic_a_network_was_trained_with() -> None:
    tiles = smallest([first(POST4, 80.0), first(INT4, 90.0), first(FP4, 120.0)], "nangate45")
    exact = network("asq-post", 4, 88.0)
    own = network("asq-post", 4, 87.0, rounded="True", frac_bits="0")
    accuracy = [
        exact,
        own,
        network("asq-uniform", 4, 87.5),
        network("asq-fp4", 4, 87.2),
        network("asq-pot", 4, 90.0),  # no tile
        network("lsq", 4, 90.0),  # no grid of a tile
        network("asq-uniform", 4, 90.0, seed="1"),
        network("asq-uniform", 4, 90.0, teacher="1.0"),
        network("asq-uniform", 4, 90.0, abits="8"),
    ]
    points = trained_points(tiles, accuracy)
    assert [(p["grid"], p["accuracy"]) for p in points] == [("post", 87.0), ("int", 87.5), ("fp4", 87.2)]
    # FP4 is both larger and less accurate than int; POST is the smallest, int the most accurate.
    assert [p["area_front"] for p in points] == [True, True, False]
    assert [p["energy"] for p in points] == [80.0, 90.0, 120.0]
    # Before a network was trained with the tile's table, the one with exact products stands for it.
    assert trained_points(tiles, [exact])[0]["accuracy"] == 88.0
