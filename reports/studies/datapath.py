"""What the search for a datapath tried, dimension by dimension, as a page: ``python -m reports.studies.datapath -o docs/datapath.md``.

The rows are those that :mod:`hw.studies.search` carries; nothing is measured here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import click

from asq_sw.console import run
from asq_sw.files import write_text
from asq_sw.formats import WeightFormat
from hw.nodes import DEFAULT_NODE, NODES
from hw.studies import space
from hw.synth.libraries.library import load
from hw.synth.mapping.kinds import KINDS, kind
from hw.synth.mapping.polarity import full_adder
from reports.blocks import Row
from reports.tiles.compare import clocks, ratio_rows
from reports.tiles.rows import (
    ACCOUNTS,
    AREA,
    HELD,
    STREAMING,
    area,
    carried,
    carried_fronts,
    compared,
    correction,
    label,
    nodes_of,
    one,
)

TRIED = (space.INT4, space.POST4, space.GAP4, space.FP4)
"""The formats that what was varied one at a time is tried on."""
FORMER = (
    ("nangate45", 0.878, 0.897, 0.897, 0.761),
    ("sky130hd", 0.900, 0.814, 0.871, 0.698),
    ("asap7", 1.098, 0.913, 1.051, 0.833),
)
"""Node; area and held energy of one POST4 tile over the best int4 tile in two's complement, 16 x 16, then 24 x 48."""


class Dimension(NamedTuple):
    """One thing that was varied: ``takes`` picks the rows that differ in nothing else (and the format).

    ``varies``: its fields. Formats of which only one value was measured are left out, unless the format is what varies.
    """

    title: str
    about: str
    varies: tuple[str, ...]
    takes: Callable[[Row], bool]

    def rows(self, rows: Sequence[Row]) -> list[Row]:
        """The rows that are compared, by bits, format, rows and area; none where nothing varies."""
        groups: dict[str, list[Row]] = {}
        for r in rows:
            if self.takes(r):
                groups.setdefault("" if "format" in self.varies else r["format"], []).append(r)
        varied = [
            r
            for group in groups.values()
            if len({str([r[name] for name in self.varies]) for r in group}) > 1
            for r in group
        ]
        return sorted(varied, key=lambda r: (-r["wbits"], r["format"], r["rows"], r["area_per_mac_um2"]))


PLAIN: Mapping[str, Any] = {
    "tree": "wallace",
    "registers": False,
    "carry_save": False,
    "stage": "none",
    "edge_registers": True,
}


def _plain(r: Row, *but: str) -> bool:
    """Nothing out of the ordinary, except for the fields named."""
    shared = "share" in but or r["share"] == r["cols"]
    return shared and all(r[k] == v for k, v in PLAIN.items() if k not in but)


def _shape(r: Row, rows: int, cols: int) -> bool:
    return (r["rows"], r["cols"]) == (rows, cols)


def _small(r: Row) -> bool:
    """8 x 8 tiles, which have no registers at the edge."""
    return _shape(r, 8, 8) and not r["edge_registers"]


def _middle(r: Row) -> bool:
    return _shape(r, 16, 16)


@cache
def _first(weight: WeightFormat) -> tuple[str, str, tuple[int, ...]]:
    tile = space.tile(weight, space.CONTENDERS[weight][0])
    return weight.name, tile.variant, tile.order


def _is(r: Row, *weights: WeightFormat) -> bool:
    """Whether a tile is the first contender of one of some formats."""
    return (r["format"], r["variant"], tuple(r["order"])) in {_first(weight) for weight in weights}


def _of(r: Row, *weights: WeightFormat) -> bool:
    return r["format"] in {weight.name for weight in weights}


SIGNS = ("one-hot-shift", "late-sign", "carry-in", "two-signs")

