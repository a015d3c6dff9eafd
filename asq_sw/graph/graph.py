"""Networks as graphs of layers.

A :class:`Graph` holds :class:`Node` objects in topological order; what an op is stands in :mod:`asq_sw.graph.ops`.
Training runs it, the integer path exports it, and the simulator reads its shapes. Feature maps are (C, H, W); the
batch is not part of a graph. Parameter names follow PyTorch: node ``layer1.0.conv1`` owns ``layer1.0.conv1.weight``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from asq_sw.errors import InputError
from asq_sw.graph.ops import OPS, Shape


@dataclass(frozen=True)
class Node:
    """One layer.

    Attributes
    ----------
    name : str
        PyTorch's module name where there is one.
    op : str
        A key of :data:`asq_sw.graph.ops.OPS`.
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
        If an op or a node's input is unknown, inputs are too few or too many, an attribute is missing or out of range,
        or shapes do not fit.
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

    def in_shapes(self, node: Node) -> tuple[Shape, ...]:
        """Shapes of all that a node reads; the network's input shape for ``input``."""
        return tuple(self.shapes[source] for source in node.inputs) or (self.input_shape,)

    def parameters(self, node: Node) -> dict[str, Shape]:
        """Shapes of a node's trainable arrays, by the last part of their names."""
        return OPS[node.op].parameters(node.attrs, self.in_shapes(node)[0])

    def buffers(self, node: Node) -> dict[str, Shape]:
        """Shapes of the arrays that training keeps but no gradient reaches, by the last part of their names."""
        return OPS[node.op].buffers(node.attrs, self.in_shapes(node)[0])

    def macs(self, node: Node) -> int:
        """Multiply-accumulates by weights for one image."""
        return OPS[node.op].macs(node.attrs, self.in_shapes(node)[0], self.shapes[node.name])

    def _shape(self, node: Node) -> Shape:
        where = f"{self.name}: layer {node.name}"
        if node.op not in OPS:
            raise InputError(f"{where} has op {node.op!r}, expected one of {', '.join(OPS)}")
        op = OPS[node.op]
        for key in op.attributes:
            if key not in node.attrs:
                raise InputError(f"{where} ({node.op}) lacks the attribute {key}")
        for source in node.inputs:
            if source not in self.shapes:
                raise InputError(f"{where} reads {source!r}, expected an earlier layer's name")
        count, most = len(node.inputs), op.most_inputs
        if count < op.least_inputs or (most is not None and count > most):
            words = f"{op.least_inputs}" if op.least_inputs == most else f"at least {op.least_inputs}"
            raise InputError(f"{where} ({node.op}) reads {count} layers, expected {words}")
        return op.shape(where, node.attrs, self.in_shapes(node))


def nonnegative(graph: Graph) -> set[str]:
    """Names of the nodes whose outputs cannot be below zero."""
    result: set[str] = set()
    for node in graph:
        sign = OPS[node.op].sign
        if sign == "makes" or (sign == "passes" and all(source in result for source in node.inputs)):
            result.add(node.name)
    return result


def multipliers(graph: Graph) -> list[Node]:
    """The layers that multiply by weights, in order."""
    return [node for node in graph if OPS[node.op].weighted]


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
