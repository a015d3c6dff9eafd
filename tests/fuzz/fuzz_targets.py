"""What is fuzzed: each reader of a file, and the command line.

A target damages one of its valid inputs (:mod:`fuzz_samples`) and reads the result. ``read`` raises InputError, or
SystemExit for the command line, or nothing: all else is a finding.
"""

from __future__ import annotations

import copy
import gzip
import json
import os
import random
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import fuzz_commands
import fuzz_damage as damage
import fuzz_samples as samples
import minilib
import numpy as np
from fuzz_samples import Files


class Target(ABC):
    """One reader."""

    name: str
    names_file = True
    """Whether a refusal must name the file."""
    is_command = False

    @abstractmethod
    def make(self, rng: random.Random) -> Files:
        """An input: a valid one, damaged."""

    @abstractmethod
    def read(self, folder: Path) -> None:
        """Read the input that lies in ``folder``."""

    def prepare(self) -> None:  # noqa: B027  most need nothing
        """Import and compile what :meth:`read` needs, once a process."""

    def names(self, folder: Path) -> list[str]:
        """Any of these names the file."""
        return [*(path.name for path in folder.iterdir()), folder.name]


class Text(Target):
    """A text file."""

    suffix: str
    texts: tuple[str, ...]

    def make(self, rng: random.Random) -> Files:
        text = rng.choice(self.texts)
        if rng.random() < 0.75:
            return {f"input{self.suffix}": damage.text(rng, text).encode("utf-8", "surrogatepass")}
        return {f"input{self.suffix}": damage.data(rng, text.encode())}

    def path(self, folder: Path) -> str:
        return str(folder / f"input{self.suffix}")


class Topology(Text):
    name, suffix = "topology", ".csv"
    texts = (samples.CONV_CSV, samples.CONV_CSV_3, samples.GEMM_CSV, samples.CONV_CSV.replace(",", "\t"))

    def read(self, folder: Path) -> None:
        from sim.workload import from_topology

        from_topology(self.path(folder))


class Config(Text):
    name, suffix, texts = "cfg", ".cfg", (samples.CFG,)

    def read(self, folder: Path) -> None:
        from asq_sw.interop.scalesim import read_config

        read_config(self.path(folder))


class Machine(Text):
    name, suffix, texts = "toml", ".toml", (samples.TOML,)

    def read(self, folder: Path) -> None:
        from sim.accelerator import Accelerator

        machine = Accelerator.from_toml(self.path(folder))
        machine.psum_bits(9)
        text = machine.to_toml()
        again = folder / "again.toml"
        again.write_text(text)
        try:
            assert Accelerator.from_toml(again) == machine, text
        finally:
            again.unlink()


class Zeros(Text):
    name, suffix, texts = "zeros", ".json", (samples.ZEROS,)

    def make(self, rng: random.Random) -> Files:
        if rng.random() < 0.5:
            return super().make(rng)
        return {"input.json": damage.as_json(rng, json.loads(samples.ZEROS)).encode("utf-8", "surrogatepass")}

    def read(self, folder: Path) -> None:
        from sim.studies.sparsity import read_shares
        from sim.workload import Workload, gemm

        # Of ten images it has the sample's products.
        read_shares(self.path(folder), Workload("small", (gemm("conv1", 1, 4, 10), gemm("fc", 1, 4, 1))))


class Liberty(Text):
    name, suffix, texts = "liberty", ".lib", (minilib.text(),)

    def make(self, rng: random.Random) -> Files:
        files = super().make(rng)
        if rng.random() < 0.05:
            packed = gzip.compress(files["input.lib"])
            return {"input.lib": damage.data(rng, packed) if rng.random() < 0.5 else packed}
        return files

    def read(self, folder: Path) -> None:
        from asq_sw.errors import InputError
        from hw.synth.libraries.liberty import read
        from hw.synth.libraries.library import from_json, to_json, to_liberty

        library = read([self.path(folder)])
        to_liberty(library)
        table = to_json(library)
        assert to_json(from_json(table)) == table
        try:
            _ = library.driving_cell
        except InputError as error:
            if "has no buffer" not in str(error):
                raise


