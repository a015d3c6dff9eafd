"""The section on what memory costs: how far the conclusion moves inside the range of published figures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hw.nodes import NODES
from reports.blocks import Row, Section, Table
from reports.machines import LEVEL
from reports.scope import Request
from reports.tiles.rows import BASELINE

CASES = (
    ("lowest published", "memory_low_uj"),
    ("as modelled", "energy_uj"),
    ("highest published", "memory_high_uj"),
)
"""What memory is taken to cost, and the machines' figure for it."""


def rows(request: Request, data: Mapping[str, Any]) -> dict[str, Any]:
    """``memory_ranges``: by node, the published energies over the modelled ones, lowest and highest."""
    from sim import Accelerator
    from sim.studies.memory_checks import published_range

    dram = published_range("dram", Accelerator(node=request.options.node).dram)
    return {
        "memory_ranges": [
            {
                "node": node,
                "sram_low": sram[0],
                "sram_high": sram[1],
                "dram_low": dram[0],
                "dram_high": dram[1],
            }
            for node in NODES
            for sram in [published_range("sram", node)]
        ]
    }


def moved(machines: list[Row]) -> list[list[Any]]:
    """By network, node, width and case: int's energy, the MACs' share of it, POST over int, and who takes the least."""
    lines: list[list[Any]] = []
    able = [m for m in machines if m["meets_clock"]]
    for network, node, bits in dict.fromkeys((m["network"], m["node"], m["wbits"]) for m in able):
        mine = {m["grid"]: m for m in able if (m["network"], m["node"], m["wbits"]) == (network, node, bits)}
        if not {"post", BASELINE} <= mine.keys():
            continue
        whole = mine[BASELINE]
        for case, figure in CASES:
            least = min(m[figure] for m in mine.values())
            winners = [grid for grid, m in mine.items() if m[figure] <= (1 + LEVEL) * least]
            lines.append(
                [
                    network, node, bits, case, f"{whole[figure]:.1f}", f"{100 * whole['mac_uj'] / whole[figure]:.0f}%",
                    f"{mine['post'][figure] / whole[figure]:.3f}", ", ".join(winners),
                ]
            )  # fmt: skip
    return lines


def section(data: Mapping[str, Any]) -> Section:
    """Two tables."""
    shown = [m for m in data["machines"] if m["network"] in data["networks"]]
    source = "Published elsewhere: the points and their sources are in docs/memory.md; the machines as in the section before."
    return Section(
        "What memory costs, and what that changes",
        [
            Table(
                "Published energy of memory over the modelled one",
                ["node", "SRAM, lowest", "SRAM, highest", "DRAM, lowest", "DRAM, highest"],
                [
                    [r["node"], *(f"{r[key]:.2f}" for key in ("sram_low", "sram_high", "dram_low", "dram_high"))]
                    for r in data["memory_ranges"]
                ],
                "Points that the models were not made from. Of SRAM at 7 nm no energy is published, so the widest range of the "
                "other nodes stands for it.",
                source,
            ),
            Table(
                "How far the conclusion moves",
                ["network", "node", "bits", "memory", "int, µJ/image", "MACs' share", "post over int", "least, or level with it"],
                moved(shown),
                "SRAM and DRAM are taken at the same end of their ranges at once. The dearer memory is, the closer all grids of a "
                "width come; another grid that is named last at one end only is where the choice hangs on memory.",
                source,
            ),
        ],
        ("memory_ranges", "machines"),
    )  # fmt: skip
