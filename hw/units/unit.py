"""What every hardware unit answers for (:class:`Unit`), and which units there are (:data:`UNITS`).

Verilog (:mod:`hw.rtl.verilog`), synthesis, measurement and the commands know units by this protocol alone. A unit
need have no weight grid and make no products: an adapter, a requantizer, a DMA. A new unit is a specification in a
file of its own and a line in :data:`UNITS`; an option that no unit has had before is described in
``asq_sw/commands/options.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from asq_sw.errors import InputError, nearest

if TYPE_CHECKING:
    from hw.units.operands import Operands

LANES = 512
"""Copies of a unit that are simulated together where nothing else is said, each with operands of its own."""


@dataclass(frozen=True, eq=False)
class Stimulus:
    """What drives a unit while its energy is measured.

    Attributes
    ----------
    inputs : dict of str
        Input port -> whole numbers, (cycles, lanes); packed ports have axes more, as
        :func:`hw.synth.activity.toggles.simulate` takes them. Ports that are not named stay 0.
    counting : (cycles,) bool
        Which cycles count: not those that load weights or fill a pipeline.
    source : str
        Where the values come from, in words.
    """

    inputs: dict[str, ArrayLike]
    counting: NDArray[np.bool_]
    source: str


@dataclass(frozen=True)
class Part:
    """A module that a unit is mostly copies of: it is mapped by itself first, then kept whole inside the unit.

    Attributes
    ----------
    component : wiring.Component
        The part; it is elaborated once.
    module_name : str
        Its module's name inside the unit.
    tries : int
        Recipes that the part takes to the whole unit, at most, until one meets the clock there. With 1 the unit is
        made by the recipe that was best for the part.
    """

    component: Any
    module_name: str
    tries: int = 1


class Unit(Protocol):
    """A hardware unit to build: a value that can be named, built, driven and told from others.

    Subclass it for :meth:`part`'s default.
    """

    @property
    def name(self) -> str:
        """Its Verilog module's name: equal names mean equal modules."""

    @property
    def options(self) -> str:
        """The command-line words after ``asq verilog`` that mean this unit."""

    @property
    def macs(self) -> int:
        """Multiply-accumulates per clock cycle; 0 for a unit that makes none."""

    @property
    def latency(self) -> int:
        """Clock cycles from an operand at an input until the last output that depends on it; 0: combinational."""

    def build(self) -> Any:
        """The unit as an :class:`amaranth.lib.wiring.Component`."""

    def header(self) -> list[str]:
        """What its Verilog's first comment says of ports and function, a line each, without ``//``."""

    def stimulus(self, lanes: int = LANES, seed: int = 0, operands: Operands | None = None) -> Stimulus:
        """What drives it while it is measured.

        Parameters
        ----------
        lanes : int
            Copies, a multiple of 64.
        seed : int
        operands : Operands, optional
            The layer whose operands it works on; by default the unit's own choice.

        Raises
        ------
        InputError
            For operands, if it takes none.
        """

    def record(self) -> dict[str, Any]:
        """Which unit it is, JSON-ready: ``unit`` (its name in :data:`UNITS`), then its formats, shape and options."""

    def part(self) -> Part | None:
        """What it is mostly copies of, if anything."""
        return None


@dataclass(frozen=True)
class Kind:
    """A line of :data:`UNITS`.

    Attributes
    ----------
    spec : str
        ``"module:class"`` of its :class:`Unit`, imported when one is made.
    options : tuple of str
        The class's parameters that are options of the commands; ``weight`` stands for those of a weight format.
    given : mapping
        Further arguments of the class: for a class of several units.
    contract : str
        ``"module:function"``: of such a unit, the text of a JSON file with what one must know besides its Verilog;
        empty if there is no more.
    """

    spec: str
    options: tuple[str, ...]
    given: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    contract: str = ""


_FORMATS = ("weight", "abits", "variant", "signed_activations")
_SPEC = "hw.units.spec:UnitSpec"

UNITS: dict[str, Kind] = {
    "multiplier": Kind(_SPEC, (*_FORMATS, "terms"), {"unit": "multiplier"}),
    "pe": Kind(_SPEC, (*_FORMATS, "dataflow", "terms"), {"unit": "pe"}),
    "array": Kind(_SPEC, (*_FORMATS, "rows", "cols", "dataflow", "skew", "terms"), {"unit": "array"}),
    "tile": Kind(
        "hw.units.tile:TileSpec",
        (
            *_FORMATS, "rows", "cols", "terms", "tree", "share", "registers", "edge_registers", "carry_save", "stage",
            "order", "enable", "reset",
        ),
        contract="hw.units.contract:text",
    ),
}  # fmt: skip


def kind(unit: str) -> Kind:
    """The line of :data:`UNITS`.

    Raises
    ------
    InputError
        For another name.
    """
    if unit not in UNITS:
        raise InputError(f"unit is {unit!r}, expected one of {', '.join(UNITS)}{nearest(unit, UNITS)}")
    return UNITS[unit]


def takers(option: str) -> list[str]:
    """Names of the units that take an option."""
    return [name for name, line in UNITS.items() if option in line.options]


def make(unit: str, **options: Any) -> Unit:
    """The unit of that name with these of its options.

    Raises
    ------
    InputError
        For an unknown unit, an option that it does not take, or a value that it refuses.
    """
    line = kind(unit)
    for option in options:
        if option not in line.options:
            raise InputError(f"{option} is given for unit {unit}, expected {' or '.join(takers(option))}")
    made: Unit = imported(line.spec)(**line.given, **options)
    return made


def imported(home: str) -> Any:
    """What ``"module:name"`` means."""
    module, name = home.split(":")
    return getattr(import_module(module), name)
