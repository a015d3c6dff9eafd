"""Which quantizers a method gives to which layer.

The names are those of ``asq train --quantizer``: ASQ activations and a weight grid with a hyphen (``asq-post``), a grid
alone for that grid with LSQ activations (``apot``), or a method that brings both. Every record of
:data:`asq_sw.formats.GRID_RECORDS` is a grid that can be trained.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from asq_sw.errors import InputError, nearest
from asq_sw.formats import GRID_RECORDS, WeightFormat
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
    WeightQuantizer,
)
from asq_sw.quantizers.grid import STARTS
from asq_sw.quantizers.layer import LayerQuantizers


@dataclass(frozen=True)
class WeightOptions:
    """What a run says of the weights of all its layers; methods without a grid have no use for it.

    Attributes
    ----------
    frac_bits : int, optional
        F, for grids that take it; by default the format's.
    start : str
        Of the grids' scales (:class:`asq_sw.quantizers.GridWeights`).
    """

    frac_bits: int | None = None
    start: str = STARTS[0]


@dataclass(frozen=True)
class Method:
    """A way to quantize a layer.

    Attributes
    ----------
    name : str
    weights : callable of (bits, name, options), optional
        Makes the weights' quantizer; None leaves the layer in full precision.
    activations : callable of (bits, signed, seed, name), optional
        Likewise of the activations.
    signed : bool
        Whether the activations may be below zero. Where they may not and are (QIL, DAQ, PACT and DoReFa are defined
        behind a ReLU), the layer gets LSQ's.
    """

    name: str
    weights: Callable[[int, str, WeightOptions], Any] | None = None
    activations: Callable[[int, bool, int, str], Any] | None = None
    signed: bool = True


def _grid(grid: str) -> Callable[[int, str, WeightOptions], Any]:
    def make(bits: int, name: str, options: WeightOptions) -> GridWeights:
        return GridWeights(WeightFormat(grid, bits, options.frac_bits), name=name, start=options.start)

    return make


def _lsq(bits: int, signed: bool, seed: int, name: str) -> Any:
    return Lsq(bits, signed=signed, name=name)


def _asq(bits: int, signed: bool, seed: int, name: str) -> Any:
    return Asq(bits, signed=signed, channel_axis=-1, seed=seed, name=name)


def _weights(make: Callable[..., Any]) -> Callable[[int, str, WeightOptions], Any]:
    return lambda bits, name, options: make(bits, weights=True, name=name)


def _unsigned(make: Callable[..., Any]) -> Callable[[int, bool, int, str], Any]:
    return lambda bits, signed, seed, name: make(bits, name=name)


METHODS: Mapping[str, Method] = MappingProxyType(
    {
        method.name: method
        for method in (
            Method("fp32"),
            *(Method(f"asq-{g.trained_as}", _grid(g.name), _asq) for g in GRID_RECORDS.values()),
            *(Method(g.trained_as, _grid(g.name), _lsq) for g in GRID_RECORDS.values()),
            Method("lsq", _weights(Lsq), _lsq),
            Method("lsq-plus", _weights(LsqPlus), _unsigned(LsqPlus)),  # its offset serves either sign
            Method("pact", _weights(Dorefa), _unsigned(Pact), signed=False),
            Method("dorefa", _weights(Dorefa), _unsigned(Dorefa), signed=False),
            Method("qil", _weights(Qil), _unsigned(Qil), signed=False),
            Method("daq", _weights(Daq), _unsigned(Daq), signed=False),
        )
    }
)
"""The methods by name; ``fp32`` quantizes nothing."""
FULL, EDGE = "fp32", "uniform"
"""Methods of layers in full precision, and of the first and the last one."""


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
        if method != FULL and index in (0, len(layers) - 1):
            choice = LayerChoice(EDGE if edge_bits else FULL, edge_bits, edge_bits)
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
                f"layer {name}: quantizer {choice.method!r} is unknown, expected one of {', '.join(METHODS)}{nearest(choice.method, METHODS)}"
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
        F of the grids that take it.
    rounded : bool
        Forward with the hardware's rounded products, on the grids that round them.
    seed : int
        Of ASQ's adapters.
    start : str
        Of the grids' scales (:class:`asq_sw.quantizers.GridWeights`).
    """
    positive = nonnegative(graph)
    options = WeightOptions(frac_bits, start)
    result = {}
    for index, node in enumerate(multipliers(graph)):
        choice = chosen[node.name]
        method = METHODS[choice.method]
        if method.weights is None or method.activations is None:
            continue
        signed = node.inputs[0] not in positive
        weight: WeightQuantizer = method.weights(choice.wbits, f"{node.name}.weight", options)
        activations = method.activations if method.signed or not signed else _lsq
        activation: ActivationQuantizer = activations(
            choice.abits, signed, seed * 1009 + index, f"{node.name}.activation"
        )
        rounds = isinstance(weight, GridWeights) and weight.format.rounds
        result[node.name] = LayerQuantizers(weight, activation, rounded and rounds)
    return result
