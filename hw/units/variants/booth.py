"""Two's complement weights in Booth's radix-4 digits: -2, -1, 0, 1 or 2 times the activation."""

from __future__ import annotations

from collections.abc import Sequence

from amaranth.hdl import Cat, Const, Module, Signal, Value

from hw.rtl.adders import Operand
from hw.units.variants.planes import Planes

_0 = Const(0, 1)


class Booth(Planes):
    """Radix-4 modified Booth (MacSorley 1961); complements without their carries.

    Digit d of bits (w_{2i+1}, w_{2i}, w_{2i-1}) is ``-2 w_{2i+1} + w_{2i} + w_{2i-1}``. A negative digit
    adds ``N - |d| u`` with N all ones, which is the complement; ``-N`` goes into the correction.
    """

    def operands(self, m: Module, lines: Value, codes: Sequence[Value]) -> list[list[Operand]]:
        width, summands = self.activation.bits + 1, []
        bits = Cat(_0, codes[0], codes[0][-1])
        for index in range(0, self.weight.bits, 2):
            before, low, high = bits[index], bits[index + 1], bits[index + 2]
            one, two = Signal(name="one"), Signal(name="two")
            m.d.comb += [one.eq(low ^ before), two.eq((high ^ low) & ~one)]
            magnitude = (Cat(lines, _0) & one.replicate(width)) | (Cat(_0, lines) & two.replicate(width))
            summands.append(Operand(magnitude ^ high.replicate(width), index))
        return [summands]

    def correction(self, code: int) -> tuple[int, ...]:
        ones, total = (1 << (self.activation.bits + 1)) - 1, 0
        for index in range(0, self.weight.bits, 2):
            top = min(index + 1, self.weight.bits - 1)
            total -= (ones << index) * (int(self.stored(code)) >> top & 1)
        return (total - self.offset * self.weight.integer(code),)
