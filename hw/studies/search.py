"""The search for a datapath: the tiles of :mod:`hw.studies.space`, measured alike.

python -m hw.studies.search --jobs 2 -o hw/data/tiles.json
python -m hw.studies.search --part fronts --jobs 2 -o hw/data/fronts.json
python -m hw.studies.search --part wide --node nangate45 -o hw/data/tiles.json
python -m hw.studies.search --operands hw/data/operands.npz -o hw/data/tiles_trained.json
python -m hw.studies.search --liberty asap7_SEQ.lib.gz ... --name asap7-all --clock-ns 1.8 --tile NAME -o hw/data/tiles.json

Every point is synthesized by the same recipes, timed with its broadcast lines and buffers, and its energy is that
of the same layer's operands: with both streaming (output-stationary), and with weights held (weight-stationary). A
point says how accurate its arithmetic is: the SQNR of Gaussian weights with the table's rounding counted
(:func:`asq_sw.sqnr.sqnr`). Seconds a tile: about 5 at nangate45, more where a tile is large.
"""

from __future__ import annotations

from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from time import monotonic
from typing import Any

import click

from asq_sw.commands.options import Number
from asq_sw.console import run
from asq_sw.errors import InputError, nearest
from asq_sw.formats import ActivationFormat, WeightFormat
from asq_sw.provenance import versions
from asq_sw.sqnr import sqnr
from asq_sw.studies.trained_operands import read_layer
from asq_sw.terminal import notice, progress
from asq_sw.workers import Workers
from hw import carried
from hw.nodes import NODES
from hw.rtl.verilog import to_rtlil
from hw.studies import space
from hw.synth.libraries import library as libraries
from hw.synth.libraries.liberty import read as read_liberty
from hw.synth.mapping.flow import TOP
from hw.synth.mapping.kinds import area_by_kind
from hw.synth.measure import default_clock_ns, lanes_for, power, significant, synthesize_unit
from hw.synth.netlists.netlist import Netlist
from hw.units.operands import Operands, gaussian
from hw.units.tile import TileSpec

RECIPES = (
    "cells-ripple area", "cells-brent-kung area", "ripple area", "brent-kung area", "cells-ripple flow",
    "cells-brent-kung flow", "ripple flow", "cells-brent-kung delay-sized-1.2", "brent-kung delay-sized-1.2",
)  # fmt: skip
"""Recipes that every column gets: with full-adder cells and without; ABC's scripts that win most often."""

RECORD = (
    "grid", "wbits", "abits", "frac_bits", "variant", "rows", "cols", "tree", "share", "registers", "edge_registers",
    "carry_save", "stage", "order", "sum_bits",
)  # fmt: skip
"""What a row says of its tile, of :meth:`hw.units.tile.TileSpec.record`."""

PARTS = {"contenders": space.contenders, "fronts": space.fronts, "wide": space.wide}
"""Parts of the space by name (:mod:`hw.studies.space`)."""


def points(*parts: str) -> list[TileSpec]:
    """The tiles of some parts of the space, by default of all, each once."""
    return list(dict.fromkeys(tile for part in parts or PARTS for tile in PARTS[part]()))


@lru_cache(maxsize=1024)
def _digest(tile: TileSpec) -> str:
    return sha256(to_rtlil(tile.build(), TOP).encode()).hexdigest()[:16]


def key(tile: TileSpec, node: str, source: str, clock_ns: float) -> str:
    """A row's name: the design, the node, the operands, the clock."""
    digest = _digest(tile)
    return f"{node} {tile.name} {digest} {sha256(source.encode()).hexdigest()[:8]} {clock_ns:.4g}ns"


def load_operands(path: str | Path, weight: WeightFormat, activation: ActivationFormat) -> Operands:
    """A trained layer's operands (:mod:`asq_sw.studies.trained_operands`) on a grid.

    Raises
    ------
    InputError
        If the file cannot be read or is no layer.
    """
    layer = read_layer(path)
    return Operands(*layer.codes(weight, activation), f"{layer.name}, trained ({Path(path).name})")


def measure_tile(
    tile: TileSpec,
    cells: libraries.Library,
    operands: Operands,
    wires: str = "fanout",
    clock_ns: float | None = None,
) -> dict[str, Any]:
    """One row: area, delay, energy and accuracy of a tile, by default at its node's default clock."""
    clock = default_clock_ns(cells) if clock_ns is None else clock_ns
    mapped = synthesize_unit(tile, cells, clock, wires, RECIPES)
    lanes = lanes_for(mapped)
    streaming = power(mapped, tile.stimulus(lanes, operands=operands), clock, wires)
    stationary = streaming
    if not tile.registers:
        stationary = power(mapped, tile.stimulus(lanes, operands=operands, stationary=True), clock, wires)
    netlist, macs, record = mapped.netlist, tile.macs, tile.record()
    return {
        "node": cells.node, **{name: record[name] for name in RECORD}, "format": tile.weight.name, "clock_ns": clock,
        "area_per_mac_um2": significant(netlist.area / macs),
        "logic_per_mac_um2": significant((netlist.area - netlist.area_sequential) / macs),
        "delay_ns": significant(mapped.timing.delay_ns), "slack_ns": significant(clock - mapped.timing.delay_ns),
        "energy_per_mac_fj": significant(streaming.total_fj / macs),
        "energy_held_per_mac_fj": significant(stationary.total_fj / macs), "activity": significant(streaming.activity),
        "leakage_per_mac_nw": significant(streaming.leakage_nw / macs),
        "sqnr_db": significant(sqnr(tile.weight, abits=tile.abits).db),
        "operands": operands.source, "recipe": mapped.recipe, "cells": len(netlist.instances),
        "area_by_kind_um2": parts(netlist, macs),
    }  # fmt: skip


