"""Sweeps: rows equal single simulations; a kill loses nothing; processes and Dask give the same bytes."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asq_sw.accuracies import carried, measured
from asq_sw.cli import main
from asq_sw.errors import InputError
from asq_sw.formats import WeightFormat
from hw.costs import unit_cost
from sim import Accelerator, simulate, sweep
from sim.front import Goal, Requirement, survivors
from sim.sweep import Sweep, SweepResult, pareto, run

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
    table = run(SMALL, tmp_path / "s.parquet", workers=1).table
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
        (["--grid", "fp4", "--wbits", "2,3"], "no point of the sweep exists: fp4 has no 2 bits"),
        (["--grid", "int", "--frac-bits", "2"], "frac_bits is 2 for grid 'int'"),
        (["--clock-mhz", "500,nan"], "clock_mhz is nan"),
        (["--dram-gb-per-s", "inf"], "dram_gb_per_s is inf"),
        (["--clock-mhz", "500", "--clock-ns", "2"], "expected one of them"),
        (["--clock-ns", "2,0"], "--clock-ns is 0"),
        (["--asq", "producer"], "expected fidelity 2 too (--refine)"),
        (["--unit", "tile", "--wbits", "7"], "no tile of post 7x7"),
        (["--require", "sqnr>=15"], "expected one of wbits, rows"),
        (["--require", "sqnr_db=15"], "such as sqnr_db>=15"),
        (["--require", "tiled_cycles<9"], "expected one of wbits, rows"),
        (["--front", "latency,speed"], "objective is 'speed'"),
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
    table = run(plan, tmp_path / "refined.parquet", workers=1, refine=True).table.to_pylist()
    figures = []
    for row in table:
        machine = plan.accelerator(row["point"])
        assert machine is not None
        total = simulate("resnet20", machine, fidelity=2).total
        figures.append((total["latency_s"], sum(total["energy_pj"].values()) * 1e-6, row["area_mm2"]))
        if row["tiled_cycles"] is not None:
            assert row["tiled_cycles"] == total["total_cycles"]
            assert (row["tiled_latency_s"], row["tiled_energy_uj"]) == pytest.approx(figures[-1][:2])
    everywhere = pareto(np.array(figures))
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
    assert survivors(values, 0.0).tolist() == np.flatnonzero(pareto(values)).tolist()
    assert set(survivors(values, 0.0)) <= set(survivors(values, 0.2))


def test_a_missed_clock_is_not_of_the_front(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """POST at 4 bits on nangate45: its element takes 1.67 ns, 598 MHz; a faster clock would win by latency."""
    monkeypatch.setenv("COLUMNS", "160")
    reached = 1e3 / unit_cost(WeightFormat("post", 4), 4).delay_ns
    plan = Sweep("resnet20", (("clock_mhz", (400.0, 500.0, 700.0)),))
    rows = run(plan, tmp_path / "a.csv", workers=1).table.to_pylist()
    assert [row["meets_clock"] for row in rows] == [True, True, False]
    assert [row["clock_mhz_reached"] for row in rows] == pytest.approx([reached] * 3)
    assert [row["pareto"] for row in rows][1:] == [True, False]
    assert rows[2]["latency_s"] < rows[1]["latency_s"]
    allowed = run(plan, tmp_path / "b.csv", workers=1, goal=Goal(allow_missed_clock=True)).table
    assert allowed["pareto"].to_pylist()[2]
    command = ["sweep", "resnet20", "--clock-ns", "2.5,1", "--workers", "1", "-o", str(tmp_path / "c.csv")]
    with pytest.raises(SystemExit):
        main(command)
    said = capsys.readouterr()
    assert "1 of 2 points miss their clock: not of the front" in said.err
    assert "MISSED" not in said.out
    with pytest.raises(SystemExit):
        main([*command, "--allow-missed-clock"])
    said = capsys.readouterr()
    assert "1 of 2 points miss their clock: may be of the front" in said.err
    assert f"{reached:.0f} MISSED" in said.out


def test_two_bits_do_not_win_for_nothing(tmp_path: Path) -> None:
    """At 2 bits a point is faster to nothing, cheaper in energy and area: it beats 4 bits unless the error counts."""
    plan = Sweep("resnet20", (("grid", ("int", "post")), ("wbits", (2, 4))))
    cheap = run(plan, tmp_path / "a.csv", workers=1, goal=Goal(("latency", "energy", "area")))
    assert {row["wbits"] for row in cheap.front()} == {2}
    whole = run(plan, tmp_path / "b.csv", workers=1)
    assert {row["wbits"] for row in whole.front()} == {2, 4}
    for row in whole.table.to_pylist():
        grid = WeightFormat(row["grid"], row["wbits"])
        assert row["top1_percent"] == measured(grid, row["wbits"])
    fine = run(plan, tmp_path / "c.csv", workers=1, goal=Goal(require=(Requirement.parse("sqnr_db >= 15"),)))
    assert {row["wbits"] for row in fine.front()} == {4}
    assert fine.table.num_rows == 4  # the others are in the file, not of the front


def test_carried_accuracies_by_hand() -> None:
    def mean(*kept: tuple[str, str, str]) -> float:
        rows = [r for r in carried() if (r["quantizer"], r["wbits"], r["rounded"]) in kept]
        rows = [r for r in rows if r["teacher"] in ("", "0.0") and r["weight_start"] != "least-squares"]
        assert len(rows) == 3
        return float(np.mean([r["test_accuracy"] for r in rows]))

    assert measured(WeightFormat("post", 4), 4) == pytest.approx(mean(("asq-post", "4", "False")))
    assert measured(WeightFormat("post", 4, 0), 4) == pytest.approx(mean(("asq-post", "4", "True")))
    assert measured(WeightFormat("post", 2), 2) == pytest.approx((84.77 + 84.18 + 84.14) / 3)
    assert measured(WeightFormat("int", 4), 4) == 88.03
    assert measured(WeightFormat("int", 4), 8) is None
    assert measured(WeightFormat("nf4", 4), 4) is None


def test_an_unknown_accuracy_is_worse_than_any() -> None:
    table = pa.table({"sqnr_db": [10.0, 10.0, 9.0, 9.0], "top1_percent": [80.0, None, 81.0, None]})
    values = Goal(("accuracy", "sqnr")).values(table)
    assert values.tolist() == [[-10.0, -80.0], [-10.0, np.inf], [-9.0, -81.0], [-9.0, np.inf]]
    assert pareto(values).tolist() == [True, False, True, False]
    assert survivors(values, 0.2, changing=()).tolist() == [0, 2]


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("a>=2", [1, 2]),
        ("a > 2", [2]),
        ("a<=2", [0, 1]),
        ("a<2.5", [0, 1]),
        ("a==2", [1]),
        ("b>=-1e9", [0, 2]),
    ],
)
def test_requirements(text: str, kept: list[int]) -> None:
    table = pa.table({"a": [1, 2, 3], "b": [1.0, None, 2.0], "c": ["x", "y", "z"]})
    requirement = Requirement.parse(text)
    assert np.flatnonzero(requirement.met(table)).tolist() == kept
    assert Requirement.parse(str(requirement)) == requirement
    for other in ("c>=1", "d>1"):
        with pytest.raises(InputError, match=r"expected one of a, b"):
            Requirement.parse(other).met(table)


@pytest.mark.parametrize("text", ["", "a", "a>=", ">=3", "a>=b", "a=3", "a>=nan", "a>=1>=2"])
def test_other_requirements_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="the requirement is"):
        Requirement.parse(text)


def test_what_is_left_out_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "s.csv")
    with pytest.raises(SystemExit) as stop:
        main(["sweep", "resnet20", "--grid", "fp4,int,post", "--wbits", "2,4", "--frac-bits", "0,2", "--rows", "8,16",
              "--workers", "1", "-o", out])  # fmt: skip
    assert stop.value.code == 0
    said = capsys.readouterr().err
    assert "fp4 has no 2 bits, expected 4 (points left out: 4)" in said
    assert "int takes no frac_bits: its points are without" in said
    rows = pyarrow.csv.read_csv(out).to_pylist()
    # fp4 at 4 bits and int at both once, post with both F: by 2 rows.
    assert len(rows) == 2 * (1 + 2 + 4)
    assert {row["frac_bits"] for row in rows if row["grid"] == "post"} == {0, 2}
    assert {row["frac_bits"] for row in rows if row["grid"] == "int"} == {None}


def test_the_error_counts_the_table(tmp_path: Path) -> None:
    """A table of fewer fractional bits is less area, and more error."""
    rows = run(Sweep("resnet20", (("frac_bits", (0, 2)),)), tmp_path / "s.csv", workers=1).table.to_pylist()
    assert rows[0]["sqnr_db"] < rows[1]["sqnr_db"]
    assert rows[0]["area_mm2"] < rows[1]["area_mm2"]


def test_refining_says_what_it_refined(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "s.csv"
    command = ["sweep", "resnet20", "--rows", "8,16,32", "--cols", "8,32", "--asq", "producer", "--refine"]
    with pytest.raises(SystemExit):
        main([*command, "--require", "tiled_latency_s<0.0005", "--workers", "1", "-o", str(out)])
    said = capsys.readouterr()
    rows = pyarrow.csv.read_csv(out).to_pylist()
    refined = [row for row in rows if row["tiled_cycles"] is not None]
    assert 0 < len(refined) <= len(rows) == 6
    assert f"fidelity 2 ran on {len(refined)} of 6 points" in said.err
    fast = sum(row["tiled_latency_s"] < 0.0005 for row in refined)
    assert f"{fast} of 6 points have tiled_latency_s<0.0005" in said.err
    assert {row["tiled_latency_s"] < 0.0005 for row in rows if row["pareto"]} == {True}
    best = min(row["tiled_latency_s"] for row in rows if row["pareto"])
    assert f"{1e3 * best:.4g}" in said.out  # the table's latency is fidelity 2's


def test_a_sweep_takes_what_a_simulation_takes(tmp_path: Path) -> None:
    """One point of a sweep with a file and options is the simulation with the same: arrays, units, nodes and all."""
    (tmp_path / "m.toml").write_text('rows = 16\nofmap_kib = 64.0\nwbits = 3\nnode = "asap7"\n')
    options = ["--config", str(tmp_path / "m.toml"), "--arrays", "2", "--cols", "8", "--clock-ns", "4"]
    with pytest.raises(SystemExit) as stop:
        main(["simulate", "resnet20", *options, "--json", str(tmp_path / "r.json")])
    assert stop.value.code == 0
    with pytest.raises(SystemExit) as stop:
        main(["sweep", "resnet20", *options, "-o", str(tmp_path / "s.parquet"), "--workers", "1"])
    assert stop.value.code == 0
    record = json.loads((tmp_path / "r.json").read_text())
    (row,) = pyarrow.parquet.read_table(tmp_path / "s.parquet").to_pylist()
    total, config = record["total"], record["config"]
    assert (config["rows"], config["cols"], config["wbits"], config["abits"]) == (16, 8, 3, 3)
    for name in ("rows", "cols", "wbits", "abits", "arrays", "clock_mhz"):
        assert row[name] == config[name]
    assert row["total_cycles"] == total["total_cycles"]
    assert row["latency_s"] == pytest.approx(total["latency_s"])
    assert row["energy_uj"] == pytest.approx(1e-6 * sum(total["energy_pj"].values()))
    assert row["utilization"] == pytest.approx(total["utilization"])
    assert (row["meets_clock"], row["clock_mhz_reached"]) == (
        total["meets_clock"],
        total["clock_mhz_reached"],
    )


def test_both_commands_have_the_same_machine() -> None:
    from asq_sw.commands import simulate as one
    from asq_sw.commands import sweep as many
    from asq_sw.commands.options import MACHINE_OPTIONS

    options = [{p.name: p for p in module.command.params} for module in (one, many)]
    for name in (*MACHINE_OPTIONS, "clock_mhz", "clock_ns", "config"):
        assert options[0][name].opts == options[1][name].opts
        assert options[0][name].help == options[1][name].help
    assert set(MACHINE_OPTIONS) | {"clock_mhz"} == set(sweep.AXES)
    assert set(sweep.AXES) <= set(Accelerator.model_fields)


def test_results_as_tables_and_pictures(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    result = run(SMALL, tmp_path / "s.parquet", workers=1)
    assert isinstance(result, SweepResult)
    frame = result.to_pandas()
    assert isinstance(frame, pandas.DataFrame)
    assert list(frame.columns) == result.table.column_names
    assert frame["total_cycles"].tolist() == result.table["total_cycles"].to_pylist()
    html = result._repr_html_()
    assert html.count("<tr>") == 1 + min(60, len(result.front()))
    axes = result.plot().axes[0]
    drawn = sum(len(mark.get_offsets()) for mark in axes.collections)
    assert drawn == result.table.num_rows
    assert axes.get_xlabel() == "latency, ms"
