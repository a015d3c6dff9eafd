"""What the report looks at: networks, widths, grids, and the options of one run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from hw.nodes import DEFAULT_NODE

if TYPE_CHECKING:  # the workers that measure need no simulator
    from sim.workload import Workload

NETWORKS = ("resnet18", "resnet20")
"""The networks where none is named."""
TRAINED = "resnet20"
"""The network that the carried accuracies are of."""
BITS = (2, 3, 4, 8)
"""Bits of weights, and as many of activations."""
GRIDS_COMPARED = ("post", "int", "pot")
"""Weight grids at every width of :data:`BITS`."""
ELEMENTS = tuple((grid, bits) for bits in BITS for grid in GRIDS_COMPARED) + (("fp4", 4), ("apot", 4))
"""(grid, bits) of the processing elements that are shown."""

Step = Callable[[str], None]
"""Told what begins, in words."""


@dataclass(frozen=True)
class ReportOptions:
    """What one run of the report looks at.

    Attributes
    ----------
    rows, cols : int
        Shape of the array.
    clock_mhz : float
        The clock at which the grids are compared.
    node : str
        Cell library of the netlists, one of :data:`hw.nodes.NODES`.
    """

    rows: int = 32
    cols: int = 32
    clock_mhz: float = 500.0
    node: str = DEFAULT_NODE


Measure = Callable[[ReportOptions, Step], list[dict[str, Any]]]
"""Gives a row per processing element of :data:`ELEMENTS`, in order (:func:`reports.elements.measured`)."""


class Request(NamedTuple):
    """What a section is given to make its rows with; ``networks``: each by its name, in order."""

    options: ReportOptions
    step: Step
    measure: Measure
    networks: Mapping[str, Workload]
