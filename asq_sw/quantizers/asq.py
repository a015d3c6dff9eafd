"""ASQ activations: a trained step times a factor that a small trained network takes from each sample.

Zhou et al., "Precision Neural Network Quantization via Learnable Adaptive Modules", 2025 (ASQ), and the
authors' release. With g the average of each channel, shape (N, C):

``beta = max(relu(FC2(relu(FC1(g)))), 1e-8)``, hidden width C // 4 (C < 8: one layer), shape (N,);
``x_hat = s beta round(clamp(x / (s beta), n, p))``.

With e = q - v inside, n below, p above, and G = dL/dx_hat:
``dL/ds = sum_i beta_i sum(G e)_i / sqrt(p numel(x))``; ``dL/dbeta_i = s sum(G e)_i``, which goes on through
the adapter into its weights and into x; ``dL/dx`` = G inside plus the adapter's part, spread over the average.

One sample is one unit of work: its average, its factor and its codes are made while it lies in the cache, so
``x`` is read from memory once in each direction. The adapter costs ``C**2 / 4`` MACs per sample and direction.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numba import njit, prange

from asq_sw.errors import InputError
from asq_sw.integer.adapter import hidden_width
from asq_sw.quantizers.base import FLOOR, ActivationQuantizer, Array
from asq_sw.quantizers.lsq import initial_step


@njit(cache=True, fastmath={"reassoc", "contract", "nsz"})
def _mean(x, channels_last, mean):
    """Average of each channel of one sample; ``x``: (pixels, C) or (C, pixels), ``mean``: (C,)."""
    rows, columns = x.shape
    if channels_last:
        mean[:] = 0
        for r in range(rows):
            for c in range(columns):
                mean[c] += x[r, c]
        for c in range(columns):
            mean[c] /= x.dtype.type(rows)
    else:
        for r in range(rows):
            total = x.dtype.type(0)
            for c in range(columns):
                total += x[r, c]
            mean[r] = total / x.dtype.type(columns)


@njit(cache=True, fastmath={"reassoc", "contract", "nsz"})
def _adapt(mean, w1, b1, w2, b2, hidden):
    """The adapter's output before its last ReLU; fills ``hidden`` (post ReLU). ``w1`` of no rows: one layer."""
    total = b2[0]
    if w1.shape[0] == 0:
        for c in range(mean.size):
            total += w2[0, c] * mean[c]
        return total
    zero = mean.dtype.type(0)
    for j in range(w1.shape[0]):
        h = b1[j]
        for c in range(mean.size):
            h += w1[j, c] * mean[c]
        hidden[j] = h if h > zero else zero
        total += w2[0, j] * hidden[j]
    return total


@njit(cache=True)
def _quantize(x, out, step, low, high):
    for i in range(x.size):
        v = x[i] / step
        c = low if v < low else v
        c = high if c > high else c
        out[i] = np.rint(c) * step


@njit(cache=True, parallel=True)
def _forward(x, out, channels_last, s, low, high, w1, b1, w2, b2, means, hidden, raw):
    floor = x.dtype.type(FLOOR)
    for i in prange(x.shape[0]):
        _mean(x[i], channels_last, means[i])
        raw[i] = _adapt(means[i], w1, b1, w2, b2, hidden[i])
        beta = raw[i] if raw[i] > floor else floor
        _quantize(x[i].reshape(-1), out[i].reshape(-1), s * beta, low, high)


@njit(cache=True, fastmath={"reassoc", "contract", "nsz"})
def _error(x, grad, step, low, high):
    """sum(G e) of one sample."""
    total = x.dtype.type(0)
    for i in range(x.size):
        v = x[i] / step
        c = low if v < low else v
        c = high if c > high else c
        q = np.rint(c)
        total += grad[i] * (q - c if c == v else q)
    return total


@njit(cache=True)
def _spread(x, grad, dx, channels_last, step, low, high, through):
    """dx of one sample; ``through``: the adapter's gradient by channel, (C,)."""
    rows, columns = x.shape
    zero = x.dtype.type(0)
    for r in range(rows):
        if channels_last:
            for c in range(columns):
                v = x[r, c] / step
                dx[r, c] = (grad[r, c] if (v >= low) & (v <= high) else zero) + through[c]
        else:
            for c in range(columns):
                v = x[r, c] / step
                dx[r, c] = (grad[r, c] if (v >= low) & (v <= high) else zero) + through[r]


