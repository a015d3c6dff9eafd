"""Units as the rest of the product knows them: the protocol, the registry, and a unit without a weight grid."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator
from click.testing import CliRunner

from asq_sw.cli import cli
from asq_sw.errors import InputError
from asq_sw.formats import WeightFormat
from hw.rtl.verilog import lint, unit_verilog
from hw.synth import fpga
from hw.synth.breakdown import breakdown
from hw.synth.libraries.library import load
from hw.synth.measure import Measurement, measure, synthesize_unit
from hw.units import operands as layers
from hw.units.spec import UnitSpec
from hw.units.tile import TileSpec
from hw.units.unit import LANES, UNITS, Kind, Stimulus, Unit, make

POST = WeightFormat("post", 4, 0)


class Accumulator(wiring.Component):
    """``sum <= sum + x`` at every clock edge, and the carry out of that sum."""

    def __init__(self, bits: int):
        super().__init__({"x": In(bits), "sum": Out(bits), "carry": Out(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        total = Signal(len(self.sum) + 1)
        m.d.comb += [total.eq(self.sum + self.x), self.carry.eq(total[-1])]
        m.d.sync += self.sum.eq(total[:-1])
        return m


@dataclass(frozen=True)
class AccumulatorSpec(Unit):
    """A unit that multiplies nothing, driven by a counter that stops half way."""

    abits: int = 4

    @property
    def name(self) -> str:
        return f"accumulator{self.abits}"

    @property
    def options(self) -> str:
        return f"accumulator --abits {self.abits}"

    @property
    def macs(self) -> int:
        return 0

    @property
    def latency(self) -> int:
        return 1

    def build(self) -> Accumulator:
        return Accumulator(self.abits)

    def header(self) -> list[str]:
        return ["each clk: sum <= sum + x"]

    def stimulus(
        self, lanes: int = LANES, seed: int = 0, operands: layers.Operands | None = None
    ) -> Stimulus:
        if operands is not None:
            raise InputError("operands are given for an accumulator, expected none: it multiplies nothing")
        x = np.repeat(np.minimum(np.arange(64), 32)[:, None] % (1 << self.abits), lanes, axis=1)
        return Stimulus({"x": x}, np.arange(64) >= 2, "a counter")

    def record(self) -> dict[str, Any]:
        return {"unit": "accumulator", "abits": self.abits}


@pytest.fixture(scope="module")
def measured() -> Measurement:
    return measure(AccumulatorSpec(4))


def test_a_unit_without_a_grid_becomes_verilog_that_lints_clean(tmp_path: Path) -> None:
    text = unit_verilog(AccumulatorSpec(4))
    head = text.split("module ")[0].splitlines()
    assert head[:2] == ["// accumulator4", "// asq verilog accumulator --abits 4"]
    assert "// each clk: sum <= sum + x" in head
    path = tmp_path / "accumulator4.v"
    path.write_text(text)
    assert lint(path) == []


def test_a_unit_without_a_grid_is_measured_by_its_own_stimulus(measured: Measurement) -> None:
    record = measured.to_json()
    assert list(record)[:2] == ["unit", "abits"]
    assert "grid" not in record
    assert record["operands"] == "a counter"
    # Four flip-flops with a reset; energy and area stand for the unit, not per MAC.
    library = load("nangate45")
    assert sum(n for cell, n in record["cells_by_type"].items() if library.cells[cell].flipflop) == 4
    assert (record["energy_per_mac_fj"], record["area_per_mac_um2"]) == (None, None)
    assert record["energy_per_cycle_fj"] == pytest.approx(sum(record["energy_fj"].values()), rel=1e-5)
    assert record["energy_fj"]["switching"] > 0
    assert sum(breakdown(AccumulatorSpec(4), library).parts.values()) > record["area_sequential_um2"]


def test_a_counter_that_stops_costs_less(measured: Measurement) -> None:
    """The energy is of the stimulus: half of these cycles add 32 % 8 = 0."""

    @dataclass(frozen=True)
    class Busy(AccumulatorSpec):
        def stimulus(
            self, lanes: int = LANES, seed: int = 0, operands: layers.Operands | None = None
        ) -> Stimulus:
            x = np.repeat(np.arange(64)[:, None] % (1 << self.abits), lanes, axis=1)
            return Stimulus({"x": x}, np.arange(64) >= 2, "a counter that goes on")

    assert measure(Busy(4)).energy_per_cycle_fj > 1.2 * measured.energy_per_cycle_fj


def test_a_unit_without_a_grid_is_counted_on_an_fpga(monkeypatch: pytest.MonkeyPatch) -> None:
    """Place and route, which needs an extra, is left out."""
    monkeypatch.setattr(fpga, "find_spec", lambda name: name)
    monkeypatch.setattr(fpga, "_route", lambda *arguments: 100.0)
    record = fpga.measure_fpga(AccumulatorSpec(4), "ice40").to_json()
    assert (record["unit"], record["abits"], record["ffs"], record["luts_per_mac"]) == (
        "accumulator",
        4,
        4,
        None,
    )
    assert record["luts"] >= 4


def test_operands_for_a_unit_that_takes_none_are_refused() -> None:
    with pytest.raises(InputError, match="operands are given for an accumulator"):
        measure(AccumulatorSpec(4), operands=layers.gaussian(POST, UnitSpec("pe", POST).activation))


def test_a_line_in_the_registry_makes_it_a_unit_of_the_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("accumulator_unit")
    module.Spec = AccumulatorSpec  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "accumulator_unit", module)
    monkeypatch.setitem(UNITS, "accumulator", Kind("accumulator_unit:Spec", ("abits",)))
    assert make("accumulator", abits=3) == AccumulatorSpec(3)

    def asq(*words: str) -> Any:
        return CliRunner().invoke(cli, words)

    assert asq("verilog", "accumulator", "--abits", "4").output == unit_verilog(AccumulatorSpec(4))
    found = asq("synth", "accumulator", "--abits", "4", "--json", "-")
    assert json.loads(found.output)["unit"] == "accumulator"
    assert "energy per cycle" in asq("synth", "accumulator", "--abits", "4").output
    for words, message in (
        (("verilog", "accumulator", "--grid", "int"), "--grid is given for unit accumulator, expected unit multi"),
        (("verilog", "accumulator", "--rows", "2"), "--rows is given for unit accumulator, expected unit array or"),
        (("synth", "accumulator", "--weights", "w", "--activations", "a"), "--weights is given for unit accumulator"),
        (("verilog", "accumulator", "--corrections", "c"), "--corrections is given for unit accumulator"),
    ):  # fmt: skip
        assert message in asq(*words).output


def test_the_registry_makes_every_unit() -> None:
    made = {name: make(name, weight=POST, **({"rows": 2, "cols": 3} if "rows" in line.options else {}))
            for name, line in UNITS.items()}  # fmt: skip
    for name, unit in made.items():
        assert unit.record()["unit"] == name
        assert json.loads(json.dumps(unit.record())) == unit.record()
        assert unit.options.split()[0] == name
    assert made["tile"] == TileSpec(POST, rows=2, cols=3)
    assert made["array"] == UnitSpec("array", POST, rows=2, cols=3)
    with pytest.raises(InputError, match="unit is 'engine', expected one of multiplier, pe, array, tile"):
        make("engine")
    with pytest.raises(InputError, match=re.escape("tree is given for unit pe, expected tile")):
        make("pe", weight=POST, tree="dadda")


def test_a_part_is_a_module_of_the_unit() -> None:
    """Synthesis keeps the copies of a part by its module's name."""
    for unit in (UnitSpec("array", POST, rows=2, cols=2), TileSpec(POST, rows=2, cols=2)):
        part = unit.part()
        assert part is not None
        assert f"module {part.module_name}(" in unit_verilog(unit)
    assert UnitSpec("pe", POST).part() is None
    assert synthesize_unit(AccumulatorSpec(2), load("nangate45")).netlist.area > 0


