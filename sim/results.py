"""What a simulation gives back: a record of each layer, their sums, and the JSON of both."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from asq_sw.provenance import provenance
from sim.accelerator import Accelerator
from sim.cost.energy import PARTS


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
    start_cycle: int = 0
    asq: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class SimulationResult:
    """A network's figures: configuration, layers and totals."""

    network: str
    accelerator: Accelerator
    batch: int
    layers: tuple[LayerResult, ...]
    energy_sources: dict[str, str]
    inputs: tuple[str, ...] = ()
    fidelity: int = 1

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
            "config": {**self.accelerator.model_dump(), "batch": self.batch, "fidelity": self.fidelity},
            "layers": [asdict(layer) for layer in self.layers],
            "total": self.total,
            "energy_sources": self.energy_sources,
            "provenance": provenance(self.inputs),
        }
