"""The units that multiply one activation and weight a cycle and element: multiplier, processing element, array.

A :class:`UnitSpec` is a value: it can be compared, hashed, named and built. To add a way of making the product,
write its component in :mod:`hw.units.multiplier` and add a line to :data:`MULTIPLIERS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from asq_sw.errors import InputError, nearest
from asq_sw.formats import GRIDS, MAX_BITS, MIN_BITS, ActivationFormat, WeightFormat, grids
from hw.units.unit import LANES, UNITS, Part, Stimulus, Unit, imported, takers

if TYPE_CHECKING:
    from hw.units.operands import Operands

DATAFLOWS = ("ws", "os")
MAX_SIDE = 1024
MAX_TERMS = 1 << 24
PE_TERMS = 32
"""Products that a lone processing element's partial sum holds, by default: a column of 32 rows."""
OS_TERMS = 32768
"""Products that an output-stationary accumulator holds, by default: more than any built-in layer's K."""


class Entry(NamedTuple):
    """One line of :data:`MULTIPLIERS`: any of ``grids`` has this variant.

    ``component`` is ``"module:class"``, imported when it is first built, so that reading the lines costs nothing.
    ``max_index_bits`` is the widest activation and weight code together that it is built for.
    """

    grids: tuple[str, ...]
    variant: str
    component: str
    max_index_bits: int = 2 * MAX_BITS + 1


# Ways to make the product. Each is a multiplier of its own, and goes into the processing element and array. The first
# line that names a grid is that grid's default.
MULTIPLIERS: tuple[Entry, ...] = (
    Entry(grids(lambda grid: grid.reads_table), "shift-lut", "hw.units.multiplier:ShiftMultiplier"),
    Entry(
        grids(lambda grid: grid.shifts and not grid.reads_table), "shift", "hw.units.multiplier:PotMultiplier"
    ),
    Entry(grids(lambda grid: grid.selectors is not None), "shift-add", "hw.units.multiplier:ApotMultiplier"),
    Entry(grids(lambda grid: grid.uniform), "multiply", "hw.units.multiplier:IntMultiplier"),
    Entry(
        grids(lambda grid: grid.kind == "table"), "table-multiply", "hw.units.multiplier:FixedTableMultiplier"
    ),
    Entry(GRIDS, "table", "hw.units.multiplier:TableMultiplier", max_index_bits=12),
)
VARIANTS: dict[str, tuple[str, ...]] = {
    grid: tuple(entry.variant for entry in MULTIPLIERS if grid in entry.grids) for grid in GRIDS
}
"""Grid -> names of the ways to make its product; the first is the default."""


class _Member(NamedTuple):
    """What the units of :class:`UnitSpec` differ in.

    ``component``: "module:function" of the spec that gives the component's class, which has ``from_spec``, ``timing``
    and ``drive``; ``terms``: the default of the spec's; ``cycles``: its latency.
    """

    component: str
    terms: Callable[[UnitSpec], int]
    cycles: Callable[[UnitSpec], int]


_MEMBERS = {
    "multiplier": _Member("hw.units.multiplier:multiplier", lambda spec: 1, lambda spec: 0),
    "pe": _Member(
        "hw.units.pe:processing_element",
        lambda spec: PE_TERMS if spec.dataflow == "ws" else OS_TERMS,
        lambda spec: 1,
    ),
    # An operand meets the last row or column's sum rows + cols - 2 cycles after it enters, whether the array skews
    # its inputs itself or is fed skewed ones.
    "array": _Member(
        "hw.units.array:systolic_array",
        lambda spec: spec.rows if spec.dataflow == "ws" else OS_TERMS,
        lambda spec: spec.rows + spec.cols - 1,
    ),
}


