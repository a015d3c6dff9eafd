"""The page: which sections there are, and all of them as one HTML file."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any, Protocol

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from reports import opening
from reports.blocks import Figure, Section
from reports.glossary import TERMS, Explainer, anchor
from reports.scope import BITS, Request
from reports.sections import (
    accuracy,
    energy,
    engine,
    error,
    machine,
    memory,
    memory_range,
    nodes,
    speed,
    tiles,
    units,
    width,
)


class RowsFile(Protocol):
    """What gives rows of ``report.json``."""

    def rows(self, request: Request, data: Mapping[str, Any]) -> dict[str, Any]:
        """Keys of ``report.json`` that this section adds; each list of rows is also a CSV file of that name.

        ``data``: what the sections before it gave.
        """


class SectionFile(RowsFile, Protocol):
    """What a module of :mod:`reports.sections` is."""

    def section(self, data: Mapping[str, Any]) -> Section:
        """The section itself, from the whole data of ``report.json`` and nothing else."""


OPENING: RowsFile = opening
"""What the page begins with."""
QUICK: tuple[SectionFile, ...] = (
    tiles, units, machine, memory_range, speed, energy, width, error, accuracy,
)  # fmt: skip
"""The sections in the page's order; each is given the rows of those before it."""
WHOLE: tuple[SectionFile, ...] = (*QUICK, nodes, engine, memory)


def slug(title: str) -> str:
    """A heading's identifier: stable while its title is."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


def picture(block: Figure) -> Markup:
    """The drawing with a name and a description for those who do not see it."""
    identifier = slug(block.name)
    head = Markup('<svg role="img" aria-labelledby="{0}-title {0}-desc" ').format(identifier)
    words = Markup('<title id="{0}-title">{1}</title><desc id="{0}-desc">{2}</desc>').format(
        identifier, block.name, block.caption
    )
    begin, end = block.svg.split(">", 1)
    return Markup(begin.replace("<svg ", str(head), 1)) + Markup(">") + words + Markup(end)


def right(numeric: Sequence[bool]) -> str:
    """Classes of a table whose columns of numbers stand right (:data:`COLUMN_STYLES`)."""
    return " ".join(f"r{i}" for i, number in enumerate(numeric, 1) if number)


COLUMN_STYLES = (
    ", ".join(f".r{i} tr > :nth-child({i}):not(.group)" for i in range(1, 25)) + " { text-align: right; }"
)
"""A class per column of a table: shorter than one on each of its cells."""


def render(data: Mapping[str, Any], sections: Sequence[SectionFile]) -> str:
    """The whole page as HTML text, with nothing outside it (styles, script and figures inline) but links to its data."""
    options = data["options"]
    template = files("reports").joinpath("templates/report.html.j2").read_text(encoding="utf-8")
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    explain = Explainer()
    environment.filters |= {
        "explain": explain,
        "slug": slug,
        "picture": picture,
        "anchor": anchor,
        "right": right,
    }
    return environment.from_string(template).render(
        title="POST against int and POT: area, energy, accuracy, throughput",
        summary=(
            f"Weights as POST, int, POT and others: {_list(data['networks'])} on arrays of {options['rows']}x{options['cols']} at "
            f"{_list([str(bits) for bits in BITS])} bits. Each figure says whether it was measured here, computed here or "
            "published elsewhere."
        ),
        columns=COLUMN_STYLES,
        provenance=data["provenance"],
        opening=opening.opening(data) if data.keys() >= opening.NEEDS else None,
        sections=[file.section(data) for file in sections],
        terms=sorted(TERMS.items(), key=lambda item: item[0].lower()),
        files=[
            name
            for name, value in data.items()
            if isinstance(value, list) and name not in ("verdicts", "networks")
        ],
    )


def _list(words: Sequence[str]) -> str:
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last
