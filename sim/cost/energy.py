"""Energy of a layer: events of the simulator times the energy of each event.

The energy of a MAC is measured on a synthesized netlist (:mod:`hw.costs`). SRAM and DRAM come from published
figures (:mod:`sim.cost.memory`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from asq_sw.formats import WeightFormat
from hw.costs import ZERO_SHARES, UnitCost, energy_by_zeros, tile_cost, unit_cost
from sim.accelerator import Accelerator
from sim.cost.memory import DRAM, SRAM, dram_pj_per_bit, sram_pj_per_bit

PARTS = ("mac", "sram", "dram", "leakage")


@dataclass(frozen=True)
class EventEnergy:
    """Energy of each event on one accelerator.

    Attributes
    ----------
    mac_pj : float
        One multiply-accumulate in a processing element with its registers, without leakage.
    ifmap_pj, filter_pj, psum_pj : float
        One access of one operand in its scratchpad, at the operand's bit-width.
    dram_pj_per_bit : float
    leakage_pj_per_cycle : float
        The whole array, every cycle.
    sources : mapping
        Part -> where its figure comes from.
    """

    mac_pj: float
    ifmap_pj: float
    filter_pj: float
    psum_pj: float
    dram_pj_per_bit: float
    leakage_pj_per_cycle: float
    sources: Mapping[str, str]


def event_energy(accelerator: Accelerator, cost: UnitCost, psum_bits: int) -> EventEnergy:
    """Energies of an accelerator's events.

    ``cost`` is the measured processing element, ``psum_bits`` the width of a partial sum in the scratchpad.
    """
    bit_pj = {
        name: sram_pj_per_bit(kib, accelerator.node, accelerator.bank_ports)
        for name, (_, kib) in accelerator.macros.items()
    }
    leakage_fj = cost.leakage_nw * cost.clock_ns * 1e-3  # a part of its own here: nW * ns = 1e-3 fJ
    return EventEnergy(
        mac_pj=(cost.energy_per_mac_fj - leakage_fj) * 1e-3,
        ifmap_pj=bit_pj["ifmap"] * accelerator.abits,
        filter_pj=bit_pj["filter"] * accelerator.weight.storage_bits,
        psum_pj=bit_pj["ofmap"] * psum_bits,
        dram_pj_per_bit=dram_pj_per_bit(accelerator.dram),
        # nW * us = fJ; one cycle is 1 / clock_mhz us.
        leakage_pj_per_cycle=accelerator.pes * cost.leakage_nw * 1e-3 / accelerator.clock_mhz,
        sources=sources(accelerator, cost.source),
    )


_UNIT_COSTS: Mapping[str, Callable[[WeightFormat, int, str], UnitCost]] = {"pe": unit_cost, "tile": tile_cost}
"""What an array is made of (:data:`hw.machine.spec.UNIT_DATAFLOWS`) -> the measured cost of one MAC in it."""


def mac_cost(accelerator: Accelerator) -> UnitCost:
    """The measured cost of one of the machine's MACs: an element's, or its part of a tile."""
    return _UNIT_COSTS[accelerator.unit](accelerator.weight, accelerator.abits, accelerator.node)


def mac_pj_with_zeros(accelerator: Accelerator, cost: UnitCost, share: float, gated: bool) -> float:
    """One MAC, pJ without leakage, of a layer in which ``share`` of the activations are zero.

    Straight lines between :func:`hw.costs.energy_by_zeros`. ``gated``: a zero leaves the multiplier and the adder
    as they are, so that the others cost what they do in a stream without zeros, and the zeros what they do in a
    stream of nothing else: the most that a gate at each element can save, its own cost left out.
    """
    curve = energy_by_zeros(accelerator.weight, accelerator.abits, accelerator.node)
    ends = ((0.0, 1.0), (curve[0], curve[-1])) if gated else (ZERO_SHARES, curve)
    return float(np.interp(share, *ends)) * 1e-3 - cost.leakage_nw * cost.clock_ns * 1e-6


def sources(
    accelerator: Accelerator, mac: str = "measured here: gate-level simulation of the synthesized netlist"
) -> dict[str, str]:
    """Part -> where its energy figure comes from."""
    return {
        "mac": mac,
        "sram": f"published: {SRAM[accelerator.node].energy_source}",
        "dram": "published: {:.3g} pJ/bit, {}".format(*DRAM[accelerator.dram]),
        "leakage": "measured here: sum of the netlist's cells, from the cell library",
    }


@dataclass(frozen=True)
class Events:
    """What happens in a layer, in numbers of events; scratchpads' accesses are of values.

    ``psum_accesses`` are reads and writes of sums and outputs; ``dram_bits`` are moved either way.
    """

    macs: int
    ifmap_reads: int
    filter_reads: int
    psum_accesses: int
    dram_bits: int
    cycles: int


def layer_energy(energy: EventEnergy, events: Events) -> dict[str, float]:
    """Energy of a layer by part, pJ."""
    return {
        "mac": events.macs * energy.mac_pj,
        "sram": (
            events.ifmap_reads * energy.ifmap_pj
            + events.filter_reads * energy.filter_pj
            + events.psum_accesses * energy.psum_pj
        ),
        "dram": events.dram_bits * energy.dram_pj_per_bit,
        "leakage": events.cycles * energy.leakage_pj_per_cycle,
    }
