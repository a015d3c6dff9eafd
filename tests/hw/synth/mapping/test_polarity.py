"""Cells with inverted outputs: found, placed with the fewest inverters, and right in time."""

import itertools

import numpy as np
import pytest

from asq_sw.formats import WeightFormat
from hw.rtl.verilog import to_rtlil
from hw.synth.activity.program import compile_netlist
from hw.synth.activity.toggles import simulate
from hw.synth.libraries import library as libraries
from hw.synth.mapping import polarity
from hw.synth.mapping.flow import recipes, synthesize
from hw.units.spec import UnitSpec

ASAP7 = libraries.load("asap7")


def test_inverting_cells_are_found_where_the_library_has_no_others_as_small():
    cells = polarity.inverting(ASAP7)
    assert {kind: placed.cell.name for kind, placed in cells.items()} == {
        polarity.ADDER: "FAx1_ASAP7_75t_R",
        polarity.FLIPFLOP: "DFFHQNx1_ASAP7_75t_R",
    }
    assert cells[polarity.ADDER].outputs == {"X": "CON", "Y": "SN"}
    assert cells[polarity.FLIPFLOP].clock == "CLK"
    assert not polarity.inverting(libraries.load("nangate45"))
    assert not polarity.inverting(libraries.load("sky130hd"))


def _module(rng, adders):
    """A random design of full adders, flip-flops, inverters and gates, each net of an earlier one's."""
    nets = [2, 3, 4]  # input port
    cells, following = {}, 5
    for number in range(adders):
        pins = {port: [int(rng.choice(nets))] for port in "ABC"}
        cells[f"fa{number}"] = {"type": "$fa", "connections": pins | {"X": [following], "Y": [following + 1]}}
        cells[f"ff{number}"] = {
            "type": "$_DFF_P_",
            "connections": {"C": [1], "D": [following], "Q": [following + 2]},
        }
        cells[f"not{number}"] = {
            "type": "$_NOT_",
            "connections": {"A": [following + 1], "Y": [following + 3]},
        }
        cells[f"and{number}"] = {
            "type": "$_AND_",
            "connections": {"A": [following + 3], "B": [int(rng.choice(nets))], "Y": [following + 4]},
        }
        nets += range(following, following + 5)
        following += 5
    ports = {
        "clk": {"direction": "input", "bits": [1]},
        "x": {"direction": "input", "bits": [2, 3, 4]},
        "y": {"direction": "output", "bits": [int(net) for net in rng.choice(nets, 3)]},
    }
    return {"ports": ports, "cells": cells, "netnames": {}}


def _needed(module, phases):
    """Inverters that phases ask for, counted plainly: by net, the senses in use against the sense it has."""
    through = {
        c["connections"]["Y"][0]: c["connections"]["A"][0]
        for c in module["cells"].values()
        if c["type"] == "$_NOT_"
    }

    def root(net):
        sense = False
        while net in through:
            net, sense = through[net], not sense
        return net, sense

    senses = {net: {False} for net in module["ports"]["x"]["bits"]}
    uses = {}
    for net in module["ports"]["y"]["bits"]:
        found, sense = root(net)
        uses.setdefault(found, set()).add(sense)
    for name, cell in module["cells"].items():
        if name not in phases:
            continue
        inputs, outputs = ("ABC", "XY") if cell["type"] == "$fa" else ("D", "Q")
        for port in inputs:
            found, sense = root(cell["connections"][port][0])
            uses.setdefault(found, set()).add(sense != phases[name])
        for port in outputs:
            senses[cell["connections"][port][0]] = {not phases[name]}
    total = 0
    for net, used in uses.items():
        total += len(used - senses[net]) if net in senses else len(used) - 1
    return total


@pytest.mark.parametrize("seed", range(8))
def test_no_choice_of_phases_needs_fewer_inverters(seed):
    module = _module(np.random.default_rng(seed), 4)
    names = [name for name, cell in module["cells"].items() if cell["type"] in ("$fa", "$_DFF_P_")]
    least = min(
        _needed(module, dict(zip(names, phases, strict=True)))
        for phases in itertools.product((False, True), repeat=len(names))
    )
    assert polarity.place({"modules": {"top": module}}, polarity.inverting(ASAP7)) == least


@pytest.mark.parametrize(
    "recipe", [name for name in recipes("", ASAP7) if name.endswith(("area", "delay-sized-1.0"))]
)
def test_a_processing_element_of_inverting_cells_counts_as_before(recipe):
    """Sums over time, with a reset within: states stored inverted give the same outputs."""
    spec = UnitSpec("pe", WeightFormat("post", 4, 1), 4)
    rtlil = to_rtlil(spec.build(), "top")
    held = {}
    rng = np.random.default_rng(3)
    for node in ("asap7", "nangate45"):
        netlist = synthesize(rtlil, libraries.load(node), 2.0, only=(recipe,)).netlist
        if not held:
            held["inputs"] = {
                name: rng.integers(0, 2 ** len(port.nets), (40, 64))
                for name, port in netlist.inputs().items()
            }
            for name, values in held["inputs"].items():
                if name in ("rst", "clear", "load"):
                    values[:] = rng.random(values.shape) < 0.2
                    values[:2] = 1
            assert netlist.by_type["DFFHQNx1_ASAP7_75t_R"] > 8
        held[node] = simulate(compile_netlist(netlist), held["inputs"], trace=True).outputs
    for name, values in held["asap7"].items():
        assert np.array_equal(values[3:], held["nangate45"][name][3:]), name
        assert np.ptp(values[3:]) > 0
