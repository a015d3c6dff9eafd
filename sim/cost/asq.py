"""What ASQ's adaptive step costs the machine: cycles and bits by layer.

ASQ scales the step of a layer's input by a factor that a small adapter computes from the average of the *whole*
input map (Zhou et al. 2025). So the map cannot be quantized value by value as it is produced: it is kept wider
until its average is known. Two ways, both from the same figures:

- ``two-pass``: the map is written wide; it is read once for its average and once more to be quantized.
- ``producer``: the layer that makes it adds up the averages as it writes; it is read wide once.

Then the adapter: C * (C // 4) + C // 4 MACs (C for fewer than 8 channels), the reciprocal of s * beta, and one
multiply a value, which the requantizer has anyway (its factor changes per image instead of per layer).
"""

from __future__ import annotations

from dataclasses import dataclass

from sim.accelerator import Accelerator
from sim.workload import Layer

RECIPROCAL_CYCLES = 16
"""One quotient bit a cycle of a 16-bit restoring divider."""
ADAPTER_LANES = 1
"""Multiply-accumulates a cycle of the adapter: one 8-bit multiplier."""
ADAPTER_BITS = 8


@dataclass(frozen=True)
class AsqCost:
    """Of one layer's input.

    Attributes
    ----------
    adapter_macs : int
    serial_cycles : int
        Between the average and the first quantized value: nothing else can go on in the layer.
    pass_values : int
        Values that go through the vector unit once more (``two-pass``).
    stored_bits : int
        Width of a stored value.
    extra_read_factor : int
        How often the wide map is read.
    """

    adapter_macs: int
    serial_cycles: int
    pass_values: int
    stored_bits: int
    extra_read_factor: int


def adapter_macs(channels: int) -> int:
    """Multiply-accumulates of the adapter for one image."""
    hidden = channels // 4
    return channels * hidden + hidden if channels >= 8 else channels


def asq_cost(layer: Layer, machine: Accelerator, first: bool) -> AsqCost | None:
    """Cost at a layer's input; None where it has none (ASQ off, or the network's input, which stays at 8 bits)."""
    if machine.asq == "off" or first or not layer.is_mac:
        return None
    macs = adapter_macs(layer.in_c) * layer.batch
    two = machine.asq == "two-pass"
    return AsqCost(
        adapter_macs=macs,
        serial_cycles=-(-macs // ADAPTER_LANES) + RECIPROCAL_CYCLES * layer.batch,
        pass_values=layer.ifmap_elements if two else 0,
        stored_bits=machine.asq_bits,
        extra_read_factor=2 if two else 1,
    )