def parts(netlist: Netlist, macs: int) -> dict[str, float]:
    """Area per MAC by kind of cell, um^2."""
    return {name: significant(area / macs) for name, area in area_by_kind(netlist).items()}


@dataclass(frozen=True)
class _Task:
    """A row to measure; ``liberty``: files of a library that is not carried."""

    tile: TileSpec
    node: str
    path: str | None
    liberty: tuple[str, ...] = ()
    clock_ns: float | None = None


@lru_cache(maxsize=4)
def _cells(node: str, liberty: tuple[str, ...]) -> libraries.Library:
    return read_liberty(liberty, node) if liberty else libraries.load(node)


def _one(task: _Task) -> dict[str, Any]:
    tile, path = task.tile, task.path
    operands = (
        gaussian(tile.weight, tile.activation)
        if path is None
        else load_operands(path, tile.weight, tile.activation)
    )
    return measure_tile(tile, _cells(task.node, task.liberty), operands, clock_ns=task.clock_ns)


@click.command(
    help="Measure the broadcast tiles of the space as one table; run again after an interrupt, it goes on.",
    epilog="Example: asq search --part contenders --node nangate45 --jobs 2 -o tiles.json",
)
@click.option("--node", "nodes", multiple=True, type=click.Choice(list(NODES)), help="By default all.")
@click.option(
    "--part",
    "parts",
    multiple=True,
    type=click.Choice(list(PARTS)),
    help="Parts of the space: what conclusions rest on, the same at eight clocks, everything else.  [default: contenders]",
)
@click.option("--operands", "path", type=click.Path(dir_okay=False), help="A trained layer's operands, .npz.")
@click.option("--tile", "named", multiple=True, help="Only tiles of this name (may be repeated).")
@click.option(
    "--liberty", multiple=True, type=click.Path(exists=True), help="A library, not a node (may be repeated)."
)
@click.option(
    "--name", default="library", show_default=True, help="Of the library of --liberty, in the rows."
)
@click.option("--clock-ns", type=Number(min=0, min_open=True), help="By default the node's.")
@click.option("--minutes", type=Number(min=0), help="Start no further tile after so long.")
@click.option("--jobs", type=click.IntRange(min=1), default=1, show_default=True, help="Processes.")
@click.option("-o", "--output", required=True, type=click.Path(dir_okay=False, path_type=Path))
def main(
    nodes: tuple[str, ...], parts: tuple[str, ...], path: str | None, named: tuple[str, ...], liberty: tuple[str, ...],
    name: str, clock_ns: float | None, minutes: float | None, jobs: int, output: Path,
) -> None:  # fmt: skip
    table = carried.read(output, "rows")
    if path is not None:
        load_operands(path, space.INT4, ActivationFormat(4))  # before the work begins
    known = {tile.name: tile for tile in points()}
    if missing := [n for n in named if n not in known]:
        raise InputError(
            f"--tile {missing[0]}: no such tile, expected the name of a tile of the space{nearest(missing[0], known)}"
        )
    if clock_ns is not None and not liberty:
        raise InputError("--clock-ns without --liberty: rows of a node are at its own clock and parts of it")
    if liberty and nodes:
        raise InputError("--node with --liberty: expected one of them")
    if liberty:
        nodes = (name,)
        _cells(name, liberty)
    tasks = []
    source = (path and Path(path).name) or "gaussian"
    for part in parts or ("contenders",):
        for tile in [known[n] for n in named] or points(part):
            if path is not None and (tile.weight.bits, tile.abits) != (4, 4):
                continue
            for node in nodes or NODES:  # what comes first in the space is measured first, at every node
                period = clock_ns or default_clock_ns(_cells(node, liberty))
                for factor in space.CLOCKS if part == "fronts" else (1.0,):
                    place = key(tile, node, source, period * factor)
                    task = (place, _Task(tile, node, path, liberty, period * factor))
                    if place not in table["rows"] and task not in tasks:
                        tasks.append(task)
    notice(f"{len(tasks)} tiles to measure, {len(table['rows'])} measured before")
    table |= {"made_by": "python -m hw.studies.search", "versions": versions(("amaranth", "pyosys"))}
    start, done = monotonic(), 0
    with progress("tiles") as step, Workers(jobs, "fork") as pool:
        waiting: dict[Future[dict[str, Any]], str] = {}
        left = iter(tasks)
        step(0, len(tasks))
        while True:
            while len(waiting) < jobs and not (minutes is not None and monotonic() - start > 60 * minutes):
                following = next(left, None)
                if following is None:
                    break
                waiting[pool.submit(_one, following[1])] = following[0]
            if not waiting:
                break
            for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                place, row = waiting.pop(future), future.result()
                table["rows"][place] = row
                carried.write(output, table)
                done += 1
                step(
                    done, len(tasks),
                    f"{done} of {len(tasks)}; {place}: {row['area_per_mac_um2']:.4g} um2, "
                    f"{row['energy_held_per_mac_fj']:.4g} fJ held, {row['energy_per_mac_fj']:.4g} fJ streaming, "
                    f"slack {row['slack_ns']:.3g} ns",
                )  # fmt: skip
    click.echo(f"{output}: {done} tiles measured now, {len(table['rows'])} in all")


if __name__ == "__main__":
    run(main, "python -m hw.studies.search")
