"""The Pareto front of a sweep's table: over which figures, of which points, and which points fidelity 2 is asked of."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from asq_sw.errors import InputError

OBJECTIVES: Mapping[str, tuple[str, int]] = {
    "latency": ("latency_s", 1), "energy": ("energy_uj", 1), "area": ("area_mm2", 1),
    "sqnr": ("sqnr_db", -1), "accuracy": ("top1_percent", -1),
}  # fmt: skip
"""What the front is over: name -> (column, 1 where less is better, -1 where more is)."""
MARGIN = 0.25
"""By how much the front must beat a point's latency and energy before fidelity 2 is not asked (docs/fidelity.md)."""


def pareto(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Points that no other point beats: no other is at least as good in every column and better in one.

    Smaller is better. Of equal points all stay. ``values``: (n, d). Sorted first, so that a point need only be
    held against the front so far: n log n for the sort and n times the front's length.
    """
    order = np.lexsort(values.T[::-1])
    keep = np.zeros(len(values), np.bool_)
    front = np.empty((0, values.shape[1]))
    for i in order:
        v = values[i]
        if not ((front <= v).all(axis=1) & (front < v).any(axis=1)).any():
            keep[i] = True
            front = np.vstack([front, v])
    return keep


def survivors(
    values: NDArray[np.float64], margin: float = MARGIN, changing: Sequence[int] = (0, 1)
) -> NDArray[np.int64]:
    """Indices of the points that no point of the front beats by more than ``margin`` in the ``changing`` columns.

    Those are latency and energy; the others are the same at both fidelities: there a point is beaten by one that is no
    worse. ``values``: as :func:`pareto` takes them. With a margin of 0 the survivors are the front itself.
    """
    front = values[pareto(values)]
    factors = np.ones(values.shape[1])
    factors[list(changing)] += margin
    raised = front * factors
    beaten = [((raised <= v).all(axis=1) & (front < v).any(axis=1)).any() for v in values]
    return np.flatnonzero(~np.array(beaten, np.bool_))


@dataclass(frozen=True)
class Requirement:
    """A bound that points of the front keep: ``column`` ``operator`` ``value``."""

    column: str
    operator: str
    value: float

    @classmethod
    def parse(cls, text: str) -> Requirement:
        """From such as ``sqnr_db>=15``.

        Raises
        ------
        InputError
            For other text.
        """
        found = re.fullmatch(r"\s*(\w+)\s*(>=|<=|==|>|<)\s*(\S+)\s*", text)
        try:
            if found is None:
                raise ValueError
            value = float(found[3])
            if math.isnan(value):
                raise ValueError
        except ValueError:
            raise InputError(
                f"the requirement is {text!r}, expected a column, one of {', '.join(_COMPARE)}, and a number, "
                "such as sqnr_db>=15"
            ) from None
        return cls(found[1], found[2], value)

    def __str__(self) -> str:
        return f"{self.column}{self.operator}{self.value:g}"

    def met(self, table: pa.Table) -> NDArray[np.bool_]:
        """Which rows keep it; a row without the figure does not.

        Raises
        ------
        InputError
            For a column that the table does not have, or one of names.
        """
        numbers = [field.name for field in table.schema if not pa.types.is_string(field.type)]
        if self.column not in numbers:
            raise InputError(
                f"the requirement {self} is of {self.column}, expected one of {', '.join(numbers)}"
            )
        figures = np.array([math.nan if x is None else x for x in table[self.column].to_pylist()], np.float64)
        kept: NDArray[np.bool_] = _COMPARE[self.operator](figures, self.value)
        return kept


_COMPARE: Mapping[str, Callable[[Any, Any], Any]] = {
    ">=": operator.ge, "<=": operator.le, "==": operator.eq, ">": operator.gt, "<": operator.lt,
}  # fmt: skip


@dataclass(frozen=True)
class Goal:
    """What the front is: over which of :data:`OBJECTIVES`, of which points.

    Attributes
    ----------
    objectives : tuple of str
    require : tuple of Requirement
    allow_missed_clock : bool
        Points whose netlist does not reach their clock may be of the front.
    """

    objectives: tuple[str, ...] = tuple(OBJECTIVES)
    require: tuple[Requirement, ...] = ()
    allow_missed_clock: bool = False

    def __post_init__(self) -> None:
        for name in self.objectives:
            if name not in OBJECTIVES:
                raise InputError(f"objective is {name!r}, expected one of {', '.join(OBJECTIVES)}")
        if not self.objectives or len(set(self.objectives)) != len(self.objectives):
            raise InputError(f"objectives are {list(self.objectives)}, expected some, all different")

    def allowed(self, table: pa.Table, columns: Sequence[str]) -> NDArray[np.bool_]:
        """Points that may be of the front, by the clock and by the requirements of some columns."""
        found = np.ones(table.num_rows, np.bool_)
        if not self.allow_missed_clock:
            found &= np.array(table["meets_clock"].to_pylist(), np.bool_)
        for requirement in self.require:
            if requirement.column in columns:
                found &= requirement.met(table)
        return found

    def values(self, table: pa.Table, columns: Mapping[str, str] = {}) -> NDArray[np.float64]:
        """The objectives' figures, less is better, float64 (n, d), in the order of :data:`OBJECTIVES`.

        A figure that a point does not have (its format was not trained) is infinite: worse than any. ``columns``: other
        columns to take instead of some.
        """
        names = sorted(self.objectives, key=list(OBJECTIVES).index)
        found = []
        for name in names:
            column, sign = OBJECTIVES[name]
            figures = table[columns.get(column, column)].to_pylist()
            found.append([math.inf if x is None else sign * x for x in figures])
        return np.array(found, np.float64).T.reshape(table.num_rows, len(names))

    def changing(self) -> list[int]:
        """Columns of :meth:`values` that differ between the fidelities."""
        names = sorted(self.objectives, key=list(OBJECTIVES).index)
        return [i for i, name in enumerate(names) if name in ("latency", "energy")]


ALL = Goal()
"""Every objective, no requirement, no missed clock."""
