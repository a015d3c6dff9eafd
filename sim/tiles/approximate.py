"""Fidelity 2 of a workload: sets up the tile engine, runs it, gives a layer's figures back."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim import closed_form as dataflow
from sim.accelerator import Accelerator
from sim.cost.asq import asq_cost
from sim.tiles import banks, dram, pipeline
from sim.workload import Layer, Workload

NO_RATES = np.empty(0)
EMPTY_TRACE = np.empty((0, pipeline.TRACE_COLUMNS))


@dataclass(frozen=True)
class TileFigures:
    """One layer's figures from the tile engine, in cycles and bits.

    ``array_cycles``: the array loads, streams, fills or drains. ``asq_cycles``, ``asq_bits``, ``asq_macs``: the
    part that ASQ adds (already in the other figures). ``ifmap_on_chip``, ``ofmap_on_chip``: not read, not written.
    """

    start: int
    end: int
    array_cycles: int
    tiles: int
    dram_read_bits: int
    dram_write_bits: int
    vector_cycles: int
    asq_cycles: int
    asq_bits: int
    asq_macs: int
    ifmap_on_chip: bool
    ofmap_on_chip: bool


def _on_chip(
    layers: tuple[Layer, ...], machine: Accelerator, widths: list[int]
) -> tuple[list[bool], list[bool]]:
    """(input need not be read, output need not be written) of each layer."""
    read_skipped, write_skipped = [False] * len(layers), [False] * len(layers)
    if not machine.keep_on_chip:
        return read_skipped, write_skipped
    readers = Counter(source for layer in layers for source in set(layer.sources))
    for i in range(len(layers) - 1):
        fits = layers[i].ofmap_elements * widths[i] <= 4 * 1024 * machine.ifmap_kib
        if fits and layers[i + 1].sources and layers[i].name == layers[i + 1].sources[0]:
            # An add reads its other operand from DRAM still: only a layer of one input skips the read.
            read_skipped[i + 1] = len(layers[i + 1].sources) == 1
            write_skipped[i] = readers[layers[i].name] == 1 and len(layers[i + 1].sources) == 1
    return read_skipped, write_skipped


def _fused(layers: tuple[Layer, ...], machine: Accelerator) -> list[bool]:
    """Whether a pooling layer or an add takes the outputs of the layer before it as they are requantized."""
    fused = [False] * len(layers)
    if machine.fuse:
        readers = Counter(source for layer in layers for source in set(layer.sources))
        for i in range(1, len(layers)):
            before = layers[i - 1].name
            fused[i] = not layers[i].is_mac and before in layers[i].sources and readers[before] == 1
    return fused


def _layer_rows(
    layers: tuple[Layer, ...], machine: Accelerator, psum_bits: list[int]
) -> tuple[NDArray[np.int64], list[dict[str, int]], list[bool], list[bool]]:
    # ASQ on a layer's input makes the layer before it write, and this one read, the wider value.
    macs = [i for i, layer in enumerate(layers) if layer.is_mac]
    costs = [asq_cost(layer, machine, first=i == (macs[0] if macs else -1)) for i, layer in enumerate(layers)]
    out_widths = [machine.abits] * len(layers)
    by_name = {layer.name: i for i, layer in enumerate(layers)}
    for i, cost in enumerate(costs):
        if cost is None:
            continue
        for source in layers[i].sources or ((layers[i - 1].name,) if i else ()):
            out_widths[by_name[source]] = cost.stored_bits
    read_skipped, write_skipped = _on_chip(layers, machine, out_widths)
    fused = _fused(layers, machine)
    for i in range(1, len(layers)):
        if fused[i]:
            write_skipped[i - 1] = True
            read_skipped[i] = read_skipped[i] or layers[i].inputs == 1
    rows = np.zeros((len(layers), pipeline.LAYER_COLUMNS), np.int64)
    extras: list[dict[str, int]] = []
    for i, layer in enumerate(layers):
        cost = costs[i]
        in_bits = layer.ifmap_elements * machine.abits
        if fused[i]:  # an add still reads its other operands
            in_bits = in_bits * (layer.inputs - 1) // layer.inputs
        extra = {"asq_cycles": 0, "asq_bits": 0, "asq_macs": 0}
        if cost is not None:
            wide = layer.ifmap_elements * cost.stored_bits * cost.extra_read_factor
            passes = -(-cost.pass_values // machine.vector_lanes) if machine.vector_lanes else 0
            extra["asq_cycles"] = cost.serial_cycles + passes
            extra["asq_macs"] = cost.adapter_macs
            if not read_skipped[i]:
                extra["asq_bits"] += wide - in_bits
                in_bits = wide
        out_bits = layer.ofmap_elements * out_widths[i]
        if not write_skipped[i]:
            extra["asq_bits"] += layer.ofmap_elements * (out_widths[i] - machine.abits)
        extras.append(extra)
        rows[i] = (
            pipeline.KIND_MAC if layer.is_mac else pipeline.KIND_VECTOR,
            layer.m,
            layer.n,
            layer.k,
            layer.groups,
            in_bits,
            layer.filter_elements * machine.weight.storage_bits,
            not read_skipped[i],
            not write_skipped[i],
            layer.ofmap_elements,
            layer.ifmap_elements * layer.passes,
            psum_bits[i],
            out_bits,
            extra["asq_cycles"],
            -1,
            0,
        )
    return rows, extras, read_skipped, write_skipped


def _banked(layers: tuple[Layer, ...], machine: Accelerator, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Conflicts of banks, layer after layer; says in ``rows`` where each layer's begin."""
    if not banks.configured(machine):
        return NO_RATES
    found, at = [], 0
    for row, layer in zip(rows, layers, strict=True):
        if layer.is_mac:
            one = banks.rates(layer, machine)
            row[pipeline.L_RATES], row[pipeline.L_RATE_FOLDS] = at, len(one) - banks.FIRST_IFMAP
            found.append(one)
            at += len(one)
    return np.concatenate(found) if found else NO_RATES


