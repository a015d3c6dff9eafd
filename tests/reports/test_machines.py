"""Whole machines of tiles, and what the opening makes of them."""

from __future__ import annotations

from typing import Any

import pytest

from asq_sw.errors import InputError
from hw.nodes import NODES
from reports import machines, opening
from reports.networks import networks
from reports.scope import ReportOptions, Request
from reports.sections import machine, memory_range
from reports.trained import carried
from sim import Accelerator, simulate


@pytest.fixture(scope="module")
def made() -> dict[str, Any]:
    def never(options: Any, step: Any) -> list[dict]:
        raise InputError("nothing is measured")

    request = Request(ReportOptions(rows=16, cols=8), lambda message: None, never, networks(["resnet20"]))
    return machines.rows(request, {name: carried(name) for name in ("accuracy", "accuracy_grids")})


def test_a_machine_is_what_simulate_says(made: dict) -> None:
    (row,) = [r for r in made["machines"] if (r["grid"], r["wbits"], r["node"]) == ("post", 4, "asap7")]
    accelerator = Accelerator(
        rows=16,
        cols=8,
        grid="post",
        wbits=4,
        abits=4,
        frac_bits=0,
        node="asap7",
        unit="tile",
        clock_mhz=1e3 / 1.8,
    )
    total = simulate("resnet20", accelerator).total
    assert row["energy_uj"] == pytest.approx(sum(total["energy_pj"].values()) / 1e6)
    # 128 MACs, two operations each, every 1.8 ns.
    assert row["peak_tops"] == pytest.approx(128 * 2 / 1.8e-9 / 1e12)
    assert row["tops_per_mm2"] == pytest.approx(total["tops"] / (row["mac_mm2"] + row["sram_mm2"]))
    # LPDDR4 is published from 3.7 to 40 pJ a bit and modelled with 14; of SRAM at 7 nm nothing is published.
    sram = (0.1602 / 0.2994, 0.07308 / 0.03906)
    for i, key in enumerate(("memory_low_uj", "memory_high_uj")):
        dram = (3.7, 40.0)[i] / 14
        expected = row["mac_uj"] + row["leakage_uj"] + sram[i] * row["sram_uj"] + dram * row["dram_uj"]
        assert row[key] == pytest.approx(expected, rel=1e-3)


def test_every_format_with_a_tile_stands_at_every_node(made: dict) -> None:
    formats = {(r["grid"], r["wbits"]) for r in made["summary"]}
    assert formats >= {(g, b) for g in ("post", "post-gap", "int", "pot") for b in (3, 4)} | {("int", 8)}
    assert len(made["summary"]) == len(made["machines"]) == len(NODES) * len(formats)


def test_the_winner_has_the_least_and_a_late_tile_never_wins() -> None:
    def row(grid: str, cost: float, meets: bool = True) -> dict[str, Any]:
        key = {"grid": grid, "wbits": 4, "node": "asap7"}
        return key | {"meets_clock": meets, "area_per_mac_um2": cost, "energy_per_mac_fj": 10.0}

    summary = [row("post", 10.1), row("int", 10.0), row("pot", 10.3), row("fp4", 5.0, meets=False)]
    energies = [
        {"network": "n", "grid": r["grid"], "wbits": 4, "node": "asap7", "energy_uj": e}
        for r, e in zip(summary, (3.0, 2.0, 1.0, 0.5), strict=True)
    ]
    best = {r["grid"]: r["best"] for r in machines.joined(summary, energies, "n")}
    assert best == {
        "post": ["area_per_mac_um2", "energy_per_mac_fj"],
        "int": ["area_per_mac_um2", "energy_per_mac_fj"],
        "pot": ["energy_per_mac_fj", "energy_uj"],
        "fp4": [],
    }
    # Nothing is won alone.
    (alone,) = machines.joined(summary[:1], energies[:1], "n")
    assert alone["best"] == []


def test_the_front_is_of_marks_that_none_beats(made: dict) -> None:
    data = made | {"networks": ["resnet20"], "options": {"node": "nangate45"}}
    marks = opening.points(data)
    assert all(p["meets_clock"] and p["seeds"] for p in marks)
    front = sorted((p["energy_uj"], p["accuracy"]) for p in marks if p["front"])
    assert len(front) > 1
    assert [a for _, a in front] == sorted(a for _, a in front)
    for p in marks:
        if not p["front"]:
            assert any(e <= p["energy_uj"] and a >= p["accuracy"] for e, a in front)


def test_memory_moves_the_winner_or_not() -> None:
    def row(grid: str, mac: float, low: float, high: float) -> dict[str, Any]:
        key = {"network": "n", "node": "asap7", "wbits": 4, "grid": grid, "meets_clock": True}
        return key | {"mac_uj": mac, "memory_low_uj": low, "energy_uj": 10.0, "memory_high_uj": high}

    lines = memory_range.moved([row("post", 2.0, 4.0, 19.0), row("int", 1.0, 5.0, 20.0)])
    assert [line[-1] for line in lines] == ["post", "post, int", "post"]
    assert [line[-2] for line in lines] == ["0.800", "1.000", "0.950"]
    assert [line[-3] for line in lines] == ["20%", "10%", "5%"]
    assert memory_range.moved([row("int", 1.0, 5.0, 20.0)]) == []


def test_no_layer_is_above_its_roof() -> None:
    request = Request(ReportOptions(), lambda message: None, lambda o, s: [], networks(["resnet18"]))
    units = [{"grid": "post", "wbits": 4, "delay_ns": 1.9}]
    layers = machine.rows(request, {"units": units})["roofline"]
    assert {r["bound"] for r in layers} == {"array", "DRAM"}
    for r in layers:
        assert 0 < r["tops"] <= 1.001 * r["roof_tops"]
        assert r["meets_clock"]
    # 1024 MACs at 500 MHz.
    assert layers[0]["peak_tops"] == pytest.approx(1.024)
    (late, *_) = machine.rows(request, {"units": [units[0] | {"delay_ns": 2.1}]})["roofline"]
    assert not late["meets_clock"]
