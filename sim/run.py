"""Simulate a network on an accelerator, layer by layer: in closed form (fidelity 1) or tile by tile (2)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace

from asq_sw.errors import InputError
from hw.costs import UnitCost
from sim import closed_form, limits, multi
from sim.accelerator import Accelerator
from sim.cost.asq import product_energy
from sim.cost.energy import (
    PARTS,
    Events,
    event_energy,
    layer_energy,
    mac_cost,
    mac_pj_with_zeros,
    sources,
)
from sim.results import LayerResult, SimulationResult
from sim.workload import Layer, Workload, load

Trace = str | os.PathLike[str] | None


def simulate(
    network: str | Workload,
    accelerator: Accelerator | None = None,
    batch: int = 1,
    fidelity: int = 1,
    trace: Trace = None,
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
        measured with; layers that it lacks are taken as the cost's Gaussian operands
        (``SimulationResult.without_zeros`` names them).
    gated : bool
        A zero activation leaves an element's logic as it is (:func:`sim.cost.energy.mac_pj_with_zeros`).

    Raises
    ------
    InputError
        For an unknown network or a bad file or option, for zeros of layers that the network does not have, and for
        figures that would leave 64 bits or cannot be (:mod:`sim.limits`).
    """
    if fidelity not in (1, 2):
        raise InputError(f"fidelity is {fidelity!r}, expected 1 or 2")
    if fidelity == 1 and trace is not None:
        raise InputError("a trace needs fidelity 2: the closed form has no timeline")
    machine = accelerator or Accelerator()
    whole = network if isinstance(network, Workload) else load(network, batch)
    if zeros and machine.unit != "pe":
        raise InputError(
            f"zeros with unit {machine.unit!r}, expected 'pe': what zeros save is measured on elements"
        )
    layers = {layer.name: layer for layer in whole.layers}
    if unknown := [name for name in zeros or () if name not in layers or not layers[name].is_mac]:
        raise InputError(
            f"zeros are given for layer {unknown[0]}, expected layers of {whole.name} with products: "
            + ", ".join(layer.name for layer in whole.mac_layers[:3])
            + ", ..."
        )
    bound = limits.check_counts(whole.layers, machine.arrays)
    limits.check_cycles(bound, machine.dram_bytes_per_cycle / machine.arrays)
    share = _Share(whole, machine) if machine.arrays == 1 else _Share(*multi.divided(whole, machine))
    cost = mac_cost(machine)
    results = _closed_form(share, cost, zeros or {}, gated)
    if fidelity == 2:
        results = _tile_by_tile(share, {r.name: r for r in results}, cost, trace)
    if machine.arrays > 1:
        results = [multi.together(r, layers[r.name], machine) for r in results]
    for result in results:
        _check(result)
    files = (network,) if isinstance(network, str) and network.endswith((".csv", ".onnx")) else ()
    source = cost.source
    if zeros:
        source += ", at each layer's share of zero activations" + (", gated" if gated else "")
    return SimulationResult(
        whole.name,
        machine,
        batch,
        tuple(results),
        sources(machine, source),
        cost.reached_mhz,
        files,
        fidelity,
        tuple(layer.name for layer in whole.mac_layers if layer.name not in zeros) if zeros else (),
    )


def _check(result: LayerResult) -> None:
    """Refuse figures that cannot be."""
    limits.check_figures(
        f"layer {result.name}",
        {"utilization": result.utilization, "mapping_efficiency": result.mapping_efficiency},
        {
            "compute_cycles": result.compute_cycles,
            "stall_cycles": result.stall_cycles,
            "dram_read_bytes": result.dram_read_bytes,
            "dram_write_bytes": result.dram_write_bytes,
            **{f"energy of {part}": value for part, value in result.energy_pj.items()},
        },
    )


@dataclass(frozen=True)
class _Share:
    """What one array does: the layers, and the array with its part of the DRAM."""

    workload: Workload
    machine: Accelerator


