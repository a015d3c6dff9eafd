"""The whole product in one table per product, from activation and weight code."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from amaranth.hdl import Cat, Module, Signal, Value, unsigned

from asq_sw.formats import GRIDS
from hw.rtl.adders import Operand
from hw.units.multiplier import lookup
from hw.units.variants.products import Products


class WholeTable(Products):
    """A table of 2**(A + b) products, each less the least product of its code, so that none is negative."""

    grids: ClassVar[tuple[str, ...]] = GRIDS

    def lines(self, m: Module, activations: Sequence[Value]) -> Value:
        return Cat(self.offset_binary(a) for a in activations)

    def operands(self, m: Module, lines: Value, codes: Sequence[Value]) -> list[list[Operand]]:
        entries = [
            self.weight.product_of(a, code) - self.correction(code)[0]
            for a in self.pattern_values()
            for code in range(1 << self.code_bits)
        ]
        table = lookup(m, Cat(codes[0], lines), entries, unsigned(max(entries).bit_length()), "product")
        product = Signal.like(table, name="product")
        m.d.comb += product.eq(table)
        return [[Operand(product, 0)]]

    def correction(self, code: int) -> tuple[int, ...]:
        ends = [self.weight.product_of(a, code) for a in (self.activation.min, self.activation.max)]
        return (min(ends),)
