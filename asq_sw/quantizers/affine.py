"""Uniform quantization of one array with one step: the kernels that LSQ, LSQ+, PACT, DoReFa, QIL and DAQ share.

Forward: ``v = (x - origin) / step``, ``q = round(clamp(v, low, high))``, ``x_hat = q * scale + offset``; ties
to even. Backward, straight-through: ``dx = grad * gain`` where ``low <= v <= high``, else 0, with five sums
from which each method's parameter gradients follow. One pass each: forward reads 4 and writes 4 bytes per
float32 element, backward reads 8 and writes 4; both run at the speed of memory.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numba import njit, prange

from asq_sw.quantizers.base import CHUNK, Array, Quantizer


@dataclass(frozen=True)
class Affine:
    """One uniform quantizer as numbers.

    Attributes
    ----------
    origin, step : float
        Code of an input before rounding: ``(x - origin) / step``; step > 0.
    low, high : int
        Range of the codes.
    scale, offset : float
        Output of a code: ``code * scale + offset``.
    """

    origin: float
    step: float
    low: int
    high: int
    scale: float
    offset: float = 0.0


class Sums(NamedTuple):
    """Sums over all elements of a backward pass, G = dL/dx_hat; float64.

    Attributes
    ----------
    below, above : float
        Of G where v < low, and where v > high.
    inside, weighted, error : float
        Of G, of G * v and of G * (q - v) where low <= v <= high.
    """

    below: float
    above: float
    inside: float
    weighted: float
    error: float


@njit(cache=True)
def _forward_chunk(x, out, origin, step, low, high, scale, offset):
    bad = 0
    for i in range(x.size):
        v = (x[i] - origin) / step
        c = low if v < low else v
        c = high if c > high else c
        out[i] = np.rint(c) * scale + offset
        bad += x[i] - x[i] != 0  # NaN or infinite
    return bad


@njit(cache=True, parallel=True)
def _forward(x, out, origin, step, low, high, scale, offset, bad):
    for k in prange(bad.size):
        part = slice(k * CHUNK, min((k + 1) * CHUNK, x.size))
        bad[k] = _forward_chunk(x[part], out[part], origin, step, low, high, scale, offset)


# reassoc lets the sums use vector lanes; no flag here lets a NaN be assumed away. The sums of one chunk are
# in the array's dtype (float64 would halve the speed), those of the chunks in float64.
@njit(cache=True, fastmath={"reassoc", "contract", "nsz"})
def _backward_chunk(x, grad, dx, origin, step, low, high, gain, sums):
    zero = x.dtype.type(0)
    below = above = inside = weighted = error = zero
    for i in range(x.size):
        g = grad[i]
        v = (x[i] - origin) / step
        c = low if v < low else v
        c = high if c > high else c
        g_in = g if c == v else zero
        below += g if v < low else zero
        above += g if v > high else zero
        inside += g_in
        weighted += g_in * c
        error += g_in * (np.rint(c) - c)
        dx[i] = g_in * gain
    sums[0], sums[1], sums[2], sums[3], sums[4] = below, above, inside, weighted, error


@njit(cache=True, parallel=True)
def _backward(x, grad, dx, origin, step, low, high, gain, sums):
    for k in prange(sums.shape[0]):
        part = slice(k * CHUNK, min((k + 1) * CHUNK, x.size))
        _backward_chunk(x[part], grad[part], dx[part], origin, step, low, high, gain, sums[k])


def chunks(size: int) -> int:
    """Number of chunks of an array of ``size`` elements."""
    return -(-size // CHUNK)


def affine_forward(x: Array, out: Array, affine: Affine) -> int:
    """Quantize ``x`` into ``out`` (contiguous, one dtype); returns how many values are NaN or infinite."""
    to = x.dtype.type
    bad = np.empty(chunks(x.size), np.int64)
    numbers = (affine.origin, affine.step, affine.low, affine.high, affine.scale, affine.offset)
    _forward(x.reshape(-1), out.reshape(-1), *map(to, numbers), bad)
    return int(bad.sum())


def affine_backward(x: Array, grad: Array, dx: Array, affine: Affine) -> Sums:
    """Write ``dx = grad * scale / step`` inside the range, 0 outside; return the sums."""
    to = x.dtype.type
    sums = np.empty((chunks(x.size), len(Sums._fields)), x.dtype)
    numbers = (affine.origin, affine.step, affine.low, affine.high, affine.scale / affine.step)
    _backward(x.reshape(-1), grad.reshape(-1), dx.reshape(-1), *map(to, numbers), sums)
    return Sums(*sums.sum(axis=0, dtype=np.float64).tolist())


class AffineQuantizer(Quantizer):
    """A quantizer whose forward is one :class:`Affine` of its parameters and whose backward is straight-through."""

    @abstractmethod
    def affine(self, x: Array) -> Affine:
        """The uniform quantizer that the parameters stand for (``x``: the input, where it matters)."""

    @abstractmethod
    def _gradients(self, sums: Sums, affine: Affine, x: Array) -> dict[str, Any]:
        """Gradients of the parameters from the sums."""

    def _forward(self, x: Array, out: Array) -> Affine:
        affine = self.affine(x)
        self._refuse(affine_forward(x, out, affine), x.size)
        return affine

    def _backward(self, saved: Affine, x: Array, grad: Array, dx: Array) -> dict[str, Any]:
        return self._gradients(affine_backward(x, grad, dx, saved), saved, x)

    def _code_scale(self, x: Array) -> tuple[Array, Array]:
        affine = self.affine(x)
        return np.array([affine.scale]), np.array([affine.offset])
