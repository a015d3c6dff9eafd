"""The quick report: what it must contain, made once for all checks."""

from __future__ import annotations

import csv
import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import places
import pytest

from asq_sw.cli import main
from asq_sw.errors import InputError
from asq_sw.formats import WeightFormat
from hw import carried, costs
from hw.carried import unit_costs
from hw.studies import space
from hw.synth.mapping.kinds import KINDS
from hw.units.spec import UnitSpec
from hw.units.tile import TileSpec
from reports.collect import build
from reports.page import render
from reports.sections import accuracy, quick, tiles, width
from reports.studies import datapath


def carried_units(options: quick.QuickOptions, step: quick.Step) -> list[dict]:
    """Rows of the processing elements from the carried table, which tests/synth holds against the flow."""
    rows = []
    pairs = [(g, b) for b in quick.BITS for g in quick.GRIDS_COMPARED] + [("fp4", 4), ("apot", 4)]
    table = unit_costs()["units"]
    for grid, bits in pairs:
        weight = WeightFormat(grid, bits)
        held = table[costs.key(UnitSpec("pe", weight, bits), options.node)]
        row = {"grid": grid, "wbits": bits, "abits": bits, "storage_bits": weight.storage_bits}
        rows.append({**held, **row, "frac_bits": weight.frac_bits, "area_per_mac_um2": held["area_um2"]})
    return rows


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("report")
    assert build(target, units=carried_units) == target / "index.html"
    return target


@pytest.mark.slow
def test_command_measures_now_what_the_table_holds(tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["report", "--quick", "-o", str(tmp_path)])
    assert stop.value.code == 0
    measured = json.loads((tmp_path / "report.json").read_text())["units"]
    for row, held in zip(measured, carried_units(quick.QuickOptions(), lambda message: None), strict=True):
        assert row["area_um2"] == held["area_um2"]
        assert row["energy_per_mac_fj"] == held["energy_per_mac_fj"]


def test_the_whole_report_adds_nodes_engine_and_memory(tmp_path: Path, folder: Path) -> None:
    page = build(tmp_path, units=carried_units, whole=True).read_text()
    for title in ("Three nodes", "Tile by tile, and what ASQ costs a machine", "Memory models"):
        assert f"<h2>{title}" in page or title in page
        assert title not in (folder / "index.html").read_text()
    data = json.loads((tmp_path / "report.json").read_text())
    assert {u["node"] for u in data["nodes"]} == {"sky130hd", "asap7"}
    for network in quick.NETWORKS:
        cycles = {r["asq"]: r["total_cycles"] for r in data["engine"] if r["network"] == network}
        assert cycles["two-pass"] > cycles["off"]
        assert cycles["producer"] >= cycles["off"]
    assert {"nodes.csv", "engine.csv", "memory.csv"} <= {path.name for path in tmp_path.iterdir()}


@pytest.fixture(scope="module")
def data(folder: Path) -> dict:
    return json.loads((folder / "report.json").read_text())


def test_page_is_one_file_with_sound_figures(folder: Path) -> None:
    page = (folder / "index.html").read_text()
    assert not re.search(r'(src|href)="(?!#)', page.replace('xlink:href="#', ""))
    figures = re.findall(r"<svg.*?</svg>", page, flags=re.S)
    assert len(figures) == 15
    for figure in figures:
        ET.fromstring(figure.replace("xlink:href", "href"))
    # Each figure and table has a caption and says where it comes from.
    assert page.count("<figcaption>") == 15
    assert page.count('<p class="source">') >= 14 + 12
    assert "nan" not in re.sub(r"<svg.*?</svg>", "", page, flags=re.S).lower().split()


def test_every_row_that_the_issue_asks_for(data: dict) -> None:
    units = {(u["grid"], u["wbits"]) for u in data["units"]}
    assert units >= {(g, b) for g in ("post", "int", "pot") for b in (2, 3, 4, 8)}
    totals = {(t["network"], t["grid"], t["wbits"]) for t in data["totals"]}
    assert totals == {
        (n, g, b) for n in ("resnet18", "resnet20") for g in ("post", "int", "pot") for b in (2, 3, 4, 8)
    }
    grids = {(r["grid"], r["bits"], r["distribution"]) for r in data["sqnr"]}
    assert ("post-paper", 4, "laplacian") in grids
    assert ("fp4", 4, "gaussian") in grids


