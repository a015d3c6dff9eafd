"""ONNX files: read as a graph with its weights, and written."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper, shape_inference

from asq_sw.errors import InputError
from asq_sw.files import replacing
from asq_sw.graph.graph import Graph, Node

Params = dict[str, NDArray[Any]]

OPSET = 17
_UNKNOWN = np.zeros(0, np.int64)  # a constant whose value does not matter here
_PASSED_THROUGH = ("Identity", "Dropout", "Cast", "Softmax", "QuantizeLinear", "DequantizeLinear")
_RESHAPES = ("Flatten", "Reshape", "Squeeze")


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
        model = shape_inference.infer_shapes(model)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
    except Exception as error:  # protobuf and the checker raise many kinds, all of which mean the same here
        raise InputError(f"{path}: is not a valid ONNX file ({str(error).splitlines()[0][:120]})") from error
    return _Reader(str(path), model).read()


class _Reader:
    """Walks an ONNX graph in its (topological) order."""

    def __init__(self, path: str, model: onnx.ModelProto):
        self.path = path
        self.onnx = model.graph
        self.constants = {t.name: numpy_helper.to_array(t) for t in self.onnx.initializer}
        self.source: dict[str, str] = {}  # ONNX value -> our node
        self.shape: dict[str, tuple[int, ...]] = {}  # our node -> shape
        self.nodes: list[Node] = []
        self.params: Params = {}
        self.taken: set[str] = {"input"}
        self.sliced: dict[str, int] = {}  # ONNX value -> stride of the slice that made it

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
        name = self.onnx.name or os.path.splitext(os.path.basename(self.path))[0]
        try:
            return Graph(name, shape, self.nodes), self.params
        except InputError as error:
            raise InputError(f"{self.path}: {error}") from None

    def _fail(self, node: onnx.NodeProto, what: str) -> InputError:
        return InputError(f"{self.path}: node {node.name or node.output[0]} ({node.op_type}) {what}")

    def _constant(self, node: onnx.NodeProto, index: int) -> NDArray[Any]:
        if index >= len(node.input) or node.input[index] not in self.constants:
            raise self._fail(node, f"reads input {index} from the graph, expected a constant")
        return self.constants[node.input[index]]

    def _add(
        self, node: onnx.NodeProto, op: str, attrs: Mapping[str, Any], *inputs: str, name: str = ""
    ) -> None:
        name = name or (node.name or node.output[0]).strip("/").replace("/", ".")
        base, count = name, 1
        while name in self.taken:
            name, count = f"{base}_{count}", count + 1
        self.taken.add(name)
        new = Node(name, op, inputs, dict(attrs))
        self.nodes.append(new)
        try:
            # The one new node on its inputs' shapes: its own shape, checked at once with the ONNX node's name.
            partial = Graph("onnx", self.shape["input"], self.nodes)
        except InputError as error:
            raise InputError(f"{self.path}: {error}") from None
        self.shape[name] = partial.shapes[name]
        self.source[node.output[0]] = name

    def _node(self, node: onnx.NodeProto) -> None:
        attrs = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        kind = node.op_type
        if kind == "Constant":
            self.constants[node.output[0]] = numpy_helper.to_array(attrs["value"])
            return
        if kind == "Shape" or all(name in self.constants for name in node.input if name):
            # Arithmetic on shapes (that of a reshape, say): nothing that the network computes.
            self.constants.update(dict.fromkeys(node.output, _UNKNOWN))
            return
        if node.input[0] not in self.source and kind != "Add":
            raise self._fail(
                node, "reads a value that is not computed from the image, expected a feature map"
            )
        inputs = [self.source[name] for name in node.input if name in self.source]
        shape = self.shape[inputs[0]]
        if kind in _PASSED_THROUGH:
            self.source[node.output[0]] = inputs[0]
        elif kind in _RESHAPES:
            target = self._constant(node, 1) if kind == "Reshape" else _UNKNOWN
            if target is not _UNKNOWN and target.size != 2:
                raise self._fail(node, f"reshapes to {target.tolist()}, expected (N, features)")
            if len(shape) == 1:
                self.source[node.output[0]] = inputs[0]
            else:
                self._add(node, "flatten", {}, inputs[0])
        elif kind == "Conv":
            self._conv(node, attrs, inputs[0], shape)
        elif kind in ("Gemm", "MatMul"):
            self._linear(node, attrs, inputs[0], shape)
        elif kind == "BatchNormalization":
            self._add(node, "bn", {}, inputs[0], name=_owner(node.input[1]))
            name = self.nodes[-1].name
            for i, key in enumerate(("weight", "bias", "running_mean", "running_var"), 1):
                self.params[f"{name}.{key}"] = self._constant(node, i)
        elif kind == "Relu":
            self._add(node, "relu", {}, inputs[0])
        elif kind == "Clip":
            low = attrs.get("min", self._constant(node, 1) if len(node.input) > 1 else None)
            high = attrs.get("max", self._constant(node, 2) if len(node.input) > 2 else None)
            if low is None or high is None or (float(low), float(high)) != (0.0, 6.0):
                raise self._fail(node, "clips to other than 0 .. 6, expected ReLU6")
            self._add(node, "relu6", {}, inputs[0])
        elif kind in ("MaxPool", "AveragePool"):
            window = self._window(node, attrs, tuple(attrs["kernel_shape"]), shape)
            if window.pop("dilation") != (1, 1) or attrs.get("ceil_mode", 0):
                raise self._fail(node, "has dilations or ceil_mode, expected neither")
            self._add(node, "maxpool" if kind == "MaxPool" else "avgpool", window, inputs[0])
        elif kind == "GlobalAveragePool":
            self._add(node, "global_avgpool", {}, inputs[0])
        elif kind == "ReduceMean":
            axes = attrs.get("axes")
            axes = self._constant(node, 1).tolist() if axes is None and len(node.input) > 1 else axes
            if axes is None or sorted(a % 4 for a in axes) != [2, 3]:
                raise self._fail(node, f"averages over axes {axes}, expected height and width")
            self._add(node, "global_avgpool", {}, inputs[0])
            if not attrs.get("keepdims", 1):
                self._add(node, "flatten", {}, self.nodes[-1].name)
        elif kind == "Slice":
            starts, axes, steps = (self._constant(node, i).tolist() for i in (1, 3, 4))
            if axes != [2, 3] or starts != [0, 0] or steps[0] != steps[1]:
                raise self._fail(
                    node, "is not a strided slice of height and width, expected a ResNet's shortcut"
                )
            self.sliced[node.output[0]] = steps[0]
            self.source[node.output[0]] = inputs[0]
        elif kind == "Pad" and node.input[0] in self.sliced:
            pads = self._constant(node, 1).tolist()
            before, after = pads[1], pads[5]
            if [*pads[:1], *pads[2:5], *pads[6:]] != [0] * 6 or after - before not in (0, 1):
                raise self._fail(node, f"pads {pads}, expected channels only, half on each side")
            stride = self.sliced[node.input[0]]
            attributes = {"stride": stride, "out_channels": shape[0] + before + after}
            self._add(node, "shortcut_a", attributes, inputs[0])
        elif kind == "Add" and len(inputs) == 2:
            self._add(node, "add", {}, *inputs)
        elif kind == "Add" and self.nodes[-1].op == "linear" and inputs == [self.nodes[-1].name]:
            self._matmul_bias(node)
        else:
            raise self._fail(node, "is not supported, expected a convolutional classifier's operators")

    def _window(
        self, node: onnx.NodeProto, attrs: dict[str, Any], kernel: tuple[int, ...], shape: tuple[int, ...]
    ) -> dict[str, Any]:
        if len(kernel) != 2 or len(shape) != 3:
            raise self._fail(node, f"has a {len(kernel)}-dimensional window, expected two dimensions")
        stride = tuple(attrs.get("strides", (1, 1)))
        dilation = tuple(attrs.get("dilations", (1, 1)))
        padding = tuple(attrs.get("pads", (0, 0, 0, 0)))
        auto = attrs.get("auto_pad", b"NOTSET").decode()
        if auto in ("SAME_UPPER", "SAME_LOWER"):
            begin, end = [], []
            for size, k, s, d in zip(shape[1:], kernel, stride, dilation, strict=True):
                total = max((-(-size // s) - 1) * s + d * (k - 1) + 1 - size, 0)
                small, large = total // 2, total - total // 2
                begin.append(small if auto == "SAME_UPPER" else large)
                end.append(large if auto == "SAME_UPPER" else small)
            padding = (*begin, *end)
        return {"kernel": tuple(kernel), "stride": stride, "padding": padding, "dilation": dilation}

    def _conv(self, node: onnx.NodeProto, attrs: dict[str, Any], source: str, shape: tuple[int, ...]) -> None:
        weight = self._constant(node, 1)
        groups = attrs.get("group", 1)
        window = self._window(node, attrs, weight.shape[2:], shape)
        if shape[0] != weight.shape[1] * groups:
            raise self._fail(node, f"has weights {weight.shape} on {shape[0]} channels, expected them to fit")
        bias = len(node.input) > 2 and bool(node.input[2])
        attributes = {"out_channels": weight.shape[0], **window, "groups": groups, "bias": bias}
        self._add(node, "conv", attributes, source, name=_owner(node.input[1]))
        name = self.nodes[-1].name
        self.params[f"{name}.weight"] = weight
        if bias:
            self.params[f"{name}.bias"] = self._constant(node, 2)

    def _linear(
        self, node: onnx.NodeProto, attrs: dict[str, Any], source: str, shape: tuple[int, ...]
    ) -> None:
        weight = self._constant(node, 1)
        if attrs.get("transA", 0) or attrs.get("alpha", 1.0) != 1.0 or attrs.get("beta", 1.0) != 1.0:
            raise self._fail(node, "has transA, alpha or beta, expected a plain fully connected layer")
        if not attrs.get("transB", 0):
            weight = weight.T
        if len(shape) != 1:
            raise self._fail(node, f"reads shape {shape}, expected a flat input")
        if weight.ndim != 2 or weight.shape[1] != shape[0]:
            raise self._fail(node, f"has weights {weight.shape} on {shape[0]} inputs, expected them to fit")
        bias = len(node.input) > 2 and bool(node.input[2])
        attributes = {"out_features": weight.shape[0], "bias": bias}
        self._add(node, "linear", attributes, source, name=_owner(node.input[1]))
        name = self.nodes[-1].name
        self.params[f"{name}.weight"] = np.ascontiguousarray(weight)
        if bias:
            self.params[f"{name}.bias"] = self._constant(node, 2)

    def _matmul_bias(self, node: onnx.NodeProto) -> None:
        """A MatMul followed by the Add of a constant is one fully connected layer with a bias."""
        linear = self.nodes[-1]
        constant = next(name for name in node.input if name in self.constants)
        self.nodes[-1] = Node(linear.name, "linear", linear.inputs, {**linear.attrs, "bias": True})
        self.params[f"{linear.name}.bias"] = self.constants[constant].reshape(-1)
        self.source[node.output[0]] = linear.name


def _owner(parameter: str) -> str:
    """``layer1.0.conv1`` of ``layer1.0.conv1.weight``; empty (no hint) for other names."""
    return parameter.rpartition(".")[0] if parameter.endswith(".weight") else ""


def write_onnx(graph: Graph, params: Mapping[str, NDArray[Any]], path: str | os.PathLike[str]) -> None:
    """Write a graph with its parameters (PyTorch keys), batch size left open; opset 17.

    Raises
    ------
    InputError
        If a parameter is missing, or the file cannot be written.
    """
    nodes, tensors = [], {}

    def use(key: str) -> str:
        if key not in params:
            raise InputError(f"{path}: parameter {key} is missing, expected one for every layer")
        tensors[key] = numpy_helper.from_array(np.ascontiguousarray(params[key], dtype=np.float32), key)
        return key

    for node in graph:
        inputs, out, name = list(node.inputs), [node.name], node.name
        if node.op == "input":
            continue
        if node.op == "conv":
            keys = [use(f"{name}.weight")] + ([use(f"{name}.bias")] if node["bias"] else [])
            new = helper.make_node(
                "Conv", inputs + keys, out, name, kernel_shape=node["kernel"], strides=node["stride"],
                pads=node["padding"], dilations=node["dilation"], group=node["groups"],
            )  # fmt: skip
        elif node.op == "linear":
            keys = [use(f"{name}.weight")] + ([use(f"{name}.bias")] if node["bias"] else [])
            new = helper.make_node("Gemm", inputs + keys, out, name, transB=1)
        elif node.op == "bn":
            keys = [use(f"{name}.{k}") for k in ("weight", "bias", "running_mean", "running_var")]
            new = helper.make_node("BatchNormalization", inputs + keys, out, name)
        elif node.op == "relu6":
            for key, value in (("relu6.min", 0.0), ("relu6.max", 6.0)):
                tensors[key] = numpy_helper.from_array(np.float32(value), key)
            new = helper.make_node("Clip", [*inputs, "relu6.min", "relu6.max"], out, name)
        elif node.op in ("maxpool", "avgpool"):
            kind = "MaxPool" if node.op == "maxpool" else "AveragePool"
            new = helper.make_node(
                kind,
                inputs,
                out,
                name,
                kernel_shape=node["kernel"],
                strides=node["stride"],
                pads=node["padding"],
            )
        elif node.op == "shortcut_a":
            nodes += _shortcut_a(graph, node, tensors)
            continue
        else:
            plain = {
                "relu": "Relu",
                "add": "Add",
                "flatten": "Flatten",
                "global_avgpool": "GlobalAveragePool",
            }
            new = helper.make_node(plain[node.op], inputs, out, name)
        nodes.append(new)
    last = graph.output.name
    onnx_graph = helper.make_graph(
        nodes,
        graph.name,
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["N", *graph.input_shape])],
        [helper.make_tensor_value_info(last, TensorProto.FLOAT, ["N", *graph.shapes[last]])],
        list(tensors.values()),
    )
    model = helper.make_model(onnx_graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9)
    with replacing(path) as temporary:
        onnx.save(model, str(temporary))


def _shortcut_a(graph: Graph, node: Node, tensors: dict[str, Any]) -> list[onnx.NodeProto]:
    """Option A's shortcut: a strided slice, then zero channels on both sides, half before and half after."""
    channels = graph.in_shape(node)[0]
    before = (node["out_channels"] - channels) // 2
    after = node["out_channels"] - channels - before
    stride = node["stride"]
    for key, value in (
        ("starts", [0, 0]),
        ("ends", [2**31 - 1] * 2),
        ("axes", [2, 3]),
        ("steps", [stride, stride]),
        ("pads", [0, before, 0, 0, 0, after, 0, 0]),
    ):
        name = f"{node.name}.{key}"
        tensors[name] = numpy_helper.from_array(np.array(value, np.int64), name)
    names = [f"{node.name}.{key}" for key in ("starts", "ends", "axes", "steps")]
    return [
        helper.make_node("Slice", [node.inputs[0], *names], [f"{node.name}.slice"], f"{node.name}.slice"),
        helper.make_node("Pad", [f"{node.name}.slice", f"{node.name}.pads"], [node.name], node.name),
    ]
