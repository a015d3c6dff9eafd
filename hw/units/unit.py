"""Which hardware unit is meant: its number formats, its variant and its shape. The one registry of variants.

A :class:`UnitSpec` is a value: it can be compared, hashed, named and built. Verilog, synthesis and the tests
all start from one. To add a variant, write its component in a file of its own and add a line to
:data:`REGISTRY`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from operator import attrgetter
from typing import Any, NamedTuple

from asq_sw.errors import InputError
from asq_sw.formats import GRIDS, MAX_BITS, MIN_BITS, ActivationFormat, WeightFormat, grids
from hw.units.variants import VARIANTS as TILE_VARIANTS

DATAFLOWS = ("ws", "os")
MAX_SIDE = 1024
MAX_TERMS = 1 << 24
PE_TERMS = 32
"""Products that a lone processing element's partial sum holds, by default: a column of 32 rows."""
OS_TERMS = 32768
"""Products that an output-stationary accumulator holds, by default: more than any built-in layer's K."""


class Entry(NamedTuple):
    """One line of :data:`REGISTRY`: ``unit`` of any of ``grids`` has this variant.

    ``builder`` is ``"module:name"`` of a callable that takes the :class:`UnitSpec` and gives the component.
    It is imported when it is first called, so that reading the registry costs nothing. ``max_index_bits``
    is the widest activation and weight code together that it is built for.
    """

    unit: str
    grids: tuple[str, ...]
    variant: str
    builder: str
    max_index_bits: int = 2 * MAX_BITS + 1


# Ways to make the product. Each is a multiplier of its own, and goes into the processing element and array.
_MULTIPLIERS = (
    Entry(
        "multiplier",
        grids(lambda grid: grid.reads_table),
        "shift-lut",
        "hw.units.multiplier:ShiftMultiplier.from_spec",
    ),
    Entry(
        "multiplier",
        grids(lambda grid: grid.shifts and not grid.reads_table),
        "shift",
        "hw.units.multiplier:PotMultiplier.from_spec",
    ),
    Entry(
        "multiplier",
        grids(lambda grid: grid.selectors is not None),
        "shift-add",
        "hw.units.multiplier:ApotMultiplier.from_spec",
    ),
    Entry(
        "multiplier",
        grids(lambda grid: grid.uniform),
        "multiply",
        "hw.units.multiplier:IntMultiplier.from_spec",
    ),
    Entry(
        "multiplier",
        grids(lambda grid: grid.kind == "table"),
        "table-multiply",
        "hw.units.multiplier:FixedTableMultiplier.from_spec",
    ),
    Entry("multiplier", GRIDS, "table", "hw.units.multiplier:TableMultiplier.from_spec", max_index_bits=12),
)

# The first line that names a unit and a grid is that grid's default variant of the unit.
REGISTRY: tuple[Entry, ...] = (
    *_MULTIPLIERS,
    *(entry._replace(unit="pe", builder="hw.units.pe:processing_element") for entry in _MULTIPLIERS),
    *(entry._replace(unit="array", builder="hw.units.array:systolic_array") for entry in _MULTIPLIERS),
    *(Entry("tile", way.grids, way.name, "hw.units.tile:tile", way.max_index_bits) for way in TILE_VARIANTS),
)

UNITS = tuple(dict.fromkeys(entry.unit for entry in REGISTRY))
SHAPED_UNITS = ("array", "tile")
"""Units that have rows and columns; of the others there is one."""


def variants(unit: str, grid: str) -> tuple[str, ...]:
    """Names of the variants of a unit for a grid; the first is the default."""
    return tuple(entry.variant for entry in REGISTRY if entry.unit == unit and grid in entry.grids)


VARIANTS: dict[str, tuple[str, ...]] = {grid: variants("multiplier", grid) for grid in GRIDS}
"""Grid -> names of the multiplier's variants; the first is the default."""


def formats_name(weight: WeightFormat, activation: ActivationFormat) -> str:
    """The number formats in a word, such as ``post4a4f2``; ``as4`` is signed activations."""
    fraction = f"f{weight.frac_bits}" if weight.takes_frac_bits else ""
    sign = "s" if activation.signed else ""
    return f"{weight.name.removesuffix(fraction)}a{sign}{activation.bits}{fraction}"


