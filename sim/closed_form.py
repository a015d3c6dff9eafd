"""Closed-form cycles, folds and traffic of a layer on a systolic array: the one place of the formulas.

A layer is ``groups`` products of (m, k) by (k, n) (see :class:`sim.workload.Layer`). Folds and their cycles are the
dataflow's (:mod:`hw.machine.dataflows`); folds do not overlap. SCALE-Sim (Samajdar et al., ISPASS 2020) counts the
same and reports the index of the last cycle, which is one less than ours. Groups run one after another: a depthwise
layer has one filter a group, so in ws it uses one column of the array.

DRAM traffic, with every operand packed at its own bit-width:

- Half of a scratchpad holds the data in use. The stationary operand is read from DRAM once, the streamed one
  once if it fits, else once per outer fold. Output is written once at the activations' width.
- Partial sums wait in the ofmap scratchpad for the next k-fold; those that do not fit are written to DRAM and
  read back, at the accumulator's width.
- Or the layer runs in parts, of as many rows of the streamed operand as the scratchpads hold: nothing is
  spilled, each part is streamed from the scratchpad, and the stationary operand is read again for each part
  unless it fits. Of these ways the one that moves the fewest bits is taken. Reloading the array for a further
  part is taken to be hidden.
- DRAM works while the array works: a layer takes the longer of the two, and the difference is stall.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numba
import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from hw.machine.dataflows import IS, OS, WS, check_code, check_codes, dataflow
from sim.accelerator import Accelerator
from sim.workload import Layer


class LayerShape(NamedTuple):
    """A layer as :func:`evaluate` takes it; whole numbers, the last three in values over the batch."""

    m: Any
    n: Any
    k: Any
    groups: Any
    ifmap_elements: Any
    filter_elements: Any
    ofmap_elements: Any


class MachineShape(NamedTuple):
    """A machine as :func:`evaluate` takes it: whole numbers.

    ``dataflow`` is its code, ``storage_bits`` of a weight, ``psum_bits`` of a stored sum; the rest are scratchpads.
    """

    rows: Any
    cols: Any
    dataflow: Any
    storage_bits: Any
    abits: Any
    psum_bits: Any
    ifmap_bytes: Any
    filter_bytes: Any
    ofmap_bytes: Any


class Operand(NamedTuple):
    """An operand of a layer over all its groups, and its scratchpad: bits, and bytes of which half are in use."""

    bits: Any
    pad_bytes: Any


class Sums(NamedTuple):
    """A layer's sums: of all its groups, of one column fold, bits of one, bytes of the scratchpad."""

    outputs: Any
    resident: Any
    bits: Any
    pad_bytes: Any


LAYER_FIELDS = LayerShape._fields
MACHINE_FIELDS = MachineShape._fields
_DATAFLOW = MACHINE_FIELDS.index("dataflow")
RESULT_FIELDS = (
    "folds", "compute_cycles", "stall_cycles", "mapped_pes",
    "sram_ifmap_reads", "sram_filter_reads", "sram_psum_reads", "sram_ofmap_writes",
    "dram_read_bits", "dram_write_bits",
)  # fmt: skip
"""Columns of a result's row."""


@njit(inline="always")
def _ceil(a, b):
    return (a + b - 1) // b


