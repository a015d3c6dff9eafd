"""The report's figures: matplotlib, as SVG text, the same bytes for the same data."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib

matplotlib.use("svg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

Rows = Sequence[dict[str, Any]]

# Okabe and Ito's colours, told apart by colour-blind readers too, and grey and wine red.
GRID_COLOURS = {
    "post": "#0072B2",
    "post-paper": "#56B4E9",
    "int": "#D55E00",
    "pot": "#009E73",
    "apot": "#CC79A7",
    "fp4": "#E69F00",
    "post-gap": "#000000",
    "nf4": "#999999",
    "int-full": "#882255",
}
PART_COLOURS = {"mac": "#0072B2", "sram": "#E69F00", "dram": "#999999", "leakage": "#CC79A7"}
PART_NAMES = {"mac": "MAC", "sram": "SRAM", "dram": "DRAM", "leakage": "Leakage"}
STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": "#dddddd",
    "axes.axisbelow": True,
    "svg.fonttype": "path",
    "legend.frameon": False,
}


def to_svg(figure: Figure, name: str) -> str:
    """SVG element of a figure, without a date; ``name`` keeps the identifiers of several figures apart."""
    buffer = io.StringIO()
    with plt.rc_context({"svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", bbox_inches="tight", metadata={"Date": None, "Creator": None})
    plt.close(figure)
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def grouped_bars(axis: Any, groups: Sequence[str], series: Mapping[str, Sequence[float]], label: str) -> None:
    """Bars by group, one colour per grid; missing values (nan) leave a gap."""
    width = 0.8 / len(series)
    x = np.arange(len(groups))
    for i, (name, values) in enumerate(series.items()):
        offset = (i - (len(series) - 1) / 2) * width
        bars = axis.bar(x + offset, values, width * 0.92, label=name, color=GRID_COLOURS[name])
        texts = ["" if np.isnan(v) else f"{v:,.0f}" for v in values]
        axis.bar_label(bars, texts, fontsize=6, rotation=90, padding=2)
    axis.set_xticks(x, groups)
    axis.set_ylabel(label)
    axis.set_yscale("log")
    low, high = axis.get_ylim()
    axis.set_ylim(low, high * 2.2)


def unit_costs(units: Rows, bits: Sequence[int], grids: Sequence[str]) -> str:
    """Area and energy per MAC of the processing element, by bit-width and grid."""
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(1, 2, figsize=(9.5, 3.4), layout="constrained")
        for axis, key, label in (
            (axes[0], "area_per_mac_um2", "Area per MAC (µm²)"),
            (axes[1], "energy_per_mac_fj", "Energy per MAC (fJ)"),
        ):
            series = {
                grid: [
                    next((u[key] for u in units if (u["grid"], u["wbits"]) == (grid, b)), float("nan"))
                    for b in bits
                ]
                for grid in grids
            }
            grouped_bars(axis, [f"{b} bits" for b in bits], series, label)
        axes[0].legend(title="Weight grid", loc="upper left")
        return to_svg(figure, "unit-costs")


def throughput(totals: Rows, networks: Sequence[str], bits: Sequence[int]) -> str:
    """Images per second by network and bit-width: at one clock, and at what each netlist reaches."""
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(
            1, len(networks), figsize=(4.75 * len(networks), 3.2), layout="constrained", squeeze=False
        )
        grids = list(dict.fromkeys(row["grid"] for row in totals))
        for axis, network in zip(axes[0], networks, strict=True):
            for grid in grids:
                rows = [r for r in totals if r["network"] == network and r["grid"] == grid]
                rows.sort(key=lambda r: r["wbits"])
                x = [bits.index(r["wbits"]) for r in rows]
                axis.plot(
                    x,
                    [r["images_per_s_at_fmax"] for r in rows],
                    "o-",
                    color=GRID_COLOURS[grid],
                    label=f"{grid}, at the clock its netlist reaches",
                )
            rows = [r for r in totals if r["network"] == network and r["grid"] == grids[0]]
            rows.sort(key=lambda r: r["wbits"])
            axis.plot(
                [bits.index(r["wbits"]) for r in rows],
                [r["images_per_s"] for r in rows],
                "k--",
                label=f"every grid, at {rows[0]['clock_mhz']:g} MHz",
            )
            axis.set_title(network)
            axis.set_xticks(range(len(bits)), [f"{b} bits" for b in bits])
            axis.set_ylabel("Throughput (images/s)")
            axis.set_ylim(bottom=0)
        axes[0][-1].legend(fontsize=7)
        return to_svg(figure, "throughput")


def time_by_layer(layers: Rows, network: str) -> str:
    """Time of each layer, split into computing and waiting for memory, with the array's utilization."""
    with plt.rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(9.5, 3.4), layout="constrained")
        x = np.arange(len(layers))
        compute = np.array([row["compute_us"] for row in layers])
        stall = np.array([row["stall_us"] for row in layers])
        axis.bar(x, compute, color=PART_COLOURS["mac"], label="computing")
        axis.bar(x, stall, bottom=compute, color=PART_COLOURS["dram"], label="waiting for DRAM")
        axis.set_xticks(x, [row["name"] for row in layers], rotation=90, fontsize=7)
        axis.set_ylabel("Time per image (µs)")
        axis.margins(x=0.01)
        second = axis.twinx()
        second.plot(x, [100 * row["utilization"] for row in layers], "o", ms=3, color="#D55E00")
        second.set_ylim(0, 105)
        second.grid(False)
        second.set_ylabel("Utilization of the array (%), dots", color="#D55E00")
        axis.legend(loc="upper center", ncols=2, bbox_to_anchor=(0.5, 1.15))
        return to_svg(figure, f"time-{network}")


