"""Simulate a network on an accelerator, layer by layer: in closed form (fidelity 1) or tile by tile (2)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from asq_sw.errors import InputError
from asq_sw.formats import WeightFormat
from asq_sw.provenance import provenance
from hw.costs import UnitCost, unit_cost
from sim import closed_form as dataflow
from sim.accelerator import Accelerator
from sim.cost.asq import ADAPTER_BITS
from sim.cost.energy import PARTS, event_energy, layer_energy, mac_cost, mac_pj_with_zeros, sources
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


def simulate(
    network: str | Workload,
    accelerator: Accelerator | None = None,
    batch: int = 1,
    fidelity: int = 1,
    trace: str | os.PathLike[str] | None = None,
    zeros: Mapping[str, float] | None = None,
    gated: bool = False,
) -> SimulationResult:
    """Cycles, traffic and energy of every layer.

    Parameters
    ----------
    network : str or Workload
        A built-in name, an ``.onnx`` or SCALE-Sim ``.csv`` file (see :func:`sim.workload.load`), or layers.
    accelerator : Accelerator, optional
    batch : int
        Images at once, for a network given by name or file.
    fidelity : 1 or 2
        1: layers with products, in closed form. 2: all layers, tile by tile through the scratchpads
        (:mod:`sim.tiles.pipeline`).
    trace : path, optional
        Write a timeline for the Perfetto viewer there; fidelity 2 only.
    zeros : mapping, optional
        Layer -> share of its products with a zero activation (:mod:`sim.studies.sparsity`), which its MACs' energy is
        measured with; layers that it lacks are taken as the cost's Gaussian operands.
    gated : bool
        A zero activation leaves an element's logic as it is (:func:`sim.cost.energy.mac_pj_with_zeros`).

    Raises
    ------
    InputError
        For an unknown network or a bad file or option.
    """
    if fidelity not in (1, 2):
        raise InputError(f"fidelity is {fidelity!r}, expected 1 or 2")
    if fidelity == 1 and trace is not None:
        raise InputError("a trace needs fidelity 2: the closed form has no timeline")
    machine = accelerator or Accelerator()
    workload = network if isinstance(network, Workload) else load(network, batch)
    if machine.arrays > 1:
        return _on_many(workload, machine, batch, fidelity, trace, network, zeros, gated)
    zeros = zeros or {}
    layers = workload.mac_layers
    counts = dataflow.evaluate_one(
        layer_rows(layers), machine_row(machine, layers), machine.dram_bytes_per_cycle
    )
    if zeros and machine.unit == "tile":
        raise InputError("zeros with unit 'tile', expected 'pe': what zeros save is measured on elements")
    cost = mac_cost(machine)
    results = []
    for layer, row in zip(layers, counts.tolist(), strict=True):
        count = dict(zip(dataflow.RESULT_FIELDS, row, strict=True))
        energy = event_energy(machine, cost, machine.psum_bits(layer.k))
        if layer.name in zeros:
            mac_pj = mac_pj_with_zeros(machine, cost, zeros[layer.name], gated)
            energy = replace(energy, mac_pj=mac_pj)
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
    if fidelity == 2:
        results = _tile_by_tile(workload, machine, {r.name: r for r in results}, cost, trace)
    files = (network,) if isinstance(network, str) and network.endswith((".csv", ".onnx")) else ()
    source = cost.source
    if zeros:
        source += ", at each layer's share of zero activations" + (", gated" if gated else "")
    return SimulationResult(
        workload.name, machine, batch, tuple(results), sources(machine, source), files, fidelity
    )


def _on_many(
    workload: Workload,
    machine: Accelerator,
    batch: int,
    fidelity: int,
    trace: str | os.PathLike[str] | None,
    network: str | Workload,
    zeros: Mapping[str, float] | None,
    gated: bool,
) -> SimulationResult:
    """Several arrays (:mod:`sim.multi`)."""
    from sim import multi

    one = simulate(
        multi.divided(workload, machine), multi.one_of(machine), batch, fidelity, trace, zeros, gated
    )
    layers = {layer.name: layer for layer in workload.layers}
    results = tuple(multi.together(share, layers[share.name], machine) for share in one.layers)
    files = (network,) if isinstance(network, str) and network.endswith((".csv", ".onnx")) else ()
    return replace(one, accelerator=machine, layers=results, inputs=files)


def _tile_by_tile(
    workload: Workload,
    machine: Accelerator,
    closed: dict[str, LayerResult],
    cost: UnitCost,
    trace: str | os.PathLike[str] | None,
) -> list[LayerResult]:
    """Results with the tile engine's cycles and DRAM traffic; accesses of the scratchpads are the closed form's."""
    from sim.tiles import approximate
    from sim.tiles.trace import traced

    widths = [machine.psum_bits(layer.k) if layer.is_mac else 8 for layer in workload.layers]
    if trace is None:
        figures, _ = approximate.run(workload, machine, widths)
    else:
        figures = traced(workload, machine, widths, trace)
    adapter_pj = 0.0
    if machine.asq != "off":
        adapter_pj = (
            unit_cost(WeightFormat("int", ADAPTER_BITS), ADAPTER_BITS, node=machine.node).energy_per_mac_fj
            * 1e-3
        )
    energy = event_energy(machine, cost, 8)
    results = []
    for layer, figure in zip(workload.layers, figures, strict=True):
        total = figure.end - figure.start
        base = closed.get(layer.name) or _vector_layer(layer)
        dram_bits = figure.dram_read_bits + figure.dram_write_bits
        parts = {
            **base.energy_pj,
            "dram": dram_bits * energy.dram_pj_per_bit,
            "leakage": total * energy.leakage_pj_per_cycle,
        }
        asq: dict[str, float] = {}
        if machine.asq != "off":
            asq = {
                "cycles": figure.asq_cycles,
                "dram_bytes": -(-figure.asq_bits // 8),
                "macs": figure.asq_macs,
                "energy_pj": figure.asq_macs * adapter_pj + figure.asq_bits * energy.dram_pj_per_bit,
            }
            parts["mac"] += figure.asq_macs * adapter_pj
        results.append(
            replace(
                base,
                compute_cycles=figure.array_cycles,
                stall_cycles=total - figure.array_cycles,
                total_cycles=total,
                utilization=layer.macs / (machine.pes * total) if total else 0.0,
                dram_read_bytes=-(-figure.dram_read_bits // 8),
                dram_write_bytes=-(-figure.dram_write_bits // 8),
                energy_pj=parts,
                start_cycle=figure.start,
                asq=asq,
            )
        )
    return results


def _vector_layer(layer: Layer) -> LayerResult:
    """A pooling layer or an add: no products, no folds."""
    none = {"ifmap": 0, "filter": 0, "psum": 0}
    zero = dict.fromkeys(PARTS, 0.0)
    return LayerResult(
        layer.name, layer.kind, layer.m, 0, 0, 1, 0, 0, 0, 0, 0, 0.0, 0.0, none, {"ofmap": 0}, 0, 0, zero
    )


def layer_rows(layers: tuple[Layer, ...]) -> np.ndarray:
    """Shapes as :func:`sim.closed_form.evaluate` takes them; int64 (L, 7)."""
    return np.array(
        [[getattr(layer, field) for field in dataflow.LAYER_FIELDS] for layer in layers], np.int64
    )


def machine_row(machine: Accelerator, layers: tuple[Layer, ...]) -> np.ndarray:
    """Machine as :func:`sim.closed_form.evaluate` takes it; int64 (9,)."""
    return np.array(
        [
            machine.rows,
            machine.cols,
            dataflow.CODES[machine.dataflow],
            machine.weight.storage_bits,
            machine.abits,
            machine.psum_bits(max(layer.k for layer in layers)),
            int(machine.ifmap_kib * 1024),
            int(machine.filter_kib * 1024),
            int(machine.ofmap_kib * 1024),
        ],
        np.int64,
    )
