"""What each kind of layer asks of the machine: the table that a further kind is added to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from asq_sw.errors import InputError
from sim.workload import Layer


@dataclass(frozen=True)
class KindCost:
    """Where a kind of layer is done.

    Attributes
    ----------
    on_array : bool
        Products in the array, then requantization of the sums in the vector unit; else the vector unit alone.
    passes : int
        Times that every input value goes through the vector unit; read from DRAM it is once. 0 on the array.
    """

    on_array: bool
    passes: int = 0


_PRODUCTS = KindCost(on_array=True)
KINDS: Mapping[str, KindCost] = {
    "conv": _PRODUCTS,
    "depthwise": _PRODUCTS,
    "fc": _PRODUCTS,
    "gemm": _PRODUCTS,
    "pool": KindCost(on_array=False, passes=1),
    "add": KindCost(on_array=False, passes=1),
    # Mean and variance first, then the values: each position's channels wait in the vector unit in between.
    "norm": KindCost(on_array=False, passes=2),
}


def kind_cost(layer: Layer) -> KindCost:
    """What a layer asks of the machine.

    Raises
    ------
    InputError
        For a kind that is not priced.
    """
    if layer.kind not in KINDS:
        raise InputError(
            f"layer {layer.name}: kind {layer.kind} has no cost, expected one of {', '.join(KINDS)}"
        )
    return KINDS[layer.kind]
