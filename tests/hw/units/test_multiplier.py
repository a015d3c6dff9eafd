# amaranth: UnusedElaboratable=no
"""Every multiplier against the format's definition, for every pair of bit patterns, in Amaranth's simulator."""

from __future__ import annotations

import pytest
from rtl_runs import FORMATS, amaranth_mismatches, multiplier_run

from asq_sw.errors import InputError
from asq_sw.formats import WeightFormat
from hw import ApotMultiplier, Fp4Multiplier, IntMultiplier, PostMultiplier, PotMultiplier
from hw.units.spec import VARIANTS, UnitSpec

SMALL = [(grid, bits) for grid, bits in FORMATS if bits <= 4]


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize(("grid", "bits"), SMALL)
def test_every_product_of_every_variant(grid: str, bits: int, signed: bool) -> None:
    for abits in (2, 3, 4):
        for variant in VARIANTS[grid]:
            weight = WeightFormat(grid, bits)
            run = multiplier_run(UnitSpec("multiplier", weight, abits, signed, variant))
            assert run.checked() == 2 ** (abits + run.spec.weight.storage_bits)
            assert amaranth_mismatches(run) == []


@pytest.mark.parametrize("signed", [False, True])
def test_every_int8_product_is_that_of_integers(signed: bool) -> None:
    weight = WeightFormat("int-full", 8)
    run = multiplier_run(UnitSpec("multiplier", weight, 8, signed))
    assert run.outputs["p"] == [
        a * (w - 256 if w > 127 else w)
        for a in [*range(128), *(range(-128, 0) if signed else range(128, 256))]
        for w in range(256)
    ]
    assert amaranth_mismatches(run) == []


@pytest.mark.parametrize("signed", [False, True])
def test_every_int8_product_in_sign_magnitude(signed: bool) -> None:
    for variant in ("multiply",):
        run = multiplier_run(UnitSpec("multiplier", WeightFormat("int", 8), 8, signed, variant))
        assert run.outputs["p"] == [
            a * (128 - w if w > 127 else w)
            for a in [*range(128), *(range(-128, 0) if signed else range(128, 256))]
            for w in range(256)
        ]
        assert amaranth_mismatches(run) == []


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("anchor", [6, 7])
def test_exponents_with_gaps(signed: bool, anchor: int) -> None:
    for weight in (
        WeightFormat("post", 4, 1, exponents=(0, 1, 2, 3, 4, 5, 7), anchor=anchor),
        WeightFormat("post", 3, 2, exponents=(0, 3, anchor)),
    ):
        assert amaranth_mismatches(multiplier_run(UnitSpec("multiplier", weight, 4, signed))) == []


@pytest.mark.parametrize("frac_bits", [0, 1, 3, 8, 16])
def test_fractional_bits_of_post(frac_bits: int) -> None:
    for grid in ("post", "post-paper"):
        spec = UnitSpec("multiplier", WeightFormat(grid, 3, frac_bits), 4)
        assert amaranth_mismatches(multiplier_run(spec)) == []


@pytest.mark.parametrize(("grid", "bits"), [("post", 8), ("post-paper", 5), ("pot", 7), ("apot", 8)])
def test_wide_weights(grid: str, bits: int) -> None:
    """8-bit POST shifts by up to 62: products wider than a machine word."""
    assert (
        amaranth_mismatches(multiplier_run(UnitSpec("multiplier", WeightFormat(grid, bits), 3, True))) == []
    )


@pytest.mark.parametrize(
    ("multiplier", "grid"),
    [
        (PostMultiplier, "post"),
        (PostMultiplier, "post-paper"),
        (PotMultiplier, "pot"),
        (ApotMultiplier, "apot"),
        (Fp4Multiplier, "fp4"),
        (IntMultiplier, "int"),
    ],
)
def test_ports_are_one_interface(multiplier: type, grid: str) -> None:
    weight = WeightFormat(grid, 4)
    unit = multiplier(weight, 5, True)
    assert (len(unit.a), unit.a.shape().signed) == (5, True)
    assert (len(unit.w), len(unit.p)) == (weight.storage_bits, weight.product_bits(5, True))
    assert unit.p.shape().signed


def test_a_class_refuses_another_grid() -> None:
    with pytest.raises(InputError, match="'int' for PostMultiplier, expected one of post, post-paper"):
        PostMultiplier(WeightFormat("int", 4), 4)
