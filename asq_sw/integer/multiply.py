"""Convolutions and linear layers of the integer network: quantize, multiply by weights, requantize.

Convolutions run in bytes where the processor has byte products and the layer fits them
(:mod:`asq_sw.integer.byte_convolution`); else the sums run as float32 (or float64) matrix products of whole numbers,
which are exact because the worst sum that the weights allow stays below 2**24 (2**53).
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asq_sw.errors import InputError
from asq_sw.integer.adapter import (
    BETA_BITS,
    BETA_WIDTH,
    BIAS_MAX,
    HIDDEN_SHIFT,
    MEAN_BITS,
    WEIGHT_MAX,
    WEIGHT_WIDTH,
)
from asq_sw.integer.arithmetic import (
    beta_of,
    look_up_pixels,
    mantissa,
    means,
    quantize,
    quantize_with_entries,
    sample_factors,
    sums_of,
)
from asq_sw.integer.byte_convolution import Addition, ByteConvolution, Codes
from asq_sw.integer.constants import Adapter, Products, Quantize, check_products
from asq_sw.integer.layer import (
    Maps,
    Place,
    Planned,
    ScaledLayer,
    Source,
    by_pixel,
    folded,
    ones,
    scale_of,
)
from asq_sw.integer.record import Arrays, Record
from asq_sw.integer.widths import LOGIT_WIDTH, WIDE_WIDTH
from asq_sw.nn.convolution import Convolution
from asq_sw.quantizers import Asq
from asq_sw.quantizers.affine import AffineQuantizer
from asq_sw.window import Window

Array = NDArray[Any]
_SIDE, _CHANNELS = 255, 1 << 16
EXACT_FLOAT32, EXACT_FLOAT64 = 1 << 24, 1 << 53


class MultiplyLayer(ScaledLayer):
    """A layer with weights.

    Attributes
    ----------
    products : Products
    codes : uint8 or int16
        Weight codes in the weights' shape.
    quantize : Quantize or None
        None where the input is the image: then ``pixels``, int16 (C, 256), holds the codes.
    adapter : Adapter or None
        With ASQ.
    window : Window
        Its shape; a linear layer's is that of a 1 x 1 convolution of one pixel.
    bound : int
        Largest magnitude that the sums can take, over all inputs, given the weights.
    """

    READS_IMAGE = True
    TAKES_NORM = True

    def __init__(self, place: Place, record: Record, arrays: Arrays):
        super().__init__(place, record, arrays)
        self.window = self._window()
        self.products = Products.read(record, arrays, self.name)
        low, high = self.products.activation.min, self.products.activation.max
        storage = self.products.weight.storage_bits
        self.codes = arrays.take(
            f"{self.name}.codes", np.uint8 if storage <= 8 else np.int16, self._weight_shape(), 0,
            (1 << storage) - 1,
        )  # fmt: skip
        self.from_image = self.inputs[0] == "input"
        quantizer, adapter = record.optional("quantize"), record.optional("adapter")
        self.quantize: Quantize | None = None
        self.adapter: Adapter | None = None
        if self.from_image:
            for field, given in (("quantize", quantizer), ("adapter", adapter)):
                if given is not None:
                    raise InputError(f"{record.where}: {field} is given, expected null: it reads the image")
            shape = (place.in_shapes[0][-1], 256)
            self.pixels = arrays.take(f"{self.name}.pixels", np.int16, shape, low, high)
        elif quantizer is None:
            record.refuse("quantize", None, "an object")
        else:
            self.quantize = Quantize.read(quantizer, adapter is not None)
            if adapter is not None:
                *size, channels = place.in_shapes[0]
                pixels = int(np.prod(size)) if size else 1
                self.adapter = Adapter.read(adapter, arrays, self.name, channels, pixels)
        self.asq = self.adapter is not None
        self._bound_sums(record)
        self._check_registers(record, self.bound)

    def _bound_sums(self, record: Record) -> None:
        codes = self.codes.astype(np.int64)
        self.bound = self.products.bound(codes)
        if self.bound >= EXACT_FLOAT64:
            raise InputError(
                f"{record.where}: sums of layer {self.name} reach {self.bound:.3g}, expected below 2**53: use fewer bits"
            )
        self._dtype = np.float32 if self.bound < EXACT_FLOAT32 else np.float64
        even, odd = self.products.split(codes)
        whole = even if odd is None else np.concatenate([even, odd], axis=1)
        self._weights = np.ascontiguousarray(whole, self._dtype)
        self._prepare(even, odd)

    @abstractmethod
    def _window(self) -> Window: ...

    @abstractmethod
    def _weight_shape(self) -> tuple[int, ...]: ...

    def _prepare(self, even: Array, odd: Array | None) -> None:
        """What multiplies the weights."""

    @abstractmethod
    def _product(self, x: Array) -> Array:
        """Exact sums of codes, (N, ..., C) of the layer's float type; entries stand behind the codes of each group."""

    # -- from the trained network ------------------------------------------------------------------------------

    @classmethod
    def export(cls, source: Source, planned: Planned) -> tuple[dict[str, Any], dict[str, Array]]:
        node, network = planned.node, source.network
        pair = network.quantizers.get(node.name)
        if pair is None or pair.weight is None or pair.activation is None:
            raise InputError(
                f"{source.name}: layer {node.name} is in full precision, expected quantized weights and activations"
            )
        weights, activation = network.parameters[f"{node.name}.weight"], pair.activation
        check_products(pair.weight.format)
        encoded = pair.weight.encode(weights)
        products = Products.of(encoded.format, activation.format)
        record, arrays = products.write(node.name)
        storage = encoded.format.storage_bits
        arrays[f"{node.name}.codes"] = encoded.codes.astype(np.uint8 if storage <= 8 else np.int16)
        record |= {
            "quantize": None, "adapter": None, "relu": planned.relu,
            "bits": LOGIT_WIDTH if planned.last else WIDE_WIDTH,
        }  # fmt: skip
        if isinstance(activation, Asq):
            if planned.from_image:
                raise InputError(
                    f"layer {node.name}: ASQ on the image itself is not supported, expected a fixed step"
                )
            scale, offset = float(activation.parameters["s"][0]), 0.0
            _check_step(source, node.name, scale)
            k, shift = mantissa(2.0**-planned.in_fraction / scale)
            record["quantize"] = Quantize(int(k[0]), int(shift[0]), 0).write()
            record["adapter"], more = adapter_of(activation, planned.in_fraction).write(node.name)
            arrays |= more
        else:
            assert isinstance(activation, AffineQuantizer)
            affine = activation.affine(np.zeros(1))
            scale, offset = affine.scale, affine.offset
            _check_step(source, node.name, affine.step)
            if planned.from_image:
                codes = activation.forward(np.ascontiguousarray(source.pixels, np.float32))
                table = np.rint((codes - offset) / scale).T
                arrays[f"{node.name}.pixels"] = np.ascontiguousarray(table.astype(np.int16))
            else:
                k, shift = mantissa(2.0**-planned.in_fraction / affine.step)
                add = int(np.rint(np.ldexp(-affine.origin / affine.step, int(shift[0]))))
                record["quantize"] = Quantize(int(k[0]), int(shift[0]), add).write()
        bias = network.parameters.get(f"{node.name}.bias", np.zeros(len(weights))).astype(np.float64)
        gain, addend = np.ones_like(bias), bias
        if planned.norm is not None:
            gain, addend = folded(network, planned.norm.name)
            if f"{node.name}.bias" in network.parameters:
                addend = addend + gain * bias
        if offset:
            if any(node.attrs.get("padding", ())):
                raise InputError(
                    f"layer {node.name}: activations with an offset before zero padding cannot be integers alone"
                )
            whole = pair.weight.forward(weights).reshape(len(weights), -1).sum(axis=1, dtype=np.float64)
            addend = addend + offset * whole * gain
        beta_bits = BETA_WIDTH - BETA_BITS if isinstance(activation, Asq) else 0
        sums = encoded.alpha * encoded.format.product_scale * scale
        requantize = scale_of(
            sums * gain * 2.0**planned.fraction, addend * 2.0**planned.fraction,
            products.bound(encoded.codes.astype(np.int64)), beta_bits,
        )  # fmt: skip
        return record, arrays | requantize.write(node.name)

    # -- inference ---------------------------------------------------------------------------------------------

    def operands(self, x: Array, totals: Array | None = None) -> tuple[Array, Array]:
        """Codes of the layer's input, int16 in the map's shape, and beta, int64 (N,) (2**12 without ASQ).

        Parameters
        ----------
        x : array
            Its wide input (int16), or uint8 images where it reads the image.
        totals : int64 (N, C), optional
            The sums of its channels, where they are known.
        """
        out = np.empty(x.shape, np.int16)
        if self.quantize is None:
            look_up_pixels(by_pixel(x), self.pixels, by_pixel(out))
            return out, ones(len(x))
        beta = self.beta(x, totals)
        q, activation = self.quantize, self.products.activation
        quantize(
            x.reshape(len(x), -1), self._factors(beta), q.offset, q.shift, activation.min, activation.max,
            out.reshape(len(x), -1),
        )  # fmt: skip
        return out, beta

    def beta(self, x: Array, totals: Array | None = None) -> Array:
        """ASQ's factor of each sample in units of 2**-12, int64 (N,); 2**12 without ASQ."""
        if self.adapter is None:
            return ones(len(x))
        maps, a = by_pixel(x), self.adapter
        mean = means(sums_of(maps) if totals is None else totals, maps.shape[1])
        return np.asarray(beta_of(mean, a.w1, a.b1, a.r1, a.w2, a.b2, a.r2))

    def _factors(self, beta: Array) -> Array:
        """The quantizer's multiplier by sample, int64 (N,)."""
        if self.quantize is None:
            return np.zeros(len(beta), np.int64)
        if self.adapter is None:
            return np.full(len(beta), self.quantize.k, np.int64)
        return sample_factors(self.quantize.k, beta)

    def accumulate(self, codes: Array) -> Array:
        """Exact sums of products of int16 codes: (N, rows, columns, O) or (N, O), whole numbers as floats."""
        x, table = codes.astype(self._dtype), self.products.table
        if table is not None:
            entries = table[codes.astype(np.int64) - self.products.activation.min].astype(self._dtype)
            by_group = (*x.shape[:-1], self.window.groups, -1)
            both = np.concatenate([x.reshape(by_group), entries.reshape(by_group)], axis=-1)
            x = both.reshape(*x.shape[:-1], -1)
        return self._product(x)

    def run(self, maps: Maps) -> Array:
        x, totals = maps.values[self.inputs[0]], maps.totals.get(self.inputs[0])
        table, q, activation = self.products.table, self.quantize, self.products.activation
        if table is None or q is None or q.offset:
            codes, beta = self.operands(x, totals)
            acc = self.accumulate(codes)
        else:
            beta = self.beta(x, totals)
            both = np.empty((*x.shape[:-1], 2 * x.shape[-1]), self._dtype)
            quantize_with_entries(
                by_pixel(x), self._factors(beta), q.shift, activation.min, activation.max, table,
                self.window.channels // self.window.groups, by_pixel(both),
            )  # fmt: skip
            acc = self._product(both)
        if maps.keep:
            maps.sums[self.name] = acc
        return self._settled(maps, acc, beta)


