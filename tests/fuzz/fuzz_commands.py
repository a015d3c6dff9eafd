"""Random command lines of ``asq``, and what is left out of them so that none works for long."""

from __future__ import annotations

import functools
import importlib
import json
import random
from typing import Any

import click
import fuzz_samples as samples
import minilib
from fuzz_damage import NUMBERS, WORDS
from fuzz_samples import Files
from fuzz_worker import Reached

LONG = {
    "simulate": ("hw.synth.measure.measure",),  # of an element whose cost is not carried
    "verilog": ("hw.rtl.verilog.unit_verilog",),
    "train": ("asq_sw.train.Trainer.run",),
    "eval": (),
    "export": (),
    "sweep": ("sim.sweep.run",),
    "synth": ("hw.synth.parallel.measure_all", "hw.synth.fpga.measure_fpga"),
    "report": ("reports.collect.build",),
    "doctor": (),
}
"""Command -> functions that work for long, in whose place :class:`~fuzz_worker.Reached` is raised.

Another command is called with an option that it does not have, so that it never works."""

MEANT: dict[str, tuple[str, ...]] = {
    "network": ("net.csv", "layers.csv", "gemm.csv", "net.onnx", "small_cnn", "resnet20"),
    "unit": ("pe", "tile", "array", "multiplier"),
    "model": ("small_cnn", "resnet20"),
    "run": ("run", "run", "run", "run", "integer.npz", "two.npz", "net.onnx", "weights.npz"),
    "data_path": ("digits", "data.npz", "gray.npz", "two.npz", "eight.npz"),
    "data": ("digits", "gray.npz", "two.npz"),
    "pretrained": ("weights.npz", "weights.safetensors", "net.onnx"),
    "quantizer": ("asq-post", "asq-int", "lsq", "qil", "daq", "dorefa", "pact", "post", "fp32"),
    "layers": ("fc:wbits=3", "fc:method=fp32", "conv1:wbits=2,abits=3"),
    "output": ("new.json", "new.npz", "new.onnx", "new.v", "new.csv", "new.parquet", "new/deep/x.v", "-"),
    "folder": ("out", "run", "new/out"),
    "config": ("machine.toml",), "scalesim_cfg": ("scale.cfg",), "zeros": ("zeros.json",), "liberty": ("mini.lib",),
    "weights": ("operands.npz", "weights.npz"), "activations": ("operands.npz",), "csv_dir": ("out", "new/out"),
    "json_path": ("new.json", "-"), "trace": ("new.json",), "corrections": ("new.json",), "netlist": ("new.v",),
    "node": ("nangate45", "sky130hd", "asap7"), "dram": ("bandwidth", "ddr4-2400", "lpddr4-3200", "hbm2"),
    "variant": ("shift-lut", "table"), "tree": ("wallace", "dadda", "adders", "chain"), "stage": ("none", "products", "tree"),
    "order": ("0,1,2,3,4,5,6,7", "0,1,3,2"), "exponents": ("0,1,2,3,4,5,7", "0,2,4"), "sweep": ("0.8,1", "2"),
    "clock_mhz": ("100", "500", "1000"), "clock_ns": ("1", "2.5"), "address": ("tcp://127.0.0.1:1",),
    # Not what is legal and takes long, tile by tile.
    "batch": ("1", "2", "3", "16", "0", "-1", "99999999999999999999999999"),
    "require": ("sqnr_db>=15", "area_mm2<1"),
}  # fmt: skip
"""Parameter -> values that it could mean."""
LISTS: dict[str, tuple[str, ...]] = {
    "grid": ("post", "post,int", "fp4"), "dataflow": ("ws", "ws,os", "is"), "wbits": ("4", "2,3,4,8"), "unit": ("pe", "pe,tile"),
}  # fmt: skip
"""The same of an option that takes several values."""
NAMES = (
    "resnet20", "small_cnn", "digits", "asq-post", "lsq", "fp32", "pe", "tile", "array", "multiplier", "post", "int",
    "fp4", "nf4", "ws", "os", "is", "nangate45", "asap7", "shift-lut", "table", "ddr4-2400", "producer", "wallace",
    "chain", "pe,tile", "post,int", "ws,os", "4,8", "8,16,32", "0,1,3,2", "fc:wbits=3", "fc:method=fp32", "0.8,1",
    "sqnr_db>=15", "ice40", "json",
)  # fmt: skip
PATHS = (
    "net.onnx", "layers.csv", "gemm.csv", "scale.cfg", "machine.toml", "zeros.json", "mini.lib", "integer.npz", "data.npz",
    "weights.npz", "weights.safetensors", "operands.npz", "run", "missing", "missing.npz", "missing/x.json", ".", "",
    "run/config.json", "new.json", "new.npz", "new.onnx", "new.v", "new.csv", "new.parquet", "new/deep/x.json", "out", "-",
    "machine.toml/x", "net.csv", "bad.npz", "bad.onnx", "bad.csv", "bad.toml", "bad.json", "é.json", "a b.json",
)  # fmt: skip
_SMALL = ("1", "2", "3", "4", "4", "5", "8", "8", "16")


