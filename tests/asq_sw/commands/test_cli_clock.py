"""A clock is given in MHz or ns, and activations have as many bits as weights, in the commands of machines, units and networks."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import click
import pytest

from asq_sw.cli import main
from asq_sw.commands.options import clock_mhz, clock_ns


def options(name: str) -> dict[str, click.Parameter]:
    return {p.name or "": p for p in import_module(f"asq_sw.commands.{name}").command.params}


@pytest.mark.parametrize("name", ["simulate", "sweep", "verilog", "synth", "train", "report"])
def test_the_same_option_means_the_same(name: str) -> None:
    taken = options(name)
    assert ("clock_mhz" in taken) == ("clock_ns" in taken)
    if "wbits" in taken and "abits" in taken:
        assert "as many as weight bits" in (getattr(taken["abits"], "help", None) or "")


def test_a_clock_either_way() -> None:
    assert (clock_mhz(None, None), clock_mhz(400.0, None), clock_mhz(None, 2.5)) == (None, 400.0, 400.0)
    assert (clock_ns(None, 0.8), clock_ns(500.0, None)) == (0.8, 2.0)
    assert clock_mhz(None, (2.0, 4.0)) == (500.0, 250.0)
    for bad in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(click.UsageError, match=r"--clock-ns is .*, expected a finite number above 0"):
            clock_mhz(None, bad)
    with pytest.raises(click.UsageError, match="expected one of them"):
        clock_mhz(500.0, 2.0)


@pytest.mark.parametrize(
    "command",
    ["simulate resnet20", "sweep resnet20 -o {out}", "synth pe", "report --quick -o {out}"],
)
def test_both_at_once_are_refused(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = command.format(out=tmp_path / "out.csv").split()
    with pytest.raises(SystemExit) as stop:
        main([*words, "--clock-mhz", "500", "--clock-ns", "2"])
    assert stop.value.code == 2
    assert "--clock-mhz and --clock-ns are given, expected one of them" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_verilogs_activations_follow_the_weights(tmp_path: Path) -> None:
    texts = []
    for more in ([], ["--abits", "3"]):
        with pytest.raises(SystemExit) as stop:
            main(["verilog", "multiplier", "--wbits", "3", *more, "-o", str(tmp_path / "m.v")])
        assert stop.value.code == 0
        texts.append(
            [line for line in (tmp_path / "m.v").read_text().splitlines() if line.startswith("module")]
        )
    assert texts[0] == texts[1]
    assert "a3" in texts[0][0]
