"""The RTL (Amaranth): multipliers, processing elements and arrays, and their Verilog.

The names below are imported when they are used, so that a reader of :mod:`hw`'s cost tables does not wait
for Amaranth.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hw.array import OutputStationaryArray, SystolicArray
    from hw.design import UnitSpec
    from hw.multiplier import ApotMultiplier, Fp4Multiplier, IntMultiplier, PostMultiplier, PotMultiplier
    from hw.pe import OutputStationaryElement, ProcessingElement

_HOMES = {
    "UnitSpec": "hw.design",
    "PostMultiplier": "hw.multiplier",
    "PotMultiplier": "hw.multiplier",
    "ApotMultiplier": "hw.multiplier",
    "Fp4Multiplier": "hw.multiplier",
    "IntMultiplier": "hw.multiplier",
    "ProcessingElement": "hw.pe",
    "OutputStationaryElement": "hw.pe",
    "SystolicArray": "hw.array",
    "OutputStationaryArray": "hw.array",
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
