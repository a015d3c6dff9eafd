"""DAQ: soft rounding by distance, with the temperature that closes the gap to hard rounding.

Kim, Lee, Ham, "Distance-aware Quantization", ICCV 2021: sections 3.1 to 3.3, and the authors' release.
``z = clamp((x - l) / delta, 0, K)`` with K = 2**b - 1, delta = (u - l) / K; f = floor(z), t = z - f. The two
candidates 0 and 1 have scores ``exp(-|t - k|) exp(-(k - near)**2 / sigma**2)``, a softmax at temperature
``T / |score_0 - score_1|`` weights them, and they are moved outward by ``1 / (exp(T) - 1)``.

That temperature makes the two probabilities ``1 / (1 + exp(+-T))`` whatever t is, and the outward step makes
their mean exactly the nearer candidate: the soft output *is* the rounded z. So forward rounds (ties to even).
What is left of the softmax is its slope, with no gradient through the temperature:

``dQ/dz = T / (2 sinh T) * (1 + y) / (1 - y)``, ``y = exp(2 |z - round(z)| - 1 - 1 / sigma**2)``,

steepest half-way between two levels. Weights are normalized first, ``(w - mean) / std`` over the layer; as in
the release no gradient goes through mean and std.
"""

from __future__ import annotations

from math import exp, factorial, sinh
from typing import Any

import numpy as np
from numba import njit, prange

from asq_sw.errors import InputError
from asq_sw.formats import WeightFormat
from asq_sw.quantizers.affine import Affine, AffineQuantizer, Sums, chunks
from asq_sw.quantizers.base import CHUNK, FLOOR, ActivationQuantizer, Array, WeightQuantizer
from asq_sw.quantizers.odd_codes import odd_codes, odd_format

# 1 / n! for n = 15 .. 0: exp(h) = sum of h**n / n!, truncated below 0.5**16 / 16! = 7e-19 for |h| <= 1/2.
_TAYLOR = tuple(1 / factorial(n) for n in range(15, -1, -1))


# reassoc lets the sums use vector lanes; no flag here lets a NaN be assumed away.
@njit(cache=True, fastmath={"reassoc", "contract", "nsz"})
def _backward_chunk(x, grad, dx, origin, step, high, slope, kernel, sums):
    zero, one, half = x.dtype.type(0), x.dtype.type(1), x.dtype.type(0.5)
    inside = weighted = total = coded = zero
    for i in range(x.size):
        z = (x[i] - origin) / step
        c = zero if z < zero else z
        c = high if c > high else c
        q = np.rint(c)
        h = abs(c - q) * (one + one) - half  # exp(h - 1/2) as a series: a call would not vectorize
        y = zero
        for term in _TAYLOR:
            y = y * h + x.dtype.type(term)
        y *= kernel
        g = slope * (one + y) / (one - y) * grad[i]
        g = g if c == z else zero
        inside += g
        weighted += g * c
        total += grad[i]
        coded += grad[i] * q
        dx[i] = g / step
    sums[0], sums[1], sums[2], sums[3] = inside, weighted, total, coded


@njit(cache=True, parallel=True)
def _backward(x, grad, dx, origin, step, high, slope, kernel, sums):
    for k in prange(sums.shape[0]):
        part = slice(k * CHUNK, min((k + 1) * CHUNK, x.size))
        _backward_chunk(x[part], grad[part], dx[part], origin, step, high, slope, kernel, sums[k])


class _Daq(AffineQuantizer):
    """What weights and activations share: the slope of the soft rounding and the interval's gradients."""

    sigma: float
    temperature: float
    _names: tuple[str, ...] = ("l", "u")

    def _set_shape(self, sigma: float, temperature: float) -> None:
        for field, value in (("sigma", sigma), ("temperature", temperature)):
            if not 0 < value < np.inf:
                raise InputError(f"{self.label}: {field} is {value!r}, expected a number above 0")
        self.sigma, self.temperature = float(sigma), float(temperature)

    def _width(self) -> float:
        return max(self._value("u") - self._value("l"), FLOOR)

    def _backward(self, saved: Affine, x: Array, grad: Array, dx: Array) -> dict[str, Any]:
        to = x.dtype.type
        slope = self.temperature / (2 * sinh(self.temperature)) * saved.scale
        kernel = exp(-1 / self.sigma**2 - 0.5)  # the half that the series leaves out
        parts = np.empty((chunks(x.size), 4), x.dtype)
        numbers = map(to, (saved.origin, saved.step, saved.high, slope, kernel))
        _backward(x.reshape(-1), grad.reshape(-1), dx.reshape(-1), *numbers, parts)
        inside, weighted, total, coded = parts.sum(axis=0, dtype=np.float64).tolist()
        # z = K (x - l) / (u - l), so dz/dl = (z - K) / (u - l) and dz/du = -z / (u - l).
        l_grad = (weighted - saved.high * inside) / self._width()
        grads = {"l": l_grad, "u": -weighted / self._width()}
        if "beta" in self.parameters:  # |beta|'s gradient at 0 is +1
            sign = 1.0 if self._value("beta") >= 0 else -1.0
            grads["beta"] = sign * (2 * coded / saved.high - total)
        return grads

    def _gradients(self, sums: Sums, affine: Affine, x: Array) -> dict[str, Any]:
        raise NotImplementedError  # not straight-through: see _backward


