"""The carried accuracies of trained networks: the tables of ``asq_sw/tables``, and a format's figure from them.

``accuracy``: every quantizer and width, alike. ``accuracy_longer``: some of them for more epochs. ``accuracy_grids``:
weight grids at 4 bits from one base, with three seeds, and after calibration alone. All are ResNet-20 on CIFAR-10's images
in JPEG; made by ``python -m asq_sw.studies.accuracies``.
"""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from functools import lru_cache
from importlib.resources import files
from typing import Any

from asq_sw.formats import GRID_RECORDS, WeightFormat

TRAINED_GRIDS = {f"asq-{grid.trained_as}": grid.name for grid in GRID_RECORDS.values()}
"""Quantizer -> weight grid that it trains; all have ASQ activations."""


def carried(name: str = "accuracy") -> list[dict[str, Any]]:
    """The rows of ``asq_sw/tables/NAME.csv``.

    Text as in the file, but for ``test_accuracy`` (percent) and ``seconds``.
    """
    text = (files("asq_sw") / "tables" / f"{name}.csv").read_text(encoding="utf-8")
    return [
        row | {"test_accuracy": float(row["test_accuracy"]), "seconds": float(row["seconds"])}
        for row in csv.DictReader(io.StringIO(text))
    ]


@lru_cache(maxsize=256)
def measured(weight: WeightFormat, abits: int) -> float | None:
    """Top-1 accuracy, percent, of the network trained on a weight format; None where the table has no such row.

    The mean over seeds of the rows of ``accuracy`` without a teacher that agree in grid, widths and how the training
    started; of several starts, the one of most seeds. With the format's rounded table in the forward pass where such rows
    are there, else with the grid's exact levels.

    Parameters
    ----------
    weight : WeightFormat
    abits : int
        Activation bits.
    """
    rounded: dict[bool, list[float]] = defaultdict(list)
    exact: dict[bool, list[float]] = defaultdict(list)
    for row in carried():
        widths = (int(row["wbits"]), int(row["abits"]))
        if TRAINED_GRIDS.get(row["quantizer"]) != weight.grid or widths != (weight.bits, abits):
            continue
        if row["teacher"] not in ("", "0.0"):
            continue
        fitted = row["weight_start"] == "least-squares"  # else by quantile, which older rows do not say
        if row["rounded"] != "True":
            exact[fitted].append(row["test_accuracy"])
        elif row["frac_bits"] == str(weight.frac_bits):
            rounded[fitted].append(row["test_accuracy"])
    seeds = max((rounded or exact).values(), key=len, default=[])
    return sum(seeds) / len(seeds) if seeds else None