class Convolve(MultiplyLayer):
    op = "conv"
    ATTRIBUTES = MappingProxyType(
        {
            "out_channels": (0, 1, _CHANNELS),
            "kernel": (2, 1, _SIDE),
            "stride": (2, 1, _SIDE),
            "padding": (4, 0, _SIDE),
            "dilation": (2, 1, _SIDE),
            "groups": (0, 1, _CHANNELS),
        }
    )
    IMPLIED = MappingProxyType({"bias": False})

    def _window(self) -> Window:
        height, width, channels = self.place.in_shapes[0]
        return Window(channels, height, width, **self.place.step.attributes)

    def _weight_shape(self) -> tuple[int, ...]:
        return self.window.weight_shape

    def _prepare(self, even: Array, odd: Array | None) -> None:
        terms = 1 if odd is None else 2
        self._convolution = Convolution(replace(self.window, channels=self.window.channels * terms))
        self._bytes: ByteConvolution | None = None
        fits = (self.window, even, odd, self.products.table, self.products.activation)
        if ByteConvolution.fits(*fits) and not (odd is not None and self.from_image):
            self._bytes = ByteConvolution(*fits)

    @property
    def in_bytes(self) -> bool:
        """Whether it runs in byte products."""
        return self._bytes is not None

    def _product(self, x: Array) -> Array:
        return self._convolution.forward(np.ascontiguousarray(x), self._weights)

    def run(self, maps: Maps) -> Array:
        if self._bytes is None or maps.keep:
            return super().run(maps)
        x = maps.values[self.inputs[0]]
        beta = self.beta(x, maps.totals.get(self.inputs[0]))
        q = self.quantize
        codes = (
            Codes(self._factors(beta), 1, 0, self.pixels)
            if q is None
            else Codes(self._factors(beta), q.shift, q.offset, None)
        )
        other = maps.values[self.inputs[1]] if len(self.inputs) > 1 else None
        out = np.empty(self._out_shape(len(x)), self.dtype)
        totals = None
        if self.name in maps.summed:
            totals = maps.totals[self.name] = np.empty((len(x), out.shape[-1]), np.int64)
        self._bytes.run(
            x, codes, self.requantize, beta, Addition(other, self.right, self.low, self.high), out, totals
        )
        return out


