"""Every grid can be drawn, and told from the others."""

from __future__ import annotations

import re

from asq_sw.formats import GRIDS
from reports import palette


def test_every_grid_has_a_colour_of_its_own_and_a_label() -> None:
    assert set(palette.GRIDS) == set(GRIDS)
    for styles in (palette.GRIDS, palette.ENERGY_PARTS):
        for part in zip(*styles.values(), strict=True):
            assert len(set(part)) == len(styles)
        assert all(re.fullmatch(r"#[0-9A-F]{6}", style.colour) for style in styles.values())


def test_grids_are_drawn_in_one_order() -> None:
    assert palette.in_order(["fp4", "int", "post", "int"]) == ["post", "int", "fp4"]
