"""The trained networks' rows."""

from __future__ import annotations

from asq_sw.formats import GRIDS
from asq_sw.quantizers.methods import METHODS
from reports.trained import TILE_GRIDS, trained_with


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
