"""The simulator's results: sums, units and energy worked out by hand, JSON's fields, and the command line."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

import pytest

from asq_sw.cli import main
from asq_sw.errors import InputError
from asq_sw.formats import WeightFormat
from hw.costs import tile_cost, unit_cost
from sim import Accelerator, simulate
from sim.cost.memory import dram_pj_per_bit, sram_pj_per_bit
from sim.views import html_table
from sim.workload import Workload, gemm

LAYER_FIELDS = {
    "name", "kind", "m", "n", "k", "macs", "compute_cycles", "stall_cycles", "total_cycles", "utilization",
    "mapping_efficiency", "sram_reads", "sram_writes", "dram_read_bytes", "dram_write_bytes", "energy_pj",
}  # fmt: skip


def test_one_product_by_hand() -> None:
    """(100, 16) x (16, 8) on 8 x 8, POST 4 bits: two k-folds of 8 + 100 + 8 + 8 - 2 cycles."""
    machine = Accelerator(rows=8, cols=8, clock_mhz=100.0, dram_gb_per_s=100.0)
    result = simulate(Workload("w", (gemm("g", 100, 8, 16),)), machine)
    layer, total = result.layers[0], result.total
    assert layer.compute_cycles == 2 * 122
    assert layer.stall_cycles == 0
    assert layer.utilization == pytest.approx(100 * 8 * 16 / (64 * 244))
    assert layer.mapping_efficiency == 1
    assert layer.dram_read_bytes == (100 * 16 * 4 + 8 * 16 * 4) // 8
    assert layer.dram_write_bytes == 100 * 8 * 4 // 8
    assert total["latency_s"] == pytest.approx(244 / 100e6)
    assert total["images_per_s"] == pytest.approx(100e6 / 244)
    assert total["tops"] == pytest.approx(2 * 12800 / (244 / 100e6) / 1e12)
    cost = unit_cost(machine.weight, 4)
    leakage_per_mac = cost.leakage_nw * cost.clock_ns * 1e-3
    assert layer.energy_pj["mac"] == pytest.approx(12800 * (cost.energy_per_mac_fj - leakage_per_mac) / 1e3)
    # 64 elements leak for 244 cycles of 10 ns: nW * ns = 1e-6 pJ.
    assert layer.energy_pj["leakage"] == pytest.approx(64 * cost.leakage_nw * 2440 * 1e-6)
    moved = 8 * (layer.dram_read_bytes + layer.dram_write_bytes)
    assert layer.energy_pj["dram"] == pytest.approx(moved * dram_pj_per_bit(machine.dram))
    # 16 products of at most 17 bits each (product 10 bits): 14 bits, stored in 2 bytes.
    psum_accesses = 100 * 8 * 2 + 100 * 8
    sram = (100 * 16 * 4 + 8 * 16 * 4 + psum_accesses * 16) * sram_pj_per_bit(128)
    assert layer.energy_pj["sram"] == pytest.approx(sram)
    assert total["tops_per_w"] == pytest.approx(2 * 12800 / sum(layer.energy_pj.values()))


@pytest.mark.parametrize("dataflow", ["ws", "os", "is"])
@pytest.mark.parametrize("network", ["resnet18", "mobilenet_v2", "resnet20"])
def test_totals_are_sums_and_json_has_its_fields(network: str, dataflow: str) -> None:
    record = simulate(network, Accelerator(dataflow=dataflow)).to_json()
    assert json.loads(json.dumps(record)) == record
    for layer in record["layers"]:
        assert layer.keys() >= LAYER_FIELDS
        assert layer["total_cycles"] == layer["compute_cycles"] + layer["stall_cycles"]
        assert 0 < layer["utilization"] <= layer["mapping_efficiency"] <= 1
    for key in (
        "macs",
        "compute_cycles",
        "stall_cycles",
        "total_cycles",
        "dram_read_bytes",
        "dram_write_bytes",
    ):
        assert record["total"][key] == sum(layer[key] for layer in record["layers"])
    assert {"latency_s", "images_per_s", "tops", "tops_per_w"} <= record["total"].keys()


def test_fewer_bits_move_fewer_bytes_in_the_same_cycles() -> None:
    few, many = (simulate("resnet20", Accelerator(grid="int", wbits=b, abits=b)).total for b in (2, 8))
    assert few["compute_cycles"] == many["compute_cycles"]
    assert few["dram_read_bytes"] < many["dram_read_bytes"] / 3.5
    assert few["energy_pj"]["mac"] < many["energy_pj"]["mac"]


def test_more_images_at_once() -> None:
    one, four = (simulate("resnet20", batch=b) for b in (1, 4))
    assert four.total["macs"] == 4 * one.total["macs"]
    assert four.total["images_per_s"] > one.total["images_per_s"]


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main(["simulate", *arguments])
    assert isinstance(stop.value.code, int)
    return stop.value.code


def test_configuration_file_and_outputs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    machine = Accelerator(rows=16, cols=8, grid="int", wbits=3, dataflow="os")
    (tmp_path / "a.toml").write_text(machine.to_toml())
    assert Accelerator.from_toml(tmp_path / "a.toml") == machine
    arguments = ["resnet20", "--config", str(tmp_path / "a.toml"), "--cols", "4"]
    assert run(*arguments, "--json", str(tmp_path / "r.json"), "--csv", str(tmp_path / "csv")) == 0
    record = json.loads((tmp_path / "r.json").read_text())
    assert (record["config"]["rows"], record["config"]["cols"], record["config"]["wbits"]) == (16, 4, 3)
    assert "images/s" in capsys.readouterr().out
    with open(tmp_path / "csv" / "resnet20_layers.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == [layer["name"] for layer in record["layers"]]
    assert int(rows[0]["sram_reads.ifmap"]) == record["layers"][0]["sram_reads"]["ifmap"]
    # The same input gives the same bytes.
    first = (tmp_path / "r.json").read_bytes()
    assert run(*arguments, "--json", str(tmp_path / "r.json"), "--csv", str(tmp_path / "csv")) == 0
    assert (tmp_path / "r.json").read_bytes() == first


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("rows = 0", "rows"),
        ("columns = 3", "columns is not a field"),
        ('dataflow = "rs"', "dataflow"),
        ("wbits = 9", "2 to 8"),
        ("abits = 4.5", "abits"),
        ("rows = ", "not TOML"),
        ("clock_mhz = -1", "clock_mhz"),
        ("clock_mhz = nan", "clock_mhz is nan, expected a finite number"),
        ("dram_gb_per_s = inf", "dram_gb_per_s is inf, expected a finite number"),
        ("ofmap_kib = -inf", "ofmap_kib is -inf"),
        ("ifmap_kib = 1e300", "ifmap_kib is 1e[+]300, expected less than or equal to"),
        ("filter_kib = 1e-9", "filter_kib is 1e-09, expected greater than or equal to"),
        ("dram_latency_ns = nan", "dram_latency_ns is nan"),
        ('node = "tsmc5"', "node is 'tsmc5', expected 'nangate45', 'sky130hd' or 'asap7'"),
        ('dram = "ddr9"', "dram is 'ddr9', expected 'bandwidth'"),
        ('grid = "int"\nfrac_bits = 2', "frac_bits is 2 for grid 'int', expected none"),
    ],
)
def test_bad_configurations_are_named(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text(text)
    with pytest.raises(InputError, match=words) as error:
        Accelerator.from_toml(tmp_path / "bad.toml")
    assert "bad.toml" in str(error.value)


def test_bad_options_leave_nothing_behind(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "t.csv").write_text("Layer, M, N, K,\na, 8, 8, 8,\n")
    scale = [str(tmp_path / "t.csv"), "--scalesim-cfg", str(tmp_path / "none.cfg")]
    for arguments in (
        [*scale, "--batch", "2"],
        [*scale, "--fidelity", "1"],
        [*scale, "--gated"],
        [*scale, "--clock-ns", "2"],
        ["resnet20", "--asq", "producer", "--fidelity", "1"],
        ["resnet20", "--clock-ns", "2", "--clock-mhz", "500"],
        ["resnet20", "--clock-ns", "nan"],
        ["resnet20", "--clock-mhz", "inf"],
        ["resnet20", "--grid", "int", "--frac-bits", "1"],
        ["resnet20", "--wbits", "9", "--json", str(tmp_path / "r.json")],
        ["resnet20", "--rows", "-3", "--json", str(tmp_path / "r.json")],
        ["resnet20", "--csv", str(tmp_path / "file" / "x")],
        ["resnet20", "--node", "tsmc5", "--json", str(tmp_path / "r.json")],
        ["resnet20", "--scalesim-cfg", str(tmp_path / "none.cfg")],
        ["nothing.onnx"],
    ):
        assert run(*arguments) == 2, arguments
        assert capsys.readouterr().err.count("\n") == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "t.csv"]


def test_an_array_of_tiles_costs_what_the_tile_does() -> None:
    fields = {"grid": "post", "frac_bits": 0}
    element, tile = Accelerator(**fields), Accelerator(**fields, unit="tile")
    one, other = simulate("resnet20", element), simulate("resnet20", tile)
    assert one.total["total_cycles"] == other.total["total_cycles"]
    assert other.total["energy_pj"]["mac"] < 0.5 * one.total["energy_pj"]["mac"]
    assert other.total["energy_pj"]["sram"] == one.total["energy_pj"]["sram"]
    cost = tile_cost(tile.weight, 4)
    dynamic = cost.energy_per_mac_fj - cost.leakage_nw * cost.clock_ns * 1e-3
    assert other.total["energy_pj"]["mac"] == pytest.approx(other.total["macs"] * dynamic * 1e-3)
    assert "tile" in other.energy_sources["mac"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"unit": "tile", "wbits": 7}, "no tile of post 7x7 F=.* is carried for nangate45, expected one of"),
        ({"unit": "tile", "dataflow": "os"}, "unit is 'tile' with dataflow 'os'"),
        ({"unit": "cube"}, "unit is 'cube'"),
    ],
)
def test_what_no_tile_is_carried_for_is_refused(fields: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        simulate("resnet20", Accelerator(**fields))


@pytest.mark.parametrize("node", ["nangate45", "sky130hd", "asap7"])
def test_every_width_has_a_tile(node: str) -> None:
    for grid, bits, fraction in (
        ("int", 2, None), ("int", 3, None), ("int", 4, None), ("int", 8, None), ("post", 2, 0), ("post", 3, 0),
        ("post", 4, 0), ("post", 4, 1), ("post", 4, 2), ("fp4", 4, None), ("pot", 4, None),
    ):  # fmt: skip
        cost = tile_cost(WeightFormat(grid, bits, fraction), bits, node)
        assert 0 < cost.area_um2 < unit_cost(WeightFormat(grid, bits, fraction), bits, node).area_um2


def test_an_unknown_node_is_named_in_python() -> None:
    with pytest.raises(InputError, match="node is 'x', expected 'nangate45', 'sky130hd' or 'asap7'"):
        Accelerator(node="x")


def test_activations_have_as_many_bits_as_weights_where_they_are_not_given(tmp_path: Path) -> None:
    assert [Accelerator(wbits=b).abits for b in (2, 3, 4, 8)] == [2, 3, 4, 8]
    assert (Accelerator().abits, Accelerator(wbits=2, abits=4).abits) == (4, 4)
    (tmp_path / "m.toml").write_text("wbits = 3\n")
    assert Accelerator.from_toml(tmp_path / "m.toml").abits == 3
    assert Accelerator.from_toml(tmp_path / "m.toml", wbits=2).abits == 2
    (tmp_path / "m.toml").write_text("wbits = 3\nabits = 8\n")
    assert Accelerator.from_toml(tmp_path / "m.toml", wbits=2).abits == 8
    assert run("resnet20", "--wbits", "2", "--json", str(tmp_path / "r.json")) == 0
    assert json.loads((tmp_path / "r.json").read_text())["config"]["abits"] == 2


@pytest.mark.parametrize(("unit", "fields"), [("pe", {}), ("tile", {"frac_bits": 0})])
def test_a_missed_clock_is_said(
    unit: str, fields: dict, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """At 500 MHz, 2 ns: sky130hd's netlists take more, nangate45's less."""
    cost_of = {"pe": unit_cost, "tile": tile_cost}[unit]
    options = ["--unit", unit, *(f"--frac-bits={f}" for f in fields.values())]
    for node, meets in (("nangate45", True), ("sky130hd", False)):
        reached = 1e3 / cost_of(WeightFormat("post", 4, fields.get("frac_bits")), 4, node).delay_ns
        assert (reached >= 500) is meets
        assert run("resnet20", "--node", node, *options, "--json", str(tmp_path / "r.json")) == 0
        total = json.loads((tmp_path / "r.json").read_text())["total"]
        assert (total["meets_clock"], total["clock_mhz_reached"]) == (meets, pytest.approx(reached))
        lines = [line for line in capsys.readouterr().out.splitlines() if "TOPS/W" in line]
        assert len(lines) == 1
        missed = f"at 500 MHz, a clock that is missed (the netlist reaches {reached:.0f} MHz)"
        assert (missed in lines[0]) is not meets
        at_its_best = simulate("resnet20", Accelerator(node=node, unit=unit, clock_mhz=reached, **fields))
        assert at_its_best.total["meets_clock"]


@pytest.mark.parametrize(
    ("text", "fidelity"),
    [("hide_load = true", 2), ('dram = "hbm2"', 2), ("rows = 8", 1), ("fuse = false", 1)],
)
def test_what_fidelity_2_alone_sees_asks_for_it(text: str, fidelity: int, tmp_path: Path) -> None:
    (tmp_path / "m.toml").write_text(text + "\n")
    options = ["resnet20", "--config", str(tmp_path / "m.toml"), "--json", str(tmp_path / "r.json")]
    assert run(*options) == 0
    assert json.loads((tmp_path / "r.json").read_text())["config"]["fidelity"] == fidelity
    assert run(*options, "--fidelity", "1") == (2 if fidelity == 2 else 0)


def test_results_as_tables_and_pictures() -> None:
    result = simulate("resnet20", Accelerator(node="sky130hd"))
    html = result._repr_html_()
    assert html.count("<tr>") == 1 + len(result.layers)
    assert "which the netlist misses" in html
    figure = result.plot()
    cycles, energy = figure.axes
    assert [text.get_text() for text in cycles.get_yticklabels()] == [layer.name for layer in result.layers]
    drawn = sum(bar.get_width() for bar in energy.patches)
    assert drawn == pytest.approx(sum(result.total["energy_pj"].values()) / 1e6)
    pandas = pytest.importorskip("pandas")
    frame = result.to_pandas()
    assert isinstance(frame, pandas.DataFrame)
    assert frame["total_cycles"].sum() == result.total["total_cycles"]
    assert frame["energy_pj.mac"].sum() == pytest.approx(result.total["energy_pj"]["mac"])


def test_without_pandas_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(InputError, match="to_pandas needs the package pandas"):
        simulate("resnet20").to_pandas()


def test_a_notebooks_table_escapes_names_and_is_not_endless() -> None:
    html = html_table([{"name": "<b>", "n": 1234, "x": 0.5}] * 70, "a & b")
    assert "&lt;b&gt;" in html
    assert "1,234" in html
    assert "a &amp; b (the first 60 of 70 rows)" in html
    assert html.count("<tr>") == 61
