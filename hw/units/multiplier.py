# amaranth: UnusedElaboratable=no
# (a component may stand for the interface of its copies only)
"""Multipliers of an activation and a weight code, one per kind of grid, behind one interface.

All are combinational and exact: ``p`` is :meth:`asq_sw.formats.WeightFormat.product_of` for every pair of bit
patterns, modulo its width for the codes that no encoder gives.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Self

import numpy as np
from amaranth.hdl import Cat, Const, Elaboratable, Module, Mux, Shape, Signal, Value, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from numpy.typing import ArrayLike, NDArray

from asq_sw.errors import InputError
from asq_sw.formats import GRIDS, ActivationFormat, WeightFormat, grids, signed_width
from hw.units.operands import CYCLES, Codes, Operands, after
from hw.units.spec import UnitSpec, formats_name


class Multiplier(wiring.Component):
    """What all multipliers share: the ports, and the choice of product or product less carry.

    Parameters
    ----------
    weight : WeightFormat
        The weight grid; one of the class's :attr:`grids`.
    abits : int
        Activation bits, 1 to 8.
    signed_activations : bool
        Two's complement activations.
    split_carry : bool
        Give the product as ``p + c``, so that an adder that follows takes the ``+ 1`` of a two's complement
        negation on its carry input and the multiplier needs no adder of its own.

    Attributes
    ----------
    a : In(unsigned(abits) or signed(abits))
        The activation.
    w : In(unsigned(storage_bits))
        The weight code.
    p : Out(signed(product_bits))
        The product; with ``split_carry`` the product less ``c``.
    c : Out(1)
        Only with ``split_carry``.

    Raises
    ------
    InputError
        If the class does not multiply that grid.
    """

    grids: ClassVar[tuple[str, ...]] = GRIDS
    variant: ClassVar[str]

    def __init__(
        self,
        weight: WeightFormat,
        abits: int,
        signed_activations: bool = False,
        *,
        split_carry: bool = False,
    ):
        if weight.grid not in self.grids:
            raise InputError(
                f"grid is {weight.grid!r} for {type(self).__name__}, expected one of {', '.join(self.grids)}"
            )
        self.weight = weight
        self.activation = ActivationFormat(abits, signed_activations)
        self.split_carry = split_carry
        self.product_bits = weight.product_bits(abits, signed_activations)
        members = {
            "a": In(Shape(abits, signed_activations)),
            "w": In(weight.storage_bits),
            "p": Out(signed(self.product_bits)),
        }
        if split_carry:
            members["c"] = Out(1)
        super().__init__(members)

    @classmethod
    def from_spec(cls, spec: UnitSpec, split_carry: bool = False) -> Self:
        """The multiplier that a :class:`hw.units.spec.UnitSpec` means."""
        return cls(spec.weight, spec.abits, spec.signed_activations, split_carry=split_carry)

    @staticmethod
    def timing(spec: UnitSpec) -> list[str]:
        """Lines of the header on sums and when what happens: there are none."""
        return []

    @staticmethod
    def drive(
        spec: UnitSpec, operands: Operands, columns: Codes, generator: np.random.Generator
    ) -> tuple[dict[str, ArrayLike], NDArray[np.bool_]]:
        """A weight of each of ``columns`` (lanes,) that stays, activations that stream; and which cycles count."""
        k = generator.integers(0, len(operands.weights), len(columns))
        cycles = min(CYCLES, operands.activations.shape[1])
        weights = np.broadcast_to(operands.weights[k, columns], (cycles, len(columns)))
        return {"a": operands.activations[k, :cycles].T, "w": weights}, after(1, cycles)

    @property
    def module_name(self) -> str:
        """Name of the Verilog module."""
        formats = formats_name(self.weight, self.activation)
        return f"{formats}_multiplier_{self.variant.replace('-', '_')}{'_carry' if self.split_carry else ''}"

    def _give(self, m: Module, product: Value) -> None:
        """Drive the outputs from a whole product."""
        m.d.comb += self.p.eq(fit(product, self.product_bits))
        if self.split_carry:
            m.d.comb += self.c.eq(0)

    def _give_magnitude(self, m: Module, magnitude: Value, negative: Value) -> None:
        """Drive the outputs from a product before its sign, and the sign: ``-x`` is ``~x + 1``."""
        flipped = Signal(self.product_bits)
        m.d.comb += flipped.eq(fit(magnitude, self.product_bits) ^ negative.replicate(self.product_bits))
        if self.split_carry:
            m.d.comb += [self.p.eq(flipped), self.c.eq(negative)]
        else:
            m.d.comb += self.p.eq(flipped + fit(negative, self.product_bits))


def fit(value: Value, width: int) -> Value:
    """``value`` cut or (by its own sign) extended to ``width`` bits: no width is left to be implied."""
    if len(value) >= width:
        return value[:width]
    fill = value[-1] if value.shape().signed else Const(0, 1)
    return Cat(value, fill.replicate(width - len(value)))


class ConstantTable(Elaboratable):
    """A constant table in a module of its own: ``value = entries[index]``, combinational.

    Parameters
    ----------
    index : Value
        Unsigned, n bits.
    entries : sequence of int
        2**n values.
    shape : Shape
        Of each value.
    name : str
        Of the output signal.
    """

    def __init__(self, index: Value, entries: Sequence[int], shape: Shape, name: str):
        self.index = index
        self.entries = tuple(entries)
        self.value = Signal(shape, name=name)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        with m.Switch(self.index):
            for i, entry in enumerate(self.entries[:-1]):
                with m.Case(i):
                    m.d.comb += self.value.eq(entry)
            with m.Default():
                m.d.comb += self.value.eq(self.entries[-1])
        return m


def lookup(m: Module, index: Value, entries: Sequence[int | None], shape: Shape, name: str) -> Value:
    """A constant function of ``index``: ``entries[index]``; ``None`` where the value does not matter.

    A slice of the index where it is one, all ones or all zeros of it where it is that, else a :class:`ConstantTable`.
    """
    for low in range(len(index)):
        cut = index[low : low + shape.width]
        mask = (1 << len(cut)) - 1
        if not shape.signed and all(e is None or e == i >> low & mask for i, e in enumerate(entries)):
            return cut
    if shape.width == 1 and [i for i, entry in enumerate(entries) if entry] == [len(entries) - 1]:
        return index.all()
    if shape.width == 1 and [i for i, entry in enumerate(entries) if entry] == [0]:
        return ~index.any()
    table = ConstantTable(index, [entry or 0 for entry in entries], shape, name)
    m.submodules[f"{name}_table"] = table
    return table.value


class ShiftMultiplier(Multiplier):
    """``(odd ? R[a] : a << F) << shift``, signed: the datapath of POST, POT and fp4.

    ``R`` is the format's look-up table (:meth:`WeightFormat.line_tables`): round(a * sqrt(2) * 2**F) for POST, 3 * a
    for fp4, none for POT. (negative, zero, line, shift) are :meth:`WeightFormat.decompose` of the code.
    """

    grids: ClassVar[tuple[str, ...]] = grids(lambda grid: grid.shifts)
    variant: ClassVar[str] = "shift-lut"

    def elaborate(self, platform: object) -> Module:
        m = Module()
        weight, activation = self.weight, self.activation
        parts = [weight.decompose(field) for field in range(1 << weight.magnitude_bits)]
        negative = self.w[-1]
        field = Signal(weight.magnitude_bits, name="magnitude")
        m.d.comb += field.eq(self.w[:-1])

        # The activation, or its table entry, as an integer in units of 2**-F.
        base: Value = Cat(Const(0, weight.frac_bits), self.a) if weight.frac_bits else self.a
        base = base.as_signed() if activation.signed else base
        tables = weight.line_tables(activation.bits, activation.signed)[1:].tolist()
        for line, table in enumerate(tables, start=1):
            width = max(signed_width(min(table), max(table)) - (not activation.signed), len(base))
            shape = Shape(width, activation.signed)
            word = "lut" if line == 1 else f"lut_{line}"
            entry = lookup(m, self.a.as_unsigned(), table, shape, word)
            of_line = [None if z else int(used == line) for _, z, used, _ in parts]
            odd = lookup(m, field, of_line, unsigned(1), "odd" if line == 1 else f"odd_{line}")
            chosen = Signal(shape, name="base" if line == 1 else f"base_{line}")
            m.d.comb += chosen.eq(Mux(odd, fit(entry, width), fit(base, width)))
            base = chosen
        zero = lookup(m, field, [int(z) for _, z, _, _ in parts], unsigned(1), "zero")
        nonzero = Signal(name="nonzero")
        m.d.comb += nonzero.eq(~zero)
        gated = Signal(base.shape(), name="gated")
        m.d.comb += gated.eq(fit(base, len(base)) & nonzero.replicate(len(base)))

        # A logarithmic shifter, narrow stages first.
        shifts = [None if z else s for _, z, _, s in parts]
        value: Value = gated
        largest = max(s for s in shifts if s is not None)
        if largest:
            shift = lookup(m, field, shifts, unsigned(largest.bit_length()), "shift")
            for stage, bit in enumerate(shift):
                width = min(len(value) + (1 << stage), self.product_bits)
                moved = Signal(Shape(width, activation.signed), name=f"shifted_{stage}")
                m.d.comb += moved.eq(
                    Mux(bit, fit(Cat(Const(0, 1 << stage), value), width), fit(value, width))
                )
                value = moved
        self._give_magnitude(m, value, negative)
        return m


class PostMultiplier(ShiftMultiplier):
    """The POST multiplier: levels are powers of sqrt(2)."""

    grids: ClassVar[tuple[str, ...]] = grids(lambda grid: grid.sqrt2)


class PotMultiplier(ShiftMultiplier):
    """The power-of-two multiplier: a shift alone."""

    grids: ClassVar[tuple[str, ...]] = grids(lambda grid: grid.shifts and not grid.reads_table)
    variant: ClassVar[str] = "shift"


class Fp4Multiplier(ShiftMultiplier):
    """The E2M1 multiplier: POST's datapath with 3 * a in the table."""

    grids: ClassVar[tuple[str, ...]] = grids(lambda grid: grid.factor > 0)