def test_layers_add_up_to_totals(data: dict) -> None:
    for total in data["totals"]:
        rows = [r for r in data["layers"] if all(r[k] == total[k] for k in ("network", "grid", "wbits"))]
        for part in quick.ENERGY_PARTS:
            assert sum(r[f"{part}_uj"] for r in rows) == pytest.approx(total[f"{part}_uj"])
        assert sum(r["compute_us"] + r["stall_us"] for r in rows) == pytest.approx(1e6 * total["latency_s"])


def test_it_says_where_post_loses_and_wins(data: dict) -> None:
    """The naive POST processing element is larger than int4's: the page must say so."""
    area = {(u["grid"], u["wbits"]): u["area_per_mac_um2"] for u in data["units"]}
    assert area["post", 4] > area["int", 4]
    four = next(v for v in data["verdicts"] if "at 4 bits against int4" in v["text"])
    ratio = float(re.search(r"has ([\d.]+) times the area", four["text"]).group(1))
    assert ratio == pytest.approx(area["post", 4] / area["int", 4], abs=0.005)
    kinds = {v["kind"] for v in data["verdicts"]}
    assert {"lose", "mixed"} <= kinds


def test_verdict_follows_the_figures() -> None:
    def unit(grid: str, bits: int, area: float) -> dict:
        return {"grid": grid, "wbits": bits, "area_per_mac_um2": area, "energy_per_mac_fj": area}

    units = [unit(g, b, 1.0 if g == "post" else 2.0) for g in ("post", "int", "pot") for b in quick.BITS]
    errors = [
        {"grid": g, "bits": b, "distribution": d, "sqnr_db": 20.0 if g == "post" else 10.0}
        for g in ("post", "int", "pot")
        for b in quick.BITS
        for d in ("gaussian", "laplacian")
    ]
    assert {v["kind"] for v in quick.verdicts(units, errors)} == {"win"}
    for u in units:
        u["area_per_mac_um2"] = 4.0 if u["grid"] == "post" else 2.0
    assert {v["kind"] for v in quick.verdicts(units, errors)} == {"mixed"}


def test_csv_is_the_json(folder: Path, data: dict) -> None:
    for name in ("units", "totals", "layers", "sqnr"):
        with open(folder / f"{name}.csv", newline="") as file:
            rows = list(csv.DictReader(file))
        assert len(rows) == len(data[name])
        assert rows[-1].keys() == data[name][-1].keys()


def test_the_same_data_gives_the_same_page(folder: Path, data: dict) -> None:
    assert render(data) == (folder / "index.html").read_text()


def test_unwritable_folder_is_refused_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    def never(options: quick.QuickOptions, step: quick.Step) -> list[dict]:
        raise AssertionError("work began")

    with pytest.raises(InputError, match="cannot be written"):
        build(tmp_path / "file" / "report", units=never)


def test_the_datapath_page_is_of_the_carried_rows() -> None:
    """python -m reports.studies.datapath -o docs/datapath.md."""
    from reports.studies.datapath import page

    path = places.ROOT / "docs" / "datapath.md"
    assert path.read_text(encoding="utf-8") == page(tiles.carried(), "nangate45", tiles.fronts())


def test_a_tile_has_the_accuracy_of_its_own_table() -> None:
    trained = {
        "quantizer": "asq-post", "wbits": "4", "abits": "4", "seed": "0", "teacher": "", "rounded": "True",
        "frac_bits": "0", "test_accuracy": 87.5,
    }  # fmt: skip
    exact = trained | {"rounded": "False", "frac_bits": "", "test_accuracy": 88.0}
    tile = {"grid": "post", "wbits": 4, "abits": 4, "frac_bits": 0}
    assert accuracy.trained_with([exact, trained], tile) == 87.5
    assert accuracy.trained_with([exact], tile) is None
    assert accuracy.trained_with([trained | {"teacher": "0.5"}], tile) is None
    assert accuracy.trained_with([trained], tile | {"frac_bits": 1}) is None


