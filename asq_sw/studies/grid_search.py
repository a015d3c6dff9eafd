"""Which levels a weight grid should have: quantization noise of any set of levels, exactly, and the best sets.

The noise of a grid at scale alpha is a sum over neighbouring levels: of the weights between two levels, the lower
half goes to the lower level and the upper half to the upper one, whatever the other levels are. So the best set of
n levels out of many is a shortest path of n nodes, which dynamic programming finds without a look at each set
(:func:`best_sets`), and a scan of listed sets adds up n costs for each (:func:`scan`).

A *slot* is a level of a datapath with one table line: slot k is ``2**(-k/2)`` for even k, the activation shifted,
and ``c * 2**(-(k+1)/2)`` for odd k, the table ``c * a`` shifted. With c = sqrt(2) every slot k is ``sqrt(2)**-k``;
with c = 1.5, slots 1 2 3 4 5 6 8 are FP4 (E2M1: 12 8 6 4 3 2 1 sixteenths).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import pi, sqrt
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import ndtr

from asq_sw.errors import InputError
from asq_sw.formats import GRID_RECORDS
from asq_sw.sqnr import half_normal_activations

Floats = NDArray[np.float64]
Slots = tuple[int, ...]

SQRT2 = sqrt(2.0)
DENSITIES = ("gaussian", "laplacian", "student5")
"""Student's t has 5 degrees of freedom; all have unit variance."""


# -- densities ---------------------------------------------------------------------------------------------------


def tails(x: Floats, density: str) -> Floats:
    """Integrals of ``p``, ``x p`` and ``x**2 p`` from ``x`` >= 0 on, for magnitudes (both signs counted).

    Parameters
    ----------
    x : array
        In standard deviations; inf allowed.
    density : str
        Of :data:`DENSITIES`.

    Returns
    -------
    Shape (3, *x.shape).
    """
    x = np.asarray(x, np.float64)
    end = np.isinf(x)
    y = np.where(end, 0.0, x)
    if density == "gaussian":
        p = np.exp(-y * y / 2) / sqrt(2 * pi)
        found = np.stack([ndtr(-y), p, ndtr(-y) + y * p])
    elif density == "laplacian":
        b = sqrt(0.5)
        e = np.exp(-y / b) / 2
        found = np.stack([e, e * (y + b), e * (y * y + 2 * b * y + 2 * b * b)])
    elif density == "student5":
        # t = s x with s = sqrt(5/3); u = t**2 / 5. Density of t: c (1 + u)**-3, c = 8 / (3 pi sqrt 5).
        s, c = sqrt(5 / 3), 8 / (3 * pi * sqrt(5))
        t = y * s
        v = 1 + t * t / 5
        # Integrals of (1 + u)**-2 and **-3 from t on, by parts from that of (1 + u)**-1.
        first = sqrt(5) * (pi / 2 - np.arctan(t / sqrt(5)))
        second = (first - t / v) / 2
        third = (3 * second - t / v**2) / 4
        found = np.stack([c * third, c * 5 / 4 / v**2 / s, 5 * c * (second - third) / s**2])
    else:
        raise InputError(f"density is {density!r}, expected one of {', '.join(DENSITIES)}")
    return 2 * np.where(end, 0.0, found)


def draw(density: str, shape: tuple[int, ...], seed: int) -> Floats:
    """Samples of zero mean and unit variance."""
    rng = np.random.default_rng(seed)
    if density == "gaussian":
        return rng.standard_normal(shape)
    if density == "laplacian":
        return rng.laplace(0, sqrt(0.5), shape)
    if density == "student5":
        return rng.standard_t(5, shape) * sqrt(3 / 5)
    raise InputError(f"density is {density!r}, expected one of {', '.join(DENSITIES)}")


# -- grids -------------------------------------------------------------------------------------------------------


