"""Gate-level simulation: against a plain Python evaluation, the formats' definition, and Verilator."""

import re
import subprocess

import circuits
import numpy as np
import pytest

from asq_sw.errors import InputError
from asq_sw.formats import WeightFormat
from hw.rtl.verilog import to_rtlil
from hw.synth.activity.program import compile_netlist
from hw.synth.activity.toggles import _fields, _words, simulate
from hw.synth.libraries import library as libraries
from hw.synth.mapping.flow import synthesize
from hw.synth.measure import synthesize_unit
from hw.synth.netlists.netlist import to_verilog
from hw.units.spec import UnitSpec


def mapped(spec, node, whole=False):
    """The unit's netlist: of the whole flow, or of one quick recipe."""
    library = libraries.load(node)
    if whole:
        return synthesize_unit(spec, library).netlist
    return synthesize(to_rtlil(spec.build(), "top"), library, 2.0, only=("sklansky flow",)).netlist


@pytest.mark.parametrize("seed", range(8))
def test_toggles_values_and_states_of_random_circuits(mini, seed):
    design = circuits.random_netlist(mini, seed)
    generator = np.random.default_rng(seed)
    cycles, lanes = 30, 64
    x = generator.integers(0, 32, (cycles, lanes))
    counting = generator.random(cycles) < 0.7
    counting[0] = False
    found = simulate(compile_netlist(design), {"x": x}, counting, trace=True, chunk=7)

    toggles = np.zeros(design.nets)
    changes = np.zeros(len(design.flipflops))
    for lane in range(lanes):
        history = np.array(circuits.run(design, [{"x": int(v)} for v in x[:, lane]] + [{"x": 0}]))
        y = sum(history[:cycles, net] << i for i, net in enumerate(design.ports["y"].nets))
        assert np.array_equal(found.outputs["y"][:, lane], y)
        moved = history[1:cycles] != history[: cycles - 1]
        toggles += moved[counting[1:]].sum(axis=0)
        states = history[:, [i.pins["Q"] for i in design.flipflops]]  # after cycle t: row t + 1
        changes += (states[1:] != states[:-1])[counting].sum(axis=0)
    total = counting.sum() * lanes
    assert found.toggles * total == pytest.approx(toggles)
    assert found.changes * total == pytest.approx(changes)
    assert found.cycles == counting.sum()
    assert found.lanes == lanes


def test_samples_are_net_values(mini):
    design = circuits.random_netlist(mini, 11, flipflops=0)
    found = simulate(compile_netlist(design), {"x": np.tile(np.arange(64) % 32, (3, 1))})
    for lane in (0, 5, 31, 63):
        assert found.samples[lane].tolist() == circuits.run(design, [{"x": lane % 32}])[0]


CASES = [
    ("nangate45", "post", 4, 4, False, ""),
    ("nangate45", "post", 4, 4, True, ""),
    ("nangate45", "post", 4, 4, False, "table"),
    ("nangate45", "post", 3, 5, False, ""),
    ("nangate45", "post-paper", 3, 4, False, ""),
    ("nangate45", "int", 4, 4, True, ""),
    ("nangate45", "pot", 4, 4, False, ""),
    ("nangate45", "apot", 4, 4, False, ""),
    ("nangate45", "fp4", 4, 4, False, ""),
    ("sky130hd", "post", 4, 4, False, ""),
    ("asap7", "post", 4, 4, False, ""),
    ("asap7", "int", 4, 4, False, ""),
]


@pytest.mark.parametrize(("node", "grid", "wbits", "abits", "signed", "variant"), CASES)
def test_synthesized_multiplier_is_the_definition(node, grid, wbits, abits, signed, variant):
    """Every pair of operands through the mapped netlist."""
    weight = WeightFormat(grid, wbits)
    spec = UnitSpec("multiplier", weight, abits, signed_activations=signed, variant=variant)
    design = mapped(spec, node, whole=(node, grid, variant) == ("nangate45", "post", ""))
    a, w = np.meshgrid(np.arange(1 << abits), np.arange(1 << weight.storage_bits), indexing="ij")
    lanes = max(64, a.size)
    pad = lanes - a.size
    stimulus = {"a": np.pad(a.ravel(), (0, pad))[None], "w": np.pad(w.ravel(), (0, pad))[None]}
    p = simulate(compile_netlist(design), stimulus, trace=True).outputs["p"][0, : a.size].reshape(a.shape)
    expected = weight.product_table(abits, signed)
    assert np.array_equal(p, expected & ((1 << spec.product_bits) - 1))


@pytest.mark.parametrize(("node", "grid"), [("nangate45", "post"), ("nangate45", "int"), ("asap7", "post")])
def test_synthesized_element_accumulates(node, grid):
    """A processing element's netlist against its documented registers."""
    weight = WeightFormat(grid, 4)
    spec = UnitSpec("pe", weight, 4)
    design = mapped(spec, node)
    generator = np.random.default_rng(1)
    cycles, lanes = 40, 128
    half = 1 << (spec.psum_bits - 2)
    inputs = {
        "a_in": generator.integers(0, 16, (cycles, lanes)),
        "w_in": generator.integers(0, 16, (cycles, lanes)),
        "load": (generator.random((cycles, lanes)) < 0.3).astype(int),
        "psum_in": generator.integers(-half, half, (cycles, lanes)),
    }
    found = simulate(compile_netlist(design), inputs, trace=True).outputs
    table = weight.product_table(4)
    held = np.zeros(lanes, dtype=int)
    a_out = w_out = psum = None
    mask = (1 << spec.psum_bits) - 1
    for t in range(cycles):
        if t:
            assert np.array_equal(found["a_out"][t], a_out)
            assert np.array_equal(found["w_out"][t], w_out)
            assert np.array_equal(found["psum_out"][t], psum & mask)
        a_out = inputs["a_in"][t]
        psum = inputs["psum_in"][t] + table[a_out, held]
        held = np.where(inputs["load"][t], inputs["w_in"][t], held)
        w_out = held


