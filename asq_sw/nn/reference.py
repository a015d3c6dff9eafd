"""Convolution from its definition, in numpy: for float64, and what the fast kernels are checked against."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from asq_sw.window import Window

Array = NDArray[Any]


def _padded(x: Array, w: Window) -> Array:
    top, left, bottom, right = w.padding
    return np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)))


def _tap(padded: Array, w: Window, ky: int, kx: int) -> Array:
    """The pixels that one tap of the window reads, a view: (N, rows, columns, C)."""
    rows, columns = w.output
    y, x = ky * w.dilation[0], kx * w.dilation[1]
    sy, sx = w.stride
    return padded[:, y : y + (rows - 1) * sy + 1 : sy, x : x + (columns - 1) * sx + 1 : sx]


def _grouped(a: Array, groups: int) -> Array:
    return a.reshape(*a.shape[:-1], groups, -1)


def _taps(w: Window) -> list[tuple[int, int]]:
    return [(ky, kx) for ky in range(w.kernel[0]) for kx in range(w.kernel[1])]


def convolve(x: Array, weights: Array, w: Window) -> Array:
    """See :meth:`asq_sw.nn.convolution.Convolution.forward`."""
    padded, g = _padded(x, w), w.groups
    kernels = weights.reshape(g, -1, *weights.shape[1:])
    out = np.zeros((len(x), *w.output, g, kernels.shape[1]), x.dtype)
    for ky, kx in _taps(w):
        out += np.einsum("nyxgc,goc->nyxgo", _grouped(_tap(padded, w, ky, kx), g), kernels[..., ky, kx])
    return out.reshape(len(x), *w.output, -1)


def input_gradient(dy: Array, weights: Array, w: Window) -> Array:
    """See :meth:`asq_sw.nn.convolution.Convolution.input_gradient`."""
    g = w.groups
    top, left, bottom, right = w.padding
    kernels = weights.reshape(g, -1, *weights.shape[1:])
    out = np.zeros((len(dy), w.height + top + bottom, w.width + left + right, w.channels), dy.dtype)
    for ky, kx in _taps(w):
        part = np.einsum("nyxgo,goc->nyxgc", _grouped(dy, g), kernels[..., ky, kx])
        _tap(out, w, ky, kx)[...] += part.reshape(*part.shape[:3], -1)
    return np.ascontiguousarray(out[:, top : top + w.height, left : left + w.width])


def weight_gradient(x: Array, dy: Array, w: Window) -> Array:
    """See :meth:`asq_sw.nn.convolution.Convolution.weight_gradient`."""
    padded, g = _padded(x, w), w.groups
    out = np.empty((g, w.out_channels // g, w.channels // g, *w.kernel), x.dtype)
    for ky, kx in _taps(w):
        out[..., ky, kx] = np.einsum(
            "nyxgc,nyxgo->goc", _grouped(_tap(padded, w, ky, kx), g), _grouped(dy, g)
        )
    return out.reshape(w.weight_shape)
