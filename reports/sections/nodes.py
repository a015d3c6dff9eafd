"""The section on nodes: the processing elements with every cell library."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from hw.nodes import NODES
from reports import elements
from reports.blocks import Section, Table, pick
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

    def ratio(node: str, key: str) -> float:
        post, whole = (pick(units, node=node, grid=grid, wbits=4)[0] for grid in ("post", "int"))
        return float(post[key] / whole[key])

    against = "; ".join(
        f"{node} {ratio(node, 'area_um2'):.2f} of the area and {ratio(node, 'energy_per_mac_fj'):.2f} of the energy"
        for node in NODES
        if pick(units, node=node)
    )
    table = [
        [
            u["node"], elements.name_of(u), elements.fraction_of(u), f"{u['area_um2']:.1f}", f"{u['delay_ns']:.2f}",
            f"{u['energy_per_mac_fj']:.1f}",
        ]
        for u in units
    ]  # fmt: skip
    return Section(
        "Three nodes",
        [
            Table(
                "Processing elements on every node",
                ["node", "PE", "F", "area µm²", "delay ns", "fJ/MAC"],
                table,
                f"A lone POST4 element against int4's: {against}.",
                "Measured here as on the first node, each at its own default clock.",
            )
        ],
    )
