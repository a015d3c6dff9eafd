"""Fidelity 2: against the closed form where both must agree, and against small cases worked by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asq_sw.errors import InputError
from sim import Accelerator, simulate
from sim.tiles import dram
from sim.workload import Layer, Workload, gemm, load

IDEAL = {
    "ifmap_kib": 1e6, "filter_kib": 1e6, "ofmap_kib": 1e6,
    "dram_gb_per_s": 1e9, "dram_latency_ns": 0, "vector_lanes": 0,
}  # fmt: skip
sizes = st.integers(1, 70)


@settings(max_examples=60, deadline=None)
@given(
    m=sizes,
    n=sizes,
    k=sizes,
    rows=st.integers(1, 16),
    cols=st.integers(1, 16),
    flow=st.sampled_from(["ws", "os", "is"]),
)
def test_without_limits_it_is_the_closed_form(
    m: int, n: int, k: int, rows: int, cols: int, flow: str
) -> None:
    machine = Accelerator(rows=rows, cols=cols, dataflow=flow, **IDEAL)
    workload = Workload("w", (gemm("g", m, n, k),))
    one, two = simulate(workload, machine), simulate(workload, machine, fidelity=2)
    assert two.layers[0].compute_cycles == one.layers[0].compute_cycles
    # The last outputs take an instant to write: the end is rounded up to a whole cycle.
    assert 0 <= two.total["total_cycles"] - one.total["total_cycles"] <= 1
    assert two.layers[0].dram_read_bytes == one.layers[0].dram_read_bytes
    assert two.layers[0].dram_write_bytes == one.layers[0].dram_write_bytes


@settings(max_examples=60, deadline=None)
@given(
    m=sizes, n=sizes, k=sizes, flow=st.sampled_from(["ws", "os", "is"]),
    kib=st.sampled_from([0.03, 0.1, 0.5, 4.0]), bandwidth=st.sampled_from([0.2, 2.0, 50.0]),
)  # fmt: skip
def test_limits_never_help(m: int, n: int, k: int, flow: str, kib: float, bandwidth: float) -> None:
    machine = Accelerator(
        rows=8, cols=8, dataflow=flow, ifmap_kib=kib, filter_kib=kib, ofmap_kib=kib, dram_gb_per_s=bandwidth
    )
    workload = Workload("w", (gemm("g", m, n, k),))
    one, two = simulate(workload, machine).layers[0], simulate(workload, machine, fidelity=2).layers[0]
    assert two.compute_cycles >= one.compute_cycles
    assert two.total_cycles >= one.total_cycles
    # What is moved is the same: the tiles add up to the closed form's traffic.
    assert two.dram_read_bytes == pytest.approx(one.dram_read_bytes, abs=1)
    assert two.dram_write_bytes == pytest.approx(one.dram_write_bytes, abs=1)
    # DRAM is never faster than its bandwidth.
    moved = two.dram_read_bytes + two.dram_write_bytes
    assert two.total_cycles >= (moved - 2) / machine.dram_bytes_per_cycle


def test_one_tile_by_hand() -> None:
    """8 x 8 weights and 10 x 8 inputs of 4 bits = 72 bytes at 1 byte a cycle after 50 cycles of latency; load 8,
    stream 10 + 14; 80 outputs at 4 a cycle; 40 bytes out after another 50 cycles."""
    machine = Accelerator(
        rows=8, cols=8, clock_mhz=1000, dram_gb_per_s=1.0, dram_latency_ns=50, vector_lanes=4, grid="int"
    )
    result = simulate(Workload("w", (gemm("g", 10, 8, 8),)), machine, fidelity=2)
    layer = result.layers[0]
    assert layer.compute_cycles == 8 + 10 + 14
    assert layer.total_cycles == (50 + 72) + (8 + 24) + 20 + (50 + 40)
    assert layer.stall_cycles == layer.total_cycles - 32


def test_two_tiles_overlap_by_hand() -> None:
    """Two column folds: the second fold's weights (32 bytes) come while the first streams."""
    machine = Accelerator(
        rows=8, cols=8, clock_mhz=1000, dram_gb_per_s=1.0, dram_latency_ns=0, vector_lanes=0, grid="int"
    )
    layer = simulate(Workload("w", (gemm("g", 40, 16, 8),)), machine, fidelity=2).layers[0]
    first, tile = 160 + 32, 8 + 40 + 14
    # 160 bytes out of the first fold go out while the second streams: the second's follow them.
    assert layer.total_cycles == first + tile + 160 + 160


