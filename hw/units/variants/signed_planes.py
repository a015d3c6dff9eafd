"""Integer magnitudes: the activation exclusive-ored with the weight's sign, and what the magnitude's bits add.

With u = a + offset, U its largest value and s the sign, ``x = u ^ s`` is u or U - u, and ``x * |w|`` is off the
product by a number that depends on the weight alone. So the sign costs one gate per bit of the activation and
nothing in the heap. This is sign-magnitude's answer to the sign extension of two's complement; it serves every
grid whose magnitudes are integers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from amaranth.hdl import Cat, Const, Module, Signal, Value, unsigned
from numpy.typing import NDArray

from asq_sw.formats import ActivationFormat, WeightFormat, grids
from hw.rtl.adders import Operand, add_up
from hw.units.multiplier import lookup
from hw.units.variants.products import Products

_0 = Const(0, 1)


class SignedPlanes(Products):
    """One AND per bit of activation and magnitude.

    Weights are stored as sign and magnitude whatever the format's codes are.
    """

    grids: ClassVar[tuple[str, ...]] = grids(lambda grid: grid.uniform and not grid.full)

    def __init__(self, weight: WeightFormat, activation: ActivationFormat):
        super().__init__(weight, activation)
        self.magnitude_bits = weight.unit.bit_length()
        self.code_bits = self.magnitude_bits + 1

    def lines(self, m: Module, activations: Sequence[Value]) -> Value:
        return Cat(self.offset_binary(a) for a in activations)

    def flipped(self, m: Module, lines: Value, sign: Value, name: str = "flipped") -> Value:
        """A line exclusive-ored with the sign."""
        x = Signal(len(lines), name=name)
        m.d.comb += x.eq(lines ^ sign.replicate(len(lines)))
        return x

    def operands(self, m: Module, lines: Value, codes: Sequence[Value]) -> list[list[Operand]]:
        x = self.flipped(m, lines, codes[0][-1])
        return [[Operand(x & codes[0][i].replicate(len(x)), i) for i in range(self.magnitude_bits)]]

    # -- what it means -----------------------------------------------------------------------------------

    def stored(self, codes: Any) -> NDArray[np.int64]:
        given = np.asarray(codes, dtype=np.int64)
        by_code = np.zeros(1 << self.weight.storage_bits, np.int64)
        for code in range(len(by_code)):
            whole = self.weight.integer(code)
            by_code[code] = abs(whole) | (whole < 0) << self.magnitude_bits
        return by_code[given]

    def all_ones(self, magnitude: int) -> int:
        """What a magnitude's operands add up to for lines of all ones."""
        return magnitude * ((1 << self.activation.bits) - 1)

    def correction(self, code: int) -> tuple[int, ...]:
        whole = self.weight.integer(code)
        if whole < 0:
            return (self.offset * -whole - self.all_ones(-whole),)
        return (-self.offset * whole,)


class SignedDigits(SignedPlanes):
    """Two bits of the magnitude at a time: 0, 1, 2 or 3 times the activation, 3a made once per row.

    The exclusive-or comes behind the selection, on every digit's bits.
    """

    def __init__(self, weight: WeightFormat, activation: ActivationFormat):
        super().__init__(weight, activation)
        self.line_width = 2 * activation.bits + 2

    def lines(self, m: Module, activations: Sequence[Value]) -> Value:
        u = self.offset_binary(activations[0])
        three = add_up(m, [Operand(u, 0), Operand(u, 1)], self.activation.bits + 2, "dadda", "three")
        return Cat(u, three)

    def operands(self, m: Module, lines: Value, codes: Sequence[Value]) -> list[list[Operand]]:
        a, width = self.activation.bits, self.activation.bits + 2
        u, three, code = lines[:a], lines[a:], codes[0]
        summands = []
        for index in range(0, self.magnitude_bits, 2):
            low = code[index]
            if index + 1 == self.magnitude_bits:
                digit, bits = u & low.replicate(a), a
            else:
                high, bits = code[index + 1], width
                one, two = (low & ~high).replicate(a), (high & ~low).replicate(a)
                digit = Cat(u & one, _0, _0) | Cat(_0, u & two, _0) | (three & (low & high).replicate(width))
            value = Signal(bits, name=f"digit_{index}")
            m.d.comb += value.eq(digit)
            summands.append(Operand(self.flipped(m, value, code[-1], f"signed_{index}"), index))
        return [summands]

    def all_ones(self, magnitude: int) -> int:
        a, total = self.activation.bits, 0
        for index in range(0, self.magnitude_bits, 2):
            bits = a if index + 1 == self.magnitude_bits else a + 2
            total += ((1 << bits) - 1) << index
        return total


class DecodedPlanes(SignedPlanes):
    """:class:`SignedPlanes` of a grid whose integer weights are not its codes: a table in front, in every product."""

    grids: ClassVar[tuple[str, ...]] = grids(lambda grid: grid.kind != "powers" and not grid.uniform)

    def __init__(self, weight: WeightFormat, activation: ActivationFormat):
        super().__init__(weight, activation)
        self.code_bits = weight.storage_bits

    def operands(self, m: Module, lines: Value, codes: Sequence[Value]) -> list[list[Operand]]:
        wholes = [self.weight.integer(code) for code in range(1 << self.code_bits)]
        code = Signal(self.code_bits, name="code")
        m.d.comb += code.eq(codes[0])
        table = [abs(whole) | (whole < 0) << self.magnitude_bits for whole in wholes]
        word = lookup(m, code, table, unsigned(self.magnitude_bits + 1), "integer")
        return super().operands(m, lines, [word])

    def stored(self, codes: Any) -> NDArray[np.int64]:
        return np.asarray(codes, dtype=np.int64)
