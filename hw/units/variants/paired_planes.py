"""Two rows at a time, by bit planes: one of 0, a, b and a + b, with a + b made once per pair of rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from amaranth.hdl import Cat, Module, Signal, Value

from hw.rtl.adders import Operand
from hw.units.variants.planes import Planes


class PairedPlanes(Planes):
    """Distributed arithmetic (Peled and Liu 1974) over pairs of rows.

    Lines: u and v of the two rows, u + v, and the sum of their complements for the top plane. A plane then
    adds one number of A + 1 bits per pair instead of two of A bits.
    """

    group: ClassVar[int] = 2

    def __init__(self, *formats: object):
        super().__init__(*formats)  # type: ignore[arg-type]
        bits = self.activation.bits
        self.line_width = 2 * bits + 2 * (bits + 1)

    def lines(self, m: Module, activations: Sequence[Value]) -> Value:
        u, v = (self.offset_binary(a) for a in activations)
        both, complements = Signal(self.activation.bits + 1), Signal(self.activation.bits + 1)
        m.d.comb += [both.eq(u + v), complements.eq((~u).as_unsigned() + (~v).as_unsigned())]
        return Cat(u, v, both, complements)

    def plane(self, lines: Value, codes: Sequence[Value], index: int) -> list[Operand]:
        bits = self.activation.bits
        u, v, both = lines[:bits], lines[bits : 2 * bits], lines[2 * bits : 3 * bits + 1]
        if index == self.weight.bits - 1:
            u, v, both = ~u, ~v, lines[3 * bits + 1 :]
        first, second = codes[0][index], codes[1][index]
        low = (
            (u & (first & ~second).replicate(bits))
            | (v & (second & ~first).replicate(bits))
            | (both[:bits] & (first & second).replicate(bits))
        )
        return [Operand(Cat(low, both[bits] & first & second), index)]
