"""Whole networks: gradients against differences, layers against definitions, what the engine promises."""

from __future__ import annotations

import numba
import numpy as np
import pytest

from asq_sw.errors import InputError
from asq_sw.formats import WeightFormat
from asq_sw.graph.graph import Builder, Graph
from asq_sw.graph.models import build
from asq_sw.graph.ops import OPS, Op
from asq_sw.nn.loss import cross_entropy
from asq_sw.nn.network import Network
from asq_sw.nn.normalization import RELU, BatchNorm
from asq_sw.quantizers import Asq, GridWeights
from asq_sw.quantizers.layer import LayerQuantizers
from asq_sw.quantizers.methods import choices, quantizers


def everything() -> Graph:
    """Every operation that a graph can have."""
    b = Builder((3, 12, 12))
    b.conv("c0", 8, 3, 1, 1)
    b.bn("b0")
    top = b.relu("r0")
    b.conv("c1", 8, 3, 2, 1, groups=2, bias=True)
    out = b.bn("b1")
    side = b.node("s", "shortcut_a", top, stride=2, out_channels=8)
    b.node("a", "add", out, side)
    b.node("r6", "relu6")
    b.conv("dw", 8, 3, 1, 1, groups=8)
    b.maxpool("mp", 3, 2, 1)
    b.node("ap", "avgpool", kernel=(2, 2), stride=(1, 1), padding=(0, 0, 0, 0))
    left = b.last
    b.node("twice", "add", left, left)
    b.node("n0", "layernorm", eps=1e-3)
    b.node("f", "flatten")
    b.linear("l0", 12)
    b.node("n1", "layernorm", eps=1e-3)
    b.bn("b2")
    b.relu("r2")
    b.linear("l1", 5, bias=False)
    return b.graph("everything")


def residual() -> Graph:
    b = Builder((4, 6, 6))
    b.conv("c0", 16, 3, 1, 1)
    b.bn("b0")
    top = b.relu("r0")
    b.conv("c1", 16, 3, 1, 1)
    b.bn("b1")
    b.node("a", "add", b.last, top)
    b.relu("r1")
    b.node("g", "global_avgpool")
    b.node("f", "flatten")
    b.linear("l", 4)
    return b.graph("residual")


@pytest.mark.parametrize("make", [everything, residual])
def test_gradients_against_differences(make) -> None:
    graph = make()
    net = Network(graph, seed=3, dtype=np.float64)
    rng = np.random.default_rng(0)
    for value in net.parameters.values():
        value += rng.normal(size=value.shape) * 0.1
    x = rng.normal(size=(4, *graph.input_shape[1:], graph.input_shape[0]))
    labels = rng.integers(0, graph.shapes[graph.output.name][0], 4)

    def loss() -> float:
        return cross_entropy(net.forward(x, training=True), labels, 0.1)[0]

    net.backward(cross_entropy(net.forward(x, training=True), labels, 0.1)[1])
    grads = {k: v.copy() for k, v in net.grads.items()}
    assert set(grads) == set(net.parameters)
    for name, values in net.parameters.items():
        for flat in rng.integers(0, values.size, 4):
            index = np.unravel_index(flat, values.shape)
            values[index] += 1e-6
            high = loss()
            values[index] -= 2e-6
            low = loss()
            values[index] += 1e-6
            assert grads[name][index] == pytest.approx((high - low) / 2e-6, rel=2e-4, abs=1e-7), name


@pytest.mark.parametrize("make", [everything, residual])
def test_float32_follows_float64(make) -> None:
    graph = make()
    narrow, wide = Network(graph, seed=1), Network(graph, seed=1, dtype=np.float64)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(6, *graph.input_shape[1:], graph.input_shape[0]))
    labels = rng.integers(0, 4, 6)
    for net, dtype in ((narrow, np.float32), (wide, np.float64)):
        for _ in range(2):  # the second pass works in memory that the first gave back
            logits = net.forward(x.astype(dtype), training=True)
            net.backward(cross_entropy(logits, labels)[1])
    for key, value in wide.grads.items():
        np.testing.assert_allclose(narrow.grads[key], value, rtol=2e-3, atol=2e-4)
    np.testing.assert_allclose(narrow.forward(x.astype(np.float32)), wide.forward(x), rtol=1e-3, atol=1e-4)


