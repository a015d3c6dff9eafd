"""The section on throughput, utilization and time by layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np

from reports.blocks import Figure, Row, Section, Table, pick
from reports.figures import STYLE, name_ticks, panels, to_svg
from reports.palette import ACCENT, COMPUTING, GRIDS, WAITING
from reports.scope import BITS, Request
from reports.simulations import meets_clock, simulated


def rows(request: Request, data: Mapping[str, Any]) -> dict[str, Any]:
    """``totals``: a row per network, grid and width; ``layers``: a row per layer of each."""
    totals, layers = simulated(request, data["units"])
    return {"totals": totals, "layers": layers}


def throughput(totals: Sequence[Row], networks: Sequence[str]) -> str:
    """Images per second by network and bit-width: at one clock, and at what each netlist reaches."""
    with plt.rc_context(STYLE):
        figure, axes = panels(len(networks))
        grids = list(dict.fromkeys(row["grid"] for row in totals))
        for axis, network in zip(axes, networks, strict=True):
            for grid in grids:
                mine = sorted(pick(totals, network=network, grid=grid), key=lambda r: r["wbits"])
                axis.plot(
                    [BITS.index(r["wbits"]) for r in mine],
                    [r["images_per_s_at_fmax"] for r in mine],
                    "o-",
                    color=GRIDS[grid].colour,
                    label=f"{GRIDS[grid].label}, at the clock its netlist reaches",
                )
            clock = totals[0]["clock_mhz"]
            met = {r["wbits"]: r["images_per_s"] for r in pick(totals, network=network) if meets_clock(r)}
            axis.plot(
                [BITS.index(bits) for bits in sorted(met)],
                [met[bits] for bits in sorted(met)],
                "k--",
                label=f"every grid that reaches it, at {clock:g} MHz",
            )
            axis.set_title(network)
            axis.set_xticks(range(len(BITS)), [f"{b} bits" for b in BITS])
            axis.set_ylabel("Throughput (images/s)")
            axis.set_ylim(bottom=0)
        axes[-1].legend(fontsize=7, loc="lower left")
        return to_svg(figure, "throughput")


def time_by_layer(layers: Sequence[Row], network: str) -> str:
    """Time of each layer, split into computing and waiting for memory, with the array's utilization."""
    with plt.rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(9.5, 3.4), layout="constrained")
        x = np.arange(len(layers))
        compute = np.array([row["compute_us"] for row in layers])
        stall = np.array([row["stall_us"] for row in layers])
        axis.bar(x, compute, color=COMPUTING, label="computing")
        axis.bar(x, stall, bottom=compute, color=WAITING, label="waiting for DRAM")
        name_ticks(axis, [row["name"] for row in layers])
        axis.set_ylabel("Time per image (µs)")
        axis.margins(x=0.01)
        second = axis.twinx()
        second.plot(x, [100 * row["utilization"] for row in layers], "o", ms=3, color=ACCENT)
        second.set_ylim(0, 105)
        second.grid(False)
        second.set_ylabel("Utilization of the array (%), dots", color=ACCENT)
        axis.legend(loc="upper center", ncols=2, bbox_to_anchor=(0.5, 1.15))
        return to_svg(figure, f"time-{network}")


HEADER = (
    "network", "grid", "cycles", "utilization", "ms/image", "images/s", "TOPS", "TOPS/W", "PE fmax MHz", "clock",
)  # fmt: skip


def table_row(t: Row) -> list[str]:
    """A total's cells below :data:`HEADER`; nothing that hangs on the clock where the element misses it."""
    met = meets_clock(t)
    at_clock = (
        f"{1e3 * t['latency_s']:.3f}",
        f"{t['images_per_s']:.0f}",
        f"{t['tops']:.3f}",
        f"{t['tops_per_w']:.2f}",
    )
    return [
        t["network"], f"{t['grid']} {t['wbits']}", f"{t['total_cycles']:,}", f"{100 * t['utilization']:.1f}%",
        *(at_clock if met else ("late",) * len(at_clock)), f"{t['fmax_mhz']:.0f}", "met" if met else "missed",
    ]  # fmt: skip


def _layers(network: str, layers: Sequence[Row], source: str) -> Figure:
    slowest = max(layers, key=lambda r: r["compute_us"] + r["stall_us"])
    worst = max(layers, key=lambda r: (1 - r["utilization"]) * (r["compute_us"] + r["stall_us"]))
    caption = (
        f"{network}, POST 4 bits. {slowest['name']} takes the longest. Elements stand idle for the longest in {worst['name']}: that is where a "
        "better mapping would pay first."
    )
    return Figure(f"Time by layer, {network}", time_by_layer(layers, network), caption, source)


def section(data: Mapping[str, Any]) -> Section:
    """Throughput as figure and table, and a figure per network by layer."""
    options, totals, networks = data["options"], data["totals"], data["networks"]
    shape = f"{options['rows']}x{options['cols']}"
    source = (
        f"Computed here: closed-form cycles of a weight-stationary {shape} array at {options['clock_mhz']:g} MHz; "
        f"netlists are synthesized for {1e3 / data['units'][0]['clock_ns']:g} MHz and no faster; the clock that one "
        "reaches is its processing element's delay by static timing."
    )
    caption = (
        "At one clock every grid takes the same cycles; fewer bits help only where DRAM is the limit. Run at the clock that its own "
        "netlist reaches, fewer bits are faster: the adder and shifter are shorter. Every netlist was asked for the same clock, so the wide "
        "ones, which just meet it, are not shown at their best."
    )
    return Section(
        "Throughput, utilization and time by layer",
        [
            Figure("Throughput", throughput(totals, networks), caption, source),
            Table(
                "Throughput by grid and width",
                HEADER,
                [table_row(t) for t in totals],
                f"At {options['clock_mhz']:g} MHz; an element that misses this clock has no figures at it.",
                source,
            ),
            *(_layers(n, pick(data["layers"], network=n, grid="post", wbits=4), source) for n in networks),
        ],
        ("totals", "layers"),
    )
