"""A disk that takes no more, at any write of any command: one line, status 2, nothing half written or left behind."""

from __future__ import annotations

import os
import resource
from contextlib import nullcontext
from pathlib import Path

import ends
import pytest
from test_kills import whole

from asq_sw.errors import InputError
from asq_sw.files import replacing, temporary_folder, writable_folder, write_text

LIMITS = {
    "verilog": (0, 3000, 20_000),
    "simulate": (0, 9000, 100_000),
    "simulate csv": (0, 4100, 9000),
    "sweep": (0, 4100, 200_000),
    "parquet": (0, 4100),
    "train": (0, 4100, 9000),
    "export": (0, 4100),
    "export onnx": (0, 4100),
    "eval": (0,),
    "fidelity": (0,),
    "memory": (0,),
    "sparsity": (0,),
    "datapath": (0,),
    "accuracies": (0, 4200),
    "search": (0, 4200),
    "report": (0, 4200, 30_000),
    "synth": (0, 4200, 200_000),
}
"""Bytes that a file may have: a write that goes beyond fails as on a full disk (EFBIG instead of ENOSPC)."""
FAST = ("verilog", "simulate csv", "train", "export", "eval", "parquet")


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return ends.prepared(tmp_path_factory.mktemp("inputs"))


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in FAST else [pytest.mark.slow]) for name in LIMITS]
)
def test_no_room(name: str, tmp_path: Path, inputs: dict[str, str]) -> None:
    for number, limit in enumerate(LIMITS[name]):
        started = ends.Started(
            name,
            tmp_path / str(number),
            inputs,
            lambda most=limit: resource.setrlimit(resource.RLIMIT_FSIZE, (most, most)),  # type: ignore[misc]
        )
        status, printed, _ = started.end()
        last = printed.splitlines()[-1]
        assert status == 2, f"{limit}: {printed}"
        assert "error: " in last
        assert "Traceback" not in printed
        assert any(word in last for word in ("File too large", "temporary files")), last
        assert started.alone() == []
        assert os.listdir(started.temporary) == []
        assert [path.name for path in started.folder.rglob(".*")] == []
        whole(started.folder)
        if limit == 0:
            assert [path for path in started.place.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(("device", "full"), [("/dev/full", True), ("/dev/null", False)])
def test_a_device_stays_one(device: str, full: bool, tmp_path: Path) -> None:
    named = tmp_path / "device"
    named.symlink_to(device)  # so that the machine keeps its own, should this fail
    with pytest.raises(InputError, match="device: cannot be written") if full else nullcontext():
        write_text(named, "x" * 10_000)
    assert named.is_symlink()
    assert os.listdir(tmp_path) == ["device"]


def test_folders_that_were_made_for_nothing_go(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No space left"), replacing(tmp_path / "a" / "b" / "c.txt"):
        raise OSError(28, "No space left on device")
    assert os.listdir(tmp_path) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError):
        writable_folder(tmp_path / "file" / "below")
    assert os.listdir(tmp_path) == ["file"]


def test_what_killed_processes_left_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    child = os.fork()
    if not child:
        with replacing(tmp_path / "out.txt"), temporary_folder("test"):
            os._exit(0)  # as if killed
    os.waitpid(child, 0)
    assert len(os.listdir(tmp_path)) == 2
    with temporary_folder("other"), replacing(tmp_path / "other.txt") as own:
        own.write_text("other")
        assert len(os.listdir(tmp_path)) == 4
    with temporary_folder("test"), replacing(tmp_path / "out.txt") as own:
        own.write_text("text")
    assert sorted(os.listdir(tmp_path)) == ["other.txt", "out.txt"]
