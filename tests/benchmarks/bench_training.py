"""Training and inference speed on ResNet-20, batch 128: against the machine's matrix product and, where there is one, PyTorch.

ASQ_TORCH_PYTHON names an interpreter with PyTorch; the two then take turns in one run. ASQ_RELEASED names a
folder with the paper's released code (github.com/SENGEL13/ASQ-POST: asq.py, lsq.py, post.py), which then runs too.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from collections.abc import Callable

import numba
import numpy as np
import pytest
from numba import njit, prange

from asq_sw.data import Batches, Part
from asq_sw.graph.models import build
from asq_sw.integer.export import export
from asq_sw.kernels.aligned import aligned
from asq_sw.kernels.float32 import LANES, make_convolve
from asq_sw.nn.convolution import Convolution
from asq_sw.nn.loss import cross_entropy
from asq_sw.nn.network import Network
from asq_sw.nn.optimizers import Sgd
from asq_sw.quantizers.methods import choices, quantizers
from asq_sw.window import Window

pytestmark = pytest.mark.benchmark
BATCH = 128
ROUNDS = 5

TORCH = """
import sys, time, statistics, torch, torch.nn as nn, torch.nn.functional as F
torch.set_num_threads(THREADS)
class Block(nn.Module):
    def __init__(self, i, o, s):
        super().__init__()
        self.c1, self.b1 = nn.Conv2d(i, o, 3, s, 1, bias=False), nn.BatchNorm2d(o)
        self.c2, self.b2 = nn.Conv2d(o, o, 3, 1, 1, bias=False), nn.BatchNorm2d(o)
        self.more, self.s = (o - i) // 2, s
        if RELEASED:
            sys.path.insert(0, RELEASED)
            from post import PostBnConv2d
            self.q1, self.q2 = PostBnConv2d(bit=4), PostBnConv2d(bit=4)
            self.q1.set_param(self.c1, self.b1), self.q2.set_param(self.c2, self.b2)
    def forward(self, x):
        y = self.q2(F.relu(self.q1(x))) if RELEASED else self.b2(self.c2(F.relu(self.b1(self.c1(x)))))
        if self.s > 1:
            x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.more, self.more))
        return F.relu(y + x)
layers, i = [nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()], 16
for o, s in ((16, 1), (32, 2), (64, 2)):
    for k in range(3):
        layers.append(Block(i, o, s if k == 0 else 1)); i = o
net = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))
x, y = torch.randn(128, 3, 32, 32), torch.randint(0, 10, (128,))
if CHANNELS_LAST:
    net, x = net.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)
sgd = torch.optim.SGD(net.parameters(), 0.01, 0.9)
def step():
    sgd.zero_grad(); F.cross_entropy(net(x), y).backward(); sgd.step()
def median(f):
    f(); f(); times = []
    for _ in range(8):
        start = time.perf_counter(); f(); times.append(time.perf_counter() - start)
    return 128 / statistics.median(times)
train = median(step)
net.eval()
with torch.no_grad():
    print(train, median(lambda: net(x)))
"""


def rate(function: Callable[[], object], images: int = BATCH) -> float:
    """Images per second, median of 9 after a fifth of a second (and two calls) of warming up."""
    start, calls = time.perf_counter(), 0
    while calls < 2 or time.perf_counter() - start < 0.2:
        function()
        calls += 1
    times = []
    for _ in range(9):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return images / statistics.median(times)


def gemm_peak() -> float:
    """GFLOP/s of numpy's float32 matrix product."""
    a = np.random.default_rng(0).random((2048, 2048), np.float32)
    return rate(lambda: a @ a, 1) * 2 * 2048**3 / 1e9


_CONVOLVE = make_convolve(8, 2)


@njit(parallel=True)
def _multiply_adds(x, offsets, weights, out, calls):  # type: ignore[no-untyped-def]
    for thread in prange(out.shape[0]):
        for _ in range(calls):
            _CONVOLVE(
                x.ctypes.data, offsets.ctypes.data, offsets.size, weights.ctypes.data, out[thread].ctypes.data,
                2 * LANES, 8, 2 * LANES,
            )  # fmt: skip


def multiply_add_peak() -> float:
    """GFLOP/s of multiply-adds on operands in the first cache, all threads: no convolution can be faster."""
    calls, offsets = 10_000, np.arange(9) * LANES
    x, weights = aligned((32 * LANES,), np.float32), aligned((9 * LANES * 2 * LANES,), np.float32)
    out = aligned((numba.get_num_threads(), 16 * LANES), np.float32)
    work = len(out) * calls * offsets.size * LANES * out.shape[1] * 2
    return rate(lambda: _multiply_adds(x, offsets, weights, out, calls), 1) * work / 1e9


