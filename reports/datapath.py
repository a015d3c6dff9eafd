"""What the search for a datapath tried, dimension by dimension, as a page: ``python -m reports.datapath -o docs/datapath.md``.

The rows are those that :mod:`hw.search` carries; nothing is measured here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import click

from asq_sw.console import run
from asq_sw.files import write_text
from hw.synth.kinds import KINDS, kind
from hw.synth.library import load
from hw.synth.polarity import full_adder
from reports.tiles import ALL_CELLS, LARGE, NODES, SHAPE, carried, compared, label

Row = Mapping[str, Any]
SHAPES = ((8, 8), (16, 16), (32, 16), LARGE)


class Dimension(NamedTuple):
    """One thing that was varied: ``takes`` picks the rows that differ in nothing else."""

    title: str
    about: str
    takes: Callable[[Row], bool]


def _plain(r: Row, *but: str) -> bool:
    """Nothing out of the ordinary, except for the fields named."""
    ordinary = {"tree": "wallace", "registers": False, "carry_save": False, "stage": "none", "order": []}
    shared = "share" in but or r["share"] == r["cols"]
    return shared and all(r.get(k, v) == v for k, v in ordinary.items() if k not in but)


def _small(r: Row) -> bool:
    return (r["rows"], r["cols"], r["wbits"], r["abits"]) == (8, 8, 4, 4)


def _middle(r: Row) -> bool:
    return (r["rows"], r["cols"], r["wbits"], r["abits"]) == (16, 16, 4, 4)


def _post0(r: Row) -> bool:
    return r["grid"] == "post" and r["frac_bits"] == 0


def _best(r: Row) -> bool:
    """The designs that the tricks are tried on."""
    return (r["grid"], r["variant"]) in (("int", "booth"), ("int", "paired-planes")) or (
        _post0(r) and r["variant"] == "one-hot-shift"
    )


DIMENSIONS = (
    Dimension(
        "Ways to make the product", "8 x 8, POST with F = 0 beside int4: shifts of a shared table, whole tables, sums by "
        "parity or sign, constant multiplication, Booth's digits, bit planes.",
        lambda r: _small(r) and _plain(r) and (_post0(r) or r["grid"] == "int"),
    ),
    Dimension(
        "Other grids", "16 x 16: each grid's smallest tiles. FP4 takes its codes in the order that is cheapest to decode "
        "(`python -m hw.orders --grid fp4`), and POST's datapath with another table (`post-or-fp4`: one netlist, a mode "
        "input at the edge).",
        lambda r: _middle(r) and r["edge_registers"] and (_plain(r) or (r["grid"] == "fp4" and _plain(r, "order")))
        and r["variant"] not in ("carry-in", "gated", "two-signs", "late-sign"),
    ),
    Dimension(
        "F, the table's fractional bits", "8 x 8, shifts by one-hot selects.",
        lambda r: _small(r) and _plain(r) and r["grid"] == "post" and r["variant"] == "one-hot-shift",
    ),
    Dimension(
        "Columns that share a table", "8 x 8, POST with F = 0. Synthesis merges equal tables of neighbouring "
        "columns, so that the factor hardly shows; a table that stays in every product is `own-table` above.",
        lambda r: _small(r) and _plain(r, "share") and _post0(r) and r["variant"] == "select-shift",
    ),
    Dimension(
        "Tile size", "Accumulators are shared by more rows, edges by more columns.",
        lambda r: (r["rows"], r["cols"]) in SHAPES and (r["wbits"], r["abits"]) == (4, 4) and _plain(r) and _best(r),
    ),
    Dimension(
        "Adder tree", "Carry-save trees of full adders (Wallace, Dadda), or a tree of carry-propagate adders.",
        lambda r: _plain(r, "tree") and (r["wbits"], r["abits"]) == (4, 4)
        and ((_middle(r) and r["edge_registers"] and _best(r)) or (
            _small(r) and ((_post0(r) and r["variant"] == "select-shift") or r["variant"] == "booth"))),
    ),
    Dimension(
        "Saved carries", "The accumulator is two words; what adds them at the end is not in the tile, so that these are "
        "compared with nothing else.",
        lambda r: _middle(r) and r["edge_registers"] and _plain(r, "carry_save") and _best(r),
    ),
    Dimension(
        "Retiming", "Where the pipeline register is: behind the edge's table, behind the products, behind the tree.",
        lambda r: _middle(r) and _plain(r, "stage") and _best(r),
    ),
    Dimension(
        "The sign", "An exclusive-or before the shift whose correction is a constant of the weights (`one-hot-shift`), after "
        "it (`late-sign`), two's complement with a carry into the tree (`carry-in`), sums of either sign (`two-signs`).",
        lambda r: _middle(r) and r["edge_registers"] and _plain(r) and _post0(r)
        and r["variant"] in ("one-hot-shift", "late-sign", "carry-in", "two-signs"),
    ),
    Dimension(
        "Gating by zero activations", "Lines keep their values and the shifter's selects are 0 (`gated`), beside the same "
        "tile without the gate (`carry-in`).",
        lambda r: _middle(r) and r["edge_registers"] and _plain(r) and _post0(r) and r["variant"] in ("carry-in", "gated"),
    ),
    Dimension(
        "Which code for which level", "Of all 40320 orders none is cheaper to decode than POST's own, 0 to 6 for the levels "
        "rising and 7 for zero (`python -m hw.orders`): 11 literals. Beside it the next (15), Gray's, and zero as 0.",
        lambda r: _middle(r) and r["edge_registers"] and _plain(r, "order") and _post0(r)
        and r["variant"] == "one-hot-shift",
    ),
    Dimension(
        "Weights and activations of different widths", "8 x 8.",
        lambda r: (r["rows"], r["cols"]) == (8, 8) and _plain(r) and r["wbits"] != r["abits"],
    ),
)  # fmt: skip


def line(r: Row) -> str:
    """One row of a table."""
    late = "" if r["slack_ns"] >= 0 else " (late)"
    return (
        f"| {label(r)} | {r['rows']}x{r['cols']} | {r['area_per_mac_um2']:.1f} | {r['energy_held_per_mac_fj']:.1f} | "
        f"{r['energy_per_mac_fj']:.1f} | {r['delay_ns']:.2f}{late} | {r['sqnr_db']:.1f} |"
    )


def adder_and_gate(node: str) -> str:
    """Areas of a node's smallest full adder and exclusive-or, um^2, as ``4.3 to 1.6``."""
    cells = load(node)
    adder = full_adder(cells)
    assert adder is not None
    gate = min(cell.area for cell in cells.cells.values() if kind(cell) == "exclusive-or")
    return f"{adder.area:.2g} to {gate:.2g}"


