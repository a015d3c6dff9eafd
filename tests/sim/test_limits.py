"""What cannot be counted is refused by name at every fidelity, in SCALE-Sim's conventions and in sweeps."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asq_sw.cli import main
from asq_sw.errors import InputError
from sim import Accelerator, Workload, limits, simulate
from sim.results import LayerResult
from sim.scalesim import drop_in
from sim.sweep import Sweep, run
from sim.tiles import approximate
from sim.workload import Layer, gemm

HUGE = "Layer, M, N, K,\nhuge, 2147483647, 2147483647, 2147483647,\n"
CONFIG = (
    "[general]\nrun_name = same\n\n[architecture_presets]\nArrayHeight: 16\nArrayWidth: 12\n"
    "IfmapSramSzkB: 8\nFilterSramSzkB: 4\nOfmapSramSzkB: 4\nIfmapOffset: 0\nFilterOffset: 10000000\n"
    "OfmapOffset: 20000000\nBandwidth : 10\nDataflow : {flow}\nMemoryBanks: 1\n\n"
    "[run_presets]\nInterfaceBandwidth: CALC\n"
)


def status(*arguments: object) -> int:
    with pytest.raises(SystemExit) as stop:
        main([str(a) for a in arguments])
    assert isinstance(stop.value.code, int)
    return stop.value.code


@pytest.mark.parametrize(
    "options",
    [
        ["simulate", "{huge}"],
        ["simulate", "{huge}", "--fidelity", "2"],
        ["simulate", "{huge}", "--arrays", "4", "--dataflow", "os"],
        ["simulate", "{huge}", "--scalesim-cfg", "{cfg}"],
        ["sweep", "{huge}", "--rows", "8,16", "-o", "{out}"],
        ["simulate", "resnet20", "--batch", "10000000000000"],
        ["simulate", "resnet20", "--batch", "10000000000000", "--fidelity", "2"],
        ["sweep", "resnet20", "--batch", "10000000000000", "-o", "{out}"],
    ],
)
def test_counts_that_leave_64_bits_are_refused(
    options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "huge.csv").write_text(HUGE)
    (tmp_path / "c.cfg").write_text(CONFIG.format(flow="ws"))
    names = {"huge": tmp_path / "huge.csv", "cfg": tmp_path / "c.cfg", "out": tmp_path / "s.csv"}
    assert status(*(option.format(**names) for option in options)) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "64 bits" in said.err
    assert said.err.count("\n") == 1
    assert "huge" in said.err or "batch 10000000000000" in said.err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["c.cfg", "huge.csv"]


def attempt(workload: Workload, machine: Accelerator) -> tuple[str, LayerResult | None]:
    try:
        return "", simulate(workload, machine).layers[0]
    except InputError as error:
        return str(error), None


sizes = st.integers(1, 1 << 21)


@settings(max_examples=200, deadline=None)
@given(sizes, sizes, sizes, st.sampled_from(["ws", "os", "is"]), st.integers(1, 4096), st.integers(1, 4096))
def test_what_is_not_refused_is_what_python_counts(
    m: int, n: int, k: int, flow: str, rows: int, cols: int
) -> None:
    """Cycles and accesses against the same formulas in integers without a width; shares within 0 to 1."""
    machine = Accelerator(rows=rows, cols=cols, dataflow=flow, dram_gb_per_s=1e6)
    workload = Workload("w", (gemm("g", m, n, k),))
    refusal, layer = attempt(workload, machine)
    if layer is None:
        assert "64 bits" in refusal
        assert 256 * m * n * k + 3 * 4096 * max(m * n, n * k, m * k) >= 2**63
        return
    down, across, along = {"ws": (k, n, m), "os": (m, n, k), "is": (k, m, n)}[flow]
    folds = math.ceil(down / rows) * math.ceil(across / cols)
    assert layer.compute_cycles == folds * ((0 if flow == "os" else rows) + along + rows + cols - 2)
    assert layer.macs == m * n * k
    reads = {"ws": math.ceil(n / cols) * m * k, "os": math.ceil(n / cols) * m * k, "is": m * k}[flow]
    assert layer.sram_reads["ifmap"] == reads
    assert 0 < layer.utilization <= layer.mapping_efficiency <= 1
    # Every operand once at least: what wrapped around is less.
    assert layer.dram_read_bytes >= (m * k + k * n) * 4 // 8
    assert layer.dram_write_bytes >= m * n * 4 // 8


def test_intermediate_products_beyond_64_bits_do_no_harm() -> None:
    """A streamed operand of 2**35 bits and 2**30 rows: their product wraps to 0, which would pass for fitting on chip.

    It is streamed in parts of 128 rows that fill half its scratchpad of 1 KiB; of the filters, which do not fit theirs,
    64 bits are read for each part.
    """
    workload = Workload("w", (gemm("g", 1 << 30, 2, 8),))
    machine = Accelerator(rows=8, cols=1, ifmap_kib=1, filter_kib=1 / 1024, dram_gb_per_s=1e6)
    layer = simulate(workload, machine).layers[0]
    assert layer.dram_read_bytes == ((1 << 35) + 64 * (1 << 23)) // 8


def test_slow_memory_leaves_64_bits_too() -> None:
    workload = Workload("w", (gemm("g", 1 << 22, 1 << 12, 1 << 12),))
    with pytest.raises(InputError, match=r"dram_gb_per_s over clock_mhz gives 1e-09 bytes a cycle.*64 bits"):
        simulate(workload, Accelerator(dram_gb_per_s=1e-6, clock_mhz=1e6))


def test_sizes_that_take_absurd_memory_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MOST_BYTES", 1 << 20)
    workload = Workload("w", (gemm("g", 100, 3000, 3000),))
    machine = Accelerator(rows=8, cols=8)
    with pytest.raises(InputError, match=r"fidelity 2 of w, [\d,]+ tiles in a layer, takes .* GiB"):
        simulate(workload, machine, fidelity=2)
    with pytest.raises(InputError, match="counting the banks' conflicts of layer g takes"):
        approximate.run(workload, Accelerator(rows=8, cols=8, filter_banks=2), [24])
    small = Workload("w", (gemm("g", 100, 550, 550),))
    simulate(small, machine, fidelity=2)
    with pytest.raises(InputError, match="a timeline of w"):
        simulate(small, machine, fidelity=2, trace=tmp_path / "t.json")
    (tmp_path / "g.csv").write_text("Layer, M, N, K,\ng, 4000, 4000, 4000,\n")
    (tmp_path / "c.cfg").write_text(CONFIG.format(flow="os"))
    with pytest.raises(InputError, match=r"layer g \(250 x 334 folds\) in SCALE-Sim's conventions takes"):
        drop_in.simulate(tmp_path / "g.csv", tmp_path / "c.cfg")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["c.cfg", "g.csv"]


@pytest.mark.parametrize(
    ("shares", "amounts", "words"),
    [
        ({"utilization": 1.5}, {}, "utilization comes out as 1.5, expected 0 to 1"),
        ({"utilization": math.nan}, {}, "utilization comes out as nan"),
        ({}, {"stall_cycles": -1}, "stall_cycles comes out as -1"),
        ({}, {"energy": math.inf}, "energy comes out as inf"),
    ],
)
def test_figures_that_cannot_be_are_named(shares: Any, amounts: Any, words: str) -> None:
    with pytest.raises(InputError, match=f"layer a: {words}"):
        limits.check_figures("layer a", shares, amounts)
    limits.check_figures("layer a", {"utilization": 1.0}, {"stall_cycles": 0, "energy": np.float64(2.0)})


def test_figures_are_checked_at_both_fidelities_and_in_sweeps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a cost below zero, which no netlist has."""
    from dataclasses import replace

    from sim import run as simulation
    from sim import sweep as sweeps
    from sim.cost.energy import mac_cost

    def wrong(machine: Accelerator) -> Any:
        return replace(mac_cost(machine), energy_per_mac_fj=-5.0)

    monkeypatch.setattr(simulation, "mac_cost", wrong)
    monkeypatch.setattr(sweeps, "mac_cost", wrong)
    for fidelity in (1, 2):
        with pytest.raises(InputError, match="layer conv1: energy of mac comes out as -"):
            simulate("resnet20", fidelity=fidelity)
    sweeps._cost_of.cache_clear()
    try:
        with pytest.raises(InputError, match=r"point 0 \(rows=8\): mac_uj comes out as -"):
            run(Sweep("resnet20", (("rows", (8,)),)), tmp_path / "s.csv", workers=1)
    finally:
        sweeps._cost_of.cache_clear()
    assert not (tmp_path / "s.csv").exists()


def test_the_bound_is_of_every_layer_and_array() -> None:
    layer = Layer("a", "conv", 56, 56, 64, 64, (3, 3), padding=(1, 1, 1, 1))
    one = limits.check_counts((layer,))
    assert one >= 64 * layer.macs
    assert limits.check_counts((layer, layer), arrays=3) == 6 * one
