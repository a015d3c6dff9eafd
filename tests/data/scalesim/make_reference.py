"""Make reference.json: SCALE-Sim 3's own reports on random small layers, machines and buffers.

SCALE-Sim needs an environment of its own (`python -m venv V && V/bin/pip install scalesim "numpy<2"`):

    python tests/data/scalesim/make_reference.py V/bin/python 16

Runs in which SCALE-Sim itself fails are left out and counted.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
from pathlib import Path

REPORTS = ("COMPUTE", "BANDWIDTH", "DETAILED_ACCESS")
LAYOUT = "Layer name," + "x," * 20


def random_case(rng: random.Random) -> dict[str, str]:
    rows, cols = rng.choice([(4, 6), (8, 8), (5, 3), (16, 4), (1, 7), (3, 1)])
    ifmap_bw, ifmap_banks = rng.choice([(10, 10), (4, 2), (7, 1)])
    filter_bw, filter_banks = rng.choice([(10, 10), (6, 3), (5, 5)])
    sizes = [rng.choice([1, 1, 2, 64]) for _ in range(3)]
    cfg = f"""[general]
run_name = run
[architecture_presets]
ArrayHeight: {rows}
ArrayWidth: {cols}
IfmapSramSzkB: {sizes[0]}
FilterSramSzkB: {sizes[1]}
OfmapSramSzkB: {sizes[2]}
IfmapOffset: 0
FilterOffset: 10000000
OfmapOffset: 20000000
Bandwidth : {rng.choice([1, 3, 10, 17])}
Dataflow : {rng.choice(["ws", "os", "is"])}
MemoryBanks: 1
ReadRequestBuffer: 32
WriteRequestBuffer: 32
[layout]
IfmapCustomLayout: False
IfmapSRAMBankBandwidth: {ifmap_bw}
IfmapSRAMBankNum: {ifmap_banks}
IfmapSRAMBankPort: 2
FilterCustomLayout: False
FilterSRAMBankBandwidth: {filter_bw}
FilterSRAMBankNum: {filter_banks}
FilterSRAMBankPort: 2
[sparsity]
SparsitySupport : false
SparseRep : ellpack_block
OptimizedMapping : false
BlockSize : 8
RandomNumberGeneratorSeed : 40
[run_presets]
InterfaceBandwidth: {rng.choice(["CALC", "USER"])}
UseRamulatorTrace: False
"""
    if rng.random() < 0.3:
        lines = ["Layer,M,N,K,"]
        lines += [f"g{i},{rng.randint(1, 60)},{rng.randint(1, 40)},{rng.randint(1, 90)}," for i in range(2)]
    else:
        lines = [
            "Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, Num Filter, Strides,"
        ]
        for i in range(2):
            size = [rng.randint(3, 16), rng.randint(3, 16), rng.randint(1, 3), rng.randint(1, 3)]
            size += [rng.randint(1, 20), rng.randint(1, 24), rng.randint(1, 3)]
            lines.append(f"c{i}," + ",".join(map(str, size)) + ",")
    return {"topology": "\n".join(lines) + "\n", "config": cfg}


def run_scalesim(python: str, case: dict[str, str]) -> dict[str, str] | None:
    """SCALE-Sim's three reports for a case, or None where it fails."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        (path / "t.csv").write_text(case["topology"])
        (path / "c.cfg").write_text(case["config"])
        layers = case["topology"].strip().splitlines()[1:]
        numbers = ",".join(["1"] * 6 + ["0", "1", "2"] * 2 + ["0", "1", "2", "3"] * 2)
        layout = [LAYOUT] + [f"{line.split(',')[0]},{numbers}," for line in layers]
        (path / "l.csv").write_text("\n".join(layout) + "\n")
        command = [
            python,
            "-m",
            "scalesim.scale",
            "-c",
            "c.cfg",
            "-t",
            "t.csv",
            "-l",
            "l.csv",
            "-p",
            "out",
            "-s",
            "N",
        ]
        if ",M,N,K" in case["topology"]:
            command += ["-i", "gemm"]
        (path / "out").mkdir()
        done = subprocess.run(command, cwd=path, capture_output=True)
        if done.returncode:
            return None
        return {name: (path / "out" / "run" / f"{name}_REPORT.csv").read_text() for name in REPORTS}


def main() -> None:
    python, count = sys.argv[1], int(sys.argv[2])
    rng = random.Random(2026)
    cases: list[dict[str, object]] = []
    failed = 0
    while len(cases) < count:
        case = random_case(rng)
        reports = run_scalesim(python, case)
        if reports is None:
            failed += 1
        else:
            cases.append({**case, "reports": reports})
    target = Path(__file__).with_name("reference.json")
    record = {
        "made_by": "tests/data/scalesim/make_reference.py",
        "scalesim": "3.0.0",
        "seed": 2026,
        "failed": failed,
    }
    target.write_text(json.dumps({**record, "cases": cases}, indent=1) + "\n")


if __name__ == "__main__":
    main()
