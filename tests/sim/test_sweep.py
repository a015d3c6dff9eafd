"""Sweeps: rows equal single simulations; a kill loses nothing; processes and Dask give the same bytes."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.csv
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asq_sw.cli import main
from asq_sw.errors import InputError
from sim import simulate, sweep
from sim.sweep import Sweep, pareto, run

SMALL = Sweep(
    "small_cnn",
    (
        ("grid", ("post", "int", "fp4")),
        ("wbits", (3, 4)),
        ("dataflow", ("ws", "os")),
        ("rows", (4, 8)),
        ("ofmap_kib", (1.0, 64.0)),
    ),
)


def test_rows_are_single_simulations(tmp_path: Path) -> None:
    table = run(SMALL, tmp_path / "s.parquet", workers=1)
    assert table.num_rows == 48 - 8  # fp4 exists at 4 bits only
    for row in table.to_pylist()[::7]:
        machine = SMALL.accelerator(row["point"])
        assert machine is not None
        assert (machine.grid, machine.wbits, machine.rows) == (row["grid"], row["wbits"], row["rows"])
        total = simulate("small_cnn", machine).total
        assert row["total_cycles"] == total["total_cycles"]
        assert row["latency_s"] == pytest.approx(total["latency_s"])
        assert row["dram_bytes"] == total["dram_read_bytes"] + total["dram_write_bytes"]
        for part in ("mac", "sram", "dram", "leakage"):
            assert row[f"{part}_uj"] == pytest.approx(1e-6 * total["energy_pj"][part])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(*[st.integers(0, 4)] * 3), min_size=1, max_size=40))
def test_pareto_front_is_what_nothing_beats(points: list[tuple[int, int, int]]) -> None:
    values = np.array(points, float)
    expected = [not any((other <= v).all() and (other < v).any() for other in values) for v in values]
    assert pareto(values).tolist() == expected


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_processes_give_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(SMALL, tmp_path / "one.parquet", workers=1)
    run(SMALL, tmp_path / "two.parquet", workers=2)
    run(SMALL, tmp_path / "one.csv", workers=1)
    assert digest(tmp_path / "one.parquet") == digest(tmp_path / "two.parquet")
    assert pyarrow.csv.read_csv(tmp_path / "one.csv").num_rows == 40
    assert not list(tmp_path.glob("*.parts"))


def test_interrupted_sweep_goes_on_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep, "CHUNK", 8)
    run(SMALL, tmp_path / "whole.parquet", workers=1)
    computed: list[int] = []
    evaluate = sweep.evaluate_chunk

    def counting(plan: Sweep, chunk: int):
        if len(computed) == 3:
            raise KeyboardInterrupt
        computed.append(chunk)
        return evaluate(plan, chunk)

    monkeypatch.setattr(sweep, "evaluate_chunk", counting)
    with pytest.raises(KeyboardInterrupt):
        run(SMALL, tmp_path / "cut.parquet", workers=1)
    assert not (tmp_path / "cut.parquet").exists()
    first = list(computed)

    def rest(plan: Sweep, chunk: int):
        computed.append(chunk)
        return evaluate(plan, chunk)

    monkeypatch.setattr(sweep, "evaluate_chunk", rest)
    run(SMALL, tmp_path / "cut.parquet", workers=1)
    assert len(first) == 3
    assert sorted(computed) == list(range(SMALL.chunks))  # none lost, none twice
    assert digest(tmp_path / "cut.parquet") == digest(tmp_path / "whole.parquet")


def test_killed_process_resumes_to_the_same_bytes(tmp_path: Path) -> None:
    """SIGKILL in the middle of a sweep of 8,000 points, then the same command again."""
    out = tmp_path / "k.parquet"
    command = [
        sys.executable,
        "-m",
        "asq_sw",
        "sweep",
        "small_cnn",
        "--rows",
        ",".join(map(str, range(1, 201))),
    ]
    command += ["--cols", ",".join(map(str, range(1, 41))), "--workers", "1", "-o", str(out)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("k.parquet.parts/*/[0-9]*.parquet")) and time.monotonic() < deadline:
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    kept = sorted(p.name for p in tmp_path.glob("k.parquet.parts/*/[0-9]*.parquet"))
    assert kept, "killed before the first chunk was written"
    assert not out.exists()
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    resumed = digest(out)
    out.unlink()
    subprocess.run(command, check=True, capture_output=True)
    assert digest(out) == resumed


def test_dask_gives_the_same_bytes(tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed")
    run(SMALL, tmp_path / "local.parquet", workers=1)
    with distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster:
        run(SMALL, tmp_path / "dask.parquet", dask=cluster.scheduler_address)
        run(SMALL, tmp_path / "refined.parquet", dask=cluster.scheduler_address, refine=True)
    assert digest(tmp_path / "local.parquet") == digest(tmp_path / "dask.parquet")
    run(SMALL, tmp_path / "refined_here.parquet", workers=1, refine=True)
    assert digest(tmp_path / "refined_here.parquet") == digest(tmp_path / "refined.parquet")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--rows", "8,x"], "whole numbers"),
        (["--rows", "8,8"], "all different"),
        (["--wbits", "4,9"], "2 to 8"),
        (["--grid", "post,log"], "post-paper"),
        (["--dataflow", "ws,rs"], "dataflow"),
        (["--rows", "0"], "rows"),
        (["--dask", "tcp://127.0.0.1:1"], "no scheduler"),
    ],
)
def test_bad_input_is_named(
    arguments: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["sweep", "small_cnn", *arguments, "-o", str(tmp_path / "s.csv")])
    assert stop.value.code == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "s.csv").exists()


def test_other_bad_input(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"\.parquet or \.csv"):
        run(SMALL, tmp_path / "s.json")
    with pytest.raises(InputError, match="unknown"):
        Sweep("small_cnn", (("colour", (1,)),))
    with pytest.raises(InputError, match="unknown"):
        run(Sweep("nothing", (("rows", (1, 2)),)), tmp_path / "s.csv")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        run(SMALL, tmp_path / "file" / "s.csv")


def test_command_line_prints_the_front(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(
            [
                "sweep",
                "small_cnn",
                "--rows",
                "4,8",
                "--wbits",
                "4",
                "--objective",
                "area",
                "-o",
                str(tmp_path / "s.csv"),
            ]
        )
    assert stop.value.code == 0
    assert "Pareto front" in capsys.readouterr().out


def test_refined_front_is_fidelity_twos(tmp_path: Path) -> None:
    """The front of fidelity 2 over every point is found by refining what the closed form leaves."""
    axes = (
        ("rows", (8, 16, 32)),
        ("cols", (8, 32)),
        ("dataflow", ("ws", "os")),
        ("dram_gb_per_s", (3.2, 25.6)),
    )
    plan = Sweep("resnet20", axes)
    table = run(plan, tmp_path / "refined.parquet", workers=1, refine=True).to_pylist()
    figures = []
    for row in table:
        machine = plan.accelerator(row["point"])
        assert machine is not None
        total = simulate("resnet20", machine, fidelity=2).total
        figures.append((total["latency_s"], sum(total["energy_pj"].values()) * 1e-6, row["area_mm2"]))
        if row["tiled_cycles"] is not None:
            assert row["tiled_cycles"] == total["total_cycles"]
            assert (row["tiled_latency_s"], row["tiled_energy_uj"]) == pytest.approx(figures[-1][:2])
    everywhere = sweep.pareto(np.array(figures))
    assert [row["pareto"] for row in table] == everywhere.tolist()
    assert 0 < sum(row["tiled_cycles"] is None for row in table) < len(table)


def test_refined_rows_are_the_same_bytes_in_two_processes_and_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = Sweep("resnet20", (("rows", (8, 16, 32)), ("cols", (8, 16, 32)), ("wbits", (3, 4))))
    monkeypatch.setattr(sweep, "REFINE_CHUNK", 4)
    run(plan, tmp_path / "one.parquet", workers=1, refine=True)
    run(plan, tmp_path / "two.parquet", workers=2, refine=True)
    calls = []
    refine = sweep.refine_chunk

    def interrupted(*arguments):  # type: ignore[no-untyped-def]
        if len(calls) == 2:
            raise KeyboardInterrupt
        calls.append(arguments)
        return refine(*arguments)

    monkeypatch.setattr(sweep, "refine_chunk", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(plan, tmp_path / "three.parquet", workers=1, refine=True)
    first = list(calls)
    calls.clear()
    monkeypatch.setattr(sweep, "refine_chunk", lambda *a: calls.append(a) or refine(*a))
    run(plan, tmp_path / "three.parquet", workers=1, refine=True)
    assert not set(first) & set(calls)
    for name in ("two", "three"):
        assert (tmp_path / f"{name}.parquet").read_bytes() == (tmp_path / "one.parquet").read_bytes()


def test_survivors_without_margin_are_the_front() -> None:
    values = np.random.default_rng(0).random((200, 3))
    assert sweep.survivors(values, 0.0).tolist() == np.flatnonzero(sweep.pareto(values)).tolist()
    assert set(sweep.survivors(values, 0.0)) <= set(sweep.survivors(values, 0.2))
