"""What the page is made of: figures and tables, each with its conclusion and its source, in sections."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Figure:
    """A drawing.

    Attributes
    ----------
    name : str
    svg : str
        SVG element, as :func:`reports.figures.to_svg` makes it.
    caption : str
        What one should see in it.
    source : str
        Measured here, computed here or published elsewhere, and how.
    """

    name: str
    svg: str
    caption: str
    source: str


@dataclass(frozen=True)
class Table:
    """A table; each of ``rows`` has as many cells as ``header``. The rest as in :class:`Figure`."""

    name: str
    header: Sequence[str]
    rows: Sequence[Sequence[Any]]
    caption: str
    source: str


@dataclass(frozen=True)
class Section:
    """A title and the blocks below it, in order."""

    title: str
    blocks: Sequence[Figure | Table]


def pick(rows: Sequence[Row], **key: Any) -> list[Row]:
    """The rows whose fields have these values."""
    return [row for row in rows if all(row[k] == v for k, v in key.items())]
