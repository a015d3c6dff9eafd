"""Whole matrix products of the exact array by the processor's byte products.

Between two loads of weights, a sum that travels down a column meets every row once, one row a cycle: what it
holds when it leaves is a dot product of the rows' operands, and the same in whatever order it is made. So a
fold's outputs need no walk through its cycles. :mod:`sim.exact.array` makes them here, where the operands are bytes
(:mod:`asq_sw.kernels.int8`), and walks only through the cycles that the registers still remember.

Operands are laid out as bytes: activations, and behind them their table entries where the grid reads a table;
weights by term. Signed operands are stored 128 higher, which is taken from the sums. Sums are int32, exact.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from asq_sw.kernels.aligned import aligned
from asq_sw.kernels.byte_rows import multiply_rows
from asq_sw.kernels.int8 import (
    DEPTH,
    LANES,
    ROWS,
    configure,
    kind,
    release,
    tile_configuration,
)

Array = NDArray[Any]
_PAIR = 2 * ROWS


def fits(depth: int, even: Array, odd: Array, table: Array, low: int, high: int) -> bool:
    """Whether this machine has byte products and all operands, and sums of ``depth`` products, fit them."""
    spans = [low, high, int(table.min()), int(table.max())]
    operands = (min(spans) >= 0 and max(spans) <= 255) or (min(spans) >= -128 and max(spans) <= 127)
    weights = min(even.min(), odd.min()) >= -128 and max(even.max(), odd.max()) <= 127
    # Products and the stored 128 together: 2 * depth bytes by bytes.
    return kind() is not None and operands and bool(weights) and 2 * (depth + DEPTH) * 255 * 128 < 1 << 31


@njit(cache=True, parallel=True)
def pack_activations(values, low, high, zero, table, two, blocks, out):
    """Rows of ``values`` (m, k) as bytes in ``out`` (rows, bytes); True if one is out of range. 1 ns a value."""
    m, k = values.shape
    wrong = np.zeros(blocks, np.int64)
    for block in prange(blocks):
        for i in range(block * m // blocks, (block + 1) * m // blocks):
            bad = False
            for j in range(k):
                v = np.int64(values[i, j])
                bad |= (v < low) | (v > high)
                out[i, j] = np.uint8(v + zero)
            if bad:
                wrong[block] = 1
                continue
            if two:
                for j in range(k):
                    out[i, k + j] = np.uint8(table[np.int64(values[i, j]) - low] + zero)
    return wrong.any()


@njit(cache=True, parallel=True)
def pack_weights(codes, even, odd, two, terms, out, sums):
    """Weights by term as the byte products read them, from ``codes`` (k, n) in range; ``sums`` (lanes,) of each column.

    ``out`` is int8, filled with zeros, pairs of :data:`LANES` columns one after the other (the last may be one).
    """
    k, n = codes.shape
    blocks = (n + LANES - 1) // LANES
    for block in prange(blocks):
        pair, inside = block // 2, block % 2
        together = min(2, blocks - 2 * pair)
        base = pair * 2 * terms * DEPTH * LANES
        for i in range(k):
            for c in range(block * LANES, min(n, (block + 1) * LANES)):
                code = codes[i, c]
                lane = c - block * LANES
                at = base + ((i // DEPTH) * together + inside) * DEPTH * LANES
                out[at + i % DEPTH // 4 * 4 * LANES + lane * 4 + i % 4] = even[code]
                sums[c] += even[code]
                if two:
                    j = k + i
                    at = base + ((j // DEPTH) * together + inside) * DEPTH * LANES
                    out[at + j % DEPTH // 4 * 4 * LANES + lane * 4 + j % 4] = odd[code]
                    sums[c] += odd[code]


@njit(cache=True, parallel=True)
def multiply(left, weights, offsets, lanes, tiles, correction, threads, sums, out):
    """``out`` (m, n) int64 from packed operands; ``sums`` int32 (threads, 2 * ROWS, lanes) is scratch."""
    pairs = left.shape[0] // _PAIR
    width = left.shape[1]
    for thread in prange(threads):
        acc = sums[thread]
        goal, step = acc.ctypes.data, 4 * acc.shape[1]
        configure(tiles.ctypes.data)
        for pair in range(thread * pairs // threads, (thread + 1) * pairs // threads):
            first = left.ctypes.data + pair * _PAIR * width
            multiply_rows(first, first + ROWS * width, width, offsets, weights.ctypes.data, lanes, goal, step)
            for i in range(pair * _PAIR, min(out.shape[0], (pair + 1) * _PAIR)):
                line = acc[i - pair * _PAIR]
                for c in range(out.shape[1]):
                    out[i, c] = np.int64(line[c]) - correction[c]
        release()


def product(
    left: Array, codes: Array, even: Array, odd: Array, two: bool, table: Array, low: int, high: int
) -> Array | None:
    """``left`` (m, k) times the weights of ``codes`` (k, n), int64 (m, n); None if an activation is out of range.

    Cost: 1 ns an activation to lay it out, and 1 / 512 ns a product on one core with tiles, twice that with
    a table.
    """
    (m, k), n = left.shape, codes.shape[1]
    threads = numba.get_num_threads()
    zero = 0 if min(low, int(table.min())) >= 0 else 128
    terms = -(-k * (2 if two else 1) // DEPTH)
    packed = aligned((-(-m // _PAIR) * _PAIR, terms * DEPTH), np.uint8)
    if pack_activations(left, low, high, zero, table, two, threads, packed):
        return None
    lanes = -(-n // LANES) * LANES
    weights, sums = aligned((terms * DEPTH * lanes,), np.int8), np.zeros(lanes, np.int64)
    pack_weights(codes, even, odd, two, terms, weights, sums)
    out = np.empty((m, n), np.int64)
    multiply(
        packed, weights, np.arange(terms) * DEPTH, lanes, tile_configuration(), zero * sums, threads,
        aligned((threads, _PAIR, lanes), np.int32), out,
    )  # fmt: skip
    return out
