"""The section on whole machines: chip area, throughput per area, and where each layer stands below the roofline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import NullFormatter

from reports.blocks import Figure, Row, Section, Table, pick
from reports.figures import PLAIN, STYLE, panels, to_svg
from reports.machines import format_name
from reports.palette import ACCENT, LINE
from reports.scope import Request

ROOF = ("post", 4)
"""Grid and bits whose layers the roofline shows; at equal bits every grid has the same cycles and traffic."""


def rows(request: Request, data: Mapping[str, Any]) -> dict[str, Any]:
    """``roofline``: a row per network and layer. Operations (two a MAC) per byte of DRAM, and 1e12 a second.

    ``meets_clock``: whether the element's netlist reaches the clock.
    """
    from sim import Accelerator, simulate

    options = request.options
    grid, bits = ROOF
    machine = Accelerator(
        rows=options.rows, cols=options.cols, grid=grid, wbits=bits, abits=bits, clock_mhz=options.clock_mhz,
        node=options.node,
    )  # fmt: skip
    (unit,) = pick(data["units"], grid=grid, wbits=bits)
    meets = unit["delay_ns"] <= 1e3 / options.clock_mhz
    peak = 2 * machine.pes * machine.clock_mhz / 1e6
    found = []
    for network, workload in request.networks.items():
        for layer in simulate(workload, machine).layers:
            intensity = 2 * layer.macs / (layer.dram_read_bytes + layer.dram_write_bytes)
            roof = min(peak, intensity * machine.dram_gb_per_s / 1e3)
            tops = 2 * layer.macs * machine.clock_mhz / layer.total_cycles / 1e6
            found.append(
                {
                    "network": network, "name": layer.name, "kind": layer.kind, "ops_per_byte": intensity, "tops": tops,
                    "roof_tops": roof, "peak_tops": peak, "dram_gb_per_s": machine.dram_gb_per_s,
                    "bound": "array" if roof == peak else "DRAM", "share": tops / roof, "meets_clock": meets,
                }
            )  # fmt: skip
    return {"roofline": found}


def roofline(layers: Sequence[Row], networks: Sequence[str]) -> str:
    """Throughput of each layer against its operations per byte, below the roof; a panel per network."""
    with plt.rc_context(STYLE | {"axes.grid.axis": "both"}):
        figure, axes = panels(len(networks), sharey=True)
        for axis, network in zip(axes, networks, strict=True):
            mine = pick(layers, network=network)
            peak, bandwidth = mine[0]["peak_tops"], mine[0]["dram_gb_per_s"]
            ends = [r["ops_per_byte"] for r in mine] + [1e3 * peak / bandwidth]
            x = np.geomspace(min(ends) / 2, 2 * max(ends), 100)
            axis.plot(x, np.minimum(peak, x * bandwidth / 1e3), color=ACCENT, linewidth=1)
            axis.scatter([r["ops_per_byte"] for r in mine], [r["tops"] for r in mine], s=14, color=LINE)
            axis.set_xscale("log")
            axis.set_yscale("log")
            axis.xaxis.set_major_formatter(PLAIN)
            axis.yaxis.set_major_formatter(PLAIN)
            axis.yaxis.set_minor_formatter(NullFormatter())
            axis.set_title(network)
            axis.set_xlabel("operations per byte of DRAM")
        axes[0].set_ylabel("TOPS (line: the roof)")
        return to_svg(figure, "roofline")


HEADER = (
    "network", "node", "grid", "bits", "MACs mm²", "SRAM mm²", "chip mm²", "peak TOPS", "TOPS", "peak TOPS/mm²", "TOPS/mm²",
    "TOPS/W", "images/s",
)  # fmt: skip


def table_row(m: Row) -> list[Any]:
    """A machine's cells below :data:`HEADER`; one that misses its clock has no figures."""
    figures = (
        "mac_mm2", "sram_mm2", "area_mm2", "peak_tops", "tops", "peak_tops_per_mm2", "tops_per_mm2", "tops_per_w", "images_per_s",
    )  # fmt: skip
    cells = [f"{m[name]:,.4g}" if m["meets_clock"] else "late" for name in figures]
    return [m["network"], m["node"], format_name(m), m["wbits"], *cells]


def section(data: Mapping[str, Any]) -> Section:
    """A table of machines, and the roofline as figure and table."""
    options, networks = data["options"], data["networks"]
    shown = [m for m in data["machines"] if m["network"] in networks]
    tile = (
        "Measured here and carried: area and energy of a MAC in a 16 x 16 tile with weight registers. Published elsewhere: area and "
        "energy of SRAM, energy of DRAM. Computed here: cycles and accesses, each node at its default clock."
    )
    layers = data["roofline"]
    source = (
        f"Computed here: closed form, {options['rows']}x{options['cols']}, weight-stationary, {options['clock_mhz']:g} MHz, "
        f"{layers[0]['dram_gb_per_s']:g} GB/s of DRAM."
        + (
            ""
            if layers[0]["meets_clock"]
            else " The element misses this clock: no throughput is quoted at it."
        )
    )
    return Section(
        "Whole machines: chip area, throughput per area and roofline",
        [
            Table(
                "Chip area and throughput",
                HEADER,
                [table_row(m) for m in shown],
                "Chip area is that of the tiles and the three scratchpads; control, wiring between the parts and the DRAM's "
                "interface are not in it. Peak: every MAC works in every cycle; TOPS are 1e12 operations a second, two a MAC.",
                tile,
            ),
            Figure(
                "Roofline by layer",
                roofline(layers, networks),
                "Each dot is a layer, the line what the array (flat) or the DRAM (rising) allows. A layer far below the line loses to "
                "mapping: the array is partly empty, filling or draining. At equal bits every grid has the same dots.",
                source,
            ),
            Table(
                "Layers below the roof",
                ["network", "layer", "kind", "operations/byte", "TOPS", "roof TOPS", "bound by", "share of the roof"],
                [
                    [
                        r["network"], r["name"], r["kind"], f"{r['ops_per_byte']:.1f}", f"{r['tops']:.3f}" if r["meets_clock"] else "late", f"{r['roof_tops']:.3f}" if r["meets_clock"] else "late",
                        r["bound"], f"{100 * r['share']:.0f}%",
                    ]
                    for r in layers
                ],
                "The share of the roof is what the mapping makes of what is allowed.",
                source,
            ),
        ],
        ("machines", "roofline"),
    )  # fmt: skip