@njit(cache=True, parallel=True)
def _backward(
    x, grad, dx, channels_last, s, low, high, w1, w2, means, hidden, raw, errors, d_hidden, d_raw, d_means
):
    floor, zero = x.dtype.type(FLOOR), x.dtype.type(0)
    pixels = x.dtype.type(x.shape[1] if channels_last else x.shape[2])
    for i in prange(x.shape[0]):
        live = raw[i] > floor
        step = s * (raw[i] if live else floor)
        errors[i] = _error(x[i].reshape(-1), grad[i].reshape(-1), step, low, high)
        d_raw[i] = s * errors[i] if live else zero
        if w1.shape[0] == 0:
            for c in range(w2.shape[1]):
                d_means[i, c] = d_raw[i] * w2[0, c] / pixels
        else:
            d_means[i, :] = zero
            for j in range(w1.shape[0]):
                d_hidden[i, j] = d_raw[i] * w2[0, j] if hidden[i, j] > zero else zero
                share = d_hidden[i, j] / pixels
                for c in range(w1.shape[1]):
                    d_means[i, c] += share * w1[j, c]
        _spread(x[i], grad[i], dx[i], channels_last, step, low, high, d_means[i])


@njit(cache=True, parallel=True)
def _products(left, right, out):
    """``out[j, c] = sum_i left[i, j] right[i, c]``, samples in order whatever the threads."""
    for j in prange(out.shape[0]):
        out[j, :] = 0
        for i in range(left.shape[0]):
            for c in range(out.shape[1]):
                out[j, c] += left[i, j] * right[i, c]


