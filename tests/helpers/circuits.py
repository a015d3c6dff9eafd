"""Small netlists of the mini library, and slow, plain Python models of a netlist's behaviour."""

import random

from hw.synth.libraries import boolean
from hw.synth.libraries.library import Library
from hw.synth.netlists.netlist import Netlist, from_yosys


def netlist(library: Library, ports: dict, cells: dict) -> Netlist:
    """From ``{port: (direction, bits)}`` and ``{name: (type, {pin: bit})}``, as Yosys would write it."""
    module = {
        "ports": {n: {"direction": d, "bits": list(bits)} for n, (d, bits) in ports.items()},
        "cells": {
            n: {"type": t, "connections": {p: [b] for p, b in pins.items()}} for n, (t, pins) in cells.items()
        },
        "netnames": {},
    }
    return from_yosys({"modules": {"top": module}}, library, "top")


def random_netlist(
    library: Library, seed: int, gates: int = 40, flipflops: int = 6, inputs: int = 5
) -> Netlist:
    """A random synchronous circuit: gates in order, flip-flops with feedback; every sixth net is an output."""
    generator = random.Random(seed)
    clock, bits = 2, list(range(3, 3 + inputs))
    states = list(range(3 + inputs, 3 + inputs + flipflops))
    known = bits + states
    cells = {}
    for g in range(gates):
        target = 3 + inputs + flipflops + g
        kind = generator.choice(["INV", "BUF", "NAND", "XOR"])
        sources = generator.sample(known[-20:], 2)
        pins = {"A": sources[0], "Y": target}
        if kind in ("NAND", "XOR"):
            pins["B"] = sources[1]
        cells[f"g{g:03}"] = (kind, pins)
        known.append(target)
    for f, state in enumerate(states):
        cells[f"f{f}"] = ("DFF", {"D": generator.choice(known[-10:]), "CK": clock, "Q": state})
    outputs = known[::-6]
    ports = {"clk": ("input", [clock]), "x": ("input", bits), "y": ("output", outputs)}
    if not flipflops:
        ports.pop("clk")
    return netlist(library, ports, cells)


def run(design: Netlist, stimulus: list[dict[str, int]]) -> list[list[int]]:
    """All nets' values at the end of each cycle, one lane; recursion on the cells' functions."""
    driver = {i.pins[pin]: (i, pin) for i in design.instances for pin in i.cell.outputs if pin in i.pins}
    states = {i.name: 0 for i in design.flipflops}
    history = []
    for cycle in stimulus:
        values = {0: 0, 1: 1}
        for name, port in design.ports.items():
            if port.direction == "input":
                for i, net in enumerate(port.nets):
                    values[net] = cycle.get(name, 0) >> i & 1

        def value(net, values=values, states=states):
            if net not in values:
                instance, pin = driver[net]
                function = boolean.parse(instance.cell.outputs[pin].function)
                known = {}
                if instance.cell.flipflop:
                    ff = instance.cell.flipflop
                    known = {ff.state: states[instance.name], ff.inverse: 1 - states[instance.name]}
                needs = [n for n in boolean.variables(function) if n not in known]
                known |= {n: value(instance.pins.get(n, 0)) for n in needs}
                values[net] = boolean.evaluate(function, known)
            return values[net]

        history.append([value(net) if net in driver or net in values else 0 for net in range(design.nets)])
        following = {}
        for instance in design.flipflops:
            function = boolean.parse(instance.cell.flipflop.next_state)
            pins = {n: value(instance.pins[n]) for n in boolean.variables(function)}
            following[instance.name] = boolean.evaluate(function, pins)
        states = following
    return history
