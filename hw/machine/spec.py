"""The machine's configuration: what RTL is built from. Validated, from Python or TOML."""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from asq_sw.errors import InputError, nearest
from asq_sw.formats import ActivationFormat, WeightFormat
from hw.machine.dataflows import DATAFLOWS
from hw.nodes import DEFAULT_NODE, NODES

UNIT_DATAFLOWS: Mapping[str, tuple[str, ...]] = {"pe": tuple(DATAFLOWS), "tile": ("ws",)}
"""What an array is made of -> the dataflows that it can do: a tile's weights are held."""
WIDTHS = range(2, 9)
"""Bits of a weight or an activation."""


def one_of(names: Mapping[str, Any]) -> AfterValidator:
    """A name that must be among a table's, refused in the words of :func:`_sentence`."""

    def check(value: str) -> str:
        if value not in names:
            *others, last = (repr(name) for name in names)
            raise ValueError(f"{', '.join(others)} or {last}")
        return value

    return AfterValidator(check)


class MachineSpec(BaseModel):
    """A systolic array with its scratchpads.

    Attributes
    ----------
    arrays : int
        Equal arrays, each with scratchpads of its own, on one DRAM.
    rows, cols : int
        Rows and columns of processing elements of an array.
    dataflow : str
        Which operand stays in the array: a name of :data:`hw.machine.dataflows.DATAFLOWS`.
    grid : str
        Weight grid: a name of :data:`asq_sw.formats.GRIDS`.
    wbits : int
        Bits of a weight: one of the grid's widths, within 2 to 8.
    frac_bits : int, optional
        F, the fractional bits of the grid's rounded table; by default the grid's own.
    abits : int
        Bits of an activation, 2 to 8; where it is not given, as many as ``wbits``.
    signed : bool
        Two's complement activations; else unsigned.
    clock_mhz : float
        Clock of the whole machine, 1e-3 to 1e6.
    ifmap_kib, filter_kib, ofmap_kib : float
        Capacity of each scratchpad, KiB, 1e-3 to 1e9; half of each holds the data in use, half is being filled
        or emptied.
    dram_gb_per_s : float
        DRAM bandwidth, 1e9 bytes a second, 1e-6 to 1e12. The default is one LPDDR4-3200 x32 channel (JESD209-4).
    node : str
        Cell library.
    unit : str
        What the array is made of: ``pe``, lone processing elements, or ``tile``, 16 x 16 broadcast tiles with
        weight registers (:mod:`hw.units.tile`).
    hide_load : bool
        The stationary operand is loaded behind the fold before: it has a second register in every element.
    pe_stages : int
        Pipeline registers inside a processing element: further cycles of drain for each fold.
    vector_lanes : int
        Values a cycle through requantization, pooling and adds; 0 for as many as there are.
    ifmap_banks, filter_banks, ofmap_banks : int
        Banks of a scratchpad; 0 for one macro without conflicts.
    bank_ports : int
        Lines that a bank reads or writes in a cycle.
    line_words : int
        Values of a bank's line.
    asq_bits : int
        Width in which ASQ keeps a map until its average is known.

    Raises
    ------
    InputError
        Naming the field, what it is and what was expected.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    arrays: int = Field(1, ge=1, le=4096)
    rows: int = Field(32, ge=1, le=4096)
    cols: int = Field(32, ge=1, le=4096)
    dataflow: Annotated[str, one_of(DATAFLOWS)] = "ws"
    grid: str = "post"
    wbits: int = 4
    abits: int = Field(4, ge=2, le=8)
    signed: bool = False
    frac_bits: int | None = None
    clock_mhz: float = Field(500.0, ge=1e-3, le=1e6, allow_inf_nan=False)
    ifmap_kib: float = Field(128.0, ge=1e-3, le=1e9, allow_inf_nan=False)
    filter_kib: float = Field(128.0, ge=1e-3, le=1e9, allow_inf_nan=False)
    ofmap_kib: float = Field(128.0, ge=1e-3, le=1e9, allow_inf_nan=False)
    dram_gb_per_s: float = Field(12.8, ge=1e-6, le=1e12, allow_inf_nan=False)
    node: Annotated[str, one_of(NODES)] = DEFAULT_NODE
    unit: Annotated[str, one_of(UNIT_DATAFLOWS)] = "pe"
    hide_load: bool = False
    pe_stages: int = Field(0, ge=0, le=64)
    vector_lanes: int = Field(32, ge=0, le=1_000_000)
    ifmap_banks: int = Field(0, ge=0, le=4096)
    filter_banks: int = Field(0, ge=0, le=4096)
    ofmap_banks: int = Field(0, ge=0, le=4096)
    bank_ports: int = Field(1, ge=1, le=16)
    line_words: int = Field(1, ge=1, le=4096)
    asq_bits: int = Field(16, ge=8, le=32)

    def __init__(self, /, **values: Any):
        if values.get("wbits") in WIDTHS:  # another is refused below, by its own name
            values.setdefault("abits", values["wbits"])
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise InputError(_sentence(error, type(self))) from None
        weight = self.weight
        if self.frac_bits and not weight.takes_frac_bits:
            raise InputError(
                f"frac_bits is {self.frac_bits} for grid {self.grid!r}, expected none: nothing of it is rounded"
            )
        able = UNIT_DATAFLOWS[self.unit]
        if self.dataflow not in able:
            expected = " or ".join(repr(name) for name in able)
            raise InputError(f"unit is {self.unit!r} with dataflow {self.dataflow!r}, expected {expected}")

    @property
    def weight(self) -> WeightFormat:
        return WeightFormat(self.grid, self.wbits, self.frac_bits)

    @property
    def activation(self) -> ActivationFormat:
        return ActivationFormat(self.abits, self.signed)

    @property
    def pes(self) -> int:
        """Processing elements of all arrays."""
        return self.arrays * self.rows * self.cols

    @property
    def macros(self) -> dict[str, tuple[int, float]]:
        """Scratchpad -> (macros, KiB of each): a bank is a macro of its own."""
        sizes = {"ifmap": self.ifmap_kib, "filter": self.filter_kib, "ofmap": self.ofmap_kib}
        counts = {"ifmap": self.ifmap_banks, "filter": self.filter_banks, "ofmap": self.ofmap_banks}
        return {name: (max(1, counts[name]), kib / max(1, counts[name])) for name, kib in sizes.items()}

    def psum_bits(self, terms: int) -> int:
        """Width of a stored partial sum that holds the worst case of ``terms`` products, in whole bytes."""
        return _stored_sum_bits(self.grid, self.wbits, self.frac_bits, self.abits, self.signed, terms)

    @property
    def dram_bytes_per_cycle(self) -> float:
        return 1e3 * self.dram_gb_per_s / self.clock_mhz

    @classmethod
    def from_toml(cls, path: str | os.PathLike[str], **changes: Any) -> Self:
        """Read a TOML file of the attributes above; ``changes`` override it.

        Raises
        ------
        InputError
            Naming the file and the field.
        """
        values = read_values(path)
        try:
            return cls(**{**values, **changes})
        except InputError as error:
            raise InputError(f"{path}: {error}") from None

    def to_toml(self) -> str:
        """The configuration as TOML that :meth:`from_toml` reads back."""
        lines = []
        for name, value in self.model_dump(exclude_none=True).items():
            text = json.dumps(value)  # a TOML string, number or boolean is written as JSON writes it
            lines.append(f"{name} = {text}")
        return "\n".join(lines) + "\n"


def read_values(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The fields that a TOML file of a machine gives, not yet checked.

    Raises
    ------
    InputError
        Naming the file.
    """
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:  # syntax, bytes, a number of too many digits, a deep nest
        raise InputError(f"{path}: is not TOML ({error})") from error


@lru_cache(maxsize=4096)
def _stored_sum_bits(
    grid: str, wbits: int, frac_bits: int | None, abits: int, signed: bool, terms: int
) -> int:
    return 8 * -(-WeightFormat(grid, wbits, frac_bits).accumulator_bits(abits, terms, signed) // 8)


def _sentence(error: ValidationError, model: type[MachineSpec]) -> str:
    """The first thing wrong, as one sentence that names the field."""
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return f"{field} is not a field, expected one of {', '.join(model.model_fields)}{nearest(field, model.model_fields)}"
    # The beginnings of pydantic's wordings.
    wanted = first["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
    return f"{field} is {first['input']!r}, expected {wanted[0].lower()}{wanted[1:]}"
