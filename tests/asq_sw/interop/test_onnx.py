"""ONNX in and out, against the onnx package's own shape inference and reference evaluator."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper, shape_inference

from asq_sw.errors import InputError
from asq_sw.graph.graph import Builder, Graph
from asq_sw.graph.models import MODELS, build
from asq_sw.graph.ops import OPS, Op
from asq_sw.interop.onnx import read_onnx, write_onnx
from sim.workload import from_graph, load


def parameters(graph: Graph, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    params: dict[str, np.ndarray] = {}
    for node in graph:
        for key, shape in (graph.parameters(node) | graph.buffers(node)).items():
            params[f"{node.name}.{key}"] = rng.uniform(0.5, 1.5, shape).astype(np.float32)
    return params


@pytest.mark.parametrize("name", [n for n in MODELS if n not in ("vgg16", "alexnet", "resnet50")])
def test_round_trip(name: str, tmp_path: Path) -> None:
    graph = build(
        name, input_shape=(3, 64, 64) if name.startswith(("resnet18", "resnet34", "mobile")) else None
    )
    params = parameters(graph)
    write_onnx(graph, params, tmp_path / "net.onnx")
    back, read = read_onnx(tmp_path / "net.onnx")
    assert back.nodes[0].op == "input"
    assert [(n.name, n.op, n.inputs, dict(n.attrs)) for n in back] == [
        (n.name, n.op, n.inputs, dict(n.attrs)) for n in graph
    ]
    assert read.keys() == params.keys()
    assert all(np.array_equal(read[k], params[k]) for k in params)
    assert from_graph(back).layers == from_graph(graph).layers
    # The onnx package's shape inference agrees with the graph's.
    model = shape_inference.infer_shapes(onnx.load(tmp_path / "net.onnx"), strict_mode=True)
    for value in model.graph.value_info:
        if value.name in graph.shapes:
            dims = [d.dim_value for d in value.type.tensor_type.shape.dim]
            assert tuple(dims[1:]) == graph.shapes[value.name], value.name


def test_file_and_name_give_the_same_workload(tmp_path: Path) -> None:
    graph = build("resnet20")
    write_onnx(graph, parameters(graph), tmp_path / "resnet20.onnx")
    assert load(str(tmp_path / "resnet20.onnx")).layers == load("resnet20").layers


def save(
    nodes: list, tensors: dict[str, np.ndarray], path: Path, shape: tuple = (1, 3, 9, 9), rank: int = 4
) -> Path:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None] * rank)],
        [numpy_helper.from_array(value, name) for name, value in tensors.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


@pytest.mark.parametrize("auto_pad", ["SAME_UPPER", "SAME_LOWER", "VALID", "NOTSET"])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_auto_pad_is_onnxs(auto_pad: str, stride: int, tmp_path: Path) -> None:
    node = helper.make_node(
        "Conv", ["x", "w"], ["y"], "c", strides=[stride, stride], auto_pad=auto_pad, group=3
    )
    path = save([node], {"w": np.ones((6, 1, 4, 2), np.float32)}, tmp_path / "c.onnx")
    graph, _ = read_onnx(path)
    model = onnx.load(path)
    inferred = shape_inference.infer_shapes(model, strict_mode=True).graph.output[0]
    dims = [d.dim_value for d in inferred.type.tensor_type.shape.dim]
    assert graph.shapes[graph.output.name] == tuple(dims[1:])


def test_matmul_and_add_are_one_layer(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["p"], "pool", axes=[2, 3], keepdims=0),
        helper.make_node("MatMul", ["p", "w"], ["z"], "fc"),
        helper.make_node("Add", ["z", "b"], ["y"], "bias"),
    ]
    tensors = {"w": np.arange(12, dtype=np.float32).reshape(3, 4), "b": np.ones(4, np.float32)}
    graph, params = read_onnx(save(nodes, tensors, tmp_path / "m.onnx", rank=2))
    assert [n.op for n in graph] == ["input", "global_avgpool", "flatten", "linear"]
    assert graph.output["bias"]
    np.testing.assert_array_equal(params["fc.weight"], tensors["w"].T)
    np.testing.assert_array_equal(params["fc.bias"], tensors["b"])


def test_an_op_without_an_onnx_form_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(OPS, "sigmoid", Op("sigmoid"))
    b = Builder((2, 4, 4))
    b.node("gate", "sigmoid")
    with pytest.raises(InputError, match=r"net\.onnx: layer gate has op 'sigmoid', which has no ONNX form"):
        write_onnx(b.graph("gated"), {}, tmp_path / "net.onnx")
    assert not (tmp_path / "net.onnx").exists()


def test_a_slice_that_nothing_pads_is_refused(tmp_path: Path) -> None:
    tensors = {
        "starts": np.array([0, 0]), "ends": np.array([9, 9]), "axes": np.array([2, 3]), "steps": np.array([2, 2])
    }  # fmt: skip
    nodes = [
        helper.make_node("Slice", ["x", *tensors], ["s"], "half"),
        helper.make_node("Relu", ["s"], ["y"], "r"),
    ]
    with pytest.raises(InputError, match=r"r \(Relu\) reads a strided slice, which only Pad can"):
        read_onnx(save(nodes, tensors, tmp_path / "s.onnx"))


def test_bad_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.onnx"):
        read_onnx(tmp_path / "none.onnx")
    graph = build("small_cnn")
    write_onnx(graph, parameters(graph), tmp_path / "net.onnx")
    whole = (tmp_path / "net.onnx").read_bytes()
    (tmp_path / "cut.onnx").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"cut\.onnx.*not a valid ONNX"):
        read_onnx(tmp_path / "cut.onnx")
    path = save([helper.make_node("Tanh", ["x"], ["y"], "t")], {}, tmp_path / "tanh.onnx")
    with pytest.raises(InputError, match=r"t \(Tanh\)"):
        read_onnx(path)
    path = save(
        [helper.make_node("Relu", ["x"], ["y"], "r")], {}, tmp_path / "free.onnx", shape=(1, 3, "H", "W")
    )
    with pytest.raises(InputError, match="fixed"):
        read_onnx(path)
    with pytest.raises(InputError, match=r"conv0\.weight"):
        write_onnx(graph, {}, tmp_path / "lost.onnx")
    assert not (tmp_path / "lost.onnx").exists()
