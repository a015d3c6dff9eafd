"""Convolution forward and both gradients, channels last, near the machine's matrix-product peak.

Feature maps are (N, H, W, C), weights (out, in // groups, height, width) as in PyTorch. No column matrix is
made: each image is copied, with its zero padding, into a scratch of blocks of 16 channels that stays in the
second-level cache, and :mod:`asq_sw.kernels.float32` reads that. Columns of a strided layer are interleaved
there (all multiples of the stride first), so that neighbouring outputs read neighbouring pixels for every
stride. A layer of fewer than 16 input channels (the first one) folds the window's columns into the channels.

The input gradient is a convolution too: one for every (row, column) modulo the stride, with the weights that
fall on it. The weight gradient is summed per :func:`parts` of the batch, and the parts in one order, so
equal inputs give equal bytes for any number of threads.

Cost: one multiply-add a MAC and direction, channels rounded up to 16 (outputs: 16 or a multiple of 32).
float64 goes through :mod:`asq_sw.nn.reference`, for checks.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from asq_sw.kernels.aligned import aligned
from asq_sw.kernels.float32 import LANES, copy, make_convolve, make_correlate
from asq_sw.nn import depthwise, reference
from asq_sw.window import Window

Array = NDArray[Any]

_NARROW, _WIDE = 16, 8  # outputs in a row that are made at once, for 16 and for 32 channels at once
_convolve_1 = make_convolve(_NARROW, 1)
_convolve_2 = make_convolve(_WIDE, 2)
_correlate_1 = make_correlate(16, 1)
_correlate_2 = make_correlate(8, 2)
_CACHE = 24 << 10  # bytes of a scratch's rows that a weight gradient works through at once


def parts(batch: int, weights: int) -> int:
    """Parts of a batch whose weight gradients are summed on their own; depends on nothing but the shapes."""
    return max(1, min(batch, 8 if weights < 1 << 18 else 2))


def _blocks(channels: int) -> int:
    return -(-channels // LANES)


# -- kernels ---------------------------------------------------------------------------------------------------


@njit(cache=True)
def _fill(x, first, channels, top, places, scratch):
    """Copy channels ``first ..`` of one contiguous image (H, W, C) into ``scratch`` (blocks, rows, columns, 16).

    Row y goes to ``top + y``, column j to ``places[j]`` (not copied if negative).
    """
    for block in range(scratch.shape[0]):
        start = first + block * 16
        count = min(16, channels - block * 16)
        for y in range(x.shape[0]):
            row = top + y
            if row < 0 or row >= scratch.shape[1]:
                continue
            source = x.ctypes.data + 4 * (y * x.shape[1] * x.shape[2] + start)
            target = scratch.ctypes.data + 64 * (block * scratch.shape[1] + row) * scratch.shape[2]
            for j in range(x.shape[1]):
                place = places[j]
                if place < 0:
                    continue
                if count == 16:
                    copy(source + 4 * j * x.shape[2], target + 64 * place)
                else:
                    for c in range(count):
                        scratch[block, row, place, c] = x[y, j, start + c]


@njit(cache=True)
def _fill_folded(x, first, channels, top, left, stride, dilation, taps, scratch):
    """As :func:`_fill`, with the window's columns folded into the channels: lane ``tap * channels + c``."""
    for y in range(x.shape[0]):
        row = top + y
        if row < 0 or row >= scratch.shape[1]:
            continue
        for j in range(scratch.shape[2]):
            for tap in range(taps):
                source = j * stride + tap * dilation - left
                if source < 0 or source >= x.shape[1]:
                    continue
                for c in range(channels):
                    lane = tap * channels + c
                    scratch[lane >> 4, row, j, lane & 15] = x[y, source, first + c]


