"""One datapath for two grids: what the table holds, and where a code's field goes, is all that differs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from amaranth.hdl import Cat, Module, Mux, Signal, Value, unsigned

from asq_sw.errors import InputError
from asq_sw.formats import ActivationFormat, WeightFormat
from hw.multiplier import lookup
from hw.variants.products import Products
from hw.variants.select_shift import OneHotShift


class PostOrFp4(OneHotShift):
    """POST at 4 bits (F = 0) or FP4 E2M1, by the ``mode`` input: the entry is round(a sqrt(2)) or 3a.

    Both are ``a`` shifted by 0 to 3 or the entry shifted by 0 to 2, and a zero. The table is made per row, so
    the choice costs the columns nothing but the wider entry. Codes are POST's; fp4's are recoded when they
    are stored.
    """

    grids: ClassVar[tuple[str, ...]] = ("post", "fp4")
    modes: ClassVar[tuple[str, ...]] = ("post", "fp4")

    def __init__(self, weight: WeightFormat, activation: ActivationFormat):
        super().__init__(weight, activation)
        if weight.bits != 4 or weight.frac_bits:
            raise InputError(
                f"weights are {weight.grid} with {weight.bits} bits and F = {weight.frac_bits} for variant "
                "post-or-fp4, expected 4 bits and F = 0"
            )
        self.formats = [WeightFormat("post", 4, 0), WeightFormat("fp4", 4)]
        self.others = [OneHotShift(each, activation) for each in self.formats]
        post = self.others[0]
        self.fields = tuple(self._place(field) for field in range(1 << weight.magnitude_bits))
        self.odd, self.zero, self.shifts = post.odd, post.zero, post.shifts
        self.odd_mask = max(other.odd_mask for other in self.others)
        self.base_width = max(self.even_mask, self.odd_mask).bit_length()
        self.line_width = activation.bits + self.odd_mask.bit_length()

    def _place(self, field: int) -> int:
        """The field of POST that does what a field of this format does."""
        _, zero, odd, shift = self.weight.decompose(field)
        post = self.others[0]
        for place, found in enumerate(zip(post.zero, post.odd, post.shifts, strict=True)):
            if found[0] if zero else found == (False, odd, shift):
                return place
        raise AssertionError(field)

    def reorder(self, order: tuple[int, ...]) -> None:
        """Refused: one order of the codes serves both grids."""
        Products.reorder(self, order)

    def lines_of(self, m: Module, activations: Sequence[Value], mode: Value | None) -> Value:
        assert mode is not None
        u = Signal(self.activation.bits, name="activation")
        m.d.comb += u.eq(self.offset_binary(activations[0]))
        width = self.odd_mask.bit_length()
        entries = [
            lookup(m, u, other.table, unsigned(width), grid)
            for grid, other in zip(self.modes, self.others, strict=True)
        ]
        entry = Signal(width, name="lut")
        m.d.comb += entry.eq(Mux(mode, entries[1], entries[0]))
        return Cat(u, entry)

    def sum_bits(self, terms: int) -> int:
        a = self.activation
        return max(each.accumulator_bits(a.bits, terms, a.signed) for each in self.formats)
