"""The report: what it must contain. The whole one is made once for all checks."""

from __future__ import annotations

import csv
import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from report_rows import carried_units

from asq_sw.cli import main
from asq_sw.errors import InputError
from asq_sw.sqnr import DISTRIBUTIONS
from reports import collect
from reports.blocks import Section, Table
from reports.collect import build
from reports.page import WHOLE, render
from reports.palette import ENERGY_PARTS
from reports.scope import ELEMENTS, NETWORKS, ReportOptions, Request, Step
from reports.sections import units


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("report")
    assert build(target, measure=carried_units, whole=True) == target / "index.html"
    return target


@pytest.mark.slow
def test_command_measures_now_what_the_table_holds(tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["report", "--quick", "-o", str(tmp_path)])
    assert stop.value.code == 0
    measured = json.loads((tmp_path / "report.json").read_text())["units"]
    for row, held in zip(measured, carried_units(ReportOptions(), lambda message: None), strict=True):
        assert row["area_um2"] == held["area_um2"]
        assert row["energy_per_mac_fj"] == held["energy_per_mac_fj"]


@pytest.fixture(scope="module")
def data(folder: Path) -> dict:
    return json.loads((folder / "report.json").read_text())


def test_the_whole_report_has_nodes_engine_and_memory(folder: Path, data: dict) -> None:
    page = (folder / "index.html").read_text()
    for title in ("Three nodes", "Tile by tile, and what ASQ costs a machine", "Memory models"):
        assert f"<h2>{title}</h2>" in page
    assert {u["node"] for u in data["nodes"]} == {"sky130hd", "asap7"}
    for network in NETWORKS:
        cycles = {r["asq"]: r["total_cycles"] for r in data["engine"] if r["network"] == network}
        assert cycles["two-pass"] > cycles["off"]
        assert cycles["producer"] >= cycles["off"]


class MadeUp:
    """A section of its own, as a file of :mod:`reports.sections` is one; with the errors that verdicts are made of."""

    def rows(self, request: Request, data: Mapping[str, Any]) -> dict[str, Any]:
        errors = [
            {"grid": grid, "bits": bits, "distribution": distribution, "sqnr_db": 20.0}
            for grid, bits in ELEMENTS
            for distribution in DISTRIBUTIONS
        ]
        return {
            "about": "this",
            "sqnr": errors,
            "answers": [{"a": len(data["units"]), "b": request.options.rows}],
        }

    def section(self, data: Mapping[str, Any]) -> Section:
        return Section("Made <up>", [Table("Answers", ["a"], [[data["answers"][0]["a"]]], "Why.", "Here.")])


def test_a_section_is_one_entry_of_the_list_and_only_the_list_is_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collect, "QUICK", (units, MadeUp()))
    page = build(tmp_path, ReportOptions(rows=16), measure=carried_units).read_text()
    assert re.findall("<h2>(.*?)</h2>", page)[1:] == [
        "What a processing element costs",
        "Made &lt;up&gt;",
    ]
    assert "<td>14</td></tr></tbody></table></div>\n<p><b>Answers.</b> Why.</p>" in page
    assert (tmp_path / "answers.csv").read_text() == "a,b\n14,16\n"
    assert {path.name for path in tmp_path.iterdir()} == {
        "index.html", "report.json", "units.csv", "sqnr.csv", "answers.csv",
    }  # fmt: skip
    data = json.loads((tmp_path / "report.json").read_text())
    assert list(data) == ["provenance", "options", "verdicts", "units", "sqnr", "about", "answers"]


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
        for part in ENERGY_PARTS:
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


def test_csv_is_the_json(folder: Path, data: dict) -> None:
    tables = {name for name, value in data.items() if isinstance(value, list)} - {"verdicts"}
    assert {path.stem for path in folder.glob("*.csv")} == tables
    assert tables >= {"units", "totals", "layers", "sqnr", "tiles", "accuracy"}
    for name in tables:
        with open(folder / f"{name}.csv", newline="") as file:
            rows = list(csv.DictReader(file))
        assert len(rows) == len(data[name])
        assert rows[-1].keys() >= data[name][-1].keys()


def test_the_same_data_gives_the_same_page(folder: Path, data: dict) -> None:
    assert render(data, WHOLE) == (folder / "index.html").read_text()


def test_unwritable_folder_is_refused_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    def never(options: ReportOptions, step: Step) -> list[dict]:
        raise AssertionError("work began")

    with pytest.raises(InputError, match="cannot be written"):
        build(tmp_path / "file" / "report", measure=never)
