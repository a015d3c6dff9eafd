"""The section on accuracy: networks trained with each quantizer, same images, same epochs, same schedule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import mean, stdev
from typing import Any

import matplotlib.pyplot as plt

from reports.blocks import Figure, Row, Section, Table
from reports.figures import STYLE, to_svg
from reports.palette import ACCENT, LINE
from reports.scope import Request
from reports.trained import by_name, carried, name_of, proven_differences

TABLES = ("accuracy", "accuracy_longer", "accuracy_grids")


def rows(request: Request, data: Mapping[str, Any]) -> dict[str, Any]:
    """The carried tables of :func:`reports.trained.carried`, each by its name."""
    return {name: carried(name) for name in TABLES}


BARE = {"facecolor": "#ffffff", "edgecolor": "none", "pad": 0.5}
"""Behind a number that may lie on a line."""
NEAR = 8.0
"""Rows more than so many points below full precision stand at the axis's edge, so that they do not squeeze the others."""


def by_row(rows: Sequence[Row]) -> str:
    """Mean accuracy of each row's seeds by width, every seed as a black dot, full precision as a line.

    A row that lies more than :data:`NEAR` points below is an arrow at the edge, with its figure.
    """
    seeds = by_name(sorted(rows, key=lambda r: (r["quantizer"] != "fp32", -int(r["wbits"]))))
    full = mean(seeds["fp32"])
    near = {name: values for name, values in seeds.items() if mean(values) >= full - NEAR}
    shown = [value for values in near.values() for value in values]
    left = min(shown) - 1
    with plt.rc_context(STYLE | {"axes.grid.axis": "x"}):
        figure, axis = plt.subplots(figsize=(6.4, 0.32 * len(seeds) + 0.9))
        names = [
            f"{name}{f' ({len(values)} seeds)' if len(values) > 1 else ''}" for name, values in seeds.items()
        ]
        axis.set_yticks(range(len(names)), names)
        # Points, not bars: the axis does not begin at zero.
        for i, (name, values) in enumerate(seeds.items()):
            middle, here = mean(values), name in near
            axis.scatter(
                middle if here else left + 0.15, i, s=28, marker="D" if here else "<", color=LINE, zorder=2
            )
            beside = max(values) + 0.3 if here else left + 0.45
            axis.text(beside, i, f"{middle:.2f}", fontsize=7, va="center", bbox=BARE)
            if here and len(values) > 1:
                axis.scatter(values, [i] * len(values), s=9, color="#000000", zorder=3)
        axis.axvline(full, color=ACCENT, linewidth=1, zorder=0)
        axis.invert_yaxis()
        axis.set_xlim(left, max(shown) + 1.2)
        axis.set_xlabel(
            "accuracy on the test images, % (line: full precision; black: seeds; arrow: further left)"
        )
        return to_svg(figure, "accuracy")


def by_epochs(rows: Sequence[Row]) -> dict[str, dict[int, float]]:
    """Mean accuracy by epochs, of the rows trained for several numbers of them and over the seeds that all have."""
    accuracies: dict[str, dict[int, dict[str, float]]] = {}
    for r in rows:
        accuracies.setdefault(name_of(r), {}).setdefault(int(r["epochs"]), {})[r["seed"]] = r["test_accuracy"]
    means: dict[str, dict[int, float]] = {}
    for name, by_seed in accuracies.items():
        seeds = set.intersection(*(set(values) for values in by_seed.values()))
        if len(by_seed) > 1 and seeds:
            means[name] = {n: sum(by_seed[n][s] for s in seeds) / len(seeds) for n in sorted(by_seed)}
    return means


def against_epochs(means: Mapping[str, Mapping[int, float]]) -> str:
    """A line per row of :func:`by_epochs`."""
    with plt.rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(6.4, 3.2), layout="constrained")
        for name, accuracies in means.items():
            axis.plot(list(accuracies), list(accuracies.values()), marker="o", markersize=4, label=name)
        axis.set_xticks(sorted({epochs for accuracies in means.values() for epochs in accuracies}))
        axis.set_xlabel("epochs, on a schedule of that length")
        axis.set_ylabel("accuracy on the test images, %")
        figure.legend(loc="outside right upper", fontsize=7)
        return to_svg(figure, "accuracy-epochs")


def gap_rows(means: Mapping[str, Mapping[int, float]]) -> list[list[str]]:
    """By row and number of epochs: the mean, and points against full precision of as many epochs."""
    full = means["fp32"]
    return [
        [name, str(n), f"{accuracies[n]:.2f}", f"{accuracies[n] - full[n]:+.2f}"]
        for name, accuracies in means.items()
        for n in accuracies
        if n in full
    ]


