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
from reports.trained import by_name, carried, name_of

TABLES = ("accuracy", "accuracy_longer", "accuracy_grids")


def rows(request: Request, data: Mapping[str, Any]) -> dict[str, Any]:
    """The carried tables of :func:`reports.trained.carried`, each by its name."""
    return {name: carried(name) for name in TABLES}


def by_row(rows: Sequence[Row]) -> str:
    """Mean accuracy of each row's seeds by width, every seed as a black dot, full precision as a line."""
    seeds = by_name(sorted(rows, key=lambda r: (r["quantizer"] != "fp32", -int(r["wbits"]))))
    means = [sum(values) / len(values) for values in seeds.values()]
    everything = [value for values in seeds.values() for value in values]
    with plt.rc_context(STYLE | {"axes.grid.axis": "x"}):
        figure, axis = plt.subplots(figsize=(6.4, 0.32 * len(seeds) + 0.9))
        names = [
            f"{name}{f' ({len(values)} seeds)' if len(values) > 1 else ''}" for name, values in seeds.items()
        ]
        # Points, not bars: the axis does not begin at zero.
        axis.scatter(means, range(len(means)), s=28, marker="D", color=LINE, zorder=2)
        axis.set_yticks(range(len(names)), names)
        for i, (middle, values) in enumerate(zip(means, seeds.values(), strict=True)):
            axis.text(max(values) + 0.4, i, f"{middle:.2f}", fontsize=7, va="center")
            if len(values) > 1:
                axis.scatter(values, [i] * len(values), s=9, color="#000000", zorder=3)
        axis.axvline(sum(seeds["fp32"]) / len(seeds["fp32"]), color=ACCENT, linewidth=1)
        axis.invert_yaxis()
        axis.set_xlim(min(everything) - 3, max(everything) + 1.5)
        axis.set_xlabel("accuracy on the test images, % (line: full precision; black: seeds)")
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


def _longer(rows: Sequence[Row], longer: Sequence[Row]) -> list[Figure | Table]:
    """What more epochs bring; nothing if full precision was not trained for as many."""
    means = by_epochs([*rows, *longer])
    if "fp32" not in means:
        return []
    full = means["fp32"]
    gaps = []
    for name, accuracies in means.items():
        at = [n for n in accuracies if n in full]
        if name != "fp32" and len(at) > 1:
            told = ", ".join(f"{accuracies[n] - full[n]:+.2f} at {n} epochs" for n in at)
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
        Figure("Accuracy by epochs", against_epochs(means), caption, source),
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
            "network calibrated without training. Differences below two standard errors are not differences.",
            "Trained here: python -m asq_sw.studies.accuracies --only asq-post-gap (asq-uniform, asq-fp4, asq-post); calibration: "
            "asq train --epochs 0.",
        )
    ]


def _caption(rows: Sequence[Row]) -> str:
    """Every row against full precision, and the best by width."""
    seeds = by_name(rows)
    means = {name: sum(values) / len(values) for name, values in seeds.items()}
    full = means["fp32"]
    others = ", ".join(
        f"{name} {average - full:+.2f}{f' (seeds: {len(seeds[name])})' if len(seeds[name]) > 1 else ''}"
        for name, average in means.items()
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
    spread = max(max(values) - min(values) for values in seeds.values())
    epochs = rows[0]["epochs"]
    return (
        f"ResNet-20 on CIFAR-10 as JPEG, each row {epochs} epochs from one full-precision network that was fine-tuned on "
        f"the same images; full precision trained on alike reaches {full:.2f}% (seeds: {len(seeds['fp32'])}). Points "
        f"against it: {others}. The best by width: {winners}. "
        + (f"Seeds of one row differ by up to {spread:.2f} points. " if spread else "")
        + "2 and 3 bits have larger learning rates (each row's command has its own); fitted scales begin at the least "
        f"squared error. {epochs} epochs are few, and a row of one seed says little about tenths of a point; rows not here yet are "
        "those that nobody has trained yet."
    )


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
            Figure("Accuracy", by_row(accuracy), _caption(accuracy), source),
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
    )
