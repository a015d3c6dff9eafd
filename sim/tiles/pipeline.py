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

import numpy as np
from numba import njit

from sim.closed_form import OS, WS, operand_traffic
from sim.tiles.banks import ADDED_SUMS, FILTER, FIRST_IFMAP, SUMS
from sim.tiles.dram import transfer

# Columns of a layer's row.
(
    L_KIND, L_M, L_N, L_K, L_GROUPS, L_IFMAP_BITS, L_FILTER_BITS, L_READ_IFMAP, L_WRITE_OFMAP, L_OUTPUTS,
    L_VECTOR_INPUTS, L_PSUM_BITS, L_OUT_BITS, L_EXTRA_CYCLES, L_RATES,
    L_RATE_FOLDS,
) = range(16)  # fmt: skip
LAYER_COLUMNS = 16
KIND_MAC, KIND_VECTOR = 0, 1

# Columns of the machine's row (int64).
(
    M_ROWS, M_COLS, M_DATAFLOW, M_IFMAP_BYTES, M_FILTER_BYTES, M_OFMAP_BYTES, M_LANES, M_HIDE_LOAD, M_STAGES,
    M_IFMAP_WORDS, M_FILTER_WORDS, M_OFMAP_WORDS, M_DRAM_PAGES, M_SHARERS,
) = range(14)  # fmt: skip

# Columns of a layer's result.
(
    R_START, R_END, R_ARRAY, R_TILES, R_READ_BITS, R_WRITE_BITS, R_VECTOR,
) = range(7)  # fmt: skip
RESULT_COLUMNS = 7

# Columns of a traced event: layer, tile, unit, start, end.
UNITS = ("DMA read", "Array", "Requantize", "DMA write")
TRACE_COLUMNS = 5


@njit(cache=True, inline="always")
def _dram(pages, timing, state, bandwidth, latency, start, bits):
    """End of a transfer of ``bits``; ``pages`` is 0 or the arrays that ask for as much at the same time."""
    if bits <= 0:
        return start
    if pages:
        # The bus serves one after the other; all wait for the last, since they go on alike.
        end = start
        for _ in range(pages):
            end = transfer(timing, state, start, bits / 8)
        return end
    begin = max(state[0], start + latency)
    state[0] = begin + bits / (8 * bandwidth)
    return state[0]


