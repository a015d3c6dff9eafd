"""What a network's layers can be: one record per op.

A record says what an op needs, what it makes of shapes, which parameters it owns and what an accelerator does for
it. What runs an op in training is the class of its name in :mod:`asq_sw.nn.layers`; in files, its functions in
:mod:`asq_sw.interop.onnx`. Shapes of feature maps are (C, H, W), or (C,) after a flatten; there is no batch here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from asq_sw.errors import InputError
from asq_sw.window import output_size

Shape = tuple[int, ...]
Attrs = Mapping[str, Any]


@dataclass(frozen=True)
class Work:
    """What an accelerator does for one image of one node.

    Attributes
    ----------
    kind : str
        Of the simulator's layers: ``conv``, ``depthwise``, ``fc`` (on the array), ``pool``, ``add``, ``norm`` (on
        the vector unit).
    in_shape : (C, H, W)
    out_channels : int
    kernel, stride, dilation : (height, width)
    padding : (top, left, bottom, right)
    groups : int
    inputs : int
        Maps of ``in_shape`` that are read.
    passes : int
        How often the vector unit goes over them.
    """

    kind: str
    in_shape: tuple[int, int, int]
    out_channels: int
    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1
    inputs: int = 1
    passes: int = 1


def _same(where: str, attrs: Attrs, inputs: tuple[Shape, ...]) -> Shape:
    return inputs[0]


def _owns_nothing(attrs: Attrs, shape: Shape) -> dict[str, Shape]:
    return {}


@dataclass(frozen=True)
class Op:
    """One kind of layer.

    Attributes
    ----------
    name : str
    shape : callable
        Output shape of (what errors call the layer, attributes, input shapes); raises InputError. ``input`` gets the
        network's input shape.
    attributes : tuple of str
        Those that a node must have.
    least_inputs, most_inputs : int
        How many nodes it reads; no limit with None.
    parameters, buffers : callable
        Arrays that training changes by a gradient, and others that it keeps: last part of the (PyTorch) name to shape,
        of (attributes, first input's shape).
    weighted : bool
        Whether it multiplies its input by ``weight``: what is quantized, and runs on the array.
    sign : str
        ``makes``: no output is below zero; ``passes``: none is where no input is.
    takes_in : bool
        Whether training and the integer network run the sum and the ReLU behind it in its own passes
        (:mod:`asq_sw.nn.plan`).
    taken_in : str
        As which of the two it can be taken in: ``sum`` or ``clamp``.
    work : callable or None
        :class:`Work` of (attributes, input shapes).
    fused : str
        Where what it does happens, if it is no work of its own. With neither the simulator refuses it.
    """

    name: str
    shape: Callable[[str, Attrs, tuple[Shape, ...]], Shape] = _same
    attributes: tuple[str, ...] = ()
    least_inputs: int = 1
    most_inputs: int | None = 1
    parameters: Callable[[Attrs, Shape], dict[str, Shape]] = _owns_nothing
    buffers: Callable[[Attrs, Shape], dict[str, Shape]] = _owns_nothing
    weighted: bool = False
    sign: Literal["", "makes", "passes"] = ""
    takes_in: bool = False
    taken_in: Literal["", "sum", "clamp"] = ""
    work: Callable[[Attrs, tuple[Shape, ...]], Work] | None = None
    fused: str = ""

    @property
    def priced(self) -> bool:
        """Whether the simulator knows what it costs."""
        return self.work is not None or bool(self.fused)

    def macs(self, attrs: Attrs, in_shape: Shape, out_shape: Shape) -> int:
        """Multiply-accumulates by weights of one image: every weight once a pixel of the output."""
        weights = math.prod(self.parameters(attrs, in_shape)["weight"]) if self.weighted else 0
        return weights * math.prod(out_shape[1:])


def window_output(size: tuple[int, int], attrs: Attrs, where: str = "") -> tuple[int, int]:
    """Output (height, width) of a window (:func:`asq_sw.window.output_size`), checked."""
    kernel, stride = attrs["kernel"], attrs["stride"]
    top, left, bottom, right = attrs["padding"]
    dilation = attrs.get("dilation", (1, 1))
    out = []
    for axis, (n, pads) in enumerate(zip(size, (top + bottom, left + right), strict=True)):
        k = positive(where, "kernel", kernel[axis])
        s = positive(where, "stride", stride[axis])
        d = positive(where, "dilation", dilation[axis])
        if min(top, left, bottom, right) < 0:
            raise InputError(f"{where} has padding {attrs['padding']}, expected no negative number")
        places = output_size(n, k, s, pads, d)
        if places < 1:
            raise InputError(
                f"{where} has a {k}-wide window on a padded input of {n + pads}, expected it to fit"
            )
        out.append(places)
    return out[0], out[1]


def positive(where: str, key: str, value: Any) -> int:
    """``value`` as an int of at least 1; InputError for anything else."""
    if isinstance(value, bool) or int(value) != value or value < 1:
        raise InputError(f"{where} has {key} {value!r}, expected a whole number of at least 1")
    return int(value)


def _map_of(where: str, shape: Shape) -> tuple[int, int, int]:
    if len(shape) != 3:
        raise InputError(f"{where} reads shape {shape}, expected (C, H, W)")
    return shape[0], shape[1], shape[2]


def _as_map(shape: Shape) -> tuple[int, int, int]:
    """(C, H, W) of a map, or of a flat input as one pixel."""
    return (shape[0], shape[1], shape[2]) if len(shape) == 3 else (math.prod(shape), 1, 1)


# -- shapes ----------------------------------------------------------------------------------------------------


def _conv_shape(where: str, attrs: Attrs, inputs: tuple[Shape, ...]) -> Shape:
    channels, height, width = _map_of(where, inputs[0])
    rows, columns = window_output((height, width), attrs, where)
    out = positive(where, "out_channels", attrs["out_channels"])
    groups = positive(where, "groups", attrs["groups"])
    if channels % groups or out % groups:
        raise InputError(f"{where} has groups {groups}, expected a divisor of {channels} and {out} channels")
    return (out, rows, columns)


def _linear_shape(where: str, attrs: Attrs, inputs: tuple[Shape, ...]) -> Shape:
    if len(inputs[0]) != 1:
        raise InputError(f"{where} reads shape {inputs[0]}, expected a flat (C,) input")
    return (positive(where, "out_features", attrs["out_features"]),)


def _pool_shape(where: str, attrs: Attrs, inputs: tuple[Shape, ...]) -> Shape:
    channels, height, width = _map_of(where, inputs[0])
    return (channels, *window_output((height, width), attrs, where))


def _global_pool_shape(where: str, attrs: Attrs, inputs: tuple[Shape, ...]) -> Shape:
    return (_map_of(where, inputs[0])[0], 1, 1)


def _sum_shape(where: str, attrs: Attrs, inputs: tuple[Shape, ...]) -> Shape:
    if any(shape != inputs[0] for shape in inputs):
        raise InputError(f"{where} adds shapes {list(inputs)}, expected equal shapes")
    return inputs[0]


def _flat_shape(where: str, attrs: Attrs, inputs: tuple[Shape, ...]) -> Shape:
    return (math.prod(inputs[0]),)


def _shortcut_shape(where: str, attrs: Attrs, inputs: tuple[Shape, ...]) -> Shape:
    channels, height, width = _map_of(where, inputs[0])
    stride = positive(where, "stride", attrs["stride"])
    out = positive(where, "out_channels", attrs["out_channels"])
    if out < channels:
        raise InputError(f"{where} has out_channels {out}, expected at least its input's {channels}")
    return (out, -(-height // stride), -(-width // stride))


def _layernorm_shape(where: str, attrs: Attrs, inputs: tuple[Shape, ...]) -> Shape:
    if not 0 < attrs["eps"] < math.inf:
        raise InputError(f"{where} has eps {attrs['eps']!r}, expected a positive number")
    return inputs[0]


# -- parameters ------------------------------------------------------------------------------------------------


def _conv_parameters(attrs: Attrs, shape: Shape) -> dict[str, Shape]:
    out = attrs["out_channels"]
    weight = {"weight": (out, shape[0] // attrs["groups"], *attrs["kernel"])}
    return weight | ({"bias": (out,)} if attrs["bias"] else {})


def _linear_parameters(attrs: Attrs, shape: Shape) -> dict[str, Shape]:
    out = attrs["out_features"]
    return {"weight": (out, shape[0])} | ({"bias": (out,)} if attrs["bias"] else {})


def _gain_and_bias(attrs: Attrs, shape: Shape) -> dict[str, Shape]:
    return {"weight": shape[:1], "bias": shape[:1]}


def _running_moments(attrs: Attrs, shape: Shape) -> dict[str, Shape]:
    return {"running_mean": shape[:1], "running_var": shape[:1]}


# -- an accelerator's work -------------------------------------------------------------------------------------


def _conv_work(attrs: Attrs, inputs: tuple[Shape, ...]) -> Work:
    shape = _as_map(inputs[0])
    out, groups = attrs["out_channels"], attrs["groups"]
    kind = "depthwise" if groups > 1 and groups == shape[0] == out else "conv"
    return Work(
        kind, shape, out, attrs["kernel"], attrs["stride"], attrs["padding"], attrs["dilation"], groups
    )


def _linear_work(attrs: Attrs, inputs: tuple[Shape, ...]) -> Work:
    return Work("fc", _as_map(inputs[0]), attrs["out_features"])


def _pool_work(attrs: Attrs, inputs: tuple[Shape, ...]) -> Work:
    shape = _as_map(inputs[0])
    return Work("pool", shape, shape[0], attrs["kernel"], attrs["stride"], attrs["padding"])


def _global_pool_work(attrs: Attrs, inputs: tuple[Shape, ...]) -> Work:
    shape = _as_map(inputs[0])
    return Work("pool", shape, shape[0], kernel=shape[1:])


def _sum_work(attrs: Attrs, inputs: tuple[Shape, ...]) -> Work:
    shape = _as_map(inputs[0])
    return Work("add", shape, shape[0], inputs=len(inputs))


def _layernorm_work(attrs: Attrs, inputs: tuple[Shape, ...]) -> Work:
    """Two passes over the map: the moments of a pixel are known only behind its last channel."""
    shape = _as_map(inputs[0])
    return Work("norm", shape, shape[0], passes=2)


# -- the records -----------------------------------------------------------------------------------------------

_WINDOW = ("kernel", "stride", "padding")
_REQUANTIZED = "the requantization of the layer before it"
_ADDRESSES = "the addresses by which the next layer reads"

OPS: dict[str, Op] = {
    op.name: op
    for op in (
        Op("input", least_inputs=0, most_inputs=0, fused="the image, which the first layer reads"),
        Op(
            "conv",
            _conv_shape,
            ("out_channels", *_WINDOW, "dilation", "groups", "bias"),
            parameters=_conv_parameters,
            weighted=True,
            work=_conv_work,
        ),
        Op(
            "linear",
            _linear_shape,
            ("out_features", "bias"),
            parameters=_linear_parameters,
            weighted=True,
            work=_linear_work,
        ),
        Op("bn", parameters=_gain_and_bias, buffers=_running_moments, takes_in=True, fused=_REQUANTIZED),
        # Over the channels of each pixel
        Op("layernorm", _layernorm_shape, ("eps",), parameters=_gain_and_bias, work=_layernorm_work),
        Op("relu", sign="makes", taken_in="clamp", fused=_REQUANTIZED),
        Op("relu6", sign="makes", taken_in="clamp", fused=_REQUANTIZED),
        Op("maxpool", _pool_shape, _WINDOW, sign="passes", work=_pool_work),
        Op("avgpool", _pool_shape, _WINDOW, sign="passes", work=_pool_work),
        Op("global_avgpool", _global_pool_shape, sign="passes", work=_global_pool_work),
        Op(
            "add",
            _sum_shape,
            least_inputs=2,
            most_inputs=None,
            sign="passes",
            taken_in="sum",
            work=_sum_work,
        ),
        Op("flatten", _flat_shape, sign="passes", fused=_ADDRESSES),
        # ResNet's option A: strided slice, zero-padded channels
        Op("shortcut_a", _shortcut_shape, ("stride", "out_channels"), sign="passes", fused=_ADDRESSES),
    )
}