def _longer(rows: Sequence[Row], longer: Sequence[Row]) -> list[Figure | Table]:
    """What more epochs bring; nothing if full precision was not trained for as many."""
    means = by_epochs([*rows, *longer])
    if "fp32" not in means:
        return []
    source = "Trained here: python -m asq_sw.studies.accuracies --epochs N."
    table = [
        [name_of(r), r["epochs"], r["seed"], f"{r['test_accuracy']:.2f}", f"{r['seconds'] / 60:.0f}", r["command"]]
        for r in longer
    ]  # fmt: skip
    header = ["weights/activations", "epochs", "seed", "test %", "minutes", "command"]
    return [
        Figure(
            "Accuracy by epochs",
            against_epochs(means),
            "The same rows trained for longer, each with a cosine schedule of that many epochs; the same seeds at each.",
            source,
        ),
        Table(
            "Accuracy by epochs, against full precision",
            ["weights/activations", "epochs", "test %", "points against full precision"],
            gap_rows(means),
            "Full precision was trained for as many epochs.",
            source,
        ),
        Table("The longer rows", header, table, "Rates and the rest as in the table above.", source),
    ]


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


def _trained(rows: Sequence[Row]) -> dict[str, list[float]]:
    trained: dict[str, list[float]] = {}
    for r in rows:
        if r["epochs"] != "0":
            trained.setdefault(r["quantizer"], []).append(r["test_accuracy"])
    return trained


def _grids(rows: Sequence[Row]) -> list[Table]:
    """The block of :func:`grid_rows`."""
    if not rows:
        return []
    return [
        Table(
            "Weight grids at 4 bits, one base for all",
            ["quantizer", "seeds, %", "mean ± standard error", "calibrated alone, %"],
            grid_rows(rows),
            "ResNet-20, 4-bit weights and activations, six epochs each from the same network; the last column is that "
            "network calibrated without training. "
            + (
                "Tukey's test of all pairs finds no difference that the seeds prove."
                if not proven_differences(_trained(rows))
                else "Proven by Tukey's test of all pairs: "
                + ", ".join(f"{a} over {b}" for a, b in proven_differences(_trained(rows)))
                + "."
            ),
            "Trained here: python -m asq_sw.studies.accuracies --only asq-post-gap (asq-uniform, asq-fp4, asq-post); calibration: "
            "asq train --epochs 0.",
        )
    ]


def mean_rows(rows: Sequence[Row]) -> list[list[str]]:
    """By row of several seeds: their number, mean, lowest and highest, points against full precision, the best of its width."""
    seeds = by_name(rows)
    means = {name: mean(values) for name, values in seeds.items()}
    widths = {name_of(r): r["wbits"] for r in rows if r["quantizer"] != "fp32"}
    best = {bits: max(means[n] for n in widths if widths[n] == bits) for bits in widths.values()}
    return [
        [
            name, str(len(values)), f"{means[name]:.2f}", f"{min(values):.2f}", f"{max(values):.2f}",
            f"{means[name] - means['fp32']:+.2f}", "best" if name in widths and means[name] == best[widths[name]] else "",
        ]
        for name, values in seeds.items()
    ]  # fmt: skip


def section(data: Mapping[str, Any]) -> Section:
    """A figure and a table of all rows, the grids from one base, and what more epochs bring."""
    accuracy = data["accuracy"]
    source = "Trained here, without PyTorch: python -m asq_sw.studies.accuracies; the table lists each row's command."
    table = [
        [name_of(r), r["seed"], f"{r['test_accuracy']:.2f}", f"{r['seconds'] / 60:.0f}", r["command"]]
        for r in accuracy
    ]
    return Section(
        "Accuracy by quantizer and bit-width",
        [
            Figure(
                "Accuracy",
                by_row(accuracy),
                "ResNet-20 on CIFAR-10 as JPEG, each row trained from one full-precision network that was fine-tuned on the same "
                "images; at 2 and 3 bits learning rates are larger, and fitted scales begin at the least squared error. ASQ, LSQ, QIL and "
                "DAQ are quantizers, and a teacher may help. Epochs are few: a row of one seed says little about tenths of a point.",
                source,
            ),
            Table(
                "Accuracy by row",
                [
                    "weights/activations",
                    "seeds",
                    "mean %",
                    "lowest",
                    "highest",
                    "points against full precision",
                    "of its width",
                ],
                mean_rows(accuracy),
                "Means over seeds; the best of a width is not always better by more than seeds differ.",
                source,
            ),
            Table(
                "Accuracy, row by row",
                ["weights/activations", "seed", "test %", "minutes", "command"],
                table,
                "Minutes are those of a machine that did other work as well.",
                source,
            ),
            *_grids(data["accuracy_grids"]),
            *_longer(accuracy, data["accuracy_longer"]),
        ],
        TABLES,
    )