def test_grids_have_a_mean_with_its_error() -> None:
    rows = [
        {"quantizer": "asq-post", "epochs": "6", "test_accuracy": 88.0},
        {"quantizer": "asq-post", "epochs": "6", "test_accuracy": 87.0},
        {"quantizer": "asq-post", "epochs": "0", "test_accuracy": 80.0},
    ]
    # The standard deviation of two values one apart is 1 / sqrt(2), of their mean 1 / 2.
    assert accuracy.grid_rows(rows) == [["asq-post", "88.00 87.00", "87.50 ± 0.50", "80.00"]]
    carried = accuracy.carried(grids=True)
    assert {r["quantizer"] for r in carried} == {"asq-post-gap", "asq-post", "asq-uniform", "asq-fp4"}


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
    assert accuracy.by_name(rows) == {"fp32": [88.0], "asq-post 4/4": [87.5, 88.5]}
    caption = accuracy.section(rows, [])["blocks"][0]["caption"]
    assert (
        "reaches 88.00% (seeds: 1). Points against it: asq-post 4/4 +0.00 (seeds: 2). The best by width: 88.00 at 4 bit (asq-post 4/4). "
        in caption
    )
    assert "differ by up to 1.00 points" in caption
    assert "differ" not in accuracy.section(rows[:2], [])["blocks"][0]["caption"]
    # Rows of more epochs are compared with full precision of as many.
    longer = [r | {"epochs": "12", "test_accuracy": r["test_accuracy"] + 0.5} for r in rows[:2]]
    assert accuracy.by_epochs(rows + longer) == {
        "fp32": {6: 88.0, 12: 88.5},
        "asq-post 4/4": {6: 87.5, 12: 88.0},
    }
    caption = accuracy.section(rows, longer)["blocks"][2]["caption"]
    assert "asq-post 4/4 -0.50 at 6 epochs, -0.50 at 12 epochs" in caption


GAUSSIAN = "Gaussian weights, half-normal activations, seed 0"
INT4, POST4 = space.INT4, space.POST4


def made_up(tile: TileSpec, area: float, **fields: Any) -> dict[str, Any]:
    """A row as :func:`hw.studies.search.measure_tile` makes it, its figures invented: delay 1 ns at a clock of 2 ns."""
    weight = tile.weight
    row: dict[str, Any] = {
        "node": "nangate45", "grid": weight.grid, "format": weight.name, "wbits": weight.bits, "abits": tile.abits,
        "frac_bits": weight.frac_bits if weight.takes_frac_bits else None, "variant": tile.variant, "rows": tile.rows,
        "cols": tile.cols, "tree": tile.tree, "share": tile.share, "registers": tile.registers,
        "edge_registers": tile.edge_registers, "carry_save": tile.carry_save, "stage": tile.stage,
        "order": list(tile.order), "sum_bits": 23, "area_per_mac_um2": area, "logic_per_mac_um2": area,
        "energy_held_per_mac_fj": area, "energy_per_mac_fj": 2 * area, "leakage_per_mac_nw": 0.0, "sqnr_db": 18.0,
        "area_by_kind_um2": dict.fromkeys(KINDS, area / len(KINDS)), "operands": GAUSSIAN, "recipe": "area",
        "clock_ns": 2.0, "delay_ns": 1.0,
    }  # fmt: skip
    row |= fields
    return row | {"slack_ns": row["clock_ns"] - row["delay_ns"]}


def first(weight: WeightFormat, area: float, rows: int = 16, cols: int = 16, **fields: Any) -> dict[str, Any]:
    """A row of a format's first contender."""
    return made_up(space.tile(weight, space.CONTENDERS[weight][0], rows=rows, cols=cols), area, **fields)


