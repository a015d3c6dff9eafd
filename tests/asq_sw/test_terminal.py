"""What commands say beside their results: files written, quiet and verbose, progress, tables that fit."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
from rich.table import Table

from asq_sw import terminal
from asq_sw.cli import main
from asq_sw.errors import InputError
from asq_sw.files import replacing, write_text
from asq_sw.terminal import Verbosity, duration, listen, notice, progress, render, width


def asq(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main(list(arguments))
    return int(stop.value.code or 0)


def told(level: Verbosity, folder: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Lines on standard error of a command that writes a file twice, an entry of a cache and a file that goes again."""

    @click.command()
    @click.pass_context
    def command(context: click.Context) -> None:
        listen(context, level)
        for path in ("a.txt", "gone.txt", "a.txt", "b.txt"):
            write_text(folder / path, "text")
        with replacing(folder / "cached", logging.DEBUG) as temporary:
            temporary.write_text("text")
        (folder / "gone.txt").unlink()
        notice("by the way")
        with pytest.raises(InputError):
            write_text(folder, "a folder is no file")

    assert command.main([], "asq", standalone_mode=False) is None
    printed = capsys.readouterr()
    assert printed.out == ""
    return printed.err.replace(f"{folder}/", "").splitlines()


def test_a_line_for_every_file_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert told(Verbosity.NORMAL, tmp_path, capsys) == [
        "asq: by the way",
        "asq: wrote a.txt",
        "asq: wrote b.txt",
    ]
    assert told(Verbosity.QUIET, tmp_path, capsys) == []
    *lines, last = told(Verbosity.VERBOSE, tmp_path, capsys)
    written = [f"asq: wrote {name}" for name in ("a.txt", "gone.txt", "a.txt", "b.txt", "cached")]
    assert lines == [*written, "asq: by the way"]
    assert last == "asq: took 0.0 s"


def test_nothing_listens_when_the_command_has_ended(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told(Verbosity.VERBOSE, tmp_path, capsys)
    write_text(tmp_path / "later.txt", "text")
    assert capsys.readouterr().err == ""
    assert terminal.LOG.handlers == []


@pytest.mark.parametrize(("option", "lines"), [((), 1), (("--quiet",), 0), (("-q",), 0), (("--verbose",), 3)])
def test_quiet_and_verbose(
    option: tuple[str, ...], lines: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "pe.v"
    assert asq(*option, "verilog", "pe", "-o", str(path)) == 0
    printed = capsys.readouterr()
    assert printed.err.count("\n") == lines
    assert (f"wrote {path}\n" in printed.err) == bool(lines)
    assert printed.out.startswith(f"{path}: module ")


def test_files_are_named_though_the_command_fails_later(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "c.json"
    status = asq("simulate", "small_cnn", "--csv", str(tmp_path), "--json", str(tmp_path))
    assert status == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == f"asq: wrote {tmp_path}/small_cnn_layers.csv"
    assert lines[1].startswith("asq: error: ")
    assert not path.exists()


class Clock:
    """Seconds that pass when they are told to."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_progress_is_a_line_now_and_then_where_no_terminal_is(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    with progress("work", clock) as step:
        step(20, 120)  # done before: counts, but not for the speed
        clock.now = 4.0
        step(21, 120)
        assert capsys.readouterr().err == ""
        clock.now = 10.0
        step(30, 120, "a note")
        assert capsys.readouterr().err == "asq: work: 25%, about 90 s left, a note\n"
        clock.now = 14.0
        step(31, 120)
        assert capsys.readouterr().err == ""
        clock.now = 40.0
        step(60, 120)
        assert capsys.readouterr().err == "asq: work: 50%, about 60 s left\n"
        clock.now = 49.0  # a quarter of 40 s has not passed
        step(70, 120)
        assert capsys.readouterr().err == ""
        clock.now = 50.0
        step(120, 120)
        assert capsys.readouterr().err == "asq: work: 100%\n"


def test_lines_of_progress_are_never_farther_apart_than_a_minute(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    with progress("work", clock) as step:
        for second in range(36_000):
            clock.now = float(second)
            step(second, 36_000)
    lines = capsys.readouterr().err.splitlines()
    assert 36_000 / 60 - 1 < len(lines) < 36_000 / 60 + 15
    assert lines[-1].startswith("asq: work: 100%, about ")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (
            "train small_cnn --data digits --epochs 2 --limit 256 -o {}/run",
            "train: training: 75%, about 0 s left, epoch 2 of 2, ",
        ),
        ("sweep small_cnn --rows 8,16 --workers 1 -o {}/s.csv", "sweep: 2 points: 100%"),
        ("fidelity --network small_cnn -o {}/f.md", "fidelity: networks: 50%, about 0 s left, small_cnn, os"),
    ],
)
def test_long_commands_say_how_far_they_are(
    arguments: str,
    line: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(terminal, "FIRST_SECONDS", 0.0)
    monkeypatch.setattr(terminal, "LONGEST_SECONDS", 0.0)
    assert asq("-q", *arguments.format(tmp_path / "quiet").split()) == 0
    assert capsys.readouterr().err == ""
    assert asq(*arguments.format(tmp_path).split()) == 0
    said = capsys.readouterr().err
    assert f"asq {line}" in re.sub(r"about \d+ s", "about 0 s", said), said


def test_a_terminal_has_a_bar(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    with progress("work") as step:
        step(1, 4, "a note")
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "work" in printed.err
    assert "25%" in printed.err
    assert "a note" in printed.err


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "0 s"), (99, "99 s"), (100, "2 min"), (5_940, "99 min"), (12_000, "3 h 20 min")],
)
def test_durations(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def table() -> Table:
    made = Table(title="Title", box=None, caption="and more")
    for header in ("layer", "m", "cycles", "share"):
        made.add_column(header, justify="left" if header == "layer" else "right")
    made.add_row("conv1[a]", "12544", "1,234,567", "50.0%")
    made.add_row("fc", "1", "7", "0.0%")
    return made


@pytest.mark.parametrize(
    ("columns", "shown", "said"),
    [
        (80, ["layer", "m", "cycles", "share"], "and more"),
        (30, ["layer", "m", "cycles"], "and more; no room for share; a wider terminal shows them"),
        (22, ["layer", "cycles"], "and more; no room for share, m; a wider terminal shows them"),
    ],
)
def test_a_table_fits(columns: int, shown: list[str], said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    lines = render(table(), ("share", "m")).splitlines()
    assert max(map(len, lines)) <= columns
    assert lines[1].split() == shown
    assert lines[2].split()[0] == "conv1[a]", "square brackets are no markup"
    assert "1,234,567" in lines[2]
    assert " ".join(" ".join(lines[4:]).split()) == said


def test_width_is_the_pipes_unless_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    assert width() == terminal.PIPED_WIDTH
    monkeypatch.setenv("COLUMNS", "50")
    assert width() == 50


@pytest.mark.parametrize(("no_color", "coloured"), [("", True), ("1", False)])
def test_no_color(no_color: str, coloured: bool) -> None:
    """With styles forced on; NO_COLOR takes the colours away."""
    code = (
        "from rich.table import Table; from asq_sw.terminal import render; t = Table('a', border_style='red');"
        "t.add_row('1'); print(render(t))"
    )
    environment = {"FORCE_COLOR": "1", "TERM": "xterm", "NO_COLOR": no_color, "PATH": ""}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert ("\x1b[31m" in done.stdout) == coloured
