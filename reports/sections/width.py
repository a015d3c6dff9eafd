"""The section on bit-widths: the share of the energy that MACs take, and area, energy and accuracy together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt

from reports.blocks import Figure, Row, Section, Table, pick
from reports.figures import STYLE, label_points, panels, to_svg
from reports.palette import ACCENT, FRONT, GRIDS
from reports.scope import BITS, GRIDS_COMPARED, Request
from reports.simulations import meets_clock
from reports.tiles.pareto import Tiles, smallest, trained_points
from reports.tiles.rows import HELD

LITTLE = 0.1
"""MACs that take less than this share of the energy are said not to matter."""


ACCOUNTS = (
    ("tile", False, "s--", "tile"),
    ("registers", True, "^:", "tile with weight registers"),
)
"""Key, whether a tile has weight registers, the line's style and its name."""


def rows(request: Request, data: Mapping[str, Any]) -> dict[str, Any]:
    """None of its own: totals, tiles and accuracies are there."""
    return {}


def shares(totals: Sequence[Row], tiles: Mapping[str, Tiles]) -> list[dict[str, Any]]:
    """By network, grid and width: the MACs' share of an image's energy, as elements and as a tile of each account."""
    rows: list[dict[str, Any]] = []
    for t in totals:
        rest = t["energy_uj"] - t["mac_uj"]
        row = {
            "network": t["network"], "grid": t["grid"], "wbits": t["wbits"], "rest_uj": rest,
            "element_uj": t["mac_uj"], "element_share": t["mac_uj"] / t["energy_uj"],
        }  # fmt: skip
        for account, smallest_tiles in tiles.items():
            tile = smallest_tiles.get((t["grid"], t["wbits"]))
            tile_uj = t["macs"] * tile[HELD] * 1e-9 if tile else None
            row[f"{account}_uj"] = tile_uj
            row[f"{account}_share"] = None if tile_uj is None else tile_uj / (tile_uj + rest)
        rows.append(row)
    return rows


def threshold(rows: Sequence[Row], network: str, grid: str, key: str) -> int | None:
    """The most bits from which on down MACs take less than :data:`LITTLE` of the energy; None if they never do."""
    most = None
    for bits, share in _by_bits(rows, network, grid, key):
        if share >= LITTLE:
            break
        most = bits
    return most


def _by_bits(rows: Sequence[Row], network: str, grid: str, key: str) -> list[tuple[int, float]]:
    return sorted((r["wbits"], r[key]) for r in pick(rows, network=network, grid=grid) if r[key] is not None)


def share_lines(rows: Sequence[Row], networks: Sequence[str]) -> str:
    """Share of MACs against bits, a panel per network."""
    with plt.rc_context(STYLE):
        figure, axes = panels(len(networks), sharey=True)
        accounts = ((f"{account}_share", style, name) for account, _, style, name in ACCOUNTS)
        lines = (("element_share", "o-", "element"), *accounts)
        for axis, network in zip(axes, networks, strict=True):
            for grid in GRIDS_COMPARED:
                for key, style, name in lines:
                    mine = _by_bits(rows, network, grid, key)
                    if len(mine) > 1:
                        axis.plot(
                            [bits for bits, _ in mine],
                            [100 * share for _, share in mine],
                            style,
                            ms=4,
                            color=GRIDS[grid].colour,
                            label=f"{GRIDS[grid].label}, {name}",
                        )
            axis.axhline(100 * LITTLE, color="#777777", linewidth=0.8)
            axis.set_title(network)
            axis.set_xlabel("bits of weights and activations")
            axis.set_xticks(BITS)
        axes[0].set_ylabel("MACs' share of the energy (%)")
        axes[0].set_ylim(bottom=0)
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, fontsize=7, loc="outside right upper")
        return to_svg(figure, "mac-share")


