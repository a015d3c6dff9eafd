"""The section on accuracy: networks trained with each quantizer, same images, same epochs, same schedule."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from importlib.resources import files
from statistics import mean, stdev
from typing import Any

import matplotlib.pyplot as plt

from asq_sw.formats import GRID_RECORDS, WeightFormat
from reports.figures import STYLE, to_svg

Row = Mapping[str, Any]

TILE_GRIDS = {f"asq-{grid.trained_as}": grid.name for grid in GRID_RECORDS.values()}
"""Quantizer -> weight grid of the tile that runs it; all have ASQ activations."""


def trained_with(rows: Sequence[Row], tile: Row) -> float | None:
    """Top-1 of the network trained (seed 0, no teacher) on a tile's grid and widths, with its table in the forward pass.

    A grid whose products are not rounded, POST at 2 bits among them, needs none.
    """
    for r in rows:
        widths = (int(r["wbits"]), int(r["abits"]))
        if TILE_GRIDS.get(r["quantizer"]) != tile["grid"] or widths != (tile["wbits"], tile["abits"]):
            continue
        if r["seed"] != "0" or taught(r):
            continue
        exact = not WeightFormat(tile["grid"], tile["wbits"]).rounds
        if exact or (r["rounded"] == "True" and r["frac_bits"] == str(tile["frac_bits"])):
            return float(r["test_accuracy"])
    return None


def taught(row: Row) -> bool:
    """Whether a row was trained with a teacher."""
    return row.get("teacher") not in (None, "", "0.0")


def carried(longer: bool = False, grids: bool = False) -> list[dict[str, Any]]:
    """The rows of ``reports/data/accuracy.csv``, made by ``python -m asq_sw.studies.accuracies``; or those of more epochs.

    ``grids``: the rows of one base for all, weight grids at 4 bits with three seeds, and after calibration alone.
    """
    name = "accuracy_grids.csv" if grids else "accuracy_longer.csv" if longer else "accuracy.csv"
    text = (files("reports") / "data" / name).read_text(encoding="utf-8")
    return [
        row | {"test_accuracy": float(row["test_accuracy"]), "seconds": float(row["seconds"])}
        for row in csv.DictReader(io.StringIO(text))
    ]


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
    found: dict[str, list[float]] = {}
    for r in rows:
        found.setdefault(name_of(r), []).append(r["test_accuracy"])
    return found


def by_row(rows: Sequence[Row]) -> str:
    """Mean accuracy of each row's seeds by width, every seed as a black dot, full precision as a line."""
    found = by_name(sorted(rows, key=lambda r: (r["quantizer"] != "fp32", -int(r["wbits"]))))
    means = [sum(values) / len(values) for values in found.values()]
    everything = [value for values in found.values() for value in values]
    with plt.rc_context(STYLE | {"axes.grid.axis": "x"}):
        figure, axis = plt.subplots(figsize=(6.4, 0.32 * len(found) + 0.9))
        names = [
            f"{name}{f' ({len(values)} seeds)' if len(values) > 1 else ''}" for name, values in found.items()
        ]
        # Points, not bars: the axis does not begin at zero.
        axis.scatter(means, range(len(means)), s=28, marker="D", color="#0072B2", zorder=2)
        axis.set_yticks(range(len(names)), names)
        for i, (mean, values) in enumerate(zip(means, found.values(), strict=True)):
            axis.text(max(values) + 0.4, i, f"{mean:.2f}", fontsize=7, va="center")
            if len(values) > 1:
                axis.scatter(values, [i] * len(values), s=9, color="#000000", zorder=3)
        axis.axvline(sum(found["fp32"]) / len(found["fp32"]), color="#D55E00", linewidth=1)
        axis.invert_yaxis()
        axis.set_xlim(min(everything) - 3, max(everything) + 1.5)
        axis.set_xlabel("accuracy on the test images, % (line: full precision; black: seeds)")
        return to_svg(figure, "accuracy")


def by_epochs(rows: Sequence[Row]) -> dict[str, dict[int, float]]:
    """Mean accuracy by epochs, of the rows trained for several numbers of them and over the seeds that all have."""
    found: dict[str, dict[int, dict[str, float]]] = {}
    for r in rows:
        found.setdefault(name_of(r), {}).setdefault(int(r["epochs"]), {})[r["seed"]] = r["test_accuracy"]
    means: dict[str, dict[int, float]] = {}
    for name, held in found.items():
        seeds = set.intersection(*(set(values) for values in held.values()))
        if len(held) > 1 and seeds:
            means[name] = {n: sum(held[n][s] for s in seeds) / len(seeds) for n in sorted(held)}
    return means


def against_epochs(found: Mapping[str, Mapping[int, float]]) -> str:
    """A line per row."""
    with plt.rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(6.4, 3.2), layout="constrained")
        for name, held in found.items():
            axis.plot(list(held), list(held.values()), marker="o", markersize=4, label=name)
        axis.set_xticks(sorted({epochs for held in found.values() for epochs in held}))
        axis.set_xlabel("epochs, on a schedule of that length")
        axis.set_ylabel("accuracy on the test images, %")
        figure.legend(loc="outside right upper", fontsize=7)
        return to_svg(figure, "accuracy-epochs")


