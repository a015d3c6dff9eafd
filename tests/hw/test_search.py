"""The carried table of tiles: made from the RTL that is here, and remade by the flow."""

from __future__ import annotations

import numpy as np
import pytest

from asq_sw.errors import InputError
from asq_sw.formats import ActivationFormat, WeightFormat
from hw.search import NODES, key, load_operands, measure_tile, points, table
from hw.synth import library as libraries
from hw.synth.operands import gaussian, tile_stimulus
from hw.tile import TileSpec


def test_carried_rows_are_of_this_rtl() -> None:
    """A row's key holds the design's hash: after a change, python -m hw.search --quick -o hw/data/tiles.json."""
    held = table()["rows"]
    now = {key(tile, "node", "gaussian").split(" ", 1)[1] for tile in points(quick=True)}
    for node in NODES:
        found = {name.split(" ", 1)[1] for name in held if name.startswith(f"{node} ")}
        assert now <= found
        assert node == "nangate45" or now == found


@pytest.mark.slow
def test_the_wide_search_is_carried_for_one_node() -> None:
    """python -m hw.search --node nangate45 -o hw/data/tiles.json."""
    held = {name for name in table()["rows"] if name.startswith("nangate45 ")}
    assert {key(tile, "nangate45", "gaussian") for tile in points()} == held


@pytest.mark.slow
def test_a_carried_row_is_remade() -> None:
    tile = next(iter(points(quick=True)))
    (held,) = (row for name, row in table()["rows"].items() if name == key(tile, "nangate45", "gaussian"))
    made = measure_tile(tile, libraries.load("nangate45"), gaussian(tile.weight, tile.activation))
    for name in ("area_per_mac_um2", "delay_ns", "energy_per_mac_fj", "energy_held_per_mac_fj"):
        assert made[name] == pytest.approx(held[name], rel=1e-4), name


@pytest.mark.parametrize("held", [False, True])
@pytest.mark.parametrize("edge", [False, True])
def test_stimulus_is_the_layers_dot_products(held: bool, edge: bool) -> None:
    """Weights follow activations by the edge's cycle; streaming walks along K, held weights stay."""
    tile = TileSpec(WeightFormat("post", 4, 0), rows=4, cols=2, edge_registers=edge)
    operands = gaussian(tile.weight, tile.activation)
    given = tile_stimulus(tile, operands, lanes=8, held=held)
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


def test_trained_operands_of_another_format_are_refused(tmp_path) -> None:  # type: ignore[no-untyped-def]
    np.savez(tmp_path / "o.npz", post4a4_weights=np.zeros((4, 2)), post4a4_activations=np.zeros((4, 3)))
    load_operands(tmp_path / "o.npz", WeightFormat("post", 4), ActivationFormat(4))
    with pytest.raises(InputError, match="expected int4a4_weights"):
        load_operands(tmp_path / "o.npz", WeightFormat("int", 4), ActivationFormat(4))
