"""Collect, draw and write the report: index.html, report.json and the CSV files."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from asq_sw.files import writable_folder, write_text
from asq_sw.provenance import provenance
from reports.page import render
from reports.sections import accuracy, full, quick, tiles
from reports.tables import write_csv


def build(
    folder: str | os.PathLike[str],
    options: quick.QuickOptions | None = None,
    step: Callable[[str], None] = lambda message: None,
    units: Callable[[quick.QuickOptions, quick.Step], list[dict[str, Any]]] = quick.measured_units,
    whole: bool = False,
) -> Path:
    """Make the report in ``folder``; returns the page's path.

    ``units`` gives the rows of the processing elements; by default they are synthesized and measured now.
    ``whole``: with the sections of :mod:`reports.sections.full`.
    Everything is computed before the first file is written, and each file is written whole.

    Raises
    ------
    InputError
        If the folder cannot be written (checked first) or an option is out of range.
    """
    from sim import Accelerator
    from sim.cost.energy import sources

    options = options or quick.QuickOptions()
    target = writable_folder(folder)
    rows = units(options, step)
    totals, layers = quick.simulated(options, rows, step)
    step("computing the quantization error")
    errors = quick.quantization_rows()
    data: dict[str, Any] = {
        "provenance": provenance(),
        "options": asdict(options),
        "verdicts": quick.verdicts(rows, errors),
        "units": rows,
        "totals": totals,
        "layers": layers,
        "sqnr": errors,
        "tiles": tiles.carried(),
        "tiles_trained": tiles.carried(trained=True),
        "tiles_fronts": tiles.fronts(),
        "accuracy": accuracy.carried(),
        "accuracy_longer": accuracy.carried(longer=True),
        "accuracy_grids": accuracy.carried(grids=True),
        "energy_sources": sources(Accelerator(node=options.node)),
    }
    names = ["units", "totals", "layers", "sqnr", "tiles", "tiles_trained", "tiles_fronts"]
    names += ["accuracy", "accuracy_longer", "accuracy_grids"]
    if whole:
        more = full.collect(options, step, units)
        data |= more
        names += more
    step("drawing")
    page = render(data)
    for name in names:
        write_csv(target / f"{name}.csv", data[name])
    write_text(target / "report.json", json.dumps(data, indent=1, sort_keys=False) + "\n")
    write_text(target / "index.html", page)
    return target / "index.html"
