"""The section on nodes: the processing elements with every cell library."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from hw.nodes import NODES
from reports import elements
from reports.blocks import Row, Section, Table, pick
from reports.scope import Request


def rows(request: Request, data: Mapping[str, Any]) -> dict[str, Any]:
    """``nodes``: the elements' rows at the nodes that are not the report's own."""
    return {
        "nodes": [
            unit
            for node in NODES
            if node != request.options.node
            for unit in request.measure(replace(request.options, node=node), request.step)
        ]
    }


def section(data: Mapping[str, Any]) -> Section:
    """A table."""
    units = [*data["units"], *data["nodes"]]

    def over(row: Row, key: str) -> str:
        (whole,) = pick(units, node=row["node"], grid="int", wbits=row["wbits"])
        return "–" if elements.late(whole) else f"{row[key] / whole[key]:.2f}"

    def figures(u: Row) -> list[str]:
        if elements.late(u):
            return ["–", elements.delay_of(u), *("–",) * 3]
        return [
            f"{u['area_um2']:.1f}", elements.delay_of(u), f"{u['energy_per_mac_fj']:.1f}", over(u, "area_um2"),
            over(u, "energy_per_mac_fj"),
        ]  # fmt: skip

    table = [[u["node"], elements.name_of(u), elements.fraction_of(u), *figures(u)] for u in units]
    return Section(
        "Three nodes",
        [
            Table(
                "Processing elements on every node",
                ["node", "PE", "F", "area µm²", "delay ns", "fJ/MAC", "area / int", "energy / int"],
                table,
                "Lone elements; the last columns are over int's element of the same bits and node.",
                "Measured here as on the first node, each at its own default clock.",
            )
        ],
        ("units", "nodes"),
    )
