"""The written Verilog: lint, names, repeatability, and agreement of the files with a second reader."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from rtl_runs import FORMATS

from asq_sw.formats import GRIDS, WeightFormat
from hw.rtl.hierarchy import Modules
from hw.rtl.verilog import lint, rtlil_to_verilog, to_rtlil, to_verilog, unit_verilog
from hw.rtl.yosys import run_yosys
from hw.units.spec import VARIANTS, UnitSpec


def units(weight: WeightFormat, abits: int, signed: bool) -> list[UnitSpec]:
    return [
        UnitSpec("multiplier", weight, abits, signed),
        UnitSpec("pe", weight, abits, signed),
        UnitSpec("array", weight, abits, signed, rows=2, cols=3, skew=signed),
        UnitSpec("array", weight, abits, signed, rows=3, cols=2, skew=signed, dataflow="os"),
    ]


def warnings_of(specs: list[UnitSpec], folder: Path) -> list[str]:
    """Lint all units in one file, where having many tops is meant."""
    modules = Modules()
    for spec in specs:
        if spec.name not in modules.text:
            modules.add(spec.build(), spec.name)
    verilog = rtlil_to_verilog("\n".join(modules.text.values()))
    assert all(f"module {spec.name}(" in verilog for spec in specs)
    path = folder / "units.v"
    path.write_text(verilog)
    return [line for line in lint(path) if "MULTITOP" not in line and "DECLFILENAME" not in line]


def test_no_warning_at_any_width(tmp_path: Path) -> None:
    """Every grid, 2 to 8 bits, all units; activations as wide as the weights."""
    specs = [s for grid, bits in FORMATS for s in units(WeightFormat(grid, bits), bits, bits % 2 == 0)]
    specs += [
        UnitSpec(unit, WeightFormat(grid, 4), 4, variant=variant)
        for unit in ("multiplier", "pe", "array")
        for grid in GRIDS
        for variant in VARIANTS[grid]
    ]
    assert warnings_of(specs, tmp_path) == []


@pytest.mark.slow
@pytest.mark.parametrize("abits", range(2, 9))
def test_no_warning_at_any_pair_of_widths(abits: int, tmp_path: Path) -> None:
    for signed in (False, True):
        specs = [s for grid, bits in FORMATS for s in units(WeightFormat(grid, bits), abits, signed)]
        assert warnings_of(specs, tmp_path) == []


def test_lint_sees_what_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "wrong.v"
    path.write_text("module wrong(input [3:0] a, output [7:0] b);\n  assign b = a;\nendmodule\n")
    assert [re.match(r"%Warning-(\w+)", line)[1] for line in lint(path)] == ["WIDTHEXPAND"]  # type: ignore[index]
    path.write_text("module wrong(input a\n")
    assert any(line.startswith("%Error") for line in lint(path))


def test_file_of_its_own_name_lints_without_any_warning(tmp_path: Path) -> None:
    spec = UnitSpec("multiplier", WeightFormat("pot", 4), 4)
    path = tmp_path / f"{spec.name}.v"
    path.write_text(unit_verilog(spec))
    assert lint(path) == []


@pytest.mark.parametrize("unit", ["multiplier", "pe", "array"])
def test_text_holds_no_chance_and_no_place(unit: str) -> None:
    side = 3 if unit == "array" else 1
    spec = UnitSpec(unit, WeightFormat("post"), 4, rows=side, cols=side)
    text = unit_verilog(spec)
    assert "$" not in re.sub(r"^//.*$", "", text, flags=re.MULTILINE)
    assert "/" not in re.sub(r"^//.*$", "", text, flags=re.MULTILINE)
    assert "(*" not in text
    head = [line for line in text.splitlines() if line.startswith("//")]
    assert head[0] == f"// {spec.name}"
    assert head[1] == f"// asq verilog {spec.options}"
    assert any("R[a] = round(a * sqrt(2) * 2**F)" in line for line in head)
    program = (
        "from asq_sw.formats import WeightFormat; from hw.units.spec import VARIANTS, UnitSpec; from hw.rtl.verilog import unit_verilog;"
        f"print(unit_verilog(UnitSpec({unit!r}, WeightFormat('post'), 4, rows={side}, cols={side})), end='')"
    )
    again = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env={"PYTHONHASHSEED": "3"}
    )
    assert (again.stdout, again.stderr) == (text, "")


def test_one_module_per_distinct_component() -> None:
    """Text grows with rows plus columns, not with their product."""
    spec = UnitSpec("array", WeightFormat("post"), 4, rows=6, cols=5)
    text = to_verilog(spec.build())
    names = re.findall(r"^module (\w+)\(", text, re.MULTILINE)
    assert len(names) == len(set(names)) == 5  # array, row, pe, multiplier, table
    assert text.count("post4a4f2_pe_t6_shift_lut pe_") == 5
    assert text.count(f"{spec.name}_row row_") == 6


def test_resets_only_where_read() -> None:
    text = to_rtlil(UnitSpec("pe", WeightFormat("post"), 4).build())
    assert "\\clk" in text
    assert "\\rst" not in text
    assert "\\init" not in text


def test_yosys_failure_is_an_error_not_an_exit() -> None:
    with pytest.raises(RuntimeError, match="Yosys failed"):
        run_yosys(["no_such_command"])
