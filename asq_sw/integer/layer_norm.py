"""Layer normalization in integers: over the channels of each pixel, with a fixed-point reciprocal square root.

With the map's values x over C channels, all whole numbers (``>>`` rounds half up where it says so):

1. ``mean``: the sum times ``round(2**(24 + L) / C)``, L = ceil(log2 C), shifted right by ``20 + L``, rounded: 4
   fractional bits more than x. ``d = 16 * x - mean``.
2. ``N = sum of d**2 + epsilon``; epsilon is a constant of the file, eps C in the same units, at least 1.
3. ``n``: N shifted by an even number s of places into 2**28 <= n < 2**30 (bits fall off to the right).
   ``root = isqrt(2**60 // n)``, 2**15 to 2**16, both rounded down: 1 / sqrt(N) is ``root * 2**-(30 + s / 2)``.
4. ``t = (d * root) >> (14 + s / 2)``, rounded: ``d / sqrt(N)`` with 16 fractional bits, at most one in magnitude.
5. The requantizer's step with t for the sum; m holds ``weight sqrt(C)``, b the bias.

Its relative error before the requantizer is below 2**-14 of the largest value (the root's 2**-15 and t's rounding).
Cost of hardware: C squares and C products a pixel, a divider of :data:`QUOTIENT_WIDTH` bits and a square root of
:data:`ROOT_WIDTH`; at a bit a cycle they take as many cycles.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from asq_sw.errors import InputError
from asq_sw.formats import signed_width
from asq_sw.integer.adapter import MEAN_BITS
from asq_sw.integer.arithmetic import shift_round
from asq_sw.integer.layer import Maps, Place, Planned, ScaledLayer, Source, by_pixel, ones, scale_of
from asq_sw.integer.record import Arrays, Record
from asq_sw.integer.widths import WIDE_MAX, WIDE_WIDTH

Array = NDArray[Any]

INVERSE_BITS = 24
"""Fractional bits of 1 / C, and L more."""
OUT_BITS = 16
"""Fractional bits of a normalized value, whose magnitude is at most one."""
OUT_MAX = (1 << OUT_BITS) + 3
"""Largest magnitude of a normalized value: one, with the errors of the root and of rounding."""
NUMERATOR_BITS = 60
LEAST_BITS = 28
"""n has at least 2**28."""
QUOTIENT_WIDTH = NUMERATOR_BITS - LEAST_BITS + 1
ROOT_WIDTH = 17
EPSILON_MAX = (1 << 60) - 1
CHANNELS_MAX = 1 << 16


@dataclass(frozen=True)
class LayerNormWidths:
    """Register widths for C channels, bits; ``deviation`` and ``out`` are signed, the rest of ``square`` on unsigned.

    Attributes
    ----------
    sum, product, mean, deviation : int
        Of step 1: the sum, times the inverse with its half, the mean, d. Signed.
    square, total : int
        Of step 2: one d**2; N.
    normal, quotient, root : int
        Of step 3.
    scaled, out : int
        Of step 4: d * root with its half, and t. Signed.
    """

    sum: int
    product: int
    mean: int
    deviation: int
    square: int
    total: int
    normal: int
    quotient: int
    root: int
    scaled: int
    out: int


def layer_norm_widths(channels: int, epsilon: int = 1) -> LayerNormWidths:
    """The widths for maps of wide values."""
    least, greatest = -(WIDE_MAX + 1) * channels, WIDE_MAX * channels
    inverse, right = inverse_of(channels)
    half = 1 << (right - 1)
    products = least * inverse + half, greatest * inverse + half
    means = products[0] >> right, products[1] >> right
    ends = -((WIDE_MAX + 1) << MEAN_BITS) - means[1], (WIDE_MAX << MEAN_BITS) - means[0]
    reach = max(abs(end) for end in ends)
    # The sum of squares about the mean is largest with the values half at either end.
    spread = channels * ((2 * WIDE_MAX + 1) << (MEAN_BITS - 1)) ** 2 + channels + epsilon
    scaled = reach << (ROOT_WIDTH - 1)
    return LayerNormWidths(
        sum=signed_width(least, greatest),
        product=signed_width(*products),
        mean=signed_width(*means),
        deviation=signed_width(*ends),
        square=(reach**2).bit_length(),
        total=spread.bit_length(),
        normal=LEAST_BITS + 2,
        quotient=QUOTIENT_WIDTH,
        root=ROOT_WIDTH,
        scaled=signed_width(-scaled, scaled) + 1,
        out=signed_width(-OUT_MAX, OUT_MAX),
    )


def inverse_of(channels: int) -> tuple[int, int]:
    """(``round(2**(24 + L) / C)``, the shift that leaves :data:`MEAN_BITS` of the mean)."""
    extra = (channels - 1).bit_length()
    bits = INVERSE_BITS + extra
    return ((1 << (bits + 1)) // channels + 1) >> 1, bits - MEAN_BITS


@njit(cache=True)
def reciprocal_root(total):
    """(root, s / 2) of N = ``total``, 1 <= N < 2**62: ``1 / sqrt(N) ~ root * 2**-(30 + s / 2)``."""
    half_shift = np.int64(0)
    while total >= np.int64(1) << (LEAST_BITS + 2):
        total >>= 2
        half_shift += 1
    while total < np.int64(1) << LEAST_BITS:
        total <<= 2
        half_shift -= 1
    quotient = (np.int64(1) << NUMERATOR_BITS) // total
    # Exact: a quotient of 33 bits is a float64, whose root is rounded correctly.
    return np.int64(np.sqrt(np.float64(quotient))), half_shift


@njit(cache=True, parallel=True)
def normalize(wide, inverse, right, epsilon, out):
    """Steps 1 to 4; ``wide`` int16 (N, pixels, C), ``out`` int32 (N, pixels, C). Reads a pixel three times."""
    channels = wide.shape[2]
    for n in prange(wide.shape[0]):
        for i in range(wide.shape[1]):
            total = np.int64(0)
            for c in range(channels):
                total += wide[n, i, c]
            mean = shift_round(total * inverse, right)
            squares = np.int64(epsilon)
            for c in range(channels):
                d = (np.int64(wide[n, i, c]) << MEAN_BITS) - mean
                squares += d * d
            root, half_shift = reciprocal_root(squares)
            for c in range(channels):
                d = (np.int64(wide[n, i, c]) << MEAN_BITS) - mean
                out[n, i, c] = shift_round(d * root, NUMERATOR_BITS // 2 - OUT_BITS + half_shift)


class LayerNorm(ScaledLayer):
    """Constants: ``epsilon`` (see the module), ``relu``, ``bits``; arrays m, b and shift by channel."""

    op = "layernorm"
    INPUTS = (1, 1)
    JOINS = False
    IMPLIED = MappingProxyType({"eps": 1.0})  # of shapes alone: what is computed is the constant ``epsilon``

    def __init__(self, place: Place, record: Record, arrays: Arrays):
        channels = place.shape[-1]
        if channels > CHANNELS_MAX:
            raise InputError(f"{record.where}: has {channels} channels, expected at most {CHANNELS_MAX}")
        self.epsilon = record.whole("epsilon", 1, EPSILON_MAX)
        super().__init__(place, record, arrays)
        self._check_registers(record, OUT_MAX)
        self._inverse = inverse_of(channels)

    @classmethod
    def export(cls, source: Source, planned: Planned) -> tuple[dict[str, Any], dict[str, Array]]:
        name, parameters = planned.node.name, source.network.parameters
        weight, bias = (parameters[f"{name}.{key}"].astype(np.float64) for key in ("weight", "bias"))
        unit = 2.0 ** (planned.in_fraction + MEAN_BITS)
        epsilon = round(float(planned.node["eps"]) * len(weight) * unit**2)
        if epsilon > EPSILON_MAX:
            raise InputError(
                f"{source.name}: layer {name} has eps {planned.node['eps']}, expected less for integers"
            )
        gain = weight * np.sqrt(len(weight)) * 2.0 ** (planned.fraction - OUT_BITS)
        scale = scale_of(gain, bias * 2.0**planned.fraction, OUT_MAX)
        constants = {"epsilon": max(epsilon, 1), "relu": planned.relu, "bits": WIDE_WIDTH}
        return constants, scale.write(name)

    def run(self, maps: Maps) -> Array:
        x = maps.values[self.inputs[0]]
        out = np.empty(x.shape, np.int32)
        normalize(by_pixel(x), *self._inverse, self.epsilon, by_pixel(out))
        return self._settled(maps, out, ones(len(x)))