class ApotMultiplier(Multiplier):
    """Sum of one shifted activation per additive term (:class:`asq_sw.formats.Selector`), signed."""

    grids: ClassVar[tuple[str, ...]] = grids(lambda grid: grid.selectors is not None)
    variant: ClassVar[str] = "shift-add"

    def elaborate(self, platform: object) -> Module:
        m = Module()
        width = self.product_bits
        total: Value | None = None
        assert self.weight.record.selectors is not None
        for index, (low, bits, powers) in enumerate(self.weight.record.selectors(self.weight.magnitude_bits)):
            picks: list[Value] = [Const(0, width)]
            for power in powers:
                moved = Cat(Const(0, power.bit_length() - 1), self.a) if power > 1 else self.a
                picks.append(fit(moved.as_signed() if self.activation.signed else moved, width))
            for bit in self.w[low : low + bits]:
                picks = [Mux(bit, one, zero) for zero, one in zip(picks[::2], picks[1::2], strict=True)]
            term = Signal(width, name=f"term_{index}")
            m.d.comb += term.eq(picks[0])
            if total is None:
                total = term
            else:
                sum_so_far = Signal(width, name=f"sum_{index}")
                m.d.comb += sum_so_far.eq(total + term)
                total = sum_so_far
        assert total is not None
        self._give_magnitude(m, total, self.w[-1])
        return m


