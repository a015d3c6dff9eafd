"""The section on broadcast tiles: area against energy of every datapath that was tried, winners and losers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt

from reports.figures import GRID_COLOURS, STYLE, to_svg

Row = Mapping[str, Any]
NODES = ("nangate45", "sky130hd", "asap7")


def carried(trained: bool = False) -> list[dict[str, Any]]:
    """The rows of :func:`hw.search.table`, by node, then area."""
    from hw.search import table

    return sorted(
        table(trained)["rows"].values(), key=lambda r: (NODES.index(r["node"]), r["area_per_mac_um2"])
    )


def label(row: Row) -> str:
    """A tile in a word, such as ``post4 F0 one-hot-shift``."""
    fraction = f" F{row['frac_bits']}" if row["frac_bits"] is not None else ""
    extra = " + weight registers" if row["registers"] else ""
    bits = "" if row["grid"] == "fp4" else row["wbits"]
    wider = f" x {row['abits']}-bit activations" if row["abits"] != row["wbits"] else ""
    tree = f", {row['tree']} tree" if row["tree"] != "wallace" else ""
    share = f", table for {row['share']} columns" if row["share"] != row["cols"] else ""
    return f"{row['grid']}{bits}{fraction} {row['variant']}{wider}{tree}{share}{extra}"


def _fair(rows: Sequence[Row], node: str, registers: bool) -> list[Row]:
    """4-bit tiles of one node and one accounting, 16 x 16."""
    return [
        r for r in rows
        if r["node"] == node and r["registers"] == registers and (r["wbits"], r["abits"], r["rows"]) == (4, 4, 16)
    ]  # fmt: skip


def ratios(rows: Sequence[Row], node: str, registers: bool = False) -> dict[str, float]:
    """The smallest POST tile over the best int4 tile: area, energy with weights held, and with both streaming.

    The best int4 tile is another one for each figure: the smallest, and the one with the least energy.
    """
    mine = _fair(rows, node, registers)
    post = min((r for r in mine if r["grid"] == "post"), key=lambda r: r["area_per_mac_um2"])
    whole = [r for r in mine if r["grid"] == "int"]
    return {
        name: post[name] / min(r[name] for r in whole)
        for name in ("area_per_mac_um2", "energy_held_per_mac_fj", "energy_per_mac_fj", "delay_ns")
    }


def scatter(rows: Sequence[Row], nodes: Sequence[str]) -> str:
    """Area and energy per MAC of the 16 x 16 tiles, a panel per node."""
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(1, len(nodes), figsize=(3.4 * len(nodes), 3.2), squeeze=False)
        for axis, node in zip(axes[0], nodes, strict=True):
            seen: set[str] = set()
            for r in _fair(rows, node, False):
                name = r["grid"]
                axis.scatter(
                    r["area_per_mac_um2"], r["energy_held_per_mac_fj"], color=GRID_COLOURS[name], s=34,
                    label=None if name in seen else name, zorder=3,
                )  # fmt: skip
                fraction = f"F={r['frac_bits']}" if r["frac_bits"] is not None else r["variant"]
                axis.annotate(
                    fraction, (r["area_per_mac_um2"], r["energy_held_per_mac_fj"]), fontsize=6,
                    xytext=(3, 3), textcoords="offset points",
                )  # fmt: skip
                seen.add(name)
            axis.set_title(node)
            axis.set_xlabel("area per MAC, µm²")
            axis.set_ylabel("energy per MAC, weights held, fJ")
            axis.margins(x=0.25, y=0.15)
            axis.legend(fontsize=7, loc="upper left")
        figure.tight_layout()
        return to_svg(figure, "tiles")


def section(rows: Sequence[Row], trained: Sequence[Row]) -> dict[str, Any]:
    """Title, figure and table; ``trained``: the rows with a trained layer's operands."""
    nodes = [n for n in NODES if _fair(rows, n, False)]
    found = {node: ratios(rows, node) for node in nodes}
    verdict = " ".join(
        f"{node}: {r['area_per_mac_um2']:.2f} of the area, {r['energy_held_per_mac_fj']:.2f} of the energy with "
        f"weights held, {r['energy_per_mac_fj']:.2f} with both operands streaming."
        for node, r in found.items()
    )
    first = found[nodes[0]]
    real = "; ".join(
        f"{node} {r['energy_held_per_mac_fj']:.2f} with weights held ({h['energy_held_per_mac_fj']:.2f} with weight "
        f"registers counted), {r['energy_per_mac_fj']:.2f} streaming"
        for node in nodes
        if _fair(trained, node, True)
        for r, h in [(ratios(trained, node), ratios(trained, node, registers=True))]
    )
    caption = (
        "A tile of 16 x 16 shares what depends on an activation alone (the sqrt(2) table) among 16 columns, and adds a "
        "column's products in one compressor tree. The smallest POST tile (F = 0: the table rounded to whole numbers) "
        f"against the best int4 tile for each figure. {verdict} "
        f"Energy on a trained ResNet-20 layer's operands: {real}. "
        + (
            "So sharing the table turns the lone element's loss around where weights stay; where weights stream too, "
            "switching the shifters costs more than int's best tile."
            if first["energy_per_mac_fj"] > 1
            else ""
        )
    )
    drawn = scatter(rows, nodes)
    rows = [*rows, *trained]
    operands = sorted(
        {r["operands"].rpartition(" ")[0] if ".npz" in r["operands"] else r["operands"] for r in rows}
    )
    source = (
        "Measured here: RTL proven against the integer definition, synthesized at the node's default clock, timed with "
        f"its broadcast lines, gate-level energy with glitches. Operands: {'; '.join(operands)}. "
        "python -m hw.search remakes the rows."
    )
    header = [
        "node", "tile", "shape", "µm²/MAC", "logic µm²/MAC", "fJ/MAC streaming", "fJ/MAC weights held", "delay ns",
        "SQNR dB", "operands",
    ]  # fmt: skip
    table = [
        [
            r["node"], label(r), f"{r['rows']}x{r['cols']}", f"{r['area_per_mac_um2']:.1f}",
            f"{r['logic_per_mac_um2']:.1f}", "–" if r["registers"] else f"{r['energy_per_mac_fj']:.1f}",
            f"{r['energy_held_per_mac_fj']:.1f}", f"{r['delay_ns']:.2f}", f"{r['sqnr_db']:.2f}",
            "trained" if ".npz" in r["operands"] else "Gaussian",
        ]
        for r in rows
    ]  # fmt: skip
    return {
        "title": "Tiles: the datapath that shares its tables",
        "blocks": [
            {"svg": drawn, "name": "Area and energy of 16x16 tiles", "caption": caption, "source": source},
            {
                "svg": "", "name": "Tiles, winners and losers", "header": header, "rows": table,
                "caption": "Weights are inputs of the tile; with weight registers each column holds its own and they are "
                "counted. SQNR: Gaussian weights, the table's rounding counted.",
                "source": source,
            },
        ],
    }  # fmt: skip
