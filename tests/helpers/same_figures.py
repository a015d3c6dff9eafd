"""The figures that a change of the code's structure must not change, as hashes.

``python tests/helpers/same_figures.py -o FILE`` writes them all as JSON; run it in two checkouts on one machine and
compare the files. ``tests/test_same_figures.py`` holds the parts against ``tests/data/same_figures.json``.
All through the command line, but for the Verilog of the units, which have no command that writes hundreds at once.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import llvmlite.binding as llvm
import numpy as np

from asq_sw.cli import main
from asq_sw.formats import GRID_RECORDS, GRIDS, WeightFormat
from hw.rtl.hierarchy import Modules
from hw.rtl.verilog import rtlil_to_verilog, to_rtlil
from hw.units.spec import VARIANTS, UnitSpec
from hw.units.tile import TileSpec
from hw.units.variants import names

Figures = dict[str, Any]
SEED = 7
STEPS = 50


def run(*arguments: str | Path) -> None:
    """One ``asq`` command, in this process."""
    try:
        main([str(a) for a in arguments])
    except SystemExit as stop:
        if stop.code not in (0, None):
            raise RuntimeError(f"asq {' '.join(map(str, arguments))}: status {stop.code}") from stop


def digest(data: str | bytes) -> str:
    return hashlib.sha256(data.encode() if isinstance(data, str) else data).hexdigest()[:16]


def report(folder: Path) -> Figures:
    """``asq report --quick``: every part of its JSON but the provenance, and every CSV."""
    run("report", "--quick", "-o", folder)
    data = json.loads((folder / "report.json").read_text())
    del data["provenance"]
    parts = {f"report.json {key}": digest(json.dumps(value)) for key, value in data.items()}
    return parts | {path.name: digest(path.read_bytes()) for path in sorted(folder.glob("*.csv"))}


def sweep(folder: Path) -> Figures:
    """Two hundred points; every row."""
    path = folder / "sweep.csv"
    run("sweep", "resnet18", "--grid", "post,int", "--wbits", "2,3,4,5,8", "--rows", "8,32", "--cols", "8,16,32,64,128",
        "--dataflow", "ws,os", "-o", path)  # fmt: skip
    rows = list(csv.reader(io.StringIO(path.read_text())))
    return {"points": len(rows) - 1, "sweep.csv": digest(path.read_bytes())}


def simulate(folder: Path) -> Figures:
    """``asq simulate`` at fidelity 1 and 2, and SCALE-Sim's three reports."""
    found: Figures = {}
    for name, options in {
        "closed": ["resnet18"],
        "tiles": ["resnet20", "--unit", "tile", "--wbits", "4", "--batch", "4"],
        "asq": ["mobilenet_v2", "--fidelity", "2", "--rows", "16", "--cols", "16", "--asq", "two-pass"],
        "is": [
            "resnet50",
            "--fidelity",
            "2",
            "--dataflow",
            "is",
            "--grid",
            "int",
            "--wbits",
            "8",
            "--abits",
            "4",
            "--ifmap-banks",
            "4",
        ],
        "producer": ["resnet18", "--asq", "producer", "--dram", "ddr4-2400", "--rows", "16", "--cols", "16"],
        "arrays": ["resnet18", "--arrays", "4"],
    }.items():
        path = folder / f"{name}.json"
        run("simulate", *options, "--json", path)
        data = json.loads(path.read_text())
        data.pop("provenance", None)
        found[name] = digest(json.dumps(data))
    topology, config = folder / "t.csv", folder / "c.cfg"
    topology.write_text(
        "Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, Num Filter, Strides,\n"
        "one, 32, 32, 3, 3, 16, 40, 1,\ntwo, 15, 17, 5, 3, 8, 12, 2,\n"
    )
    for flow in ("ws", "os", "is"):
        config.write_text(
            "[general]\nrun_name = same\n\n[architecture_presets]\nArrayHeight: 16\nArrayWidth: 12\n"
            "IfmapSramSzkB: 8\nFilterSramSzkB: 4\nOfmapSramSzkB: 4\nIfmapOffset: 0\nFilterOffset: 10000000\n"
            f"OfmapOffset: 20000000\nBandwidth : 10\nDataflow : {flow}\nMemoryBanks: 1\n\n"
            "[run_presets]\nInterfaceBandwidth: CALC\n"
        )
        run("simulate", topology, "--scalesim-cfg", config, "--csv", folder / flow)
        reports = sorted((folder / flow).rglob("*_REPORT.csv"))
        assert len(reports) == 3, reports
        for path in reports:
            found[f"{flow} {path.name}"] = digest(path.read_bytes())
    return found


