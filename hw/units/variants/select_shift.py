"""Shift of one of two or three lines, signed: POST, POT and fp4, with tables made once per row at the tile's edge.

``|product| = (odd ? R[a] : a << F) << shift``. R is what differs between the grids: round(a sqrt(2) 2**F) for
POST, 3a for fp4, absent for POT (:attr:`asq_sw.formats.WeightFormat.lines`).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any, ClassVar

import numpy as np
from amaranth.hdl import Cat, Const, Module, Signal, Value, unsigned
from numpy.typing import NDArray

from asq_sw.errors import InputError
from asq_sw.formats import ActivationFormat, WeightFormat, grids
from hw.rtl.adders import Operand
from hw.units.multiplier import lookup
from hw.units.variants.products import Products

_0 = Const(0, 1)


class SelectShift(Products):
    """A multiplexer, a sign and a shifter per product; the tables are lines.

    The sign is an exclusive-or *before* the shift, on fewer bits than after it, and the shift fills with
    zeros. That is no negation, but it is off by a number that depends on the weight alone.

    Attributes
    ----------
    one_hot : bool
        The shifter is an AND-OR with one select per distance, else a chain of multiplexers.
    late_sign : bool
        The exclusive-or comes after the shift.
    own_table : bool
        Every product makes its own table entries.
    fields : sequence of int
        The tile's magnitude field for each of the format's.
    picks, zero, shifts : list
        Of each of the tile's magnitude fields: its line, whether it is zero, its distance.
    tables, offsets, masks : list
        Of each of the format's lines: entries by offset-binary activation, what makes them unsigned, and the
        bits that they may have. A line is shifted at least as far as all its levels are, if that saves a distance.
    """

    grids: ClassVar[tuple[str, ...]] = grids(lambda grid: grid.shifts)
    one_hot: ClassVar[bool] = False
    late_sign: ClassVar[bool] = False
    own_table: ClassVar[bool] = False

    def __init__(self, weight: WeightFormat, activation: ActivationFormat):
        super().__init__(weight, activation)
        self.moved = self._moved()
        self._arrange(tuple(range(1 << weight.magnitude_bits)))
        # Lines as unsigned numbers: for signed activations an offset makes them so.
        by_pattern = weight.line_tables(activation.bits, activation.signed)
        patterns = [a & ((1 << activation.bits) - 1) for a in self.pattern_values()]
        self.tables, self.offsets, self.masks = [], [], []
        for line, moved in enumerate(self.moved):
            entries = [int(by_pattern[line][a]) << moved for a in patterns]
            offset = max(-min(entries), 0)
            self.offsets.append(offset)
            self.tables.append([entry + offset for entry in entries])
            if line == 0:
                self.masks.append(((1 << activation.bits) - 1) << self._even_shift)
            else:
                self.masks.append((1 << max(self.tables[-1]).bit_length()) - 1)
        self.base_width = max(self.masks).bit_length()
        self.line_width = activation.bits + (0 if self.own_table else self.table_width)

    @property
    def _even_shift(self) -> int:
        """Where the activation's lowest bit stands in its line."""
        return self.moved[0] + self.weight.frac_bits

    @property
    def table_width(self) -> int:
        """Bits of all entries that stand beside the activation."""
        return sum(mask.bit_length() for mask in self.masks[1:])

    def _moved(self) -> list[int]:
        """How far each line is shifted beforehand: such that the fewest distances are left."""
        terms = [term for term in self.weight.terms if term is not None]
        count = len(self.weight.lines)
        least = [min((t.shift for t in terms if t.line == line), default=0) for line in range(count)]
        choices = list(product(*(range(low + 1) for low in least)))

        def cost(by: tuple[int, ...]) -> tuple[int, int, tuple[int, ...]]:
            return len({term.shift - by[term.line] for term in terms}), sum(by), by

        best = min(choices, key=cost)
        return list(best)

    def reorder(self, order: tuple[int, ...]) -> None:
        fields = range(1 << self.weight.magnitude_bits)
        if sorted(order) != list(fields):
            raise InputError(f"order is {order}, expected the numbers 0 to {fields[-1]} in any order")
        self._arrange(order)

    def _arrange(self, order: tuple[int, ...]) -> None:
        """What each of the tile's magnitude fields does, with the format's fields in this order."""
        fields = range(1 << self.weight.magnitude_bits)
        self.fields = order
        parts = {order[field]: self.weight.terms[field] for field in fields}
        terms = [parts[field] for field in fields]
        self.zero = [term is None for term in terms]
        self.picks = [0 if term is None else term.line for term in terms]
        self.shifts = _filled(
            [None if term is None else term.shift - self.moved[term.line] for term in terms]
        )

    def width(self, shift: int) -> int:
        """Bits of the largest product at a distance."""
        masks = [
            self.masks[line]
            for line, zero, distance in zip(self.picks, self.zero, self.shifts, strict=True)
            if not zero and distance == shift
        ]
        return shift + max((mask.bit_length() for mask in masks), default=0)

    @property
    def product_width(self) -> int:
        """Bits of the operand."""
        return max(self.width(shift) for shift in self.shifts)

    # -- hardware ----------------------------------------------------------------------------------------

    def entries(self, m: Module, u: Value) -> Value:
        """The tables' entries, as unsigned numbers side by side, for an activation in offset binary."""
        entries = []
        for line, (table, mask) in enumerate(zip(self.tables, self.masks, strict=True)):
            if line:
                name = "lut" if line == 1 else f"lut_{line}"
                entries.append(lookup(m, u, table, unsigned(mask.bit_length()), name))
        return Cat(*entries)

    def lines(self, m: Module, activations: Sequence[Value]) -> Value:
        u = Signal(self.activation.bits, name="activation")
        m.d.comb += u.eq(self.offset_binary(activations[0]))
        return u if self.own_table or not self.table_width else Cat(u, self.entries(m, u))

    def operands(self, m: Module, lines: Value, codes: Sequence[Value]) -> list[list[Operand]]:
        field, sign = self._fields(m, codes[0])
        value = self._selected(m, self._lines(m, lines), field)
        if self.late_sign:
            value = [bit ^ sign for bit in self._shifted(m, value, field)]
        else:
            signed = Signal(len(value), name="signed")
            m.d.comb += signed.eq(Cat(*value) ^ sign.replicate(len(value)))
            value = self._shifted(m, list(signed), field)
        term = Signal(len(value), name="product")
        m.d.comb += term.eq(Cat(*value))
        return [[Operand(term, 0)]]

    def _fields(self, m: Module, code: Value) -> tuple[Value, Value]:
        """Magnitude field and sign of a code."""
        # A signal of its own: a table that reads it has a port of these bits alone.
        field = Signal(self.weight.magnitude_bits, name="field")
        m.d.comb += field.eq(code[:-1])
        return field, code[-1]

    def _lines(self, m: Module, lines: Value) -> list[Value]:
        """The lines, each from its lowest bit."""
        bits = self.activation.bits
        words: list[Value] = [Cat(Const(0, self._even_shift), lines[:bits])]
        rest = self.entries(m, lines[:bits]) if self.own_table and self.table_width else lines[bits:]
        for mask in self.masks[1:]:
            width = mask.bit_length()
            words.append(rest[:width])
            rest = rest[width:]
        return words

    def _selected(self, m: Module, lines: Sequence[Value], field: Value) -> list[Value]:
        """Bits of the selected line; of none for a zero, unless the shifter makes the zero."""
        zero = None if self.one_hot else 0
        selects = []
        for line in range(len(lines)):
            takes = [zero if z else int(pick == line) for pick, z in zip(self.picks, self.zero, strict=True)]
            name = ("even", "odd", "small")[line]
            selects.append(lookup(m, field, takes, unsigned(1), name))
        bits: list[Value] = []
        for place in range(self.base_width):
            value: Value = _0
            for line, select, mask in zip(lines, selects, self.masks, strict=True):
                if mask >> place & 1:
                    value = value | (line[place] & select)
            bit = Signal(name=f"base_{place}")
            m.d.comb += bit.eq(value)
            bits.append(bit)
        return bits

    def _shifted(self, m: Module, base: list[Value], field: Value) -> list[Value]:
        if self.one_hot:
            return self._one_hot_shifted(m, base, field, None)
        shift = lookup(m, field, self.shifts, unsigned(max(self.shifts).bit_length()), "shift")
        for stage in range(max(self.shifts).bit_length()):
            by, select = 1 << stage, shift[stage]
            width = min(len(base) + by, self.product_width)
            moved = [*[_0] * by, *base][:width]
            still = [*base, *[_0] * by][:width]
            after = Signal(width, name=f"shifted_{stage}")
            m.d.comb += after.eq(Cat((x & select) | (y & ~select) for x, y in zip(moved, still, strict=True)))
            base = list(after)
        return base

    def _one_hot_shifted(
        self, m: Module, base: list[Value], field: Value, enable: Value | None
    ) -> list[Value]:
        selects = {}
        for distance in sorted(set(self.shifts)):
            chosen = [int(s == distance and not z) for s, z in zip(self.shifts, self.zero, strict=True)]
            if any(chosen):
                selects[distance] = lookup(m, field, chosen, unsigned(1), f"by_{distance}")
                if enable is not None:
                    gate = Signal(name=f"gated_by_{distance}")
                    m.d.comb += gate.eq(selects[distance] & enable)
                    selects[distance] = gate
        bits = []
        for place in range(self.product_width):
            value: Value = _0
            for distance, select in selects.items():
                if 0 <= place - distance < len(base) and place < self.width(distance):
                    value = value | (base[place - distance] & select)
            bits.append(value)
        return bits

    # -- what it means -----------------------------------------------------------------------------------

    def stored(self, codes: Any) -> NDArray[np.int64]:
        given, bits = np.asarray(codes, dtype=np.int64), self.weight.magnitude_bits
        return np.asarray(self.fields, np.int64)[given & ((1 << bits) - 1)] | (given >> bits << bits)

    def _ones(self, field: int) -> int:
        """What all ones in front of the shifter become behind it."""
        if self.late_sign:
            return (1 << self.product_width) - 1
        if self.one_hot and self.zero[field]:
            return 0
        shift = self.shifts[field]
        limit = self.width(shift) if self.one_hot else self.product_width
        return ((1 << min(self.base_width + shift, limit)) - 1) >> shift << shift

    def correction(self, code: int) -> tuple[int, ...]:
        negative, field, offset = self._parts(code)
        return (offset - self._ones(field) if negative else -offset,)

    def _parts(self, code: int) -> tuple[bool, int, int]:
        """Of a code of the format: its sign, the tile's field, and what the lines' offsets add to its magnitude."""
        stored = int(self.stored(code))
        field = stored & ((1 << self.weight.magnitude_bits) - 1)
        offset = self.offsets[self.picks[field]] << self.shifts[field]
        return bool(stored >> self.weight.magnitude_bits), field, 0 if self.zero[field] else offset


def _filled(shifts: Sequence[int | None]) -> list[int]:
    """Distances for the zeros too, such that they are a slice of the field's bits where that can be."""
    bits = max(shift for shift in shifts if shift is not None).bit_length()
    mask = (1 << bits) - 1
    for low in range(len(shifts).bit_length() - 1):
        if all(shift is None or shift == field >> low & mask for field, shift in enumerate(shifts)):
            return [field >> low & mask for field in range(len(shifts))]
    return [shift or 0 for shift in shifts]


class OneHotShift(SelectShift):
    """:class:`SelectShift` with an AND-OR for a shifter; a zero is a shift to nowhere."""

    one_hot: ClassVar[bool] = True


class LateSign(SelectShift):
    """:class:`SelectShift` with the sign after the shift."""

    late_sign: ClassVar[bool] = True


class OwnTable(SelectShift):
    """:class:`SelectShift` with a table in every product, as in a lone processing element."""

    own_table: ClassVar[bool] = True
