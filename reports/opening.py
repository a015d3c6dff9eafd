"""What the page opens with: grid by bits at all nodes, who wins, one picture, and three sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import mean, stdev
from typing import Any

import matplotlib.pyplot as plt

from hw.nodes import NODES
from reports import machines
from reports.blocks import Figure, Opening, Row, Table, pick
from reports.figures import STYLE, label_points, to_svg
from reports.machines import COSTS, LEVEL, format_name, joined
from reports.palette import ACCENT, FRONT, GRIDS, in_order
from reports.scope import TRAINED, Request
from reports.tiles.compare import Spread, distinct, ratio_rows
from reports.tiles.rows import AREA, BASELINE, HELD, STREAMING
from reports.trained import carried, name_of, proven_differences, seeds_of

ACCURACIES = ("accuracy", "accuracy_grids")
CLEAR = 0.1
"""Areas whose ratio is within this of 1, over all nodes, are said to be level."""
HEADERS = ("µm²/MAC", "fJ/MAC", "µJ/image")
MARK = "★"
NEEDS = frozenset({"summary", "machines", "units", "tiles", "tiles_fronts", "accuracy", "accuracy_grids"})
"""Keys of the report's data that it is drawn from; with other sections than the page's it is left out."""


def rows(request: Request, data: Mapping[str, Any]) -> dict[str, Any]:
    """:func:`reports.machines.rows`."""
    return machines.rows(request, {name: carried(name) for name in ACCURACIES})


def network_of(data: Mapping[str, Any]) -> str:
    """Whose energy stands in the table: the trained network if the report is of it, else the report's first."""
    names = data["networks"]
    return TRAINED if TRAINED in names else str(names[0])


def accuracy_cell(seeds: Sequence[float]) -> str:
    """The mean of the seeds, with its standard error where there are several."""
    if not seeds:
        return "–"
    error = f" ± {stdev(seeds) / len(seeds) ** 0.5:.2f}" if len(seeds) > 1 else ""
    return f"{mean(seeds):.2f}{error} ({len(seeds)})"


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:#.3g}" if value < 100 else f"{value:.1f}"


def table(data: Mapping[str, Any]) -> Table:
    """A line per grid and width: three costs at each node, accuracy, and of how many columns it has the least."""
    network = network_of(data)
    rows = joined(data["summary"], data["machines"], network)
    lines = []
    for sample in (r for r in rows if r["node"] == rows[0]["node"]):
        mine = pick(rows, grid=sample["grid"], wbits=sample["wbits"])
        cells = [
            (_figure(r[cost]) + (f" {MARK}" if cost in r["best"] else "")) if r["meets_clock"] else "late"
            for r in mine
            for cost in COSTS
        ]
        accuracy = accuracy_cell(seeds_of(sample["grid"], sample["wbits"], data))
        alone = len(pick(rows, node=sample["node"], wbits=sample["wbits"])) == 1
        wins = "–" if alone else f"{sum(len(r['best']) for r in mine)} of {len(cells)}"
        lines.append([format_name(sample), *cells, accuracy, wins])
    nodes = [(f"{node.label} ({node.name})", len(COSTS)) for node in NODES.values()]
    return Table(
        "Every grid by bits, as part of a tile",
        ["grid, bits", *(HEADERS * len(nodes)), "accuracy, % (seeds)", "least cost in"],
        lines,
        f"{MARK}: the least of its width, or within {100 * LEVEL:.0f}% of it; late: the tile misses its node's clock, and no figure "
        f"is quoted. Area and energy of a MAC in a tile, energy of the whole machine for an image of {network}, "
        "accuracy of ResNet-20 on CIFAR-10. The sections below have each figure's conditions.",
        "Measured here and carried: tiles of 16 x 16 with weight registers, at their node's default clock. Computed here: closed "
        f"form, array of {data['options']['rows']}x{data['options']['cols']}. Published elsewhere: energy of SRAM and DRAM. Trained here: accuracy, as "
        "many bits for activations as for weights.",
        groups=[("", 1), *nodes, ("", 2)],
    )


def points(data: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A mark per format that meets its clock at the report's node and was trained; ``front``: none is better in both."""
    rows = joined(data["summary"], data["machines"], network_of(data))
    found = [
        dict(r)
        for r in pick(rows, node=data["options"]["node"], meets_clock=True)
        if r["accuracy"] is not None
    ]
    for p in found:
        p["front"] = not any(
            q["accuracy"] >= p["accuracy"]
            and q["energy_uj"] <= p["energy_uj"]
            and (q["accuracy"], -q["energy_uj"]) != (p["accuracy"], -p["energy_uj"])
            for q in found
        )
    return found


def draw(marks: Sequence[Row], full: float, network: str) -> str:
    """Accuracy against energy per image, area as the mark's area, the front as a line."""
    with plt.rc_context(STYLE | {"axes.grid.axis": "both", "font.size": 10}):
        figure, axis = plt.subplots(figsize=(5.6, 4.2), layout="constrained")
        front = sorted((p["energy_uj"], p["accuracy"]) for p in marks if p["front"])
        axis.plot([x for x, _ in front], [y for _, y in front], color=FRONT, linewidth=1.2, zorder=1)
        largest = max((p["area_per_mac_um2"] for p in marks), default=1.0)
        for grid in in_order(p["grid"] for p in marks):
            mine = pick(marks, grid=grid)
            axis.scatter(
                [p["energy_uj"] for p in mine],
                [p["accuracy"] for p in mine],
                s=[130 * p["area_per_mac_um2"] / largest for p in mine],
                color=GRIDS[grid].colour,
                alpha=0.85,
                edgecolors="#ffffff",
                linewidths=0.5,
                zorder=3,
            )
        axis.axhline(full, color=ACCENT, linewidth=0.9)
        axis.set_xlim(0, 1.15 * max((p["energy_uj"] for p in marks), default=1.0))
        axis.margins(y=0.12)
        axis.set_xlabel(f"energy per image of {network}, µJ")
        axis.set_ylabel("accuracy of ResNet-20, % (line: 32-bit floats)")
        label_points(
            axis,
            [(p["energy_uj"], p["accuracy"]) for p in marks],
            [format_name(p) for p in marks],
            size=8,
            radius=6,
        )
        return to_svg(figure, "opening")


def _list(values: Sequence[float]) -> str:
    texts = [f"{value:.2f}" for value in values]
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} and {texts[-1]}"


