"""LSQ: a learned step per layer, for activations and weights.

Esser et al., "Learned Step Size Quantization", ICLR 2020: equations 1 to 3, section 2.2 (gradient scale) and
section 2.1 (initial step). ``x_hat = s * round(clamp(x / s, n, p))``; s starts at ``2 mean|x| / sqrt(p)``;
``dL/ds = sum(G * (q - v inside, n below, p above)) / sqrt(numel * p)``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from asq_sw.formats import ActivationFormat, WeightFormat
from asq_sw.quantizers.affine import Affine, AffineQuantizer, Sums
from asq_sw.quantizers.base import ActivationQuantizer, Array, WeightQuantizer


def initial_step(x: Array, high: int) -> float:
    """``2 mean|x| / sqrt(p)`` (Esser et al. 2020, section 2.1); 1 where ``x`` is all zeros."""
    return 2 * float(np.abs(x).mean(dtype=np.float64)) / high**0.5 or 1.0


def step_gradient(sums: Sums, affine: Affine, size: int) -> float:
    """dL/ds with the gradient scale ``1 / sqrt(numel * p)`` (Esser et al. 2020, equation 3, section 2.2)."""
    total = sums.error + affine.low * sums.below + affine.high * sums.above
    return total / (size * affine.high) ** 0.5


class LsqActivations(AffineQuantizer, ActivationQuantizer):
    """LSQ activations. Parameter ``s``: shape (1,), the step, > 0.

    Parameters
    ----------
    bits : int
        1 to 8.
    signed : bool
        Codes from ``-2**(bits-1)``; 2 bits or more.
    """

    _names = ("s",)
    _positive = ("s",)

    def _initial(self, x: Array) -> dict[str, Array]:
        return {"s": np.array([initial_step(x, self.format.max)])}

    def affine(self, x: Array) -> Affine:
        s = self._value("s")
        return Affine(0.0, s, self.format.min, self.format.max, s)

    def _gradients(self, sums: Sums, affine: Affine, x: Array) -> dict[str, Any]:
        return {"s": step_gradient(sums, affine, x.size)}


class LsqWeights(AffineQuantizer, WeightQuantizer):
    """LSQ weights: one step per layer, codes ``-2**(bits-1) .. 2**(bits-1) - 1``, all of them used.

    Parameter ``s``: shape (1,), the step, > 0. The export's alpha is ``s * (2**(bits-1) - 1)``.

    Parameters
    ----------
    bits : int
        2 to 8.
    channel_axis : int
        Of the export only.
    """

    min_bits = 2
    _names = ("s",)
    _positive = ("s",)

    @property
    def codes_range(self) -> ActivationFormat:
        """The integers that a weight takes (two's complement)."""
        return ActivationFormat(self.bits, signed=True)

    @property
    def format(self) -> WeightFormat:
        return WeightFormat("int-full", self.bits)

    def _initial(self, x: Array) -> dict[str, Array]:
        return {"s": np.array([initial_step(x, self.codes_range.max)])}

    def affine(self, x: Array) -> Affine:
        s = self._value("s")
        return Affine(0.0, s, self.codes_range.min, self.codes_range.max, s)

    def _gradients(self, sums: Sums, affine: Affine, x: Array) -> dict[str, Any]:
        return {"s": step_gradient(sums, affine, x.size)}

    def _alpha(self, w: Array) -> Array:
        return self.parameters["s"] * self.format.unit

    def _encode_levels(self, level: Array) -> Array:
        whole = np.rint(level * self.format.unit).astype(np.int64)
        return self.format.encode_integers(whole)


def Lsq(bits: int, *, weights: bool = False, **options: Any) -> LsqActivations | LsqWeights:
    """An LSQ quantizer of activations, or of ``weights``; options as :class:`LsqActivations`, :class:`LsqWeights`."""
    return LsqWeights(bits, **options) if weights else LsqActivations(bits, **options)
