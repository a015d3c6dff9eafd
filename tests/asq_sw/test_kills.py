"""``kill -9`` at random instants: every file is whole, a command that is run again goes on, nothing is done twice."""

from __future__ import annotations

import csv
import io
import json
import os
import random
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import ends
import pyarrow.parquet
import pytest

KILLS = int(os.environ.get("ASQ_KILLS", "5"))
"""Instants for each command."""


def state(folder: Path) -> dict[str, tuple[int, int]]:
    """What is finished, each with what would change if it were done again: its time, to the nanosecond, and its inode."""
    return {str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.stat().st_ino) for path in _finished(folder)}  # fmt: skip


def _finished(folder: Path) -> list[Path]:
    found = [*folder.glob("out/*.parts/*/*.parquet"), *folder.glob("cache/*/*.json.gz")]
    table = folder / "out" / "table"
    if (table / "accuracy.csv").exists():
        rows = list(csv.DictReader(io.StringIO((table / "accuracy.csv").read_text())))
        found += [table / row["command"].rpartition(" ")[2] / "checkpoint.npz" for row in rows]
    if (table / "base.npz").exists():
        found.append(table / "base.npz")
    return [path for path in found if not path.name.startswith(".")]


def measured(folder: Path) -> dict[str, str]:
    """The rows of the search, each as its JSON."""
    path = folder / "out" / "tiles.json"
    rows = json.loads(path.read_text())["rows"] if path.exists() else {}
    return {name: json.dumps(row) for name, row in rows.items()}


def whole(folder: Path) -> None:
    """Read every file that has its own name."""
    for path in folder.rglob("*"):
        if path.name.startswith(".") or not path.is_file() or "tmp" in path.parts[len(folder.parts) :]:
            continue
        if path.suffix == ".json":
            json.loads(path.read_text())
        elif path.suffix == ".npz":
            assert zipfile.ZipFile(path).testzip() is None
        elif path.suffix == ".parquet":
            pyarrow.parquet.read_table(path)
        elif path.suffix == ".html":
            assert path.read_text().rstrip().endswith("</html>")
        elif path.suffix == ".csv":
            text = path.read_text()
            assert text.endswith("\n")
            assert len({len(row) for row in csv.reader(io.StringIO(text))}) == 1


def result(name: str, folder: Path) -> object:
    """What the command is for, without what depends on how long it took."""
    place = folder / "out"
    if name == "train":
        return [
            (place / "run" / file).read_bytes() for file in ("checkpoint.npz", "metrics.csv", "config.json")
        ]
    if name == "sweep":
        return (place / "out.csv").read_bytes()
    if name == "search":
        return (place / "tiles.json").read_bytes()
    if name == "report":
        return {path.name: path.read_bytes() for path in (place / "report").iterdir()}
    rows = list(csv.DictReader(io.StringIO((place / "table" / "accuracy.csv").read_text())))
    return [{key: value for key, value in row.items() if key != "seconds"} for row in rows], [
        path.read_bytes() for path in sorted((place / "table").rglob("*.npz"))
    ]


COMMANDS = ("train", "sweep", "search", "accuracies", "report")


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_killed(name: str, tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    inputs = ends.prepared(tmp_path)
    start = time.monotonic()
    status, printed, _ = ends.Started(name, tmp_path / "whole", inputs).end()
    assert status == 0, printed
    takes = time.monotonic() - start
    expected = result(name, tmp_path / "whole")
    chance, kills, runs = random.Random(name), 0, 0
    while kills < KILLS:
        runs += 1
        folder = tmp_path / f"killed-{runs}"
        while True:
            before, rows = (state(folder), measured(folder)) if folder.exists() else ({}, {})
            started = ends.Started(name, folder, inputs)
            # Further apart as a run goes on, so that most get somewhere before they are killed and some never do.
            time.sleep(chance.uniform(0.2, takes))
            ended = started.process.poll() is not None
            status, printed, _ = started.end(None if ended or kills == KILLS else ends.KILL)
            assert started.alone() == []
            after = state(folder)
            again = [path for path in before if path in after and after[path] != before[path]]
            assert again == [], "done twice"
            assert rows.items() <= measured(folder).items()
            whole(folder)
            if status == 0:
                break
            assert status == -ends.KILL, printed
            kills += 1
        assert result(name, folder) == expected
        assert list((folder / "out").rglob(".*")) == []
    record_property("kills", kills)
    print(f"{name}: {kills} kills, {runs} runs")
