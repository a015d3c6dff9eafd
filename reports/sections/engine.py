"""The section on the tile engine (fidelity 2), and on what ASQ's adaptive step costs a machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reports.blocks import Row, Section, Table, pick
from reports.scope import Request

ASQ = ("off", "two-pass", "producer")
"""Ways to take ASQ's average (:class:`sim.Accelerator`)."""


def rows(request: Request, data: Mapping[str, Any]) -> dict[str, Any]:
    """``engine``: a row per network and way to take ASQ's average, POST 4 bits; the closed form's cycles beside."""
    from sim import Accelerator, simulate

    options = request.options
    ways = []
    for network, workload in request.networks.items():
        request.step(f"simulating {network} tile by tile")
        for asq in ASQ:
            machine = Accelerator(
                rows=options.rows, cols=options.cols, clock_mhz=options.clock_mhz, node=options.node, asq=asq
            )
            result = simulate(workload, machine, fidelity=2)
            total = result.total
            ways.append(
                {
                    "network": network, "asq": asq, "total_cycles": total["total_cycles"],
                    "closed_form_cycles": simulate(workload, machine).total["total_cycles"],
                    "images_per_s": total["images_per_s"],
                    "dram_bytes": total["dram_read_bytes"] + total["dram_write_bytes"],
                    "energy_uj": sum(total["energy_pj"].values()) / 1e6,
                    "asq_cycles": sum(layer.asq.get("cycles", 0) for layer in result.layers),
                    "asq_uj": sum(layer.asq.get("energy_pj", 0.0) for layer in result.layers) / 1e6,
                }
            )  # fmt: skip
    return {"engine": ways}


HEADER = (
    "network", "ASQ", "cycles", "closed form", "images/s", "DRAM MB", "energy µJ", "ASQ's cycles", "ASQ's µJ",
    "more cycles", "more energy",
)  # fmt: skip


def section(data: Mapping[str, Any]) -> Section:
    """A table."""
    engine = data["engine"]

    def more(row: Row, key: str) -> str:
        base = pick(engine, network=row["network"], asq="off")[0]
        return f"{100 * (row[key] / base[key] - 1):+.1f}%"

    table = [
        [
            r["network"], r["asq"], f"{r['total_cycles']:,}", f"{r['closed_form_cycles']:,}",
            f"{r['images_per_s']:.0f}", f"{r['dram_bytes'] / 1e6:.2f}", f"{r['energy_uj']:.1f}",
            f"{r['asq_cycles']:,.0f}", f"{r['asq_uj']:.2f}", more(r, "total_cycles"), more(r, "energy_uj"),
        ]
        for r in engine
    ]  # fmt: skip
    return Section(
        "Tile by tile, and what ASQ costs a machine",
        [
            Table(
                "Tile by tile, with and without ASQ",
                HEADER,
                table,
                "What ASQ's adaptive step costs a machine, which its paper leaves out. two-pass: the map is read once more for its average; "
                "producer: the layer before takes the average as it writes.",
                "Computed here: double-buffered scratchpads, DMA, requantization, pooling and adds (fidelity 2); POST 4 bits, "
                f"energy of elements on {data['options']['node']}.",
            )
        ],
        ("engine",),
    )
