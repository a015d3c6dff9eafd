"""docs/integer_contract.md: a reader and an evaluator written from that page alone give the product's logits.

The evaluator uses nothing of the product; what it is held against and the files come from there.
"""

from __future__ import annotations

import json
import math
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

Whole = np.ndarray  # of Python integers: no width that could overflow


# -- from the page ---------------------------------------------------------------------------------------------


def round_shift(v: Any, r: int) -> Any:
    return (v + (1 << (r - 1))) >> r if r > 0 else v * (1 << -r)


def saturate(v: Any, bits: int = 16) -> Any:
    return np.minimum(np.maximum(v, -(1 << (bits - 1))), (1 << (bits - 1)) - 1)


def six(f: int) -> int:
    return 6 * 2**f if f >= 0 else 6 // 2**-f


def inverse(n: int) -> int:
    return round(Fraction(1 << 24, n))


def places(n: int, pads: int, k: int, s: int, d: int = 1) -> int:
    return (n + pads - d * (k - 1) - 1) // s + 1


def windows(x: Whole, attributes: dict[str, Any], fill: Any) -> Whole:
    """(rows, columns, kh, kw, C) of a map (H, W, C)."""
    (kh, kw), (sh, sw) = attributes["kernel"], attributes["stride"]
    dh, dw = attributes.get("dilation", (1, 1))
    top, left, bottom, right = attributes["padding"]
    rows = places(x.shape[0], top + bottom, kh, sh, dh)
    columns = places(x.shape[1], left + right, kw, sw, dw)
    out = np.full((rows, columns, kh, kw, x.shape[2]), fill, object)
    for i, j, a, b in np.ndindex(rows, columns, kh, kw):
        y, z = i * sh + a * dh - top, j * sw + b * dw - left
        if 0 <= y < x.shape[0] and 0 <= z < x.shape[1]:
            out[i, j, a, b] = x[y, z]
    return out