def formats_name(weight: WeightFormat, activation: ActivationFormat) -> str:
    """The number formats in a word, such as ``post4a4f2``; ``as4`` is signed activations."""
    fraction = f"f{weight.frac_bits}" if weight.takes_frac_bits else ""
    sign = "s" if activation.signed else ""
    return f"{weight.name.removesuffix(fraction)}a{sign}{activation.bits}{fraction}"


def format_options(weight: WeightFormat, activation: ActivationFormat, variant: str) -> list[str]:
    """The command-line words that mean a unit's formats and variant."""
    words = ["--grid", weight.grid, "--wbits", str(weight.bits)]
    if weight.own_exponents is not None:
        words += ["--exponents", ",".join(map(str, weight.own_exponents))]
    if weight.half_anchor:
        words += ["--anchor", str(weight.anchor)]
    if weight.encoding != weight.record.encodings[0]:
        words += ["--encoding", weight.encoding]
    words += ["--abits", str(activation.bits), "--variant", variant]
    if weight.takes_frac_bits:
        words += ["--frac-bits", str(weight.frac_bits)]
    if activation.signed:
        words.append("--signed")
    return words


def formats_record(weight: WeightFormat, activation: ActivationFormat, variant: str) -> dict[str, Any]:
    """What a record says of a unit's formats: ``grid``, ``wbits``, ``abits``, ``variant``, ``frac_bits``.

    ``frac_bits`` is None for a grid without fractional bits.
    """
    return {
        "grid": weight.grid,
        "wbits": weight.bits,
        "abits": activation.bits,
        "variant": variant,
        "frac_bits": weight.frac_bits if weight.takes_frac_bits else None,
    }


def operand_lines(weight: WeightFormat, activation: ActivationFormat) -> list[str]:
    """What a header says of activation, weight code and product."""
    sign = "signed" if activation.signed else "unsigned"
    return [
        f"a: activation, {sign}, {activation.bits} bits",
        f"w: weight code, grid {weight.grid}, {weight.storage_bits} bits stored",
        *weight.definition,
    ]


