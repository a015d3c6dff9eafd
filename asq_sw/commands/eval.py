"""``asq eval``."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import click

from asq_sw.errors import InputError
from asq_sw.graph.models import MODELS


@click.command(
    "eval",
    epilog="Example: asq eval runs/post4 --data cifar-10-python.tar.gz --integer",
    help="Accuracy on an image set's test part. RUN is the folder of a training run, the .npz of an exported "
    "integer network, an .onnx file, or weights (.npz, .safetensors) of --model.",
)
@click.argument("run", type=click.Path())
@click.option("--data", "data_path", required=True, help="Image set: file, folder, or 'digits' (bundled).")
@click.option("--integer", is_flag=True, help="In integers only: the golden model, bit for bit the hardware.")
@click.option("--model", type=click.Choice(tuple(MODELS)), help="Network whose weights RUN holds.")
@click.option("--part", type=click.Choice(("test", "train")), default="test", show_default=True)
@click.option("--limit", type=click.IntRange(min=1), help="Use N of the images, drawn at random.")
@click.option(
    "--json", "json_path", type=click.Path(), help="Write the result as JSON; - for standard output."
)
def command(
    run: str, data_path: str, integer: bool, model: str | None, part: str, limit: int | None, json_path: str | None
) -> None:  # fmt: skip
    from asq_sw.data import load
    from asq_sw.files import write_text
    from asq_sw.provenance import provenance

    path = Path(run)
    files = [path / "checkpoint.npz"] if path.is_dir() else [path]
    if not path.exists():
        raise InputError(f"{run}: no such file or folder, expected a run or a model")
    data = load(data_path)
    images = getattr(data, part).some(limit)
    if not len(images):
        raise InputError(f"{data_path}: has no {part} images")
    start = time.perf_counter()
    found = _evaluate(path, images, data, integer, model)
    seconds = time.perf_counter() - start
    inputs = [p for p in (*files, Path(data_path)) if p.is_file()]
    result = {
        "run": path.name, "part": part, "images": len(images), **found,
        "provenance": provenance(inputs, packages=("numpy", "numba")),
    }  # fmt: skip
    if json_path:
        write_text(json_path, json.dumps(result, indent=1) + "\n")
    if json_path != "-":
        click.echo(
            f"{found['arithmetic']}: {found['accuracy']:.2f}% of {len(images)} {part} images right, "
            f"{len(images) / seconds:.0f} images/s"
        )


def _evaluate(path: Path, images: Any, data: Any, integer: bool, model: str | None) -> dict[str, Any]:
    from asq_sw.data import Batches
    from asq_sw.nn.network import Network
    from asq_sw.train import evaluate, integer_network, load_run

    if path.is_dir():
        if integer:
            return _integer(integer_network(path), images)
        recipe, network, _ = load_run(path)
        accuracy, loss = evaluate(network, recipe.batches(images, training=False))
        return {"arithmetic": "float32", "accuracy": accuracy, "loss": loss}
    if integer or (path.suffix == ".npz" and model is None):
        from asq_sw.integer.network import IntegerNetwork

        return _integer(IntegerNetwork.load(path), images)
    if path.suffix == ".onnx":
        from asq_sw.interop.onnx import read_onnx

        graph, weights = read_onnx(path)
    else:
        from asq_sw.graph.models import build
        from asq_sw.interop.weights import read_weights

        if model is None:
            raise InputError(f"{path}: holds weights alone, expected --model to say of which network")
        graph, weights = build(model, data.shape, data.classes), read_weights(path)
    network = Network(graph)
    network.load(weights, str(path))
    accuracy, loss = evaluate(network, Batches(images, 250))
    return {"arithmetic": "float32", "accuracy": accuracy, "loss": loss}


def _integer(network: Any, images: Any) -> dict[str, Any]:
    logits = network.forward(images.images[:1])
    if images.labels.max() >= logits.shape[1]:
        raise InputError(
            f"labels run to {images.labels.max()}, expected at most {logits.shape[1] - 1} for a network of "
            f"{logits.shape[1]} classes"
        )
    right = int((network.classify(images.images) == images.labels).sum())
    bits = max((2 * bound + 1).bit_length() for bound in network.bounds.values())
    return {"arithmetic": "integer", "accuracy": 100 * right / len(images), "accumulator_bits": bits}
