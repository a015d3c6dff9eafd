"""Batch normalization with the ReLU (and the residual sum) behind it, channels last: two passes each way.

Ioffe and Szegedy, "Batch Normalization", ICML 2015, algorithm 1; running statistics as PyTorch keeps them
(momentum 0.1, unbiased variance, eps 1e-5). ``a = relu(gamma (y - mean) / sqrt(var + eps) + beta + r)``.

Maps are worked through row by row as (N, H, W * C): a row's scale and shift are repeated W times, so the
innermost loops are long whatever C is. Sums go row into row, sample into sample, in one order, so equal
inputs give equal bytes for any number of threads.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

Array = NDArray[Any]

EPSILON = 1e-5
MOMENTUM = 0.1
NO_LIMIT, RELU, RELU6 = 0, 1, 2
LIMITS = {"relu": RELU, "relu6": RELU6}
"""What the kernels call an op that can stand behind a batch normalization."""
_SAMPLES = 4  # a partial sum each


@njit(cache=True, parallel=True)
def _moments(y, pixels, sums):
    """``sums`` (parts, 2, W * C): of the values less ``pixels`` (a shift by channel), and of their squares."""
    for part in prange(sums.shape[0]):
        first, second = sums[part, 0], sums[part, 1]
        first[:] = 0
        second[:] = 0
        for n in range(part * _SAMPLES, min((part + 1) * _SAMPLES, y.shape[0])):
            for h in range(y.shape[1]):
                row = y[n, h]
                for i in range(row.size):
                    d = row[i] - pixels[i]
                    first[i] += d
                    second[i] += d * d


@njit(cache=True, parallel=True)
def _apply(y, scale, shift, other, limit, out):
    """``out = relu(y * scale + shift + other)``; ``other`` of no samples: none. The row's ops fuse into one."""
    zero, six = y.dtype.type(0), y.dtype.type(6)
    low = zero if limit != 0 else y.dtype.type(-np.inf)
    high = six if limit == 2 else y.dtype.type(np.inf)
    adds = other.shape[0] > 0
    for n in prange(y.shape[0]):
        for h in range(y.shape[1]):
            row, result = y[n, h], out[n, h]
            if adds:
                rest = other[n, h]
                for i in range(row.size):
                    v = row[i] * scale[i] + shift[i] + rest[i]
                    v = low if v < low else v
                    result[i] = high if v > high else v
            else:
                for i in range(row.size):
                    v = row[i] * scale[i] + shift[i]
                    v = low if v < low else v
                    result[i] = high if v > high else v


@njit(cache=True, parallel=True)
def _gradient_sums(grad, out, y, scale, shift, pixels, limit, sums):
    """``sums`` (parts, 2, W * C): of g, the gradient behind the ReLU, and of g * (y - pixels).

    ``out`` tells where the ReLU passes; of no samples: ``y * scale + shift`` does, which spares reading a map.
    """
    zero, six = y.dtype.type(0), y.dtype.type(6)
    low = zero if limit != 0 else y.dtype.type(-np.inf)
    high = six if limit == 2 else y.dtype.type(np.inf)
    given = out.shape[0] > 0
    for part in prange(sums.shape[0]):
        first, second = sums[part, 0], sums[part, 1]
        first[:] = 0
        second[:] = 0
        for n in range(part * _SAMPLES, min((part + 1) * _SAMPLES, y.shape[0])):
            for h in range(y.shape[1]):
                g, row = grad[n, h], y[n, h]
                if given:
                    a = out[n, h]
                    for i in range(row.size):
                        v = g[i] if (a[i] > low) & (a[i] < high) else zero
                        first[i] += v
                        second[i] += v * (row[i] - pixels[i])
                else:
                    for i in range(row.size):
                        made = row[i] * scale[i] + shift[i]
                        v = g[i] if (made > low) & (made < high) else zero
                        first[i] += v
                        second[i] += v * (row[i] - pixels[i])


@njit(cache=True, parallel=True)
def _gradient(grad, out, y, scale, shift, slope, constant, limit, dy, passed):
    """``dy = g * scale + y * slope + constant``; ``passed`` (of no samples: not kept) gets g.

    ``out`` and ``shift`` as in :func:`_gradient_sums`.
    """
    zero, six = y.dtype.type(0), y.dtype.type(6)
    low = zero if limit != 0 else y.dtype.type(-np.inf)
    high = six if limit == 2 else y.dtype.type(np.inf)
    keeps, given = passed.shape[0] > 0, out.shape[0] > 0
    for n in prange(y.shape[0]):
        for h in range(y.shape[1]):
            g, row, result = grad[n, h], y[n, h], dy[n, h]
            # Two loops over a row that stays in the cache: one with all arrays would not run on vectors.
            if given:
                a = out[n, h]
                for i in range(row.size):
                    result[i] = g[i] if (a[i] > low) & (a[i] < high) else zero
            else:
                for i in range(row.size):
                    made = row[i] * scale[i] + shift[i]
                    result[i] = g[i] if (made > low) & (made < high) else zero
            if keeps:
                passed[n, h, :] = result
            for i in range(row.size):
                result[i] = result[i] * scale[i] + (row[i] * slope[i] + constant[i])


