"""How many times faster than SCALE-Sim: the same files, the same machine, one run.

    ASQ_SCALESIM_PYTHON=V/bin/python make bench

``ASQ_BENCH_TOPOLOGY`` and ``ASQ_BENCH_CFG`` name other files than the small ones made here.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import places
import pytest

from sim.scalesim.drop_in import simulate

DATA = places.DATA / "scalesim"
TOPOLOGY = """Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, Num Filter, Strides,
Inc5b_3x3, 7, 7, 3, 3, 192, 384, 1,
"""


def best(function, repeats: int = 5) -> float:
    function()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


@pytest.mark.benchmark
def test_against_scalesim(tmp_path: Path) -> None:
    python = os.environ.get("ASQ_SCALESIM_PYTHON")
    if not python:
        pytest.skip("ASQ_SCALESIM_PYTHON is not set: no SCALE-Sim to compare with")
    sys.path.insert(0, str(DATA))
    import random

    from make_reference import random_case, run_scalesim

    config = random_case(random.Random(0))["config"]
    for key, value in {
        "ArrayHeight": 32, "ArrayWidth": 32, "IfmapSramSzkB": 64, "FilterSramSzkB": 64, "OfmapSramSzkB": 64,
        "Dataflow ": "ws", "InterfaceBandwidth": "CALC",
    }.items():  # fmt: skip
        config = "\n".join(
            f"{key}: {value}" if line.startswith(key) else line for line in config.splitlines()
        )
    topology = TOPOLOGY
    if "ASQ_BENCH_TOPOLOGY" in os.environ:
        topology = Path(os.environ["ASQ_BENCH_TOPOLOGY"]).read_text()
    if "ASQ_BENCH_CFG" in os.environ:
        config = Path(os.environ["ASQ_BENCH_CFG"]).read_text()
    (tmp_path / "t.csv").write_text(topology)
    (tmp_path / "c.cfg").write_text(config)
    start = time.perf_counter()
    expected = run_scalesim(python, {"topology": topology, "config": config})
    peer = time.perf_counter() - start
    assert expected is not None
    closed = best(lambda: simulate(tmp_path / "t.csv", tmp_path / "c.cfg"))
    replayed = best(lambda: simulate(tmp_path / "t.csv", tmp_path / "c.cfg", tmp_path / "out"), 2)
    assert (tmp_path / "out" / "COMPUTE_REPORT.csv").read_text() == expected["COMPUTE"]
    print(
        f"\nSCALE-Sim {peer:.2f} s; closed form {1e3 * closed:.2f} ms: {peer / closed:,.0f} times faster; "
        f"all three reports {1e3 * replayed:.1f} ms: {peer / replayed:,.0f} times faster"
    )
