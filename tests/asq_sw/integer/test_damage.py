"""Damaged integer networks: each is refused in a sentence that names file and field; none reaches a kernel."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asq_sw.data import Batches, Part
from asq_sw.errors import InputError
from asq_sw.graph.graph import Builder
from asq_sw.integer.export import export
from asq_sw.integer.network import IntegerNetwork
from asq_sw.nn.network import Network
from asq_sw.quantizers.methods import choices, quantizers

IMAGES = np.random.default_rng(0).integers(0, 256, (2, 7, 7, 2)).astype(np.uint8)
Change = Callable[[dict[str, Any], dict[str, np.ndarray]], Any]


@pytest.fixture(scope="module")
def made() -> IntegerNetwork:
    b = Builder((2, 7, 7))
    b.conv("one", 8, 3, padding=1)
    b.bn("bn1")
    first = b.relu("relu1")
    b.conv("two", 8, 3, padding=1)
    b.bn("bn2")
    b.node("add", "add", b.last, first)
    b.maxpool("pool", 2, 2)
    b.node("mean", "global_avgpool", None)
    b.node("flatten", "flatten", None)
    b.linear("fc", 3)
    graph = b.graph("small")
    network = Network(graph, quantizers(graph, choices(graph, "asq-post", 3, 4)))
    batches = Batches(Part(IMAGES, np.zeros(2, np.int64)), 2)
    x, _ = next(batches.in_order())
    network.forward(x, training=True)
    return export(network, network.peaks(x), batches.pixels())


def parts(network: IntegerNetwork) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    return copy.deepcopy(network.record), {key: value.copy() for key, value in network.arrays.items()}


def step(record: dict[str, Any], name: str) -> dict[str, Any]:
    return next(one for one in record["steps"] if one["name"] == name)


def constants(name: str, *path: str, value: Any) -> Change:
    def change(record, arrays):
        place = step(record, name)["constants"]
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value

    return change


def head(name: str, *path: str, value: Any) -> Change:
    def change(record, arrays):
        place = step(record, name)
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value

    return change


def array(name: str, new: Callable[[np.ndarray], np.ndarray]) -> Change:
    def change(record, arrays):
        arrays[name] = new(arrays[name])

    return change


def put(name: str, value: int) -> Change:
    def change(record, arrays):
        arrays[name].reshape(-1)[-1] = value

    return change


DAMAGES: dict[str, tuple[Change, str]] = {
    "codes of three rows": (array("two.codes", lambda a: a[:3]), r"two\.codes is uint8 of shape \(3, 8, 3, 3\)"),
    "codes of more dimensions": (array("two.codes", lambda a: a[None]), r"two\.codes is .*expected uint8"),
    "codes as floats": (array("two.codes", lambda a: a.astype(float)), r"two\.codes is float64"),
    "a code of no level": (put("two.codes", 200), r"two\.codes holds .* to 200, expected 0 to 7"),
    "NaN": (array("two.m", lambda a: np.full(a.shape, np.nan)), r"two\.m is float64"),
    "m of more bits": (array("two.m", lambda a: a.astype(np.int64) << 8), r"two\.m is int64"),
    "b of more bits": (put("two.b", 1 << 50), r"two\.b holds .*1125899906842624"),
    "a shift of 70": (put("two.shift", 70), r"two\.shift holds .* to 70, expected 1 to 62"),
    "a shift of 0": (put("two.shift", 0), r"two\.shift holds 0 to"),
    "pixels out of range": (put("one.pixels", 9999), r"one\.pixels holds .* to 9999"),
    "pixels of one colour": (array("one.pixels", lambda a: a[:1]), r"one\.pixels is .*expected int16 of \(2, 256\)"),
    "another table": (put("two.table", 3), r"two\.table holds 3 at 15, expected"),
    "another product": (put("two.even", 12345), r"two\.even holds 12345 at 7"),
    "an adapter of other channels": (array("two.adapter.w1", lambda a: a[:, :3]), r"two\.adapter\.w1 is"),
    "an adapter's bias": (put("two.adapter.b1", 1 << 60), r"two\.adapter\.b1 holds"),
    "a missing array": (lambda r, a: a.pop("two.b"), r"two\.b is missing"),
    "one array more": (lambda r, a: a.update(extra=np.zeros(3)), r"extra belongs to no step"),
    "version 2": (lambda r, a: r.update(version=2), "version is 2"),
    "no version": (lambda r, a: r.pop("version"), "version is missing"),
    "another format": (lambda r, a: r.update(format="onnx"), "format is 'onnx'"),
    "an unknown field": (lambda r, a: r.update(more=1), "more is a field"),
    "no steps": (lambda r, a: r.update(steps=[]), "steps is"),
    "a step that is no object": (lambda r, a: r["steps"].append(3), "step 6 is 3"),
    "input of size 0": (lambda r, a: r.update(input_shape=[2, 0, 7]), "input_shape is"),
    "input of size NaN": (lambda r, a: r.update(input_shape=[2, float("nan"), 7]), "input_shape is"),
    "an unknown op": (head("pool", "op", value="softmax"), "op is 'softmax'"),
    "an unknown input": (head("pool", "inputs", value=["nowhere"]), "nowhere"),
    "a step that reads itself": (head("pool", "inputs", value=["pool"]), "pool"),
    "a later step's map joined": (head("two", "inputs", value=["one", "mean"]), "mean"),
    "a map of another shape joined": (head("mean", "inputs", value=["pool", "pool"]), "reads 2 maps"),
    "the image in a pool": (head("pool", "inputs", value=["input"]), "reads the image"),
    "no inputs": (head("pool", "inputs", value=[]), "reads 0 maps"),
    "two steps of one name": (head("mean", "name", value="pool"), "pool"),
    "a fraction of 99": (head("two", "fraction", value=99), "fraction is 99"),
    "a negative stride": (head("pool", "attributes", "stride", value=[-1, 2]), "stride is"),
    "a kernel of one number": (head("pool", "attributes", "kernel", value=2), "kernel is 2"),
    "a kernel larger than the map": (head("pool", "attributes", "kernel", value=[200, 2]), "200-wide window"),
    "groups that do not divide": (head("two", "attributes", "groups", value=3), "groups 3"),
    "fewer channels": (head("two", "attributes", "out_channels", value=4), "two"),
    "an attribute more": (head("pool", "attributes", "ceil", value=1), "ceil is a field"),
    "k of more bits": (constants("two", "quantize", "k", value=70000), "k is 70000"),
    "k as float": (constants("two", "quantize", "k", value=1.5), "k is 1.5"),
    "k as true": (constants("two", "quantize", "k", value=True), "k is True"),
    "quantize's shift": (constants("two", "quantize", "shift", value=70), "shift is 70"),
    "no quantizer": (constants("two", "quantize", value=None), "quantize is None"),
    "a quantizer of the image": (constants("one", "quantize", value={}), "quantize is given"),
    "r1": (constants("two", "adapter", "r1", value=31), "r1 is 31"),
    "r2": (constants("two", "adapter", "r2", value=-16), "r2 is -16"),
    "b2": (constants("two", "adapter", "b2", value=1 << 48), "b2 is"),
    "a hidden layer of more": (constants("two", "adapter", "hidden", value=5), r"two\.adapter\.w1"),
    "a grid of no name": (constants("two", "weight", "grid", value="post9"), "grid is 'post9'"),
    "a grid without a field": (constants("two", "weight", value={"grid": "post"}), "weight is no number format"),
    "a grid that is a list": (constants("two", "weight", value=[1]), "weight is no number format"),
    "another F": (constants("two", "weight", "frac_bits", value=5), r"two\.even|two\.table"),
    "activations of 9 bits": (constants("two", "activation", "bits", value=9), "bits is 9"),
    "activations of 3 bits": (constants("two", "activation", "bits", value=3), r"two\.table"),
    "an activation's sign": (constants("two", "activation", "signed", value=1), "signed is 1"),
    "an unknown relu": (constants("two", "relu", value="gelu"), "relu is 'gelu'"),
    "24 bits": (constants("two", "bits", value=24), "bits is 24"),
    "32 bits in the middle": (constants("two", "bits", value=32), "bits is 32"),
    "constants of a pool": (head("pool", "constants", value={"scale": 1}), "scale is a field"),
    "constants that are none": (head("pool", "constants", value=None), "is None"),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_refused_by_name(made: IntegerNetwork, damage: str) -> None:
    record, arrays = parts(made)
    change, message = DAMAGES[damage]
    change(record, arrays)
    with pytest.raises(InputError, match=message) as refusal:
        IntegerNetwork(record, arrays, "net.npz")
    assert str(refusal.value).startswith("net.npz")


def test_sums_that_no_register_holds_are_refused(made: IntegerNetwork) -> None:
    """Sums of more than 40 bits times factors of 20: the export shortens m, a file that does not is refused."""
    b = Builder((8, 4, 4))
    b.conv("first", 32, 1)
    b.relu("relu")
    b.conv("wide", 32, 3, padding=1)
    b.conv("last", 4, 1)
    graph = b.graph("wide")
    network = Network(graph, quantizers(graph, choices(graph, "asq-post", 7, 8)))
    images = np.random.default_rng(0).integers(0, 256, (2, 4, 4, 8)).astype(np.uint8)
    batches = Batches(Part(images, np.zeros(2, np.int64)), 2)
    x, _ = next(batches.in_order())
    network.forward(x, training=True)
    integer = export(network, network.peaks(x), batches.pixels())
    bound, m = integer.layers["wide"].bound, int(np.abs(integer.layers["wide"].requantize.m).max())
    assert bound > 1 << 44
    assert m < 1 << 14
    assert bound * ((m * 65535) >> 12) < 1 << 62
    real = network.forward(x).reshape(-1)
    close = np.corrcoef(integer.forward(images).reshape(-1), real)[0, 1]
    assert close > 0.95
    record, arrays = parts(integer)
    arrays["wide.m"][:] = 32767
    with pytest.raises(InputError, match=r"requantizer needs 6[4-9] bits"):
        IntegerNetwork(record, arrays, "net.npz")


def test_files_that_are_no_integer_networks(made: IntegerNetwork, tmp_path: Path) -> None:
    path = tmp_path / "n.npz"
    _, arrays = parts(made)

    def refused(message: str, **extra: np.ndarray) -> None:
        np.savez(path, **arrays, **extra)
        with pytest.raises(InputError, match=message) as refusal:
            IntegerNetwork.load(path)
        assert str(path) in str(refusal.value)

    refused("lacks the array network")
    refused("before the file had a version", meta=np.array("{}"))
    refused("not JSON", network=np.array("{"))
    refused("JSON list", network=np.array("[]"))
    refused("expected one string", network=np.array(3))
    refused("format is missing", network=np.array("{}"))
    refused("not JSON", network=np.array("[" * 100000))


VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 70), st.sampled_from([1 << 31, 1 << 63, -(1 << 70)]),
    st.floats(), st.sampled_from(["", "relu", "input", "one", "conv", "add"]), st.lists(st.integers(-1, 300), max_size=4),
    st.just({}),
)  # fmt: skip


def places(data: Any) -> list[tuple[Any, Any]]:
    """(container, key) of everything in a JSON value."""
    keys = list(data) if isinstance(data, dict) else range(len(data)) if isinstance(data, list) else ()
    found: list[tuple[Any, Any]] = []
    for key in keys:
        found += [(data, key), *places(data[key])]
    return found


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_any_damage_is_refused_or_runs(made: IntegerNetwork, data: st.DataObject) -> None:
    record, arrays = parts(made)
    for _ in range(data.draw(st.integers(1, 2))):
        if data.draw(st.booleans()):
            container, key = data.draw(st.sampled_from(places(record)))
            container[key] = data.draw(VALUES)
        else:
            name = data.draw(st.sampled_from(sorted(arrays)))
            held = arrays[name]
            how = data.draw(st.sampled_from(["cut", "flat", "type", "value", "gone", "transpose"]))
            if how == "cut" and held.ndim:
                arrays[name] = held[: len(held) // 2]
            elif how == "flat":
                arrays[name] = held.reshape(-1)
            elif how == "type":
                arrays[name] = held.astype(
                    data.draw(st.sampled_from(["u1", "i1", "i2", "i4", "f4", "i8", "O", ">i8"]))
                )
            elif how == "value" and held.size:
                ends = np.iinfo(held.dtype) if held.dtype.kind in "iu" else None
                if ends is not None:
                    value = data.draw(st.sampled_from([ends.min, ends.max, 0, 1]))
                    held.reshape(-1)[data.draw(st.integers(0, held.size - 1))] = value
            elif how == "gone":
                del arrays[name]
            elif how == "transpose":
                arrays[name] = held.T
    try:
        network = IntegerNetwork(record, arrays, "net.npz")
        shape = (2, *network.input_shape[1:], network.input_shape[0])
        images = np.resize(IMAGES, shape)
    except InputError as error:
        refusal = str(error)
    else:
        np.testing.assert_array_equal(network.forward(images), network.forward(images, keep=True))
        return
    assert refusal.startswith("net.npz")
