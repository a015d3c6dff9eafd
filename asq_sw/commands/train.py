"""``asq train``."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from asq_sw.commands.options import Number
from asq_sw.graph.models import MODELS


def parse_layers(values: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """``name:wbits=3,abits=4`` as {name: {wbits: 3, abits: 4}}."""
    layers: dict[str, dict[str, Any]] = {}
    for value in values:
        name, colon, rest = value.rpartition(":")
        fields = dict(part.partition("=")[::2] for part in rest.split(","))
        if not colon or not all(fields.values()) or not set(fields) <= {"method", "wbits", "abits"}:
            raise click.BadParameter(
                f"{value!r}, expected NAME:wbits=3,abits=4 or NAME:method=fp32", param_hint="--layer"
            )
        try:
            layers[name] = {k: v if k == "method" else int(v) for k, v in fields.items()}
        except ValueError as error:
            raise click.BadParameter(
                f"{value!r}, expected whole numbers of bits", param_hint="--layer"
            ) from error
    return layers


@click.command(
    "train",
    epilog="Example: asq train resnet20 --data cifar-10-python.tar.gz --quantizer asq-post --wbits 4 --abits 4 "
    "--pretrained resnet20.npz --epochs 10 -o runs/post4",
    help="Train MODEL with quantization in the loop. RUN_DIR gets config.json, checkpoint.npz and metrics.csv.",
)
@click.argument("model", type=click.Choice(tuple(MODELS)))
@click.option("--data", "data_path", required=True, help="Image set: file, folder, or 'digits' (bundled).")
@click.option(
    "--quantizer", default="asq-post", show_default=True, help="fp32, asq-GRID, GRID, lsq, qil, daq, ..."
)
@click.option("--wbits", type=int, default=4, show_default=True, help="Weight bits.")
@click.option("--abits", type=int, help="Activation bits.  [default: as many as weight bits]")
@click.option(
    "--edge-bits", type=int, default=8, show_default=True, help="First and last layer; 0: full precision."
)
@click.option(
    "--layer",
    "layers",
    multiple=True,
    metavar="NAME:wbits=B,abits=B",
    help="One layer's own widths or method.",
)
@click.option("--frac-bits", type=int, help="F of the grid's rounded table.  [default: the format's]")
@click.option(
    "--rounded",
    is_flag=True,
    help="Forward with the rounded products, as the hardware has them.",
)
@click.option(
    "--weight-start",
    type=click.Choice(["quantile", "least-squares"]),
    default="quantile",
    show_default=True,
    help="First scale of a grid's weights: the 0.99 quantile, or the least squared error (better at 2 bits).",
)
@click.option(
    "--pretrained", type=click.Path(), help="Weights: .npz (PyTorch's names), .safetensors or .onnx."
)
@click.option(
    "--epochs", type=int, default=10, show_default=True, help="0: calibrate on the images and train nothing."
)
@click.option(
    "--teacher",
    type=Number(0, 1),
    default=0.0,
    show_default=True,
    help="Share of the loss against the pretrained network's output; 1: no labels, any images.",
)
@click.option(
    "--temperature", type=Number(min=0, min_open=True), default=2.0, show_default=True, help="Of the teacher."
)
@click.option("--frozen", is_flag=True, help="Train the quantizers' own parameters alone.")
@click.option("--batch", type=int, default=128, show_default=True)
@click.option(
    "--rate", type=Number(min=0, min_open=True), default=0.01, show_default=True, help="Peak learning rate."
)
@click.option(
    "--quantizer-rate",
    type=Number(min=0, min_open=True),
    default=0.01,
    show_default=True,
    help="Of the quantizers' parameters.",
)
@click.option("--quantizer-optimizer", type=click.Choice(("sgd", "adam")), default="sgd", show_default=True)
@click.option(
    "--schedule", type=click.Choice(("cosine", "step", "constant")), default="cosine", show_default=True
)
@click.option("--warmup", type=int, default=0, show_default=True, help="Steps of rising rate.")
@click.option("--decay", type=Number(min=0), default=1e-4, show_default=True, help="Weight decay.")
@click.option("--no-augment", is_flag=True, help="Neither shift nor mirror the training images.")
@click.option("--limit", type=int, help="Use N of the training images, drawn at random.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--resume", is_flag=True, help="Go on from RUN_DIR's checkpoint if there is one.")
@click.option("-o", "--output", "folder", required=True, type=click.Path(file_okay=False), metavar="RUN_DIR")
def command(
    data_path: str,
    pretrained: str | None,
    layers: tuple[str, ...],
    no_augment: bool,
    resume: bool,
    folder: str,
    **fields: Any,
) -> None:
    from asq_sw.data import DIGITS, load
    from asq_sw.graph.graph import multipliers
    from asq_sw.graph.models import build
    from asq_sw.interop.weights import read_weights
    from asq_sw.train import Recipe, Trainer

    if fields["abits"] is None:
        fields["abits"] = fields["wbits"]
    if no_augment:
        fields |= {"crop": 0, "flip": False}
    Recipe.checked("asq train", layers=parse_layers(layers), **fields)  # before the data are read
    data = load(data_path)
    fields |= {"input_shape": data.shape, "classes": max(2, data.classes)}
    weights = read_weights(pretrained) if pretrained else None
    if weights is not None and fields["teacher"] == 1:
        # The images' own labels say nothing here: the outputs are the pretrained network's.
        head = multipliers(build(fields["model"], data.shape, 2))[-1].name
        fields["classes"] = len(weights.get(f"{head}.weight", [0, 0]))
    if data_path == DIGITS:
        fields["flip"] = False  # a mirrored digit is another one, or none
        fields["crop"] = min(fields.get("crop", 1), 1)
    recipe = Recipe.checked("asq train", layers=parse_layers(layers), **fields)
    inputs = tuple(p for p in (data_path, pretrained) if p and Path(p).is_file())
    trainer = Trainer(recipe, data, weights, folder, inputs, str(pretrained))
    last = _run(trainer, resume)
    click.echo(", ".join(f"{key} {value:g}" for key, value in last.items()))


def _run(trainer: Any, resume: bool) -> dict[str, float]:
    from asq_sw.terminal import progress

    first, start = 0, time.monotonic()
    with progress("training") as step:

        def told(done: int, steps: int, loss: float) -> None:
            nonlocal first
            first = first or done - 1
            speed = (done - first) * trainer.recipe.batch / (time.monotonic() - start)
            epoch = (done - 1) // trainer.batches.per_epoch + 1
            step(
                done,
                steps,
                f"epoch {epoch} of {trainer.recipe.epochs}, {speed:.0f} images/s, loss {loss:.3f}",
            )

        finished: dict[str, float] = trainer.run(resume, told)
        return finished
