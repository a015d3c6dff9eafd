"""Fidelity 2 of a workload: sets up the tile engine, runs it, gives a layer's figures back."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hw.machine.dataflows import dataflow
from sim.accelerator import Accelerator
from sim.cost.asq import AsqCost, Products, asq_cost
from sim.limits import check_memory
from sim.tiles import banks, dram, pipeline
from sim.workload import Layer, Workload

NO_RATES = np.empty(0)
_RATES, _RATE_FOLDS = (pipeline.LayerRow._fields.index(name) for name in ("rates", "rate_folds"))
EMPTY_TRACE = np.empty((0, pipeline.TRACE_COLUMNS))


@dataclass(frozen=True)
class TileFigures:
    """One layer's figures from the tile engine, in cycles and bits.

    ``array_cycles``: the array loads, streams, fills or drains. ``asq_cycles``, ``asq_bits``, ``asq_products``: the
    part that ASQ adds (already in the other figures).
    """

    start: int
    end: int
    array_cycles: int
    tiles: int
    dram_read_bits: int
    dram_write_bits: int
    asq_cycles: int
    asq_bits: int
    asq_products: tuple[Products, ...]

    @property
    def asq_macs(self) -> int:
        """The adapter's products."""
        return sum(products.count for products in self.asq_products)


@dataclass
class _AsqPart:
    """What ASQ adds to one layer."""

    cycles: int = 0
    bits: int = 0
    products: tuple[Products, ...] = ()


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


def _asq_costs(layers: tuple[Layer, ...], machine: Accelerator) -> tuple[list[AsqCost | None], list[int]]:
    """What ASQ costs at each layer's input, and the width in which each output is stored."""
    first = next((i for i, layer in enumerate(layers) if layer.is_mac), -1)
    costs = [asq_cost(layer, machine, first=i == first) for i, layer in enumerate(layers)]
    # ASQ on a layer's input makes the layer before it write, and this one read, the wider value.
    widths = [machine.abits] * len(layers)
    by_name = {layer.name: i for i, layer in enumerate(layers)}
    for i, cost in enumerate(costs):
        if cost is None:
            continue
        for source in layers[i].sources or ((layers[i - 1].name,) if i else ()):
            widths[by_name[source]] = cost.stored_bits
    return costs, widths


def _layer_rows(
    layers: tuple[Layer, ...], machine: Accelerator, psum_bits: list[int]
) -> tuple[NDArray[np.int64], list[_AsqPart]]:
    """(rows of :class:`sim.tiles.pipeline.LayerRow`, what ASQ adds to each)."""
    costs, out_widths = _asq_costs(layers, machine)
    read_skipped, write_skipped = _on_chip(layers, machine, out_widths)
    fused = _fused(layers, machine)
    for i in range(1, len(layers)):
        if fused[i]:
            write_skipped[i - 1] = True
            read_skipped[i] = read_skipped[i] or layers[i].inputs == 1
    rows = np.zeros((len(layers), len(pipeline.LayerRow._fields)), np.int64)
    parts: list[_AsqPart] = []
    weight_bits = machine.weight.storage_bits
    for i, layer in enumerate(layers):
        cost = costs[i]
        in_bits = layer.ifmap_elements * machine.abits
        if fused[i]:  # an add still reads its other operands
            in_bits = in_bits * (layer.inputs - 1) // layer.inputs
        part = _AsqPart()
        if cost is not None:
            wide = layer.ifmap_elements * cost.stored_bits * cost.extra_read_factor
            passes = -(-cost.pass_values // machine.vector_lanes) if machine.vector_lanes else 0
            part.cycles = cost.serial_cycles + passes
            part.products = cost.products
            if not read_skipped[i]:
                part.bits += wide - in_bits
                in_bits = wide
        if not write_skipped[i]:
            part.bits += layer.ofmap_elements * (out_widths[i] - machine.abits)
        parts.append(part)
        rows[i] = pipeline.LayerRow(
            kind=pipeline.KIND_MAC if layer.is_mac else pipeline.KIND_VECTOR,
            m=layer.m,
            n=layer.n,
            k=layer.k,
            groups=layer.groups,
            ifmap_bits=in_bits,
            filter_bits=layer.filter_elements * weight_bits,
            read_ifmap=not read_skipped[i],
            write_ofmap=not write_skipped[i],
            outputs=layer.ofmap_elements,
            vector_values=layer.ifmap_elements * layer.passes,
            psum_bits=psum_bits[i],
            out_bits=layer.ofmap_elements * out_widths[i],
            extra_cycles=part.cycles,
        )
    return rows, parts


def _banked(layers: tuple[Layer, ...], machine: Accelerator, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Conflicts of banks, layer after layer; says in ``rows`` where each layer's begin."""
    if not banks.configured(machine):
        return NO_RATES
    by_layer, at = [], 0
    for row, layer in zip(rows, layers, strict=True):
        if layer.is_mac:
            one = banks.rates(layer, machine)
            row[_RATES], row[_RATE_FOLDS] = at, len(one) - banks.FIRST_IFMAP
            by_layer.append(one)
            at += len(one)
    return np.concatenate(by_layer) if by_layer else NO_RATES


def machine_row(machine: Accelerator) -> NDArray[np.int64]:
    """Machine as :func:`sim.tiles.pipeline.run` takes it; int64 (12,)."""
    return np.array(
        pipeline.MachineRow(
            rows=machine.rows,
            cols=machine.cols,
            dataflow=dataflow(machine.dataflow).code,
            ifmap_bytes=int(1024 * machine.ifmap_kib),
            filter_bytes=int(1024 * machine.filter_kib),
            ofmap_bytes=int(1024 * machine.ofmap_kib),
            lanes=machine.vector_lanes,
            hide_load=machine.hide_load,
            stages=machine.pe_stages,
            ifmap_words=machine.ifmap_words,
            filter_words=machine.filter_words,
            ofmap_words=machine.ofmap_words,
        ),
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
        For a layer of so many tiles that they take more memory than :data:`sim.limits.MOST_BYTES`.
    """
    rows, parts = _layer_rows(workload.layers, machine, psum_bits)
    row = machine_row(machine)
    rates = _banked(workload.layers, machine, rows)
    most = max((int(pipeline.layer_tiles(r, row)[0]) for r in rows if r[0] == pipeline.KIND_MAC), default=1)
    check_memory(
        f"fidelity 2 of {workload.name}, {most:,} tiles in a layer,", 8 * pipeline.TILE_COLUMNS * most
    )
    tiles = np.empty((most, pipeline.TILE_COLUMNS))
    results = np.empty((len(rows), pipeline.RESULT_COLUMNS))
    events = pipeline.run(
        rows, row, dram.channel(machine), rates, tiles, results, EMPTY_TRACE if trace is None else trace
    )
    figures = [
        TileFigures(
            start=int(r[pipeline.R_START]),
            end=int(r[pipeline.R_END]),
            array_cycles=round(r[pipeline.R_ARRAY]),
            tiles=int(r[pipeline.R_TILES]),
            dram_read_bits=round(r[pipeline.R_READ_BITS]),
            dram_write_bits=round(r[pipeline.R_WRITE_BITS]),
            asq_cycles=part.cycles,
            asq_bits=part.bits,
            asq_products=part.products,
        )
        for r, part in zip(results, parts, strict=True)
    ]
    return figures, events
