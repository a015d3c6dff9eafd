"""The command line as a person meets it: help, one-line errors, exit status."""

from __future__ import annotations

import subprocess
import sys

import pytest

from asq_sw.cli import COMMANDS, main


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "asq_sw", *arguments], capture_output=True, text=True)


def test_help_lists_every_command_and_imports_none() -> None:
    code = "import sys; from asq_sw.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass\n"
    done = subprocess.run(
        [sys.executable, "-c", code + "assert 'numba' not in sys.modules, 'slow'"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    for name, line in COMMANDS.items():
        assert name in done.stdout
        assert line.split()[0] in done.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    assert stop.value.code == 0
    assert f"asq {command}" in capsys.readouterr().out.partition("Example")[2]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["simulate", "resnet19"], "resnet18"),
        (["simulate", "resnet18", "--wbits", "9"], "2"),
        (["simulate", "missing.csv"], "missing.csv"),
        (["verilog", "pe", "--wbits", "9", "-o", "-"], "2"),
        (["verilog", "pe", "--grid", "log", "-o", "-"], "post-paper"),
        (["report", "--quick", "-o", "/proc/nowhere"], "/proc/nowhere"),
        (["fly"], "fly"),
        (["simulate"], "NETWORK"),
    ],
)
def test_bad_input_is_one_line_and_status_2(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    printed = capsys.readouterr()
    assert stop.value.code == 2
    assert printed.out == ""
    assert printed.err.count("\n") == 1, printed.err
    assert printed.err.startswith("asq: error: ")
    assert words in printed.err


def test_module_is_the_command() -> None:
    done = run("--version")
    assert (done.returncode, done.stdout.split()[0]) == (0, "asq,")
