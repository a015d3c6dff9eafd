"""What runs one step of a network: the protocol of :mod:`asq_sw.nn.layers`, and what a network's layers share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asq_sw.graph.graph import Graph
from asq_sw.graph.ops import Shape
from asq_sw.nn.array_pool import ArrayPool
from asq_sw.nn.plan import Step
from asq_sw.quantizers.layer import LayerQuantizers

Array = NDArray[Any]


def batch_shape(shape: Shape, batch: int) -> tuple[int, ...]:
    """A batch's shape, channels last: (N, H, W, C) of (C, H, W), (N, C) of (C,)."""
    return (batch, *shape) if len(shape) == 1 else (batch, shape[1], shape[2], shape[0])


@dataclass
class Store:
    """What the layers of one network share.

    Attributes
    ----------
    graph : Graph
    dtype : numpy dtype
        Of maps and parameters.
    quantizers : dict
        By layer.
    parameters, buffers : dict
        By PyTorch's names.
    pool : ArrayPool
        Where maps and their gradients come from.
    """

    graph: Graph
    dtype: np.dtype[Any]
    quantizers: dict[str, LayerQuantizers]
    parameters: dict[str, Array] = field(default_factory=dict)
    buffers: dict[str, Array] = field(default_factory=dict)
    pool: ArrayPool = field(default_factory=ArrayPool)


class Layer:
    """Runs one step forward and backward.

    Parameters
    ----------
    step : Step
    store : Store
    """

    def __init__(self, step: Step, store: Store):
        self.step, self.store = step, store
        self.node, self.source = step.node, step.inputs[0]

    def start(self, key: str, shape: Shape, rng: np.random.Generator) -> Array:
        """Starting values of the parameter or buffer ``key``: zeros where it adds, ones where it multiplies."""
        return np.zeros(shape) if key in ("bias", "running_mean") else np.ones(shape)

    def forward(self, inputs: list[Array], training: bool, out: Array) -> None:
        """Write a batch's output.

        Parameters
        ----------
        inputs : list of arrays
            The maps of the step's inputs, (N, H, W, C) or (N, C).
        training : bool
            By the batch's statistics, keeping what :meth:`backward` needs.
        out : array
        """
        raise NotImplementedError

    def backward(self, dy: Array, value: Array, grads: dict[str, Array]) -> Iterator[tuple[str, Array]]:
        """(input's name, dL/dinput) of every input that a gradient reaches, of the last training forward.

        Parameters
        ----------
        dy : array
            dL/doutput, of the pool: either given back to it or among what is returned.
        value : array
            The output.
        grads : dict
            Takes the parameters' gradients, by PyTorch's names.
        """
        raise NotImplementedError

    def parameter(self, key: str) -> Array:
        return self.store.parameters[f"{self.node.name}.{key}"]

    def take(self, name: str, batch: int) -> Array:
        """Memory for a node's map or its gradient."""
        return self.store.pool.take(batch_shape(self.store.graph.shapes[name], batch), self.store.dtype)


class OneInput(Layer):
    """A layer of one input whose gradient is written to other memory than it is read from."""

    def backward(self, dy: Array, value: Array, grads: dict[str, Array]) -> Iterator[tuple[str, Array]]:
        dx = self.take(self.source, len(dy))
        self.gradient(dy, dx, grads)
        self.store.pool.give(dy)
        yield self.source, dx

    def gradient(self, dy: Array, dx: Array, grads: dict[str, Array]) -> None:
        """Write ``dx``; ``grads`` as in :meth:`backward`."""
        raise NotImplementedError


def samples(x: Array) -> Array:
    """(N, values) of a batch."""
    return x.reshape(len(x), -1)
