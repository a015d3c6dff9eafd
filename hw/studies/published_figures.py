"""Our flow against published 45 nm figures: an 8-bit adder and an 8-bit multiplier.

    python -m hw.studies.published_figures

Published: M. Horowitz, "Computing's energy problem (and what we can do about it)", ISSCC 2014: at 45 nm
and 0.9 V an 8-bit integer add 0.03 pJ and 36 um^2, an 8-bit multiply 0.2 pJ and 282 um^2 (areas as
reprinted beside the energies in later surveys). nangate45 is characterized at 1.1 V: energy at 0.9 V is
taken as (0.9 / 1.1)^2 of it. Operands here are uniform and independent, new ones every cycle, so every
input bit toggles with probability 1/2.

Areas agree. Energies come out 1.4 times (add) and four times (multiply) the published ones: half of the
multiplier's is glitches, and uniform operands are the busiest there are. With a network's operands (held
Gaussian weights, ReLU activations) the unsigned-by-signed multiplier of hw/data/unit_costs.json takes 517
fJ at 1.1 V with glitches and 279 fJ without, which is 187 fJ at 0.9 V.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import click
import numpy as np

from asq_sw.console import run
from asq_sw.formats import WeightFormat
from hw.nodes import DEFAULT_NODE
from hw.rtl.verilog import to_rtlil
from hw.synth.activity.glitches import delayed
from hw.synth.activity.program import compile_netlist
from hw.synth.activity.toggles import simulate
from hw.synth.libraries.library import Library, load
from hw.synth.mapping.flow import TOP, synthesize
from hw.synth.measure import default_clock_ns
from hw.synth.power import estimate

PUBLISHED_VOLTAGE = 0.9
PUBLISHED = {"8-bit add": (36.0, 30.0), "8-bit multiply": (282.0, 200.0)}
"""Name -> area um^2, energy fJ at 45 nm and 0.9 V."""


@dataclass(frozen=True)
class Reference:
    """One operation: ours at the library's voltage and scaled to 0.9 V, and as published.

    ``glitch_fj`` is the part of ``energy_fj`` that glitches cause.
    """

    name: str
    area_um2: float
    delay_ns: float
    energy_fj: float
    glitch_fj: float
    energy_at_published_voltage_fj: float
    published_area_um2: float
    published_energy_fj: float


def _adder() -> Any:
    from amaranth.hdl import Module
    from amaranth.lib import wiring
    from amaranth.lib.wiring import In, Out

    class Adder(wiring.Component):
        def __init__(self) -> None:
            super().__init__({"a": In(8), "b": In(8), "s": Out(9)})

        def elaborate(self, platform: object) -> Module:
            m = Module()
            m.d.comb += self.s.eq(self.a + self.b)
            return m

    return Adder()


def _multiplier() -> Any:
    from hw.units.multiplier import IntMultiplier

    return IntMultiplier(WeightFormat("int", 8), 8, True)


def measure_references(library: Library | None = None, seed: int = 0) -> list[Reference]:
    """Both operations, mapped to ``library`` (nangate45 by default) by the same flow as every unit."""
    cells = library or load(DEFAULT_NODE)
    clock = default_clock_ns(cells)
    references = []
    for name, component in (("8-bit add", _adder()), ("8-bit multiply", _multiplier())):
        mapped = synthesize(to_rtlil(component, TOP), cells, clock)
        generator = np.random.default_rng(seed)
        inputs = {port: generator.integers(0, 256, (257, 512)) for port in mapped.netlist.inputs()}
        program = compile_netlist(mapped.netlist, apart=True)
        moving = simulate(program, inputs, kernel=delayed(program, mapped.timing))
        settled = simulate(compile_netlist(mapped.netlist), inputs)
        energy, still = (
            estimate(mapped.netlist, mapped.timing, activity, clock).total_fj
            for activity in (moving, settled)
        )
        area, published = PUBLISHED[name]
        references.append(
            Reference(
                name=name,
                area_um2=mapped.netlist.area,
                delay_ns=mapped.timing.delay_ns,
                energy_fj=energy,
                glitch_fj=energy - still,
                energy_at_published_voltage_fj=energy * (PUBLISHED_VOLTAGE / cells.voltage) ** 2,
                published_area_um2=area,
                published_energy_fj=published,
            )
        )
    return references


@click.command()
def main() -> None:
    """Print our figures beside the published ones."""
    for r in measure_references():
        click.echo(
            f"{r.name}: {r.area_um2:.0f} um2 (published {r.published_area_um2:.0f}), "
            f"{r.energy_fj:.0f} fJ of which glitches {r.glitch_fj:.0f}, {r.energy_at_published_voltage_fj:.0f} fJ at 0.9 V "
            f"(published {r.published_energy_fj:.0f}), {r.delay_ns:.2f} ns"
        )


if __name__ == "__main__":
    run(main, "python -m hw.studies.published_figures")
