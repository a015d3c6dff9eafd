"""Files are written whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from asq_sw.errors import InputError
from asq_sw.files import replacing, writable_folder, write_text
from asq_sw.provenance import file_hash, provenance


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "out.json"
    write_text(target, "old")

    def fail() -> None:
        with replacing(target) as temporary:
            temporary.write_text("half")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        fail()
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["out.json"]


def test_a_file_gets_the_usual_permissions(tmp_path: Path) -> None:
    write_text(tmp_path / "new" / "out.txt", "text")
    (tmp_path / "plain").write_text("text")
    assert (tmp_path / "new" / "out.txt").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_file_in_the_place_of_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="file"):
        write_text(tmp_path / "file" / "out.txt", "text")
    with pytest.raises(InputError, match="file"):
        writable_folder(tmp_path / "file")
    with pytest.raises(InputError, match="is a folder"):
        write_text(tmp_path, "text")
    assert sorted(os.listdir(tmp_path)) == ["file"]


def test_provenance_has_hashes_and_no_time(tmp_path: Path) -> None:
    (tmp_path / "input").write_bytes(b"abc")
    # FIPS 180-2, appendix B.1: SHA-256 of "abc".
    assert file_hash(tmp_path / "input") == "ba7816bf8f01cfea"
    record = provenance([tmp_path / "input"], seed=3)
    assert record == provenance([tmp_path / "input"], seed=3)
    assert record["inputs"] == {"input": "ba7816bf8f01cfea"}
    assert record["seed"] == 3
