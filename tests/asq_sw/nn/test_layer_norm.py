"""Layer normalization from graph to simulator: its definition, training, ONNX's own evaluator, its price."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numba
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from asq_sw.errors import InputError
from asq_sw.graph.graph import Builder, Graph
from asq_sw.interop.onnx import read_onnx, write_onnx
from asq_sw.nn.loss import cross_entropy
from asq_sw.nn.network import Network
from asq_sw.nn.optimizers import Sgd
from sim.accelerator import Accelerator
from sim.multi import shares
from sim.run import simulate
from sim.workload import Layer, Workload, from_graph


def small(eps: float = 1e-5) -> Graph:
    b = Builder((3, 8, 8))
    b.conv("conv", 6, 3, 2, 1)
    b.bn("bn")
    b.relu("relu")
    b.node("norm", "layernorm", eps=eps)
    b.node("flatten", "flatten")
    b.node("flat_norm", "layernorm", eps=eps)
    b.linear("fc", 4)
    return b.graph("small")


def alone(shape: tuple[int, ...], eps: float, dtype: type = np.float64) -> Network:
    b = Builder(shape)
    b.node("n", "layernorm", eps=eps)
    net = Network(b.graph("alone"), dtype=dtype)
    rng = np.random.default_rng(1)
    for value in net.parameters.values():
        value[...] = rng.normal(size=value.shape)
    return net


@pytest.mark.parametrize("shape", [(7,), (5, 3, 4), (1, 2, 2)])
@pytest.mark.parametrize("eps", [1e-5, 0.5])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_it_is_its_definition(shape: tuple[int, ...], eps: float, dtype: type) -> None:
    net = alone(shape, eps, dtype)
    channels_last = (*shape[1:], shape[0])
    x = np.random.default_rng(0).normal(40, 3, (6, *channels_last)).astype(dtype)
    y = net.forward(x, training=True)
    wide = x.astype(np.float64)
    x_hat = (wide - wide.mean(axis=-1, keepdims=True)) / np.sqrt(wide.var(axis=-1, keepdims=True) + eps)
    expected = x_hat * net.parameters["n.weight"] + net.parameters["n.bias"]
    close = {"rtol": 1e-10, "atol": 1e-12} if dtype is np.float64 else {"rtol": 1e-4, "atol": 2e-5}
    np.testing.assert_allclose(y, expected, **close)
    dy = np.random.default_rng(2).normal(size=y.shape).astype(dtype)
    net.backward(dy)
    axes = tuple(range(x.ndim - 1))
    np.testing.assert_allclose(net.grads["n.weight"], (dy * x_hat).sum(axis=axes), **close)
    np.testing.assert_allclose(net.grads["n.bias"], dy.sum(axis=axes), **close)
    np.testing.assert_array_equal(net.forward(x), y)  # no statistics: inference is training's forward


@pytest.mark.parametrize("eps", [1e-5, 0.5])
def test_gradients_against_differences(eps: float) -> None:
    net = Network(small(eps), seed=3, dtype=np.float64)
    rng = np.random.default_rng(0)
    for value in net.parameters.values():
        value += rng.normal(size=value.shape) * 0.2
    x, labels = rng.normal(size=(5, 8, 8, 3)), rng.integers(0, 4, 5)

    def loss() -> float:
        return cross_entropy(net.forward(x, training=True), labels)[0]

    net.backward(cross_entropy(net.forward(x, training=True), labels)[1])
    grads = net.grads
    assert set(grads) == set(net.parameters)
    for name in ("norm.weight", "norm.bias", "flat_norm.weight", "flat_norm.bias", "conv.weight", "bn.bias"):
        values = net.parameters[name]
        for flat in rng.integers(0, values.size, 6):
            index = np.unravel_index(flat, values.shape)
            values[index] += 1e-6
            high = loss()
            values[index] -= 2e-6
            low = loss()
            values[index] += 1e-6
            assert grads[name][index] == pytest.approx((high - low) / 2e-6, rel=2e-4, abs=1e-7), name


def test_it_trains_alike_on_any_number_of_threads() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(24) % 4
    x = (rng.normal(size=(24, 8, 8, 3)) + labels.reshape(-1, 1, 1, 1) * [0.5, -0.5, 0.2]).astype(np.float32)

    def train() -> tuple[list[float], dict[str, bytes]]:
        net, sgd, losses = Network(small()), Sgd(0.05), []
        for _ in range(12):
            loss, grad = cross_entropy(net.forward(x, training=True), labels)
            net.backward(grad)
            sgd.step(net.trainable(), net.grads, 1.0)
            losses.append(loss)
        return losses, {key: value.tobytes() for key, value in net.parameters.items()}

    (losses, many), threads = train(), numba.get_num_threads()
    assert losses[-1] < 0.5 * losses[0]
    numba.set_num_threads(1)
    try:
        assert train() == (losses, many)
    finally:
        numba.set_num_threads(threads)


def test_onnx_computes_what_we_do(tmp_path: Path) -> None:
    graph = small(1e-3)
    net = Network(graph, seed=2)
    rng = np.random.default_rng(0)
    for value in (net.parameters | net.buffers).values():
        value[...] = rng.uniform(0.3, 1.5, value.shape)
    arrays = net.parameters | net.buffers
    write_onnx(graph, arrays, tmp_path / "net.onnx")
    x = rng.normal(size=(2, 8, 8, 3)).astype(np.float32)
    model = onnx.load(tmp_path / "net.onnx")
    onnx.checker.check_model(model, full_check=True)
    (theirs,) = ReferenceEvaluator(model).run(None, {"input": np.ascontiguousarray(x.transpose(0, 3, 1, 2))})
    np.testing.assert_allclose(net.forward(x), theirs, rtol=1e-4, atol=1e-4)
    back, read = read_onnx(tmp_path / "net.onnx")
    assert [(n.name, n.op, n.inputs, dict(n.attrs)) for n in back] == [
        (n.name, n.op, n.inputs, dict(n.attrs)) for n in graph
    ]
    assert read.keys() == arrays.keys()
    assert all(np.array_equal(read[key], arrays[key]) for key in arrays)


def test_onnx_of_another_normalization_is_refused(tmp_path: Path) -> None:
    def read(nodes: list, channels: int = 4) -> Graph:
        tensors = {"n.weight": np.ones(channels, np.float32)}
        inner = helper.make_graph(
            nodes,
            "g",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 4, 5, channels))],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None] * 4)],
            [numpy_helper.from_array(value, name) for name, value in tensors.items()],
        )
        path = tmp_path / "g.onnx"
        onnx.save(helper.make_model(inner, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
        return read_onnx(path)[0]

    def norm(source: str, target: str, axis: int) -> onnx.NodeProto:
        return helper.make_node("LayerNormalization", [source, "n.weight"], [target], "n", axis=axis)

    def order(source: str, target: str, perm: list[int]) -> onnx.NodeProto:
        return helper.make_node("Transpose", [source], [target], "t", perm=perm)

    last, first = [0, 2, 3, 1], [0, 3, 1, 2]
    graph = read([order("x", "a", last), norm("a", "b", 3), order("b", "y", first)])
    assert [(n.op, dict(n.attrs)) for n in graph][1:] == [("layernorm", {"eps": 1e-5})]  # ONNX's default
    with pytest.raises(InputError, match=r"n \(LayerNormalization\) normalizes from axis -1"):
        read([norm("x", "y", -1)])  # of the width, not of the channels
    with pytest.raises(InputError, match="normalizes from axis 1"):
        read([order("x", "a", last), norm("a", "b", 1), order("b", "y", first)])
    with pytest.raises(InputError, match=r"r \(Relu\) reads a map with channels last"):
        read([order("x", "a", last), helper.make_node("Relu", ["a"], ["y"], "r")])
    with pytest.raises(InputError, match="output y is a map with channels last"):
        read([order("x", "a", last), norm("a", "y", 3)])
    with pytest.raises(InputError, match=r"reorders axes as \[0, 1, 3, 2\]"):
        read([order("x", "y", [0, 1, 3, 2])])


def test_eps_is_checked() -> None:
    for eps in (0, -1e-5, float("inf"), float("nan")):
        with pytest.raises(InputError, match="layer norm has eps"):
            small(eps)


def test_it_is_priced_as_two_vector_passes_over_its_map() -> None:
    workload = from_graph(small())
    kinds = {layer.name: layer.kind for layer in workload.layers}
    assert kinds == {"conv": "conv", "norm": "norm", "flat_norm": "norm", "fc": "fc"}
    norm = workload.layers[1]
    assert (norm.in_c, norm.in_h, norm.in_w, norm.macs, norm.sources) == (6, 4, 4, 0, ("conv",))
    assert norm.ofmap_elements == norm.ifmap_elements == 96
    # The traffic of a 1 x 1 pooling of the map, the vector unit's time twice.
    wide = Layer("norm", "norm", 32, 32, 64, 64, passes=2)
    pool = replace(wide, kind="pool", passes=1)
    machine = Accelerator(vector_lanes=1)
    of_norm, of_pool = (
        simulate(Workload("w", (Layer("c", "conv", 32, 32, 3, 64), layer)), machine, fidelity=2).layers[1]
        for layer in (wide, pool)
    )
    assert (of_norm.dram_read_bytes, of_norm.dram_write_bytes) == (
        of_pool.dram_read_bytes,
        of_pool.dram_write_bytes,
    )
    assert of_norm.dram_write_bytes == 32 * 32 * 64 * machine.abits // 8
    assert of_norm.energy_pj["dram"] == of_pool.energy_pj["dram"] > 0
    assert of_norm.total_cycles == pytest.approx(of_pool.total_cycles + 32 * 32 * 64, rel=1e-3)


def test_its_channels_stay_on_one_array() -> None:
    assert [(s.in_h, s.in_c) for s in shares(Layer("n", "norm", 8, 8, 16, 16, passes=2), 4)] == [(2, 16)]
    flat = Layer("n", "norm", 1, 1, 16, 16, passes=2)
    assert shares(flat, 4) == [flat]
