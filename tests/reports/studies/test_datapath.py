"""The page of the search for a datapath."""

from __future__ import annotations

import places
from report_rows import made_up

from hw.studies import space
from hw.studies.space import INT4, POST4
from reports.studies import datapath
from reports.tiles.rows import carried, carried_fronts


def test_every_dimension_of_the_datapath_page_has_rows_when_the_space_is_measured() -> None:
    rows = [made_up(tile, 50.0 + i) for i, tile in enumerate([*space.contenders(), *space.wide()])]
    for dimension in datapath.DIMENSIONS:
        assert len(dimension.rows(rows)) > 1, dimension.title
    text = datapath.page(rows, "nangate45")
    for what in space.NOT_TRIED:
        assert f"- {what}: " in text
    assert "| asap7 | 1.098 | 0.913 | 1.051 | 0.833 |" in text
    ways = next(d for d in datapath.DIMENSIONS if d.title == "Ways to make the product").rows(rows)
    assert {r["format"] for r in ways} == {
        w.name
        for w in (INT4, POST4, space.GAP4, space.GAP4_E2M1, space.FP4, space.POT4, space.APOT4, space.NF4)
    }


def test_the_datapath_page_is_of_the_carried_rows() -> None:
    """python -m reports.studies.datapath -o docs/datapath.md."""
    path = places.ROOT / "docs" / "datapath.md"
    assert path.read_text(encoding="utf-8") == datapath.page(carried(), "nangate45", carried_fronts())
