"""Layer normalization over the channels of each pixel, channels last.

Ba, Kiros and Hinton, "Layer Normalization", 2016: ``out = weight (x - mean) / sqrt(var + eps) + bias`` with the mean
and the (biased) variance over the C values of one pixel. PyTorch's ``LayerNorm(C)`` on channels-last maps.

Cost: a pixel is read twice, from the cache the second time. Gradients of weight and bias are summed by
:data:`_SAMPLES` samples and then over those, in one order, so equal inputs give equal bytes for any number of threads.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from asq_sw.nn.layer import OneInput

Array = NDArray[Any]

_SAMPLES = 4  # a partial sum each


@njit(cache=True, parallel=True)
def normalize(x, weight, bias, epsilon, out, moments):
    """``out`` and ``moments`` (N, P, 2) float64, mean and 1 / sqrt(var + eps), of ``x`` (N, P, C)."""
    for n in prange(x.shape[0]):
        for p in range(x.shape[1]):
            row, result = x[n, p], out[n, p]
            mean = np.float64(0)
            for c in range(row.size):
                mean += row[c]
            mean /= row.size
            variance = np.float64(0)
            for c in range(row.size):
                variance += (row[c] - mean) ** 2
            inverse = 1 / np.sqrt(variance / row.size + epsilon)
            moments[n, p, 0], moments[n, p, 1] = mean, inverse
            middle, by = x.dtype.type(mean), x.dtype.type(inverse)
            for c in range(row.size):
                result[c] = (row[c] - middle) * by * weight[c] + bias[c]


@njit(cache=True, parallel=True)
def gradient(dy, x, weight, moments, dx, sums):
    """``dx`` (N, P, C), and ``sums`` (parts, 2, C) float64 of dy * x_hat and of dy.

    With x_hat = (x - mean) * inverse and g = dy * weight: dx = inverse (g - mean(g) - x_hat mean(g x_hat)).
    """
    for part in prange(sums.shape[0]):
        of_weight, of_bias = sums[part, 0], sums[part, 1]
        of_weight[:] = 0
        of_bias[:] = 0
        for n in range(part * _SAMPLES, min((part + 1) * _SAMPLES, x.shape[0])):
            for p in range(x.shape[1]):
                g, row, result = dy[n, p], x[n, p], dx[n, p]
                mean, inverse = x.dtype.type(moments[n, p, 0]), x.dtype.type(moments[n, p, 1])
                total, weighted = np.float64(0), np.float64(0)
                for c in range(row.size):
                    x_hat = (row[c] - mean) * inverse
                    of_weight[c] += g[c] * x_hat
                    of_bias[c] += g[c]
                    total += g[c] * weight[c]
                    weighted += g[c] * weight[c] * x_hat
                middle, slope = x.dtype.type(total / row.size), x.dtype.type(weighted / row.size)
                for c in range(row.size):
                    x_hat = (row[c] - mean) * inverse
                    result[c] = inverse * (g[c] * weight[c] - middle - x_hat * slope)


def _pixels(x: Array) -> Array:
    """(N, P, C) of (N, H, W, C) or (N, C)."""
    return x.reshape(len(x), -1, x.shape[-1])


class LayerNorm(OneInput):
    """Gains start at one, biases at zero; training and inference are alike."""

    _kept: tuple[Array, Array] | None = None  # the input's pixels, their moments

    def forward(self, inputs: list[Array], training: bool, out: Array) -> None:
        x = _pixels(inputs[0])
        moments = np.empty((*x.shape[:2], 2))
        normalize(
            x, self.parameter("weight"), self.parameter("bias"), self.node["eps"], _pixels(out), moments
        )
        if training:
            self._kept = x, moments

    def gradient(self, dy: Array, dx: Array, grads: dict[str, Array]) -> None:
        assert self._kept is not None
        (x, moments), self._kept = self._kept, None
        sums = np.empty((-(-len(x) // _SAMPLES), 2, x.shape[2]))
        gradient(_pixels(dy), x, self.parameter("weight"), moments, _pixels(dx), sums)
        for key, values in zip(("weight", "bias"), sums.sum(axis=0), strict=True):
            grads[f"{self.node.name}.{key}"] = values.astype(dx.dtype)
