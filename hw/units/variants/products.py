"""How a tile's products become bits to add: what every variant says of itself.

A variant splits the product of an activation ``a`` and a weight code ``w`` into three:

* *lines*, functions of the activations of one group of rows alone. They are made once per row, at the tile's
  edge, and broadcast along the row;
* *operands*, functions of lines and weight codes, made in every column. Their sum is the group's heap;
* a *correction* per weight code, known when the weights are. It takes no hardware in the tile: the sum of a
  dot product's corrections goes into the constant that the requantizer adds per output anyway.

For every activation and code, ``product = heap + correction[code]``, modulo the accumulator's width. So the
complements of negative numbers, their carries and the offset of signed activations cost nothing, in every
variant and every baseline alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from amaranth.hdl import Module, Value
from numpy.typing import NDArray

from asq_sw.errors import InputError
from asq_sw.formats import ActivationFormat, WeightFormat
from hw.rtl.adders import Operand


class Products:
    """Base of the variants.

    Parameters
    ----------
    weight : WeightFormat
        Of one of the class's :attr:`grids`.
    activation : ActivationFormat

    Attributes
    ----------
    grids : tuple of str
        Weight grids that the variant multiplies.
    group : int
        Rows that share lines; a tile's rows are a multiple of it.
    sums : tuple of str
        Names of the accumulators of a column.
    line_width : int
        Bits of a group's lines.
    code_bits : int
        Bits of a weight as the tile takes it, see :meth:`stored`.
    gated : bool
        The last line of a group says whether the others matter; they may keep old values where it is 0.
    signs : tuple of bool
        Kinds of activations that the variant takes: unsigned (False), signed (True).
    modes : tuple of str
        Grids that the same hardware multiplies, by its ``mode`` input; empty for one grid.

    Raises
    ------
    InputError
        For a grid, or a kind of activation, that the variant does not multiply.
    """

    grids: ClassVar[tuple[str, ...]]
    group: ClassVar[int] = 1
    sums: ClassVar[tuple[str, ...]] = ("acc",)
    gated: ClassVar[bool] = False
    signs: ClassVar[tuple[bool, ...]] = (False, True)
    modes: ClassVar[tuple[str, ...]] = ()
    line_width: int

    def __init__(self, weight: WeightFormat, activation: ActivationFormat):
        if weight.grid not in self.grids:
            raise InputError(
                f"grid is {weight.grid!r} for {type(self).__name__}, expected one of {', '.join(self.grids)}"
            )
        if activation.signed not in self.signs:
            kinds = " or ".join("signed" if kind else "unsigned" for kind in self.signs)
            raise InputError(
                f"activations are {'signed' if activation.signed else 'unsigned'} for {type(self).__name__}, "
                f"expected {kinds}"
            )
        self.weight = weight
        self.activation = activation
        self.code_bits = weight.storage_bits
        self.line_width = self.group * activation.bits

    # -- hardware ----------------------------------------------------------------------------------------

    def lines(self, m: Module, activations: Sequence[Value]) -> Value:
        """A group's lines, ``line_width`` bits, from its activations, see :meth:`offset_binary`."""
        raise NotImplementedError

    def lines_of(self, m: Module, activations: Sequence[Value], mode: Value | None) -> Value:
        """:meth:`lines`, of a variant with :attr:`modes` by its ``mode`` input."""
        return self.lines(m, activations)

    def operands(self, m: Module, lines: Value, codes: Sequence[Value]) -> list[list[Operand]]:
        """A group's operands for each of :attr:`sums`, from its lines and its weight codes."""
        raise NotImplementedError

    # -- what it means -----------------------------------------------------------------------------------

    def stored(self, codes: Any) -> NDArray[np.int64]:
        """The bit patterns that the tile takes for weight codes of the format (a recoding done offline).

        Raises
        ------
        InputError
            For a code that the variant cannot take.
        """
        return np.asarray(codes, dtype=np.int64)

    def reorder(self, order: tuple[int, ...]) -> None:
        """Take other magnitude fields: ``order[field]`` for the format's ``field`` (the code assignment).

        Raises
        ------
        InputError
            For a variant that reads the format's codes as they are, and for what is no permutation.
        """
        raise InputError(
            f"order is {order} for {type(self).__name__}, expected none: only shifters of one grid take one"
        )

    def correction(self, code: int) -> tuple[int, ...]:
        """By accumulator: what a weight code's term must be raised by to be the product's share."""
        raise NotImplementedError

    def share(self, activation: int, code: int) -> tuple[int, ...]:
        """By accumulator: what a product adds to the corrected sum. One accumulator: the product itself."""
        return (self.weight.product_of(activation, code),)

    def sum_bits(self, terms: int) -> int:
        """Width of every accumulator (two's complement) that holds any ``terms`` products."""
        return self.weight.accumulator_bits(self.activation.bits, terms, self.activation.signed)

    @property
    def mode(self) -> int:
        """What to apply to the ``mode`` input of a tile of several grids: the weights' place in :attr:`modes`."""
        return self.modes.index(self.weight.grid)

    # -- helpers -----------------------------------------------------------------------------------------

    @property
    def offset(self) -> int:
        """What :meth:`offset_binary` adds to an activation."""
        return -self.activation.min

    def offset_binary(self, a: Value) -> Value:
        """An activation plus :attr:`offset`: unsigned, for signed ones by inverting the top bit."""
        bits = self.activation.bits
        return a.as_unsigned() ^ (1 << (bits - 1)) if self.activation.signed else a.as_unsigned()

    def pattern_values(self) -> list[int]:
        """The activation that each pattern of :meth:`offset_binary` stands for, ascending."""
        return list(range(self.activation.min, self.activation.max + 1))
