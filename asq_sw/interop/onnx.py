"""ONNX files: read as a graph with its weights, and written.

:data:`READERS` says what an ONNX operator becomes, :data:`WRITERS` what an op becomes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from asq_sw.errors import InputError
from asq_sw.files import replacing
from asq_sw.graph.graph import Graph, Node

Params = dict[str, NDArray[Any]]

OPSET = 17
_UNKNOWN = np.zeros(0, np.int64)  # a constant whose value does not matter here


def read_onnx(path: str | os.PathLike[str]) -> tuple[Graph, Params]:
    """Read a convolutional classifier.

    Parameters
    ----------
    path : path of an ``.onnx`` file

    Returns
    -------
    (graph, params)
        Parameters by PyTorch key (``conv1.weight``, ``bn1.running_mean``), as stored; OIHW.

    Raises
    ------
    InputError
        If the file is not there, is not ONNX, or has an operator or a shape that the graph does not know.
    """
    try:
        model = onnx.load(os.fspath(path))
        onnx.checker.check_model(model)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
    except Exception as error:  # protobuf and the checker raise many kinds, all of which mean the same here
        raise InputError(f"{path}: is not a valid ONNX file ({str(error).splitlines()[0][:120]})") from error
    return Reader(str(path), model).read()


@dataclass(frozen=True)
class View:
    """How an ONNX value differs from the map of the node that it belongs to, until another operator ends that.

    Attributes
    ----------
    words : str
        For errors.
    readers : tuple of str
        Operators that take it.
    stride : int
        Of a slice.
    """

    words: str
    readers: tuple[str, ...]
    stride: int = 1


@dataclass(frozen=True)
class Operator:
    """One ONNX node that reads at least one feature map.

    Attributes
    ----------
    proto : onnx.NodeProto
    attrs : dict
        Its attributes' values.
    inputs : list of str
        Our nodes that it reads.
    shape : tuple of int
        Of the first of them, without the batch.
    view : View or None
        Of its first input.
    """

    proto: onnx.NodeProto
    attrs: dict[str, Any]
    inputs: list[str]
    shape: tuple[int, ...]
    view: View | None


class Reader:
    """Walks an ONNX graph in its (topological) order; :data:`READERS` says what each operator becomes."""

    def __init__(self, path: str, model: onnx.ModelProto):
        self.path = path
        self.onnx = model.graph
        self.constants = {t.name: self._array(t) for t in self.onnx.initializer}
        self.source: dict[str, str] = {}  # ONNX value -> our node
        self.shape: dict[str, tuple[int, ...]] = {}  # our node -> shape
        self.nodes: list[Node] = []
        self.params: Params = {}
        self.taken: set[str] = {"input"}
        self.views: dict[str, View] = {}  # ONNX values that only some operators can read

    def read(self) -> tuple[Graph, Params]:
        inputs = [v for v in self.onnx.input if v.name not in self.constants]
        if len(inputs) != 1:
            raise InputError(f"{self.path}: has {len(inputs)} inputs, expected one image")
        dims = [d.dim_value for d in inputs[0].type.tensor_type.shape.dim]
        if len(dims) not in (2, 4) or any(d < 1 for d in dims[1:]):
            raise InputError(
                f"{self.path}: input shape is {dims}, expected (N, C, H, W) with fixed C, H and W"
            )
        shape = tuple(dims[1:])
        self.nodes.append(Node("input", "input"))
        self.source[inputs[0].name], self.shape["input"] = "input", shape
        for node in self.onnx.node:
            self._node(node)
        for value in self.onnx.output:
            if value.name in self.views:
                raise InputError(f"{self.path}: output {value.name} is {self.views[value.name].words}")
        name = self.onnx.name or os.path.splitext(os.path.basename(self.path))[0]
        try:
            return Graph(name, shape, self.nodes), self.params
        except InputError as error:
            raise InputError(f"{self.path}: {error}") from None

    def _array(self, tensor: onnx.TensorProto) -> NDArray[Any]:
        try:
            return numpy_helper.to_array(tensor)
        except Exception as error:  # the package raises many kinds
            raise InputError(f"{self.path}: tensor {tensor.name} is damaged ({error!r})") from error

    def fail(self, node: onnx.NodeProto, what: str) -> InputError:
        """The error that a node ``what``."""
        return InputError(f"{self.path}: node {node.name or node.output[0]} ({node.op_type}) {what}")

    def constant(self, item: Operator, index: int) -> NDArray[Any]:
        """A node's input that must not depend on the image."""
        node = item.proto
        if index >= len(node.input) or node.input[index] not in self.constants:
            raise self.fail(node, f"reads input {index} from the graph, expected a constant")
        return self.constants[node.input[index]]

    def given(self, item: Operator, index: int) -> bool:
        """Whether an optional input is there."""
        return len(item.proto.input) > index and bool(item.proto.input[index])

    def add(self, item: Operator, op: str, attrs: Mapping[str, Any], *inputs: str, name: str = "") -> str:
        """Append a node, by default on the operator's inputs; returns its name."""
        proto = item.proto
        name = name or (proto.name or proto.output[0]).strip("/").replace("/", ".")
        base, count = name, 1
        while name in self.taken:
            name, count = f"{base}_{count}", count + 1
        self.taken.add(name)
        self.nodes.append(Node(name, op, inputs or tuple(item.inputs), dict(attrs)))
        try:
            # The one new node on its inputs' shapes: its own shape, checked at once with the ONNX node's name.
            partial = Graph("onnx", self.shape["input"], self.nodes)
        except InputError as error:
            raise InputError(f"{self.path}: {error}") from None
        self.shape[name] = partial.shapes[name]
        self.source[proto.output[0]] = name
        return name

    def add_with_parameters(
        self, item: Operator, op: str, attrs: Mapping[str, Any], **arrays: NDArray[Any]
    ) -> str:
        """As :meth:`add`, named after its weight, with its parameters by the last part of their names."""
        name = self.add(item, op, attrs, name=_owner(item.proto.input[1]))
        self.params.update({f"{name}.{key}": array for key, array in arrays.items()})
        return name

    def carry_on(self, item: Operator, view: View | None = None) -> None:
        """The operator's output is its first input's map, as ``view`` says."""
        output = item.proto.output[0]
        self.source[output] = item.inputs[0]
        if view is not None:
            self.views[output] = view

    def _node(self, node: onnx.NodeProto) -> None:
        attrs = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        if node.op_type == "Constant":
            if "value" not in attrs:
                raise self.fail(node, "has no tensor")
            self.constants[node.output[0]] = self._array(attrs["value"])
            return
        if node.op_type == "Shape" or all(name in self.constants for name in node.input if name):
            # Arithmetic on shapes (that of a reshape, say): nothing that the network computes.
            self.constants.update(dict.fromkeys(node.output, _UNKNOWN))
            return
        if node.op_type not in READERS:
            raise self.fail(node, "is not supported, expected a convolutional classifier's operators")
        if node.input[0] not in self.source and node.op_type != "Add":
            raise self.fail(node, "reads a value that is not computed from the image, expected a feature map")
        inputs = [self.source[name] for name in node.input if name in self.source]
        for view in (self.views[name] for name in node.input if name in self.views):
            if node.op_type not in view.readers:
                raise self.fail(node, f"reads {view.words}, which only {' or '.join(view.readers)} can")
        item = Operator(node, attrs, inputs, self.shape[inputs[0]], self.views.get(node.input[0]))
        try:
            READERS[node.op_type](self, item)
        except (TypeError, ValueError, LookupError, AttributeError, OverflowError) as error:
            if isinstance(error, InputError):
                raise
            # An attribute of another type, a constant of another shape.
            raise self.fail(node, f"has attributes or constants of another form ({error!r})") from error


