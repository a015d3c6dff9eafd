# amaranth: UnusedElaboratable=no
"""Arrays against integer matrix products, in Amaranth's simulator, in exactly the cycles of the closed form."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rtl_runs import amaranth_mismatches, array_run

from asq_sw.errors import InputError
from asq_sw.formats import GRID_RECORDS, GRIDS, WeightFormat
from hw import OutputStationaryArray, ProcessingElement, SystolicArray
from hw.units.spec import VARIANTS, UnitSpec


@pytest.mark.parametrize("dataflow", ["ws", "os"])
@pytest.mark.parametrize("grid", GRIDS)
def test_random_and_extreme_matrices(grid: str, dataflow: str) -> None:
    for variant in VARIANTS[grid]:
        for skew in (False, True):
            spec = UnitSpec(
                "array", WeightFormat(grid, 4), 4, skew, variant, rows=3, cols=2, dataflow=dataflow, skew=skew
            )
            run = array_run(spec, length=4)
            assert run.checked() > 0
            assert amaranth_mismatches(run) == []


@settings(max_examples=12, deadline=None)
@given(
    grid=st.sampled_from(GRIDS),
    bits=st.integers(2, 8),
    abits=st.integers(2, 8),
    signed=st.booleans(),
    rows=st.integers(1, 5),
    cols=st.integers(1, 5),
    length=st.integers(1, 6),
    dataflow=st.sampled_from(["ws", "os"]),
    skew=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_any_shape(
    grid: str,
    bits: int,
    abits: int,
    signed: bool,
    rows: int,
    cols: int,
    length: int,
    dataflow: str,
    skew: bool,
    seed: int,
) -> None:
    weight = WeightFormat(grid, min(GRID_RECORDS[grid].widths, key=lambda b: abs(b - bits)))
    spec = UnitSpec(
        "array",
        weight,
        abits,
        signed,
        rows=rows,
        cols=cols,
        dataflow=dataflow,
        skew=skew,
        terms=max(rows, length),
    )
    assert amaranth_mismatches(array_run(spec, length, seed)) == []


def test_sums_fill_their_width_and_do_not_wrap() -> None:
    """The default width holds a column of the largest products, and one bit less would not."""
    for grid in GRIDS:
        spec = UnitSpec("array", WeightFormat(grid, 4), 4, rows=4, cols=1)
        run = array_run(spec, length=2)
        values = [value for column in run.outputs.values() for value in column if value is not None]
        assert -(2 ** (spec.psum_bits - 1)) <= min(values)
        assert max(values) < 2 ** (spec.psum_bits - 1)
        assert max(values) >= 2 ** (spec.psum_bits - 2) or min(values) < -(2 ** (spec.psum_bits - 2))
        assert amaranth_mismatches(run) == []


def test_array_of_another_dataflow_is_refused() -> None:
    spec = UnitSpec("array", WeightFormat("post"), 4, rows=2, cols=2)
    with pytest.raises(InputError, match="ws array for OutputStationaryArray, expected os array"):
        OutputStationaryArray(spec)
    with pytest.raises(InputError, match="ws array for ProcessingElement, expected ws pe"):
        ProcessingElement(spec)
    assert len(SystolicArray(spec).elements) == 2
