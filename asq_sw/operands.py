"""One layer's operands from a trained network, as matrices of codes, for the energy of a datapath.

python -m asq_sw.operands RUN_DIR --data cifar10_jpeg.npz --layer layer2.1.conv1 -o operands.npz

Every grid gets the same weights and activations: those of the layer of a full-precision run. Weights take the
scale per output channel with the least squared error on their grid, activations the step that LSQ starts from
(all data sets with a ReLU before the layer). So a comparison of grids compares datapaths, not trainings.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from asq_sw.console import run
from asq_sw.errors import InputError
from asq_sw.formats import WeightFormat
from asq_sw.interop.weights import write_npz
from asq_sw.nn.network import Network
from asq_sw.quantizers.lsq import initial_step

Array = NDArray[Any]

FORMATS = (
    ("post", 4), ("int", 4), ("pot", 4), ("apot", 4), ("fp4", 4), ("post", 3), ("int", 3), ("int", 8),
)  # fmt: skip
PIXELS = 512
"""Columns of the activation matrix: consecutive outputs of a few images."""


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


def layer_operands(network: Network, name: str, x: Array) -> tuple[Array, Array]:
    """(weights (K, N), activations (K, T)), float, of a convolution that a ReLU feeds; K in (C, kh, kw) order."""
    node = network.graph.by_name.get(name)
    if node is None or node.op != "conv" or node["groups"] != 1:
        raise InputError(f"layer {name!r} is not an ungrouped convolution of {network.graph.name}")
    network.forward(x, keep=True)
    maps = network.output_of(node.inputs[0])
    top, left, bottom, right = node["padding"]
    padded = np.pad(maps, ((0, 0), (top, bottom), (left, right), (0, 0)))
    (kh, kw), (sy, sx) = node["kernel"], node["stride"]
    rows, columns = network.graph.shapes[name][1:]
    found = []
    for pixel in range(PIXELS):
        n, rest = divmod(pixel, rows * columns)
        i, j = divmod(rest, columns)
        window = padded[n, i * sy : i * sy + kh, j * sx : j * sx + kw]
        found.append(window.transpose(2, 0, 1).reshape(-1))
    weights = network.parameters[f"{name}.weight"]
    return weights.reshape(len(weights), -1).T.astype(np.float64), np.array(found, np.float64).T


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
    weights, activations = layer_operands(network, layer, x)
    arrays = {}
    for grid, bits in FORMATS:
        abits = max(bits, 4)
        high = (1 << abits) - 1
        step = initial_step(activations, high)
        arrays[f"{grid}{bits}a{abits}_weights"] = best_codes(weights, WeightFormat(grid, bits)).astype(
            np.uint8
        )
        arrays[f"{grid}{bits}a{abits}_activations"] = np.clip(np.rint(activations / step), 0, high).astype(
            np.uint8
        )
    write_npz(output, arrays)
    zeros = float((arrays["int4a4_activations"] == 0).mean())
    click.echo(
        f"{output}: {weights.shape[0]} inputs, {weights.shape[1]} outputs, {100 * zeros:.0f}% zero activations"
    )


if __name__ == "__main__":
    run(main, "python -m asq_sw.operands")
