"""Depthwise convolution, channels last, float32: the innermost loop runs over the channels on vectors."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from asq_sw.window import Window

Array = NDArray[Any]


@njit(cache=True, parallel=True)
def _forward(x, weights, top, left, stride, dilation, out):
    height, width, channels = x.shape[1:]
    for n in prange(x.shape[0]):
        for y in range(out.shape[1]):
            for j in range(out.shape[2]):
                row = out[n, y, j]
                row[:] = 0
                for ky in range(weights.shape[0]):
                    source = y * stride[0] + ky * dilation[0] - top
                    if source < 0 or source >= height:
                        continue
                    for kx in range(weights.shape[1]):
                        column = j * stride[1] + kx * dilation[1] - left
                        if column < 0 or column >= width:
                            continue
                        for c in range(channels):
                            row[c] += x[n, source, column, c] * weights[ky, kx, c]


@njit(cache=True, parallel=True)
def _input_gradient(dy, weights, top, left, stride, dilation, dx):
    height, width, channels = dx.shape[1:]
    for n in prange(dy.shape[0]):
        dx[n] = 0
        for y in range(dy.shape[1]):
            for j in range(dy.shape[2]):
                for ky in range(weights.shape[0]):
                    source = y * stride[0] + ky * dilation[0] - top
                    if source < 0 or source >= height:
                        continue
                    for kx in range(weights.shape[1]):
                        column = j * stride[1] + kx * dilation[1] - left
                        if column < 0 or column >= width:
                            continue
                        for c in range(channels):
                            dx[n, source, column, c] += dy[n, y, j, c] * weights[ky, kx, c]


@njit(cache=True, parallel=True)
def _weight_gradient(x, dy, top, left, stride, dilation, sums):
    height, width, channels = x.shape[1:]
    count = sums.shape[0]
    for part in prange(count):
        for n in range(part * x.shape[0] // count, (part + 1) * x.shape[0] // count):
            for y in range(dy.shape[1]):
                for ky in range(sums.shape[1]):
                    source = y * stride[0] + ky * dilation[0] - top
                    if source < 0 or source >= height:
                        continue
                    for kx in range(sums.shape[2]):
                        for j in range(dy.shape[2]):
                            column = j * stride[1] + kx * dilation[1] - left
                            if column < 0 or column >= width:
                                continue
                            for c in range(channels):
                                sums[part, ky, kx, c] += x[n, source, column, c] * dy[n, y, j, c]


def _numbers(w: Window) -> tuple[int, int, Array, Array]:
    return w.padding[0], w.padding[1], np.array(w.stride, np.int64), np.array(w.dilation, np.int64)


def _by_channel(weights: Array) -> Array:
    """(kh, kw, C) of (C, 1, kh, kw)."""
    return np.ascontiguousarray(weights[:, 0].transpose(1, 2, 0))


def forward(x: Array, weights: Array, w: Window, out: Array) -> None:
    """Write ``out`` (N, rows, columns, C)."""
    _forward(x, _by_channel(weights), *_numbers(w), out)


def input_gradient(dy: Array, weights: Array, w: Window, out: Array) -> None:
    """Write ``out`` (N, H, W, C)."""
    _input_gradient(dy, _by_channel(weights), *_numbers(w), out)


def weight_gradient(x: Array, dy: Array, w: Window) -> Array:
    """(C, 1, kh, kw); summed over 8 parts of the batch, the parts in order."""
    sums = np.zeros((min(len(x), 8), *w.kernel, w.channels), np.float32)
    _weight_gradient(x, dy, *_numbers(w), sums)
    return np.ascontiguousarray(sums.sum(axis=0).transpose(2, 0, 1))[:, None]
