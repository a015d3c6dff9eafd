"""Two ways to run a unit over given inputs, cycle by cycle: Amaranth's simulator, and Verilog under Verilator."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from amaranth.hdl import Value
from amaranth.lib import wiring
from amaranth.sim import Simulator

from asq_sw.formats import GRID_RECORDS, GRIDS
from hw.rtl.verilog import to_verilog
from hw.units.spec import UnitSpec
from hw.units.tile import TileSpec

FORMATS = [(grid, bits) for grid in GRIDS for bits in GRID_RECORDS[grid].widths]


@dataclass
class Run:
    """Inputs of a unit by port and cycle, and what its outputs must be; None where it does not matter."""

    spec: UnitSpec | TileSpec
    clocked: bool
    inputs: dict[str, list[int]] = field(default_factory=dict)
    outputs: dict[str, list[int | None]] = field(default_factory=dict)

    @property
    def cycles(self) -> int:
        return len(next(iter(self.inputs.values())))

    def checked(self) -> int:
        """How many output values are checked."""
        return sum(value is not None for column in self.outputs.values() for value in column)


def multiplier_run(spec: UnitSpec) -> Run:
    """Every pair of activation and weight bit patterns, against the format's definition."""
    weight, activation = spec.weight, spec.activation
    pairs = [(int(a), w) for a in activation.values for w in range(1 << weight.storage_bits)]
    table = weight.product_table(spec.abits, spec.signed_activations)
    half = 1 << (spec.product_bits - 1)  # the codes that no encoder gives may wrap around
    return Run(
        spec,
        clocked=False,
        inputs={"a": [a for a, _ in pairs], "w": [w for _, w in pairs]},
        outputs={"p": [(int(product) + half) % (2 * half) - half for product in table.ravel()]},
    )


# -- arrays ----------------------------------------------------------------------------------------------------


