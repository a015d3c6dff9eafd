"""The integer network: what the hardware computes, bit for bit, from a trained network.

Nothing here but integers. Between layers a feature map is *wide*: int16 with a fixed number of fractional bits
per map (from calibration, one bit of headroom, saturating). Every shift rounds half up, ``(v + half) >> r``.

*Quantize* (wide to codes): ``code = clamp((w * k + o + half) >> r, n, p)``; k is the reciprocal of the step as
a 16-bit mantissa. With ASQ k differs by sample: the map's sums give the channels' means, two small integer
layers give beta with :data:`BETA_BITS` fractional bits, one integer division gives 1 / beta, which multiplies
the mantissa.

*Multiply*: ``acc = sum of product(code, weight code)`` of :class:`asq_sw.formats.WeightFormat`, exactly. On the
sqrt(2) grids this is one sum over the codes with the even weights and over ``R[code]`` with the odd ones.

*Requantize* (acc to wide): ``w = saturate((acc * m + b + half) >> r + other)``, with scale, batch normalization
and bias folded into m (16-bit mantissa) and b by channel, times beta by sample, then the ReLU.

The first layer's codes are a table of 256 entries per colour. Convolutions run in bytes where the processor has
byte products and the layer fits them (:mod:`asq_sw.nn.int8`); else the sums run as float32 (or float64) matrix
products of whole numbers, which are exact because the worst sum that the weights allow stays below 2**24
(2**53); :class:`IntegerNetwork` computes that bound when it is made, and refuses what would not hold.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from asq_sw.errors import InputError
from asq_sw.formats import ActivationFormat, WeightFormat, two_terms
from asq_sw.graph import models
from asq_sw.graph.graph import Graph, Node
from asq_sw.interop.weights import read_weights, write_npz
from asq_sw.nn import pooling
from asq_sw.nn.convolution import Convolution, Window
from asq_sw.nn.int8 import Int8Convolution, channel_sums
from asq_sw.nn.network import Network
from asq_sw.nn.normalization import EPSILON
from asq_sw.nn.plan import Step, plan, readers
from asq_sw.quantizers import Asq
from asq_sw.quantizers.affine import AffineQuantizer
from asq_sw.quantizers.layer import LayerQuantizers

Array = NDArray[Any]

WIDE_BITS = 16
MANTISSA_BITS = 16
BETA_BITS = 12
"""Fractional bits of beta; it is held in 16 bits, so it runs from 2**-12 to 16."""
MEAN_BITS = 4
"""Fractional bits of a channel's mean beyond those of its map."""
_INVERSE_BITS = 24
_WIDE_MAX = (1 << (WIDE_BITS - 1)) - 1
_ADAPTER_BITS = 16
BATCH = 250
"""Images at a time, where many are classified."""


# -- arithmetic ------------------------------------------------------------------------------------------------


def mantissa(value: Array | float) -> tuple[Array, Array]:
    """``value ~ m * 2**-r`` with ``2**14 <= |m| < 2**15`` (0: m = 0) and 1 <= r <= 62; int64 arrays."""
    value = np.atleast_1d(np.asarray(value, np.float64))
    _, exponent = np.frexp(value)
    shift = np.clip(MANTISSA_BITS - 1 - exponent, 1, 62).astype(np.int64)
    m = np.rint(np.ldexp(value, shift)).astype(np.int64)
    over = np.abs(m) >= 1 << (MANTISSA_BITS - 1)
    shift = np.where(over & (shift > 1), shift - 1, shift)
    return np.rint(np.ldexp(value, shift)).astype(np.int64), shift


@njit(cache=True, inline="always")
def _shift(v, r):
    """``v / 2**r`` rounded half up."""
    return (v + (np.int64(1) << (r - 1))) >> r if r > 0 else v << -r


@njit(cache=True, parallel=True)
def _codes(wide, k, offset, shift, low, high, out):
    """``out`` (N, values), whole numbers as floats; ``k`` (N,)."""
    half = np.int64(1) << (shift - 1)
    for n in prange(wide.shape[0]):
        factor, add = k[n], offset + half
        for i in range(wide.shape[1]):
            v = (np.int64(wide[n, i]) * factor + add) >> shift
            v = low if v < low else v
            out[n, i] = high if v > high else v


