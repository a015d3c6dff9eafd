"""The table of accuracies: methods and widths trained alike, row by row, the rows that matter most first.

Every row starts from the same full-precision network, itself fine-tuned on the same images, and is trained for
the same epochs on the same schedule; the full-precision row is too, and is what the others are compared with.
That network has seed 0, so a row of seed 0 meets its batches again in its first epochs, as every row of seed 0 does.
Rows that are done are kept (``accuracy.csv`` in the folder says which), a row that was interrupted goes on, so
the table is made in as many sittings as it takes:

python -m asq_sw.studies.accuracies --data cifar10_jpeg.npz --pretrained resnet20_cifar10_fp32.npz -o FOLDER
"""

from __future__ import annotations

import csv
import io
import json
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from asq_sw.commands.options import Number
from asq_sw.console import run
from asq_sw.errors import InputError
from asq_sw.files import writable_folder, write_text
from asq_sw.terminal import Step, progress
from asq_sw.train import CHECKPOINT, METRICS, Recipe, Trainer, read_config

FIELDS = (
    "quantizer", "wbits", "abits", "rounded", "frac_bits", "weight_start", "teacher", "seed", "epochs", "test_accuracy",
    "train_accuracy", "seconds", "command",
)  # fmt: skip


QUANTIZER_RATE = 0.1
"""Of scales and adapters (SGD); the task's parameters have ``--rate``."""
_NOTE_SECONDS = 2.0
BASE_RATE = 0.05
"""Of the full-precision fine-tuning that all rows start from."""


@dataclass(frozen=True)
class Row:
    """One run.

    Attributes
    ----------
    quantizer : str
        Of :data:`asq_sw.quantizers.methods.METHODS`.
    wbits, abits : int
    seed : int
    options : tuple of (field, value)
        Further fields of the recipe.
    """

    quantizer: str
    wbits: int = 4
    abits: int = 4
    seed: int = 0
    options: tuple[tuple[str, Any], ...] = ()

    @property
    def name(self) -> str:
        more = "".join(
            f"-{k}{v}" for k, v in self.options if k in ("rounded", "frac_bits", "teacher", "weight_start")
        )
        bits = "" if self.quantizer == "fp32" else f"-w{self.wbits}a{self.abits}"
        return f"{self.quantizer}{bits}{more}-s{self.seed}"


# With few levels weights have farther to go: wider steps, and scales that do not begin far too wide. Seed 0, 6
# epochs: 2 bits 84.77% (84.03% with the wider steps alone, 83.64% with the rates of 4 bits), 3 bits 86.51%
# (86.50% with the rates of 4 bits).
_LOW = (("rate", 0.06), ("quantizer_rate", 0.3), ("weight_start", "least-squares"))
# DAQ's own rates (Kim et al. 2021: Adam for the quantizer); the others' parameters go with SGD.
_DAQ = (("quantizer_optimizer", "adam"), ("quantizer_rate", 1e-3))
_QIL = (("quantizer_optimizer", "adam"), ("quantizer_rate", 1e-3))


