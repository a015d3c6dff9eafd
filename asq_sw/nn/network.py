"""A graph with parameters, run forward and backward.

Nodes run as :mod:`asq_sw.nn.plan` says, channels last, each by its class of :mod:`asq_sw.nn.layers`. Arrays come from
a pool that is given back to as soon as nothing reads an array any more, so a step allocates nothing after the first.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asq_sw.errors import InputError
from asq_sw.graph.graph import Graph
from asq_sw.graph.ops import OPS
from asq_sw.nn import pooling
from asq_sw.nn.layer import Store, batch_shape, samples
from asq_sw.nn.layers import LAYERS
from asq_sw.nn.plan import plan
from asq_sw.quantizers.layer import LayerQuantizers

Array = NDArray[Any]


class Network:
    """A network's parameters and its passes.

    Parameters
    ----------
    graph : Graph
    quantizers : mapping from node name to LayerQuantizers, optional
    seed : int
        Of the starting weights: normal with variance 2 / fan-out for convolutions (He et al., ICCV 2015),
        uniform within 1 / sqrt(fan-in) for linear layers.
    dtype : float32 or float64
        float64 is slow, for checks.

    Attributes
    ----------
    parameters : dict
        PyTorch's names: ``conv1.weight`` (O, I, kh, kw), ``bn1.weight``, ``linear.bias`` ...
    buffers : dict
        ``bn1.running_mean``, ``bn1.running_var``.
    grads : dict
        Gradients by the names of ``parameters``, and of the quantizers' as ``conv1.activation.s``.
    """

    def __init__(
        self,
        graph: Graph,
        quantizers: Mapping[str, LayerQuantizers] | None = None,
        seed: int = 0,
        dtype: Any = np.float32,
    ):
        self.graph = graph
        self.dtype = np.dtype(dtype)
        self.quantizers = dict(quantizers or {})
        self.grads: dict[str, Array] = {}
        for name in self.quantizers:
            if name not in graph.by_name or not OPS[graph.by_name[name].op].weighted:
                raise InputError(
                    f"{graph.name}: {name!r} has quantizers, expected the name of a convolution or linear layer"
                )
        store = Store(graph, self.dtype, self.quantizers)
        self.parameters, self.buffers, self._pool = store.parameters, store.buffers, store.pool
        self._steps = plan(graph)
        for step in self._steps:
            if step.node.op not in LAYERS:
                raise InputError(
                    f"{graph.name}: layer {step.node.name} has op {step.node.op!r}, which cannot be trained, "
                    f"expected one of {', '.join(LAYERS)}"
                )
        self._layers = [LAYERS[step.node.op](step, store) for step in self._steps]
        rng = np.random.default_rng(seed)
        for layer in self._layers:
            node = layer.node
            for arrays, shapes in (
                (self.parameters, graph.parameters(node)),
                (self.buffers, graph.buffers(node)),
            ):
                for key, shape in shapes.items():
                    arrays[f"{node.name}.{key}"] = np.ascontiguousarray(
                        layer.start(key, shape, rng), self.dtype
                    )
        self._last_use = {name: index for index, step in enumerate(self._steps) for name in step.inputs}
        self._values: dict[str, Array] = {}

    # -- parameters ----------------------------------------------------------------------------------------------

    def load(self, arrays: Mapping[str, Array], source: str = "weights") -> None:
        """Take parameters and buffers by PyTorch's names (``num_batches_tracked`` is not needed).

        Raises
        ------
        InputError
            For a missing, additional, misshaped or non-finite array; nothing is changed then.
        """
        given = checked_arrays(self.graph, arrays, source)
        for key, value in (self.parameters | self.buffers).items():
            value[...] = given[key]

    def trainable(self) -> dict[str, Array]:
        """Every array that a gradient reaches: the parameters, and the quantizers' by ``layer.kind.name``."""
        arrays = dict(self.parameters)
        for name, pair in self.quantizers.items():
            for kind, quantizer in pair.each():
                arrays |= {f"{name}.{kind}.{key}": v for key, v in quantizer.parameters.items()}
        return arrays

    def state(self) -> dict[str, Array]:
        """Copies of all that training changes, quantizers as ``quantizer/layer/kind/name``."""
        state = {key: value.copy() for key, value in (self.parameters | self.buffers).items()}
        for name, pair in self.quantizers.items():
            for kind, quantizer in pair.each():
                for key, value in quantizer.state_dict().items():
                    state[f"quantizer/{name}/{kind}/{key}"] = value
        return state

    def load_state(self, state: Mapping[str, Array], source: str = "checkpoint") -> None:
        """Take what :meth:`state` gave.

        Raises
        ------
        InputError
            For an array that is missing, misshaped or not of finite numbers; names ``source`` and the array.
        """
        self.load({k: v for k, v in state.items() if not k.startswith("quantizer/")}, source)
        for name, pair in self.quantizers.items():
            for kind, quantizer in pair.each():
                prefix = f"quantizer/{name}/{kind}/"
                own = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
                if not own:
                    raise InputError(f"{source}: the state of quantizer {name}.{kind} is missing")
                try:
                    quantizer.load_state(own)
                except InputError as error:
                    raise InputError(f"{source}: {error}") from None
                node = self.graph.by_name[name]
                own_channels = (
                    self.graph.parameters(node)["weight"][0]
                    if kind == "weight"
                    else self.graph.in_shape(node)[0]
                )
                if quantizer.channels not in (None, own_channels):
                    raise InputError(
                        f"{source}: {quantizer.label} is for {quantizer.channels} channels, expected {own_channels}"
                    )

    # -- passes --------------------------------------------------------------------------------------------------

    def forward(self, x: Array, training: bool = False, keep: bool = False) -> Array:
        """Logits of a batch.

        Parameters
        ----------
        x : (N, H, W, C)
            The network's dtype.
        training : bool
            By the batch's statistics, keeping what :meth:`backward` needs.
        keep : bool
            Keep every map for :meth:`output_of`, as training does.

        Returns
        -------
        (N, classes); a copy.
        """
        expected = batch_shape(self.graph.input_shape, len(x))
        if x.shape != expected or x.dtype != self.dtype:
            raise InputError(
                f"{self.graph.name}: a batch is {x.dtype} of shape {x.shape}, expected {self.dtype} of {expected}"
            )
        for name, value in self._values.items():
            if name != "input":
                self._pool.give(value)
        values = self._values = {"input": x}
        for index, (step, layer) in enumerate(zip(self._steps, self._layers, strict=True)):
            inputs, out = [values[name] for name in step.inputs], layer.take(step.output, len(x))
            layer.forward(inputs, training, out)
            values[step.output] = out
            if not (training or keep):
                for name in set(step.inputs):
                    if self._last_use[name] == index and name != "input":
                        self._pool.give(values.pop(name))
        return values[self._steps[-1].output].copy()

    def output_of(self, name: str) -> Array:
        """What a node made in the last forward that kept it (not of nodes that a batch normalization took in)."""
        return self._values[name]

    def peaks(self, x: Array) -> dict[str, float]:
        """Largest magnitude in each map of :meth:`output_of` for a batch, with the running statistics."""
        self.forward(x, keep=True)
        return {step.output: float(np.abs(self._values[step.output]).max()) for step in self._steps}

    def backward(self, grad: Array) -> None:
        """Fill :attr:`grads` from dL/dlogits of the last training forward."""
        values, pool = self._values, self._pool
        logits = pool.take(grad.shape, self.dtype)
        logits[...] = grad
        waiting = {self._steps[-1].output: logits}  # dL/dmap, as far as its readers have been through
        self.grads = {}
        for step, layer in zip(reversed(self._steps), reversed(self._layers), strict=True):
            dy = waiting.pop(step.output, None)
            if dy is None:  # nothing reads it
                continue
            for name, dx in layer.backward(dy, values[step.output], self.grads):
                if name == "input":
                    pool.give(dx)
                elif name in waiting:
                    pooling.accumulate(samples(waiting[name]), samples(dx))
                    pool.give(dx)
                else:
                    waiting[name] = dx
            pool.give(values.pop(step.output, None))
        self._values = {}


