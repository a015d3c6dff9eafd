"""A tile's Verilog, every module written once: under Verilator, and what is and what is not merged."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rtl_runs import Run, verilator_mismatches
from tile_model import CYCLES, expected, inputs_of

from asq_sw.formats import WeightFormat
from hw.rtl.identical import written_once
from hw.rtl.verilog import lint, to_verilog, unit_verilog
from hw.units.tile import TileSpec

POST, INT, FP4 = WeightFormat("post", 4, 0), WeightFormat("int", 4), WeightFormat("fp4")
TILES: tuple[tuple[WeightFormat, dict[str, Any]], ...] = (
    (POST, {"variant": "one-hot-shift"}),
    (POST, {"variant": "select-shift", "edge_registers": True, "share": 1}),
    (POST, {"variant": "two-signs", "stage": "products", "signed_activations": True}),
    (
        POST,
        {"variant": "one-hot-shift", "order": (7, 6, 5, 4, 3, 2, 1, 0), "tree": "dadda", "registers": True},
    ),
    (POST, {"variant": "post-or-fp4", "stage": "tree", "edge_registers": True}),
    (FP4, {"variant": "post-or-fp4"}),
    (INT, {"variant": "booth", "registers": True, "stage": "tree"}),
    (INT, {"variant": "paired-planes", "tree": "adders", "signed_activations": True}),
)


def packed(values: np.ndarray, bits: int) -> list[int]:
    """(CYCLES, ...) fields as one number a cycle, the first field (in C order) at the lowest bits."""
    fields = values.reshape(len(values), -1).astype(object) & ((1 << bits) - 1)
    return [sum(int(field) << i * bits for i, field in enumerate(row)) for row in fields]


def tile_run(spec: TileSpec) -> Run:
    """Random inputs, with enable and reset; the accumulators of every cycle after the first reset."""
    given = inputs_of(spec)
    widths = {"a": spec.abits, "w": spec.products.code_bits}
    if spec.products.modes:
        widths["mode"] = 8
    stored = given | {"w": spec.stored(given["w"])}
    sums: list[int | None] = [*packed(expected(spec, given), spec.sum_bits)]
    sums[0] = None  # registers are anything at power-up
    inputs = {name: packed(values, widths.get(name, 1)) for name, values in stored.items()}
    return Run(spec, True, inputs, {"acc": sums})


@pytest.mark.slow
def test_tiles_under_verilator(tmp_path: Path) -> None:
    """Packed ports, merged modules, enable and reset against the model, from any power-up state."""
    runs = [
        tile_run(TileSpec(weight, rows=4, cols=3, terms=4 * CYCLES, enable=True, reset=True, **fields))
        for weight, fields in TILES
    ]
    wrong = verilator_mismatches(runs, tmp_path)
    assert {run.spec.name: count for run, count in zip(runs, wrong, strict=True) if count} == {}


def modules(verilog: str) -> dict[str, str]:
    """Text by name."""
    return {
        m[1]: m[0] for m in re.finditer(r"^module (\w+).*?^endmodule\n", verilog, re.MULTILINE | re.DOTALL)
    }


@pytest.mark.parametrize("variant", ["one-hot-shift", "even-odd", "shared-shift-add"])
def test_groups_and_tables_are_written_once(variant: str) -> None:
    """As many modules for 12 rows as for 2 (10 and more differ in the order of their ports' names)."""
    few, many = (
        modules(to_verilog(TileSpec(POST, variant=variant, rows=rows, cols=2).build(), "tile"))
        for rows in (2, 12)
    )
    assert len(few) == len(many)
    assert many["tile"].count("_column column_") == 2
    column = next(text for name, text in many.items() if name.endswith("_column"))
    assert column.count("_column_group_0 group_") == 12
    assert not any("group_1" in name.split("_column_")[-1] for name in many)


ONE = "module {0}(x, {1});\n  input [1:0] x;\n  wire [1:0] x;\n  output {1};\n  wire {1};\n  wire \\a$1 ;\n" \
    "  assign \\a$1  = x[0] ^ x[1];\n  assign {1} = {2}\\a$1  & 1'h1;\nendmodule\n"  # fmt: skip
TOP = "module top(x, y);\n  input [1:0] x;\n  output [1:0] y;\n" \
    "  a first (\n    .p(y[0]),\n    .x(x)\n  );\n  b second (\n    .q(y[1]),\n    .x(x)\n  );\nendmodule\n"  # fmt: skip


def test_names_alone_do_not_tell_modules_apart() -> None:
    text = "\n".join([TOP, ONE.format("a", "p", ""), ONE.format("b", "q", "")])
    found = modules(written_once(text))
    assert list(found) == ["top", "a"]
    assert "  a second (\n    .p(y[1]),\n    .x(x)\n  );\n" in found["top"]


def test_another_circuit_stays() -> None:
    text = "\n".join([TOP, ONE.format("a", "p", ""), ONE.format("b", "q", "~ ")])
    assert written_once(text) == text


def test_crossed_wires_stay() -> None:
    """The same statements between other names: a multiset of lines would take them for equal."""
    text = "module {0}(x, y, z);\n  input x;\n  input y;\n  output [1:0] z;\n  assign z = {{ {1}, {2} }};\nendmodule\n"
    top = "module top(x);\n  input x;\n  a i (\n    .x(x)\n  );\n  b j (\n    .x(x)\n  );\nendmodule\n"
    whole = "\n".join([top, text.format("a", "x", "y"), text.format("b", "y", "x")])
    assert written_once(whole) == whole


def test_what_is_not_understood_is_left() -> None:
    text = "\n".join(
        [TOP, ONE.format("a", "p", ""), ONE.format("b", "q", "").replace("  wire q;\n", "wire q;\n")]
    )
    assert written_once(text) == text


@pytest.mark.parametrize(
    ("weight", "fields"),
    [
        (POST, {"variant": "one-hot-shift", "stage": "tree"}),
        (POST, {"variant": "one-hot-shift", "stage": "tree", "carry_save": True, "registers": True}),
        (POST, {"variant": "even-odd", "stage": "tree", "carry_save": True, "tree": "dadda"}),
        (POST, {"variant": "select-shift", "tree": "adders", "edge_registers": True}),
        (POST, {"variant": "select-shift", "tree": "chain", "stage": "products", "share": 1}),
        (INT, {"variant": "booth", "tree": "adders"}),
        (INT, {"variant": "paired-planes", "stage": "tree"}),
    ],
)
@pytest.mark.parametrize("control", [False, True])
def test_every_option_lints_clean(
    weight: WeightFormat, fields: dict[str, Any], control: bool, tmp_path: Path
) -> None:
    tile = TileSpec(weight, rows=4, cols=3, enable=control, reset=control, **fields)
    path = tmp_path / f"{tile.name}.v"
    path.write_text(unit_verilog(tile))
    assert [line for line in lint(path) if "DECLFILENAME" not in line] == []