def slot_level(slot: int, constant: float = SQRT2) -> float:
    """Magnitude of a slot (see the module), relative to slot 0."""
    return float(2.0 ** -(slot // 2) if slot % 2 == 0 else constant * 2.0 ** -((slot + 1) // 2))


@dataclass(frozen=True)
class LevelSet:
    """Levels of weights.

    Attributes
    ----------
    name : str
    upper : array (n,)
        Levels >= 0, ascending, the largest 1 (or less, where ``lower`` holds the largest).
    lower : array, optional
        Magnitudes of the levels <= 0 where they are others (NF4).
    slots : tuple of int
        Where the grid is one of a datapath with one table line; else empty.
    constant : float
        Of the table line.
    """

    name: str
    upper: Floats
    lower: Floats | None = None
    slots: Slots = ()
    constant: float = SQRT2

    @property
    def halves(self) -> tuple[Floats, Floats]:
        return self.upper, self.upper if self.lower is None else self.lower


def of_slots(name: str, slots: Iterable[int], zero: bool = True, constant: float = SQRT2) -> LevelSet:
    """The grid of some slots, scaled so that the largest level is 1."""
    chosen = tuple(sorted(slots))
    levels = np.array(([0.0] if zero else []) + [slot_level(k, constant) for k in reversed(chosen)])
    if (np.diff(levels) <= 0).any():
        raise InputError(f"slots {chosen} with constant {constant} do not fall, expected 1 < constant < 2")
    return LevelSet(name, levels / levels[-1], slots=chosen, constant=constant)


def whole(name: str, values: Sequence[float]) -> LevelSet:
    """A symmetric grid of magnitudes in any unit."""
    levels = np.array(sorted(set(values)), np.float64)
    return LevelSet(name, levels / levels[-1])


POST_GAP: Slots = (1, 2, 3, 4, 5, 6, 8)
"""The exponents 0 1 2 3 4 5 7 with the smallest level shifted plainly: FP4's slots."""
POST_GAP_TOP: Slots = (0, 1, 2, 3, 4, 5, 7)
"""The same with the largest level shifted plainly."""


def post(bits: int) -> LevelSet:
    """Consecutive exponents, the smallest level plain (as :class:`asq_sw.formats.WeightFormat` has them)."""
    count = 2 ** (bits - 1) - 1
    return of_slots("POST", range((count - 1) % 2, (count - 1) % 2 + count))


def uniform(bits: int) -> LevelSet:
    """int: 0 .. 2**(bits-1) - 1."""
    return whole(f"int{bits}", range(2 ** (bits - 1)))


def pot(bits: int) -> LevelSet:
    """Powers of two: even slots."""
    return of_slots("PoT", range(0, 2**bits - 3, 2))


def fp4() -> LevelSet:
    """E2M1: :data:`POST_GAP` with 1.5 for sqrt(2)."""
    return of_slots("FP4", POST_GAP, constant=1.5)


def nf4() -> LevelSet:
    """NormalFloat; the scale is by least squares here, not by the largest weight."""
    levels = np.array(GRID_RECORDS["nf4"].levels)
    return LevelSet("NF4", levels[levels >= 0], -levels[levels <= 0][::-1])


# -- noise of one grid on a density ------------------------------------------------------------------------------


def edges(levels: Floats) -> Floats:
    """Midpoints of levels >= 0; shape (n - 1,)."""
    return (levels[1:] + levels[:-1]) / 2


def density_noise(
    grid: LevelSet, density: str, alpha: float, seen: tuple[Floats, Floats] | None = None
) -> float:
    """Mean squared error of unit-variance weights at scale ``alpha`` (of level 1, in standard deviations).

    ``seen`` are mean and mean square of what each level of ``upper`` is multiplied to, as :func:`seen_levels`
    gives them; by default the levels themselves.
    """
    total = 0.0
    for levels in grid.halves:
        first, second = seen if seen is not None else (levels, levels**2)
        moments = tails(np.concatenate([[0.0], edges(levels) * alpha, [np.inf]]), density)
        mass, mean, square = moments[:, :-1] - moments[:, 1:]
        total += float((square - 2 * alpha * first * mean + alpha**2 * second * mass).sum()) / 2
    return total


def density_sqnr(
    grid: LevelSet, density: str, seen: tuple[Floats, Floats] | None = None, near: float | None = None
) -> tuple[float, float]:
    """(dB, alpha) at the scale of least error: 480 scales from 0.2 to 120 (or around ``near``), the best refined.

    The error has several local minima in alpha, which lie farther apart than the scanned scales (1.3%).
    """
    around = np.geomspace(0.2, 120.0, 480) if near is None else near * np.geomspace(0.98, 1.02, 5)
    best = int(np.argmin([density_noise(grid, density, a, seen) for a in around]))
    low, high = around[max(best - 1, 0)], around[min(best + 1, len(around) - 1)]
    found = minimize_scalar(
        lambda a: density_noise(grid, density, a, seen), bounds=(low, high), method="bounded", options={"xatol": 1e-7}
    )  # fmt: skip
    return float(-10 * np.log10(found.fun)), float(found.x)


def lloyd(count: int, density: str, zero: bool = True, rounds: int = 3000) -> LevelSet:
    """The best levels of all (Lloyd 1957, Max 1960): ``count`` magnitudes, with zero or without.

    Lloyd's iteration; for log-concave densities it has one fixed point, for Student's t the start is a uniform grid.
    """
    levels = np.linspace(0, 3, count + 1)[1:] if zero else (np.arange(count) + 0.5) * 3 / count
    for _ in range(rounds):
        full = np.concatenate([[0.0], levels]) if zero else levels
        moments = tails(np.concatenate([[0.0], edges(full), [np.inf]]), density)
        mass, mean, _ = moments[:, :-1] - moments[:, 1:]
        levels = (mean / mass)[1 if zero else 0 :]
    return whole("any levels", ([0.0] if zero else []) + list(levels))


# -- the integer product -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Datapath:
    """The products of a grid of slots in integers.

    Attributes
    ----------
    tables : int64 (2**abits, n)
        Product of each activation with each magnitude, the largest slot number (smallest level) first.
    unit : float
        Level 1 of the grid is ``tables / (a * unit)`` up to rounding.
    shifts : tuple of (line, shift)
        By magnitude, as ``tables``: line 0 is ``a << F``, 1 the table, 2 a second table.
    entries : tuple of int64 (2**abits,)
        The lines' values.
    """

    tables: NDArray[np.int64]
    unit: float
    shifts: tuple[tuple[int, int], ...]
    entries: tuple[NDArray[np.int64], ...]

    @property
    def product_bits(self) -> int:
        """Of the widest product, with its sign."""
        return int(self.tables.max()).bit_length() + 1

    @property
    def distances(self) -> tuple[int, ...]:
        """How many different shifts each line has."""
        return tuple(
            len({s for line, s in self.shifts if line == i})
            for i in sorted({line for line, _ in self.shifts})
        )


def datapath(
    slots: Iterable[int], constant: float = SQRT2, frac_bits: int = 0, abits: int = 4, table: str = "finest"
) -> Datapath:
    """Integer products ``(plain ? a << F : table[a]) << shift`` of every magnitude.

    Parameters
    ----------
    slots : int
        See the module. Even slots are plain.
    constant : float
        c of the table line.
    frac_bits : int
        F >= 0.
    abits : int
        Bits of the activation, unsigned.
    table : "finest", "plain" or "second"
        With ``x = c * a * 2**F`` in units of the smallest plain level: "plain" holds ``round(x)``. "finest" holds
        ``round(x * 2**g)``, where g is the least shift of a slot that reads the table: the same bits out of the
        shifter, less rounding (where g > 0), or a single table where a level is smaller than the smallest plain
        one (g < 0). "second" is "plain" with the largest even slot up to the last as the unit, whether a level or
        not; levels below it have tables of their own.
    """
    chosen = sorted(set(slots), reverse=True)
    plain = [k for k in chosen if k % 2 == 0]
    if not plain or frac_bits < 0 or table not in ("finest", "plain", "second"):
        raise InputError(
            f"slots {tuple(chosen)}, F = {frac_bits}, table {table!r}: expected an even slot, F >= 0"
        )
    a = np.arange(1 << abits, dtype=np.int64)
    least = chosen[0] // 2 * 2 if table == "second" else plain[0]
    lines: list[NDArray[np.int64]] = [a << frac_bits]
    odd = {k: (least - k - 1) // 2 for k in chosen if k % 2}
    finest = min(odd.values(), default=0)
    if table == "plain" and finest < 0:
        raise InputError(
            f"slots {tuple(chosen)}: one is below the smallest plain one, expected table 'second'"
        )

    def rounded(power: int) -> NDArray[np.int64]:
        return np.floor(a * constant * 2.0 ** (frac_bits + power) + 0.5).astype(np.int64)

    held = {finest: 1} if table == "finest" else {}
    if odd and table == "finest":
        lines.append(rounded(finest))
    elif odd:
        held = {0: 1}
        lines.append(rounded(0))
        for power in sorted({s for s in odd.values() if s < 0}, reverse=True):
            held[power] = len(lines)
            lines.append(rounded(power))
    shifts = []
    for k in chosen:
        if k % 2 == 0:
            shifts.append((0, (least - k) // 2))
        elif table == "finest":
            shifts.append((1, odd[k] - finest))
        else:
            shifts.append((held[min(odd[k], 0)], max(odd[k], 0)))
    products = np.stack([lines[line] << s for line, s in shifts], axis=1)
    largest = slot_level(chosen[-1], constant) / slot_level(least, constant)
    return Datapath(products, float(largest * 2.0**frac_bits), tuple(shifts), tuple(lines))


def seen_levels(path: Datapath, abits: int = 4, zero: bool = True) -> tuple[Floats, Floats]:
    """Mean level and mean squared level that an activation sees, weighted with its square.

    An activation a meets the level ``table[a] / (a * unit)``; activations are half-normal
    (:func:`asq_sw.sqnr.half_normal_activations`). Shapes (n,), ascending as :attr:`LevelSet.upper`.
    """
    share = half_normal_activations(abits)
    a = np.arange(1 << abits)
    products = path.tables / path.unit
    power = float(share @ a**2)
    first, second = (share * a) @ products / power, share @ products**2 / power
    return (np.concatenate([[0.0], first]), np.concatenate([[0.0], second])) if zero else (first, second)


# -- costs of neighbours, and the best sets of a density -----------------------------------------------------------


@dataclass(frozen=True)
class Costs:
    """Noise between neighbouring levels at every scale.

    Attributes
    ----------
    between : (K, K, A)
        Of weights between the levels of nodes i < j (level i is the larger).
    top, bottom : (K, A)
        Of weights above the level where it is the largest, below it where it is the smallest.
    """

    between: Floats
    top: Floats
    bottom: Floats


def density_costs(levels: Floats, alphas: Floats, density: str, zero: bool) -> Costs:
    """Costs of falling ``levels`` (K,) at the scales ``alphas`` (A,), in standard deviations."""
    x = levels[:, None] * alphas
    at = tails(x, density)

    def error(low: Floats, high: Floats, level: Floats) -> Floats:
        mass, mean, square = low - high
        return square - 2 * level * mean + level**2 * mass

    middle = tails((x[:, None] + x[None, :]) / 2, density)
    between = error(middle, at[:, :, None], x[:, None]) + error(at[:, None], middle, x[None, :])
    start = tails(np.zeros_like(x), density)
    half = tails(x / 2, density)
    bottom = error(half, at, x) + (start - half)[2] if zero else error(start, at, x)
    return Costs(between, error(at, np.zeros_like(at), x), bottom)


@njit(cache=True, nogil=True)
def _paths(between: Any, top: Any, bottom: Any, count: int, keep: int, free: bool) -> Any:  # pragma: no cover
    """The ``keep`` best paths of ``count`` nodes from node 0 (any first node if ``free``) at every scale."""
    nodes, scales = top.shape
    cost = np.full((count, nodes, keep), np.inf)
    came = np.zeros((count, nodes, keep, 2), np.int64)
    values = np.full((scales, keep), np.inf)
    chosen = np.zeros((scales, keep, count), np.int64)
    for a in range(scales):
        cost[:] = np.inf
        for j in range(nodes if free else 1):
            cost[0, j, 0] = top[j, a]
        for c in range(1, count):
            for j in range(c, nodes):
                for i in range(c - 1, j):
                    step = between[i, j, a]
                    for r in range(keep):
                        value = cost[c - 1, i, r] + step
                        if not value < cost[c, j, keep - 1]:
                            break
                        place = keep - 1
                        while place > 0 and cost[c, j, place - 1] > value:
                            cost[c, j, place] = cost[c, j, place - 1]
                            came[c, j, place] = came[c, j, place - 1]
                            place -= 1
                        cost[c, j, place] = value
                        came[c, j, place, 0] = i
                        came[c, j, place, 1] = r
        for j in range(count - 1, nodes):
            for r in range(keep):
                value = cost[count - 1, j, r] + bottom[j, a]
                if not value < values[a, keep - 1]:
                    break
                place = keep - 1
                while place > 0 and values[a, place - 1] > value:
                    values[a, place] = values[a, place - 1]
                    chosen[a, place] = chosen[a, place - 1]
                    place -= 1
                values[a, place] = value
                node, rank = j, r
                for c in range(count - 1, -1, -1):
                    chosen[a, place, c] = node
                    node, rank = came[c, node, rank, 0], came[c, node, rank, 1]
    return values, chosen


SCALES = np.geomspace(0.6, 120.0, 1060)
"""Scanned scales of the largest level, in standard deviations: steps of half a percent."""


@dataclass(frozen=True)
class Found:
    """A set of slots and what it reaches."""

    slots: Slots
    db: float


def best_sets(
    count: int, density: str, zero: bool = True, largest: int = 16, keep: int = 4, constant: float = SQRT2,
    first: int = 0,
) -> list[Found]:  # fmt: skip
    """The ``keep`` best sets of ``count`` slots out of ``first`` .. ``largest`` that hold ``first``, best first.

    Nothing is left out: for each of :data:`SCALES` the best ``keep`` sets of all are found by dynamic programming,
    a set that is among the best over all scales is among the best at its own best scale, and the scale of each
    set so found is then refined as :func:`density_sqnr` does.
    """
    nodes = list(range(first, largest + 1))
    if not 1 <= count <= len(nodes):
        raise InputError(f"{count} levels out of slots {first} to {largest}, expected 1 to {len(nodes)}")
    levels = np.array([slot_level(k, constant) for k in nodes])
    levels /= levels[0]
    costs = density_costs(levels, SCALES, density, zero)
    values, chosen = _paths(costs.between, costs.top, costs.bottom, count, keep, False)
    best: dict[Slots, tuple[float, float]] = {}
    for a, scale in enumerate(SCALES):
        for r in range(keep):
            if np.isfinite(values[a, r]):
                slots = tuple(nodes[i] for i in chosen[a, r])
                best[slots] = min(best.get(slots, (np.inf, 0.0)), (float(values[a, r]), float(scale)))
    ranked = sorted(best.items(), key=lambda item: item[1])[: 2 * keep]
    found = [
        Found(s, density_sqnr(of_slots("", s, zero, constant), density, near=scale)[0])
        for s, (_, scale) in ranked
    ]
    return sorted(found, key=lambda f: -f.db)[:keep]


# -- weights in groups, each with a scale of its own -----------------------------------------------------------------


@dataclass(frozen=True)
class Groups:
    """Weights in groups that have a scale each.

    Attributes
    ----------
    values : float64 (N,)
        Group after group.
    starts : int64 (G + 1,)
    """

    values: Floats
    starts: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.starts) - 1

    def some(self, count: int) -> Groups:
        """At most ``count`` groups, evenly spaced."""
        if count >= len(self):
            return self
        chosen = np.linspace(0, len(self) - 1, count).astype(np.int64)
        sizes = np.diff(self.starts)[chosen]
        values = np.concatenate([self.values[self.starts[i] : self.starts[i + 1]] for i in chosen])
        return Groups(values, np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64))

    @property
    def power(self) -> Floats:
        """Sum of squares by group; shape (G,)."""
        return np.add.reduceat(self.values**2, self.starts[:-1])


def in_groups(matrices: Iterable[NDArray[Any]], size: int | None) -> Groups:
    """Rows of (rows, columns) matrices cut into groups of ``size`` (whole rows for None); a row's last may be short."""
    values, sizes = [], []
    for matrix in matrices:
        rows, columns = matrix.shape
        step = min(size or columns, columns)
        lengths = [step] * (columns // step) + ([columns % step] if columns % step else [])
        sizes += lengths * rows
        values.append(np.asarray(matrix, np.float64).reshape(-1))
    held = np.concatenate(values)
    return Groups(held, np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64))


@njit(cache=True, nogil=True)
def _exact(
    values: Any, starts: Any, track: Any, first: Any, second: Any, tops: Any
) -> Any:  # pragma: no cover
    """Least squared error and scale of every group, over all scales.

    ``track`` (T, 3): edge, side (0 upper, 1 lower), index of the level above the edge in ``first`` and ``second``.
    """
    groups = len(starts) - 1
    noise, scale = np.empty(groups), np.empty(groups)
    tracks = len(track)
    place, end = np.empty(tracks, np.int64), np.empty(tracks, np.int64)
    next_scale = np.empty(tracks)
    for g in range(groups):
        w = values[starts[g] : starts[g + 1]].copy()
        w.sort()
        size = len(w)
        negative = np.searchsorted(w, 0.0)
        magnitudes = np.empty(size)  # the upper side's, then the lower side's, both rising
        upper = size - negative
        for i in range(upper):
            magnitudes[i] = w[negative + i]
        for i in range(negative):
            magnitudes[upper + i] = -w[negative - 1 - i]
        power = one = two = 0.0
        for i in range(size):
            power += magnitudes[i] ** 2
            top = tops[0] if i < upper else tops[1]
            one += magnitudes[i] * first[top]
            two += second[top]
        for t in range(tracks):
            side = int(track[t, 1])
            place[t] = 0 if side == 0 else upper
            end[t] = upper if side == 0 else size
            next_scale[t] = magnitudes[place[t]] / track[t, 0] if place[t] < end[t] else np.inf
        low = 0.0
        best, best_scale = power, 0.0
        while True:
            t = 0
            for s in range(1, tracks):
                if next_scale[s] < next_scale[t]:
                    t = s
            high = next_scale[t] if tracks else np.inf
            if two > 0:
                a = min(max(one / two, low), high)
                error = power - 2 * a * one + a * a * two
                if error < best:
                    best, best_scale = error, a
            if high == np.inf:
                break
            level = int(track[t, 2])
            m = magnitudes[place[t]]
            one -= m * (first[level] - first[level - 1])
            two -= second[level] - second[level - 1]
            place[t] += 1
            next_scale[t] = magnitudes[place[t]] / track[t, 0] if place[t] < end[t] else np.inf
            low = high
        noise[g], scale[g] = max(best, 0.0), best_scale
    return noise, scale


def group_noise(
    groups: Groups, grid: LevelSet, seen: tuple[Floats, Floats] | None = None
) -> tuple[Floats, Floats]:
    """(sum of squared errors, scale) of every group at its best scale of all; shapes (G,).

    Exact: as the scale grows from 0, weights leave their levels one at a time in an order that is known, between
    two such scales the error is a parabola, and its least value is taken over all of them.
    """
    upper, lower = grid.halves
    first, second = seen if seen is not None else (upper, upper**2)
    both = [(0, upper, 0), (1, lower, 0 if grid.lower is None else len(upper))]
    if grid.lower is not None:
        first, second = np.concatenate([first, lower]), np.concatenate([second, lower**2])
    track = np.array(
        [(edge, side, base + 1 + i) for side, levels, base in both for i, edge in enumerate(edges(levels))]
    ).reshape(-1, 3)
    tops = np.array([base + len(levels) - 1 for _, levels, base in both])
    return _exact(groups.values, groups.starts, track, first, second, tops)


def quantized(groups: Groups, grid: LevelSet, scales: Floats) -> Floats:
    """Values of the nearest levels at the groups' scales; shape (N,)."""
    scale = np.repeat(scales, np.diff(groups.starts))
    ratio = np.divide(groups.values, scale, out=np.zeros_like(groups.values), where=scale > 0)
    upper, lower = grid.halves
    up = upper[np.searchsorted(edges(upper), np.abs(ratio))]
    down = -lower[np.searchsorted(edges(lower), np.abs(ratio))]
    return np.where(groups.values < 0, down, up) * scale


def decibels(groups: Groups, noise: Floats) -> float:
    """All power over all noise."""
    return float(10 * np.log10(groups.power.sum() / noise.sum()))


@njit(cache=True, nogil=True)
def _scan(
    values: Any, starts: Any, levels: Any, sets: Any, scales: int, zero: bool
) -> Any:  # pragma: no cover
    """Noise of every set, each group at its best of ``scales`` scales; shape (sets,)."""
    nodes, count = len(levels), sets.shape[1]
    total = np.zeros(len(sets))
    between = np.empty((nodes, nodes, scales))
    top, bottom = np.empty((nodes, scales)), np.empty((nodes, scales))
    sums = np.empty(scales)
    for g in range(len(starts) - 1):
        w = np.abs(values[starts[g] : starts[g + 1]])
        w.sort()
        size = len(w)
        one, two = np.zeros(size + 1), np.zeros(size + 1)
        for i in range(size):
            one[i + 1] = one[i] + w[i]
            two[i + 1] = two[i] + w[i] ** 2
        if two[size] == 0:
            continue
        low, high = 0.7 * np.sqrt(two[size] / size), 1.3 * w[size - 1]
        for a in range(scales):
            alpha = low * (high / low) ** (a / (scales - 1))
            for j in range(nodes):
                x = levels[j] * alpha
                b = np.searchsorted(w, x)
                top[j, a] = two[size] - two[b] - 2 * x * (one[size] - one[b]) + x * x * (size - b)
                if zero:
                    h = np.searchsorted(w, x / 2)
                    bottom[j, a] = two[b] - 2 * x * (one[b] - one[h]) + x * x * (b - h)
                else:
                    bottom[j, a] = two[b] - 2 * x * one[b] + x * x * b
                for i in range(j):
                    y = levels[i] * alpha
                    h, e = np.searchsorted(w, (x + y) / 2), np.searchsorted(w, y)
                    between[i, j, a] = (
                        two[e] - two[b]
                        - 2 * x * (one[h] - one[b]) + x * x * (h - b)
                        - 2 * y * (one[e] - one[h]) + y * y * (e - h)
                    )  # fmt: skip
        for s in range(len(sets)):
            before = sets[s, 0]
            for a in range(scales):
                sums[a] = top[before, a]
            for c in range(1, count):
                node = sets[s, c]
                for a in range(scales):
                    sums[a] += between[before, node, a]
                before = node
            least = np.inf
            for a in range(scales):
                least = min(least, sums[a] + bottom[before, a])
            total[s] += least
    return total


def scan(
    groups: Groups, sets: NDArray[np.int64], largest: int, zero: bool = True, constant: float = SQRT2,
    scales: int = 64, first: int = 0,
) -> Floats:  # fmt: skip
    """Noise over all groups of listed sets of slots ``first`` .. ``largest``; shape (sets,).

    Each group has the best of ``scales`` scales, evenly spaced in logarithm from 0.7 times the group's root mean
    square to 1.3 times its largest weight, for the largest slot: enough to rank sets (:func:`group_noise` for figures).
    """
    levels = np.array([slot_level(k, constant) for k in range(first, largest + 1)])
    return _scan(groups.values, groups.starts, levels / levels[0], sets - first, scales, zero)


def all_sets(count: int, largest: int, first: int = 0) -> NDArray[np.int64]:
    """Every set of ``count`` slots of ``first`` .. ``largest`` that holds ``first``; shape (sets, count)."""
    rest = combinations(range(first + 1, largest + 1), count - 1)
    return np.array([(first, *c) for c in rest], np.int64).reshape(-1, count)


def exchange(
    groups: Groups, starts: Iterable[Slots], largest: int, zero: bool = True, rounds: int = 30
) -> tuple[Slots, float]:
    """(set, noise) that no exchange of one slot (but 0) for another betters, from the best of some starting sets."""
    sets = np.array(sorted(set(starts)), np.int64)
    noise = scan(groups, sets, largest, zero)
    best, least = tuple(int(k) for k in sets[int(np.argmin(noise))]), float(noise.min())
    for _ in range(rounds):
        near = [
            tuple(sorted({*best, new} - {old}))
            for old in best[1:]
            for new in range(1, largest + 1)
            if new not in best
        ]
        if not near:
            break
        sets = np.array(near, np.int64)
        noise = scan(groups, sets, largest, zero)
        if not noise.min() < least:
            break
        best, least = tuple(int(k) for k in sets[int(np.argmin(noise))]), float(noise.min())
    return best, least