def test_area_counts_the_adder_of_the_correction() -> None:
    """nangate45's full adder has 4.256 um^2 (its Liberty file); 23 of them are shared by the rows of a column."""
    assert tiles.correction(first(INT4, 80.0)) == pytest.approx(4.256 * 23 / 16)
    assert tiles.area(first(INT4, 80.0)) == pytest.approx(86.118)
    assert tiles.area(first(INT4, 80.0, 24, 48)) == pytest.approx(80 + 4.256 * 23 / 24)


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
    found = {r["format"]: r for r in tiles.ratio_rows(rows)}
    assert found["int4"][tiles.AREA] == (1.0, 1.0, 1.0, 3)
    assert found["post4f0"][tiles.AREA] == pytest.approx((0.9, 0.8, 1.1, 3))  # 110/100, 81/90, 72/90
    assert str(found["post4f0"][tiles.AREA]) == "0.90 (0.80–1.10)"
    assert (found["post4f0"]["clocks"], found["post4f0"]["of"]) == (3, 3)
    assert found["post4f0"]["registers"] == {tiles.AREA: None, tiles.HELD: None}
    held = [
        first(INT4, 120.0, registers=True),
        first(POST4, 90.0, registers=True),
        first(POST4, 1.0, registers=True, delay_ns=3.0),
    ]
    post = next(r for r in tiles.ratio_rows(rows + held) if r["format"] == "post4f0")
    assert post["registers"][tiles.HELD] == (
        0.75,
        0.75,
        0.75,
        1,
    )  # not at 1.5 and 3 ns, that it was not made for
    assert post[tiles.AREA] == found["post4f0"][tiles.AREA]
    assert found["fp4"][tiles.AREA] == pytest.approx((1.5833333, 1.5, 1.6666667, 2))  # 150/100, 150/90
    # Held energy: 110-a, 81-a, 72-a over 100-a, 90-a, 90-a.
    assert found["post4f0"][tiles.HELD] == pytest.approx(
        ((81 - adder) / (90 - adder), (72 - adder) / (90 - adder), (110 - adder) / (100 - adder), 3)
    )


def test_error_against_area_names_those_that_none_beats() -> None:
    rows = [
        first(INT4, 100.0, sqnr_db=18.9),
        first(POST4, 90.0, sqnr_db=18.6),
        first(space.FP4, 120.0, sqnr_db=18.8),
        first(POST4, 1.0, sqnr_db=18.6, delay_ns=9.0),  # late
    ]
    found = {p["format"]: p["front"] for p in tiles.error_points(rows)}
    assert found == {"int4": True, "post4f0": True, "fp4": False}


def test_a_clock_that_a_format_misses_has_no_ratio() -> None:
    rows = [
        first(INT4, 100.0, clock_ns=1.5),
        first(INT4, 90.0),
        first(POST4, 1.0, clock_ns=1.5, delay_ns=1.6),
        first(POST4, 80.0, delay_ns=1.9),
    ]
    post = next(r for r in tiles.ratio_rows(rows) if r["format"] == "post4f0")
    assert (post["clocks"], post["of"]) == (1, 2)
    assert post[tiles.HELD] == pytest.approx((80 / 90, 80 / 90, 80 / 90, 1))
    assert str(post[tiles.HELD]) == "0.89"


def test_a_format_without_fronts_is_compared_at_its_own_clock_alone() -> None:
    rows = [first(INT4, 90.0), first(INT4, 80.0, clock_ns=3.0, delay_ns=2.5), first(space.NF4, 180.0)]
    nf4 = next(r for r in tiles.ratio_rows(rows) if r["format"] == "nf4f7")
    assert nf4[tiles.STREAMING] == (2.0, 2.0, 2.0, 1)


def test_a_tile_leaks_for_longer_at_a_longer_clock() -> None:
    """1000 nW for 0.5 ns are 0.5 fJ."""
    row = first(INT4, 80.0, leakage_per_mac_nw=1000.0)
    assert tiles.figure(row, tiles.HELD, 2.5) == pytest.approx(80.5)
    assert tiles.figure(row, tiles.HELD) == 80.0
    assert tiles.figure(row, tiles.AREA, 2.5) == tiles.area(row)


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
    assert tiles.compared([plain, *others], "nangate45") == [plain]


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
    post = next(r for r in tiles.best_rows(rows) if r["format"] == "post4f0")["cells"]
    assert post["16x16", tiles.HELD] == (40.0, pytest.approx(40 / 50))
    assert post["16x16", tiles.AREA] == pytest.approx((66.118, 66.118 / 86.118))
    assert post["16x16", tiles.STREAMING] == pytest.approx((120.0, 120 / 160))
    assert post["16x16 + weight registers", tiles.HELD] == pytest.approx((90.0, 0.75))
    assert ("16x16 + weight registers", tiles.STREAMING) not in post
    assert post["24x48", tiles.HELD] == pytest.approx((84.0, 1.2))
    whole = next(r for r in tiles.best_rows(rows) if r["format"] == "int4")["cells"]
    assert {ratio for _, ratio in whole.values()} == {1.0}
    single = {(r["account"], r["tile"]["format"]): r for r in tiles.one_rows(rows)}
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
    found = {(r["target"], r["grid"]): r for r in tiles.equal_accuracy_rows(rows)}
    assert found["int4", "post"][tiles.HELD].median == pytest.approx(75 / 80)
    assert ("int4", "pot") not in found
    assert found["int3", "int"]["smallest"] == "int3"
    assert found["int3", "post"]["smallest"] == "post4 F0"
    assert found["int3", "post"][tiles.HELD].median == pytest.approx(75 / 50)
    assert found["int3", "pot"][tiles.HELD].median == pytest.approx(2.0)
    # A format of the grid that was made for one clock stands for it at that clock alone.
    rows += [r | {"clock_ns": 3.0} for r in rows]
    one_clock = next(w for w in space.CONTENDERS if w.name == "post4f1")
    rows.append(first(one_clock, 40.0, sqnr_db=18.8))
    found = {(r["target"], r["grid"]): r for r in tiles.equal_accuracy_rows(rows)}
    assert found["int4", "post"][tiles.HELD] == pytest.approx(((40 + 75) / 160, 40 / 80, 75 / 80, 2))


