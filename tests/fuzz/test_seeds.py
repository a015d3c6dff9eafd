"""Inputs that were findings once (``seeds/TARGET/WHAT/``) are read or refused; and the fuzzer sees what it looks for."""

from __future__ import annotations

from pathlib import Path

import pytest
from fuzz_targets import TARGETS
from fuzz_worker import Worker

SEEDS = Path(__file__).parent / "seeds"


@pytest.mark.parametrize("name", sorted(folder.name for folder in SEEDS.iterdir()))
def test_seeds(name: str, worker: Worker) -> None:
    found = {}
    folders = sorted((SEEDS / name).iterdir())
    assert folders
    for folder in folders:
        files = {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
        outcome = worker.run(name, files)
        if outcome.kind == "finding":
            found[folder.name] = outcome.text
    assert not found, "\n\n".join(f"{name}: {text}" for name, text in found.items())


def test_every_seed_has_a_target() -> None:
    assert {folder.name for folder in SEEDS.iterdir()} <= set(TARGETS)
