"""CALC mode's closed forms against the request-by-request replay, on any layer, machine and buffers."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from asq_sw.interop.scalesim import ScaleSimConfig
from sim.scalesim import calc as scalesim_calc
from sim.scalesim import replay as scalesim_replay
from sim.scalesim.drop_in import _buffers, _shape
from sim.workload import Layer, gemm


@st.composite
def layers(draw: st.DrawFn) -> Layer:
    def number(low: int, high: int) -> int:
        return draw(st.integers(low, high))

    if number(0, 3) == 0:
        return gemm("g", number(1, 80), number(1, 60), number(1, 120))
    kernel = number(1, 4), number(1, 4)
    size = number(kernel[0], 18), number(kernel[1], 18)
    stride = number(1, 3)
    out = [(n - k + stride) // stride for n, k in zip(size, kernel, strict=True)]
    return Layer(
        "c", "conv", *size, number(1, 12), number(1, 40), kernel, (stride, stride), (0, 0, 0, 0)
    ) if min(out) >= 1 else gemm("g", 3, 4, 5)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(
    layers(),
    st.sampled_from(["ws", "os", "is"]),
    st.integers(2, 20),
    st.integers(2, 20),
    st.tuples(*[st.sampled_from([1, 1, 2, 64])] * 3),
)
def test_closed_forms_are_the_replay(
    layer: Layer, flow: str, rows: int, cols: int, kb: tuple[int, int, int]
) -> None:
    machine = ScaleSimConfig("run", rows, cols, *kb, flow, False, 10, 10, 10, 0, 10**7, 2 * 10**7)
    shape = _shape(layer, machine)
    sizes, user, bandwidths = _buffers(machine)
    assert scalesim_calc.calculate(shape, sizes, bandwidths) == scalesim_replay.replay(
        shape, sizes, user, bandwidths
    )
