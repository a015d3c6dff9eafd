"""Code assignments: what a select line costs, and that no order of POST's codes is cheaper than its own."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from asq_sw.errors import InputError
from asq_sw.formats import WeightFormat
from asq_sw.studies.literals import literals
from hw.studies.orders import cheapest, decoding, main
from hw.units.tile import TileSpec


@pytest.mark.parametrize(
    ("function", "inputs", "cost"),
    [
        (0b0000, 2, 0),
        (0b1111, 2, 0),
        (0b1000, 2, 2),  # and
        (0b1110, 2, 2),  # or
        (0b0110, 2, 4),  # exclusive or
        (0b11101000, 3, 6),  # majority
        (0b10010110, 3, 12),  # parity of three
        (0b11001010, 3, 4),  # multiplexer
    ],
)
def test_literals_of_known_functions(function: int, inputs: int, cost: int) -> None:
    assert literals(function, inputs) == cost


@pytest.mark.parametrize("bits", [2, 3, 4])
def test_no_order_is_cheaper_than_posts_own(bits: int) -> None:
    weight = WeightFormat("post", bits, 0)
    found = cheapest(weight, 1)
    own = decoding(TileSpec(weight, variant="one-hot-shift").products)  # type: ignore[arg-type]
    assert found[0][0] == own


def test_fp4_is_cheaper_in_another_order() -> None:
    (best, order), (own, _) = cheapest(WeightFormat("fp4", 4), 1)
    assert best < own
    tile = TileSpec(WeightFormat("fp4", 4), variant="one-hot-shift", order=order)
    assert decoding(tile.products) == best  # type: ignore[arg-type]


def test_command_and_what_it_refuses() -> None:
    result = CliRunner().invoke(main, ["--bits", "3"])
    assert result.exit_code == 0
    assert "5 literals: codes 0 1 2 3  (the format's own)" in result.output
    with pytest.raises(InputError, match="weights have 5 bits"):
        cheapest(WeightFormat("post", 5))