def test_batch_norm_is_its_definition() -> None:
    rng = np.random.default_rng(0)
    y, other = rng.normal(3, 2, (5, 4, 3, 7)), rng.normal(size=(5, 4, 3, 7))
    state = {
        "weight": rng.normal(size=7), "bias": rng.normal(size=7),
        "running_mean": np.zeros(7), "running_var": np.ones(7),
    }  # fmt: skip
    a = BatchNorm(RELU).forward(y, state, True, other)
    mean, var = y.mean(axis=(0, 1, 2)), y.var(axis=(0, 1, 2))
    expected = state["weight"] * (y - mean) / np.sqrt(var + 1e-5) + state["bias"] + other
    np.testing.assert_allclose(a, np.maximum(expected, 0), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(state["running_mean"], 0.1 * mean)
    np.testing.assert_allclose(state["running_var"], 0.9 + 0.1 * y.reshape(-1, 7).var(axis=0, ddof=1))


def test_loss_is_its_definition_and_names_a_bad_label() -> None:
    logits = np.array([[1.0, 2.0, -1.0], [0.0, 500.0, 1.0]])
    loss, grad = cross_entropy(logits, np.array([0, 1]))
    p = np.exp(logits[0]) / np.exp(logits[0]).sum()
    assert loss == pytest.approx(-np.log(p[0]) / 2)
    np.testing.assert_allclose(grad[0], (p - [1, 0, 0]) / 2)
    for labels in ([0, 3], [-1, 0]):
        with pytest.raises(InputError, match="expected 0 to 2"):
            cross_entropy(logits, np.array(labels))
    with pytest.raises(InputError, match="lower the learning rate"):
        cross_entropy(logits * np.nan, np.array([0, 1]))


def test_quantized_step_is_the_same_for_any_number_of_threads() -> None:
    graph = build("resnet20", (3, 8, 8))
    x = np.random.default_rng(0).normal(size=(6, 8, 8, 3)).astype(np.float32)
    labels = np.arange(6)

    def grads() -> dict[str, bytes]:
        net = Network(graph, quantizers(graph, choices(graph, "asq-post", 3, 3)))
        net.backward(cross_entropy(net.forward(x, training=True), labels)[1])
        return {key: value.tobytes() for key, value in net.grads.items()}

    many, threads = grads(), numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        assert grads() == many
    finally:
        numba.set_num_threads(threads)
    assert "layer1.0.conv1.activation.s" in many
    assert "layer1.0.conv1.weight.alpha" in many


@pytest.mark.parametrize("op", ["conv", "linear"])
@pytest.mark.parametrize(
    ("grid", "frac_bits"), [("post", 0), ("post", 2), ("post-paper", 1), ("post-gap", 0), ("nf4", 3)]
)
def test_rounded_products_are_the_formats(op: str, grid: str, frac_bits: int) -> None:
    b = Builder((5, 6, 6))
    if op == "conv":
        b.conv("m", 7, 3, 2, 1)
    else:
        b.node("f", "flatten")
        b.linear("m", 7, bias=False)
    graph = b.graph("one")
    pair = LayerQuantizers(
        GridWeights(WeightFormat(grid, 4, frac_bits)), Asq(4, channel_axis=-1), rounded=True
    )
    net = Network(graph, {"m": pair}, dtype=np.float64)
    x = np.abs(np.random.default_rng(0).normal(size=(3, 6, 6, 5)))
    y = net.forward(x)
    # the same layer in integers: every product from the format's definition
    assert pair.weight is not None
    assert pair.activation is not None
    weights = pair.weight.encode(net.parameters["m.weight"])
    flat = x if op == "conv" else np.ascontiguousarray(x.transpose(0, 3, 1, 2)).reshape(3, -1)
    codes = pair.activation.encode(flat)
    scale = codes.scale.reshape(3, -1)
    products = weights.format.product_table(4)
    if op == "linear":
        acc = products[codes.codes[:, None, :], weights.codes[None]].sum(axis=-1)
    else:
        padded = np.pad(codes.codes, ((0, 0), (1, 1), (1, 1), (0, 0)))
        acc = np.zeros((3, 3, 3, 7), np.int64)
        for i, j, ky, kx in np.ndindex(3, 3, 3, 3):
            a = padded[:, 2 * i + ky, 2 * j + kx]
            acc[:, i, j] += products[a[:, None, :], weights.codes[None, :, :, ky, kx]].sum(axis=-1)
        scale = scale.reshape(3, 1, 1, 1)
    np.testing.assert_allclose(
        y, acc * weights.format.product_scale * weights.alpha * scale, rtol=1e-9, atol=1e-12
    )


def test_weights_of_another_network_are_refused() -> None:
    net = Network(build("small_cnn"))
    arrays = dict(net.parameters | net.buffers)
    first = next(iter(arrays))
    with pytest.raises(InputError, match="missing, the first"):
        net.load({k: v for k, v in arrays.items() if k != first}, "w.npz")
    with pytest.raises(InputError, match=r"w.npz: extra is not an array"):
        net.load(arrays | {"extra": np.ones(1)}, "w.npz")
    with pytest.raises(InputError, match="expected finite"):
        net.load(arrays | {first: arrays[first] * np.nan}, "w.npz")
    with pytest.raises(InputError, match="a batch is"):
        net.forward(np.zeros((2, 3, 3, 1), np.float32))


def test_what_nothing_runs_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(OPS, "sigmoid", Op("sigmoid"))
    b = Builder((2, 4, 4))
    b.node("gate", "sigmoid")
    with pytest.raises(
        InputError, match=r"gated: layer gate has op 'sigmoid', which cannot be trained.*conv"
    ):
        Network(b.graph("gated"))
    with pytest.raises(InputError, match=r"'gate' has quantizers"):
        Network(b.graph("gated"), {"gate": LayerQuantizers()})


@pytest.mark.parametrize("name", ["mobilenet_v2", "alexnet", "resnet18", "vgg_small"])
def test_networks_run(name: str) -> None:
    shape = (3, 32, 32) if name != "alexnet" else (3, 64, 64)
    graph = build(name, shape, 10)
    net = Network(graph, quantizers(graph, choices(graph, "asq-post", 4, 4)))
    x = np.random.default_rng(0).normal(size=(2, *shape[1:], 3)).astype(np.float32)
    net.backward(cross_entropy(net.forward(x, training=True), np.array([1, 2]))[1])
    assert set(net.grads) == set(net.trainable())
    assert all(np.isfinite(g).all() for g in net.grads.values())
