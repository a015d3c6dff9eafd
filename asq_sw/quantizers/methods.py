"""Which quantizers a method gives to which layer.

The names are those of ``asq train --quantizer``: an activation quantizer and a weight grid with a hyphen
(``asq-post``), a grid alone for that grid with LSQ activations (``apot``), or a method that brings both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from asq_sw.errors import InputError
from asq_sw.formats import WeightFormat
from asq_sw.graph.graph import Graph, multipliers, nonnegative
from asq_sw.quantizers import (
    ActivationQuantizer,
    Asq,
    Daq,
    Dorefa,
    GridWeights,
    Lsq,
    LsqPlus,
    Pact,
    Qil,
    Uniform,
    WeightQuantizer,
)
from asq_sw.quantizers.grid import STARTS
from asq_sw.quantizers.layer import LayerQuantizers

_GRIDS = {
    "post": "post",
    "post-paper": "post-paper",
    "post-gap": "post-gap",
    "pot": "pot",
    "pot-paper": "pot-paper",
    "apot": "apot",
    "fp4": "fp4",
    "uniform": "int",
}
# method -> (weights of (bits, name), activations of (bits, signed, name))
_PAIRS: Mapping[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "lsq": (lambda b, n: Lsq(b, weights=True, name=n), lambda b, s, n: Lsq(b, signed=s, name=n)),
    "lsq-plus": (
        lambda b, n: LsqPlus(b, weights=True, name=n),
        lambda b, s, n: LsqPlus(b, name=n),
    ),
    "pact": (lambda b, n: Dorefa(b, weights=True, name=n), lambda b, s, n: Pact(b, name=n)),
    "dorefa": (lambda b, n: Dorefa(b, weights=True, name=n), lambda b, s, n: Dorefa(b, name=n)),
    "qil": (lambda b, n: Qil(b, weights=True, name=n), lambda b, s, n: Qil(b, name=n)),
    "daq": (lambda b, n: Daq(b, weights=True, name=n), lambda b, s, n: Daq(b, name=n)),
}
_SIGNED = ("lsq", "lsq-plus")
METHODS = ("fp32", *(f"asq-{g}" for g in _GRIDS), *_GRIDS, *_PAIRS)
"""Names of the methods; ``fp32`` quantizes nothing."""


@dataclass(frozen=True)
class LayerChoice:
    """What one layer gets.

    Attributes
    ----------
    method : str
        Of :data:`METHODS`.
    wbits, abits : int
    """

    method: str
    wbits: int
    abits: int


def choices(
    graph: Graph,
    method: str,
    wbits: int = 4,
    abits: int = 4,
    edge_bits: int = 8,
    overrides: Mapping[str, Mapping[str, Any]] | None = None,
) -> dict[str, LayerChoice]:
    """What every layer gets.

    Parameters
    ----------
    graph : Graph
    method : str
        Of :data:`METHODS`.
    wbits, abits : int
    edge_bits : int
        Width of the first and the last layer, which get uniform weights with LSQ activations
        (the papers' protocol); 0 leaves them in full precision.
    overrides : mapping from layer name to fields of LayerChoice, optional

    Raises
    ------
    InputError
        For an unknown method, layer or field.
    """
    layers = multipliers(graph)
    chosen = {}
    for index, node in enumerate(layers):
        choice = LayerChoice(method, wbits, abits)
        if method != "fp32" and index in (0, len(layers) - 1):
            choice = LayerChoice("uniform", edge_bits, edge_bits) if edge_bits else LayerChoice("fp32", 0, 0)
        chosen[node.name] = choice
    for name, fields in (overrides or {}).items():
        if name not in chosen:
            raise InputError(f"layer {name!r} is not a convolution or linear layer of {graph.name}")
        try:
            chosen[name] = replace(chosen[name], **fields)
        except TypeError as error:
            raise InputError(
                f"layer {name}: {sorted(fields)} given, expected method, wbits, abits"
            ) from error
    for name, choice in chosen.items():
        if choice.method not in METHODS:
            raise InputError(
                f"layer {name}: quantizer {choice.method!r} is unknown, expected one of {', '.join(METHODS)}"
            )
    return chosen


def quantizers(
    graph: Graph,
    chosen: Mapping[str, LayerChoice],
    frac_bits: int | None = None,
    rounded: bool = False,
    seed: int = 0,
    start: str = STARTS[0],
) -> dict[str, LayerQuantizers]:
    """The quantizers of every layer that is not in full precision.

    Parameters
    ----------
    graph : Graph
    chosen : mapping from layer name to LayerChoice
    frac_bits : int, optional
        F of the sqrt(2) table.
    rounded : bool
        Forward with the products that the rounded table makes, on the sqrt(2) grids.
    seed : int
        Of ASQ's adapters.
    start : str
        Of the grids' scales (:class:`asq_sw.quantizers.GridWeights`).
    """
    positive = nonnegative(graph)
    result = {}
    for index, node in enumerate(multipliers(graph)):
        choice = chosen[node.name]
        if choice.method == "fp32":
            continue
        signed = node.inputs[0] not in positive
        weight = _weights(choice, f"{node.name}.weight", frac_bits, start)
        activation = _activations(choice, signed, f"{node.name}.activation", seed * 1009 + index)
        uses_table = (isinstance(weight, GridWeights) and weight.format.frac_bits > 0) or _sqrt2(weight)
        result[node.name] = LayerQuantizers(weight, activation, rounded and uses_table)
    return result


def _sqrt2(weight: WeightQuantizer) -> bool:
    return isinstance(weight, GridWeights) and weight.format.grid in ("post", "post-paper")


def _weights(choice: LayerChoice, name: str, frac_bits: int | None, start: str) -> WeightQuantizer:
    method = choice.method.removeprefix("asq-")
    if method in _PAIRS:
        made: WeightQuantizer = _PAIRS[method][0](choice.wbits, name)
        return made
    if method == "uniform":
        return Uniform(choice.wbits, name=name, start=start)
    return GridWeights(WeightFormat(_GRIDS[method], choice.wbits, frac_bits), name=name, start=start)


def _activations(choice: LayerChoice, signed: bool, name: str, seed: int) -> ActivationQuantizer:
    if choice.method.startswith("asq-"):
        return Asq(choice.abits, signed=signed, channel_axis=-1, seed=seed, name=name)
    if choice.method in _PAIRS and (not signed or choice.method in _SIGNED):
        made: ActivationQuantizer = _PAIRS[choice.method][1](choice.abits, signed, name)
        return made
    # QIL, DAQ, PACT and DoReFa are defined behind a ReLU; elsewhere, and beside a plain grid: a fixed step.
    return Lsq(choice.abits, signed=signed, name=name)  # type: ignore[return-value]
