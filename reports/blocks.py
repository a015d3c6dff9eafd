"""What the page is made of: figures and tables, each with its conclusion and its source, in sections."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Row = Mapping[str, Any]

OPEN_ROWS = 25
"""A table of more rows is folded when the page is opened."""


@dataclass(frozen=True)
class Figure:
    """A drawing.

    Attributes
    ----------
    name : str
    svg : str
        SVG element, as :func:`reports.figures.to_svg` makes it.
    caption : str
        What one should see in it; at most three sentences, its figures are in a table.
    source : str
        Measured here, computed here or published elsewhere, and how.
    """

    name: str
    svg: str
    caption: str
    source: str


@dataclass(frozen=True)
class Table:
    """A table; each of ``rows`` has as many cells as ``header``. The rest as in :class:`Figure`.

    ``groups``: (name, columns) of the headers above the header, over all columns; empty for none.
    """

    name: str
    header: Sequence[str]
    rows: Sequence[Sequence[Any]]
    caption: str
    source: str
    groups: Sequence[tuple[str, int]] = ()

    @property
    def folded(self) -> bool:
        """Whether it is closed when the page is opened."""
        return len(self.rows) > OPEN_ROWS

    @property
    def numeric(self) -> list[bool]:
        """By column, whether it holds numbers (right-aligned) or names (left-aligned)."""
        columns = zip(*self.rows, strict=True) if self.rows else ((),) * len(self.header)
        return [_numbers(column) for column in columns]


def _numbers(cells: Sequence[Any]) -> bool:
    """Whether every cell that says something begins with a digit or a sign."""
    texts = [text for cell in cells if (text := str(cell)) not in ("–", "late")]
    return bool(texts) and all(text.lstrip("+-−")[:1].isdigit() for text in texts)


@dataclass(frozen=True)
class Section:
    """A title and the blocks below it, in order.

    ``data``: keys of ``report.json`` that it is drawn from and that are also CSV files.
    """

    title: str
    blocks: Sequence[Figure | Table]
    data: Sequence[str] = ()


@dataclass(frozen=True)
class Opening:
    """What the page opens with: one table, what to conclude in three sentences, one picture."""

    table: Table
    conclusions: Sequence[str]
    picture: Figure
    data: Sequence[str] = ()


def pick(rows: Sequence[Row], **key: Any) -> list[Row]:
    """The rows whose fields have these values."""
    return [row for row in rows if all(row[k] == v for k, v in key.items())]