def _tiles(data: Mapping[str, Any]) -> str:
    """POST4's tiles against int4's, from the fronts."""
    ratios = ratio_rows(distinct(data["tiles"], data["tiles_fronts"]))
    mine = [r for r in ratios if r["name"] == "post4 F0" and r["node"] in NODES]
    of: dict[str, list[float]] = {
        name: [spread.median for r in mine if isinstance(spread := r[name], Spread)]
        for name in (AREA, HELD, STREAMING)
    }
    if not of[AREA] or not of[HELD]:
        return "As tiles, POST and int of 4 bits cannot be compared: too few are measured."
    level = all(abs(value - 1) <= CLEAR + 0.005 for value in of[AREA])
    word = "is level with" if level else "is smaller than" if mean(of[AREA]) < 1 else "is larger than"
    more = (
        ", and more energy with weights streaming"
        if of[STREAMING] and min(of[STREAMING]) > max(of[HELD])
        else ""
    )
    return (
        f"In a tile, which shares its table, POST of 4 bits {word} {BASELINE}4: {_list(of[AREA])} of its area and "
        f"{_list(of[HELD])} of its energy with weights held, at {', '.join(r['node'] for r in mine)} (medians over equal "
        f"clocks){more}."
    )


def _elements(data: Mapping[str, Any]) -> str:
    """POST4's lone element against int4's."""
    post, whole = (pick(data["units"], grid=grid, wbits=4)[0] for grid in ("post", BASELINE))
    area = post["area_per_mac_um2"] / whole["area_per_mac_um2"]
    energy = post["energy_per_mac_fj"] / whole["energy_per_mac_fj"]
    word = "wins" if max(area, energy) < 1 else "loses" if min(area, energy) > 1 else "wins one and loses one"
    return (
        f"As a lone element, with a multiplier and registers of its own, it {word}: {area:.2f} of int4's area and {energy:.2f} of "
        f"its energy at {post['node']}."
    )


def _choice(data: Mapping[str, Any]) -> str:
    """What decides instead: accuracy's proven differences, fewer bits, and memory inside its published range."""
    network = network_of(data)
    four = {grid: seeds_of(grid, 4, data) for grid in GRIDS}
    compared = [grid for grid, seeds in four.items() if len(seeds) > 1]
    proven = proven_differences(four)
    accuracy = (
        f"no difference that the seeds prove ({', '.join(f'{g} {mean(four[g]):.2f}' for g in sorted(compared, key=lambda g: -mean(four[g])))})"
        if not proven
        else "differences that the seeds prove: " + ", ".join(f"{a} over {b}" for a, b in proven)
    )
    mine = pick(data["machines"], network=network, node=data["options"]["node"], meets_clock=True)
    of = {(r["grid"], r["wbits"]): r for r in mine}
    text = f"Accuracy at 4 bits shows {accuracy}"
    if ("post", 4) in of and (BASELINE, 4) in of:
        ends = sorted(
            of["post", 4][key] / of[BASELINE, 4][key]
            for key in ("energy_uj", "memory_low_uj", "memory_high_uj")
        )
        text += (
            f", and an image of {network} takes {ends[0]:.2f} to {ends[-1]:.2f} of int4's energy whatever memory costs within "
            "what is published"
        )
    if (BASELINE, 3) in of and (BASELINE, 4) in of:
        less = of[BASELINE, 3]["energy_uj"] / of[BASELINE, 4]["energy_uj"]
        text += f": a bit fewer, at {less:.2f} of the energy, changes more than another grid"
    return text + "."


def opening(data: Mapping[str, Any]) -> Opening:
    """The table, the conclusions and the picture, from the whole data of ``report.json``."""
    network = network_of(data)
    full = [r["test_accuracy"] for r in data["accuracy"] if name_of(r) == "fp32"]
    picture = Figure(
        "Accuracy against energy per image",
        draw(points(data), mean(full), network),
        "Up and to the left is better; a mark's size is the area per MAC, and the line joins those that no other beats in both. Only grids and "
        "widths that were trained and whose tile meets the clock are drawn. The marks' figures are in the table above.",
        f"As the table, at {data['options']['node']}.",
    )
    return Opening(
        table(data), (_tiles(data), _elements(data), _choice(data)), picture, ("summary", "machines")
    )