def test_hidden_load_and_pipelined_elements() -> None:
    workload = Workload("w", (gemm("g", 40, 8, 64),))
    shown = simulate(workload, Accelerator(rows=8, cols=8, **IDEAL), fidelity=2).layers[0]
    hidden = simulate(workload, Accelerator(rows=8, cols=8, hide_load=True, **IDEAL), fidelity=2).layers[0]
    assert shown.compute_cycles - hidden.compute_cycles == 7 * 8  # all loads but the first
    piped = simulate(workload, Accelerator(rows=8, cols=8, pe_stages=3, **IDEAL), fidelity=2).layers[0]
    assert piped.compute_cycles - shown.compute_cycles == 8 * 3


def test_narrow_scratchpads_slow_the_stream() -> None:
    workload = Workload("w", (gemm("g", 40, 8, 8),))
    for words, factor in ((8, 1), (4, 2), (3, 3)):
        machine = Accelerator(rows=8, cols=8, ifmap_words=words, **IDEAL)
        assert simulate(workload, machine, fidelity=2).layers[0].compute_cycles == 8 + factor * 40 + 14


def test_outputs_kept_on_chip() -> None:
    layers = (
        Layer("a", "conv", 8, 8, 4, 16, (3, 3), padding=(1, 1, 1, 1)),
        Layer("b", "conv", 8, 8, 16, 16, (3, 3), padding=(1, 1, 1, 1), sources=("a",)),
    )
    machine = Accelerator(keep_on_chip=True)
    kept = simulate(Workload("w", layers), machine, fidelity=2).layers
    written = simulate(Workload("w", layers), Accelerator(), fidelity=2).layers
    assert written[0].dram_write_bytes == 8 * 8 * 16 * 4 // 8
    assert kept[0].dram_write_bytes == 0
    assert written[1].dram_read_bytes - kept[1].dram_read_bytes == 8 * 8 * 16 * 4 // 8
    small = simulate(Workload("w", layers), Accelerator(keep_on_chip=True, ifmap_kib=0.5), fidelity=2).layers
    assert small[0].dram_write_bytes == written[0].dram_write_bytes  # 512 bytes do not fit half of 512


def test_residual_add_reads_both_and_keeps_what_others_need() -> None:
    workload = load("resnet20")
    by_name = {layer.name: layer for layer in workload.layers}
    assert by_name["layer1.0.add"].sources == ("layer1.0.conv2", "conv1")
    assert by_name["layer2.0.add"].sources == ("layer2.0.conv2", "layer1.2.add")
    result = simulate("resnet20", fidelity=2)
    add = next(layer for layer in result.layers if layer.name == "layer1.0.add")
    assert add.dram_read_bytes == 2 * 16 * 32 * 32 * 4 // 8


@pytest.mark.parametrize("name", dram.PRESETS)
def test_page_model_between_its_bounds(name: str) -> None:
    """A long run goes at peak bandwidth but for refresh; a single byte takes activate, read and its data."""
    t = dram.preset(name)
    timing = t.scaled(1.0)
    size = 50e6
    end = dram.transfer(timing, dram.new_state(t.banks), 0.0, size)
    peak = size / t.gb_per_s
    assert peak < end < peak / (1 - t.t_rfc / t.t_refi) * 1.1
    single = dram.transfer(timing, dram.new_state(t.banks), 0.0, 1.0)
    assert single == pytest.approx(t.t_rrd + t.t_rcd + t.t_cl + 1 / t.gb_per_s)


def test_one_bank_pays_the_row_cycle() -> None:
    """Pages in one bank only: each takes activate .. precharge, tRAS + tRP, if that is longer than its data."""
    t = dram.DramTiming(100.0, 64, 1, 10.0, 10.0, 10.0, 40.0, 1.0, 0.0, 1e12, "made up")
    state = dram.new_state(1)
    ends = [dram.transfer(t.scaled(1.0), state, 0.0, 64) for _ in range(5)]
    assert np.diff(ends) == pytest.approx([50.0] * 4)