def machine_row(machine: Accelerator) -> NDArray[np.int64]:
    """Machine as :func:`sim.tiles.pipeline.run` takes it; int64 (14,)."""
    return np.array(
        [
            machine.rows,
            machine.cols,
            dataflow.CODES[machine.dataflow],
            int(1024 * machine.ifmap_kib),
            int(1024 * machine.filter_kib),
            int(1024 * machine.ofmap_kib),
            machine.vector_lanes,
            machine.hide_load,
            machine.pe_stages,
            machine.ifmap_words,
            machine.filter_words,
            machine.ofmap_words,
            machine.dram != "bandwidth",
            machine.dram_sharers,
        ],
        np.int64,
    )


def run(
    workload: Workload, machine: Accelerator, psum_bits: list[int], trace: NDArray[np.float64] | None = None
) -> tuple[list[TileFigures], int]:
    """(figures of every layer, number of traced events).

    Parameters
    ----------
    workload : Workload
        All its layers run, pooling and adds included.
    machine : Accelerator
    psum_bits : list of int
        Width of a stored partial sum, by layer.
    trace : float64 (E, 5), optional
        Filled with events (see :func:`sim.tiles.pipeline.run`) as far as it goes.

    Raises
    ------
    InputError
        For an unknown DRAM preset.
    """
    rows, extras, read_skipped, write_skipped = _layer_rows(workload.layers, machine, psum_bits)
    row = machine_row(machine)
    rates = _banked(workload.layers, machine, rows)
    timing = dram.preset("lpddr4-3200" if machine.dram == "bandwidth" else machine.dram)
    cycles_per_ns = machine.clock_mhz * 1e-3
    most = max((int(pipeline.layer_tiles(r, row)[0]) for r in rows if r[0] == pipeline.KIND_MAC), default=1)
    tiles = np.empty((most, pipeline.TILE_COLUMNS))
    results = np.empty((len(rows), pipeline.RESULT_COLUMNS))
    events = pipeline.run(
        rows,
        row,
        timing.scaled(cycles_per_ns),
        machine.dram_bytes_per_cycle,
        machine.dram_latency_ns * cycles_per_ns,
        rates,
        tiles,
        results,
        EMPTY_TRACE if trace is None else trace,
    )
    figures = [
        TileFigures(
            int(r[pipeline.R_START]),
            int(r[pipeline.R_END]),
            round(r[pipeline.R_ARRAY]),
            int(r[pipeline.R_TILES]),
            round(r[pipeline.R_READ_BITS]),
            round(r[pipeline.R_WRITE_BITS]),
            round(r[pipeline.R_VECTOR]),
            extra["asq_cycles"],
            extra["asq_bits"],
            extra["asq_macs"],
            skipped_read,
            skipped_write,
        )
        for r, extra, skipped_read, skipped_write in zip(
            results, extras, read_skipped, write_skipped, strict=True
        )
    ]
    return figures, events
