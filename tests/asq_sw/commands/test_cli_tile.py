"""``asq verilog tile`` and ``asq synth tile``: every option of the search, ports and constants as JSON and header."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from amaranth.sim import Simulator
from click.testing import CliRunner

from asq_sw.cli import cli
from asq_sw.commands.options import UNIT_OPTIONS
from asq_sw.formats import WeightFormat
from hw.rtl import verilog as emit
from hw.rtl.adders import TREES
from hw.studies import search
from hw.units import contract
from hw.units.tile import CHOICES, STAGES, TileSpec
from hw.units.unit import UNITS

POST = WeightFormat("post", 4, 0)


@pytest.fixture(scope="module", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Netlists of this module neither come from the user's cache nor go there."""
    patch = pytest.MonkeyPatch()
    patch.setenv("ASQ_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
    yield
    patch.undo()


def asq(*args: str) -> Any:
    return CliRunner().invoke(cli, args)


def test_every_point_of_the_search_can_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    """The words that a tile's header gives mean this tile again."""
    made: list[TileSpec] = []
    monkeypatch.setattr(emit, "unit_verilog", lambda spec: made.append(spec) or "")
    wanted = list(search.points())
    wanted.append(TileSpec(POST, 3, True, "select-shift", 2, 6, 99, share=4, enable=True, reset=True))
    for tile in wanted:
        result = asq("verilog", *shlex.split(tile.options))
        assert result.exit_code == 0, result.output
    assert made == wanted


def test_one_definition_of_the_options() -> None:
    """Every option that a unit takes is one of both commands, and each of theirs is some unit's."""
    assert {option for line in UNITS.values() for option in line.options} == {"weight", *UNIT_OPTIONS}
    for command in ("verilog", "synth"):
        text = " ".join(asq(command, "--help").output.split())
        for name, attributes in UNIT_OPTIONS.items():
            assert attributes.get("flag", "--" + name.replace("_", "-")) in text
            assert " ".join(attributes["help"].split()) in text
    assert all(tree in UNIT_OPTIONS["tree"]["help"] for tree in TREES)
    assert all(stage in UNIT_OPTIONS["stage"]["help"] for stage in STAGES)


CASES: tuple[TileSpec, ...] = (
    TileSpec(POST, 4, variant="one-hot-shift", rows=3, cols=2, order=(7, 6, 5, 4, 3, 2, 1, 0), enable=True),
    TileSpec(POST, 3, True, "late-sign", rows=2, cols=3, terms=64, carry_save=True),
    TileSpec(WeightFormat("int", 4), 4, variant="multiples", rows=2, cols=2),
    TileSpec(WeightFormat("int", 4), 4, True, "paired-planes", rows=4, cols=1, tree="chain"),
    TileSpec(WeightFormat("fp4"), 4, variant="post-or-fp4", rows=2, cols=2, terms=100),
)


@pytest.mark.parametrize("tile", CASES, ids=lambda tile: tile.name)
def test_sums_are_exact_by_the_json_alone(tile: TileSpec, tmp_path: Path) -> None:
    """Ports, stored codes and corrections as the file gives them; products as the format defines them."""
    result = asq(
        "verilog", *shlex.split(tile.options), "--corrections", f"{tmp_path}/c.json", "-o", f"{tmp_path}/t.v"
    )
    assert (result.exit_code, result.stdout) == (0, f"{tmp_path}/t.v: module {tile.name}\n")
    assert result.stderr == f"asq: wrote {tmp_path}/t.v\nasq: wrote {tmp_path}/c.json\n"
    held = json.loads((tmp_path / "c.json").read_text())
    ports = {port["name"]: port for port in held["ports"]}
    codes = [code for code, word in enumerate(held["stored"]) if word is not None]
    assert len(codes) == 16
    rng = np.random.default_rng(0)
    a = rng.integers(tile.activation.min, tile.activation.max + 1, (20, held["rows"]))
    w = rng.choice(codes, (20, held["rows"], held["cols"]))

    def pack(values: np.ndarray, bits: int) -> int:
        return sum((int(v) & (1 << bits) - 1) << i * bits for i, v in enumerate(values.ravel()))

    unit, seen = tile.build(), []

    async def bench(ctx):  # type: ignore[no-untyped-def]
        ctx.set(unit.clear, 1)
        if "en" in ports:
            ctx.set(unit.en, 1)
        if "mode" in ports:
            ctx.set(unit.mode, held["mode"])
        for t in range(20):
            ctx.set(unit.a.as_value(), pack(a[t], ports["a"]["field_bits"]))
            ctx.set(unit.w.as_value(), pack(np.take(held["stored"], w[t]), ports["w"]["field_bits"]))
            await ctx.tick()
            seen.append({n: ctx.get(getattr(unit, n).as_value()) for n in ports if n.startswith("acc")})

    simulator = Simulator(unit)
    simulator.add_clock(1e-9)
    simulator.add_testbench(bench)
    simulator.run()
    bits = held["sum_bits"]
    for t, c in np.ndindex(20, held["cols"]):
        raw = sum(word >> c * bits & (1 << bits) - 1 for word in seen[t].values())
        exact = raw + sum(held["corrections"]["acc"][code] for code in w[t, :, c])
        products = sum(tile.weight.product_of(int(a[t, r]), int(w[t, r, c])) for r in range(held["rows"]))
        assert (exact - products) % (1 << bits) == 0
    verilog = (tmp_path / "t.v").read_text()
    top = verilog.split(f"module {tile.name}(")[1].split("endmodule")[0]
    declared = re.findall(r"^  (input|output) (?:signed )?(?:\[(\d+):0\] )?(\w+);", top, re.MULTILINE)
    assert {name: (way, int(high or 0) + 1) for way, high, name in declared} == {
        name: (port["direction"], port["width"]) for name, port in ports.items()
    }
    for port in held["ports"]:
        assert port.get("order", "") in verilog.split("module ")[0]
    assert held["product_scale"] == tile.weight.product_scale


@pytest.mark.parametrize("tile", CASES, ids=lambda tile: tile.name)
def test_the_header_has_the_constants(tile: TileSpec) -> None:
    lines = [line.removeprefix("// ") for line in emit.header(tile).splitlines()]
    start = lines.index(next(line for line in lines if line.startswith("acc: ")))
    words = " ".join(lines[start:]).removeprefix("acc: ").split()
    values = contract.corrections(tile)["acc"]
    assert words == ["-" if value is None else str(value) for value in values]
    assert f"asq verilog {tile.options}" in lines


def test_constants_of_256_codes_are_lines_that_can_be_read() -> None:
    text = emit.header(TileSpec(WeightFormat("int", 8), 8, rows=2, cols=2))
    constants = text[text.index("// acc:") :].splitlines()
    assert len(constants) > 1
    assert max(map(len, constants)) <= contract.LINE + 3
    assert sum(len(line.removeprefix("// ").removeprefix("acc:").split()) for line in constants) == 256


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["verilog", "pe", "--tree", "wallace"], "--tree is given for unit pe, expected unit tile"),
        (["verilog", "array", "--enable"], "--enable is given for unit array, expected unit tile"),
        (
            ["verilog", "pe", "--corrections", "c.json"],
            "--corrections is given for unit pe, expected unit tile",
        ),
        (["verilog", "tile", "--corrections", "x", "-o", "x"], "--corrections and -o are both x"),
        (["verilog", "tile", "--tree", "oak"], "tree is 'oak', expected one of wallace"),
        (["verilog", "tile", "--order", "1,x"], "'1,x', expected whole numbers such as 0,1,3,2"),
        (["verilog", "tile", "--share", "99"], "share is 99, expected a whole number from 0 to 32"),
        (
            ["verilog", "tile", "--dataflow", "os"],
            "--dataflow is given for unit tile, expected unit pe or array",
        ),
        (["synth", "multiplier", "--reset"], "--reset is given for unit multiplier, expected unit tile"),
        (["synth", "tile", "--stage", "dress"], "stage is 'dress', expected one of none"),
    ],
)
def test_bad_options_are_one_line_and_status_2(args: list[str], message: str, capsys: Any) -> None:
    from asq_sw.cli import main

    with pytest.raises(SystemExit) as stopped:
        main(args)
    assert stopped.value.code == 2
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert message in said.err
    assert not Path("c.json").exists()


