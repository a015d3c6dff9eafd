"""The space of broadcast tiles that is searched, as data, and the parts of it that are tried.

A tile is a point of: weight format x way of making the product (which fixes encoding and sign handling) x adder
tree x pipeline x weight registers x size x code order x clock. Every format has the same dimensions; what a variant
does not multiply, or an order that it does not take, is no point. :data:`CONTENDERS` are the ways that win at some
node or size; the others are tried at 8 x 8 and one clock (:func:`wide`) and :data:`NOT_TRIED` says what is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any

from asq_sw.formats import WeightFormat
from hw.studies.orders import cheapest
from hw.units import variants
from hw.units.tile import TileSpec


def _format(grid: str, bits: int = 4, frac_bits: int | None = None, **options: Any) -> WeightFormat:
    return WeightFormat(grid, bits, frac_bits, **options)


INT4, POST4 = _format("int"), _format("post", 4, 0)
GAP4, GAP4_E2M1 = _format("post-gap", 4, 0, anchor=6), _format("post-gap", 4, 0)
"""``post-gap`` with its smallest level rounded (a third line, no wider than POST), and on FP4's datapath."""
FP4, POT4, APOT4, NF4 = _format("fp4"), _format("pot"), _format("apot"), _format("nf4")
INT3, POST3, POT3, GAP3 = (
    _format("int", 3), _format("post", 3, 0), _format("pot", 3), _format("post-gap", 3, 0, anchor=4),
)  # fmt: skip
INT2, POST2 = _format("int", 2), _format("post", 2, 0)

OWN, CHEAPEST, FALLING = "own", "cheapest", "falling"


@dataclass(frozen=True)
class Way:
    """A way of making the product.

    Attributes
    ----------
    variant : str
        Of :mod:`hw.units.variants`.
    order : str
        The codes: the format's ``own``, the ``cheapest`` to decode (:mod:`hw.studies.orders`) that are not its own, or
        zero as code 0 and the levels ``falling``.
    pipelines : int
        How many of :data:`PIPELINES` it is tried with at 16 x 16.
    """

    variant: str
    order: str = OWN
    pipelines: int = 4


PIPELINES: tuple[Mapping[str, Any], ...] = (
    MappingProxyType({"edge_registers": True}),
    MappingProxyType({"edge_registers": False}),
    MappingProxyType({"edge_registers": False, "stage": "tree"}),
    MappingProxyType({"edge_registers": True, "stage": "tree"}),
    MappingProxyType({"edge_registers": True, "stage": "products"}),
    MappingProxyType({"edge_registers": False, "stage": "products"}),
)
"""Where registers cut the path from activation to accumulator."""
TREES = ("wallace", "dadda")
SIZES = ((16, 16), (24, 48))
CLOCKS = (0.8, 0.9, 1.0, 1.15, 1.3, 1.5, 1.75, 2.0)
"""Clock periods of the fronts, in units of the node's default."""

CONTENDERS: Mapping[WeightFormat, tuple[Way, ...]] = MappingProxyType(
    {
        INT4: (Way("signed-planes"), Way("booth", pipelines=2), Way("paired-planes", pipelines=2)),
        POST4: (Way("one-hot-shift"), Way("one-hot-shift", FALLING)),
        GAP4: (Way("one-hot-shift", CHEAPEST), Way("one-hot-shift")),
        FP4: (Way("one-hot-shift", CHEAPEST), Way("one-hot-shift", pipelines=1)),
        GAP4_E2M1: (Way("one-hot-shift", CHEAPEST, 2),),
        POT4: (Way("one-hot-shift", pipelines=2),),
        APOT4: (Way("multiples", pipelines=2), Way("decoded-planes", pipelines=1)),
        NF4: (Way("decoded-planes", pipelines=3),),
        INT3: (Way("signed-planes", pipelines=2), Way("paired-planes", pipelines=1)),
        POST3: (Way("one-hot-shift", pipelines=2),),
        POT3: (Way("one-hot-shift", pipelines=2),),
        GAP3: (Way("one-hot-shift", CHEAPEST, 2), Way("one-hot-shift", pipelines=2)),
        INT2: (Way("signed-planes", pipelines=2),),
        POST2: (Way("one-hot-shift", pipelines=2), Way("one-hot-shift", FALLING, 2)),
        _format("int", 8): (Way("signed-planes", pipelines=1), Way("booth", pipelines=1)),
        _format("post", 4, 1): (Way("one-hot-shift", pipelines=1),),
        _format("post", 4, 2): (Way("one-hot-shift", pipelines=1),),
    }
)
LARGE: tuple[WeightFormat, ...] = (INT4, POST4, GAP4, FP4, POT4)
"""Formats whose first contender is measured at 24 x 48 too, with as many pipelines as at 16 x 16."""
FRONTS: tuple[tuple[WeightFormat, ...], ...] = (
    (INT4, POST4, GAP4, FP4, INT3, POST3, POT3, INT2, POST2),
    (INT4, POST4),
    (INT4, POST4, GAP4, FP4),
)
"""By pipeline: formats whose first contender has a front over :data:`CLOCKS`."""
HELD: tuple[WeightFormat, ...] = tuple(weight for weight in CONTENDERS if weight != NF4)
"""Formats measured with weight registers too."""

