"""The ops that have an integer form, each a class; :data:`LAYERS` finds them by name.

Shapes are :mod:`asq_sw.graph`'s; maps are channels last.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asq_sw.integer.arithmetic import averages, rescale, saturated, shifted, sums_of
from asq_sw.integer.layer import (
    Layer,
    Maps,
    Place,
    Planned,
    ScaledLayer,
    Source,
    brought,
    by_pixel,
    folded,
    joined,
    ones,
    scale_of,
    six,
)
from asq_sw.integer.layer_norm import LayerNorm
from asq_sw.integer.multiply import Convolve, Linear
from asq_sw.integer.record import Arrays, Record
from asq_sw.integer.widths import WIDE_MAX, WIDE_WIDTH
from asq_sw.nn import pooling

Array = NDArray[Any]
_SIDE = 255
"""Largest kernel, stride and padding."""


class BatchNorm(ScaledLayer):
    """A batch normalization that no layer takes in: a factor and an addend by channel."""

    op = "bn"
    FOLDS = True

    def __init__(self, place: Place, record: Record, arrays: Arrays):
        super().__init__(place, record, arrays)
        self._check_registers(record, WIDE_MAX + 1)

    @classmethod
    def export(cls, source: Source, planned: Planned) -> tuple[dict[str, Any], dict[str, Array]]:
        gain, addend = folded(source.network, planned.node.name)
        scale = scale_of(
            gain * 2.0 ** (planned.fraction - planned.in_fraction),
            addend * 2.0**planned.fraction,
            WIDE_MAX + 1,
        )
        return {"relu": planned.relu, "bits": WIDE_WIDTH}, scale.write(planned.node.name)

    def run(self, maps: Maps) -> Array:
        x = maps.values[self.inputs[0]]
        return self._settled(maps, x, ones(len(x)))


class Relu(Layer):
    op = "relu"

    def run(self, maps: Maps) -> Array:
        x = maps.values[self.inputs[0]]
        if self.change == 0:
            return np.maximum(x, x.dtype.type(0))
        return brought(np.maximum(x.astype(np.int64), 0), self.change)


class Relu6(Layer):
    op = "relu6"

    def run(self, maps: Maps) -> Array:
        x = np.maximum(maps.values[self.inputs[0]].astype(np.int64), 0)
        return np.minimum(brought(x, self.change), min(six(self.fraction), WIDE_MAX)).astype(np.int16)


class Add(Layer):
    op = "add"
    INPUTS = (1, 16)

    def run(self, maps: Maps) -> Array:
        rights = [fraction - self.fraction for fraction in self.place.in_fractions]
        x = [maps.values[name] for name in self.inputs]
        if len(x) == 2:
            return joined(x[0], rights[0], x[1], rights[1])
        total = np.zeros(x[0].shape, np.int64)
        for part, right in zip(x, rights, strict=True):
            total += shifted(part.astype(np.int64), right)
        return saturated(total)


class _Pool(Layer):
    ATTRIBUTES = MappingProxyType(
        {"kernel": (2, 1, _SIDE), "stride": (2, 1, _SIDE), "padding": (4, 0, _SIDE)}
    )

    def __init__(self, place: Place, record: Record, arrays: Arrays):
        super().__init__(place, record, arrays)
        self._window = tuple(
            np.array(place.step.attributes[key], np.int64) for key in ("kernel", "stride", "padding")
        )


class MaxPool(_Pool):
    """The largest value of each window; nothing outside the map counts (a window of nothing gives 0)."""

    op = "maxpool"

    def run(self, maps: Maps) -> Array:
        x = maps.values[self.inputs[0]].astype(np.float32)  # exact: 16 bits
        out, chosen = (
            np.empty(self._out_shape(len(x)), np.float32),
            np.empty(self._out_shape(len(x)), np.int32),
        )
        pooling.max_pool(x, *self._window, out, chosen)
        return brought(np.where(chosen >= 0, out, 0).astype(np.int64), self.change)


class AveragePool(_Pool):
    """The average of each window, with zeros outside the map counted."""

    op = "avgpool"

    def run(self, maps: Maps) -> Array:
        x = maps.values[self.inputs[0]]
        out = np.empty(self._out_shape(len(x)), np.float64)
        ky, kx = self.place.step.attributes["kernel"]
        pooling.average_pool(x.astype(np.float64), *self._window, out)
        return averages(np.rint(out * (ky * kx)).astype(np.int64), ky * kx, self.change)


class GlobalAveragePool(Layer):
    op = "global_avgpool"

    def run(self, maps: Maps) -> Array:
        x = by_pixel(maps.values[self.inputs[0]])
        return averages(sums_of(x), x.shape[1], self.change).reshape(self._out_shape(len(x)))


class ShortcutA(Layer):
    """ResNet's option A: every ``stride``-th pixel, channels of zeros on both sides."""

    op = "shortcut_a"
    ATTRIBUTES = MappingProxyType({"stride": (0, 1, _SIDE), "out_channels": (0, 1, 1 << 16)})

    def run(self, maps: Maps) -> Array:
        x = maps.values[self.inputs[0]]
        out = np.empty(self._out_shape(len(x)), np.int16)
        pooling.shortcut(x, self.place.step.attributes["stride"], out)
        if self.change:
            rescale(by_pixel(out), self.change, -WIDE_MAX - 1, WIDE_MAX)
        return out


class Flatten(Layer):
    """All values in one row, channels first, as PyTorch flattens."""

    op = "flatten"

    def run(self, maps: Maps) -> Array:
        x = maps.values[self.inputs[0]]
        flat = (x.transpose(0, 3, 1, 2) if x.ndim == 4 else x).reshape(self._out_shape(len(x)))
        return brought(flat.astype(np.int64), self.change)


LAYERS: Mapping[str, type[Layer]] = MappingProxyType(
    {
        layer.op: layer
        for layer in (
            Convolve,
            Linear,
            BatchNorm,
            LayerNorm,
            Relu,
            Relu6,
            Add,
            MaxPool,
            AveragePool,
            GlobalAveragePool,
            ShortcutA,
            Flatten,
        )
    }
)
"""Layer by op; a new one is a class and a line here."""