class Onnx(Target):
    name = "onnx"

    def make(self, rng: random.Random) -> Files:
        model = copy.deepcopy(rng.choice(samples.onnx_models()))
        if rng.random() < 0.7:
            damage.model(rng, model)
            return {"input.onnx": model.SerializeToString()}
        return {"input.onnx": damage.data(rng, model.SerializeToString())}

    def read(self, folder: Path) -> None:
        from asq_sw.interop.onnx import read_onnx, write_onnx
        from asq_sw.nn.network import Network
        from sim.workload import load

        graph, params = read_onnx(folder / "input.onnx")
        load(str(folder / "input.onnx"))
        values = sum(int(np.prod(shape, dtype=float)) for shape in graph.shapes.values())
        if values > 1 << 20:
            return
        Network(graph).load(params, "input.onnx")
        write_onnx(graph, params, folder / "out.onnx")
        (folder / "out.onnx").unlink()


class Arrays(Target):
    """An .npz."""

    suffix = ".npz"

    def arrays(self, rng: random.Random) -> dict[str, Any]:
        raise NotImplementedError

    def make(self, rng: random.Random) -> Files:
        arrays = dict(self.arrays(rng))
        if rng.random() < 0.7:
            return {"input.npz": damage.npz(rng, arrays)}
        return {"input.npz": damage.data(rng, samples.npz(arrays))}


class Integer(Arrays):
    name = "integer"

    def make(self, rng: random.Random) -> Files:
        record, arrays = samples.integer_network()
        if rng.random() < 0.5:
            text = damage.as_json(rng, copy.deepcopy(record))
            return {"input.npz": samples.npz(arrays | {"network": np.array(text)})}
        return super().make(rng)

    def arrays(self, rng: random.Random) -> dict[str, Any]:
        record, arrays = samples.integer_network()
        return arrays | {"network": np.array(json.dumps(record))}

    def read(self, folder: Path) -> None:
        from asq_sw.integer.network import IntegerNetwork

        network = IntegerNetwork.load(folder / "input.npz")
        shape = (1, *network.input_shape[1:], network.input_shape[0])
        if np.prod(shape, dtype=float) < 1 << 14:
            network.forward(np.zeros(shape, np.uint8))

    def prepare(self) -> None:
        from asq_sw.integer.network import IntegerNetwork

        record, arrays = samples.integer_network()
        IntegerNetwork(record, arrays).forward(np.zeros((1, 5, 5, 2), np.uint8))


class Weights(Arrays):
    name = "weights"

    def arrays(self, rng: random.Random) -> dict[str, Any]:
        return samples.weights()

    def make(self, rng: random.Random) -> Files:
        if rng.random() < 0.5:
            return super().make(rng)
        return {"input.safetensors": damage.safetensors(rng, samples.safetensors(samples.weights()))}

    def read(self, folder: Path) -> None:
        from asq_sw.interop.weights import read_weights
        from asq_sw.nn.network import Network

        path = next(folder.iterdir())
        Network(samples.small_graph()).load(read_weights(path), str(path))


class Dataset(Arrays):
    name = "dataset"

    def arrays(self, rng: random.Random) -> dict[str, Any]:
        return rng.choice(samples.datasets())

    def make(self, rng: random.Random) -> Files:
        kind = rng.random()
        if kind < 0.6:
            return super().make(rng)
        files = samples.cifar() if kind < 0.8 else samples.idx_files()
        for name in rng.sample(sorted(files), rng.randint(1, 2)):
            files[name] = damage.data(rng, files[name])
        return files

    def read(self, folder: Path) -> None:
        from asq_sw.data import Batches, load

        found = load(next(folder.iterdir()))
        if not len(found.train):
            return
        assert found.classes >= 1
        next(Batches(found.train.some(2), 2, crop=1, flip=True).epoch(0))

    def prepare(self) -> None:
        from asq_sw.data import DIGITS, Batches, load

        next(Batches(load(DIGITS).train.some(2), 2).in_order())


