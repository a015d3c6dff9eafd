"""The section on the memory models: beside published points that they were not made from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reports.blocks import Row, Section, Table
from reports.scope import Request


def rows(request: Request, data: Mapping[str, Any]) -> dict[str, Any]:
    """``memory``: a row per published point."""
    from sim.studies.memory_checks import checks

    return {
        "memory": [
            {
                "what": c.what, "unit": c.unit, "model": c.model, "published_low": c.published[0],
                "published_high": c.published[1], "off": c.off, "source": c.source,
            }
            for c in checks()
        ]
    }  # fmt: skip


def _number(value: float) -> str:
    return f"{value:,.4g}" if value < 1000 else f"{value:,.0f}"


def _published(row: Row) -> str:
    low, high = _number(row["published_low"]), _number(row["published_high"])
    return low if row["published_low"] == row["published_high"] else f"{low} to {high}"


def section(data: Mapping[str, Any]) -> Section:
    """A table."""
    points = data["memory"]
    table = [
        [f"{r['what']}, {r['unit']}", _number(r["model"]), _published(r), f"{100 * r['off']:+.0f}%", r["source"]]
        for r in points
    ]  # fmt: skip
    return Section(
        "Memory models",
        [
            Table(
                "SRAM and DRAM against published points",
                ["what", "model", "published", "off", "source"],
                table,
                "The models were not made from these points.",
                "Published elsewhere: sources in the table; the models' own in docs/memory.md.",
            )
        ],
        ("memory",),
    )