def _longer(rows: Sequence[Row], longer: Sequence[Row]) -> list[dict[str, Any]]:
    found = by_epochs([*rows, *longer])
    if "fp32" not in found:
        return []
    gaps = []
    for name, held in found.items():
        at = [n for n in held if n in found["fp32"]]
        if name != "fp32" and len(at) > 1:
            told = ", ".join(f"{held[n] - found['fp32'][n]:+.2f} at {n} epochs" for n in at)
            gaps.append(f"{name} {told}")
    caption = (
        "The same rows trained for longer, each with a cosine schedule of that many epochs; the same seeds at each. "
        f"Against full precision trained for as long: {'; '.join(gaps)}."
    )
    source = "Trained here: python -m asq_sw.studies.accuracies --epochs N."
    table = [
        [name_of(r), r["epochs"], r["seed"], f"{r['test_accuracy']:.2f}", f"{r['seconds'] / 60:.0f}", r["command"]]
        for r in longer
    ]  # fmt: skip
    header = ["weights/activations", "epochs", "seed", "test %", "minutes", "command"]
    return [
        {"svg": against_epochs(found), "name": "Accuracy by epochs", "caption": caption, "source": source},
        {
            "svg": "", "name": "The longer rows", "header": header, "rows": table,
            "caption": "Rates and the rest as in the table above.", "source": source,
        },
    ]  # fmt: skip


def grid_rows(rows: Sequence[Row]) -> list[list[str]]:
    """By quantizer: trained seeds, their mean with its standard error, and the accuracy without training."""
    table = []
    for name in dict.fromkeys(r["quantizer"] for r in rows):
        mine = [r for r in rows if r["quantizer"] == name]
        trained = [r["test_accuracy"] for r in mine if r["epochs"] != "0"]
        calibrated = [r["test_accuracy"] for r in mine if r["epochs"] == "0"]
        error = f" ± {stdev(trained) / len(trained) ** 0.5:.2f}" if len(trained) > 1 else ""
        table.append(
            [
                name, " ".join(f"{a:.2f}" for a in trained), f"{mean(trained):.2f}{error}" if trained else "–",
                ", ".join(f"{a:.2f}" for a in calibrated) or "–",
            ]
        )  # fmt: skip
    return table


def _grids(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The block of :func:`grid_rows`."""
    if not rows:
        return []
    return [
        {
            "svg": "", "name": "Weight grids at 4 bits, one base for all",
            "header": ["quantizer", "seeds, %", "mean ± standard error", "calibrated alone, %"], "rows": grid_rows(rows),
            "caption": "ResNet-20, 4-bit weights and activations, six epochs each from the same network; the last column is that "
            "network calibrated without training. Differences below two standard errors are not differences.",
            "source": "Trained here: python -m asq_sw.studies.accuracies --only asq-post-gap (asq-uniform, asq-fp4, asq-post); calibration: "
            "asq train --epochs 0.",
        }
    ]  # fmt: skip


def section(rows: Sequence[Row], longer: Sequence[Row], grids: Sequence[Row] = ()) -> dict[str, Any]:
    """Title, figures and tables; ``longer``: the rows of more epochs; ``grids``: those of :func:`grid_rows`."""
    found = by_name(rows)
    means = {name: sum(values) / len(values) for name, values in found.items()}
    full = means["fp32"]
    others = ", ".join(
        f"{name} {mean - full:+.2f}{f' (seeds: {len(found[name])})' if len(found[name]) > 1 else ''}"
        for name, mean in means.items()
        if name != "fp32"
    )
    best: dict[str, str] = {}
    for r in rows:
        if r["quantizer"] != "fp32":
            name = name_of(r)
            best[r["wbits"]] = max(best.get(r["wbits"], name), name, key=lambda n: means[n])
    winners = ", ".join(
        f"{means[n]:.2f} at {bits} bit ({n})" for bits, n in sorted(best.items(), reverse=True)
    )
    spread = max(max(values) - min(values) for values in found.values())
    epochs = rows[0]["epochs"]
    caption = (
        f"ResNet-20 on CIFAR-10 as JPEG, each row {epochs} epochs from one full-precision network that was fine-tuned on "
        f"the same images; full precision trained on alike reaches {full:.2f}% (seeds: {len(found['fp32'])}). Points "
        f"against it: {others}. The best by width: {winners}. "
        + (f"Seeds of one row differ by up to {spread:.2f} points. " if spread else "")
        + "2 and 3 bits have larger learning rates (each row's command has its own); fitted scales begin at the least "
        f"squared error. {epochs} epochs are few, and a row of one seed says little about tenths of a point; rows not here yet are "
        "those that nobody has trained yet."
    )
    source = "Trained here, without PyTorch: python -m asq_sw.studies.accuracies; the table lists each row's command."
    table = [
        [name_of(r), r["seed"], f"{r['test_accuracy']:.2f}", f"{r['seconds'] / 60:.0f}", r["command"]]
        for r in rows
    ]
    header = ["weights/activations", "seed", "test %", "minutes", "command"]
    return {
        "title": "Accuracy by quantizer and bit-width",
        "blocks": [
            {"svg": by_row(rows), "name": "Accuracy", "caption": caption, "source": source},
            {
                "svg": "", "name": "Accuracy, row by row", "header": header, "rows": table,
                "caption": "Minutes are those of a machine that did other work as well.", "source": source,
            },
            *_grids(grids),
            *_longer(rows, longer),
        ],
    }  # fmt: skip
