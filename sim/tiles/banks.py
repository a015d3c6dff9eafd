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
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from hw.machine.dataflows import Dataflow, dataflow
from sim.accelerator import Accelerator
from sim.limits import check_memory
from sim.workload import Layer

FILTER, SUMS, ADDED_SUMS, FIRST_IFMAP = range(4)
"""What a layer's figures hold: cycles of a line of filters, of sums, of sums added to; then the ifmap's by fold."""


PRODUCTS, PIXELS, KEPT_PIXELS = range(3)
"""What the array asks of the ifmap at once: products of a pixel (by fold of the products); pixels of a product (by fold
of the pixels); pixels of a product that stay in the array (by fold of the products)."""


class Windows(NamedTuple):
    """A layer's windows on its input map: sizes as (height, width), ``map`` also channels; ``channels`` of a group."""

    map: Any
    kernel: Any
    stride: Any
    padding: Any
    dilation: Any
    out: Any
    channels: Any


class Pad(NamedTuple):
    """A scratchpad: banks, lines a cycle of each, and words of a line."""

    banks: Any
    ports: Any
    line_words: Any


@njit(cache=True, nogil=True)
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


@njit(cache=True, nogil=True)
def _ifmap(windows, pad, asked, at_once, rows, cycles):
    """Average cycles by fold, into ``cycles``; about 2 ns a word.

    A vector is ``at_once`` of what ``asked`` says; folds of products are of ``rows``.
    """
    height, width, all_channels = windows.map
    kernel, stride, dilation, padding, out = (
        windows.kernel, windows.stride, windows.dilation, windows.padding, windows.out,
    )  # fmt: skip
    pixels, products = out[0] * out[1], kernel[0] * kernel[1] * windows.channels
    seen = np.full(height * width * all_channels // pad.line_words + 1, -1, np.int64)
    per_bank = np.zeros(pad.banks, np.int64)
    lines = np.empty(at_once, np.int64)
    stamp = 0
    cycles[:] = 0
    inner, outer = (products, pixels) if asked == PRODUCTS else (pixels, products)
    folds = (inner + at_once - 1) // at_once
    for fold in range(folds):
        for one in range(outer):
            count = 0
            for i in range(fold * at_once, min(inner, (fold + 1) * at_once)):
                product, pixel = (i, one) if asked == PRODUCTS else (one, i)
                rest, c = divmod(product, windows.channels)
                ky, kx = divmod(rest, kernel[1])
                oy, ox = divmod(pixel, out[1])
                y = oy * stride[0] + ky * dilation[0] - padding[0]
                x = ox * stride[1] + kx * dilation[1] - padding[1]
                if 0 <= y < height and 0 <= x < width:
                    lines[count] = ((y * width + x) * all_channels + c) // pad.line_words
                    count += 1
            # A vector of padding alone still takes its cycle.
            taken = max(1, _shared(lines, count, seen, stamp, per_bank, pad.ports))
            stamp += 1
            cycles[one // rows if asked == KEPT_PIXELS else fold] += taken
    if asked == KEPT_PIXELS:
        for fold in range(cycles.size):
            cycles[fold] /= (min(products, (fold + 1) * rows) - fold * rows) * folds
    else:
        cycles[:] /= outer


def _in_fullest_bank(outer: int, inner: int, at_once: int, pad: Pad) -> NDArray[np.int64]:
    """Lines in the fullest bank of each read of ``at_once`` consecutive words, ``inner`` words ``outer`` times over.

    Consecutive lines lie in different banks.
    """
    first = np.arange(0, inner, at_once)
    starts = (np.arange(outer)[:, None] * inner + first).reshape(-1)
    count = np.tile(np.minimum(at_once, inner - first), outer)
    lines = (starts + count - 1) // pad.line_words - starts // pad.line_words + 1
    fullest: NDArray[np.int64] = -(-lines // pad.banks)
    return fullest


def configured(machine: Accelerator) -> bool:
    """Whether any scratchpad is given banks."""
    return bool(machine.ifmap_banks or machine.filter_banks or machine.ofmap_banks)


@lru_cache(maxsize=4096)
def rates(layer: Layer, machine: Accelerator) -> NDArray[np.float64]:
    """Cycles per vector of a layer with products; float64 (3 + folds,), see :data:`FILTER` and so on.

    The ifmap's folds are of the products (ws, is) or of the pixels of one image (os). A scratchpad without banks
    takes one cycle.

    Raises
    ------
    InputError
        For a layer so large that counting takes more memory than :data:`sim.limits.MOST_BYTES`.
    """
    rows, cols, flow = machine.rows, machine.cols, dataflow(machine.dataflow)
    pixels = layer.out_h * layer.out_w
    folds = -(-(layer.k if flow.down == "k" else pixels) // rows)
    # The longest of: a line seen or not, each read of filters, each of sums.
    longest = max(layer.in_h * layer.in_w * layer.in_c, layer.k * layer.n, pixels * layer.n)
    check_memory(f"counting the banks' conflicts of layer {layer.name}", 4 * 8 * longest)
    figures = np.ones(FIRST_IFMAP + folds)
    ports, words = machine.bank_ports, machine.line_words
    # With pixels along the columns, filters lie along the rows, and a row of sums is of pixels.
    pixels_across = flow.across == "m"
    if machine.ifmap_banks:
        windows = Windows(
            (layer.in_h, layer.in_w, layer.in_c), layer.kernel, layer.stride, layer.padding[:2], layer.dilation,
            (layer.out_h, layer.out_w), layer.in_c // layer.groups,
        )  # fmt: skip
        pad = Pad(machine.ifmap_banks, ports, words)
        at_once = cols if pixels_across else rows
        _ifmap(windows, pad, _asked(flow), at_once, rows, figures[FIRST_IFMAP:])
    if machine.filter_banks:
        pad = Pad(machine.filter_banks, ports, words)
        outer, inner, at_once = (layer.n, layer.k, rows) if pixels_across else (layer.k, layer.n, cols)
        figures[FILTER] = np.mean(-(-_in_fullest_bank(outer, inner, at_once, pad) // ports))
    if machine.ofmap_banks:
        pad = Pad(machine.ofmap_banks, ports, words)
        if pixels_across:  # sums of `cols` pixels of one filter: a line each, unless they share it
            lines = np.unique(np.arange(min(cols, pixels)) * layer.n // words)
            fullest = np.bincount(lines % pad.banks).max()
        else:
            fullest = _in_fullest_bank(pixels, layer.n, cols, pad)
        figures[SUMS] = np.mean(-(-fullest // ports))
        figures[ADDED_SUMS] = np.mean(-(-2 * fullest // ports))
    return figures


def _asked(flow: Dataflow) -> int:
    """What a dataflow's array asks of the ifmap at once."""
    if flow.stationary == "ifmap":
        return KEPT_PIXELS
    return {"k": PRODUCTS, "m": PIXELS}[flow.down]
