"""Number formats of weights and activations: levels, codes, look-up tables and the exact integer product.

This module is the only definition of a grid. The quantizers, the simulator and the RTL import it.

A weight is stored as a *code* of :attr:`WeightFormat.storage_bits` bits. Every grid but ``int`` is in
sign-magnitude form: the top bit is the sign, the rest the magnitude field. ``int`` is two's complement.
An activation is stored as a plain (unsigned or two's complement) integer. Their product is an exact integer;
multiplied by :attr:`WeightFormat.product_scale` it is the product of the activation code and the level.

The grids (b = bits; magnitudes are relative to the largest, which is 1):

============== ============================================================ ============ ===========
grid           magnitudes                                                   levels       stored bits
============== ============================================================ ============ ===========
``post``       0 and sqrt(2)**-k, k = 0 .. 2**(b-1) - 2                     2**b - 1     b
``post-paper`` 0 and sqrt(2)**-k, k = 0 .. 2**(b-1) - 1                     2**b + 1     b + 1
``pot``        0 and 2**-k, k = 0 .. 2**(b-1) - 2                           2**b - 1     b
``pot-paper``  0 and 2**-k, k = 0 .. 2**(b-1) - 1                           2**b + 1     b + 1
``apot``       sums of up to three powers of two, one out of each set       2**b - 1     b
``fp4``        E2M1: 0, .5, 1, 1.5, 2, 3, 4, 6, divided by 6                15           4
``int``        uniform symmetric, k / (2**(b-1) - 1)                        2**b - 1     b
============== ============================================================ ============ ===========

Sources: ``post`` and ``post-paper``: Zhou et al. 2025 (ASQ), whose printed formula has one exponent more than
b bits can hold; ``apot``: Li, Dong, Wang, "Additive Powers-of-Two Quantization", ICLR 2020, section 2.2,
equation 5 with its released term sets; ``fp4``: OCP Microscaling Formats (MX) v1.0, 2023, section 5.3.3.
"""

from __future__ import annotations

from functools import cached_property, lru_cache
from math import isqrt
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from asq_sw.errors import InputError

GRIDS = ("post", "post-paper", "pot", "pot-paper", "apot", "fp4", "int")
MIN_BITS, MAX_BITS = 2, 8
MAX_FRAC_BITS = 16
DEFAULT_FRAC_BITS = 2

_SQRT2_GRIDS = ("post", "post-paper")
_SHIFT_GRIDS = ("post", "post-paper", "pot", "pot-paper")
_FP4_HALVES = (0, 1, 2, 3, 4, 6, 8, 12)  # E2M1 magnitudes in units of 0.5, by magnitude field


def round_sqrt2(value: int, frac_bits: int) -> int:
    """``round(value * sqrt(2) * 2**frac_bits)``, exactly, in integers.

    ``value * sqrt(2)`` is irrational for any non-zero integer, so no tie can occur and half-to-even (the
    rule of the arithmetic's definition) needs no case of its own. Odd in ``value``.
    """
    scaled = abs(value) << frac_bits
    magnitude = (isqrt(8 * scaled * scaled) + 1) >> 1
    return -magnitude if value < 0 else magnitude


def _check_bits(field: str, bits: int, low: int, high: int) -> int:
    if isinstance(bits, bool) or not isinstance(bits, (int, np.integer)) or not low <= bits <= high:
        raise InputError(f"{field} is {bits!r}, expected a whole number from {low} to {high}")
    return int(bits)


def signed_width(low: int, high: int) -> int:
    """Bits of the narrowest two's complement integer that holds every value of ``low`` .. ``high``."""
    return 1 + max((low if low >= 0 else ~low).bit_length(), (high if high >= 0 else ~high).bit_length())


class ActivationFormat:
    """Integer activation codes: ``0 .. 2**bits - 1``, or two's complement if ``signed``.

    Parameters
    ----------
    bits : int
        1 to 8.
    signed : bool
        Two's complement codes ``-2**(bits-1) .. 2**(bits-1) - 1``.

    Attributes
    ----------
    min, max : int
        Smallest and largest code (``n`` and ``p`` in the quantizers' formulas).
    """

    def __init__(self, bits: int, signed: bool = False):
        self.bits = _check_bits("activation bits", bits, 1, MAX_BITS)
        self.signed = bool(signed)
        self.min = -(1 << (self.bits - 1)) if signed else 0
        self.max = (1 << (self.bits - 1)) - 1 if signed else (1 << self.bits) - 1

    def __repr__(self) -> str:
        return f"ActivationFormat({self.bits}, signed={self.signed})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ActivationFormat) and (self.bits, self.signed) == (other.bits, other.signed)

    def __hash__(self) -> int:
        return hash((self.bits, self.signed))

    @property
    def values(self) -> NDArray[np.int64]:
        """The integer of each bit pattern ``0 .. 2**bits - 1``; shape (2**bits,)."""
        patterns = np.arange(1 << self.bits, dtype=np.int64)
        return np.where(patterns > self.max, patterns - (1 << self.bits), patterns)