# -- readers, one an operator ----------------------------------------------------------------------------------

CHANNELS_LAST = View("a map with channels last", ("LayerNormalization", "Transpose"))


def _owner(parameter: str) -> str:
    """``layer1.0.conv1`` of ``layer1.0.conv1.weight``; empty (no hint) for other names."""
    return parameter.rpartition(".")[0] if parameter.endswith(".weight") else ""


def _read_nothing(reader: Reader, item: Operator) -> None:
    """An operator that changes no value that matters here."""
    reader.carry_on(item)


def _read_flatten(reader: Reader, item: Operator) -> None:
    if len(item.shape) == 1:
        reader.carry_on(item)
    else:
        reader.add(item, "flatten", {})


def _read_reshape(reader: Reader, item: Operator) -> None:
    target = reader.constant(item, 1)
    if target is not _UNKNOWN and target.size != 2:
        raise reader.fail(item.proto, f"reshapes to {target.tolist()}, expected (N, features)")
    _read_flatten(reader, item)


def _read_plain(op: str) -> Callable[[Reader, Operator], None]:
    def read(reader: Reader, item: Operator) -> None:
        reader.add(item, op, {})

    return read


def _read_window(reader: Reader, item: Operator, kernel: tuple[int, ...]) -> dict[str, Any]:
    """``kernel``, ``stride``, ``padding`` and ``dilation``."""
    attrs = item.attrs
    if len(kernel) != 2 or len(item.shape) != 3:
        raise reader.fail(item.proto, f"has a {len(kernel)}-dimensional window, expected two dimensions")
    stride = tuple(attrs.get("strides", (1, 1)))
    dilation = tuple(attrs.get("dilations", (1, 1)))
    padding = tuple(attrs.get("pads", (0, 0, 0, 0)))
    if not len(stride) == len(dilation) == 2 or len(padding) != 4:
        raise reader.fail(
            item.proto,
            f"has strides {stride}, dilations {dilation} and pads {padding}, expected 2, 2 and 4 numbers",
        )
    auto = attrs.get("auto_pad", b"NOTSET").decode()
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        begin, end = [], []
        for size, k, s, d in zip(item.shape[1:], kernel, stride, dilation, strict=True):
            total = max((-(-size // s) - 1) * s + d * (k - 1) + 1 - size, 0)
            small, large = total // 2, total - total // 2
            begin.append(small if auto == "SAME_UPPER" else large)
            end.append(large if auto == "SAME_UPPER" else small)
        padding = (*begin, *end)
    return {"kernel": tuple(kernel), "stride": stride, "padding": padding, "dilation": dilation}


def _read_conv(reader: Reader, item: Operator) -> None:
    weight, shape, groups = reader.constant(item, 1), item.shape, item.attrs.get("group", 1)
    window = _read_window(reader, item, weight.shape[2:])
    if shape[0] != weight.shape[1] * groups:
        raise reader.fail(
            item.proto, f"has weights {weight.shape} on {shape[0]} channels, expected them to fit"
        )
    bias = {"bias": reader.constant(item, 2)} if reader.given(item, 2) else {}
    attributes = {"out_channels": weight.shape[0], **window, "groups": groups, "bias": bool(bias)}
    reader.add_with_parameters(item, "conv", attributes, weight=weight, **bias)


def _read_linear(reader: Reader, item: Operator) -> None:
    weight, shape, attrs = reader.constant(item, 1), item.shape, item.attrs
    if attrs.get("transA", 0) or attrs.get("alpha", 1.0) != 1.0 or attrs.get("beta", 1.0) != 1.0:
        raise reader.fail(item.proto, "has transA, alpha or beta, expected a plain fully connected layer")
    if not attrs.get("transB", 0):
        weight = weight.T
    if len(shape) != 1:
        raise reader.fail(item.proto, f"reads shape {shape}, expected a flat input")
    if weight.ndim != 2 or weight.shape[1] != shape[0]:
        raise reader.fail(
            item.proto, f"has weights {weight.shape} on {shape[0]} inputs, expected them to fit"
        )
    bias = {"bias": reader.constant(item, 2)} if reader.given(item, 2) else {}
    attributes = {"out_features": weight.shape[0], "bias": bool(bias)}
    reader.add_with_parameters(item, "linear", attributes, weight=np.ascontiguousarray(weight), **bias)


def _read_bn(reader: Reader, item: Operator) -> None:
    keys = ("weight", "bias", "running_mean", "running_var")
    arrays = {key: reader.constant(item, i) for i, key in enumerate(keys, 1)}
    reader.add_with_parameters(item, "bn", {}, **arrays)


def _read_transpose(reader: Reader, item: Operator) -> None:
    """To channels last and back, as PyTorch wraps a LayerNorm of a map's channels."""
    order = item.attrs.get("perm")
    if item.view is None and order == [0, 2, 3, 1]:
        reader.carry_on(item, CHANNELS_LAST)
    elif item.view is not None and order == [0, 3, 1, 2]:
        reader.carry_on(item)
    else:
        raise reader.fail(
            item.proto, f"reorders axes as {order}, expected channels last around a LayerNormalization"
        )


def _read_layernorm(reader: Reader, item: Operator) -> None:
    axis, rank = item.attrs.get("axis", -1), 1 + len(item.shape)
    if axis not in (-1, rank - 1) or (rank == 4 and item.view is None):
        raise reader.fail(
            item.proto, f"normalizes from axis {axis} of a map {item.shape}, expected the channels alone"
        )
    weight = reader.constant(item, 1)
    bias = reader.constant(item, 2) if reader.given(item, 2) else np.zeros_like(weight)
    if not weight.shape == bias.shape == item.shape[:1]:
        raise reader.fail(
            item.proto,
            f"has scale {weight.shape} and bias {bias.shape} on {item.shape[0]} channels, expected one of each a channel",
        )
    eps = float(
        str(np.float32(item.attrs.get("epsilon", 1e-5)))
    )  # float32 in the file: 1e-5, not 9.99999975e-6
    reader.add_with_parameters(item, "layernorm", {"eps": eps}, weight=weight, bias=bias)
    if item.view is not None:
        reader.views[item.proto.output[0]] = item.view


def _read_clip(reader: Reader, item: Operator) -> None:
    def end(key: str, index: int) -> float | None:
        if key in item.attrs:
            return float(item.attrs[key])
        return float(reader.constant(item, index)) if reader.given(item, index) else None

    if (end("min", 1), end("max", 2)) != (0.0, 6.0):
        raise reader.fail(item.proto, "clips to other than 0 .. 6, expected ReLU6")
    reader.add(item, "relu6", {})


def _read_pool(op: str) -> Callable[[Reader, Operator], None]:
    def read(reader: Reader, item: Operator) -> None:
        window = _read_window(reader, item, tuple(item.attrs["kernel_shape"]))
        if window.pop("dilation") != (1, 1) or item.attrs.get("ceil_mode", 0):
            raise reader.fail(item.proto, "has dilations or ceil_mode, expected neither")
        reader.add(item, op, window)

    return read


def _read_mean(reader: Reader, item: Operator) -> None:
    axes = item.attrs.get("axes")
    axes = reader.constant(item, 1).tolist() if axes is None and reader.given(item, 1) else axes
    if axes is None or sorted(a % 4 for a in axes) != [2, 3]:
        raise reader.fail(item.proto, f"averages over axes {axes}, expected height and width")
    name = reader.add(item, "global_avgpool", {})
    if not item.attrs.get("keepdims", 1):
        reader.add(item, "flatten", {}, name)


def _read_slice(reader: Reader, item: Operator) -> None:
    starts, axes, steps = (reader.constant(item, i).tolist() for i in (1, 3, 4))
    if axes != [2, 3] or starts != [0, 0] or steps[0] != steps[1]:
        raise reader.fail(
            item.proto, "is not a strided slice of height and width, expected a ResNet's shortcut"
        )
    reader.carry_on(item, View("a strided slice", ("Pad",), steps[0]))


def _read_pad(reader: Reader, item: Operator) -> None:
    if item.view is None:
        raise reader.fail(item.proto, "pads other than a strided slice, expected a ResNet's shortcut")
    pads = reader.constant(item, 1).tolist()
    before, after = pads[1], pads[5]
    if [*pads[:1], *pads[2:5], *pads[6:]] != [0] * 6 or after - before not in (0, 1):
        raise reader.fail(item.proto, f"pads {pads}, expected channels only, half on each side")
    attributes = {"stride": item.view.stride, "out_channels": item.shape[0] + before + after}
    reader.add(item, "shortcut_a", attributes)


def _read_add(reader: Reader, item: Operator) -> None:
    """A sum of maps; or, behind a MatMul, the bias of one fully connected layer."""
    if len(item.inputs) == 2:
        reader.add(item, "add", {})
        return
    linear = reader.nodes[-1]
    if linear.op != "linear" or item.inputs != [linear.name]:
        raise reader.fail(item.proto, "adds a constant, expected two maps or a fully connected layer's bias")
    constant = next(name for name in item.proto.input if name in reader.constants)
    reader.nodes[-1] = Node(linear.name, "linear", linear.inputs, {**linear.attrs, "bias": True})
    reader.params[f"{linear.name}.bias"] = reader.constants[constant].reshape(-1)
    reader.carry_on(item)


READERS: dict[str, Callable[[Reader, Operator], None]] = {
    **dict.fromkeys(
        ("Identity", "Dropout", "Cast", "Softmax", "QuantizeLinear", "DequantizeLinear"), _read_nothing
    ),
    **dict.fromkeys(("Flatten", "Squeeze"), _read_flatten),
    "Reshape": _read_reshape,
    "Conv": _read_conv,
    **dict.fromkeys(("Gemm", "MatMul"), _read_linear),
    "BatchNormalization": _read_bn,
    "LayerNormalization": _read_layernorm,
    "Transpose": _read_transpose,
    "Relu": _read_plain("relu"),
    "Clip": _read_clip,
    "MaxPool": _read_pool("maxpool"),
    "AveragePool": _read_pool("avgpool"),
    "GlobalAveragePool": _read_plain("global_avgpool"),
    "ReduceMean": _read_mean,
    "Slice": _read_slice,
    "Pad": _read_pad,
    "Add": _read_add,
}
"""ONNX operator -> what it becomes."""


class Writer:
    """Gathers the tensors of a file; :data:`WRITERS` says what each op becomes."""

    def __init__(self, graph: Graph, params: Mapping[str, NDArray[Any]], path: str):
        self.graph, self.params, self.path = graph, params, path
        self.tensors: dict[str, onnx.TensorProto] = {}

    def constant(self, name: str, values: Any, dtype: Any) -> str:
        """Hold a constant; returns its name."""
        self.tensors[name] = numpy_helper.from_array(np.array(values, dtype), name)
        return name

    def parameters(self, node: Node) -> list[str]:
        """Hold all that a node owns, as float32; returns their names."""
        keys = [f"{node.name}.{key}" for key in (*self.graph.parameters(node), *self.graph.buffers(node))]
        for key in keys:
            if key not in self.params:
                raise InputError(f"{self.path}: parameter {key} is missing, expected one for every layer")
            values = np.ascontiguousarray(self.params[key], dtype=np.float32)
            self.tensors[key] = numpy_helper.from_array(values, key)
        return keys

    def make(self, kind: str, node: Node, *inputs: str, **attrs: Any) -> list[onnx.NodeProto]:
        """One ONNX node of our node's name, on our node's inputs and ``inputs``."""
        return [helper.make_node(kind, [*node.inputs, *inputs], [node.name], node.name, **attrs)]


def write_onnx(graph: Graph, params: Mapping[str, NDArray[Any]], path: str | os.PathLike[str]) -> None:
    """Write a graph with its parameters (PyTorch keys), batch size left open; opset 17.

    Raises
    ------
    InputError
        If a parameter is missing, an op has no ONNX form, or the file cannot be written.
    """
    writer = Writer(graph, params, str(path))
    nodes = []
    for node in graph:
        if not node.inputs:
            continue
        if node.op not in WRITERS:
            raise InputError(
                f"{path}: layer {node.name} has op {node.op!r}, which has no ONNX form, "
                f"expected one of {', '.join(WRITERS)}"
            )
        nodes += WRITERS[node.op](writer, node)
    last = graph.output.name
    onnx_graph = helper.make_graph(
        nodes,
        graph.name,
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["N", *graph.input_shape])],
        [helper.make_tensor_value_info(last, TensorProto.FLOAT, ["N", *graph.shapes[last]])],
        list(writer.tensors.values()),
    )
    model = helper.make_model(onnx_graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9)
    with replacing(path) as temporary:
        onnx.save(model, str(temporary))


# -- writers, one an op ----------------------------------------------------------------------------------------


def _write_plain(kind: str) -> Callable[[Writer, Node], list[onnx.NodeProto]]:
    def write(writer: Writer, node: Node) -> list[onnx.NodeProto]:
        return writer.make(kind, node, *writer.parameters(node))

    return write


def _write_conv(writer: Writer, node: Node) -> list[onnx.NodeProto]:
    return writer.make(
        "Conv", node, *writer.parameters(node), kernel_shape=node["kernel"], strides=node["stride"],
        pads=node["padding"], dilations=node["dilation"], group=node["groups"],
    )  # fmt: skip


def _write_linear(writer: Writer, node: Node) -> list[onnx.NodeProto]:
    return writer.make("Gemm", node, *writer.parameters(node), transB=1)


def _write_layernorm(writer: Writer, node: Node) -> list[onnx.NodeProto]:
    """A map's channels are the last axis between two transposes."""
    name, keys = node.name, writer.parameters(node)
    attrs = {"axis": -1, "epsilon": node["eps"]}
    if len(writer.graph.in_shape(node)) == 1:
        return writer.make("LayerNormalization", node, *keys, **attrs)
    first, norm = f"{name}.channels_last", f"{name}.normalized"
    return [
        helper.make_node("Transpose", list(node.inputs), [first], first, perm=[0, 2, 3, 1]),
        helper.make_node("LayerNormalization", [first, *keys], [norm], norm, **attrs),
        helper.make_node("Transpose", [norm], [name], name, perm=[0, 3, 1, 2]),
    ]


def _write_relu6(writer: Writer, node: Node) -> list[onnx.NodeProto]:
    ends = [writer.constant(f"relu6.{key}", value, np.float32) for key, value in (("min", 0.0), ("max", 6.0))]
    return writer.make("Clip", node, *ends)


def _write_pool(kind: str) -> Callable[[Writer, Node], list[onnx.NodeProto]]:
    def write(writer: Writer, node: Node) -> list[onnx.NodeProto]:
        window = {"kernel_shape": node["kernel"], "strides": node["stride"], "pads": node["padding"]}
        return writer.make(kind, node, **window)

    return write


def _write_shortcut_a(writer: Writer, node: Node) -> list[onnx.NodeProto]:
    """Option A's shortcut: a strided slice, then zero channels on both sides, half before and half after."""
    channels = writer.graph.in_shape(node)[0]
    before = (node["out_channels"] - channels) // 2
    after = node["out_channels"] - channels - before
    starts, ends, axes, steps, pads = (
        writer.constant(f"{node.name}.{key}", value, np.int64)
        for key, value in (
            ("starts", [0, 0]),
            ("ends", [2**31 - 1] * 2),
            ("axes", [2, 3]),
            ("steps", [node["stride"]] * 2),
            ("pads", [0, before, 0, 0, 0, after, 0, 0]),
        )
    )
    slice_ = f"{node.name}.slice"
    return [
        helper.make_node("Slice", [node.inputs[0], starts, ends, axes, steps], [slice_], slice_),
        helper.make_node("Pad", [slice_, pads], [node.name], node.name),
    ]


WRITERS: dict[str, Callable[[Writer, Node], list[onnx.NodeProto]]] = {
    "conv": _write_conv,
    "linear": _write_linear,
    "bn": _write_plain("BatchNormalization"),
    "layernorm": _write_layernorm,
    "relu": _write_plain("Relu"),
    "relu6": _write_relu6,
    "maxpool": _write_pool("MaxPool"),
    "avgpool": _write_pool("AveragePool"),
    "global_avgpool": _write_plain("GlobalAveragePool"),
    "add": _write_plain("Add"),
    "flatten": _write_plain("Flatten"),
    "shortcut_a": _write_shortcut_a,
}
"""Op -> its ONNX nodes; the last of them has the op's name."""
