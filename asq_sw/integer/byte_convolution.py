"""A layer of the integer network in bytes: quantize, convolve, requantize, image by image in the cache.

Codes, and with the sqrt(2) grids their table entries beside them, are laid out as unsigned bytes, one image at a
time, in a scratch with the zero padding around it; :mod:`asq_sw.kernels.int8` multiplies eight or sixteen
output pixels by sixteen or 32 filters at once, sums in int32; the sums are requantized while they are still in the
cache. Nothing is rounded, so the result is that of :mod:`asq_sw.integer.multiply`'s float products, bit for bit.

Signed operands are stored 128 higher, and 128 times the sum of a filter's weights is taken from its sums.

Cost for ResNet-20 with 4-bit POST weights (two bytes a value): about 0.25 ms an image on one core with tiles.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from asq_sw.formats import ActivationFormat
from asq_sw.integer.adapter import BETA_BITS
from asq_sw.integer.arithmetic import channel_sums
from asq_sw.integer.constants import Requantize
from asq_sw.kernels.aligned import LINE, aligned
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
from asq_sw.window import Window

Array = NDArray[Any]
_TABLE_BITS = 16
"""Fractional bits of the factor that replaces reading a sqrt(2) table, where that gives the same entries."""


class Codes(NamedTuple):
    """How the layer's input becomes codes.

    Attributes
    ----------
    factor : int64 (N,)
        Multiplier of each sample, below 2**27; not read with ``pixels``.
    shift, offset : int
    pixels : int16 (C, 256), or None
        Codes by value, of uint8 images.
    """

    factor: Array
    shift: int
    offset: int
    pixels: Any


class Addition(NamedTuple):
    """How the layer's map ends: ``clamp(scaled sums + (other >> right), low, high)``.

    Attributes
    ----------
    other : int16 (N, rows, columns, O), or None
        None: nothing is added.
    right, low, high : int
    """

    other: Any
    right: int
    low: int
    high: int


class _Layout(NamedTuple):
    """Where a layer's bytes lie: see :class:`ByteConvolution`.

    Rows of the scratch are ``pitch`` bytes, a pixel's map begins at ``first_row`` and ``first_byte``; ``segments`` and
    ``place`` find the products' rows and each output pixel's sums; ``offsets`` and ``weights`` are its terms.
    """

    zero: int
    low: int
    high: int
    table: Array
    table_factor: int
    table_add: int
    two: bool
    first_row: int
    first_byte: int
    pitch: int
    stride: int
    segments: Array
    offsets: Array
    weights: Array
    place: Array
    correction: Array
    tiles: Array


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
def _fill(x, n, codes, layout, held):
    """Codes (and entries) of image ``n`` into one thread's scratch."""
    if codes.pixels.shape[0] > 0:
        _look_up(x[n], codes.pixels, layout.zero, layout.first_row, layout.first_byte, layout.pitch, held)
        return
    rounding = codes.offset + (np.int64(1) << (codes.shift - 1))
    if layout.two:
        _quantize_two(
            x[n], codes.factor[n], rounding, codes.shift, layout.low, layout.high, layout.zero, layout.table,
            layout.table_factor, layout.table_add, layout.first_row, layout.first_byte, layout.pitch, held,
        )  # fmt: skip
    else:
        _quantize(
            x[n], codes.factor[n], rounding, codes.shift, layout.low, layout.high, layout.zero, layout.first_row,
            layout.first_byte, layout.pitch, held,
        )  # fmt: skip


@njit(cache=True)
def _sums(layout, held, lanes, acc):
    """All sums of one image, int32 (rows, lanes)."""
    row = 4 * acc.shape[1]
    for pair in range(0, layout.segments.size, 2):
        first = held.ctypes.data + layout.segments[pair]
        second = held.ctypes.data + layout.segments[pair + 1]
        multiply_rows(
            first, second, layout.stride, layout.offsets, layout.weights.ctypes.data, lanes,
            acc.ctypes.data + pair * ROWS * row, row,
        )  # fmt: skip