@njit(cache=True, parallel=True)
def _codes_and_table(wide, k, shift, low, high, table, out):
    """As :func:`_codes` into channels 0 .. C - 1 of ``out`` (N, pixels, 2C), with ``R[code]`` in the rest."""
    half = np.int64(1) << (shift - 1)
    channels = wide.shape[2]
    for n in prange(wide.shape[0]):
        factor = k[n]
        for i in range(wide.shape[1]):
            for c in range(channels):
                v = (np.int64(wide[n, i, c]) * factor + half) >> shift
                v = low if v < low else v
                v = high if v > high else v
                out[n, i, c] = v
                out[n, i, channels + c] = table[v - low]


@njit(cache=True, parallel=True)
def _pixels(images, tables, out):
    """Codes of an image: a table per colour; ``out`` (N, pixels, C)."""
    for n in prange(images.shape[0]):
        for i in range(images.shape[1]):
            for c in range(images.shape[2]):
                out[n, i, c] = tables[c, images[n, i, c]]


@njit(cache=True, parallel=True)
def _requantize(acc, m, b, shift, beta, other, other_shift, low, high, out):
    """acc (N, pixels, C) of whole numbers to ``out`` int16 or int32; ``other`` of no samples: none added."""
    channels = acc.shape[2]
    for n in prange(acc.shape[0]):
        factor = np.empty(channels, np.int64)
        for c in range(channels):
            factor[c] = (m[c] * beta[n] + (1 << (BETA_BITS - 1))) >> BETA_BITS
        for i in range(acc.shape[1]):
            for c in range(channels):
                v = _shift(np.int64(acc[n, i, c]) * factor[c] + b[c], shift[c])
                if other.shape[0] > 0:
                    v += _shift(np.int64(other[n, i, c]), other_shift)
                v = low if v < low else v
                out[n, i, c] = high if v > high else v


@njit(cache=True, parallel=True)
def _sums(wide, out):
    """Sum of each channel; ``wide`` (N, pixels, C), ``out`` int64 (N, C)."""
    for n in prange(wide.shape[0]):
        channel_sums(wide[n], out[n])


@njit(cache=True, parallel=True)
def _rescale(wide, right, low, high):
    """``wide / 2**right`` rounded half up and saturated, in place; (N, pixels, C)."""
    for n in prange(wide.shape[0]):
        for i in range(wide.shape[1]):
            for c in range(wide.shape[2]):
                v = _shift(np.int64(wide[n, i, c]), right)
                v = low if v < low else v
                wide[n, i, c] = high if v > high else v


@njit(cache=True, parallel=True)
def _add(x, x_right, y, y_right, low, high, out):
    """``x / 2**x_right + y / 2**y_right``, each rounded half up, saturated; all (N, pixels, C)."""
    for n in prange(out.shape[0]):
        for i in range(out.shape[1]):
            for c in range(out.shape[2]):
                v = _shift(np.int64(x[n, i, c]), x_right) + _shift(np.int64(y[n, i, c]), y_right)
                v = low if v < low else v
                out[n, i, c] = high if v > high else v


@njit(cache=True)
def _beta(means, w1, b1, r1, w2, b2, r2):
    """ASQ's adapter; ``w1`` of no rows: one layer. Returns beta, int64 (N,), in 1 .. 65535."""
    out = np.empty(len(means), np.int64)
    for n in range(len(means)):
        total = b2
        if w1.shape[0] == 0:
            for c in range(means.shape[1]):
                total += w2[c] * means[n, c]
        for j in range(w1.shape[0]):
            h = b1[j]
            for c in range(means.shape[1]):
                h += w1[j, c] * means[n, c]
            h = _shift(h, r1)
            total += w2[j] * (h if h > 0 else 0)
        v = _shift(total, r2)
        out[n] = min(max(v, 1), 65535)
    return out


# -- export ----------------------------------------------------------------------------------------------------