class WeightFormat:
    """One weight grid at one bit-width.

    Parameters
    ----------
    grid : str
        One of :data:`GRIDS`.
    bits : int
        2 to 8 (``fp4``: 4).
    frac_bits : int, optional
        F, the fractional bits of the sqrt(2) table, 0 to 16; ``post`` and ``post-paper`` only. By default
        2, or 0 for 2-bit ``post``, whose only magnitude is 1, so that it never reads the table. The other
        grids' products are exact integers without it: they ignore it and hold 0.

    Attributes
    ----------
    grid, bits, frac_bits
        As given (see ``frac_bits`` above).
    storage_bits : int
        Bits of a code, as really stored.
    max_exponent : int
        M of the sign-magnitude power grids: magnitude code ``m`` means ``base**(m - M)``; -1 elsewhere.

    Raises
    ------
    InputError
        For an unknown grid or a width out of range.
    """

    def __init__(self, grid: str, bits: int = 4, frac_bits: int | None = None):
        if grid not in GRIDS:
            raise InputError(f"grid is {grid!r}, expected one of {', '.join(GRIDS)}")
        self.grid = grid
        self.bits = _check_bits("weight bits", bits, MIN_BITS, MAX_BITS)
        if grid == "fp4" and bits != 4:
            raise InputError(f"weight bits is {bits} for grid fp4, expected 4")
        extra = 1 if grid.endswith("-paper") else 0
        self.storage_bits = self.bits + extra
        self.max_exponent = (1 << (self.bits - 1)) - 2 + extra if grid in _SHIFT_GRIDS else -1
        if frac_bits is None:
            frac_bits = DEFAULT_FRAC_BITS if self.max_exponent > 0 else 0
        frac_bits = _check_bits("frac_bits", frac_bits, 0, MAX_FRAC_BITS)
        self.frac_bits = frac_bits if grid in _SQRT2_GRIDS else 0

    def __repr__(self) -> str:
        return f"WeightFormat({self.grid!r}, bits={self.bits}, frac_bits={self.frac_bits})"

    def _key(self) -> tuple[str, int, int]:
        return (self.grid, self.bits, self.frac_bits)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, WeightFormat) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    # -- levels and codes ------------------------------------------------------------------------------

    @property
    def sign_magnitude(self) -> bool:
        """Whether the code's top bit is a sign and the rest a magnitude (all grids but ``int``)."""
        return self.grid != "int"

    @property
    def magnitude_bits(self) -> int:
        """Bits of the magnitude field (``storage_bits - 1``)."""
        return self.storage_bits - 1

    @property
    def uses_lut(self) -> bool:
        """Whether the product reads a look-up table: sqrt(2) for POST, 1.5 for fp4."""
        return self.grid in _SQRT2_GRIDS or self.grid == "fp4"

    @property
    def shift_and_lut(self) -> bool:
        """Whether the product is ``(R[a] if odd else a << F) << shift``, see :meth:`decompose`."""
        return self.grid in _SHIFT_GRIDS or self.grid == "fp4"

    @property
    def zero_code(self) -> int:
        """The code of level 0 that :meth:`encode` gives.

        In the power grids the magnitude field ``M + 1`` is zero (all ones where the grid fills its bits),
        and so is every field above it; either sign bit is accepted.
        """
        return self.max_exponent + 1 if self.grid in _SHIFT_GRIDS else 0

    @cached_property
    def _magnitudes(self) -> tuple[NDArray[np.float64], list[int] | None]:
        """Magnitude by magnitude field: as floats, largest 1, and as integers where the grid is rational."""
        fields = 1 << self.magnitude_bits
        if self.grid in _SQRT2_GRIDS:
            floats = np.zeros(fields)
            exponent = np.arange(self.max_exponent + 1) - self.max_exponent
            # 2**(n + 1/2) as 2**n * sqrt(2): correctly rounded, so even steps are exact powers of two.
            floats[: self.max_exponent + 1] = np.ldexp(
                np.where(exponent % 2, np.sqrt(2.0), 1.0), exponent // 2
            )
            return floats, None
        if self.grid in _SHIFT_GRIDS:
            whole = [1 << m if m <= self.max_exponent else 0 for m in range(fields)]
        elif self.grid == "apot":
            whole = _apot_magnitudes(self.magnitude_bits)
        elif self.grid == "fp4":
            whole = list(_FP4_HALVES)
        else:
            whole = list(range(fields))
        return np.array([w / max(whole) for w in whole]), whole

    @property
    def unit(self) -> int:
        """Integer weight of level 1 in the grids with integer weights (``int``: 2**(b-1)-1; ``fp4``: 12)."""
        whole = self._magnitudes[1]
        if whole is None:
            raise InputError(f"grid {self.grid} has no integer weights: its levels are irrational")
        return max(whole)

    @cached_property
    def _table(self) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Sorted levels and, beside each, its code."""
        if self.grid == "int":
            whole = np.arange(-self.unit, self.unit + 1, dtype=np.int64)
            levels = np.where(whole == self.unit, 1.0, np.where(whole == -self.unit, -1.0, whole / self.unit))
            return levels, whole & ((1 << self.bits) - 1)
        magnitudes = self._magnitudes[0]
        by_level = {float(value): field for field, value in enumerate(magnitudes) if value > 0}
        positive = sorted(by_level)
        sign = 1 << self.magnitude_bits
        levels = np.array([-v for v in reversed(positive)] + [0.0] + positive)
        codes = (
            [by_level[v] | sign for v in reversed(positive)]
            + [self.zero_code]
            + [by_level[v] for v in positive]
        )
        return levels, np.array(codes, dtype=np.int64)

    @property
    def levels(self) -> NDArray[np.float64]:
        """All levels, ascending from -1 to 1; shape (L,), float64."""
        return self._table[0].copy()

    @property
    def codes(self) -> NDArray[np.int64]:
        """The code of each of :attr:`levels`; shape (L,), int64, ``0 .. 2**storage_bits - 1``."""
        return self._table[1].copy()

    def encode(self, levels_index: ArrayLike) -> Any:
        """Codes of the levels at ``levels_index`` (index into :attr:`levels`); same shape, int64."""
        index = np.asarray(levels_index)
        if index.size and (index.min() < 0 or index.max() >= len(self._table[1])):
            raise InputError(f"level index out of range, expected 0 to {len(self._table[1]) - 1}")
        return self._table[1][index]

    @cached_property
    def _level_of_code(self) -> NDArray[np.float64]:
        codes = np.arange(1 << self.storage_bits)
        if self.grid == "int":
            return np.where(codes > self.unit, codes - (1 << self.bits), codes) / self.unit
        magnitude = self._magnitudes[0][codes & ((1 << self.magnitude_bits) - 1)]
        return np.where(codes >> self.magnitude_bits, -magnitude, magnitude) + 0.0  # no negative zero

    def decode(self, code: ArrayLike) -> Any:
        """Level (float64) of each code; same shape. Unused codes decode to what the hardware makes of them.

        Those are: zero for power-grid magnitude fields above M + 1 and for a negative zero, and
        ``-2**(b-1) / (2**(b-1) - 1)`` for the most negative two's complement code of ``int``.
        """
        return self._level_of_code[self._checked(code)]

    def _checked(self, code: ArrayLike) -> NDArray[np.int64]:
        codes = np.asarray(code)
        if codes.size and (
            codes.dtype.kind not in "iu" or codes.min() < 0 or codes.max() >= 1 << self.storage_bits
        ):
            raise InputError(
                f"weight code out of range, expected whole numbers from 0 to {(1 << self.storage_bits) - 1}"
            )
        return codes.astype(np.int64)

    def nearest(self, values: ArrayLike) -> Any:
        """Index of the level nearest to each value, after clamping to [-1, 1]; ties go towards zero.

        Shape as given, int64. Compare in float64: the thresholds are the midpoints of adjacent levels.
        """
        v = np.asarray(values, dtype=np.float64)
        if np.isnan(v).any():
            raise InputError("a value to quantize is NaN, expected finite numbers")
        levels = self._table[0]
        zero = len(levels) // 2
        upper = levels[zero:]
        steps = np.searchsorted((upper[1:] + upper[:-1]) / 2, np.abs(v), side="left")
        return np.where(v < 0, zero - steps, zero + steps)

    # -- the integer product ---------------------------------------------------------------------------

    @property
    def product_scale(self) -> float:
        """``product(a, code) * product_scale`` is ``a * decode(code)``, up to the table's rounding.

        ``2**-(F + M/2)`` for POST, ``2**-M`` for POT, ``1 / unit`` elsewhere. Underflow is impossible:
        M is at most 127.
        """
        if self.grid in _SQRT2_GRIDS:
            return float(2.0 ** -(self.frac_bits + self.max_exponent / 2))
        return 1.0 / self.unit

    def lut(self, abits: int, signed: bool = False) -> NDArray[np.int64]:
        """The table R by activation bit pattern; shape (2**abits,), int64.

        POST: ``R[a] = round(a * sqrt(2) * 2**F)``. fp4: ``R[a] = 3 * a`` (1.5 * a in units of one half).

        Raises
        ------
        InputError
            For a grid whose product reads no table.
        """
        if not self.uses_lut:
            raise InputError(f"grid {self.grid} reads no look-up table, expected post, post-paper or fp4")
        values = ActivationFormat(abits, signed).values
        if self.grid == "fp4":
            return 3 * values
        return np.array([round_sqrt2(int(a), self.frac_bits) for a in values], dtype=np.int64)

    def decompose(self, code: int) -> tuple[bool, bool, bool, int]:
        """(negative, zero, odd, shift) of a code: |product| = ``(R[a] if odd else a << F) << shift``, or 0.

        ``F`` is :attr:`frac_bits` (0 but for POST). Only for the grids with :attr:`shift_and_lut`.
        """
        if not self.shift_and_lut:
            raise InputError(f"grid {self.grid} is not a shift of one table, expected post, pot or fp4")
        code = int(self._checked(code))
        negative, field = bool(code >> self.magnitude_bits), code & ((1 << self.magnitude_bits) - 1)
        if self.grid == "fp4":
            exponent, mantissa = field >> 1, field & 1
            if exponent == 0:  # 0 and the subnormal 0.5, which is one half unit: no shift, no table
                return negative, field == 0, False, 0
            # 1 . 0 is two half units (a << exponent), 1 . 1 is three (3a << exponent - 1).
            return negative, False, bool(mantissa), exponent - mantissa
        if field > self.max_exponent:
            return negative, True, False, 0
        if self.grid in _SQRT2_GRIDS:
            return negative, False, bool(field & 1), field >> 1
        return negative, False, False, field

    def integer(self, code: int) -> int:
        """The exact integer weight of a code where the grid has one (all but POST): product = a * integer."""
        code = int(self._checked(code))
        if self.grid == "int":
            return code - (1 << self.bits) if code >> (self.bits - 1) else code
        whole = self._magnitudes[1]
        if whole is None:
            raise InputError(f"grid {self.grid} has no integer weights: its levels are irrational")
        magnitude = whole[code & ((1 << self.magnitude_bits) - 1)]
        return -magnitude if code >> self.magnitude_bits else magnitude

    def product_of(self, activation: int, code: int) -> int:
        """The exact integer product of one activation value and one weight code, as a Python integer.

        This is the definition that every multiplier, simulator and network is checked against
        (POST: ``(m even ? a << F : R[a]) << (m >> 1)``, signed by the sign bit).
        """
        if self.grid not in _SQRT2_GRIDS:
            return int(activation) * self.integer(code)
        negative, zero, odd, shift = self.decompose(code)
        if zero:
            return 0
        base = round_sqrt2(int(activation), self.frac_bits) if odd else int(activation) << self.frac_bits
        return -(base << shift) if negative else base << shift

    def product_table(self, abits: int, signed: bool = False) -> NDArray[Any]:
        """Every product by (activation bit pattern, weight code); shape (2**abits, 2**storage_bits).

        int64 where every product fits, else Python integers (dtype object): 8-bit POST shifts by up to 62.
        The result is cached and read-only.
        """
        return _product_table(self, ActivationFormat(abits, signed))

    def product(self, activation: ArrayLike, code: ArrayLike) -> Any:
        """Exact integer products of activation values and weight codes, broadcast together.

        Parameters
        ----------
        activation : integers, -2**16 < a < 2**16
            Activation values (codes of an :class:`ActivationFormat`, or wider).
        code : integers
            Weight codes, ``0 .. 2**storage_bits - 1``.

        Returns
        -------
        int64 array where every product of the range fits, else an object array of Python integers.
        """
        a = np.asarray(activation)
        if a.size and a.dtype.kind not in "iu":
            raise InputError("activations are not whole numbers, expected integer codes")
        if a.size and (int(a.min()) <= -(1 << 16) or int(a.max()) >= 1 << 16):
            raise InputError(
                "an activation is out of range, expected whole numbers within 16 bits and a sign"
            )
        codes = self._checked(code)
        largest = int(np.abs(a.astype(np.int64)).max()) if a.size else 0
        dtype: Any = np.int64 if self.max_product(largest) < 1 << 63 else object
        # One table row per distinct activation keeps this exact and far from slow.
        distinct, row = np.unique(a.astype(np.int64), return_inverse=True)
        table = np.array(
            [[self.product_of(int(x), c) for c in range(1 << self.storage_bits)] for x in distinct],
            dtype=dtype,
        ).reshape(len(distinct), 1 << self.storage_bits)
        result = table[row.reshape(a.shape), codes]
        return result

    def max_product(self, magnitude: int) -> int:
        """Largest |product| of an activation of that magnitude with any code (unused codes included)."""
        return max(abs(self.product_of(magnitude, code)) for code in range(1 << self.storage_bits))

    def product_range(self, abits: int, signed: bool = False) -> tuple[int, int]:
        """Smallest and largest product over all operand pairs (unused codes included)."""
        activation = ActivationFormat(abits, signed)
        ends = [
            self.product_of(a, c)
            for a in (activation.min, activation.max)
            for c in range(1 << self.storage_bits)
        ]
        return min(ends), max(ends)

    def product_bits(self, abits: int, signed: bool = False) -> int:
        """Width of the narrowest two's complement integer that holds every product."""
        return signed_width(*self.product_range(abits, signed))

    def accumulator_bits(self, abits: int, terms: int, signed: bool = False) -> int:
        """Width of the narrowest two's complement integer that holds any sum of ``terms`` products."""
        low, high = self.product_range(abits, signed)
        return signed_width(terms * low, terms * high)


