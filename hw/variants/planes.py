"""Two's complement weights by bit planes: one AND gate per bit of activation and weight."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from amaranth.hdl import Cat, Module, Value

from hw.variants.heap import Operand
from hw.variants.products import Products


class Planes(Products):
    """The array of partial products without sign extension (Baugh and Wooley 1973, constants moved out).

    With u = a + offset and U its largest value, the top plane adds ``2**(b-1) * w_top * (U - u)`` instead
    of subtracting ``2**(b-1) * w_top * u``; what is left depends on the weight alone.
    """

    grids: ClassVar[tuple[str, ...]] = ("int",)

    def lines(self, m: Module, activations: Sequence[Value]) -> Value:
        return Cat(self.offset_binary(a) for a in activations)

    def plane(self, lines: Value, codes: Sequence[Value], index: int) -> list[Operand]:
        """The operands of bit ``index`` of the weights."""
        top = index == self.weight.bits - 1
        value = ~lines if top else lines
        return [Operand(value & codes[0][index].replicate(len(lines)), index)]

    def operands(self, m: Module, lines: Value, codes: Sequence[Value]) -> list[list[Operand]]:
        return [[term for index in range(self.weight.bits) for term in self.plane(lines, codes, index)]]

    def correction(self, code: int) -> tuple[int, ...]:
        top = code >> (self.weight.bits - 1)
        largest = (1 << self.activation.bits) - 1
        return (-(top << (self.weight.bits - 1)) * largest - self.offset * self.weight.integer(code),)
