"""Two's complement weights by bit planes: one AND gate per bit of activation and weight."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from amaranth.hdl import Cat, Module, Value
from numpy.typing import NDArray

from asq_sw.formats import grids
from hw.rtl.adders import Operand
from hw.units.variants.products import Products


class Planes(Products):
    """The array of partial products without sign extension (Baugh and Wooley 1973, constants moved out).

    With u = a + offset and U its largest value, the top plane adds ``2**(b-1) * w_top * (U - u)`` instead
    of subtracting ``2**(b-1) * w_top * u``; what is left depends on the weight alone.
    """

    grids: ClassVar[tuple[str, ...]] = grids(lambda grid: grid.uniform)

    def lines(self, m: Module, activations: Sequence[Value]) -> Value:
        return Cat(self.offset_binary(a) for a in activations)

    def stored(self, codes: Any) -> NDArray[np.int64]:
        """Two's complement, whatever the format's codes are."""
        by_code = [self.weight.integer(code) for code in range(1 << self.weight.storage_bits)]
        return np.array(by_code)[np.asarray(codes, dtype=np.int64)] & ((1 << self.weight.bits) - 1)

    def plane(self, lines: Value, codes: Sequence[Value], index: int) -> list[Operand]:
        """The operands of bit ``index`` of the weights."""
        top = index == self.weight.bits - 1
        value = ~lines if top else lines
        return [Operand(value & codes[0][index].replicate(len(lines)), index)]

    def operands(self, m: Module, lines: Value, codes: Sequence[Value]) -> list[list[Operand]]:
        return [[term for index in range(self.weight.bits) for term in self.plane(lines, codes, index)]]

    def correction(self, code: int) -> tuple[int, ...]:
        top = int(self.stored(code)) >> (self.weight.bits - 1)
        largest = (1 << self.activation.bits) - 1
        return (-(top << (self.weight.bits - 1)) * largest - self.offset * self.weight.integer(code),)
