"""Quantization-aware training of one network: recipe, loop, checkpoints, resume.

A run is a folder: ``config.json`` (the recipe and its provenance), ``checkpoint.npz`` (everything that
training changes) and ``metrics.csv`` (a row per epoch). Each is replaced whole. The batches are a function of
seed, epoch and step, and a checkpoint holds the step, so an interrupted run that is resumed ends with the same
bytes as one that was not.
"""

from __future__ import annotations

import csv
import io
import json
import logging
import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from asq_sw.data import MEAN, MOST_CLASSES, STD, Batches, Dataset, Part
from asq_sw.errors import InputError, nearest
from asq_sw.files import writable_folder, write_text
from asq_sw.graph import models
from asq_sw.graph.graph import Graph, multipliers
from asq_sw.interop.weights import read_weights, write_npz
from asq_sw.nn.loss import cross_entropy, distillation
from asq_sw.nn.network import Network, checked_arrays
from asq_sw.nn.optimizers import SCHEDULES, Adam, Optimizer, Sgd, factor
from asq_sw.process import memory_bytes
from asq_sw.provenance import provenance
from asq_sw.quantizers.daq import DaqWeights
from asq_sw.quantizers.methods import METHODS, choices, quantizers

LOG = logging.getLogger("asq.train")
Array = NDArray[Any]
Progress = Callable[[int, int, float], None]

CONFIG, CHECKPOINT, METRICS = "config.json", "checkpoint.npz", "metrics.csv"
CALIBRATION_BATCHES = 64
"""Batches that settle the running statistics when nothing is trained."""
PEAK_IMAGES = 250
"""Training images whose maps set the integer network's ranges."""
_SAVE_SECONDS = 60.0
_Size = Annotated[int, Field(ge=1, le=1 << 16)]
"""Channels, height or width of an image."""


class Recipe(BaseModel):
    """What is trained, and how. Learning rates are those of the schedule's peak.

    Attributes
    ----------
    model : str
        Built-in network.
    input_shape : (C, H, W)
    classes : int
    quantizer, wbits, abits, edge_bits, layers, frac_bits, rounded, weight_start
        See :mod:`asq_sw.quantizers.methods`.
    epochs, batch : int
        0 epochs: calibration only (:meth:`Trainer.run`).
    rate, momentum, decay
        SGD of the task's parameters; ``decay`` reaches the weights of convolutions and linear layers.
    quantizer_rate, quantizer_optimizer
        Of the quantizers' own parameters.
    schedule, warmup : str, int
        See :func:`asq_sw.nn.optimizers.factor`; ``warmup`` in steps.
    crop, flip, mean, std
        See :class:`asq_sw.data.Batches`.
    smoothing : float
        Of the labels.
    teacher : float
        Share of the loss that is against the full-precision pretrained network's output instead of the labels;
        at 1 labels are not read, so that any images will do, and accuracies are of agreeing with it.
    temperature : float
        Of both outputs there.
    frozen : bool
        Train the quantizers' own parameters alone.
    limit : int or None
        Training images used, drawn at random.
    seed : int
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    model: str = "resnet20"
    input_shape: tuple[_Size, _Size, _Size] = (3, 32, 32)
    classes: int = Field(10, ge=2, le=MOST_CLASSES)
    quantizer: str = "asq-post"
    wbits: int = Field(4, ge=1, le=8)
    abits: int = Field(4, ge=1, le=8)
    edge_bits: int = Field(8, ge=0, le=8)
    layers: dict[str, dict[str, Any]] = {}
    frac_bits: int | None = Field(None, ge=0, le=16)
    rounded: bool = False
    weight_start: Literal["quantile", "least-squares"] = "quantile"
    epochs: int = Field(10, ge=0)
    batch: int = Field(128, ge=1)
    rate: float = Field(0.01, gt=0)
    momentum: float = Field(0.9, ge=0, lt=1)
    decay: float = Field(1e-4, ge=0)
    quantizer_rate: float = Field(0.01, gt=0)
    quantizer_optimizer: Literal["sgd", "adam"] = "sgd"
    schedule: str = "cosine"
    warmup: int = Field(0, ge=0)
    crop: int = Field(4, ge=0)
    flip: bool = True
    mean: tuple[float, ...] = MEAN
    std: tuple[float, ...] = STD
    smoothing: float = Field(0.0, ge=0, lt=1)
    teacher: float = Field(0.0, ge=0, le=1)
    temperature: float = Field(2.0, gt=0)
    frozen: bool = False
    limit: int | None = Field(None, ge=1)
    seed: int = Field(0, ge=0)

    @model_validator(mode="after")
    def _known(self) -> Recipe:
        if self.quantizer not in METHODS:
            raise ValueError(
                f"quantizer is {self.quantizer!r}, expected one of {', '.join(METHODS)}{nearest(self.quantizer, METHODS)}"
            )
        if self.schedule not in SCHEDULES:
            raise ValueError(f"schedule is {self.schedule!r}, expected one of {', '.join(SCHEDULES)}")
        return self

    @classmethod
    def checked(cls, source: str, /, **fields: Any) -> Recipe:
        """A recipe, or one sentence of what is wrong.

        Raises
        ------
        InputError
            Naming ``source`` and the field.
        """
        try:
            return cls(**fields)
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(map(str, first["loc"]))
            message = first["msg"].removeprefix("Value error, ")
            raise InputError(f"{source}: {f'{field}: ' if field else ''}{message}") from error

    def graph(self) -> Graph:
        return models.build(self.model, self.input_shape, self.classes)

    def network(self) -> Network:
        """The network with its quantizers, parameters as they start."""
        graph = self.graph()
        chosen = choices(graph, self.quantizer, self.wbits, self.abits, self.edge_bits, self.layers)
        by_layer = quantizers(graph, chosen, self.frac_bits, self.rounded, self.seed, self.weight_start)
        return Network(graph, by_layer, self.seed)

    def batches(self, part: Part, training: bool) -> Batches:
        crop, flip = (self.crop, self.flip) if training else (0, False)
        return Batches(part, self.batch if training else 250, self.mean, self.std, crop, flip, self.seed)


def evaluate(network: Network, batches: Batches, teacher: Network | None = None) -> tuple[float, float]:
    """(accuracy in percent, mean loss) over every image, with the running statistics.

    Against the labels, or against what ``teacher`` says.
    """
    right, loss = 0, 0.0
    for x, labels in batches.in_order():
        logits = network.forward(x)
        if teacher is not None:
            labels = teacher.forward(x).argmax(axis=1)
        loss += cross_entropy(logits, labels)[0] * len(labels)
        right += int((logits.argmax(axis=1) == labels).sum())
    count = max(1, len(batches.part))
    return 100 * right / count, loss / count


def calibrate(network: Network, x: Array) -> None:
    """Start every quantizer from one batch, as training's first step would, and change nothing else."""
    kept = {key: value.copy() for key, value in network.buffers.items()}
    network.forward(x, training=True)
    for key, value in kept.items():
        network.buffers[key][...] = value
    _start_daq(network, x)


