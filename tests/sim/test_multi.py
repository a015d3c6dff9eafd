"""Several arrays on one DRAM: limits and hand-computed shares."""

from __future__ import annotations

import pytest

from sim import Accelerator, simulate
from sim.multi import divided, shares
from sim.workload import Layer, Workload, gemm

CONV = Layer("c", "conv", 16, 16, 32, 64, (3, 3), padding=(1, 1, 1, 1))


def test_one_array_is_as_before() -> None:
    one = simulate("resnet20", Accelerator(arrays=1), fidelity=2)
    assert one.total == simulate("resnet20", Accelerator(), fidelity=2).total


@pytest.mark.parametrize("fidelity", [1, 2])
def test_without_a_limit_in_memory_arrays_divide_the_folds(fidelity: int) -> None:
    """64 filters on 16 columns are 4 folds: 2 arrays run 2 each, 4 arrays one."""
    work = Workload("w", (gemm("g", 100, 64, 32),))
    fast = {"rows": 32, "cols": 16, "dram_gb_per_s": 1e9, "dram_latency_ns": 0}
    cycles = [
        simulate(work, Accelerator(arrays=n, **fast), fidelity=fidelity).layers[0].compute_cycles
        for n in (1, 2, 4)
    ]
    assert cycles[1] == cycles[0] // 2
    assert cycles[2] == cycles[0] // 4


def test_with_a_slow_bus_more_arrays_are_no_faster() -> None:
    work = Workload("w", (CONV,))
    slow = {"rows": 16, "cols": 16, "dram_gb_per_s": 0.01}
    one, two = (simulate(work, Accelerator(arrays=n, **slow)).total for n in (1, 2))
    assert two["total_cycles"] >= 0.99 * one["total_cycles"]  # the bytes are the same or more, the bus is one
    assert two["dram_read_bytes"] >= one["dram_read_bytes"]


def test_shares_cover_the_layer() -> None:
    ways = shares(CONV, 3)
    assert [(w.out_c, w.out_h) for w in ways] == [(22, 16), (64, 6)]
    assert ways[1].in_h == 8  # 6 rows of 3 x 3 windows
    depthwise = Layer("d", "depthwise", 8, 8, 10, 10, (3, 3), padding=(1, 1, 1, 1), groups=10)
    assert [(w.groups, w.in_c, w.out_h) for w in shares(depthwise, 4)] == [(3, 3, 8), (10, 10, 2)]
    batch = Layer("b", "conv", 4, 4, 3, 5, batch=7)
    assert shares(batch, 2)[0].batch == 4
    assert (
        sum(w.macs for w in divided(Workload("w", (CONV,)), Accelerator(arrays=4))[0].layers) * 4 >= CONV.macs
    )


def test_macs_and_utilization_are_of_all_arrays() -> None:
    machine = Accelerator(arrays=4)
    result = simulate("resnet18", machine, fidelity=2)
    assert result.total["macs"] == simulate("resnet18").total["macs"]
    assert machine.pes == 4096
    assert 0 < result.total["utilization"] <= 1
    assert result.total["latency_s"] < simulate("resnet18", Accelerator(), fidelity=2).total["latency_s"]


def test_pages_and_banks_serve_every_array() -> None:
    """A layer bound by its weights: N arrays move N shares through one channel, however its pages lie."""
    work = Workload("w", (gemm("g", 1, 4096, 512),))
    fast = {"rows": 128, "cols": 128, "clock_mhz": 5000, "dram": "hbm2"}
    one, four = (simulate(work, Accelerator(arrays=n, **fast), fidelity=2).layers[0] for n in (1, 4))
    for layer in (one, four):
        assert layer.total_cycles > (layer.dram_read_bytes + layer.dram_write_bytes) / 6.4  # 32 GB/s at 5 GHz
    assert four.total_cycles > 0.8 * one.total_cycles
    assert four.dram_read_bytes == pytest.approx(one.dram_read_bytes, rel=0.02)
    # A layer bound by its products gains.
    work = Workload("w", (gemm("g", 4096, 512, 512),))
    one, four = (simulate(work, Accelerator(arrays=n, dram="hbm2"), fidelity=2).layers[0] for n in (1, 4))
    assert four.total_cycles < 0.4 * one.total_cycles
