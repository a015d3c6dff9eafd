"""Damage to a valid input: in its bytes, and in what they mean."""

from __future__ import annotations

import copy
import io
import json
import random
import re
import struct
import warnings
import zipfile
from typing import Any

import numpy as np
import onnx

NUMBERS = (
    "0", "-1", "1", "2", "3", "7", "16", "255", "65536", "2147483647", "2147483648", "9223372036854775807",
    "18446744073709551616", "99999999999999999999999999", "-9223372036854775809", "0.5", "-0.0", "1e-320", "1e308",
    "1e999", "-1e999", "nan", "inf", "-inf", "NaN", "Infinity", "0x10", "1_000", "07", "1e3", "+4", "٣", "²", "½",
    "9" * 5000,
)  # fmt: skip
WORDS = (
    "", " ", "true", "false", "null", "None", "self", "__class__", "os", "is", "ws", "post", "nf4", "a" * 300, "\0", "\n",
    "\r", "\t", "\x1b[31m", "é", "\ud800", "\ufeff", "%", "%s", "{}", "{0}", "$(x)", "../..", "/", ",", ";", ":", "'", '"',
    "(", ")", "[", "]", "{", "}", "#", "\\", "=", "*", "!", "[" * 3000, "{" * 3000, "(" * 3000, "!" * 3000, "((" * 50,
    "/*", "//", "DP", "USER",
)  # fmt: skip
_TOKEN = re.compile(r"\s+|\w+|[^\w\s]")


def text(rng: random.Random, given: str) -> str:
    """One to four changes to words, numbers, signs or lines."""
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        if rng.random() < 0.2:
            lines = given.split("\n")
            at, other = rng.randrange(len(lines)), rng.randrange(len(lines))
            how = rng.random()
            if how < 0.35:
                del lines[at]
            elif how < 0.7:
                lines.insert(other, lines[at])
            else:
                lines[at], lines[other] = lines[other], lines[at]
            given = "\n".join(lines)
            continue
        tokens = _TOKEN.findall(given)
        if not tokens:
            return rng.choice(WORDS)
        at = rng.randrange(len(tokens))
        for _ in range(20):  # a word or a number rather than a space
            if tokens[at].strip():
                break
            at = rng.randrange(len(tokens))
        how = rng.random()
        if how < 0.15:
            del tokens[at]
        elif how < 0.25:
            tokens.insert(at, rng.choice(tokens))
        elif how < 0.35:
            tokens.insert(at, rng.choice(NUMBERS + WORDS))
        elif how < 0.5:
            tokens[at] = rng.choice(tokens)
        elif how < 0.55:
            del tokens[at:]
        elif how < 0.8 and tokens[at][0].isdigit():
            tokens[at] = rng.choice(NUMBERS)
        else:
            tokens[at] = rng.choice(NUMBERS + WORDS)
        given = "".join(tokens)
    return given


def data(rng: random.Random, given: bytes) -> bytes:
    """One to eight changes to bytes."""
    found = bytearray(given)
    for _ in range(rng.choice((1, 1, 2, 3, 8))):
        at = rng.randrange(len(found) + 1)
        # Headers are at the ends of many files.
        if rng.random() < 0.3:
            at = rng.randrange(min(len(found), 64) + 1)
        elif rng.random() < 0.3:
            at = max(0, len(found) - rng.randrange(130))
        how = rng.random()
        length = rng.choice((1, 1, 2, 4, 8, 64, 1000))
        if how < 0.35 and at < len(found):
            found[at] ^= 1 << rng.randrange(8)
        elif how < 0.55 and at < len(found):
            found[at] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
        elif how < 0.65:
            del found[at : at + length]
        elif how < 0.75:
            found[at:at] = rng.randbytes(length)
        elif how < 0.85:
            start = rng.randrange(len(found) + 1)
            found[at : at + length] = found[start : start + length]
        elif how < 0.93:
            number = rng.choice((0, 1, -1, 2**31 - 1, 2**31, 2**32 - 1, 2**40))
            found[at : at + 8] = struct.pack("<q", number)[: rng.choice((2, 4, 8))]
        else:
            del found[at:]
    return bytes(found)


# -- JSON ------------------------------------------------------------------------------------------------------

_ODD = (
    None, True, False, 0, 1, -1, 2, 7, 255, 4097, 1 << 31, 1 << 63, -(1 << 70), 10**400, 0.5, -0.0, 1e308, float("inf"),
    float("nan"), "", "input", "relu", "conv", "post", "4", "nan", "\ud800", "\0", "a" * 300, [], {}, [0], [[]], [1, 2, 3],
    [-1, 3, 3], [1 << 40] * 3, {"a": 1}, {"": {}}, {"self": 1},
)  # fmt: skip


