"""Options that several commands have."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import click
from click.core import ParameterSource
from click.shell_completion import CompletionItem

from asq_sw.errors import nearest
from asq_sw.formats import ENCODINGS, GRIDS, WeightFormat


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


_WEIGHT_OPTIONS = ("grid", "wbits", "frac_bits", "exponents", "anchor", "encoding")


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
        click.option("--frac-bits", type=int, help="Fractional bits of the grid's rounded table.  [default: the grid's]"),
        click.option("--wbits", type=int, default=4, show_default=True, help="Weight bits, 2 to 8."),
        click.option("--grid", type=click.Choice(GRIDS), default="post", show_default=True, help="Weight grid."),
    ):  # fmt: skip
        wrapped = option(wrapped)
    return wrapped


UNIT_OPTIONS: dict[str, dict[str, Any]] = {
    "abits": {"type": int, "default": 4, "help": "Activation bits, 2 to 8."},
    "variant": {"default": "", "help": "Datapath: shift-lut, table, ...; by default the grid's first."},
    "signed_activations": {"flag": "--signed", "is_flag": True, "help": "Two's complement activations."},
    "rows": {"type": int, "help": "Rows of an array or tile, 1 to 1024."},
    "cols": {"type": int, "help": "Columns of an array or tile, 1 to 1024."},
    "dataflow": {
        "type": click.Choice(["ws", "os"]), "default": "ws", "help": "What stays in a pe or array: weights or sums.",
    },
    "skew": {"is_flag": True, "help": "The array delays its inputs and aligns its outputs itself."},
    "terms": {
        "type": click.IntRange(min=1),
        "help": "Products that a sum holds.  [default: the array's rows, a tile's 32768]",
    },
    "tree": {"help": "Tile: how a column adds: wallace, dadda, adders or chain.  [default: wallace]"},
    "share": {"type": int, "help": "Tile: columns that share an edge's lines; by default all."},
    "registers": {"is_flag": True, "help": "Tile: weights in registers, written where load is 1."},
    "edge_registers": {"is_flag": True, "help": "Tile: registers behind the edge."},
    "carry_save": {"is_flag": True, "help": "Tile: accumulators of two words, so that no carry runs."},
    "stage": {"help": "Tile: a register in every column: none, products or tree.  [default: none]"},
    "order": {"type": _Numbers(), "help": "Tile: what is stored for each magnitude field, a permutation."},
    "enable": {"is_flag": True, "help": "Tile: a clock enable, en: registers hold where it is 0."},
    "reset": {"is_flag": True, "help": "Tile: a synchronous reset of the accumulators, rst."},
}  # fmt: skip
"""Parameter of a unit's specification -> attributes of its option; ``flag`` where its name is another."""


def unit_options(side: int) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command the argument UNIT and the options of all units, as one :class:`hw.units.unit.Unit` ``unit``.

    ``side``: rows and columns of a unit that has them, where they are not given.

    The command refuses an option that its unit does not take (:data:`hw.units.unit.UNITS`) with a click.UsageError,
    and passes on the InputError of a value that the unit refuses.
    """

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(command)
        def wrapped(*, unit: str, weight: WeightFormat, **arguments: Any) -> Any:
            from hw.units.unit import kind, make

            taken = kind(unit).options
            context = click.get_current_context()
            values = {"weight": weight} | {name: arguments.pop(name) for name in UNIT_OPTIONS}
            for name in (*_WEIGHT_OPTIONS, *UNIT_OPTIONS):
                option = "weight" if name in _WEIGHT_OPTIONS else name
                given = context.get_parameter_source(name) is not ParameterSource.DEFAULT
                if given and option not in taken:
                    flag = UNIT_OPTIONS.get(name, {}).get("flag", "--" + name.replace("_", "-"))
                    raise not_taken(unit, flag, option)
            options = {name: value for name, value in values.items() if name in taken and value is not None}
            return command(unit=make(unit, **options), **arguments)

        with_options: Callable[..., Any] = weight_options(wrapped)
        for name, attributes in reversed(UNIT_OPTIONS.items()):
            attributes = dict(attributes)
            flag = attributes.pop("flag", "--" + name.replace("_", "-"))
            if name in ("rows", "cols"):
                attributes["default"] = side
            shown = attributes.get("default") not in (None, "")
            with_options = click.option(flag, name, show_default=shown, **attributes)(with_options)
        return click.argument("unit", shell_complete=_units)(with_options)

    return decorate


def _units(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Names of units for the shell's completion."""
    from hw.units.unit import UNITS

    return [name for name in UNITS if name.startswith(incomplete)]


def not_taken(unit: str, flag: str, option: str) -> click.UsageError:
    """The error of a command-line option for a unit that does not take ``option`` (:data:`hw.units.unit.UNITS`)."""
    from hw.units.unit import takers

    return click.UsageError(f"{flag} is given for unit {unit}, expected unit {' or '.join(takers(option))}")


class _Node(click.ParamType):
    """The name of a technology node; the names are read when one is given or shown."""

    name = "node"

    def get_metavar(self, param: click.Parameter, ctx: click.Context | None = None) -> str:
        from hw.nodes import NODES

        return f"[{'|'.join(NODES)}]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        from hw.nodes import NODES

        if value not in NODES:
            self.fail(
                f"{value!r} is not one of {', '.join(map(repr, NODES))}{nearest(value, NODES)}", param, ctx
            )
        return str(value)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        from hw.nodes import NODES

        return [CompletionItem(name) for name in NODES if name.startswith(incomplete)]


NODE = _Node()