def _wide_bits_of(peak: float) -> int:
    """Fractional bits of a map whose largest magnitude is ``peak``, with one bit of headroom."""
    return int(np.clip(WIDE_BITS - 2 - np.ceil(np.log2(max(peak, 2.0**-20))), -8, 24))


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
        For a layer in full precision, activations with an offset before zero padding, or sums that float64
        cannot hold exactly.
    """
    graph = network.graph
    fractions = {key: _wide_bits_of(peak) for key, peak in peaks.items()}
    meta: dict[str, Any] = {"model": graph.name, "input_shape": list(graph.input_shape)}
    meta |= {"classes": graph.shapes[graph.output.name][0], "fractions": fractions, "layers": {}}
    arrays: dict[str, Array] = {}
    steps = plan(graph)
    read_by = readers(graph)
    for step in steps:
        node = step.node
        if node.op in ("conv", "linear"):
            pair = network.quantizers.get(node.name)
            if pair is None or pair.weight is None or pair.activation is None:
                raise InputError(
                    f"{name}: layer {node.name} is in full precision, expected quantized weights and activations"
                )
            meta["layers"][node.name] = _export_multiply(network, node, pair, fractions, pixels, arrays)
            after = read_by[node.name]
            if not (len(after) == 1 and after[0].op == "bn"):
                bias = network.parameters.get(f"{node.name}.bias", np.zeros(node_width(graph, node)))
                _export_scale(
                    node.name,
                    meta,
                    arrays,
                    np.ones_like(bias, np.float64),
                    bias.astype(np.float64),
                    fractions[step.output],
                )
        elif node.op == "bn":
            state = {k: network.parameters[f"{node.name}.{k}"].astype(np.float64) for k in ("weight", "bias")}
            mean, var = (
                network.buffers[f"{node.name}.{k}"].astype(np.float64)
                for k in ("running_mean", "running_var")
            )
            gain = state["weight"] / np.sqrt(var + EPSILON)
            shift = state["bias"] - mean * gain
            source = graph.by_name[step.inputs[0]]
            if source.op in ("conv", "linear") and len(read_by[source.name]) == 1:
                if f"{source.name}.bias" in network.parameters:
                    shift = shift + gain * network.parameters[f"{source.name}.bias"]
                _export_scale(source.name, meta, arrays, gain, shift, fractions[step.output])
            else:
                m, r = mantissa(gain * 2.0 ** (fractions[step.output] - fractions[source.name]))
                arrays[f"{node.name}.m"], arrays[f"{node.name}.shift"] = m, r
                arrays[f"{node.name}.b"] = np.rint(np.ldexp(shift * 2.0 ** fractions[step.output], r)).astype(
                    np.int64
                )
    return IntegerNetwork(meta, arrays, name)


def node_width(graph: Graph, node: Node) -> int:
    """Channels of a node's output."""
    return graph.shapes[node.name][0]


def _export_multiply(
    network: Network,
    node: Node,
    pair: LayerQuantizers,
    fractions: dict[str, int],
    pixels: Array,
    arrays: dict[str, Array],
) -> dict[str, Any]:
    weights = network.parameters[f"{node.name}.weight"]
    weight, activation = pair.weight, pair.activation
    assert weight is not None
    assert activation is not None
    check_products(weight.format)
    encoded = weight.encode(weights)
    layer: dict[str, Any] = {
        **encoded.format.spec(),
        "abits": activation.format.bits, "signed": activation.format.signed,
    }  # fmt: skip
    arrays[f"{node.name}.codes"] = encoded.codes.astype(
        np.uint8 if encoded.format.storage_bits <= 8 else np.int16
    )
    scale = encoded.alpha * encoded.format.product_scale
    source = node.inputs[0]
    fraction = fractions.get(source, 0)
    if isinstance(activation, Asq):
        step, offset, origin = float(activation.parameters["s"][0]), 0.0, 0.0
        factor, shift = mantissa(2.0**-fraction / step)
        layer |= {"asq": True, "k": int(factor[0]), "k_shift": int(shift[0]), "k_offset": 0}
        if source == "input":
            raise InputError(
                f"layer {node.name}: ASQ on the image itself is not supported, expected a fixed step"
            )
        _export_adapter(node.name, activation, fraction, arrays, layer)
        scale = scale * step
    else:
        assert isinstance(activation, AffineQuantizer)
        affine = activation.affine(np.zeros(1))
        origin, offset = affine.origin, affine.offset
        layer["asq"] = False
        if source == "input":
            codes = activation.forward(np.ascontiguousarray(pixels, np.float32))
            table = np.rint((codes - offset) / affine.scale).T
            arrays[f"{node.name}.pixels"] = np.ascontiguousarray(table.astype(np.int16))
        else:
            factor, shift = mantissa(2.0**-fraction / affine.step)
            layer |= {"k": int(factor[0]), "k_shift": int(shift[0])}
            layer["k_offset"] = int(np.rint(np.ldexp(-origin / affine.step, int(shift[0]))))
        scale = scale * affine.scale
    if offset:
        if node.op == "conv" and any(node["padding"]):
            raise InputError(
                f"layer {node.name}: activations with an offset before zero padding cannot be integers alone"
            )
        ones = offset * weight.forward(weights).reshape(len(weights), -1).sum(axis=1, dtype=np.float64)
        arrays[f"{node.name}.offset"] = ones
    arrays[f"{node.name}.scale"] = scale
    return layer


