"""Byte convolutions against whole-number sums, however the processor multiplies bytes."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba.core.registry import cpu_target

from asq_sw.formats import ActivationFormat, WeightFormat
from asq_sw.integer.byte_convolution import Addition, ByteConvolution, Codes
from asq_sw.integer.constants import Products, Requantize
from asq_sw.kernels.int8 import kind
from asq_sw.window import Window

needs_bytes = pytest.mark.skipif(kind() is None, reason="this processor has no byte products")


def rounded(value: int, right: int) -> int:
    return (value + (1 << (right - 1))) >> right


def expected(
    window: Window, x: np.ndarray, k: np.ndarray, shift: int, offset: int, weights: tuple, ends: tuple, scale: tuple,
    beta: np.ndarray, other: np.ndarray, other_shift: int, limits: tuple,
) -> np.ndarray:  # fmt: skip
    """The layer by the definition, in Python integers."""
    even, odd, table = weights
    top, left, bottom, right = window.padding
    (sy, sx), (dy, dx), (rows, columns) = window.stride, window.dilation, window.output
    low, high = ends
    out = np.zeros((len(x), rows, columns, window.out_channels), np.int64)
    for n in range(len(x)):
        codes = np.clip((x[n].astype(object) * int(k[n]) + offset + (1 << (shift - 1))) >> shift, low, high)
        codes = np.pad(codes.astype(np.int64), ((top, bottom), (left, right), (0, 0)))
        acc = np.zeros((rows, columns, window.out_channels), np.int64)
        for ky, kx in np.ndindex(*window.kernel):
            part = codes[ky * dy : ky * dy + sy * rows : sy, kx * dx : kx * dx + sx * columns : sx][
                :rows, :columns
            ]
            acc += part @ even[:, :, ky, kx].T
            if odd is not None:
                acc += table[part - low] @ odd[:, :, ky, kx].T
        m, b, r = scale
        for index in np.ndindex(acc.shape):
            c = index[-1]
            value = rounded(int(acc[index]) * rounded(int(m[c]) * int(beta[n]), 12) + int(b[c]), int(r[c]))
            if len(other):
                held = int(other[(n, *index)])
                value += rounded(held, other_shift) if other_shift > 0 else held << -other_shift
            out[(n, *index)] = min(max(value, limits[0]), limits[1])
    return out


@needs_bytes
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_any_layer_is_its_definition(data: st.DataObject) -> None:
    whole = st.integers
    kernel = (data.draw(whole(1, 3)), data.draw(whole(1, 3)))
    window = Window(
        data.draw(whole(1, 21)), data.draw(whole(3, 9)), data.draw(whole(3, 20)), data.draw(whole(1, 40)), kernel,
        (data.draw(whole(1, 2)), data.draw(whole(1, 3))), tuple(data.draw(whole(0, 2)) for _ in range(4)),
        (1 if kernel[0] == 3 else data.draw(whole(1, 2)), data.draw(whole(1, 2)) if kernel[1] < 3 else 1),
    )  # fmt: skip
    grid, wbits, frac = data.draw(
        st.sampled_from([("post", 4, 2), ("post", 3, 0), ("int", 8, None), ("pot", 4, None)])
    )
    weight = WeightFormat(grid, wbits, frac)
    signed = data.draw(st.booleans())
    activation = ActivationFormat(data.draw(whole(2, 4)), signed)
    rng = np.random.default_rng(data.draw(whole(0, 99)))
    codes = rng.integers(0, 1 << weight.storage_bits, window.weight_shape)
    products = Products.of(weight, activation)
    terms = (*products.split(codes), products.table)
    ends = (activation.min, activation.max)
    assert ByteConvolution.fits(window, *terms, activation)
    layer = ByteConvolution(window, *terms, activation)
    images = 3
    x = rng.integers(
        -300 if signed else 0, 300, (images, window.height, window.width, window.channels)
    ).astype(np.int16)
    shift = data.draw(st.sampled_from([6, 20]))
    k, offset = (
        rng.integers(1, max(2, (1 << shift) >> 4), images),
        data.draw(st.sampled_from([0, 1 << shift])),
    )
    m, r = rng.integers(-(1 << 15), 1 << 15, window.out_channels), rng.integers(10, 20, window.out_channels)
    b, beta = rng.integers(-(1 << 20), 1 << 20, window.out_channels), rng.integers(1, 1 << 16, images)
    shape = (images, *window.output, window.out_channels)
    other_shift = data.draw(st.sampled_from([-2, 0, 3]))
    other = rng.integers(-2000, 2000, shape).astype(np.int16) if data.draw(st.booleans()) else np.zeros((0,))
    limits = data.draw(st.sampled_from([(0, 32767), (-32768, 32767)]))
    out, totals = np.empty(shape, np.int16), np.empty((images, window.out_channels), np.int64)
    layer.run(
        x, Codes(k, shift, offset, None), Requantize(m, b, r), beta,
        Addition(other if len(other) else None, other_shift, *limits), out, totals,
    )  # fmt: skip
    wanted = expected(window, x, k, shift, offset, terms, ends, (m, b, r), beta, other, other_shift, limits)
    np.testing.assert_array_equal(out, wanted)
    np.testing.assert_array_equal(totals, out.astype(np.int64).sum(axis=(1, 2)))


@needs_bytes
def test_what_is_no_byte_does_not_fit() -> None:
    window = Window(4, 5, 5, 8, (3, 3))
    even = np.ones(window.weight_shape, np.int64)
    four, eight = ActivationFormat(4), ActivationFormat(8)
    assert ByteConvolution.fits(window, even, None, None, eight)
    assert not ByteConvolution.fits(window, 200 * even, None, None, four)
    assert not ByteConvolution.fits(window, even, even, np.arange(16) * 20, four)
    assert not ByteConvolution.fits(window, even, even, np.arange(-128, 128), eight)
    assert not ByteConvolution.fits(Window(4, 5, 5, 8, (3, 3), groups=2), even[:, :2], None, None, four)
    with pytest.raises(ValueError, match="fit"):
        ByteConvolution(window, 200 * even, None, None, four)


LOGITS = """
import hashlib, numpy as np
from asq_sw.data import Batches, Part
from asq_sw.integer.export import export
from asq_sw.quantizers.methods import choices, quantizers
from asq_sw.graph.models import build
from asq_sw.kernels.int8 import kind
from asq_sw.nn.network import Network
graph = build("resnet20", (3, 16, 16))
network = Network(graph, quantizers(graph, choices(graph, "asq-post", 4, 4)))
images = np.random.default_rng(0).integers(0, 256, (8, 16, 16, 3)).astype(np.uint8)
batches = Batches(Part(images, np.zeros(8, np.int64)), 8)
network.forward(next(batches.in_order())[0], training=True)
peaks = dict.fromkeys([node.name for node in graph], 4.0)
integer = export(network, peaks, batches.pixels())
assert integer.layers["layer1.0.conv1"].in_bytes == (kind() is not None)
logits = integer.forward(images)
assert (logits == integer.forward(images, keep=True)).all()
print(kind(), hashlib.sha256(logits.tobytes()).hexdigest())
"""


@pytest.mark.slow
def test_tiles_dot_products_and_floats_give_the_same_logits() -> None:
    """Each in a process whose numba compiles for what is left of the processor's features."""
    host = cpu_target.target_context.codegen()._get_host_cpu_features()
    found = {}
    for without in ((), ("amx-tile", "amx-int8"), ("amx-tile", "amx-int8", "avx512vnni")):
        features = ",".join(f"-{one[1:]}" if one[1:] in without else one for one in host.split(","))
        run = subprocess.run(
            [sys.executable, "-c", LOGITS], capture_output=True, text=True,
            env=os.environ | {"NUMBA_CPU_FEATURES": features, "NUMBA_CPU_NAME": "x86-64"},
        )  # fmt: skip
        assert run.returncode == 0, run.stderr[-2000:]
        how, digest = run.stdout.split()
        found[how] = digest
    assert "None" in found
    assert len(set(found.values())) == 1, found
