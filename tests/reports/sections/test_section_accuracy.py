"""The section on accuracy."""

from __future__ import annotations

from reports.sections import accuracy
from reports.trained import by_name, carried


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
    # Full precision is no row that could be the best of its width.
    assert accuracy.mean_rows(rows) == [
        ["fp32", "1", "88.00", "88.00", "88.00", "+0.00", ""],
        ["asq-post 4/4", "2", "88.00", "87.50", "88.50", "+0.00", "best"],
    ]
    # Rows of more epochs are compared with full precision of as many.
    longer = [r | {"epochs": "12", "test_accuracy": r["test_accuracy"] + 0.5} for r in rows[:2]]
    assert accuracy.by_epochs(rows + longer) == {
        "fp32": {6: 88.0, 12: 88.5},
        "asq-post 4/4": {6: 87.5, 12: 88.0},
    }
    assert accuracy.gap_rows(accuracy.by_epochs(rows + longer))[2:] == [
        ["asq-post 4/4", "6", "87.50", "-0.50"],
        ["asq-post 4/4", "12", "88.00", "-0.50"],
    ]


def test_a_row_far_below_does_not_squeeze_the_others() -> None:
    """The picture is the same whether it is 25 or 60 points below: an arrow at the edge, with its figure."""
    rows = [r for r in carried() if r["quantizer"] != "daq"]
    daq = next(r for r in carried() if r["quantizer"] == "daq")
    near, far = (len(accuracy.by_row([*rows, daq | {"test_accuracy": value}])) for value in (63.01, 28.01))
    assert abs(near - far) < 2000
    assert 88.0 - daq["test_accuracy"] > accuracy.NEAR