def test_a_missed_clock_is_never_quoted() -> None:
    met, late = first(POST4, 77.7), first(POST4, 77.7, delay_ns=2.5)
    assert "77.7" in tiles.table_row(met, [])
    assert "77.7" in datapath.line(met)
    assert "77.7" not in "".join(tiles.table_row(late, []))
    assert "2.50 (late)" in tiles.table_row(late, [])
    assert "77.7" not in datapath.line(late)


def test_captions_of_tiles_are_short_and_hold_no_figures() -> None:
    rows = [first(w, 80.0 + i) for i, w in enumerate(space.CONTENDERS)]
    rows += [first(w, 70.0, node="asap7") for w in (INT4, POST4)]
    several = [r | {"clock_ns": 3.0} for r in rows[:6]]
    blocks = tiles.section(rows, [], [], several)["blocks"]
    assert len(blocks) == 8
    for block in blocks:
        assert len(re.findall(r"\.(?= |$)", block["caption"])) <= 3, block["name"]
        assert not re.search(r"\d\.\d\d", block["caption"])
    svg = blocks[0]["svg"]
    ET.fromstring(svg.replace("xlink:href", "href"))
    everything = blocks[-1]["rows"]
    assert len(everything) == len(rows) + len(several)


def test_fronts_are_none_until_they_are_carried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(carried, "FRONTS", tmp_path / "absent.json")
    assert tiles.fronts() == []
    late, early = first(INT4, 80.0, node="asap7"), first(INT4, 90.0)
    monkeypatch.setattr(carried, "FRONTS", tmp_path / "fronts.json")
    carried.FRONTS.write_text(json.dumps({"rows": {"a": late, "b": early}}))
    assert tiles.fronts() == [early, late]


def test_part_of_the_rows_still_makes_a_section_and_a_page() -> None:
    """While a search runs: one format, no int, or nothing at all."""
    for rows in ([], [first(POST4, 80.0)], [first(INT4, 80.0, delay_ns=3.0)]):
        assert len(tiles.section(rows, [], [])["blocks"]) == 8
        text = datapath.page(rows, "nangate45")
        assert text.count("Fewer than two tiles are measured.") == len(datapath.DIMENSIONS)


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


def test_the_smallest_tile_by_width_is_a_contender_that_meets_the_clock() -> None:
    small = first(POST4, 80.0)
    rows = [small, first(POST4, 70.0, delay_ns=3.0), first(POST4, 60.0, carry_save=True), first(INT4, 90.0)]
    assert width.best_tiles(rows, "nangate45") == {("post", 4): small, ("int", 4): rows[-1]}


def test_macs_take_their_share_with_and_without_weight_registers() -> None:
    """1e9 MACs of 80 fJ are 80 uJ; beside 120 uJ of memory 40%."""
    total = {"network": "n", "grid": "post", "wbits": 4, "macs": 10**9, "mac_uj": 80.0, "energy_uj": 200.0}
    rows = [first(POST4, 80.0), first(POST4, 280.0, registers=True)]
    held = {
        account: width.best_tiles(rows, "nangate45", registers) for account, registers, _, _ in width.ACCOUNTS
    }
    (found,) = width.shares([total], held)
    assert (found["tile_uj"], found["tile_share"]) == pytest.approx((80.0, 0.4))
    assert (found["registers_uj"], found["registers_share"]) == pytest.approx((280.0, 0.7))
