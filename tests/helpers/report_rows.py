"""Rows for the report: elements from the carried table, and tiles whose figures are invented."""

from __future__ import annotations

from typing import Any

from asq_sw.formats import WeightFormat
from hw import carried, costs
from hw.studies import space
from hw.synth.mapping.kinds import KINDS
from hw.units.spec import UnitSpec
from hw.units.tile import TileSpec
from reports.scope import ELEMENTS, ReportOptions, Step

GAUSSIAN = "Gaussian weights, half-normal activations, seed 0"


def carried_units(options: ReportOptions, step: Step) -> list[dict]:
    """Rows of the processing elements from the carried table, which tests/hw/synth holds against the flow."""
    rows = []
    table = carried.unit_costs()["units"]
    for grid, bits in ELEMENTS:
        weight = WeightFormat(grid, bits)
        cost = table[costs.key(UnitSpec("pe", weight, bits), options.node)]
        row = {"grid": grid, "wbits": bits, "abits": bits, "storage_bits": weight.storage_bits}
        rows.append({**cost, **row, "frac_bits": weight.frac_bits, "area_per_mac_um2": cost["area_um2"]})
    return rows


def made_up(tile: TileSpec, area: float, **fields: Any) -> dict[str, Any]:
    """A row as :func:`hw.studies.search.measure_tile` makes it, its figures invented: delay 1 ns at a clock of 2 ns."""
    weight = tile.weight
    row: dict[str, Any] = {
        "node": "nangate45", "grid": weight.grid, "format": weight.name, "wbits": weight.bits, "abits": tile.abits,
        "frac_bits": weight.frac_bits if weight.takes_frac_bits else None, "variant": tile.variant, "rows": tile.rows,
        "cols": tile.cols, "tree": tile.tree, "share": tile.share, "registers": tile.registers,
        "edge_registers": tile.edge_registers, "carry_save": tile.carry_save, "stage": tile.stage,
        "order": list(tile.order), "sum_bits": 23, "area_per_mac_um2": area, "logic_per_mac_um2": area,
        "energy_held_per_mac_fj": area, "energy_per_mac_fj": 2 * area, "leakage_per_mac_nw": 0.0, "sqnr_db": 18.0,
        "area_by_kind_um2": dict.fromkeys(KINDS, area / len(KINDS)), "operands": GAUSSIAN, "recipe": "area",
        "clock_ns": 2.0, "delay_ns": 1.0,
    }  # fmt: skip
    row |= fields
    return row | {"slack_ns": row["clock_ns"] - row["delay_ns"]}


def first(weight: WeightFormat, area: float, rows: int = 16, cols: int = 16, **fields: Any) -> dict[str, Any]:
    """A row of a format's first contender."""
    return made_up(space.tile(weight, space.CONTENDERS[weight][0], rows=rows, cols=cols), area, **fields)
