"""Number formats of weights and activations: levels, codes, look-up tables and the exact integer product.

This module is the only definition of a grid. The quantizers, the simulator and the RTL import it.

A weight is stored as a *code* of :attr:`WeightFormat.storage_bits` bits: the top bit is the sign, the rest the
magnitude field (*sign-magnitude*). ``int`` can also be stored in two's complement (:data:`ENCODINGS`); ``nf4`` is
not symmetric and stores the index of its level. An activation is stored as a plain (unsigned or two's complement)
integer. Their product is an exact integer; multiplied by :attr:`WeightFormat.product_scale` it is the product of
the activation code and the level.

The grids (b = bits; magnitudes are relative to the largest, which is 1):

============== ============================================================ ============ ===========
grid           magnitudes                                                   levels       stored bits
============== ============================================================ ============ ===========
``post``       0 and sqrt(2)**-k, k = 0 .. 2**(b-1) - 2, or any exponents   2**b - 1     b
``post-paper`` 0 and sqrt(2)**-k, k = 0 .. 2**(b-1) - 1                     2**b + 1     b + 1
``post-gap``   0 and sqrt(2)**-k, k of :data:`POST_GAP`                     2**b - 1     b
``pot``        0 and 2**-k, k = 0 .. 2**(b-1) - 2                           2**b - 1     b
``pot-paper``  0 and 2**-k, k = 0 .. 2**(b-1) - 1                           2**b + 1     b + 1
``apot``       sums of up to three powers of two, one out of each set       2**b - 1     b
``fp4``        E2M1: 0, .5, 1, 1.5, 2, 3, 4, 6, divided by 6                15           4
``int``        uniform symmetric, k / (2**(b-1) - 1)                        2**b - 1     b
``int-full``   the same and -2**(b-1) / (2**(b-1) - 1), not symmetric       2**b         b
``nf4``        NormalFloat: 16 quantiles of a Gaussian, not symmetric       16           4
============== ============================================================ ============ ===========

The powers are products of a shift and at most two tables. With M the *anchor* (half octaves; the largest level is
``2**(M/2)``) a level of exponent k has m = M - k and the product is

* ``a << F << m/2`` for even m,
* ``R[a] << ((m >> 1) - g)`` for odd m > 0, with ``R[a] = round(a * sqrt(2) * 2**(F + g))`` and g the least ``m >> 1``
  of them, so that no bit of the table is shifted in as a zero,
* ``H[a] = round(a * sqrt(2) * 2**(F - 1))`` for m = -1.

M is the largest exponent, so that the smallest level is the activation itself; or one less (``anchor``), where the
smallest level is rounded to H instead.

Sources: ``post`` and ``post-paper``: Zhou et al. 2025 (ASQ), whose printed formula has one exponent more than
b bits can hold; ``post-gap``: our own scan of sets of exponents (docs/exponents.md); ``apot``: Li, Dong, Wang,
"Additive Powers-of-Two Quantization", ICLR 2020, section 2.2, equation 5 with its released term sets; ``fp4``: OCP
Microscaling Formats (MX) v1.0, 2023, section 5.3.3; ``nf4``: Dettmers et al., "QLoRA", 2023, appendix E.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from math import isqrt
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from asq_sw.errors import InputError, nearest

MIN_BITS, MAX_BITS = 2, 8
MAX_FRAC_BITS = 16
MAX_EXPONENT = 126
"""Largest exponent of a set, in half octaves: that of 8-bit ``post``."""
ENCODINGS = ("sign-magnitude", "twos-complement", "index")
"""How a code holds a level."""
POST_GAP: Mapping[int, tuple[int, ...]] = MappingProxyType({3: (0, 2, 5), 4: (0, 1, 2, 3, 4, 5, 7)})
"""Exponents of ``post-gap`` by width: half octaves down from the largest level."""

_NF4_LEVELS = (
    -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635,
    -0.18477343022823334, -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725,
    0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0,
)  # fmt: skip


class Selector(NamedTuple):
    """A term of an additive grid: ``bits`` of the magnitude field from bit ``low`` on choose one of its powers.

    Selector 0 adds nothing, selector i adds ``powers[i - 1]``, an integer power of two; the sum of the terms is the
    integer weight.
    """

    low: int
    bits: int
    powers: tuple[int, ...]


def _apot_selectors(magnitude_bits: int) -> tuple[Selector, ...]:
    """The terms of APoT (Li et al. 2020, released code, extended), those of the lowest bits first.

    Each term has 2 bits (0 or one of three powers); an odd width has one term of 1 bit more. Powers are dealt
    to the terms in turn, so that no two terms share one and every sum is distinct.
    """
    pairs, single = divmod(magnitude_bits, 2)
    terms: list[list[int]] = [[] for _ in range(pairs + single)]  # negative exponents
    exponent = 1
    for turn in range(3):
        if turn == 2 and single:
            terms[-1].append(exponent)
            exponent += 1
        for term in terms[:pairs]:
            term.append(exponent)
            exponent += 1
    smallest = max(max(term) for term in terms)
    selectors: list[Selector] = []
    low = 0
    for term in reversed(terms):
        bits = 2 if len(term) == 3 else 1
        selectors.append(Selector(low, bits, tuple(1 << (smallest - e) for e in term)))
        low += bits
    return tuple(selectors)


@dataclass(frozen=True)
class Grid:
    """What is fixed about a grid, whatever its width. All that tells grids apart stands here.

    Attributes
    ----------
    name : str
    kind : str
        ``powers`` (a shift of a line, see this module), ``whole`` (integer magnitudes times the activation) or
        ``table`` (fixed-point levels times the activation).
    widths : tuple of int
        Legal bits.
    extra_bits : int
        Bits of a code beyond ``bits``.
    encodings : tuple of str
        Of :data:`ENCODINGS`, the default first.
    frac_bits : int
        F by default, where the grid takes it (:attr:`takes_frac_bits`) and its levels are rounded.
    base : int
        Of the powers: half octaves from one exponent to the next, 1 for sqrt(2), 2 for 2.
    exponents : mapping from bits to tuple of int, optional
        Of the powers, in half octaves down from the largest level; by default consecutive multiples of ``base``.
    free_exponents : bool
        Whether a format may have exponents of its own.
    magnitudes : tuple of int
        Of ``whole``, by magnitude field; by default all integers from 0 on.
    selectors : callable, optional
        Of ``whole`` with additive magnitudes: their terms by the bits of the magnitude field.
    factor : int
        Of ``whole`` with magnitudes ``2**n`` and ``factor * 2**n``: the table beside the activation holds
        ``factor * a``, and the product is a shift of one of the two. 0: no such table.
    full : bool
        Of ``whole`` in two's complement: whether the most negative code is a level.
    levels : tuple of float
        Of ``table``, ascending; one of them 0.
    method : str
        What :mod:`asq_sw.quantizers.methods` calls weights on the grid; by default its name.
    """

    name: str
    kind: str
    widths: tuple[int, ...] = tuple(range(MIN_BITS, MAX_BITS + 1))
    extra_bits: int = 0
    encodings: tuple[str, ...] = ENCODINGS[:1]
    frac_bits: int = 2
    base: int = 1
    exponents: Mapping[int, tuple[int, ...]] | None = None
    free_exponents: bool = False
    magnitudes: tuple[int, ...] = ()
    selectors: Callable[[int], tuple[Selector, ...]] | None = None
    factor: int = 0
    full: bool = False
    levels: tuple[float, ...] = ()
    method: str = ""

    @property
    def trained_as(self) -> str:
        """The name of the grid's weights among the training methods."""
        return self.method or self.name

    @property
    def sqrt2(self) -> bool:
        """Whether levels may be odd powers of sqrt(2), whose products read a rounded sqrt(2) table."""
        return self.kind == "powers" and self.base == 1

    @property
    def takes_frac_bits(self) -> bool:
        """Whether F means anything: of the sqrt(2) table, or of fixed-point levels."""
        return self.sqrt2 or self.kind == "table"

    @property
    def shifts(self) -> bool:
        """Whether a product is a shift of the activation or of a table's entry."""
        return self.kind == "powers" or self.factor > 0

    @property
    def reads_table(self) -> bool:
        """Whether a product may be a shift of an entry of a table beside the activation (sqrt(2) a, 3a)."""
        return self.sqrt2 or self.factor > 0

    @property
    def uniform(self) -> bool:
        """Whether the levels are evenly spaced: a product is an integer multiplication."""
        return self.kind == "whole" and not self.magnitudes and self.selectors is None

    @property
    def symmetric(self) -> bool:
        """Whether every level has its negative."""
        return not self.full and self.levels == tuple(-x for x in reversed(self.levels))


