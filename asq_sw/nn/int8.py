"""A layer of the integer network in bytes: quantize, convolve, requantize, image by image in the cache.

Codes, and with the sqrt(2) grids their table entries beside them, are laid out as unsigned bytes, one image at a
time, in a scratch with the zero padding around it; :mod:`asq_sw.kernels.int8` multiplies eight or sixteen
output pixels by sixteen or 32 filters at once, sums in int32; the sums are requantized while they are still in the
cache. Nothing is rounded, so the result is that of :mod:`asq_sw.integer.network`'s float products, bit for bit.

Signed operands are stored 128 higher, and 128 times the sum of a filter's weights is taken from its sums.

Cost for ResNet-20 with 4-bit POST weights (two bytes a value): about 0.25 ms an image on one core with tiles.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from asq_sw.kernels.aligned import LINE, aligned
from asq_sw.kernels.int8 import (
    DEPTH,
    LANES,
    ROWS,
    configure,
    kind,
    make_products,
    release,
    tile_configuration,
)
from asq_sw.nn.convolution import Window

Array = NDArray[Any]
_products_1, _products_2 = make_products(1), make_products(2)
_TABLE_BITS = 16
"""Fractional bits of the factor that replaces reading a sqrt(2) table, where that gives the same entries."""


@njit(cache=True)
def _multiply(base, stride, segments, offsets, weights, filters, out, out_stride):
    """All sums of one image: ``segments`` (an even number) of :data:`ROWS` rows, int32 (rows, out_stride / 4)."""
    terms = offsets.size
    for pair in range(0, segments.size, 2):
        first, second = base + segments[pair], base + segments[pair + 1]
        goal = out + pair * ROWS * out_stride
        weight = weights
        for lane in range(0, filters, 2 * LANES):
            if filters - lane > LANES:
                _products_2(
                    first, second, stride, offsets.ctypes.data, terms, weight, goal + 4 * lane,
                    goal + ROWS * out_stride + 4 * lane, out_stride,
                )  # fmt: skip
                weight += 2 * terms * DEPTH * LANES
            else:
                _products_1(
                    first, second, stride, offsets.ctypes.data, terms, weight, goal + 4 * lane,
                    goal + ROWS * out_stride + 4 * lane, out_stride,
                )  # fmt: skip


@njit(cache=True)
def _quantize(x, factor, add, shift, low, high, zero, row, start, pitch, held):
    """Codes of one wide image (H, W, C) as bytes ``zero`` higher, into the scratch's interior."""
    size = x.shape[1] * x.shape[2]
    k = np.int64(np.int32(factor))
    for y in range(x.shape[0]):
        line, goal = x[y].reshape(size), held[(row + y) * pitch + start : (row + y) * pitch + start + size]
        for i in range(size):
            v = (np.int64(line[i]) * k + add) >> shift
            v = low if v < low else v
            v = high if v > high else v
            goal[i] = np.uint8(v + zero)


@njit(cache=True)
def _quantize_two(
    x, factor, add, shift, low, high, zero, table, table_factor, table_add, row, start, pitch, held
):
    """As :func:`_quantize`, with each pixel's table entries behind its codes."""
    channels = x.shape[2]
    k = np.int64(np.int32(factor))
    offset, by, plus = np.int32(zero), np.int32(table_factor), np.int32(table_add)
    for y in range(x.shape[0]):
        for j in range(x.shape[1]):
            at = (row + y) * pitch + start + 2 * j * channels
            values, codes, entries = (
                x[y, j],
                held[at : at + channels],
                held[at + channels : at + 2 * channels],
            )
            if table_factor:
                for c in range(channels):
                    v = (np.int64(values[c]) * k + add) >> shift
                    v = low if v < low else v
                    code = np.int32(high if v > high else v)
                    codes[c] = np.uint8(code + offset)
                    entries[c] = np.uint8(((code * by + plus) >> np.int32(_TABLE_BITS)) + offset)
            else:
                for c in range(channels):
                    v = (np.int64(values[c]) * k + add) >> shift
                    v = low if v < low else v
                    v = high if v > high else v
                    codes[c] = np.uint8(v + zero)
                    entries[c] = np.uint8(table[v - low] + zero)