def rows() -> list[Row]:
    """All rows, those that the conclusion rests on first."""
    rounded = [Row("asq-post", 4, 4, 0, (("rounded", True), ("frac_bits", f))) for f in (0, 1, 2)]
    taught = [Row("asq-post", b, b, 0, (*(_LOW if b < 4 else ()), ("teacher", 0.5))) for b in (4, 3, 2)]
    low = [Row("asq-post", b, b, 0, _LOW) for b in (3, 2)]
    key = [Row("fp32"), Row("asq-post", 4, 4), rounded[0], *low]
    beside = [
        Row("daq", 1, 1, 0, _DAQ),
        Row("lsq", 4, 4),
        Row("qil", 4, 4, 0, _QIL),
        Row("post", 4, 4),
        Row("asq-uniform", 4, 4),
        Row("asq-pot", 4, 4),
        Row("asq-apot", 4, 4),
        Row("asq-post-paper", 4, 4),
        Row("asq-post", 4, 4, 0, (_LOW[-1],)),
        Row("asq-fp4", 4, 4),
        *(Row("lsq", b, b, 0, _LOW[:2]) for b in (3, 2)),
        *(Row("qil", b, b, 0, (_LOW[0], *_QIL)) for b in (3, 2)),
    ]
    seeds = [Row(r.quantizer, r.wbits, r.abits, s, r.options) for s in (1, 2) for r in key]
    more = [
        *taught,
        *rounded[1:],
        *(Row("post", b, b, 0, _LOW) for b in (3, 2)),
        Row("asq-pot", 3, 3, 0, _LOW),
        Row("asq-uniform", 3, 3, 0, _LOW),  # at 2 bits the grid is POST's
        Row("asq-nf4", 4, 4),
    ]
    # One base for all: what the grids are worth at 4 bits, without the difference of two bases.
    grids = [
        Row(f"asq-{grid}", 4, 4, s) for s in (0, 1, 2) for grid in ("post-gap", "uniform", "fp4", "post")
    ]
    found = [*key, *beside, *seeds, *more]
    return [*found, *(row for row in grids if row not in found)]


def recipe(row: Row, epochs: int, rate: float, limit: int | None, model: str) -> Recipe:
    """The recipe of one row."""
    fields: dict[str, Any] = {
        "model": model, "quantizer": row.quantizer, "wbits": row.wbits, "abits": row.abits, "seed": row.seed,
        "epochs": epochs, "rate": rate, "quantizer_rate": QUANTIZER_RATE, "limit": limit, "warmup": 100,
    }  # fmt: skip
    return Recipe.checked(row.name, **(fields | dict(row.options)))


def command_of(row: Row, recipe: Recipe) -> str:
    """The shell command that trains the row from the base that all rows share."""
    made = recipe.model_dump(mode="json")
    options = f" --frac-bits {made['frac_bits']}" if made["frac_bits"] is not None else ""
    options += " --rounded" if made["rounded"] else ""
    options += f" --weight-start {made['weight_start']}" if made["weight_start"] != "quantile" else ""
    options += f" --teacher {made['teacher']:g}" if made["teacher"] else ""
    if made["quantizer_optimizer"] != "sgd":
        options += f" --quantizer-optimizer {made['quantizer_optimizer']}"
    return (
        f"asq train {made['model']} --data cifar10_jpeg.npz --pretrained base.npz --quantizer {made['quantizer']} "
        f"--wbits {made['wbits']} --abits {made['abits']} --epochs {made['epochs']} --rate {made['rate']:g} "
        f"--quantizer-rate {made['quantizer_rate']:g} --warmup {made['warmup']} --seed {made['seed']}{options} "
        f"-o {row.name}"
    )


def _result(row: Row, folder: Path) -> dict[str, Any]:
    last = list(csv.DictReader(io.StringIO((folder / METRICS).read_text())))[-1]
    made = read_config(folder)["recipe"]
    values = {
        "test_accuracy": float(last["test_accuracy"]), "train_accuracy": float(last["train_accuracy"]),
        "seconds": json.loads((folder / "time.json").read_text())["seconds"],
        "command": command_of(row, Recipe(**made)),
    }  # fmt: skip
    return {key: values.get(key, made.get(key)) for key in FIELDS}


def read(path: Path) -> dict[str, dict[str, Any]]:
    """The rows of a table that was written before, by their commands."""
    if not path.exists():
        return {}
    return {row["command"]: row for row in csv.DictReader(io.StringIO(path.read_text()))}


def _write(results: list[dict[str, Any]], path: Path) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, FIELDS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(results)
    write_text(path, text.getvalue())