@njit(cache=True, inline="always")
def operand_traffic(fold_k, outer, stream, sums, kept, streamed):
    """(bits of partial sums spilled each way, bits of operands read, length of a part) with one operand kept in the array.

    ``stream`` rows pass the array; sums of one column fold wait for the next k-fold; ``outer`` column folds stream
    the other operand past the array. ``sums`` are :class:`Sums`, ``kept`` and ``streamed`` :class:`Operand`.
    """
    waiting = 0 if fold_k == 1 else sums.resident * sums.bits
    again = 0 if kept.bits <= 4 * kept.pad_bytes else kept.bits
    # In one go.
    best_spill = 0 if waiting <= 4 * sums.pad_bytes else (fold_k - 1) * sums.outputs * sums.bits
    best_read = kept.bits + (1 if streamed.bits <= 4 * streamed.pad_bytes else outer) * streamed.bits
    best_length = stream
    # In parts, so that the sums fit; or so that the sums and the streamed operand do.
    parts = max(1, _ceil(waiting, 4 * sums.pad_bytes))
    for p in (parts, max(parts, _ceil(streamed.bits, 4 * streamed.pad_bytes))):
        length = max(1, stream // p)
        pieces = _ceil(stream, length)
        # In floats: these products leave 64 bits where no result does (:mod:`sim.limits`).
        passes = 1 if float(streamed.bits) * length <= 4.0 * streamed.pad_bytes * stream else outer
        read = kept.bits + (pieces - 1) * again + passes * streamed.bits
        if read < best_read + 2 * best_spill:
            best_spill, best_read, best_length = 0, read, length
    return best_spill, best_read, best_length


@njit(cache=True, inline="always")
def layer_cost(layer, machine, bandwidth):
    """All figures of one layer on one machine, in the order of :data:`RESULT_FIELDS`; tens of ns.

    ``layer`` is a :class:`LayerShape`, ``machine`` a :class:`MachineShape` whose dataflow is known, ``bandwidth`` in
    bytes a cycle. ``mapped_pes`` is the sum over folds of the processing elements that hold an operand.
    """
    m, n, k, groups = layer.m, layer.n, layer.k, layer.groups
    rows, cols = machine.rows, machine.cols
    ifmap = Operand(layer.ifmap_elements * machine.abits, machine.ifmap_bytes)
    filters = Operand(layer.filter_elements * machine.storage_bits, machine.filter_bytes)
    fold_k, fold_n = _ceil(k, rows), _ceil(n, cols)
    folds = per_fold = mapped = ifmap_reads = filter_reads = writes = spilled = moved = 0
    if machine.dataflow == WS:
        folds, per_fold = fold_k * fold_n, 2 * rows + cols + m - 2
        mapped = k * n
        ifmap_reads, filter_reads, writes = fold_n * m * k, k * n, fold_k * m * n
        sums = Sums(groups * m * n, m * min(n, cols), machine.psum_bits, machine.ofmap_bytes)
        spilled, moved, _ = operand_traffic(fold_k, fold_n, m, sums, filters, ifmap)
    elif machine.dataflow == IS:
        fold_m = _ceil(m, cols)
        folds, per_fold = fold_k * fold_m, 2 * rows + cols + n - 2
        mapped = k * m
        ifmap_reads, filter_reads, writes = m * k, fold_m * n * k, fold_k * m * n
        sums = Sums(groups * m * n, n * min(m, cols), machine.psum_bits, machine.ofmap_bytes)
        spilled, moved, _ = operand_traffic(fold_k, fold_m, n, sums, ifmap, filters)
    elif machine.dataflow == OS:
        fold_m = _ceil(m, rows)
        folds, per_fold = fold_m * fold_n, k + rows + cols - 2
        mapped = m * n
        ifmap_reads, filter_reads, writes = fold_n * m * k, fold_m * n * k, m * n
        # Either operand may be the outer loop's: take the order that moves fewer bits.
        again = min((fold_m - 1) * filters.bits, (fold_n - 1) * ifmap.bits)
        if ifmap.bits <= 4 * ifmap.pad_bytes or filters.bits <= 4 * filters.pad_bytes:
            again = 0
        moved = ifmap.bits + filters.bits + again
    read_bits = moved + spilled
    write_bits = layer.ofmap_elements * machine.abits + spilled
    compute = groups * folds * per_fold
    dram = np.int64(np.ceil((read_bits + write_bits) / (8 * bandwidth)))
    stall = max(dram - compute, 0)
    return (
        groups * folds, compute, stall, groups * mapped,
        groups * ifmap_reads, groups * filter_reads, groups * (writes - m * n), groups * writes,
        read_bits, write_bits,
    )  # fmt: skip


@njit(cache=True, nogil=True)
def _evaluate_machine(layers, row, bandwidth, out):
    """Every layer on one machine: a row of each argument of :func:`evaluate`; ``out`` is (L, 10)."""
    machine = MachineShape(row[0], row[1], row[2], row[3], row[4], row[5], row[6], row[7], row[8])
    for i in range(layers.shape[0]):
        layer = LayerShape(
            layers[i, 0], layers[i, 1], layers[i, 2], layers[i, 3], layers[i, 4], layers[i, 5], layers[i, 6]
        )
        figures = layer_cost(layer, machine, bandwidth)
        for j in numba.literal_unroll((0, 1, 2, 3, 4, 5, 6, 7, 8, 9)):
            out[i, j] = figures[j]


@njit(cache=True, parallel=True)
def _evaluate(layers, machines, bandwidths, out):
    for p in prange(machines.shape[0]):
        _evaluate_machine(layers, machines[p], bandwidths[p], out[p])


def evaluate(
    layers: NDArray[np.int64],
    machines: NDArray[np.int64],
    bandwidths: NDArray[np.float64],
    out: NDArray[np.int64],
) -> None:
    """Every layer on every machine.

    Parameters
    ----------
    layers : int64 (L, 7)
        Rows of :class:`LayerShape`.
    machines : int64 (P, 9)
        Rows of :class:`MachineShape`.
    bandwidths : float64 (P,)
        Bytes per cycle.
    out : int64 (P, L, 10)
        Filled with rows of :data:`RESULT_FIELDS`.

    Raises
    ------
    InputError
        For a code that no dataflow has.
    """
    check_codes(machines[:, _DATAFLOW])
    _evaluate(layers, machines, bandwidths, out)


def evaluate_one(
    layers: NDArray[np.int64], machine: NDArray[np.int64], bandwidth: float
) -> NDArray[np.int64]:
    """:func:`evaluate` on one machine, its row int64 (9,); a new int64 (L, 10)."""
    check_code(machine[_DATAFLOW])
    out = np.empty((len(layers), len(RESULT_FIELDS)), np.int64)
    _evaluate_machine(layers, machine, bandwidth, out)
    return out


def layer_rows(layers: Iterable[Layer]) -> NDArray[np.int64]:
    """Shapes as :func:`evaluate` takes them; int64 (L, 7)."""
    return np.array([[getattr(layer, field) for field in LAYER_FIELDS] for layer in layers], np.int64)


def machine_row(machine: Accelerator, layers: Iterable[Layer]) -> NDArray[np.int64]:
    """Machine as :func:`evaluate` takes it, with sums wide enough for the layers; int64 (9,)."""
    return np.array(
        MachineShape(
            machine.rows,
            machine.cols,
            dataflow(machine.dataflow).code,
            machine.weight.storage_bits,
            machine.abits,
            machine.psum_bits(max(layer.k for layer in layers)),
            int(machine.ifmap_kib * 1024),
            int(machine.filter_kib * 1024),
            int(machine.ofmap_kib * 1024),
        ),
        np.int64,
    )
