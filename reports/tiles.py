"""The section on broadcast tiles: area against energy of every datapath that was tried, winners and losers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt

from reports.accuracy import trained_with
from reports.figures import GRID_COLOURS, STYLE, to_svg

Row = Mapping[str, Any]
NODES = ("nangate45", "sky130hd", "asap7")
ALL_CELLS = "asap7-all"
"""asap7 with the smallest drives (``xp``) that OpenROAD's flow does not use, and that node asap7 here leaves out."""
SHAPE, LARGE = (16, 16), (24, 48)
"""Rows and columns of the tiles that are compared; the larger for those that are best in the smaller."""


def carried(trained: bool = False) -> list[dict[str, Any]]:
    """The rows of :func:`hw.search.table`, by node, then area."""
    from hw.search import table

    order = {node: i for i, node in enumerate((*NODES, ALL_CELLS))}
    return sorted(table(trained)["rows"].values(), key=lambda r: (order[r["node"]], r["area_per_mac_um2"]))


def label(row: Row) -> str:
    """A tile in a word, such as ``post4 F0 one-hot-shift``."""
    fraction = f" F{row['frac_bits']}" if row["frac_bits"] is not None else ""
    extra = " + weight registers" if row["registers"] else ""
    bits = "" if row["grid"] == "fp4" else row["wbits"]
    wider = f" x {row['abits']}-bit activations" if row["abits"] != row["wbits"] else ""
    tree = f", {row['tree']} tree" if row["tree"] != "wallace" else ""
    if not row.get("edge_registers", True) and row["rows"] == 16:
        tree += ", no register at the edge"
    if row.get("stage", "none") != "none":
        tree += f", register behind the {row['stage']}"
    if row.get("carry_save"):
        tree += ", carry-save"
    if row.get("order"):
        tree += f", codes {' '.join(map(str, row['order']))}"
    share = f", table for {row['share']} columns" if row["share"] != row["cols"] else ""
    return f"{row['grid']}{bits}{fraction} {row['variant']}{wider}{tree}{share}{extra}"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _fair(rows: Sequence[Row], node: str, registers: bool, shape: tuple[int, int] = SHAPE) -> list[Row]:
    """4-bit tiles of one node, accounting and shape."""
    return [
        r for r in rows
        if r["node"] == node and r["registers"] == registers
        and (r["wbits"], r["abits"], r["rows"], r["cols"]) == (4, 4, *shape)
    ]  # fmt: skip


def ratios(
    rows: Sequence[Row], node: str, registers: bool = False, shape: tuple[int, int] = SHAPE
) -> dict[str, float]:
    """One POST tile over the best int4 tile: area, energy with weights held, and with both streaming.

    The POST tile is the one with the least area times energy; the best int4 tile is another one for each
    figure. Compared are tiles that meet the node's clock and hold whole sums: what adds the two words of a
    carry-save accumulator is not in the tile.
    """
    post, whole = compared(rows, node, registers, shape)
    return {
        name: post[name] / min(r[name] for r in whole)
        for name in ("area_per_mac_um2", "energy_held_per_mac_fj", "energy_per_mac_fj", "delay_ns")
    }


def compared(
    rows: Sequence[Row], node: str, registers: bool = False, shape: tuple[int, int] = SHAPE
) -> tuple[Row, list[Row]]:
    """The POST tile and the int4 tiles of :func:`ratios`, those by area."""
    mine = [r for r in _fair(rows, node, registers, shape) if r["slack_ns"] >= 0 and not r.get("carry_save")]
    post = min((r for r in mine if r["grid"] == "post"), key=_cost)
    return post, sorted((r for r in mine if r["grid"] == "int"), key=lambda r: float(r["area_per_mac_um2"]))


def best(rows: Sequence[Row]) -> list[Row]:
    """The tile with the least area times energy of each grid and F, and of two grids, each in its first grid."""
    found: dict[tuple[Any, ...], Row] = {}
    for r in rows:
        key = ("both",) if r["variant"] == "post-or-fp4" else (r["grid"], r["frac_bits"])
        if (
            r["slack_ns"] >= 0
            and not r.get("carry_save")
            and (key not in found or _cost(r) < _cost(found[key]))
        ):
            found[key] = r
    return list(found.values())


def _cost(row: Row) -> float:
    return float(row["area_per_mac_um2"] * row["energy_held_per_mac_fj"])