def _export_adapter(
    name: str, activation: Asq, fraction: int, arrays: dict[str, Array], layer: dict[str, Any]
) -> None:
    """The adapter's two layers: means with ``fraction + MEAN_BITS`` fractional bits in, beta out."""
    p = {k: v.astype(np.float64) for k, v in activation.parameters.items()}
    mean_bits = fraction + MEAN_BITS
    hidden_bits = mean_bits
    if "fc.weight" in p:
        w1, b1, r1 = np.zeros((0, p["fc.weight"].shape[1]), np.int64), np.zeros(0, np.int64), 0
        last_w, last_b, in_bits = p["fc.weight"][0], p["fc.bias"][0], mean_bits
    else:
        w1, bits1 = _whole(p["fc1.weight"])
        b1 = np.rint(p["fc1.bias"] * 2.0 ** (bits1 + mean_bits)).astype(np.int64)
        r1 = bits1
        last_w, last_b, in_bits = p["fc2.weight"][0], p["fc2.bias"][0], hidden_bits
    w2, bits2 = _whole(last_w)
    arrays[f"{name}.adapter.w1"], arrays[f"{name}.adapter.b1"], arrays[f"{name}.adapter.w2"] = w1, b1, w2
    layer["adapter"] = {
        "r1": int(r1),
        "b2": int(np.rint(last_b * 2.0 ** (bits2 + in_bits))),
        "r2": int(bits2 + in_bits - BETA_BITS),
    }


def _whole(values: Array) -> tuple[Array, int]:
    """(whole numbers of 16 bits, fractional bits) of small float arrays."""
    peak = float(np.abs(values).max()) if values.size else 1.0
    bits = int(np.clip(_ADAPTER_BITS - 1 - np.ceil(np.log2(max(peak, 2.0**-24)) + 1e-12), 1, 30))
    return np.rint(values * 2.0**bits).astype(np.int64), bits


def _export_scale(
    name: str, meta: dict[str, Any], arrays: dict[str, Array], gain: Array, shift: Array, fraction: int
) -> None:
    """Fold the layer's scale, the batch normalization and the bias into m, b and the shift."""
    scale = arrays.pop(f"{name}.scale")
    offset = arrays.pop(f"{name}.offset", 0.0)
    m, r = mantissa(scale * gain * 2.0**fraction)
    arrays[f"{name}.m"], arrays[f"{name}.shift"] = m, r
    arrays[f"{name}.b"] = np.rint(np.ldexp((shift + offset * gain) * 2.0**fraction, r)).astype(np.int64)


# -- inference -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Waiting:
    """A convolution that runs with the normalization behind it, and its input."""

    node: Node
    x: Array

    def __len__(self) -> int:
        return len(self.x)


