"""The written Verilog under Verilator: multipliers for every pair of bit patterns, arrays on matrices.

One Verilator build takes as long as another, so that each test makes one of many units.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from rtl_runs import FORMATS, array_run, multiplier_run, verilator_mismatches

from asq_sw.formats import GRIDS, WeightFormat, legal
from hw.units.spec import VARIANTS, UnitSpec


def test_multipliers_and_arrays(tmp_path: Path) -> None:
    specs = [
        UnitSpec("multiplier", WeightFormat(grid, bits), abits, (bits + abits) % 2 == 1)
        for grid, bits in FORMATS
        if bits <= 4
        for abits in (4,)
    ]
    specs += [UnitSpec("multiplier", WeightFormat(grid, 8), 8) for grid in GRIDS if legal(grid, 8)]
    specs += [UnitSpec("multiplier", WeightFormat(grid, 4), 4, variant="table") for grid in GRIDS]
    runs = [multiplier_run(spec) for spec in specs]
    assert sum(run.checked() for run in runs) > 4 * 2**16
    for grid, bits, abits, signed in (("post", 4, 4, False), ("post", 8, 8, True), ("int", 8, 8, False)):
        for dataflow, skew in (("ws", True), ("os", False)):
            weight = WeightFormat(grid, bits)
            spec = UnitSpec("array", weight, abits, signed, rows=5, cols=4, dataflow=dataflow, skew=skew)
            runs.append(array_run(spec, length=7))
    for grid in GRIDS:
        spec = UnitSpec("array", WeightFormat(grid, 4), 4, rows=3, cols=6, variant=VARIANTS[grid][0])
        runs.append(array_run(spec, length=5))
    wrong = verilator_mismatches(runs, tmp_path)
    assert {run.spec.name: count for run, count in zip(runs, wrong, strict=True) if count} == {}


@pytest.mark.slow
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("abits", range(2, 9))
def test_every_multiplier_at_every_width(tmp_path: Path, abits: int, signed: bool) -> None:
    specs = [UnitSpec("multiplier", WeightFormat(grid, bits), abits, signed) for grid, bits in FORMATS]
    runs = [multiplier_run(spec) for spec in specs]
    wrong = verilator_mismatches(runs, tmp_path)
    assert {run.spec.name: count for run, count in zip(runs, wrong, strict=True) if count} == {}
