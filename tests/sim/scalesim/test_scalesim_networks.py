"""Whole networks against SCALE-Sim's own compute system, at four arrays and in three dataflows: exact equality.

networks.json holds SCALE-Sim's figures; tests/data/scalesim/make_reference.py makes it, and says how.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import places
import pytest

from asq_sw.interop.scalesim import read_config
from sim.scalesim.drop_in import simulate

REFERENCE = json.loads((places.DATA / "scalesim" / "networks.json").read_text())
CONFIG = json.loads((places.DATA / "scalesim" / "reference.json").read_text())


@pytest.mark.parametrize("network", REFERENCE["topologies"])
def test_every_figure_is_scalesims(network: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(REFERENCE["topologies"][network])
    (tmp_path / "c.cfg").write_text(CONFIG["cases"][0]["config"])
    machine = read_config(tmp_path / "c.cfg")
    runs = [run for run in REFERENCE["runs"] if run["network"] == network]
    assert {(*run["array"], run["dataflow"]) for run in runs} == {
        (*shape, flow) for shape in ((16, 16), (32, 32), (64, 16), (128, 128)) for flow in ("ws", "os", "is")
    }
    for run in runs:
        rows, cols = run["array"]
        machine = replace(machine, rows=rows, cols=cols, dataflow=run["dataflow"])
        result = simulate(tmp_path / "t.csv", machine)
        assert len(result.layers) == len(run["layers"])
        for ours, theirs in zip(result.layers, run["layers"], strict=True):
            where = (network, run["array"], run["dataflow"], ours.layer.name)
            counts = [ours.compute_cycles, ours.ifmap_reads, ours.filter_reads, ours.ofmap_writes]
            assert counts == [theirs[0], *theirs[3:]], where
            shares = [100 * ours.mapping_efficiency, 100 * ours.compute_utilization]
            assert shares == pytest.approx(theirs[1:3], rel=1e-12), where
