"""The section on tiles."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Sequence

from report_rows import first

from hw.studies import space
from hw.studies.space import INT4, POST4
from reports.blocks import Figure, Table
from reports.sections.tiles import section, table_row
from reports.studies import datapath


def blocks_of(rows: list[dict], several: Sequence[dict] = ()) -> Sequence[Figure | Table]:
    return section({"tiles": rows, "tiles_trained": [], "accuracy": [], "tiles_fronts": several}).blocks


def test_captions_of_tiles_are_short_and_hold_no_figures() -> None:
    rows = [first(w, 80.0 + i) for i, w in enumerate(space.CONTENDERS)]
    rows += [first(w, 70.0, node="asap7") for w in (INT4, POST4)]
    several = [r | {"clock_ns": 3.0} for r in rows[:6]]
    blocks = blocks_of(rows, several)
    assert len(blocks) == 8
    for block in blocks:
        assert len(re.findall(r"\.(?= |$)", block.caption)) <= 3, block.name
        assert not re.search(r"\d\.\d\d", block.caption)
    svg = blocks[0].svg
    ET.fromstring(svg.replace("xlink:href", "href"))
    everything = blocks[-1].rows
    assert len(everything) == len(rows) + len(several)


def test_a_missed_clock_is_never_quoted() -> None:
    met, late = first(POST4, 77.7), first(POST4, 77.7, delay_ns=2.5)
    assert "77.7" in table_row(met, [])
    assert "77.7" in datapath.line(met)
    assert "77.7" not in "".join(table_row(late, []))
    assert "2.50 (late)" in table_row(late, [])
    assert "77.7" not in datapath.line(late)


def test_part_of_the_rows_still_makes_a_section_and_a_page() -> None:
    """While a search runs: one format, no int, or nothing at all."""
    for rows in ([], [first(POST4, 80.0)], [first(INT4, 80.0, delay_ns=3.0)]):
        assert len(blocks_of(rows)) == 8
        text = datapath.page(rows, "nangate45")
        assert text.count("Fewer than two tiles are measured.") == len(datapath.DIMENSIONS)
