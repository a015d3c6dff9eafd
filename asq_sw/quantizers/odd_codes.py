"""Export of weights with an even number of levels: the odd integers ``-(2**b - 1), ..., -1, 1, ..., 2**b - 1``.

DAQ and DoReFa have ``2**b`` evenly spaced levels from -1 to 1 and no zero. In units of ``1 / (2**b - 1)`` they
are odd integers, so an ``int`` grid of one bit more holds them (every second code); b bits suffice to store
one, as its index.
"""

from __future__ import annotations

import numpy as np

from asq_sw.errors import InputError
from asq_sw.formats import MAX_BITS, WeightFormat
from asq_sw.quantizers.base import Array


def odd_format(bits: int, label: str) -> WeightFormat:
    """The ``int`` grid whose levels include those of ``bits``-bit weights without a zero.

    Raises
    ------
    InputError
        For 8 bits, which a code of 9 would hold.
    """
    if bits + 1 > MAX_BITS:
        raise InputError(
            f"{label}: {bits}-bit weights without a zero need codes of {bits + 1} bits, "
            f"expected at most {MAX_BITS - 1} bits for integer export"
        )
    return WeightFormat("int", bits + 1)


def odd_codes(level: Array, bits: int) -> Array:
    """``int`` codes, ``bits + 1`` wide, of levels in [-1, 1]; shape as given, int64."""
    steps = (1 << bits) - 1
    return WeightFormat("int", bits + 1).encode_integers(
        2 * np.rint((level + 1) / 2 * steps).astype(np.int64) - steps
    )
