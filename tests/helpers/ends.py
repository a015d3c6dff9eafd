"""Commands as processes of their own: started, stopped at some instant, and what is left of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import places

from asq_sw.data import load
from asq_sw.interop.weights import write_npz
from asq_sw.train import Recipe, Trainer, integer_network

COMMANDS: dict[str, tuple[str, ...]] = {
    "simulate": ("asq_sw", "simulate", "resnet50", "--fidelity", "2", "--trace", "{}/trace.json", "--json", "{}/out.json"),
    "sweep": (
        "asq_sw", "sweep", "resnet50", "--rows", "4,8,12,16,20,24,28,32,40,48,56,64", "--wbits", "2,3,4,5,6,7,8",
        "--cols", "4,8,12,16,20,24,28,32,40,48,56,64", "--dataflow", "ws,os,is", "--grid", "post,int,pot,apot",
        "--workers", "2", "-o", "{}/out.csv",
    ),
    "train": (
        "asq_sw", "train", "small_cnn", "--data", "digits", "--wbits", "2", "--abits", "2", "--epochs", "24", "--batch", "64",
        "--rate", "0.1", "--resume", "-o", "{}/run",
    ),
    "synth": ("asq_sw", "synth", "tile", "--rows", "4", "--cols", "4", "--json", "{}/cost.json"),
    "report": ("asq_sw", "report", "--quick", "-o", "{}/report"),
    "search": (
        "hw.studies.search", "--node", "nangate45", "--tile", "{tile}", "--tile", "{other}", "--jobs", "2", "-o", "{}/tiles.json",
    ),
    "accuracies": (
        "asq_sw.studies.accuracies", "--data", "{data}", "--pretrained", "{start}", "--model", "small_cnn", "--epochs", "2",
        "--base-epochs", "1", "--only", "asq-post-w4a4", "-o", "{}/table",
    ),
}  # fmt: skip
COMMANDS |= {
    "verilog": (
        "asq_sw", "verilog", "tile", "--rows", "8", "--cols", "8", "--corrections", "{}/c.json", "-o", "{}/tile.v",
    ),
    "simulate csv": ("asq_sw", "simulate", "resnet50", "--csv", "{}/csv", "--json", "{}/out.json"),
    "parquet": (
        "asq_sw", "sweep", "resnet18", "--rows", "4,8,16,32", "--cols", "4,8,16,32", "--workers", "1", "-o", "{}/out.parquet",
    ),
    "export": ("asq_sw", "export", "{run}", "-o", "{}/net.npz"),
    "export onnx": ("asq_sw", "export", "{run}", "-o", "{}/net.onnx"),
    "eval": ("asq_sw", "eval", "{run}", "--data", "digits", "--json", "{}/accuracy.json"),
    "fidelity": ("sim.studies.fidelity", "--network", "resnet18", "-o", "{}/fidelity.md"),
    "memory": ("sim.studies.memory_checks", "-o", "{}/memory.md"),
    "sparsity": ("sim.studies.sparsity", "{net}", "--data", "digits", "-o", "{}/zeros.json"),
    "datapath": ("reports.studies.datapath", "-o", "{}/datapath.md"),
}  # fmt: skip
"""Name -> a module and its arguments; ``{}`` is the folder that they write to."""


def prepared(folder: Path) -> dict[str, str]:
    """The inputs that :data:`COMMANDS` name, made in ``folder``."""
    from hw.studies.search import points

    small = sorted(points("contenders"), key=lambda tile: tile.macs * tile.abits)[:2]
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (150, 32, 32, 3)).astype(np.uint8), rng.integers(0, 10, 150)
    write_npz(
        folder / "set.npz",
        {"train_images": images, "train_labels": labels, "test_images": images, "test_labels": labels},
    )
    recipe = Recipe(model="small_cnn", input_shape=(1, 8, 8), epochs=1, flip=False, crop=1)
    Trainer(recipe, load("digits"), folder=folder / "run").run(resume=True)
    integer_network(folder / "run").save(folder / "net.npz")
    network = Recipe(model="small_cnn").network()
    write_npz(folder / "start.npz", network.parameters | network.buffers)
    return {
        "run": str(folder / "run"), "net": str(folder / "net.npz"), "data": str(folder / "set.npz"), "start": str(folder / "start.npz"),
        "tile": small[0].name, "other": small[1].name,
    }  # fmt: skip


def _begin(limit: Callable[[], None] | None) -> None:
    """As from a terminal: a test run in the background ignores interrupts, and its processes would too."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if limit is not None:
        limit()


class Started:
    """A command that runs, with a cache and temporary files of its own in ``folder``."""

    def __init__(
        self, name: str, folder: Path, inputs: dict[str, str], limit: Callable[[], None] | None = None
    ):
        self.folder, self.place = folder, folder / "out"
        self.temporary = folder / "tmp"
        for made in (self.place, self.temporary):
            made.mkdir(exist_ok=True, parents=True)
        environment = os.environ | {
            "TMPDIR": str(self.temporary), "ASQ_CACHE_DIR": str(folder / "cache"), "PYTHONPATH": str(places.ROOT),
            "NUMBA_NUM_THREADS": "1",
        }  # fmt: skip
        module, *arguments = (word.format(self.place.name, **inputs) for word in COMMANDS[name])
        self.process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, cwd=folder, start_new_session=True,
            preexec_fn=lambda: _begin(limit),
        )  # fmt: skip

    def end(self, signal_: int | None = None, whole_group: bool = False) -> tuple[int, str, float]:
        """Send a signal, wait; exit status, standard error, and the seconds that it took."""
        start = time.monotonic()
        if signal_ is not None:
            (os.killpg if whole_group else os.kill)(self.process.pid, signal_)
        _, printed = self.process.communicate(timeout=300)
        return self.process.returncode, printed, time.monotonic() - start

    def descendants(self) -> list[str]:
        """Processes that still run with this command's temporary files."""
        word = f"TMPDIR={self.temporary}".encode()
        found = []
        for place in Path("/proc").glob("[0-9]*"):
            try:
                if word in (place / "environ").read_bytes():
                    state = (place / "stat").read_text().rpartition(")")[2].split()[0]
                    if state not in "ZX":
                        found.append((place / "cmdline").read_bytes().replace(b"\0", b" ").decode()[:200])
            except OSError:
                continue
        return found

    def alone(self, seconds: float = 10.0) -> list[str]:
        """Those that still run after so long at most."""
        until = time.monotonic() + seconds
        while (left := self.descendants()) and time.monotonic() < until:
            time.sleep(0.02)
        return left


KILL = signal.SIGKILL
