"""The integer network of a trained one."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from asq_sw.errors import InputError
from asq_sw.integer.layer import Planned, Source, Step
from asq_sw.integer.layers import LAYERS
from asq_sw.integer.network import FORMAT, VERSION, IntegerNetwork
from asq_sw.integer.widths import FRACTIONS, WIDE_WIDTH
from asq_sw.nn.network import Network
from asq_sw.nn.plan import plan, readers

Array = NDArray[Any]


def fraction_of(peak: float) -> int:
    """Fractional bits of a map whose largest magnitude is ``peak``, with one bit of headroom."""
    return int(np.clip(WIDE_WIDTH - 2 - np.ceil(np.log2(max(peak, 2.0**-20))), *FRACTIONS))


def export(network: Network, peaks: dict[str, float], pixels: Array, name: str = "network") -> IntegerNetwork:
    """The integer network of a trained one.

    Parameters
    ----------
    network : Network
        Every convolution and linear layer with quantized weights and activations.
    peaks : dict
        Largest magnitude in each map (:meth:`asq_sw.nn.network.Network.peaks`): the ranges of the wide maps.
    pixels : float32 (256, C)
        What each uint8 value of each colour is after normalization.
    name : str
        Of the network in error messages.

    Raises
    ------
    InputError
        For a layer in full precision, one without an integer form, activations with an offset before zero padding, or
        sums that float64 cannot hold exactly.
    """
    graph = network.graph
    source = Source(network, pixels, name)
    fractions = {"input": 0} | {key: fraction_of(peak) for key, peak in peaks.items()}
    read_by = readers(graph)
    folds = {op for op, layer in LAYERS.items() if layer.FOLDS}
    steps: list[dict[str, Any]] = []
    arrays: dict[str, Array] = {}
    named = {"input": "input"}  # the step that makes each of the plan's maps
    waiting = {}  # layers that the batch normalization behind them will be a part of
    for planned in plan(graph):
        node, inputs, norm = planned.node, planned.inputs, None
        layer = LAYERS.get(node.op)
        if layer is None:
            raise InputError(f"{name}: layer {node.name} ({node.op}) has no integer form")
        after = read_by[node.name]
        if layer.TAKES_NORM and len(after) == 1 and after[0].op in folds:
            waiting[node.name] = node
            continue
        if inputs[0] in waiting:
            norm, node = node, waiting.pop(inputs[0])
            layer, inputs = LAYERS[node.op], (*node.inputs, *inputs[1:])
        if planned.output not in fractions:
            raise InputError(
                f"{name}: the peak of map {planned.output} is missing, expected one of every map"
            )
        fraction = fractions[planned.output]
        attributes = {
            key: tuple(int(v) for v in node[key]) if count else int(node[key])
            for key, (count, _, _) in layer.ATTRIBUTES.items()
        }
        step = Step(node.name, node.op, tuple(named[i] for i in inputs), fraction, attributes)
        constants, more = layer.export(
            source,
            Planned(
                node, norm, planned.relu or "none", inputs[0] == "input", fractions[inputs[0]], fraction,
                node is graph.output,
            ),
        )  # fmt: skip
        named[planned.output] = node.name
        steps.append(step.write() | {"constants": constants})
        arrays |= more
    record = {
        "format": FORMAT, "version": VERSION, "model": graph.name, "input_shape": list(graph.input_shape),
        "steps": steps,
    }  # fmt: skip
    return IntegerNetwork(record, arrays, name)
