"""A simulation's figures as a table for people and as CSV."""

from __future__ import annotations

import csv
import io

from rich.table import Table

from asq_sw.terminal import render
from sim.results import SimulationResult

LEAST = ("mapped", "kind", "m", "n", "k", "MACs", "stall", "DRAM kB")
"""Columns of a layer's figures that a narrow terminal does without, the first of them first."""


def summary(result: SimulationResult) -> str:
    """Table by layer and a line of totals that says what limits the network."""
    table = Table(title=_title(result), title_justify="left", box=None, pad_edge=False)
    for name in (
        "layer",
        "kind",
        "m",
        "n",
        "k",
        "MACs",
        "cycles",
        "stall",
        "util.",
        "mapped",
        "DRAM kB",
        "energy nJ",
    ):
        table.add_column(name, justify="left" if name in ("layer", "kind") else "right")
    for layer in result.layers:
        table.add_row(
            layer.name,
            layer.kind if layer.groups == 1 or layer.kind == "depthwise" else f"{layer.kind} x{layer.groups}",
            str(layer.m),
            str(layer.n),
            str(layer.k),
            f"{layer.macs:,}",
            f"{layer.total_cycles:,}",
            f"{layer.stall_cycles:,}",
            f"{100 * layer.utilization:.1f}%",
            f"{100 * layer.mapping_efficiency:.1f}%",
            f"{(layer.dram_read_bytes + layer.dram_write_bytes) / 1e3:,.1f}",
            f"{sum(layer.energy_pj.values()) / 1e3:,.1f}",
        )
    t = result.total
    energy = t["energy_pj"]
    whole = sum(energy.values())
    shares = ", ".join(f"{part} {100 * value / whole:.0f}%" for part, value in energy.items())
    return "\n".join(
        [
            render(table, LEAST),
            "",
            f"{t['total_cycles']:,} cycles ({t['stall_cycles']:,} stalled), {1e3 * t['latency_s']:.3f} ms, "
            f"{t['images_per_s']:.1f} images/s, {t['tops']:.3f} TOPS, {t['tops_per_w']:.2f} TOPS/W"
            + ("" if result.meets_clock else f", all at {_clock(result)}"),
            f"utilization {100 * t['utilization']:.1f}% (mapping {100 * t['mapping_efficiency']:.1f}%), "
            f"energy {whole / 1e6:.1f} uJ: {shares}",
            _limit(result),
        ]
    )


def _title(result: SimulationResult) -> str:
    a = result.accelerator
    return (
        f"{result.network}: {a.rows}x{a.cols} {a.dataflow}, {a.grid} {a.wbits}-bit weights, {a.abits}-bit "
        f"activations, {_clock(result)}, batch {result.batch}"
    )


def _clock(result: SimulationResult) -> str:
    """The clock, and the one that the netlist reaches."""
    clock, reached = (
        f"{result.accelerator.clock_mhz:g} MHz",
        f"the netlist reaches {result.clock_mhz_reached:.0f} MHz",
    )
    return f"{clock} ({reached})" if result.meets_clock else f"{clock}, a clock that is missed ({reached})"


def _limit(result: SimulationResult) -> str:
    stalled = [layer for layer in result.layers if layer.stall_cycles]
    slowest = max(result.layers, key=lambda layer: layer.total_cycles)
    share = 100 * slowest.total_cycles / result.total["total_cycles"]
    if result.fidelity == 2:
        waiting = sum(layer.stall_cycles > layer.compute_cycles for layer in result.layers)
        head = f"{waiting} of {len(result.layers)} layers wait longer (DRAM, requantization, adapter) than they compute"
    elif stalled:
        head = (
            f"limited by DRAM in {len(stalled)} of {len(result.layers)} layers and by the array in the rest"
        )
    else:
        head = "limited by the array in every layer"
    return f"{head}; {slowest.name} takes {share:.0f}% of the time"


def layer_csv(result: SimulationResult) -> str:
    """One row per layer, with the JSON's names (nested ones joined by a dot)."""
    rows = result.rows()
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()