@njit(cache=True)
def layer_tiles(layer, machine):
    """(tiles, length of a part, spilled) of a MAC layer; the parts are the closed form's."""
    rows, cols = machine[M_ROWS], machine[M_COLS]
    m, n, k, groups = layer[L_M], layer[L_N], layer[L_K], layer[L_GROUPS]
    if machine[M_DATAFLOW] == OS:
        return groups * ((m + rows - 1) // rows) * ((n + cols - 1) // cols), m, 0
    fold_k = (k + rows - 1) // rows
    if machine[M_DATAFLOW] == WS:
        across, stream = n, m
        kept, kept_bytes = layer[L_FILTER_BITS], machine[M_FILTER_BYTES]
        streamed, streamed_bytes = layer[L_IFMAP_BITS], machine[M_IFMAP_BYTES]
    else:
        across, stream = m, n
        kept, kept_bytes = layer[L_IFMAP_BITS], machine[M_IFMAP_BYTES]
        streamed, streamed_bytes = layer[L_FILTER_BITS], machine[M_FILTER_BYTES]
    outer = (across + cols - 1) // cols
    spilled, _, length = operand_traffic(
        fold_k, outer, groups * m * n, stream, stream * min(across, cols), layer[L_PSUM_BITS], machine[M_OFMAP_BYTES],
        kept, kept_bytes, streamed, streamed_bytes,
    )  # fmt: skip
    parts = (stream + length - 1) // length
    return groups * parts * outer * fold_k, length, 1 if spilled > 0 else 0


# Columns of a tile: bits to read of ifmap, weights, waiting sums; cycles of loading and of streaming; outputs
# that are finished; bits of sums to write.
T_IFMAP, T_FILTER, T_PSUM, T_LOAD, T_STREAM, T_OUTPUTS, T_SPILL = range(7)
TILE_COLUMNS = 7


@njit(cache=True, inline="always")
def _rate(layer, rates, which):
    """Cycles per vector of a banked scratchpad (:mod:`sim.tiles.banks`); 1 without banks."""
    return 1.0 if layer[L_RATES] < 0 else rates[layer[L_RATES] + which]


@njit(cache=True)
def _fill_os(layer, machine, rates, tiles):
    """Tiles of an output-stationary layer."""
    rows, cols = machine[M_ROWS], machine[M_COLS]
    m, n, k, groups = layer[L_M], layer[L_N], layer[L_K], layer[L_GROUPS]
    fold_m, fold_n = (m + rows - 1) // rows, (n + cols - 1) // cols
    ifmap_fits = layer[L_IFMAP_BITS] <= 4 * machine[M_IFMAP_BYTES]
    filter_fits = layer[L_FILTER_BITS] <= 4 * machine[M_FILTER_BYTES]
    # The inner loop's operand is read again for each turn of the outer loop, unless it fits.
    ifmap_inner = not filter_fits and (
        ifmap_fits or (fold_m - 1) * layer[L_FILTER_BITS] > (fold_n - 1) * layer[L_IFMAP_BITS]
    )
    words = max(_slow(rows, machine[M_IFMAP_WORDS]), _slow(cols, machine[M_FILTER_WORDS]))
    words = max(words, _rate(layer, rates, FILTER))
    drain = max(_slow(cols, machine[M_OFMAP_WORDS]), _rate(layer, rates, SUMS))
    image_folds = max(1, layer[L_RATE_FOLDS])
    i = 0
    for _ in range(groups):
        for outer in range(fold_n if ifmap_inner else fold_m):
            for inner in range(fold_m if ifmap_inner else fold_n):
                fm, fn = (inner, outer) if ifmap_inner else (outer, inner)
                used_m, used_n = min(rows, m - fm * rows), min(cols, n - fn * cols)
                read_ifmap = (fn == 0 or not ifmap_fits) if ifmap_inner else inner == 0
                read_filter = inner == 0 if ifmap_inner else (fm == 0 or not filter_fits)
                tiles[i, T_IFMAP] = layer[L_IFMAP_BITS] / groups * used_m / m if read_ifmap else 0
                tiles[i, T_FILTER] = layer[L_FILTER_BITS] / groups * used_n / n if read_filter else 0
                tiles[i, T_PSUM] = tiles[i, T_LOAD] = tiles[i, T_SPILL] = 0
                slow = max(words, _rate(layer, rates, FIRST_IFMAP + fm % image_folds))
                tiles[i, T_STREAM] = np.ceil(k * slow + (rows - 1) * drain) + cols - 1 + machine[M_STAGES]
                tiles[i, T_OUTPUTS] = used_m * used_n
                i += 1
    return i


@njit(cache=True)
def _fill_tiles(layer, machine, rates, tiles):
    """Fill ``tiles`` with a MAC layer's tiles in the order in which they run; returns how many."""
    if machine[M_DATAFLOW] == OS:
        return _fill_os(layer, machine, rates, tiles)
    rows, cols = machine[M_ROWS], machine[M_COLS]
    m, n, k, groups = layer[L_M], layer[L_N], layer[L_K], layer[L_GROUPS]
    _, step, spill = layer_tiles(layer, machine)
    weights_kept = machine[M_DATAFLOW] == WS
    across, stream = (n, m) if weights_kept else (m, n)
    ifmap_bits, filter_bits = layer[L_IFMAP_BITS], layer[L_FILTER_BITS]
    kept, kept_bytes = (
        (filter_bits, machine[M_FILTER_BYTES]) if weights_kept else (ifmap_bits, machine[M_IFMAP_BYTES])
    )
    streamed, streamed_bytes = (
        (ifmap_bits, machine[M_IFMAP_BYTES]) if weights_kept else (filter_bits, machine[M_FILTER_BYTES])
    )
    words = _slow(rows, machine[M_IFMAP_WORDS] if weights_kept else machine[M_FILTER_WORDS])
    outer, fold_k = (across + cols - 1) // cols, (k + rows - 1) // rows
    kept_stays = kept <= 4 * kept_bytes
    streamed_stays = streamed * step <= 4 * streamed_bytes * stream
    i = 0
    for _ in range(groups):
        for first in range(0, stream, step):
            length = min(step, stream - first)
            for fold in range(outer):
                used = min(cols, across - fold * cols)
                for fk in range(fold_k):
                    used_k = min(rows, k - fk * rows)
                    kept_bits = (
                        kept / groups * used / across * used_k / k if first == 0 or not kept_stays else 0.0
                    )
                    streamed_bits = streamed / groups * length / stream * used_k / k
                    if fold > 0 and streamed_stays:
                        streamed_bits = 0.0
                    tiles[i, T_IFMAP] = streamed_bits if weights_kept else kept_bits
                    tiles[i, T_FILTER] = kept_bits if weights_kept else streamed_bits
                    sums = length * used * layer[L_PSUM_BITS]
                    tiles[i, T_PSUM] = sums if spill and fk > 0 else 0
                    tiles[i, T_SPILL] = sums if spill and fk < fold_k - 1 else 0
                    ifmap = _rate(layer, rates, FIRST_IFMAP + fk)
                    filters = _rate(layer, rates, FILTER)
                    tiles[i, T_LOAD] = np.ceil(rows * (filters if weights_kept else ifmap))
                    # From the second k-fold on, sums are read as well as written.
                    slow = max(words, _slow(cols if fk == 0 else 2 * cols, machine[M_OFMAP_WORDS]))
                    slow = max(slow, ifmap if weights_kept else filters)
                    slow = max(slow, _rate(layer, rates, SUMS if fk == 0 else ADDED_SUMS))
                    tiles[i, T_STREAM] = np.ceil(length * slow) + rows + cols - 2 + machine[M_STAGES]
                    tiles[i, T_OUTPUTS] = length * used if fk == fold_k - 1 else 0
                    i += 1
    return i


@njit(cache=True, inline="always")
def _read_bits(tile, layer):
    """Bits that a tile brings from DRAM; an input map that the layer before left on chip is not among them."""
    bits = tile[T_FILTER] + tile[T_PSUM]
    return bits + tile[T_IFMAP] if layer[L_READ_IFMAP] else bits


@njit(cache=True, inline="always")
def _slow(words, available):
    """How many cycles a line of ``words`` takes at ``available`` words a cycle (0: as many as needed)."""
    return 1 if available == 0 else (words + available - 1) // available


@njit(cache=True)
def run(layers, machine, timing, bandwidth, latency, rates, tiles, results, trace):
    """All layers, one after another.

    Parameters
    ----------
    layers : int64 (L, 16)
    machine : int64 (14,)
    timing : float64 (10,)
        :meth:`sim.tiles.dram.DramTiming.scaled`; read if ``machine[M_DRAM_PAGES]``.
    bandwidth : float
        Bytes a cycle of the plain model.
    latency : float
        Cycles from asking to the first byte, plain model.
    rates : float64
        :func:`sim.tiles.banks.rates` of the layers, each from its row's ``L_RATES`` on.
    tiles : float64 (T, 7)
        Scratch, as long as the longest layer.
    results : float64 (L, 7)
        Filled; times in cycles.
    trace : float64 (E, 5)
        Filled with events as far as it goes; empty for none. Returns the number of events.
    """
    state = np.zeros(4 + int(timing[2]))
    pages = machine[M_SHARERS] if machine[M_DRAM_PAGES] != 0 else 0
    now = 0.0
    events = 0
    for index in range(layers.shape[0]):
        layer = layers[index]
        result = results[index]
        result[:] = 0
        result[R_START] = now
        if layer[L_KIND] == KIND_VECTOR:
            read = layer[L_IFMAP_BITS] if layer[L_READ_IFMAP] else 0
            write = layer[L_OUT_BITS] if layer[L_WRITE_OFMAP] else 0
            work = layer[L_VECTOR_INPUTS] / machine[M_LANES] if machine[M_LANES] else 0.0
            # Streams through: reading, working and writing overlap but for the first latency.
            loaded = _dram(pages, timing, state, bandwidth, latency, now, read)
            worked = max(now + work, loaded)
            end = max(worked, _dram(pages, timing, state, bandwidth, latency, max(now, loaded), write))
            events = _note(trace, events, index, 0, 0, now, loaded)
            events = _note(trace, events, index, 0, 2, now, worked)
            events = _note(trace, events, index, 0, 3, worked, end)
            result[R_VECTOR], result[R_READ_BITS], result[R_WRITE_BITS] = work, read, write
            result[R_END] = now = np.ceil(end)
            continue
        now += layer[L_EXTRA_CYCLES]  # ASQ's factor must be known before the first value is quantized
        count = _fill_tiles(layer, machine, rates, tiles)
        out_bits = layer[L_OUT_BITS] / max(layer[L_OUTPUTS], 1)
        array_free, vector_free, written, drained = now, now, now, now
        stream_before = 0.0
        bits = _read_bits(tiles[0], layer)
        loaded = _dram(pages, timing, state, bandwidth, latency, now, bits)
        events = _note(trace, events, index, 0, 0, now, loaded)
        result[R_READ_BITS] += bits
        for i in range(count):
            tile = tiles[i]
            begin = max(array_free, loaded)
            load = tile[T_LOAD]
            if machine[M_HIDE_LOAD] and i > 0:
                load = max(0.0, load - stream_before)
            stream_before = tile[T_STREAM]
            done = begin + load + tile[T_STREAM]
            result[R_ARRAY] += load + tile[T_STREAM]
            events = _note(trace, events, index, i, 1, begin, done)
            array_free = done
            if tile[T_SPILL] > 0:  # sums that do not fit leave before they come back
                written = _dram(pages, timing, state, bandwidth, latency, done, tile[T_SPILL])
                events = _note(trace, events, index, i, 3, done, written)
                result[R_WRITE_BITS] += tile[T_SPILL]
            # The next tile's operands: asked for when this tile began and half a scratchpad was free.
            if i + 1 < count:
                bits = _read_bits(tiles[i + 1], layer)
                ask = written if tiles[i + 1, T_PSUM] > 0 else begin
                loaded = begin
                if bits > 0:
                    loaded = _dram(pages, timing, state, bandwidth, latency, ask, bits)
                    events = _note(trace, events, index, i + 1, 0, ask, loaded)
                    result[R_READ_BITS] += bits
            if tile[T_OUTPUTS] > 0:
                ready = max(done, vector_free)
                work = tile[T_OUTPUTS] / machine[M_LANES] if machine[M_LANES] else 0.0
                vector_free = ready + work
                result[R_VECTOR] += work
                events = _note(trace, events, index, i, 2, ready, vector_free)
                # One half of the ofmap scratchpad empties while the other fills: wait for the half before.
                array_free = max(array_free, drained)
                drained = vector_free
                if layer[L_WRITE_OFMAP]:
                    bits = tile[T_OUTPUTS] * out_bits
                    written = _dram(pages, timing, state, bandwidth, latency, vector_free, bits)
                    events = _note(trace, events, index, i, 3, vector_free, written)
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
