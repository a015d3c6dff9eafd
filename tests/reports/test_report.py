"""The report: what it must contain. The whole one is made once for all checks."""

from __future__ import annotations

import csv
import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from report_rows import carried_units

from asq_sw.cli import main
from asq_sw.errors import InputError
from asq_sw.sqnr import DISTRIBUTIONS
from reports import collect, opening
from reports.blocks import Section, Table
from reports.collect import build
from reports.page import WHOLE, render
from reports.palette import ENERGY_PARTS
from reports.scope import ELEMENTS, NETWORKS, ReportOptions, Request, Step
from reports.sections import energy, speed, units, width


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
        assert f"<h2>{title} <a" in page
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
    assert re.findall("<h2>(.*?) <a", page) == [
        "Lone elements: what a processing element costs",
        "Made &lt;up&gt;",
    ]
    assert '<p class="caption"><b>Answers.</b> Why.</p>' in page
    assert "<td>14</td></tr>\n</tbody></table></div>" in page
    assert (tmp_path / "answers.csv").read_text() == "a,b\n14,16\n"
    assert {path.name for path in tmp_path.iterdir()} == {
        "index.html", "report.json", "units.csv", "sqnr.csv", "answers.csv", "summary.csv", "machines.csv",
    }  # fmt: skip
    data = json.loads((tmp_path / "report.json").read_text())
    assert list(data) == [
        "provenance", "options", "networks", "verdicts", "units", "sqnr", "summary", "machines", "about", "answers",
    ]  # fmt: skip


def test_page_is_one_file_with_sound_figures(folder: Path) -> None:
    page = (folder / "index.html").read_text()
    # What is not on the page itself is its data, beside it.
    linked = set(re.findall(r'(?:src|href)="((?!#)[^"]*)"', page.replace('xlink:href="#', "")))
    assert linked == {path.name for path in folder.iterdir()} - {"index.html"}
    figures = re.findall(r"<svg.*?</svg>", page, flags=re.S)
    assert len(figures) == 17
    identifiers = re.findall(r'\bid="([^"]*)"', page)
    assert len(identifiers) == len(set(identifiers))
    for figure in figures:
        ET.fromstring(figure.replace("xlink:href", "href"))
        # A name and a description for those who do not see it.
        labels = re.search(r'role="img" aria-labelledby="(\S+) (\S+)"', figure)
        assert labels
        for label in labels.groups():
            assert re.search(rf'id="{label}">[^<]+<', figure)
    # Each figure and table has a caption and says where it comes from.
    assert page.count("<figcaption>") == 17
    assert page.count('<p class="source">') >= 17 + 24
    assert len(page.encode()) < 1_000_000
    # Where one can go to is there.
    assert set(re.findall(r'(?<!xlink:)href="#([^"]*)"', page)) <= set(identifiers)
    assert "nan" not in re.sub(r"<svg.*?</svg>", "", page, flags=re.S).lower().split()


def text_of(html: str) -> str:
    """What one reads: without tags, styles, scripts and drawings."""
    html = re.sub(r"<(style|script|svg)\b.*?</\1>", " ", html, flags=re.S)
    return unescape(re.sub(r"<[^>]*>", "", html))


def test_the_page_opens_with_the_answer(folder: Path, data: dict) -> None:
    page = (folder / "index.html").read_text()
    assert page.index("<table") < page.index('class="conclusions"') < page.index("<svg") < page.index("<nav")
    head = page[: page.index("<nav")]
    assert head.count("<table") == head.count("<svg") == 1
    assert re.findall(r'<th colspan="3" scope="colgroup" class="group">(.*?)</th>', head) == [
        "45 nm (nangate45)", "130 nm (sky130hd)", "7 nm (asap7)",
    ]  # fmt: skip
    conclusions = re.findall("<li>(.*?)</li>", head)
    plain = [text_of(re.sub(r' <span class="means">.*?</span>', "", line)) for line in conclusions]
    assert len(conclusions) == 3
    # Tiles and lone elements are told apart, with the figures of the sections below.
    assert "0.94, 1.00 and 1.10 of its area and 1.04, 1.12 and 1.02 of its energy" in plain[0]
    post, whole = (
        next(u for u in data["units"] if (u["grid"], u["wbits"]) == (g, 4)) for g in ("post", "int")
    )
    assert f"{post['area_um2'] / whole['area_um2']:.2f} of int4's area" in plain[1]
    assert "no difference that the seeds prove (post-gap 87.99, int 87.88, post 87.77, fp4 87.49)" in plain[2]