def _odd(rng: random.Random) -> Any:
    return copy.deepcopy(rng.choice(_ODD))


def _places(value: Any) -> list[tuple[Any, Any]]:
    """(container, key) of everything in a JSON value."""
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    found: list[tuple[Any, Any]] = []
    for key in keys:
        found += [(value, key), *_places(value[key])]
    return found


def as_json(rng: random.Random, value: Any) -> str:
    """The value as JSON, with one or two fields or elements changed."""
    for _ in range(rng.choice((1, 1, 2))):
        places = _places(value)
        if not places or rng.random() < 0.02:
            value = _odd(rng)
            continue
        container, key = rng.choice(places)
        how = rng.random()
        if how < 0.15:
            del container[key]
        elif how < 0.25:
            other, name = rng.choice(places)
            container[key] = json.loads(json.dumps(other[name])) if name in _keys(other) else None
        elif how < 0.32 and isinstance(container, dict):
            container[rng.choice(("self", "cls", "name", "source", "", "0", "new"))] = _odd(rng)
        elif how < 0.4 and type(container[key]) is int:
            container[key] += rng.choice((-1, 1))
        else:
            container[key] = _odd(rng)
    found = json.dumps(value)
    return text(rng, found) if rng.random() < 0.1 else found


def _keys(value: Any) -> Any:
    return value if isinstance(value, dict) else range(len(value))


# -- npz -------------------------------------------------------------------------------------------------------

_TYPES = (
    "u1",
    "i1",
    "i2",
    "u4",
    "i8",
    ">i8",
    "u8",
    "f2",
    "f4",
    "f8",
    ">f4",
    "c8",
    "?",
    "U5",
    "S3",
    "M8[s]",
    "V3",
)
_SHAPES = (
    "()", "(0,)", "(-1,)", "(1,)", "(1099511627776,)", "(4294967296, 4294967296)", "(65536, 65536, 4)", "(2, 0, 3)",
    "(1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1)", "[3]", "3", "None", "('a',)", "(True,)",
    "(1.5,)",
)  # fmt: skip
_DESCRIPTIONS = (
    "'O'", "'|O'", "'<f4'", "'<f8'", "'>i8'", "'<U1000000000'", "'<M8[ns]'", "'V0'", "'V8'", "'zz'", "''", "None",
    "[('a', '<f4')]", "[('a', 'O')]", "('<f4', (2,))", "3", "'<f16'", "'<c8'", "'S0'",
)  # fmt: skip


def _entry(shape: str, description: str, order: str, body: bytes, version: int = 1) -> bytes:
    """An .npy with a header of one's own."""
    header = f"{{'descr': {description}, 'fortran_order': {order}, 'shape': {shape}, }}\n".encode()
    size = struct.pack("<H" if version == 1 else "<I", len(header))
    return b"\x93NUMPY" + bytes([version, 0]) + size + header + body