def _closed_form(share: _Share, cost: UnitCost, zeros: Mapping[str, float], gated: bool) -> list[LayerResult]:
    machine, layers = share.machine, share.workload.mac_layers
    counts = closed_form.evaluate_one(
        closed_form.layer_rows(layers), closed_form.machine_row(machine, layers), machine.dram_bytes_per_cycle
    )
    results = []
    for layer, row in zip(layers, counts.tolist(), strict=True):
        count = dict(zip(closed_form.RESULT_FIELDS, row, strict=True))
        energy = event_energy(machine, cost, machine.psum_bits(layer.k))
        if layer.name in zeros:
            mac_pj = mac_pj_with_zeros(machine, cost, zeros[layer.name], gated)
            energy = replace(energy, mac_pj=mac_pj)
        cycles = count["compute_cycles"] + count["stall_cycles"]
        events = Events(
            macs=layer.macs,
            ifmap_reads=count["sram_ifmap_reads"],
            filter_reads=count["sram_filter_reads"],
            psum_accesses=count["sram_psum_reads"] + count["sram_ofmap_writes"],
            dram_bits=count["dram_read_bits"] + count["dram_write_bits"],
            cycles=cycles,
        )
        results.append(
            LayerResult(
                name=layer.name,
                kind=layer.kind,
                m=layer.m,
                n=layer.n,
                k=layer.k,
                groups=layer.groups,
                macs=layer.macs,
                folds=count["folds"],
                compute_cycles=count["compute_cycles"],
                stall_cycles=count["stall_cycles"],
                total_cycles=cycles,
                utilization=layer.macs / (machine.pes * cycles),
                mapping_efficiency=count["mapped_pes"] / (machine.pes * count["folds"]),
                sram_reads={
                    "ifmap": count["sram_ifmap_reads"],
                    "filter": count["sram_filter_reads"],
                    "psum": count["sram_psum_reads"],
                },
                sram_writes={"ofmap": count["sram_ofmap_writes"]},
                dram_read_bytes=-(-count["dram_read_bits"] // 8),
                dram_write_bytes=-(-count["dram_write_bits"] // 8),
                energy_pj=layer_energy(energy, events),
            )
        )
    return results


def _tile_by_tile(
    share: _Share, closed: dict[str, LayerResult], cost: UnitCost, trace: Trace
) -> list[LayerResult]:
    """Results with the tile engine's cycles and DRAM traffic; accesses of the scratchpads are the closed form's."""
    from sim.tiles import approximate
    from sim.tiles.trace import traced

    workload, machine = share.workload, share.machine
    widths = [machine.psum_bits(layer.k) if layer.is_mac else 8 for layer in workload.layers]
    if trace is None:
        figures, _ = approximate.run(workload, machine, widths)
    else:
        figures = traced(workload, machine, widths, trace)
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
            adapter_pj = product_energy(figure.asq_products, machine.node)
            asq = {
                "cycles": figure.asq_cycles,
                "dram_bytes": -(-figure.asq_bits // 8),
                "macs": figure.asq_macs,
                "energy_pj": adapter_pj + figure.asq_bits * energy.dram_pj_per_bit,
            }
            parts["mac"] += adapter_pj
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
    """A layer of the vector unit alone: no products, no folds."""
    return LayerResult(
        name=layer.name,
        kind=layer.kind,
        m=layer.m,
        n=0,
        k=0,
        groups=1,
        macs=0,
        folds=0,
        compute_cycles=0,
        stall_cycles=0,
        total_cycles=0,
        utilization=0.0,
        mapping_efficiency=0.0,
        sram_reads={"ifmap": 0, "filter": 0, "psum": 0},
        sram_writes={"ofmap": 0},
        dram_read_bytes=0,
        dram_write_bytes=0,
        energy_pj=dict.fromkeys(PARTS, 0.0),
    )
