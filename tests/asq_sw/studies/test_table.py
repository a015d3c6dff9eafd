"""The table of accuracies: rows trained alike, kept, and gone on with."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from asq_sw import terminal
from asq_sw.interop.weights import write_npz
from asq_sw.studies.accuracies import main, rows
from asq_sw.train import Recipe


def test_rows_are_kept_and_name_their_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal, "FIRST_SECONDS", 0.0)
    monkeypatch.setattr(terminal, "LONGEST_SECONDS", 0.0)
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (150, 32, 32, 3)).astype(np.uint8), rng.integers(0, 10, 150)
    np.savez(
        tmp_path / "set.npz",
        train_images=images,
        train_labels=labels,
        test_images=images[:50],
        test_labels=labels[:50],
    )
    network = Recipe(model="small_cnn").network()
    write_npz(tmp_path / "start.npz", network.parameters | network.buffers)
    arguments = [
        "--data",
        str(tmp_path / "set.npz"),
        "--pretrained",
        str(tmp_path / "start.npz"),
        "--model",
        "small_cnn",
    ]
    arguments += ["--epochs", "1", "--base-epochs", "1", "-o", str(tmp_path / "table")]

    said: list[str] = []

    def run(only: str) -> list[dict[str, str]]:
        done = CliRunner().invoke(main, [*arguments, "--only", only])
        assert done.exit_code == 0, done.output
        said.append(done.stderr)
        return list(csv.DictReader((tmp_path / "table" / "accuracy.csv").open()))

    assert [row["quantizer"] for row in run("fp32-s0")] == ["fp32"]
    assert "accuracies: 100%, base (1 of 1), loss " in said[-1]
    assert "accuracies: 100%, fp32-s0 (1 of 1), loss " in said[-1]
    base = (tmp_path / "table" / "base.npz").read_bytes()
    checkpoint = tmp_path / "table" / "fp32-s0" / "checkpoint.npz"
    before = checkpoint.stat().st_mtime_ns
    table = run("w2a2-weight_startleast-squares-teacher")
    assert [(row["quantizer"], row["wbits"], row["teacher"]) for row in table] == [
        ("fp32", "4", "0.0"), ("asq-post", "2", "0.5"),
    ]  # fmt: skip
    assert "--teacher 0.5" in table[1]["command"]
    assert checkpoint.stat().st_mtime_ns == before
    assert (tmp_path / "table" / "base.npz").read_bytes() == base
    assert run("nothing has this in its name") == table
    # New rows take their places before and behind those that are there already.
    longer = run("post-w2a2-weight_startleast-squares-s0")
    assert "accuracies: 50%, " in said[-1]
    assert "(2 of 2), loss " in said[-1]
    assert [(row["quantizer"], row["teacher"]) for row in longer] == [
        ("fp32", "0.0"), ("asq-post", "0.0"), ("asq-post", "0.5"), ("post", "0.0"),
    ]  # fmt: skip
    assert longer[2] == table[1]


def test_every_row_has_a_name_of_its_own() -> None:
    names = [row.name for row in rows()]
    assert len(names) == len(set(names))
    assert names[0] == "fp32-s0"