def scatter(rows: Sequence[Row], nodes: Sequence[str]) -> str:
    """Area and energy per MAC of the 16 x 16 tiles, a panel per node; the best by name, the others as circles."""
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(1, len(nodes), figsize=(3.4 * len(nodes), 3.6), squeeze=False)
        for axis, node in zip(axes[0], nodes, strict=True):
            fair = _fair(rows, node, False)
            named = best(fair)
            for r in named:
                at = (r["area_per_mac_um2"], r["energy_held_per_mac_fj"])
                both = r["variant"] == "post-or-fp4"
                name = "post or fp4" if both else r["grid"]
                first = r["frac_bits"] in (None, 0)
                axis.scatter(
                    *at, color=GRID_COLOURS[r["grid"]], s=34, marker="D" if both else "o",
                    label=name if first else None, zorder=3,
                )  # fmt: skip
                if r["frac_bits"] is not None and not both:
                    axis.annotate(
                        f"F={r['frac_bits']}", at, fontsize=7, xytext=(4, -9), textcoords="offset points"
                    )
            # Room for the best; what is far off is in the table.
            for limit, name in (
                (axis.set_xlim, "area_per_mac_um2"),
                (axis.set_ylim, "energy_held_per_mac_fj"),
            ):
                values = [r[name] for r in named]
                limit(0.9 * min(values), 1.08 * max(values))
            for r in fair:
                if not any(r is other for other in named):
                    axis.scatter(
                        r["area_per_mac_um2"], r["energy_held_per_mac_fj"], facecolors="none",
                        edgecolors=GRID_COLOURS[r["grid"]], s=14, linewidths=0.7, zorder=2,
                    )  # fmt: skip
            axis.set_title(node)
            axis.set_xlabel("area per MAC, µm²")
            axis.set_ylabel("energy per MAC, weights held, fJ")
        handles, labels = axes[0][0].get_legend_handles_labels()
        figure.legend(handles, labels, fontsize=8, loc="lower center", ncols=len(labels), frameon=False)
        figure.tight_layout(rect=(0, 0.07, 1, 1))
        return to_svg(figure, "tiles")


def section(rows: Sequence[Row], trained: Sequence[Row], accuracy: Sequence[Row]) -> dict[str, Any]:
    """Title, figure and table.

    ``trained``: the rows with a trained layer's operands. ``accuracy``: the trained networks.
    """
    nodes = [n for n in NODES if _fair(rows, n, False)]
    found = {node: ratios(rows, node) for node in nodes}
    verdict = " ".join(
        f"{node}: {r['area_per_mac_um2']:.2f} of the area, {r['energy_held_per_mac_fj']:.2f} of the energy with "
        f"weights held, {r['energy_per_mac_fj']:.2f} with both operands streaming."
        for node, r in found.items()
    )
    large = "; ".join(
        f"{node} {r['area_per_mac_um2']:.2f} of the area, {r['energy_held_per_mac_fj']:.2f} of the energy"
        for node in nodes
        if _fair(trained, node, False, LARGE)
        for r in [ratios(trained, node, shape=LARGE)]
    )
    every = "; ".join(
        f"{r['area_per_mac_um2']:.2f} of the area, {r['energy_held_per_mac_fj']:.2f} of the energy at {shape[0]} x {shape[1]}"
        for shape in (SHAPE, LARGE)
        if _fair(trained, ALL_CELLS, False, shape)
        for r in [ratios(trained, ALL_CELLS, shape=shape)]
    )
    real = "; ".join(
        f"{node} {r['energy_held_per_mac_fj']:.2f} with weights held ({h['energy_held_per_mac_fj']:.2f} with weight "
        f"registers counted), {r['energy_per_mac_fj']:.2f} streaming"
        for node in nodes
        if _fair(trained, node, True)
        for r, h in [(ratios(trained, node), ratios(trained, node, registers=True))]
    )
    caption = (
        "A tile of 16 x 16 shares what depends on an activation alone (the sqrt(2) table) among 16 columns, and adds a "
        "column's products in one compressor tree. One POST tile (the one with the least area times energy; F = 0: the "
        f"table rounded to whole numbers) against the best int4 tile for each figure. {verdict} "
        f"Energy on a trained ResNet-20 layer's operands: {real}. "
        + (f"Tiles of {LARGE[0]} x {LARGE[1]}, trained operands, weights held: {large}. " if large else "")
        + "Where weights stay POST takes less; where they stream too, switching its shifters costs more than int's best "
        "tile. At asap7 int4 has the smaller tile: a full adder is there little larger than one exclusive-or, and its "
        "inverted outputs cost nothing where adders follow adders, so that int's three more adders a product cost less "
        "than POST's sign and shifter"
        + (f" (with asap7's smallest drives, which OpenROAD's flow leaves out: {every}). " if every else ". ")
        + "Dots are the tile of each grid and F with the least "
        "area times energy, circles what else was tried near it: other shifters, signs, retiming, saved carries."
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
        "SQNR dB", "ResNet-20 %", "operands",
    ]  # fmt: skip
    table = [
        [
            r["node"], label(r), f"{r['rows']}x{r['cols']}", f"{r['area_per_mac_um2']:.1f}",
            f"{r['logic_per_mac_um2']:.1f}", "–" if r["registers"] else f"{r['energy_per_mac_fj']:.1f}",
            f"{r['energy_held_per_mac_fj']:.1f}", f"{r['delay_ns']:.2f}", f"{r['sqnr_db']:.2f}", _percent(trained_with(accuracy, r)),
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
                "counted. SQNR: Gaussian weights, the table's rounding counted. ResNet-20: trained with this grid, "
                "these widths and this table in the forward pass (seed 0), where that was done.",
                "source": source,
            },
        ],
    }  # fmt: skip