DIMENSIONS = (
    Dimension(
        "Ways to make the product", "8 x 8, every way of every 4-bit format: shifts of a shared table, whole tables, sums by "
        "parity or sign, constant multiplication, bit planes with and without a sign, Booth's digits, two grids in one netlist.",
        ("format", "variant"),
        lambda r: _small(r) and r["wbits"] == 4 and _plain(r, "edge_registers") and not r["order"]
        and (r["grid"] != "post" or r["frac_bits"] == 0),
    ),
    Dimension(
        "Formats and their contenders", "16 x 16, each contender with registers at the edge.",
        ("format",),
        lambda r: _middle(r) and _plain(r) and r["variant"] not in ("late-sign", "carry-in", "gated", "two-signs"),
    ),
    Dimension(
        "Pipeline", "16 x 16, the first contender of each 4-bit format: registers at the edge, behind the products, behind "
        "the tree, or none.",
        ("edge_registers", "stage"),
        lambda r: _middle(r) and _plain(r, "edge_registers", "stage") and r["wbits"] == 4
        and _is(r, *space.CONTENDERS),
    ),
    Dimension(
        "Weight registers", "16 x 16, the first contender of each format with registers at the edge: weights as inputs, whose "
        "registers are a neighbour's, or held in each column.",
        ("registers",),
        lambda r: _middle(r) and _plain(r, "registers") and _is(r, *space.HELD),
    ),
    Dimension(
        "F, the table's fractional bits", "8 x 8, POST's shifts by one-hot selects.",
        ("format", "frac_bits"),
        lambda r: _small(r) and _plain(r, "edge_registers") and r["grid"] == "post" and r["variant"] == "one-hot-shift"
        and not r["order"],
    ),
    Dimension(
        "Columns that share a table", "8 x 8, POST with F = 0. Synthesis merges equal tables of neighbouring columns, so "
        "that the factor hardly shows; a table that stays in every product is `own-table` above.",
        ("share",),
        lambda r: _small(r) and _plain(r, "share", "edge_registers") and _of(r, space.POST4)
        and r["variant"] == "select-shift",
    ),
    Dimension(
        "Tile size", "Accumulators are shared by more rows, edges by more columns; registers at the edge, without and with a "
        "register behind the tree (int4 of 32 rows meets the clock with full-adder cells only with it).",
        ("rows", "cols"),
        lambda r: (r["rows"], r["cols"]) in (space.SIZES[0], (32, 16), space.SIZES[1])
        and r["stage"] != "products" and _plain(r, "stage") and r["edge_registers"] and _is(r, *space.LARGE),
    ),
    Dimension(
        "Adder tree", "16 x 16, Wallace's and Dadda's trees of full adders.",
        ("tree",),
        lambda r: _middle(r) and _plain(r, "tree") and _is(r, *TRIED),
    ),
    Dimension(
        "Saved carries", "16 x 16; the accumulator is two words, and what adds them at the end is not in the tile, so that "
        "these are compared with nothing else.",
        ("carry_save",),
        lambda r: _middle(r) and _plain(r, "carry_save") and _is(r, *TRIED),
    ),
    Dimension(
        "The sign", "16 x 16, POST: an exclusive-or before the shift whose correction is a constant of the weights "
        "(`one-hot-shift`), after it (`late-sign`), two's complement with a carry into the tree (`carry-in`), sums of either "
        "sign (`two-signs`). int's are among the ways above.",
        ("variant",),
        lambda r: _middle(r) and _plain(r) and _of(r, space.POST4) and r["variant"] in SIGNS and not r["order"],
    ),
    Dimension(
        "Gating by zero activations", "16 x 16, POST: lines keep their values and the shifter's selects are 0 (`gated`), "
        "beside the same tile without the gate (`carry-in`).",
        ("variant",),
        lambda r: _middle(r) and _plain(r) and _of(r, space.POST4) and r["variant"] in ("carry-in", "gated"),
    ),
    Dimension(
        "Which code for which level", "16 x 16: each format's own order, and the cheapest others to decode or the levels "
        "falling (`python -m hw.studies.orders`).",
        ("order",),
        lambda r: _middle(r) and _plain(r) and r["variant"] == "one-hot-shift" and r["frac_bits"] in (None, 0),
    ),
)  # fmt: skip


def line(r: Row) -> str:
    """One row of a table; a tile that misses its clock has no figures but its delay."""
    figures = [f"{r['area_per_mac_um2']:.1f}", f"{area(r):.1f}", f"{r[HELD]:.1f}", "–" if r["registers"] else f"{r[STREAMING]:.1f}"]  # fmt: skip
    delay = f"{r['delay_ns']:.2f}"
    if r["slack_ns"] < 0:
        figures, delay = ["–"] * len(figures), f"{delay} (late)"
    return f"| {label(r)} | {r['rows']}x{r['cols']} | {' | '.join(figures)} | {delay} | {r['sqnr_db']:.1f} |"


def adder_and_gate(node: str) -> str:
    """Areas of a node's smallest full adder and exclusive-or, um^2, as ``4.3 to 1.6``."""
    cells = load(node)
    adder = full_adder(cells)
    assert adder is not None
    gate = min(cell.area for cell in cells.cells.values() if kind(cell) == "exclusive-or")
    return f"{adder.area:.2g} to {gate:.2g}"


def kinds(rows: Sequence[Row]) -> list[str]:
    """Where the area goes, for the one tile of each of :data:`TRIED` at each node and in each account."""
    lines = [
        "", "## Where the area goes", "",
        "µm² per MAC by kind of cell: of each format the one tile with the least area times energy with weights held that "
        "meets the node's clock; the correction's adder beside it. int adds more bits a product, POST selects: what is "
        f"cheaper is a question of the library. A full adder to an exclusive-or, µm²: nangate45 {adder_and_gate('nangate45')}, "
        f"sky130hd {adder_and_gate('sky130hd')}, asap7 {adder_and_gate('asap7')} (its inverted outputs for nothing). Full adders "
        "that ABC builds of gates, where the cell is too slow for the clock, count as gates.",
        "",
        f"| node | tile | shape | tile, µm² | correction | {' | '.join(KINDS)} |",
        "|---|---|---|---:|---:|" + "---:|" * len(KINDS),
    ]  # fmt: skip
    for node in nodes_of(rows):
        for _, registers, shape in ACCOUNTS:
            able = compared(rows, node, registers, shape)
            for weight in TRIED:
                r = one(x for x in able if x["format"] == weight.name)
                if r is not None:
                    digits = 2 if r["area_per_mac_um2"] < 10 else 1
                    values = [
                        r["area_per_mac_um2"],
                        correction(r),
                        *(r["area_by_kind_um2"][name] for name in KINDS),
                    ]
                    lines.append(
                        f"| {node} | {label(r)} | {r['rows']}x{r['cols']} | "
                        f"{' | '.join(f'{value:.{digits}f}' for value in values)} |"
                    )
    return lines


