"""How fast the exact array is: element updates per second, and against Verilator on the same array.

Run it on an idle machine: ``pytest -m benchmark -s tests/benchmarks/bench_array.py``.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numba
import numpy as np
import pytest

from asq_sw.formats import WeightFormat
from hw.rtl.verilog import unit_verilog
from hw.units.spec import UnitSpec
from sim.exact.array import ExactArray, run_gemm

pytestmark = pytest.mark.benchmark
SIDE = 32


def best(work: Callable[[], object], repeat: int = 5) -> float:
    """Seconds of the quickest of a few calls, the first left out."""
    work()
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def inputs(spec: UnitSpec, cycles: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Folds of a load or drain and 256 cycles of work, all operands random."""
    rng = np.random.default_rng(0)
    control = np.arange(cycles) % (256 + SIDE) < SIDE
    a = rng.integers(0, 1 << spec.abits, (cycles, SIDE))
    return a, rng.integers(0, 1 << spec.weight.storage_bits, (cycles, SIDE)), control


def model_of(spec: UnitSpec) -> ExactArray:
    return ExactArray(spec.weight, spec.abits, SIDE, SIDE, False, spec.dataflow, spec.terms)


HARNESS = """
#include "Vtop.h"
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <vector>
int main(int, char** argv) {{
    const long cycles = atol(argv[1]);
    std::vector<unsigned char> in(cycles * {width});
    std::vector<int> out(cycles * {side});
    FILE* file = fopen("inputs", "rb");
    if (fread(in.data(), 1, in.size(), file) != in.size()) return 1;
    fclose(file);
    Vtop top;
    auto start = std::chrono::steady_clock::now();
    for (long t = 0; t < cycles; t++) {{
        const unsigned char* now = &in[t * {width}];
        {drive}
        top.clk = 0;
        top.eval();
        int* ports = &out[t * {side}];
        {read}
        top.clk = 1;
        top.eval();
    }}
    std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    file = fopen("outputs", "wb");
    fwrite(out.data(), 4, out.size(), file);
    fclose(file);
    printf("%.9f\\n", seconds.count());
}}
"""


def member(port: str) -> str:
    """Verilator's C++ name of a port: it spells two underscores out."""
    return port.replace("__", "___05F")


def verilator(spec: UnitSpec, cycles: int, folder: Path) -> tuple[float, np.ndarray]:
    """Seconds that the optimized Verilated array takes (its fastest of 3), and its outputs (cycles, cols)."""
    ws = spec.dataflow == "ws"
    names = [f"a__{r}" for r in range(SIDE)] + [f"w__{c}" for c in range(SIDE)] + ["load" if ws else "drain"]
    ports = [f"{'psum' if ws else 'sum'}__{c}" for c in range(SIDE)]
    (folder / "top.v").write_text(unit_verilog(spec))
    (folder / "main.cpp").write_text(
        HARNESS.format(
            width=len(names),
            side=SIDE,
            drive="".join(f"top.{member(name)} = now[{i}]; " for i, name in enumerate(names)),
            read="".join(f"ports[{i}] = top.{member(name)}; " for i, name in enumerate(ports)),
        )
    )
    a, w, control = inputs(spec, cycles)
    np.column_stack([a, w, control]).astype(np.uint8).tofile(folder / "inputs")
    command = [sys.executable, "-m", "verilator", "--cc", "--exe", "--build", "-O3", "-j", "2", "-Wno-lint"]
    command += ["--x-assign", "fast", "--x-initial", "fast", "--top-module", spec.name, "--prefix", "Vtop"]
    command += [
        "-MAKEFLAGS",
        "CFG_CXXFLAGS_PCH_I=-include",
        "-CFLAGS",
        "-O3 -march=native",
        "-LDFLAGS",
        "-pthread",
    ]
    built = subprocess.run([*command, "top.v", "main.cpp"], cwd=folder, capture_output=True, text=True)
    assert built.returncode == 0, (built.stdout + built.stderr)[-3000:]
    seconds = [
        float(subprocess.check_output([folder / "obj_dir" / "Vtop", str(cycles)], cwd=folder, text=True))
        for _ in range(3)
    ]
    raw = np.fromfile(folder / "outputs", np.int32).reshape(cycles, SIDE).astype(np.int64)
    unused = 64 - spec.psum_bits
    return min(seconds), raw << unused >> unused


@pytest.mark.parametrize("dataflow", ["ws", "os"])
@pytest.mark.parametrize(("grid", "bits"), [("post", 4), ("int", 4), ("int", 8)])
def test_updates_per_second_and_against_verilator(
    grid: str, bits: int, dataflow: str, tmp_path: Path
) -> None:
    """Random operands in every cycle through ``run``, and two layers of ResNet-18 through ``run_gemm``."""
    spec = UnitSpec("array", WeightFormat(grid, bits), bits, rows=SIDE, cols=SIDE, dataflow=dataflow)
    few, many = 4 * (256 + SIDE), 100 * (256 + SIDE)
    seconds, outputs = verilator(spec, few, tmp_path)
    np.testing.assert_array_equal(model_of(spec).run(*inputs(spec, few)).outputs, outputs)
    by_verilator = few * SIDE**2 / seconds
    print(f"\n{spec.name}: Verilator, one thread {by_verilator / 1e6:.0f} M updates/s")
    array, drive = model_of(spec), inputs(spec, many)
    rng = np.random.default_rng(0)
    layers = [
        (rng.integers(0, 1 << bits, (m, k)), rng.integers(0, 1 << bits, (k, n)))
        for m, k, n in ((3136, 576, 64), (196, 2304, 256))
    ]
    for threads in range(1, min(2, numba.config.NUMBA_NUM_THREADS) + 1):
        numba.set_num_threads(threads)
        rates = {"random": many * SIDE**2 / best(lambda: array.run(*drive))}
        for name, (a, codes) in zip(("56x56x64", "14x14x256"), layers, strict=True):
            updates = run_gemm(array, a, codes).updates
            rates[name] = updates / best(lambda a=a, codes=codes: run_gemm(array, a, codes))  # type: ignore[misc]
        for name, rate in rates.items():
            print(
                f"  {threads} thread(s), {name:9}: {rate / 1e9:5.2f} G updates/s, "
                f"{rate / by_verilator:4.0f} x Verilator"
            )
