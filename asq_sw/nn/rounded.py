"""A layer's forward pass with the products that the hardware's rounded sqrt(2) table makes.

With a the activation code and m the weight's exponent the machine adds ``a 2**(m >> 1)`` for even m and
``R[a] 2**-F 2**(m >> 1)`` for odd m (:meth:`asq_sw.formats.WeightFormat.product`). So a layer is the sum of two
full-precision ones: x_hat with the weights of even exponents, and ``R[a] 2**-F`` with those of odd ones, each
without its sqrt(2). Training sees this sum forward, and passes gradients as if R were exact.

Cost: the layer's MACs twice, and a pass over its input.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from asq_sw.errors import InputError
from asq_sw.quantizers.layer import LayerQuantizers

Array = NDArray[Any]


@njit(cache=True, parallel=True)
def _look_up(x_hat, scale, table, low, out):
    """``out = table[code - low] * scale`` of ``code = x_hat / scale``; ``x_hat``: (N, values), ``scale``: (N,)."""
    for n in prange(x_hat.shape[0]):
        step = scale[n]
        for i in range(x_hat.shape[1]):
            out[n, i] = table[int(np.rint(x_hat[n, i] / step)) - low] * step


def odd_operand(format: Any, activation: Any, scale: Array, x_hat: Array, out: Array) -> Array:
    """``R[a] 2**-F`` times the activations' scale, in ``out``.

    Parameters
    ----------
    format : WeightFormat
        With a sqrt(2) table.
    activation : ActivationFormat
    scale : (1,) or (N, 1, ...)
        ``x_hat = scale * a``.
    x_hat, out : (N, ...)
    """
    table = format.lut(activation.bits, activation.signed) * 2.0 ** -(format.frac_bits + format.guard_bits)
    values = activation.values
    ordered = table[np.argsort(values)].astype(x_hat.dtype)
    steps = np.ascontiguousarray(np.broadcast_to(scale.reshape(-1), len(x_hat)).astype(x_hat.dtype))
    _look_up(x_hat.reshape(len(x_hat), -1), steps, ordered, activation.min, out.reshape(len(out), -1))
    return out


def split_weights(format: Any, alpha: Array, w_hat: Array) -> tuple[Array, Array]:
    """(even, odd) parts of weights on a sqrt(2) grid: zeros elsewhere, odd ones divided by sqrt(2).

    Parameters
    ----------
    format : WeightFormat
    alpha : (channels,)
        Of axis 0.
    w_hat : (channels, ...)
    """
    magnitude = np.abs(w_hat) / alpha.reshape(-1, *[1] * (w_hat.ndim - 1))
    # level = sqrt(2)**(m - M); zeros get an exponent that does not matter
    exponent = np.rint(2 * np.log2(np.maximum(magnitude, 1e-9))).astype(np.int64) + format.anchor
    odd = exponent % 2 == 1
    zero = w_hat.dtype.type(0)
    return np.where(odd, zero, w_hat), np.where(odd, w_hat * w_hat.dtype.type(0.5**0.5), zero)


class RoundedProducts:
    """Runs one layer.

    Parameters
    ----------
    product : callable
        Writes the layer's output in full precision: ``product(x, w, out)``.
    """

    def __init__(self, product: Callable[[Array, Array, Array], None]):
        self.product = product
        self._memory: dict[str, Array] = {}

    def forward(self, pair: LayerQuantizers, x_hat: Array, w_hat: Array, out: Array) -> None:
        """Write ``out`` from the quantized operands of the quantizers' last forward."""
        if pair.activation is None or pair.weight is None:
            raise InputError("products of the rounded table need quantized weights and activations")
        scale, offset = pair.activation.last_scale(x_hat)
        if np.any(offset):
            raise InputError(
                f"{pair.activation.label}: activations with an offset do not fit the rounded table, "
                "expected a quantizer without one"
            )
        even, odd = split_weights(pair.weight.format, pair.weight.last_alpha(w_hat), w_hat)
        x_odd = odd_operand(
            pair.weight.format, pair.activation.format, scale, x_hat, self._buffer("x", x_hat)
        )
        self.product(x_hat, even, out)
        of_odd = self._buffer("y", out)
        self.product(x_odd, odd, of_odd)
        out += of_odd

    def _buffer(self, name: str, like: Array) -> Array:
        memory = self._memory.get(name)
        if memory is None or memory.shape != like.shape or memory.dtype != like.dtype:
            memory = self._memory[name] = np.empty_like(like)
        return memory
