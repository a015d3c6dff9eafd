"""The section on bit-widths: the share of the energy that MACs take, and area, energy and accuracy together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt

from reports.figures import GRID_COLOURS, STYLE, to_svg
from reports.sections import tiles as broadcast
from reports.sections.accuracy import TILE_GRIDS, taught

Row = Mapping[str, Any]
LITTLE = 0.1
"""MACs that take less than this share of the energy are said not to matter."""


ACCOUNTS = (
    ("tile", False, "s--", "tile"),
    ("registers", True, "^:", "tile with weight registers"),
)
"""Key, whether a tile has weight registers, the line's style and its name."""

Tiles = Mapping[tuple[str, int], Row]


def best_tiles(
    rows: Sequence[Row], node: str, registers: bool = False
) -> dict[tuple[str, int], dict[str, Any]]:
    """(grid, bits) -> the tile of 16 x 16 with the least area (:func:`reports.sections.tiles.compared`), of rows of one clock.

    The area counts the correction's adder.
    """
    found: dict[tuple[str, int], dict[str, Any]] = {}
    for r in sorted(broadcast.compared(rows, node, registers), key=broadcast.area):
        found.setdefault((r["grid"], r["wbits"]), dict(r))
    return found


def shares(totals: Sequence[Row], tiles: Mapping[str, Tiles]) -> list[dict[str, Any]]:
    """By network, grid and width: the MACs' share of an image's energy, as elements and as a tile of each account."""
    rows: list[dict[str, Any]] = []
    for t in totals:
        rest = t["energy_uj"] - t["mac_uj"]
        row = {
            "network": t["network"], "grid": t["grid"], "wbits": t["wbits"], "rest_uj": rest,
            "element_uj": t["mac_uj"], "element_share": t["mac_uj"] / t["energy_uj"],
        }  # fmt: skip
        for account, held in tiles.items():
            tile = held.get((t["grid"], t["wbits"]))
            tile_uj = t["macs"] * tile["energy_held_per_mac_fj"] * 1e-9 if tile else None
            row[f"{account}_uj"] = tile_uj
            row[f"{account}_share"] = None if tile_uj is None else tile_uj / (tile_uj + rest)
        rows.append(row)
    return rows


def threshold(rows: Sequence[Row], network: str, grid: str, key: str) -> int | None:
    """The most bits from which on down MACs take less than :data:`LITTLE` of the energy; None if they never do."""
    mine = sorted(
        (r["wbits"], r[key])
        for r in rows
        if (r["network"], r["grid"]) == (network, grid) and r[key] is not None
    )
    found = None
    for bits, share in mine:
        if share >= LITTLE:
            break
        found = bits
    return found


def share_lines(rows: Sequence[Row], networks: Sequence[str]) -> str:
    """Share of MACs against bits, a panel per network."""
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(
            1,
            len(networks),
            figsize=(4.75 * len(networks), 3.2),
            layout="constrained",
            squeeze=False,
            sharey=True,
        )
        for axis, network in zip(axes[0], networks, strict=True):
            for grid in ("post", "int", "pot"):
                accounts = ((f"{account}_share", style, name) for account, _, style, name in ACCOUNTS)
                for key, style, name in (("element_share", "o-", "element"), *accounts):
                    mine = sorted(
                        (r["wbits"], 100 * r[key])
                        for r in rows
                        if (r["network"], r["grid"]) == (network, grid) and r[key] is not None
                    )
                    if len(mine) > 1:
                        axis.plot(
                            *zip(*mine, strict=True),
                            style,
                            ms=4,
                            color=GRID_COLOURS[grid],
                            label=f"{grid}, {name}",
                        )
            axis.axhline(100 * LITTLE, color="#777777", linewidth=0.8)
            axis.set_title(network)
            axis.set_xlabel("bits of weights and activations")
            axis.set_xticks([2, 3, 4, 8])
        axes[0][0].set_ylabel("MACs' share of the energy (%)")
        axes[0][0].set_ylim(bottom=0)
        handles, labels = axes[0][0].get_legend_handles_labels()
        figure.legend(handles, labels, fontsize=7, loc="outside right upper")
        return to_svg(figure, "mac-share")


def _as_rounded(row: Row, tile: Row) -> bool:
    """Whether a network was trained with the products that a tile rounds."""
    return bool(row["rounded"] == "True" and row["frac_bits"] == str(tile["frac_bits"]))


