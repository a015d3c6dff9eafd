"""The trained networks' rows: carried accuracies, their names, and which of them was trained on a tile's arithmetic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from asq_sw import accuracies
from asq_sw.formats import WeightFormat
from reports.blocks import Row

TILE_GRIDS = accuracies.TRAINED_GRIDS
"""Quantizer -> weight grid of the tile that runs it; all have ASQ activations."""


def carried(name: str = "accuracy") -> list[dict[str, Any]]:
    """The rows of a carried table (:mod:`asq_sw.accuracies`)."""
    return accuracies.carried(name)


def taught(row: Row) -> bool:
    """Whether a row was trained with a teacher."""
    return row.get("teacher") not in (None, "", "0.0")


def name_of(row: Row) -> str:
    """A row in a word, such as ``asq-post 4/4 F0``."""
    if row["quantizer"] == "fp32":
        return "fp32"
    fraction = f" table F={row['frac_bits']}" if row["rounded"] == "True" else ""
    teacher = " with a teacher" if taught(row) else ""
    start = ", fitted scales" if row.get("weight_start") == "least-squares" else ""
    return f"{row['quantizer']} {row['wbits']}/{row['abits']}{fraction}{start}{teacher}"


def by_name(rows: Sequence[Row]) -> dict[str, list[float]]:
    """Accuracies of every row's seeds, by the row's name."""
    accuracies: dict[str, list[float]] = {}
    for r in rows:
        accuracies.setdefault(name_of(r), []).append(r["test_accuracy"])
    return accuracies


def trained_with(rows: Sequence[Row], tile: Row) -> float | None:
    """Top-1 of the network trained (seed 0, no teacher) on a tile's grid and widths, with its table in the forward pass.

    A format whose products are exact, such as POST's at 2 bits, needs no rounding.
    """
    exact = not WeightFormat(tile["grid"], tile["wbits"], tile["frac_bits"]).rounds
    for r in rows:
        widths = (int(r["wbits"]), int(r["abits"]))
        if TILE_GRIDS.get(r["quantizer"]) != tile["grid"] or widths != (tile["wbits"], tile["abits"]):
            continue
        if r["seed"] != "0" or taught(r):
            continue
        if exact or (r["rounded"] == "True" and r["frac_bits"] == str(tile["frac_bits"])):
            return float(r["test_accuracy"])
    return None


def seeds_of(grid: str, bits: int, tables: Mapping[str, Sequence[Row]]) -> list[float]:
    """Top-1 of the networks trained on a grid with as many bits for weights and activations, a value per seed.

    ``tables``: those of :func:`carried` by name. Of ``accuracy_grids``, whose rows have one base, if the grid is there; else
    the row of ``accuracy`` without a teacher and without the table's rounding that has the most seeds. None: an empty list.
    """

    def of_grid(row: Row) -> bool:
        widths = (int(row["wbits"]), int(row["abits"]))
        return TILE_GRIDS.get(row["quantizer"]) == grid and widths == (bits, bits) and row["epochs"] != "0"

    from_one_base = [r["test_accuracy"] for r in tables["accuracy_grids"] if of_grid(r)]
    if from_one_base:
        return from_one_base
    others = by_name(
        [r for r in tables["accuracy"] if of_grid(r) and not taught(r) and r["rounded"] != "True"]
    )
    return max(others.values(), key=len, default=[])


def proven_differences(seeds: Mapping[str, Sequence[float]], level: float = 0.05) -> list[tuple[str, str]]:
    """Pairs (better, worse) whose means differ by more than their seeds do: Tukey's test of all pairs at once.

    Only names of two seeds and more can be compared.
    """
    from scipy.stats import tukey_hsd

    names = [name for name, values in seeds.items() if len(values) > 1]
    if len(names) < 2:
        return []
    found = tukey_hsd(*(seeds[name] for name in names))
    return [
        (names[i], names[j])
        for i in range(len(names))
        for j in range(len(names))
        if found.pvalue[i, j] < level and found.statistic[i, j] > 0
    ]