@njit(cache=True)
def _image(scratch, row_stride, first_row, rows, columns, offsets, weights, out, start, row, pixel, lanes):
    """All outputs of one image, one group and one phase; ``lanes`` output channels."""
    terms = offsets.size
    source = scratch.ctypes.data
    target = out.ctypes.data
    wide = 0
    position = weights.ctypes.data
    while wide < lanes:
        two = lanes - wide > 16
        for y in range(rows):
            base = source + 4 * (first_row + y) * row_stride
            goal = target + 4 * (start + wide + y * row)
            if two:
                for j in range(0, columns, _WIDE):
                    count = min(_WIDE, columns - j)
                    _convolve_2(
                        base + 64 * j, offsets.ctypes.data, terms, position,
                        goal + 4 * j * pixel, pixel, count, lanes - wide,
                    )  # fmt: skip
            else:
                for j in range(0, columns, _NARROW):
                    count = min(_NARROW, columns - j)
                    _convolve_1(
                        base + 64 * j, offsets.ctypes.data, terms, position,
                        goal + 4 * j * pixel, pixel, count, lanes - wide,
                    )  # fmt: skip
        position += 4 * terms * 16 * (32 if two else 16)
        wide += 32 if two else 16


@njit(cache=True, parallel=True)
def _forward(x, weights, scratches, top, places, folds, offsets, groups, rows, columns, row_step, out):
    channels, lanes = x.shape[3] // groups, out.shape[3] // groups
    width = scratches.shape[3] * 16
    for n in prange(x.shape[0]):
        scratch = scratches[numba.get_thread_id()]
        for g in range(groups):
            if folds[0] > 0:
                _fill_folded(
                    x[n], g * channels, channels, top, folds[1], folds[2], folds[3], folds[0], scratch
                )
            else:
                _fill(x[n], g * channels, channels, top, places, scratch)
            _image(
                scratch, width * row_step, 0, rows, columns, offsets, weights[g], out[n],
                g * lanes, out.shape[2] * out.shape[3], out.shape[3], lanes,
            )  # fmt: skip


@njit(cache=True, parallel=True)
def _input_gradient(dy, weights, scratches, top, places, offsets, bounds, phases, groups, stride, dx):
    """``phases``: (P, 6) rows of first row and column of dx, rows, columns, first scratch row, column."""
    channels, lanes = dy.shape[3] // groups, dx.shape[3] // groups
    width = scratches.shape[3] * 16
    row, pixel = dx.shape[2] * dx.shape[3], dx.shape[3]
    for n in prange(dy.shape[0]):
        scratch = scratches[numba.get_thread_id()]
        for g in range(groups):
            _fill(dy[n], g * channels, channels, top, places, scratch)
            for p in range(phases.shape[0]):
                y, j, rows, columns, first, column = phases[p]
                part = offsets[bounds[p, 0] : bounds[p, 1]]
                if part.size == 0:
                    for r in range(rows):
                        for c in range(columns):
                            for lane in range(lanes):
                                dx[n, y + r * stride[0], j + c * stride[1], g * lanes + lane] = 0
                    continue
                _image(
                    scratch.reshape(-1)[column * 16 :], width, first, rows, columns, part,
                    weights[g, bounds[p, 2] : bounds[p, 3]], dx[n],
                    y * row + j * pixel + g * lanes, row * stride[0], pixel * stride[1], lanes,
                )  # fmt: skip


