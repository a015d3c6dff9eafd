"""Layer normalization in integers: its kernel, its widths, its accuracy, and what its reader refuses."""

from __future__ import annotations

import json
import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asq_sw.data import Batches, Part
from asq_sw.errors import InputError
from asq_sw.graph.graph import Builder
from asq_sw.integer.export import export
from asq_sw.integer.layer_norm import (
    OUT_BITS,
    OUT_MAX,
    inverse_of,
    layer_norm_widths,
    normalize,
    reciprocal_root,
)
from asq_sw.integer.network import IntegerNetwork
from asq_sw.nn.network import Network
from asq_sw.quantizers.methods import choices, quantizers


def normalized(x: np.ndarray, epsilon: int = 1) -> np.ndarray:
    out = np.empty(x.shape, np.int32)
    normalize(x, *inverse_of(x.shape[-1]), epsilon, out)
    return out


@settings(max_examples=300, deadline=None)
@given(st.integers(1, (1 << 62) - 1))
def test_root_is_within_its_error(total: int) -> None:
    root, half_shift = (int(v) for v in reciprocal_root(total))
    assert 1 << 15 <= root <= 1 << 16
    # root * 2**-(30 + h) against 1 / sqrt(N), squared so that fractions are exact
    ratio = Fraction(root**2 * total, 1 << (60 + 2 * half_shift)) if half_shift > -31 else Fraction(0)
    assert (1 - Fraction(1, 1 << 14)) ** 2 < ratio < (1 + Fraction(1, 1 << 26)) ** 2


@pytest.mark.parametrize("total", [1, 2, 3, (1 << 28) - 1, 1 << 28, (1 << 30) - 1, 1 << 30, (1 << 62) - 1])
def test_root_at_the_ends_of_its_range(total: int) -> None:
    root, half_shift = (int(v) for v in reciprocal_root(total))
    n = total >> 2 * half_shift if half_shift >= 0 else total << -2 * half_shift
    assert 1 << 28 <= n < 1 << 30
    assert root == math.isqrt((1 << 60) // n)


@pytest.mark.parametrize("channels", [2, 3, 7, 64, 1000])
@pytest.mark.parametrize("spread", [3, 300, 32767])
def test_it_follows_the_real_function(channels: int, spread: int) -> None:
    rng = np.random.default_rng(channels)
    x = rng.integers(-spread, spread + 1, (3, 5, channels)).astype(np.int16)
    wide = x.astype(np.float64)
    d = wide - wide.mean(axis=-1, keepdims=True)
    length = np.sqrt((d**2).sum(axis=-1, keepdims=True))
    expected = np.where(length > 0, d / np.maximum(length, 1e-9), 0)
    error = np.abs(normalized(x) * 2.0**-OUT_BITS - expected).max()
    # the mean's 1/32 of a unit, the root's 2**-14, and the rounding of t
    assert error < 2**-14 + 1 / (32 * max(length.min(), 1)) + 2**-16


@pytest.mark.parametrize("channels", [1, 2, 3, 5, 64, 1024, 1 << 16])
def test_registers_hold_the_extremes(channels: int) -> None:
    """The widths by Python integers of any size, on the maps that reach furthest."""
    widths = layer_norm_widths(channels)
    inverse, right = inverse_of(channels)
    largest = {"sum": 0, "product": 0, "mean": 0, "deviation": 0, "square": 0, "total": 0}
    rows = [[32767] * channels, [-32768] * channels]
    rows += [[-32768] * k + [32767] * (channels - k) for k in {1, channels // 2, channels - 1}]
    for row in rows:
        total = sum(row)
        product = total * inverse + (1 << (right - 1))
        mean = product >> right
        d = {16 * v - mean for v in set(row)}
        squares = sum(row.count(v) * (16 * v - mean) ** 2 for v in set(row)) + 1
        seen = {
            "sum": (1 + (total if total >= 0 else ~total).bit_length()),
            "product": 1 + (product if product >= 0 else ~product).bit_length(),
            "mean": 1 + (mean if mean >= 0 else ~mean).bit_length(),
            "deviation": max(1 + (v if v >= 0 else ~v).bit_length() for v in d),
            "square": max((v * v).bit_length() for v in d),
            "total": squares.bit_length(),
        }
        largest = {key: max(largest[key], seen[key]) for key in largest}
    for key, bits in largest.items():
        assert bits <= getattr(widths, key), key
    assert widths.total <= 62
    assert largest["sum"] == widths.sum
    assert largest["mean"] == widths.mean
    if channels in (2, 64, 1024, 1 << 16):
        assert largest["total"] == widths.total
    out = normalized(np.array([rows], np.int16)[:, :, :])
    assert np.abs(out).max() <= OUT_MAX


def exported(tmp_path: Path) -> tuple[Network, IntegerNetwork, np.ndarray, np.ndarray]:
    b = Builder((3, 8, 8))
    b.conv("conv1", 16, 3, padding=1)
    b.bn("bn1")
    b.relu("relu1")
    b.node("norm", "layernorm", eps=1e-5)
    b.conv("conv2", 16, 3, stride=2, padding=1)
    b.bn("bn2")
    b.node("flatten", "flatten")
    b.node("flat_norm", "layernorm", eps=1e-5)
    b.linear("fc", 10)
    graph = b.graph("normed")
    network = Network(graph, quantizers(graph, choices(graph, "asq-post", 4, 8)))
    images = np.random.default_rng(0).integers(0, 256, (32, 8, 8, 3)).astype(np.uint8)
    batches = Batches(Part(images, np.zeros(32, np.int64)), 32)
    x, _ = next(batches.in_order())
    for _ in range(4):
        network.forward(x, training=True)
    for name in ("norm", "flat_norm"):
        rng = np.random.default_rng(1)
        for key in ("weight", "bias"):
            network.parameters[f"{name}.{key}"][...] += rng.normal(
                0, 0.3, network.parameters[f"{name}.{key}"].shape
            )
    integer = export(network, network.peaks(x), batches.pixels())
    integer.save(tmp_path / "n.npz")
    return network, integer, images, x


def test_integers_follow_the_trained_network(tmp_path: Path) -> None:
    network, integer, images, x = exported(tmp_path)
    real = network.forward(x)
    logits = integer.forward(images) * 2.0**-integer.fraction
    assert np.corrcoef(logits.ravel(), real.ravel())[0, 1] > 0.99
    assert np.median(np.abs(logits - real)) < 0.05 * np.abs(real).max()
    assert (
        IntegerNetwork.load(tmp_path / "n.npz").forward(images).tobytes() == integer.forward(images).tobytes()
    )


@pytest.mark.parametrize("epsilon", [0, -1, 1 << 60, 1.5, None, True])
def test_a_damaged_epsilon_is_named(epsilon: object, tmp_path: Path) -> None:
    exported(tmp_path)
    with np.load(tmp_path / "n.npz") as archive:
        arrays = {key: archive[key] for key in archive.files}
    record = json.loads(str(arrays.pop("network")))
    step = next(s for s in record["steps"] if s["op"] == "layernorm")
    step["constants"]["epsilon"] = epsilon
    np.savez(tmp_path / "bad.npz", network=np.array(json.dumps(record)), **arrays)
    with pytest.raises(InputError, match=r"bad\.npz.*norm.*epsilon"):
        IntegerNetwork.load(tmp_path / "bad.npz")
