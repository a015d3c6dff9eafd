"""Which code for which level: the assignments of a shifter's magnitude codes that are cheapest to decode.

python -m hw.studies.orders --bits 4

Every order of the codes is tried. An order costs the literals of the least sum of products of each select line
that :class:`hw.units.variants.select_shift.OneHotShift` decodes from a code; synthesis has the last word, on the
orders that :mod:`hw.studies.search` takes from here.
"""

from __future__ import annotations

from itertools import permutations

import click

from asq_sw.console import run
from asq_sw.errors import InputError
from asq_sw.formats import ActivationFormat, WeightFormat, grids
from asq_sw.studies.literals import literals
from hw.units.variants.select_shift import OneHotShift

MAX_FIELD_BITS = 3
"""8 codes have 40320 orders; 16 would have 2e13."""


def decoding(products: OneHotShift) -> int:
    """Literals of all select lines of a variant as it is ordered now."""
    inputs, zero = products.weight.magnitude_bits, products.zero
    selects: list[list[int | None]] = [
        [None if z else int(pick == line) for pick, z in zip(products.picks, zero, strict=True)]
        for line in range(len(products.weight.lines))
    ]
    for distance in sorted(set(products.shifts)):
        selects.append([int(s == distance and not z) for s, z in zip(products.shifts, zero, strict=True)])
    total = 0
    for entries in selects:
        free = [1 << i for i, entry in enumerate(entries) if entry is None]
        ones = sum(1 << i for i, entry in enumerate(entries) if entry)
        fills = [0]
        for bit in free:
            fills += [fill | bit for fill in fills]
        total += min(literals(ones | fill, inputs) for fill in fills)
    return total


def cheapest(weight: WeightFormat, count: int = 4) -> list[tuple[int, tuple[int, ...]]]:
    """The ``count`` cheapest orders and the format's own, as (literals, order), cheapest first.

    Of orders that differ by which bit is which, or by a bit's complement, the first stands for all.

    Raises
    ------
    InputError
        For more than 8 magnitude codes.
    """
    bits = weight.magnitude_bits
    if bits > MAX_FIELD_BITS:
        raise InputError(f"weights have {weight.bits} bits, expected at most {MAX_FIELD_BITS + 1}")
    products = OneHotShift(weight, ActivationFormat(4))
    costs: dict[tuple[int, ...], int] = {}
    own = tuple(range(1 << bits))
    for order in permutations(own):
        # The first code at 0, and each new bit of a code the next one: one of each kind.
        if order[0] or any(b > (1 << i) for i, b in enumerate(_new_bits(order))):
            continue
        products.reorder(order)
        costs[order] = decoding(products)
    ranked = sorted((cost, order) for order, cost in costs.items())
    kept = ranked[:count]
    return kept if own in [order for _, order in kept] else [*kept, (costs[own], own)]


def _new_bits(order: tuple[int, ...]) -> list[int]:
    """The bits of the codes as they first appear, each as 1 << (its place)."""
    seen, new = 0, []
    for code in order:
        bit = 1
        while bit <= code:
            if code & bit and not seen & bit:
                seen |= bit
                new.append(bit)
            bit <<= 1
    return new


@click.command(help="The assignments of magnitude codes that are cheapest to decode.")
@click.option("--bits", type=click.IntRange(2, MAX_FIELD_BITS + 1), default=4, show_default=True)
@click.option("--grid", type=click.Choice(grids(lambda grid: grid.shifts)), default="post", show_default=True)
@click.option("--count", type=click.IntRange(1), default=8, show_default=True)
def main(bits: int, grid: str, count: int) -> None:
    weight = WeightFormat(grid, bits, 0)
    for cost, order in cheapest(weight, count):
        mine = "  (the format's own)" if order == tuple(range(len(order))) else ""
        click.echo(f"{cost:3d} literals: codes {' '.join(map(str, order))}{mine}")


if __name__ == "__main__":
    run(main, "python -m hw.studies.orders")
