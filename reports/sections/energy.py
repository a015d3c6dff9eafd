"""The section on energy: MAC, SRAM, DRAM and leakage, by network and by layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np

from reports.blocks import Figure, Row, Section, Table, pick
from reports.figures import STYLE, name_ticks, panels, to_svg
from reports.palette import ENERGY_PARTS, GRIDS
from reports.scope import BITS, GRIDS_COMPARED, Request
from reports.simulations import meets_clock


def rows(request: Request, data: Mapping[str, Any]) -> dict[str, Any]:
    """``energy_sources``: where the energy per access comes from, by part."""
    from sim import Accelerator
    from sim.cost.energy import sources

    return {"energy_sources": sources(Accelerator(node=request.options.node))}


def _stack(axis: Any, x: np.ndarray, bars: Sequence[Row]) -> None:
    """Bars split into the parts of the energy."""
    bottom = np.zeros(len(bars))
    for part, style in ENERGY_PARTS.items():
        values = np.array([bar[f"{part}_uj"] for bar in bars])
        axis.bar(x, values, bottom=bottom, color=style.colour, label=style.label)
        bottom += values
    axis.set_ylabel("Energy per image (µJ)")


def by_layer(layers: Sequence[Row], network: str) -> str:
    """Energy of each layer split into its parts."""
    with plt.rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(9.5, 3.2), layout="constrained")
        x = np.arange(len(layers))
        _stack(axis, x, layers)
        name_ticks(axis, [row["name"] for row in layers])
        axis.margins(x=0.01)
        axis.legend(loc="upper center", ncols=4, bbox_to_anchor=(0.5, 1.15))
        return to_svg(figure, f"energy-{network}")


def by_grid(totals: Sequence[Row], networks: Sequence[str]) -> str:
    """Energy per image by grid and bit-width, split by part."""
    with plt.rc_context(STYLE):
        figure, axes = panels(len(networks), height=3.3)
        for axis, network in zip(axes, networks, strict=True):
            present = [
                row
                for bits in BITS
                for grid in GRIDS_COMPARED
                for row in pick(totals, network=network, grid=grid, wbits=bits)
            ]
            x = np.arange(len(present)) + np.array([BITS.index(r["wbits"]) * 0.6 for r in present])
            _stack(axis, x, present)
            names = [f"{GRIDS[r['grid']].label} {r['wbits']}" for r in present]
            axis.set_xticks(x, names, rotation=90, fontsize=7)
            axis.set_title(network)
        axes[0].legend(loc="upper left")
        return to_svg(figure, "energy-totals")


def _layers(network: str, layers: Sequence[Row], source: str) -> Figure:
    top = max(layers, key=lambda r: sum(r[f"{part}_uj"] for part in ENERGY_PARTS))
    part = max(ENERGY_PARTS, key=lambda p: top[f"{p}_uj"])
    caption = f"{network}, POST 4 bits. {top['name']} spends the most, mainly on {ENERGY_PARTS[part].label}."
    return Figure(f"Energy by layer, {network}", by_layer(layers, network), caption, source)


def section(data: Mapping[str, Any]) -> Section:
    """Energy by grid and width as a figure and a table, and a figure per network by layer."""
    totals, networks = data["totals"], data["networks"]
    met = [t for t in totals if meets_clock(t)]
    source = (
        "MAC: measured here (netlists of elements). SRAM and DRAM: accesses counted here, energy per access "
        + "; ".join(data["energy_sources"][part] for part in ("sram", "dram"))
    )
    caption = (
        "Where the energy of one image goes, with lone elements. Where memory dominates, the bits stored matter more than the kind "
        "of multiplier."
    )
    parts = [f"{style.label} µJ" for style in ENERGY_PARTS.values()]
    table = [
        [t["network"], f"{t['grid']} {t['wbits']}", *(f"{t[f'{part}_uj']:.1f}" for part in ENERGY_PARTS)]
        + [
            f"{t['energy_uj']:.1f}",
            f"{100 * t['mac_uj'] / t['energy_uj']:.0f}%",
            f"{t['dram_bytes'] / 1e6:.2f}",
        ]
        for t in met
    ]
    return Section(
        "Energy: MAC, SRAM, DRAM",
        [
            Figure("Energy per image", by_grid(met, networks), caption, source),
            *(_layers(n, pick(data["layers"], network=n, grid="post", wbits=4), source) for n in networks),
            Table(
                "Energy per image by grid and width",
                ["network", "grid", *parts, "total µJ", "MACs' share", "DRAM MB"],
                table,
                "Per image, batch 1; what misses the clock is left out.",
                source,
            ),
        ],
        ("totals", "layers"),
    )
