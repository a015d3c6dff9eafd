"""Weights on the grids of :class:`asq_sw.formats.WeightFormat`, one trained scale per output channel.

Zhou et al. 2025 (ASQ), for ``post``; the other grids by the same rule, so that they compare. With ``low`` and ``high``
the grid's outer levels (-1 and 1 where it is symmetric), v = clamp(w / alpha, low, high) and q the nearest level (ties
towards zero): ``w_hat = alpha q``. alpha starts at the 0.99 quantile of ``|w|``. Straight-through: ``dw_hat/dw`` is 1 where
w / alpha is within low .. high, else 0; ``dw_hat/dalpha`` is q - v there, and low or high outside, times the gradient
scale ``1 / sqrt(weights per channel)``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numba import njit, prange

from asq_sw.errors import InputError
from asq_sw.formats import WeightFormat
from asq_sw.quantizers.base import FLOOR, Array, WeightQuantizer

_BLOCK = (
    512  # elements whose levels are found together: 2 kB of float32 beside the weights, in the first cache
)


@njit(cache=True)
def _nearest(w, out, scale, thresholds, levels, zero):
    """Write the nearest level times ``scale``; returns how many weights are NaN or infinite.

    Level by level over a block, so that the compare and the select run on vectors. ``levels``: ascending, with level
    0 at ``zero``; ``thresholds``: the midpoints between them. ``zero`` = 0: the levels are magnitudes, of either sign.
    """
    nought = w.dtype.type(0)
    bad = 0
    for i in range(w.size):
        bad += w[i] - w[i] != nought
    for start in range(0, w.size, _BLOCK):
        # Views: with one index into the whole, LLVM would not run a block on vectors.
        values, result = w[start : start + _BLOCK], out[start : start + _BLOCK]
        for i in range(values.size):
            result[i] = nought
        if zero == 0:
            for k in range(thresholds.size):
                threshold, value = thresholds[k] * scale, levels[k + 1] * scale
                for i in range(values.size):
                    result[i] = value if abs(values[i]) > threshold else result[i]
            for i in range(values.size):
                result[i] = result[i] if values[i] >= nought else nought - result[i]
        else:
            for k in range(zero, thresholds.size):
                threshold, value = thresholds[k] * scale, levels[k + 1] * scale
                for i in range(values.size):
                    result[i] = value if values[i] > threshold else result[i]
            for k in range(zero - 1, -1, -1):
                threshold, value = thresholds[k] * scale, levels[k] * scale
                for i in range(values.size):
                    result[i] = value if values[i] < threshold else result[i]
    return bad


@njit(cache=True, parallel=True)
def _forward(w, out, alpha, thresholds, levels, zero, bad):
    for c in prange(w.shape[0]):
        bad[c] = _nearest(w[c], out[c], alpha[c], thresholds, levels, zero)


# reassoc lets the sum use vector lanes; no flag here lets a NaN be assumed away.
@njit(cache=True, fastmath={"reassoc", "contract", "nsz"})
def _channel(w, w_hat, grad, dw, alpha, low, high):
    """dL/dalpha before its gradient scale; ``low``, ``high``: the outer levels times ``alpha``."""
    zero = w.dtype.type(0)
    total = zero
    for i in range(w.size):
        inside = (w[i] >= low) & (w[i] <= high)
        dw[i] = grad[i] if inside else zero
        outside = high if w[i] > zero else low
        total += grad[i] * (w_hat[i] - w[i] if inside else outside)
    return total / alpha


@njit(cache=True, parallel=True)
def _backward(w, w_hat, grad, dw, alpha, low, high, d_alpha):
    for c in prange(w.shape[0]):
        d_alpha[c] = _channel(w[c], w_hat[c], grad[c], dw[c], alpha[c], low * alpha[c], high * alpha[c])


STARTS = ("quantile", "least-squares")


class GridWeights(WeightQuantizer):
    """Weights on one grid. Parameter ``alpha``: shape (channels,), or (1,) per tensor; > 0.

    Finding a level costs one compare and one select per weight and level but zero, on vectors; where the levels are
    symmetric, per positive level (4 bits: 7).

    Parameters
    ----------
    format : WeightFormat
        The levels.
    per_channel : bool
        A scale for each output channel, or one for the tensor.
    channel_axis : int
        Axis of the output channels; 0 is fastest (others are copied to rows and back).
    start : str
        The first alpha (:data:`STARTS`): ``quantile``, the 0.99 quantile of ``|w|`` (the ASQ paper), or
        ``least-squares``, the scale with the least squared error on the grid. With few levels the first is
        far too wide: at 2 bits it makes four of five Gaussian weights zero.
    """

    min_bits = 2
    _names = ("alpha",)
    _positive = ("alpha",)

    def __init__(
        self,
        format: WeightFormat,
        per_channel: bool = True,
        channel_axis: int = 0,
        name: str = "",
        start: str = STARTS[0],
    ):
        super().__init__(format.bits, channel_axis, name)
        if start not in STARTS:
            raise InputError(f"start is {start!r}, expected one of {', '.join(STARTS)}")
        self.start = start
        self._format = format
        self.per_channel = per_channel
        levels = format.levels
        self._thresholds = (levels[1:] + levels[:-1]) / 2
        # Of symmetric levels the kernel takes the magnitudes: half the work.
        self._first = int(np.flatnonzero(levels == 0)[0]) if format.record.symmetric else 0

    @property
    def format(self) -> WeightFormat:
        return self._format

    @property
    def channels(self) -> int | None:
        return len(self.parameters["alpha"]) if self.per_channel and self.parameters else None

    def _shapes(self, state: Mapping[str, Array]) -> dict[str, tuple[int, ...]]:
        return {"alpha": (np.size(state.get("alpha", 0)) if self.per_channel else 1,)}

    def _rows(self, w: Array) -> Array:
        """Contiguous (channels, weights per channel)."""
        moved = np.moveaxis(w, self.channel_axis, 0)
        return np.ascontiguousarray(moved.reshape(len(moved), -1))

    def _unrows(self, rows: Array, out: Array) -> None:
        """Write ``rows`` into ``out`` of the weights' shape, unless they are the same memory."""
        if not np.may_share_memory(rows, out):
            moved = np.moveaxis(out, self.channel_axis, 0)
            moved[...] = rows.reshape(moved.shape)

    def _row_buffer(self, out: Array) -> Array:
        return (
            out.reshape(len(out), -1) if self.channel_axis % out.ndim == 0 else np.empty_like(self._rows(out))
        )

    def _initial(self, x: Array) -> dict[str, Array]:
        rows = self._rows(x) if self.per_channel else self._rows(x).reshape(1, -1)
        magnitudes = np.abs(rows)
        alpha = np.quantile(magnitudes, 0.99, axis=1)
        # A dead channel gets the others' mean, so that it can come back; a quantile of 0 in a channel that
        # is not dead gets the channel's maximum.
        alpha = np.where(alpha > 0, alpha, magnitudes.max(axis=1))
        live = alpha > 0
        alpha = np.where(live, alpha, alpha[live].mean() if live.any() else 1.0)
        return {"alpha": alpha if self.start == "quantile" else self._least_squares(rows, alpha)}

    def _least_squares(self, rows: Array, alpha: Array) -> Array:
        """Of 56 shares of ``alpha``, from 0.2 to 1.3, the one with the least squared error, per channel."""
        result, best, least = np.empty_like(rows), alpha.copy(), np.full(len(rows), np.inf)
        for share in np.linspace(0.2, 1.3, 56):
            self._place(rows, result, (share * alpha).astype(rows.dtype), self._format.levels)
            error = np.square(result - rows).sum(axis=1, dtype=np.float64)
            best = np.where(error < least, share * alpha, best)
            least = np.minimum(least, error)
        return best

    def _place(self, rows: Array, out: Array, scales: Array, values: Array) -> int:
        """Write each weight's level times its channel's scale, with ``values`` for the levels; returns the bad ones."""
        to, first = rows.dtype.type, self._first
        bad = np.empty(len(rows), np.int64)
        zero = int(np.flatnonzero(self._format.levels == 0)[0]) - first
        _forward(rows, out, scales, self._thresholds[first:].astype(to), values[first:].astype(to), zero, bad)
        return int(bad.sum())

    def with_levels(self, w: Array, values: Array) -> Array:
        """The quantized weights with other numbers in the levels' place, such as a rounded product's parts.

        Parameters
        ----------
        w : (channels, ...)
            Weights (or what ``forward`` made of them).
        values : float64 (L,)
            By level, ascending; 0 for level 0. Of a symmetric grid, those of opposite levels are opposite.

        Returns
        -------
        ``alpha * values[level]``; shape and dtype of ``w``.
        """
        out = np.empty_like(w)
        rows, result = self._rows(w), self._row_buffer(out)
        self._place(rows, result, self._scales(w, len(rows)), values)
        self._unrows(result, out)
        return out

    def _scales(self, w: Array, channels: int) -> Array:
        alpha = self.parameters["alpha"]
        if self.per_channel and len(alpha) != channels:
            raise InputError(f"{self.label}: weights of {channels} channels, expected {len(alpha)}")
        return np.ascontiguousarray(np.broadcast_to(alpha.astype(w.dtype), channels))

    def _forward(self, x: Array, out: Array) -> Array:
        rows, result = self._rows(x), self._row_buffer(out)
        bad = self._place(rows, result, self._scales(x, len(rows)), self._format.levels)
        self._refuse(bad, x.size)
        self._unrows(result, out)
        return result

    def _backward(self, saved: Array, x: Array, grad: Array, dx: Array) -> dict[str, Any]:
        rows, result = self._rows(x), self._row_buffer(dx)
        d_alpha = np.empty(len(rows), x.dtype)
        to, levels = x.dtype.type, self._format.levels
        ends = to(levels[0]), to(levels[-1])
        _backward(rows, saved, self._rows(grad), result, self._scales(x, len(rows)), *ends, d_alpha)
        self._unrows(result, dx)
        if self.per_channel:
            return {"alpha": d_alpha / rows.shape[1] ** 0.5}
        return {"alpha": d_alpha.sum(dtype=np.float64) / rows.size**0.5}

    def _alpha(self, w: Array) -> Array:
        return np.maximum(self.parameters["alpha"], FLOOR)


class Post(GridWeights):
    """POST weights: powers of sqrt(2). :class:`GridWeights` takes every other grid, and exponents of one's own.

    Parameters
    ----------
    bits : int
        2 to 8.
    paper : bool
        The formula as printed: one exponent more than ``bits`` bits hold (``post-paper``).
    frac_bits : int, optional
        Of the hardware's sqrt(2) table, see :class:`asq_sw.formats.WeightFormat`; the levels do not depend on it.
    """

    def __init__(self, bits: int, paper: bool = False, frac_bits: int | None = None, **options: Any):
        super().__init__(WeightFormat("post-paper" if paper else "post", bits, frac_bits), **options)