def checked_arrays(graph: Graph, arrays: Mapping[str, Array], source: str) -> dict[str, Array]:
    """A network's arrays by PyTorch's names, without ``module.`` and ``num_batches_tracked``.

    Raises
    ------
    InputError
        For a missing, additional, misshaped or non-finite array, or one of no numbers.
    """
    expected = {
        f"{node.name}.{key}": shape
        for node in graph
        for key, shape in (graph.parameters(node) | graph.buffers(node)).items()
    }
    given = {
        key.removeprefix("module."): value
        for key, value in arrays.items()
        if not key.endswith("num_batches_tracked")
    }
    missing = sorted(set(expected) - set(given))
    unknown = sorted(set(given) - set(expected))
    if missing:
        raise InputError(
            f"{source}: {len(missing)} arrays of {graph.name} are missing, the first {missing[0]}"
        )
    if unknown:
        raise InputError(f"{source}: {unknown[0]} is not an array of {graph.name}")
    for key, shape in expected.items():
        value = given[key]
        if value.shape != shape:
            raise InputError(f"{source}: {key} has shape {value.shape}, expected {shape}")
        if value.dtype.kind not in "fiu":
            raise InputError(f"{source}: {key} is {value.dtype}, expected real numbers")
        if not np.isfinite(value).all():
            raise InputError(f"{source}: {key} holds NaN or infinite values, expected finite numbers")
    return given
