"""The technology nodes whose cell libraries the product carries, a record each.

A new cell library is a record here, its table in ``hw/data/libraries`` (``python -m hw.synth.libraries.liberty``),
and its memories' figures (:mod:`sim.cost.memory`).
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from asq_sw.errors import InputError, nearest

LIBRARIES = Path(str(files("hw") / "data" / "libraries"))


@dataclass(frozen=True)
class Node:
    """A technology node.

    Attributes
    ----------
    name : str
        As on the command line, and as the library's table calls itself.
    label : str
        The node in words.
    clock_ns : float
        The clock period to meet where none is given, ns: 500 MHz at 45 nm, and as many gate delays (about 90 FO4) at
        the other nodes.
    supply_v : float
        Supply at which the cells are characterized, V.
    """

    name: str
    label: str
    clock_ns: float
    supply_v: float

    @property
    def library(self) -> Path:
        """The carried table of its cells (:func:`hw.synth.libraries.library.load`)."""
        return LIBRARIES / f"{self.name}.json.gz"

    @property
    def liberty(self) -> str:
        """Shell pattern of the Liberty files that the table is made from; they are not carried."""
        return f"{self.name}*.lib.gz"


NODES: dict[str, Node] = {
    node.name: node
    for node in (
        Node("nangate45", "45 nm", clock_ns=2.0, supply_v=1.1),
        Node("sky130hd", "130 nm", clock_ns=7.5, supply_v=1.8),
        Node("asap7", "7 nm", clock_ns=1.8, supply_v=0.7),
    )
}
"""Node by name; figures stand in this order."""
DEFAULT_NODE = "nangate45"
"""The node where none is named."""


def node(name: str) -> Node:
    """The node of that name.

    Raises
    ------
    InputError
        If there is none.
    """
    if name not in NODES:
        raise InputError(f"node is {name!r}, expected one of {', '.join(NODES)}{nearest(name, NODES)}")
    return NODES[name]
