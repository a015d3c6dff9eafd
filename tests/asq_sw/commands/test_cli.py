"""The command line as a person meets it: help, one-line errors, exit status."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

import click
import numpy as np
import places
import pytest

from asq_sw import console
from asq_sw.cli import COMMANDS, SECTIONS, cli, main
from asq_sw.errors import InputError, ToolError


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "asq_sw", *arguments], capture_output=True, text=True)


def test_help_lists_every_command_and_imports_none() -> None:
    code = "import sys; from asq_sw.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass\n"
    done = subprocess.run(
        [sys.executable, "-c", code + "assert not {'numba', 'numpy', 'rich'} & set(sys.modules), 'slow'"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    told = " ".join(done.stdout.split())
    for name, entry in COMMANDS.items():
        assert f" {name} {entry.help}" in told
    assert [told.index(f"{title}:") for title in SECTIONS] == sorted(told.index(f"{t}:") for t in SECTIONS)
    assert "_ASQ_COMPLETE=bash_source" in told


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
        (["simulat", "resnet18"], "did you mean 'simulate'?"),
        (["simulate", "resnet18", "--gird", "post"], "--grid"),
        (["simulate", "resnt18"], "did you mean 'resnet18'?"),
        (["simulate", "resnet18", "--grid", "post-papr"], "did you mean 'post-paper'?"),
        (["simulate", "resnet18", "--dataflow", "wss"], "did you mean 'ws'?"),
        (["synth", "pe", "--node", "nangate"], "did you mean 'nangate45'?"),
        (["synth", "mutiplier"], "did you mean 'multiplier'?"),
        (
            ["verilog", "tile", "--variant", "one-hot-shft", "--frac-bits", "0"],
            "did you mean 'one-hot-shift'?",
        ),
        (["fidelity", "--network", "alexnett"], "did you mean 'alexnet'?"),
        (
            ["train", "small_cnn", "--data", "digits", "--quantizer", "asq-uniforn", "-o", "/proc/nowhere"],
            "did you mean 'asq-uniform'?",
        ),
        (["search", "--tile", "tile_nowhere", "-o", "/proc/nowhere.json"], "tile_nowhere"),
        (["sweep", "resnet18", "--quiet", "-o", "s.csv"], "asq --quiet sweep"),
        (["--quiet", "--verbose", "doctor"], "--verbose"),
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


def test_what_has_no_near_name_is_told_none(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["zzz"])
    assert capsys.readouterr().err == "asq: error: No such command 'zzz'\n"


@pytest.mark.parametrize("name", [name for name, entry in COMMANDS.items() if entry.where])
def test_a_study_is_one_command_by_both_ways(name: str) -> None:
    """The same click command: an option that one way has, the other has."""
    module, _, attribute = COMMANDS[name].where.partition(":")
    context = click.Context(cli)
    assert cli.get_command(context, name) is getattr(importlib.import_module(module), attribute)


def completed(line: str, more: str = "") -> set[str]:
    """What the shell is given for the last word of a line."""
    code = "import sys; from asq_sw.cli import main\ntry: main([])\nexcept SystemExit: pass\n"
    words = line.split(" ")
    done = subprocess.run(
        [sys.executable, "-c", code + more],
        capture_output=True,
        text=True,
        env=os.environ
        | {"_ASQ_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)},
    )
    assert done.returncode == 0, done.stderr
    return {line.partition(",")[2] for line in done.stdout.split()}


def test_commands_are_completed_without_an_import() -> None:
    found = completed("asq s", "assert not {'numba', 'amaranth'} & set(sys.modules), 'slow'")
    assert found == {name for name in COMMANDS if name.startswith("s")} > {"simulate", "synth"}


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("asq --v", {"--version", "--verbose"}),
        ("asq verilog m", {"multiplier"}),
        ("asq synth pe --node s", {"sky130hd"}),
        ("asq verilog pe --grid fp", {"fp4"}),
        ("asq search --op", {"--operands"}),
    ],
)
def test_options_and_names_are_completed(line: str, found: set[str]) -> None:
    assert completed(line) == found


def test_module_is_the_command() -> None:
    done = run("--version")
    assert (done.returncode, done.stdout.split()[0]) == (0, "asq,")


MODULES = {
    "asq_sw.studies.agreement": (["{}/missing", "--data", "digits"], "missing"),
    "asq_sw.studies.exponents": (["--weights", "{}/missing.npz"], "missing.npz"),
    "asq_sw.studies.trained_operands": (
        ["{}", "--data", "digits", "--layer", "fc", "-o", "{}/o.npz"],
        "config.json",
    ),
    "asq_sw.studies.accuracies": (
        ["--data", "{}/missing.npz", "--pretrained", "w.npz", "-o", "{}/t"],
        "missing.npz",
    ),
    "hw.studies.orders": (["--grid", "log"], "log"),
    "hw.studies.search": (["--operands", "{}/damaged.npz", "-o", "{}/tiles.json"], "damaged.npz"),
    "hw.synth.libraries.liberty": (["{}/damaged.npz", "--node", "n", "-o", "{}/l.json.gz"], "damaged.npz"),
    "hw.studies.power_check": (["-o", "{}"], "folder"),
    "hw.studies.unit_costs": (["--node", "45nm"], "nangate45"),
    "reports.studies.datapath": (["-o", "{}"], "directory"),
    "sim.studies.fidelity": (["--network", "resnet19", "-o", "{}/f.md"], "resnet18"),
    "sim.studies.memory_checks": (["--format", "csv"], "--format"),
    "sim.studies.sparsity": (["{}/damaged.npz", "--data", "digits"], "damaged.npz"),
}


@pytest.mark.parametrize("module", MODULES)
def test_modules_that_are_commands_say_what_was_wrong_in_one_line_too(
    module: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments, words = MODULES[module]
    (tmp_path / "damaged.npz").write_text("nothing that anyone reads")
    with pytest.raises(SystemExit) as stop:
        console.run(
            importlib.import_module(module).main,
            f"python -m {module}",
            [a.format(tmp_path) for a in arguments],
        )
    printed = capsys.readouterr()
    assert stop.value.code == 2
    assert printed.out == ""
    assert printed.err.count("\n") == 1, printed.err
    assert printed.err.startswith(f"python -m {module}: error: ")
    assert words in printed.err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["damaged.npz"], "something was left half written"


def test_every_module_that_is_a_command_is_run_alike() -> None:
    root = places.ROOT
    found = set()
    for folder in ("asq_sw", "hw", "sim", "reports"):
        for path in (root / folder).rglob("*.py"):
            text = path.read_text(encoding="utf-8")
            name = ".".join(path.relative_to(root).with_suffix("").parts)
            if '__name__ == "__main__"' in text and not name.endswith(("__main__", "asq_sw.cli")):
                found.add(name)
                assert f'run(main, "python -m {name}")' in text
    assert found - set(MODULES) == {
        "hw.studies.fpga_table",
        "hw.studies.published_figures",
        "reports.studies.schemas",
        "sim.studies.machine_keys",
    }  # they take nothing but a path


@pytest.mark.parametrize(
    ("raised", "status", "line"),
    [
        (InputError("a:\n b"), 2, "x: error: a: b"),
        (ToolError("Yosys failed"), 1, "x: error: Yosys failed"),
        (KeyboardInterrupt(), 130, "x: interrupted"),
        (BrokenPipeError(), 1, ""),
        (
            OSError(28, "No space left on device", "there/file"),
            2,
            "x: error: there/file: No space left on device",
        ),
        (MemoryError("no more"), 2, "x: error: --batch 900: too large for this machine (no more)"),
        (OverflowError("too large"), 2, "x: error: --batch 900: too large for this machine (too large)"),
        (None, 0, ""),
    ],
)
def test_status_of_a_command(
    raised: BaseException | None, status: int, line: str, capfd: pytest.CaptureFixture[str]
) -> None:
    @click.command()
    @click.option("--rows")
    @click.option("--batch")
    def command(rows: str, batch: str) -> None:
        if raised is not None:
            raise raised

    with pytest.raises(SystemExit) as stop:
        console.run(command, "x", ["--rows=7", "--batch", "900"])
    assert stop.value.code == status
    assert capfd.readouterr().err.lstrip("\n") == (line and line + "\n")  # click adds a line to an interrupt


def test_an_error_of_the_program_is_none_of_the_input() -> None:
    @click.command()
    def command() -> None:
        raise ValueError("a bug")

    with pytest.raises(ValueError, match="a bug"):
        console.run(command, "x", [])


def test_arrays_beyond_all_memory_name_the_option(capsys: pytest.CaptureFixture[str]) -> None:
    @click.command()
    @click.option("--images", type=int)
    def command(images: int) -> None:
        np.empty((images, 1 << 40))

    for images in (1 << 10, 1 << 40):
        with pytest.raises(SystemExit) as stop:
            console.run(command, "x", ["--images", str(images)])
        assert stop.value.code == 2
        assert capsys.readouterr().err.startswith(
            f"x: error: --images {images}: too large for this machine ("
        )


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "NaN", "1e999"])
@pytest.mark.parametrize(
    "words",
    [
        ["report", "--clock-mhz"], ["synth", "pe", "--clock-ns"], ["train", "small_cnn", "--data", "digits", "-o", "x", "--rate"],
    ],
)  # fmt: skip
def test_numbers_are_finite(words: list[str], value: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([*words, value])
    printed = capsys.readouterr().err
    assert (stop.value.code, printed.count("\n")) == (2, 1)
    assert words[-1] in printed
