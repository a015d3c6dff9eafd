"""A heap of weighted bits and the trees that add it up.

A heap is a bag of bits, each worth ``2**position``; its value is their sum. Trees of full adders bring every
position down to two bits, then one adder gives the sum modulo ``2**width`` (Dadda 1965, "Some schemes for
parallel multipliers"; Wallace 1964; the name is de Dinechin and Kumm's).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from amaranth.hdl import Cat, Const, Module, Signal, Value

from asq_sw.errors import InputError

TREES = ("wallace", "dadda", "adders", "chain")
"""``wallace``: full adders wherever three bits are ready; ``dadda``: only where a position has too many bits;
``adders``: a binary tree of carry-propagate adders; ``chain``: one such adder after the other."""


CARRY_SAVE_TREES = TREES[:2]
"""Those that can stop at two words."""


class Operand(NamedTuple):
    """``value`` (unsigned) times ``2**position``."""

    value: Value
    position: int


class _Bit(NamedTuple):
    depth: int
    value: Value


def add_up(m: Module, operands: Sequence[Operand], width: int, tree: str, name: str = "total") -> Value:
    """The sum of ``operands`` modulo ``2**width``, combinational.

    Parameters
    ----------
    m : Module
    operands : sequence of Operand
    width : int
        Bits of the sum.
    tree : str
        One of :data:`TREES`.
    name : str
        Of the sum's signal.

    Raises
    ------
    InputError
        For an unknown tree.
    """
    if tree not in TREES:
        raise InputError(f"tree is {tree!r}, expected one of {', '.join(TREES)}")
    if tree in ("adders", "chain"):
        return _adders(m, operands, width, tree == "chain")
    return _carry_propagate(m, _reduced(m, operands, width, tree), name)


def two_words(m: Module, operands: Sequence[Operand], width: int, tree: str) -> tuple[Value, Value]:
    """Two words of ``width`` bits whose sum is that of ``operands`` modulo ``2**width``: no carry runs.

    Raises
    ------
    InputError
        For a tree that is not of full adders.
    """
    if tree not in CARRY_SAVE_TREES:
        raise InputError(f"tree is {tree!r}, expected one of {', '.join(CARRY_SAVE_TREES)} to save carries")
    columns = _reduced(m, operands, width, tree)
    words = []
    for index in (0, 1):
        word = Signal(width, name=f"word_{index}")
        bits = [column[index].value if len(column) > index else Const(0, 1) for column in columns]
        m.d.comb += word.eq(Cat(*bits))
        words.append(word)
    return words[0], words[1]


def _reduced(m: Module, operands: Sequence[Operand], width: int, tree: str) -> list[list[_Bit]]:
    """At most two bits in every position."""
    columns: list[list[_Bit]] = [[] for _ in range(width)]
    for value, position in operands:
        for place, bit in enumerate(value, start=position):
            if place < width:
                columns[place].append(_Bit(0, bit))
    return (_dadda if tree == "dadda" else _wallace)(m, columns)


def _full_adder(m: Module, bits: Sequence[_Bit]) -> tuple[_Bit, _Bit]:
    """Sum and carry of two or three bits. Signals keep the structure that was meant."""
    total, carry = Signal(name="s"), Signal(name="c")
    if len(bits) == 2:
        (x, y), z = (bit.value for bit in bits), None
        m.d.comb += [total.eq(x ^ y), carry.eq(x & y)]
    else:
        x, y, z = (bit.value for bit in bits)
        half = Signal(name="p")
        m.d.comb += [half.eq(x ^ y), total.eq(half ^ z), carry.eq((x & y) | (half & z))]
    depth = max(bit.depth for bit in bits) + 1
    return _Bit(depth, total), _Bit(depth, carry)


def _take(column: list[_Bit], count: int) -> list[_Bit]:
    """Take the ``count`` bits that are ready first."""
    column.sort(key=lambda bit: bit.depth)
    taken = column[:count]
    del column[:count]
    return taken


def _dadda(m: Module, columns: list[list[_Bit]]) -> list[list[_Bit]]:
    limits = [2]
    while limits[-1] < max(map(len, columns)):
        limits.append(limits[-1] * 3 // 2)
    for limit in reversed(limits[:-1] if max(map(len, columns)) > 2 else []):
        for place, column in enumerate(columns):
            while len(column) > limit:
                total, carry = _full_adder(m, _take(column, 3 if len(column) > limit + 1 else 2))
                column.append(total)
                if place + 1 < len(columns):
                    columns[place + 1].append(carry)
    return columns


def _wallace(m: Module, columns: list[list[_Bit]]) -> list[list[_Bit]]:
    while any(len(column) > 2 for column in columns):
        after: list[list[_Bit]] = [[] for _ in columns]
        for place, column in enumerate(columns):
            while len(column) >= 3:
                total, carry = _full_adder(m, _take(column, 3))
                after[place].append(total)
                if place + 1 < len(columns):
                    after[place + 1].append(carry)
            after[place] += column
        columns = after
    return columns


def _carry_propagate(m: Module, columns: list[list[_Bit]], name: str) -> Value:
    """The sum of columns of at most two bits: an adder where there are two, a chain of half adders above it."""
    twos = [place for place, column in enumerate(columns) if len(column) == 2]
    first, last = (twos[0], twos[-1] + 1) if twos else (len(columns), len(columns))
    single: list[Value] = [column[0].value if column else Const(0, 1) for column in columns]
    bits = single[:first]
    result = Signal(len(columns), name=name)
    if twos:
        second = [column[1].value if len(column) == 2 else Const(0, 1) for column in columns[first:last]]
        added = (Cat(*single[first:last]) + Cat(*second))[: last - first]
        if last == len(columns):
            m.d.comb += result.eq(Cat(*bits, added))
            return result
        low = Signal(last - first, name="low")
        m.d.comb += low.eq(added)
        bits += list(low)
        top, other, carry = single[last - 1], second[-1], Signal(name="carry")
        m.d.comb += carry.eq((top & other) | ((top | other) & ~low[-1]))
        for bit in single[last:]:
            total, following = _full_adder(m, [_Bit(0, bit), _Bit(0, carry)])
            bits.append(total.value)
            carry = following.value
    m.d.comb += result.eq(Cat(*bits))
    return result


def _adders(m: Module, operands: Sequence[Operand], width: int, chain: bool) -> Value:
    """Adders as wide as their operands need."""
    queue = sorted(operands, key=lambda operand: operand.position + len(operand.value))
    while len(queue) > 1:
        first, second = queue[0], queue[1]
        low = min(first.position, second.position)
        ends = [operand.position + len(operand.value) for operand in (first, second)]
        size = min(max(ends) + 1, width) - low
        total = Signal(max(size, 1), name="partial")
        moved = [
            Cat(Const(0, operand.position - low), operand.value) if operand.position > low else operand.value
            for operand in (first, second)
        ]
        m.d.comb += total.eq((moved[0] + moved[1])[: len(total)])
        queue = [Operand(total, low), *queue[2:]] if chain else [*queue[2:], Operand(total, low)]
    total = Signal(width, name="total")
    if queue:
        value, position = queue[0]
        m.d.comb += total.eq((Cat(Const(0, position), value) if position else value)[:width])
    return total
