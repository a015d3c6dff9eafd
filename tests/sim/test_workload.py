"""Layers' shapes: padding, stride, dilation, groups; against a direct convolution and against the graphs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asq_sw.errors import InputError
from asq_sw.graph.graph import Builder
from asq_sw.graph.models import MODELS, build
from asq_sw.graph.ops import OPS, Op
from sim.workload import Layer, Workload, from_graph, gemm, load


@settings(max_examples=80, deadline=None)
@given(
    size=st.tuples(st.integers(1, 14), st.integers(1, 14)),
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    padding=st.tuples(*[st.integers(0, 2)] * 4),
    dilation=st.tuples(st.integers(1, 3), st.integers(1, 3)),
)
def test_output_size_is_the_number_of_window_positions(size, kernel, stride, padding, dilation) -> None:
    def positions(axis: int) -> int:
        length = size[axis] + padding[axis] + padding[axis + 2]
        reach = dilation[axis] * (kernel[axis] - 1)
        return sum(1 for start in range(0, length, stride[axis]) if start + reach < length)

    expected = positions(0), positions(1)
    if min(expected) == 0:
        with pytest.raises(InputError, match="larger than"):
            Layer("c", "conv", *size, 4, 6, kernel, stride, padding, dilation)
    else:
        layer = Layer("c", "conv", *size, 4, 6, kernel, stride, padding, dilation)
        assert (layer.out_h, layer.out_w) == expected
        assert layer.m == expected[0] * expected[1]


def test_groups_and_batch() -> None:
    layer = Layer("c", "conv", 8, 8, 12, 18, (3, 3), padding=(1, 1, 1, 1), groups=6, batch=5)
    assert (layer.m, layer.n, layer.k) == (5 * 64, 3, 9 * 2)
    assert layer.macs == 5 * 64 * 18 * 9 * 2
    assert layer.filter_elements == 18 * 2 * 9
    assert layer.ifmap_elements == 5 * 8 * 8 * 12
    assert layer.ofmap_elements == 5 * 64 * 18


@pytest.mark.parametrize("name", MODELS)
def test_workloads_have_the_graphs_counts(name: str) -> None:
    graph = build(name)
    workload = from_graph(graph)
    expected = 0
    for node in graph:
        if node.op == "conv":
            weights = np.zeros(
                (node["out_channels"], graph.in_shape(node)[0] // node["groups"], *node["kernel"])
            )
            expected += weights.size * int(np.prod(graph.shapes[node.name][1:]))
        elif node.op == "linear":
            expected += graph.in_shape(node)[0] * node["out_features"]
    assert workload.macs == expected
    for layer in workload.layers:
        shape = graph.shapes[layer.name]
        assert (layer.out_c, layer.out_h, layer.out_w) == (shape if len(shape) == 3 else (*shape, 1, 1))


@pytest.mark.parametrize("name", ["resnet20", "mobilenet_v2"])
def test_layers_read_the_layers_that_their_nodes_are_fused_into(name: str) -> None:
    graph = build(name)
    layers = {layer.name: layer for layer in from_graph(graph).layers}

    def made_by(node: str) -> str | None:
        while node not in layers:
            if not graph.by_name[node].inputs:
                return None
            (node,) = graph.by_name[node].inputs
        return node

    for layer in layers.values():
        expected = [made_by(source) for source in graph.by_name[layer.name].inputs]
        assert layer.sources == tuple(source for source in expected if source is not None)


def test_an_op_without_a_price_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(OPS, "sigmoid", Op("sigmoid"))
    b = Builder((3, 8, 8))
    b.conv("c", 8, 3)
    b.node("gate", "sigmoid")
    with pytest.raises(InputError, match=r"network gated: layer gate is a sigmoid.*cannot price.*conv.*relu"):
        from_graph(b.graph("gated"))
    monkeypatch.setitem(OPS, "sigmoid", Op("sigmoid", fused="a table in the requantization"))
    assert [layer.name for layer in from_graph(b.graph("gated")).layers] == ["c"]


def test_kinds() -> None:
    kinds = {layer.kind for layer in load("mobilenet_v2").layers}
    assert kinds == {"conv", "depthwise", "pool", "add", "fc"}
    assert {layer.kind for layer in load("mobilenet_v2").mac_layers} == {"conv", "depthwise", "fc"}
    assert sum(layer.kind == "depthwise" for layer in load("mobilenet_v2").layers) == 17


def test_gemm() -> None:
    layer = gemm("g", 256, 128, 64)
    assert (layer.m, layer.n, layer.k, layer.macs) == (256, 128, 64, 256 * 128 * 64)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"stride": (-1, 1)}, "stride"),
        ({"in_h": 0}, "in_h"),
        ({"groups": 3}, "groups"),
        ({"kind": "lstm"}, "kind"),
        ({"kernel": (9, 9)}, "larger"),
        ({"padding": (0, -1, 0, 0)}, "padding"),
        ({"batch": True}, "batch"),
        ({"out_c": 2.5}, "out_c"),
    ],
)
def test_bad_layers_are_named(values: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        Layer(**{"name": "c", "kind": "conv", "in_h": 8, "in_w": 8, "in_c": 4, "out_c": 4, **values})


def test_unknown_networks_are_named() -> None:
    with pytest.raises(InputError, match=r"resnet19.*resnet18"):
        load("resnet19")
    with pytest.raises(InputError, match="no layer"):
        Workload("empty", ())
