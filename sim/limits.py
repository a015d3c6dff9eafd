"""What can be simulated: figures that would leave 64 bits, or that cannot be, are refused before they are shown.

The kernels count in 64-bit integers, which wrap around without a word. So the largest figure that a workload can lead to
is bounded here first, in Python's integers, on any array within :class:`sim.accelerator.Accelerator`'s limits.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from asq_sw.errors import InputError
from sim.workload import Layer

MOST_COUNT = (1 << 63) - 1
"""The largest count of cycles, accesses or bits."""
MOST_BYTES = 8 << 30
"""The most memory that one simulation may ask for at once."""
_FOLD = 3 * 4096
"""Cycles of a fold beside the streamed ones: loading, filling and draining the largest array."""
_SUM_BITS = 64
"""More than the width of any stored sum, or of any value."""


def most_counted(layer: Layer) -> int:
    """A bound of every integer that the closed form and the tiles come by for a layer; exact arithmetic.

    Cycles: a fold's streamed cycles add up to the products at most, and there are no more folds than the product of two
    of the three sizes. Traffic: each operand at most once for each of the sizes that it does not have, sums once a product.
    """
    m, n, k, groups = layer.m, layer.n, layer.k, layer.groups
    cycles = groups * (m * n * k + _FOLD * max(m * n, n * k, m * k))
    moved = layer.ifmap_elements * (n + layer.passes) + layer.filter_elements * (m + 1) + layer.ofmap_elements
    return max(cycles, _SUM_BITS * (groups * m * n * k + moved))


def check_counts(layers: Sequence[Layer], arrays: int = 1) -> int:
    """The bound of a workload's sums.

    Raises
    ------
    InputError
        Naming the largest layer, if it leaves 64 bits.
    """
    bound = arrays * sum(map(most_counted, layers))
    if bound > MOST_COUNT:
        layer = max(layers, key=most_counted)
        size = f"m={layer.m}, n={layer.n}, k={layer.k}" + (
            f", {layer.groups} groups" if layer.groups > 1 else ""
        )
        raise InputError(
            f"layer {layer.name} ({size}, batch {layer.batch}) leads to counts of up to {bound:.2g}, "
            f"expected at most {MOST_COUNT:.2g} (64 bits): smaller sizes or a smaller batch"
        )
    return bound


def check_cycles(bound: int, bytes_per_cycle: float) -> None:
    """Refuse a DRAM so slow that the cycles of moving ``bound`` bits leave 64 bits.

    Raises
    ------
    InputError
        Naming the bandwidth.
    """
    if bound / (8 * bytes_per_cycle) > MOST_COUNT:
        raise InputError(
            f"dram_gb_per_s over clock_mhz gives {bytes_per_cycle:.2g} bytes a cycle, with which the cycles can leave "
            "64 bits, expected a faster DRAM or a slower clock"
        )


def check_memory(what: str, needed: int) -> None:
    """Refuse what would take more than :data:`MOST_BYTES`, before it is asked of the system.

    Raises
    ------
    InputError
        Naming ``what``.
    """
    if needed > MOST_BYTES:
        raise InputError(
            f"{what} takes {needed / (1 << 30):,.1f} GiB of memory, expected at most {MOST_BYTES >> 30} GiB: "
            "smaller sizes, a smaller batch or a larger array"
        )


def check_figures(where: str, shares: Mapping[str, float], amounts: Mapping[str, Any]) -> None:
    """Refuse figures that cannot be: a share that is not within 0 to 1, an amount below 0 or beyond all bounds.

    Raises
    ------
    InputError
        Naming ``where`` and the figure.
    """
    for name, value in shares.items():
        if not 0 <= value <= 1 + 1e-9:
            raise InputError(
                f"{where}: {name} comes out as {value:g}, expected 0 to 1: this machine cannot be simulated"
            )
    for name, value in amounts.items():
        if not 0 <= value < math.inf:
            raise InputError(
                f"{where}: {name} comes out as {value:g}, expected a finite number of at least 0: "
                "this machine cannot be simulated"
            )
