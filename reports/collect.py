"""Collect the rows of all sections, draw the page, write index.html, report.json and the CSV files."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from asq_sw.files import writable_folder, write_text
from asq_sw.provenance import provenance
from reports import elements
from reports.blocks import Row
from reports.networks import files, networks
from reports.page import OPENING, QUICK, WHOLE, render
from reports.scope import NETWORKS, Measure, ReportOptions, Request
from reports.verdicts import verdicts

FIRST = (
    "provenance", "options", "networks", "verdicts", "units", "totals", "layers", "sqnr", "tiles", "tiles_trained",
    "tiles_fronts", "accuracy", "accuracy_longer", "accuracy_grids", "energy_sources",
)  # fmt: skip
"""The keys that ``report.json`` begins with, so that two reports can be compared line by line; others follow as they come."""


def build(
    folder: str | os.PathLike[str],
    options: ReportOptions | None = None,
    step: Callable[[str], None] = lambda message: None,
    measure: Measure = elements.measured,
    whole: bool = False,
    given: Sequence[str] = NETWORKS,
    done: Callable[[int, int], None] = lambda sections, of: None,
) -> Path:
    """Make the report in ``folder``; returns the page's path.

    ``measure`` gives the rows of the processing elements; by default they are the carried ones.
    ``whole``: with all of :data:`reports.page.WHOLE`. ``given``: the networks (:func:`reports.networks.networks`).
    ``done`` is told how many sections of how many have their rows.
    Everything is computed before the first file is written, and each file is written whole.

    Raises
    ------
    InputError
        If a network cannot be had or the folder cannot be written (both checked first), or an option is out of range.
    """
    loaded = networks(given)
    target = writable_folder(folder)
    request = Request(options or ReportOptions(), step, measure, loaded)
    sections = WHOLE if whole else QUICK
    rows: dict[str, Any] = {}
    for number, file in enumerate((OPENING, *sections)):
        done(number, 1 + len(sections))
        rows |= file.rows(request, rows)
    data = rows | {
        "provenance": provenance(files(given)),
        "options": asdict(request.options),
        "networks": list(request.networks),
        "verdicts": verdicts(rows["units"], rows["sqnr"]),
    }
    data = {key: data[key] for key in dict.fromkeys((*FIRST, *data)) if key in data}
    step("drawing")
    page = render(data, sections)
    for name, value in rows.items():
        if isinstance(value, list):
            write_csv(target / f"{name}.csv", value)
    write_text(target / "report.json", json.dumps(data, indent=1, sort_keys=False) + "\n")
    write_text(target / "index.html", page)
    return target / "index.html"


def write_csv(path: Path, rows: Sequence[Row]) -> None:
    """Write rows with the union of their keys as header, in order of first appearance."""
    header = list(dict.fromkeys(key for row in rows for key in row))
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, header, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, buffer.getvalue())
