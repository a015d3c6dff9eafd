"""Ctrl-C ends every command at once, with one line and status 130, and leaves nothing running or half written."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import ends
import pytest

INSTANTS = {
    "simulate": (0.1, 0.6),
    "sweep": (0.4, 2.5),
    "train": (0.5, 2.0),
    "synth": (0.3, 3.0),
    "report": (0.8, 4.0),
    "search": (0.2, 4.0),
    "accuracies": (0.3, 2.0),
}
"""Seconds after the start: while it imports, and while it works."""
MOST_SECONDS = 2.0
QUICK = ("simulate", "train", "search")
"""Of the default run."""


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return ends.prepared(tmp_path_factory.mktemp("inputs"))


def interrupt(name: str, seconds: float, whole_group: bool, folder: Path, inputs: dict[str, str]) -> None:
    started = ends.Started(name, folder, inputs)
    time.sleep(seconds)
    assert started.process.poll() is None, f"ended by itself: {started.end()}"
    status, printed, took = started.end(signal.SIGINT, whole_group)
    module = ends.COMMANDS[name][0]
    called = "asq" if module == "asq_sw" else f"python -m {module}"
    assert status == 130, printed
    assert printed.splitlines()[-1] == f"{called}: interrupted"
    assert "Traceback" not in printed
    assert "Warning" not in printed
    assert took < MOST_SECONDS
    assert started.alone() == []
    assert os.listdir(started.temporary) == []
    left = [path.name for path in started.folder.rglob("*") if path.name.startswith(".")]
    assert left == []


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in INSTANTS]
)
def test_interrupted(name: str, tmp_path: Path, inputs: dict[str, str]) -> None:
    for number, seconds in enumerate(INSTANTS[name]):
        # A terminal sends the signal to all processes of the group, `kill -INT` to one.
        interrupt(name, seconds, bool(number % 2), tmp_path / str(number), inputs)


@pytest.mark.slow
@pytest.mark.parametrize("name", INSTANTS)
def test_interrupted_at_any_time(name: str, tmp_path: Path, inputs: dict[str, str]) -> None:
    chance = random.Random(name)
    for number in range(int(os.environ.get("ASQ_INTERRUPTS", "5"))):
        interrupt(
            name, chance.uniform(0.08, 1.3 * INSTANTS[name][1]), chance.random() < 0.5, tmp_path / str(number), inputs
        )  # fmt: skip


def test_a_job_in_the_background_is_not_interrupted(tmp_path: Path) -> None:
    """A shell without job control starts `command &` with SIGINT ignored: so it stays."""
    code = "import signal, os; signal.signal(signal.SIGINT, signal.SIG_IGN); os.execv({0!r}, [{0!r}, '-m', 'asq_sw', 'simulate', 'resnet18'])"
    child = subprocess.Popen(
        [sys.executable, "-c", code.format(sys.executable)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )  # fmt: skip
    time.sleep(0.3)
    child.send_signal(signal.SIGINT)
    out, err = child.communicate()
    assert (child.returncode, err) == (0, "")
    assert "TOPS" in out


def test_terminated(tmp_path: Path, inputs: dict[str, str]) -> None:
    started = ends.Started("sweep", tmp_path, inputs)
    time.sleep(1.5)
    status, printed, _ = started.end(signal.SIGTERM)
    assert (status, printed) == (143, "asq: terminated\n")
    assert started.alone() == []
