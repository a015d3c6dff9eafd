"""How far integer inference is off the trained network, beside how far rounding errors alone take the network.

A quantized network is chaotic: an activation next to a code's edge falls on either side with the last bit of a
sum, and a changed code changes others in each layer after it. So the accuracy of *any* two ways to compute the
same network differs by chance; more so on few images. What can be said is whether integers differ more from the
float network than the float network does from itself with every normalization's output scaled by ``1 + e``,
where e is a rounding error of a few bits, and whether accuracy over many images agrees.

python -m asq_sw.studies.agreement RUN --data cifar10_jpeg.npz
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from asq_sw.console import run
from asq_sw.data import Part
from asq_sw.errors import InputError
from asq_sw.files import write_text
from asq_sw.nn.network import Network
from asq_sw.provenance import provenance
from asq_sw.train import Recipe, integer_network, load_run

ERRORS = (1e-6, 1e-5, 1e-4)
"""Relative; float32's own is 6e-8, the integers' multipliers of 16 bits have 3e-5."""

Classes = NDArray[np.int64]


@dataclass(frozen=True)
class Row:
    """One way to compute a network.

    Attributes
    ----------
    arithmetic : str
    accuracy : float
        Percent.
    changed : float
        Percent of the images that get another class than from the float32 network.
    """

    arithmetic: str
    accuracy: float
    changed: float


def scaled(network: Network, error: float) -> None:
    """Scale what every batch normalization gives by ``1 + error``, in place."""
    for node in network.graph.nodes:
        if node.op == "bn":
            for name in ("weight", "bias"):
                network.parameters[f"{node.name}.{name}"] *= np.float32(1 + error)


def _float(network: Network, recipe: Recipe, images: Part) -> Classes:
    found = [network.forward(x).argmax(axis=1) for x, _ in recipe.batches(images, training=False).in_order()]
    return np.concatenate(found)


def compare(run: str | Path, images: Part, errors: tuple[float, ...] = ERRORS) -> list[Row]:
    """float32, integers, and float32 with each of ``errors``; ``len(errors) + 2`` passes over the images.

    Raises
    ------
    InputError
        For a run that :func:`asq_sw.train.integer_network` refuses, or no images.
    """
    if not len(images):
        raise InputError(f"{run}: no images to compare on, expected some")
    recipe, network, _ = load_run(run)
    first = _float(network, recipe, images)
    found = {"float32": first, "integers": integer_network(run).classify(images.images)}
    for error in errors:
        _, network, _ = load_run(run)
        scaled(network, error)
        found[f"float32, normalized maps scaled by 1 + {error:g}"] = _float(network, recipe, images)
    return [
        Row(
            name,
            100 * float((classes == images.labels).mean()),
            100 * float((classes != first).mean()),
        )
        for name, classes in found.items()
    ]


def pooled(parts: list[tuple[int, list[Row]]]) -> list[Row]:
    """The rows over all images together, of (images, rows) by part."""
    total = sum(images for images, _ in parts)
    return [
        Row(
            row.arithmetic,
            sum(images * rows[i].accuracy for images, rows in parts) / total,
            sum(images * rows[i].changed for images, rows in parts) / total,
        )
        for i, row in enumerate(parts[0][1])
    ]


@click.command(
    help="Compare the trained network of RUN in float32 and in integers, beside what rounding alone changes.",
    epilog="Example: asq agreement runs/post4 --data cifar10_jpeg.npz --json agreement.json",
)
@click.argument("run", type=click.Path(exists=True, file_okay=False))
@click.option("--data", "data_path", required=True, help="Image set.")
@click.option("--limit", type=click.IntRange(min=1), help="Use N images of each part, drawn at random.")
@click.option("--json", "json_path", type=click.Path(), help="Write the rows as JSON.")
def main(run: str, data_path: str, limit: int | None, json_path: str | None) -> None:
    from asq_sw.data import load

    data = load(data_path)
    parts = {name: getattr(data, name).some(limit) for name in ("test", "train")}
    sizes = {name: len(part) for name, part in parts.items() if len(part)}
    found = {name: compare(run, parts[name]) for name in sizes}
    if len(found) > 1:
        found["all"] = pooled([(sizes[name], rows) for name, rows in found.items()])
        sizes["all"] = sum(sizes.values())
    for name, rows in found.items():
        for row in rows:
            click.echo(
                f"{name}, {sizes[name]} images: {row.accuracy:.2f}% right, {row.changed:.2f}% in another class: "
                f"{row.arithmetic}"
            )
    if json_path:
        inputs = [Path(run) / "checkpoint.npz", *([Path(data_path)] if Path(data_path).is_file() else [])]
        result = {name: [asdict(row) for row in rows] for name, rows in found.items()}
        write_text(json_path, json.dumps(result | {"provenance": provenance(inputs)}, indent=1) + "\n")


if __name__ == "__main__":
    run(main, "python -m asq_sw.studies.agreement")
