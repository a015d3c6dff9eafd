"""``asq doctor`` against what the interpreter and the processor say themselves."""

from __future__ import annotations

import json
import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numba
import pytest
from click.testing import CliRunner
from packaging.requirements import Requirement

from asq_sw import __version__
from asq_sw.cli import cli
from asq_sw.commands import doctor
from asq_sw.kernels import int8


def examined() -> dict[str, Any]:
    done = CliRunner().invoke(cli, ["doctor", "--json", "-"])
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_versions_threads_and_instructions() -> None:
    found = examined()
    assert (found["asq"], found["python"]["version"]) == (__version__, platform.python_version())
    for package in ("numpy", "numba", "amaranth", "pyosys"):
        assert found["packages"][package]["version"] == version(package)
    assert found["wrong"] == []
    assert found["threads"]["numba"] == numba.config.NUMBA_NUM_THREADS
    assert found["threads"]["usable"] <= found["threads"]["cores"] == os.cpu_count()
    assert found["processor"]["byte_products"] == int8.kind()
    if Path("/proc/cpuinfo").exists() and platform.machine() == "x86_64":
        flags = next(
            x for x in Path("/proc/cpuinfo").read_text().splitlines() if x.startswith("flags")
        ).split()
        assert ("avx2" in found["processor"]["instructions"]) == ("avx2" in flags)


def test_caches_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASQ_CACHE_DIR", str(tmp_path))
    (tmp_path / "ab").mkdir()
    (tmp_path / "ab" / "abc.json.gz").write_bytes(b"x" * 1000)
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    (tmp_path / "f.nbi").write_bytes(b"x" * 10)
    (tmp_path / "f.1.nbc").write_bytes(b"x" * 20)
    caches = examined()["caches"]
    assert caches["netlists"] == {"folder": str(tmp_path), "files": 1, "bytes": 1000}
    assert caches["compiled_code"] == {"folder": str(tmp_path), "files": 2, "bytes": 30}


def test_a_line_each() -> None:
    done = CliRunner().invoke(cli, ["doctor"])
    assert (done.exit_code, done.stderr) == (0, "")
    names = [line.partition(":")[0] for line in done.stdout.splitlines()]
    assert len(names) == len(set(names))
    expected = {
        "asq",
        "python",
        "threads",
        "instruction sets",
        "byte products",
        "cache, netlists",
        "extra fpga",
    }
    assert expected | {"extra dask", "sta"} <= set(names)


def test_what_is_missing_or_too_old_is_named_and_is_status_1(monkeypatch: pytest.MonkeyPatch) -> None:
    class Project:
        requires = (
            "numpy>=99",
            "no-such-package>=2",
            "click",
            "none-such; extra == 'extra'",
            "old; python_version < '3'",
        )
        metadata = type("Metadata", (), {"get_all": lambda self, name: ["extra"]})()

    monkeypatch.setattr(doctor, "_distribution", Project)
    done = CliRunner().invoke(cli, ["doctor"])
    assert done.exit_code == 1
    lines = dict(line.split(":", 1) for line in done.stdout.splitlines())
    assert lines["numpy"].strip() == f"{version('numpy')} (expected >=99)"
    assert lines["no-such-package"].strip() == "not installed (expected >=2)"
    assert lines["click"].strip() == version("click")
    assert lines["extra extra"].split(";")[0].strip() == "none-such not installed (expected any version)"
    assert "pip install -e '.[extra]'" in lines["extra extra"]
    assert "old" not in lines


def test_a_folder_that_is_not_installed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_distribution", lambda: None)
    done = CliRunner().invoke(cli, ["doctor"])
    assert done.exit_code == 0
    assert "not installed" in done.stdout


def test_requirements_are_those_of_the_installed_project() -> None:
    project = doctor._distribution()
    assert project is not None
    needed = {Requirement(line).name for line in project.requires or () if "extra ==" not in line}
    assert set(examined()["packages"]) == needed