@pytest.mark.parametrize("term", ["ASQ", "F", "held", "streaming", "fitted", "tile", "SQNR"])
def test_a_term_is_explained_where_it_is_first_used(folder: Path, term: str) -> None:
    """In running text: headers and names may be terms, and the contents are titles."""
    page = (folder / "index.html").read_text()
    prose = re.findall(
        r'<(?:p class="caption"|p class="source"|figcaption|li|p)>.*?</(?:p|figcaption|li)>', page
    )
    first = next(
        p for p in prose if re.search(rf"(?<![\w-]){term}s?(?![\w-])", text_of(p)) and "<li><a" not in p
    )
    assert re.search(rf"(?<![\w-]){term}s? \([^)]", text_of(first)), text_of(first)
    assert f'<dt id="term-{term.lower()}">' in page


def test_captions_are_short_and_their_figures_stand_in_tables(data: dict) -> None:
    for file in WHOLE:
        for block in file.section(data).blocks:
            assert len(re.findall(r"[.!?](?= |$)", block.caption)) <= 3, block.name
            # A name of a layer is none.
            assert not re.search(r"(?<![\w.])\d+\.\d", block.caption), block.name


def test_long_tables_are_folded_and_names_stand_left(folder: Path) -> None:
    page = (folder / "index.html").read_text()
    opened = re.sub(r"<details><summary>\d+ rows</summary>.*?</details>", "", page, flags=re.S)
    tables = re.findall(r"<tbody>(.*?)</tbody>", opened, flags=re.S)
    assert len(tables) > 10
    assert all(table.count("<tr>") <= 25 for table in tables)
    assert page.count("rows</summary>") > 5
    assert '<table aria-label="Processing elements" class="r2 r3' in page
    table = Table("t", ["name", "figure", "said"], [["3x", "1", "late"], ["a", "+2.5 ★", "–"]], "", "")
    assert table.numeric == [False, True, False]


@pytest.mark.slow
def test_networks_are_any_and_bad_ones_are_refused_before_any_work(tmp_path: Path) -> None:
    def never(options: ReportOptions, step: Step) -> list[dict]:
        raise AssertionError("work began")

    for given, said in (
        (["no_such_net"], "unknown"),
        ([str(tmp_path)], "is a folder, expected a network"),
        (["resnet20", "resnet20"], "given twice"),
    ):
        with pytest.raises(InputError, match=said):
            build(tmp_path / "report", measure=never, given=given)
    assert not (tmp_path / "report").exists()
    topology = tmp_path / "mine.csv"
    topology.write_text("Layer, M, N, K,\none, 100, 32, 64,\ntwo, 10, 300, 20,\n")
    page = build(tmp_path / "report", measure=carried_units, given=[str(topology), "mobilenet_v2", "alexnet"])
    data = json.loads((page.parent / "report.json").read_text())
    assert data["networks"] == ["mine", "mobilenet_v2", "alexnet"]
    assert list(data["provenance"]["inputs"]) == ["mine.csv"]
    assert {r["network"] for r in data["totals"]} == {*data["networks"]}
    # The machine that the accuracies are of is there as well.
    assert {r["network"] for r in data["machines"]} == {*data["networks"], "resnet20"}
    assert "energy of the whole machine for an image of mine" in page.read_text()


def test_a_missed_clock_is_said_and_nothing_is_quoted_at_it(tmp_path: Path, data: dict) -> None:
    def rows(changed: dict) -> list[list]:
        return speed.section(changed).blocks[1].rows

    # pot of 8 bits misses 500 MHz, and so has no figures at it anywhere.
    missed = {tuple(row[:2]) for row in rows(data) if row[-1] == "missed"}
    assert missed == {(network, "pot 8") for network in NETWORKS}
    for file, block in ((energy, -1), (width, 1)):
        table = file.section(data).blocks[block].rows
        assert not [row for row in table if "pot 8" in " ".join(map(str, row[1:3]))]
    (element,) = [row for row in units.section(data).blocks[1].rows if row[0] == "pot 8x8"]
    assert element[6:] == ["2.08 (late)", "–", "–"]
    fast = data | {"totals": [t | {"clock_mhz": 1.01 * t["fmax_mhz"]} for t in data["totals"]]}
    for row in rows(fast):
        assert row[-1] == "missed"
        assert row[4:8] == ["late"] * 4
    # int of 8 bits has no tile that meets 130 nm's clock.
    (late,) = [r for r in data["summary"] if (r["grid"], r["wbits"], r["node"]) == ("int", 8, "sky130hd")]
    assert late["delay_ns"] > late["clock_ns"]
    assert not late["meets_clock"]
    (line,) = [row for row in opening.table(data).rows if row[0] == "int 8"]
    assert line[4:7] == ["late"] * 3


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
    tables = {name for name, value in data.items() if isinstance(value, list)} - {"verdicts", "networks"}
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