@pytest.mark.slow
def test_synth_measures_the_tile_that_is_meant() -> None:
    """The record names the options and no dataflow; a plain tile's record is another."""
    words = shlex.split(
        "synth tile --wbits 2 --abits 2 --frac-bits 0 --rows 2 --cols 2 --glitches none --json -"
    )
    plain, more = (
        json.loads(asq(*words, *extra).output)
        for extra in ([], shlex.split("--tree dadda --share 1 --registers --edge-registers --enable --reset"))
    )
    tile = TileSpec(
        WeightFormat("post", 2, 0), 2, rows=2, cols=2, tree="dadda", share=1, registers=True, edge_registers=True,
        enable=True, reset=True,
    )  # fmt: skip
    assert {name: more[name] for name in CHOICES} == tile.choices
    assert (more["terms"], more["sum_bits"]) == (tile.terms, tile.sum_bits)
    assert "dataflow" not in plain
    assert "tile" not in plain
    assert plain["rtlil_hash"] != more["rtlil_hash"]
    assert more["area_sequential_um2"] > plain["area_sequential_um2"]
    unit = json.loads(asq(*shlex.split("synth pe --wbits 2 --abits 2 --glitches none --json -")).output)
    assert unit["dataflow"] == "ws"
    assert not set(CHOICES) & set(unit)
