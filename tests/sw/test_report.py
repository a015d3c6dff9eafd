"""The quick report: what it must contain, made once for all checks."""

from __future__ import annotations

import csv
import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from asq_sw.cli import main
from asq_sw.errors import InputError
from asq_sw.formats import WeightFormat
from hw import costs
from hw.design import UnitSpec
from reports import accuracy, quick, tiles
from reports.build import build
from reports.page import render


def carried_units(options: quick.QuickOptions, step: quick.Step) -> list[dict]:
    """Rows of the processing elements from the carried table, which tests/synth holds against the flow."""
    rows = []
    pairs = [(g, b) for b in quick.BITS for g in quick.GRIDS_COMPARED] + [("fp4", 4), ("apot", 4)]
    table = json.loads(costs.TABLE.read_text())["units"]
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
    assert len(figures) == 13
    for figure in figures:
        ET.fromstring(figure.replace("xlink:href", "href"))
    # Each figure and table has a caption and says where it comes from.
    assert page.count("<figcaption>") == 13
    assert page.count('<p class="source">') >= 13 + 8
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
    assert {"win", "lose"} <= kinds


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
    """python -m reports.datapath -o docs/datapath.md."""
    from reports.datapath import page

    path = Path(__file__).parents[2] / "docs" / "datapath.md"
    assert path.read_text(encoding="utf-8") == page(tiles.carried(), "nangate45")


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
