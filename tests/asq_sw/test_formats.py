"""The number formats against the formulas of the papers, written out independently and exactly."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asq_sw.errors import InputError
from asq_sw.formats import (
    GRID_RECORDS,
    GRIDS,
    POST_GAP,
    ActivationFormat,
    WeightFormat,
    grids,
    round_sqrt2,
    signed_width,
    two_terms,
)

ALL = [(grid, bits) for grid in GRIDS for bits in GRID_RECORDS[grid].widths]
SYMMETRIC = [(g, b) for g, b in ALL if g not in ("int-full", "nf4")]

# Magnitudes as printed in the papers (largest 1), zero left out.
PRINTED = {
    ("post", 2): [1],
    ("post", 3): [1, 0.70710678, 0.5],
    ("post", 4): [1, 0.70710678, 0.5, 0.35355339, 0.25, 0.1767767, 0.125],
    ("post-paper", 2): [1, 0.70710678],
    ("pot", 4): [1, 1 / 2, 1 / 4, 1 / 8, 1 / 16, 1 / 32, 1 / 64],
    ("pot-paper", 3): [1, 1 / 2, 1 / 4, 1 / 8],
    ("apot", 3): [1, 1 / 2, 1 / 4],
    ("apot", 4): [1, 0.8, 0.6, 0.4, 0.3, 0.2, 0.1],
    # Li et al. 2020, p0 in {0, 1, 1/4, 1/16}, p1 in {0, 1/2, 1/8, 1/32}, scaled to 1 (maximum 3/2).
    ("apot", 5): [
        float(Fraction(a + b) / Fraction(3, 2))
        for a in (0, 1, Fraction(1, 4), Fraction(1, 16))
        for b in (0, Fraction(1, 2), Fraction(1, 8), Fraction(1, 32))
        if a + b
    ],
    ("fp4", 4): [m / 6 for m in (6, 4, 3, 2, 1.5, 1, 0.5)],
    ("int", 3): [1, 2 / 3, 1 / 3],
    ("post-gap", 4): [1, 0.70710678, 0.5, 0.35355339, 0.25, 0.1767767, 0.0883883476],
    ("post-gap", 3): [1, 0.5, 0.1767767],
}


@pytest.mark.parametrize(("grid", "bits"), PRINTED)
def test_levels_are_the_printed_ones(grid: str, bits: int) -> None:
    magnitudes = np.sort(PRINTED[grid, bits])
    np.testing.assert_allclose(
        WeightFormat(grid, bits).levels, np.concatenate([-magnitudes[::-1], [0], magnitudes]), rtol=1e-7
    )


@pytest.mark.parametrize(
    ("name", "members"),
    [
        ("sqrt2", "post post-paper post-gap"),
        ("takes_frac_bits", "post post-paper post-gap nf4"),
        ("shifts", "post post-paper post-gap pot pot-paper fp4"),
        ("reads_table", "post post-paper post-gap fp4"),
        ("uniform", "int int-full"),
        ("symmetric", "post post-paper post-gap pot pot-paper apot fp4 int"),
        ("free_exponents", "post"),
    ],
)
def test_properties_of_the_grids(name: str, members: str) -> None:
    assert set(grids(lambda grid: bool(getattr(grid, name)))) == set(members.split())


def test_products_in_words() -> None:
    """Written out by hand; of two shifts the first is by F."""
    assert WeightFormat("pot", 4).definition[0].endswith("product = a << m, negated if sign; 0 if m > 6")
    assert WeightFormat("apot", 4).definition[1] == "m[0:0] picks {0, 2}; m[2:1] picks {0, 8, 4, 1}"
    assert (
        WeightFormat("fp4")
        .definition[0]
        .endswith("product = a * {0, 1, 2, 3, 4, 6, 8, 12}[m], negated if sign")
    )
    assert WeightFormat("nf4", frac_bits=2).definition == [
        "product = a * {-4, -3, -2, -2, -1, -1, 0, 0, 0, 1, 1, 1, 2, 2, 3, 4}[code]",
        "activation * level = product * 0.25",
    ]
    gap = WeightFormat("post-gap", 4, 0).definition
    assert gap[1] == "R[a] = round(a * sqrt(2) * 2**1)"
    assert gap[2].startswith(
        "m = 0: 0; m = 1: a<<0<<0; m = 2: a<<0<<1; m = 3: R[a]<<0; m = 4: a<<0<<2; m = 5: R[a]<<1"
    )


@pytest.mark.parametrize(("grid", "bits"), SYMMETRIC)
def test_level_count_storage_and_codes(grid: str, bits: int) -> None:
    f = WeightFormat(grid, bits)
    paper = grid.endswith("-paper")
    assert len(f.levels) == 2**bits + (1 if paper else -1)
    assert f.storage_bits == bits + paper
    assert len(f.levels) <= 2**f.storage_bits
    assert f.levels.dtype == np.float64
    assert f.levels[-1] == 1
    assert (np.diff(f.levels) > 0).all()
    np.testing.assert_array_equal(f.levels, -f.levels[::-1])
    assert len(set(f.codes.tolist())) == len(f.codes)
    assert 0 <= f.codes.min() <= f.codes.max() < 2**f.storage_bits
    np.testing.assert_array_equal(f.decode(f.encode(np.arange(len(f.levels)))), f.levels)
    np.testing.assert_array_equal(f.nearest(f.levels), np.arange(len(f.levels)))


@pytest.mark.parametrize(("grid", "bits"), ALL)
def test_product_is_activation_times_level(grid: str, bits: int) -> None:
    """Where the table does not round (exact grids, even exponents) exactly; elsewhere within half a unit."""
    f = WeightFormat(grid, bits)
    for abits in (2, 4, 8):
        a = np.arange(2**abits)
        products = f.product(a[:, None], f.codes[None, :])
        exact = a[:, None] * f.levels[None, :]
        got = products.astype(np.float64) * f.product_scale
        if grid == "nf4":
            bound = 0.5 * f.product_scale * a[:, None] * (1 + 1e-9)
        elif grid.startswith("post"):
            shift = 2.0 ** np.array([f.decompose(int(c))[3] for c in f.codes])
            # R is within half a unit; the shift multiplies that. The last term is float64's own rounding.
            bound = 0.5 * shift * f.product_scale * (1 + 1e-9) + 1e-12 * np.abs(exact)
        else:
            bound = 1e-14 * np.abs(exact)
        assert (np.abs(got - exact) <= bound).all()


@given(value=st.integers(-(2**16), 2**16), frac_bits=st.integers(0, 16))
def test_round_sqrt2_against_decimal(value: int, frac_bits: int) -> None:
    with localcontext() as context:
        context.prec = 60
        expected = (Decimal(value) * Decimal(2).sqrt() * 2**frac_bits).quantize(Decimal(1), ROUND_HALF_EVEN)
    assert round_sqrt2(value, frac_bits) == int(expected)


def test_lut_of_the_definition() -> None:
    # By hand: a * 1.41421356 * 2**F, rounded.
    assert WeightFormat("post", 4, frac_bits=0).lut(3).tolist() == [0, 1, 3, 4, 6, 7, 8, 10]
    assert WeightFormat("post", 4, frac_bits=2).lut(2).tolist() == [0, 6, 11, 17]
    assert WeightFormat("post", 4, frac_bits=1).lut(2, signed=True).tolist() == [0, 3, -6, -3]
    assert WeightFormat("fp4", 4).lut(2).tolist() == [0, 3, 6, 9]
    with pytest.raises(InputError, match="look-up table"):
        WeightFormat("int", 4).lut(4)


@pytest.mark.parametrize("frac_bits", [0, 1, 2, 5])
def test_post_product_by_the_formula(frac_bits: int) -> None:
    """methods: (m even ? a << F : R[a]) << (m >> 1), m = 0 .. M, one code zero."""
    f = WeightFormat("post", 4, frac_bits=frac_bits)
    lut = f.lut(4)
    for a in range(16):
        for m in range(7):
            magnitude = (a << frac_bits if m % 2 == 0 else int(lut[a])) << (m >> 1)
            assert f.product(a, m) == magnitude
            assert f.product(a, m | 8) == -magnitude
        assert f.product(a, f.zero_code) == 0


@pytest.mark.parametrize(("grid", "bits"), [(g, b) for g, b in ALL if GRID_RECORDS[g].shifts])
def test_decompose_rebuilds_the_product(grid: str, bits: int) -> None:
    f = WeightFormat(grid, bits)
    table = f.product_table(3, signed=True)
    lut = f.lut(3, signed=True) if len(f.lines) == 2 else None
    for pattern, a in enumerate(ActivationFormat(3, signed=True).values.tolist()):
        for code in range(2**f.storage_bits):
            negative, zero, line, shift = f.decompose(code)
            assert not line or lut is not None
            base = int(lut[pattern]) if line and lut is not None else a << f.frac_bits
            expected = 0 if zero else (base << shift) * (-1 if negative else 1)
            assert table[pattern, code] == expected


@pytest.mark.parametrize(("grid", "bits"), ALL)
@pytest.mark.parametrize("signed", [False, True])
def test_widths_are_enough_and_tight(grid: str, bits: int, signed: bool) -> None:
    f = WeightFormat(grid, bits)
    products = [int(p) for p in f.product_table(3, signed)[:, f.codes].ravel()]
    width = f.product_bits(3, signed)
    assert all(-(2 ** (width - 1)) <= p < 2 ** (width - 1) for p in products)
    assert any(not -(2 ** (width - 2)) <= p < 2 ** (width - 2) for p in products)
    worst = 100 * max(products), 100 * min(products)
    assert f.accumulator_bits(3, 100, signed) == max(signed_width(0, worst[0]), signed_width(worst[1], 0))


def test_eight_bit_products_do_not_overflow() -> None:
    f = WeightFormat("pot", 8)
    assert f.product(255, 126) == 255 << 126
    assert f.product_bits(8) > 64


def test_unused_codes_are_what_the_hardware_makes_of_them() -> None:
    assert WeightFormat("post", 4).decode(0b1111) == 0
    assert WeightFormat("post-paper", 4).decode([9, 15, 31]).tolist() == [0, 0, 0]
    assert WeightFormat("int", 4).product(3, 8) == 0  # a negative zero
    assert WeightFormat("int", 4, encoding="twos-complement").product(3, 8) == -24


@given(v=st.floats(-2, 2), grid_bits=st.sampled_from(ALL))
def test_nearest_is_nearest(v: float, grid_bits: tuple[str, int]) -> None:
    f = WeightFormat(*grid_bits)
    clamped = min(max(v, -1.0), 1.0)
    chosen = f.levels[f.nearest(v)]
    clamped = min(max(v, f.levels[0]), 1.0)
    assert abs(chosen - clamped) <= np.abs(f.levels - clamped).min() * (1 + 1e-12) + 1e-300


def test_activation_codes() -> None:
    assert (ActivationFormat(4).min, ActivationFormat(4).max) == (0, 15)
    assert ActivationFormat(3, signed=True).values.tolist() == [0, 1, 2, 3, -4, -3, -2, -1]
    assert ActivationFormat(1).values.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("post", 9), "2 to 8"),
        (("post", 1), "2 to 8"),
        (("post", True), "2 to 8"),
        (("post", 4.5), "2 to 8"),
        (("log", 4), "post-paper"),
        (("fp4", 5), "expected 4"),
        (("post", 4, -1), "frac_bits"),
        (("post-gap", 2), "expected 3 or 4"),
    ],
)
def test_bad_arguments_are_named(arguments: tuple, word: str) -> None:
    with pytest.raises(InputError, match=word):
        WeightFormat(*arguments)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"exponents": (0, 1, 2)}, "7 different"),
        ({"exponents": (1, 2, 3, 4, 5, 6, 7)}, "ascending from 0"),
        ({"exponents": (0, 1, 2, 3, 4, 4, 5)}, "7 different"),
        ({"exponents": (0, 1, 2, 3, 4, 5, 127)}, "0 to 126"),
        ({"anchor": 4}, "expected 6, or 5"),
        ({"encoding": "twos-complement"}, "expected sign-magnitude"),
    ],
)
def test_bad_options_are_named(options: dict, word: str) -> None:
    with pytest.raises(InputError, match=word):
        WeightFormat("post", 4, **options)


def test_options_of_another_grid_are_refused() -> None:
    with pytest.raises(InputError, match="only post takes them"):
        WeightFormat("pot", 4, exponents=(0, 1, 2, 3, 4, 5, 6))
    with pytest.raises(InputError, match="expected none"):
        WeightFormat("int", 4, anchor=3)
    with pytest.raises(InputError, match="anchor"):
        WeightFormat("pot", 4, anchor=11)


@st.composite
def exponent_sets(draw: st.DrawFn) -> tuple[int, tuple[int, ...], int, bool]:
    """(bits, exponents, F, whether the anchor is the smaller one)."""
    bits = draw(st.integers(2, 5))
    count = 2 ** (bits - 1) - 1
    rest = draw(st.sets(st.integers(1, 30), min_size=count - 1, max_size=count - 1))
    exponents = (0, *sorted(rest))
    return bits, exponents, draw(st.integers(0, 4)), draw(st.booleans()) and len(exponents) > 1


@given(made=exponent_sets(), signed=st.booleans())
def test_any_exponents_by_the_formula(made: tuple, signed: bool) -> None:
    """Levels are sqrt(2)**-k; every product is the exact one rounded where its line ends, in 60 digits."""
    bits, exponents, frac_bits, smaller = made
    anchor = exponents[-1] - smaller
    f = WeightFormat("post", bits, frac_bits, exponents=exponents, anchor=anchor)
    magnitudes = np.sort(2.0 ** (-np.array(exponents) / 2))
    np.testing.assert_allclose(f.levels, np.concatenate([-magnitudes[::-1], [0], magnitudes]), rtol=1e-12)
    odd = [(anchor - k) // 2 for k in exponents if (anchor - k) % 2 and anchor > k]
    guard = min(odd, default=0)
    with localcontext() as context:
        context.prec = 60
        for level, code in zip(
            f.levels[len(f.levels) // 2 + 1 :], f.codes[len(f.codes) // 2 + 1 :], strict=True
        ):
            m = anchor - round(-2 * np.log2(level))
            for a in ActivationFormat(3, signed).values.tolist():
                if m % 2 == 0:
                    expected = a << (frac_bits + m // 2)
                else:
                    end = guard if m > 0 else -1
                    entry = (Decimal(a) * Decimal(2).sqrt() * Decimal(2) ** (frac_bits + end)).quantize(
                        Decimal(1), ROUND_HALF_EVEN
                    )
                    expected = int(entry) << ((m - 1) // 2 - end)
                assert f.product_of(a, int(code)) == expected
                assert f.product_of(a, int(code) | 1 << f.magnitude_bits) == -expected
    assert f.product_of(3, f.zero_code) == 0
    assert WeightFormat.from_spec(f.spec()) == f


@pytest.mark.parametrize(("grid", "bits"), ALL)
def test_two_terms_make_every_product(grid: str, bits: int) -> None:
    f, activation = WeightFormat(grid, bits), ActivationFormat(3, signed=True)
    even, odd, table = two_terms(f, activation)
    for a in range(activation.min, activation.max + 1):
        for code in range(2**f.storage_bits):
            value = a * even[code]
            if odd is not None and table is not None:
                value += int(table[a - activation.min]) * odd[code]
            assert value == f.product_of(a, code)
    assert WeightFormat.from_spec(f.spec()) == f


def test_two_tables_are_refused_where_one_is_expected() -> None:
    with pytest.raises(InputError, match="reads 2 tables"):
        two_terms(WeightFormat("post-gap", 4, anchor=6), ActivationFormat(4))


def test_files_without_an_encoding_hold_twos_complement() -> None:
    old = WeightFormat.from_spec({"grid": "int", "wbits": 4, "frac_bits": 0})
    assert old.decode(0b1000) == -8 / 7
    assert old.decode(0b1111) == -1 / 7


def test_post_gap_has_the_codes_of_e2m1() -> None:
    """One decoder serves both: the same field, the same line, the same shift."""
    assert WeightFormat("post-gap", 4, 0).terms == WeightFormat("fp4", 4).terms
    assert POST_GAP[4] == (0, 1, 2, 3, 4, 5, 7)


def test_int_full_has_one_level_more() -> None:
    full, symmetric = WeightFormat("int-full", 4), WeightFormat("int", 4, encoding="twos-complement")
    assert full.levels[0] == -8 / 7
    np.testing.assert_array_equal(full.levels[1:], symmetric.levels)
    np.testing.assert_array_equal(full.codes[1:], symmetric.codes)
    assert (full.product_bits(4), WeightFormat("int", 4).product_bits(4)) == (8, 8)
    assert (full.product_bits(2), WeightFormat("int", 4).product_bits(2)) == (6, 6)
    assert WeightFormat("int", 2).product_bits(4) < WeightFormat("int-full", 2).product_bits(4)


def test_bad_operands_are_named() -> None:
    f = WeightFormat("post", 4)
    with pytest.raises(InputError, match="0 to 15"):
        f.decode(16)
    with pytest.raises(InputError, match="whole"):
        f.product(1.5, 3)
    with pytest.raises(InputError, match="NaN"):
        f.nearest(float("nan"))
    with pytest.raises(InputError, match="index"):
        f.encode(15)
