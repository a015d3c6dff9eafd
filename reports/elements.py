"""The processing elements' rows. Apart from what draws them: the workers that measure need no matplotlib."""

from __future__ import annotations

from typing import Any

from asq_sw.formats import WeightFormat
from asq_sw.workers import Workers
from reports.blocks import Row
from reports.scope import ELEMENTS, ReportOptions, Step

FIGURES = (
    "clock_ns", "cells", "area_um2", "area_sequential_um2", "area_per_mac_um2", "delay_ns", "slack_ns", "leakage_nw",
    "energy_per_mac_fj", "activity", "operands", "wires", "node", "variant",
)  # fmt: skip
"""What is kept of :meth:`hw.synth.measure.Measurement.to_json`."""


def measured(options: ReportOptions, step: Step) -> list[dict[str, Any]]:
    """One row per processing element, synthesized now (or taken from the cache of an equal run)."""
    step(f"synthesizing and measuring {len(ELEMENTS)} processing elements on {options.node}")
    # The widest take the longest: start with them. Two workers, for the two cores that people have at least.
    with Workers(2, "spawn") as pool:
        jobs = {
            element: pool.submit(_measured, *element, options.node)
            for element in sorted(ELEMENTS, key=lambda e: -e[1])
        }
        return [jobs[element].result() for element in ELEMENTS]


def _measured(grid: str, bits: int, node: str) -> dict[str, Any]:
    from hw.synth.measure import measure
    from hw.units.spec import UnitSpec

    weight = WeightFormat(grid, bits)
    cost = measure(UnitSpec("pe", weight, bits), node).to_json()
    return {
        "grid": grid,
        "wbits": bits,
        "abits": bits,
        "storage_bits": weight.storage_bits,
        "frac_bits": weight.frac_bits,
        **{key: cost[key] for key in FIGURES},
    }


def late(row: Row) -> bool:
    """Whether its netlist misses the clock that it was made for: no figure of it but the delay is quoted."""
    return bool(row["delay_ns"] > row["clock_ns"])


def delay_of(row: Row) -> str:
    """Its delay, ns, and whether that is late."""
    return f"{row['delay_ns']:.2f}" + (" (late)" if late(row) else "")


def name_of(row: Row) -> str:
    """An element in a word, such as ``post 4x4``: weight and activation bits."""
    return f"{row['grid']} {row['wbits']}x{row['abits']}"


def fraction_of(row: Row) -> str:
    """Its table's fractional bits F, a dash where its grid has none."""
    return str(row["frac_bits"]) if WeightFormat(row["grid"], row["wbits"]).takes_frac_bits else "–"
