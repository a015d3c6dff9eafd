"""Networks as graphs of layers: the one definition of a layer's shape.

A :class:`Graph` holds :class:`Node` objects in topological order. Training runs it, the integer path exports
it, and the simulator reads its shapes. Feature maps are (C, H, W); the batch is not part of a graph.
Parameter names follow PyTorch: node ``layer1.0.conv1`` owns ``layer1.0.conv1.weight``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from asq_sw.errors import InputError
from asq_sw.window import output_size

Shape = tuple[int, ...]

# op -> attributes it must have. Shapes of feature maps: (C, H, W), or (C,) after flatten.
OPS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "input": (),
        "conv": ("out_channels", "kernel", "stride", "padding", "dilation", "groups", "bias"),
        "linear": ("out_features", "bias"),
        "bn": (),
        "relu": (),
        "relu6": (),
        "maxpool": ("kernel", "stride", "padding"),
        "avgpool": ("kernel", "stride", "padding"),
        "global_avgpool": (),
        "add": (),
        "flatten": (),
        "shortcut_a": ("stride", "out_channels"),  # ResNet's option A: strided slice, zero-padded channels
    }
)


@dataclass(frozen=True)
class Node:
    """One layer.

    Attributes
    ----------
    name : str
        PyTorch's module name where there is one.
    op : str
        A key of :data:`OPS`.
    inputs : tuple of str
        Names of the nodes it reads.
    attrs : mapping
        ``kernel``, ``stride``, ``dilation`` are (height, width); ``padding`` is (top, left, bottom, right).
    """

    name: str
    op: str
    inputs: tuple[str, ...] = ()
    attrs: Mapping[str, Any] = field(default_factory=dict)

    def __getitem__(self, key: str) -> Any:
        return self.attrs[key]


class Graph:
    """A network.

    Parameters
    ----------
    name : str
    input_shape : (C, H, W)
    nodes : sequence of Node
        In topological order, the first with op ``input``; the last is the output.

    Attributes
    ----------
    shapes : mapping from node name to its output's shape

    Raises
    ------
    InputError
        If a node's input is unknown, an attribute is missing or out of range, or shapes do not fit.
    """

    def __init__(self, name: str, input_shape: Shape, nodes: list[Node]):
        self.name = name
        self.input_shape = tuple(int(n) for n in input_shape)
        self.nodes = tuple(nodes)
        if any(n < 1 for n in self.input_shape):
            raise InputError(f"{name}: input shape is {self.input_shape}, expected positive sizes")
        self.shapes: dict[str, Shape] = {}
        for node in self.nodes:
            if node.name in self.shapes:
                raise InputError(f"{name}: two layers are called {node.name}, expected distinct names")
            self.shapes[node.name] = self._shape(node)
        self.by_name = {node.name: node for node in self.nodes}

    def __iter__(self):
        return iter(self.nodes)

    @property
    def output(self) -> Node:
        return self.nodes[-1]

    def in_shape(self, node: Node) -> Shape:
        """Shape of a node's first input."""
        return self.shapes[node.inputs[0]]

    def _shape(self, node: Node) -> Shape:
        where = f"{self.name}: layer {node.name}"
        if node.op not in OPS:
            raise InputError(f"{where} has op {node.op!r}, expected one of {', '.join(OPS)}")
        for key in OPS[node.op]:
            if key not in node.attrs:
                raise InputError(f"{where} ({node.op}) lacks the attribute {key}")
        if node.op == "input":
            return self.input_shape
        for source in node.inputs:
            if source not in self.shapes:
                raise InputError(f"{where} reads {source!r}, expected an earlier layer's name")
        if not node.inputs:
            raise InputError(f"{where} reads nothing, expected at least one input")
        shape = self.shapes[node.inputs[0]]
        if node.op in ("bn", "relu", "relu6"):
            return shape
        if node.op == "add":
            if any(self.shapes[s] != shape for s in node.inputs):
                raise InputError(
                    f"{where} adds shapes {[self.shapes[s] for s in node.inputs]}, expected equal shapes"
                )
            return shape
        if node.op == "flatten":
            size = 1
            for n in shape:
                size *= n
            return (size,)
        if node.op == "linear":
            if len(shape) != 1:
                raise InputError(f"{where} reads shape {shape}, expected a flat (C,) input")
            return (_positive(where, "out_features", node["out_features"]),)
        if len(shape) != 3:
            raise InputError(f"{where} reads shape {shape}, expected (C, H, W)")
        channels, height, width = shape
        if node.op == "global_avgpool":
            return (channels, 1, 1)
        if node.op == "shortcut_a":
            stride = _positive(where, "stride", node["stride"])
            out = _positive(where, "out_channels", node["out_channels"])
            if out < channels:
                raise InputError(f"{where} has out_channels {out}, expected at least its input's {channels}")
            return (out, -(-height // stride), -(-width // stride))
        rows, columns = window_output((height, width), node, where)
        if node.op != "conv":
            return (channels, rows, columns)
        out = _positive(where, "out_channels", node["out_channels"])
        groups = _positive(where, "groups", node["groups"])
        if channels % groups or out % groups:
            raise InputError(
                f"{where} has groups {groups}, expected a divisor of {channels} and {out} channels"
            )
        return (out, rows, columns)


def window_output(size: tuple[int, int], node: Node, where: str = "") -> tuple[int, int]:
    """Output (height, width) of a window (:func:`asq_sw.window.output_size`), checked."""
    kernel, stride = node["kernel"], node["stride"]
    top, left, bottom, right = node["padding"]
    dilation = node.attrs.get("dilation", (1, 1))
    out = []
    for axis, (n, pads) in enumerate(zip(size, (top + bottom, left + right), strict=True)):
        k = _positive(where, "kernel", kernel[axis])
        s = _positive(where, "stride", stride[axis])
        d = _positive(where, "dilation", dilation[axis])
        if min(top, left, bottom, right) < 0:
            raise InputError(f"{where} has padding {node['padding']}, expected no negative number")
        places = output_size(n, k, s, pads, d)
        if places < 1:
            raise InputError(
                f"{where} has a {k}-wide window on a padded input of {n + pads}, expected it to fit"
            )
        out.append(places)
    return out[0], out[1]


def _positive(where: str, key: str, value: Any) -> int:
    if isinstance(value, bool) or int(value) != value or value < 1:
        raise InputError(f"{where} has {key} {value!r}, expected a whole number of at least 1")
    return int(value)


class Builder:
    """Appends nodes one after another; each method returns the new node's name.

    ``src=None`` reads the last node appended.
    """

    def __init__(self, input_shape: Shape):
        self.input_shape = input_shape
        self.nodes: list[Node] = [Node("input", "input")]

    @property
    def last(self) -> str:
        return self.nodes[-1].name

    def node(self, name: str, op: str, *src: str | None, **attrs: Any) -> str:
        inputs = tuple(s or self.last for s in src) or (self.last,)
        self.nodes.append(Node(name, op, inputs, MappingProxyType(attrs)))
        return name

    def conv(
        self,
        name: str,
        out_channels: int,
        kernel: int,
        stride: int = 1,
        padding: int = 0,
        groups: int = 1,
        bias: bool = False,
        src: str | None = None,
    ) -> str:
        return self.node(
            name,
            "conv",
            src,
            out_channels=out_channels,
            kernel=(kernel, kernel),
            stride=(stride, stride),
            padding=(padding,) * 4,
            dilation=(1, 1),
            groups=groups,
            bias=bias,
        )

    def bn(self, name: str) -> str:
        return self.node(name, "bn")

    def relu(self, name: str) -> str:
        return self.node(name, "relu")

    def maxpool(self, name: str, kernel: int, stride: int, padding: int = 0) -> str:
        return self.node(
            name, "maxpool", kernel=(kernel, kernel), stride=(stride, stride), padding=(padding,) * 4
        )

    def linear(self, name: str, out_features: int, bias: bool = True) -> str:
        return self.node(name, "linear", out_features=out_features, bias=bias)

    def graph(self, name: str) -> Graph:
        return Graph(name, self.input_shape, self.nodes)
