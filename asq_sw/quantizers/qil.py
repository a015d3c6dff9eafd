"""QIL: trained quantization intervals; prunes below, clips above.

Jung et al., "Learning to Quantize Deep Networks by Optimizing Quantization Intervals with Task Loss", CVPR
2019: equations 1 to 5. Centre c and half-width d of the interval, exponent gamma (weights); with
``u = 0.5 |w| / d - 0.5 c / d + 0.5``:

weights ``t = 0`` if |w| < c - d, ``sign(w)`` if |w| > c + d, ``sign(w) u**gamma`` between;
``w_hat = round(t q) / q``, ``q = 2**(b-1) - 1`` (2 bits: ternary);
activations ``t = clamp(u, 0, 1)`` of ``x`` itself, ``x_hat = round(t q) / q``, ``q = 2**b - 1``.

Only the rounding is straight-through. The outputs have no scale: what follows (a batch norm) supplies it.
The paper does not print its starting values. Here c = d, so nothing is pruned outright, and c + d is the
clipping point with the least squared error for that number of levels.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, prange

from asq_sw.formats import WeightFormat
from asq_sw.quantizers.affine import Affine, AffineQuantizer, Sums, chunks
from asq_sw.quantizers.base import CHUNK, ActivationQuantizer, Array, WeightQuantizer
from asq_sw.quantizers.initial import best_clip


@njit(cache=True, parallel=True)
def _forward(w, out, c, d, gamma, steps):
    zero, one = w.dtype.type(0), w.dtype.type(1)
    for k in prange((w.size + CHUNK - 1) // CHUNK):
        for i in range(k * CHUNK, min((k + 1) * CHUNK, w.size)):
            u = (abs(w[i]) - c + d) / (d + d)
            t = zero if u < zero else u
            t = one if t > one else t
            if gamma != one:
                t = t**gamma
            q = np.rint(t * steps) / steps
            out[i] = q if w[i] >= zero else zero - q


@njit(cache=True, parallel=True)
def _backward(w, grad, dw, c, d, gamma, sums):
    zero, one = w.dtype.type(0), w.dtype.type(1)
    for k in prange(sums.shape[0]):
        dc = dd = dgamma = zero
        for i in range(k * CHUNK, min((k + 1) * CHUNK, w.size)):
            magnitude = abs(w[i])
            u = (magnitude - c + d) / (d + d)
            dw[i] = zero
            # At u = 0 the power's slope is 0 or infinite; nothing passes.
            if u > zero and u <= one:
                slope = gamma * u ** (gamma - one) if gamma != one else one
                g = grad[i] if w[i] >= zero else -grad[i]
                dc -= g * slope
                dd -= g * slope * (magnitude - c)
                dgamma += g * u**gamma * np.log(u)
                dw[i] = grad[i] * slope / (d + d)
        sums[k, 0], sums[k, 1], sums[k, 2] = dc / (d + d), dd / ((d + d) * d), dgamma


class QilWeights(WeightQuantizer):
    """QIL weights. Parameters ``c``, ``d`` (> 0) and, where trained, ``gamma`` (> 0): shape (1,) each.

    Parameters
    ----------
    bits : int
        2 (ternary) to 8.
    train_gamma : bool
        Whether gamma is a parameter; otherwise it is 1.
    channel_axis : int
        Of the export only.
    """

    min_bits = 2

    def __init__(self, bits: int, train_gamma: bool = False, channel_axis: int = 0, name: str = ""):
        super().__init__(bits, channel_axis, name)
        self.train_gamma = train_gamma
        self._names = ("c", "d", "gamma") if train_gamma else ("c", "d")
        self._positive = ("d", "gamma") if train_gamma else ("d",)

    @property
    def format(self) -> WeightFormat:
        return WeightFormat("int", self.bits)

    def _initial(self, x: Array) -> dict[str, Array]:
        half = best_clip(np.abs(x), self.format.unit) / 2
        start = {"c": np.array([half]), "d": np.array([half])}
        return start | ({"gamma": np.ones(1)} if self.train_gamma else {})

    def _numbers(self, x: Array) -> tuple[Any, Any, Any]:
        gamma = self._value("gamma") if self.train_gamma else 1.0
        to = x.dtype.type
        return to(self._value("c")), to(self._value("d")), to(gamma)

    def _forward(self, x: Array, out: Array) -> None:
        self._refuse(int(x.size - np.isfinite(x).sum()), x.size)
        _forward(x.reshape(-1), out.reshape(-1), *self._numbers(x), x.dtype.type(self.format.unit))

    def _backward(self, saved: None, x: Array, grad: Array, dx: Array) -> dict[str, Any]:
        sums = np.empty((chunks(x.size), 3), x.dtype)
        _backward(x.reshape(-1), grad.reshape(-1), dx.reshape(-1), *self._numbers(x), sums)
        return dict(zip(("c", "d", "gamma"), sums.sum(axis=0, dtype=np.float64).tolist(), strict=True))

    def _alpha(self, w: Array) -> Array:
        return np.ones(1)


class QilActivations(AffineQuantizer, ActivationQuantizer):
    """QIL activations, for inputs >= 0. Parameters ``c`` and ``d`` (> 0): shape (1,) each.

    Parameters
    ----------
    bits : int
        1 to 8.
    """

    _names = ("c", "d")
    _positive = ("d",)

    def __init__(self, bits: int, name: str = ""):
        super().__init__(bits, False, name)

    def _initial(self, x: Array) -> dict[str, Array]:
        half = best_clip(np.maximum(x, 0), self.format.max) / 2
        return {"c": np.array([half]), "d": np.array([half])}

    def affine(self, x: Array) -> Affine:
        c, d, q = self._value("c"), self._value("d"), self.format.max
        return Affine(c - d, 2 * d / q, 0, q, 1 / q)

    def _gradients(self, sums: Sums, affine: Affine, x: Array) -> dict[str, Any]:
        # t = v / q = (x - c) / (2 d) + 1/2, so dt/dc = -1 / (2 d) and dt/dd = -(t - 1/2) / d.
        d, q = self._value("d"), affine.high
        return {"c": -sums.inside / (2 * d), "d": -(sums.weighted / q - sums.inside / 2) / d}


def Qil(bits: int, *, weights: bool = False, **options: Any) -> QilActivations | QilWeights:
    """A QIL quantizer of activations, or of ``weights``."""
    return QilWeights(bits, **options) if weights else QilActivations(bits, **options)
