"""A layer's forward pass with the products that the hardware's rounded tables make.

The machine adds ``a * even[code] + table[a] * odd[code]`` (:func:`asq_sw.formats.two_terms`). So a layer is the sum of
two full-precision ones: x_hat with the even weights, and the table's entries with the odd ones; of a grid with
fixed-point levels (``nf4``) the first alone. Training sees this sum forward, and passes gradients as if no product were
rounded.

Cost: the layer's MACs twice and a pass over its input, where there is a table; a pass over its weights for each term.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from asq_sw.errors import InputError
from asq_sw.formats import ActivationFormat, WeightFormat, two_terms
from asq_sw.quantizers.grid import GridWeights
from asq_sw.quantizers.layer import LayerQuantizers

Array = NDArray[Any]


@njit(cache=True, parallel=True)
def _look_up(x_hat, scale, table, low, out):
    """``out = table[code - low] * scale`` of ``code = x_hat / scale``; ``x_hat``: (N, values), ``scale``: (N,)."""
    for n in prange(x_hat.shape[0]):
        step = scale[n]
        for i in range(x_hat.shape[1]):
            out[n, i] = table[int(np.rint(x_hat[n, i] / step)) - low] * step


class Terms(NamedTuple):
    """A format's products in units of the level: ``a * even + table * odd``.

    Attributes
    ----------
    even : float64 (L,)
        By level, ascending.
    odd : float64 (L,), or None
        Likewise; None for a grid without a table.
    table : float64 (2**bits,), or None
        By activation, ascending: about as large as the activation itself.
    """

    even: Array
    odd: Array | None
    table: Array | None


@lru_cache(maxsize=64)
def terms(weight: WeightFormat, activation: ActivationFormat) -> Terms:
    """The terms of :func:`asq_sw.formats.two_terms` as floats; ``weight`` with at most one table."""
    even, odd, table = two_terms(weight, activation)

    def by_level(factors: list[int], scale: float) -> Array:
        return np.array([float(factors[code]) * scale for code in weight.codes])

    if odd is None or table is None:
        return Terms(by_level(even, weight.product_scale), None, None)
    # A power of two, so that no entry is rounded once more.
    entry = 2.0 ** (weight.frac_bits + weight.guard_bits)
    return Terms(
        by_level(even, weight.product_scale), by_level(odd, weight.product_scale * entry), table / entry
    )


def table_operand(
    table: Array, activation: ActivationFormat, scale: Array, x_hat: Array, out: Array
) -> Array:
    """The table's entries times the activations' scale, in ``out``.

    Parameters
    ----------
    table : (2**bits,)
        By activation, ascending.
    activation : ActivationFormat
    scale : (1,) or (N, 1, ...)
        ``x_hat = scale * a``.
    x_hat, out : (N, ...)
    """
    steps = np.ascontiguousarray(np.broadcast_to(scale.reshape(-1), len(x_hat)).astype(x_hat.dtype))
    _look_up(
        x_hat.reshape(len(x_hat), -1),
        steps,
        table.astype(x_hat.dtype),
        activation.min,
        out.reshape(len(out), -1),
    )
    return out


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
        if pair.activation is None or not isinstance(pair.weight, GridWeights):
            raise InputError("rounded products need quantized activations and weights on a grid")
        scale, offset = pair.activation.last_scale(x_hat)
        if np.any(offset):
            raise InputError(
                f"{pair.activation.label}: activations with an offset do not fit the rounded table, "
                "expected a quantizer without one"
            )
        weight = pair.weight
        even, odd, table = terms(weight.format, pair.activation.format)
        self.product(x_hat, weight.with_levels(w_hat, even), out)
        if odd is None or table is None:
            return
        entries = table_operand(table, pair.activation.format, scale, x_hat, self._buffer("x", x_hat))
        part = self._buffer("y", out)
        self.product(entries, weight.with_levels(w_hat, odd), part)
        out += part

    def _buffer(self, name: str, like: Array) -> Array:
        memory = self._memory.get(name)
        if memory is None or memory.shape != like.shape or memory.dtype != like.dtype:
            memory = self._memory[name] = np.empty_like(like)
        return memory