def _whole(field: str, value: Any, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise InputError(f"{field} is {value!r}, expected a whole number from {low} to {high}")


@dataclass(frozen=True)
class UnitSpec(Unit):
    """A multiplier, processing element or systolic array to build.

    Parameters
    ----------
    unit : str
        ``multiplier``, ``pe`` or ``array``.
    weight : WeightFormat
        The weight grid, with its bits and fractional bits.
    abits : int
        Activation bits, 2 to 8.
    signed_activations : bool
        Two's complement activations; else unsigned.
    variant : str
        One of ``VARIANTS[weight.grid]``; empty for the default, which then stands here.
    rows, cols : int
        Shape of an array, 1 to 1024; 1 for the other units.
    terms : int
        How many products a partial sum or accumulator must hold without overflow, 1 to 2**24. 0 for the
        default, which then stands here: the array's rows, 32 for a lone processing element, 32768 for an
        output-stationary accumulator, 1 for a multiplier.
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
        if self.unit not in _MEMBERS:
            raise InputError(f"unit is {self.unit!r}, expected one of {', '.join(_MEMBERS)}")
        _whole("activation bits", self.abits, MIN_BITS, MAX_BITS)
        names = VARIANTS[self.weight.grid]
        if not self.variant:
            object.__setattr__(self, "variant", names[0])
        if self.variant not in names:
            raise InputError(
                f"variant is {self.variant!r}, expected one of {', '.join(names)} "
                f"for {self.unit} and grid {self.weight.grid}{nearest(self.variant, names)}"
            )
        bits, limit = self.abits + self.weight.storage_bits, self._entry.max_index_bits
        if bits > limit:
            raise InputError(
                f"activation and weight code have {bits} bits together, "
                f"expected at most {limit} for variant {self.variant}"
            )
        for field in ("rows", "cols"):
            _whole(field, getattr(self, field), 1, MAX_SIDE)
        if self.dataflow not in DATAFLOWS:
            raise InputError(f"dataflow is {self.dataflow!r}, expected one of {', '.join(DATAFLOWS)}")
        for field, plain in (("rows", 1), ("cols", 1), ("dataflow", "ws"), ("skew", False)):
            value = getattr(self, field)
            if value != plain and field not in UNITS[self.unit].options:
                raise InputError(
                    f"{field} is {value!r} for a {self.unit}, expected {plain!r}: "
                    f"an option of {' and '.join(takers(field))}"
                )
        if self.terms == 0:
            object.__setattr__(self, "terms", self._default_terms)
        _whole("terms", self.terms, 1, MAX_TERMS)

    @property
    def _default_terms(self) -> int:
        return _MEMBERS[self.unit].terms(self)

    @property
    def _shaped(self) -> bool:
        return "rows" in UNITS[self.unit].options

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
        if self._shaped:
            parts.append(f"{self.rows}x{self.cols}")
        if self.skew:
            parts.append("skew")
        if self.terms != self._default_terms:
            parts.append(f"t{self.terms}")
        return "_".join([*parts, self.variant.replace("-", "_")])

    @property
    def options(self) -> str:
        """The command-line words that mean this unit, such as ``pe --grid post --wbits 4 --abits 4 ...``."""
        words = [self.unit, *format_options(self.weight, self.activation, self.variant)]
        if self._shaped:
            words += ["--rows", str(self.rows), "--cols", str(self.cols)]
        if self.dataflow != "ws":
            words += ["--dataflow", self.dataflow]
        if self.skew:
            words.append("--skew")
        if self.terms != self._default_terms:
            words += ["--terms", str(self.terms)]
        return " ".join(words)

    @property
    def latency(self) -> int:
        """Cycles from an operand's entry until the last sum that it is in has left, or stands in its accumulator."""
        return _MEMBERS[self.unit].cycles(self)

    @property
    def _entry(self) -> Entry:
        return next(
            entry
            for entry in MULTIPLIERS
            if entry.variant == self.variant and self.weight.grid in entry.grids
        )

    @property
    def multiplier(self) -> Any:
        """The class of the multiplier that is in it, a :class:`hw.units.multiplier.Multiplier`."""
        return imported(self._entry.component)

    @property
    def component(self) -> Any:
        """The class of the component."""
        return imported(_MEMBERS[self.unit].component)(self)

    def build(self) -> Any:
        """The unit as an :class:`amaranth.lib.wiring.Component`."""
        return self.component.from_spec(self)

    def header(self) -> list[str]:
        """Operands, product, sums and timing, a line each."""
        return [*operand_lines(self.weight, self.activation), *self.component.timing(self)]

    def stimulus(self, lanes: int = LANES, seed: int = 0, operands: Operands | None = None) -> Stimulus:
        """What ``operands`` (by default :func:`hw.units.operands.gaussian`) make of it; every lane is another place in
        the matrices.

        Loading of weights is not counted, nor are the cycles until the pipeline is full: the energy is that of
        streaming, as most cycles of a fold are. What streams is said where the component drives it.
        """
        # Imported here: whoever reads a cost from a table does not wait for what makes operands.
        from hw.units.operands import gaussian

        operands = gaussian(self.weight, self.activation, seed) if operands is None else operands
        generator = np.random.default_rng(seed)
        columns = generator.integers(0, operands.weights.shape[1], lanes)
        inputs, counting = self.component.drive(self, operands, columns, generator)
        return Stimulus(inputs, counting, operands.source)

    def record(self) -> dict[str, Any]:
        """Which unit it is, JSON-ready."""
        return {
            "unit": self.unit,
            **formats_record(self.weight, self.activation, self.variant),
            "rows": self.rows,
            "cols": self.cols,
            "dataflow": self.dataflow,
            "signed_activations": self.signed_activations,
        }

    def part(self) -> Part | None:
        """Of an array, its processing element."""
        return self.component.part(self) if self._shaped else None
