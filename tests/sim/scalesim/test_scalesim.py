"""The SCALE-Sim drop-in against SCALE-Sim itself: all three reports byte for byte, and its files as people write them."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from pathlib import Path

import places
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asq_sw.cli import main
from asq_sw.errors import InputError
from asq_sw.interop.scalesim import ConvRow, GemmRow, read_config, read_topology
from sim.scalesim.drop_in import simulate
from sim.workload import load

DATA = places.DATA / "scalesim"
REFERENCE = json.loads((DATA / "reference.json").read_text())
SHARED = places.SHARED / "topologies"
HEADER = (
    "Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, Num Filter, Strides,\n"
)


def report_files(folder: Path) -> list[Path]:
    """The three reports that SCALE-Sim writes."""
    return [folder / f"{name}_REPORT.csv" for name in ("COMPUTE", "BANDWIDTH", "DETAILED_ACCESS")]


@pytest.mark.parametrize("index", range(len(REFERENCE["cases"])))
def test_reports_are_scalesims_bytes(index: int, tmp_path: Path) -> None:
    case = REFERENCE["cases"][index]
    (tmp_path / "t.csv").write_text(case["topology"])
    (tmp_path / "c.cfg").write_text(case["config"])
    simulate(tmp_path / "t.csv", tmp_path / "c.cfg", tmp_path / "out")
    for path in report_files(tmp_path / "out"):
        assert path.read_text() == case["reports"][path.name.removesuffix("_REPORT.csv")]


TRACES = json.loads((DATA / "traces.json").read_text())["traces"]


@pytest.mark.parametrize("entry", TRACES, ids=lambda entry: f"case{entry['case']}")
def test_traces_are_scalesims_bytes(entry: dict, tmp_path: Path) -> None:
    """All six traces of both layers, by hash: every dataflow in both bandwidth modes."""
    case = REFERENCE["cases"][entry["case"]]
    (tmp_path / "t.csv").write_text(case["topology"])
    (tmp_path / "c.cfg").write_text(case["config"])
    simulate(tmp_path / "t.csv", tmp_path / "c.cfg", tmp_path / "out", traces=True)
    assert len(entry["sha256"]) == 12
    for name, digest in entry["sha256"].items():
        assert hashlib.sha256((tmp_path / "out" / name).read_bytes()).hexdigest() == digest, name


def test_the_reference_covers_what_it_should() -> None:
    """All dataflows in both modes, GEMMs, and layers that stall."""
    configs = [case["config"] for case in REFERENCE["cases"]]
    for flow in ("ws", "os", "is"):
        for mode in ("CALC", "USER"):
            assert any(f"Dataflow : {flow}" in c and f"InterfaceBandwidth: {mode}" in c for c in configs), (
                flow,
                mode,
            )
    assert any(",M,N,K" in case["topology"] for case in REFERENCE["cases"])
    stalls = [
        row.split(",")[3] for c in REFERENCE["cases"] for row in c["reports"]["COMPUTE"].splitlines()[1:]
    ]
    assert any(int(s) > 0 for s in stalls)


@pytest.mark.slow
def test_fresh_runs_of_scalesim(tmp_path: Path) -> None:
    """Twenty new random cases, run now by SCALE-Sim itself (ASQ_SCALESIM_PYTHON names its interpreter)."""
    python = os.environ.get("ASQ_SCALESIM_PYTHON")
    if not python:
        pytest.skip("ASQ_SCALESIM_PYTHON is not set: no SCALE-Sim to compare with")
    sys.path.insert(0, str(DATA))
    import random

    from make_reference import random_case, run_scalesim

    rng = random.Random(7)
    compared = 0
    for i in range(20):
        case = random_case(rng)
        expected = run_scalesim(python, case)
        if expected is None:
            continue
        folder = tmp_path / str(i)
        folder.mkdir()
        (folder / "t.csv").write_text(case["topology"])
        (folder / "c.cfg").write_text(case["config"])
        simulate(folder / "t.csv", folder / "c.cfg", folder)
        for path in report_files(folder):
            assert path.read_text() == expected[path.name.removesuffix("_REPORT.csv")], case
        compared += 1
    assert compared >= 10


@pytest.mark.skipif(not SHARED.exists(), reason="SCALE-Sim's own topology files are not beside the project")
def test_resnet18_on_scalesims_own_files() -> None:
    """First layer 121939 compute cycles at 32x32 ws; every layer by the published closed form."""
    result = simulate(SHARED / "Resnet18.csv", SHARED / "scale.cfg")
    assert result.layers[0].compute_cycles == 121_939
    for row, got in zip(read_topology(SHARED / "Resnet18.csv"), result.layers, strict=True):
        assert isinstance(row, ConvRow)
        out_h = -(-(row.ifmap_h - row.filter_h + row.stride_h) // row.stride_h)
        out_w = -(-(row.ifmap_w - row.filter_w + row.stride_w) // row.stride_w)
        folds = -(-row.filter_h * row.filter_w * row.channels // 32) * -(-row.filters // 32)
        assert got.compute_cycles == folds * (32 + out_h * out_w + 32 + 32 - 2) - 1


def test_without_replay_stalls_are_unknown_not_zero(tmp_path: Path) -> None:
    case = REFERENCE["cases"][0]
    (tmp_path / "t.csv").write_text(case["topology"])
    (tmp_path / "c.cfg").write_text(case["config"])
    quick = simulate(tmp_path / "t.csv", tmp_path / "c.cfg").to_json()
    whole = simulate(tmp_path / "t.csv", tmp_path / "c.cfg", memory=True).to_json()
    assert quick["layers"][0]["stall_cycles"] is None
    assert whole["layers"][0]["stall_cycles"] is not None
    for a, b in zip(quick["layers"], whole["layers"], strict=True):
        assert a["compute_cycles"] == b["compute_cycles"] == b["total_cycles"] - b["stall_cycles"]


def test_command_line_writes_the_reports(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    case = REFERENCE["cases"][0]
    (tmp_path / "t.csv").write_text(case["topology"])
    (tmp_path / "c.cfg").write_text(case["config"])
    arguments = ["simulate", str(tmp_path / "t.csv"), "--scalesim-cfg", str(tmp_path / "c.cfg")]
    with pytest.raises(SystemExit) as stop:
        main([*arguments, "--csv", str(tmp_path / "out"), "--json", str(tmp_path / "r.json")])
    assert stop.value.code == 0
    assert sorted(p.name for p in report_files(tmp_path / "out")) == sorted(os.listdir(tmp_path / "out"))
    record = json.loads((tmp_path / "r.json").read_text())
    assert record["provenance"]["inputs"].keys() == {"t.csv", "c.cfg"}
    assert f"{record['layers'][0]['compute_cycles']:,}" in capsys.readouterr().out


def test_files_as_people_write_them(tmp_path: Path) -> None:
    """CRLF, a byte-order mark, blank lines, missing last commas, spaces, a sparsity column, channels of a DP layer."""
    path = tmp_path / "t.csv"
    path.write_bytes(
        b"\xef\xbb\xbf"
        + HEADER.encode()
        + b"\r\nA , 9,9 ,3,3,5,7, 2\r\n\r\nB,6,8,1,1,12,9,1,2:4,\r\nDP1,6,6,3,3,2,1,1,\r\n"
    )
    rows = read_topology(path)
    assert rows[0] == ConvRow("A", 9, 9, 3, 3, 5, 7, 2, 2)
    assert rows[1] == ConvRow("B", 6, 8, 1, 1, 12, 9, 1, 1)
    assert rows[2:] == [ConvRow(f"DP1Channel_{i}", 6, 6, 3, 3, 1, 1, 1, 1) for i in range(2)]
    path.write_text("Layer Name, M, N, K,\nT, 256, 128, 64")
    assert read_topology(path) == [GemmRow("T", 256, 128, 64)]
    assert (load(str(path)).layers[0].m, load(str(path)).layers[0].n, load(str(path)).layers[0].k) == (
        256,
        128,
        64,
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty"),
        (HEADER, "no layers"),
        ("name,kind\nA,1\n", "header"),
        (HEADER + "A,9,9,3,3,5,\n", "line 2: column num filter is missing"),
        (HEADER + "A,9,9,3,3,5,7,-2,\n", "line 2: strides is -2"),
        (HEADER + "A,9,9,3,3,5,seven,2,\n", "num filter is 'seven'"),
        (HEADER + "A,9,9,11,3,5,7,2,\n", "filter height is 11"),
        (HEADER + "A,9,9,3,3,5,7,2,half,\n", "sparsity ratio"),
        ("Layer,M,N,K,\nT,1,2,\n", "column K is missing"),
    ],
)
def test_bad_topologies_are_named(
    text: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(SystemExit) as stop:
        main(["simulate", str(path)])
    error = capsys.readouterr().err
    assert stop.value.code == 2
    assert error.count("\n") == 1
    assert "bad.csv" in error
    assert words in error


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.mktemp("any") / "t.csv"
    path.write_text(HEADER + text, encoding="utf-8")
    try:
        rows = read_topology(path)
    except InputError as error:
        assert "t.csv" in str(error)  # noqa: PT017
    else:
        assert rows


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("Dataflow : ", "Dataflow : x", "Dataflow is"),
        ("ArrayHeight: ", "ArrayHeight: -", "ArrayHeight is -"),
        ("ArrayWidth: ", "Width: ", "ArrayWidth is missing"),
        ("InterfaceBandwidth: ", "InterfaceBandwidth: NO", "InterfaceBandwidth is"),
        ("SparsitySupport : false", "SparsitySupport : true", "SparsitySupport"),
        ("[general]", "general", "not a SCALE-Sim"),
    ],
)
def test_bad_configurations_are_named(old: str, new: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "c.cfg").write_text(REFERENCE["cases"][0]["config"].replace(old, new))
    with pytest.raises(InputError, match=words) as error:
        read_config(tmp_path / "c.cfg")
    assert "c.cfg" in str(error.value)