class IntegerNetwork:
    """A network of integers; see the module.

    Parameters
    ----------
    meta : dict
        The graph's name and shape, fractional bits of every map, widths and constants of every layer.
    arrays : dict
        Codes, tables, multipliers, adapters.
    name : str
        In error messages.

    Attributes
    ----------
    bounds : dict of str to int
        Largest magnitude that each layer's accumulator can take, over all inputs, given its weights.
    """

    def __init__(self, meta: dict[str, Any], arrays: dict[str, Array], name: str = "network"):
        self.meta, self.arrays, self.name = meta, arrays, name
        self.graph = models.build(meta["model"], tuple(meta["input_shape"]), meta["classes"])
        self.steps = plan(self.graph)
        self._readers = readers(self.graph)
        self.bounds: dict[str, int] = {}
        self._layers = {
            step.node.name: self._prepare(step.node)
            for step in self.steps
            if step.node.op in ("conv", "linear")
        }
        # Channel sums of maps that ASQ averages, made with the map and read once.
        self._totals: dict[str, Array] = {}
        self._last_use = {name: i for i, step in enumerate(self.steps) for name in step.inputs}

    # -- files ---------------------------------------------------------------------------------------------------

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write an .npz of the arrays with the constants as JSON."""
        write_npz(path, self.arrays | {"meta": np.array(json.dumps(self.meta, sort_keys=True))})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> IntegerNetwork:
        """Read what :meth:`save` wrote.

        Raises
        ------
        InputError
            For another file, or a damaged one.
        """
        arrays = read_weights(path)
        try:
            meta = json.loads(str(arrays.pop("meta")))
            return cls(meta, arrays, str(Path(path)))
        except (KeyError, ValueError, TypeError) as error:
            raise InputError(f"{path}: is not an integer network ({error} is missing or damaged)") from error

    # -- layers --------------------------------------------------------------------------------------------------

    def format_of(self, name: str) -> tuple[WeightFormat, ActivationFormat]:
        """The formats of a layer's codes."""
        layer = self.meta["layers"][name]
        weight = WeightFormat.from_spec(layer)
        return weight, ActivationFormat(layer["abits"], layer["signed"])

    def _prepare(self, node: Node) -> dict[str, Any]:
        """Weights as whole numbers, the table, the bound, and what multiplies them."""
        weight, activation = self.format_of(node.name)
        codes = self.arrays[f"{node.name}.codes"].astype(np.int64)
        even, odd, table = split_codes(weight, activation, codes)
        reach = max(-activation.min, activation.max)
        worst = np.abs(even).reshape(len(codes), -1).sum(axis=1) * reach
        if odd is not None and table is not None:
            worst = worst + np.abs(odd).reshape(len(codes), -1).sum(axis=1) * int(np.abs(table).max())
        bound = int(worst.max()) if worst.size else 0
        self.bounds[node.name] = bound
        dtype = np.float32 if bound < 1 << 24 else np.float64
        if bound >= 1 << 53:
            raise InputError(
                f"{self.name}: sums of layer {node.name} reach {bound:.3g}, expected below 2**53: use fewer bits"
            )
        whole = even
        if odd is not None:
            whole = np.concatenate([even, odd], axis=1)
        held: dict[str, Any] = {"weights": np.ascontiguousarray(whole, dtype), "dtype": dtype, "table": table}
        if node.op == "conv":
            channels, height, width = self.graph.in_shape(node)
            window = Window(
                channels, height, width, node["out_channels"], tuple(node["kernel"]), tuple(node["stride"]),
                tuple(node["padding"]), tuple(node["dilation"]), node["groups"],
            )  # fmt: skip
            held["run"] = Convolution(replace(window, channels=channels * (1 if odd is None else 2)))
            bytes_ = (window, even, odd, table, activation.min, activation.max)
            if Int8Convolution.fits(*bytes_) and not (odd is not None and node.inputs[0] == "input"):
                held["bytes"] = Int8Convolution(*bytes_)
        return held

    def operands(self, name: str, x: Array, beta: Array | None = None) -> tuple[Array, Array]:
        """Codes of a layer's input and, with ASQ, beta: int16 in the map's shape, int64 (N,).

        Parameters
        ----------
        name : str
            A convolution or linear layer.
        x : array
            Its wide input (int16), or uint8 images for the first layer.
        """
        layer, held = self.meta["layers"][name], self._layers[name]
        node = self.graph.by_name[name]
        _, activation = self.format_of(name)
        ones = np.full(len(x), 1 << BETA_BITS, np.int64)
        flat = x.reshape(len(x), -1)
        if node.inputs[0] == "input":
            out = np.empty(x.shape, np.int16)
            pixels = x.reshape(len(x), -1, x.shape[-1])
            _pixels(pixels, self.arrays[f"{name}.pixels"], out.reshape(pixels.shape))
            return out, ones
        beta = self.beta(name, x) if layer["asq"] else ones
        k = self._factors(layer, beta)
        out = np.empty(x.shape, np.int16)
        _codes(
            flat,
            k,
            layer["k_offset"],
            layer["k_shift"],
            activation.min,
            activation.max,
            out.reshape(flat.shape),
        )
        del held
        return out, beta

    def _factors(self, layer: dict[str, Any], beta: Array) -> Array:
        """The quantizer's multiplier by sample."""
        if not layer["asq"]:
            return np.full(len(beta), layer["k"], np.int64)
        inverse = ((1 << (2 * BETA_BITS + 4)) + beta // 2) // beta  # 1 / beta with 16 fractional bits
        return np.minimum((layer["k"] * inverse + (1 << 15)) >> 16, (1 << 31) - 1)

    def beta(self, name: str, x: Array) -> Array:
        """ASQ's factor of each sample, with :data:`BETA_BITS` fractional bits; int64 (N,)."""
        maps = x.reshape(len(x), -1, x.shape[-1])
        sums = self._totals.pop(self.graph.by_name[name].inputs[0], None)
        if sums is None or len(sums) != len(x):
            sums = np.empty((len(x), x.shape[-1]), np.int64)
            _sums(maps, sums)
        inverse = round((1 << _INVERSE_BITS) / maps.shape[1])
        means = (sums * inverse + (1 << (_INVERSE_BITS - MEAN_BITS - 1))) >> (_INVERSE_BITS - MEAN_BITS)
        a = self.meta["layers"][name]["adapter"]
        w1, b1, w2 = (self.arrays[f"{name}.adapter.{k}"].astype(np.int64) for k in ("w1", "b1", "w2"))
        return _beta(means, w1, b1, a["r1"], w2, a["b2"], a["r2"])

    def accumulate(self, name: str, codes: Array) -> Array:
        """Exact sums of products: (N, rows, columns, C) or (N, features), whole numbers as floats."""
        held = self._layers[name]
        x = codes.astype(held["dtype"])
        if held["table"] is not None:
            _, activation = self.format_of(name)
            x = np.concatenate(
                [x, held["table"][codes.astype(np.int64) - activation.min].astype(held["dtype"])], axis=-1
            )
        return self._product(name, x)

    def _product(self, name: str, x: Array) -> Array:
        held = self._layers[name]
        if self.graph.by_name[name].op == "linear":
            return np.asarray(x @ held["weights"].T)
        result: Array = held["run"].forward(np.ascontiguousarray(x), held["weights"])
        return result

    def _multiply(self, node: Node, x: Array) -> tuple[Array, Array]:
        """The layer's sums and beta, by the fast way where there is one."""
        layer, held = self.meta["layers"][node.name], self._layers[node.name]
        if held["table"] is None or node.inputs[0] == "input" or layer["k_offset"]:
            codes, beta = self.operands(node.name, x)
            return self.accumulate(node.name, codes), beta
        _, activation = self.format_of(node.name)
        beta = self.beta(node.name, x) if layer["asq"] else np.full(len(x), 1 << BETA_BITS, np.int64)
        out = np.empty((*x.shape[:-1], 2 * x.shape[-1]), held["dtype"])
        maps = x.reshape(len(x), -1, x.shape[-1])
        _codes_and_table(
            maps, self._factors(layer, beta), layer["k_shift"], activation.min, activation.max, held["table"],
            out.reshape(len(x), maps.shape[1], -1),
        )  # fmt: skip
        return self._product(node.name, out), beta

    # -- the network ---------------------------------------------------------------------------------------------

    def forward(self, images: Array, keep: bool = False) -> Array:
        """Logits of a batch.

        Parameters
        ----------
        images : uint8 (N, H, W, C)
        keep : bool
            Keep every map in ``self.values`` (sums of a layer that a batch normalization reads as they are).

        Returns
        -------
        int32 (N, classes), in units of ``2**-fractions[output]``.
        """
        if images.dtype != np.uint8 or images.shape[1:] != (
            *self.graph.input_shape[1:],
            self.graph.input_shape[0],
        ):
            raise InputError(
                f"{self.name}: a batch is {images.dtype} of shape {images.shape}, "
                f"expected uint8 of (N, {', '.join(map(str, (*self.graph.input_shape[1:], self.graph.input_shape[0])))})"
            )
        self._totals.clear()
        values: dict[str, Any] = {"input": images}
        betas: dict[str, Array] = {}
        for index, step in enumerate(self.steps):
            values[step.output] = self._step(step, values, betas, keep)
            if not keep:
                for name in set(step.inputs):
                    if self._last_use[name] == index:
                        values.pop(name)
        if keep:
            self.values = values
        result: Array = values[self.steps[-1].output].astype(np.int32)
        return result

    def classify(self, images: Array) -> NDArray[np.int64]:
        """Class of each image, uint8 (N, H, W, C), :data:`BATCH` at a time."""
        parts = [self.forward(images[start : start + BATCH]) for start in range(0, len(images), BATCH)]
        return np.concatenate([logits.argmax(axis=1) for logits in parts])

    def _step(
        self, step: Step, values: dict[str, Any], betas: dict[str, Array], keep: bool
    ) -> Array | _Waiting:
        node, x = step.node, values[step.inputs[0]]
        if node.op in ("conv", "linear"):
            after = self._readers[node.name]
            normalized = len(after) == 1 and after[0].op == "bn"
            last = node.name == self.steps[-1].output
            if "bytes" in self._layers[node.name] and not keep:
                waiting = _Waiting(node, x)
                return waiting if normalized else self._in_bytes(waiting, None, None, step.output, last)
            acc, beta = self._multiply(node, x)
            if normalized:
                betas[node.name] = beta
                return acc
            return self._to_wide(node.name, acc, beta, None, None, step.output, last)
        if node.op == "bn":
            source = step.inputs[0]
            folded = source in betas or isinstance(x, _Waiting)
            other = step.inputs[1] if len(step.inputs) > 1 else None
            shift = 0
            if other is not None:
                shift = self._fraction(other) - self._fraction(step.output)
            added = None if other is None else (values[other], shift)
            if isinstance(x, _Waiting):
                return self._in_bytes(x, added, step.relu, step.output, False)
            beta = betas.pop(source) if folded else np.full(len(x), 1 << BETA_BITS, np.int64)
            return self._to_wide(
                source if folded else node.name, x, beta, added, step.relu, step.output, False
            )
        return self._plain(step, values)

    def _fraction(self, name: str) -> int:
        return int(self.meta["fractions"][name])

    def _ends(self, relu: str | None, output: str, last: bool) -> tuple[int, int]:
        """The least and the greatest value of a wide map."""
        high = (1 << 31) - 1 if last else _WIDE_MAX
        low = 0 if relu else -high - 1
        if relu == "relu6":
            fraction = self._fraction(output)
            high = min(high, 6 << fraction) if fraction >= 0 else 6 >> -fraction
        return low, high

    def _in_bytes(
        self, waiting: _Waiting, other: tuple[Array, int] | None, relu: str | None, output: str, last: bool
    ) -> Array:
        """A convolution with its requantization in one pass (:mod:`asq_sw.nn.int8`)."""
        name, x = waiting.node.name, waiting.x
        layer, run = self.meta["layers"][name], self._layers[name]["bytes"]
        beta = self.beta(name, x) if layer["asq"] else np.full(len(x), 1 << BETA_BITS, np.int64)
        pixels = self.arrays[f"{name}.pixels"] if waiting.node.inputs[0] == "input" else None
        k = np.zeros(len(x), np.int64) if pixels is not None else self._factors(layer, beta)
        low, high = self._ends(relu, output, last)
        out = np.empty((len(x), *run.window.output, run.window.out_channels), np.int32 if last else np.int16)
        totals = None
        if not last and any(self.meta["layers"].get(r.name, {}).get("asq") for r in self._readers[output]):
            totals = self._totals[output] = np.empty((len(x), out.shape[-1]), np.int64)
        m, b, r = (self.arrays[f"{name}.{key}"] for key in ("m", "b", "shift"))
        rest, shift = (None, 0) if other is None else other
        run.run(
            x, k, layer.get("k_shift", 1), layer.get("k_offset", 0), pixels, m, b, r, beta, BETA_BITS, rest, shift,
            low, high, out, totals,
        )  # fmt: skip
        return out

    def _to_wide(
        self, name: str, acc: Array, beta: Array, other: tuple[Array, int] | None, relu: str | None, output: str, last: bool
    ) -> Array:  # fmt: skip
        low, high = self._ends(relu, output, last)
        out = np.empty(acc.shape, np.int32 if last else np.int16)
        rest, shift = (np.empty((0, 1, 1), np.int16), 0) if other is None else (_maps(other[0]), other[1])
        m, b, r = (self.arrays[f"{name}.{k}"] for k in ("m", "b", "shift"))
        _requantize(_maps(acc), m, b, r, beta, rest, shift, low, high, _maps(out))
        return out

    def _plain(self, step: Step, values: dict[str, Array]) -> Array:
        """Nodes without a multiplication by weights, on wide maps."""
        node, x = step.node, values[step.inputs[0]]
        shape = self.graph.shapes[step.output]
        out_shape = (len(x), *shape) if len(shape) == 1 else (len(x), shape[1], shape[2], shape[0])
        # int64 with the input's fraction, brought to the output's at the end
        change = self._fraction(step.inputs[0]) - self._fraction(step.output)
        if node.op == "relu" and change == 0:
            return np.maximum(x, x.dtype.type(0))
        if node.op in ("relu", "relu6"):
            result = np.maximum(x.astype(np.int64), 0)
        elif node.op == "add":
            fraction = self._fraction(step.output)
            if len(step.inputs) == 2 and x.ndim == 4:
                other = values[step.inputs[1]]
                out = np.empty(out_shape, np.int16)
                right = self._fraction(step.inputs[1]) - fraction
                _add(_maps(x), change, _maps(other), right, -_WIDE_MAX - 1, _WIDE_MAX, _maps(out))
                return out
            result = np.zeros(out_shape, np.int64)
            for name in step.inputs:
                result += _shifted(values[name].astype(np.int64), self._fraction(name) - fraction)
            return _saturated(result)
        elif node.op == "maxpool":
            out = np.empty(out_shape, np.float32)
            chosen = np.empty(out_shape, np.int32)
            pooling.max_pool(x.astype(np.float32), *_window(node), out, chosen)
            result = np.where(chosen >= 0, out, 0).astype(np.int64)
        elif node.op in ("avgpool", "global_avgpool"):
            if node.op == "avgpool":
                out = np.empty(out_shape, np.float64)
                ky, kx = node["kernel"]
                pooling.average_pool(x.astype(np.float64), *_window(node), out)
                sums, count = np.rint(out * (ky * kx)).astype(np.int64), ky * kx
            else:
                sums = np.empty((len(x), x.shape[3]), np.int64)
                _sums(_maps(x), sums)
                sums, count = sums[:, None, None, :], x.shape[1] * x.shape[2]
            return _saturated(_shifted(sums * round((1 << _INVERSE_BITS) / count), _INVERSE_BITS + change))
        elif node.op == "shortcut_a":
            result = np.empty(out_shape, np.int16)
            pooling.shortcut(x, node["stride"], result)
            if change:
                _rescale(_maps(result), change, -_WIDE_MAX - 1, _WIDE_MAX)
            return result
        elif node.op == "flatten":
            result = (x.transpose(0, 3, 1, 2) if x.ndim == 4 else x).reshape(out_shape).astype(np.int64)
        else:  # pragma: no cover - the graph knows no other
            raise InputError(f"{self.name}: {node.op} has no integer form")
        result = _shifted(result, change)
        if node.op == "relu6":
            result = np.minimum(result, round(6 * 2.0 ** self._fraction(step.output)))
        return _saturated(result)


def check_products(weight: WeightFormat) -> None:
    """Refuse a grid whose products are too large to be summed.

    Raises
    ------
    InputError
        If they reach 2**40 times the activation.
    """
    if weight.reach_bits > 40:
        raise InputError(
            f"products of {weight.bits}-bit {weight.grid} weights reach 2**{weight.reach_bits} times the activation, "
            "expected at most 2**40: use fewer bits"
        )


def split_codes(
    weight: WeightFormat, activation: ActivationFormat, codes: Array
) -> tuple[Array, Array | None, Array | None]:
    """:func:`asq_sw.formats.two_terms` of each of ``codes``, int64."""
    check_products(weight)
    even, odd, table = two_terms(weight, activation)
    return np.array(even)[codes], None if odd is None else np.array(odd)[codes], table


def _maps(x: Array) -> Array:
    """(N, pixels, C)."""
    return x.reshape(len(x), -1, x.shape[-1])


def _shifted(values: Array, right: int) -> Array:
    """``values / 2**right`` rounded half up (left for negative)."""
    if right <= 0:
        return values << -right
    return (values + (1 << (right - 1))) >> right


def _saturated(values: Array) -> Array:
    return np.clip(values, -_WIDE_MAX - 1, _WIDE_MAX).astype(np.int16)


def _window(node: Node) -> tuple[Array, Array, Array]:
    return tuple(np.array(node[key], np.int64) for key in ("kernel", "stride", "padding"))  # type: ignore[return-value]
