"""Pooling, the parameterless shortcut, ReLU and sums, channels last; forward and backward each one pass."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

Array = NDArray[Any]


@njit(cache=True, parallel=True)
def max_pool(x, kernel, stride, padding, out, chosen):
    """Maximum of each window; ``chosen`` (int32, as ``out``): the pixel ``y * W + x`` it came from, the first."""
    for n in prange(x.shape[0]):
        for i in range(out.shape[1]):
            for j in range(out.shape[2]):
                best, at = out[n, i, j], chosen[n, i, j]
                best[:] = -np.inf
                at[:] = -1
                for ky in range(kernel[0]):
                    y = i * stride[0] + ky - padding[0]
                    if y < 0 or y >= x.shape[1]:
                        continue
                    for kx in range(kernel[1]):
                        column = j * stride[1] + kx - padding[1]
                        if column < 0 or column >= x.shape[2]:
                            continue
                        row = x[n, y, column]
                        place = np.int32(y * x.shape[2] + column)
                        for c in range(row.size):
                            larger = row[c] > best[c]
                            best[c] = row[c] if larger else best[c]
                            at[c] = place if larger else at[c]


@njit(cache=True, parallel=True)
def max_pool_gradient(dy, chosen, dx):
    """dx (N, H * W, C) of dy (N, rows, columns, C)."""
    for n in prange(dy.shape[0]):
        dx[n] = 0
        for i in range(dy.shape[1]):
            for j in range(dy.shape[2]):
                for c in range(dy.shape[3]):
                    if chosen[n, i, j, c] >= 0:
                        dx[n, chosen[n, i, j, c], c] += dy[n, i, j, c]


@njit(cache=True, parallel=True)
def average_pool(x, kernel, stride, padding, out):
    """Average of each window, zeros of the padding counted (PyTorch's default)."""
    scale = x.dtype.type(1 / (kernel[0] * kernel[1]))
    for n in prange(x.shape[0]):
        for i in range(out.shape[1]):
            for j in range(out.shape[2]):
                total = out[n, i, j]
                total[:] = 0
                for ky in range(kernel[0]):
                    y = i * stride[0] + ky - padding[0]
                    if y < 0 or y >= x.shape[1]:
                        continue
                    for kx in range(kernel[1]):
                        column = j * stride[1] + kx - padding[1]
                        if column < 0 or column >= x.shape[2]:
                            continue
                        row = x[n, y, column]
                        for c in range(row.size):
                            total[c] += row[c]
                for c in range(total.size):
                    total[c] *= scale


@njit(cache=True, parallel=True)
def average_pool_gradient(dy, kernel, stride, padding, dx):
    scale = dy.dtype.type(1 / (kernel[0] * kernel[1]))
    for n in prange(dy.shape[0]):
        dx[n] = 0
        for i in range(dy.shape[1]):
            for j in range(dy.shape[2]):
                for ky in range(kernel[0]):
                    y = i * stride[0] + ky - padding[0]
                    if y < 0 or y >= dx.shape[1]:
                        continue
                    for kx in range(kernel[1]):
                        column = j * stride[1] + kx - padding[1]
                        if column < 0 or column >= dx.shape[2]:
                            continue
                        for c in range(dy.shape[3]):
                            dx[n, y, column, c] += dy[n, i, j, c] * scale


@njit(cache=True, parallel=True)
def shortcut(x, stride, out):
    """ResNet's option A: every ``stride``-th pixel, zeros for the channels that ``x`` lacks, half on each side."""
    before = (out.shape[3] - x.shape[3]) // 2
    for n in prange(x.shape[0]):
        for i in range(out.shape[1]):
            for j in range(out.shape[2]):
                out[n, i, j] = 0
                for c in range(x.shape[3]):
                    out[n, i, j, before + c] = x[n, i * stride, j * stride, c]


@njit(cache=True, parallel=True)
def shortcut_gradient(dy, stride, dx):
    before = (dy.shape[3] - dx.shape[3]) // 2
    for n in prange(dx.shape[0]):
        dx[n] = 0
        for i in range(dy.shape[1]):
            for j in range(dy.shape[2]):
                for c in range(dx.shape[3]):
                    dx[n, i * stride, j * stride, c] = dy[n, i, j, before + c]


@njit(cache=True, parallel=True)
def clamp_sum(a, b, limit, out):
    """``relu(a + b)`` over samples of equal size; ``b`` of no samples: none; ``limit`` as in normalization."""
    zero, six = a.dtype.type(0), a.dtype.type(6)
    low = zero if limit != 0 else a.dtype.type(-np.inf)
    high = six if limit == 2 else a.dtype.type(np.inf)
    adds = b.shape[0] > 0
    for n in prange(a.shape[0]):
        for i in range(a.shape[1]):
            v = a[n, i] + b[n, i] if adds else a[n, i]
            v = low if v < low else v
            out[n, i] = high if v > high else v


@njit(cache=True, parallel=True)
def clamp_gradient(grad, out, limit, dx):
    zero, six = grad.dtype.type(0), grad.dtype.type(6)
    low = zero if limit != 0 else grad.dtype.type(-np.inf)
    high = six if limit == 2 else grad.dtype.type(np.inf)
    for n in prange(grad.shape[0]):
        for i in range(grad.shape[1]):
            dx[n, i] = grad[n, i] if (out[n, i] > low) & (out[n, i] < high) else zero


@njit(cache=True, parallel=True)
def accumulate(total, part):
    """``total += part``, both (N, anything)."""
    for n in prange(total.shape[0]):
        for i in range(total.shape[1]):
            total[n, i] += part[n, i]
