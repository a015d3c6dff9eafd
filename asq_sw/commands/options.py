"""Options that several commands have."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from asq_sw.formats import ENCODINGS, GRIDS, WeightFormat

if TYPE_CHECKING:
    from hw.units.spec import UnitSpec
    from hw.units.tile import TileSpec


class _Numbers(click.ParamType):
    """Whole numbers with commas between them."""

    name = "N,N,..."

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        try:
            return tuple(int(word) for word in value.split(","))
        except ValueError:
            self.fail(f"{value!r}, expected whole numbers such as 0,1,3,2", param, ctx)


def weight_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options of a weight format, as one :class:`~asq_sw.formats.WeightFormat` ``weight``."""

    @wraps(command)
    def wrapped(
        *,
        grid: str,
        wbits: int,
        frac_bits: int | None,
        exponents: tuple[int, ...] | None,
        anchor: int | None,
        encoding: str | None,
        **arguments: Any,
    ) -> Any:
        weight = WeightFormat(grid, wbits, frac_bits, exponents=exponents, anchor=anchor, encoding=encoding)
        return command(weight=weight, **arguments)

    for option in (
        click.option(
            "--encoding", type=click.Choice(ENCODINGS[:2]), help="Stored form of int.  [default: sign-magnitude]"
        ),
        click.option(
            "--anchor", type=int,
            help="POST: M, the largest exponent, or one less: the smallest level is then rounded too.",
        ),
        click.option(
            "--exponents", type=_Numbers(), help="POST: half octaves down from the largest level, such as 0,1,2,3,4,5,7.",
        ),
        click.option("--frac-bits", type=int, help="Fractional bits of the sqrt(2) table.  [default: 2]"),
        click.option("--wbits", type=int, default=4, show_default=True, help="Weight bits, 2 to 8."),
        click.option("--grid", type=click.Choice(GRIDS), default="post", show_default=True, help="Weight grid."),
    ):  # fmt: skip
        wrapped = option(wrapped)
    return wrapped


# No defaults, so that what is given is known.
TILE_OPTIONS: dict[str, dict[str, Any]] = {
    "tree": {"help": "Tile: how a column adds: wallace, dadda, adders or chain.  [default: wallace]"},
    "share": {"type": int, "help": "Tile: columns that share an edge's lines; by default all."},
    "registers": {"is_flag": True, "help": "Tile: weights in registers, written where load is 1."},
    "edge_registers": {"is_flag": True, "help": "Tile: registers behind the edge."},
    "carry_save": {"is_flag": True, "help": "Tile: accumulators of two words, so that no carry runs."},
    "stage": {"help": "Tile: a register in every column: none, products or tree.  [default: none]"},
    "order": {"type": _Numbers(), "help": "Tile: what is stored for each magnitude field, a permutation."},
    "enable": {"is_flag": True, "help": "Tile: a clock enable, en: registers hold where it is 0."},
    "reset": {"is_flag": True, "help": "Tile: a synchronous reset of the accumulators, rst."},
}
"""Field of :class:`hw.units.tile.TileSpec` -> attributes of its option."""


def tile_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options of :data:`hw.units.tile.CHOICES`, as one dict ``tile`` of those that are given."""

    @wraps(command)
    def wrapped(**arguments: Any) -> Any:
        given = {name: arguments.pop(name) for name in TILE_OPTIONS}
        tile = {name: value for name, value in given.items() if value is not None and value is not False}
        return command(tile=tile, **arguments)

    for name, attributes in reversed(TILE_OPTIONS.items()):
        wrapped = click.option("--" + name.replace("_", "-"), **attributes)(wrapped)
    return wrapped


def unit_of(spec: UnitSpec, tile: dict[str, Any]) -> UnitSpec | TileSpec:
    """The unit that a command means: of a tile, with the options of :func:`tile_options`.

    Raises
    ------
    click.UsageError
        For such an option with another unit.
    InputError
        For a value that the tile does not take.
    """
    from hw.units.tile import TileSpec

    if spec.unit == "tile":
        return replace(TileSpec.from_unit(spec), **tile)
    if tile:
        option = next(iter(tile)).replace("_", "-")
        raise click.UsageError(f"--{option} is given for unit {spec.unit}, expected unit tile")
    return spec
