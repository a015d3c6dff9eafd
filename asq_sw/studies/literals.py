"""What a Boolean function costs in two levels of logic: an estimate that needs no synthesis."""

from __future__ import annotations

from functools import cache
from itertools import product


@cache
def literals(function: int, inputs: int) -> int:
    """Literals of the least sum of products of a function.

    Parameters
    ----------
    function : int
        Truth table: bit i is the value for inputs i.
    inputs : int
        1 to 3.
    """
    cubes = []  # (minterms, literals) of every product of some inputs or their complements
    for choice in product((0, 1, None), repeat=inputs):
        covered = sum(
            1 << i
            for i in range(1 << inputs)
            if all(want is None or i >> bit & 1 == want for bit, want in enumerate(choice))
        )
        if covered & ~function == 0:
            cubes.append((covered, sum(want is not None for want in choice)))

    @cache
    def least(left: int) -> int:
        if not left:
            return 0
        first = left & -left
        return min(cost + least(left & ~covered) for covered, cost in cubes if covered & first)

    return least(function)
