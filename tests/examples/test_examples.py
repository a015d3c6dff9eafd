"""The examples run as they are, and say what the product says."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path
from typing import Any

import matplotlib
import places
import pytest
from click.testing import CliRunner

from asq_sw.cli import cli

EXAMPLES = places.ROOT / "examples"


def asq(*arguments: str | Path) -> dict[str, Any]:
    """What a command gives as JSON."""
    done = CliRunner().invoke(cli, [*map(str, arguments), "--json", "-"])
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_topology_on_the_machine() -> None:
    data = asq("simulate", EXAMPLES / "topology.csv", "--config", EXAMPLES / "machine.toml")
    machine = data["config"]
    assert (machine["unit"], machine["rows"], machine["clock_mhz"], machine["frac_bits"]) == (
        "tile",
        32,
        400,
        0,
    )
    # By hand: a 34 x 34 map under 3 x 3 filters has 32 x 32 outputs.
    assert data["layers"][0]["macs"] == 32 * 32 * 16 * 3 * 3 * 3
    assert [layer["name"] for layer in data["layers"]] == ["stem", "block1", "block2", "block3", "classifier"]


def test_topology_by_scale_sims_conventions(tmp_path: Path) -> None:
    topology, cfg = EXAMPLES / "topology.csv", EXAMPLES / "scale.cfg"
    data = asq("simulate", topology, "--scalesim-cfg", cfg, "--csv", tmp_path)
    assert (data["config"]["run_name"], data["config"]["rows"]) == ("example_16x16_ws", 16)
    # SCALE-Sim's weight-stationary fold takes T + 2 R + C - 2 cycles, and its count ends one before.
    fold = 32 * 32 + 2 * 16 + 16 - 2
    assert data["layers"][0]["total_cycles"] == 2 * fold - 1
    assert {path.name for path in tmp_path.rglob("*.csv")} == {
        "COMPUTE_REPORT.csv", "BANDWIDTH_REPORT.csv", "DETAILED_ACCESS_REPORT.csv",
    }  # fmt: skip


def test_script(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["compare_grids.py", "small_cnn"])
    runpy.run_path(str(EXAMPLES / "compare_grids.py"), run_name="__main__")
    title, _, *lines = capsys.readouterr().out.splitlines()
    assert title.startswith("small_cnn on machine.toml")
    rows = {line.split()[0]: line.split()[1:] for line in lines}
    assert list(rows) == ["int", "post", "post-gap", "fp4"]
    total = asq("simulate", "small_cnn", "--config", EXAMPLES / "machine.toml")["total"]
    assert rows["post"][0] == f"{total['images_per_s']:.0f}"
    assert rows["post"][1] == f"{sum(total['energy_pj'].values()) / 1e6:.2f}"
    assert rows["post"][3] == "18.60"  # docs/datapath.md's, post4 F0
    assert rows["post-gap"][3] == "19.14"  # there, on FP4's datapath


def test_notebook(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Its cells one after another, without Jupyter; no outputs are kept in it."""
    notebook = json.loads((EXAMPLES / "first_steps.ipynb").read_text(encoding="utf-8"))
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert len(cells) >= 5
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells)
    monkeypatch.chdir(EXAMPLES)
    backend = matplotlib.get_backend()
    matplotlib.use("Agg")
    names: dict[str, Any] = {"__name__": "__main__"}
    try:
        for cell in cells:
            exec(compile("".join(cell["source"]), f"first_steps.ipynb {cell['id']}", "exec"), names)
    finally:
        names["plt"].close("all")
        matplotlib.use(backend)
    out = capsys.readouterr().out
    total = asq("simulate", "resnet20", "--config", EXAMPLES / "machine.toml")["total"]
    assert f"{total['images_per_s']:.0f} images/s" in out
    assert f"18 machines, {len(names['front'])} on the front" in out
    assert 1 <= len(names["front"]) < 18
    assert "module" in names["verilog"]
