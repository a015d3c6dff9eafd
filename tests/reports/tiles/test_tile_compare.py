"""Ratios and fronts of tiles whose figures are made up."""

from __future__ import annotations

import pytest
from report_rows import first

from hw.studies import space
from hw.studies.space import INT4, POST4
from reports.tiles.compare import best_rows, equal_accuracy_rows, error_points, one_rows, ratio_rows
from reports.tiles.rows import AREA, HELD, STREAMING


def test_ratios_are_read_off_the_fronts_at_equal_clock() -> None:
    """Three clocks. Areas are chosen so that tile and adder together (6.118) are round."""
    adder = 4.256 * 23 / 16
    rows = [
        first(INT4, 100 - adder, clock_ns=1.5, delay_ns=1.4),
        first(INT4, 90 - adder, clock_ns=2.0, delay_ns=1.9),
        first(
            INT4, 95 - adder, clock_ns=3.0, delay_ns=2.9
        ),  # larger than the faster one, which meets 3 ns too
        first(POST4, 110 - adder, clock_ns=1.5, delay_ns=1.5),
        first(POST4, 81 - adder, clock_ns=2.0, delay_ns=2.0),
        first(POST4, 72 - adder, clock_ns=3.0, delay_ns=2.5),
        first(POST4, 1.0, clock_ns=2.0, delay_ns=2.1),  # late
        first(space.FP4, 200.0, clock_ns=1.5, delay_ns=1.4),
        first(space.FP4, 150 - adder, clock_ns=2.0, delay_ns=1.5),  # smaller, and meets 1.5 ns too
    ]
    found = {r["format"]: r for r in ratio_rows(rows)}
    assert found["int4"][AREA] == (1.0, 1.0, 1.0, 3)
    assert found["post4f0"][AREA] == pytest.approx((0.9, 0.8, 1.1, 3))  # 110/100, 81/90, 72/90
    assert str(found["post4f0"][AREA]) == "0.90 (0.80–1.10)"
    assert (found["post4f0"]["clocks"], found["post4f0"]["of"]) == (3, 3)
    assert found["post4f0"]["registers"] == {AREA: None, HELD: None}
    held = [
        first(INT4, 120.0, registers=True),
        first(POST4, 90.0, registers=True),
        first(POST4, 1.0, registers=True, delay_ns=3.0),
    ]
    post = next(r for r in ratio_rows(rows + held) if r["format"] == "post4f0")
    assert post["registers"][HELD] == (
        0.75,
        0.75,
        0.75,
        1,
    )  # not at 1.5 and 3 ns, that it was not made for
    assert post[AREA] == found["post4f0"][AREA]
    assert found["fp4"][AREA] == pytest.approx((1.5833333, 1.5, 1.6666667, 2))  # 150/100, 150/90
    # Held energy: 110-a, 81-a, 72-a over 100-a, 90-a, 90-a.
    assert found["post4f0"][HELD] == pytest.approx(
        ((81 - adder) / (90 - adder), (72 - adder) / (90 - adder), (110 - adder) / (100 - adder), 3)
    )


def test_error_against_area_names_those_that_none_beats() -> None:
    rows = [
        first(INT4, 100.0, sqnr_db=18.9),
        first(POST4, 90.0, sqnr_db=18.6),
        first(space.FP4, 120.0, sqnr_db=18.8),
        first(POST4, 1.0, sqnr_db=18.6, delay_ns=9.0),  # late
    ]
    found = {p["format"]: p["front"] for p in error_points(rows)}
    assert found == {"int4": True, "post4f0": True, "fp4": False}


def test_a_clock_that_a_format_misses_has_no_ratio() -> None:
    rows = [
        first(INT4, 100.0, clock_ns=1.5),
        first(INT4, 90.0),
        first(POST4, 1.0, clock_ns=1.5, delay_ns=1.6),
        first(POST4, 80.0, delay_ns=1.9),
    ]
    post = next(r for r in ratio_rows(rows) if r["format"] == "post4f0")
    assert (post["clocks"], post["of"]) == (1, 2)
    assert post[HELD] == pytest.approx((80 / 90, 80 / 90, 80 / 90, 1))
    assert str(post[HELD]) == "0.89"


