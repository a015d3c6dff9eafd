"""Rows of figures as CSV, written whole or not at all."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from asq_sw.files import write_text


def write_csv(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write rows with the union of their keys as header, in order of first appearance."""
    header = list(dict.fromkeys(key for row in rows for key in row))
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, header, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, buffer.getvalue())