class Asq(ActivationQuantizer):
    """ASQ activations.

    Parameters ``s`` (1,), the step, > 0; the adapter's ``fc1.weight`` (C // 4, C), ``fc1.bias`` (C // 4,),
    ``fc2.weight`` (1, C // 4), ``fc2.bias`` (1,), or for C < 8 ``fc.weight`` (1, C), ``fc.bias`` (1,). The
    last layer starts from normal weights of standard deviation 0.01 and a bias of 1, the first uniform within
    1 / sqrt(C) (PyTorch's default), so beta starts near 1. ``s`` starts as LSQ's.

    Parameters
    ----------
    bits : int
        1 to 8 (signed: 2 to 8).
    signed : bool
        For inputs that no ReLU precedes.
    channel_axis : int
        1 for NCHW and (N, C), -1 for NHWC.
    seed : int
        Of the adapter's starting weights.
    """

    _names = ("s", "fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias")
    _positive = ("s",)

    def __init__(self, bits: int, signed: bool = False, channel_axis: int = 1, seed: int = 0, name: str = ""):
        super().__init__(bits, signed, name)
        if channel_axis not in (1, -1):
            raise InputError(f"{self.label}: channel_axis is {channel_axis!r}, expected 1 or -1")
        self.channel_axis = channel_axis
        self.seed = seed
        self._raw: Array = np.ones(1)

    def beta(self, x: Array) -> Array:
        """The factor of each sample of ``x``: shape (N,), dtype of ``x``."""
        x = self._checked(x)
        return np.maximum(self._forward(x, np.empty_like(x))[2], FLOOR)

    def _checked(self, x: Array) -> Array:
        if x.ndim < 2:
            raise InputError(f"{self.label}: activations of shape {x.shape}, expected (N, C, ...)")
        return super()._checked(x)

    @property
    def channels(self) -> int | None:
        first = self.parameters.get("fc.weight", self.parameters.get("fc1.weight"))
        return None if first is None else len(first[0])

    def _shapes(self, state: Mapping[str, Array]) -> dict[str, tuple[int, ...]]:
        first = "fc.weight" if "fc.weight" in state else "fc1.weight"
        shape = np.shape(state.get(first, np.empty((1, 1))))
        rows, channels = shape if len(shape) == 2 else (1, 1)
        if first == "fc.weight":
            return {"s": (1,), "fc.weight": (1, channels), "fc.bias": (1,)}
        weights: dict[str, tuple[int, ...]] = {"fc1.weight": (rows, channels), "fc1.bias": (rows,)}
        return {"s": (1,)} | weights | {"fc2.weight": (1, rows), "fc2.bias": (1,)}

    def _channels(self, x: Array) -> int:
        return int(x.shape[self.channel_axis])

    def _initial(self, x: Array) -> dict[str, Array]:
        channels = self._channels(x)
        rng = np.random.default_rng(self.seed)
        start = {"s": np.array([initial_step(x, self.format.max)])}
        if self.parameters:
            return start  # an earlier batch of zeros made the adapter
        width, bound = hidden_width(channels), channels**-0.5
        if not width:
            return start | {"fc.weight": rng.normal(0, 0.01, (1, channels)), "fc.bias": np.ones(1)}
        return start | {
            "fc1.weight": rng.uniform(-bound, bound, (width, channels)),
            "fc1.bias": rng.uniform(-bound, bound, width),
            "fc2.weight": rng.normal(0, 0.01, (1, width)),
            "fc2.bias": np.ones(1),
        }

    def _adapter(self, dtype: Any) -> tuple[Array, Array, Array, Array]:
        """(w1, b1, w2, b2); an adapter of one layer has a ``w1`` of no rows."""
        held = self.parameters
        if "fc.weight" in held:
            w2 = held["fc.weight"]
            arrays = (np.empty((0, w2.shape[1])), np.empty(0), w2, held["fc.bias"])
        else:
            arrays = (held["fc1.weight"], held["fc1.bias"], held["fc2.weight"], held["fc2.bias"])
        w1, b1, w2, b2 = (np.ascontiguousarray(a, dtype=dtype) for a in arrays)
        return w1, b1, w2, b2

    def _numbers(self, x: Array) -> tuple[Any, Any, Any]:
        to = x.dtype.type
        return to(self._value("s")), to(self.format.min), to(self.format.max)

    def _samples(self, x: Array) -> Array:
        """``x`` as (N, pixels, C) or (N, C, pixels)."""
        last = self.channel_axis == -1
        return x.reshape(len(x), -1, x.shape[-1]) if last else x.reshape(len(x), x.shape[1], -1)

    def _forward(self, x: Array, out: Array) -> tuple[Array, Array, Array]:
        adapter = self._adapter(x.dtype)
        channels = self._channels(x)
        known = adapter[0].shape[1]
        if channels != known:
            raise InputError(f"{self.label}: activations of {channels} channels, expected {known}")
        means = np.empty((len(x), channels), x.dtype)
        hidden = np.empty((len(x), len(adapter[0])), x.dtype)
        raw = np.empty(len(x), x.dtype)
        last = self.channel_axis == -1
        _forward(self._samples(x), self._samples(out), last, *self._numbers(x), *adapter, means, hidden, raw)
        bad = ~(np.isfinite(means).all(axis=1) & np.isfinite(raw))
        if bad.any():
            raise InputError(
                f"{self.label}: {int(bad.sum())} of {len(x)} samples to quantize hold NaN, infinite or "
                "overflowing values, expected finite numbers"
            )
        self._raw = raw
        return means, hidden, raw

    def last_scale(self, x_hat: Array) -> tuple[Array, Array]:
        beta = np.maximum(self._raw, FLOOR).astype(np.float64)
        return self._value("s") * beta.reshape(-1, *[1] * (x_hat.ndim - 1)), np.zeros(1)

    def _backward(
        self, saved: tuple[Array, Array, Array], x: Array, grad: Array, dx: Array
    ) -> dict[str, Any]:
        means, hidden, raw = saved
        w1, _, w2, _ = self._adapter(x.dtype)
        errors, d_raw = np.empty_like(raw), np.empty((len(x), 1), x.dtype)
        d_hidden, d_means = np.empty_like(hidden), np.empty_like(means)
        arrays = (self._samples(x), self._samples(grad), self._samples(dx), self.channel_axis == -1)
        made = (means, hidden, raw, errors, d_hidden, d_raw[:, 0], d_means)
        _backward(*arrays, *self._numbers(x), w1, w2, *made)
        beta = np.maximum(raw, FLOOR)
        scale = (self.format.max * x.size) ** -0.5
        grads: dict[str, Any] = {"s": scale * np.sum(beta * errors, dtype=np.float64)}
        last = "fc" if len(w1) == 0 else "fc2"
        grads[f"{last}.weight"] = _product(d_raw, means if last == "fc" else hidden)
        grads[f"{last}.bias"] = d_raw.sum(axis=0)
        if last == "fc2":
            grads["fc1.weight"] = _product(d_hidden, means)
            grads["fc1.bias"] = d_hidden.sum(axis=0)
        return grads

    def _code_scale(self, x: Array) -> tuple[Array, Array]:
        beta = self.beta(x).astype(np.float64)
        return self._value("s") * beta.reshape(-1, *[1] * (x.ndim - 1)), np.zeros(1)


def _product(left: Array, right: Array) -> Array:
    out = np.empty((left.shape[1], right.shape[1]), left.dtype)
    _products(left, right, out)
    return out
