"""The layers by op: which class runs each, forward and backward, and the ones without weights to multiply by."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asq_sw.nn import pooling
from asq_sw.nn.layer import Layer, OneInput, Store, samples
from asq_sw.nn.layer_norm import LayerNorm
from asq_sw.nn.multiply import Conv, Linear
from asq_sw.nn.normalization import LIMITS, NO_LIMIT, BatchNorm
from asq_sw.nn.plan import Step

Array = NDArray[Any]


class Norm(Layer):
    """A batch normalization with the sum and the ReLU that the plan put into it."""

    def __init__(self, step: Step, store: Store):
        super().__init__(step, store)
        self._norm = BatchNorm(LIMITS[step.relu] if step.relu else NO_LIMIT)
        self._keys = [
            (arrays, key, f"{self.node.name}.{key}")
            for arrays, keys in (
                (store.parameters, store.graph.parameters(self.node)),
                (store.buffers, store.graph.buffers(self.node)),
            )
            for key in keys
        ]

    def _state(self) -> dict[str, Array]:
        return {key: arrays[name] for arrays, key, name in self._keys}

    def forward(self, inputs: list[Array], training: bool, out: Array) -> None:
        other = inputs[1] if len(inputs) > 1 else None
        self._norm.forward(inputs[0], self._state(), training, other, out)

    def backward(self, dy: Array, value: Array, grads: dict[str, Array]) -> Iterator[tuple[str, Array]]:
        others = self.step.inputs[1:]
        passed = self.take(others[0], len(dy)) if others else None
        # Not in place: a loop whose input and output may overlap does not run on vectors.
        dx = self.take(self.source, len(dy))
        _, own = self._norm.backward(dy, self._state(), dx, passed)
        self.store.pool.give(dy)
        for key, gradient in own.items():
            grads[f"{self.node.name}.{key}"] = gradient
        if passed is not None:
            yield others[0], passed
        yield self.source, dx


class Clamp(Layer):
    """A ReLU or ReLU6 that no batch normalization took in."""

    def __init__(self, step: Step, store: Store):
        super().__init__(step, store)
        self._limit = LIMITS[step.node.op]

    def forward(self, inputs: list[Array], training: bool, out: Array) -> None:
        none = np.empty((0, 1), self.store.dtype)
        pooling.clamp_sum(samples(inputs[0]), none, self._limit, samples(out))

    def backward(self, dy: Array, value: Array, grads: dict[str, Array]) -> Iterator[tuple[str, Array]]:
        pooling.clamp_gradient(samples(dy), samples(value), self._limit, samples(dy))
        yield self.source, dy


class Sum(Layer):
    """A sum of maps."""

    def forward(self, inputs: list[Array], training: bool, out: Array) -> None:
        pooling.clamp_sum(samples(inputs[0]), samples(inputs[1]), NO_LIMIT, samples(out))
        for x in inputs[2:]:
            pooling.accumulate(samples(out), samples(x))

    def backward(self, dy: Array, value: Array, grads: dict[str, Array]) -> Iterator[tuple[str, Array]]:
        for name in self.step.inputs[1:]:
            copy = self.take(name, len(dy))
            copy[...] = dy
            yield name, copy
        yield self.source, dy


class _Windowed(OneInput):
    def __init__(self, step: Step, store: Store):
        super().__init__(step, store)
        self._window = tuple(np.array(self.node[key], np.int64) for key in ("kernel", "stride", "padding"))


class MaxPool(_Windowed):
    _chosen: Array | None = None

    def forward(self, inputs: list[Array], training: bool, out: Array) -> None:
        chosen = self.store.pool.take(out.shape, np.int32)
        pooling.max_pool(inputs[0], *self._window, out, chosen)
        if training:
            self._chosen = chosen
        else:
            self.store.pool.give(chosen)

    def gradient(self, dy: Array, dx: Array, grads: dict[str, Array]) -> None:
        chosen, self._chosen = self._chosen, None
        pooling.max_pool_gradient(dy, chosen, dx.reshape(len(dx), -1, dx.shape[3]))
        self.store.pool.give(chosen)


class AveragePool(_Windowed):
    def forward(self, inputs: list[Array], training: bool, out: Array) -> None:
        pooling.average_pool(inputs[0], *self._window, out)

    def gradient(self, dy: Array, dx: Array, grads: dict[str, Array]) -> None:
        pooling.average_pool_gradient(dy, *self._window, dx)


class GlobalAveragePool(OneInput):
    def forward(self, inputs: list[Array], training: bool, out: Array) -> None:
        out[...] = inputs[0].mean(axis=(1, 2), keepdims=True)

    def gradient(self, dy: Array, dx: Array, grads: dict[str, Array]) -> None:
        dx[...] = dy / (dx.shape[1] * dx.shape[2])


class ShortcutA(OneInput):
    def forward(self, inputs: list[Array], training: bool, out: Array) -> None:
        pooling.shortcut(inputs[0], self.node["stride"], out)

    def gradient(self, dy: Array, dx: Array, grads: dict[str, Array]) -> None:
        pooling.shortcut_gradient(dy, self.node["stride"], dx)


class Flatten(OneInput):
    """Channels first, as PyTorch flattens."""

    def forward(self, inputs: list[Array], training: bool, out: Array) -> None:
        x = inputs[0]
        out[...] = samples(x.transpose(0, 3, 1, 2) if x.ndim == 4 else x)

    def gradient(self, dy: Array, dx: Array, grads: dict[str, Array]) -> None:
        shape = self.store.graph.shapes[self.source]
        dx[...] = dy.reshape(len(dy), *shape).transpose(0, 2, 3, 1) if dx.ndim == 4 else dy


LAYERS: dict[str, type[Layer]] = {
    "conv": Conv,
    "linear": Linear,
    "bn": Norm,
    "layernorm": LayerNorm,
    "relu": Clamp,
    "relu6": Clamp,
    "maxpool": MaxPool,
    "avgpool": AveragePool,
    "global_avgpool": GlobalAveragePool,
    "add": Sum,
    "flatten": Flatten,
    "shortcut_a": ShortcutA,
}
"""Op -> what runs it."""
