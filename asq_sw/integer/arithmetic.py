"""The integer arithmetic of an accelerator, step by step; every kernel that the integer network runs.

All numbers are whole. A *wide* value is two's complement of 16 bits with a fixed number of fractional bits by map,
saturating. Every right shift rounds half up, ``(v + 2**(r - 1)) >> r``, with an arithmetic shift; a shift of a negative
number of places is one to the left, exact. Registers, by step (:mod:`asq_sw.integer.widths` has them as functions):

============ ============================================================================ =========================
step         what                                                                         widest register
============ ============================================================================ =========================
quantize     ``code = clamp((wide * k + offset + half) >> shift, low, high)``             ``quantizer_widths``
multiply     ``sum = sum over inputs of product(code, weight)``, exact                    the layer's ``bound``
requantize   ``wide = saturate(((sum * factor + b + half) >> shift) + (other >> right))`` ``requantizer_widths``
adapter      :mod:`asq_sw.integer.adapter`                                                ``adapter_widths``
add          ``saturate((x >> right_x) + (y >> right_y))``                                16 bits, the left shift, 1
average      ``saturate((sum * round(2**24 / count)) >> (24 + change))``                  41 bits, as a mean's product
============ ============================================================================ =========================

Arrays are channels last: maps (N, pixels, C). The kernels trust their arguments: :mod:`asq_sw.integer.network` checks.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from asq_sw.integer.adapter import (
    BETA_BITS,
    BETA_MAX,
    HIDDEN_MAX,
    INVERSE_BITS,
    MANTISSA_WIDTH,
    MEAN_BITS,
    NUMERATOR,
    RECIPROCAL_BITS,
    inverse_of,
)
from asq_sw.integer.widths import SHIFTS, WIDE_MAX

Array = NDArray[Any]


def mantissa(value: Array | float) -> tuple[Array, Array]:
    """``value ~ m * 2**-r`` with ``2**14 <= |m| < 2**15`` (0: m = 0) and r from 1 to 62; int64 arrays (n,).

    From 2**14 on, where r would be below 1, m has more bits: the caller refuses those.
    """
    value = np.atleast_1d(np.asarray(value, np.float64))
    _, exponent = np.frexp(value)
    shift = np.clip(MANTISSA_WIDTH - 1 - exponent, *SHIFTS).astype(np.int64)
    m = np.rint(np.ldexp(value, shift)).astype(np.int64)
    over = np.abs(m) >= 1 << (MANTISSA_WIDTH - 1)
    shift = np.where(over & (shift > 1), shift - 1, shift)
    return np.rint(np.ldexp(value, shift)).astype(np.int64), shift


@njit(cache=True, inline="always")
def shift_round(v, r):
    """``v / 2**r`` rounded half up, one int64; to the left for a negative r."""
    return (v + (np.int64(1) << (r - 1))) >> r if r > 0 else v << -r


def shifted(values: Array, right: int) -> Array:
    """:func:`shift_round` of an int64 array."""
    if right <= 0:
        return values << -right
    return (values + (1 << (right - 1))) >> right


def saturated(values: Array) -> Array:
    """Wide values of an int64 array; int16."""
    return np.clip(values, -WIDE_MAX - 1, WIDE_MAX).astype(np.int16)


# -- quantize --------------------------------------------------------------------------------------------------


@njit(cache=True, parallel=True)
def quantize(wide, factor, offset, shift, low, high, out):
    """Codes of wide values, ``clamp((wide * factor + offset + half) >> shift, low, high)``.

    ``wide`` int16 (N, values); ``factor`` int64 (N,), below 2**27; ``out`` (N, values) of any type of number.
    """
    half = np.int64(1) << (shift - 1)
    for n in prange(wide.shape[0]):
        k, add = factor[n], offset + half
        for i in range(wide.shape[1]):
            v = (np.int64(wide[n, i]) * k + add) >> shift
            v = low if v < low else v
            out[n, i] = high if v > high else v


@njit(cache=True, parallel=True)
def quantize_with_entries(wide, factor, shift, low, high, table, width, out):
    """As :func:`quantize`, with each code's ``table[code - low]`` behind it, group by group.

    ``wide`` (N, pixels, C), groups of ``width`` channels; ``out`` (N, pixels, 2C): of each group first the codes, then
    the entries.
    """
    half = np.int64(1) << (shift - 1)
    channels = wide.shape[2]
    for n in prange(wide.shape[0]):
        k = factor[n]
        for i in range(wide.shape[1]):
            for first in range(0, channels, width):
                for c in range(first, first + width):
                    v = (np.int64(wide[n, i, c]) * k + half) >> shift
                    v = low if v < low else v
                    v = high if v > high else v
                    out[n, i, first + c] = v
                    out[n, i, first + width + c] = table[v - low]


@njit(cache=True, parallel=True)
def look_up_pixels(images, tables, out):
    """Codes of images uint8 (N, pixels, C): a table per colour, ``tables`` (C, 256); ``out`` (N, pixels, C)."""
    for n in prange(images.shape[0]):
        for i in range(images.shape[1]):
            for c in range(images.shape[2]):
                out[n, i, c] = tables[c, images[n, i, c]]


# -- requantize ------------------------------------------------------------------------------------------------


@njit(cache=True, parallel=True)
def requantize(acc, m, b, shift, beta, other, right, low, high, out):
    """``clamp(((acc * factor + b + half) >> shift) + (other >> right), low, high)``, ``factor = m * beta >> 12``.

    Parameters
    ----------
    acc : (N, pixels, C)
        Exact sums, whole numbers of any type.
    m, b, shift : int64 (C,)
        16 bits, 48 bits, 1 to 62.
    beta : int64 (N,)
        1 to 65535, in units of 2**-12.
    other : int16 (N, pixels, C)
        Of no samples: none is added.
    right, low, high : int
    out : int16 or int32 (N, pixels, C)
    """
    channels = acc.shape[2]
    for n in prange(acc.shape[0]):
        factor = np.empty(channels, np.int64)
        for c in range(channels):
            factor[c] = (m[c] * beta[n] + (1 << (BETA_BITS - 1))) >> BETA_BITS
        for i in range(acc.shape[1]):
            for c in range(channels):
                v = shift_round(np.int64(acc[n, i, c]) * factor[c] + b[c], shift[c])
                if other.shape[0] > 0:
                    v += shift_round(np.int64(other[n, i, c]), right)
                v = low if v < low else v
                out[n, i, c] = high if v > high else v


# -- between layers --------------------------------------------------------------------------------------------


@njit(cache=True, parallel=True)
def rescale(wide, right, low, high):
    """``wide >> right``, saturated, in place; int16 (N, pixels, C)."""
    for n in prange(wide.shape[0]):
        for i in range(wide.shape[1]):
            for c in range(wide.shape[2]):
                v = shift_round(np.int64(wide[n, i, c]), right)
                v = low if v < low else v
                wide[n, i, c] = high if v > high else v


@njit(cache=True, parallel=True)
def add(x, x_right, y, y_right, low, high, out):
    """``(x >> x_right) + (y >> y_right)``, saturated; all int16 (N, pixels, C)."""
    for n in prange(out.shape[0]):
        for i in range(out.shape[1]):
            for c in range(out.shape[2]):
                v = shift_round(np.int64(x[n, i, c]), x_right) + shift_round(np.int64(y[n, i, c]), y_right)
                v = low if v < low else v
                out[n, i, c] = high if v > high else v


@njit(cache=True)
def channel_sums(x, sums):
    """Sum of each channel of one image (pixels, C) of int16; ``sums`` int64 (C,)."""
    pixels, channels = x.shape
    part = np.empty(channels, np.int32)
    sums[:] = 0
    for first in range(0, pixels, 1 << 15):  # so many int16 fit an int32
        part[:] = 0
        end = min(first + (1 << 15), pixels)
        eight = first + (end - first) // 8 * 8
        for p in range(first, eight, 8):  # the running sum passes through memory once in eight
            for c in range(channels):
                part[c] += (
                    (np.int32(x[p, c]) + np.int32(x[p + 1, c]))
                    + (np.int32(x[p + 2, c]) + np.int32(x[p + 3, c]))
                    + (
                        (np.int32(x[p + 4, c]) + np.int32(x[p + 5, c]))
                        + (np.int32(x[p + 6, c]) + np.int32(x[p + 7, c]))
                    )
                )
        for p in range(eight, end):
            for c in range(channels):
                part[c] += np.int32(x[p, c])
        for c in range(channels):
            sums[c] += part[c]


@njit(cache=True, parallel=True)
def _all_sums(wide, out):
    for n in prange(wide.shape[0]):
        channel_sums(wide[n], out[n])


def sums_of(maps: Array) -> Array:
    """Sum of each channel of each sample: int16 (N, pixels, C) to int64 (N, C)."""
    out = np.empty((len(maps), maps.shape[-1]), np.int64)
    _all_sums(maps, out)
    return out


def averages(sums: Array, count: int, change: int) -> Array:
    """Wide averages of sums of ``count`` values, with ``change`` fractional bits fewer: int64 to int16."""
    return saturated(shifted(sums * inverse_of(count), INVERSE_BITS + change))


# -- ASQ's adapter ---------------------------------------------------------------------------------------------


def means(sums: Array, pixels: int) -> Array:
    """Channels' means with :data:`MEAN_BITS` more fractional bits than their map: int64 (N, C) to int64 (N, C)."""
    return shifted(sums * inverse_of(pixels), INVERSE_BITS - MEAN_BITS)


