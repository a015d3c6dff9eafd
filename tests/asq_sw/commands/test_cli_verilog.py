"""``asq verilog`` as a person calls it."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from asq_sw.commands.verilog import command
from asq_sw.formats import WeightFormat
from hw.rtl.verilog import lint, unit_verilog
from hw.units.spec import UnitSpec
from hw.units.tile import TileSpec


def asq(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "asq_sw", "verilog", *args], capture_output=True, text=True)


def test_the_example_lints_clean(tmp_path: Path) -> None:
    path = tmp_path / "pe.v"
    done = asq("pe", "--grid", "post", "--wbits", "4", "--abits", "4", "-o", str(path))
    assert (done.returncode, done.stderr) == (0, f"asq: wrote {path}\n")
    assert done.stdout == f"{path}: module post4a4f2_pe_shift_lut\n"
    assert {line.split(":")[0] for line in lint(path)} <= {"%Warning-DECLFILENAME"}
    assert path.read_text() == unit_verilog(UnitSpec("pe", WeightFormat("post", 4), 4))


@pytest.mark.parametrize(
    "spec",
    [
        UnitSpec("multiplier", WeightFormat("fp4"), 3, True),
        UnitSpec("pe", WeightFormat("post-paper", 3, 1), 5, dataflow="os", terms=77),
        UnitSpec("array", WeightFormat("int", 2), 2, rows=2, cols=3, skew=True),
        UnitSpec("pe", WeightFormat("apot", 3), 3, variant="table"),
    ],
)
def test_the_options_in_the_header_make_the_same_file(spec: UnitSpec) -> None:
    result = CliRunner().invoke(command, shlex.split(spec.options))
    assert result.exit_code == 0
    assert result.output == unit_verilog(spec)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["pe", "--wbits", "9"], "weight bits is 9, expected a whole number from 2 to 8"),
        (["adder"], "unit is 'adder', expected one of multiplier, pe, array"),
        (["accelerator"], "unit is 'accelerator', expected one of multiplier, pe, array"),
        (["pe", "--grid", "log"], "'log' is not one of"),
        (["array", "--rows", "-3"], "rows is -3, expected a whole number from 1 to 1024"),
        (["pe", "--variant", "magic"], "variant is 'magic', expected one of shift-lut, table"),
        (["pe", "-o", "/dev/null/x.v"], "/dev/null/x.v: cannot be written"),
    ],
)
def test_bad_input_is_one_line_and_status_2(args: list[str], message: str) -> None:
    done = asq(*args)
    assert done.returncode == 2
    assert done.stdout == ""
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("weight", [WeightFormat("fp4"), WeightFormat("post", 4, 0)])
def test_a_tiles_header_says_what_its_variant_takes(weight: WeightFormat) -> None:
    """The mode, the recoded weights and the width of the tile's own accumulator."""
    text = unit_verilog(TileSpec(weight, 4, variant="post-or-fp4", rows=2, cols=2))
    tile = TileSpec(weight, variant="post-or-fp4", rows=2, cols=2)
    assert "// mode: 0 post, 1 fp4\n" in text
    pairs = ", ".join(f"{code}: {int(tile.stored(code))}" for code in range(16))
    assert (f"// w takes, by weight code: {pairs}\n" in text) == (weight.grid == "fp4")
    assert f"products in {tile.sum_bits} bits\n" in text
    assert f"  output [{2 * tile.sum_bits - 1}:0] acc;\n" in text
    assert f"w[r][c] = w[(r*2+c)*{tile.products.code_bits} +: {tile.products.code_bits}]; " in text
