"""Who asks for which address when: SCALE-Sim 3's demand, as formulas instead of matrices.

The array works through folds, one after another, each ``per_fold`` lines (cycles without stalls) long. In a fold
each operand's stream is a grid of ``steps`` x ``lanes`` entries: entry (t, r) is asked for at line
``start + t + skew * r``, lane r. It is element (i, j) = (i0 + it * t + ir * r, j0 + jt * t + jr * r) of the operand:
(pixel, product) of the input map, (product, filter) of the weights, (pixel, filter) of the outputs. Addresses run
over columns, channels last, in the map; over products, then filters, in the weights; over filters, then pixels, in
the outputs.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit

from hw.machine.dataflows import IS, OS, WS

IFMAP, FILTER, OFMAP = 0, 1, 2


class Shape(NamedTuple):
    """A layer on an array.

    Attributes
    ----------
    dataflow, rows, cols : int
        Array.
    m, n, k : int
        The layer as a matrix product.
    down, across, per_fold : int
        What lies over the rows and over the columns, and the lines (cycles without stalls) of a fold: the dataflow's
        (:class:`hw.machine.dataflows.Dataflow`).
    height, width, channels : int
        Of the input map.
    filter_row : int
        Contiguous addresses of a row of a window: filter width x channels.
    pixels : int64 (m, 3)
        First row, first column and first address of each output pixel's window.
    products : int64 (k, 3)
        Row, column and address of each product within a window.
    """

    dataflow: int
    rows: int
    cols: int
    m: int
    n: int
    k: int
    down: int
    across: int
    per_fold: int
    height: int
    width: int
    channels: int
    filter_row: int
    pixels: Any
    products: Any


@njit(cache=True, nogil=True)
def windows(m, k, width, channels, filter_w, stride_h, stride_w, out_w):
    """:class:`Shape`'s ``pixels`` and ``products``."""
    pixels, products = np.empty((m, 3), np.int64), np.empty((k, 3), np.int64)
    for p in range(m):
        row, column = (p // out_w) * stride_h, (p % out_w) * stride_w
        pixels[p, 0], pixels[p, 1], pixels[p, 2] = row, column, (row * width + column) * channels
    across = filter_w * channels
    for j in range(k):
        row, column = j // across, (j % across) // channels
        products[j, 0], products[j, 1] = row, column
        products[j, 2] = (row * width + column) * channels + j % channels
    return pixels, products


@njit(cache=True, nogil=True)
def folds(s):
    """(folds down, folds across, lines of a fold); a fold's number is down + across * (folds down)."""
    return (s.down + s.rows - 1) // s.rows, (s.across + s.cols - 1) // s.cols, s.per_fold


@njit(cache=True, inline="always")
def ifmap_size(s):
    """Addresses of the input map."""
    return s.height * s.width * s.channels


@njit(cache=True, nogil=True)
def lanes(operand, s):
    """Words that an operand's port can carry in a cycle: columns of its trace."""
    if operand == OFMAP or (operand == IFMAP) == (s.dataflow == IS):
        return s.cols
    return s.rows


@njit(cache=True, nogil=True)
def stream(operand, s, down, across):
    """(start, skew, steps, lanes, i0, it, ir, j0, jt, jr) of an operand in the fold (down, across)."""
    top, side = down * s.rows, across * s.cols
    rows, cols = min(s.rows, s.down - top), min(s.cols, s.across - side)
    if s.dataflow == OS:
        if operand == IFMAP:
            return 0, 1, s.k, rows, top, 0, 1, 0, 1, 0
        if operand == FILTER:
            return 0, 1, s.k, cols, 0, 1, 0, side, 0, 1
        # Outputs leave through the bottom edge, the last row's first.
        return s.k - 1 + s.rows - rows, 1, rows, cols, top + rows - 1, -1, 0, side, 0, 1
    if s.dataflow == WS:
        if operand == IFMAP:
            return s.rows, 1, s.m, rows, 0, 1, 0, top, 0, 1
        if operand == FILTER:  # loaded from the top, so the last row's first
            return s.rows - rows, 0, rows, cols, top + rows - 1, -1, 0, side, 0, 1
        return 2 * s.rows - 1, 1, s.m, cols, 0, 1, 0, side, 0, 1
    if s.dataflow == IS:
        if operand == IFMAP:
            return s.rows - rows, 0, rows, cols, side, 0, 1, top + rows - 1, -1, 0
        if operand == FILTER:
            return s.rows, 1, s.n, rows, top, 0, 1, 0, 1, 0
        return 2 * s.rows - 1, 1, s.n, cols, side, 0, 1, 0, 1, 0
    # No further dataflow has streams (and raising here would cost a tenth of the time): nothing is asked for.
    return 0, 0, 0, 0, 0, 0, 0, 0, 0, 0


@njit(cache=True, inline="always")
def present(line, start, skew, steps, lanes):
    """(first, last) lane that asks for an entry at a fold's line; none if last < first."""
    at = line - start
    if skew:
        return max(0, at - steps + 1), min(lanes - 1, at)
    return 0, (lanes - 1 if 0 <= at < steps else -1)


@njit(cache=True, inline="always")
def ifmap_address(pixels, products, height, width, pixel, product):
    """Address of an input value, -1 where the window hangs over the map.

    It takes the fields of a :class:`Shape`, which cost more to look up than the address does to make.
    """
    row = pixels[pixel, 0] + products[product, 0]
    column = pixels[pixel, 1] + products[product, 1]
    if row >= height or column >= width:
        return -1
    return pixels[pixel, 2] + products[product, 2]


@njit(cache=True, inline="always")
def address(operand, s, i, j):
    """Address of element (i, j) of an operand, without its offset; -1 if there is none."""
    if operand == IFMAP:
        return ifmap_address(s.pixels, s.products, s.height, s.width, i, j)
    if operand == FILTER:
        return j * s.k + i
    return i * s.n + j


@njit(cache=True, nogil=True)
def demand(operand, s, first, offset, out):
    """Fill ``out`` (lines, lanes) with the addresses that are asked for from line ``first`` on, -1 for none."""
    out[:] = -1
    down, _, per_fold = folds(s)
    for x in range(out.shape[0]):
        fold, line = (first + x) // per_fold, (first + x) % per_fold
        start, skew, steps, used, i0, it, ir, j0, jt, jr = stream(operand, s, fold % down, fold // down)
        low, high = present(line, start, skew, steps, used)
        for r in range(low, high + 1):
            t = line - start - skew * r
            place = address(operand, s, i0 + it * t + ir * r, j0 + jt * t + jr * r)
            if place >= 0:
                out[x, r] = place + offset