def specs() -> list[UnitSpec | TileSpec]:
    """Every unit, grid and width that the lint test covers, and a tile in every way."""
    found: list[UnitSpec | TileSpec] = []
    for grid in GRIDS:
        for bits in GRID_RECORDS[grid].widths:
            weight, signed = WeightFormat(grid, bits), bits % 2 == 0
            found += [
                UnitSpec("multiplier", weight, bits, signed),
                UnitSpec("pe", weight, bits, signed),
                UnitSpec("array", weight, bits, signed, rows=2, cols=3, skew=signed),
                UnitSpec("array", weight, bits, signed, rows=3, cols=2, skew=signed, dataflow="os"),
            ]
        width = 4 if 4 in GRID_RECORDS[grid].widths else GRID_RECORDS[grid].widths[0]
        for unit in ("multiplier", "pe", "array"):
            found += [UnitSpec(unit, WeightFormat(grid, width), 4, variant=v) for v in VARIANTS[grid]]
        for variant in names(grid):
            weight = WeightFormat(grid, width, 0 if GRID_RECORDS[grid].kind == "powers" else None)
            found.append(TileSpec(weight, rows=4, cols=3, variant=variant))
            found.append(
                TileSpec(weight, rows=4, cols=3, variant=variant, registers=True, enable=True, reset=True,
                         edge_registers=True)
            )  # fmt: skip
    return found


def verilog(folder: Path) -> Figures:
    """RTLIL of every unit by name, and the Verilog of all the units in one file."""
    found: Figures = {}
    modules = Modules()
    for spec in specs():
        if spec.name in found:
            continue
        found[spec.name] = digest(to_rtlil(spec.build()))
        if isinstance(spec, UnitSpec):
            modules.add(spec.build(), spec.name)
    found["units.v"] = digest(rtlil_to_verilog("\n".join(modules.text.values())))
    for name, options in {
        "tile": ["tile", "--grid", "post", "--wbits", "4", "--frac-bits", "0", "--rows", "16", "--cols", "4"],
        "array": ["array", "--grid", "int", "--wbits", "4", "--rows", "4", "--cols", "4"],
        "pe": ["pe", "--grid", "post", "--wbits", "3", "--abits", "4"],
    }.items():
        run("verilog", *options, "-o", folder / f"{name}.v")
        lines = (folder / f"{name}.v").read_text().splitlines()
        found[f"asq verilog {name}"] = digest(
            "\n".join(line for line in lines if "version" not in line.lower())
        )
    return found


def training(folder: Path) -> Figures:
    """Fifty steps of two methods; the exported integer networks and their logits on 100 images.

    ``values`` are the losses, for machines whose floating point differs in the last bit; the rest are hashes.
    """
    from asq_sw.data import load

    found: Figures = {}
    images = load("digits").test.images[:100]
    for method, wbits in (("asq-post", 3), ("qil", 4)):
        place = folder / method
        run("train", "small_cnn", "--data", "digits", "--quantizer", method, "--wbits", wbits, "--abits", 4,
            "--epochs", STEPS // 10, "--batch", 128, "--limit", 1280, "--rate", "0.1", "--seed", SEED, "-o", place)  # fmt: skip
        metrics = list(csv.DictReader(io.StringIO((place / "metrics.csv").read_text())))
        found[f"{method} losses"] = [float(row["train_loss"]) for row in metrics]
        run("export", place, "-o", folder / f"{method}.npz")
        found[f"{method} logits"] = digest(logits(folder / f"{method}.npz", images).tobytes())
        with np.load(place / "checkpoint.npz") as checkpoint:
            for name in sorted(checkpoint.files):
                found[f"{method} {name}"] = digest(checkpoint[name].tobytes())
    return found


def logits(path: Path, images: np.ndarray) -> np.ndarray:
    """Of an exported integer network."""
    from asq_sw.integer.network import IntegerNetwork

    return IntegerNetwork.load(path).forward(images)


PARTS: dict[str, Callable[[Path], Figures]] = {
    "sweep": sweep,
    "simulate": simulate,
    "verilog": verilog,
    "training": training,
    "report": report,
}


def collect(parts: tuple[str, ...] = tuple(PARTS)) -> Figures:
    found: Figures = {"cpu": llvm.get_host_cpu_name()}
    for part in parts:
        with tempfile.TemporaryDirectory() as folder:
            found[part] = PARTS[part](Path(folder))
    return found


@click.command()
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), required=True)
@click.option("--part", "parts", multiple=True, type=click.Choice(list(PARTS)), default=tuple(PARTS))
def command(output: Path, parts: tuple[str, ...]) -> None:
    """Write the figures as JSON."""
    output.write_text(json.dumps(collect(parts), indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    command()
