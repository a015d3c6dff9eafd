"""The built-in networks' shapes and counts against published ones."""

from __future__ import annotations

import math

import pytest

from asq_sw.errors import InputError
from asq_sw.graph.graph import Builder, Graph, Node, multipliers
from asq_sw.graph.models import MODELS, build


def weight_counts(graph: Graph) -> tuple[int, int]:
    """(multiply-accumulates, convolution and linear weights)."""
    macs = sum(graph.macs(node) for node in graph)
    return macs, sum(math.prod(graph.parameters(node)["weight"]) for node in multipliers(graph))


# Multiply-accumulates of torchvision's models at 224 x 224 (its documentation rounds them to GFLOPS: 1.81,
# 3.66, 4.09, 0.71, 15.47, 0.30), and He et al.'s 0.27 M / 0.46 M / 0.85 M parameters for the CIFAR ones.
@pytest.mark.parametrize(
    ("name", "macs", "weights"),
    [
        ("resnet18", 1_814_073_344, 11_678_912),
        ("resnet34", 3_663_761_408, 21_779_648),
        ("resnet50", 4_089_184_256, 25_502_912),
        ("alexnet", 714_188_480, 61_090_496),
        ("vgg16", 15_470_264_320, 138_344_128),
        ("mobilenet_v2", 300_774_272, 3_469_760),
    ],
)
def test_counts_of_imagenet_models(name: str, macs: int, weights: int) -> None:
    assert weight_counts(build(name)) == (macs, weights)


@pytest.mark.parametrize(("name", "millions"), [("resnet20", 0.27), ("resnet32", 0.46), ("resnet56", 0.85)])
def test_counts_of_cifar_models(name: str, millions: float) -> None:
    assert round(weight_counts(build(name))[1] / 1e6, 2) == millions


@pytest.mark.parametrize("name", MODELS)
def test_every_model_ends_in_its_classes(name: str) -> None:
    graph = build(name, classes=7)
    assert graph.shapes[graph.output.name] == (7,)


def test_unknown_model_and_bad_shapes() -> None:
    with pytest.raises(InputError, match="resnet18"):
        build("resnet19")
    with pytest.raises(InputError, match="fit"):
        build("alexnet", input_shape=(3, 8, 8))
    b = Builder((3, 8, 8))
    b.conv("c", 8, 3, stride=-1)
    with pytest.raises(InputError, match=r"layer c .* stride"):
        b.graph("net")
    with pytest.raises(InputError, match="earlier layer"):
        Graph("net", (3, 8, 8), [Node("input", "input"), Node("r", "relu", ("nowhere",))])
    b = Builder((3, 8, 8))
    b.conv("c", 8, 3, groups=2)
    with pytest.raises(InputError, match="groups"):
        b.graph("net")
