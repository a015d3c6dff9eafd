"""The section on processing elements: area and energy per MAC by grid and width."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np

from reports import elements
from reports.blocks import Figure, Row, Section, Table, pick
from reports.figures import STYLE, to_svg
from reports.palette import GRIDS, in_order
from reports.scope import BITS, Request


def rows(request: Request, data: Mapping[str, Any]) -> dict[str, Any]:
    """``units``: a row per processing element."""
    return {"units": request.measure(request.options, request.step)}


def grouped_bars(axis: Any, groups: Sequence[str], series: Mapping[str, Sequence[float]], label: str) -> None:
    """Bars by group, one colour per grid; missing values (nan) leave a gap."""
    width = 0.8 / len(series)
    x = np.arange(len(groups))
    for i, (grid, values) in enumerate(series.items()):
        offset = (i - (len(series) - 1) / 2) * width
        style = GRIDS[grid]
        bars = axis.bar(x + offset, values, width * 0.92, label=style.label, color=style.colour)
        texts = ["" if np.isnan(v) else f"{v:,.0f}" for v in values]
        axis.bar_label(bars, texts, fontsize=6, rotation=90, padding=2)
    axis.set_xticks(x, groups)
    axis.set_ylabel(label)
    axis.set_yscale("log")
    low, high = axis.get_ylim()
    axis.set_ylim(low, high * 2.2)


def costs(units: Sequence[Row]) -> str:
    """Area and energy per MAC, by bit-width and grid."""
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(1, 2, figsize=(9.5, 3.4), layout="constrained")
        for axis, key, label in (
            (axes[0], "area_per_mac_um2", "Area per MAC (µm²)"),
            (axes[1], "energy_per_mac_fj", "Energy per MAC (fJ)"),
        ):
            series = {
                grid: [
                    next((u[key] for u in pick(units, grid=grid, wbits=bits)), float("nan")) for bits in BITS
                ]
                for grid in in_order(u["grid"] for u in units)
            }
            grouped_bars(axis, [f"{bits} bits" for bits in BITS], series, label)
        axes[0].legend(title="Weight grid", loc="upper left")
        return to_svg(figure, "unit-costs")


HEADER = ("PE", "F", "stored bits", "cells", "area µm²", "sequential µm²", "delay ns", "leakage nW", "fJ/MAC")


def table_row(u: Row) -> list[Any]:
    """An element's cells below :data:`HEADER`."""
    return [
        elements.name_of(u), elements.fraction_of(u), u["storage_bits"], u["cells"], f"{u['area_um2']:.1f}",
        f"{u['area_sequential_um2']:.1f}", f"{u['delay_ns']:.2f}", f"{u['leakage_nw']:.0f}",
        f"{u['energy_per_mac_fj']:.1f}",
    ]  # fmt: skip


def section(data: Mapping[str, Any]) -> Section:
    """A figure and a table."""
    units = data["units"]
    source = (
        f"Measured here: RTL synthesized with Yosys onto {data['options']['node']}'s cells; delay by static timing and energy by "
        "gate-level simulation of the mapped netlist. Operands: Gaussian weights at the grid's best scale, "
        "half-normal activations, fixed seed."
    )
    post, whole = pick(units, grid="post", wbits=4)[0], pick(units, grid="int", wbits=4)[0]
    eight = pick(units, grid="post", wbits=8)[0]["area_per_mac_um2"]
    ratio = post["area_per_mac_um2"] / whole["area_per_mac_um2"]
    caption = (
        f"A processing element of its own (multiplier, registers and adder). At 4 bits POST takes {ratio:.2f} times "
        f"int's area, {'so its naive element loses' if ratio > 1 else 'so it wins'}. At 8 bits a power grid's "
        f"exponents span so many octaves that the shifter and adder explode ({eight:,.0f} µm²), for no gain in "
        "accuracy: powers of sqrt(2) are a format for 4 bits and fewer."
    )
    return Section(
        "What a processing element costs",
        [
            Figure("Area and energy per MAC", costs(units), caption, source),
            Table(
                "Processing elements",
                HEADER,
                [table_row(u) for u in units],
                "Weight-stationary, partial sums for 32 rows; weight x activation bits.",
                source,
            ),
        ],
    )
