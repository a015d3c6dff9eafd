"""Speed of the simulator: closed form per layer, tile engine per network, growth with tiles. One run, one machine."""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from collections.abc import Callable

import numba
import numpy as np
import pytest

from sim import Accelerator, closed_form
from sim.tiles import approximate
from sim.workload import Workload, gemm, load


def best(function: Callable[[], object], repeats: int = 5) -> float:
    function()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


@pytest.mark.benchmark
def test_closed_form_on_a_million_points() -> None:
    layers = closed_form.layer_rows(load("resnet18").mac_layers)
    base = closed_form.machine_row(Accelerator(), load("resnet18").mac_layers)
    points = np.tile(base, (1_000_000 // 20, 1))
    rng = np.random.default_rng(0)
    points[:, 0], points[:, 1] = rng.integers(4, 257, len(points)), rng.integers(4, 257, len(points))
    bandwidths = np.full(len(points), 25.6)
    out = np.empty((len(points), len(layers), len(closed_form.RESULT_FIELDS)), np.int64)
    numba.set_num_threads(1)
    seconds = best(lambda: [closed_form.evaluate(layers, points, bandwidths, out) for _ in range(20)], 1)
    numba.set_num_threads(numba.config.NUMBA_NUM_THREADS)
    rate = 20 * len(points) * len(layers) / seconds
    print(
        f"\nclosed form: {rate / 1e6:.1f} million layer evaluations per second on one core, over a million points"
    )


@pytest.mark.benchmark
@pytest.mark.parametrize("network", ["resnet18", "resnet50", "mobilenet_v2"])
def test_tile_engine(network: str) -> None:
    workload, machine = load(network), Accelerator()
    widths = [machine.psum_bits(layer.k) if layer.is_mac else 8 for layer in workload.layers]
    seconds = best(lambda: approximate.run(workload, machine, widths))
    tiles = sum(f.tiles for f in approximate.run(workload, machine, widths)[0])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"\n{network}: {1e3 * seconds:.2f} ms, {1e9 * seconds / tiles:.0f} ns a tile, process peak {peak:.0f} MB"
    )


@pytest.mark.benchmark
def test_first_call_in_a_fresh_process() -> None:
    code = "from sim import simulate; print(simulate('resnet18', fidelity=2).total['total_cycles'])"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    print(f"\nfirst call in a fresh process, cached compilation: {time.perf_counter() - start:.2f} s")


@pytest.mark.benchmark
def test_cost_is_linear_in_layers_and_tiles() -> None:
    machine = Accelerator(rows=8, cols=8)
    for what in ("layers", "tiles"):
        print(f"\n{what}: ", end="")
        for power in range(5):
            count = 10**power
            if what == "layers":
                workload = Workload("w", tuple(gemm(f"g{i}", 16, 8, 8) for i in range(count)))
            else:
                workload = Workload("w", (gemm("g", 16, 8, 8 * count),))
            widths = [32] * len(workload.layers)
            seconds = best(lambda w=workload, b=widths: approximate.run(w, machine, b), 3)  # type: ignore[misc]
            print(f"{count:,}: {1e6 * seconds / count:.2f} us each; ", end="")
    print()
