"""Figures that no change of structure may change, against the ones carried (``tests/helpers/same_figures.py``).

Hashes of what integers and exact arithmetic decide hold on every machine. Trained floats differ in their last bits
between processors: there the losses are compared, and the hashes only on the kind of processor that made them.
After a change on purpose: ``python tests/helpers/same_figures.py -o tests/data/same_figures.json``.
"""

from __future__ import annotations

import json
from pathlib import Path

import llvmlite.binding as llvm
import pytest
from same_figures import PARTS

LONG = ("report", "verilog")
"""Parts of the slow suite; the carried rows of tiles are held against the RTL's netlists in the default one too."""
HELD = json.loads((Path(__file__).parent / "data" / "same_figures.json").read_text())


@pytest.mark.parametrize(
    "part",
    [pytest.param(name, marks=pytest.mark.slow) if name in LONG else name for name in PARTS],
)
def test_figures_are_the_carried_ones(part: str, tmp_path: Path) -> None:
    now, held = PARTS[part](tmp_path), HELD[part]
    if part == "training" and llvm.get_host_cpu_name() != HELD["cpu"]:
        now, held = ({k: v for k, v in d.items() if k.endswith("losses")} for d in (now, held))
        assert sorted(now) == sorted(held)
        for name, losses in held.items():
            assert now[name] == pytest.approx(losses, rel=2e-2), name
        return
    assert {k: (v, now.get(k)) for k, v in held.items() if now.get(k) != v} == {}
    assert sorted(now) == sorted(held)
