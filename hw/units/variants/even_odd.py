"""Even and odd exponents in accumulators of their own: no table, one multiplication by sqrt(2) per output."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from amaranth.hdl import Cat, Const, Module, Signal, Value, unsigned

from asq_sw.errors import InputError
from asq_sw.formats import ActivationFormat, WeightFormat, grids, signed_width
from hw.rtl.adders import Operand
from hw.units.multiplier import lookup
from hw.units.variants.products import Products


class EvenOdd(Products):
    """``acc`` sums ``+-a << (m >> 1)`` over even m, ``odd`` over odd m: both exact, whatever F is.

    The dot product with the levels themselves is ``(acc + sqrt(2) * odd) * 2**(-M / 2)``; the integer
    definition with F fractional bits differs from ``2**F * (acc + sqrt(2) * odd)`` by the rounding of its
    table, at most ``2**(m >> 1) / 2`` per odd product.
    """

    grids: ClassVar[tuple[str, ...]] = grids(lambda grid: grid.sqrt2 and grid.exponents is None)
    sums: ClassVar[tuple[str, ...]] = ("acc", "odd")

    def __init__(self, weight: WeightFormat, activation: ActivationFormat):
        super().__init__(weight, activation)
        if weight.guard_bits or len(weight.lines) > 2:
            raise InputError(f"{weight.name} has gaps, expected consecutive exponents for variant even-odd")
        parts = [weight.decompose(field) for field in range(1 << weight.magnitude_bits)]
        self.zero = [zero for _, zero, _, _ in parts]
        self.is_odd = [odd for _, _, odd, _ in parts]
        self.shifts = [0 if zero else shift for _, zero, _, shift in parts]

    def _largest(self, odd: bool) -> int:
        """The largest distance among even or odd magnitudes."""
        shifts = [
            s for s, o, z in zip(self.shifts, self.is_odd, self.zero, strict=True) if o == odd and not z
        ]
        return max(shifts, default=-1)

    def lines(self, m: Module, activations: Sequence[Value]) -> Value:
        return Cat(self.offset_binary(a) for a in activations)

    def operands(self, m: Module, lines: Value, codes: Sequence[Value]) -> list[list[Operand]]:
        # A signal of its own: a table that reads it has a port of these bits alone.
        field, sign = Signal(self.weight.magnitude_bits, name="field"), codes[0][-1]
        m.d.comb += field.eq(codes[0][:-1])
        signed = Signal(len(lines), name="signed")
        m.d.comb += signed.eq(lines ^ sign.replicate(len(lines)))
        heaps: list[list[Operand]] = []
        for odd in (False, True):
            terms: list[Value] = []
            for distance in range(self._largest(odd) + 1):
                chosen = [
                    int(s == distance and o == odd and not z)
                    for s, o, z in zip(self.shifts, self.is_odd, self.zero, strict=True)
                ]
                select = lookup(m, field, chosen, unsigned(1), f"{'odd' if odd else 'even'}_{distance}")
                terms.append(Cat(Const(0, distance), signed & select.replicate(len(lines))))
            if not terms:
                heaps.append([])
                continue
            product = Signal(max(len(term) for term in terms), name="product")
            value: Value = Const(0, len(product))
            for term in terms:
                value = value | Cat(term, Const(0, len(product) - len(term)))
            m.d.comb += product.eq(value)
            heaps.append([Operand(product, 0)])
        return heaps

    def correction(self, code: int) -> tuple[int, ...]:
        negative, zero, odd, shift = self.weight.decompose(code)
        if zero:
            return (0, 0)
        ones = (1 << self.activation.bits) - 1
        value = ((self.offset - ones) if negative else -self.offset) << shift
        return (0, value) if odd else (value, 0)

    def share(self, activation: int, code: int) -> tuple[int, ...]:
        negative, zero, odd, shift = self.weight.decompose(code)
        value = 0 if zero else (-activation if negative else activation) << shift
        return (0, value) if odd else (value, 0)

    def sum_bits(self, terms: int) -> int:
        largest = max(self._largest(False), self._largest(True))
        reach = max(self.activation.max, -self.activation.min) << largest
        return signed_width(-terms * reach, terms * reach)
