"""A mapped netlist: library cells and the nets between them, in an order in which it can be evaluated."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asq_sw.errors import InputError
from hw.synth.libraries.library import Cell, Library

ZERO, ONE = 0, 1
"""The nets that are constant 0 and 1. Unconnected and undefined inputs count as 0."""


@dataclass(frozen=True)
class Instance:
    """A cell in the netlist; ``pins[pin]`` is the net at each of its connected pins."""

    name: str
    cell: Cell
    pins: dict[str, int]


@dataclass(frozen=True)
class Port:
    """A port of the unit; ``nets`` from the lowest bit up."""

    direction: str
    nets: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Netlist:
    """A flat netlist of one library's cells.

    Attributes
    ----------
    library : Library
    ports : dict of str
        Ports by name; the clock is the port named in :attr:`clock`.
    instances : tuple of Instance
        Combinational cells first, each after those that drive its inputs; then the flip-flops.
    nets : int
        Number of nets; 0 and 1 are the constants.
    clock : str
        The clock port's name, empty for a unit without flip-flops.
    """

    library: Library
    ports: dict[str, Port]
    instances: tuple[Instance, ...]
    nets: int
    clock: str = ""

    @property
    def combinational(self) -> list[Instance]:
        """The combinational cells, in order of evaluation."""
        return [i for i in self.instances if i.cell.flipflop is None]

    @property
    def flipflops(self) -> list[Instance]:
        """The flip-flops."""
        return [i for i in self.instances if i.cell.flipflop is not None]

    @property
    def area(self) -> float:
        """Cell area, um^2."""
        return sum(i.cell.area for i in self.instances)

    @property
    def area_sequential(self) -> float:
        """Area of the flip-flops, um^2."""
        return sum(i.cell.area for i in self.flipflops)

    @property
    def by_type(self) -> dict[str, int]:
        """How many of each cell."""
        return dict(sorted(Counter(i.cell.name for i in self.instances).items()))

    @cached_property
    def fanout(self) -> NDArray[np.int64]:
        """Input pins per net (the unit's own outputs are not counted); shape (nets,)."""
        count = np.zeros(self.nets, dtype=np.int64)
        for instance in self.instances:
            for pin in instance.cell.inputs:
                count[instance.pins.get(pin, ZERO)] += 1
        return count

    @cached_property
    def pin_load(self) -> NDArray[np.float64]:
        """Input pins' capacitance per net for a rising and a falling edge, fF; shape (nets, 2)."""
        load = np.zeros((self.nets, 2))
        for instance in self.instances:
            for pin, data in instance.cell.inputs.items():
                load[instance.pins.get(pin, ZERO)] += (data.rise, data.fall)
        return load

    def inputs(self) -> dict[str, Port]:
        """The input ports but for the clock."""
        return {n: p for n, p in self.ports.items() if p.direction == "input" and n != self.clock}

    def outputs(self) -> dict[str, Port]:
        """The output ports."""
        return {n: p for n, p in self.ports.items() if p.direction == "output"}


def from_yosys(data: dict[str, Any], library: Library, top: str) -> Netlist:
    """The netlist in what Yosys's ``write_json`` wrote.

    Raises
    ------
    InputError
        If a cell is not of the library, a net is driven twice, or the logic has a combinational loop.
    """
    module = data["modules"][top]
    numbers: dict[Any, int] = {"0": ZERO, "1": ONE, "x": ZERO, "z": ZERO}
    constants = len(numbers)

    def net(bit: Any) -> int:
        return numbers.setdefault(bit, 2 + len(numbers) - constants)

    ports = {
        name: Port(port["direction"], tuple(net(bit) for bit in port["bits"]))
        for name, port in module["ports"].items()
    }
    instances = []
    for name, record in sorted(module["cells"].items()):
        if record["type"] == "$scopeinfo":
            continue
        cell = library.cell(record["type"])
        pins = {pin: net(bits[0]) for pin, bits in record["connections"].items() if bits}
        instances.append(Instance(name, cell, pins))
    clocks = {i.pins[i.cell.flipflop.clock] for i in instances if i.cell.flipflop is not None}
    clock = next((n for n, p in ports.items() if p.direction == "input" and set(p.nets) == clocks), "")
    if clocks and not clock:
        raise InputError(f"netlist {top}: its flip-flops have not one clock port, expected one clock")
    nets = max(numbers.values()) + 1
    return Netlist(library, ports, in_order(instances, nets), nets, clock)


def in_order(instances: list[Instance], nets: int) -> tuple[Instance, ...]:
    """Combinational cells, each after those that drive its inputs, then flip-flops.

    Raises
    ------
    InputError
        If a net is driven twice or the logic has a loop.
    """
    logic = [i for i in instances if i.cell.flipflop is None]
    flipflops = [i for i in instances if i.cell.flipflop is not None]
    driver = np.full(nets, -1, dtype=np.int64)
    for number, instance in enumerate(logic):
        for pin in instance.cell.outputs:
            if pin in instance.pins:
                target = instance.pins[pin]
                if driver[target] >= 0 or target in (ZERO, ONE):
                    raise InputError(f"netlist: a net is driven twice, at {instance.name}")
                driver[target] = number
    waiting = []
    users: dict[int, list[int]] = {}
    ready = []
    for number, instance in enumerate(logic):
        needs = {
            int(driver[instance.pins[p]])
            for p in instance.cell.inputs
            if p in instance.pins and driver[instance.pins[p]] >= 0
        }
        waiting.append(len(needs))
        for need in needs:
            users.setdefault(need, []).append(number)
        if not needs:
            ready.append(number)
    order: list[int] = []
    while ready:
        following = []
        for number in ready:
            order.append(number)
            for user in users.get(number, ()):
                waiting[user] -= 1
                if waiting[user] == 0:
                    following.append(user)
        ready = sorted(following)
    if len(order) != len(logic):
        raise InputError("netlist: has a combinational loop")
    return (*(logic[n] for n in order), *flipflops)


def to_verilog(netlist: Netlist, name: str = "top") -> str:
    """The netlist as structural Verilog of the library's cells, for other tools (timing, layout).

    Nets are named ``n<number>``; ports keep their names.
    """
    ports = list(netlist.ports.items())
    lines = [f"module {name} ({', '.join(port for port, _ in ports)});"]
    for port, data in ports:
        lines.append(f"  {data.direction} [{len(data.nets) - 1}:0] {port};")
    lines += [f"  wire n{net};" for net in range(2, netlist.nets)]
    lines += ["  wire n0 = 1'b0;", "  wire n1 = 1'b1;"]
    for port, data in ports:
        for i, net in enumerate(data.nets):
            if data.direction == "input":
                lines.append(f"  assign n{net} = {port}[{i}];")
            else:
                lines.append(f"  assign {port}[{i}] = n{net};")
    for number, instance in enumerate(netlist.instances):
        pins = ", ".join(f".{pin}(n{net})" for pin, net in instance.pins.items())
        lines.append(f"  {instance.cell.name} u{number} ({pins});")
    return "\n".join([*lines, "endmodule", ""])
