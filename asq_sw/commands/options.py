"""Options that several commands have."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import wraps
from importlib import import_module
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


class Number(click.FloatRange):
    """A finite number, within limits if there are some."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a finite number.", param, ctx)
        return number


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
        if frac_bits and not weight.takes_frac_bits:
            raise click.UsageError(
                f"--frac-bits is {frac_bits} for grid {grid}, expected none: nothing of it is rounded"
            )
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
    "abits": {"type": int, "help": "Activation bits, 2 to 8.  [default: as many as weight bits]"},
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
            if values["abits"] is None:
                values["abits"] = weight.bits
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


class OneOf(click.ParamType):
    """A name of a table that is imported when the option is given or shown: ``module:TABLE``."""

    name = "name"

    def __init__(self, table: str):
        self.table = table

    def _names(self) -> list[str]:
        module, name = self.table.split(":")
        return list(getattr(import_module(module), name))

    def get_metavar(self, param: click.Parameter, ctx: click.Context | None = None) -> str:
        return f"[{'|'.join(self._names())}]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if value not in self._names():
            names = self._names()
            self.fail(
                f"{value!r} is not one of {', '.join(map(repr, names))}{nearest(value, names)}", param, ctx
            )
        return str(value)


class Values(click.ParamType):
    """Comma-separated values of one type."""

    def __init__(self, kind: type):
        self.kind = kind
        self.word = {int: "whole numbers", float: "numbers", str: "names"}[kind]
        self.name = {int: "N,N,...", float: "X,X,...", str: "NAME,NAME,..."}[kind]

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[Any, ...]:
        if isinstance(value, tuple):
            return value
        try:
            return tuple(self.kind(part.strip()) for part in value.split(","))
        except ValueError:
            self.fail(f"{value!r}, expected {self.word} with commas between them", param, ctx)


MACHINE_OPTIONS: dict[str, tuple[type, click.ParamType | None, str]] = {
    "arrays": (int, None, "Equal arrays on one DRAM.  [default: 1]"),
    "rows": (int, None, "Rows of the array.  [default: 32]"),
    "cols": (int, None, "Columns of the array.  [default: 32]"),
    "dataflow": (str, OneOf("hw.machine.dataflows:DATAFLOWS"), "What stays in the array.  [default: ws]"),
    "grid": (str, click.Choice(GRIDS), "Weight grid.  [default: post]"),
    "wbits": (int, None, "Weight bits, 2 to 8.  [default: 4]"),
    "abits": (int, None, "Activation bits, 2 to 8.  [default: as many as weight bits]"),
    "frac_bits": (int, None, "Fractional bits of the grid's rounded table.  [default: the grid's]"),
    "unit": (
        str, OneOf("hw.machine.spec:UNIT_DATAFLOWS"), "MACs' area and energy: lone elements or 16x16 tiles.  [default: pe]",
    ),
    "node": (str, NODE, "Cell library of the MACs.  [default: nangate45]"),
    "ifmap_kib": (float, None, "Scratchpad of the input map, KiB.  [default: 128]"),
    "filter_kib": (float, None, "Scratchpad of the weights, KiB.  [default: 128]"),
    "ofmap_kib": (float, None, "Scratchpad of sums and outputs, KiB.  [default: 128]"),
    "ifmap_banks": (int, None, "Banks of the ifmap scratchpad; their conflicts count, fidelity 2.  [default: no banks]"),
    "dram": (str, OneOf("sim.cost.memory:DRAM"), "DRAM; its timing counts, fidelity 2.  [default: bandwidth]"),
    "dram_gb_per_s": (float, None, "DRAM bandwidth, 1e9 bytes a second, without a preset.  [default: 12.8]"),
    "asq": (str, click.Choice(["off", "two-pass", "producer"]), "Cost of ASQ's step; fidelity 2.  [default: off]"),
}  # fmt: skip
"""Field of a machine (:class:`sim.accelerator.Accelerator`) -> type of a value, type of its option, help."""


def machine_options(many: bool = False) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command a machine: a file of it (``config``) and the fields given beside it, as a dict ``machine``.

    ``many``: each field takes values with commas between them, and ``machine`` holds tuples. A clock is given in MHz or
    ns, and held as ``clock_mhz``.
    """

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(command)
        def wrapped(**arguments: Any) -> Any:
            given = {name: arguments.pop(name) for name in MACHINE_OPTIONS}
            given["clock_mhz"] = clock_mhz(arguments.pop("clock_mhz"), arguments.pop("clock_ns"))
            machine = {name: value for name, value in given.items() if value is not None}
            return command(machine=machine, **arguments)

        options = [
            click.option(
                "--" + name.replace("_", "-"), type=Values(kind) if many else of_one or kind, help=text
            )
            for name, (kind, of_one, text) in MACHINE_OPTIONS.items()
        ]
        options += clock_options(Values(float) if many else float, "Clock, MHz.  [default: 500]")
        options.append(
            click.option("--config", type=click.Path(), help="TOML file of the machine; options override it.")
        )
        for option in reversed(options):
            wrapped = option(wrapped)
        return wrapped

    return decorate


def clock_options(kind: Any, text: str) -> list[Callable[..., Any]]:
    """``--clock-mhz`` and ``--clock-ns``: a clock either way, for :func:`clock_mhz`."""
    return [
        click.option("--clock-mhz", type=kind, help=text),
        click.option("--clock-ns", type=kind, help="The clock by its period, ns."),
    ]


def clock_mhz(mhz: Any, ns: Any) -> Any:
    """A clock in MHz, or several in a tuple, from the two options; None where neither is given.

    Raises
    ------
    click.UsageError
        For both at once, and for a period that is not above 0.
    """
    return _clock(mhz, ns, "--clock-ns")


def clock_ns(mhz: Any, ns: Any) -> Any:
    """As :func:`clock_mhz`, in ns."""
    return _clock(ns, mhz, "--clock-mhz")


def _clock(wanted: Any, other: Any, flag: str) -> Any:
    """The clock as it is wanted, or made from the other option, called ``flag``."""
    if other is None:
        return wanted
    if wanted is not None:
        raise click.UsageError("--clock-mhz and --clock-ns are given, expected one of them")
    given = other if isinstance(other, tuple) else (other,)
    for value in given:
        if not 0 < value < float("inf"):
            raise click.UsageError(f"{flag} is {value:g}, expected a finite number above 0")
    clocks = tuple(1e3 / value for value in given)
    return clocks if isinstance(other, tuple) else clocks[0]
