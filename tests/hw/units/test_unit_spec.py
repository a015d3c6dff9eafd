"""Unit specifications: names, defaults and what they refuse."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asq_sw.errors import InputError
from asq_sw.formats import GRID_RECORDS, GRIDS, WeightFormat
from hw.units.spec import VARIANTS, UnitSpec

POST = WeightFormat("post")


def test_every_grid_has_a_multiplier() -> None:
    assert set(VARIANTS) == set(GRIDS)
    assert all(VARIANTS.values())
    assert VARIANTS["post"][0] == "shift-lut"


@st.composite
def specs(draw: st.DrawFn) -> UnitSpec:
    unit = draw(st.sampled_from(["multiplier", "pe", "array"]))
    grid = draw(st.sampled_from(GRIDS))
    weight = WeightFormat(
        grid,
        draw(st.sampled_from([b for b in GRID_RECORDS[grid].widths if b <= 6])),
        draw(st.integers(0, 4)),
    )
    shaped = unit == "array"
    return UnitSpec(
        unit,
        weight,
        draw(st.integers(2, 5)),
        draw(st.booleans()),
        draw(st.sampled_from(VARIANTS[grid])),
        rows=draw(st.integers(1, 4)) if shaped else 1,
        cols=draw(st.integers(1, 4)) if shaped else 1,
        terms=draw(st.sampled_from([0, 1, 32, 100])),
        dataflow="ws" if unit == "multiplier" else draw(st.sampled_from(["ws", "os"])),
        skew=shaped and draw(st.booleans()),
    )


@given(specs(), specs())
def test_names_tell_units_apart(one: UnitSpec, other: UnitSpec) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9_]*", one.name)
    assert (one.name == other.name) == (one == other)
    assert (one.options == other.options) == (one == other)


@pytest.mark.parametrize(
    ("unit", "fields", "terms"),
    [
        ("multiplier", {}, 1),
        ("pe", {}, 32),
        ("pe", {"dataflow": "os"}, 32768),
        ("array", {"rows": 12, "cols": 3}, 12),
        ("array", {"rows": 12, "cols": 3, "terms": 5}, 5),
        ("array", {"rows": 12, "cols": 3, "dataflow": "os"}, 32768),
    ],
)
def test_default_terms(unit: str, fields: dict, terms: int) -> None:
    spec = UnitSpec(unit, POST, **fields)
    assert spec.terms == terms
    assert spec.psum_bits == POST.accumulator_bits(4, terms)
    assert spec.macs == fields.get("rows", 1) * fields.get("cols", 1)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"unit": "adder"}, "unit is 'adder', expected one of multiplier, pe, array"),
        ({"abits": 9}, "activation bits is 9, expected a whole number from 2 to 8"),
        ({"abits": 1}, "activation bits is 1"),
        ({"variant": "multiply"}, "variant is 'multiply', expected one of shift-lut, table"),
        ({"rows": 2}, "rows is 2 for a pe, expected 1"),
        ({"unit": "array", "rows": 0}, "rows is 0, expected a whole number from 1 to 1024"),
        ({"unit": "array", "cols": 2.5}, "cols is 2.5"),
        ({"dataflow": "is"}, "dataflow is 'is', expected one of ws, os"),
        ({"unit": "multiplier", "dataflow": "os"}, "dataflow is 'os' for a multiplier, expected 'ws'"),
        ({"skew": True}, "skew is True for a pe, expected False: an option of array"),
        ({"terms": -1}, "terms is -1"),
        (
            {"weight": WeightFormat("post", 8), "abits": 8, "variant": "table"},
            "16 bits together, expected at most 12",
        ),
    ],
)
def test_what_is_refused(fields: dict, message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        UnitSpec(**{"unit": "pe", "weight": POST, **fields})