@njit(cache=True, parallel=True)
def _run(x, codes, layout, scratch, sums, m, b, shift, beta, end, out, totals):
    """The whole layer over a batch; see :meth:`ByteConvolution.run`. Arrays of no images stand for None."""
    filters = out.shape[2]
    threads = scratch.shape[0]
    count = x.shape[0]
    for thread in prange(threads):
        held, acc = scratch[thread], sums[thread]
        factor = np.empty(filters, np.int32)
        add = np.empty(filters, np.int64)
        for c in range(filters):
            add[c] = b[c] + (np.int64(1) << (shift[c] - 1))
        configure(layout.tiles.ctypes.data)
        for n in range(thread * count // threads, (thread + 1) * count // threads):
            _fill(x, n, codes, layout, held)
            _sums(layout, held, filters, acc)
            for c in range(filters):
                factor[c] = (m[c] * beta[n] + (1 << (BETA_BITS - 1))) >> BETA_BITS
            other = end.other[n] if end.other.shape[0] > 0 else end.other[0:0].reshape(0, 0)
            _settle(
                acc,
                layout.place,
                layout.correction,
                factor,
                add,
                shift,
                other,
                end.right,
                end.low,
                end.high,
                out[n],
            )
            if totals.shape[0] > 0:
                channel_sums(out[n], totals[n])
        release()


class ByteConvolution:
    """One convolution of the integer network with what goes before and after it.

    Parameters
    ----------
    window : Window
        Its shape, with the channels of the map (entries not counted twice); no groups.
    even, odd : int (O, C, height, width), or None for odd
        Weights of the codes and of their table entries, -128 to 127.
    table : int (entries,), or None
        Entries by code from the lowest.
    activation : ActivationFormat
        Of the codes.

    Raises
    ------
    ValueError
        Where :meth:`fits` is false.
    """

    def __init__(
        self,
        window: Window,
        even: Array,
        odd: Array | None,
        table: Array | None,
        activation: ActivationFormat,
    ):
        if not self.fits(window, even, odd, table, activation):
            raise ValueError("the layer does not fit bytes")
        self.window = window
        low, two = activation.min, odd is not None
        weights = even if odd is None else np.concatenate([even, odd], axis=1)
        size = window.channels * (2 if two else 1)
        top, left, bottom, right = window.padding
        self.zero = 0 if low >= 0 and (table is None or table.min() >= 0) else 128
        entries = np.zeros(1, np.int64) if table is None else table.astype(np.int64)
        table_factor, table_add = _as_factor(entries, low) if two else (0, 0)
        pitch = (window.width + left + right) * size
        (dy, dx), (_, sx) = window.dilation, window.stride
        segments, place = self._segments(size)
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
            start = ky * dy * pitch + columns[0] * dx * size
            for first in range(0, len(run), DEPTH):
                offsets.append(start + first)
                lines.append(
                    np.append(run[first : first + DEPTH], np.full(max(0, DEPTH - len(run) + first), -1))
                )
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
        held = aligned((together.size,), np.int8)
        held[...] = together
        correction = (self.zero * weights.reshape(len(weights), -1).sum(axis=1)).astype(np.int32)
        self._layout = _Layout(
            zero=self.zero, low=low, high=activation.max, table=entries, table_factor=table_factor,
            table_add=table_add, two=two, first_row=top, first_byte=left * size, pitch=pitch, stride=sx * size,
            segments=segments, offsets=np.array(offsets, np.int64), weights=held, place=place,
            correction=correction, tiles=tile_configuration(),
        )  # fmt: skip
        rows = window.height + top + bottom
        last = int(segments.max()) + (ROWS - 1) * sx * size + max(offsets) + DEPTH
        self._scratch_bytes = max(rows * pitch, last) + DEPTH
        self._sums_shape = (len(segments) * ROWS, blocks * LANES)
        self._scratch: Array | None = None
        self._sums: Array | None = None

    @staticmethod
    def fits(
        window: Window, even: Array, odd: Array | None, table: Array | None, activation: ActivationFormat
    ) -> bool:
        """Whether this machine has byte products and every operand is a byte."""
        if kind() is None or window.groups != 1:
            return False
        spans = [(activation.min, activation.max)] + (
            [] if table is None else [(int(table.min()), int(table.max()))]
        )
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
        (sy, sx), pitch = w.stride, w.width + w.padding[1] + w.padding[3]
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
        self,
        x: Array,
        codes: Codes,
        requantize: Requantize,
        beta: Array,
        end: Addition,
        out: Array,
        totals: Array | None = None,
    ) -> None:
        """The layer's wide output; the numbers are :mod:`asq_sw.integer.arithmetic`'s.

        Parameters
        ----------
        x : int16 (N, H, W, C), or uint8 with ``codes.pixels``
        codes : Codes
        requantize : Requantize
        beta : int64 (N,)
            1 to 65535, in units of 2**-12.
        end : Addition
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
        if codes.pixels is None:
            codes = codes._replace(pixels=np.empty((0, 256), np.int16))
        shape = (len(x), -1, out.shape[-1])
        other = np.empty((0, 1, 1), np.int16) if end.other is None else end.other.reshape(shape)
        _run(
            x, codes, self._layout, self._scratch, self._sums, requantize.m, requantize.b, requantize.shift, beta,
            end._replace(other=other), out.reshape(shape), np.empty((0, 1), np.int64) if totals is None else totals,
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