def kinds(rows: Sequence[Row]) -> list[str]:
    """Where the area goes, for the POST tile that the report names and the smallest int4 tile, at each node."""
    lines = [
        "", "## Where the area goes", "",
        "µm² per MAC by kind of cell: the POST tile with the least area times energy and the smallest int4 tile that meet the "
        "node's clock. int4 adds three more bits a product; POST selects and signs. So POST wins where a full adder is large "
        f"beside a gate of two inputs (nangate45: {adder_and_gate('nangate45')} µm² for an exclusive-or, sky130hd "
        f"{adder_and_gate('sky130hd')}), and not "
        f"where it is small (asap7: {adder_and_gate('asap7')}, its inverted outputs for nothing). Full adders that ABC builds of gates, "
        "where the cell is too slow for the clock, count as gates. asap7 is without its smallest drives (`xp`), as in "
        f"OpenROAD's flow; `{ALL_CELLS}` is with them, and POST's selection and signs are smaller.",
        "",
        f"| node | tile | shape | µm² | {' | '.join(KINDS)} |", "|---|---|---|---:|" + "---:|" * len(KINDS),
    ]  # fmt: skip
    for node in (*NODES, ALL_CELLS):
        for shape in (SHAPE, LARGE):
            post, whole = compared(rows, node, shape=shape)
            for r in (post, whole[0]):
                digits = 2 if r["area_per_mac_um2"] < 10 else 1
                areas = [f"{r['area_by_kind_um2'][kind]:.{digits}f}" for kind in KINDS]
                lines.append(
                    f"| {node} | {label(r)} | {r['rows']}x{r['cols']} | {r['area_per_mac_um2']:.{digits}f} | "
                    f"{' | '.join(areas)} |"
                )
    return lines


def page(rows: Sequence[Row], node: str) -> str:
    """The page as Markdown."""
    mine = [r for r in rows if r["node"] == node]
    lines = [
        "# The search for a datapath", "",
        f"Made by `python -m reports.datapath -o docs/datapath.md` from the rows that `python -m hw.search` measures: {node}, "
        f"every tile by the same recipes at a clock of {mine[0]['clock_ns']:g} ns, Gaussian operands. Per MAC: area, energy with "
        "weights held, energy with both operands streaming. Late: misses the clock. SQNR is of Gaussian weights and activations "
        "with the table's rounding. The three nodes, and a trained layer's operands, are in the report.",
    ]  # fmt: skip
    lines += kinds(rows)
    for dimension in DIMENSIONS:
        found = [r for r in mine if dimension.takes(r)]
        if len(found) < 2:
            raise ValueError(f"{dimension.title}: {len(found)} rows, expected two or more")
        lines += [
            "", f"## {dimension.title}", "", dimension.about, "",
            "| tile | shape | µm² | fJ, held | fJ, streaming | delay, ns | SQNR, dB |",
            "|---|---|---:|---:|---:|---:|---:|",
            *map(line, sorted(found, key=lambda r: r["area_per_mac_um2"])),
        ]  # fmt: skip
    return "\n".join(lines) + "\n"


@click.command(help="What the search for a datapath tried, as a page.")
@click.option("--node", default="nangate45", show_default=True, type=click.Choice(["nangate45"]))
@click.option("-o", "--output", required=True, type=click.Path(dir_okay=False, path_type=Path))
def main(node: str, output: Path) -> None:
    write_text(output, page(carried(), node))


if __name__ == "__main__":
    run(main, "python -m reports.datapath")
