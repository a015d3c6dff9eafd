"""What one layer gets: its quantizers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from asq_sw.quantizers.base import ActivationQuantizer, WeightQuantizer


@dataclass
class LayerQuantizers:
    """What a layer with weights multiplies.

    Attributes
    ----------
    weight, activation : quantizer or None
        None: full precision.
    rounded : bool
        Forward with the products of the hardware's rounded table (sqrt(2) grids; straight-through backward).
    """

    weight: WeightQuantizer | None = None
    activation: ActivationQuantizer | None = None
    rounded: bool = False

    def each(self) -> Iterator[tuple[str, Any]]:
        """(``weight`` or ``activation``, quantizer) of those there are."""
        for kind in ("weight", "activation"):
            if getattr(self, kind) is not None:
                yield kind, getattr(self, kind)