class IntMultiplier(Multiplier):
    """Multiplication as the synthesis tool makes it, in the weights' own encoding.

    Sign-magnitude: the magnitude's product, then the sign. Two's complement: a signed multiplication.
    """

    grids: ClassVar[tuple[str, ...]] = grids(lambda grid: grid.uniform)
    variant: ClassVar[str] = "multiply"

    def elaborate(self, platform: object) -> Module:
        m = Module()
        if self.weight.sign_magnitude:
            self._give_magnitude(m, self.a * self.w[:-1], self.w[-1])
        else:
            self._give(m, self.a * self.w.as_signed())
        return m


class FixedTableMultiplier(Multiplier):
    """A table of fixed-point levels, then a multiplication: ``a * round(level * 2**F)``."""

    grids: ClassVar[tuple[str, ...]] = grids(lambda grid: grid.kind == "table")
    variant: ClassVar[str] = "table-multiply"

    def elaborate(self, platform: object) -> Module:
        m = Module()
        levels = [self.weight.integer(code) for code in range(1 << self.weight.storage_bits)]
        magnitude = lookup(
            m, self.w, [abs(x) for x in levels], unsigned(max(map(abs, levels)).bit_length()), "level"
        )
        negative = lookup(m, self.w, [int(x < 0) for x in levels], unsigned(1), "negative")
        self._give_magnitude(m, self.a * magnitude, negative)
        return m


class TableMultiplier(Multiplier):
    """The whole product in one table of 2**(abits + storage_bits) entries, for any grid."""

    variant: ClassVar[str] = "table"

    def elaborate(self, platform: object) -> Module:
        m = Module()
        table = self.weight.product_table(self.activation.bits, self.activation.signed)
        index = Cat(self.w, self.a)
        half = 1 << (self.product_bits - 1)
        entries = [(int(p) + half) % (2 * half) - half for p in table.ravel()]  # unused codes may wrap around
        self._give(m, lookup(m, index, entries, signed(self.product_bits), "product"))
        return m


def multiplier(spec: UnitSpec) -> type[Multiplier]:
    """The class of the multiplier that a :class:`hw.units.spec.UnitSpec` means."""
    chosen: type[Multiplier] = spec.multiplier
    return chosen
