"""ASQ's adapter in integers: what each of its numbers is, and the register width that it needs.

For one sample whose wide map has C channels of P pixels, in order (every shift rounds half up,
``(v + 2**(r - 1)) >> r``):

1. ``sum[c]``: of the channel's wide values.
2. ``mean[c] = sum[c] * inverse >> (INVERSE_BITS - MEAN_BITS)`` with the constant ``inverse = round(2**INVERSE_BITS / P)``:
   :data:`MEAN_BITS` fractional bits more than the map.
3. ``hidden[j] = saturate(max(0, b1[j] + sum over c of w1[j, c] * mean[c] >> r1))``, where the adapter has a hidden layer.
4. ``total = b2 + sum over j of w2[j] * hidden[j]`` (of ``w2[c] * mean[c]`` without a hidden layer).
5. ``beta = clamp(total >> r2, 1, 2**16 - 1)`` with :data:`BETA_BITS` fractional bits.
6. ``reciprocal = (2**(2 * BETA_BITS + 4) + beta // 2) // beta``, 1 / beta with :data:`RECIPROCAL_BITS` fractional bits.
7. ``factor = k * reciprocal >> RECIPROCAL_BITS``: what the sample's values are multiplied by in place of the layer's
   mantissa k.

Pure Python integers and no imports but the number formats: the simulator reads its widths and cycles from here.
"""

from __future__ import annotations

from dataclasses import dataclass

from asq_sw.errors import InputError
from asq_sw.formats import signed_width

BETA_BITS = 12
"""Fractional bits of beta."""
BETA_WIDTH = 16
"""Bits of beta, unsigned: it runs from 2**-12 to just below 16."""
MEAN_BITS = 4
"""Fractional bits of a channel's mean beyond those of its map."""
INVERSE_BITS = 24
"""Fractional bits of the constant ``1 / pixels``."""
WEIGHT_WIDTH = 16
"""Bits of an adapter's weight, two's complement."""
BIAS_WIDTH = 48
"""Bits of an adapter's bias, two's complement."""
HIDDEN_WIDTH = 31
"""Bits of a hidden value, unsigned, saturating."""
RECIPROCAL_BITS = 2 * BETA_BITS + 4 - BETA_BITS
"""Fractional bits of 1 / beta."""
NUMERATOR = 1 << (RECIPROCAL_BITS + BETA_BITS)
"""What is divided by beta (half of beta is added, so that the quotient is rounded)."""
MANTISSA_WIDTH = 16
"""Bits of a mantissa (k, m), two's complement."""
SINGLE_LAYER_BELOW = 8
"""Channels below which the adapter has no hidden layer (Zhou et al. 2025, the authors' release)."""

WEIGHT_MAX = (1 << (WEIGHT_WIDTH - 1)) - 1
BIAS_MAX = (1 << (BIAS_WIDTH - 1)) - 1
HIDDEN_MAX = (1 << HIDDEN_WIDTH) - 1
BETA_MAX = (1 << BETA_WIDTH) - 1
MANTISSA_MAX = (1 << (MANTISSA_WIDTH - 1)) - 1
FACTOR_MAX = (MANTISSA_MAX * NUMERATOR + (1 << (RECIPROCAL_BITS - 1))) >> RECIPROCAL_BITS
"""Largest multiplier of a sample: of the largest k and the least beta."""
HIDDEN_SHIFT = (1, 30)
"""Least and greatest r1."""
TOTAL_SHIFT = (-15, 46)
"""Least and greatest r2; a negative one shifts left."""


def hidden_width(channels: int) -> int:
    """Hidden units of the adapter of a map of ``channels``: ``C // 4``, 0 for fewer than 8 (one layer)."""
    return channels // 4 if channels >= SINGLE_LAYER_BELOW else 0


def adapter_macs(channels: int, hidden: int) -> int:
    """Multiply-accumulates of steps 3 and 4 for one sample."""
    return channels * hidden + hidden if hidden else channels


def inverse_of(pixels: int) -> int:
    """The constant ``1 / pixels`` with :data:`INVERSE_BITS` fractional bits: ``round(2**24 / pixels)``."""
    return round((1 << INVERSE_BITS) / pixels)


