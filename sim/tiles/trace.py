"""A timeline of fidelity 2 as Chrome trace JSON, which the Perfetto viewer (ui.perfetto.dev) opens.

One named track per unit: DMA read and write, the two halves of the scratchpads, array, requantization, ASQ's
adapter; and one of layers. A slice is one tile. Times are microseconds.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

import numpy as np

from asq_sw.files import replacing
from sim.accelerator import Accelerator
from sim.limits import check_memory
from sim.tiles import approximate, pipeline
from sim.tiles.approximate import TileFigures
from sim.workload import Workload

TRACKS = (
    "Layer",
    "DMA read",
    "Array",
    "Requantize",
    "DMA write",
    "Scratchpad half 0",
    "Scratchpad half 1",
    "ASQ adapter",
)
LAYER, FIRST_UNIT, FIRST_HALF, ADAPTER = 0, 1, 5, 7
"""Tracks; the units' are in the order of :data:`sim.tiles.pipeline.DMA_READ` and so on."""


def traced(
    workload: Workload, machine: Accelerator, psum_bits: list[int], path: str | os.PathLike[str]
) -> list[TileFigures]:
    """Run a workload and write its timeline, event by event; whole or not at all.

    Raises
    ------
    InputError
        If the file cannot be written, or the events take more memory than :data:`sim.limits.MOST_BYTES`.
    """
    figures, _ = approximate.run(workload, machine, psum_bits)
    # A tile has at most six events (read, array, spill, requantize, write, and its stay in a scratchpad).
    events = 6 * sum(f.tiles + 1 for f in figures)
    check_memory(
        f"a timeline of {workload.name}, up to {events:,} events,", 8 * pipeline.TRACE_COLUMNS * events
    )
    trace = np.empty((events, pipeline.TRACE_COLUMNS))
    figures, events = approximate.run(workload, machine, psum_bits, trace)
    with replacing(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
        file.write('{"displayTimeUnit":"ns","traceEvents":[\n')
        for i, event in enumerate(_events(workload, machine, figures, trace[:events])):
            file.write((",\n" if i else "") + json.dumps(event, separators=(",", ":")))
        file.write("\n]}\n")
    return figures


def _events(
    workload: Workload, machine: Accelerator, figures: list[TileFigures], trace: np.ndarray
) -> Iterator[dict[str, Any]]:
    yield {
        "ph": "M",
        "pid": 1,
        "name": "process_name",
        "args": {"name": f"{workload.name} on {machine.rows}x{machine.cols}"},
    }
    for track, name in enumerate(TRACKS):
        yield {"ph": "M", "pid": 1, "tid": track, "name": "thread_name", "args": {"name": name}}
        yield {"ph": "M", "pid": 1, "tid": track, "name": "thread_sort_index", "args": {"sort_index": track}}

    def slice_(track: int, name: str, start: float, end: float, **args: Any) -> dict[str, Any]:
        clock = machine.clock_mhz
        record = {
            "ph": "X",
            "pid": 1,
            "tid": track,
            "name": name,
            "ts": start / clock,
            "dur": (end - start) / clock,
        }
        return {**record, "args": {**args, "cycles": round(end - start)}}

    for layer, figure in zip(workload.layers, figures, strict=True):
        yield slice_(
            LAYER, layer.name, figure.start, figure.end, kind=layer.kind, tiles=figure.tiles, macs=layer.macs
        )
        if figure.asq_cycles:
            yield slice_(
                ADAPTER, layer.name, figure.start, figure.start + figure.asq_cycles, macs=figure.asq_macs
            )
    arrived: dict[tuple[int, int], float] = {}
    for index, tile, unit, start, end in trace.tolist():
        name = workload.layers[int(index)].name
        yield slice_(FIRST_UNIT + int(unit), name, start, end, tile=int(tile))
        if unit == pipeline.DMA_READ:
            arrived[int(index), int(tile)] = end
        elif unit == pipeline.ARRAY:
            came = arrived.pop((int(index), int(tile)), start)
            yield slice_(FIRST_HALF + int(tile) % 2, name, min(came, start), end, tile=int(tile))