GRID_RECORDS: Mapping[str, Grid] = MappingProxyType(
    {
        grid.name: grid
        for grid in (
            Grid("post", "powers", free_exponents=True),
            Grid("post-paper", "powers", extra_bits=1),
            Grid("post-gap", "powers", widths=tuple(POST_GAP), exponents=POST_GAP),
            Grid("pot", "powers", base=2),
            Grid("pot-paper", "powers", base=2, extra_bits=1),
            Grid("apot", "whole", selectors=_apot_selectors),
            Grid("fp4", "whole", widths=(4,), magnitudes=(0, 1, 2, 3, 4, 6, 8, 12), factor=3),  # units of 0.5
            Grid("int", "whole", encodings=("sign-magnitude", "twos-complement"), method="uniform"),
            Grid("int-full", "whole", encodings=("twos-complement",), full=True),
            # F = 7: the levels' rounding is then 25 dB below the grid's error
            Grid("nf4", "table", widths=(4,), encodings=("index",), levels=_NF4_LEVELS, frac_bits=7),
        )
    }
)
GRIDS = tuple(GRID_RECORDS)


def grids(where: Callable[[Grid], bool]) -> tuple[str, ...]:
    """Names of the grids with a property, such as ``grids(lambda grid: grid.uniform)``."""
    return tuple(name for name, grid in GRID_RECORDS.items() if where(grid))


