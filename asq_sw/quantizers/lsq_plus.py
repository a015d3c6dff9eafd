"""LSQ+: LSQ with a trained offset of the activations and other starting values.

Bhalgat et al., "LSQ+: Improving low-bit quantization through learnable offsets and better initialization",
CVPR Workshops 2020: equations 3 to 5. Activations: ``x_hat = q * s + beta`` with ``q = round(clamp((x - beta) /
s, 0, p))``; the gradient of ``beta`` is 1 outside the range and 0 inside, straight-through, scaled like that
of the step. They start where the squared error is least (section 3.2), found here by alternating
least squares. Weights have no offset and start at ``s = max(|mean - 3 std|, |mean + 3 std|) / 2**(bits-1)``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from asq_sw.quantizers.affine import Affine, AffineQuantizer, Sums
from asq_sw.quantizers.base import ActivationQuantizer, Array
from asq_sw.quantizers.initial import fit_affine
from asq_sw.quantizers.lsq import LsqWeights, step_gradient


class LsqPlusActivations(AffineQuantizer, ActivationQuantizer):
    """LSQ+ activations. Parameters ``s`` (> 0) and ``beta``: shape (1,) each.

    Parameters
    ----------
    bits : int
        1 to 8. Codes are unsigned: the offset serves inputs of either sign.
    """

    _names = ("s", "beta")
    _positive = ("s",)

    def __init__(self, bits: int, name: str = ""):
        super().__init__(bits, False, name)

    def _initial(self, x: Array) -> dict[str, Array]:
        step, offset = fit_affine(x, self.format.max)
        return {"s": np.array([step]), "beta": np.array([offset])}

    def affine(self, x: Array) -> Affine:
        s, beta = self._value("s"), self._value("beta")
        return Affine(beta, s, 0, self.format.max, s, beta)

    def _gradients(self, sums: Sums, affine: Affine, x: Array) -> dict[str, Any]:
        outside = (sums.below + sums.above) / (x.size * affine.high) ** 0.5
        return {"s": step_gradient(sums, affine, x.size), "beta": outside}


class LsqPlusWeights(LsqWeights):
    """LSQ weights that start from the weights' mean and standard deviation (Bhalgat et al. 2020, section 3.2)."""

    def _initial(self, x: Array) -> dict[str, Array]:
        mean, std = float(x.mean(dtype=np.float64)), float(x.std(dtype=np.float64))
        reach = max(abs(mean - 3 * std), abs(mean + 3 * std))
        return {"s": np.array([reach / 2 ** (self.bits - 1) or 1.0])}


def LsqPlus(bits: int, *, weights: bool = False, **options: Any) -> LsqPlusActivations | LsqPlusWeights:
    """An LSQ+ quantizer of activations, or of ``weights``."""
    return LsqPlusWeights(bits, **options) if weights else LsqPlusActivations(bits, **options)
