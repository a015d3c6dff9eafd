"""One datapath for two grids: what the table holds, and where a code's field goes, is all that differs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from amaranth.hdl import Cat, Module, Mux, Signal, Value, unsigned

from asq_sw.errors import InputError
from asq_sw.formats import ActivationFormat, WeightFormat
from hw.units.multiplier import lookup
from hw.units.variants.products import Products
from hw.units.variants.select_shift import OneHotShift


class TwoGrids(OneHotShift):
    """Two grids whose levels are shifts of the activation and of one table, by the ``mode`` input.

    The table is made per row, so the choice costs the columns nothing but the wider entry. Codes are the first
    grid's; the other's are recoded when they are stored.

    Attributes
    ----------
    formats : list of WeightFormat
        By mode.
    """

    def pair(self) -> tuple[WeightFormat, WeightFormat]:
        """The two formats."""
        raise NotImplementedError

    def __init__(self, weight: WeightFormat, activation: ActivationFormat):
        super().__init__(weight, activation)
        self.formats = list(self.pair())
        if weight not in self.formats:
            raise InputError(
                f"weights are {weight.name} for {type(self).__name__}, "
                f"expected {' or '.join(each.name for each in self.formats)}"
            )
        self.others = [OneHotShift(each, activation) for each in self.formats]
        first = self.others[0]
        self.fields = tuple(self._place(field) for field in range(1 << weight.magnitude_bits))
        self.picks, self.zero, self.shifts = first.picks, first.zero, first.shifts
        self.masks = [max(masks) for masks in zip(*(other.masks for other in self.others), strict=True)]
        self.base_width = max(self.masks).bit_length()
        self.line_width = activation.bits + self.table_width

    def _place(self, field: int) -> int:
        """The field of the first grid that does what a field of this format does."""
        term = self.weight.terms[field]
        for place, found in enumerate(self.formats[0].terms):
            if found == term:
                return place
        raise AssertionError(field)

    def reorder(self, order: tuple[int, ...]) -> None:
        """Refused: one order of the codes serves both grids."""
        Products.reorder(self, order)

    def lines_of(self, m: Module, activations: Sequence[Value], mode: Value | None) -> Value:
        assert mode is not None
        u = Signal(self.activation.bits, name="activation")
        m.d.comb += u.eq(self.offset_binary(activations[0]))
        width = self.table_width
        entries = [
            lookup(m, u, other.tables[1], unsigned(width), grid.replace("-", "_"))
            for grid, other in zip(self.modes, self.others, strict=True)
        ]
        entry = Signal(width, name="lut")
        m.d.comb += entry.eq(Mux(mode, entries[1], entries[0]))
        return Cat(u, entry)

    def sum_bits(self, terms: int) -> int:
        a = self.activation
        return max(each.accumulator_bits(a.bits, terms, a.signed) for each in self.formats)


class PostOrFp4(TwoGrids):
    """POST at 4 bits (F = 0) or FP4 E2M1: the entry is round(a sqrt(2)) or 3a."""

    grids: ClassVar[tuple[str, ...]] = ("post", "fp4")
    modes: ClassVar[tuple[str, ...]] = ("post", "fp4")

    def pair(self) -> tuple[WeightFormat, WeightFormat]:
        return WeightFormat("post", 4, 0), WeightFormat("fp4", 4)


class GapOrFp4(TwoGrids):
    """post-gap at 4 bits (F = 0) or FP4 E2M1, of the same codes: the entry is round(2 a sqrt(2)) or 3a."""

    grids: ClassVar[tuple[str, ...]] = ("post-gap", "fp4")
    modes: ClassVar[tuple[str, ...]] = ("post-gap", "fp4")

    def pair(self) -> tuple[WeightFormat, WeightFormat]:
        return WeightFormat("post-gap", 4, 0), WeightFormat("fp4", 4)
