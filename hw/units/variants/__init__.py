"""Ways to make the products of a broadcast tile, one idea per file; :mod:`hw.units.tile` adds them up."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

from asq_sw.errors import InputError, nearest
from asq_sw.formats import GRIDS, ActivationFormat, WeightFormat, grids

if TYPE_CHECKING:
    from hw.units.variants.products import Products

_SHIFTS = grids(lambda grid: grid.shifts)
_UNIFORM = grids(lambda grid: grid.uniform)
_SIGNED = grids(lambda grid: "sign-magnitude" in grid.encodings)
_TABLES = grids(lambda grid: grid.reads_table)


class Entry(NamedTuple):
    """One line of :data:`VARIANTS`; ``home`` is ``"module:class"``, imported when it is used.

    ``max_index_bits`` is the widest activation and weight code together that it is built for.
    """

    name: str
    grids: tuple[str, ...]
    home: str
    max_index_bits: int = 17


# The first line that names a grid is the grid's default.
VARIANTS: tuple[Entry, ...] = (
    Entry("select-shift", _SHIFTS, "hw.units.variants.select_shift:SelectShift"),
    Entry("one-hot-shift", _SHIFTS, "hw.units.variants.select_shift:OneHotShift"),
    Entry("late-sign", _SHIFTS, "hw.units.variants.select_shift:LateSign"),
    Entry("carry-in", _SHIFTS, "hw.units.variants.signs:CarryIn"),
    Entry("gated", _SHIFTS, "hw.units.variants.signs:Gated"),
    Entry("two-signs", _SHIFTS, "hw.units.variants.signs:TwoSigns"),
    Entry("post-or-fp4", ("post", "fp4"), "hw.units.variants.two_grids:PostOrFp4"),
    Entry("own-table", _TABLES, "hw.units.variants.select_shift:OwnTable"),
    Entry("shift-add", _TABLES, "hw.units.variants.shift_add:ShiftAdd"),
    Entry("shared-shift-add", _TABLES, "hw.units.variants.shift_add:SharedShiftAdd"),
    Entry(
        "even-odd",
        grids(lambda grid: grid.sqrt2 and grid.exponents is None),
        "hw.units.variants.even_odd:EvenOdd",
    ),
    Entry("gap-or-fp4", ("post-gap", "fp4"), "hw.units.variants.two_grids:GapOrFp4"),
    Entry(
        "signed-planes",
        grids(lambda grid: grid.uniform and not grid.full),
        "hw.units.variants.signed_planes:SignedPlanes",
    ),
    Entry(
        "signed-digits",
        grids(lambda grid: grid.uniform and not grid.full),
        "hw.units.variants.signed_planes:SignedDigits",
    ),
    Entry("booth", _UNIFORM, "hw.units.variants.booth:Booth"),
    Entry("paired-planes", _UNIFORM, "hw.units.variants.paired_planes:PairedPlanes"),
    Entry("digits", _UNIFORM, "hw.units.variants.digits:Digits"),
    Entry("planes", _UNIFORM, "hw.units.variants.planes:Planes"),
    Entry(
        "decoded-planes",
        grids(lambda grid: grid.kind == "table"),
        "hw.units.variants.signed_planes:DecodedPlanes",
    ),
    Entry("multiples", _SIGNED, "hw.units.variants.multiples:Multiples"),
    Entry(
        "decoded-planes",
        grids(lambda grid: grid.kind == "whole" and not grid.uniform),
        "hw.units.variants.signed_planes:DecodedPlanes",
    ),
    Entry("whole-table", GRIDS, "hw.units.variants.whole_table:WholeTable", 12),
)


def names(grid: str) -> tuple[str, ...]:
    """Names of a grid's variants; the first is the default."""
    return tuple(entry.name for entry in VARIANTS if grid in entry.grids)


def make(
    name: str, weight: WeightFormat, activation: ActivationFormat, order: tuple[int, ...] = ()
) -> Products:
    """The variant ``name`` for these formats; ``order`` as in :class:`hw.units.tile.TileSpec`.

    Raises
    ------
    InputError
        For an unknown name, a grid that it does not have, or formats or an order that it is not built for.
    """
    for entry in VARIANTS:
        if entry.name == name and weight.grid in entry.grids:
            bits = activation.bits + weight.storage_bits
            if bits > entry.max_index_bits:
                raise InputError(
                    f"activation and weight code have {bits} bits together, "
                    f"expected at most {entry.max_index_bits} for variant {name}"
                )
            module, cls = entry.home.split(":")
            made: type[Products] = getattr(import_module(module), cls)
            products = made(weight, activation)
            if order:
                products.reorder(order)
            return products
    raise InputError(
        f"variant is {name!r}, expected one of {', '.join(names(weight.grid))}{nearest(name, names(weight.grid))}"
    )