def against_int(rows: Sequence[Row]) -> list[str]:
    """Every format over int of the same bits, by node."""
    lines = [
        "", "## Every format over int", "",
        "16 x 16, the best tile of each format for each figure over int's best, the correction's adder in the area: median over "
        "the clocks that both meet, in brackets the least and the most; with weight registers beside it, at the default clock.",
        "",
        "| node | format | clocks | area | energy, held | energy, streaming | area, weight registers | energy, weight registers | "
        "SQNR, dB |",
        "|---|---|---|---:|---:|---:|---:|---:|---:|",
    ]  # fmt: skip
    for r in ratio_rows(rows):
        spreads = [*(r[name] for name in (AREA, HELD, STREAMING)), *r["registers"].values()]
        ratios = ["–" if ratio is None else str(ratio) for ratio in spreads]
        lines.append(
            f"| {r['node']} | {r['name']} | {r['clocks']} of {r['of']} | {' | '.join(ratios)} | {r['sqnr_db']:.2f} |"
        )
    return lines


def former() -> list[str]:
    """The claim that fell, and why."""
    lines = [
        "", "## A former claim, and why it fell", "",
        "This page and the README used to say that one POST4 tile (F = 0) takes less than the best int4 tile. int4 was then "
        "stored in two's complement alone, while POST had sign-magnitude codes and left the correction of its sign to a "
        "constant of the weights. int has the same now (`signed-planes`: the activation exclusive-or the sign, one AND per "
        "magnitude bit, the correction a constant), and what is left is in the first table: the rest was the encoding's "
        "lead, not POST's. The search had also had more ways for POST than for int and FP4, at one clock, and held one POST tile "
        "against another int tile for each figure. What was said, POST4 over int4, with a trained layer's operands for the "
        "energy with weights held:",
        "",
        "| node | area, 16x16 | energy, 16x16 | area, 24x48 | energy, 24x48 |", "|---|---:|---:|---:|---:|",
    ]  # fmt: skip
    return lines + [
        f"| {node} | {' | '.join(f'{value:.3f}' for value in values)} |" for node, *values in FORMER
    ]


def page(rows: Sequence[Row], node: str, several: Sequence[Row] = ()) -> str:
    """The page as Markdown; ``rows`` at the default clock, ``several`` at several."""
    mine = [r for r in rows if r["node"] == node]
    named = ", ".join(
        f"{clocks(rows, n, [r['format'] for r in rows])[0]:g} ns at {n}" for n in nodes_of(rows)
    )
    lines = [
        "# The search for a datapath", "",
        "Made by `python -m reports.studies.datapath -o docs/datapath.md` from the rows that `python -m hw.studies.search` measures: the tiles "
        f"of `hw/studies/space.py`, every one by the same recipes, Gaussian operands; default clocks: {named}. The figures' fronts, the "
        "ratios at equal accuracy and a trained layer's operands are in the report.",
    ]  # fmt: skip
    lines += against_int([*rows, *several])
    lines += kinds(rows)
    lines += [
        "", "## Dimensions", "",
        f"{node} at its default clock. Per MAC: area of the tile, area with the correction's adder, energy with weights held, "
        "energy with both operands streaming. Late: misses the clock, and is not quoted. SQNR: Gaussian weights, the table's "
        "rounding counted.",
    ]  # fmt: skip
    for dimension in DIMENSIONS:
        tiles = dimension.rows(mine)
        lines += ["", f"### {dimension.title}", "", dimension.about, ""]
        if not tiles:
            lines.append("Fewer than two tiles are measured.")
            continue
        lines += [
            "| tile | shape | tile, µm² | total, µm² | fJ, held | fJ, streaming | delay, ns | SQNR, dB |",
            "|---|---|---:|---:|---:|---:|---:|---:|",
            *map(line, tiles),
        ]
    lines += [
        "",
        "## What was not tried",
        "",
        *(f"- {what}: {why}." for what, why in space.NOT_TRIED.items()),
    ]
    return "\n".join([*lines, *former()]) + "\n"


@click.command(help="What the search for a datapath tried, as a page.")
@click.option("--node", default=DEFAULT_NODE, show_default=True, type=click.Choice(list(NODES)))
@click.option("-o", "--output", required=True, type=click.Path(dir_okay=False, path_type=Path))
def main(node: str, output: Path) -> None:
    write_text(output, page(carried(), node, carried_fronts()))


if __name__ == "__main__":
    run(main, "python -m reports.studies.datapath")