def _timed(trainer: Trainer, folder: Path, step: Step, before: int, rows: int) -> None:
    """Run to the end, as one more than ``before`` of ``rows`` rows; ``time.json`` adds up the seconds of all sittings."""
    spent = folder / "time.json"
    earlier = json.loads(spent.read_text())["seconds"] if spent.exists() else 0.0
    start, written = time.monotonic(), -math.inf

    def note() -> None:
        """From the start on and now and then, so that a process that is killed loses little."""
        nonlocal written
        if time.monotonic() - written > _NOTE_SECONDS:
            written = time.monotonic()
            seconds = round(earlier + written - start, 1)
            write_text(spent, json.dumps({"seconds": seconds}) + "\n")

    def told(done: int, steps: int, loss: float) -> None:
        note()
        step(before + done / steps, rows, f"{folder.name} ({before + 1} of {rows}), loss {loss:.3f}")

    note()
    try:
        trainer.run(resume=True, progress=told)
    finally:
        written = -math.inf
        note()


def _done(folder: Path, made: Recipe) -> bool:
    path = folder / METRICS
    if not path.exists() or not (folder / CHECKPOINT).exists():
        return False
    return len(path.read_text().splitlines()) == made.epochs + 1


@click.command(
    help="Train every row of the table of accuracies; run again after an interrupt, it goes on.",
    epilog="Example: asq accuracies --data cifar10_jpeg.npz --pretrained resnet20.npz -o accuracies",
)
@click.option("--data", "data_path", required=True, help="Image set.")
@click.option("--pretrained", required=True, type=click.Path(), help="Full-precision weights to begin with.")
@click.option("--model", default="resnet20", show_default=True)
@click.option("--epochs", default=6, show_default=True, type=click.IntRange(min=1))
@click.option("--rate", default=0.02, show_default=True, type=Number(min=0, min_open=True))
@click.option(
    "--base-epochs",
    default=4,
    show_default=True,
    type=click.IntRange(min=1),
    help="Full-precision fine-tuning that all rows start from.",
)
@click.option("--limit", type=click.IntRange(min=1), help="Use N of the training images, drawn at random.")
@click.option("--only", help="Rows whose name contains this.")
@click.option("-o", "--output", "folder", required=True, type=click.Path(file_okay=False, path_type=Path))
def main(
    data_path: str, pretrained: str, model: str, epochs: int, rate: float, base_epochs: int, limit: int | None,
    only: str | None, folder: Path,
) -> None:  # fmt: skip
    from asq_sw.data import load
    from asq_sw.interop.weights import read_weights, write_npz

    data = load(data_path)
    start = None if (folder / "base.npz").exists() else read_weights(pretrained)
    writable_folder(folder)
    base = folder / "base.npz"
    if start is not None:
        fields: dict[str, Any] = {"model": model, "quantizer": "fp32", "epochs": base_epochs, "limit": limit}
        first = Recipe.checked("base", rate=BASE_RATE, **fields)
        trainer = Trainer(first, data, start, folder / "base", (data_path, pretrained))
        with progress("accuracies") as step:
            _timed(trainer, folder / "base", step, 0, 1)
        write_npz(base, trainer.network.parameters | trainer.network.buffers)
        click.echo(f"base: {trainer.history[-1]}")
    weights = read_weights(base)
    table = folder / "accuracy.csv"
    results = read(table)
    made = {row.name: recipe(row, epochs, rate, limit, model) for row in rows()}
    commands = {row.name: command_of(row, made[row.name]) for row in rows()}
    trained = {name: _done(folder / name, recipe) for name, recipe in made.items()}
    wanted = [
        row for row in rows()
        if commands[row.name] not in results and (trained[row.name] or not only or only in row.name)
    ]  # fmt: skip
    missing = sum(not trained[row.name] for row in wanted)
    now = 0
    for row in wanted:
        place = folder / row.name
        if not trained[row.name]:
            with progress("accuracies") as step:
                trainer = Trainer(made[row.name], data, weights, place, (data_path, str(base)))
                _timed(trainer, place, step, now, missing)
            now += 1
        results[commands[row.name]] = found = _result(row, place)
        _write([results[c] for c in commands.values() if c in results], table)
        click.echo(f"{row.name}: {found['test_accuracy']:.2f}% in {found['seconds']:.0f} s")
    if not results:
        raise InputError(f"--only {only}: no row has that in its name")


if __name__ == "__main__":
    run(main, "python -m asq_sw.studies.accuracies")
