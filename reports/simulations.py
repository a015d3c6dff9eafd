"""The simulated networks' rows: every network on the same array, by grid and width."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from reports.blocks import Row
from reports.palette import ENERGY_PARTS
from reports.scope import GRIDS_COMPARED, Request


def simulated(request: Request, units: Sequence[Row]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """(totals, layers): a row per network, grid and width, and a row per layer of each (closed form).

    ``units``: the elements' rows, whose delay says how fast the array could be clocked. Microseconds and microjoules
    per image.
    """
    from sim import Accelerator, simulate

    options = request.options
    totals, layers = [], []
    for network, workload in request.networks.items():
        request.step(f"simulating {network}")
        for unit in units:
            if unit["grid"] not in GRIDS_COMPARED:
                continue
            accelerator = Accelerator(
                rows=options.rows,
                cols=options.cols,
                grid=unit["grid"],
                wbits=unit["wbits"],
                abits=unit["abits"],
                clock_mhz=options.clock_mhz,
                node=options.node,
            )
            result = simulate(workload, accelerator).to_json()
            key = {"network": network, "grid": unit["grid"], "wbits": unit["wbits"]}
            total = result["total"]
            fmax = 1e3 / unit["delay_ns"]
            fastest = accelerator.model_copy(update={"clock_mhz": fmax})
            parts = _parts(total["energy_pj"])
            totals.append(
                {
                    **key,
                    "macs": total["macs"],
                    "total_cycles": total["total_cycles"],
                    "stall_cycles": total["stall_cycles"],
                    "utilization": total["utilization"],
                    "latency_s": total["latency_s"],
                    "images_per_s": total["images_per_s"],
                    "tops": total["tops"],
                    "tops_per_w": total["tops_per_w"],
                    "clock_mhz": options.clock_mhz,
                    "fmax_mhz": fmax,
                    "images_per_s_at_fmax": simulate(workload, fastest).total["images_per_s"],
                    "dram_bytes": total["dram_read_bytes"] + total["dram_write_bytes"],
                    **parts,
                    "energy_uj": sum(parts.values()),
                }
            )
            layers += [
                {
                    **key,
                    "name": layer["name"],
                    "kind": layer["kind"],
                    "macs": layer["macs"],
                    "compute_us": layer["compute_cycles"] / options.clock_mhz,
                    "stall_us": layer["stall_cycles"] / options.clock_mhz,
                    "utilization": layer["utilization"],
                    **_parts(layer["energy_pj"]),
                }
                for layer in result["layers"]
            ]
    return totals, layers


def _parts(energy_pj: Row) -> dict[str, float]:
    return {f"{part}_uj": energy_pj.get(part, 0.0) / 1e6 for part in ENERGY_PARTS}


def meets_clock(total: Row) -> bool:
    """Whether the element's netlist reaches the clock that the row is at."""
    return bool(total["fmax_mhz"] >= total["clock_mhz"])
