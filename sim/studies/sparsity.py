"""Zeros in real operands: products that gating would not switch, and cycles that skipping would save.

Counted from a layer's integer codes, exactly. A product is *gateable* where its activation or its weight is zero
(a window's padding counts as zero activations). *Skipping* is of whole input vectors: a weight-stationary array
of ``rows`` takes a vector of ``rows`` activations per output pixel and fold, and one that is all zero adds
nothing, so a machine that detects it leaves out that cycle; a fold's row of weights that are all zero needs no
multiplication for any pixel. Products of a window are in the order of the weights' (C, height, width).

python -m sim.studies.sparsity MODEL.npz --data cifar10_jpeg.npz -o zeros.json   # an integer network of ``asq export``
asq simulate resnet20 --zeros zeros.json                                 # what they are worth in energy
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
from numba import njit, prange
from numpy.typing import NDArray
from rich.table import Table

from asq_sw.console import run
from asq_sw.errors import InputError
from asq_sw.files import write_text
from asq_sw.provenance import provenance
from asq_sw.terminal import render
from asq_sw.window import Window
from sim.workload import Workload


@dataclass(frozen=True)
class Zeros:
    """Counts of one layer over a batch.

    Attributes
    ----------
    macs : int
        Products.
    zero_activation, zero_weight, gateable : int
        Products with a zero activation (padding included), with a zero weight, with either.
    vectors, zero_vectors : int
        Input vectors of a weight-stationary array (pixels times row folds), and those that are all zero. Each
        takes one cycle in every column fold.
    weight_rows, zero_weight_rows : int
        Rows of weights over all folds, and those that are all zero.
    """

    macs: int
    zero_activation: int
    zero_weight: int
    gateable: int
    vectors: int
    zero_vectors: int
    weight_rows: int
    zero_weight_rows: int

    @property
    def gated_share(self) -> float:
        """Share of products that gating would not switch."""
        return self.gateable / self.macs if self.macs else 0.0

    @property
    def skipped_share(self) -> float:
        """Share of streaming cycles that skipping zero vectors would save."""
        return self.zero_vectors / self.vectors if self.vectors else 0.0


@njit(cache=True, parallel=True)
def _scan(x, first, channels, kernel, stride, padding, dilation, shape, rows, per_product, found):
    """``per_product`` (N, K): zero activations of each product; ``found`` (N,): zero vectors."""
    products = channels * kernel[0] * kernel[1]
    for n in prange(x.shape[0]):
        for i in range(shape[0]):
            for j in range(shape[1]):
                empty = True
                for k in range(products):
                    c, rest = divmod(k, kernel[0] * kernel[1])
                    ky, kx = divmod(rest, kernel[1])
                    y = i * stride[0] + ky * dilation[0] - padding[0]
                    z = j * stride[1] + kx * dilation[1] - padding[1]
                    inside = 0 <= y < x.shape[1] and 0 <= z < x.shape[2]
                    if not inside or x[n, y, z, first + c] == 0:
                        per_product[n, k] += 1
                    else:
                        empty = False
                    if k % rows == rows - 1 or k == products - 1:
                        if empty:
                            found[n] += 1
                        empty = True


def count(
    window: Window, activations: NDArray[Any], zero_weights: NDArray[np.bool_], rows: int, cols: int
) -> Zeros:
    """Zeros of one layer.

    Parameters
    ----------
    window : Window
        The layer's shape; a linear layer is a 1 x 1 window on a 1 x 1 map.
    activations : integers (N, H, W, C)
        Codes; zero means zero.
    zero_weights : bool, in the window's ``weight_shape``
        Which weights are zero.
    rows, cols : int
        Of the array.

    Cost: about 1 ns a product of one filter.

    Raises
    ------
    InputError
        For shapes that do not fit the window.
    """
    expected = (window.height, window.width, window.channels)
    if activations.shape[1:] != expected or activations.dtype.kind not in "iu":
        raise InputError(
            f"activations are {activations.dtype} of shape {activations.shape}, expected whole numbers of (N, {expected})"
        )
    if zero_weights.shape != window.weight_shape:
        raise InputError(f"weights have shape {zero_weights.shape}, expected {window.weight_shape}")
    channels, filters = window.channels // window.groups, window.out_channels // window.groups
    products = channels * window.kernel[0] * window.kernel[1]
    pixels = len(activations) * window.output[0] * window.output[1]
    folds = -(-products // rows)
    totals = np.zeros(5, np.int64)  # zero activation, zero weight, both, zero vectors, zero weight rows
    numbers = [
        np.array(v, np.int64)
        for v in (window.kernel, window.stride, window.padding[:2], window.dilation, window.output)
    ]
    kernel, stride, padding, dilation, shape = numbers
    for g in range(window.groups):
        per_product = np.zeros((len(activations), products), np.int64)
        empty = np.zeros(len(activations), np.int64)
        _scan(
            activations,
            g * channels,
            channels,
            kernel,
            stride,
            padding,
            dilation,
            shape,
            rows,
            per_product,
            empty,
        )
        zeros = per_product.sum(axis=0)
        weights = zero_weights[g * filters : (g + 1) * filters].reshape(filters, products)
        by_product = weights.sum(axis=0)
        totals[0] += int(zeros.sum()) * filters
        totals[1] += int(by_product.sum()) * pixels
        totals[2] += int(zeros @ by_product)
        totals[3] += int(empty.sum())
        for start in range(0, filters, cols):
            totals[4] += int(weights[start : start + cols].all(axis=0).sum())
    activation, weight, both, vectors, weight_rows = totals.tolist()
    return Zeros(
        pixels * window.groups * filters * products,
        activation,
        weight,
        activation + weight - both,
        pixels * window.groups * folds,
        vectors,
        window.groups * products * -(-filters // cols),
        weight_rows,
    )


def network_zeros(network: Any, images: NDArray[np.uint8], rows: int, cols: int) -> dict[str, Zeros]:
    """Zeros of every convolution and linear layer of an integer network (:mod:`asq_sw.integer.network`) on images."""
    network.forward(images, keep=True)
    found = {}
    for name, layer in network.layers.items():
        codes, _ = layer.operands(network.values[layer.inputs[0]])
        weight = layer.products.weight
        level_zero = np.array([weight.decode(code) == 0 for code in range(1 << weight.storage_bits)])
        zero, window = (
            level_zero[layer.codes.astype(np.int64)].reshape(layer.window.weight_shape),
            layer.window,
        )
        codes = codes.reshape(len(codes), window.height, window.width, window.channels)
        if layer.quantize is None or not layer.quantize.offset:  # code 0 means zero
            found[name] = count(window, codes, zero, rows, cols)
    return found


def read_shares(path: str | os.PathLike[str], workload: Workload) -> dict[str, float]:
    """Layer -> share of its products with a zero activation, from what ``-o`` wrote.

    ``workload``: the network, of one image, that they are for.

    Raises
    ------
    InputError
        For a file that is not such a JSON, and for zeros that were not counted on this network at this input size: a
        layer that it does not have, or products that are not as many images' of the layer as of the others.
    """
    try:
        record = json.loads(Path(path).read_text(encoding="utf-8"))
        layers = record["layers"]
        shares = {
            str(name): float(one["zero_activation"]) / float(one["macs"]) for name, one in layers.items()
        }
        macs = {str(name): int(one["macs"]) for name, one in layers.items()}
        images = int(record["images"]) if "images" in record else None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
        raise InputError(
            f"{path}: is not a JSON of zeros ({error!r}), expected what python -m sim.studies.sparsity -o wrote"
        ) from error
    for name, share in shares.items():
        if not 0 <= share <= 1:
            raise InputError(f"{path}: layer {name} has a share of {share:g} zeros, expected 0 to 1")
    expected = {layer.name: layer.macs for layer in workload.mac_layers}
    for name, products in macs.items():
        if name not in expected:
            raise InputError(
                f"{path}: layer {name} is not one of {workload.name}'s with products, expected its zeros"
            )
        if images is None and products % expected[name] == 0:  # a file of before, without their number
            images = products // expected[name]
        if products <= 0 or products != (images or 0) * expected[name]:
            raise InputError(
                f"{path}: layer {name} has {products:,} products, expected a whole number of images of "
                f"{expected[name]:,}"
                + (f" ({images} images)" if images else "")
                + f": zeros of {workload.name} at another input size"
            )
    return shares


@click.command(
    help="Zero operands of an exported integer network on an image set's test images.",
    epilog="Example: asq sparsity post4.npz --data cifar10_jpeg.npz -o zeros.json",
)
@click.argument("model", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--data", required=True, help="Image set.")
@click.option(
    "--limit",
    "--images",
    "images",
    default=64,
    show_default=True,
    type=click.IntRange(min=1),
    help="Use N of the images, drawn at random.",
)
@click.option(
    "--rows", default=32, show_default=True, type=click.IntRange(1, 1024), help="Rows of the array."
)
@click.option(
    "--cols", default=32, show_default=True, type=click.IntRange(1, 1024), help="Columns of the array."
)
@click.option("-o", "--output", type=click.Path(dir_okay=False), help="JSON file, for asq simulate --zeros.")
def main(model: Path, data: str, images: int, rows: int, cols: int, output: str | None) -> None:
    from asq_sw.data import load
    from asq_sw.integer.network import IntegerNetwork

    part = load(data).test.some(images)
    found = network_zeros(IntegerNetwork.load(model), part.images, rows, cols)
    if output is not None:
        record = {
            "layers": {name: asdict(z) for name, z in found.items()}, "images": len(part.images), "rows": rows, "cols": cols,
        }  # fmt: skip
        files = [str(model), *([data] if Path(data).exists() else [])]
        write_text(output, json.dumps(record | {"provenance": provenance(files)}, indent=1) + "\n")
    table = Table(title="Shares of zeros, %", title_justify="left", box=None, pad_edge=False)
    table.add_column("layer")
    for header in (
        "zero activations",
        "zero weights",
        "gated MACs",
        "skipped vectors",
        "skipped weight rows",
    ):
        table.add_column(header, justify="right")
    for name, z in found.items():
        shares = (
            z.zero_activation / z.macs, z.zero_weight / z.macs, z.gated_share, z.skipped_share,
            z.zero_weight_rows / z.weight_rows,
        )  # fmt: skip
        table.add_row(name, *(f"{100 * share:.1f}" for share in shares))
    click.echo(render(table))
    macs = sum(z.macs for z in found.values())
    gated = sum(z.gateable for z in found.values())
    click.echo(f"all: {100 * gated / macs:.1f}% of {macs:,} MACs have a zero operand")


if __name__ == "__main__":
    run(main, "python -m sim.studies.sparsity")
