"""PACT activations: a trained clipping point.

Choi et al., "PACT: Parameterized Clipping Activation for Quantized Neural Networks", arXiv 1805.06085, 2018:
equations 1 to 3. ``x_hat = round(clamp(x, 0, a) * (2**b - 1) / a) * a / (2**b - 1)``; ``dL/da`` is the sum of
the gradients above ``a``. The paper trains ``a`` with weight decay and takes DoReFa's weights beside it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from asq_sw.errors import InputError
from asq_sw.quantizers.affine import Affine, AffineQuantizer, Sums
from asq_sw.quantizers.base import ActivationQuantizer, Array


class Pact(AffineQuantizer, ActivationQuantizer):
    """PACT activations. Parameter ``alpha``: shape (1,), the clipping point, > 0.

    Parameters
    ----------
    bits : int
        1 to 8.
    start : float
        First clipping point, > 0; 10 as in the paper's CIFAR-10 experiments (section 5).
    """

    _names = ("alpha",)
    _positive = ("alpha",)

    def __init__(self, bits: int, start: float = 10.0, name: str = ""):
        super().__init__(bits, False, name)
        if not 0 < start < np.inf:
            raise InputError(f"{self.label}: start is {start!r}, expected a number above 0")
        self.start = float(start)

    def _initial(self, x: Array) -> dict[str, Array]:
        return {"alpha": np.array([self.start])}

    def affine(self, x: Array) -> Affine:
        step = self._value("alpha") / self.format.max
        return Affine(0.0, step, 0, self.format.max, step)

    def _gradients(self, sums: Sums, affine: Affine, x: Array) -> dict[str, Any]:
        return {"alpha": sums.above}
