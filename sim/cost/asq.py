"""What ASQ's adaptive step costs the machine: cycles, bits and products by layer.

ASQ scales the step of a layer's input by a factor that a small adapter computes from the average of the *whole*
input map (Zhou et al. 2025). So the map cannot be quantized value by value as it is produced: it is kept wider
until its average is known. Two ways, both from the same figures:

- ``two-pass``: the map is written wide; it is read once for its average and once more to be quantized.
- ``producer``: the layer that makes it adds up the averages as it writes; it is read wide once.

Then the adapter, whose arithmetic, widths and quotient are those of :mod:`asq_sw.integer.adapter`, one thing after
another: a product for each channel's mean, the two layers' multiply-accumulates, the division that gives 1 / beta,
one quotient bit a cycle, and one product that scales the layer's multiplier. The multiply of each value the requantizer has
anyway: its factor changes by image instead of by layer.

One multiplier does the products, :data:`ADAPTER_LANES` a cycle. The energy of one is that of a measured
multiply-accumulate of the ``int`` grid, moved to its widths (:func:`product_pj`). Not in it: the divider's energy, and
the additions that make the averages.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from asq_sw.formats import WeightFormat
from asq_sw.integer.adapter import (
    MANTISSA_WIDTH,
    AdapterWidths,
    adapter_macs,
    adapter_widths,
    hidden_width,
)
from hw.costs import unit_cost
from sim.accelerator import Accelerator
from sim.workload import Layer

ADAPTER_LANES = 1
"""Products a cycle of the adapter: one multiplier."""
MEASURED_WIDTHS = (4, 8)
"""Bits of both operands of the measured ``int`` elements that :func:`product_pj` goes through."""


@dataclass(frozen=True)
class Products:
    """``count`` products of operands of ``widths`` bits."""

    count: int
    widths: tuple[int, int]


@dataclass(frozen=True)
class AsqCost:
    """Of one layer's input.

    Attributes
    ----------
    products : tuple of Products
        Of the adapter, over the batch.
    serial_cycles : int
        Between the average and the first quantized value: nothing else can go on in the layer.
    pass_values : int
        Values that go through the vector unit once more (``two-pass``).
    stored_bits : int
        Width of a stored value.
    extra_read_factor : int
        How often the wide map is read.
    """

    products: tuple[Products, ...]
    serial_cycles: int
    pass_values: int
    stored_bits: int
    extra_read_factor: int


def adapter_products(channels: int, widths: AdapterWidths) -> tuple[Products, ...]:
    """Of one image: for the means, of the first layer (if there is one), of the last, and of the multiplier k / beta."""
    hidden = hidden_width(channels)
    last = hidden or channels
    first = adapter_macs(channels, hidden) - last
    return (
        Products(channels, (widths.sum, widths.inverse)),
        *((Products(first, (widths.weight, widths.mean)),) if first else ()),
        Products(last, (widths.weight, widths.hidden if hidden else widths.mean)),
        Products(1, (MANTISSA_WIDTH, widths.reciprocal)),
    )


def asq_cost(layer: Layer, machine: Accelerator, first: bool) -> AsqCost | None:
    """Cost at a layer's input; None where it has none (ASQ off, or the network's input, which stays at 8 bits).

    Raises
    ------
    InputError
        For a map of more pixels than the adapter's mean is defined for.
    """
    if machine.asq == "off" or first or not layer.is_mac:
        return None
    hidden = hidden_width(layer.in_c)
    widths = adapter_widths(layer.in_c, hidden, layer.in_h * layer.in_w, machine.asq_bits)
    one = adapter_products(layer.in_c, widths)
    products = tuple(Products(layer.batch * p.count, p.widths) for p in one)
    serial = -(-sum(p.count for p in one) // ADAPTER_LANES) + widths.reciprocal
    two = machine.asq == "two-pass"
    return AsqCost(
        products=products,
        serial_cycles=layer.batch * serial,
        pass_values=layer.ifmap_elements if two else 0,
        stored_bits=machine.asq_bits,
        extra_read_factor=2 if two else 1,
    )


@lru_cache(maxsize=64)
def _measured(node: str) -> tuple[float, float]:
    """(pJ, pJ per bit x bit) of the line through the measured multiply-accumulates of :data:`MEASURED_WIDTHS`."""
    low, high = MEASURED_WIDTHS
    ends = [unit_cost(WeightFormat("int", b), b, node=node).energy_per_mac_fj * 1e-3 for b in (low, high)]
    slope = (ends[1] - ends[0]) / (high**2 - low**2)
    return ends[0] - slope * low**2, slope


def product_pj(widths: tuple[int, int], node: str) -> float:
    """Energy of a multiply-accumulate of operands of these widths, pJ: a straight line in their product.

    A multiplier has as many partial products. Between its two points the line is within 3% of the measured elements
    of 5 to 7 bits at nangate45 and asap7, within 14% at sky130hd; the adapter's operands lie beyond them.
    """
    fixed, slope = _measured(node)
    return fixed + slope * widths[0] * widths[1]


def product_energy(products: Iterable[Products], node: str) -> float:
    """Energy of all of them, pJ."""
    return sum((p.count * product_pj(p.widths, node) for p in products), 0.0)
