"""The tables that the product carries in ``hw/data``: the one place that knows their files and reads them.

``unit_costs.json``
    Costs of processing elements and multipliers: ``provenance`` and ``units``, a record by unit and node
    (:func:`hw.costs.key`). Made by ``python -m hw.studies.unit_costs``.
``tiles.json``, ``tiles_trained.json``, ``fronts.json``
    Broadcast tiles at their node's default clock, the same with a trained layer's operands, and at several clocks:
    ``rows`` by :func:`hw.studies.search.key`, each as :func:`hw.studies.search.measure_tile` makes it. Made by
    ``python -m hw.studies.search``.
``operands.npz``
    The trained layer (:func:`asq_sw.studies.trained_operands.read_layer`).

The libraries' own tables are :mod:`hw.nodes`'.
"""

from __future__ import annotations

import json
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from asq_sw.errors import InputError
from asq_sw.files import write_text

DATA = Path(str(files("hw") / "data"))
UNIT_COSTS = DATA / "unit_costs.json"
TILES = DATA / "tiles.json"
TILES_TRAINED = DATA / "tiles_trained.json"
FRONTS = DATA / "fronts.json"
OPERANDS = DATA / "operands.npz"

Rows = dict[str, dict[str, Any]]


def read(path: Path, field: str) -> dict[str, Any]:
    """A table from its file; no records in ``field`` where there is no file.

    Raises
    ------
    InputError
        If the file cannot be read, or ``field`` does not hold a record (a JSON object) by name.
    """
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {field: {}}
    except (ValueError, OSError) as error:
        raise InputError(f"{path}: cannot be read as JSON ({error}), expected a table or no file") from error
    records = table.get(field) if isinstance(table, dict) else None
    if not isinstance(records, dict) or not all(isinstance(record, dict) for record in records.values()):
        raise InputError(f"{path}: has no {field!r}, expected a record of each by name")
    return dict(table)


def write(path: Path, table: dict[str, Any]) -> None:
    """Write a table of tiles; equal tables give equal bytes."""
    write_text(path, json.dumps(table, indent=1, sort_keys=True) + "\n")


@lru_cache(maxsize=4)
def _carried(path: Path, field: str) -> dict[str, Any]:
    return read(path, field)


def unit_costs() -> dict[str, Any]:
    """``provenance`` (without a file: none) and ``units``; not to be changed."""
    return {"provenance": {}} | _carried(UNIT_COSTS, "units")


def tiles(trained: bool = False) -> Rows:
    """The measured tiles by :func:`hw.studies.search.key`; ``trained``: with the operands of a trained layer."""
    rows: Rows = _carried(TILES_TRAINED if trained else TILES, "rows")["rows"]
    return rows


def fronts() -> Rows:
    """The tiles that are measured at several clocks, as :func:`tiles`; none while they are not carried."""
    rows: Rows = _carried(FRONTS, "rows")["rows"]
    return rows
