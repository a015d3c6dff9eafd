"""The dataflows of a systolic array as records: the one place that says what each of them is.

A layer is a product of (m, k) by (k, n): ``m`` pixels, ``k`` products of an output, ``n`` filters. A *fold* is one
filling of the array of R rows and C columns: a part of ``down`` lies along its rows, a part of ``across`` along its
columns, and ``along`` is what is streamed through it:

========= ========= ====== ======= ===== ====================== =======================
dataflow  stays     down   across  along folds                  cycles of a fold
========= ========= ====== ======= ===== ====================== =======================
ws        filter    k      n       m     ceil(k/R) * ceil(n/C)  R + m + R + C - 2
os        ofmap     m      n       k     ceil(m/R) * ceil(n/C)  k + R + C - 2
is        ifmap     k      m       n     ceil(k/R) * ceil(m/C)  R + n + R + C - 2
========= ========= ====== ======= ===== ====================== =======================

The first R of ws and is load what stays; R + C - 2 is the skew of filling and draining.

A further dataflow is a record here and its branch in the kernels that ask for the code (:mod:`sim.closed_form`,
:mod:`sim.tiles.pipeline`, :mod:`sim.scalesim.streams`): each of their branches names its code, and they are entered
only by way of :func:`dataflow` or :func:`check_code`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from asq_sw.errors import InputError, nearest

WS, OS, IS = range(3)
"""Codes, for compiled kernels."""

Dimension = Literal["m", "n", "k"]


@dataclass(frozen=True)
class Dataflow:
    """What stays in the array and how a layer's product is laid over it.

    Attributes
    ----------
    name : str
    code : int
    stationary : str
        The operand that stays: ``filter``, ``ifmap`` or ``ofmap`` (the sums).
    down, across, along : str
        The product's dimension over the rows, over the columns, and through the array: ``m``, ``n`` or ``k``.
    """

    name: str
    code: int
    stationary: Literal["filter", "ifmap", "ofmap"]
    down: Dimension
    across: Dimension
    along: Dimension

    @property
    def loads(self) -> bool:
        """Whether a fold begins with as many cycles of loading as the array has rows."""
        return self.stationary != "ofmap"

    def sizes(self, m: int, n: int, k: int) -> tuple[int, int, int]:
        """(down, across, along) of a product, in values."""
        size = {"m": m, "n": n, "k": k}
        return size[self.down], size[self.across], size[self.along]

    def folds(self, m: int, n: int, k: int, rows: int, cols: int) -> tuple[int, int]:
        """Folds (down, across) of a product."""
        down, across, _ = self.sizes(m, n, k)
        return -(-down // rows), -(-across // cols)

    def fold_cycles(self, m: int, n: int, k: int, rows: int, cols: int) -> int:
        """Clock cycles of one fold."""
        return (rows if self.loads else 0) + self.sizes(m, n, k)[2] + rows + cols - 2


DATAFLOWS: dict[str, Dataflow] = {
    record.name: record
    for record in (
        Dataflow("ws", WS, "filter", down="k", across="n", along="m"),
        Dataflow("os", OS, "ofmap", down="m", across="n", along="k"),
        Dataflow("is", IS, "ifmap", down="k", across="m", along="n"),
    )
}
_CODES = tuple(record.code for record in DATAFLOWS.values())


def dataflow(name: str) -> Dataflow:
    """A dataflow by name.

    Raises
    ------
    InputError
        For an unknown name.
    """
    if name not in DATAFLOWS:
        raise InputError(
            f"dataflow is {name!r}, expected one of {', '.join(DATAFLOWS)}{nearest(name, DATAFLOWS)}"
        )
    return DATAFLOWS[name]


def check_code(code: int) -> None:
    """Refuse a code that no dataflow has, before it reaches a kernel.

    Raises
    ------
    InputError
        Naming it.
    """
    if code not in _CODES:
        names = ", ".join(f"{record.code} ({record.name})" for record in DATAFLOWS.values())
        raise InputError(f"dataflow code is {code}, expected one of {names}")


def check_codes(codes: NDArray[np.int64]) -> None:
    """:func:`check_code` of each of an array's."""
    for code in codes[~np.isin(codes, _CODES)].tolist():
        check_code(code)