def energy_by_layer(layers: Rows, network: str) -> str:
    """Energy of each layer split into MAC, SRAM, DRAM and leakage."""
    with plt.rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(9.5, 3.2), layout="constrained")
        x = np.arange(len(layers))
        bottom = np.zeros(len(layers))
        for part, colour in PART_COLOURS.items():
            values = np.array([row[f"{part}_uj"] for row in layers])
            axis.bar(x, values, bottom=bottom, color=colour, label=PART_NAMES[part])
            bottom += values
        axis.set_xticks(x, [row["name"] for row in layers], rotation=90, fontsize=7)
        axis.set_ylabel("Energy per image (µJ)")
        axis.margins(x=0.01)
        axis.legend(loc="upper center", ncols=4, bbox_to_anchor=(0.5, 1.15))
        return to_svg(figure, f"energy-{network}")


def energy_totals(totals: Rows, networks: Sequence[str], bits: Sequence[int], grids: Sequence[str]) -> str:
    """Energy per image by grid and bit-width, split by part."""
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(
            1, len(networks), figsize=(4.75 * len(networks), 3.3), layout="constrained", squeeze=False
        )
        for axis, network in zip(axes[0], networks, strict=True):
            rows = [
                next((r for r in totals if (r["network"], r["grid"], r["wbits"]) == (network, g, b)), None)
                for b in bits
                for g in grids
            ]
            present = [r for r in rows if r is not None]
            x = np.arange(len(present)) + np.array([bits.index(r["wbits"]) * 0.6 for r in present])
            bottom = np.zeros(len(present))
            for part, colour in PART_COLOURS.items():
                values = np.array([r[f"{part}_uj"] for r in present])
                axis.bar(x, values, bottom=bottom, color=colour, label=PART_NAMES[part])
                bottom += values
            axis.set_xticks(x, [f"{r['grid']} {r['wbits']}" for r in present], rotation=90, fontsize=7)
            axis.set_title(network)
            axis.set_ylabel("Energy per image (µJ)")
        axes[0][0].legend(loc="upper left")
        return to_svg(figure, "energy-totals")


def quantization_error(rows: Rows) -> str:
    """SQNR of every grid against the bits that it really stores, for both distributions."""
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(1, 2, figsize=(9.5, 3.4), layout="constrained", sharey=True)
        for axis, distribution in zip(axes, ("gaussian", "laplacian"), strict=True):
            for grid, colour in GRID_COLOURS.items():
                points = [r for r in rows if r["grid"] == grid and r["distribution"] == distribution]
                points.sort(key=lambda r: r["storage_bits"])
                axis.plot(
                    [r["storage_bits"] for r in points],
                    [r["sqnr_db"] for r in points],
                    "*" if len(points) == 1 else "o-",
                    ms=10 if len(points) == 1 else 4,
                    color=colour,
                    label=grid,
                )
            axis.set_xlabel("Bits stored per weight")
            axis.set_title(f"{distribution.capitalize()} weights")
        axes[0].set_ylabel("SQNR at the best scale (dB)")
        axes[0].legend(title="Weight grid")
        return to_svg(figure, "sqnr")
