"""Colours and labels in every figure: a line for each weight grid and for each part of the energy."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class Style(NamedTuple):
    """How one thing is drawn: colour as ``#rrggbb``, and its name in legends and tables."""

    colour: str
    label: str


# Okabe and Ito's colours, told apart by colour-blind readers too, and grey and wine red.
GRIDS = {
    "post": Style("#0072B2", "post"),
    "post-paper": Style("#56B4E9", "post-paper"),
    "int": Style("#D55E00", "int"),
    "pot": Style("#009E73", "pot"),
    "apot": Style("#CC79A7", "apot"),
    "fp4": Style("#E69F00", "fp4"),
    "post-gap": Style("#000000", "post-gap"),
    "nf4": Style("#999999", "nf4"),
    "int-full": Style("#882255", "int-full"),
    "pot-paper": Style("#F0E442", "pot-paper"),
}
"""Weight grid -> style, in the order of legends."""
ENERGY_PARTS = {
    "mac": Style("#0072B2", "MAC"),
    "sram": Style("#E69F00", "SRAM"),
    "dram": Style("#999999", "DRAM"),
    "leakage": Style("#CC79A7", "Leakage"),
}
"""Part of the energy, as the simulator names it -> style, in the order in which bars are stacked."""
COMPUTING, WAITING = "#0072B2", "#999999"
LINE, FRONT, ACCENT = "#0072B2", "#999999", "#D55E00"
"""A single series; the line along a Pareto front; what a figure is held against, such as full precision."""


def in_order(grids: Iterable[str]) -> list[str]:
    """Some grids, each once, in the order of :data:`GRIDS`."""
    wanted = set(grids)
    return [grid for grid in GRIDS if grid in wanted]
