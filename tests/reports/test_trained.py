"""The trained networks' rows."""

from __future__ import annotations

from asq_sw.formats import GRIDS
from asq_sw.quantizers.methods import METHODS
from reports.trained import TILE_GRIDS, carried, proven_differences, seeds_of, trained_with


def test_a_tile_has_the_accuracy_of_its_own_table() -> None:
    trained = {
        "quantizer": "asq-post", "wbits": "4", "abits": "4", "seed": "0", "teacher": "", "rounded": "True",
        "frac_bits": "0", "test_accuracy": 87.5,
    }  # fmt: skip
    exact = trained | {"rounded": "False", "frac_bits": "", "test_accuracy": 88.0}
    tile = {"grid": "post", "wbits": 4, "abits": 4, "frac_bits": 0}
    assert trained_with([exact, trained], tile) == 87.5
    assert trained_with([exact], tile) is None
    assert trained_with([trained | {"teacher": "0.5"}], tile) is None
    assert trained_with([trained], tile | {"frac_bits": 1}) is None


def test_every_grid_that_asq_trains_has_its_tile() -> None:
    trained = {method for method in METHODS if method.startswith("asq-")}
    assert trained <= TILE_GRIDS.keys()
    assert set(TILE_GRIDS.values()) == set(GRIDS)


def test_accuracies_of_a_grid_are_of_one_base_or_of_the_row_with_the_most_seeds() -> None:
    tables = {name: carried(name) for name in ("accuracy", "accuracy_grids")}
    assert seeds_of("post", 4, tables) == [87.78, 87.75, 87.78]
    assert seeds_of("post", 3, tables) == [86.51, 87.1, 86.95]
    assert seeds_of("pot", 4, tables) == [87.61]
    assert seeds_of("int", 8, tables) == []


def test_a_difference_is_proven_by_more_than_its_size() -> None:
    # Half a point apart, with seeds that differ by as much, or by a tenth of it.
    wide = {"a": [88.0, 88.5, 87.5], "b": [87.5, 88.0, 87.0], "c": [87.2]}
    narrow = {"a": [88.0, 88.05, 87.95], "b": [87.5, 87.55, 87.45]}
    assert proven_differences(wide) == []
    assert proven_differences(narrow) == [("a", "b")]
    assert proven_differences({"a": [88.0, 88.1]}) == []