@njit(cache=True)
def _look_up(x, tables, zero, row, start, pitch, held):
    """Codes of one image of uint8 (H, W, C), by a table per colour; no entries beside them."""
    for y in range(x.shape[0]):
        for j in range(x.shape[1]):
            at = (row + y) * pitch + start + j * x.shape[2]
            for c in range(x.shape[2]):
                held[at + c] = np.uint8(tables[c, x[y, j, c]] + zero)


@njit(cache=True)
def _settle(acc, place, correction, factor, add, shift, other, other_shift, low, high, out):
    """Requantize one image: ``acc`` (rows, lanes) at ``place`` (pixels,), to ``out`` (pixels, C)."""
    for p in range(out.shape[0]):
        sums = acc[place[p]]
        for c in range(out.shape[1]):
            v = (np.int64(sums[c] - correction[c]) * np.int64(factor[c]) + add[c]) >> shift[c]
            if other.shape[0] > 0:
                if other_shift > 0:
                    v += (np.int64(other[p, c]) + (np.int64(1) << (other_shift - 1))) >> other_shift
                else:
                    v += np.int64(other[p, c]) << -other_shift
            v = low if v < low else v
            out[p, c] = high if v > high else v


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
def _run(
    x, pixels, k, code_shift, code_offset, ends, zero, table, table_factor, table_add, two, first_row, first_byte,
    pitch, scratch, tiles, stride, segments, offsets, weights, sums, place, correction, m, b, shift, beta, beta_bits,
    other, other_shift, low, high, out, totals,
):  # fmt: skip
    """The whole layer over a batch; see :class:`Int8Convolution`. ``other`` of no images: none added."""
    filters = out.shape[2]
    threads = scratch.shape[0]
    count = x.shape[0]
    for thread in prange(threads):
        held, acc = scratch[thread], sums[thread]
        factor = np.empty(filters, np.int32)
        add = np.empty(filters, np.int64)
        for c in range(filters):
            add[c] = b[c] + (np.int64(1) << (shift[c] - 1))
        configure(tiles.ctypes.data)
        for n in range(thread * count // threads, (thread + 1) * count // threads):
            if pixels.shape[0] > 0:
                _look_up(x[n], pixels, zero, first_row, first_byte, pitch, held)
            else:
                rounding = code_offset + (np.int64(1) << (code_shift - 1))
                if two:
                    _quantize_two(
                        x[n], k[n], rounding, code_shift, ends[0], ends[1], zero, table, table_factor, table_add,
                        first_row, first_byte, pitch, held,
                    )  # fmt: skip
                else:
                    _quantize(
                        x[n],
                        k[n],
                        rounding,
                        code_shift,
                        ends[0],
                        ends[1],
                        zero,
                        first_row,
                        first_byte,
                        pitch,
                        held,
                    )
            _multiply(
                held.ctypes.data, stride, segments, offsets, weights.ctypes.data, filters, acc.ctypes.data,
                4 * acc.shape[1],
            )  # fmt: skip
            for c in range(filters):
                factor[c] = (m[c] * beta[n] + (1 << (beta_bits - 1))) >> beta_bits
            _settle(
                acc, place, correction, factor, add, shift, other[n] if other.shape[0] > 0 else other[0:0].reshape(0, 0),
                other_shift, low, high, out[n],
            )  # fmt: skip
            if totals.shape[0] > 0:
                channel_sums(out[n], totals[n])
        release()


class Int8Convolution:
    """One convolution of the integer network with what goes before and after it.

    Parameters
    ----------
    window : Window
        Its shape, with the channels of the map (entries not counted twice); no groups.
    even, odd : int (O, C, height, width), or None for odd
        Weights of the codes and of their table entries, -128 to 127.
    table : int (entries,), or None
        Entries by code from the lowest.
    low, high : int
        The codes' range.

    Raises
    ------
    ValueError
        Where :meth:`fits` is false.
    """

    def __init__(
        self, window: Window, even: Array, odd: Array | None, table: Array | None, low: int, high: int
    ):
        if not self.fits(window, even, odd, table, low, high):
            raise ValueError("the layer does not fit bytes")
        self.window, self.ends = window, np.array([low, high], np.int64)
        self.two = odd is not None
        weights = even if odd is None else np.concatenate([even, odd], axis=1)
        size = window.channels * (2 if self.two else 1)
        top, left, bottom, right = window.padding
        self.zero = 0 if low >= 0 and (table is None or table.min() >= 0) else 128
        self.table = np.zeros(1, np.int64) if table is None else table.astype(np.int64)
        self.table_factor, self.table_add = _as_factor(self.table, low) if self.two else (0, 0)
        self.pitch = (window.width + left + right) * size
        self.first_row, self.first_byte = top, left * size
        (dy, dx), (_sy, sx) = window.dilation, window.stride
        self.stride = sx * size
        self.segments, self.place = self._segments(size)
        # Runs of bytes that lie together, in steps of DEPTH.
        taps = [
            (ky, range(window.kernel[1])) if dx == 1 else (ky, range(kx, kx + 1))
            for ky in range(window.kernel[0])
            for kx in (range(window.kernel[1]) if dx > 1 else range(1))
        ]
        offsets, lines = [], []
        for ky, columns in taps:
            run = np.array(
                [(c * window.kernel[0] + ky) * window.kernel[1] + kx for kx in columns for c in range(size)]
            )
            start = ky * dy * self.pitch + columns[0] * dx * size
            for first in range(0, len(run), DEPTH):
                offsets.append(start + first)
                lines.append(
                    np.append(run[first : first + DEPTH], np.full(max(0, DEPTH - len(run) + first), -1))
                )
        self.offsets = np.array(offsets, np.int64)
        flat = np.append(
            weights.reshape(len(weights), -1), np.zeros((len(weights), 1), weights.dtype), axis=1
        )
        blocks = -(-len(weights) // LANES)
        flat = np.append(flat, np.zeros((blocks * LANES - len(weights), flat.shape[1]), flat.dtype), axis=0)
        chosen = flat[:, np.array(lines)].astype(np.int8)  # (lanes, terms, DEPTH)
        packed = []
        for block in range(0, blocks, 2):
            part = chosen[block * LANES : (block + 2) * LANES].reshape(-1, LANES, len(lines), DEPTH // 4, 4)
            packed.append(part.transpose(2, 0, 3, 1, 4).reshape(-1))
        together = np.concatenate(packed)
        self.weights = aligned((together.size,), np.int8)
        self.weights[...] = together
        self.correction = (self.zero * weights.reshape(len(weights), -1).sum(axis=1)).astype(np.int32)
        self._tiles = tile_configuration()
        rows = window.height + top + bottom
        last = int(self.segments.max()) + (ROWS - 1) * self.stride + int(self.offsets.max()) + DEPTH
        self._scratch_bytes = max(rows * self.pitch, last) + DEPTH
        self._sums_shape = (len(self.segments) * ROWS, blocks * LANES)
        self._scratch: Array | None = None
        self._sums: Array | None = None

    @staticmethod
    def fits(
        window: Window, even: Array, odd: Array | None, table: Array | None, low: int, high: int
    ) -> bool:
        """Whether this machine has byte products and every operand is a byte."""
        if kind() is None or window.groups != 1:
            return False
        spans = [(low, high)] + ([] if table is None else [(int(table.min()), int(table.max()))])
        bottom, top = min(s[0] for s in spans), max(s[1] for s in spans)
        bytes_ = (bottom >= 0 and top <= 255) or (bottom >= -128 and top <= 127)
        weights = [even] if odd is None else [even, odd]
        if not bytes_ or any(w.min() < -128 or w.max() > 127 for w in weights):
            return False
        # The instructions do not saturate; a sum of bytes stored 128 higher must fit too.
        return bool(sum(np.abs(w).reshape(len(w), -1).sum(axis=1) for w in weights).max() * 255 < 1 << 31)

    def _segments(self, size: int) -> tuple[Array, Array]:
        """(first byte of each segment of :data:`ROWS` pixels, sums' row of each output pixel)."""
        w = self.window
        rows, columns = w.output
        (sy, sx), pitch = w.stride, self.pitch // size
        across = -(-columns // ROWS)
        y, x = np.divmod(np.arange(rows * columns), columns)
        starts = (np.arange(rows)[:, None] * sy * pitch + np.arange(across) * ROWS * sx).reshape(-1)
        place = (y * across + x // ROWS) * ROWS + x % ROWS
        if sy == sx == 1:
            # Rows of the padded map follow one another: so may the segments, over the rows' ends.
            through = -(-((rows - 1) * pitch + columns) // ROWS)
            if through < len(starts):
                starts, place = np.arange(through) * ROWS, y * pitch + x
        if len(starts) % 2:
            starts = np.append(starts, starts[-1])
        return (starts * size).astype(np.int64), place.astype(np.int64)

    def run(
        self, x: Array, k: Array, code_shift: int, code_offset: int, pixels: Array | None, m: Array, b: Array,
        shift: Array, beta: Array, beta_bits: int, other: Array | None, other_shift: int, low: int, high: int,
        out: Array, totals: Array | None = None,
    ) -> None:  # fmt: skip
        """The layer's wide output; the numbers are :mod:`asq_sw.integer.network`'s.

        Parameters
        ----------
        x : int16 (N, H, W, C), or uint8 with ``pixels``
        k : int64 (N,)
            Multiplier of each sample, below 2**31; with ``code_shift`` and ``code_offset``.
        pixels : int16 (C, 256), or None
            Codes by value.
        m, b, shift : int64 (O,)
        beta : int64 (N,)
        other : int16 (N, rows, columns, O), or None
            Added, shifted right by ``other_shift``.
        low, high : int
        out : int16 or int32 (N, rows, columns, O)
            Filled.
        totals : int64 (N, O), optional
            Filled with the sum of each channel of ``out``, while that is in the cache.
        """
        threads = numba.get_num_threads()
        if self._scratch is None or len(self._scratch) != threads:
            row = -(-self._scratch_bytes // LINE) * LINE
            self._scratch = aligned((threads, row), np.uint8)
            self._scratch[...] = self.zero
            self._sums = aligned((threads, *self._sums_shape), np.int32)
        added = np.empty((0, 1, 1), np.int16) if other is None else other.reshape(len(x), -1, out.shape[-1])
        _run(
            x, np.empty((0, 256), np.int16) if pixels is None else pixels, k, code_shift, code_offset, self.ends,
            self.zero, self.table, self.table_factor, self.table_add, self.two, self.first_row, self.first_byte,
            self.pitch, self._scratch, self._tiles, self.stride, self.segments, self.offsets, self.weights,
            self._sums, self.place, self.correction, m, b, shift, beta, beta_bits, added, other_shift, low, high,
            out.reshape(len(x), -1, out.shape[-1]), np.empty((0, 1), np.int64) if totals is None else totals,
        )  # fmt: skip


def _as_factor(table: Array, low: int) -> tuple[int, int]:
    """(factor, addend) with ``table[code - low] == (code * factor + addend) >> 16``; (0, 0) where none does."""
    codes = np.arange(low, low + len(table))
    top = int(np.argmax(np.abs(codes)))
    factor = round(int(table[top]) / int(codes[top]) * (1 << _TABLE_BITS)) if codes[top] else 0
    exact = round(np.sqrt(2) * (1 << _TABLE_BITS))
    for one in (factor, *(exact << frac for frac in range(7))):
        for addend in (1 << (_TABLE_BITS - 1), 0):
            if (
                one
                and max(abs(codes)) * one < 1 << 30
                and ((codes * one + addend) >> _TABLE_BITS == table).all()
            ):
                return int(one), addend
    return 0, 0