def test_wide_ports_take_python_integers():
    spec = UnitSpec("pe", WeightFormat("post", 8), 3)
    assert spec.psum_bits > 63
    design = mapped(spec, "nangate45")
    big = np.array([[(-1) ** i << i for i in range(64)]] * 2, dtype=object)
    zero = np.zeros((2, 64), dtype=int)
    found = simulate(
        compile_netlist(design), {"psum_in": big, "a_in": zero, "w_in": zero, "load": zero}, trace=True
    )
    assert found.outputs["psum_out"][1].tolist() == [v % (1 << spec.psum_bits) for v in big[0]]


def test_bad_stimulus(mini):
    program = compile_netlist(circuits.random_netlist(mini, 0))
    with pytest.raises(InputError, match="x has 2 fields, expected as many as divide its 5 bits"):
        simulate(program, {"x": np.zeros((4, 64, 2), dtype=int)})
    with pytest.raises(InputError, match="no input 'z'"):
        simulate(program, {"z": np.zeros((2, 64), dtype=int)})
    with pytest.raises(InputError, match="multiple of 64"):
        simulate(program, {"x": np.zeros((2, 63), dtype=int)})


CELLS = """
module INV(input A, output Y); assign Y = !A; endmodule
module BUF(input A, output Y); assign Y = A; endmodule
module NAND(input A, input B, output Y); assign Y = !(A & B); endmodule
module XOR(input A, input B, output Y); assign Y = A ^ B; endmodule
module DFF(input D, input CK, output Q);
  reg state; initial state = 0; always @(posedge CK) state <= D; assign Q = state;
endmodule
"""


@pytest.mark.slow
def test_verilator_counts_the_same_toggles(mini, tmp_path):
    """The same netlist under Verilator with plain cell models, its waveform's toggles per net."""
    import sys
    from pathlib import Path

    design = circuits.random_netlist(mini, 5, gates=80, flipflops=10, inputs=8)
    cycles = 200
    x = np.random.default_rng(2).integers(0, 256, cycles)
    (tmp_path / "unit.v").write_text(to_verilog(design, "unit"))
    (tmp_path / "cells.v").write_text(CELLS)
    vectors = "".join(f"    x = {v}; #5 clk = 1; #5 clk = 0;\n" for v in x)
    (tmp_path / "bench.v").write_text(
        "`timescale 1ns/1ns\nmodule bench; reg clk = 0; reg [7:0] x = 0; wire [63:0] y;\n"
        f"  unit dut(.clk(clk), .x(x), .y(y[{len(design.ports['y'].nets) - 1}:0]));\n"
        '  initial begin $dumpfile("out.vcd"); $dumpvars(0, dut);\n'
        f"{vectors}    $finish; end\nendmodule\n"
    )
    tool = Path(sys.executable).parent / "verilator-cli"
    build = [tool, "--binary", "--trace", "--timing", "-Wno-fatal", "-Wno-lint", "--top-module", "bench"]
    subprocess.run([*build, "bench.v", "unit.v", "cells.v"], cwd=tmp_path, check=True, capture_output=True)
    subprocess.run([tmp_path / "obj_dir" / "Vbench"], cwd=tmp_path, check=True, capture_output=True)
    symbols, counts, last, depth = {}, {}, {}, 0
    time = 0
    for line in (tmp_path / "out.vcd").read_text().splitlines():
        if line.startswith(("$scope", "$upscope")):
            depth += 1 if line.startswith("$scope") else -1
        elif match := re.match(r"\s*\$var wire\s+1 (\S+) (n\d+) \$end", line):
            symbols.setdefault(match[1], set()).add(int(match[2][1:]))
        elif line.startswith("#"):
            time = int(line[1:])
        elif line[:1] in "01" and line[1:] in symbols:
            if line[1:] in last and last[line[1:]] != line[0]:
                counts.setdefault(line[1:], []).append(time)
            last[line[1:]] = line[0]
    # Inputs change at 10 t, the clock rises at 10 t + 5. Our cycle t ends just before that edge, so it holds
    # a net's change if its value at 10 t + 4 differs from that at 10 t - 6.
    found = simulate(compile_netlist(design), {"x": np.repeat(x[:, None], 64, axis=1)}, None)
    checked = 0
    for symbol, nets in symbols.items():
        changed = np.zeros(10 * cycles + 20, dtype=int)
        for t in counts.get(symbol, []):
            changed[t] += 1
        for net in nets:
            if net < 2 or net in design.ports["clk"].nets:
                continue
            per_cycle = [changed[10 * t - 5 : 10 * t + 5].sum() % 2 for t in range(1, cycles)]
            assert found.toggles[net] * (cycles - 1) == pytest.approx(sum(per_cycle)), net
            checked += 1
    assert checked > 80


def test_fields_of_a_packed_port_are_the_whole_words() -> None:
    """Further axes in C order, the first at the lowest bits; beyond 64 bits too; negative ones too."""
    rng = np.random.default_rng(0)
    fields = rng.integers(-4, 4, (5, 64, 3, 8))  # 24 fields of 3 bits
    whole = sum((fields.reshape(5, 64, 24)[..., i].astype(object) & 7) << 3 * i for i in range(24))
    together = np.concatenate(_fields(fields, 72), axis=1)
    np.testing.assert_array_equal(together, _words(np.asarray(whole, dtype=object), 72))