@lru_cache(maxsize=64)
def _product_table(weight: WeightFormat, activation: ActivationFormat) -> NDArray[Any]:
    rows = [
        [weight.product_of(int(a), code) for code in range(1 << weight.storage_bits)]
        for a in activation.values
    ]
    fits = weight.product_bits(activation.bits, activation.signed) <= 64
    table = np.array(rows, dtype=np.int64 if fits else object)
    table.setflags(write=False)
    return table


def _apot_terms(magnitude_bits: int) -> list[list[int]]:
    """Negative exponents of each additive term's set, by term (Li et al. 2020, released code, extended).

    Each term has 2 bits (0 or one of three powers); an odd width has one term of 1 bit more. Powers are dealt
    to the terms in turn, so that no two terms share one and every sum is distinct.
    """
    if magnitude_bits == 1:
        return [[1]]
    pairs, single = divmod(magnitude_bits, 2)
    terms: list[list[int]] = [[] for _ in range(pairs + single)]
    exponent = 1
    for turn in range(3):
        if turn == 2 and single:
            terms[-1].append(exponent)
            exponent += 1
        for term in terms[:pairs]:
            term.append(exponent)
            exponent += 1
    return terms


def apot_fields(magnitude_bits: int) -> list[tuple[int, int, list[int]]]:
    """(lowest bit, bits, weights) of each term's selector within an APoT magnitude field.

    Selector 0 adds nothing, selector i adds ``weights[i - 1]``, an integer power of two; the sum of the
    terms is the integer weight.
    """
    terms = _apot_terms(magnitude_bits)
    smallest = max(max(term) for term in terms)
    fields, low = [], 0
    for term in reversed(terms):
        width = 2 if len(term) == 3 else 1
        fields.append((low, width, [1 << (smallest - e) for e in term]))
        low += width
    return fields


def _apot_magnitudes(magnitude_bits: int) -> list[int]:
    fields = apot_fields(magnitude_bits)
    whole = []
    for code in range(1 << magnitude_bits):
        selectors = [(code >> low) & ((1 << width) - 1) for low, width, _ in fields]
        whole.append(sum(w[s - 1] for s, (_, _, w) in zip(selectors, fields, strict=True) if s))
    return whole