def test_trace_opens_and_adds_up(tmp_path: Path) -> None:
    machine = Accelerator(asq="producer", clock_mhz=200)
    result = simulate("small_cnn", machine, fidelity=2, trace=tmp_path / "t.json")
    events = json.loads((tmp_path / "t.json").read_text())["traceEvents"]
    names = {e["args"]["name"] for e in events if e["name"] == "thread_name"}
    assert names >= {"Layer", "DMA read", "Array", "Requantize", "DMA write", "ASQ adapter"}
    slices = [e for e in events if e["ph"] == "X"]
    layers = [e for e in slices if e["tid"] == 0]
    assert [e["name"] for e in layers] == [layer.name for layer in result.layers]
    assert layers[-1]["ts"] + layers[-1]["dur"] == pytest.approx(1e6 * result.total["latency_s"])
    array = sum(e["dur"] for e in slices if e["tid"] == 2)
    assert array * 200 == pytest.approx(sum(layer.compute_cycles for layer in result.layers))
    # A unit works on one tile at a time.
    for track in (2, 3):
        mine = sorted((e["ts"], e["ts"] + e["dur"]) for e in slices if e["tid"] == track)
        assert all(a[1] <= b[0] + 1e-9 for a, b in pairwise(mine))


def test_bad_requests_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="1 or 2"):
        simulate("small_cnn", fidelity=3)
    with pytest.raises(InputError, match="fidelity 2"):
        simulate("small_cnn", trace=tmp_path / "t.json")
    with pytest.raises(InputError, match="ddr4-2400"):
        simulate("small_cnn", Accelerator(dram="ddr9"), fidelity=2)


def test_the_vector_unit_goes_over_a_map_as_often_as_the_layer_says() -> None:
    """4096 values, 32 a cycle: 128 cycles; a second pass reads nothing from DRAM again."""
    add = Layer("sum", "add", 8, 8, 64, 64, sources=("g",))
    machine = Accelerator(dram_gb_per_s=1e9, dram_latency_ns=0)
    once, twice = (
        simulate(Workload("w", (gemm("g", 64, 64, 64), layer)), machine, fidelity=2).layers[1]
        for layer in (add, replace(add, passes=2))
    )
    assert twice.total_cycles - once.total_cycles == 128
    assert twice.dram_read_bytes == once.dram_read_bytes == 4096 * 4 // 8


def test_fused_layers_move_only_what_others_made() -> None:
    """A convolution, a pooling layer on it and an add of an older map: the convolution's map never leaves."""
    layers = (
        Layer("a", "conv", 8, 8, 4, 16, (3, 3), padding=(1, 1, 1, 1)),
        Layer("b", "conv", 8, 8, 16, 16, (3, 3), padding=(1, 1, 1, 1), sources=("a",)),
        Layer("sum", "add", 8, 8, 16, 16, inputs=2, sources=("b", "a")),
        Layer("pool", "pool", 8, 8, 16, 16, (2, 2), (2, 2), sources=("sum",)),
        Layer("c", "conv", 4, 4, 16, 16, sources=("pool",)),
    )
    plain, fused = (
        simulate(Workload("w", layers), Accelerator(fuse=fuse), fidelity=2).layers for fuse in (False, True)
    )
    one = 8 * 8 * 16 * 4 // 8  # bytes of a map
    assert [layer.dram_write_bytes for layer in plain] == [one, one, one, one // 4, one // 4]
    assert [layer.dram_write_bytes for layer in fused] == [one, 0, 0, one // 4, one // 4]
    assert plain[2].dram_read_bytes == 2 * one
    assert fused[2].dram_read_bytes == one
    assert (plain[3].dram_read_bytes, fused[3].dram_read_bytes) == (one, 0)
    assert fused[4].dram_read_bytes == plain[4].dram_read_bytes
    assert fused[-1].start_cycle + fused[-1].total_cycles < plain[-1].start_cycle + plain[-1].total_cycles


def test_a_map_with_two_readers_is_written_when_fused() -> None:
    network = load("resnet20")
    plain, fused = (simulate(network, Accelerator(fuse=fuse), fidelity=2) for fuse in (False, True))
    readers = {
        name: sum(name in layer.sources for layer in network.layers)
        for name in (x.name for x in network.layers)
    }
    for before, after in zip(plain.layers, fused.layers, strict=True):
        if readers[before.name] > 1:
            assert after.dram_write_bytes == before.dram_write_bytes
    assert fused.total["dram_write_bytes"] < plain.total["dram_write_bytes"]
    assert fused.total["macs"] == plain.total["macs"]