def _whole(field: str, value: Any, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise InputError(f"{field} is {value!r}, expected a whole number from {low} to {high}")


@dataclass(frozen=True)
class UnitSpec:
    """A hardware unit to build.

    Parameters
    ----------
    unit : str
        One of :data:`UNITS`.
    weight : WeightFormat
        The weight grid, with its bits and fractional bits.
    abits : int
        Activation bits, 2 to 8.
    signed_activations : bool
        Two's complement activations; else unsigned.
    variant : str
        One of ``variants(unit, weight.grid)``; empty for the default, which then stands here.
    rows, cols : int
        Shape of an array or tile, 1 to 1024; 1 for the other units.
    terms : int
        How many products a partial sum or accumulator must hold without overflow, 1 to 2**24. 0 for the
        default, which then stands here: the array's rows, 32 for a lone processing element, 32768 for a
        tile's or an output-stationary accumulator, 1 for a multiplier.
    dataflow : str
        ``"ws"`` (weight-stationary) or ``"os"`` (output-stationary); of processing element and array.
    skew : bool
        Whether an array delays its own inputs and aligns its own outputs (see :mod:`hw.units.array`).

    Raises
    ------
    InputError
        For anything out of range, and for a variant that the unit does not have for the grid or that is not
        built at these widths (a table with too many entries).
    """

    unit: str
    weight: WeightFormat
    abits: int = 4
    signed_activations: bool = False
    variant: str = ""
    rows: int = 1
    cols: int = 1
    terms: int = 0
    dataflow: str = "ws"
    skew: bool = False

    def __post_init__(self) -> None:
        if self.unit not in UNITS:
            raise InputError(f"unit is {self.unit!r}, expected one of {', '.join(UNITS)}")
        _whole("activation bits", self.abits, MIN_BITS, MAX_BITS)
        names = variants(self.unit, self.weight.grid)
        if not names:
            raise InputError(f"{self.unit} has no variant for grid {self.weight.grid}")
        if not self.variant:
            object.__setattr__(self, "variant", names[0])
        if self.variant not in names:
            raise InputError(
                f"variant is {self.variant!r}, expected one of {', '.join(names)} "
                f"for {self.unit} and grid {self.weight.grid}"
            )
        bits, limit = self.abits + self.weight.storage_bits, self._entry.max_index_bits
        if bits > limit:
            raise InputError(
                f"activation and weight code have {bits} bits together, "
                f"expected at most {limit} for variant {self.variant}"
            )
        for field, side in (("rows", self.rows), ("cols", self.cols)):
            _whole(field, side, 1, MAX_SIDE)
            if side != 1 and self.unit not in SHAPED_UNITS:
                raise InputError(
                    f"{field} is {side} for a {self.unit}, expected 1: only an array has {field}"
                )
        if self.dataflow not in DATAFLOWS:
            raise InputError(f"dataflow is {self.dataflow!r}, expected one of {', '.join(DATAFLOWS)}")
        if self.dataflow != "ws" and self.unit not in ("pe", "array"):
            raise InputError(f"dataflow is {self.dataflow!r} for a {self.unit}, expected a pe or an array")
        if self.skew and self.unit != "array":
            raise InputError(f"skew is set for a {self.unit}, expected an array")
        if self.terms == 0:
            object.__setattr__(self, "terms", self._default_terms)
        _whole("terms", self.terms, 1, MAX_TERMS)

    @property
    def _default_terms(self) -> int:
        if self.unit == "multiplier":
            return 1
        if self.dataflow == "os" or self.unit == "tile":
            return OS_TERMS
        return self.rows if self.unit in SHAPED_UNITS else PE_TERMS

    @property
    def activation(self) -> ActivationFormat:
        """The activation format."""
        return ActivationFormat(self.abits, self.signed_activations)

    @property
    def product_bits(self) -> int:
        """Width of a product (two's complement)."""
        return self.weight.product_bits(self.abits, self.signed_activations)

    @property
    def psum_bits(self) -> int:
        """Width of a partial sum or accumulator (two's complement)."""
        return self.weight.accumulator_bits(self.abits, self.terms, self.signed_activations)

    @property
    def macs(self) -> int:
        """Multiply-accumulates per clock cycle."""
        return self.rows * self.cols

    @property
    def formats_name(self) -> str:
        """See :func:`formats_name`."""
        return formats_name(self.weight, self.activation)

    @property
    def name(self) -> str:
        """A Verilog module name that tells units apart, such as ``post4a4f2_array_32x32_shift_lut``."""
        parts = [self.formats_name, self.unit]
        if self.dataflow != "ws":
            parts.append(self.dataflow)
        if self.unit in SHAPED_UNITS:
            parts.append(f"{self.rows}x{self.cols}")
        if self.skew:
            parts.append("skew")
        if self.terms != self._default_terms:
            parts.append(f"t{self.terms}")
        return "_".join([*parts, self.variant.replace("-", "_")])

    @property
    def options(self) -> str:
        """The command-line words that mean this unit, such as ``pe --grid post --wbits 4 --abits 4 ...``."""
        words = [self.unit, "--grid", self.weight.grid, "--wbits", str(self.weight.bits)]
        if self.weight.own_exponents is not None:
            words += ["--exponents", ",".join(map(str, self.weight.own_exponents))]
        if self.weight.half_anchor:
            words += ["--anchor", str(self.weight.anchor)]
        if self.weight.encoding != self.weight.record.encodings[0]:
            words += ["--encoding", self.weight.encoding]
        words += ["--abits", str(self.abits), "--variant", self.variant]
        if self.weight.takes_frac_bits:
            words += ["--frac-bits", str(self.weight.frac_bits)]
        if self.signed_activations:
            words.append("--signed")
        if self.unit in SHAPED_UNITS:
            words += ["--rows", str(self.rows), "--cols", str(self.cols)]
        if self.dataflow != "ws":
            words += ["--dataflow", self.dataflow]
        if self.skew:
            words.append("--skew")
        if self.terms != self._default_terms:
            words += ["--terms", str(self.terms)]
        return " ".join(words)

    @property
    def _entry(self) -> Entry:
        for entry in REGISTRY:
            if entry.unit == self.unit and entry.variant == self.variant and self.weight.grid in entry.grids:
                return entry
        raise AssertionError("the constructor has checked the variant")

    def builder(self) -> Callable[..., Any]:
        """The callable that the registry names for this unit, grid and variant."""
        module, path = self._entry.builder.split(":")
        return attrgetter(path)(import_module(module))

    def build(self) -> Any:
        """The unit as an :class:`amaranth.lib.wiring.Component`."""
        return self.builder()(self)
