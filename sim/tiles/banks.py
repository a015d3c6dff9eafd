"""Scratchpads of banks: cycles that a group of words takes when some of them lie in the same bank.

A scratchpad's words lie in lines of ``line_words``; line i is in bank ``i mod banks``, and a bank gives or takes
``ports`` lines a cycle. Words of one line come together. So what the array asks for in one cycle takes
``max over banks of ceil(different lines in the bank / ports)`` cycles, and the array waits for it.

Where a value lies:

- ifmap: by image, row, column, channel (channels together), as the layer before wrote it. Padding is not read.
- filter: what is read at once lies together: by product then filter for ws and os, by filter then product for is.
- sums and ofmap: by pixel then filter. A sum that is added to is read and written: two accesses of its lines.

The products of a window are in the order row, column, channel, so that a fold's rows lie together. Skew is made
by registers at the array's edge (:class:`hw.units.array`'s), so that a vector is read at once. Counted exactly from all
addresses of one image, as the average over a fold's vectors; the overlap of the scratchpads is not: a vector takes
the longest of its averages.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numba import njit
from numpy.typing import NDArray

from sim.accelerator import Accelerator
from sim.workload import Layer

FILTER, SUMS, ADDED_SUMS, FIRST_IFMAP = range(4)
"""What a layer's figures hold: cycles of a line of filters, of sums, of sums added to; then the ifmap's by fold."""


@njit(cache=True)
def _shared(lines, count, seen, stamp, per_bank, ports):
    """Cycles that ``lines[:count]`` take. ``seen`` (all lines) and ``per_bank`` are scratch; ``stamp`` is new."""
    per_bank[:] = 0
    worst = 0
    for i in range(count):
        line = lines[i]
        if seen[line] != stamp:
            seen[line] = stamp
            bank = line % per_bank.size
            per_bank[bank] += 1
            worst = max(worst, per_bank[bank])
    return (worst + ports - 1) // ports


@njit(cache=True)
def _ifmap(
    shape, kernel, stride, padding, dilation, out, channels, at_once, across, rows, banks, ports, line_words, cycles
):  # fmt: skip
    """Average cycles by fold, into ``cycles``; about 2 ns a word.

    ``across`` 0: a vector is ``at_once`` products of one pixel, ``cycles`` by fold of the products. 1: one product
    of ``at_once`` pixels, ``cycles`` by fold of the pixels. 2: as 1, by fold of ``rows`` products.
    """
    height, width, all_channels = shape
    pixels, products = out[0] * out[1], kernel[0] * kernel[1] * channels
    seen = np.full(height * width * all_channels // line_words + 1, -1, np.int64)
    per_bank = np.zeros(banks, np.int64)
    lines = np.empty(at_once, np.int64)
    stamp = 0
    cycles[:] = 0
    inner, outer = (products, pixels) if across == 0 else (pixels, products)
    folds = (inner + at_once - 1) // at_once
    for fold in range(folds):
        for one in range(outer):
            count = 0
            for i in range(fold * at_once, min(inner, (fold + 1) * at_once)):
                product, pixel = (i, one) if across == 0 else (one, i)
                rest, c = divmod(product, channels)
                ky, kx = divmod(rest, kernel[1])
                oy, ox = divmod(pixel, out[1])
                y = oy * stride[0] + ky * dilation[0] - padding[0]
                x = ox * stride[1] + kx * dilation[1] - padding[1]
                if 0 <= y < height and 0 <= x < width:
                    lines[count] = ((y * width + x) * all_channels + c) // line_words
                    count += 1
            # A vector of padding alone still takes its cycle.
            taken = max(1, _shared(lines, count, seen, stamp, per_bank, ports))
            stamp += 1
            cycles[one // rows if across == 2 else fold] += taken
    if across == 2:
        for fold in range(cycles.size):
            cycles[fold] /= (min(products, (fold + 1) * rows) - fold * rows) * folds
    else:
        cycles[:] /= outer


def _together(
    starts: NDArray[np.int64], count: NDArray[np.int64], banks: int, ports: int, line_words: int
) -> float:
    """Average cycles of ``count`` consecutive words from each start: consecutive lines lie in different banks."""
    lines = (starts + count - 1) // line_words - starts // line_words + 1
    per_bank = -(-lines // banks)
    return float(np.mean(-(-per_bank // ports)))


def configured(machine: Accelerator) -> bool:
    """Whether any scratchpad is given banks."""
    return bool(machine.ifmap_banks or machine.filter_banks or machine.ofmap_banks)


@lru_cache(maxsize=4096)
def rates(layer: Layer, machine: Accelerator) -> NDArray[np.float64]:
    """Cycles per vector of a layer with products; float64 (3 + folds,), see :data:`FILTER` and so on.

    The ifmap's folds are of the products (ws, is) or of the pixels of one image (os). A scratchpad without banks
    takes one cycle.
    """
    rows, cols, ws = machine.rows, machine.cols, machine.dataflow != "os"
    pixels = layer.out_h * layer.out_w
    folds = -(-layer.k // rows) if ws else -(-pixels // rows)
    found = np.ones(FIRST_IFMAP + folds)
    ports, words = machine.bank_ports, machine.line_words
    if machine.ifmap_banks:
        across, at_once = {"ws": (0, rows), "os": (1, rows), "is": (2, cols)}[machine.dataflow]
        _ifmap(
            (layer.in_h, layer.in_w, layer.in_c), layer.kernel, layer.stride, layer.padding[:2], layer.dilation,
            (layer.out_h, layer.out_w), layer.in_c // layer.groups, at_once, across, rows, machine.ifmap_banks, ports, words,
            found[FIRST_IFMAP:],
        )  # fmt: skip
    if machine.filter_banks:
        line, count, at_once = (
            (layer.n, layer.k, rows) if machine.dataflow == "is" else (layer.k, layer.n, cols)
        )
        first = np.arange(0, count, at_once)
        starts = (np.arange(line)[:, None] * count + first).reshape(-1)
        lengths = np.tile(np.minimum(at_once, count - first), line)
        found[FILTER] = _together(starts, lengths, machine.filter_banks, ports, words)
    if machine.ofmap_banks:
        first = np.arange(0, layer.n, cols)
        if machine.dataflow == "is":  # sums of `cols` pixels of one filter: a line each, unless they share it
            lines = np.unique(np.arange(min(cols, pixels)) * layer.n // words)
            worst = int(np.bincount(lines % machine.ofmap_banks).max())
            found[SUMS], found[ADDED_SUMS] = -(-worst // ports), -(-2 * worst // ports)
        else:
            starts = (np.arange(pixels)[:, None] * layer.n + first).reshape(-1)
            lengths = np.tile(np.minimum(cols, layer.n - first), pixels)
            lines = (starts + lengths - 1) // words - starts // words + 1
            per_bank = -(-lines // machine.ofmap_banks)
            found[SUMS] = np.mean(-(-per_bank // ports))
            found[ADDED_SUMS] = np.mean(-(-2 * per_bank // ports))
    return found