LATENCIES: tuple[tuple[Unit, str, str], ...] = (
    (UnitSpec("multiplier", POST), "a", "p"),
    (UnitSpec("pe", POST), "a_in", "psum_out"),
    (UnitSpec("pe", POST, dataflow="os"), "a_in", "sum_out"),
    (UnitSpec("array", POST, rows=3, cols=2, skew=True), "a__2", "psum__0"),
    (UnitSpec("array", POST, rows=3, cols=2), "a__0", "psum__1"),
    (UnitSpec("array", POST, rows=3, cols=2, skew=True, dataflow="os"), "a__2", "elements__2__1__sum_out"),
    (TileSpec(POST, rows=2, cols=2), "a", "acc"),
    (TileSpec(POST, rows=2, cols=2, edge_registers=True), "a", "acc"),
    (TileSpec(POST, rows=2, cols=2, stage="tree", edge_registers=True), "a", "acc"),
    (TileSpec(POST, rows=2, cols=2, stage="products", registers=True), "a", "acc"),
)


@pytest.mark.parametrize(("unit", "entry", "exit_"), LATENCIES, ids=lambda v: getattr(v, "name", ""))
def test_latency_is_when_the_last_output_follows_an_operand(unit: Unit, entry: str, exit_: str) -> None:
    """One operand more than zero for a cycle, all weights the same and in place: the last output that moves."""
    component: Any = unit.build()

    def port(name: str) -> Any:
        value = component
        for word in name.split("__"):
            value = value[int(word)] if word.isdigit() else getattr(value, word)
        return value if not hasattr(value, "as_value") else value.as_value()

    one = POST.zero_code - 1  # the smallest level
    weights = [name for name in ("w", "w_in") if hasattr(component, name)]
    seen: list[int] = []

    async def bench(ctx: Any) -> None:
        for name in weights:
            value = getattr(component, name)
            if isinstance(value, list):
                for each in value:
                    ctx.set(each, one)
            elif hasattr(value, "as_value"):
                width = unit.products.code_bits  # type: ignore[attr-defined]
                word = int(unit.stored([one])[0])  # type: ignore[attr-defined]
                ctx.set(
                    value.as_value(), sum(word << i * width for i in range(len(value.as_value()) // width))
                )
            else:
                ctx.set(value, one)
        clocked = not (isinstance(unit, UnitSpec) and unit.unit == "multiplier")
        for name, level in (("load", 1), ("clear", 1)):
            if hasattr(component, name):
                ctx.set(getattr(component, name), level)
        if clocked:
            for _ in range(12):
                await ctx.tick()
        if hasattr(component, "load"):
            ctx.set(component.load, 0)
        if clocked:
            for _ in range(4):
                await ctx.tick()
        before = ctx.get(port(exit_))
        ctx.set(port(entry), 1)
        if not clocked:
            seen.append(ctx.get(port(exit_)) != before)
            return
        for _ in range(14):
            seen.append(ctx.get(port(exit_)) != before)
            before = ctx.get(port(exit_))
            await ctx.tick()
            ctx.set(port(entry), 0)

    simulator = Simulator(component)
    if not (isinstance(unit, UnitSpec) and unit.unit == "multiplier"):
        simulator.add_clock(1e-9)
    simulator.add_testbench(bench)
    simulator.run()
    assert seen.index(True) == unit.latency
