"""The page of the machine file's keys: current, whole, and true of what the model takes."""

from __future__ import annotations

from pathlib import Path

import places
import pytest
from click.testing import CliRunner

from asq_sw.errors import InputError
from sim import Accelerator
from sim.studies.machine_keys import NAMES, attributes, keys, main


def test_the_page_is_current(tmp_path: Path) -> None:
    page = tmp_path / "machine.md"
    assert CliRunner().invoke(main, ["-o", str(page)]).exit_code == 0
    assert page.read_text() == (places.ROOT / "docs" / "machine.md").read_text()


def test_every_key_that_a_machine_file_has_is_there() -> None:
    written = [line.split(" = ")[0] for line in Accelerator(frac_bits=2).to_toml().splitlines()]
    assert [key.name for key in keys()] == written
    assert all(key.meaning and key.takes for key in keys())


def test_defaults_are_what_a_machine_file_says(tmp_path: Path) -> None:
    """Every default, as printed, read back as TOML: the same machine."""
    lines = [f"{key.name} = {key.default.strip('`')}" for key in keys() if key.default.startswith("`")]
    (tmp_path / "machine.toml").write_text("\n".join(lines))
    assert len(lines) == len(keys()) - 1  # F has none: it is the grid's
    assert Accelerator.from_toml(tmp_path / "machine.toml") == Accelerator()


def test_names_and_ranges_are_what_the_model_takes() -> None:
    by_name = {key.name: key for key in keys()}
    for key, names in NAMES.items():
        for name in names:
            bits = {"fp4": 4, "nf4": 4}.get(name, 4)
            machine = Accelerator(**{"dataflow": "ws", key: name, "wbits": bits})
            assert getattr(machine, key) == name
            assert f"`{name}`" in by_name[key].takes
    assert (by_name["rows"].takes, by_name["abits"].takes) == (
        "whole number, 1 to 4096",
        "whole number, 2 to 8",
    )
    for key, low, high in (("rows", 0, 4097), ("abits", 1, 9), ("bank_ports", 0, 17)):
        for wrong in (low, high):
            with pytest.raises(InputError, match=key):
                Accelerator(**{key: wrong})
    assert by_name["clock_mhz"].takes == "number, above 0"
    assert (by_name["clock_mhz"].unit, by_name["line_words"].unit, by_name["rows"].unit) == (
        "MHz",
        "values",
        "",
    )


class Documented:
    """A class.

    Attributes
    ----------
    a, b : int
        Two
        lines.
    c : float
        One; with a colon: here.

        And a paragraph.

    Raises
    ------
    InputError
        Not an attribute.
    """


def test_attributes_of_a_docstring() -> None:
    two = "Two lines."
    assert attributes(Documented) == {"a": two, "b": two, "c": "One; with a colon: here. And a paragraph."}
    assert attributes(int) == {}
