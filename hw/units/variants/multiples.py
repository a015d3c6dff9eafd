"""Sign and magnitude: one of the multiples of the activation that the levels mean, each made once per row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from amaranth.hdl import Cat, Const, Module, Signal, Value, unsigned

from asq_sw.errors import InputError
from asq_sw.formats import ActivationFormat, WeightFormat, grids
from hw.rtl.adders import Operand
from hw.units.multiplier import lookup
from hw.units.variants.products import Products


class Multiples(Products):
    """The whole-product table, hoisted to the tile's edge: an AND-OR picks one line per product.

    Lines that are shifts of one another are one line.
    """

    grids: ClassVar[tuple[str, ...]] = grids(lambda grid: "sign-magnitude" in grid.encodings)

    def __init__(self, weight: WeightFormat, activation: ActivationFormat):
        super().__init__(weight, activation)
        if not weight.sign_magnitude:
            raise InputError(f"{weight.name} is not in sign-magnitude, expected that for variant multiples")
        self.fields = 1 << weight.magnitude_bits
        self.tables: list[list[int]] = []
        self.offsets: list[int] = []
        #: (line, shift) by magnitude field; None for zero.
        self.picks: list[tuple[int, int] | None] = []
        values = self.pattern_values()
        for field in range(self.fields):
            products = [weight.product_of(a, field) for a in values]
            if not any(products):
                self.picks.append(None)
                continue
            common = 0
            for product in products:
                common |= abs(product)
            shift = (common & -common).bit_length() - 1
            offset = max(-min(products), 0)
            entries = [(product + offset) >> shift for product in products]
            if entries not in self.tables:
                self.tables.append(entries)
                self.offsets.append(offset >> shift)
            self.picks.append((self.tables.index(entries), shift))
        self.widths = [max(table).bit_length() for table in self.tables]
        self.line_width = sum(self.widths)
        self.product_width = max(self.widths[p[0]] + p[1] for p in self.picks if p is not None)

    def lines(self, m: Module, activations: Sequence[Value]) -> Value:
        u = Signal(self.activation.bits, name="activation")
        m.d.comb += u.eq(self.offset_binary(activations[0]))
        return Cat(
            lookup(m, u, table, unsigned(width), f"multiple_{i}")
            for i, (table, width) in enumerate(zip(self.tables, self.widths, strict=True))
        )

    def operands(self, m: Module, lines: Value, codes: Sequence[Value]) -> list[list[Operand]]:
        # A signal of its own: a table that reads it has a port of these bits alone.
        field, sign = Signal(self.weight.magnitude_bits, name="field"), codes[0][-1]
        m.d.comb += field.eq(codes[0][:-1])
        starts = [sum(self.widths[:i]) for i in range(len(self.widths))]
        value: Value = Const(0, self.product_width)
        for number, pick in enumerate(self.picks):
            if pick is None:
                continue
            (line, shift), width = pick, self.widths[pick[0]]
            chosen = Signal(name=f"is_{number}")
            m.d.comb += chosen.eq(Cat(bit if number >> i & 1 else ~bit for i, bit in enumerate(field)).all())
            moved = Cat(Const(0, shift), lines[starts[line] : starts[line] + width])
            value = value | (moved & chosen.replicate(len(moved)))
        product = Signal(self.product_width, name="product")
        m.d.comb += product.eq(value ^ sign.replicate(self.product_width))
        return [[Operand(product, 0)]]

    def correction(self, code: int) -> tuple[int, ...]:
        pick = self.picks[code % self.fields]
        offset = 0 if pick is None else self.offsets[pick[0]] << pick[1]
        negative = code >= self.fields
        return (offset - ((1 << self.product_width) - 1) if negative else -offset,)