@njit(cache=True, parallel=True)
def _weight_gradient(x, dy, scratches, grads, top, places, folds, offsets, groups, row_step, together, sums):
    """``sums``: (parts, groups, padded weights), zeros; ``grads``: (parts, rows, columns, lanes up to whole)."""
    channels, lanes = x.shape[3] // groups, dy.shape[3] // groups
    width = scratches.shape[3] * 16
    rows, columns = dy.shape[1], dy.shape[2]
    whole = grads.shape[3]
    count = sums.shape[0]
    for part in prange(count):
        scratch = scratches[part]
        for n in range(part * x.shape[0] // count, (part + 1) * x.shape[0] // count):
            for g in range(groups):
                if folds[0] > 0:
                    _fill_folded(
                        x[n], g * channels, channels, top, folds[1], folds[2], folds[3], folds[0], scratch
                    )
                else:
                    _fill(x[n], g * channels, channels, top, places, scratch)
                if whole != dy.shape[3]:
                    for y in range(rows):
                        for j in range(columns):
                            for c in range(lanes):
                                grads[part, y, j, c] = dy[n, y, j, g * lanes + c]
                    grad = grads[part].ctypes.data
                else:
                    grad = dy[n].ctypes.data
                source = scratch.ctypes.data
                for y in range(0, rows, together):
                    height = min(together, rows - y)
                    image = source + 4 * y * row_step * width
                    target = sums[part, g].ctypes.data
                    wide = 0
                    while wide < lanes:
                        two = lanes - wide > 16
                        loss = grad + 4 * (y * columns * whole + wide)
                        for t in range(offsets.size):
                            at = image + 4 * offsets[t]
                            if two:
                                for half in range(2):
                                    _correlate_2(
                                        at + 32 * half, row_step * width, loss, whole, columns * whole,
                                        height, columns, target + 4 * 32 * 8 * half, 32,
                                    )  # fmt: skip
                                target += 4 * 16 * 32
                            else:
                                _correlate_1(
                                    at, row_step * width, loss, whole, columns * whole,
                                    height, columns, target, 16,
                                )  # fmt: skip
                                target += 4 * 16 * 16
                        wide += 32 if two else 16


# -- layout of the weights -------------------------------------------------------------------------------------


def _packing(lanes: int, terms: Array) -> Array:
    """Where each packed weight comes from, int64: lanes in groups of 32 or 16, then terms, then 16 channels.

    ``terms``: (T, 16) of the index ``tap * channels + channel`` of each term's channels, -1 for none. The
    result holds ``lane + lanes * index``, or -1.
    """
    pieces = []
    for wide in range(0, lanes, 32):
        size = 32 if lanes - wide > 16 else 16
        lane = np.arange(wide, wide + size)
        index = terms.reshape(-1, 1)
        place = np.where((index >= 0) & (lane < lanes), lane + lanes * index, -1)
        pieces.append(place.reshape(-1))
    return np.concatenate(pieces).astype(np.int64)


@njit(cache=True)
def _gather(values, places, out):
    for g in range(out.shape[0]):
        for i in range(places.size):
            out[g, i] = values[g, places[i]] if places[i] >= 0 else 0


@njit(cache=True)
def _scatter(sums, places, out):
    """Add the parts in order and put them back; ``sums``: (parts, groups, packed), ``out``: (groups, weights)."""
    for part in range(sums.shape[0]):
        for g in range(out.shape[0]):
            for i in range(places.size):
                if places[i] >= 0:
                    out[g, places[i]] = sums[part, g, i] + (out[g, places[i]] if part else 0)


class Convolution:
    """One convolution's plans and scratch memory.

    Parameters
    ----------
    window : Window
    """

    def __init__(self, window: Window):
        self.window = w = window
        self.channels, self.lanes = w.channels // w.groups, w.out_channels // w.groups
        self.depthwise = w.groups > 1 and self.channels == 1 and self.lanes == 1
        self._threads = numba.config.NUMBA_NUM_THREADS
        self._scratch: dict[str, Array] = {}
        if not self.depthwise:
            self._plan_forward()
            self._plan_gradient()

    def _plan_forward(self) -> None:
        w = self.window
        (kh, kw), (sh, sw), (dh, dw) = w.kernel, w.stride, w.dilation
        top, left, bottom, right = w.padding
        rows, columns = w.output
        self._folded = self.channels < LANES and kw > 1
        height = max(w.height + top + bottom, (rows - 1) * sh + dh * (kh - 1) + 1)
        slack = _NARROW
        if self._folded:
            blocks, width = _blocks(kw * self.channels), columns + slack
            self._folds = np.array([kw, left, sw, dw], np.int64)
            self._places = np.zeros(0, np.int64)
            taps = [(ky * dh, 0) for ky in range(kh)]
            lanes = np.arange(blocks * LANES)
            column, channel = np.divmod(lanes, self.channels)
            inside = lanes < kw * self.channels
            index = [np.where(inside, (channel * kh + ky) * kw + column, -1) for ky in range(kh)]
        else:
            blocks = _blocks(self.channels)
            per_phase = -(-(w.width + left + right + dw * kw) // sw) + slack
            width = per_phase * sw
            self._folds = np.zeros(4, np.int64)
            position = np.arange(w.width) + left
            self._places = (position % sw) * per_phase + position // sw
            taps, index = [], []
            channel = np.arange(blocks * LANES)
            for ky in range(kh):
                for kx in range(kw):
                    at = kx * dw
                    taps.append((ky * dh, (at % sw) * per_phase + at // sw))
                    inside = channel < self.channels
                    index.append(np.where(inside, (channel * kh + ky) * kw + kx, -1))
        self._shape = (blocks, height, width, LANES)
        size = height * width * LANES
        self._offsets = np.array(
            [b * size + (y * width + j) * LANES for y, j in taps for b in range(blocks)], np.int64
        )
        terms = np.array([i.reshape(blocks, LANES) for i in index]).reshape(-1, LANES)
        self._packing = _packing(self.lanes, terms)
        self._weights = aligned((w.groups, self._packing.size), np.float32)
        row = 4 * LANES * (width * sh + columns * (2 if self.lanes > 16 else 1))
        self._together = max(1, min(rows, _CACHE // row))

    def _plan_gradient(self) -> None:
        w = self.window
        (kh, kw), (sh, sw), (dh, dw) = w.kernel, w.stride, w.dilation
        top, left, _, _ = w.padding
        rows, columns = w.output
        blocks = _blocks(self.lanes)
        # dy[i] reaches dx[y] where y = i * s - pad + k * d; so dx[y] reads i = (y + pad - k * d) / s.
        low = [-((d * (k - 1)) // s) - 1 for k, s, d in zip(w.kernel, w.stride, w.dilation, strict=True)]
        before = (max(0, -low[0]), max(0, -low[1]))
        height = before[0] + max(rows, (w.height + top) // sh + 1)
        width = before[1] + max(columns, (w.width + left) // sw + 1) + _NARROW
        self._grad_shape = (blocks, height, width, LANES)
        self._grad_top = before[0]
        self._grad_places = np.arange(columns) + before[1]
        size = height * width * LANES
        offsets: list[int] = []
        phases, bounds, packing = [], [], []
        c = np.arange(blocks * LANES)
        packed = 0
        for y0 in range(min(sh, w.height)):
            for x0 in range(min(sw, w.width)):
                ys = [(ky, (y0 + top - ky * dh) // sh) for ky in range(kh) if (y0 + top - ky * dh) % sh == 0]
                xs = [
                    (kx, (x0 + left - kx * dw) // sw) for kx in range(kw) if (x0 + left - kx * dw) % sw == 0
                ]
                start = len(offsets)
                index = []
                for ky, y in ys:
                    for kx, x in xs:
                        at = ((y + before[0]) * width + x + before[1]) * LANES
                        for b in range(blocks):
                            offsets.append(b * size + at)
                            lanes = c[b * LANES : (b + 1) * LANES]
                            # weight (out, in, ky, kx), read with ``in`` as the lane made
                            index.append(np.where(lanes < self.lanes, (lanes * kh + ky) * kw + kx, -1))
                first = packed
                if index:
                    packing.append(_gradient_packing(self.channels, np.array(index), kh * kw))
                    packed += packing[-1].size
                count = (-(-(w.height - y0) // sh), -(-(w.width - x0) // sw))
                phases.append((y0, x0, *count, 0, 0))
                bounds.append((start, len(offsets), first, packed))
        self._grad_offsets = np.array(offsets, np.int64)
        self._phases = np.array(phases, np.int64)
        self._bounds = np.array(bounds, np.int64)
        self._grad_packing = np.concatenate(packing) if packing else np.zeros(0, np.int64)
        self._grad_weights = aligned((w.groups, self._grad_packing.size), np.float32)
        self._stride = np.array(w.stride, np.int64)

    def _memory(self, name: str, count: int, shape: tuple[int, ...]) -> Array:
        """Zeroed scratch, kept from call to call: its halo stays zero."""
        held = self._scratch.get(name)
        if held is None or held.shape != (count, *shape):
            held = self._scratch[name] = aligned((count, *shape), np.float32)
        return held

    def forward(self, x: Array, weights: Array, out: Array | None = None) -> Array:
        """(N, H, W, C) and (O, C // groups, kh, kw) to (N, rows, columns, O); float32 or float64."""
        w = self.window
        if x.dtype != np.float32:
            return _into(reference.convolve(x, weights, w), out)
        if out is None:
            out = np.empty((len(x), *w.output, w.out_channels), np.float32)
        if self.depthwise:
            depthwise.forward(x, weights, w, out)
            return out
        _gather(self._by_index(weights), self._packing, self._weights)
        _forward(
            np.ascontiguousarray(x), self._weights, self._memory("x", self._threads, self._shape), w.padding[0], self._places,
            self._folds, self._offsets, w.groups, *w.output, w.stride[0], out,
        )  # fmt: skip
        return out

    def input_gradient(self, dy: Array, weights: Array, out: Array | None = None) -> Array:
        """dL/dx, (N, H, W, C), of dL/dy."""
        w = self.window
        if dy.dtype != np.float32:
            return _into(reference.input_gradient(dy, weights, w), out)
        if out is None:
            out = np.empty((len(dy), w.height, w.width, w.channels), np.float32)
        if self.depthwise:
            depthwise.input_gradient(dy, weights, w, out)
            return out
        flat = weights.reshape(w.groups, -1)
        _gather(flat, self._grad_packing, self._grad_weights)
        _input_gradient(
            np.ascontiguousarray(dy), self._grad_weights, self._memory("dy", self._threads, self._grad_shape), self._grad_top,
            self._grad_places, self._grad_offsets, self._bounds, self._phases, w.groups, self._stride, out,
        )  # fmt: skip
        return out

    def weight_gradient(self, x: Array, dy: Array) -> Array:
        """dL/dw, in the weights' shape."""
        w = self.window
        if x.dtype != np.float32:
            return reference.weight_gradient(x, dy, w)
        if self.depthwise:
            return depthwise.weight_gradient(x, dy, w)
        count = parts(len(x), self._packing.size)
        sums = self._memory("sums", count, self._weights.shape)
        sums[...] = 0
        whole = -(-self.lanes // 32) * 32 if self.lanes > 16 else 16
        whole = w.out_channels if w.groups == 1 and _exact(self.lanes) else max(whole, 16)
        shape = (*w.output, whole) if whole != w.out_channels or w.groups > 1 else (1, 1, whole)
        if w.groups > 1 and whole == w.out_channels:
            whole += 16
            shape = (*w.output, whole)
        _weight_gradient(
            np.ascontiguousarray(x), np.ascontiguousarray(dy), self._memory("wx", count, self._shape), self._memory("wg", count, shape), w.padding[0],
            self._places, self._folds, self._offsets, w.groups, w.stride[0], self._together, sums,
        )  # fmt: skip
        flat = np.empty((w.groups, self.lanes * self.channels * w.kernel[0] * w.kernel[1]), np.float32)
        _scatter(sums, self._packing, flat)
        taps = flat.reshape(w.groups, -1, self.lanes)
        return np.ascontiguousarray(taps.transpose(0, 2, 1)).reshape(w.weight_shape)

    def _by_index(self, weights: Array) -> Array:
        """(groups, index * lanes + lane), index = (channel * kh + ky) * kw + kx."""
        taps = weights.reshape(self.window.groups, self.lanes, -1)
        return np.ascontiguousarray(taps.transpose(0, 2, 1)).reshape(self.window.groups, -1)


def _exact(lanes: int) -> bool:
    """Whether whole vectors of an image's gradients can be read in place."""
    return lanes % 32 in (0, 16)


def _gradient_packing(channels: int, terms: Array, taps: int) -> Array:
    """As :func:`_packing` for the input gradient: from the weights' own order (out, in, taps).

    ``terms``: (T, 16) of ``out * taps + tap``; the lane is the input channel.
    """
    pieces = []
    out, tap = terms.reshape(-1, 1) // taps, terms.reshape(-1, 1) % taps
    for wide in range(0, channels, 32):
        size = 32 if channels - wide > 16 else 16
        lane = np.arange(wide, wide + size)
        place = (out * channels + lane) * taps + tap
        pieces.append(np.where((terms.reshape(-1, 1) >= 0) & (lane < channels), place, -1).reshape(-1))
    return np.concatenate(pieces).astype(np.int64)


def _into(result: Array, out: Array | None) -> Array:
    if out is None:
        return result
    out[...] = result
    return out
