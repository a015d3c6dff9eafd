"""Closed-form cycles, folds and traffic of a layer on a systolic array: the one place of the formulas.

A layer is ``groups`` products of (m, k) by (k, n) (see :class:`sim.workload.Layer`). A *fold* is one filling
of the array. Cycles per fold, with R rows and C columns:

========= =================================== ============================ =========================
dataflow  folds                               cycles per fold              kept in the array
========= =================================== ============================ =========================
ws        ceil(k/R) * ceil(n/C)               R + m + R + C - 2            R x C weights
is        ceil(k/R) * ceil(m/C)               R + n + R + C - 2            R x C input values
os        ceil(m/R) * ceil(n/C)               k + R + C - 2                R x C sums
========= =================================== ============================ =========================

The first R of ws and is load the array; R + C - 2 is the skew of filling and draining. Folds do not overlap.
SCALE-Sim (Samajdar et al., ISPASS 2020) counts the same and reports the index of the last cycle, which is one
less than ours. Groups run one after another: a depthwise layer has one filter a group, so in ws it uses one
column of the array.

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

import numba
import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

WS, OS, IS = 0, 1, 2
CODES = {"ws": WS, "os": OS, "is": IS}

# Columns of a layer's row, of a machine's row and of a result's row in :func:`evaluate`.
LAYER_FIELDS = ("m", "n", "k", "groups", "ifmap_elements", "filter_elements", "ofmap_elements")
MACHINE_FIELDS = (
    "rows", "cols", "dataflow", "storage_bits", "abits", "psum_bits",
    "ifmap_bytes", "filter_bytes", "ofmap_bytes", "dram_bytes_per_cycle",
)  # fmt: skip
RESULT_FIELDS = (
    "folds", "compute_cycles", "stall_cycles", "mapped_pes",
    "sram_ifmap_reads", "sram_filter_reads", "sram_psum_reads", "sram_ofmap_writes",
    "dram_read_bits", "dram_write_bits",
)  # fmt: skip


@njit(inline="always")
def _ceil(a, b):
    return (a + b - 1) // b


@njit(cache=True, inline="always")
def operand_traffic(
    fold_k, outer, outputs, stream, resident, psum_bits, psum_bytes,
    kept_bits, kept_bytes, streamed_bits, streamed_bytes,
):  # fmt: skip
    """(bits of partial sums spilled each way, bits of operands read, length of a part) with one operand kept in the array.

    ``stream`` rows pass the array; ``resident`` sums of one column fold wait for the next k-fold; ``outer`` column folds stream the other
    operand past the array; ``kept`` is the operand in the array.
    """
    waiting = 0 if fold_k == 1 else resident * psum_bits
    again = 0 if kept_bits <= 4 * kept_bytes else kept_bits
    # In one go.
    best_spill = 0 if waiting <= 4 * psum_bytes else (fold_k - 1) * outputs * psum_bits
    best_read = kept_bits + (1 if streamed_bits <= 4 * streamed_bytes else outer) * streamed_bits
    # In parts, so that the sums fit; or so that the sums and the streamed operand do.
    best_length = stream
    parts = max(1, _ceil(waiting, 4 * psum_bytes))
    for p in (parts, max(parts, _ceil(streamed_bits, 4 * streamed_bytes))):
        length = max(1, stream // p)
        pieces = _ceil(stream, length)
        passes = 1 if streamed_bits * length <= 4 * streamed_bytes * stream else outer
        read = kept_bits + (pieces - 1) * again + passes * streamed_bits
        if read < best_read + 2 * best_spill:
            best_spill, best_read, best_length = 0, read, length
    return best_spill, best_read, best_length


@njit(cache=True, inline="always")
def layer_cost(
    m, n, k, groups, ifmap, filters, ofmap,
    rows, cols, dataflow, wbits, abits, psum_bits, ifmap_bytes, filter_bytes, ofmap_bytes, bandwidth,
):  # fmt: skip
    """All figures of one layer on one machine, in the order of :data:`RESULT_FIELDS`; tens of ns.

    Integers (int64) but ``bandwidth`` (bytes per cycle). ``mapped_pes`` is the sum over folds of the
    processing elements that hold an operand.
    """
    fold_k, fold_n, fold_m = _ceil(k, rows), _ceil(n, cols), _ceil(m, cols)
    if dataflow == WS:
        folds, per_fold = fold_k * fold_n, 2 * rows + cols + m - 2
        mapped = k * n
        ifmap_reads, filter_reads, writes = fold_n * m * k, k * n, fold_k * m * n
        spilled, moved, _ = operand_traffic(
            fold_k, fold_n, groups * m * n, m, m * min(n, cols), psum_bits, ofmap_bytes,
            filters * wbits, filter_bytes, ifmap * abits, ifmap_bytes,
        )  # fmt: skip
    elif dataflow == IS:
        folds, per_fold = fold_k * fold_m, 2 * rows + cols + n - 2
        mapped = k * m
        ifmap_reads, filter_reads, writes = m * k, fold_m * n * k, fold_k * m * n
        spilled, moved, _ = operand_traffic(
            fold_k, fold_m, groups * m * n, n, n * min(m, cols), psum_bits, ofmap_bytes,
            ifmap * abits, ifmap_bytes, filters * wbits, filter_bytes,
        )  # fmt: skip
    else:
        fold_m = _ceil(m, rows)
        folds, per_fold = fold_m * fold_n, k + rows + cols - 2
        mapped = m * n
        ifmap_reads, filter_reads, writes = fold_n * m * k, fold_m * n * k, m * n
        # Either operand may be the outer loop's: take the order that moves fewer bits.
        ifmap_bits, filter_bits, spilled = ifmap * abits, filters * wbits, 0
        again = min((fold_m - 1) * filter_bits, (fold_n - 1) * ifmap_bits)
        if ifmap_bits <= 4 * ifmap_bytes or filter_bits <= 4 * filter_bytes:
            again = 0
        moved = ifmap_bits + filter_bits + again
    read_bits = moved + spilled
    write_bits = ofmap * abits + spilled
    compute = groups * folds * per_fold
    dram = np.int64(np.ceil((read_bits + write_bits) / (8 * bandwidth)))
    stall = max(dram - compute, 0)
    return (
        groups * folds, compute, stall, groups * mapped,
        groups * ifmap_reads, groups * filter_reads, groups * (writes - m * n), groups * writes,
        read_bits, write_bits,
    )  # fmt: skip


@njit(cache=True)
def evaluate_machine(layers, machine, bandwidth, out):
    """Every layer on one machine: a row of each argument of :func:`evaluate`; ``out`` is (L, 10)."""
    for i in range(layers.shape[0]):
        row = layer_cost(
            layers[i, 0], layers[i, 1], layers[i, 2], layers[i, 3],
            layers[i, 4], layers[i, 5], layers[i, 6],
            machine[0], machine[1], machine[2], machine[3], machine[4],
            machine[5], machine[6], machine[7], machine[8], bandwidth,
        )  # fmt: skip
        for j in numba.literal_unroll((0, 1, 2, 3, 4, 5, 6, 7, 8, 9)):
            out[i, j] = row[j]


@njit(cache=True, parallel=True)
def evaluate(layers, machines, bandwidths, out):
    """Every layer on every machine.

    Parameters
    ----------
    layers : int64 (L, 7)
        Rows of :data:`LAYER_FIELDS`.
    machines : int64 (P, 9)
        Rows of :data:`MACHINE_FIELDS` but the last.
    bandwidths : float64 (P,)
        Bytes per cycle.
    out : int64 (P, L, 10)
        Filled with rows of :data:`RESULT_FIELDS`.
    """
    for p in prange(machines.shape[0]):
        evaluate_machine(layers, machines[p], bandwidths[p], out[p])


def evaluate_one(
    layers: NDArray[np.int64], machine: NDArray[np.int64], bandwidth: float
) -> NDArray[np.int64]:
    """:func:`evaluate_machine` with its result as a new array; int64 (L, 10)."""
    out = np.empty((len(layers), len(RESULT_FIELDS)), np.int64)
    evaluate_machine(layers, machine, bandwidth, out)
    return out
