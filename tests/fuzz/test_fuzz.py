"""Inputs at random: each is read, or refused in one line that names the file.

    make fuzz                                  5,000 inputs
    FUZZ_INPUTS=100000 make fuzz               as many as that
    FUZZ_FOUND=DIR make fuzz                   findings are kept in DIR, by default in fuzz_found/
    FUZZ_SEED=7 make fuzz                      other inputs

An input of each finding belongs into ``seeds/``, where ``test_seeds.py`` reads it again.
"""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import pytest
from fuzz_samples import Files
from fuzz_targets import TARGETS
from fuzz_worker import ROOT, Worker
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

INPUTS = int(os.environ.get("FUZZ_INPUTS", "5000"))
SEED = int(os.environ.get("FUZZ_SEED", "0"))
FOUND = Path(os.environ.get("FUZZ_FOUND", ROOT / "fuzz_found"))
ROUND = 2000
"""Inputs of one run of hypothesis, which remembers them all."""
SLOW = {"commands": 0.2, "run": 0.5}
"""Target -> its share of the inputs, against 1 for the others."""


def keep(target: str, signature: str, text: str, files: Files) -> None:
    """Write an input and what it did to a folder of its own."""
    slug = "".join(c if c.isalnum() else "-" for c in signature)[:80].strip("-")
    folder = FOUND / target / slug
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    (folder / "finding.txt").write_text(text, errors="backslashreplace")


@pytest.mark.fuzz
@pytest.mark.parametrize("name", TARGETS)
def test_every_input_is_read_or_refused(
    name: str, worker: Worker, capsys: pytest.CaptureFixture[str]
) -> None:
    target = TARGETS[name]
    count = max(1, round(INPUTS * SLOW.get(name, 1.0) / sum(SLOW.get(t, 1.0) for t in TARGETS)))
    kinds = {"read": 0, "refused": 0, "finding": 0}
    found: dict[str, Files] = {}

    def one(rng: random.Random) -> None:
        files = target.make(rng)
        outcome = worker.run(name, files)
        if outcome.signature.startswith("hang"):  # on a machine that has other work it may only have waited
            outcome = worker.run(name, files)
        kinds[outcome.kind] += 1
        if outcome.kind == "finding":
            smallest = found.get(outcome.signature)
            if smallest is None or sum(map(len, files.values())) < sum(map(len, smallest.values())):
                found[outcome.signature] = files
                keep(name, outcome.signature, outcome.text, files)

    start = time.monotonic()
    for begin in range(0, count, ROUND):
        run = settings(
            max_examples=min(ROUND, count - begin),
            deadline=None,
            database=None,
            phases=(Phase.generate,),
            suppress_health_check=list(HealthCheck),
        )(given(st.randoms(use_true_random=True))(one))
        seed(1_000_003 * SEED + begin)(run)()
    rate = sum(kinds.values()) / (time.monotonic() - start)
    with capsys.disabled():
        told = ", ".join(f"{number:,} {kind}" for kind, number in kinds.items())
        print(f"\n{name}: {told}; {rate:,.0f} inputs/s; {len(found)} kinds of finding")
    assert not found, f"{len(found)} kinds of finding, kept in {FOUND / name}: {sorted(found)}"
