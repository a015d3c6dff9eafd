"""The adapter's register widths: every reachable value fits, and the extremes need every bit."""

from __future__ import annotations

import itertools

import pytest

from asq_sw.errors import InputError
from asq_sw.integer import adapter


def signed_bits(value: int) -> int:
    bits = 1
    while not -(1 << (bits - 1)) <= value < 1 << (bits - 1):
        bits += 1
    return bits


@pytest.mark.parametrize(
    ("channels", "hidden", "pixels", "wide"),
    [(1, 0, 1, 16), (3, 0, 64, 16), (7, 0, 49, 12), (8, 2, 1, 16), (16, 4, 1024, 16), (64, 16, 49, 16), (960, 240, 12544, 16)],
)  # fmt: skip
def test_extreme_inputs_fit_their_registers_and_need_every_bit(
    channels: int, hidden: int, pixels: int, wide: int
) -> None:
    """Constant maps at the ends of the range, weights and biases of 16 and 48 bits at theirs."""
    widths = adapter.adapter_widths(channels, hidden, pixels, wide)
    seen: dict[str, int] = {}

    def note(register: str, value: int, signed: bool = True) -> int:
        assert signed or value >= 0
        seen[register] = max(seen.get(register, 0), signed_bits(value) if signed else value.bit_length())
        return value

    inverse = note("inverse", round(2**24 / pixels), False)
    weight_ends, bias_ends = (-(2**15), 2**15 - 1), (-(2**47), 2**47 - 1)
    means = []
    for pixel in (-(1 << (wide - 1)), (1 << (wide - 1)) - 1):
        total = note("sum", pixel * pixels)
        means.append(note("mean", note("mean_product", total * inverse + 2**19) >> 20))
    inputs = means
    if hidden:
        inputs = [0]
        for mean, w, b, right in itertools.product(means, weight_ends, bias_ends, (1, 30)):
            held = note("hidden_total", b + channels * w * mean + (1 << (right - 1))) >> right
            inputs.append(note("hidden", min(max(held, 0), 2**31 - 1), False))
    for value, w, b, right in itertools.product(inputs, weight_ends, bias_ends, (-15, 1, 46)):
        half = 1 << (right - 1) if right > 0 else 0
        note("total", b + (hidden or channels) * w * value + half)
    for beta in (1, 2, 4096, 2**16 - 1):
        note("beta", beta, False)
        quotient = note("reciprocal", note("dividend", 2**28 + beta // 2, False) // beta, False)
        product = note("factor_product", (2**15 - 1) * quotient + 2**15, False)
        note("factor", product >> 16, False)
    for register, bits in seen.items():
        assert getattr(widths, register) == bits, register
    if not hidden:
        assert (widths.hidden, widths.hidden_total) == (0, 0)
    assert (widths.weight, widths.bias) == (16, 48)


def test_sizes_out_of_range_are_refused() -> None:
    for sizes, field in (((0, 0, 1, 16), "channels"), ((8, -1, 1, 16), "hidden"), ((8, 2, 0, 16), "pixels"),
                         ((8, 2, 1, 0), "wide_bits"), ((8, 2, 1 << 25, 16), "pixels")):  # fmt: skip
        with pytest.raises(InputError, match=field):
            adapter.adapter_widths(*sizes)


def test_operations_are_counted() -> None:
    assert [adapter.hidden_width(c) for c in (3, 7, 8, 16, 66)] == [0, 0, 2, 4, 16]
    assert adapter.adapter_macs(16, 4) == 16 * 4 + 4
    assert adapter.adapter_macs(3, 0) == 3
