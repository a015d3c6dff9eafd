"""Makes ``hw/data/unit_costs.json``, the measured costs that the simulator reads.

python -m hw.studies.unit_costs [--node nangate45 ...] [--jobs N] [-o FILE]
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import click

from asq_sw.console import run
from asq_sw.files import write_text
from asq_sw.formats import MAX_BITS, MIN_BITS, WeightFormat, legal
from asq_sw.provenance import versions
from hw import costs
from hw.carried import UNIT_COSTS
from hw.nodes import NODES
from hw.synth.libraries.library import load
from hw.synth.parallel import Task, measure_all
from hw.units.spec import UnitSpec

FIELDS = (
    "unit",
    "grid",
    "wbits",
    "abits",
    "variant",
    "frac_bits",
    "node",
    "clock_ns",
    "cells",
    "area_um2",
    "area_sequential_um2",
    "delay_ns",
    "leakage_nw",
    "energy_per_mac_fj",
    "energy_fj",
    "glitch_fj",
    "activity",
    "recipe",
    "rtlil_hash",
)
GRIDS = ("post", "int", "pot", "apot", "fp4", "post-gap", "nf4")
EXTRA_FRACTIONS = (0, 1, 3, 4)
"""Fractional bits of 4-bit POST that the table has beside the default."""


def specs() -> Iterator[UnitSpec]:
    """The units of the table: processing elements with as many activation as weight bits, 2 to 8, by grid.

    And 4-bit POST's other F and whole-product table, 4-bit weights with 8-bit activations, and the bare
    multipliers of 4 and 8 bits.
    """
    for bits in range(MIN_BITS, MAX_BITS + 1):
        for grid in GRIDS:
            if legal(grid, bits):
                yield UnitSpec("pe", WeightFormat(grid, bits), bits)
    for fraction in EXTRA_FRACTIONS:
        yield UnitSpec("pe", WeightFormat("post", 4, fraction), 4)
    yield UnitSpec("pe", WeightFormat("post", 4), 4, variant="table")
    yield UnitSpec("pe", WeightFormat("post-gap", 4, 0), 4)
    yield UnitSpec("pe", WeightFormat("post-gap", 4, 0, anchor=6), 4)
    yield UnitSpec("pe", WeightFormat("int", 4, encoding="twos-complement"), 4)
    for grid in GRIDS:
        yield UnitSpec("pe", WeightFormat(grid, 4), 8)
        yield UnitSpec("multiplier", WeightFormat(grid, 4), 4)
    yield UnitSpec("multiplier", WeightFormat("int", 8), 8)


def make(nodes: Iterable[str], jobs: int | None = None) -> dict[str, Any]:
    """Measure all :func:`specs` at ``nodes``, ``jobs`` at a time."""
    wanted = [(spec, node) for node in nodes for spec in specs()]
    measured = measure_all([Task(spec, node) for spec, node in wanted], jobs)
    units = {}
    for (spec, _), cost in zip(wanted, measured, strict=True):
        record = cost.to_json()
        units[costs.key(spec, cost.node)] = {field: record[field] for field in FIELDS}
    return {
        "provenance": {
            "command": "python -m hw.studies.unit_costs --node " + " --node ".join(nodes),
            "versions": versions(),
            "libraries": {
                node: {"sources": load(node).sources, "table": load(node).digest} for node in nodes
            },
            "operands": measured[0].operands if measured else "",
            "wires": measured[0].wires if measured else "",
        },
        "units": dict(sorted(units.items())),
    }


@click.command()
@click.option("--node", "nodes", multiple=True, type=click.Choice(list(NODES)), help="Nodes; by default all.")
@click.option("--jobs", type=click.IntRange(1), help="Units at a time; by default one per core.")
@click.option("-o", "--output", type=click.Path(path_type=Path), default=UNIT_COSTS, show_default=True)
def main(nodes: tuple[str, ...], jobs: int | None, output: Path) -> None:
    """Measure the units and write the table."""
    data = make(nodes or NODES, jobs)
    write_text(output, json.dumps(data, indent=1) + "\n")
    click.echo(f"{output}: {len(data['units'])} units")


if __name__ == "__main__":
    run(main, "python -m hw.studies.unit_costs")
