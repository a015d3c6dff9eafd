"""DoReFa: weights through tanh, activations clipped to [0, 1]; nothing trained.

Zhou et al., "DoReFa-Net", arXiv 1606.06160, 2016: equations 5 to 9 and 11. With K = 2**b - 1 and
``quantize(r) = round(K r) / K``: weights ``w_hat = 2 quantize(tanh(w) / (2 max|tanh(w)|) + 1/2) - 1`` (1 bit:
``sign(w) mean|w|``), activations ``x_hat = quantize(clamp(x, 0, 1))``. Only the rounding is straight-through:
the gradient goes through tanh and through the maximum.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, prange

from asq_sw.formats import WeightFormat
from asq_sw.quantizers.affine import Affine, AffineQuantizer, Sums, chunks
from asq_sw.quantizers.base import CHUNK, ActivationQuantizer, Array, WeightQuantizer
from asq_sw.quantizers.odd_codes import odd_codes, odd_format


@njit(cache=True, parallel=True)
def _forward(w, out, peak, steps):
    half, two = w.dtype.type(0.5), w.dtype.type(2)
    for k in prange((w.size + CHUNK - 1) // CHUNK):
        for i in range(k * CHUNK, min((k + 1) * CHUNK, w.size)):
            r = np.tanh(w[i]) / (two * peak) + half
            out[i] = (two * np.rint(r * steps) - steps) / steps


@njit(cache=True, parallel=True)
def _backward(w, grad, dw, peak, through_peak):
    one = w.dtype.type(1)
    for k in prange(through_peak.size):
        total = w.dtype.type(0)
        for i in range(k * CHUNK, min((k + 1) * CHUNK, w.size)):
            t = np.tanh(w[i])
            total -= grad[i] * t
            dw[i] = grad[i] * (one - t * t) / peak
        through_peak[k] = total / (peak * peak)


class DorefaActivations(AffineQuantizer, ActivationQuantizer):
    """DoReFa activations: [0, 1] in ``2**bits - 1`` steps. No parameters."""

    def __init__(self, bits: int, name: str = ""):
        super().__init__(bits, False, name)

    def _initial(self, x: Array) -> dict[str, Array]:
        return {}

    def affine(self, x: Array) -> Affine:
        step = 1 / self.format.max
        return Affine(0.0, step, 0, self.format.max, step)

    def _gradients(self, sums: Sums, affine: Affine, x: Array) -> dict[str, Any]:
        return {}


class DorefaWeights(WeightQuantizer):
    """DoReFa weights: ``2**bits`` levels from -1 to 1 (1 bit: plus or minus the mean magnitude). No parameters."""

    @property
    def format(self) -> WeightFormat:
        return odd_format(self.bits, self.label)

    def _initial(self, x: Array) -> dict[str, Array]:
        return {}

    def _forward(self, x: Array, out: Array) -> None:
        self._refuse(int(x.size - np.isfinite(x).sum()), x.size)
        if self.bits == 1:
            np.copysign(self._alpha(x).astype(x.dtype)[0], x, out=out)
            return
        _forward(x.reshape(-1), out.reshape(-1), self._peak(x), x.dtype.type(2**self.bits - 1))

    def _backward(self, saved: None, x: Array, grad: Array, dx: Array) -> dict[str, Any]:
        if self.bits == 1:
            dx[...] = grad
            return {}
        parts = np.empty(chunks(x.size), x.dtype)
        peak = self._peak(x)
        _backward(x.reshape(-1), grad.reshape(-1), dx.reshape(-1), peak, parts)
        # The maximum is one weight's magnitude (the first of equals), which gets its gradient besides.
        at = int(np.abs(x).argmax())
        w = float(x.reshape(-1)[at])
        through = float(parts.sum(dtype=np.float64)) * np.sign(w) * (1 - np.tanh(w) ** 2)
        dx.reshape(-1)[at] += x.dtype.type(through)
        return {}

    def _peak(self, w: Array) -> Any:
        """max |tanh(w)|, 1 where all weights are zero."""
        return np.tanh(np.abs(w).max()) or w.dtype.type(1)

    def _alpha(self, w: Array) -> Array:
        return np.array([np.abs(w).mean(dtype=np.float64) if self.bits == 1 else 1.0])

    def _encode_levels(self, level: Array) -> Array:
        return odd_codes(level, self.bits)


def Dorefa(bits: int, *, weights: bool = False, **options: Any) -> DorefaActivations | DorefaWeights:
    """A DoReFa quantizer of activations, or of ``weights``."""
    return DorefaWeights(bits, **options) if weights else DorefaActivations(bits, **options)
