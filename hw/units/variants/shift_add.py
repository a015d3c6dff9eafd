"""The table's entry computed: a times sqrt(2) as a sum of shifted copies of a."""

from __future__ import annotations

from typing import ClassVar

from amaranth.hdl import Cat, Const, Module, Signal, Value

from asq_sw.errors import InputError
from asq_sw.formats import ActivationFormat, WeightFormat, grids
from hw.rtl.adders import Operand, add_up
from hw.units.variants.select_shift import SelectShift

MAX_DIGITS = 24


def signed_digits(number: int) -> list[tuple[int, int]]:
    """(sign, position) of the non-adjacent form of a positive number: the fewest signed digits."""
    digits, position = [], 0
    while number:
        if number & 1:
            digit = 2 - (number & 3)
            digits.append((digit, position))
            number -= digit
        number >>= 1
        position += 1
    return digits


def constant(table: list[int]) -> tuple[int, int, int]:
    """(multiplier c, shift n, bias d) with ``table[u] = (c * (u) + d) >> n``, n the least and c of few digits.

    The table is round(sqrt(2) * (u - offset)) + constant for u = 0, 1, ...

    Raises
    ------
    InputError
        If there is none within :data:`MAX_DIGITS` bits.
    """
    for n in range(MAX_DIGITS):
        candidates = []
        # table[u] <= (c u + d) / 2**n < table[u] + 1 for all u: bounds on d for each c.
        steps = len(table) - 1
        low_c = ((table[-1] - table[0] - 1) << n) // steps
        high_c = ((table[-1] - table[0] + 1) << n) // steps + 1
        for c in range(max(low_c, 0), high_c + 1):
            low = max((entry << n) - c * u for u, entry in enumerate(table))
            high = min(((entry + 1) << n) - c * u for u, entry in enumerate(table))
            if max(low, 0) < high:
                candidates.append((len(signed_digits(c)), c, max(low, 0)))
        if candidates:
            _, c, d = min(candidates)
            return c, n, d
    raise InputError("no shift-and-add constant found, expected a table of a rounded multiple")


class ShiftAdd(SelectShift):
    """:class:`SelectShift` with the entry as ``(c * u + d) >> n``, c in signed digits, in every product.

    c, n and d are the smallest that give the definition's rounding for every activation.
    """

    grids: ClassVar[tuple[str, ...]] = grids(lambda grid: grid.reads_table)
    own_table: ClassVar[bool] = True

    def __init__(self, weight: WeightFormat, activation: ActivationFormat):
        super().__init__(weight, activation)
        if len(self.tables) > 2:
            raise InputError(f"{weight.name} reads two tables, expected one for {type(self).__name__}")
        self.constant = constant(self.tables[1]) if self.table_width else (0, 0, 0)

    def entries(self, m: Module, u: Value) -> Value:
        c, n, constant_bits = self.constant
        width, ones = self.table_width, (1 << len(u)) - 1
        terms = []
        for sign, position in signed_digits(c):
            # minus u is its complement less all ones
            terms.append(Operand(u if sign > 0 else Cat(~bit for bit in u), position))
            constant_bits -= ones << position if sign < 0 else 0
        whole = n + width
        terms.append(Operand(Const(constant_bits & ((1 << whole) - 1), whole), 0))
        entry = Signal(width, name="lut")
        m.d.comb += entry.eq(add_up(m, terms, whole, "dadda", "entry_and_unused")[n:])
        return entry


class SharedShiftAdd(ShiftAdd):
    """The same, once per row."""

    own_table: ClassVar[bool] = False
