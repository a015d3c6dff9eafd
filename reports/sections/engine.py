"""The section on the tile engine (fidelity 2), and on what ASQ's adaptive step costs a machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reports.blocks import Row, Section, Table, pick
from reports.scope import NETWORKS, Request

ASQ = ("off", "two-pass", "producer")
"""Ways to take ASQ's average (:class:`sim.Accelerator`)."""


def rows(request: Request, data: Mapping[str, Any]) -> dict[str, Any]:
    """``engine``: a row per network and way to take ASQ's average, POST 4 bits; the closed form's cycles beside."""
    from sim import Accelerator, simulate

    options = request.options
    ways = []
    for network in NETWORKS:
        request.step(f"simulating {network} tile by tile")
        for asq in ASQ:
            machine = Accelerator(
                rows=options.rows, cols=options.cols, clock_mhz=options.clock_mhz, node=options.node, asq=asq
            )
            result = simulate(network, machine, fidelity=2)
            total = result.total
            ways.append(
                {
                    "network": network, "asq": asq, "total_cycles": total["total_cycles"],
                    "closed_form_cycles": simulate(network, machine).total["total_cycles"],
                    "images_per_s": total["images_per_s"],
                    "dram_bytes": total["dram_read_bytes"] + total["dram_write_bytes"],
                    "energy_uj": sum(total["energy_pj"].values()) / 1e6,
                    "asq_cycles": sum(layer.asq.get("cycles", 0) for layer in result.layers),
                    "asq_uj": sum(layer.asq.get("energy_pj", 0.0) for layer in result.layers) / 1e6,
                }
            )  # fmt: skip
    return {"engine": ways}


def _cost(engine: Sequence[Row], network: str) -> str:
    """What ASQ costs a network, in a sentence."""
    base, two, producer = (pick(engine, network=network, asq=asq)[0] for asq in ASQ)

    def more(way: Row, key: str) -> str:
        return f"{100 * (way[key] / base[key] - 1):.1f}%"

    return (
        f"{network}: {more(two, 'total_cycles')} more cycles and {more(two, 'energy_uj')} more energy where the map is "
        f"read twice, {more(producer, 'total_cycles')} and {more(producer, 'energy_uj')} where the layer before takes the "
        "average"
    )


HEADER = (
    "network", "ASQ", "cycles", "closed form", "images/s", "DRAM MB", "energy µJ", "ASQ's cycles", "ASQ's µJ",
)  # fmt: skip


def section(data: Mapping[str, Any]) -> Section:
    """A table."""
    engine = data["engine"]
    table = [
        [
            r["network"], r["asq"], f"{r['total_cycles']:,}", f"{r['closed_form_cycles']:,}",
            f"{r['images_per_s']:.0f}", f"{r['dram_bytes'] / 1e6:.2f}", f"{r['energy_uj']:.1f}",
            f"{r['asq_cycles']:,.0f}", f"{r['asq_uj']:.2f}",
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
                "What the adaptive step costs a machine, which its paper leaves out. "
                + ". ".join(_cost(engine, network) for network in NETWORKS)
                + ".",
                "Computed here: double-buffered scratchpads, DMA, requantization, pooling and adds (fidelity 2); POST 4 bits, "
                f"energy of elements on {data['options']['node']}.",
            )
        ],
    )
