"""Register widths of the integer arithmetic: wide maps, the quantizer, the requantizer. Pure Python.

The steps are those of :mod:`asq_sw.integer.arithmetic`; ASQ's adapter has its own in :mod:`asq_sw.integer.adapter`.
"""

from __future__ import annotations

from dataclasses import dataclass

from asq_sw.formats import signed_width
from asq_sw.integer.adapter import BETA_BITS, BETA_MAX, FACTOR_MAX, MANTISSA_MAX, MANTISSA_WIDTH

WIDE_WIDTH = 16
"""Bits of a value between layers, two's complement, saturating."""
WIDE_MAX = (1 << (WIDE_WIDTH - 1)) - 1
LOGIT_WIDTH = 32
"""Bits of a value of the last layer where that multiplies by weights, two's complement, saturating."""
SHIFTS = (1, 62)
"""Least and greatest right shift of the quantizer and the requantizer."""
ADDEND_WIDTH = 48
"""Bits of what is added before such a shift (the quantizer's offset, the requantizer's b), two's complement."""
ADDEND_MAX = (1 << (ADDEND_WIDTH - 1)) - 1
FRACTIONS = (-8, 24)
"""Least and greatest fractional bits of a map."""
REGISTER_WIDTH = 63
"""Bits that no register may exceed: a file whose constants could is refused."""


@dataclass(frozen=True)
class QuantizerWidths:
    """Bits of ``code = clamp((wide * factor + offset + half) >> shift, low, high)``.

    Attributes
    ----------
    wide : int
        Signed.
    factor : int
        Unsigned: k, or with ASQ the sample's.
    product : int
        Of ``wide * factor``; signed.
    total : int
        With offset and half added; signed.
    """

    wide: int
    factor: int
    product: int
    total: int


def quantizer_widths(asq: bool, offset: int, shift: int) -> QuantizerWidths:
    """The widths of a layer's quantizer with those constants; ``asq``: whether the factor differs by sample."""
    factor = FACTOR_MAX if asq else MANTISSA_MAX
    low, high = -(WIDE_MAX + 1) * factor, WIDE_MAX * factor
    add = offset + (1 << (shift - 1))
    return QuantizerWidths(
        wide=WIDE_WIDTH,
        factor=factor.bit_length(),
        product=signed_width(low, high),
        total=max(signed_width(low, high), signed_width(low + add, high + add)),
    )


@dataclass(frozen=True)
class RequantizerWidths:
    """Bits of ``wide = saturate(((sum * factor + b + half) >> shift) + other)``, ``factor = m * beta >> BETA_BITS``.

    Attributes
    ----------
    sum : int
        Of the exact sum of products; signed.
    m, beta : int
        Signed and unsigned.
    scaled : int
        Of ``m * beta`` with the half that rounds it; signed.
    factor : int
        Signed.
    product : int
        Of ``sum * factor``; signed.
    total : int
        With b and half added; signed.
    """

    sum: int
    m: int
    beta: int
    scaled: int
    factor: int
    product: int
    total: int


def requantizer_widths(bound: int, asq: bool, addend: int = ADDEND_MAX, shift: int = 1) -> RequantizerWidths:
    """The widths for sums of magnitude up to ``bound``, with the layer's largest \\|b\\| and largest shift."""
    beta = BETA_MAX if asq else 1 << BETA_BITS
    half = 1 << (BETA_BITS - 1)
    ends = (-(MANTISSA_MAX + 1) * beta + half, MANTISSA_MAX * beta + half)
    factors = tuple(end >> BETA_BITS for end in ends)
    reach = bound * -factors[0]
    rounding = 1 << (shift - 1)
    return RequantizerWidths(
        sum=signed_width(-bound, bound),
        m=MANTISSA_WIDTH,
        beta=beta.bit_length(),
        scaled=signed_width(*ends),
        factor=signed_width(*factors),
        product=signed_width(-reach, reach),
        total=signed_width(-reach - addend, reach + addend + rounding),
    )
