"""Whole machines of tiles, by format and node: cost of a MAC, chip area, energy of an image, and what trained networks reach.

All from carried tables and the closed form; nothing is measured. The machine of a node runs at that node's default clock, and
has the report's rows and columns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from asq_sw.formats import WeightFormat
from hw import carried
from hw.costs import TILE_SIDE, tile_cost
from hw.nodes import NODES
from reports.blocks import Row
from reports.palette import GRIDS
from reports.scope import TRAINED, Request
from reports.trained import seeds_of

LEVEL = 0.02
"""A figure within this share of the least of its width is level with it: synthesis alone moves areas by as much."""
COSTS = ("area_per_mac_um2", "energy_per_mac_fj", "energy_uj")
"""What formats of one width are compared by, at each node."""


def formats() -> list[WeightFormat]:
    """Every format of which a tile with weight registers is carried, with the least F, by bits (4 first) and grid."""
    found: dict[tuple[str, int], int | None] = {}
    for row in carried.tiles().values():
        if (
            not row["registers"]
            or (row["rows"], row["cols"]) != (TILE_SIDE, TILE_SIDE)
            or row["abits"] != row["wbits"]
        ):
            continue
        key = (row["grid"], row["wbits"])
        known = found.get(key, row["frac_bits"])
        found[key] = known if known is None else min(known, row["frac_bits"])
    grids = list(GRIDS)
    # Four bits and fewer are what the grids are for; wider ones stand last.
    ordered = sorted(found, key=lambda key: (key[1] > 4, -key[1], grids.index(key[0])))
    return [WeightFormat(grid, bits, found[grid, bits]) for grid, bits in ordered]


def format_name(row: Row) -> str:
    """A format in a word, such as ``post 4``."""
    return f"{row['grid']} {row['wbits']}"


def rows(request: Request, accuracies: Mapping[str, Sequence[Row]]) -> dict[str, Any]:
    """``summary``: a row per format and node; ``machines``: per network, format and node, :data:`reports.scope.TRAINED` among them.

    ``meets_clock``: whether the tile reaches its node's clock; ``memory_low_uj`` and ``memory_high_uj``: the image's energy
    with memory at the ends of what is published (:func:`sim.studies.memory_checks.published_range`).
    """
    from sim import Accelerator, simulate
    from sim.cost.area import area_um2
    from sim.studies.memory_checks import published_range
    from sim.workload import load

    options = request.options
    request.step("simulating machines of tiles on every node")
    networks = dict(request.networks)
    if TRAINED not in networks:
        networks[TRAINED] = load(TRAINED)
    summary, machines = [], []
    for weight in formats():
        for node in NODES.values():
            cost = tile_cost(weight, weight.bits, node.name)
            fraction = weight.frac_bits if weight.takes_frac_bits else None
            key = {
                "grid": weight.grid,
                "wbits": weight.bits,
                "abits": weight.bits,
                "frac_bits": fraction,
                "node": node.name,
            }
            meets = cost.delay_ns <= node.clock_ns
            seeds = seeds_of(weight.grid, weight.bits, accuracies)
            summary.append(
                {
                    **key, "clock_ns": node.clock_ns, "delay_ns": cost.delay_ns, "meets_clock": meets,
                    "area_per_mac_um2": cost.area_um2, "energy_per_mac_fj": cost.energy_per_mac_fj,
                    "accuracy": sum(seeds) / len(seeds) if seeds else None, "seeds": len(seeds),
                }
            )  # fmt: skip
            accelerator = Accelerator(
                rows=options.rows, cols=options.cols, grid=weight.grid, wbits=weight.bits, abits=weight.bits,
                frac_bits=fraction, clock_mhz=1e3 / node.clock_ns, node=node.name, unit="tile",
            )  # fmt: skip
            chip = area_um2(accelerator, cost.area_um2)
            area_mm2 = sum(chip.values()) / 1e6
            sram, dram = published_range("sram", node.name), published_range("dram", accelerator.dram)
            for name, workload in networks.items():
                total = simulate(workload, accelerator).total
                part = {k: pj / 1e6 for k, pj in total["energy_pj"].items()}
                low, high = (
                    part["mac"] + part["leakage"] + sram[i] * part["sram"] + dram[i] * part["dram"]
                    for i in (0, 1)
                )
                peak = 2 * accelerator.pes / node.clock_ns / 1e3
                machines.append(
                    {
                        "network": name, **key, "clock_mhz": accelerator.clock_mhz, "meets_clock": meets,
                        "energy_uj": sum(part.values()), **{f"{k}_uj": value for k, value in part.items()},
                        "memory_low_uj": low, "memory_high_uj": high,
                        "images_per_s": total["images_per_s"], "peak_tops": peak, "tops": total["tops"],
                        "tops_per_w": total["tops_per_w"], "mac_mm2": chip["pes"] / 1e6, "sram_mm2": chip["sram"] / 1e6,
                        "area_mm2": area_mm2, "peak_tops_per_mm2": peak / area_mm2, "tops_per_mm2": total["tops"] / area_mm2,
                    }
                )  # fmt: skip
    return {"summary": summary, "machines": machines}


def joined(summary: Sequence[Row], machines: Sequence[Row], network: str) -> list[dict[str, Any]]:
    """The rows of ``summary`` with a network's energy per image, and ``best``: the :data:`COSTS` that it wins.

    It wins at its width and node if it is within :data:`LEVEL` of the least among those that meet the clock, and others
    are there to win against.
    """
    energy = {(m["grid"], m["wbits"], m["node"]): m["energy_uj"] for m in machines if m["network"] == network}
    rows = [dict(r) | {"energy_uj": energy[r["grid"], r["wbits"], r["node"]]} for r in summary]
    for row in rows:
        rivals = [
            r for r in rows if (r["wbits"], r["node"]) == (row["wbits"], row["node"]) and r["meets_clock"]
        ]
        row["best"] = [
            cost
            for cost in COSTS
            if row["meets_clock"]
            and len(rivals) > 1
            and row[cost] <= (1 + LEVEL) * min(r[cost] for r in rivals)
        ]
    return rows
