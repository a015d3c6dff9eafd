"""What the records of ops say, and that every room has a record's answer."""

from __future__ import annotations

import pytest

from asq_sw.errors import InputError
from asq_sw.graph.graph import Builder, Graph, Node, multipliers, nonnegative
from asq_sw.graph.ops import OPS
from asq_sw.interop.onnx import WRITERS
from asq_sw.nn.layers import LAYERS


def test_every_op_is_trained_written_and_priced() -> None:
    expected = set(OPS) - {"input"}
    assert set(LAYERS) == expected
    assert set(WRITERS) == expected
    # Work of its own, or a place where it is fused: one of the two, never both.
    assert [name for name, op in OPS.items() if (op.work is None) != bool(op.fused)] == []


def test_what_no_output_can_fall_below() -> None:
    b = Builder((4, 8, 8))
    b.conv("c0", 4, 3, padding=1)
    negative = b.maxpool("p0", 2, 2)
    positive = b.relu("r0")
    b.maxpool("p1", 2, 2)
    b.node("s", "shortcut_a", stride=1, out_channels=6)
    b.node("a0", "add", positive, positive)
    b.node("a1", "add", positive, negative)
    b.node("r6", "relu6")
    b.bn("b0")
    b.node("f", "flatten")
    b.linear("l0", 3)
    graph = b.graph("signs")
    assert nonnegative(graph) == {"r0", "p1", "s", "a0", "r6"}
    assert [node.name for node in multipliers(graph)] == ["c0", "l0"]


@pytest.mark.parametrize(
    ("op", "inputs", "attrs", "words"),
    [
        ("relu", (), {}, r"n \(relu\) reads 0 layers, expected 1"),
        ("relu", ("input", "input"), {}, "reads 2 layers, expected 1"),
        ("add", ("input",), {}, "reads 1 layers, expected at least 2"),
        ("maxpool", ("input",), {"kernel": (2, 2), "stride": (2, 2)}, "lacks the attribute padding"),
        ("linear", ("input",), {"out_features": 4, "bias": True}, "expected a flat"),
        ("shortcut_a", ("input",), {"stride": 2, "out_channels": 2}, "expected at least its input's 3"),
        ("softplus", ("input",), {}, "'softplus', expected one of input, conv"),
    ],
)
def test_a_node_that_does_not_fit_its_record_is_refused(
    op: str, inputs: tuple, attrs: dict, words: str
) -> None:
    with pytest.raises(InputError, match=words):
        Graph("net", (3, 8, 8), [Node("input", "input"), Node("n", op, inputs, attrs)])
