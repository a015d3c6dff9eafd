"""Which quantizers a method's name gives to a layer."""

from __future__ import annotations

import pytest

from asq_sw.errors import InputError
from asq_sw.formats import GRID_RECORDS
from asq_sw.graph.models import build
from asq_sw.nn.network import LayerQuantizers
from asq_sw.quantizers import Asq, Daq, Dorefa, GridWeights, Lsq, LsqPlus, Pact, Qil
from asq_sw.quantizers.methods import METHODS, choices, quantizers

GRAPH = build("small_cnn")
FIRST, INNER = "conv0", "conv2"


def layer(method: str, bits: int = 4, name: str = INNER, **options) -> LayerQuantizers:
    chosen = choices(GRAPH, method, bits, 3, overrides={name: {"method": method, "wbits": bits, "abits": 3}})
    return quantizers(GRAPH, chosen, **options)[name]


@pytest.mark.parametrize("grid", GRID_RECORDS)
@pytest.mark.parametrize(("prefix", "kind"), [("asq-", Asq), ("", type(Lsq(4)))])
def test_every_grid_is_two_methods(grid: str, prefix: str, kind: type) -> None:
    name = {"int": "uniform"}.get(grid, grid)
    pair = layer(f"{prefix}{name}")
    assert isinstance(pair.weight, GridWeights)
    assert pair.weight.format.grid == grid
    assert type(pair.activation) is kind
    assert pair.activation is not None
    assert pair.activation.bits == 3


@pytest.mark.parametrize(
    ("method", "weights", "activations"),
    [
        ("lsq", Lsq, Lsq), ("lsq-plus", LsqPlus, LsqPlus), ("pact", Dorefa, Pact), ("dorefa", Dorefa, Dorefa),
        ("qil", Qil, Qil), ("daq", Daq, Daq),
    ],
)  # fmt: skip
def test_methods_that_bring_both(method: str, weights, activations) -> None:
    pair = layer(method)
    assert type(pair.weight) is type(weights(4, weights=True))
    assert type(pair.activation) is type(activations(3))


@pytest.mark.parametrize("method", ["lsq", "lsq-plus", "pact", "dorefa", "qil", "daq", "asq-post", "nf4"])
def test_below_zero_what_is_defined_behind_a_relu_gives_way_to_lsq(method: str) -> None:
    """The first layer reads the image."""
    own = {"lsq-plus": type(LsqPlus(3)), "asq-post": Asq}
    assert type(layer(method, name=FIRST).activation) is own.get(method, type(Lsq(3)))


@pytest.mark.parametrize(
    ("method", "bits", "frac_bits", "rounded"),
    [
        ("asq-post", 4, 0, True), ("asq-post", 4, None, True), ("asq-post", 2, None, False), ("post-gap", 4, 0, True),
        ("asq-nf4", 4, None, True), ("asq-pot", 4, 2, False), ("asq-uniform", 4, 2, False), ("lsq", 4, 2, False),
    ],
)  # fmt: skip
def test_rounded_where_products_are_rounded(
    method: str, bits: int, frac_bits: int | None, rounded: bool
) -> None:
    assert layer(method, bits, frac_bits=frac_bits, rounded=True).rounded is rounded
    assert not layer(method, bits, frac_bits=frac_bits).rounded


def test_edges_are_uniform_and_fp32_is_nothing() -> None:
    inner = quantizers(GRAPH, choices(GRAPH, "asq-nf4"))
    for name in (FIRST, "fc"):
        weight = inner[name].weight
        assert weight is not None
        assert (weight.format.grid, weight.format.bits) == ("int", 8)
    assert set(quantizers(GRAPH, choices(GRAPH, "asq-nf4", edge_bits=0))) == set(inner) - {FIRST, "fc"}
    assert quantizers(GRAPH, choices(GRAPH, "fp32")) == {}
    assert next(iter(METHODS)) == "fp32"
    with pytest.raises(InputError, match="quantizer 'asq-int' is unknown, expected one of fp32, asq-post"):
        choices(GRAPH, "asq-int")