@dataclass(frozen=True)
class AdapterWidths:
    """Bits of every register of the adapter.

    Signed ones are two's complement. Each holds every value that constants within their own widths and maps of any
    content can give, and some need every bit of it.

    Attributes
    ----------
    sum : int
        Of a channel's sum; signed.
    inverse : int
        Of the constant 1 / pixels; unsigned.
    mean_product : int
        Of ``sum * inverse`` with the half that rounds it; signed.
    mean : int
        Signed.
    weight, bias : int
        Of w1, w2 and of b1, b2; signed.
    hidden_total : int
        Of a hidden unit's sum with its bias and the half that rounds it; signed. 0 without a hidden layer.
    hidden : int
        Unsigned. 0 without a hidden layer.
    total : int
        Of the last layer's sum with its bias and the half that rounds it; signed.
    beta : int
        Unsigned.
    dividend : int
        Of ``2**28 + beta // 2``; unsigned.
    reciprocal : int
        Of the quotient, unsigned: as many bits as a divider makes, one a cycle.
    factor_product : int
        Of ``k * reciprocal`` with the half that rounds it; unsigned (k > 0).
    factor : int
        Unsigned.
    """

    sum: int
    inverse: int
    mean_product: int
    mean: int
    weight: int
    bias: int
    hidden_total: int
    hidden: int
    total: int
    beta: int
    dividend: int
    reciprocal: int
    factor_product: int
    factor: int


def adapter_widths(channels: int, hidden: int, pixels: int, wide_bits: int = 16) -> AdapterWidths:
    """The widths for a map of ``channels`` of ``pixels`` wide values of ``wide_bits``, two's complement.

    Parameters
    ----------
    channels, pixels, wide_bits : int
        At least 1; at most 2**24 pixels.
    hidden : int
        Hidden units, 0 for an adapter of one layer (:func:`hidden_width`).

    Raises
    ------
    InputError
        For a size out of range.
    """
    for field, value, least in (("channels", channels, 1), ("hidden", hidden, 0), ("pixels", pixels, 1),
                                ("wide_bits", wide_bits, 1)):  # fmt: skip
        if value < least:
            raise InputError(f"the adapter's {field} is {value}, expected at least {least}")
    if pixels > 1 << INVERSE_BITS:
        raise InputError(f"the adapter's pixels is {pixels}, expected at most 2**{INVERSE_BITS}")
    sums = (-pixels << (wide_bits - 1), pixels * ((1 << (wide_bits - 1)) - 1))
    inverse, shift = inverse_of(pixels), INVERSE_BITS - MEAN_BITS
    products = tuple(s * inverse + (1 << (shift - 1)) for s in sums)
    means = tuple(p >> shift for p in products)
    # Of a mean times a weight, whose least value is larger by one than its greatest.
    reach = max(-means[0] << (WEIGHT_WIDTH - 1), means[1] * WEIGHT_MAX)
    drop = max(-means[0] * WEIGHT_MAX, means[1] << (WEIGHT_WIDTH - 1))
    hidden_total = hidden_bits = 0
    if hidden:
        high = channels * reach + BIAS_MAX + (1 << (HIDDEN_SHIFT[1] - 1))
        low = -channels * drop - BIAS_MAX - 1 + (1 << (HIDDEN_SHIFT[0] - 1))
        hidden_total, hidden_bits = signed_width(low, high), HIDDEN_WIDTH
        count, reach, drop = hidden, HIDDEN_MAX * WEIGHT_MAX, HIDDEN_MAX << (WEIGHT_WIDTH - 1)
    else:
        count = channels
    high = count * reach + BIAS_MAX + (1 << (TOTAL_SHIFT[1] - 1))
    low = -count * drop - BIAS_MAX - 1
    factor_product = MANTISSA_MAX * NUMERATOR + (1 << (RECIPROCAL_BITS - 1))
    return AdapterWidths(
        sum=signed_width(*sums),
        inverse=inverse.bit_length(),
        mean_product=signed_width(products[0], products[1]),
        mean=signed_width(means[0], means[1]),
        weight=WEIGHT_WIDTH,
        bias=BIAS_WIDTH,
        hidden_total=hidden_total,
        hidden=hidden_bits,
        total=signed_width(low, high),
        beta=BETA_WIDTH,
        dividend=(NUMERATOR + BETA_MAX // 2).bit_length(),
        reciprocal=NUMERATOR.bit_length(),
        factor_product=factor_product.bit_length(),
        factor=FACTOR_MAX.bit_length(),
    )