def operands(spec: UnitSpec, length: int, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Random and extreme folds: activations (length, rows) and weight codes (rows or length, cols).

    Unused codes occur: codes are any bit pattern.
    """
    rng = np.random.default_rng(seed)
    a_range = spec.activation.min, spec.activation.max
    inner = spec.rows if spec.dataflow == "ws" else length
    codes = range(1 << spec.weight.storage_bits)
    largest = [spec.weight.product_of(spec.activation.max, code) for code in codes]
    extremes = [int(np.argmax(largest)), int(np.argmin(largest)), spec.weight.zero_code, codes[-1]]
    shapes = (length, spec.rows), (inner, spec.cols)
    for _ in range(2):
        yield rng.integers(*a_range, shapes[0], endpoint=True), rng.integers(0, len(codes), shapes[1])
    for value in {*a_range, 0}:
        for code in extremes:
            yield np.full(shapes[0], value), np.full(shapes[1], code)


def expected(spec: UnitSpec, a: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """The integer results, as Python integers: (length, cols) for ws, (rows, cols) for os."""
    if spec.dataflow == "ws":
        products = spec.weight.product(a[:, :, None], codes[None]).astype(object)  # length, rows, cols
        return products.sum(axis=1)
    products = spec.weight.product(a[:, :, None], codes[:, None, :]).astype(object)  # length, rows, cols
    return products.sum(axis=0)


def array_run(spec: UnitSpec, length: int, seed: int = 0) -> Run:
    """Folds one after the other, each in exactly the cycles that the closed form gives it.

    Weight-stationary: rows + length + rows + cols - 2. Output-stationary: length + rows + cols - 2, and rows
    to drain; at power-up the first drain is longer by cols. Inputs that must not matter are random.
    """
    rng = np.random.default_rng(seed + 1)
    rows, cols, skew = spec.rows, spec.cols, spec.skew
    folds = list(operands(spec, length, seed))
    work = length + rows + cols - 2
    period = work + rows
    ws = spec.dataflow == "ws"
    lead = 0 if ws else cols  # at power-up operands must leave before sums are cleared
    total = lead + len(folds) * period + rows + cols
    control, result = ("load", "psum") if ws else ("drain", "sum")
    a_in = rng.integers(spec.activation.min, spec.activation.max, (total, rows), endpoint=True)
    w_in = rng.integers(0, 1 << spec.weight.storage_bits, (total, cols))
    if not ws:
        a_in[:] = 0
    outputs: list[list[int | None]] = [[None] * total for _ in range(cols)]
    set_control = np.zeros(total, dtype=int)
    set_control[:lead] = 1
    for index, (a, codes) in enumerate(folds):
        begin = lead + index * period  # the rows cycles of load, or of draining the fold before
        start = begin + rows
        set_control[begin:start] = 1
        want = expected(spec, a, codes)
        for r in range(rows):
            late = 0 if skew else r
            a_in[start + late : start + late + length, r] = a[:, r]
            if ws:
                w_in[start - 1 - r] = codes[r]
        for c in range(cols):
            if ws:
                leave = start + (rows + cols - 1 if skew else rows + c)
                outputs[c][leave : leave + length] = [int(value) for value in want[:, c]]
            else:
                late = 0 if skew else c
                w_in[start + late : start + late + length, c] = codes[:, c]
                leave = start + work
                outputs[c][leave : leave + rows] = [int(value) for value in want[::-1, c]]
    if not ws:
        set_control[lead + len(folds) * period :] = 1
    inputs = {control: set_control.tolist()}
    inputs |= {f"a__{r}": a_in[:, r].tolist() for r in range(rows)}
    inputs |= {f"w__{c}": w_in[:, c].tolist() for c in range(cols)}
    return Run(spec, True, inputs, {f"{result}__{c}": outputs[c] for c in range(cols)})


# -- Amaranth --------------------------------------------------------------------------------------------------


def amaranth_mismatches(run: Run) -> list[str]:
    """Run in Amaranth's simulator; the differing outputs, as text."""
    component = run.spec.build()
    ports = {"__".join(map(str, path)): port for path, _, port in component.signature.flatten(component)}
    drive = [(ports[name], values) for name, values in run.inputs.items()]
    check = [(name, ports[name], values) for name, values in run.outputs.items()]
    wrong: list[str] = []

    async def bench(ctx) -> None:  # type: ignore[no-untyped-def]
        for cycle in range(run.cycles):
            for port, values in drive:
                ctx.set(port, values[cycle])
            for name, port, values in check:
                if values[cycle] is not None and ctx.get(port) != values[cycle]:
                    wrong.append(f"{name}[{cycle}] is {ctx.get(port)}, expected {values[cycle]}")
            if run.clocked:
                await ctx.tick()

    simulator = Simulator(component)
    if run.clocked:
        simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return wrong


# -- Verilator -------------------------------------------------------------------------------------------------


def _bench(index: int, run: Run, component: wiring.Component, folder: Path) -> str:
    """A SystemVerilog test bench that replays a run from files and counts the differing cycles."""
    widths = {
        "__".join(map(str, path)): len(Value.cast(port))
        for path, _, port in component.signature.flatten(component)
    }

    widths["rst"] = 1  # the clock domain's

    def pack(columns: list[tuple[int, list[int]]], name: str) -> int:
        lines, width = [], sum(width for width, _ in columns)
        for values in zip(*(values for _, values in columns), strict=True):
            word = 0
            for (bits, _), value in zip(columns, values, strict=True):
                word = word << bits | value & (1 << bits) - 1
            lines.append(f"{word:x}")
        (folder / name).write_text("\n".join(lines) + "\n")
        return width

    stimulus = pack([(widths[p], v) for p, v in run.inputs.items()], f"{index}.in")
    want = pack([(widths[p], [x or 0 for x in v]) for p, v in run.outputs.items()], f"{index}.out")
    pack([(widths[p], [0 if x is None else -1 for x in v]) for p, v in run.outputs.items()], f"{index}.mask")
    declare = "".join(f"  logic [{widths[p] - 1}:0] {p};\n" for p in [*run.inputs, *run.outputs])
    pins = [f".{p}({p})" for p in [*run.inputs, *run.outputs]] + ([".clk(clk)"] if run.clocked else [])
    return f"""
module bench_{index};
  logic [{stimulus - 1}:0] inputs [0:{run.cycles - 1}];
  logic [{want - 1}:0] want [0:{run.cycles - 1}];
  logic [{want - 1}:0] mask [0:{run.cycles - 1}];
  logic clk = 0;
{declare}  {run.spec.name} dut({", ".join(pins)});
  initial begin
    automatic int wrong = 0;
    $readmemh("{index}.in", inputs);
    $readmemh("{index}.out", want);
    $readmemh("{index}.mask", mask);
    for (int t = 0; t < {run.cycles}; t++) begin
      {{{", ".join(run.inputs)}}} = inputs[t];
      #1;
      if ((({{{", ".join(run.outputs)}}} ^ want[t]) & mask[t]) != 0) begin
        wrong++;
        if (wrong == 1) $display("first at cycle %0d of {run.spec.name}", t);
      end
      clk = 1;
      #1;
      clk = 0;
    end
    $display("RESULT {index} %0d", wrong);
  end
endmodule
"""


def verilator_mismatches(runs: list[Run], folder: Path) -> list[int]:
    """Run the Verilog of all runs' units in one Verilator build; the number of wrong cycles of each.

    Registers start at random: nothing may depend on what they hold at power-up.
    """
    texts, modules = [], set()
    for index, run in enumerate(runs):
        component = run.spec.build()
        for module in to_verilog(component, run.spec.name).split("endmodule\n"):
            name = module.strip()
            if name and name not in modules:
                modules.add(name)
                texts.append(module + "endmodule\n")
        texts.append(_bench(index, run, component, folder))
    tops = "".join(f"  bench_{index} b{index}();\n" for index in range(len(runs)))
    texts.append(f"module top;\n{tops}endmodule\n")
    (folder / "all.sv").write_text("".join(texts))
    command = [
        sys.executable,
        "-m",
        "verilator",
        "--binary",
        "--timing",
        "-Wno-fatal",
        "-Wno-lint",
        "-j",
        "2",
    ]
    # The package leaves out how its compiler includes a precompiled header.
    command += ["-MAKEFLAGS", "CFG_CXXFLAGS_PCH_I=-include", "-LDFLAGS", "-pthread"]
    command += ["--x-initial", "unique", "-CFLAGS", "-O0", "--top-module", "top", "all.sv", "-o", "run"]
    built = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert built.returncode == 0, (built.stdout + built.stderr)[-3000:]
    ran = subprocess.run(
        [folder / "obj_dir" / "run", "+verilator+rand+reset+2", "+verilator+seed+7"],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    results = dict(line.split()[1:] for line in ran.stdout.splitlines() if line.startswith("RESULT "))
    assert len(results) == len(runs), ran.stdout[-3000:] + ran.stderr[-3000:]
    return [int(results[str(index)]) for index in range(len(runs))]
