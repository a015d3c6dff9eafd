"""A new grid is one record: from levels to training, integers, RTL and the simulator, and no other line changes."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from asq_sw.formats import GRIDS

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    script = ROOT / "tests" / "helpers" / "new_grids.py"
    done = subprocess.run(
        [sys.executable, str(script)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    result: dict[str, Any] = json.loads(done.stdout)
    return result


@pytest.mark.parametrize(
    ("grid", "levels", "integers", "words"),
    [
        # 2**(0, -1, -3) and their negatives; the smallest one's product is the activation
        ("gaps", [-1, -0.5, -0.125, 0, 0.125, 0.5, 1], [-8, -4, -1, 0, 1, 4, 8], "a << m"),
        ("sevenths", [-1, -3 / 7, -1 / 7, 0, 1 / 7, 3 / 7, 1], [-7, -3, -1, 0, 1, 3, 7], "{0, 1, 3, 7}[m]"),
        # times 32, to the nearest
        (
            "skew",
            [-0.9, -0.45, -0.2, -0.05, 0, 0.15, 0.4, 1],
            [-29, -14, -6, -2, 0, 5, 13, 32],
            "{-29, -14, -6, -2, 0, 5, 13, 32}[code]",
        ),
    ],
)
def test_a_record_is_all_that_a_grid_needs(
    found: dict[str, Any], grid: str, levels: list[float], integers: list[int], words: str
) -> None:
    made = found[grid]
    assert made["levels"] == pytest.approx(levels, abs=1e-12)
    assert made["integers"] == integers
    assert words in made["definition"][0]
    assert made["sqnr_db"] > 10
    assert made["accuracy"] > 60  # ten classes: chance is 10
    assert made["integer_accuracy"] == pytest.approx(made["accuracy"], abs=1.7)  # six images of 360
    assert made["plain"] == "LsqActivations"
    assert made["mismatches"]
    assert set(made["mismatches"].values()) == {0}
    assert made["tiles"]
    assert all(name.startswith(grid) for name in made["tiles"].values())
    assert made["machine"].startswith(grid)
    assert made["exact"]


def _asks_a_name(node: ast.AST) -> bool:
    """Whether an expression compares with a grid's name, or with the beginning of one."""

    def names(part: ast.expr) -> bool:
        parts = part.elts if isinstance(part, ast.Tuple | ast.List | ast.Set) else [part]
        return any(isinstance(p, ast.Constant) and p.value in GRIDS for p in parts)

    if isinstance(node, ast.Compare):
        return any(names(part) for part in (node.left, *node.comparators))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        return node.func.attr in ("startswith", "endswith") and any(names(part) for part in node.args)
    return False


def test_no_code_asks_a_grid_for_its_name() -> None:
    """But for studies and reports, which choose the formats that they show."""
    asked = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for package in ("asq_sw", "hw", "sim")
        for path in sorted((ROOT / package).rglob("*.py"))
        if "studies" not in path.parts
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if _asks_a_name(node)
    ]
    assert asked == []
    assert _asks_a_name(ast.parse('x.grid == "post"').body[0].value)  # type: ignore[attr-defined]
    assert _asks_a_name(ast.parse('x.startswith(("post", "a"))').body[0].value)  # type: ignore[attr-defined]
