"""Rows of bytes by blocks of weights: the loop over a layer's columns that every byte product shares."""

from __future__ import annotations

from numba import njit

from asq_sw.kernels.int8 import DEPTH, LANES, ROWS, make_products

_products_1, _products_2 = make_products(1), make_products(2)


@njit(cache=True)
def multiply_rows(first, second, stride, offsets, weights, lanes, out, out_stride):
    """All sums of twice :data:`ROWS` rows, int32.

    ``first``, ``second``, ``weights`` and ``out`` are addresses, the strides in bytes; ``offsets`` int64 (terms,) as
    :func:`asq_sw.kernels.int8.make_products` has them. Columns come in pairs of :data:`LANES`, the last may be one:
    ``weights`` holds the pairs one after the other. The rows of ``second`` go behind those of ``first`` in ``out``.
    """
    terms = offsets.size
    weight = weights
    for lane in range(0, lanes, 2 * LANES):
        if lanes - lane > LANES:
            _products_2(
                first, second, stride, offsets.ctypes.data, terms, weight, out + 4 * lane,
                out + ROWS * out_stride + 4 * lane, out_stride,
            )  # fmt: skip
        else:
            _products_1(
                first, second, stride, offsets.ctypes.data, terms, weight, out + 4 * lane,
                out + ROWS * out_stride + 4 * lane, out_stride,
            )  # fmt: skip
        weight += 2 * terms * DEPTH * LANES
