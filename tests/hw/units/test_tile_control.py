"""A tile's clock enable and synchronous reset: in Amaranth's simulator and in the mapped netlist."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from amaranth.hdl import ClockDomain, Module
from amaranth.sim import Simulator
from tile_model import CYCLES, expected, inputs_of

from asq_sw.formats import WeightFormat
from hw.rtl.verilog import lint, rtlil_to_verilog, to_rtlil
from hw.synth.activity.program import compile_netlist
from hw.synth.activity.toggles import simulate
from hw.synth.libraries import library as libraries
from hw.synth.mapping.flow import TOP, synthesize
from hw.units.tile import TileSpec

OPTIONS: tuple[dict[str, Any], ...] = (
    {},
    {"edge_registers": True},
    {"stage": "products"},
    {"stage": "tree", "edge_registers": True, "registers": True},
    {"carry_save": True, "stage": "tree"},
)


def spec_of(options: dict[str, Any]) -> TileSpec:
    return TileSpec(
        WeightFormat("post", 4, 0), 4, variant="one-hot-shift", rows=3, cols=2, terms=64, enable=True, reset=True,
        **options,
    )  # fmt: skip


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
    given = spec.stimulus(lanes=64)
    assert np.asarray(given.inputs["en"]).all()
    assert "rst" not in given.inputs  # and so 0
