"""The integer network: what the hardware computes, bit for bit.

Nothing here but integers. Steps follow one another as the file lists them; docs/integer_contract.md specifies file and
steps, :mod:`asq_sw.integer.arithmetic` holds the arithmetic, :mod:`asq_sw.integer.layers` the ops.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asq_sw.errors import InputError
from asq_sw.graph.graph import Graph, Node
from asq_sw.integer.layer import Layer, Maps, Place, Step
from asq_sw.integer.layers import LAYERS
from asq_sw.integer.multiply import MultiplyLayer
from asq_sw.integer.record import Arrays, Record
from asq_sw.integer.widths import FRACTIONS
from asq_sw.interop.weights import read_weights, write_npz

Array = NDArray[Any]

FORMAT, VERSION = "asq-integer-network", 1
BATCH = 250
"""Images at a time, where many are classified."""
_LARGEST_MAP = 1 << 28
_LARGEST_SIDE = 1 << 16


class IntegerNetwork:
    """A network of integers.

    Parameters
    ----------
    record : mapping
        The file's JSON: graph and constants.
    arrays : mapping
        The file's arrays: codes, tables, multipliers, adapters.
    name : str
        In error messages.

    Attributes
    ----------
    steps : tuple of Layer
        In order.
    layers : dict
        Those with weights, by name: :class:`asq_sw.integer.multiply.MultiplyLayer`.
    input_shape : (C, H, W)
    output : str
        Name of the last step.
    fraction : int
        Fractional bits of the logits.
    values, sums : dict
        After ``forward(keep=True)``: map by step, exact sums of products by layer.

    Raises
    ------
    InputError
        For a field or an array that is missing, of another type, dtype, shape or range, or one too many; sums that
        float64 or the registers cannot hold.
    """

    def __init__(self, record: Mapping[str, Any], arrays: Mapping[str, Array], name: str = "network"):
        self.record, self.arrays, self.name = record, dict(arrays), name
        held = Arrays(name, arrays)
        network = Record(name, dict(record))
        network.text("format", (FORMAT,))
        network.whole("version", VERSION, VERSION)
        self.model = network.text("model")
        self.input_shape = network.wholes("input_shape", 3, 1, _LARGEST_SIDE)
        listed = network.take("steps")
        if not isinstance(listed, list) or not listed:
            network.refuse("steps", listed, "a list of steps")
        network.close()
        read = [_step(f"{name}: step {i}", one) for i, one in enumerate(listed)]
        places = self._placed([step for step, _ in read])
        made: list[Layer] = []
        for place, (step, data) in zip(places, read, strict=True):
            constants = Record(f"{name}: step {step.name}", data)
            made.append(LAYERS[step.op](place, constants, held))
            constants.close()
        held.close()
        self.steps = tuple(made)
        self.layers = {layer.name: layer for layer in made if isinstance(layer, MultiplyLayer)}
        self.output, self.fraction = made[-1].name, made[-1].fraction
        self.values: dict[str, Array] = {}
        self.sums: dict[str, Array] = {}
        self._last_use = {source: i for i, step in enumerate(made) for source in step.inputs}
        self._summed = frozenset(layer.inputs[0] for layer in self.layers.values() if layer.asq)

    def _placed(self, steps: list[Step]) -> list[Place]:
        """Each step with the shapes around it, which the graph's rules give and check."""
        nodes = [Node("input", "input")]
        for step in steps:
            layer = LAYERS[step.op]
            low, high = layer.INPUTS
            if not low <= len(step.inputs) <= high:
                raise InputError(
                    f"{self.name}: step {step.name} reads {len(step.inputs)} maps, expected {low} to {high}"
                )
            reads = step.inputs[:1] if layer.JOINS else step.inputs
            if "input" in step.inputs[1:] or (step.inputs[0] == "input" and not layer.READS_IMAGE):
                raise InputError(
                    f"{self.name}: step {step.name} ({step.op}) reads the image, which only the first input of "
                    "a layer with weights may be"
                )
            nodes.append(Node(step.name, step.op, reads, {**step.attributes, **layer.IMPLIED}))
        graph = Graph(self.name, self.input_shape, nodes)
        shapes = {key: (*s[1:], s[0]) if len(s) == 3 else s for key, s in graph.shapes.items()}
        fractions = {"input": 0} | {step.name: step.fraction for step in steps}
        found, seen = [], {"input"}
        for step in steps:
            for source in step.inputs:
                if source not in seen:
                    raise InputError(
                        f"{self.name}: step {step.name} reads {source!r}, expected an earlier step's name"
                    )
            seen.add(step.name)
            shape = shapes[step.name]
            if int(np.prod(shape, dtype=np.float64)) > _LARGEST_MAP:
                raise InputError(
                    f"{self.name}: step {step.name} makes a map of {shape}, expected at most {_LARGEST_MAP} values"
                )
            if LAYERS[step.op].JOINS and any(shapes[source] != shape for source in step.inputs[1:]):
                raise InputError(
                    f"{self.name}: step {step.name} adds {step.inputs[1]} of shape {shapes[step.inputs[1]]}, "
                    f"expected {shape}"
                )
            found.append(
                Place(
                    step, tuple(shapes[i] for i in step.inputs), tuple(fractions[i] for i in step.inputs), shape,
                    step is steps[-1],
                )
            )  # fmt: skip
        return found

    # -- files ---------------------------------------------------------------------------------------------------

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write an .npz of the arrays with the rest as JSON."""
        text = json.dumps(self.record, sort_keys=True)
        write_npz(path, self.arrays | {"network": np.array(text)})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> IntegerNetwork:
        """Read what :meth:`save` wrote.

        Raises
        ------
        InputError
            For another file, one of another version, or a damaged one.
        """
        place = str(Path(path))
        arrays = read_weights(path)
        if "network" not in arrays:
            older = (
                "was written before the file had a version" if "meta" in arrays else "lacks the array network"
            )
            raise InputError(
                f"{place}: is no integer network of version {VERSION}, it {older}: export the run again"
            )
        text = arrays.pop("network")
        if text.shape != () or text.dtype.kind != "U":
            raise InputError(
                f"{place}: array network is {text.dtype} of shape {text.shape}, expected one string of JSON"
            )
        try:
            record = json.loads(str(text))
        except (ValueError, RecursionError) as error:
            raise InputError(f"{place}: array network is not JSON ({error})") from error
        if not isinstance(record, dict):
            raise InputError(f"{place}: array network is a JSON {type(record).__name__}, expected an object")
        return cls(record, arrays, place)

    # -- inference -----------------------------------------------------------------------------------------------

    @property
    def bounds(self) -> dict[str, int]:
        """Largest magnitude that each layer's sums can take, over all inputs, given its weights."""
        return {name: layer.bound for name, layer in self.layers.items()}

    def forward(self, images: Array, keep: bool = False) -> Array:
        """Logits of a batch.

        Parameters
        ----------
        images : uint8 (N, H, W, C)
        keep : bool
            Keep every map in ``self.values`` and every layer's exact sums in ``self.sums``; sums are then made as floats,
            never in bytes.

        Returns
        -------
        int32 (N, classes), in units of ``2**-fraction``.
        """
        shape = (*self.input_shape[1:], self.input_shape[0])
        if images.dtype != np.uint8 or images.shape[1:] != shape:
            raise InputError(
                f"{self.name}: a batch is {images.dtype} of shape {images.shape}, "
                f"expected uint8 of (N, {', '.join(map(str, shape))})"
            )
        maps = Maps({"input": images}, self._summed, keep=keep)
        for index, step in enumerate(self.steps):
            maps.values[step.name] = step.run(maps)
            if not keep:
                for name in set(step.inputs):
                    if self._last_use[name] == index:
                        maps.values.pop(name)
                        maps.totals.pop(name, None)
        if keep:
            self.values, self.sums = maps.values, maps.sums
        return np.asarray(maps.values[self.output].astype(np.int32))

    def classify(self, images: Array) -> NDArray[np.int64]:
        """Class of each image, uint8 (N, H, W, C), :data:`BATCH` at a time."""
        parts = [self.forward(images[start : start + BATCH]) for start in range(0, len(images), BATCH)]
        return np.concatenate([logits.argmax(axis=1) for logits in parts])


def _step(where: str, data: Any) -> tuple[Step, Any]:
    """A step without its constants, and those as they are."""
    record = Record(where, data)
    name = record.text("name")
    record.where += f" ({name[:40]})"
    op = record.text("op", tuple(LAYERS))
    inputs, fraction = record.texts("inputs"), record.whole("fraction", *FRACTIONS)
    given = record.record("attributes")
    attributes = {
        key: given.wholes(key, count, low, high) if count else given.whole(key, low, high)
        for key, (count, low, high) in LAYERS[op].ATTRIBUTES.items()
    }
    given.close()
    constants = record.take("constants")
    record.close()
    return Step(name, op, inputs, fraction, attributes), constants