def test_a_format_without_fronts_is_compared_at_its_own_clock_alone() -> None:
    rows = [first(INT4, 90.0), first(INT4, 80.0, clock_ns=3.0, delay_ns=2.5), first(space.NF4, 180.0)]
    nf4 = next(r for r in ratio_rows(rows) if r["format"] == "nf4f7")
    assert nf4[STREAMING] == (2.0, 2.0, 2.0, 1)


def test_the_best_by_each_figure_and_the_one_tile_are_by_the_same_rule_for_all() -> None:
    """The least of each figure may be of two tiles; the one tile has the least product."""
    rows = [
        first(INT4, 80.0, energy_held_per_mac_fj=100.0),
        first(INT4, 100.0, energy_held_per_mac_fj=50.0, edge_registers=True),
        first(POST4, 90.0, energy_held_per_mac_fj=40.0),
        first(POST4, 60.0, energy_held_per_mac_fj=90.0, edge_registers=True),
        first(INT4, 120.0, registers=True),
        first(POST4, 90.0, registers=True),
        first(INT4, 70.0, 24, 48),
        first(POST4, 84.0, 24, 48),
    ]
    post = next(r for r in best_rows(rows) if r["format"] == "post4f0")["cells"]
    assert post["16x16", HELD] == (40.0, pytest.approx(40 / 50))
    assert post["16x16", AREA] == pytest.approx((66.118, 66.118 / 86.118))
    assert post["16x16", STREAMING] == pytest.approx((120.0, 120 / 160))
    assert post["16x16 + weight registers", HELD] == pytest.approx((90.0, 0.75))
    assert ("16x16 + weight registers", STREAMING) not in post
    assert post["24x48", HELD] == pytest.approx((84.0, 1.2))
    whole = next(r for r in best_rows(rows) if r["format"] == "int4")["cells"]
    assert {ratio for _, ratio in whole.values()} == {1.0}
    single = {(r["account"], r["tile"]["format"]): r for r in one_rows(rows)}
    # 86.1 * 100 > 106.1 * 50; 96.1 * 40 < 66.1 * 90.
    assert single["16x16", "int4"]["tile"]["area_per_mac_um2"] == 100.0
    assert single["16x16", "post4f0"]["tile"]["area_per_mac_um2"] == 90.0
    assert single["16x16", "post4f0"]["int"] is single["16x16", "int4"]["tile"]
    assert single["24x48", "post4f0"]["tile"]["area_per_mac_um2"] == 84.0
    assert single["16x16 + weight registers", "post4f0"]["int"]["area_per_mac_um2"] == 120.0


def test_equal_accuracy_takes_the_bits_that_it_needs() -> None:
    """POST is as accurate as int4 at 4 bits, and as int3 not at 3 bits but at 4; int itself may take fewer bits."""
    rows = [
        first(INT4, 80.0, sqnr_db=18.9),
        first(space.INT3, 50.0, sqnr_db=13.3),
        first(POST4, 75.0, sqnr_db=18.61),
        first(space.POST3, 45.0, sqnr_db=11.5),
        first(space.POT4, 100.0, sqnr_db=14.2),
    ]
    found = {(r["target"], r["grid"]): r for r in equal_accuracy_rows(rows)}
    assert found["int4", "post"][HELD].median == pytest.approx(75 / 80)
    assert ("int4", "pot") not in found
    assert found["int3", "int"]["smallest"] == "int3"
    assert found["int3", "post"]["smallest"] == "post4 F0"
    assert found["int3", "post"][HELD].median == pytest.approx(75 / 50)
    assert found["int3", "pot"][HELD].median == pytest.approx(2.0)
    # A format of the grid that was made for one clock stands for it at that clock alone.
    rows += [r | {"clock_ns": 3.0} for r in rows]
    one_clock = next(w for w in space.CONTENDERS if w.name == "post4f1")
    rows.append(first(one_clock, 40.0, sqnr_db=18.8))
    found = {(r["target"], r["grid"]): r for r in equal_accuracy_rows(rows)}
    assert found["int4", "post"][HELD] == pytest.approx(((40 + 75) / 160, 40 / 80, 75 / 80, 2))
