"""The carried table of tiles: made from the RTL that is here, and remade by the flow."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from asq_sw import terminal
from asq_sw.cli import cli
from asq_sw.errors import InputError
from asq_sw.formats import ActivationFormat, WeightFormat
from asq_sw.studies.trained_operands import read_layer
from hw.carried import OPERANDS
from hw.carried import tiles as carried_tiles
from hw.nodes import NODES
from hw.studies import search
from hw.studies.search import key, load_operands, measure_tile, points
from hw.studies.space import INT4, POST4
from hw.synth.libraries import library as libraries
from hw.synth.measure import default_clock_ns
from hw.units.operands import gaussian
from hw.units.tile import TileSpec


def one_of_each_way() -> list[TileSpec]:
    """The first contender of each format and way, and of each pipeline and of weight registers for int and POST."""
    first: dict[object, TileSpec] = {}
    for tile in points("contenders"):
        first.setdefault((tile.weight, tile.variant), tile)
        if tile.rows == 16 and tile.weight in (INT4, POST4):
            first.setdefault((tile.weight.grid, tile.registers, tile.edge_registers, tile.stage), tile)
    return list(dict.fromkeys(first.values()))


@pytest.mark.parametrize(
    "tiles",
    [one_of_each_way, pytest.param(lambda: points("contenders"), marks=pytest.mark.slow)],
    ids=["one-of-each-way", "all"],
)
def test_carried_rows_are_of_this_rtl(tiles: Callable[[], list[TileSpec]]) -> None:
    """A row's key holds the design's hash: after a change, python -m hw.studies.search -o hw/data/tiles.json."""
    held = carried_tiles()
    for node in NODES:
        clock = default_clock_ns(libraries.load(node))
        missing = [t.name for t in tiles() if key(t, node, "gaussian", clock) not in held]
        assert missing == []


def test_every_contender_has_a_row_by_name() -> None:
    named = {tuple(k.split(" ")[:2]) for k in carried_tiles()}
    assert [t.name for node in NODES for t in points("contenders") if (node, t.name) not in named] == []


@pytest.mark.slow
def test_a_carried_row_is_remade() -> None:
    tile = points("contenders")[0]
    held = carried_tiles()[key(tile, "nangate45", "gaussian", default_clock_ns(libraries.load("nangate45")))]
    made = measure_tile(tile, libraries.load("nangate45"), gaussian(tile.weight, tile.activation))
    for name in ("area_per_mac_um2", "delay_ns", "energy_per_mac_fj", "energy_held_per_mac_fj"):
        assert made[name] == pytest.approx(held[name], rel=1e-4), name


@pytest.mark.parametrize("held", [False, True])
@pytest.mark.parametrize("edge", [False, True])
def test_stimulus_is_the_layers_dot_products(held: bool, edge: bool) -> None:
    """Weights follow activations by the edge's cycle; streaming walks along K, held weights stay."""
    tile = TileSpec(WeightFormat("post", 4, 0), rows=4, cols=2, edge_registers=edge)
    operands = gaussian(tile.weight, tile.activation)
    given = tile.stimulus(8, operands=operands, stationary=held)
    a = np.asarray(given.inputs["a"])[..., 1]
    w = np.asarray(given.inputs["w"])[..., 1, 0]
    late = int(edge)
    assert (np.asarray(given.inputs["clear"])[late:].all()) == held
    if held:
        assert (w[late:] == w[late]).all()
    found = 0
    for lane in range(8):  # some row of the matrices holds what the lane's row 1 saw
        for t in (5, 9):
            pairs = (operands.activations == a[t, lane]).any(axis=1) & (
                operands.weights == w[t + late, lane]
            ).any(axis=1)
            found += bool(pairs[1::4].any())
    assert found == 16


def test_carried_operands_are_a_layer_on_any_grid() -> None:
    """Levels times a scale are the weights again, within the grid's error; activations are the map's windows."""
    layer = read_layer(OPERANDS)
    assert (layer.weights.shape, layer.activations.shape) == ((288, 32), (288, 512))
    for weight in (WeightFormat("int", 4), WeightFormat("post-gap", 4), WeightFormat("nf4")):
        found = load_operands(OPERANDS, weight, ActivationFormat(4))
        levels = weight.decode(found.weights)
        alpha = (levels * layer.weights).sum(axis=0) / (levels**2).sum(axis=0)
        noise = ((levels * alpha - layer.weights) ** 2).sum() / (layer.weights**2).sum()
        assert noise < 10**-1.7, weight.name
        assert (found.activations.min(), found.activations.max()) == (0, 15)


def test_operands_that_are_no_layer_are_refused(tmp_path) -> None:  # type: ignore[no-untyped-def]
    np.savez(tmp_path / "o.npz", weights=np.zeros((4, 2)))
    with pytest.raises(InputError, match="map is missing"):
        load_operands(tmp_path / "o.npz", WeightFormat("int", 4), ActivationFormat(4))


def test_the_command_measures_what_is_missing_and_says_how_far_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = dict.fromkeys(("area_per_mac_um2", "energy_held_per_mac_fj", "energy_per_mac_fj", "slack_ns"), 1.0)
    monkeypatch.setattr(search, "_one", lambda task: row)
    monkeypatch.setattr(search, "Workers", lambda jobs, way: ThreadPoolExecutor(jobs))
    monkeypatch.setattr(terminal, "FIRST_SECONDS", 0.0)
    monkeypatch.setattr(terminal, "LONGEST_SECONDS", 0.0)
    named = [word for tile in points("contenders")[:2] for word in ("--tile", tile.name)]
    output = tmp_path / "t.json"
    arguments = ["search", *named, "--node", "nangate45", "-o", str(output)]
    done = CliRunner().invoke(cli, arguments)
    assert (done.exit_code, done.stdout) == (0, f"{output}: 2 tiles measured now, 2 in all\n")
    lines = done.stderr.splitlines()
    assert lines[0] == "cli search: 2 tiles to measure, 0 measured before"
    assert lines[1] == "cli search: tiles: 0%"
    assert re.match(
        r"cli search: tiles: 50%, about \d+ s left, 1 of 2; nangate45 .*: 1 um2, 1 fJ held", lines[2]
    )
    assert lines[4:] == [f"asq: wrote {output}"]
    assert list(json.loads(output.read_text())["rows"].values()) == [row, row]
    assert "0 tiles measured now, 2 in all" in CliRunner().invoke(cli, arguments).stdout