class DaqActivations(_Daq, ActivationQuantizer):
    """DAQ activations, ``x_hat`` in [0, 1]. Parameters ``l`` and ``u`` > l, the interval: shape (1,) each.

    ``l`` starts at 0, ``u`` at three standard deviations of the first batch.

    Parameters
    ----------
    bits : int
        1 to 8.
    sigma, temperature : float
        Of the kernel and the controller, > 0.
    """

    def __init__(self, bits: int, sigma: float = 2.0, temperature: float = 2.0, name: str = ""):
        super().__init__(bits, False, name)
        self._set_shape(sigma, temperature)

    def _initial(self, x: Array) -> dict[str, Array]:
        return {"l": np.zeros(1), "u": np.array([3 * _std(x) or 1.0])}

    def affine(self, x: Array) -> Affine:
        high = self.format.max
        return Affine(self._value("l"), self._width() / high, 0, high, 1 / high)


class DaqWeights(_Daq, WeightQuantizer):
    """DAQ weights: ``2**bits`` levels from -|beta| to |beta|.

    Parameters ``l`` and ``u`` > l, the interval, from -3 and 3; ``beta``, the trainable scale of the
    convolution's output: shape (1,) each. The scale multiplies the weights here, which is the same product
    and the same gradient without a pass over the output; ``beta`` is 1 until :meth:`start_scale`.

    Parameters
    ----------
    bits : int
        1 to 8 (integer export: to 7).
    sigma, temperature : float
        Of the kernel and the controller, > 0.
    channel_axis : int
        Of the export only.
    """

    _names = ("l", "u", "beta")

    def __init__(
        self,
        bits: int,
        sigma: float = 1.0,
        temperature: float = 2.0,
        channel_axis: int = 0,
        name: str = "",
    ):
        super().__init__(bits, channel_axis, name)
        self._set_shape(sigma, temperature)

    @property
    def format(self) -> WeightFormat:
        return odd_format(self.bits, self.label)

    def start_scale(self, full: Array, quantized: Array) -> None:
        """Set ``beta`` to mean|full| / mean|quantized|, as the release does at the first batch.

        Parameters
        ----------
        full, quantized : array
            The layer's output with neither operand quantized, and with both (made with the present
            ``beta``). Where either is all zeros ``beta`` stays as it is.
        """
        above = float(np.abs(full).mean(dtype=np.float64)) if full.size else 0.0
        below = float(np.abs(quantized).mean(dtype=np.float64)) if quantized.size else 0.0
        if above > 0 and below > 0:
            self.parameters["beta"] *= above / below

    def _initial(self, x: Array) -> dict[str, Array]:
        return {"l": np.array([-3.0]), "u": np.array([3.0]), "beta": np.ones(1)}

    def _scale(self) -> float:
        return max(abs(self._value("beta")), FLOOR)

    def affine(self, x: Array) -> Affine:
        high = (1 << self.bits) - 1
        std = _std(x) or 1.0  # constant weights: all in the middle
        origin = float(x.mean(dtype=np.float64)) + std * self._value("l")
        scale = self._scale()
        return Affine(origin, std * self._width() / high, 0, high, 2 * scale / high, -scale)

    def _alpha(self, w: Array) -> Array:
        return np.array([self._scale()])

    def _encode_levels(self, level: Array) -> Array:
        return odd_codes(level, self.bits)


def _std(x: Array) -> float:
    """Standard deviation, unbiased as in the release (n - 1); 0 for one value."""
    return float(x.std(dtype=np.float64, ddof=1)) if x.size > 1 else 0.0


def Daq(bits: int, *, weights: bool = False, **options: Any) -> DaqActivations | DaqWeights:
    """A DAQ quantizer of activations, or of ``weights``."""
    return DaqWeights(bits, **options) if weights else DaqActivations(bits, **options)
