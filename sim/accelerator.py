"""The accelerator's configuration: validated, from Python or TOML."""

from __future__ import annotations

import json
import os
import tomllib
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from asq_sw.errors import InputError
from asq_sw.formats import ActivationFormat, WeightFormat

DATAFLOWS = ("ws", "os", "is")


class Accelerator(BaseModel):
    """A systolic array with its scratchpads and its DRAM.

    Attributes
    ----------
    arrays : int
        Equal arrays, each with scratchpads of its own, on one DRAM (:mod:`sim.multi`).
    rows, cols : int
        Processing elements of an array.
    dataflow : str
        ``ws``, ``os`` or ``is``: which operand stays in the array.
    grid, wbits, frac_bits : weight format (see :class:`asq_sw.formats.WeightFormat`)
    abits : int
        Bits of an activation, 2 to 8.
    clock_mhz : float
    ifmap_kib, filter_kib, ofmap_kib : float
        Capacity of each scratchpad, KiB; half of each holds the data in use, half is being filled or emptied.
    dram_gb_per_s : float
        DRAM bandwidth, 1e9 bytes a second. The default is one LPDDR4-3200 x32 channel (JESD209-4).
    node : str
        Cell library whose measured netlist gives the energy per MAC.
    unit : str
        What the array is made of: ``pe``, lone processing elements, or ``tile``, 16 x 16 broadcast tiles with
        weight registers (:mod:`hw.units.tile`). Area and energy per MAC follow; cycles stay those of a systolic array.

    The rest is seen by fidelity 2 only:

    dram : str
        ``bandwidth``, or a preset of :mod:`sim.tiles.dram` (its pages, banks and bandwidth instead of the figure above).
    dram_sharers : int
        Machines that ask the preset's DRAM for as much at the same time (:mod:`sim.multi` sets it).
    dram_latency_ns : float
        From asking to the first byte, in the bandwidth model.
    hide_load : bool
        The stationary operand is loaded behind the tile before.
    pe_stages : int
        Pipeline registers inside a processing element: further cycles of drain for each fold.
    vector_lanes : int
        Values a cycle through requantization, pooling and adds; 0 for as many as there are.
    ifmap_words, filter_words, ofmap_words : int
        Words a cycle from or to a scratchpad (banks x ports x words of a line); 0 for as many as the array asks.
    ifmap_banks, filter_banks, ofmap_banks : int
        Banks of a scratchpad, whose conflicts are counted from addresses (:mod:`sim.tiles.banks`); 0 for none.
    bank_ports, line_words : int
        Lines a cycle of a bank, and values of a line.
    keep_on_chip : bool
        An output that fits half the ifmap scratchpad is not read back by the layer after it, and not written
        where that layer is its only reader.
    fuse : bool
        Pooling and residual adds take the outputs of the layer before them as they are requantized, where they are
        their only reader: those are neither written nor read (a pooling window's rows wait in line buffers that
        are not counted).
    asq : str
        ``off``, ``two-pass`` or ``producer``: see :mod:`sim.cost.asq`.
    asq_bits : int
        Width in which ASQ keeps a map until its average is known.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    arrays: int = Field(1, ge=1, le=4096)
    rows: int = Field(32, ge=1, le=4096)
    cols: int = Field(32, ge=1, le=4096)
    dataflow: Literal["ws", "os", "is"] = "ws"
    grid: str = "post"
    wbits: int = 4
    abits: int = Field(4, ge=2, le=8)
    frac_bits: int | None = None
    clock_mhz: float = Field(500.0, gt=0)
    ifmap_kib: float = Field(128.0, gt=0)
    filter_kib: float = Field(128.0, gt=0)
    ofmap_kib: float = Field(128.0, gt=0)
    dram_gb_per_s: float = Field(12.8, gt=0)
    node: str = "nangate45"
    unit: Literal["pe", "tile"] = "pe"
    dram: str = "bandwidth"
    dram_sharers: int = Field(1, ge=1, le=4096)
    dram_latency_ns: float = Field(100.0, ge=0)
    hide_load: bool = False
    pe_stages: int = Field(0, ge=0, le=64)
    vector_lanes: int = Field(32, ge=0)
    ifmap_words: int = Field(0, ge=0)
    filter_words: int = Field(0, ge=0)
    ofmap_words: int = Field(0, ge=0)
    ifmap_banks: int = Field(0, ge=0, le=4096)
    filter_banks: int = Field(0, ge=0, le=4096)
    ofmap_banks: int = Field(0, ge=0, le=4096)
    bank_ports: int = Field(1, ge=1, le=16)
    line_words: int = Field(1, ge=1, le=4096)
    keep_on_chip: bool = False
    fuse: bool = False
    asq: Literal["off", "two-pass", "producer"] = "off"
    asq_bits: int = Field(16, ge=8, le=32)

    def __init__(self, **values: Any):
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise InputError(_sentence(error)) from None
        WeightFormat(self.grid, self.wbits, self.frac_bits)
        if self.unit == "tile" and self.dataflow != "ws":
            raise InputError(
                f"unit is 'tile' with dataflow {self.dataflow!r}, expected 'ws': its weights are held"
            )

    @property
    def weight(self) -> WeightFormat:
        return WeightFormat(self.grid, self.wbits, self.frac_bits)

    @property
    def activation(self) -> ActivationFormat:
        return ActivationFormat(self.abits)

    @property
    def pes(self) -> int:
        return self.arrays * self.rows * self.cols

    @property
    def macros(self) -> dict[str, tuple[int, float]]:
        """Scratchpad -> (macros, KiB of each): a bank is a macro of its own."""
        sizes = {"ifmap": self.ifmap_kib, "filter": self.filter_kib, "ofmap": self.ofmap_kib}
        counts = {"ifmap": self.ifmap_banks, "filter": self.filter_banks, "ofmap": self.ofmap_banks}
        return {name: (max(1, counts[name]), kib / max(1, counts[name])) for name, kib in sizes.items()}

    def psum_bits(self, terms: int) -> int:
        """Width of a stored partial sum that holds the worst case of ``terms`` products, in whole bytes."""
        return 8 * -(-_accumulator_bits(self.weight, self.abits, terms) // 8)

    @property
    def dram_bytes_per_cycle(self) -> float:
        return 1e3 * self.dram_gb_per_s / self.clock_mhz

    @classmethod
    def from_toml(cls, path: str | os.PathLike[str], **changes: Any) -> Accelerator:
        """Read a TOML file of the attributes above; ``changes`` override it.

        Raises
        ------
        InputError
            Naming the file and the field.
        """
        try:
            values = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror})") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise InputError(f"{path}: is not TOML ({error})") from error
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


@lru_cache(maxsize=4096)
def _accumulator_bits(weight: WeightFormat, abits: int, terms: int) -> int:
    return weight.accumulator_bits(abits, terms)


def _sentence(error: ValidationError) -> str:
    """The first thing wrong, as one sentence that names the field."""
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return f"{field} is not a field, expected one of {', '.join(Accelerator.model_fields)}"
    wanted = first["msg"].removeprefix("Input should be ")  # pydantic's wording
    return f"{field} is {first['input']!r}, expected {wanted[0].lower()}{wanted[1:]}"
