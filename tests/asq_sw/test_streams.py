"""Standard streams that are closed or full: one line at most, and a status that says so."""

from __future__ import annotations

import subprocess
import sys

import pytest

ASQ = f"{sys.executable} -m asq_sw"
LINE = "asq: error: standard output cannot be written ({})\n"


def shell(line: str) -> tuple[int, str, str]:
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    ("arguments", "stream", "reason"),
    [
        ("simulate resnet18", "> /dev/full", "No space left on device"),
        ("simulate resnet18 --json -", "> /dev/full", "No space left on device"),
        ("simulate resnet18 --json -", ">&-", "Bad file descriptor"),
        ("verilog multiplier", ">&-", "Bad file descriptor"),
        ("--help", "> /dev/full", "No space left on device"),
        ("synth --help", ">&-", "Bad file descriptor"),
    ],
)
def test_output_that_cannot_be_written_is_status_1(arguments: str, stream: str, reason: str) -> None:
    assert shell(f"{ASQ} {arguments} {stream}") == (1, "", LINE.format(reason))


def test_a_reader_that_has_enough_is_no_error_to_speak_of() -> None:
    status, out, err = shell(f"{ASQ} simulate resnet18 --json - | head -1; exit ${{PIPESTATUS[0]}}")
    assert (out, err) == ("{\n", "")
    assert status in (0, 1)  # it may be done before its reader
    status, out, err = shell(f"{ASQ} simulate resnet18 | true; exit ${{PIPESTATUS[0]}}")
    assert (status, out, err) == (1, "", "")


def test_closed_standard_error_changes_the_status_of_nothing() -> None:
    assert shell(f"{ASQ} simulate resnet19 2>&-") == (2, "", "")
    assert shell(f"{ASQ} simulate resnet18 2>&- <&-")[0] == 0
