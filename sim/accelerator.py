"""The accelerator's configuration: the machine (:mod:`hw.machine.spec`), and what only the simulator asks."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from hw.machine.spec import MachineSpec, one_of
from sim.cost.memory import DRAM

FIELD_ORDER = (
    "arrays", "rows", "cols", "dataflow", "grid", "wbits", "abits", "frac_bits", "clock_mhz",
    "ifmap_kib", "filter_kib", "ofmap_kib", "dram_gb_per_s", "node", "unit",
    "dram", "dram_sharers", "dram_latency_ns", "hide_load", "pe_stages", "vector_lanes",
    "ifmap_words", "filter_words", "ofmap_words", "ifmap_banks", "filter_banks", "ofmap_banks",
    "bank_ports", "line_words", "keep_on_chip", "fuse", "asq", "asq_bits",
)  # fmt: skip
"""Order of the fields in the files that are written, whichever class they belong to."""

TILED_FIELDS = (
    "dram", "hide_load", "pe_stages", "ifmap_words", "filter_words", "ofmap_words",
    "ifmap_banks", "filter_banks", "ofmap_banks", "keep_on_chip", "fuse", "asq",
)  # fmt: skip
"""Fields whose cycles fidelity 2 alone counts; with their defaults the closed form leaves nothing out."""


class Accelerator(MachineSpec):
    """A machine as the simulator sees it: what RTL is built from, and the following, seen by fidelity 2 only.

    Energy per MAC follows ``node`` and ``unit``; cycles stay those of a systolic array.

    Attributes
    ----------
    signed : bool
        Always false: what a MAC costs is measured with unsigned activations (:func:`hw.costs.unit_cost`).
    dram : str
        ``bandwidth``, or a preset of :mod:`sim.tiles.dram` (its pages, banks and bandwidth instead of
        ``dram_gb_per_s``).
    dram_sharers : int
        Machines that ask the preset's DRAM for as much at the same time (:mod:`sim.multi` sets it).
    dram_latency_ns : float
        From asking to the first byte, in the bandwidth model.
    ifmap_words, filter_words, ofmap_words : int
        Words a cycle from or to a scratchpad (banks x ports x words of a line); 0 for as many as the array asks.
        The conflicts of banks are counted from addresses (:mod:`sim.tiles.banks`).
    keep_on_chip : bool
        An output that fits half the ifmap scratchpad is not read back by the layer after it, and not written
        where that layer is its only reader.
    fuse : bool
        Pooling and residual adds take the outputs of the layer before them as they are requantized, where they are
        their only reader: those are neither written nor read (a pooling window's rows wait in line buffers that
        are not counted).
    asq : str
        ``off``, ``two-pass`` or ``producer``: see :mod:`sim.cost.asq`.
    """

    signed: Literal[False] = Field(False, exclude=True)
    dram: Annotated[str, one_of(DRAM)] = "bandwidth"
    dram_sharers: int = Field(1, ge=1, le=4096)
    dram_latency_ns: float = Field(100.0, ge=0, le=1e9, allow_inf_nan=False)
    ifmap_words: int = Field(0, ge=0, le=1 << 20)
    filter_words: int = Field(0, ge=0, le=1 << 20)
    ofmap_words: int = Field(0, ge=0, le=1 << 20)
    keep_on_chip: bool = False
    fuse: bool = False
    asq: Literal["off", "two-pass", "producer"] = "off"

    def __init__(self, /, **values: Any):  # for type checkers, which would ask for every field
        super().__init__(**values)

    @property
    def tiled_fields(self) -> list[str]:
        """Those of :data:`TILED_FIELDS` that differ from their defaults."""
        defaults = type(self).model_fields
        return [name for name in TILED_FIELDS if getattr(self, name) != defaults[name].default]

    @model_serializer(mode="wrap")
    def _in_order(self, values_of: SerializerFunctionWrapHandler) -> dict[str, Any]:
        values = values_of(self)
        return {name: values[name] for name in FIELD_ORDER if name in values}
