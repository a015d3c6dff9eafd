"""A graph with parameters, run forward and backward.

Nodes run as :mod:`asq_sw.nn.plan` says, channels last. Arrays come from a pool that is given
back to as soon as nothing reads an array any more, so a step allocates nothing after the first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asq_sw.errors import InputError
from asq_sw.graph.graph import Graph, Node
from asq_sw.kernels.aligned import LINE, from_line
from asq_sw.nn import pooling
from asq_sw.nn.convolution import Convolution
from asq_sw.nn.normalization import NO_LIMIT, RELU, RELU6, BatchNorm
from asq_sw.nn.plan import Step, plan
from asq_sw.nn.rounded import RoundedProducts
from asq_sw.quantizers import ActivationQuantizer, WeightQuantizer
from asq_sw.window import Window

Array = NDArray[Any]

LIMITS = {"relu": RELU, "relu6": RELU6}
BUFFERS = ("running_mean", "running_var")
"""Arrays of a batch normalization that training keeps but no gradient reaches."""


@dataclass
class LayerQuantizers:
    """What a convolution or linear layer multiplies.

    Attributes
    ----------
    weight, activation : quantizer or None
        None: full precision.
    rounded : bool
        Forward with the products of the hardware's rounded table (sqrt(2) grids; straight-through backward).
    """

    weight: WeightQuantizer | None = None
    activation: ActivationQuantizer | None = None
    rounded: bool = False

    def each(self) -> Iterator[tuple[str, Any]]:
        """(``weight`` or ``activation``, quantizer) of those there are."""
        for kind in ("weight", "activation"):
            if getattr(self, kind) is not None:
                yield kind, getattr(self, kind)


class _Pool:
    """Arrays for reuse, by size; each begins with a cache line."""

    def __init__(self) -> None:
        self._free: dict[int, list[Array]] = {}

    def take(self, shape: tuple[int, ...], dtype: Any) -> Array:
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        held = self._free.get(size)
        memory = held.pop() if held else np.empty(size + LINE, np.uint8)
        return from_line(memory, size).view(dtype).reshape(shape)

    def give(self, array: Array | None) -> None:
        while array is not None and array.dtype != np.uint8:
            if array.base is None:
                return
            array = array.base
        if array is not None:
            while array.base is not None:  # from the line that it begins with to the whole
                array = array.base
            self._free.setdefault(array.size - LINE, []).append(array)


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
        self.parameters: dict[str, Array] = {}
        self.buffers: dict[str, Array] = {}
        self.grads: dict[str, Array] = {}
        for name in self.quantizers:
            if name not in graph.by_name or graph.by_name[name].op not in ("conv", "linear"):
                raise InputError(
                    f"{graph.name}: {name!r} has quantizers, expected the name of a convolution or linear layer"
                )
        self._start(np.random.default_rng(seed))
        self._pool = _Pool()
        self._steps = plan(graph)
        for step in self._steps:
            if step.node.op == "conv":
                step.run = Convolution(self._window(step.node))
            elif step.node.op == "bn":
                step.run = BatchNorm(LIMITS[step.relu] if step.relu else NO_LIMIT)
        self._last_use = {name: index for index, step in enumerate(self._steps) for name in step.inputs}
        self._values: dict[str, Array] = {}

    # -- parameters ----------------------------------------------------------------------------------------------

    def _start(self, rng: np.random.Generator) -> None:
        for node in self.graph:
            shape = self.graph.shapes[node.name]
            if node.op == "conv":
                fan_out = node["out_channels"] * node["kernel"][0] * node["kernel"][1] // node["groups"]
                size = (
                    node["out_channels"], self.graph.in_shape(node)[0] // node["groups"], *node["kernel"],
                )  # fmt: skip
                self._add(f"{node.name}.weight", rng.normal(0, (2 / fan_out) ** 0.5, size))
                if node["bias"]:
                    self._add(f"{node.name}.bias", np.zeros(size[0]))
            elif node.op == "linear":
                fan_in = self.graph.in_shape(node)[0]
                bound = fan_in**-0.5
                self._add(f"{node.name}.weight", rng.uniform(-bound, bound, (shape[0], fan_in)))
                if node["bias"]:
                    self._add(f"{node.name}.bias", rng.uniform(-bound, bound, shape[0]))
            elif node.op == "bn":
                self._add(f"{node.name}.weight", np.ones(shape[0]))
                self._add(f"{node.name}.bias", np.zeros(shape[0]))
                self.buffers[f"{node.name}.running_mean"] = np.zeros(shape[0], self.dtype)
                self.buffers[f"{node.name}.running_var"] = np.ones(shape[0], self.dtype)

    def _add(self, name: str, values: Array) -> None:
        self.parameters[name] = np.ascontiguousarray(values, self.dtype)

    def load(self, arrays: Mapping[str, Array], source: str = "weights") -> None:
        """Take parameters and buffers by PyTorch's names (``num_batches_tracked`` is not needed).

        Raises
        ------
        InputError
            For a missing, additional, misshaped or non-finite array; nothing is changed then.
        """
        expected = self.parameters | self.buffers
        given = {
            key.removeprefix("module."): value
            for key, value in arrays.items()
            if not key.endswith("num_batches_tracked")
        }
        missing = sorted(set(expected) - set(given))
        unknown = sorted(set(given) - set(expected))
        if missing:
            raise InputError(
                f"{source}: {len(missing)} arrays of {self.graph.name} are missing, the first {missing[0]}"
            )
        if unknown:
            raise InputError(f"{source}: {unknown[0]} is not an array of {self.graph.name}")
        for key, value in expected.items():
            if given[key].shape != value.shape:
                raise InputError(f"{source}: {key} has shape {given[key].shape}, expected {value.shape}")
            if not np.isfinite(given[key]).all():
                raise InputError(f"{source}: {key} holds NaN or infinite values, expected finite numbers")
        for key, value in expected.items():
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
        """Take what :meth:`state` gave."""
        self.load({k: v for k, v in state.items() if not k.startswith("quantizer/")}, source)
        for name, pair in self.quantizers.items():
            for kind, quantizer in pair.each():
                prefix = f"quantizer/{name}/{kind}/"
                held = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
                if not held:
                    raise InputError(f"{source}: the state of quantizer {name}.{kind} is missing")
                quantizer.load_state(held)

    def _window(self, node: Node) -> Window:
        channels, height, width = self.graph.in_shape(node)
        return Window(
            channels, height, width, node["out_channels"], tuple(node["kernel"]), tuple(node["stride"]),
            tuple(node["padding"]), tuple(node["dilation"]), node["groups"],
        )  # fmt: skip

    # -- passes --------------------------------------------------------------------------------------------------

    def _shape(self, name: str, batch: int) -> tuple[int, ...]:
        shape = self.graph.shapes[name]
        return (batch, *shape) if len(shape) == 1 else (batch, shape[1], shape[2], shape[0])

    def _take(self, name: str, batch: int) -> Array:
        return self._pool.take(self._shape(name, batch), self.dtype)

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
        expected = self._shape("input", len(x))
        if x.shape != expected or x.dtype != self.dtype:
            raise InputError(
                f"{self.graph.name}: a batch is {x.dtype} of shape {x.shape}, expected {self.dtype} of {expected}"
            )
        for name, value in self._values.items():
            if name != "input":
                self._pool.give(value)
        values = self._values = {"input": x}
        for index, step in enumerate(self._steps):
            values[step.output] = self._forward(step, values, training, len(x))
            if not (training or keep):
                for name in set(step.inputs):
                    if self._last_use[name] == index and name != "input":
                        self._pool.give(values.pop(name))
        result = values[self._steps[-1].output].copy()
        return result

    def output_of(self, name: str) -> Array:
        """What a node made in the last forward that kept it (not of nodes that a batch normalization took in)."""
        return self._values[name]

    def peaks(self, x: Array) -> dict[str, float]:
        """Largest magnitude in each map of :meth:`output_of` for a batch, with the running statistics."""
        self.forward(x, keep=True)
        return {step.output: float(np.abs(self._values[step.output]).max()) for step in self._steps}

    def _forward(self, step: Step, values: dict[str, Array], training: bool, batch: int) -> Array:
        node, x = step.node, values[step.inputs[0]]
        out = self._take(step.output, batch)
        if node.op in ("conv", "linear"):
            self._multiply(step, x, training, out)
        elif node.op == "bn":
            other = values[step.inputs[1]] if len(step.inputs) > 1 else None
            step.run.forward(x, self._norm_state(node), training, other, out)
        elif node.op in LIMITS:
            empty = np.empty((0, 1), self.dtype)
            pooling.clamp_sum(_flat(x), empty, LIMITS[node.op], _flat(out))
        elif node.op == "add":
            pooling.clamp_sum(_flat(x), _flat(values[step.inputs[1]]), NO_LIMIT, _flat(out))
            for name in step.inputs[2:]:
                pooling.accumulate(_flat(out), _flat(values[name]))
        elif node.op == "maxpool":
            chosen = self._pool.take(out.shape, np.int32)
            pooling.max_pool(x, *_window(node), out, chosen)
            step.saved = {"chosen": chosen}
        elif node.op == "avgpool":
            pooling.average_pool(x, *_window(node), out)
        elif node.op == "global_avgpool":
            out[...] = x.mean(axis=(1, 2), keepdims=True)
        elif node.op == "shortcut_a":
            pooling.shortcut(x, node["stride"], out)
        elif node.op == "flatten":  # channels first, as PyTorch flattens
            out[...] = (x.transpose(0, 3, 1, 2) if x.ndim == 4 else x).reshape(batch, -1)
        return out

    def _norm_state(self, node: Node) -> dict[str, Array]:
        keys = {k: self.parameters[f"{node.name}.{k}"] for k in ("weight", "bias")}
        return keys | {k: self.buffers[f"{node.name}.{k}"] for k in BUFFERS}

    def _multiply(self, step: Step, x: Array, training: bool, out: Array) -> None:
        """A convolution or linear layer, with its operands quantized."""
        node = step.node
        weights = self.parameters[f"{node.name}.weight"]
        pair = self.quantizers.get(node.name, LayerQuantizers())
        x_hat, w_hat = x, weights
        if pair.activation is not None:
            x_hat = pair.activation.forward(x, training, out=self._pool.take(x.shape, self.dtype))
        if pair.weight is not None:
            w_hat = pair.weight.forward(weights, training)
        if pair.rounded and isinstance(pair.weight, WeightQuantizer) and pair.weight.format.rounds:
            rounded = step.saved.get("rounded") or RoundedProducts(step.run, node.op)
            rounded.forward(pair, x_hat, w_hat, out)
            step.saved = {"rounded": rounded}
        elif node.op == "conv":
            step.run.forward(x_hat, w_hat, out)
        else:
            np.matmul(x_hat, w_hat.T, out=out)
        if node["bias"]:
            out += self.parameters[f"{node.name}.bias"]
        if training:
            step.saved |= {"x": x_hat, "w": w_hat}
        elif x_hat is not x:
            self._pool.give(x_hat)

    def backward(self, grad: Array) -> None:
        """Fill :attr:`grads` from dL/dlogits of the last training forward."""
        values = self._values
        batch = len(grad)
        held: dict[str, Array] = {self._steps[-1].output: self._pool.take(grad.shape, self.dtype)}
        held[self._steps[-1].output][...] = grad
        self.grads = {}
        for step in reversed(self._steps):
            dy = held.pop(step.output, None)
            if dy is None:  # nothing reads it
                continue
            for name, dx in self._backward(step, dy, values, batch):
                if name == "input":
                    self._pool.give(dx)
                elif name in held:
                    pooling.accumulate(_flat(held[name]), _flat(dx))
                    self._pool.give(dx)
                else:
                    held[name] = dx
            self._pool.give(values.pop(step.output, None))
        self._values = {}

    def _backward(
        self, step: Step, dy: Array, values: dict[str, Array], batch: int
    ) -> Iterator[tuple[str, Array]]:
        node, source = step.node, step.inputs[0]
        if node.op in ("conv", "linear"):
            yield from self._multiply_backward(step, dy, batch)
            self._pool.give(dy)
        elif node.op == "bn":
            passed = None
            if len(step.inputs) > 1:
                passed = self._take(step.inputs[1], batch)
            # Not in place: a loop whose input and output may overlap does not run on vectors.
            dx = self._take(source, batch)
            _, grads = step.run.backward(dy, self._norm_state(node), dx, passed)
            self._pool.give(dy)
            for key, value in grads.items():
                self.grads[f"{node.name}.{key}"] = value
            if passed is not None:
                yield step.inputs[1], passed
            yield source, dx
        elif node.op in LIMITS:
            pooling.clamp_gradient(_flat(dy), _flat(values[step.output]), LIMITS[node.op], _flat(dy))
            yield source, dy
        elif node.op == "add":
            for name in step.inputs[1:]:
                copy = self._take(name, batch)
                copy[...] = dy
                yield name, copy
            yield source, dy
        else:
            dx = self._take(source, batch)
            if node.op == "maxpool":
                chosen = step.saved.pop("chosen")
                pooling.max_pool_gradient(dy, chosen, dx.reshape(batch, -1, dx.shape[3]))
                self._pool.give(chosen)
            elif node.op == "avgpool":
                pooling.average_pool_gradient(dy, *_window(node), dx)
            elif node.op == "global_avgpool":
                dx[...] = dy / (dx.shape[1] * dx.shape[2])
            elif node.op == "shortcut_a":
                pooling.shortcut_gradient(dy, node["stride"], dx)
            elif node.op == "flatten":
                shape = self.graph.shapes[source]
                dx[...] = dy.reshape(batch, *shape).transpose(0, 2, 3, 1) if dx.ndim == 4 else dy
            self._pool.give(dy)
            yield source, dx

    def _multiply_backward(self, step: Step, dy: Array, batch: int) -> Iterator[tuple[str, Array]]:
        node, source = step.node, step.inputs[0]
        pair = self.quantizers.get(node.name, LayerQuantizers())
        x_hat, w_hat = step.saved.pop("x"), step.saved.pop("w")
        if node["bias"]:
            axes = tuple(range(dy.ndim - 1))
            self.grads[f"{node.name}.bias"] = dy.sum(axis=axes, dtype=np.float64).astype(self.dtype)
        if node.op == "conv":
            dw = step.run.weight_gradient(x_hat, dy)
        else:
            dw = dy.T @ x_hat
        if pair.weight is not None:
            dw = pair.weight.backward(dw)
        self.grads[f"{node.name}.weight"] = dw
        reaches = source != "input" or pair.activation is not None
        if reaches:
            dx = self._pool.take(x_hat.shape, self.dtype)
            if node.op == "conv":
                step.run.input_gradient(dy, w_hat, dx)
            else:
                np.matmul(dy, w_hat, out=dx)
            if pair.activation is not None:
                # x_hat has had its last use: its memory takes the gradient
                dx, spent = pair.activation.backward(dx, out=x_hat), dx
                self._pool.give(spent)
            yield source, dx
        for kind, quantizer in pair.each():
            for key, value in quantizer.grads.items():
                self.grads[f"{node.name}.{kind}.{key}"] = value


def _flat(x: Array) -> Array:
    return x.reshape(len(x), -1)


def _window(node: Node) -> tuple[Array, Array, Array]:
    return tuple(np.array(node[key], np.int64) for key in ("kernel", "stride", "padding"))  # type: ignore[return-value]
