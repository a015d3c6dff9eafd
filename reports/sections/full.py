"""What the full report has beyond the quick one: all nodes, the tile engine with ASQ's cost, the memory models."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from hw.nodes import NODES
from reports.sections import quick

Row = Mapping[str, Any]
ASQ = ("off", "two-pass", "producer")


def collect(
    options: quick.QuickOptions,
    step: quick.Step,
    units: Callable[[quick.QuickOptions, quick.Step], list[dict[str, Any]]],
) -> dict[str, list[dict[str, Any]]]:
    """``nodes``: processing elements on the other nodes; ``engine``: fidelity 2; ``memory``: the models' checks."""
    nodes = [
        unit for node in NODES if node != options.node for unit in units(replace(options, node=node), step)
    ]
    return {"nodes": nodes, "engine": engine_rows(options, step), "memory": memory_rows()}


def engine_rows(options: quick.QuickOptions, step: quick.Step) -> list[dict[str, Any]]:
    """A row per network and way to take ASQ's average, POST 4 bits, tile by tile; the closed form's cycles beside."""
    from sim import Accelerator, simulate

    rows = []
    for network in quick.NETWORKS:
        step(f"simulating {network} tile by tile")
        for asq in ASQ:
            machine = Accelerator(
                rows=options.rows, cols=options.cols, clock_mhz=options.clock_mhz, node=options.node, asq=asq
            )
            result = simulate(network, machine, fidelity=2)
            total = result.total
            rows.append(
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
    return rows


def memory_rows() -> list[dict[str, Any]]:
    """The memory models beside published points that they were not made from."""
    from sim.studies.memory_checks import checks

    return [
        {
            "what": c.what, "unit": c.unit, "model": c.model, "published_low": c.published[0],
            "published_high": c.published[1], "off": c.off, "source": c.source,
        }
        for c in checks()
    ]  # fmt: skip


def _block(name: str, header: Sequence[str], rows: Sequence[Sequence[Any]], caption: str, source: str) -> Row:
    return {"svg": "", "name": name, "header": header, "rows": rows, "caption": caption, "source": source}


def sections(data: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Titles and tables."""
    units = [*data["units"], *data["nodes"]]

    def figure(node: str, grid: str, key: str) -> float:
        return next(float(u[key]) for u in units if (u["node"], u["grid"], u["wbits"]) == (node, grid, 4))

    present = [node for node in NODES if any(u["node"] == node for u in units)]
    against = "; ".join(
        f"{node} {figure(node, 'post', 'area_um2') / figure(node, 'int', 'area_um2'):.2f} of the area and "
        f"{figure(node, 'post', 'energy_per_mac_fj') / figure(node, 'int', 'energy_per_mac_fj'):.2f} of the energy"
        for node in present
    )
    nodes = _block(
        "Processing elements on every node",
        ["node", "PE", "F", "area µm²", "delay ns", "fJ/MAC"],
        [
            [
                u["node"], f"{u['grid']} {u['wbits']}x{u['abits']}",
                u["frac_bits"] if u["grid"].startswith("post") else "–", f"{u['area_um2']:.1f}",
                f"{u['delay_ns']:.2f}", f"{u['energy_per_mac_fj']:.1f}",
            ]
            for u in units
        ],
        f"A lone POST4 element against int4's: {against}.",
        "Measured here as on the first node, each at its own default clock.",
    )  # fmt: skip
    engine = data["engine"]

    def cost(network: str) -> str:
        base, two, producer = (
            next(r for r in engine if (r["network"], r["asq"]) == (network, asq)) for asq in ASQ
        )
        return (
            f"{network}: {100 * (two['total_cycles'] / base['total_cycles'] - 1):.1f}% more cycles and "
            f"{100 * (two['energy_uj'] / base['energy_uj'] - 1):.1f}% more energy where the map is read twice, "
            f"{100 * (producer['total_cycles'] / base['total_cycles'] - 1):.1f}% and "
            f"{100 * (producer['energy_uj'] / base['energy_uj'] - 1):.1f}% where the layer before takes the average"
        )

    tiles = _block(
        "Tile by tile, with and without ASQ",
        ["network", "ASQ", "cycles", "closed form", "images/s", "DRAM MB", "energy µJ", "ASQ's cycles", "ASQ's µJ"],
        [
            [
                r["network"], r["asq"], f"{r['total_cycles']:,}", f"{r['closed_form_cycles']:,}",
                f"{r['images_per_s']:.0f}", f"{r['dram_bytes'] / 1e6:.2f}", f"{r['energy_uj']:.1f}",
                f"{r['asq_cycles']:,.0f}", f"{r['asq_uj']:.2f}",
            ]
            for r in engine
        ],
        "What the adaptive step costs a machine, which its paper leaves out. " + ". ".join(map(cost, quick.NETWORKS)) + ".",
        "Computed here: double-buffered scratchpads, DMA, requantization, pooling and adds (fidelity 2); POST 4 bits, "
        f"energy of elements on {data['options']['node']}.",
    )  # fmt: skip

    def number(value: float) -> str:
        return f"{value:,.4g}" if value < 1000 else f"{value:,.0f}"

    memory = _block(
        "SRAM and DRAM against published points",
        ["what", "model", "published", "off", "source"],
        [
            [
                f"{r['what']}, {r['unit']}", number(r["model"]),
                number(r["published_low"])
                + ("" if r["published_low"] == r["published_high"] else f" to {number(r['published_high'])}"),
                f"{100 * r['off']:+.0f}%", r["source"],
            ]
            for r in data["memory"]
        ],
        "The models were not made from these points; the farthest is "
        f"{100 * max(abs(r['off']) for r in data['memory']):.0f}% off.",
        "Published elsewhere: sources in the table; the models' own in docs/memory.md.",
    )  # fmt: skip
    return [
        {"title": "Three nodes", "blocks": [nodes]},
        {"title": "Tile by tile, and what ASQ costs a machine", "blocks": [tiles]},
        {"title": "Memory models", "blocks": [memory]},
    ]