class Operands(Arrays):
    name = "operands"

    def arrays(self, rng: random.Random) -> dict[str, Any]:
        return samples.operands()

    def make(self, rng: random.Random) -> Files:
        files = super().make(rng)
        other = samples.npz({"codes": np.arange(6).reshape(3, 2)})
        names = (
            ("weights.npz", "activations.npz") if rng.random() < 0.5 else ("activations.npz", "weights.npz")
        )
        return dict(zip(names, (files["input.npz"], other), strict=True))

    def read(self, folder: Path) -> None:
        from asq_sw.formats import ActivationFormat, WeightFormat
        from hw.units.operands import from_files

        from_files(
            WeightFormat("post", 4), ActivationFormat(4), folder / "weights.npz", folder / "activations.npz"
        )

    def names(self, folder: Path) -> list[str]:
        return [*super().names(folder), "weights have", "operands have"]


class Run(Target):
    """The folder of a training run."""

    name = "run"

    def make(self, rng: random.Random) -> Files:
        config, arrays = samples.run_folder()
        text, checkpoint = json.dumps(config), b""
        kind = rng.random()
        if kind < 0.4:
            text = damage.as_json(rng, copy.deepcopy(config))
        elif kind < 0.5:
            text = damage.text(rng, text)
        elif kind < 0.9:
            checkpoint = damage.npz(rng, dict(arrays))
        else:
            checkpoint = damage.data(rng, _checkpoint())
        return {
            "run/config.json": text.encode("utf-8", "surrogatepass"),
            "run/checkpoint.npz": checkpoint or _checkpoint(),
        }

    def read(self, folder: Path) -> None:
        from asq_sw.data import Dataset, Part
        from asq_sw.train import Trainer, integer_network, load_run

        recipe, network, _ = load_run(folder / "run")
        channels, height, width = recipe.input_shape
        network.forward(np.zeros((1, height, width, channels), np.float32))
        integer_network(folder / "run")
        part = Part(np.zeros((1, height, width, channels), np.uint8), np.zeros(1, np.int64))
        Trainer(recipe, Dataset(part, part), folder=folder / "run").load()

    def prepare(self) -> None:
        samples.run_folder()


_KEPT: dict[str, bytes] = {}


def _checkpoint() -> bytes:
    if "checkpoint" not in _KEPT:
        _KEPT["checkpoint"] = samples.npz(samples.run_folder()[1])
    return _KEPT["checkpoint"]


class CommandLine(Target):
    """``asq`` with random options and values; the long work behind them is left out."""

    name = "commands"
    is_command = True

    def make(self, rng: random.Random) -> Files:
        arguments = fuzz_commands.arguments(rng)
        return fuzz_commands.files() | {"arguments.json": json.dumps(arguments).encode()}

    def read(self, folder: Path) -> None:
        from asq_sw.cli import main

        arguments = json.loads((folder / "arguments.json").read_text())
        main(arguments)

    def prepare(self) -> None:
        fuzz_commands.leave_out_long_work()


TARGETS: dict[str, Target] = {
    target.name: target
    for target in (
        Topology(), Config(), Machine(), Zeros(), Liberty(), Onnx(), Integer(), Weights(), Dataset(), Operands(), Run(),
        CommandLine(),
    )
}  # fmt: skip


class Broken(Target):
    """Does what its file says, so that the fuzzer's own eyes can be tested."""

    name = "broken"

    def make(self, rng: random.Random) -> Files:
        raise NotImplementedError

    def read(self, folder: Path) -> None:
        from asq_sw.errors import InputError

        word = (folder / "input.txt").read_text()
        if word == "abort":
            os.abort()
        elif word == "hang":
            time.sleep(60)
        elif word == "leave":
            (folder / "left").write_text("")
        elif word == "memory":
            bytearray(1 << 40)
        elif word == "exit":
            raise SystemExit(2)
        elif word == "fail":
            raise ValueError("input.txt")
        elif word != "read":
            raise InputError(word)


BROKEN = Broken()