def pareto(accounts: Mapping[str, Sequence[Row]], full: float) -> str:
    """Accuracy against area and against energy, the front of each as a line; a row of panels per account."""
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(
            len(accounts),
            2,
            figsize=(9.5, 3.4 * len(accounts)),
            layout="constrained",
            sharey=True,
            squeeze=False,
        )
        for axis, points, key, label in (
            (axes[i][j], points, key, f"{words}, {name}")
            for i, (name, points) in enumerate(accounts.items())
            for j, (key, words) in enumerate((("area", "µm²/MAC"), ("energy", "fJ/MAC held")))
        ):  # fmt: skip
            front = sorted((p[key], p["accuracy"]) for p in points if p[f"{key}_front"])
            axis.plot(*zip(*front, strict=True), color=FRONT, linewidth=1, zorder=1)
            seen: set[str] = set()
            for p in points:
                axis.scatter(
                    p[key], p["accuracy"], color=GRIDS[p["grid"]].colour, s=34, zorder=3,
                    label=None if p["grid"] in seen else GRIDS[p["grid"]].label,
                )  # fmt: skip
                seen.add(p["grid"])
            axis.axhline(full, color=ACCENT, linewidth=0.8)
            axis.set_xlabel(label)
            axis.margins(x=0.15, y=0.15)
            if key == "area":
                axis.set_ylabel("ResNet-20, test images, %")
        axes[0][0].legend(title="Weight grid", fontsize=7, loc="lower right")
        for i, points in enumerate(accounts.values()):
            for j, key in enumerate(("area", "energy")):
                label_points(
                    axes[i][j], [(p[key], p["accuracy"]) for p in points], [f"{p['bits']}" for p in points]
                )
        return to_svg(figure, "pareto")


HEADER = (
    "network", "grid", "bits", "memory and leakage µJ", "MAC µJ, element", "share", "MAC µJ, tile", "share",
    "MAC µJ, tile with weight registers", "share",
)  # fmt: skip


def table_row(r: Row) -> list[Any]:
    """The cells of a row of :func:`shares` below :data:`HEADER`."""

    def shown(account: str) -> list[str]:
        energy = r[f"{account}_uj"]
        return ["–", "–"] if energy is None else [f"{energy:.1f}", f"{100 * r[f'{account}_share']:.0f}%"]

    cells = [
        cell for account in ("element", *(account for account, *_ in ACCOUNTS)) for cell in shown(account)
    ]
    return [r["network"], r["grid"], r["wbits"], f"{r['rest_uj']:.1f}", *cells]


def threshold_rows(rows: Sequence[Row], networks: Sequence[str]) -> list[list[Any]]:
    """:func:`threshold` by network and grid, a cell per account; a dash where there is none."""
    return [
        [
            network,
            grid,
            *(threshold(rows, network, grid, f"{account}_share") or "–" for account, *_ in ACCOUNTS),
        ]
        for network in networks
        for grid in GRIDS_COMPARED
    ]


def _area_energy_accuracy(
    accounts: Mapping[str, Sequence[Row]], accuracy: Sequence[Row], source: str
) -> Figure:
    return Figure(
        "Area, energy and accuracy",
        pareto(accounts, next(r["test_accuracy"] for r in accuracy if r["quantizer"] == "fp32")),
        "Each point is a grid at its bits: the smallest tile, and ResNet-20 trained with it (line: full precision); the area counts the "
        "correction's adder. The grey line joins those that no other beats in both. At 4 bits POST was trained with the table that the tile "
        "rounds, at 3 bits not, nor was post-gap.",
        f"{source} Accuracy: trained here (python -m asq_sw.studies.accuracies).",
    )


def section(data: Mapping[str, Any]) -> Section:
    """A figure and a table of shares; area, energy and accuracy where networks were trained."""
    node, networks = data["options"]["node"], data["networks"]
    tiles = {account: smallest(data["tiles"], node, registers) for account, registers, _, _ in ACCOUNTS}
    share_rows = shares([t for t in data["totals"] if meets_clock(t)], tiles)
    source = (
        f"Measured here: processing elements and, with weights held, the smallest 16 x 16 tile of each grid and width on "
        f"{node}, without and with weight registers of its own. SRAM, DRAM and leakage as in the section before."
    )
    caption = (
        f"How much of an image's energy the MACs take, memory unchanged; below {100 * LITTLE:.0f}% (the line) they are said not to "
        "matter. The fewer the bits, the more it is memory that counts: what remains is moved, not multiplied."
    )
    blocks: list[Figure | Table] = [
        Figure("Where MACs stop to matter", share_lines(share_rows, networks), caption, source),
        Table(
            "MACs against memory by width",
            HEADER,
            [table_row(r) for r in share_rows],
            "Energy of one image; what misses the clock is left out.",
            source,
        ),
        Table(
            "From how many bits down MACs do not matter",
            ["network", "grid", *(name for _, _, _, name in ACCOUNTS)],
            threshold_rows(share_rows, networks),
            "The most bits from which on down MACs take less than the line; a dash where they never do.",
            source,
        ),
    ]
    accounts = {
        name: points
        for account, _, _, name in ACCOUNTS
        if (points := trained_points(tiles[account], data["accuracy"]))
    }
    if accounts:
        blocks.append(_area_energy_accuracy(accounts, data["accuracy"], source))
    return Section("Bit by bit: where MACs stop to matter", blocks, ("totals", "tiles", "accuracy"))
