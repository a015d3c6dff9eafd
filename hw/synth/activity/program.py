"""A mapped netlist as a list of operations on words of 64 patterns, for the simulations.

Cells become two-input operations ``((a ^ i) & (b ^ j)) ^ k`` or ``a ^ b ^ k`` on whole words, with all
inversions folded in: a NAND is one operation, an XOR one, an AOI21 two.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hw.synth.libraries import boolean
from hw.synth.netlists.netlist import ONE, ZERO, Instance, Netlist

AND, XOR = 0, 1
ALL_ONES = np.uint64(0xFFFF_FFFF_FFFF_FFFF)


class Driver(NamedTuple):
    """One cell output: operations ``first`` to ``last - 1`` leave its function in ``slot``; it drives
    ``net``.

    ``needs`` are the nets that the function depends on; a flip-flop's output depends on its state alone.
    """

    first: int
    last: int
    slot: int
    net: int
    needs: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Program:
    """A netlist as operations on words; slots are nets first, then flip-flop states, then scratch.

    Attributes
    ----------
    netlist : Netlist
    slots : int
    apart : bool
        Whether functions have slots of their own beside the nets that they drive.
    ops : (n, 4) int32
        Kind, two source slots, target slot.
    flips : (n, 3) uint64
        Masks that invert the sources and the result.
    drivers : tuple of Driver
        Flip-flop outputs, then cell outputs in order of evaluation.
    capture : (int, int)
        First and one past the last of the operations that make the next states; all else comes before.
    states, next_states : (f,) int32
        Slot of each flip-flop's state and of its next state, in the order of ``netlist.flipflops``.
    """

    netlist: Netlist
    slots: int
    apart: bool
    ops: NDArray[np.int32]
    flips: NDArray[np.uint64]
    drivers: tuple[Driver, ...]
    capture: tuple[int, int]
    states: NDArray[np.int32]
    next_states: NDArray[np.int32]


@lru_cache(maxsize=4096)
def _parsed(text: str) -> boolean.Expression:
    return boolean.parse(text)


class _Compiler:
    def __init__(self, slots: int):
        self.slots = slots
        self.ops: list[tuple[int, int, int, int]] = []
        self.flips: list[tuple[int, int, int]] = []

    def new_slot(self) -> int:
        self.slots += 1
        return self.slots - 1

    def emit(self, kind: int, a: tuple[int, int], b: tuple[int, int], invert: int, target: int) -> None:
        if kind == XOR:
            invert ^= a[1] ^ b[1]
            a, b = (a[0], 0), (b[0], 0)
        self.ops.append((kind, a[0], b[0], target))
        self.flips.append((a[1], b[1], invert))

    def value(self, expression: boolean.Expression, pins: dict[str, int]) -> tuple[int, int]:
        """Slot that holds the expression, and whether inverted."""
        kind = expression[0]
        if kind == "var":
            return pins.get(expression[1], ZERO), 0
        if kind == "const":
            return (ONE if expression[1] else ZERO), 0
        if kind == "not":
            slot, invert = self.value(expression[1], pins)
            return slot, 1 - invert
        a, b = self.value(expression[1], pins), self.value(expression[2], pins)
        target = self.new_slot()
        if kind == "xor":
            self.emit(XOR, a, b, 0, target)
            return target, 0
        if kind == "and":
            self.emit(AND, a, b, 0, target)
            return target, 0
        self.emit(AND, (a[0], 1 - a[1]), (b[0], 1 - b[1]), 0, target)
        return target, 1

    def assign(self, expression: boolean.Expression, pins: dict[str, int], target: int) -> None:
        """Let ``target`` hold the expression."""
        before = len(self.ops)
        slot, invert = self.value(expression, pins)
        if len(self.ops) > before and self.ops[-1][3] == slot:  # let the last operation write it
            self.ops[-1] = (*self.ops[-1][:3], target)
            a, b, k = self.flips[-1]
            self.flips[-1] = (a, b, k ^ invert)
        else:
            self.emit(AND, (slot, 0), (slot, 0), invert, target)


def _plain(expression: boolean.Expression, state: str, inverse: str) -> boolean.Expression:
    """The expression with the inverse state's name replaced."""
    if expression == ("var", inverse):
        return ("not", ("var", state))
    if expression[0] in ("var", "const"):
        return expression
    return (expression[0], *(_plain(part, state, inverse) for part in expression[1:]))


def compile_netlist(netlist: Netlist, apart: bool = False) -> Program:
    """The program of a netlist.

    With ``apart`` every output's function has a slot of its own beside the net that it drives, so that the
    net can follow later; else it is the net.
    """
    compiler = _Compiler(netlist.nets)
    flipflops = netlist.flipflops
    states = [compiler.new_slot() for _ in flipflops]
    next_states = [compiler.new_slot() for _ in flipflops]
    drivers: list[Driver] = []

    def drive(instance: Instance, pin: str, function: boolean.Expression, pins: dict[str, int]) -> None:
        net = instance.pins[pin]
        slot = compiler.new_slot() if apart else net
        first = len(compiler.ops)
        compiler.assign(function, pins, slot)
        needs = {pins[name] for name in boolean.variables(function) if name in instance.cell.inputs}
        drivers.append(Driver(first, len(compiler.ops), slot, net, tuple(sorted(needs))))

    for instance, state in zip(flipflops, states, strict=True):
        ff = instance.cell.flipflop
        assert ff is not None
        for pin, output in instance.cell.outputs.items():
            if pin in instance.pins:
                function = _plain(_parsed(output.function), ff.state, ff.inverse)
                drive(instance, pin, function, _inputs(instance) | {ff.state: state})
    for instance in netlist.combinational:
        for pin, output in instance.cell.outputs.items():
            if pin in instance.pins:
                drive(instance, pin, _parsed(output.function), _inputs(instance))
    first = len(compiler.ops)
    for instance, state, following in zip(flipflops, states, next_states, strict=True):
        ff = instance.cell.flipflop
        assert ff is not None
        expression = _plain(_parsed(ff.next_state), ff.state, ff.inverse)
        if ff.clear:
            expression = ("and", expression, ("not", _parsed(ff.clear)))
        if ff.preset:
            expression = ("or", expression, _parsed(ff.preset))
        compiler.assign(expression, _inputs(instance) | {ff.state: state}, following)
    return Program(
        netlist=netlist,
        slots=compiler.slots,
        apart=apart,
        ops=np.array(compiler.ops, dtype=np.int32).reshape(-1, 4),
        flips=np.array(compiler.flips, dtype=np.uint64).reshape(-1, 3) * ALL_ONES,
        drivers=tuple(drivers),
        capture=(first, len(compiler.ops)),
        states=np.array(states, dtype=np.int32),
        next_states=np.array(next_states, dtype=np.int32),
    )


def _inputs(instance: Instance) -> dict[str, int]:
    return {pin: instance.pins.get(pin, ZERO) for pin in instance.cell.inputs}
