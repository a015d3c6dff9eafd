"""Two's complement weights by radix-4 digits: 0, 1, 2 or 3 times the activation, with 3a made once per row."""

from __future__ import annotations

from collections.abc import Sequence

from amaranth.hdl import Cat, Const, Module, Value

from hw.rtl.adders import Operand, add_up
from hw.units.variants.planes import Planes

_0 = Const(0, 1)


class Digits(Planes):
    """One operand of A + 2 bits for two bits of the weight.

    The top digit is -2, -1, 0 or 1; it takes multiples of the complement for the negative ones:
    ``-2u = 2(U - u) - 2U`` and ``-u = (U - u) - U``. An odd top bit is a plane by itself.
    """

    def __init__(self, *formats: object):
        super().__init__(*formats)  # type: ignore[arg-type]
        self.line_width = 2 * self.activation.bits + 2

    def lines(self, m: Module, activations: Sequence[Value]) -> Value:
        u = self.offset_binary(activations[0])
        three = add_up(m, [Operand(u, 0), Operand(u, 1)], self.activation.bits + 2, "dadda", "three")
        return Cat(u, three)

    def operands(self, m: Module, lines: Value, codes: Sequence[Value]) -> list[list[Operand]]:
        bits, width = self.weight.bits, self.activation.bits + 2
        u, three = lines[: self.activation.bits], lines[self.activation.bits :]
        summands = []
        for index in range(0, bits, 2):
            if index == bits - 1:
                summands += self.plane(u, codes, index)
                continue
            low, high = codes[0][index], codes[0][index + 1]
            if index == bits - 2:
                # 1: u; -2: 2(U - u); -1: U - u.
                one = (u & (low & ~high).replicate(len(u))) | (~u & (low & high).replicate(len(u)))
                two = (~u) & (high & ~low).replicate(len(u))
                summands.append(Operand(Cat(one, _0) | Cat(_0, two), index))
            else:
                one, two = u & (low & ~high).replicate(len(u)), u & (high & ~low).replicate(len(u))
                both = three & (low & high).replicate(width)
                summands.append(Operand(Cat(one, _0, _0) | Cat(_0, two, _0) | both, index))
        return [summands]

    def correction(self, code: int) -> tuple[int, ...]:
        bits, largest = self.weight.bits, (1 << self.activation.bits) - 1
        if bits % 2:
            return super().correction(code)
        top = int(self.stored(code)) >> (bits - 2)
        negative = {2: 2, 3: 1}.get(top, 0)
        return (-(negative << (bits - 2)) * largest - self.offset * self.weight.integer(code),)
