"""Valid inputs, which the fuzzer damages: files by name."""

from __future__ import annotations

import functools
import io
import json
import struct
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Files = dict[str, bytes]
Array = np.ndarray[Any, Any]


def npz(arrays: dict[str, Array]) -> bytes:
    out = io.BytesIO()
    np.savez(out, **arrays)  # type: ignore[arg-type]
    return out.getvalue()


def safetensors(arrays: dict[str, Array]) -> bytes:
    """The format as its documentation has it: length of the header, header, data."""
    header: dict[str, Any] = {}
    data = b""
    for name, array in arrays.items():
        raw = array.astype(np.float32).tobytes()
        header[name] = {
            "dtype": "F32",
            "shape": list(array.shape),
            "data_offsets": [len(data), len(data) + len(raw)],
        }
        data += raw
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def idx(array: Array) -> bytes:
    """Y. LeCun's format of MNIST."""
    return (
        bytes([0, 0, 8, array.ndim])
        + struct.pack(f">{array.ndim}I", *array.shape)
        + array.astype("u1").tobytes()
    )


# -- ONNX ------------------------------------------------------------------------------------------------------


def _model(
    nodes: list[Any], tensors: dict[str, Array], shape: tuple[int, ...], rank: int = 2
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", *shape])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None] * rank)],
        [numpy_helper.from_array(value, name) for name, value in tensors.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


@functools.cache
def onnx_models() -> tuple[onnx.ModelProto, ...]:
    """Small classifiers that together have every operator that is read."""
    make = helper.make_node
    ones = functools.partial(np.ones, dtype=np.float32)
    one = np.ones(4, np.float32)
    plain = _model(
        [
            make("Conv", ["x", "c.weight", "c.bias"], ["c"], "c", kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[2, 2]),
            make("BatchNormalization", ["c", "b.weight", "b.bias", "b.mean", "b.var"], ["b"], "b"),
            make("Relu", ["b"], ["r"], "r"),
            make("MaxPool", ["r"], ["p"], "p", kernel_shape=[2, 2], strides=[1, 1]),
            make("Conv", ["p", "d.weight"], ["d"], "d", group=4, auto_pad="SAME_UPPER"),
            make("Clip", ["d", "low", "high"], ["l"], "l"),
            make("Add", ["l", "p"], ["a"], "a"),
            make("GlobalAveragePool", ["a"], ["g"], "g"),
            make("Flatten", ["g"], ["f"], "f"),
            make("Gemm", ["f", "fc.weight", "fc.bias"], ["y"], "fc", transB=1),
        ],
        {
            "c.weight": ones((4, 2, 3, 3)), "c.bias": one, "b.weight": one, "b.bias": one, "b.mean": one, "b.var": one,
            "d.weight": ones((4, 1, 3, 3)), "low": np.float32(0), "high": np.float32(6), "fc.weight": ones((3, 4)),
            "fc.bias": ones(3),
        },
        (2, 8, 8),
    )  # fmt: skip
    shortcut = _model(
        [
            make("Identity", ["x"], ["i"], "i"),
            make("Slice", ["i", "starts", "ends", "axes", "steps"], ["s"], "s"),
            make("Pad", ["s", "pads"], ["q"], "q"),
            make("AveragePool", ["q"], ["p"], "p", kernel_shape=[2, 2], strides=[2, 2]),
            make("ReduceMean", ["p"], ["m"], "m", axes=[2, 3], keepdims=0),
            make("MatMul", ["m", "w"], ["n"], "n"),
            make("Add", ["n", "bias"], ["o"], "o"),
            make("Softmax", ["o"], ["y"], "y"),
        ],
        {
            "starts": np.array([0, 0]), "ends": np.array([2**31 - 1] * 2), "axes": np.array([2, 3]),
            "steps": np.array([2, 2]), "pads": np.array([0, 1, 0, 0, 0, 1, 0, 0]), "w": ones((4, 3)), "bias": ones(3),
        },
        (2, 8, 8),
    )  # fmt: skip
    normed = _model(
        [
            make("Transpose", ["x"], ["t"], "t", perm=[0, 2, 3, 1]),
            make("LayerNormalization", ["t", "n.weight", "n.bias"], ["n"], "n", axis=-1, epsilon=1e-5),
            make("Transpose", ["n"], ["u"], "u", perm=[0, 3, 1, 2]),
            make("Dropout", ["u"], ["v"], "v"),
            make("Constant", [], ["k"], "k", value=numpy_helper.from_array(np.array([0, -1]), "k")),
            make("Reshape", ["v", "k"], ["f"], "f"),
            make("Gemm", ["f", "w"], ["y"], "fc"),
        ],
        {"n.weight": ones(2), "n.bias": ones(2), "w": ones((32, 2))},
        (2, 4, 4),
    )
    return plain, shortcut, normed


# -- text ------------------------------------------------------------------------------------------------------

CONV_CSV = """Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, Num Filter, Strides,
Conv1, 8, 8, 3, 3, 2, 4, 1,
Conv2DP, 6, 6, 3, 3, 4, 1, 2,
FC, 1, 1, 1, 1, 16, 10, 1,
"""
CONV_CSV_3 = """Layer name,IFMAP Height,IFMAP Width,Filter Height,Filter Width,Channels,Num Filter,Strides H,Strides W,Sparsity Ratio,Batch
Conv1,8,8,3,3,2,4,1,1,2:4,1
Conv2,6,6,3,3,4,8,2,1,1:1,1
"""
GEMM_CSV = """Layer, M, N, K,
GEMM0, 4, 5, 6,
GEMM1, 16, 1, 64,
"""
CFG = """[general]
run_name = scale_example

[architecture_presets]
ArrayHeight:    4
ArrayWidth:     4
IfmapSramSzkB:    64
FilterSramSzkB:   64
OfmapSramSzkB:    64
IfmapOffset:    0
FilterOffset:   10000000
OfmapOffset:    20000000
Bandwidth : 10
Dataflow : ws
MemoryBanks:   1

[layout]
IfmapCustomLayout: False
IfmapSRAMBankBandwidth: 10
IfmapSRAMBankNum: 10
FilterCustomLayout: False
FilterSRAMBankBandwidth: 10
FilterSRAMBankNum: 10

[sparsity]
SparsitySupport : false

[run_presets]
InterfaceBandwidth: CALC
UseRamulatorTrace: False
"""
TOML = """# a machine
arrays = 2
rows = 16
cols = 16
dataflow = "ws"
grid = "post"
wbits = 4
abits = 4
frac_bits = 2
clock_mhz = 500.0
ifmap_kib = 64
filter_kib = 64.0
ofmap_kib = 6.4e1
dram_gb_per_s = 12.8
node = "nangate45"
unit = "pe"
hide_load = false
pe_stages = 1
vector_lanes = 32
ifmap_banks = 4
bank_ports = 1
line_words = 1
dram = "ddr4-2400"
asq = "producer"
asq_bits = 16
"""
ZEROS = json.dumps(
    {
        "layers": {
            "conv1": {"zero_activation": 120, "macs": 400, "zero_weight": 0, "gated": 1},
            "fc": {"zero_activation": 0.0, "macs": 40, "zero_weight": 3, "gated": 1},
        },
        "rows": 32,
        "cols": 32,
    }
)

# -- arrays ----------------------------------------------------------------------------------------------------


def _images(*shape: int) -> Array:
    return np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)


def datasets() -> list[dict[str, Array]]:
    labels = np.array([0, 1, 2])
    offsets = np.cumsum([0, *[len(one) for one in _jpegs()]])
    return [
        {"train_images": _images(3, 5, 5, 3), "train_labels": labels, "test_images": _images(2, 5, 5, 3),
         "test_labels": labels[:2]},
        {"x_train": _images(3, 5, 5), "y_train": labels},
        {"images": _images(3, 3, 5, 5), "labels": labels.astype(np.uint8)},
        {"train_jpeg": np.frombuffer(b"".join(_jpegs()), np.uint8), "train_offsets": offsets, "train_labels": labels},
    ]  # fmt: skip


def labelled(*shape: int) -> dict[str, Array]:
    """Four images of that shape."""
    images, labels = _images(4, *shape), np.array([0, 1, 0, 1])
    return {"train_images": images, "train_labels": labels, "test_images": images, "test_labels": labels}


@functools.cache
def _jpegs() -> tuple[bytes, ...]:
    from PIL import Image

    found = []
    for i in range(3):
        out = io.BytesIO()
        Image.fromarray(_images(8, 8, 3) // (i + 1)).save(out, "JPEG")
        found.append(out.getvalue())
    return tuple(found)


def weights() -> dict[str, Array]:
    """Those of :func:`small_graph`."""
    shapes = {
        "one.weight": (4, 2, 3, 3), "bn1.weight": (4,), "bn1.bias": (4,), "bn1.running_mean": (4,),
        "bn1.running_var": (4,), "fc.weight": (3, 4), "fc.bias": (3,),
    }  # fmt: skip
    return {name: np.full(shape, 0.5, np.float32) for name, shape in shapes.items()}


def operands() -> dict[str, Array]:
    return {"codes": np.arange(12).reshape(3, 4) % 8, "more": np.ones(3)}


def small_graph() -> Any:
    from asq_sw.graph.graph import Builder

    b = Builder((2, 5, 5))
    b.conv("one", 4, 3, padding=1)
    b.bn("bn1")
    b.relu("relu1")
    b.node("mean", "global_avgpool", None)
    b.node("flatten", "flatten", None)
    b.linear("fc", 3)
    return b.graph("small")


def cifar() -> Files:
    import pickle

    batch = {b"data": _images(2, 3072), b"labels": [1, 0], b"filenames": [b"a", b"b"]}
    return {name: pickle.dumps(batch, 2) for name in ("set/data_batch_1", "set/test_batch")}


def idx_files() -> Files:
    return {
        f"set/{part}-{kind}": data
        for part in ("train", "t10k")
        for kind, data in (
            ("images-idx3-ubyte", idx(_images(2, 5, 5))),
            ("labels-idx1-ubyte", idx(np.array([1, 0]))),
        )
    }


@functools.cache
def integer_network() -> tuple[dict[str, Any], dict[str, Array]]:
    """(record, arrays) of a small one."""
    from asq_sw.data import Batches, Part
    from asq_sw.graph.graph import Builder
    from asq_sw.integer.export import export
    from asq_sw.nn.network import Network
    from asq_sw.quantizers.methods import choices, quantizers

    b = Builder((2, 5, 5))
    b.conv("one", 4, 3, padding=1)
    b.bn("bn1")
    first = b.relu("relu1")
    b.conv("two", 4, 3, padding=1)
    b.node("norm", "layernorm", None, eps=1e-5)
    b.node("add", "add", b.last, first)
    b.maxpool("pool", 2, 2)
    b.node("mean", "global_avgpool", None)
    b.node("flatten", "flatten", None)
    b.linear("fc", 3)
    graph = b.graph("small")
    network = Network(graph, quantizers(graph, choices(graph, "asq-post", 3, 4)))
    batches = Batches(Part(_images(2, 5, 5, 2), np.zeros(2, np.int64)), 2)
    x, _ = next(batches.in_order())
    network.forward(x, training=True)
    made = export(network, network.peaks(x), batches.pixels())
    return dict(made.record), made.arrays


@functools.cache
def run_folder() -> tuple[dict[str, Any], dict[str, Array]]:
    """(config, checkpoint's arrays) of a small trained network."""
    from asq_sw.data import Dataset, Part
    from asq_sw.train import Recipe, Trainer

    part = Part(_images(4, 28, 28, 1), np.array([0, 1, 0, 1]))
    recipe = Recipe(
        model="small_cnn", input_shape=(1, 28, 28), classes=2, quantizer="asq-post", epochs=0, batch=4
    )
    with tempfile.TemporaryDirectory() as folder:
        Trainer(recipe, Dataset(part, part), folder=folder).run()
        config = json.loads((Path(folder) / "config.json").read_text())
        with np.load(Path(folder) / "checkpoint.npz") as archive:
            return config, {key: archive[key] for key in archive.files}
