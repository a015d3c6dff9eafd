"""Layers that multiply by weights, with their operands quantized: convolutions and fully connected layers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asq_sw.graph.ops import Shape
from asq_sw.nn.convolution import Convolution, Window
from asq_sw.nn.layer import Layer, Store
from asq_sw.nn.plan import Step
from asq_sw.nn.rounded import RoundedProducts
from asq_sw.quantizers import WeightQuantizer
from asq_sw.quantizers.layer import LayerQuantizers

Array = NDArray[Any]


class Multiply(Layer):
    """What they share; which products they make is up to the three methods at the end."""

    def __init__(self, step: Step, store: Store):
        super().__init__(step, store)
        self._rounded = RoundedProducts(self.product)
        self._operands: tuple[Array, Array] | None = None

    def _quantizers(self) -> LayerQuantizers:
        return self.store.quantizers.get(self.node.name) or LayerQuantizers()

    def forward(self, inputs: list[Array], training: bool, out: Array) -> None:
        x, weights, pair = inputs[0], self.parameter("weight"), self._quantizers()
        x_hat, w_hat = x, weights
        if pair.activation is not None:
            x_hat = pair.activation.forward(x, training, out=self.store.pool.take(x.shape, self.store.dtype))
        if pair.weight is not None:
            w_hat = pair.weight.forward(weights, training)
        if pair.rounded and isinstance(pair.weight, WeightQuantizer) and pair.weight.format.rounds:
            self._rounded.forward(pair, x_hat, w_hat, out)
        else:
            self.product(x_hat, w_hat, out)
        if self.node["bias"]:
            out += self.parameter("bias")
        if training:
            self._operands = x_hat, w_hat
        elif x_hat is not x:
            self.store.pool.give(x_hat)

    def backward(self, dy: Array, value: Array, grads: dict[str, Array]) -> Iterator[tuple[str, Array]]:
        name, pair = self.node.name, self._quantizers()
        assert self._operands is not None
        (x_hat, w_hat), self._operands = self._operands, None
        if self.node["bias"]:
            axes = tuple(range(dy.ndim - 1))
            grads[f"{name}.bias"] = dy.sum(axis=axes, dtype=np.float64).astype(self.store.dtype)
        dw = self.weight_gradient(x_hat, dy)
        if pair.weight is not None:
            dw = pair.weight.backward(dw)
        grads[f"{name}.weight"] = dw
        if self.source != "input" or pair.activation is not None:
            dx = self.store.pool.take(x_hat.shape, self.store.dtype)
            self.input_gradient(dy, w_hat, dx)
            if pair.activation is not None:
                # x_hat has had its last use: its memory takes the gradient
                dx, spent = pair.activation.backward(dx, out=x_hat), dx
                self.store.pool.give(spent)
            yield self.source, dx
        for kind, quantizer in pair.each():
            for key, gradient in quantizer.grads.items():
                grads[f"{name}.{kind}.{key}"] = gradient
        self.store.pool.give(dy)

    def product(self, x: Array, w: Array, out: Array) -> None:
        """Write the layer's output without its bias."""
        raise NotImplementedError

    def weight_gradient(self, x: Array, dy: Array) -> Array:
        """dL/dw, in the weights' shape."""
        raise NotImplementedError

    def input_gradient(self, dy: Array, w: Array, out: Array) -> None:
        """Write dL/dx."""
        raise NotImplementedError


class Conv(Multiply):
    """Weights start normal with variance 2 / fan-out (He et al., ICCV 2015), the bias at zero."""

    def __init__(self, step: Step, store: Store):
        super().__init__(step, store)
        node = self.node
        channels, height, width = store.graph.in_shape(node)
        self._convolution = Convolution(Window(
            channels, height, width, node["out_channels"], tuple(node["kernel"]), tuple(node["stride"]),
            tuple(node["padding"]), tuple(node["dilation"]), node["groups"],
        ))  # fmt: skip

    def start(self, key: str, shape: Shape, rng: np.random.Generator) -> Array:
        if key != "weight":
            return super().start(key, shape, rng)
        fan_out = shape[0] * shape[2] * shape[3] // self.node["groups"]
        return rng.normal(0, (2 / fan_out) ** 0.5, shape)

    def product(self, x: Array, w: Array, out: Array) -> None:
        self._convolution.forward(x, w, out)

    def weight_gradient(self, x: Array, dy: Array) -> Array:
        return self._convolution.weight_gradient(x, dy)

    def input_gradient(self, dy: Array, w: Array, out: Array) -> None:
        self._convolution.input_gradient(dy, w, out)


class Linear(Multiply):
    """Weights and bias start uniform within 1 / sqrt(fan-in)."""

    def start(self, key: str, shape: Shape, rng: np.random.Generator) -> Array:
        bound = self.store.graph.in_shape(self.node)[0] ** -0.5
        return rng.uniform(-bound, bound, shape)

    def product(self, x: Array, w: Array, out: Array) -> None:
        np.matmul(x, w.T, out=out)

    def weight_gradient(self, x: Array, dy: Array) -> Array:
        gradient: Array = dy.T @ x
        return gradient

    def input_gradient(self, dy: Array, w: Array, out: Array) -> None:
        np.matmul(dy, w, out=out)
