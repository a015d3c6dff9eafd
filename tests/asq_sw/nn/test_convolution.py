"""Convolution's fast kernels against the definition, shape by shape, and the definition against differences."""

from __future__ import annotations

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asq_sw.nn.convolution import Convolution
from asq_sw.window import Window


def arrays(w: Window, batch: int, dtype: type, seed: int = 0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(batch, w.height, w.width, w.channels))
    weights = rng.normal(size=w.weight_shape)
    dy = rng.normal(size=(batch, *w.output, w.out_channels))
    return [np.ascontiguousarray(a, dtype) for a in (x, weights, dy)]


def check(w: Window, batch: int) -> None:
    c = Convolution(w)
    x, weights, dy = arrays(w, batch, np.float32)
    exact = [a.astype(np.float64) for a in (x, weights, dy)]
    for _ in range(2):  # the scratch's halo must still be zero the second time
        np.testing.assert_allclose(c.forward(x, weights), c.forward(*exact[:2]), atol=2e-4)
        np.testing.assert_allclose(
            c.input_gradient(dy, weights), c.input_gradient(exact[2], exact[1]), atol=2e-4
        )
        np.testing.assert_allclose(
            c.weight_gradient(x, dy), c.weight_gradient(exact[0], exact[2]), atol=5e-4, rtol=1e-4
        )


CASES = {
    "resnet20 first": Window(3, 32, 32, 16, (3, 3), (1, 1), (1, 1, 1, 1)),
    "resnet20 stage 1": Window(16, 32, 32, 16, (3, 3), (1, 1), (1, 1, 1, 1)),
    "resnet20 stride": Window(16, 32, 32, 32, (3, 3), (2, 2), (1, 1, 1, 1)),
    "resnet20 stage 3": Window(64, 8, 8, 64, (3, 3), (1, 1), (1, 1, 1, 1)),
    "imagenet first": Window(3, 37, 41, 64, (7, 7), (2, 2), (3, 3, 3, 3)),
    "alexnet first": Window(3, 47, 43, 24, (11, 11), (4, 4), (2, 2, 2, 2)),
    "pointwise stride": Window(20, 9, 7, 40, (1, 1), (2, 2)),
    "pointwise": Window(33, 5, 6, 50, (1, 1)),
    "depthwise": Window(40, 9, 9, 40, (3, 3), (2, 2), (1, 1, 1, 1), groups=40),
    "grouped": Window(24, 9, 8, 36, (3, 3), (1, 1), (1, 1, 1, 1), groups=3),
    "grouped, 32 wide": Window(64, 6, 6, 64, (3, 3), (1, 1), (1, 1, 1, 1), groups=2),
    "dilated": Window(17, 12, 11, 18, (3, 2), (1, 2), (2, 1, 0, 3), (2, 3)),
    "one by one map": Window(130, 1, 1, 10, (1, 1)),
    "stride over the window": Window(16, 10, 10, 16, (2, 2), (3, 3)),
}


@pytest.mark.parametrize("name", CASES)
def test_fast_kernels_follow_the_definition(name: str) -> None:
    check(CASES[name], batch=3)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_any_shape(data: st.DataObject) -> None:
    def number(low: int, high: int) -> int:
        return data.draw(st.integers(low, high))

    groups = number(1, 3)
    w = Window(
        groups * number(1, 20), number(1, 12), number(1, 12), groups * number(1, 40),
        (number(1, 4), number(1, 4)), (number(1, 3), number(1, 3)),
        (number(0, 3), number(0, 3), number(0, 3), number(0, 3)), (number(1, 2), number(1, 2)), groups,
    )  # fmt: skip
    if min(w.output) >= 1:
        check(w, batch=number(1, 3))


def test_definition_against_differences() -> None:
    w = Window(4, 6, 5, 6, (3, 2), (2, 1), (1, 0, 1, 1), (1, 2), groups=2)
    c = Convolution(w)
    x, weights, dy = arrays(w, 2, np.float64)

    def loss() -> float:
        return float((c.forward(x, weights) * dy).sum())

    for values, gradient in ((x, c.input_gradient(dy, weights)), (weights, c.weight_gradient(x, dy))):
        for index in [(0,) * 4, tuple(n - 1 for n in values.shape), (1, 1, 2, 1)]:
            values[index] += 0.5  # the loss is linear in each: a difference is exact
            high = loss()
            values[index] -= 1
            difference = high - loss()
            values[index] += 0.5
            assert gradient[index] == pytest.approx(difference, rel=1e-9)


def test_threads_do_not_change_a_byte() -> None:
    w = CASES["resnet20 stride"]
    x, weights, dy = arrays(w, 5, np.float32)
    c = Convolution(w)
    many = c.forward(x, weights), c.input_gradient(dy, weights), c.weight_gradient(x, dy)
    threads = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        one = c.forward(x, weights), c.input_gradient(dy, weights), c.weight_gradient(x, dy)
    finally:
        numba.set_num_threads(threads)
    assert [a.tobytes() for a in many] == [a.tobytes() for a in one]


def test_arrays_may_lie_in_memory_as_they_like() -> None:
    w = CASES["resnet20 stride"]
    x, weights, dy = arrays(w, 5, np.float32)
    c = Convolution(w)
    first, second = (np.ascontiguousarray(a.transpose(0, 3, 1, 2)).transpose(0, 2, 3, 1) for a in (x, dy))
    assert c.forward(first, weights).tobytes() == c.forward(x, weights).tobytes()
    assert c.input_gradient(second, weights).tobytes() == c.input_gradient(dy, weights).tobytes()
    assert c.weight_gradient(first, second).tobytes() == c.weight_gradient(x, dy).tobytes()