class Evaluator:
    def __init__(self, path: Path):
        with np.load(path) as archive:
            self.arrays = {key: archive[key] for key in archive.files}
        self.network = json.loads(str(self.arrays.pop("network")))
        assert (self.network["format"], self.network["version"]) == ("asq-integer-network", 1)

    def array(self, step: dict[str, Any], key: str) -> Whole:
        return self.arrays[f"{step['name']}.{key}"].astype(object)

    def logits(self, image: np.ndarray) -> list[int]:
        maps: dict[str, Whole] = {"input": image.astype(object)}
        fractions = {"input": 0}
        for step in self.network["steps"]:
            f = fractions[step["name"]] = step["fraction"]
            x = [maps[name] for name in step["inputs"]]
            changes = [fractions[name] - f for name in step["inputs"]]
            maps[step["name"]] = getattr(self, step["op"])(step, x, changes)
        return [int(v) for v in maps[self.network["steps"][-1]["name"]].reshape(-1)]

    def relu(self, step, x, changes):
        return saturate(round_shift(np.maximum(x[0], 0), changes[0]))

    def relu6(self, step, x, changes):
        return np.minimum(self.relu(step, x, changes), six(step["fraction"]))

    def add(self, step, x, changes):
        return saturate(sum(round_shift(y, c) for y, c in zip(x, changes, strict=True)))

    def maxpool(self, step, x, changes):
        nothing = -(1 << 20)
        best = windows(x[0], step["attributes"], nothing).max(axis=(2, 3))
        return saturate(round_shift(np.where(best == nothing, 0, best), changes[0]))

    def avgpool(self, step, x, changes):
        kh, kw = step["attributes"]["kernel"]
        sums = windows(x[0], step["attributes"], 0).sum(axis=(2, 3))
        return saturate(round_shift(sums * inverse(kh * kw), 24 + changes[0]))

    def global_avgpool(self, step, x, changes):
        sums = x[0].sum(axis=(0, 1), keepdims=True)
        return saturate(round_shift(sums * inverse(x[0].shape[0] * x[0].shape[1]), 24 + changes[0]))

    def shortcut_a(self, step, x, changes):
        stride, wide = step["attributes"]["stride"], step["attributes"]["out_channels"]
        taken = saturate(round_shift(x[0][::stride, ::stride], changes[0]))
        out = np.full((*taken.shape[:2], wide), 0, object)
        first = (wide - taken.shape[2]) // 2
        out[:, :, first : first + taken.shape[2]] = taken
        return out

    def flatten(self, step, x, changes):
        return saturate(round_shift(np.moveaxis(x[0], -1, 0).reshape(-1), changes[0]))

    def bn(self, step, x, changes):
        return self.requantize(step, x[0], 4096, x[1:], changes[1:])

    def layernorm(self, step, x, changes):
        channels = x[0].shape[-1]
        extra = 0
        while 1 << extra < channels:
            extra += 1
        inverse = (Fraction(1 << (24 + extra), channels) + Fraction(1, 2)).__floor__()
        t = np.empty(x[0].shape, object)
        for place in np.ndindex(x[0].shape[:-1]):
            values = [int(v) for v in x[0][place]]
            mean = round_shift(sum(values) * inverse, 20 + extra)
            d = [16 * v - mean for v in values]
            n = total = sum(v * v for v in d) + step["constants"]["epsilon"]
            assert 0 < total < 2**62
            s = 0
            while n >= 2**30:
                s += 2
                n = total // 2**s
            while n < 2**28:
                s -= 2
                n = total * 2**-s
            root = math.isqrt(2**60 // n)
            t[place] = [round_shift(v * root, 14 + s // 2) for v in d]
        return self.requantize(step, t, 4096, [], [])

    def conv(self, step, x, changes):
        attributes, codes = step["attributes"], self.arrays[f"{step['name']}.codes"]
        beta, a = self.quantize(step, x[0])
        groups, outputs = attributes["groups"], attributes["out_channels"]
        view = windows(a, attributes, 0)
        inputs = view.shape[-1] // groups
        sums = []
        for o in range(outputs):
            g = o // (outputs // groups)
            part = view[..., g * inputs : (g + 1) * inputs]
            sums.append(self.product(step, part, np.moveaxis(codes[o], 0, -1)).sum(axis=(2, 3, 4)))
        return self.requantize(step, np.stack(sums, axis=-1), beta, x[1:], changes[1:])

    def linear(self, step, x, changes):
        beta, a = self.quantize(step, x[0])
        sums = self.product(step, a[None], self.arrays[f"{step['name']}.codes"]).sum(axis=1)
        return self.requantize(step, sums, beta, x[1:], changes[1:])

    def product(self, step, a: Whole, codes: np.ndarray) -> Whole:
        result = a * self.array(step, "even")[codes]
        if f"{step['name']}.table" in self.arrays:
            low, _ = self.ends(step)
            result = (
                result + self.array(step, "table")[(a - low).astype(int)] * self.array(step, "odd")[codes]
            )
        return result

    def ends(self, step) -> tuple[int, int]:
        bits, signed = (step["constants"]["activation"][key] for key in ("bits", "signed"))
        return (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)

    def quantize(self, step, x: Whole) -> tuple[int, Whole]:
        low, high = self.ends(step)
        if step["inputs"][0] == "input":
            pixels = self.array(step, "pixels")
            return 4096, pixels[np.arange(x.shape[-1]), x.astype(int)]
        q, beta = step["constants"]["quantize"], 4096
        factor = q["k"]
        if step["constants"]["adapter"] is not None:
            beta = self.beta(step, x.reshape(-1, x.shape[-1]))
            factor = round_shift(q["k"] * ((2**28 + beta // 2) // beta), 16)
        codes = (x * factor + q["offset"] + (1 << (q["shift"] - 1))) >> q["shift"]
        return beta, np.minimum(np.maximum(codes, low), high)

    def beta(self, step, x: Whole) -> int:
        a = step["constants"]["adapter"]
        w1, b1, w2 = (self.array(step, f"adapter.{key}") for key in ("w1", "b1", "w2"))
        mean = round_shift(x.sum(axis=0) * inverse(len(x)), 20)
        if a["hidden"]:
            inputs = [
                min(max(round_shift(int(b1[j] + (w1[j] * mean).sum()), a["r1"]), 0), 2**31 - 1)
                for j in range(a["hidden"])
            ]
        else:
            inputs = list(mean)
        total = a["b2"] + sum(int(w) * int(h) for w, h in zip(w2, inputs, strict=True))
        return min(max(round_shift(total, a["r2"]), 1), 65535)

    def requantize(self, step, sums: Whole, beta: int, others, changes) -> Whole:
        m, b, shift = (self.array(step, key) for key in ("m", "b", "shift"))
        out = np.empty(sums.shape, object)
        for o in range(sums.shape[-1]):
            factor = round_shift(int(m[o]) * beta, 12)
            out[..., o] = round_shift(sums[..., o] * factor + int(b[o]), int(shift[o]))
        for y, change in zip(others, changes, strict=True):
            out = out + round_shift(y, change)
        relu, bits = (step["constants"][key] for key in ("relu", "bits"))
        out = saturate(out, bits)
        if relu != "none":
            out = np.maximum(out, 0)
        return np.minimum(out, six(step["fraction"])) if relu == "relu6" else out


# -- the product's files and logits ----------------------------------------------------------------------------


def exported(graph, method: str, wbits: int, path: Path, images: np.ndarray, abits: int = 4) -> np.ndarray:
    """Write the integer network of random weights with settled statistics; its logits of ``images``."""
    from asq_sw.data import Batches, Part
    from asq_sw.integer.export import export
    from asq_sw.integer.network import IntegerNetwork
    from asq_sw.nn.network import Network
    from asq_sw.quantizers.methods import choices, quantizers

    network = Network(graph, quantizers(graph, choices(graph, method, wbits, abits)), seed=1)
    batches = Batches(Part(images, np.zeros(len(images), np.int64)), len(images))
    x, _ = next(batches.in_order())
    for _ in range(3):
        network.forward(x, training=True)
    rng = np.random.default_rng(2)
    for key, value in network.trainable().items():  # adapters and normalizations away from where they start
        if ".activation.fc" in key:
            value += rng.normal(0, 0.05, value.shape)
        elif "bn" in key and key.endswith("weight"):
            value *= rng.uniform(0.3, 1.5, value.shape)
    export(network, network.peaks(x), batches.pixels()).save(path)
    return IntegerNetwork.load(path).forward(images)


def residual(builder, option: str):
    b = builder((3, 9, 9))
    b.conv("conv1", 8, 3, padding=1)
    b.bn("bn1")
    first = b.relu("relu1")
    b.conv("conv2", 8, 3, padding=1)
    b.bn("bn2")
    b.node("add1", "add", b.last, first)
    second = b.relu("relu2")
    b.conv("conv3", 12, 3, stride=2, padding=1)
    main = b.bn("bn3")
    if option == "a":
        side = b.node("side", "shortcut_a", second, stride=2, out_channels=12)
    else:
        b.conv("side.conv", 12, 1, stride=2, src=second)
        side = b.bn("side.bn")
    b.node("add2", "add", main, side)
    b.relu("relu3")
    b.node("pool", "global_avgpool", None)
    b.node("flatten", "flatten", None)
    b.linear("fc", 5)
    return b.graph("residual")


def mobile(builder):
    b = builder((2, 10, 8))
    b.conv("conv1", 8, 3, stride=2, padding=1, bias=True)
    b.bn("bn1")
    b.node("six1", "relu6", None)
    b.conv("depth", 8, 3, padding=1, groups=8)
    b.bn("bn2")
    b.node("six2", "relu6", None)
    b.conv("grouped", 12, 1, groups=2, bias=True)
    skip = b.last
    b.bn("bn3")
    b.node("add", "add", b.last, skip)
    b.node("six3", "relu6", None)
    b.node("avg", "avgpool", None, kernel=(3, 2), stride=(2, 1), padding=(1, 0, 1, 1))
    b.conv("last", 6, 1)
    b.relu("relu")
    b.maxpool("max", 2, 2, padding=1)
    b.node("flatten", "flatten", None)
    b.linear("fc", 7, bias=False)
    return b.graph("mobile")


def normed(builder):
    b = builder((3, 7, 6))
    b.conv("conv1", 5, 3, padding=1)
    b.bn("bn1")
    b.relu("relu1")
    b.node("norm1", "layernorm", None, eps=1e-5)
    b.conv("conv2", 8, 3, stride=2, padding=1)
    b.node("norm2", "layernorm", None, eps=0.1)
    b.relu("relu2")
    b.node("flatten", "flatten", None)
    b.node("norm3", "layernorm", None, eps=1e-5)
    b.linear("fc", 5)
    return b.graph("normed")


@pytest.mark.parametrize(
    ("network", "method", "wbits"),
    [("normed", "asq-post", 4), ("a", "asq-post", 3), ("a", "lsq", 4), ("b", "asq-fp4", 4), ("mobile", "asq-post", 4), ("mobile", "asq-apot", 3),
     ("mobile", "lsq", 3)],
)  # fmt: skip
def test_the_page_and_the_file_give_the_logits(network: str, method: str, wbits: int, tmp_path: Path) -> None:
    from asq_sw.graph.graph import Builder

    made = {"mobile": mobile, "normed": normed}
    graph = made[network](Builder) if network in made else residual(Builder, network)
    channels, height, width = graph.input_shape
    images = np.random.default_rng(0).integers(0, 256, (3, height, width, channels)).astype(np.uint8)
    logits = exported(graph, method, wbits, tmp_path / "n.npz", images)
    evaluator = Evaluator(tmp_path / "n.npz")
    assert [evaluator.logits(image) for image in images] == logits.tolist()
    assert len(np.unique(logits)) > logits.shape[1]  # images differ, or little would be shown


def test_trained_digits_by_the_page(tmp_path: Path) -> None:
    from asq_sw.data import load
    from asq_sw.integer.network import IntegerNetwork
    from asq_sw.train import Recipe, Trainer, integer_network

    recipe = Recipe(
        model="small_cnn", input_shape=(1, 8, 8), quantizer="asq-post", wbits=4, abits=4, epochs=1, rate=0.1,
        crop=1, flip=False,
    )  # fmt: skip
    data = load("digits")
    Trainer(recipe, data, folder=tmp_path / "run").run()
    integer_network(tmp_path / "run").save(tmp_path / "n.npz")
    images = data.test.images[:3]
    evaluator = Evaluator(tmp_path / "n.npz")
    expected = IntegerNetwork.load(tmp_path / "n.npz").forward(images).tolist()
    assert [evaluator.logits(image) for image in images] == expected
