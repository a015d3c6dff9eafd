"""Inputs that were findings once (``seeds/TARGET/WHAT/``) are read or refused; and the fuzzer sees what it looks for."""

from __future__ import annotations

import random
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


def test_what_is_wrong_is_found() -> None:
    worker = Worker(seconds=1)

    def kind(word: str) -> tuple[str, str]:
        outcome = worker.run("broken", {"input.txt": word.encode()})
        return outcome.kind, outcome.signature

    try:
        assert kind("read") == ("read", "")
        assert kind("input.txt: is wrong") == ("refused", "")
        assert kind("is wrong")[1].startswith("unnamed")
        assert kind("input.txt: is\nwrong")[1].startswith("message")
        assert kind("input.txt" * 1000) == ("refused", "")  # cut
        assert kind("fail")[1].startswith("ValueError")
        assert kind("exit")[1].startswith("SystemExit")
        assert kind("memory")[1].startswith("MemoryError")
        assert kind("leave")[1] == "left behind"
        assert kind("abort")[1].startswith("crash -6")
        assert kind("read") == ("read", "")  # another process
        assert kind("hang")[1].startswith("hang")
        assert kind("read") == ("read", "")
    finally:
        worker.close()


def test_every_target_makes_inputs() -> None:
    """Nearly all differ from each other."""
    for name in ("topology", "cfg", "toml", "zeros", "liberty", "onnx", "weights", "operands"):
        rng = random.Random(0)
        made = [TARGETS[name].make(rng) for _ in range(30)]
        assert len({tuple(sorted(files.items())) for files in made}) > 20, name