class Linear(MultiplyLayer):
    op = "linear"
    ATTRIBUTES = MappingProxyType({"out_features": (0, 1, _CHANNELS)})
    IMPLIED = MappingProxyType({"bias": False})

    def _window(self) -> Window:
        return Window(self.place.in_shapes[0][0], 1, 1, self.place.shape[0], (1, 1))

    def _weight_shape(self) -> tuple[int, ...]:
        return (self.window.out_channels, self.window.channels)

    def _product(self, x: Array) -> Array:
        return np.asarray(x @ self._weights.T)


def adapter_of(activation: Asq, fraction: int) -> Adapter:
    """ASQ's adapter in integers, for a map of ``fraction`` fractional bits."""
    p = {k: v.astype(np.float64) for k, v in activation.parameters.items()}
    in_bits = fraction + MEAN_BITS
    if "fc.weight" in p:
        w1, b1, r1 = np.zeros((0, p["fc.weight"].shape[1]), np.int64), np.zeros(0, np.int64), 0
        last, bias = p["fc.weight"][0], p["fc.bias"]
    else:
        w1, r1 = _whole(p["fc1.weight"], p["fc1.bias"], in_bits)
        b1 = np.rint(p["fc1.bias"] * 2.0 ** (r1 + in_bits)).astype(np.int64)
        last, bias = p["fc2.weight"][0], p["fc2.bias"]
    w2, bits = _whole(last, bias, in_bits)
    b2 = int(np.rint(bias[0] * 2.0 ** (bits + in_bits)))
    return Adapter(w1, b1, r1, w2, b2, bits + in_bits - BETA_BITS)


def _whole(values: Array, bias: Array, in_bits: int) -> tuple[Array, int]:
    """(whole numbers of 16 bits, fractional bits) of small float arrays; fewer where the bias would exceed its own."""
    peak = float(np.abs(values).max()) if values.size else 1.0
    bits = WEIGHT_WIDTH - 1 - np.ceil(np.log2(max(peak, 2.0**-24)) + 1e-12)
    offset = float(np.abs(bias).max())
    if offset:
        bits = min(bits, BIAS_MAX.bit_length() - 1 - in_bits - np.ceil(np.log2(offset)))
    bits = int(np.clip(bits, *HIDDEN_SHIFT))
    return np.clip(np.rint(values * 2.0**bits), -WEIGHT_MAX, WEIGHT_MAX).astype(np.int64), bits


def _check_step(source: Source, layer: str, step: float) -> None:
    if not 0 < step < np.inf:
        raise InputError(
            f"{source.name}: layer {layer}: the step of its activations is {step}, expected a positive number"
        )