def _rows(x: Array) -> Array:
    """(N, H, W * C) of (N, H, W, C) or (N, C)."""
    return x.reshape(len(x), x.shape[1], -1) if x.ndim == 4 else x.reshape(len(x), 1, -1)


class BatchNorm:
    """Batch normalization over all axes but the last, with what follows it.

    Parameters
    ----------
    limit : int
        :data:`NO_LIMIT`, :data:`RELU` or :data:`RELU6` behind it.
    """

    def __init__(self, limit: int = NO_LIMIT):
        self.limit = limit
        self._saved: Any = None

    def forward(
        self,
        y: Array,
        state: dict[str, Array],
        training: bool,
        other: Array | None = None,
        out: Array | None = None,
    ) -> Array:
        """Normalize.

        Parameters
        ----------
        y : (N, H, W, C) or (N, C)
        state : dict
            ``weight``, ``bias``, ``running_mean``, ``running_var``, each (C,); training updates the last two.
        training : bool
            By the batch's statistics, and keep references for :meth:`backward`.
        other : array, optional
            Added before the ReLU; shape of ``y``.
        out : array, optional
            Where to write; may be ``y`` itself when not training.
        """
        rows = _rows(y)
        repeat = rows.shape[2] // len(state["weight"])
        if training:
            mean, variance = self._statistics(rows, state, repeat)
        else:
            mean, variance = (state[k].astype(np.float64) for k in ("running_mean", "running_var"))
        inverse = 1 / np.sqrt(variance + EPSILON)
        scale = state["weight"] * inverse
        shift = state["bias"] - mean * scale
        out = np.empty_like(y) if out is None else out
        to = y.dtype
        rest = np.empty((0, 1, 1), to) if other is None else _rows(other)
        by, plus = np.tile(scale.astype(to), repeat), np.tile(shift.astype(to), repeat)
        _apply(rows, by, plus, rest, self.limit, _rows(out))
        if training:
            self._saved = (y, None if other is None else out, mean, inverse, by, plus)
        return out

    def _statistics(self, rows: Array, state: dict[str, Array], repeat: int) -> tuple[Array, Array]:
        """Mean and biased variance by channel, float64; updates the running ones."""
        # Sums of squares about the running mean: no cancellation where a channel's mean is far from zero.
        about = state["running_mean"].astype(rows.dtype)
        sums = np.empty((-(-len(rows) // _SAMPLES), 2, rows.shape[2]), rows.dtype)
        _moments(rows, np.tile(about, repeat), sums)
        count = len(rows) * rows.shape[1] * repeat
        first, second = sums.sum(axis=0, dtype=np.float64).reshape(2, repeat, -1).sum(axis=1) / count
        mean = first + about
        variance = np.maximum(second - first**2, 0)
        for key, value in (("running_mean", mean), ("running_var", variance * count / max(count - 1, 1))):
            state[key] += (MOMENTUM * (value - state[key])).astype(state[key].dtype)
        return mean, variance

    def backward(
        self, grad: Array, state: dict[str, Array], out: Array | None = None, passed: Array | None = None
    ) -> tuple[Array, dict[str, Array]]:
        """Gradients of the last training forward.

        Parameters
        ----------
        grad : array
            dL/da.
        out : array, optional
            Where to write dL/dy; not ``grad`` itself.
        passed : array, optional
            Gets dL/d(other).

        Returns
        -------
        dL/dy, and the gradients of ``weight`` and ``bias``.
        """
        y, a, mean, inverse, by, plus = self._saved
        self._saved = None
        rows, to = _rows(y), y.dtype
        none = np.empty((0, 1, 1), to)
        result = none if a is None else _rows(a)
        repeat = rows.shape[2] // len(mean)
        sums = np.empty((-(-len(rows) // _SAMPLES), 2, rows.shape[2]), to)
        _gradient_sums(
            _rows(grad), result, rows, by, plus, np.tile(mean.astype(to), repeat), self.limit, sums
        )
        total, weighted = sums.sum(axis=0, dtype=np.float64).reshape(2, repeat, -1).sum(axis=1)
        count = len(rows) * rows.shape[1] * repeat
        # dy = gamma * inverse * (g - mean(g) - x_hat * mean(g x_hat)), x_hat = (y - mean) * inverse
        scale = state["weight"] * inverse
        slope = -scale * inverse**2 * weighted / count
        constant = -scale * total / count - slope * mean
        out = np.empty_like(y) if out is None else out
        numbers = (np.tile(v.astype(to), repeat) for v in (slope, constant))
        rest = none if passed is None else _rows(passed)
        _gradient(_rows(grad), result, rows, by, plus, *numbers, self.limit, _rows(out), rest)
        return out, {"weight": (weighted * inverse).astype(to), "bias": total.astype(to)}
