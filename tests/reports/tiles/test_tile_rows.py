"""What a tile counts for, and which tiles are compared."""

from __future__ import annotations

import pytest
from report_rows import first, made_up

from hw.studies import space
from hw.studies.space import INT4, POST4
from hw.units.tile import TileSpec
from reports.tiles.rows import AREA, HELD, area, compared, correction, figure, format_name, in_order


def test_area_counts_the_adder_of_the_correction() -> None:
    """nangate45's full adder has 4.256 um^2 (its Liberty file); 23 of them are shared by the rows of a column."""
    assert correction(first(INT4, 80.0)) == pytest.approx(4.256 * 23 / 16)
    assert area(first(INT4, 80.0)) == pytest.approx(86.118)
    assert area(first(INT4, 80.0, 24, 48)) == pytest.approx(80 + 4.256 * 23 / 24)


def test_a_tile_leaks_for_longer_at_a_longer_clock() -> None:
    """1000 nW for 0.5 ns are 0.5 fJ."""
    row = first(INT4, 80.0, leakage_per_mac_nw=1000.0)
    assert figure(row, HELD, 2.5) == pytest.approx(80.5)
    assert figure(row, HELD) == 80.0
    assert figure(row, AREA, 2.5) == area(row)


def test_only_contenders_are_compared() -> None:
    """What one format has beside its contenders, a netlist of two grids, saved carries: none stands for its format."""
    plain = first(POST4, 80.0)
    shape = {"rows": 16, "cols": 16}
    others = [
        first(POST4, 1.0, tree="dadda"),
        first(POST4, 1.0, carry_save=True),
        made_up(TileSpec(POST4, 4, variant="late-sign", **shape), 1.0),
        made_up(TileSpec(space.FP4, 4, variant="gap-or-fp4", **shape), 1.0),
        first(POST4, 1.0, registers=True),
        first(POST4, 1.0, 24, 48),
    ]
    assert compared([plain, *others], "nangate45") == [plain]


def test_rows_come_by_node_then_area_and_only_of_known_nodes() -> None:
    late, early, small = (
        first(INT4, 80.0, node="asap7"),
        first(INT4, 90.0),
        first(INT4, 10.0, node="asap7-all"),
    )
    assert in_order([small, late, early, first(INT4, 1.0, node="elsewhere")]) == [early, late, small]


def test_a_format_has_bits_where_its_grid_has_several_and_f_where_it_rounds_sqrt2() -> None:
    names = {weight: format_name(first(weight, 80.0)) for weight in (POST4, INT4, space.FP4, space.NF4)}
    assert names == {POST4: "post4 F0", INT4: "int4", space.FP4: "fp4", space.NF4: "nf4"}
