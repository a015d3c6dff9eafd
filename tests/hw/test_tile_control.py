"""A tile's clock enable and synchronous reset: in Amaranth's simulator and in the mapped netlist."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from amaranth.hdl import ClockDomain, Module
from amaranth.sim import Simulator

from asq_sw.formats import WeightFormat
from hw.emit import lint, rtlil_to_verilog, to_rtlil
from hw.synth import library as libraries
from hw.synth.activity import simulate
from hw.synth.flow import TOP, synthesize
from hw.synth.operands import gaussian, tile_stimulus
from hw.synth.program import compile_netlist
from hw.tile import TileSpec

OPTIONS: tuple[dict[str, Any], ...] = (
    {},
    {"edge_registers": True},
    {"stage": "products"},
    {"stage": "tree", "edge_registers": True, "registers": True},
    {"carry_save": True, "stage": "tree"},
)
CYCLES = 40


def spec_of(options: dict[str, Any]) -> TileSpec:
    return TileSpec(
        WeightFormat("post", 4, 0), 4, variant="one-hot-shift", rows=3, cols=2, terms=64, enable=True, reset=True,
        **options,
    )  # fmt: skip


def inputs_of(spec: TileSpec) -> dict[str, np.ndarray]:
    """Random inputs in time, (CYCLES, ...) by port, that begin with a reset."""
    rng = np.random.default_rng(1)
    found = {
        "a": rng.integers(0, 16, (CYCLES, spec.rows)),
        "w": rng.integers(0, 16, (CYCLES, spec.rows, spec.cols)),
        "clear": rng.random(CYCLES) < 0.1,
        "en": rng.random(CYCLES) < 0.6,
        "rst": rng.random(CYCLES) < 0.1,
    }
    found["en"][:2], found["rst"][:2], found["rst"][5:9], found["en"][5:9] = True, True, [0, 1, 0, 1], False
    if spec.registers:
        found["load"] = rng.random(CYCLES) < 0.3
        found["load"][0] = True
    return {name: values.astype(np.int64) for name, values in found.items()}


def expected(spec: TileSpec, given: dict[str, np.ndarray]) -> np.ndarray:
    """The sum of terms (products less corrections) in the accumulators, (CYCLES, cols), before each clock edge.

    The tile in words: lists of terms instead of hardware.
    """
    width, products = spec.sum_bits, spec.products
    activations, weights = given["a"][0] * 0, given["w"][0] * 0
    sums, waiting, waiting_clear = [0] * spec.cols, [0] * spec.cols, False
    seen = []
    for t in range(CYCLES):
        seen.append(list(sums))
        a = activations if spec.edge_registers else given["a"][t]
        w = weights if spec.registers else given["w"][t]
        terms = [
            sum(
                products.share(int(a[r]), int(w[r, c]))[0] - products.correction(int(w[r, c]))[0]
                for r in range(spec.rows)
            )
            for c in range(spec.cols)
        ]
        if given["rst"][t]:
            sums, waiting, waiting_clear = [0] * spec.cols, [0] * spec.cols, False
        elif given["en"][t]:
            clear, added = bool(given["clear"][t]), terms
            if spec.stage != "none":
                clear, added, waiting_clear, waiting = waiting_clear, waiting, clear, terms
            sums = [((0 if clear else s) + x) % (1 << width) for s, x in zip(sums, added, strict=True)]
        if given["en"][t]:
            activations = given["a"][t]
            if spec.registers and given["load"][t]:
                weights = given["w"][t]
    return np.array(seen)


def joined(spec: TileSpec, words: dict[str, np.ndarray]) -> np.ndarray:
    """The accumulators as unsigned numbers, carry words added."""
    total = sum(words[name].astype(object) for name in spec.outputs)
    return np.asarray(total % (1 << spec.sum_bits))


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_enable_holds_and_reset_clears(options: dict[str, Any]) -> None:
    spec = spec_of(options)
    given = inputs_of(spec)
    tile, seen = spec.build(), []
    top = Module()
    top.domains.sync = sync = ClockDomain("sync")
    top.submodules.tile = tile

    async def bench(ctx):  # type: ignore[no-untyped-def]
        for t in range(CYCLES):
            for name, values in given.items():
                if name in ("a", "w"):
                    ctx.set(getattr(tile, name), values[t].tolist())
                else:
                    ctx.set(sync.rst if name == "rst" else getattr(tile, name), int(values[t]))
            seen.append({name: [ctx.get(port) for port in getattr(tile, name)] for name in spec.outputs})
            await ctx.tick()

    simulator = Simulator(top)
    simulator.add_clock(1e-9)
    simulator.add_testbench(bench)
    simulator.run()
    found = joined(spec, {name: np.array([words[name] for words in seen]) for name in spec.outputs})
    np.testing.assert_array_equal(found, expected(spec, given))


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_the_mapped_netlist_does_too(options: dict[str, Any]) -> None:
    spec = spec_of(options)
    given = inputs_of(spec)
    found = synthesize(to_rtlil(spec.build(), TOP), libraries.load("nangate45"), 1e3, only=("ripple flow",))
    inputs = {n: np.broadcast_to(v[:, None], (CYCLES, 64, *v.shape[1:])) for n, v in given.items()}
    traced = simulate(compile_netlist(found.netlist), inputs, trace=True).outputs
    mask = (1 << spec.sum_bits) - 1
    words = {
        name: np.stack([traced[name][:, 0] >> c * spec.sum_bits & mask for c in range(spec.cols)], axis=1)
        for name in spec.outputs
    }
    # At power-up registers are 0 here; the first reset makes them so anyway.
    np.testing.assert_array_equal(joined(spec, words), expected(spec, given))


def test_options_that_are_off_cost_nothing() -> None:
    plain = TileSpec(WeightFormat("post", 4, 0), rows=2, cols=2)
    text = rtlil_to_verilog(to_rtlil(plain.build(), "top"))
    assert " en;" not in text
    assert " rst;" not in text


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_verilog_has_the_ports_and_no_warning(options: dict[str, Any], tmp_path) -> None:  # type: ignore[no-untyped-def]
    spec = spec_of(options)
    text = rtlil_to_verilog(to_rtlil(spec.build(), spec.name))
    top = text.split(f"module {spec.name}(")[1]
    assert "  input en;\n" in top
    assert "  input rst;\n" in top
    path = tmp_path / f"{spec.name}.v"
    path.write_text(text)
    assert [line for line in lint(path) if "MULTITOP" not in line and "DECLFILENAME" not in line] == []


def test_energy_is_of_an_enabled_tile() -> None:
    spec = spec_of({"edge_registers": True})
    given = tile_stimulus(spec, gaussian(spec.weight, spec.activation), lanes=64)
    assert np.asarray(given.inputs["en"]).all()
    assert "rst" not in given.inputs  # and so 0
