"""Simulate a network on an accelerator, layer by layer, from shapes alone (fidelity 1)."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from asq_sw.provenance import provenance
from hw.costs import unit_cost
from sim import dataflow
from sim.accelerator import Accelerator
from sim.energy import PARTS, event_energy, layer_energy, sources
from sim.workload import Layer, Workload, load


@dataclass(frozen=True)
class LayerResult:
    """Figures of one layer; the fields are the JSON's.

    ``utilization`` is useful MACs over processing elements times all cycles; ``mapping_efficiency`` is the
    share of processing elements that hold an operand, over the folds. SRAM accesses count values, not bytes.
    """

    name: str
    kind: str
    m: int
    n: int
    k: int
    groups: int
    macs: int
    folds: int
    compute_cycles: int
    stall_cycles: int
    total_cycles: int
    utilization: float
    mapping_efficiency: float
    sram_reads: dict[str, int]
    sram_writes: dict[str, int]
    dram_read_bytes: int
    dram_write_bytes: int
    energy_pj: dict[str, float]


@dataclass(frozen=True)
class SimulationResult:
    """A network's figures: configuration, layers and totals."""

    network: str
    accelerator: Accelerator
    batch: int
    layers: tuple[LayerResult, ...]
    energy_sources: dict[str, str]
    inputs: tuple[str, ...] = ()

    @property
    def total(self) -> dict[str, Any]:
        """Sums over layers, and what follows from them.

        ``tops`` counts two operations a MAC. ``tops_per_w`` counts all parts of the energy.
        """
        layers = self.layers
        cycles = sum(layer.total_cycles for layer in layers)
        macs = sum(layer.macs for layer in layers)
        latency = cycles / (1e6 * self.accelerator.clock_mhz)
        energy = {part: sum(layer.energy_pj[part] for layer in layers) for part in PARTS}
        folds = sum(layer.folds for layer in layers)
        return {
            "macs": macs,
            "folds": folds,
            "compute_cycles": sum(layer.compute_cycles for layer in layers),
            "stall_cycles": sum(layer.stall_cycles for layer in layers),
            "total_cycles": cycles,
            "utilization": macs / (self.accelerator.pes * cycles),
            "mapping_efficiency": sum(layer.mapping_efficiency * layer.folds for layer in layers) / folds,
            "sram_reads": {
                key: sum(layer.sram_reads[key] for layer in layers) for key in ("ifmap", "filter", "psum")
            },
            "sram_writes": {"ofmap": sum(layer.sram_writes["ofmap"] for layer in layers)},
            "dram_read_bytes": sum(layer.dram_read_bytes for layer in layers),
            "dram_write_bytes": sum(layer.dram_write_bytes for layer in layers),
            "energy_pj": energy,
            "latency_s": latency,
            "images_per_s": self.batch / latency,
            "tops": 2 * macs / latency / 1e12,
            "tops_per_w": 2 * macs / sum(energy.values()),  # operations per pJ = 1e12 operations per J
        }

    def to_json(self) -> dict[str, Any]:
        """JSON-ready record with provenance."""
        return {
            "network": self.network,
            "config": {**self.accelerator.model_dump(), "batch": self.batch, "fidelity": 1},
            "layers": [asdict(layer) for layer in self.layers],
            "total": self.total,
            "energy_sources": self.energy_sources,
            "provenance": provenance(self.inputs),
        }


def simulate(
    network: str | Workload, accelerator: Accelerator | None = None, batch: int = 1
) -> SimulationResult:
    """Cycles, traffic and energy of every layer that does products, in closed form.

    Parameters
    ----------
    network : str or Workload
        A built-in name, an ``.onnx`` or SCALE-Sim ``.csv`` file (see :func:`sim.workload.load`), or layers.
    accelerator : Accelerator, optional
    batch : int
        Images at once, for a network given by name or file.

    Raises
    ------
    InputError
        For an unknown network or a bad file or option.
    """
    machine = accelerator or Accelerator()
    workload = network if isinstance(network, Workload) else load(network, batch)
    layers = workload.mac_layers
    counts = dataflow.evaluate_one(
        layer_rows(layers), machine_row(machine, layers), machine.dram_bytes_per_cycle
    )
    cost = unit_cost(machine.weight, machine.abits, node=machine.node)
    results = []
    for layer, row in zip(layers, counts.tolist(), strict=True):
        count = dict(zip(dataflow.RESULT_FIELDS, row, strict=True))
        energy = event_energy(machine, cost, psum_bits(machine, [layer]))
        cycles = count["compute_cycles"] + count["stall_cycles"]
        results.append(
            LayerResult(
                layer.name,
                layer.kind,
                layer.m,
                layer.n,
                layer.k,
                layer.groups,
                layer.macs,
                count["folds"],
                count["compute_cycles"],
                count["stall_cycles"],
                cycles,
                layer.macs / (machine.pes * cycles),
                count["mapped_pes"] / (machine.pes * count["folds"]),
                {
                    "ifmap": count["sram_ifmap_reads"],
                    "filter": count["sram_filter_reads"],
                    "psum": count["sram_psum_reads"],
                },
                {"ofmap": count["sram_ofmap_writes"]},
                -(-count["dram_read_bits"] // 8),
                -(-count["dram_write_bits"] // 8),
                layer_energy(
                    energy,
                    layer.macs,
                    count["sram_ifmap_reads"],
                    count["sram_filter_reads"],
                    count["sram_psum_reads"],
                    count["sram_ofmap_writes"],
                    count["dram_read_bits"] + count["dram_write_bits"],
                    cycles,
                ),
            )
        )
    files = (network,) if isinstance(network, str) and network.endswith((".csv", ".onnx")) else ()
    return SimulationResult(workload.name, machine, batch, tuple(results), sources(cost.source), files)


def layer_rows(layers: tuple[Layer, ...]) -> np.ndarray:
    """Shapes as :func:`sim.dataflow.evaluate` takes them; int64 (L, 7)."""
    return np.array(
        [[getattr(layer, field) for field in dataflow.LAYER_FIELDS] for layer in layers], np.int64
    )


def psum_bits(machine: Accelerator, layers: list[Layer] | tuple[Layer, ...]) -> int:
    """Width of a partial sum that holds the worst case of the longest of the layers' sums, in whole bytes."""
    bits = machine.weight.accumulator_bits(machine.abits, max(layer.k for layer in layers))
    return 8 * -(-bits // 8)


def machine_row(machine: Accelerator, layers: tuple[Layer, ...]) -> np.ndarray:
    """Machine as :func:`sim.dataflow.evaluate` takes it; int64 (9,)."""
    return np.array(
        [
            machine.rows,
            machine.cols,
            dataflow.CODES[machine.dataflow],
            machine.weight.storage_bits,
            machine.abits,
            psum_bits(machine, layers),
            int(machine.ifmap_kib * 1024),
            int(machine.filter_kib * 1024),
            int(machine.ofmap_kib * 1024),
        ],
        np.int64,
    )
