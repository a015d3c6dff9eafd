"""The processing elements' Verilog proven equal to their definition, for every state and input (Yosys, SAT)."""

from __future__ import annotations

from pathlib import Path

import pytest

from asq_sw.formats import WeightFormat
from hw.rtl.verilog import unit_verilog
from hw.rtl.yosys import run_yosys
from hw.units.spec import VARIANTS, UnitSpec

FORMATS = [
    ("post", 4, 4),
    ("post-paper", 3, 4),
    ("pot", 4, 4),
    ("apot", 5, 3),
    ("fp4", 4, 4),
    ("int", 4, 4),
]


def reference(spec: UnitSpec) -> str:
    """The element in Verilog, as its docstring says it, with the product as a table of the definition's values."""
    abits, wbits, width = spec.abits, spec.weight.storage_bits, spec.psum_bits
    table = spec.weight.product_table(abits, spec.signed_activations)
    cases = "".join(
        f"      {{{abits}'d{a}, {wbits}'d{w}}}: product = {'-' if table[a, w] < 0 else ''}{width}'sd{abs(table[a, w])};\n"
        for a in range(1 << abits)
        for w in range(1 << wbits)
    )
    if spec.dataflow == "ws":
        ports, weight = ("load", "psum_in", "psum_out"), "w_out"
        step = "if (load) w_out <= w_in;\n    psum_out <= psum_in + product;"
    else:
        ports, weight = ("drain", "sum_in", "sum_out"), "w_in"
        step = "w_out <= w_in;\n    sum_out <= drain ? sum_in : sum_out + product;"
    return f"""
module reference(input clk, input [{abits - 1}:0] a_in, input [{wbits - 1}:0] w_in, input {ports[0]},
                 input signed [{width - 1}:0] {ports[1]}, output reg [{abits - 1}:0] a_out,
                 output reg [{wbits - 1}:0] w_out, output reg signed [{width - 1}:0] {ports[2]});
  reg signed [{width - 1}:0] product;
  always @* begin
    case ({{a_in, {weight}}})
{cases}    endcase
  end
  always @(posedge clk) begin
    a_out <= a_in;
    {step}
  end
endmodule
"""


def prove(spec: UnitSpec, written: str, folder: Path) -> None:
    """Raise unless Yosys proves every register's next value equal, whatever the registers and inputs hold."""
    (folder / "reference.v").write_text(reference(spec))
    (folder / "written.v").write_text(written)
    log = run_yosys(
        [
            f"read_verilog {folder}/reference.v",
            f"read_verilog {folder}/written.v",
            "proc -norom",
            "flatten",
            "opt_clean",
            f"equiv_make reference {spec.name} both",
            "hierarchy -top both",
            "clean -purge",
            "equiv_simple",
            "equiv_status -assert",
        ]
    )
    registers = spec.abits + spec.weight.storage_bits + spec.psum_bits
    assert f"Of those cells {registers} are proven and 0 are unproven." in log


@pytest.mark.parametrize("dataflow", ["ws", "os"])
@pytest.mark.parametrize(("grid", "bits", "abits"), FORMATS)
def test_every_state_of_the_element(grid: str, bits: int, abits: int, dataflow: str, tmp_path: Path) -> None:
    spec = UnitSpec("pe", WeightFormat(grid, bits), abits, grid != "post", dataflow=dataflow)
    prove(spec, unit_verilog(spec), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize(("grid", "bits", "abits"), [*FORMATS, ("post", 5, 6), ("post-paper", 4, 5)])
def test_every_variant(grid: str, bits: int, abits: int, signed: bool, tmp_path: Path) -> None:
    for variant in VARIANTS[grid]:
        for dataflow in ("ws", "os"):
            spec = UnitSpec("pe", WeightFormat(grid, bits), abits, signed, variant, dataflow=dataflow)
            prove(spec, unit_verilog(spec), tmp_path)


def test_a_wrong_element_is_not_proven(tmp_path: Path) -> None:
    spec = UnitSpec("pe", WeightFormat("post"), 4)
    right = unit_verilog(spec)
    wrong = right.replace("7'h55", "7'h54")  # R[15] = round(84.85)
    assert wrong != right
    with pytest.raises(RuntimeError, match="Yosys failed"):
        prove(spec, wrong, tmp_path)
