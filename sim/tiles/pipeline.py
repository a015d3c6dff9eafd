"""Fidelity 2: a network through double-buffered scratchpads, tile by tile, in numba.

A tile is one fold of the array on one part of the streamed operand. Four units work in turn on it, each on one
tile at a time, and overlap over tiles:

- **DMA** brings the operands that are not on chip; a tile's may start when the tile two before it has left its
  half of the scratchpad. Writing outputs shares the same DRAM channel, reads of the next tile first.
- **Array**: loading (rows cycles; or hidden behind the tile before), streaming, filling and draining.
  A scratchpad with fewer ports than the array needs words slows the stream, and so do conflicts of its banks
  (:mod:`sim.tiles.banks`).
- **Requantize** (vector unit): the finished sums of the last k-fold, some lanes a cycle; also pooling and adds.
- **Write**: outputs to DRAM, unless the next layer finds them on chip.

A layer begins when the one before it has written its last output. Cost is linear in tiles, about 50 ns each.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit

from hw.machine.dataflows import IS, OS, WS
from sim.closed_form import Operand, Sums, operand_traffic
from sim.tiles.banks import ADDED_SUMS, FILTER, FIRST_IFMAP, SUMS
from sim.tiles.dram import served


class LayerRow(NamedTuple):
    """A layer as :func:`run` takes it: columns of an int64 row. Bits and values are of all its groups.

    Attributes
    ----------
    kind : int
        :data:`KIND_MAC` or :data:`KIND_VECTOR`.
    m, n, k, groups : int
    ifmap_bits, filter_bits : int
        To read from DRAM if nothing is on chip.
    read_ifmap, write_ofmap : bool
        Whether the input is read from DRAM and the output written there.
    outputs : int
        Output values.
    vector_values : int
        Values through the vector unit, for :data:`KIND_VECTOR`.
    psum_bits, out_bits : int
        Of one stored sum; of the whole output.
    extra_cycles : int
        Before the first value is quantized (ASQ's adapter).
    rates, rate_folds : int
        Where the layer's conflicts of banks begin, -1 without banks; folds of one image in them.
    """

    kind: Any
    m: Any
    n: Any
    k: Any
    groups: Any
    ifmap_bits: Any
    filter_bits: Any
    read_ifmap: Any
    write_ofmap: Any
    outputs: Any
    vector_values: Any
    psum_bits: Any
    out_bits: Any
    extra_cycles: Any
    rates: Any = -1
    rate_folds: Any = 0


class MachineRow(NamedTuple):
    """A machine as :func:`run` takes it: an int64 row of :class:`sim.accelerator.Accelerator`'s fields.

    ``dataflow`` is its code; scratchpads are in bytes; ``lanes`` are of the vector unit, ``stages`` of an element.
    """

    rows: Any
    cols: Any
    dataflow: Any
    ifmap_bytes: Any
    filter_bytes: Any
    ofmap_bytes: Any
    lanes: Any
    hide_load: Any
    stages: Any
    ifmap_words: Any
    filter_words: Any
    ofmap_words: Any


KIND_MAC, KIND_VECTOR = 0, 1

# Columns of a layer's result.
R_START, R_END, R_ARRAY, R_TILES, R_READ_BITS, R_WRITE_BITS = range(6)
RESULT_COLUMNS = 6

# Columns of a traced event: layer, tile, unit (of the following), start, end.
TRACE_COLUMNS = 5
DMA_READ, ARRAY, REQUANTIZE, DMA_WRITE = range(4)


@njit(cache=True, inline="always")
def layer_of(row):
    """A row's columns by name."""
    return LayerRow(
        row[0], row[1], row[2], row[3], row[4], row[5], row[6], row[7],
        row[8], row[9], row[10], row[11], row[12], row[13], row[14], row[15],
    )  # fmt: skip


@njit(cache=True, inline="always")
def machine_of(row):
    """A row's columns by name."""
    return MachineRow(
        row[0], row[1], row[2], row[3], row[4], row[5], row[6], row[7], row[8], row[9], row[10], row[11]
    )


@njit(cache=True, nogil=True)
def layer_tiles(row, machine_row):
    """(tiles, length of a part, spilled) of a MAC layer; the parts are the closed form's."""
    layer, machine = layer_of(row), machine_of(machine_row)
    rows, cols = machine.rows, machine.cols
    m, n, k, groups = layer.m, layer.n, layer.k, layer.groups
    filters = Operand(layer.filter_bits, machine.filter_bytes)
    ifmap = Operand(layer.ifmap_bits, machine.ifmap_bytes)
    across = stream = 0
    kept = streamed = filters
    if machine.dataflow == OS:
        return groups * ((m + rows - 1) // rows) * ((n + cols - 1) // cols), m, 0
    if machine.dataflow == WS:
        across, stream, kept, streamed = n, m, filters, ifmap
    elif machine.dataflow == IS:
        across, stream, kept, streamed = m, n, ifmap, filters
    fold_k, outer = (k + rows - 1) // rows, (across + cols - 1) // cols
    sums = Sums(groups * m * n, stream * min(across, cols), layer.psum_bits, machine.ofmap_bytes)
    spilled, _, length = operand_traffic(fold_k, outer, stream, sums, kept, streamed)
    parts = (stream + length - 1) // length
    return groups * parts * outer * fold_k, length, 1 if spilled > 0 else 0


# Columns of a tile: bits to read of ifmap, weights, waiting sums; cycles of loading and of streaming; outputs
# that are finished; bits of sums to write.
T_IFMAP, T_FILTER, T_PSUM, T_LOAD, T_STREAM, T_OUTPUTS, T_SPILL = range(7)
TILE_COLUMNS = 7


@njit(cache=True, inline="always")
def _rate(layer, rates, which):
    """Cycles per vector of a banked scratchpad (:mod:`sim.tiles.banks`); 1 without banks."""
    return 1.0 if layer.rates < 0 else rates[layer.rates + which]


@njit(cache=True, nogil=True)
def _fill_os(layer, machine, rates, tiles):
    """Tiles of an output-stationary layer."""
    rows, cols = machine.rows, machine.cols
    m, n, k, groups = layer.m, layer.n, layer.k, layer.groups
    fold_m, fold_n = (m + rows - 1) // rows, (n + cols - 1) // cols
    ifmap_fits = layer.ifmap_bits <= 4 * machine.ifmap_bytes
    filter_fits = layer.filter_bits <= 4 * machine.filter_bytes
    # The inner loop's operand is read again for each turn of the outer loop, unless it fits.
    ifmap_inner = not filter_fits and (
        ifmap_fits or (fold_m - 1) * layer.filter_bits > (fold_n - 1) * layer.ifmap_bits
    )
    words = max(_slow(rows, machine.ifmap_words), _slow(cols, machine.filter_words))
    words = max(words, _rate(layer, rates, FILTER))
    drain = max(_slow(cols, machine.ofmap_words), _rate(layer, rates, SUMS))
    image_folds = max(1, layer.rate_folds)
    i = 0
    for _ in range(groups):
        for outer in range(fold_n if ifmap_inner else fold_m):
            for inner in range(fold_m if ifmap_inner else fold_n):
                fm, fn = (inner, outer) if ifmap_inner else (outer, inner)
                used_m, used_n = min(rows, m - fm * rows), min(cols, n - fn * cols)
                read_ifmap = (fn == 0 or not ifmap_fits) if ifmap_inner else inner == 0
                read_filter = inner == 0 if ifmap_inner else (fm == 0 or not filter_fits)
                tiles[i, T_IFMAP] = layer.ifmap_bits / groups * used_m / m if read_ifmap else 0
                tiles[i, T_FILTER] = layer.filter_bits / groups * used_n / n if read_filter else 0
                tiles[i, T_PSUM] = tiles[i, T_LOAD] = tiles[i, T_SPILL] = 0
                slow = max(words, _rate(layer, rates, FIRST_IFMAP + fm % image_folds))
                tiles[i, T_STREAM] = np.ceil(k * slow + (rows - 1) * drain) + cols - 1 + machine.stages
                tiles[i, T_OUTPUTS] = used_m * used_n
                i += 1
    return i


@njit(cache=True, nogil=True)
def _fill_tiles(row, machine_row, rates, tiles):
    """Fill ``tiles`` with a MAC layer's tiles in the order in which they run; returns how many."""
    layer, machine = layer_of(row), machine_of(machine_row)
    if machine.dataflow == OS:
        return _fill_os(layer, machine, rates, tiles)
    rows, cols = machine.rows, machine.cols
    m, n, k, groups = layer.m, layer.n, layer.k, layer.groups
    _, step, spill = layer_tiles(row, machine_row)
    filters = Operand(layer.filter_bits, machine.filter_bytes)
    ifmap = Operand(layer.ifmap_bits, machine.ifmap_bytes)
    across = stream = words = 0
    weights_kept = False
    kept = streamed = filters
    if machine.dataflow == WS:
        weights_kept, across, stream, kept, streamed = True, n, m, filters, ifmap
        words = _slow(rows, machine.ifmap_words)
    elif machine.dataflow == IS:
        across, stream, kept, streamed = m, n, ifmap, filters
        words = _slow(rows, machine.filter_words)
    outer, fold_k = (across + cols - 1) // cols, (k + rows - 1) // rows
    kept_stays = kept.bits <= 4 * kept.pad_bytes
    streamed_stays = streamed.bits * step <= 4 * streamed.pad_bytes * stream
    i = 0
    for _ in range(groups):
        for first in range(0, stream, step):
            length = min(step, stream - first)
            for fold in range(outer):
                used = min(cols, across - fold * cols)
                for fk in range(fold_k):
                    used_k = min(rows, k - fk * rows)
                    kept_bits = (
                        kept.bits / groups * used / across * used_k / k
                        if first == 0 or not kept_stays
                        else 0.0
                    )
                    streamed_bits = streamed.bits / groups * length / stream * used_k / k
                    if fold > 0 and streamed_stays:
                        streamed_bits = 0.0
                    tiles[i, T_IFMAP] = streamed_bits if weights_kept else kept_bits
                    tiles[i, T_FILTER] = kept_bits if weights_kept else streamed_bits
                    sums = length * used * layer.psum_bits
                    tiles[i, T_PSUM] = sums if spill and fk > 0 else 0
                    tiles[i, T_SPILL] = sums if spill and fk < fold_k - 1 else 0
                    ifmap_rate = _rate(layer, rates, FIRST_IFMAP + fk)
                    filter_rate = _rate(layer, rates, FILTER)
                    tiles[i, T_LOAD] = np.ceil(rows * (filter_rate if weights_kept else ifmap_rate))
                    # From the second k-fold on, sums are read as well as written.
                    slow = max(words, _slow(cols if fk == 0 else 2 * cols, machine.ofmap_words))
                    slow = max(slow, ifmap_rate if weights_kept else filter_rate)
                    slow = max(slow, _rate(layer, rates, SUMS if fk == 0 else ADDED_SUMS))
                    tiles[i, T_STREAM] = np.ceil(length * slow) + rows + cols - 2 + machine.stages
                    tiles[i, T_OUTPUTS] = length * used if fk == fold_k - 1 else 0
                    i += 1
    return i


@njit(cache=True, inline="always")
def _read_bits(tile, layer):
    """Bits that a tile brings from DRAM; an input map that the layer before left on chip is not among them."""
    bits = tile[T_FILTER] + tile[T_PSUM]
    return bits + tile[T_IFMAP] if layer.read_ifmap else bits


@njit(cache=True, inline="always")
def _slow(words, available):
    """How many cycles a line of ``words`` takes at ``available`` words a cycle (0: as many as needed)."""
    return 1 if available == 0 else (words + available - 1) // available


@njit(cache=True, nogil=True)
def run(layers, machine_row, channel, rates, tiles, results, trace):
    """All layers, one after another.

    Parameters
    ----------
    layers : int64 (L, 16)
        Rows of :class:`LayerRow`.
    machine_row : int64 (12,)
        :class:`MachineRow`, its dataflow known.
    channel : sim.tiles.dram.Channel
        Before the first transfer.
    rates : float64
        :func:`sim.tiles.banks.rates` of the layers, each from its row's ``rates`` on.
    tiles : float64 (T, 7)
        Scratch, as long as the longest layer.
    results : float64 (L, 6)
        Filled; times in cycles.
    trace : float64 (E, 5)
        Filled with events as far as it goes; empty for none. Returns the number of events.
    """
    machine = machine_of(machine_row)
    now = 0.0
    events = 0
    for index in range(layers.shape[0]):
        layer = layer_of(layers[index])
        result = results[index]
        result[:] = 0
        result[R_START] = now
        if layer.kind == KIND_VECTOR:
            read = layer.ifmap_bits if layer.read_ifmap else 0
            write = layer.out_bits if layer.write_ofmap else 0
            work = layer.vector_values / machine.lanes if machine.lanes else 0.0
            # Streams through: reading, working and writing overlap but for the first latency.
            loaded = served(channel, now, read)
            worked = max(now + work, loaded)
            end = max(worked, served(channel, max(now, loaded), write))
            events = _note(trace, events, index, 0, DMA_READ, now, loaded)
            events = _note(trace, events, index, 0, REQUANTIZE, now, worked)
            events = _note(trace, events, index, 0, DMA_WRITE, worked, end)
            result[R_READ_BITS], result[R_WRITE_BITS] = read, write
            result[R_END] = now = np.ceil(end)
            continue
        now += layer.extra_cycles  # ASQ's factor must be known before the first value is quantized
        count = _fill_tiles(layers[index], machine_row, rates, tiles)
        out_bits = layer.out_bits / max(layer.outputs, 1)
        array_free, vector_free, written, drained = now, now, now, now
        stream_before = 0.0
        bits = _read_bits(tiles[0], layer)
        loaded = served(channel, now, bits)
        events = _note(trace, events, index, 0, DMA_READ, now, loaded)
        result[R_READ_BITS] += bits
        for i in range(count):
            tile = tiles[i]
            begin = max(array_free, loaded)
            load = tile[T_LOAD]
            if machine.hide_load and i > 0:
                load = max(0.0, load - stream_before)
            stream_before = tile[T_STREAM]
            done = begin + load + tile[T_STREAM]
            result[R_ARRAY] += load + tile[T_STREAM]
            events = _note(trace, events, index, i, ARRAY, begin, done)
            array_free = done
            if tile[T_SPILL] > 0:  # sums that do not fit leave before they come back
                written = served(channel, done, tile[T_SPILL])
                events = _note(trace, events, index, i, DMA_WRITE, done, written)
                result[R_WRITE_BITS] += tile[T_SPILL]
            # The next tile's operands: asked for when this tile began and half a scratchpad was free.
            if i + 1 < count:
                bits = _read_bits(tiles[i + 1], layer)
                ask = written if tiles[i + 1, T_PSUM] > 0 else begin
                loaded = begin
                if bits > 0:
                    loaded = served(channel, ask, bits)
                    events = _note(trace, events, index, i + 1, DMA_READ, ask, loaded)
                    result[R_READ_BITS] += bits
            if tile[T_OUTPUTS] > 0:
                ready = max(done, vector_free)
                work = tile[T_OUTPUTS] / machine.lanes if machine.lanes else 0.0
                vector_free = ready + work
                events = _note(trace, events, index, i, REQUANTIZE, ready, vector_free)
                # One half of the ofmap scratchpad empties while the other fills: wait for the half before.
                array_free = max(array_free, drained)
                drained = vector_free
                if layer.write_ofmap:
                    bits = tile[T_OUTPUTS] * out_bits
                    written = served(channel, vector_free, bits)
                    events = _note(trace, events, index, i, DMA_WRITE, vector_free, written)
                    result[R_WRITE_BITS] += bits
                    drained = written
        result[R_TILES] = count
        result[R_END] = np.ceil(max(max(array_free, vector_free), written))
        now = result[R_END]
    return events


@njit(cache=True, inline="always")
def _note(trace, events, layer, tile, unit, start, end):
    if events < trace.shape[0] and end > start:
        trace[events, 0], trace[events, 1], trace[events, 2] = layer, tile, unit
        trace[events, 3], trace[events, 4] = start, end
        return events + 1
    return events