@njit(cache=True)
def beta_of(mean, w1, b1, r1, w2, b2, r2):
    """Beta of each sample, int64 (N,), 1 to 65535.

    ``mean`` (N, C), ``w1`` (H, C), ``b1`` (H,), ``w2`` (H,): int64; a ``w1`` of no rows: one layer, ``w2`` (C,).
    """
    out = np.empty(len(mean), np.int64)
    for n in range(len(mean)):
        total = b2
        if w1.shape[0] == 0:
            for c in range(mean.shape[1]):
                total += w2[c] * mean[n, c]
        for j in range(w1.shape[0]):
            h = b1[j]
            for c in range(mean.shape[1]):
                h += w1[j, c] * mean[n, c]
            h = shift_round(h, r1)
            total += w2[j] * min(max(h, 0), HIDDEN_MAX)
        if r2 <= 0:  # what is not from 1 to 65535 already will not be after a shift to the left
            total = min(max(total, 0), BETA_MAX)
        out[n] = min(max(shift_round(total, r2), 1), BETA_MAX)
    return out


def sample_factors(k: int, beta: Array) -> Array:
    """The quantizer's multiplier of each sample, k / beta: int64 (N,), below 2**27."""
    reciprocal = (NUMERATOR + beta // 2) // beta
    return shifted(k * reciprocal, RECIPROCAL_BITS)
