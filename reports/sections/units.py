"""The section on processing elements: area and energy per MAC by grid and width."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.ticker import LogLocator, NullFormatter

from asq_sw.sqnr import DISTRIBUTIONS
from reports import elements
from reports.blocks import Figure, Row, Section, Table, pick
from reports.figures import PLAIN, STYLE, to_svg
from reports.palette import GRIDS, in_order
from reports.scope import BITS, Request
from reports.verdicts import comparisons, signed


def rows(request: Request, data: Mapping[str, Any]) -> dict[str, Any]:
    """``units``: a row per processing element."""
    return {"units": request.measure(request.options, request.step)}


def dots(axis: Any, units: Sequence[Row], key: str, label: str) -> None:
    """A dot per element by width, one colour per grid, on a logarithmic axis, which has no zero for bars to stand on."""
    grids = in_order(u["grid"] for u in units)
    for i, grid in enumerate(grids):
        mine = pick(units, grid=grid)
        beside = 0.6 * (i - (len(grids) - 1) / 2) / len(grids)
        style = GRIDS[grid]
        x = [BITS.index(u["wbits"]) + beside for u in mine]
        axis.plot(x, [u[key] for u in mine], "o", ms=6, color=style.colour, label=style.label)
    axis.set_xticks(range(len(BITS)), [f"{bits} bits" for bits in BITS])
    axis.set_ylabel(label)
    axis.set_yscale("log")
    axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.yaxis.set_major_formatter(PLAIN)
    axis.yaxis.set_minor_formatter(NullFormatter())


def costs(units: Sequence[Row]) -> str:
    """Area and energy per MAC of those that meet their clock, by bit-width and grid."""
    met = [u for u in units if not elements.late(u)]
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(1, 2, figsize=(9.5, 3.4), layout="constrained")
        dots(axes[0], met, "area_per_mac_um2", "Area per MAC (µm²)")
        dots(axes[1], met, "energy_per_mac_fj", "Energy per MAC (fJ)")
        axes[0].legend(title="Weight grid", loc="upper left")
        return to_svg(figure, "unit-costs")


HEADER = ("PE", "F", "stored bits", "cells", "area µm²", "sequential µm²", "delay ns", "leakage nW", "fJ/MAC")


def table_row(u: Row) -> list[Any]:
    """An element's cells below :data:`HEADER`; one that misses its clock has no figures but its delay."""
    if elements.late(u):
        return [
            elements.name_of(u), elements.fraction_of(u), u["storage_bits"], *("–",) * 3, elements.delay_of(u), *("–",) * 2,
        ]  # fmt: skip
    return [
        elements.name_of(u), elements.fraction_of(u), u["storage_bits"], u["cells"], f"{u['area_um2']:.1f}",
        f"{u['area_sequential_um2']:.1f}", elements.delay_of(u), f"{u['leakage_nw']:.0f}",
        f"{u['energy_per_mac_fj']:.1f}",
    ]  # fmt: skip


def section(data: Mapping[str, Any]) -> Section:
    """A figure and two tables."""
    units = data["units"]
    source = (
        f"Measured here: RTL synthesized with Yosys onto {data['options']['node']}'s cells; delay by static timing and energy by "
        "gate-level simulation of the mapped netlist. Operands: Gaussian weights at the grid's best scale, "
        "half-normal activations, fixed seed."
    )
    caption = (
        "A processing element of its own: multiplier, registers and adder. Here POST pays for a table that nothing shares. At 8 bits a "
        "power grid's exponents span so many octaves that the shifter and adder explode, for no gain in accuracy."
    )
    missed = {(u["grid"], u["wbits"]) for u in units if elements.late(u)}

    def ratios(c: Row) -> list[str]:
        """Area and energy over the other's, where both meet the clock."""
        if {("post", c["bits"]), (c["other"], c["bits"])} & missed:
            return ["late", "late"]
        return [f"{c['area']:.2f}", f"{c['energy']:.2f}"]

    compared = [
        [
            f"post {c['bits']}", f"{c['other']} {c['bits']}", *ratios(c),
            *(signed(c[name]) for name in DISTRIBUTIONS), c["word"] if ratios(c)[0] != "late" else "–",
        ]
        for c in comparisons(units, data["sqnr"])
    ]  # fmt: skip
    return Section(
        "Lone elements: what a processing element costs",
        [
            Figure("Area and energy per MAC", costs(units), caption, source),
            Table(
                "Processing elements",
                HEADER,
                [table_row(u) for u in units],
                "Weight-stationary, partial sums for 32 rows; weight x activation bits.",
                source,
            ),
            Table(
                "Lone elements: POST against int and POT",
                [
                    "element",
                    "against",
                    "area over",
                    "energy over",
                    "SQNR, Gaussian dB",
                    "SQNR, Laplacian dB",
                    "verdict",
                ],
                compared,
                "Area and energy of POST's element over the other's, and its SQNR less the other's; it is mixed where some are better and "
                "some worse. Tiles, which share the table, are the section before.",
                source,
            ),
        ],
        ("units",),
    )