_SETS = {"gray.npz": (28, 28, 1), "two.npz": (5, 5, 2), "eight.npz": (8, 8, 2)}
"""Images that the run, the integer network and the ONNX model take."""


@functools.cache
def files() -> Files:
    """What the command lines name."""
    record, arrays = samples.integer_network()
    config, checkpoint = samples.run_folder()
    noise = random.Random(0).randbytes(300)
    return {
        "net.onnx": samples.onnx_models()[0].SerializeToString(),
        "net.csv": b"Layer, M, N, K,\nA, 3, 4, 5,\n",
        "layers.csv": samples.CONV_CSV.encode(),
        "gemm.csv": samples.GEMM_CSV.encode(),
        "scale.cfg": samples.CFG.encode(),
        "machine.toml": samples.TOML.encode(),
        "zeros.json": samples.ZEROS.encode(),
        "mini.lib": minilib.text().encode(),
        "integer.npz": samples.npz(arrays | {"network": samples.np.array(json.dumps(record))}),
        "data.npz": samples.npz(samples.datasets()[0]),
        **{name: samples.npz(samples.labelled(*shape)) for name, shape in _SETS.items()},
        "weights.npz": samples.npz(samples.weights()),
        "weights.safetensors": samples.safetensors(samples.weights()),
        "operands.npz": samples.npz(samples.operands()),
        "run/config.json": json.dumps(config).encode(),
        "run/checkpoint.npz": samples.npz(checkpoint),
        **{f"bad{suffix}": noise for suffix in (".npz", ".onnx", ".csv", ".toml", ".json")},
    }


@functools.cache
def commands() -> dict[str, click.Command]:
    from asq_sw.cli import cli

    context = click.Context(cli)
    found = {name: cli.get_command(context, name) for name in cli.list_commands(context)}
    return {name: command for name, command in found.items() if command is not None}


def arguments(rng: random.Random) -> list[str]:
    """A command line: mostly options that are there, with values that could be meant, and others."""
    if rng.random() < 0.02:
        return [rng.choice((*WORDS, *commands(), "--version", "--help", "-h", "--nothing")).replace("\0", "")]
    name = rng.choice(sorted(commands()))
    words: list[str] = []
    options = [p for p in commands()[name].params if isinstance(p, click.Option)]
    for parameter in commands()[name].params:
        if isinstance(parameter, click.Argument) and rng.random() < 0.97:
            words.append(_value(rng, parameter))
        elif parameter in options and rng.random() < (0.95 if parameter.required else 0.15):
            words += _option(rng, parameter)
    if rng.random() < 0.03:
        words.insert(rng.randrange(len(words) + 1), rng.choice(("--nothing", "--", "-x", "extra", "--json")))
    if name not in LONG:
        words.append("--no-such-option")
    return [word.replace("\0", "") for word in (name, *words)]


def _option(rng: random.Random, option: click.Option) -> list[str]:
    flag = rng.choice([*option.opts, *option.secondary_opts])
    return [flag] if option.is_flag else [flag, _value(rng, option)]


def _value(rng: random.Random, parameter: click.Parameter) -> str:
    """A value that the parameter could mean, or one that it could not."""
    kind, name = parameter.type, str(parameter.name)
    if rng.random() < 0.06:
        return rng.choice((*WORDS, *NUMBERS, *NAMES, *PATHS)).replace("\ud800", "?")
    if type(kind).__name__ == "Values" and name in LISTS:
        return rng.choice(LISTS[name])
    if name in MEANT and (name in ("model", "batch") or rng.random() < 0.95):
        return rng.choice(MEANT[name])
    if isinstance(kind, click.Choice):
        return str(rng.choice(list(kind.choices)))
    if isinstance(kind, click.Path) or "path" in name:
        return rng.choice(PATHS)
    if isinstance(kind, click.types.IntParamType | click.types.FloatParamType):
        return rng.choice(_SMALL if rng.random() < 0.8 else NUMBERS)
    if type(kind).__name__ == "Values":
        return ",".join(rng.choice(_SMALL) for _ in range(rng.choice((1, 1, 2, 3))))
    return rng.choice((*NAMES, *NAMES, *PATHS, *_SMALL))


def leave_out_long_work() -> None:
    """Replace the functions of :data:`LONG`, and try what is left once, so that it is compiled."""
    for places in LONG.values():
        for place in places:
            home, _, name = place.rpartition(".")
            try:
                owner: Any = importlib.import_module(home)
            except ModuleNotFoundError:
                module, _, kind = home.rpartition(".")
                owner = getattr(importlib.import_module(module), kind)
            assert callable(getattr(owner, name))
            setattr(owner, name, _reached)


def _reached(*arguments: Any, **options: Any) -> Any:
    raise Reached
