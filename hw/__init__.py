"""The RTL (Amaranth): multipliers, processing elements and arrays, and their Verilog.

The names below are imported when they are used, so that a reader of :mod:`hw`'s cost tables does not wait
for Amaranth.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import asq_sw  # noqa: F401 - first of all: a command can be interrupted from there on

if TYPE_CHECKING:
    from hw.units.array import OutputStationaryArray, SystolicArray
    from hw.units.multiplier import (
        ApotMultiplier,
        Fp4Multiplier,
        IntMultiplier,
        PostMultiplier,
        PotMultiplier,
    )
    from hw.units.pe import OutputStationaryElement, ProcessingElement
    from hw.units.spec import UnitSpec

_HOMES = {
    "UnitSpec": "hw.units.spec",
    "PostMultiplier": "hw.units.multiplier",
    "PotMultiplier": "hw.units.multiplier",
    "ApotMultiplier": "hw.units.multiplier",
    "Fp4Multiplier": "hw.units.multiplier",
    "IntMultiplier": "hw.units.multiplier",
    "ProcessingElement": "hw.units.pe",
    "OutputStationaryElement": "hw.units.pe",
    "SystolicArray": "hw.units.array",
    "OutputStationaryArray": "hw.units.array",
}

__all__ = [
    "ApotMultiplier",
    "Fp4Multiplier",
    "IntMultiplier",
    "OutputStationaryArray",
    "OutputStationaryElement",
    "PostMultiplier",
    "PotMultiplier",
    "ProcessingElement",
    "SystolicArray",
    "UnitSpec",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
