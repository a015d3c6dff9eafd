"""What ASQ's adapter costs, by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from asq_sw.formats import WeightFormat
from hw.costs import unit_cost
from sim import Accelerator, simulate
from sim.workload import Layer, Workload

LAYERS = (
    Layer("a", "conv", 8, 8, 4, 16, (1, 1)),
    Layer("b", "conv", 8, 8, 16, 16, (1, 1), sources=("a",)),
)
# Of 16 channels of 64 values: 16 means, 16 * 4 + 4 products of the two layers, one of the multiplier.
PRODUCTS = 16 + 64 + 4 + 1
# 2**28 / beta: from 2**28 (29 bits) for the least beta on, a bit a cycle.
CYCLES = PRODUCTS + 29


def test_asq_by_hand() -> None:
    """The map is stored in 16 bits instead of 4."""
    workload = Workload("w", LAYERS)
    off = simulate(workload, Accelerator(), fidelity=2)
    producer = simulate(workload, Accelerator(asq="producer"), fidelity=2)
    two = simulate(workload, Accelerator(asq="two-pass"), fidelity=2)
    values = 8 * 8 * 16
    assert off.layers[1].asq == {}
    assert producer.layers[0].asq["macs"] == 0  # the network's input stays at 8 bits
    assert producer.layers[1].asq["macs"] == PRODUCTS
    assert producer.layers[1].asq["cycles"] == CYCLES
    assert producer.layers[0].dram_write_bytes - off.layers[0].dram_write_bytes == values * 12 // 8
    assert producer.layers[1].dram_read_bytes - off.layers[1].dram_read_bytes == values * 12 // 8
    assert two.layers[1].asq["cycles"] == CYCLES + values // 32
    assert two.layers[1].dram_read_bytes - off.layers[1].dram_read_bytes == values * 28 // 8
    assert sum(two.layers[1].energy_pj.values()) > sum(producer.layers[1].energy_pj.values())
    assert sum(producer.layers[1].energy_pj.values()) > sum(off.layers[1].energy_pj.values())


def test_asq_adapters_energy_by_hand() -> None:
    """Sums of 64 values of 16 bits: 22 bits, times 2**18 of 19; means of 20 bits; hidden values of 31 bits."""
    four, eight = (unit_cost(WeightFormat("int", bits), bits).energy_per_mac_fj * 1e-3 for bits in (4, 8))

    def product(bits: int, by: int) -> float:
        return four + (eight - four) * (bits * by - 16) / (64 - 16)

    layer = simulate(
        Workload("w", LAYERS), Accelerator(asq="producer", keep_on_chip=True), fidelity=2
    ).layers[1]
    wanted = 16 * product(22, 19) + 64 * product(16, 20) + 4 * product(16, 31) + product(16, 29)
    assert layer.asq["dram_bytes"] == 0
    assert layer.asq["energy_pj"] == pytest.approx(wanted)


def test_asq_of_few_channels_has_one_layer() -> None:
    """4 channels: 4 means, 4 products, one of the multiplier; twice for two images, one after the other."""
    layers = (Layer("a", "conv", 8, 8, 4, 4), Layer("b", "conv", 8, 8, 4, 4, sources=("a",)))
    pair = tuple(replace(layer, batch=2) for layer in layers)
    for batch, workload in ((1, layers), (2, pair)):
        asq = simulate(Workload("w", workload), Accelerator(asq="producer"), fidelity=2).layers[1].asq
        assert (asq["macs"], asq["cycles"]) == (batch * 9, batch * (9 + 29))
