"""How fast the gate-level simulation is: cell evaluations per second on one core, and against Verilator.

Run it on an idle machine: ``pytest -m benchmark -s tests/benchmarks/bench_synth.py``.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from asq_sw.formats import WeightFormat
from hw.rtl.verilog import to_rtlil
from hw.synth.activity import glitches
from hw.synth.activity.program import compile_netlist
from hw.synth.activity.toggles import simulate
from hw.synth.libraries.library import load
from hw.synth.mapping.flow import synthesize
from hw.synth.netlists.netlist import to_verilog
from hw.synth.timing import analyze
from hw.units.spec import UnitSpec

pytestmark = pytest.mark.benchmark


def best(work: Callable[[], object], repeat: int = 5) -> float:
    """Seconds of the quickest of a few calls, the first left out."""
    work()
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def test_simulation(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = UnitSpec("pe", WeightFormat("int", 8), 8)
    library = load("nangate45")
    netlist = synthesize(to_rtlil(spec.build(), "top"), library, 2.0, only=("ripple area",)).netlist
    given = spec.stimulus(lanes=1024)
    cycles, lanes = np.shape(given.inputs["a_in"])
    evaluations = len(netlist.instances) * cycles * lanes
    zero = compile_netlist(netlist)
    ours = best(lambda: simulate(zero, given.inputs, given.counting))
    apart = compile_netlist(netlist, apart=True)
    lines = [f"no delays: {evaluations / ours:.3g} cell evaluations/s"]
    for mode in ("unit", "library"):
        kernel = glitches.delayed(apart, analyze(netlist), mode)
        seconds = best(lambda kernel=kernel: simulate(apart, given.inputs, kernel=kernel), 2)
        lines.append(f"{mode} delays: {evaluations / seconds:.3g} cell evaluations/s, {seconds / ours:.1f} x")
    verilator = _verilator(tmp_path, netlist, given.inputs, cycles)
    lines.append(
        f"Verilator with a waveform of every net, per lane and cycle: "
        f"{verilator / cycles / (ours / cycles / lanes):.0f} x our time without delays"
    )
    with capsys.disabled():
        print("", *lines, sep="\n  ")


def _verilator(folder: Path, netlist: object, inputs: dict, cycles: int) -> float:
    """Seconds for one lane's cycles: the only way to a net's toggles there is its waveform."""
    used = {i.cell.name: i.cell for i in netlist.instances}
    cells = []
    for name, cell in used.items():
        ports = [*(f"input {p}" for p in cell.inputs), *(f"output {p}" for p in cell.outputs)]
        body = []
        for pin, output in cell.outputs.items():
            body.append(f"assign {pin} = {output.function};")
        if ff := cell.flipflop:
            body.append(f"reg {ff.state} = 0; wire {ff.inverse} = !{ff.state};")
            body.append(f"always @(posedge {ff.clock}) {ff.state} <= {ff.next_state};")
        cells.append(f"module {name}({', '.join(ports)}); {' '.join(reversed(body))} endmodule")
    (folder / "cells.v").write_text("\n".join(cells) + "\n")
    (folder / "unit.v").write_text(to_verilog(netlist, "unit"))
    widths = {name: len(port.nets) for name, port in netlist.ports.items()}
    memory = []
    for name, values in inputs.items():
        lane = np.asarray(values)[:, 0] & ((1 << widths[name]) - 1)
        (folder / f"{name}.hex").write_text("\n".join(f"{int(v):x}" for v in lane) + "\n")
        memory.append(f"reg [{widths[name] - 1}:0] {name}_m [0:{cycles - 1}];")
        memory.append(f'initial $readmemh("{name}.hex", {name}_m);')
    declared = "".join(f"wire [{w - 1}:0] {n};" for n, w in widths.items() if n not in inputs and n != "clk")
    assigned = "".join(f"{name} = {name}_m[t]; " for name in inputs)
    registers = "".join(f"reg [{widths[n] - 1}:0] {n};" for n in inputs)
    pins = ", ".join(f".{n}({n})" for n in widths)
    (folder / "bench.v").write_text(
        f"`timescale 1ns/1ns\nmodule bench; reg clk = 0; {registers} {declared} {' '.join(memory)}\n"
        f"  unit dut({pins}); integer t;\n"
        f'  initial begin $dumpfile("o.vcd"); $dumpvars(0, dut); for (t = 0; t < {cycles}; t = t + 1) begin\n'
        f"    {assigned} #5 clk = 1; #5 clk = 0; end $finish; end\nendmodule\n"
    )
    tool = Path(sys.executable).parent / "verilator-cli"
    build = [tool, "--binary", "--trace", "--timing", "-O3", "-Wno-fatal", "-Wno-lint", "--top-module"]
    subprocess.run(
        [*build, "bench", "bench.v", "unit.v", "cells.v"], cwd=folder, check=True, capture_output=True
    )
    run = [folder / "obj_dir" / "Vbench"]
    return best(lambda: subprocess.run(run, cwd=folder, check=True, capture_output=True), 3)
