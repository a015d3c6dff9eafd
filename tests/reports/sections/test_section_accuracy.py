"""The section on accuracy."""

from __future__ import annotations

from collections.abc import Sequence

from reports.sections import accuracy
from reports.trained import by_name, carried


def caption_of(block: int, rows: list[dict], longer: Sequence[dict] = ()) -> str:
    data = {"accuracy": rows, "accuracy_longer": longer, "accuracy_grids": []}
    return accuracy.section(data).blocks[block].caption


def test_grids_have_a_mean_with_its_error() -> None:
    rows = [
        {"quantizer": "asq-post", "epochs": "6", "test_accuracy": 88.0},
        {"quantizer": "asq-post", "epochs": "6", "test_accuracy": 87.0},
        {"quantizer": "asq-post", "epochs": "0", "test_accuracy": 80.0},
    ]
    # The standard deviation of two values one apart is 1 / sqrt(2), of their mean 1 / 2.
    assert accuracy.grid_rows(rows) == [["asq-post", "88.00 87.00", "87.50 ± 0.50", "80.00"]]
    grids = carried("accuracy_grids")
    assert {r["quantizer"] for r in grids} == {"asq-post-gap", "asq-post", "asq-uniform", "asq-fp4"}


def test_rows_of_several_seeds_are_averaged() -> None:
    row = {
        "quantizer": "asq-post", "wbits": "4", "abits": "4", "rounded": "False", "frac_bits": "", "teacher": "",
        "seed": "0", "epochs": "6", "test_accuracy": 87.5, "seconds": 60.0, "command": "asq train",
    }  # fmt: skip
    rows = [
        row | {"quantizer": "fp32", "test_accuracy": 88.0},
        row,
        row | {"seed": "1", "test_accuracy": 88.5},
    ]
    assert by_name(rows) == {"fp32": [88.0], "asq-post 4/4": [87.5, 88.5]}
    caption = caption_of(0, rows)
    assert (
        "reaches 88.00% (seeds: 1). Points against it: asq-post 4/4 +0.00 (seeds: 2). The best by width: 88.00 at 4 bit (asq-post 4/4). "
        in caption
    )
    assert "differ by up to 1.00 points" in caption
    assert "differ" not in caption_of(0, rows[:2])
    # Rows of more epochs are compared with full precision of as many.
    longer = [r | {"epochs": "12", "test_accuracy": r["test_accuracy"] + 0.5} for r in rows[:2]]
    assert accuracy.by_epochs(rows + longer) == {
        "fp32": {6: 88.0, 12: 88.5},
        "asq-post 4/4": {6: 87.5, 12: 88.0},
    }
    caption = caption_of(2, rows, longer)
    assert "asq-post 4/4 -0.50 at 6 epochs, -0.50 at 12 epochs" in caption