NOT_TRIED: Mapping[str, str] = MappingProxyType(
    {
        "planes (two's complement, one AND per bit)": "ABC takes minutes for it; signed-planes does the same with less",
        "int with the sign behind a product of its own": "98.6 um2 at nangate45, where signed-planes takes 80.7: taken out",
        "whole-table at 16 x 16": "the largest at 8 x 8 by far",
        "other trees than Wallace's at 24 x 48": "Dadda's is within 1% at 16 x 16",
        "code orders other than three a format": "at the other orders decoding takes more literals (hw.studies.orders)",
        "fronts of more than the first way of each format": "its other ways are smaller by at most 1% at the default clock",
        "pipelines with two stages": "the clocks tried need none",
    }
)


@cache
def _order(weight: WeightFormat, order: str) -> tuple[int, ...]:
    if order == OWN:
        return ()
    fields = range(1 << weight.magnitude_bits)
    if order == FALLING:
        return tuple(reversed(fields))
    return next(codes for _, codes in cheapest(weight, 3) if codes != tuple(fields))


def tile(weight: WeightFormat, way: Way, **fields: Any) -> TileSpec:
    """The tile of a format made one way; activations have 4 bits, or the weights' 2, 3 or 8."""
    abits = 4 if weight.bits == 4 else weight.bits
    return TileSpec(weight, abits, variant=way.variant, order=_order(weight, way.order), **fields)


def contenders() -> Iterator[TileSpec]:
    """What conclusions rest on, the same for every format: 16 x 16, 24 x 48, weight registers, other pipelines.

    What matters most comes first, so that a search that is cut short has it for every node.
    """
    small = dict(zip(("rows", "cols"), SIZES[0], strict=True))
    large = dict(zip(("rows", "cols"), SIZES[1], strict=True))
    ways = [(weight, way) for weight, several in CONTENDERS.items() for way in several]
    for weight, way in ways:
        yield tile(weight, way, **small, **PIPELINES[0])
    for weight in (INT4, INT3, INT2, POST4, POST3, POST2):
        yield tile(weight, CONTENDERS[weight][0], **small, **PIPELINES[1])
    for weight in HELD:
        yield tile(weight, CONTENDERS[weight][0], registers=True, **small, **PIPELINES[0])
    for pipeline in PIPELINES[:2]:
        for weight in LARGE:
            yield tile(weight, CONTENDERS[weight][0], **large, **pipeline)
    for weight in (GAP4_E2M1, FP4):
        yield tile(weight, Way("gap-or-fp4"), **small, **PIPELINES[0])
    for index in range(1, 4):
        for weight, way in ways:
            if index < way.pipelines:
                yield tile(weight, way, **small, **PIPELINES[index])
    for weight in (INT4, POST4, GAP4):
        for way in CONTENDERS[weight][:2]:
            yield tile(weight, way, registers=True, **small, **PIPELINES[1])
    for weight in LARGE[:-1]:
        yield tile(weight, CONTENDERS[weight][0], **large, **PIPELINES[2])
        yield tile(weight, CONTENDERS[weight][0], registers=True, **small, **PIPELINES[2])
    for weight in LARGE[:-1]:
        yield tile(weight, CONTENDERS[weight][0], **large, **PIPELINES[3])


def fronts() -> Iterator[TileSpec]:
    """The tiles that are measured at every one of :data:`CLOCKS`."""
    small = dict(zip(("rows", "cols"), SIZES[0], strict=True))
    for pipeline, weights in zip(PIPELINES, FRONTS, strict=False):
        for weight in weights:
            yield tile(weight, CONTENDERS[weight][0], **small, **pipeline)


def wide() -> Iterator[TileSpec]:
    """Every way of every 4-bit format at 8 x 8, and what was varied one at a time at 16 x 16."""
    for weight in (INT4, POST4, GAP4, GAP4_E2M1, FP4, POT4, APOT4, NF4):
        for name in variants.names(weight.grid):
            if name in ("planes", "whole-table") and weight is INT4:
                continue
            if name in ("even-odd", "shift-add", "shared-shift-add") and weight is GAP4:
                continue  # two tables
            if name in ("post-or-fp4", "gap-or-fp4") and weight not in (POST4, GAP4_E2M1, FP4):
                continue
            yield tile(weight, Way(name), rows=8, cols=8)
    for frac_bits in (1, 2, 3, 4, 6):
        yield tile(_format("post", 4, frac_bits), Way("one-hot-shift"), rows=8, cols=8)
    wide_fields: dict[str, Any] = {"rows": 16, "cols": 16, "edge_registers": True}
    for weight in (INT4, POST4, GAP4, FP4):
        way = CONTENDERS[weight][0]
        yield tile(weight, way, tree="dadda", **wide_fields)
        yield tile(weight, way, carry_save=True, **wide_fields)
        yield tile(weight, way, rows=32, cols=16, edge_registers=True)
        yield tile(weight, way, rows=32, cols=16, edge_registers=True, stage="tree")
        for pipeline in PIPELINES[4:]:
            yield tile(weight, way, rows=16, cols=16, **pipeline)
    for name in ("carry-in", "gated", "two-signs", "late-sign"):
        yield tile(POST4, Way(name), **wide_fields)
    for order in ((0, 1, 2, 3, 4, 7, 6, 5), (0, 1, 3, 2, 6, 7, 5, 4), (1, 2, 3, 4, 5, 6, 7, 0)):
        yield TileSpec(POST4, 4, variant="one-hot-shift", order=order, **wide_fields)
    for share in (1, 2, 4):
        yield TileSpec(POST4, 4, variant="select-shift", rows=8, cols=8, share=share)
