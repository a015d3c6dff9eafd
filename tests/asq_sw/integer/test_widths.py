"""Widths of the quantizer's and requantizer's registers: the extremes fit, and need every bit."""

from __future__ import annotations

import itertools

import pytest

from asq_sw.integer.widths import quantizer_widths, requantizer_widths


def bits_of(values: list[int]) -> int:
    """Of the narrowest two's complement that holds all."""
    bits = 1
    while not all(-(1 << (bits - 1)) <= v < 1 << (bits - 1) for v in values):
        bits += 1
    return bits


@pytest.mark.parametrize(
    ("asq", "offset", "shift"), [(False, 0, 1), (True, 0, 30), (False, -(1 << 40), 8), (True, 0, 62)]
)
def test_quantizer(asq: bool, offset: int, shift: int) -> None:
    widths = quantizer_widths(asq, offset, shift)
    k = 2**15 - 1
    factor = (k * 2**28 + 2**15) >> 16 if asq else k  # of the least beta, 1
    products = [x * factor for x in (-(2**15), 2**15 - 1)]
    assert (widths.wide, widths.factor) == (16, factor.bit_length())
    assert widths.product == bits_of(products)
    assert widths.total == bits_of([*products, *(p + offset + (1 << (shift - 1)) for p in products)])


@pytest.mark.parametrize(
    ("bound", "asq", "addend", "shift"), [(1, False, 0, 1), (9215, True, 1 << 47, 62), (1 << 30, True, 5, 20)]
)
def test_requantizer(bound: int, asq: bool, addend: int, shift: int) -> None:
    widths = requantizer_widths(bound, asq, addend, shift)
    beta = 65535 if asq else 4096
    scaled = [m * beta + 2048 for m in (-(2**15), 2**15 - 1)]
    factors = [s >> 12 for s in scaled]
    products = [a * f for a, f in itertools.product((-bound, bound), factors)]
    assert (widths.m, widths.beta) == (16, beta.bit_length())
    assert widths.sum == bits_of([-bound, bound])
    assert widths.scaled == bits_of(scaled)
    assert widths.factor == bits_of(factors)
    assert widths.product == bits_of(products)
    totals = [p + b + half for p in products for b in (-addend, addend) for half in (0, 1 << (shift - 1))]
    assert widths.total == bits_of(totals)
