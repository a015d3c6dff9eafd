"""The search for a datapath: broadcast tiles of all variants, shapes and trees, measured alike.

python -m hw.search --quick -o hw/data/tiles.json
python -m hw.search --node nangate45 -o hw/data/tiles.json
python -m hw.search --quick --node nangate45 --operands layer.npz -o hw/data/tiles_trained.json
python -m hw.search --liberty asap7_SEQ.lib.gz ... --name asap7-all --clock-ns 1.8 --tile NAME -o hw/data/tiles.json

Every point is synthesized at its node's default clock by the same recipes, timed with its broadcast lines and
buffers, and its energy is that of the same layer's operands: with both streaming (output-stationary), and with
weights held (weight-stationary). The variant ``planes`` is left out: ABC takes minutes for it and it is largest. A point says how accurate its arithmetic is: the
SQNR of Gaussian weights with the table's rounding counted (:func:`asq_sw.sqnr.sqnr`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import Any

import click
import numpy as np

from asq_sw.console import run
from asq_sw.errors import InputError
from asq_sw.files import write_text
from asq_sw.formats import ActivationFormat, WeightFormat
from asq_sw.interop.weights import read_weights
from asq_sw.provenance import versions
from asq_sw.sqnr import sqnr
from hw import variants
from hw.emit import to_rtlil
from hw.orders import cheapest
from hw.synth import library as libraries
from hw.synth.flow import TOP
from hw.synth.kinds import area_by_kind
from hw.synth.liberty import read as read_liberty
from hw.synth.measure import _figure, default_clock_ns, lanes_for, streamed, synthesize_tile
from hw.synth.netlist import Netlist
from hw.synth.operands import Operands, gaussian, tile_stimulus
from hw.tile import TileSpec

RECIPES = (
    "cells-ripple area", "cells-brent-kung area", "ripple area", "brent-kung area", "cells-ripple flow",
    "cells-brent-kung flow", "ripple flow", "cells-brent-kung delay-sized-1.2", "brent-kung delay-sized-1.2",
)  # fmt: skip
"""Recipes that every column gets: with full-adder cells and without; ABC's scripts that win most often."""
NODES = ("nangate45", "sky130hd", "asap7")

_TRICKS: tuple[dict[str, Any], ...] = (
    {"edge_registers": False}, {"stage": "products"}, {"stage": "tree"}, {"edge_registers": False, "stage": "products"},
    {"edge_registers": False, "stage": "tree"}, {"carry_save": True},
)  # fmt: skip
"""Retiming (where the pipeline registers are) and saved carries, for the best of each grid."""
_ORDERS = (
    (0, 1, 2, 3, 4, 7, 6, 5),
    (0, 1, 3, 2, 6, 7, 5, 4),
    (1, 2, 3, 4, 5, 6, 7, 0),
    (7, 6, 5, 4, 3, 2, 1, 0),
)
"""Other codes for the levels: the second cheapest to decode (:mod:`hw.orders`), Gray's, zero as 0 with the levels
rising, zero as 0 with the levels falling."""