def trained_points(tiles: Tiles, accuracy: Sequence[Row]) -> list[dict[str, Any]]:
    """A point per grid and width that has both a measured tile and a trained network (seed 0), and which are best."""
    points = []
    for r in accuracy:
        grid = TILE_GRIDS.get(r["quantizer"])
        if grid is None or taught(r) or r["seed"] != "0" or r["wbits"] != r["abits"]:
            continue
        tile = tiles.get((grid, int(r["wbits"])))
        if tile is None:
            continue
        alike = [o for o in accuracy if (o["quantizer"], o["wbits"]) == (r["quantizer"], r["wbits"])]
        if any(_as_rounded(o, tile) for o in alike) and not _as_rounded(r, tile):
            continue  # what was trained with the tile's rounding stands for it
        points.append(
            {
                "grid": grid, "bits": int(r["wbits"]), "accuracy": r["test_accuracy"],
                "area": broadcast.area(tile), "energy": tile["energy_held_per_mac_fj"],
            }
        )  # fmt: skip
    for p in points:
        for axis in ("area", "energy"):
            p[f"{axis}_front"] = not any(
                (q["accuracy"] >= p["accuracy"] and q[axis] <= p[axis])
                and (q["accuracy"] > p["accuracy"] or q[axis] < p[axis])
                for q in points
            )
    return points


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
            axis.plot(*zip(*front, strict=True), color="#999999", linewidth=1, zorder=1)
            seen: set[str] = set()
            for p in points:
                axis.scatter(
                    p[key], p["accuracy"], color=GRID_COLOURS[p["grid"]], s=34, zorder=3,
                    label=None if p["grid"] in seen else p["grid"],
                )  # fmt: skip
                axis.annotate(
                    f"{p['bits']}",
                    (p[key], p["accuracy"]),
                    fontsize=7,
                    xytext=(4, 4),
                    textcoords="offset points",
                )
                seen.add(p["grid"])
            axis.axhline(full, color="#D55E00", linewidth=0.8)
            axis.set_xlabel(label)
            axis.margins(x=0.15, y=0.15)
            if key == "area":
                axis.set_ylabel("ResNet-20, test images, %")
        axes[0][0].legend(title="Weight grid", fontsize=7, loc="lower right")
        return to_svg(figure, "pareto")


def section(data: Mapping[str, Any], networks: Sequence[str]) -> dict[str, Any]:
    """Title, figures and table."""
    node = data["options"]["node"]
    tiles = {account: best_tiles(data["tiles"], node, registers) for account, registers, _, _ in ACCOUNTS}
    rows = shares(data["totals"], tiles)

    def words(network: str, grid: str) -> str:
        ends = []
        for account, _, _, name in ACCOUNTS:
            found = threshold(rows, network, grid, f"{account}_share")
            ends.append(f"as a {name} {f'from {found} bits down' if found else 'at none of these widths'}")
        return f"{network}, {grid}: {', '.join(ends)}"

    caption = (
        f"How much of an image's energy the MACs take, memory unchanged; below {100 * LITTLE:.0f}% (the line) they are "
        "said not to matter. They take less than that for " + "; ".join(words(n, g) for n in networks for g in ("int", "post")) + ". "
        "The fewer the bits, the more it is memory that counts: what remains is moved, not multiplied."
    )  # fmt: skip
    source = (
        f"Measured here: processing elements and, with weights held, the smallest 16 x 16 tile of each grid and width on "
        f"{node}, without and with weight registers of its own. SRAM, DRAM and leakage as in the section before."
    )
    header = [
        "network",
        "grid",
        "bits",
        "memory and leakage µJ",
        "MAC µJ, element",
        "share",
        "MAC µJ, tile",
        "share",
        "MAC µJ, tile with weight registers",
        "share",
    ]

    def shown(r: Row, account: str) -> list[str]:
        found = r[f"{account}_uj"]
        return ["–", "–"] if found is None else [f"{found:.1f}", f"{100 * r[f'{account}_share']:.0f}%"]

    table = [
        [
            r["network"], r["grid"], r["wbits"], f"{r['rest_uj']:.1f}", f"{r['element_uj']:.1f}",
            f"{100 * r['element_share']:.0f}%", *shown(r, "tile"), *shown(r, "registers"),
        ]
        for r in rows
    ]  # fmt: skip
    blocks: list[dict[str, Any]] = [
        {"svg": share_lines(rows, networks), "name": "Where MACs stop to matter", "caption": caption, "source": source},
        {
            "svg": "", "name": "MACs against memory by width", "header": header, "rows": table,
            "caption": "Energy of one image.", "source": source,
        },
    ]  # fmt: skip
    accounts = {
        name: points
        for account, _, _, name in ACCOUNTS
        if (points := trained_points(tiles[account], data["accuracy"]))
    }
    if accounts:
        full = next(r["test_accuracy"] for r in data["accuracy"] if r["quantizer"] == "fp32")
        front = "; ".join(
            f"{name}: "
            + ", ".join(
                f"{p['grid']} {p['bits']}" for p in sorted(points, key=lambda p: p["area"]) if p["area_front"]
            )
            for name, points in accounts.items()
        )
        blocks.append(
            {
                "svg": pareto(accounts, full), "name": "Area, energy and accuracy",
                "caption": f"Each point is a grid at its bits: the smallest tile, and ResNet-20 trained with it (line: full "
                f"precision); the area counts the correction's adder. No other point is both smaller and more accurate than {front}. "
                "At 4 bits POST was trained with the table that the tile rounds, at 3 bits not, nor was post-gap; grids without a "
                "trained network yet are not drawn.",
                "source": f"{source} Accuracy: trained here (python -m asq_sw.studies.accuracies).",
            }
        )  # fmt: skip
    return {"title": "Bit by bit: where MACs stop to matter", "blocks": blocks}
