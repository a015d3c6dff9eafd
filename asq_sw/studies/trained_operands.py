"""One layer's operands from a trained network, for the energy of a datapath.

python -m asq_sw.studies.trained_operands RUN_DIR --data cifar10_jpeg.npz --layer layer2.1.conv1 -o hw/data/operands.npz

The file holds a layer of a full-precision run as it is: ``weights`` (K, N) float16 with K in (C, kh, kw) order,
``map`` (images, H, W, C) float16, its input with the padding around it, ``kernel`` and ``stride`` (2,) int64,
``layer`` and ``network`` as text. Every grid makes its codes of the same numbers (:func:`Layer.codes`): weights take
the scale per output channel with the least squared error on their grid, activations the step that LSQ starts from
(all data sets with a ReLU before the layer). So a comparison of grids compares datapaths, not trainings.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from asq_sw.console import run
from asq_sw.errors import InputError
from asq_sw.formats import ActivationFormat, WeightFormat
from asq_sw.interop.weights import read_weights, write_npz
from asq_sw.nn.network import Network
from asq_sw.quantizers.lsq import initial_step

Array = NDArray[Any]

PIXELS = 512
"""Columns of the activation matrix: consecutive outputs of a few images."""


@dataclass(frozen=True, eq=False)
class Layer:
    """A trained layer, float64.

    Attributes
    ----------
    weights : (K, N)
    activations : (K, T)
        Row k is what weight row k sees, in time.
    name : str
        Of the layer and its network.
    """

    weights: Array
    activations: Array
    name: str

    def codes(self, weight: WeightFormat, activation: ActivationFormat) -> tuple[Array, Array]:
        """Weight codes (K, N) and activation codes (K, T), int64, of unsigned activations."""
        step = initial_step(self.activations, activation.max)
        return best_codes(self.weights, weight), np.clip(
            np.rint(self.activations / step), activation.min, activation.max
        ).astype(np.int64)


def read_layer(path: str | Path) -> Layer:
    """The layer of a file.

    Raises
    ------
    InputError
        If it cannot be read, or its arrays are missing or do not fit one another.
    """
    held = read_weights(path)
    for name, dimensions in (("weights", 2), ("map", 4), ("kernel", 1), ("stride", 1)):
        if name not in held or held[name].ndim != dimensions:
            raise InputError(f"{path}: {name} is missing or has another shape, expected a layer's operands")
    weights, maps = held["weights"].astype(np.float64), held["map"].astype(np.float64)
    kernel, stride = (tuple(int(x) for x in held[name]) for name in ("kernel", "stride"))
    if min(*kernel, *stride) < 1 or weights.shape[0] != maps.shape[3] * kernel[0] * kernel[1]:
        raise InputError(
            f"{path}: weights have {weights.shape[0]} inputs, expected those of the map's windows"
        )
    name = " ".join(str(held[key]) for key in ("network", "layer") if key in held)
    return Layer(weights, windows(maps, kernel, stride), name)


def windows(maps: Array, kernel: tuple[int, ...], stride: tuple[int, ...]) -> Array:
    """(K, T) of a padded map: the first :data:`PIXELS` windows, image by image and line by line."""
    rows, columns = ((maps.shape[i + 1] - kernel[i]) // stride[i] + 1 for i in (0, 1))
    found = []
    for pixel in range(min(PIXELS, len(maps) * rows * columns)):
        n, rest = divmod(pixel, rows * columns)
        i, j = (x * s for x, s in zip(divmod(rest, columns), stride, strict=True))
        found.append(maps[n, i : i + kernel[0], j : j + kernel[1]].transpose(2, 0, 1).reshape(-1))
    return np.array(found, np.float64).T


def best_codes(weights: Array, format: WeightFormat) -> Array:
    """Codes of (K, N) weights, each column at the scale with the least squared error."""
    codes = np.empty(weights.shape, np.int64)
    for column in range(weights.shape[1]):
        w = weights[:, column]
        peak = float(np.abs(w).max()) or 1.0
        errors = {}
        for share in np.linspace(0.3, 1.3, 41):
            alpha = share * peak
            errors[
                float(((format.decode(format.encode(format.nearest(w / alpha))) * alpha - w) ** 2).sum())
            ] = alpha
        codes[:, column] = format.encode(format.nearest(w / errors[min(errors)]))
    return codes


def layer_of(network: Network, name: str, x: Array) -> dict[str, Array]:
    """The arrays of the file, of a convolution that a ReLU feeds."""
    node = network.graph.by_name.get(name)
    if node is None or node.op != "conv" or node["groups"] != 1:
        raise InputError(f"layer {name!r} is not an ungrouped convolution of {network.graph.name}")
    network.forward(x, keep=True)
    top, left, bottom, right = node["padding"]
    rows, columns = network.graph.shapes[name][1:]
    images = -(-PIXELS // (rows * columns))
    maps = network.output_of(node.inputs[0])[:images]
    weights = network.parameters[f"{name}.weight"]
    return {
        "weights": weights.reshape(len(weights), -1).T.astype(np.float16),
        "map": np.pad(maps, ((0, 0), (top, bottom), (left, right), (0, 0))).astype(np.float16),
        "kernel": np.array(node["kernel"], np.int64), "stride": np.array(node["stride"], np.int64),
        "layer": np.array(name), "network": np.array(network.graph.name),
    }  # fmt: skip


@click.command(help="Write the operands of a layer of a full-precision RUN_DIR.")
@click.argument("run", type=click.Path(file_okay=False))
@click.option("--data", "data_path", required=True, help="Image set.")
@click.option("--layer", required=True)
@click.option("-o", "--output", required=True, type=click.Path(dir_okay=False, path_type=Path))
def main(run: str, data_path: str, layer: str, output: Path) -> None:
    from asq_sw.data import load
    from asq_sw.train import load_run

    recipe, network, _ = load_run(run)
    if network.quantizers:
        raise InputError(f"{run}: is quantized by {recipe.quantizer}, expected a full-precision run")
    x, _ = next(recipe.batches(load(data_path).test.some(32), training=False).in_order())
    write_npz(output, layer_of(network, layer, x))
    made = read_layer(output)
    zeros = float((made.activations == 0).mean())
    click.echo(
        f"{output}: {made.name}, {made.weights.shape[0]} inputs, {made.weights.shape[1]} outputs, "
        f"{100 * zeros:.0f}% zero activations"
    )


if __name__ == "__main__":
    run(main, "python -m asq_sw.studies.trained_operands")