def _start_daq(network: Network, x: Array) -> None:
    """DAQ's output scale starts at mean|y| / mean|y_hat| of the first batch, layer by layer."""
    scaled = [n for n, pair in network.quantizers.items() if isinstance(pair.weight, DaqWeights)]
    if not scaled:
        return
    full = _outputs(Network(network.graph, dtype=network.dtype), network, x, scaled)
    for name in scaled:  # in the network's order: a layer's input has the scales before it
        weight = network.quantizers[name].weight
        assert isinstance(weight, DaqWeights)
        weight.start_scale(full[name], _outputs(network, None, x, [name])[name])


def _outputs(network: Network, source: Network | None, x: Array, names: list[str]) -> dict[str, Array]:
    if source is not None:
        network.load(source.parameters | source.buffers)
    kept = {key: value.copy() for key, value in network.buffers.items()}
    network.forward(x, training=True)
    maps = {name: network.output_of(name).copy() for name in names}
    for key, value in kept.items():
        network.buffers[key][...] = value
    return maps


def _check_memory(graph: Graph, images: int) -> None:
    """Refuse a batch whose maps alone, one float32 each, are more than the memory."""
    values = sum(math.prod(shape) for shape in graph.shapes.values())
    needed, there = 4 * images * values, memory_bytes()
    if needed > there:
        raise InputError(
            f"batch: maps of {images} images take {needed / 2**30:.1f} GiB of the {there / 2**30:.1f} GiB of memory, "
            f"expected at most {there // (4 * values)} images (--batch)"
        )