def points(quick: bool = False) -> Iterator[TileSpec]:
    """The tiles to compare, those that the conclusion rests on first.

    ``quick``: only these.
    """
    post = [WeightFormat("post", 4, f) for f in (0, 1, 2)]
    integer, fp4, pot = WeightFormat("int", 4), WeightFormat("fp4", 4), WeightFormat("pot", 4)

    def every(weight: WeightFormat, *names: str, **fields: Any) -> Iterator[TileSpec]:
        for name in names:
            yield TileSpec(weight, variant=name, **fields)

    wide: dict[str, Any] = {"rows": 16, "cols": 16, "edge_registers": True}
    for fields in (wide, wide | {"registers": True}):  # both operands stream; weights held
        yield from every(integer, "booth", "paired-planes", **fields)
        yield from every(post[0], "one-hot-shift", "select-shift", **fields)
    yield TileSpec(WeightFormat("int", 8), 8, **wide)
    for weight in (post[1], post[2], fp4, pot):
        yield from every(weight, "one-hot-shift", **wide)
    yield TileSpec(WeightFormat("apot", 4), **wide)
    for bits in (2, 3):  # the cost of a bit
        for name in ("booth", "paired-planes"):
            yield TileSpec(WeightFormat("int", bits), bits, variant=name, **wide)
        for name in ("one-hot-shift", "select-shift"):
            yield TileSpec(WeightFormat("post", bits, 0), bits, variant=name, **wide)
    held = wide | {"registers": True}  # what a weight-stationary machine is made of
    for bits, name in ((2, "booth"), (3, "paired-planes"), (8, "booth")):
        yield TileSpec(WeightFormat("int", bits), bits, variant=name, **held)
    for weight in (WeightFormat("post", 2, 0), WeightFormat("post", 3, 0), post[1], post[2], fp4, pot):
        yield TileSpec(weight, weight.bits, variant="one-hot-shift", **held)
    # FP4 with the codes that are cheapest to decode, and on POST's datapath
    yield TileSpec(fp4, variant="one-hot-shift", order=cheapest(fp4, 1)[0][1], **wide)
    for weight in (post[0], fp4):
        yield TileSpec(weight, variant="post-or-fp4", **wide)
    best = [(integer, "booth"), (integer, "paired-planes"), (post[0], "one-hot-shift")]
    for changes in _TRICKS:
        for weight, name in best:
            yield TileSpec(weight, variant=name, **(wide | changes))
    large: dict[str, Any] = {"rows": 24, "cols": 48}  # accumulators and edges shared by more
    yield TileSpec(integer, variant="booth", **large)
    yield TileSpec(integer, variant="paired-planes", edge_registers=True, **large)
    yield from every(post[0], "one-hot-shift", "select-shift", edge_registers=True, **large)
    for fields in (wide, held, large | {"edge_registers": True}):  # zero as code 0, the levels falling
        yield TileSpec(post[0], variant="one-hot-shift", order=_ORDERS[-1], **fields)
    if quick:
        return
    yield from every(post[0], "carry-in", "gated", "two-signs", "late-sign", **wide)
    for order in _ORDERS[:-1]:
        yield TileSpec(post[0], variant="one-hot-shift", order=order, **wide)
    small: dict[str, Any] = {"rows": 8, "cols": 8}
    yield from every(integer, "booth", "paired-planes", "digits", "multiples", **small)
    for weight in (*post, *(WeightFormat("post", 4, f) for f in (3, 4, 6))):
        names = variants.names("post") if weight.frac_bits < 3 else ("one-hot-shift", "select-shift")
        names = tuple(name for name in names if not weight.frac_bits or name != "post-or-fp4")
        yield from every(weight, *names, **small)
    for weight in (fp4, pot):
        yield from every(weight, "select-shift", "one-hot-shift", **small)
    for weight, name in best:
        yield TileSpec(weight, variant=name, tree="dadda", **wide)
    for tree in ("dadda", "adders"):
        yield TileSpec(integer, tree=tree, **small)
        yield TileSpec(post[0], tree=tree, **small)
    for share in (1, 2, 4):  # columns per table
        yield TileSpec(post[0], share=share, **small)
    for weight in (integer, post[0]):
        yield TileSpec(weight, rows=32, cols=16, edge_registers=True)
    for bits in (2, 3):
        for abits in (bits, 4):
            yield TileSpec(WeightFormat("int", bits), abits, **small)
            yield TileSpec(WeightFormat("post", bits, 0), abits, **small)
    yield TileSpec(integer, 8, **small)
    yield TileSpec(post[0], 8, **small)


def key(tile: TileSpec, node: str, source: str) -> str:
    """A row's name: the design, the node, the operands."""
    digest = sha256(to_rtlil(tile.build(), TOP).encode()).hexdigest()[:16]
    return f"{node} {tile.name} {digest} {sha256(source.encode()).hexdigest()[:8]}"


def load_operands(path: str | Path, weight: WeightFormat, activation: ActivationFormat) -> Operands:
    """A trained layer's operands: ``<grid><bits>_weights`` (K, N) codes, ``<...>_activations`` (K, T) of an .npz.

    The name's grid and bits are the weights', as ``post4`` or ``int4``.

    Raises
    ------
    InputError
        If the file cannot be read or lacks them.
    """
    name = f"{weight.grid}{weight.bits}a{activation.bits}"
    held = read_weights(path)
    if f"{name}_weights" not in held or f"{name}_activations" not in held:
        raise InputError(f"{path}: holds {sorted(held)}, expected {name}_weights and {name}_activations")
    weights, activations = held[f"{name}_weights"], held[f"{name}_activations"]
    return Operands(weights.astype(np.int64), activations.astype(np.int64), f"{Path(path).name} {name}")


def measure_tile(
    tile: TileSpec,
    cells: libraries.Library,
    operands: Operands,
    wires: str = "fanout",
    clock_ns: float | None = None,
) -> dict[str, Any]:
    """One row: area, delay, energy and accuracy of a tile, by default at its node's default clock."""
    clock = default_clock_ns(cells) if clock_ns is None else clock_ns
    mapped = synthesize_tile(tile, cells, clock, wires, RECIPES)
    lanes = lanes_for(mapped)
    used = streamed(mapped, tile_stimulus(tile, operands, lanes), clock, wires)
    held = used
    if not tile.registers:
        held = streamed(mapped, tile_stimulus(tile, operands, lanes, held=True), clock, wires)
    netlist, macs = mapped.netlist, tile.macs
    return {
        "node": cells.node, "grid": tile.weight.grid, "wbits": tile.weight.bits, "abits": tile.abits,
        "frac_bits": tile.weight.frac_bits if tile.weight.grid.startswith("post") else None,
        "variant": tile.variant, "rows": tile.rows, "cols": tile.cols, "tree": tile.tree, "share": tile.share,
        "registers": tile.registers, "edge_registers": tile.edge_registers, "carry_save": tile.carry_save,
        "stage": tile.stage, "order": list(tile.order), "sum_bits": tile.sum_bits, "clock_ns": clock,
        "area_per_mac_um2": _figure(netlist.area / macs),
        "logic_per_mac_um2": _figure((netlist.area - netlist.area_sequential) / macs),
        "delay_ns": _figure(mapped.timing.delay_ns), "slack_ns": _figure(clock - mapped.timing.delay_ns),
        "energy_per_mac_fj": _figure(used.total_fj / macs),
        "energy_held_per_mac_fj": _figure(held.total_fj / macs), "activity": _figure(used.activity),
        "leakage_per_mac_nw": _figure(used.leakage_nw / macs),
        "sqnr_db": _figure(sqnr(tile.weight, abits=tile.abits).db),
        "operands": operands.source, "recipe": mapped.recipe, "cells": len(netlist.instances),
        "area_by_kind_um2": parts(netlist, macs),
    }  # fmt: skip


