"""The page: which sections there are, and all of them as one HTML file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any, Protocol

from jinja2 import Environment, StrictUndefined

from reports.blocks import Section
from reports.scope import BITS, NETWORKS, Request
from reports.sections import (
    accuracy,
    energy,
    engine,
    error,
    memory,
    nodes,
    speed,
    tiles,
    units,
    width,
)


class SectionFile(Protocol):
    """What a module of :mod:`reports.sections` is."""

    def rows(self, request: Request, data: Mapping[str, Any]) -> dict[str, Any]:
        """Keys of ``report.json`` that this section adds; each list of rows is also a CSV file of that name.

        ``data``: what the sections before it gave.
        """

    def section(self, data: Mapping[str, Any]) -> Section:
        """The section itself, from the whole data of ``report.json`` and nothing else."""


QUICK: tuple[SectionFile, ...] = (units, tiles, speed, energy, width, error, accuracy)
"""The sections in the page's order."""
WHOLE: tuple[SectionFile, ...] = (*QUICK, nodes, engine, memory)


def render(data: Mapping[str, Any], sections: Sequence[SectionFile]) -> str:
    """The whole page as HTML text, with nothing outside it (styles and figures inline)."""
    options = data["options"]
    template = files("reports").joinpath("templates/report.html.j2").read_text(encoding="utf-8")
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(template).render(
        title="POST against int and POT: throughput, area, energy and error",
        summary=(
            f"{' and '.join(NETWORKS)} on a {options['rows']}x{options['cols']} weight-stationary array at "
            f"{', '.join(map(str, BITS))} bits. Each figure says whether it was measured here, computed here or "
            "published elsewhere."
        ),
        provenance=data["provenance"],
        verdicts=data["verdicts"],
        sections=[file.section(data) for file in sections],
    )