def array(rng: random.Random, given: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Another type, shape or value."""
    how = rng.random()
    if how < 0.25:
        kind = rng.choice(_TYPES)
        try:
            with np.errstate(all="ignore"), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return given.astype(kind)
        except (ValueError, TypeError):
            return np.zeros(given.shape, kind)
    if how < 0.5:
        return rng.choice(
            (given[..., None], given.reshape(-1), given.T, given.reshape(-1)[:0], np.zeros(()), np.zeros((0, 0)),
             np.zeros((3, 0, 2)), given.reshape(-1)[: given.size // 2], np.array(rng.choice(("", "x", "{}", "[]"))))
        )  # fmt: skip
    found = np.array(given)
    flat = found.reshape(-1)
    if not flat.size:
        return np.zeros(3)
    at = rng.randrange(flat.size)
    if found.dtype.kind == "f":
        flat[at] = rng.choice((np.nan, np.inf, -np.inf, 0.0, -0.0, 1e30, -1.0))
    elif found.dtype.kind in "iu":
        ends = np.iinfo(found.dtype)
        flat[at] = rng.choice((ends.min, ends.max, 0, 1))
    elif found.dtype.kind == "b":
        flat[at] = not flat[at]
    elif found.dtype.kind == "U":
        return np.array(text(rng, str(flat[at])).replace("\ud800", "?"))
    return found


def npz(rng: random.Random, arrays: dict[str, Any]) -> bytes:
    """An .npz in which one array or more are damaged, missing, or called otherwise."""
    raw: dict[str, bytes] = {}
    names = sorted(arrays)
    for _ in range(rng.choice((1, 1, 2))):
        name = rng.choice(names)
        how = rng.random()
        if name not in arrays:
            continue
        if how < 0.55:
            arrays[name] = array(rng, arrays[name])
        elif how < 0.65:
            del arrays[name]
        elif how < 0.75:
            arrays[rng.choice(("new", "", "a/b", "../x", "file", "é", "initialized", *names))] = arrays.pop(
                name
            )
        else:
            held = arrays.pop(name)
            shape = rng.choice((*_SHAPES, str(held.shape), str(held.shape)))
            description = rng.choice((*_DESCRIPTIONS, repr(held.dtype.str), repr(held.dtype.str)))
            body = held.tobytes()[: rng.choice((0, 8, 1 << 30))]
            order = rng.choice(("False", "False", "True", "None", "2"))
            raw[name] = _entry(shape, description, order, body, rng.choice((1, 1, 2, 3, 9)))
    out = io.BytesIO()
    packing = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
    with warnings.catch_warnings(), zipfile.ZipFile(out, "w", packing) as archive:
        warnings.simplefilter("ignore")  # two of one name are meant
        for name, value in arrays.items():
            body = io.BytesIO()
            np.lib.format.write_array(body, np.asarray(value))
            archive.writestr(f"{name}.npy", body.getvalue())
        for name, entry in raw.items():
            archive.writestr(f"{name}.npy", entry)
        if rng.random() < 0.05:
            archive.writestr(rng.choice(("readme", "x.npy", "a/")), b"text")
    return out.getvalue()


def safetensors(rng: random.Random, given: bytes) -> bytes:
    """A safetensors file with a damaged header, or damaged bytes."""
    if rng.random() < 0.4:
        return data(rng, given)
    length = struct.unpack("<Q", given[:8])[0]
    header = json.loads(given[8 : 8 + length])
    if rng.random() < 0.3:
        name = rng.choice(sorted(header))
        header[name]["dtype"] = rng.choice(("F64", "BF16", "F16", "I8", "U64", "BOOL", "F8_E4M3", "X", "f32"))
    changed = as_json(rng, header).encode("utf-8", "surrogatepass")
    size = len(changed) if rng.random() < 0.9 else rng.choice((0, 1, 2**63, len(changed) + 5))
    return struct.pack("<Q", size) + changed + given[8 + length :]


# -- ONNX ------------------------------------------------------------------------------------------------------

_INTS = (0, 1, -1, 2, 3, 4, 5, 7, 100, 2**31 - 1, 2**31, 2**62, -(2**63))
_OPERATORS = (
    "Conv", "Relu", "Add", "Gemm", "MatMul", "Flatten", "Reshape", "Pad", "Slice", "Clip", "Shape", "Identity", "MaxPool",
    "AveragePool", "GlobalAveragePool", "ReduceMean", "BatchNormalization", "LayerNormalization", "Transpose", "Squeeze",
    "Softmax", "Constant", "Cast", "Dropout", "Mul", "If", "Loop", "Gather", "Concat", "QuantizeLinear", "Nothing", "",
)  # fmt: skip


def model(rng: random.Random, given: onnx.ModelProto) -> None:
    """One to three changes to nodes, attributes, tensors, inputs and the model, in place."""
    for _ in range(rng.choice((1, 1, 2, 3))):
        rng.choice((_node, _node, _attribute, _attribute, _tensor, _tensor, _value, _head))(rng, given)


def _names(graph: onnx.GraphProto) -> list[str]:
    return [
        "",
        "x",
        "y",
        "nothing",
        *(t.name for t in graph.initializer),
        *(o for n in graph.node for o in n.output),
    ]


def _node(rng: random.Random, given: onnx.ModelProto) -> None:
    graph = given.graph
    if not graph.node:
        return
    at = rng.randrange(len(graph.node))
    node = graph.node[at]
    how = rng.random()
    if how < 0.15:
        del graph.node[at]
    elif how < 0.3:
        node.op_type = rng.choice(_OPERATORS)
    elif how < 0.6 and node.input:
        node.input[rng.randrange(len(node.input))] = rng.choice(_names(graph))
    elif how < 0.7 and node.input:
        del node.input[rng.randrange(len(node.input))]
    elif how < 0.78:
        node.input.append(rng.choice(_names(graph)))
    elif how < 0.84 and node.output:
        node.output[rng.randrange(len(node.output))] = rng.choice(_names(graph))
    elif how < 0.87 and node.output:
        del node.output[rng.randrange(len(node.output))]
    elif how < 0.9:
        node.name = rng.choice(("", "input", "a/b", "\x1b[31m", graph.node[0].name))
    elif how < 0.92:
        node.domain = rng.choice(("ai.onnx.ml", "x"))
    else:
        graph.node.add().CopyFrom(node)


def _attribute(rng: random.Random, given: onnx.ModelProto) -> None:
    nodes = [n for n in given.graph.node if n.attribute]
    if not nodes:
        return
    node = rng.choice(nodes)
    attribute = rng.choice(list(node.attribute))
    how = rng.random()
    if how < 0.1:
        node.attribute.remove(attribute)
    elif how < 0.2:
        attribute.name = rng.choice(
            ("pads", "strides", "dilations", "group", "auto_pad", "axis", "axes", "ceil_mode", "transA", "alpha", "perm",
             "kernel_shape", "epsilon", "min", "value", "value_int", "keepdims", "x")
        )  # fmt: skip
    elif how < 0.25:
        attribute.type = rng.choice((0, 1, 2, 3, 4, 5, 6, 7, 8))
    elif how < 0.3:
        attribute.s = rng.choice((b"", b"SAME_LOWER", b"VALID", b"\xff", b"x"))
    elif attribute.ints and how < 0.8:
        attribute.ints[rng.randrange(len(attribute.ints))] = rng.choice(_INTS)
    elif attribute.ints and how < 0.9:
        del attribute.ints[0]
    elif attribute.ints:
        attribute.ints.append(rng.choice(_INTS))
    else:
        attribute.i = rng.choice(_INTS)
        attribute.f = rng.choice((0.0, -1.0, float("nan"), float("inf"), 1e-30))


def _tensor(rng: random.Random, given: onnx.ModelProto) -> None:
    tensors = list(given.graph.initializer)
    tensors += [a.t for n in given.graph.node for a in n.attribute if a.HasField("t")]
    if not tensors:
        return
    tensor = rng.choice(tensors)
    how = rng.random()
    if how < 0.2 and tensor.dims:
        tensor.dims[rng.randrange(len(tensor.dims))] = rng.choice(_INTS)
    elif how < 0.3 and tensor.dims:
        del tensor.dims[rng.randrange(len(tensor.dims))]
    elif how < 0.4:
        tensor.dims.append(rng.choice((0, 1, 2)))
    elif how < 0.5:
        tensor.data_type = rng.randrange(0, 30)
    elif how < 0.6:
        tensor.raw_data = data(rng, tensor.raw_data)
    elif how < 0.65:
        tensor.ClearField("raw_data")
    elif how < 0.7:
        tensor.float_data.extend((1.0, 2.0))
    elif how < 0.75:
        tensor.data_location = onnx.TensorProto.EXTERNAL
        entry = tensor.external_data.add()
        entry.key, entry.value = (
            "location",
            rng.choice(("missing", "../input.onnx", "/etc/hostname", "input.onnx", "")),
        )
    elif how < 0.85:
        tensor.name = rng.choice(_names(given.graph))
    elif how < 0.92 and tensor in list(given.graph.initializer):
        given.graph.initializer.remove(tensor)
    elif tensor.raw_data:
        kind = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type) if 0 < tensor.data_type < 12 else None
        if kind is not None and kind.kind in "if":
            values = np.frombuffer(
                tensor.raw_data[: len(tensor.raw_data) // kind.itemsize * kind.itemsize], kind
            )
            tensor.raw_data = array(rng, values).tobytes()


def _value(rng: random.Random, given: onnx.ModelProto) -> None:
    """The graph's inputs and outputs."""
    graph = given.graph
    values = [*graph.input, *graph.output]
    if not values:
        return
    value = rng.choice(values)
    dims = value.type.tensor_type.shape.dim
    how = rng.random()
    if how < 0.5 and dims:
        dims[rng.randrange(len(dims))].dim_value = rng.choice(_INTS)
    elif how < 0.6 and dims:
        del dims[rng.randrange(len(dims))]
    elif how < 0.65:
        dims.add().dim_param = "k"
    elif how < 0.75:
        value.type.tensor_type.elem_type = rng.randrange(0, 30)
    elif how < 0.8:
        value.type.Clear()
    elif how < 0.9:
        value.name = rng.choice(_names(graph))
    elif how < 0.95:
        graph.input.add().CopyFrom(value)
    else:
        graph.output.add().CopyFrom(value)


def _head(rng: random.Random, given: onnx.ModelProto) -> None:
    how = rng.random()
    if how < 0.3 and given.opset_import:
        given.opset_import[0].version = rng.choice((0, -1, 1, 5, 7, 11, 13, 18, 21, 25, 99, 2**62))
    elif how < 0.5:
        given.ir_version = rng.choice((0, 1, 3, 4, 8, 13, 99, 2**62))
    elif how < 0.6:
        given.ClearField("opset_import")
    elif how < 0.8:
        given.graph.name = rng.choice(("", "a\nb", "\x1b[31m", "x" * 3000))
    elif how < 0.9:
        given.ClearField("graph")
    else:
        given.functions.add().name = "f"