def legal(grid: str, bits: int) -> bool:
    """Whether a grid has that width."""
    return bits in GRID_RECORDS[grid].widths


def round_sqrt2(value: int, frac_bits: int) -> int:
    """``round(value * sqrt(2) * 2**frac_bits)``, exactly, in integers; ``frac_bits`` may be negative.

    ``value * sqrt(2)`` is irrational for any non-zero integer, so no tie can occur and half-to-even (the
    rule of the arithmetic's definition) needs no case of its own. Odd in ``value``.
    """
    # floor(2 x) of x = value sqrt(2) 2**f; the floor of a root of a floor is the floor of the root.
    square = 8 * value * value
    double = isqrt(square << 2 * frac_bits if frac_bits >= 0 else square >> -2 * frac_bits)
    magnitude = (double + 1) >> 1
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


class Term(NamedTuple):
    """A magnitude field of the powers: ``line[a] << shift``; ``line`` is an index into :attr:`WeightFormat.lines`."""

    line: int
    shift: int


class WeightFormat:
    """One weight grid at one bit-width.

    Parameters
    ----------
    grid : str
        One of :data:`GRIDS`.
    bits : int
        One of the grid's widths (:class:`Grid`), within 2 to 8.
    frac_bits : int, optional
        F, the fractional bits of the tables, 0 to 16, for grids whose levels are rounded (:attr:`rounds`), by default
        the grid's. The others' products are exact integers without it: they ignore it and hold 0. So does 2-bit
        ``post``, by default.
    exponents : sequence of int, optional
        For a grid with free ones (``post``): the exponents k of its ``2**(bits-1) - 1`` levels ``sqrt(2)**-k``, ascending from 0, at most
        :data:`MAX_EXPONENT`. By default consecutive ones.
    anchor : int, optional
        M, in half octaves, of the powers: the largest exponent (the default) or one less, see this module.
    encoding : str, optional
        Of the grid's encodings (:class:`Grid`): ``int`` is stored in ``sign-magnitude`` by default, or in
        ``twos-complement``.

    Attributes
    ----------
    grid, bits, frac_bits, encoding
        As given (see above).
    storage_bits : int
        Bits of a code, as really stored.
    exponents : tuple of int
        Of the powers, in half octaves down from the largest level, ascending; empty elsewhere.
    anchor : int
        M of the powers; -1 elsewhere.

    Raises
    ------
    InputError
        For an unknown grid or encoding, a width out of range, or exponents that are not as said.
    """

    def __init__(
        self,
        grid: str,
        bits: int = 4,
        frac_bits: int | None = None,
        *,
        exponents: Sequence[int] | None = None,
        anchor: int | None = None,
        encoding: str | None = None,
    ):
        if grid not in GRIDS:
            raise InputError(f"grid is {grid!r}, expected one of {', '.join(GRIDS)}{nearest(grid, GRIDS)}")
        self.grid = grid
        self.record = record = GRID_RECORDS[grid]
        self.bits = _check_bits("weight bits", bits, MIN_BITS, MAX_BITS)
        if self.bits not in record.widths:
            raise InputError(
                f"weight bits is {bits} for grid {grid}, expected {' or '.join(map(str, record.widths))}"
            )
        self.storage_bits = self.bits + record.extra_bits
        self.encoding = record.encodings[0] if encoding is None else encoding
        if self.encoding not in record.encodings:
            raise InputError(
                f"encoding is {encoding!r} for grid {grid}, expected {' or '.join(record.encodings)}"
            )
        self.exponents, self.anchor = self._powers(exponents, anchor)
        if frac_bits is None:
            frac_bits = record.frac_bits if self.rounds else 0
        frac_bits = _check_bits("frac_bits", frac_bits, 0, MAX_FRAC_BITS)
        self.frac_bits = frac_bits if record.takes_frac_bits else 0

    def _powers(self, given: Sequence[int] | None, anchor: int | None) -> tuple[tuple[int, ...], int]:
        """The checked exponents and M."""
        record, count = self.record, (1 << (self.bits - 1)) - 1 + self.record.extra_bits
        if given is not None and not record.free_exponents:
            free = " and ".join(grids(lambda grid: grid.free_exponents))
            raise InputError(
                f"exponents are given for grid {self.grid}, expected none: only {free} takes them"
            )
        if record.kind != "powers":
            if anchor is not None:
                raise InputError(f"anchor is {anchor!r} for grid {self.grid}, expected none")
            return (), -1
        if given is None and record.exponents is not None:
            exponents = record.exponents[self.bits]
        elif given is None:
            exponents = tuple(record.base * k for k in range(count))
        else:
            exponents = tuple(_check_bits("an exponent", k, 0, MAX_EXPONENT) for k in given)
            if len(exponents) != count or exponents[0] != 0 or sorted(set(exponents)) != list(exponents):
                raise InputError(
                    f"exponents are {', '.join(map(str, exponents))}, "
                    f"expected {count} different ones, ascending from 0"
                )
        largest = exponents[-1]
        if anchor not in (None, largest) and (anchor != largest - 1 or not record.sqrt2 or not largest):
            raise InputError(
                f"anchor is {anchor!r}, expected {largest}, or {max(largest - 1, 0)} for powers of sqrt(2)"
            )
        return exponents, largest if anchor is None else anchor

    def __repr__(self) -> str:
        more = "" if self.own_exponents is None else f", exponents={self.exponents}"
        more += f", anchor={self.anchor}" if self.half_anchor else ""
        more += "" if self.encoding == self.record.encodings[0] else f", encoding={self.encoding!r}"
        return f"WeightFormat({self.grid!r}, bits={self.bits}, frac_bits={self.frac_bits}{more})"

    def _key(self) -> tuple[Any, ...]:
        return (self.grid, self.bits, self.frac_bits, self.exponents, self.anchor, self.encoding)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, WeightFormat) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    @property
    def name(self) -> str:
        """A word that tells formats apart, such as ``post4f2``, ``fp4``, ``int4tc`` or ``post4x01234-6f0``."""
        exponents = "" if self.own_exponents is None else "x" + "_".join(map(str, self.own_exponents))
        anchor = "h" if self.half_anchor else ""
        bits = "" if len(self.record.widths) == 1 else self.bits
        fraction = f"f{self.frac_bits}" if self.takes_frac_bits else ""
        encoding = "tc" if self.encoding == "twos-complement" else ""
        return f"{self.grid.replace('-', '')}{bits}{exponents}{anchor}{encoding}{fraction}"

    @property
    def consecutive(self) -> bool:
        """Whether the exponents of the powers follow one another."""
        return self.exponents == tuple(self.record.base * k for k in range(len(self.exponents)))

    @property
    def own_exponents(self) -> tuple[int, ...] | None:
        """The exponents where they are not the grid's but this format's own."""
        return None if self.consecutive or not self.record.free_exponents else self.exponents

    @property
    def half_anchor(self) -> bool:
        """Whether M is one less than the largest exponent: the smallest level is rounded to half the activation."""
        return bool(self.exponents) and self.anchor != self.exponents[-1]

    # -- levels and codes ------------------------------------------------------------------------------

    @property
    def sign_magnitude(self) -> bool:
        """Whether the code's top bit is a sign and the rest a magnitude."""
        return self.encoding == "sign-magnitude"

    @property
    def magnitude_bits(self) -> int:
        """Bits of the magnitude field (``storage_bits - 1``)."""
        return self.storage_bits - 1

    @property
    def takes_frac_bits(self) -> bool:
        """Whether F means anything to the grid."""
        return self.record.takes_frac_bits

    @property
    def rounds(self) -> bool:
        """Whether products are rounded: a level is irrational (POST), or a fixed-point number (``nf4``)."""
        return self.record.kind == "table" or bool(self._odd)

    @property
    def _odd(self) -> list[int]:
        """The odd ``m = M - k`` of the powers."""
        return [self.anchor - k for k in self.exponents if (self.anchor - k) % 2]

    @cached_property
    def _fields(self) -> list[int]:
        """The magnitude field of each of :attr:`exponents`.

        A field is ``m`` itself (``m / 2`` where all are even) where that fits, else the levels are numbered, the
        smallest first. Where the exponents have a gap above the smallest level, that level takes field 1 and zero
        is field 0: the codes of ``post-gap`` are those of E2M1.
        """
        m = [self.anchor - k for k in self.exponents]
        if not any(x % 2 for x in m):
            m = [x // 2 for x in m]
        if min(m) >= 0 and max(m) < 1 << self.magnitude_bits:
            return m if self.consecutive or 1 in m else [x or 1 for x in m]
        return list(range(len(m)))[::-1]

    @cached_property
    def terms(self) -> list[Term | None]:
        """What each magnitude field means, of the grids that shift; None is zero."""
        if not self.record.shifts:
            raise InputError(
                f"grid {self.grid} is not a shift of lines, "
                f"expected one of {', '.join(grids(lambda grid: grid.shifts))}"
            )
        if self.record.factor:
            shifts = [(whole & -whole).bit_length() - 1 for whole in self._whole]
            return [
                None if whole == 0 else Term(int(whole >> shift == self.record.factor), shift)
                for whole, shift in zip(self._whole, shifts, strict=True)
            ]
        found: list[Term | None] = [None] * (1 << self.magnitude_bits)
        for k, field in zip(self.exponents, self._fields, strict=True):
            m = self.anchor - k
            if m < 0:
                found[field] = Term(len(self.lines) - 1, 0)
            else:
                found[field] = Term(1, (m >> 1) - self.guard_bits) if m % 2 else Term(0, m >> 1)
        return found

    @property
    def guard_bits(self) -> int:
        """g: fractional bits of the sqrt(2) table beyond F, as far as every odd level is shifted anyway."""
        return min((m >> 1 for m in self._odd if m > 0), default=0)

    @property
    def zero_code(self) -> int:
        """The code of level 0 that :meth:`encode` gives: of the powers the smallest field without a level.

        All fields without a level are zero, and either sign bit is accepted.
        """
        if self.record.levels:
            return self.record.levels.index(0.0)
        return self.terms.index(None) if self.record.kind == "powers" else 0

    @cached_property
    def _magnitudes(self) -> tuple[NDArray[np.float64], list[int] | None]:
        """Magnitude by magnitude field: as floats, largest 1, and as integers where the grid is rational."""
        fields = 1 << self.magnitude_bits
        if self.record.kind == "powers":
            floats = np.zeros(fields)
            # 2**(n + 1/2) as 2**n * sqrt(2): correctly rounded, so even steps are exact powers of two.
            exponent = -np.array(self.exponents)
            floats[self._fields] = np.ldexp(np.where(exponent % 2, np.sqrt(2.0), 1.0), exponent // 2)
            if any(self.anchor - k & 1 for k in self.exponents):
                return floats, None
            whole = [0 if term is None else 1 << term.shift for term in self.terms]
            return floats, whole
        whole = self._whole
        return np.array([w / max(whole) for w in whole]), whole

    @property
    def _whole(self) -> list[int]:
        """Integer magnitude by magnitude field, of the ``whole`` grids."""
        fields = range(1 << self.magnitude_bits)
        if self.record.selectors is None:
            return list(self.record.magnitudes or fields)
        terms = [
            (t.low, (1 << t.bits) - 1, (0, *t.powers)) for t in self.record.selectors(self.magnitude_bits)
        ]
        return [sum(powers[field >> low & mask] for low, mask, powers in terms) for field in fields]

    @property
    def unit(self) -> int:
        """Integer weight of level 1 in the grids with integer weights (``int``: 2**(b-1)-1; ``fp4``: 12)."""
        if self.record.kind == "table":
            return 1 << self.frac_bits
        whole = self._magnitudes[1]
        if whole is None:
            raise InputError(f"grid {self.grid} has no integer weights: its levels are irrational")
        return max(whole) << self.frac_bits

    @cached_property
    def _table(self) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Sorted levels and, beside each, its code."""
        if self.encoding == "index":
            return np.array(self.record.levels), np.arange(len(self.record.levels))
        magnitudes = self._magnitudes[0]
        by_level = {float(value): field for field, value in enumerate(magnitudes) if value > 0}
        positive = sorted(by_level)
        levels = np.array([-v for v in reversed(positive)] + [0.0] + positive)
        if self.encoding == "twos-complement":
            whole = np.arange(-(len(levels) // 2), len(levels) // 2 + 1, dtype=np.int64)
            if self.record.full:
                whole = np.concatenate([[whole[0] - 1], whole])
                levels = np.concatenate([[whole[0] / self.unit], levels])
            return levels, whole & ((1 << self.bits) - 1)
        sign = 1 << self.magnitude_bits
        codes = (
            [by_level[v] | sign for v in reversed(positive)]
            + [self.zero_code]
            + [by_level[v] for v in positive]
        )
        return levels, np.array(codes, dtype=np.int64)

    @property
    def levels(self) -> NDArray[np.float64]:
        """All levels, ascending from -1 (``int-full``: a step less) to 1; shape (L,), float64."""
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

    def encode_integers(self, whole: ArrayLike) -> Any:
        """Codes of whole multiples of the step of a uniform grid; same shape, int64."""
        if not self.record.uniform:
            raise InputError(
                f"grid is {self.grid}, expected {' or '.join(grids(lambda grid: grid.uniform))}: "
                "only their levels are whole multiples of a step"
            )
        zero = int(np.flatnonzero(self._table[0] == 0)[0])
        return self.encode(np.asarray(whole) + zero)

    def spec(self) -> dict[str, Any]:
        """Plain values that :meth:`from_spec` makes the same format of."""
        return {
            "grid": self.grid, "wbits": self.bits, "frac_bits": self.frac_bits, "encoding": self.encoding,
            "exponents": list(self.exponents), "anchor": self.anchor,
        }  # fmt: skip

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> WeightFormat:
        """The format of :meth:`spec`, also of files that have no encoding yet (``int`` was in two's complement)."""
        grid = spec["grid"]
        if grid not in GRIDS:
            raise InputError(f"grid is {grid!r}, expected one of {', '.join(GRIDS)}{nearest(grid, GRIDS)}")
        record = GRID_RECORDS[grid]
        if "encoding" not in spec:
            return cls("int-full" if record.uniform else grid, spec["wbits"], spec["frac_bits"])
        return cls(
            grid,
            spec["wbits"],
            spec["frac_bits"],
            exponents=spec["exponents"] if record.free_exponents else None,
            anchor=None if spec["anchor"] == -1 else spec["anchor"],
            encoding=spec["encoding"],
        )

    @cached_property
    def _level_of_code(self) -> NDArray[np.float64]:
        if self.encoding == "index":
            return np.array(self.record.levels)
        codes = np.arange(1 << self.storage_bits)
        if self.encoding == "twos-complement":
            return np.where(codes > self.unit, codes - (1 << self.bits), codes) / self.unit
        magnitude = self._magnitudes[0][codes & ((1 << self.magnitude_bits) - 1)]
        return np.where(codes >> self.magnitude_bits, -magnitude, magnitude) + 0.0  # no negative zero

    def decode(self, code: ArrayLike) -> Any:
        """Level (float64) of each code; same shape. Unused codes decode to what their products say.

        Those are: zero for the powers' fields without a level and for a negative zero, and
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
        """Index of the level nearest to each value; ties go towards zero.

        Shape as given, int64. Compare in float64: the thresholds are the midpoints of adjacent levels.
        """
        v = np.asarray(values, dtype=np.float64)
        if np.isnan(v).any():
            raise InputError("a value to quantize is NaN, expected finite numbers")
        levels = self._table[0]
        zero = int(np.flatnonzero(levels == 0)[0])
        upper, lower = levels[zero:], -levels[zero::-1]
        up = np.searchsorted((upper[1:] + upper[:-1]) / 2, np.abs(v), side="left")
        down = np.searchsorted((lower[1:] + lower[:-1]) / 2, np.abs(v), side="left")
        return np.where(v < 0, zero - down, zero + up)

    # -- the integer product ---------------------------------------------------------------------------

    @property
    def product_scale(self) -> float:
        """``product(a, code) * product_scale`` is ``a * decode(code)``, up to the table's rounding.

        ``2**-(F + M/2)`` for the powers, ``1 / unit`` elsewhere. Underflow is impossible: M is at most 252.
        """
        if self.record.kind == "powers":
            return float(2.0 ** -(self.frac_bits + self.anchor / 2))
        return 1.0 / self.unit

    @cached_property
    def lines(self) -> tuple[str, ...]:
        """What the product shifts, in words: the activation, and the tables beside it.

        ``a`` (times 2**F), ``a * sqrt(2)`` rounded (POST), ``a / sqrt(2)`` rounded (POST with the smaller
        anchor), ``3a`` (fp4). ``a`` alone for grids without a table.
        """
        odd = self._odd
        return (
            "a",
            *([f"{self.record.factor}a"] if self.record.factor else []),
            *(["sqrt(2) a"] if any(m > 0 for m in odd) else []),
            *(["a / sqrt(2)"] if -1 in odd else []),
        )

    def line_tables(self, abits: int, signed: bool = False) -> NDArray[np.int64]:
        """The entries of each of :attr:`lines` by activation bit pattern; shape (lines, 2**abits), int64."""
        values = ActivationFormat(abits, signed).values
        fraction = {"sqrt(2) a": self.frac_bits + self.guard_bits, "a / sqrt(2)": self.frac_bits - 1}
        rows = []
        for line in self.lines:
            if line == "a":
                rows.append(values << self.frac_bits if self.record.kind == "powers" else values)
            elif line in fraction:
                rows.append(np.array([round_sqrt2(int(a), fraction[line]) for a in values], dtype=np.int64))
            else:
                rows.append(self.record.factor * values)
        return np.array(rows)

    def lut(self, abits: int, signed: bool = False) -> NDArray[np.int64]:
        """The table R by activation bit pattern; shape (2**abits,), int64.

        POST: ``R[a] = round(a * sqrt(2) * 2**(F + g))``. fp4: ``R[a] = 3 * a`` (1.5 * a in units of one half).

        Raises
        ------
        InputError
            For a grid whose product reads no table, or two.
        """
        if len(self.lines) != 2:
            raise InputError(
                f"grid {self.grid} reads {len(self.lines) - 1} look-up tables, "
                f"expected {' or '.join(grids(lambda grid: grid.reads_table))}"
            )
        return self.line_tables(abits, signed)[1]

    def decompose(self, code: int) -> tuple[bool, bool, int, int]:
        """(negative, zero, line, shift) of a code: ``|product|`` = ``line_tables[line][a] << shift``, or 0.

        Only for the grids that shift. With one table ``line`` is 1 for odd levels.
        """
        code = int(self._checked(code))
        term = self.terms[code & ((1 << self.magnitude_bits) - 1)]
        negative = bool(code >> self.magnitude_bits)
        return (negative, True, 0, 0) if term is None else (negative, False, term.line, term.shift)

    @cached_property
    def coefficients(self) -> list[list[int]]:
        """By line, by code: ``product(a, code)`` is the sum over lines of ``line_tables[line][a] * coefficient``.

        Python integers, since 8-bit powers shift by up to 126. The one way to split a weight into its terms.
        """
        codes = range(1 << self.storage_bits)
        if not self.record.shifts:
            return [[self.integer(code) for code in codes]]
        found = [[0 for _ in codes] for _ in self.lines]
        for code in codes:
            negative, zero, line, shift = self.decompose(code)
            if not zero:
                found[line][code] = (-1 if negative else 1) << shift
        return found

    @property
    def reach_bits(self) -> int:
        """Bits by which the largest product exceeds its activation, about: of its largest coefficient and F."""
        return max(abs(c) for line in self.coefficients for c in line).bit_length() - 1 + self.frac_bits

    def integer(self, code: int) -> int:
        """The exact integer weight of a code where the grid has one (all but POST): product = a * integer.

        ``nf4``: ``round(level * 2**F)``, half to even.
        """
        code = int(self._checked(code))
        if self.encoding == "index":
            return round(self.record.levels[code] * 2**self.frac_bits)
        if self.encoding == "twos-complement":
            return code - (1 << self.bits) if code >> (self.bits - 1) else code
        whole = self._magnitudes[1]
        if whole is None:
            raise InputError(f"grid {self.grid} has no integer weights: its levels are irrational")
        magnitude = whole[code & ((1 << self.magnitude_bits) - 1)] << self.frac_bits
        return -magnitude if code >> self.magnitude_bits else magnitude

    def product_of(self, activation: int, code: int) -> int:
        """The exact integer product of one activation value and one weight code, as a Python integer.

        This is the definition that every multiplier, simulator and network is checked against; see this module
        (POST: ``(m even ? a << F : R[a]) << (m >> 1)``, signed by the sign bit).
        """
        if not self.rounds or self.record.kind == "table":
            return int(activation) * self.integer(code)
        negative, zero, line, shift = self.decompose(code)
        if zero:
            return 0
        a = int(activation)
        if self.lines[line] == "a":
            base = a << self.frac_bits
        else:
            half = self.frac_bits + self.guard_bits if self.lines[line] == "sqrt(2) a" else self.frac_bits - 1
            base = round_sqrt2(a, half)
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

    @property
    def definition(self) -> list[str]:
        """The integer product in words, a line each, with ``m`` the magnitude field and ``a`` the activation."""
        scale = f"activation * level = product * {self.product_scale!r}"
        if self.encoding == "twos-complement":
            return ["code is two's complement; product = a * code", scale]
        if self.encoding == "index":
            levels = ", ".join(str(self.integer(code)) for code in range(1 << self.storage_bits))
            return [f"product = a * {{{levels}}}[code]", scale]
        if self.record.selectors is not None:
            terms = [
                f"m[{low + bits - 1}:{low}] picks {{0, {', '.join(map(str, powers))}}}"
                for low, bits, powers in self.record.selectors(self.magnitude_bits)
            ]
            lines = ["code = {sign, m}; product = a * the sum of powers, negated if sign:", "; ".join(terms)]
        elif self.rounds and self.consecutive and not self.half_anchor:
            lines = [
                "code = {sign, m}; product = (m even ? a << F : R[a]) << (m >> 1), negated if sign,",
                f"with F = {self.frac_bits} and R[a] = round(a * sqrt(2) * 2**F); 0 if m > {self.anchor}",
            ]
        elif self.rounds:
            words = {
                "sqrt(2) a": f"R[a] = round(a * sqrt(2) * 2**{self.frac_bits + self.guard_bits})",
                "a / sqrt(2)": f"H[a] = round(a * sqrt(2) * 2**{self.frac_bits - 1})",
            }
            symbols = {"a": f"a<<{self.frac_bits}", "sqrt(2) a": "R[a]", "a / sqrt(2)": "H[a]"}
            fields = ["0" if t is None else f"{symbols[self.lines[t.line]]}<<{t.shift}" for t in self.terms]
            lines = [
                "code = {sign, m}; product = the magnitude of field m, negated if sign, with",
                *(words[line] for line in self.lines[1:]),
                "; ".join(f"m = {m}: {text}" for m, text in enumerate(fields)),
            ]
        elif self.record.kind == "powers":
            largest = max(term.shift for term in self.terms if term)
            lines = [f"code = {{sign, m}}; product = a << m, negated if sign; 0 if m > {largest}"]
        else:
            whole = ", ".join(str(self.integer(m)) for m in range(1 << self.magnitude_bits))
            lines = [f"code = {{sign, m}}; product = a * {{{whole}}}[m], negated if sign"]
        return [*lines, scale]

    def max_product(self, magnitude: int) -> int:
        """Largest ``|product|`` of an activation of that magnitude with any code (unused codes included)."""
        return max(abs(self.product_of(magnitude, code)) for code in range(1 << self.storage_bits))

    def product_range(self, abits: int, signed: bool = False) -> tuple[int, int]:
        """Smallest and largest product of all activations and the codes of :attr:`codes` (what encoders give).

        Widths follow from it, for every grid alike; hardware works modulo them, so that an unused code
        (the most negative one in two's complement) may wrap around.
        """
        activation = ActivationFormat(abits, signed)
        ends = [self.product_of(a, int(c)) for a in (activation.min, activation.max) for c in self._table[1]]
        return min(ends), max(ends)

    def product_bits(self, abits: int, signed: bool = False) -> int:
        """Width of the narrowest two's complement integer that holds every product of :attr:`codes`."""
        return signed_width(*self.product_range(abits, signed))

    def accumulator_bits(self, abits: int, terms: int, signed: bool = False) -> int:
        """Width of the narrowest two's complement integer that holds any sum of ``terms`` products."""
        low, high = self.product_range(abits, signed)
        return signed_width(terms * low, terms * high)


def two_terms(
    weight: WeightFormat, activation: ActivationFormat
) -> tuple[list[int], list[int] | None, NDArray[np.int64] | None]:
    """(even, odd, table): ``product(a, code) = a * even[code] + table[a - min] * odd[code]``.

    ``even`` and ``odd``: Python integers by code; ``table``: (2**bits,) int64 by ascending activation. The last two
    are None for the grids whose products are multiples of the activation.

    Raises
    ------
    InputError
        For a format with two tables.
    """
    if len(weight.lines) > 2:
        raise InputError(
            f"{weight.name} reads {len(weight.lines) - 1} tables, expected at most one: "
            f"use anchor {weight.exponents[-1]}, which rounds the smallest level to no table of its own"
        )
    even = [c << (weight.frac_bits if weight.record.shifts else 0) for c in weight.coefficients[0]]
    if len(weight.lines) == 1:
        return even, None, None
    table = weight.line_tables(activation.bits, activation.signed)[1]
    return even, list(weight.coefficients[1]), table[np.argsort(activation.values)]


@lru_cache(maxsize=64)
def _product_table(weight: WeightFormat, activation: ActivationFormat) -> NDArray[Any]:
    rows = [
        [weight.product_of(int(a), code) for code in range(1 << weight.storage_bits)]
        for a in activation.values
    ]
    fits = max(weight.max_product(activation.max), weight.max_product(-activation.min)) < 1 << 63
    table = np.array(rows, dtype=np.int64 if fits else object)
    table.setflags(write=False)
    return table
