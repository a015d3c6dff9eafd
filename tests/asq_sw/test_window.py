"""A window's geometry against counting its places."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from asq_sw.window import Window, output_size

small = st.integers(1, 5)


@given(st.integers(1, 30), small, small, st.integers(0, 6), small)
def test_output_size_is_the_number_of_places(
    size: int, kernel: int, stride: int, padding: int, dilation: int
) -> None:
    taps = [dilation * k for k in range(kernel)]
    places = sum(1 for first in range(0, size + padding, stride) if first + taps[-1] < size + padding)
    assert max(output_size(size, kernel, stride, padding, dilation), 0) == places


def test_a_window_of_two_axes() -> None:
    window = Window(4, 9, 10, 6, (3, 2), (2, 3), (1, 0, 0, 2), (2, 1), groups=2)
    assert window.output == (3, 4)
    assert window.weight_shape == (6, 2, 3, 2)
    assert window.macs == 3 * 4 * 6 * 2 * 3 * 2
