"""Command lines in README.md, docs/ and the Makefile name commands and options that there are; paths name files."""

from __future__ import annotations

import importlib
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import places
import pytest

from asq_sw.cli import cli

PAGES = [places.ROOT / "README.md", places.ROOT / "Makefile", *sorted((places.ROOT / "docs").glob("*.md"))]
MODULES = r"python -m ((?:asq_sw|hw|sim|reports)\b[\w.]*)"


def command_lines(text: str) -> Iterator[list[str]]:
    """Arguments of every line of code that begins with ``asq`` or ``python -m`` and a module of the project.

    Code is what stands in backticks, fenced or indented; comments are cut off.
    """
    fenced = re.findall(r"^```.*?$(.*?)^```", text, re.M | re.S)
    rest = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    lines = [line for block in fenced for line in block.splitlines()]
    lines += [line for line in rest.splitlines() if line.startswith(("    ", "\t"))]
    lines += [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", rest)]
    for line in lines:
        line = re.sub(r"^\s*(?:\w+=\S+ )*(?:\$\(BIN\)/|\.venv/bin/)?", "", line).partition(" # ")[0]
        line = re.split(r"\s#|\s[|>]", line)[0]
        if re.match(rf"asq\b|{MODULES}", line):
            yield shlex.split(line)


def documented() -> list[tuple[str, list[str]]]:
    return [(page.name, line) for page in PAGES for line in command_lines(page.read_text(encoding="utf-8"))]


def parse(line: list[str]) -> list[str]:
    """The options that a command line gives; click's own errors where the command has no such option."""
    if line[0] == "python":
        if line[2] == "asq_sw":
            return parse(["asq", *line[3:]])
        command, arguments = importlib.import_module(line[2]).main, line[3:]
        context = click.Context(command)
    else:
        context = click.Context(cli)
        if len(line) == 1 or line[1].startswith("-"):
            return line[1:]
        found = cli.get_command(context, line[1])
        assert found is not None, f"asq has no command {line[1]}"
        command, arguments = found, line[2:]
        context = click.Context(command, parent=context)
    return list(command.make_parser(context).parse_args(args=list(arguments))[0])


@pytest.mark.parametrize(
    ("page", "line"), documented(), ids=lambda v: v if isinstance(v, str) else " ".join(v)
)
def test_every_command_line_has_options_that_there_are(page: str, line: list[str]) -> None:
    parse(line)


def test_command_lines_are_found_and_wrong_ones_refused() -> None:
    text = (
        "Run `asq train net\n--wbits 3`, not `asquith`.\n\n```\nasq report -o report   # --quick\n```\n"
        "\t$(BIN)/python -m hw.studies.search --jobs 2\n    A=1 .venv/bin/asq --version\n"
    )
    train = ["asq", "train", "net", "--wbits", "3"]
    assert sorted(command_lines(text)) == sorted(
        [
            train,
            ["asq", "report", "-o", "report"],
            ["python", "-m", "hw.studies.search", "--jobs", "2"],
            ["asq", "--version"],
        ]
    )
    assert "wbits" in parse(train)
    for wrong in (["asq", "report", "--fast"], ["python", "-m", "hw.studies.search", "--fast"]):
        with pytest.raises(click.UsageError):
            parse(wrong)
    with pytest.raises(ModuleNotFoundError):
        parse(["python", "-m", "hw.search"])
    assert len({page for page, _ in documented()}) > 8


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_paths_in_code_are_of_files_that_there_are(page: Path) -> None:
    paths = re.findall(r"`((?:asq_sw|hw|sim|reports|tests|docs)/[\w./]*)`", page.read_text(encoding="utf-8"))
    assert [path for path in paths if not (places.ROOT / path).exists()] == []
