"""Other ways with the sign of a shifted line: a carry-in, gating by zeros, sums of either sign."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from amaranth.hdl import Cat, Module, Signal, Value

from asq_sw.formats import ActivationFormat, WeightFormat
from hw.rtl.adders import Operand
from hw.units.variants.select_shift import OneHotShift


class CarryIn(OneHotShift):
    """Two's complement made in the column: the complement, a carry into the heap, and the sign's extension.

    With ``v`` the shifted line of W bits and ``s`` the sign, ``(v ^ s) + s + 2**W (1 - s) - 2**W`` is v or -v:
    the correction of a code does not depend on its sign, and costs two bits of the heap per product.
    """

    late_sign: ClassVar[bool] = True

    def operands(self, m: Module, lines: Value, codes: Sequence[Value]) -> list[list[Operand]]:
        field, sign = self._fields(m, codes[0])
        value = self._shifted(m, self._selected(m, self._lines(m, lines), field), field)
        return [self._negated(m, value, sign)]

    def _negated(self, m: Module, value: list[Value], sign: Value) -> list[Operand]:
        product = Signal(len(value) + 1, name="product")
        m.d.comb += product.eq(Cat(*(bit ^ sign for bit in value), ~sign))
        return [Operand(product, 0), Operand(sign, 0)]

    def correction(self, code: int) -> tuple[int, ...]:
        negative, _, offset = self._parts(code)
        return ((offset if negative else -offset) - (1 << self.product_width),)


class Gated(CarryIn):
    """:class:`CarryIn` that does nothing for an activation of zero: one line more says that it is not zero.

    Behind the edge's registers the other lines keep their values then, and the shifter's selects and the sign
    are 0. Unsigned activations alone: zero is nothing special in offset binary.
    """

    gated: ClassVar[bool] = True
    signs: ClassVar[tuple[bool, ...]] = (False,)

    def __init__(self, weight: WeightFormat, activation: ActivationFormat):
        super().__init__(weight, activation)
        self.line_width += 1

    def lines(self, m: Module, activations: Sequence[Value]) -> Value:
        return Cat(super().lines(m, activations), activations[0].any())

    def operands(self, m: Module, lines: Value, codes: Sequence[Value]) -> list[list[Operand]]:
        field, sign = self._fields(m, codes[0])
        base = self._selected(m, self._lines(m, lines[:-1]), field)
        value = self._one_hot_shifted(m, base, field, enable=lines[-1])
        used = Signal(name="used_sign")
        m.d.comb += used.eq(sign & lines[-1])
        return [self._negated(m, value, used)]


class TwoSigns(OneHotShift):
    """Sign and magnitude: products of negative weights go into an accumulator of their own, ``acc - negative``.

    No complement anywhere; two trees.
    """

    sums: ClassVar[tuple[str, ...]] = ("acc", "negative")

    def operands(self, m: Module, lines: Value, codes: Sequence[Value]) -> list[list[Operand]]:
        field, sign = self._fields(m, codes[0])
        value = self._shifted(m, self._selected(m, self._lines(m, lines), field), field)
        summands = []
        for name, chosen in (("positive", ~sign), ("negative", sign)):
            product = Signal(len(value), name=name)
            m.d.comb += product.eq(Cat(bit & chosen for bit in value))
            summands.append([Operand(product, 0)])
        return summands

    def correction(self, code: int) -> tuple[int, ...]:
        negative, _, offset = self._parts(code)
        return (0, -offset) if negative else (-offset, 0)

    def share(self, activation: int, code: int) -> tuple[int, ...]:
        product = self.weight.product_of(activation, code)
        return (0, -product) if code >> self.weight.magnitude_bits else (product, 0)