class Trainer:
    """One run.

    Parameters
    ----------
    recipe : Recipe
    data : Dataset
    pretrained : dict of arrays, optional
        By PyTorch's names.
    folder : path, optional
        Where the run is kept; nothing is written without.
    inputs : paths
        Files that the result depends on, for the provenance.
    source : str
        What errors call the pretrained weights.
    """

    def __init__(
        self,
        recipe: Recipe,
        data: Dataset,
        pretrained: dict[str, Array] | None = None,
        folder: str | os.PathLike[str] | None = None,
        inputs: tuple[str, ...] = (),
        source: str = "pretrained weights",
    ):
        self.recipe, self.folder = recipe, None if folder is None else Path(folder)
        self.train_part, self.test_part = data.train.some(recipe.limit), data.test
        if not len(self.train_part):
            raise InputError("the image set has no training images, expected at least one")
        if data.shape != tuple(recipe.input_shape):
            raise InputError(
                f"images are {data.shape} (channels, height, width), expected the recipe's {recipe.input_shape}"
            )
        if data.classes > recipe.classes and recipe.teacher < 1:
            raise InputError(
                f"labels run to {data.classes - 1}, expected at most {recipe.classes - 1} "
                f"for a network of {recipe.classes} classes"
            )
        self.network = recipe.network()
        _check_memory(self.network.graph, min(recipe.batch, len(self.train_part)))
        self.teacher: Network | None = None
        if pretrained is not None:
            self.network.load(pretrained, source)
        if recipe.teacher:
            if pretrained is None:
                raise InputError("teacher is given without pretrained weights, expected those of the teacher")
            self.teacher = Network(self.network.graph)
            self.teacher.load(pretrained, source)
        decays = frozenset(f"{node.name}.weight" for node in multipliers(self.network.graph))
        own = Adam if recipe.quantizer_optimizer == "adam" else Sgd
        self.optimizers: dict[str, Optimizer] = {
            "task": Sgd(recipe.rate, recipe.momentum, decay=recipe.decay, decays=decays),
            "quantizer": own(recipe.quantizer_rate),
        }
        self.batches = recipe.batches(self.train_part, training=True)
        self.steps = recipe.epochs * self.batches.per_epoch
        self.step = 0
        self.history: list[dict[str, float]] = []
        self.running = np.zeros(2)  # of this epoch: loss and hits
        self.peaks: dict[str, float] = {}
        self.inputs = inputs

    # -- a run's files -------------------------------------------------------------------------------------------

    def config(self) -> dict[str, Any]:
        """What ``config.json`` holds."""
        return {
            "recipe": self.recipe.model_dump(mode="json"),
            "provenance": provenance(self.inputs, self.recipe.seed, ("numpy", "numba")),
        }

    def save(self) -> None:
        """Replace the checkpoint and the metrics."""
        if self.folder is None:
            return
        state = self.network.state()
        for name, optimizer in self.optimizers.items():
            state |= {f"optimizer/{name}/{key}": value for key, value in optimizer.state.items()}
        state["step"] = np.array(self.step)
        state["running"] = self.running
        state["history"] = np.array(json.dumps(self.history))
        state["peaks"] = np.array(json.dumps(self.peaks))
        write_npz(self.folder / CHECKPOINT, state)
        self._write_metrics()

    def _write_metrics(self) -> None:
        if self.folder is not None and self.history:
            text = io.StringIO()
            writer = csv.DictWriter(text, list(self.history[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(self.history)
            write_text(self.folder / METRICS, text.getvalue())

    def load(self) -> None:
        """Go back to the folder's checkpoint.

        Raises
        ------
        InputError
            If it is missing, damaged or of another recipe.
        """
        assert self.folder is not None
        config = read_config(self.folder)
        known = Recipe.checked(str(self.folder / CONFIG), **config["recipe"])
        if known != self.recipe:
            old, new = known.model_dump(mode="json"), self.recipe.model_dump(mode="json")
            field = next(key for key in new if old[key] != new[key])
            raise InputError(
                f"{self.folder / CONFIG}: {field} is {old[field]!r}, expected {new[field]!r}: another run is there"
            )
        path = self.folder / CHECKPOINT
        state = read_weights(path)
        try:
            self.step = int(state.pop("step"))
            self.running = state.pop("running").copy()
            self.history = json.loads(str(state.pop("history")))
            self.peaks = _peaks(state.pop("peaks"), str(path))
        except InputError:
            raise
        except (KeyError, ValueError, TypeError, RecursionError) as error:
            raise InputError(f"{path}: is not a checkpoint ({error} is missing or damaged)") from error
        if not 0 <= self.step <= self.steps:
            raise InputError(f"{path}: step is {self.step}, expected 0 to {self.steps}")
        if self.running.shape != (2,) or self.running.dtype != np.float64:
            raise InputError(
                f"{path}: running is {self.running.dtype} of shape {self.running.shape}, expected float64 of (2,)"
            )
        if not isinstance(self.history, list) or not all(isinstance(row, dict) for row in self.history):
            raise InputError(f"{path}: history is damaged, expected a list of objects")
        for name, optimizer in self.optimizers.items():
            prefix = f"optimizer/{name}/"
            optimizer.state = {
                key.removeprefix(prefix): state.pop(key) for key in list(state) if key.startswith(prefix)
            }
        self.network.load_state(state, str(path))
        arrays = self.network.trainable()
        for optimizer in self.optimizers.values():
            for key, value in optimizer.state.items():
                of = arrays.get(key.partition("/")[2])
                if of is None or value.shape not in (of.shape, (1,)) or value.dtype.kind not in "fi":
                    raise InputError(
                        f"{path}: the optimizer's {key} is {value.dtype} of shape {value.shape}, which fits no array"
                    )

    # -- training ------------------------------------------------------------------------------------------------

    def run(self, resume: bool = False, progress: Progress | None = None) -> dict[str, float]:
        """Train to the end; returns the last epoch's metrics.

        With 0 epochs every quantizer starts from one batch, as it would for training, and the running statistics
        settle over :data:`CALIBRATION_BATCHES` more, without labels or gradients; with a teacher for all of the
        loss, where the images may be of another kind, they stay the pretrained network's. That is all.

        Parameters
        ----------
        resume : bool
            Go on from the folder's checkpoint if there is one.
        progress : callable, optional
            Called after each step with (step, steps, loss).
        """
        if self.folder is not None:
            writable_folder(self.folder)
            if resume and (self.folder / CHECKPOINT).exists():
                self.load()
                LOG.debug("going on at step %d of %d", self.step, self.steps)
                self._write_metrics()  # a process that was killed may have left those of an epoch before
            elif (self.folder / CHECKPOINT).exists():
                raise InputError(f"{self.folder}: holds a run, expected an empty folder or --resume")
            else:
                write_text(self.folder / CONFIG, json.dumps(self.config(), indent=1, sort_keys=True) + "\n")
        with np.errstate(all="ignore"):  # what matters of it is that the loss is finite, which is checked
            return self._run(progress)

    def _run(self, progress: Progress | None) -> dict[str, float]:
        saved = time.monotonic()
        per_epoch = self.batches.per_epoch
        if not self.recipe.epochs and not self.history:
            self._calibrate_only()
            self.save()
        while self.step < self.steps:
            epoch, start = divmod(self.step, per_epoch)
            for x, labels in self.batches.epoch(epoch, start):
                loss, hits = self.one_step(x, labels)
                self.running += (loss * len(labels), hits)
                self.step += 1
                if progress is not None:
                    progress(self.step, self.steps, loss)
                if self.step % per_epoch and time.monotonic() - saved > _SAVE_SECONDS:
                    self.save()
                    saved = time.monotonic()
            self._end_epoch(epoch)
            self.save()
            saved = time.monotonic()
        return self.history[-1]

    def _calibrate_only(self) -> None:
        for i, (x, _) in enumerate(self.batches.epoch(0, 0)):
            if i == 0:
                calibrate(self.network, x)
            if self.recipe.teacher == 1 or i == CALIBRATION_BATCHES:
                break
            self.network.forward(x, training=True)
        self._end_epoch(-1)

    def _end_epoch(self, epoch: int) -> None:
        if self.recipe.epochs and not self._finite():
            raise self._diverged()
        row: dict[str, float] = {"epoch": epoch + 1}
        if epoch >= 0:
            count = self.batches.per_epoch * min(self.recipe.batch, len(self.train_part))
            loss, hits = self.running / count
            row |= {"train_loss": round(float(loss), 6), "train_accuracy": round(100 * float(hits), 4)}
        if len(self.test_part):
            judge = self.teacher if self.recipe.teacher == 1 else None
            part = self.recipe.batches(self.test_part, training=False)
            accuracy, test_loss = evaluate(self.network, part, judge)
            row |= {"test_loss": round(test_loss, 6), "test_accuracy": round(accuracy, 4)}
        self.history.append(row)
        self.running = np.zeros(2)
        sample, _ = next(self.recipe.batches(self.train_part.some(PEAK_IMAGES), training=False).in_order())
        self.peaks = self.network.peaks(sample)

    def one_step(self, x: Array, labels: Array) -> tuple[float, int]:
        """One update; returns the loss and how many of the batch were right."""
        if self.step == 0:
            calibrate(self.network, x)
        try:
            logits = self.network.forward(x, training=True)
        except InputError as error:  # a quantizer's
            if self._finite():
                raise
            raise self._diverged() from error
        if not np.isfinite(logits).all():
            raise self._diverged()
        loss, grad, labels = self._loss(logits, x, labels)
        if not math.isfinite(loss):
            raise self._diverged()
        self.network.backward(grad)
        share = factor(self.recipe.schedule, self.step, self.steps, self.recipe.warmup)
        arrays = self.network.trainable()
        own = {name: a for name, a in arrays.items() if name not in self.network.parameters}
        if not self.recipe.frozen:
            self.optimizers["task"].step(self.network.parameters, self.network.grads, share)
        self.optimizers["quantizer"].step(own, self.network.grads, share)
        return loss, int((logits.argmax(axis=1) == labels).sum())

    def _finite(self) -> bool:
        return all(np.isfinite(values).all() for values in self.network.trainable().values())

    def _diverged(self) -> InputError:
        return InputError(f"the loss is not finite at step {self.step + 1}: lower --rate")

    def _loss(self, logits: Array, x: Array, labels: Array) -> tuple[float, Array, Array]:
        """Loss and gradient against the labels, the teacher's output or both; and what counts as right."""
        share = self.recipe.teacher
        if self.teacher is None:
            return *cross_entropy(logits, labels, self.recipe.smoothing), labels
        told = self.teacher.forward(x)
        loss, grad = distillation(logits, told, self.recipe.temperature)
        if share == 1:
            return loss, grad, told.argmax(axis=1)
        of_labels, grad_of_labels = cross_entropy(logits, labels, self.recipe.smoothing)
        mixed = (share * grad + (1 - share) * grad_of_labels).astype(logits.dtype)
        return share * loss + (1 - share) * of_labels, mixed, labels


def read_config(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """A run's ``config.json``.

    Raises
    ------
    InputError
        If it is missing or damaged.
    """
    path = Path(folder) / CONFIG
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        recipe = config["recipe"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{path}: cannot be read, expected the folder of a run ({error})") from error
    if not isinstance(recipe, dict):
        raise InputError(f"{path}: recipe is {recipe!r}, expected an object")
    result: dict[str, Any] = config
    return result


def load_run(folder: str | os.PathLike[str]) -> tuple[Recipe, Network, dict[str, float]]:
    """The recipe, the trained network and the peaks of its maps of a run's folder."""
    recipe = Recipe.checked(str(Path(folder) / CONFIG), **read_config(folder)["recipe"])
    path = Path(folder) / CHECKPOINT
    state = read_weights(path)
    peaks = _peaks(state.pop("peaks", np.array("{}")), str(path))
    kept = {k: v for k, v in state.items() if not k.startswith("optimizer/")}
    for key in ("step", "running", "history"):
        kept.pop(key, None)
    own = {k: v for k, v in kept.items() if not k.startswith("quantizer/")}
    with _of_the(Path(folder) / CONFIG):
        graph = recipe.graph()
    checked_arrays(graph, own, str(path))  # before a network of any size is made
    with _of_the(Path(folder) / CONFIG):
        network = recipe.network()
    network.load_state(kept, str(path))
    return recipe, network, peaks


@contextmanager
def _of_the(config: Path) -> Iterator[None]:
    """Errors of a recipe name its file."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{config}: {error}") from None


def _peaks(text: Array, source: str) -> dict[str, float]:
    """Of a checkpoint: the largest magnitude in each map, by name."""
    try:
        peaks = json.loads(str(text))
        found = {name: float(peak) for name, peak in peaks.items()}
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise InputError(f"{source}: peaks are damaged ({error})") from error
    for name, peak in found.items():
        if not 0 <= peak < np.inf:
            raise InputError(
                f"{source}: the peak of {name} is {peak}, expected a finite number of at least 0"
            )
    return found


def integer_network(folder: str | os.PathLike[str]) -> Any:
    """The :class:`asq_sw.integer.network.IntegerNetwork` of a run's folder.

    Raises
    ------
    InputError
        If no epoch of the run has ended yet, or a layer is in full precision.
    """
    from asq_sw.integer.export import export

    recipe, network, peaks = load_run(folder)
    if not peaks:
        raise InputError(f"{folder}: no epoch has ended yet, expected a trained run")
    empty = Part(
        np.zeros((0, *recipe.input_shape[1:], recipe.input_shape[0]), np.uint8), np.zeros(0, np.int64)
    )
    return export(network, peaks, recipe.batches(empty, training=False).pixels(), str(folder))