def parts(netlist: Netlist, macs: int) -> dict[str, float]:
    """Area per MAC by kind of cell, um^2."""
    return {name: _figure(area / macs) for name, area in area_by_kind(netlist).items()}


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
    found = (
        gaussian(tile.weight, tile.activation)
        if path is None
        else load_operands(path, tile.weight, tile.activation)
    )
    return measure_tile(tile, _cells(task.node, task.liberty), found, clock_ns=task.clock_ns)


def table(trained: bool = False) -> dict[str, Any]:
    """The measured tiles that the product carries: ``rows`` by :func:`key`.

    ``trained``: with the operands of a trained layer (ResNet-20's layer2.1.conv1, :mod:`asq_sw.operands`).
    """
    name = "tiles_trained.json" if trained else "tiles.json"
    found: dict[str, Any] = json.loads((files("hw") / "data" / name).read_text(encoding="utf-8"))
    return found


def _held(output: Path) -> dict[str, Any]:
    """The rows of a search that was made before, if any."""
    if not output.exists():
        return {"rows": {}}
    try:
        held: dict[str, Any] = json.loads(output.read_text(encoding="utf-8"))
        held["rows"].keys()
    except (ValueError, KeyError, AttributeError, TypeError, OSError) as error:
        raise InputError(
            f"{output}: holds no rows of a search ({error}), expected those or no file"
        ) from error
    return held


@click.command(help="Measure broadcast tiles of all variants; run again after an interrupt, it goes on.")
@click.option("--node", "nodes", multiple=True, type=click.Choice(NODES), help="By default all three.")
@click.option("--quick", is_flag=True, help="Only the points that the conclusion rests on.")
@click.option("--operands", "path", type=click.Path(dir_okay=False), help="A trained layer's operands, .npz.")
@click.option("--tile", "named", multiple=True, help="Only tiles of this name (may be repeated).")
@click.option(
    "--liberty", multiple=True, type=click.Path(exists=True), help="A library, not a node (may be repeated)."
)
@click.option(
    "--name", default="library", show_default=True, help="Of the library of --liberty, in the rows."
)
@click.option("--clock-ns", type=click.FloatRange(min=0, min_open=True), help="By default the node's.")
@click.option("--jobs", type=click.IntRange(min=1), default=1, show_default=True, help="Processes.")
@click.option("-o", "--output", required=True, type=click.Path(dir_okay=False, path_type=Path))
def main(
    nodes: tuple[str, ...], quick: bool, path: str | None, named: tuple[str, ...], liberty: tuple[str, ...], name: str,
    clock_ns: float | None, jobs: int, output: Path,
) -> None:  # fmt: skip
    held = _held(output)
    if path is not None:
        first = next(points())
        load_operands(path, first.weight, first.activation)  # before the work begins
    tasks = []
    known = {tile.name: tile for tile in points()}
    if missing := [n for n in named if n not in known]:
        raise InputError(f"--tile {missing[0]}: no such tile, expected one of {', '.join(known)}")
    chosen = [known[n] for n in named] or list(points(quick))
    if clock_ns is not None and not liberty:
        raise InputError("--clock-ns without --liberty: rows of a node are all at its own clock")
    if liberty and nodes:
        raise InputError("--node with --liberty: expected one of them")
    if liberty:
        nodes = (name,)
        _cells(name, liberty)
    for node in nodes or NODES:
        for tile in chosen:
            if path is not None and (tile.weight.bits, tile.abits) != (4, 4):
                continue
            place = key(tile, node, (path and Path(path).name) or "gaussian")
            if place not in held["rows"]:
                tasks.append((place, _Task(tile, node, path, liberty, clock_ns)))
    held |= {"made_by": "python -m hw.search", "versions": versions(("amaranth", "pyosys"))}
    with ProcessPoolExecutor(jobs) as pool:
        for (place, _), row in zip(tasks, pool.map(_one, [task for _, task in tasks]), strict=True):
            held["rows"][place] = row
            write_text(output, json.dumps(held, indent=1, sort_keys=True) + "\n")
            click.echo(
                f"{place.rsplit(' ', 2)[0]}: {row['area_per_mac_um2']:.1f} um2, {row['energy_per_mac_fj']:.1f} fJ, "
                f"{row['energy_held_per_mac_fj']:.1f} fJ held, {row['delay_ns']:.2f} ns"
            )


if __name__ == "__main__":
    run(main, "python -m hw.search")