def steps() -> dict[str, Callable[[], object]]:
    graph = build("resnet20")
    rng = np.random.default_rng(0)
    x, labels = rng.normal(size=(BATCH, 32, 32, 3)).astype(np.float32), rng.integers(0, 10, BATCH)
    found: dict[str, Callable[[], object]] = {}
    for name in ("fp32", "asq-post"):
        net = Network(graph, quantizers(graph, choices(graph, name, 4, 4)))
        sgd = Sgd(0.01)

        def step(net: Network = net, sgd: Sgd = sgd) -> None:
            net.backward(cross_entropy(net.forward(x, training=True), labels)[1])
            sgd.step(net.trainable(), net.grads, 1.0)

        found[f"{name} training step"] = step
        found[f"{name} inference"] = lambda net=net: net.forward(x)
        if name != "fp32":
            images = rng.integers(0, 256, (BATCH, 32, 32, 3)).astype(np.uint8)
            integer = export(net, net.peaks(x), Batches(Part(images, labels), BATCH).pixels())
            found["integer inference"] = lambda integer=integer, images=images: integer.forward(images)
    return found


def by_torch(python: str, channels_last: bool, released: str) -> tuple[float, float]:
    """Images per second of a training step and of inference; with ``released`` of the paper's released code."""
    text = TORCH.replace("THREADS", str(os.cpu_count())).replace("CHANNELS_LAST", str(channels_last))
    text = text.replace("RELEASED", repr(released))
    done = subprocess.run([python, "-c", text], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-1000:]
    train, infer = map(float, done.stdout.split())
    return train, infer


def spread(ratios: list[float]) -> str:
    """Median and range."""
    return f"{statistics.median(ratios):.2f} times ({min(ratios):.2f} to {max(ratios):.2f})"


def test_speed_of_resnet20() -> None:
    now = steps()
    ours = {name: rate(step) for name, step in now.items()}
    peak, bound = gemm_peak(), multiply_add_peak()
    macs = 40.55e6
    print(f"\nfloat32: numpy's matrix product {peak:.0f} GFLOP/s, multiply-adds {bound:.0f} GFLOP/s")
    for name, images in ours.items():
        flops = 2 * macs * (3 if "training" in name else 1) * images / 1e9
        print(
            f"{name}: {images:.0f} images/s, {100 * flops / peak:.0f}% of the matrix product's speed, "
            f"{100 * flops / bound:.0f}% of the multiply-adds'"
        )
    print(f"ASQ + POST step / fp32 step: {ours['asq-post training step'] / ours['fp32 training step']:.2f}")
    python, released = os.environ.get("ASQ_TORCH_PYTHON"), os.environ.get("ASQ_RELEASED", "")
    if not python:
        print("ASQ_TORCH_PYTHON is not set: PyTorch was not measured")
        return
    for name, last, code in (
        ("PyTorch fp32, channels first", False, ""),
        ("PyTorch fp32, channels last", True, ""),
        ("released ASQ + POST code", False, released),
    ):
        if name.startswith("released") and not released:
            print("ASQ_RELEASED is not set: the paper's released code was not measured")
            continue
        found: dict[str, list[float]] = {}
        for _ in range(ROUNDS):  # in turns, as the machine's speed wanders
            train, infer = by_torch(python, last, code)
            found.setdefault("step", []).append(train)
            found.setdefault("inference", []).append(infer)
            for key in now:
                theirs = train if "step" in key else infer
                found.setdefault(key, []).append(rate(now[key]) / theirs)
        print(
            f"{name}: step {statistics.median(found.pop('step')):.0f}, "
            f"inference {statistics.median(found.pop('inference')):.0f} images/s"
        )
        for key, ratios in found.items():
            if not code or key == "asq-post training step":
                print(f"  our {key}: {spread(ratios)}")


@pytest.mark.parametrize(
    "shape", [(3, 32, 16, 1), (16, 32, 16, 1), (16, 32, 32, 2), (32, 16, 32, 1), (64, 8, 64, 1)]
)
def test_roofline_of_convolutions(shape: tuple[int, int, int, int]) -> None:
    """Share of the multiply-adds' speed that each layer kind of ResNet-20 reaches."""
    channels, size, filters, stride = shape
    window = Window(channels, size, size, filters, (3, 3), (stride, stride), (1, 1, 1, 1))
    layer, rng = Convolution(window), np.random.default_rng(0)
    x = rng.random((BATCH, size, size, channels), np.float32)
    w = rng.random(window.weight_shape, np.float32)
    dy = rng.random((BATCH, *window.output, filters), np.float32)
    flops = 2 * window.macs / 1e9
    out, dx = np.zeros_like(dy), np.zeros_like(x)
    speeds = [
        rate(f) * flops
        for f in (
            lambda: layer.forward(x, w, out),
            lambda: layer.input_gradient(dy, w, dx),
            lambda: layer.weight_gradient(x, dy),
        )
    ]
    peak = multiply_add_peak()
    words = ", ".join(
        f"{n} {s:.0f} GFLOP/s ({100 * s / peak:.0f}%)"
        for n, s in zip(("forward", "input gradient", "weight gradient"), speeds, strict=True)
    )
    print(f"\n{channels} channels, {size} x {size}, {filters} filters, stride {stride}: {words}")
