"""Make the reference figures of the drop-in's tests by running SCALE-Sim 3.0.0 itself.

SCALE-Sim needs an environment of its own (`python -m venv V && V/bin/pip install scalesim==3.0.0 "numpy<2"`):

    python tests/data/scalesim/make_reference.py V/bin/python reports 16     # reference.json: whole reports
    python tests/data/scalesim/make_reference.py V/bin/python networks DIR   # networks.json: whole networks

``reports`` runs all of SCALE-Sim on random small layers, machines and buffers; runs in which it fails are counted.
``networks`` runs its compute system (compute_side.py) on every topology file in DIR, all dataflows, four arrays.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
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


def run_scalesim(python: str, case: dict[str, str], folder: Path) -> Path | None:
    """Run SCALE-Sim in ``folder``; where its reports and traces lie, or None where it fails."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "t.csv").write_text(case["topology"])
    (folder / "c.cfg").write_text(case["config"])
    layers = case["topology"].strip().splitlines()[1:]
    numbers = ",".join(["1"] * 6 + ["0", "1", "2"] * 2 + ["0", "1", "2", "3"] * 2)
    layout = [LAYOUT] + [f"{line.split(',')[0]},{numbers}," for line in layers]
    (folder / "l.csv").write_text("\n".join(layout) + "\n")
    files = ["-c", "c.cfg", "-t", "t.csv", "-l", "l.csv", "-p", "out"]
    kind = ["-i", "gemm"] if is_gemm(case["topology"]) else []
    (folder / "out").mkdir()
    done = subprocess.run([python, "-m", "scalesim.scale", *files, *kind], cwd=folder, capture_output=True)
    found = [path.parent for path in (folder / "out").glob("*/COMPUTE_REPORT.csv")]
    return found[0] if done.returncode == 0 and found else None


def reports(python: str, count: int) -> None:
    """reference.json"""
    rng = random.Random(2026)
    cases: list[dict[str, object]] = []
    failed = 0
    while len(cases) < count:
        case = random_case(rng)
        with tempfile.TemporaryDirectory() as work:
            found = run_scalesim(python, case, Path(work))
            if found is None:
                failed += 1
                continue
            texts = {name: (found / f"{name}_REPORT.csv").read_text() for name in REPORTS}
            cases.append({**case, "reports": texts, "traces": trace_hashes(found)})
    save("reference.json", {"seed": 2026, "failed": failed, "cases": cases})


def trace_hashes(folder: Path) -> dict[str, str]:
    """First 16 hexadecimal digits of the SHA-256 of every trace, by its path in the folder."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()[:16]
        for path in sorted(folder.glob("layer*/*_TRACE.csv"))
    }


def networks(python: str, folder: Path) -> None:
    """networks.json: by network, array and dataflow, a list of compute_side.py's figures by layer."""
    config = random_case(random.Random(0))["config"]
    topologies, runs = {}, []
    for path in sorted(folder.glob("*.csv")):
        text = path.read_text()
        topologies[path.stem] = text
        kind = "gemm" if is_gemm(text) else "conv"
        for rows, cols in ((16, 16), (32, 32), (64, 16), (128, 128)):
            for dataflow in ("ws", "os", "is"):
                machine = {"ArrayHeight": rows, "ArrayWidth": cols, "Dataflow": dataflow}
                with tempfile.TemporaryDirectory() as work:
                    cfg = Path(work) / "c.cfg"
                    cfg.write_text(with_fields(config, machine))
                    script = Path(__file__).with_name("compute_side.py")
                    command = [python, str(script), str(path), str(cfg), kind]
                    done = subprocess.run(command, capture_output=True, text=True, check=True)
                layers = [json.loads(line) for line in done.stdout.splitlines()]
                runs.append(
                    {"network": path.stem, "array": [rows, cols], "dataflow": dataflow, "layers": layers}
                )
                print(path.stem, rows, cols, dataflow, len(layers), file=sys.stderr, flush=True)
    columns = [
        "total cycles without stalls", "mapping efficiency %", "compute utilization %",
        "ifmap SRAM reads", "filter SRAM reads", "ofmap SRAM writes",
    ]  # fmt: skip
    save("networks.json", {"columns": columns, "topologies": topologies, "runs": runs})


def is_gemm(topology: str) -> bool:
    return [cell.strip().lower() for cell in topology.splitlines()[0].split(",")[1:4]] == ["m", "n", "k"]


def with_fields(config: str, fields: dict[str, object]) -> str:
    """The configuration with some fields' values replaced."""
    lines = []
    for line in config.splitlines():
        name = line.split(":")[0].strip()
        lines.append(f"{name}: {fields[name]}" if name in fields else line)
    return "\n".join(lines) + "\n"


def save(name: str, record: dict[str, object]) -> None:
    about = {"made_by": "tests/data/scalesim/make_reference.py", "scalesim": "3.0.0"}
    lines = json.dumps({**about, **record}, indent=1)
    # One line to a list of figures.
    lines = re.sub(r"\[\s+([-\d.e,\s]+?)\s+\]", lambda m: "[" + re.sub(r"\s+", " ", m[1]) + "]", lines)
    Path(__file__).with_name(name).write_text(lines + "\n")


def main() -> None:
    python, what, argument = sys.argv[1:]
    if what == "reports":
        reports(python, int(argument))
    else:
        networks(python, Path(argument))


if __name__ == "__main__":
    main()
