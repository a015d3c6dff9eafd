"""SCALE-Sim 3's double-buffered scratchpads, replayed element by element in numba.

SCALE-Sim lays out every cycle's addresses as matrices and passes them line by line to three buffer objects. Here
the addresses are made from fold and cycle as they are needed, and a buffer is a few integers and one array, so
that nothing grows with the number of cycles. Stalls, DRAM accesses and first and last cycles come out the same,
its oddities included; an oddity that matters is said beside the code.

Cost: some ns per element that enters or leaves the array; one integer of memory per address, and in USER mode
one per prefetched element.
"""

from __future__ import annotations

import numpy as np
from numba import njit

WS, OS, IS = 0, 1, 2
NEVER = -(1 << 40)

# Columns of a result: see :func:`replay`.
FIELDS = (
    "total_cycles", "stall_cycles",
    "ifmap_sram_start", "ifmap_sram_stop", "filter_sram_start", "filter_sram_stop", "ofmap_sram_start", "ofmap_sram_stop",
    "ifmap_dram_start", "ifmap_dram_stop", "ifmap_dram_reads",
    "filter_dram_start", "filter_dram_stop", "filter_dram_reads",
    "ofmap_dram_start", "ofmap_dram_stop", "ofmap_dram_writes",
)  # fmt: skip

# Read buffer in CALC mode: it prefetches sets of unique addresses, 100 sets to a buffer, half of them active.
WORDS, SETS, PARTIAL, OPEN, CLOSE, PRIMED, FETCH_FROM, FETCH_TO, FIRST, READS, DRAM_FROM, DRAM_TO = range(12)


@njit(cache=True)
def _estimator(total_words):
    state = np.zeros(12, np.int64)
    state[WORDS] = total_words // 100
    state[CLOSE] = 49
    state[FETCH_FROM], state[FETCH_TO] = -2, -1
    state[FIRST] = state[DRAM_FROM] = state[DRAM_TO] = NEVER
    return state


@njit(cache=True, inline="always")
def _estimate(state, newest, address, cycle, bandwidth):
    """One address asked for. ``newest[address]`` is the last set that it went into; the window is OPEN .. SETS."""
    if state[FIRST] == NEVER:
        state[FIRST] = cycle
    if newest[address] >= state[OPEN]:
        return
    newest[address] = state[SETS]
    state[PARTIAL] += 1
    if state[PARTIAL] < state[WORDS]:
        return
    state[PARTIAL] = 0
    state[SETS] += 1
    if state[SETS] != state[CLOSE] + 1:
        return
    if state[PRIMED] == 0:
        _prime(state, state[FIRST] - 2, 50 * state[WORDS], bandwidth)
    state[READS] += 50 * state[WORDS]
    state[OPEN] += 50
    state[CLOSE] += 50
    state[FETCH_FROM] = state[FETCH_TO] + 1
    state[FETCH_TO] = cycle


@njit(cache=True)
def _prime(state, last, words, bandwidth):
    """The first prefetch ends one DRAM latency before the first request."""
    state[PRIMED] = 1
    state[FETCH_TO] = last
    state[FETCH_FROM] = last - (words + bandwidth - 1) // bandwidth + 1
    state[DRAM_FROM] = state[FETCH_FROM] + 1


@njit(cache=True)
def _complete(state, bandwidth):
    """Prefetch what is left; a set that is not full takes the time of a full one if nothing was prefetched."""
    filled = state[SETS] * state[WORDS] + state[PARTIAL]
    if state[PRIMED] == 0:
        sets = state[SETS] + (1 if state[PARTIAL] > 0 else 0)
        _prime(state, -2, sets * state[WORDS], bandwidth)
    state[READS] = filled
    state[DRAM_TO] = state[FETCH_TO] + 1


# Read buffer in USER mode: the whole prefetch order is known; a miss moves the window until it hits.
LINES, ACTIVE, AHEAD, START, END, LAST, WORDS_A_CYCLE, BUFFER_LINES, USER_READS, USER_FROM, READY = range(11)


@njit(cache=True)
def _prefetcher(total_words, bandwidth, elements, addresses):
    """``elements`` of the prefetch matrix, of which ``addresses`` are not empty."""
    state = np.zeros(11, np.int64)
    active = (total_words + 1) // 2
    words = (total_words + 99) // 100
    sets = addresses // words + 1
    state[LINES] = sets
    state[ACTIVE] = min(sets, (active + words - 1) // words)
    state[AHEAD] = min(sets - state[ACTIVE], (total_words - active + words - 1) // words)
    state[WORDS_A_CYCLE] = bandwidth
    # A prefetch takes this many DRAM lines, the first at most all that there are.
    state[BUFFER_LINES] = (total_words - active + bandwidth - 1) // bandwidth
    first = min((active + bandwidth - 1) // bandwidth, (elements + bandwidth - 1) // bandwidth)
    state[END] = state[ACTIVE]
    state[USER_READS] = first * bandwidth
    state[USER_FROM] = -first
    state[LAST] = -1
    return state


@njit(cache=True)
def _hit(state, pointer, sets, address):
    """Whether one of the address's sets is in the window, which wraps round."""
    for i in range(pointer[address], pointer[address + 1]):
        s = sets[i]
        if state[START] < state[END]:
            if state[START] <= s < state[END]:
                return True
        elif s >= state[START] or s < state[END]:
            return True
    return False


@njit(cache=True)
def _fetch(state, pointer, sets, address, cycle, offset):
    """Prefetch until the address is there; returns the line's offset. SCALE-Sim adds a positive wait twice, and
    a prefetch that comes early takes its lead off the line's hit latency."""
    while not _hit(state, pointer, sets, address):
        state[START] = (state[START] + state[AHEAD]) % state[LINES]
        state[END] = (state[START] + state[ACTIVE]) % state[LINES]
        state[USER_READS] += state[BUFFER_LINES] * state[WORDS_A_CYCLE]
        state[LAST] += state[BUFFER_LINES] + 1
        wait = state[LAST] - (cycle + offset)
        offset += wait
        if wait > 0:
            offset += wait
    return offset


# Write buffer: words collect in DRAM lines; when half of the buffer is full, half is drained.
FREE, TOTAL, DRAIN, LINE, FILLED, DRAINED, BUSY, WRITES, WRITE_FROM, WRITE_TO, WIDTH = range(11)


@njit(cache=True)
def _writer(total_words, bandwidth):
    state = np.zeros(11, np.int64)
    state[FREE] = state[TOTAL] = total_words
    state[DRAIN] = total_words - (total_words + 1) // 2
    state[WIDTH] = bandwidth
    state[WRITE_FROM] = state[WRITE_TO] = NEVER
    return state


@njit(cache=True)
def _drain(state, lines, cycle):
    """Write half a buffer of lines to DRAM, one a cycle. Empty places count as data but in the last line."""
    if state[LINE] > 0:
        lines[state[FILLED]] = state[LINE]
        state[FILLED] += 1
        state[LINE] = 0
    end = min(state[DRAINED] + (state[DRAIN] + state[WIDTH] - 1) // state[WIDTH], state[FILLED])
    count = end - state[DRAINED]
    if count == 0:
        return cycle
    words = (count - 1) * state[WIDTH] + lines[end - 1]
    state[WRITES] += words
    state[FREE] += words
    # The last drain begins with the last write, even if an earlier one is not through: keep the extremes.
    state[WRITE_FROM] = cycle if state[WRITE_FROM] == NEVER else min(state[WRITE_FROM], cycle)
    state[WRITE_TO] = max(state[WRITE_TO], cycle + count - 1)
    state[DRAINED] = end
    return cycle + count - 1


@njit(cache=True)
def _write(state, lines, count, cycle):
    """``count`` words written in a cycle; returns the cycle in which the last of them is in the buffer."""
    for _ in range(count):
        state[LINE] += 1
        state[FREE] -= 1
        if state[LINE] == state[WIDTH]:
            lines[state[FILLED]] = state[WIDTH]
            state[FILLED] += 1
            state[LINE] = 0
        if cycle < state[BUSY]:
            if state[FREE] <= 0:
                cycle = state[BUSY]
        elif state[FREE] < state[TOTAL] - state[DRAIN]:
            state[BUSY] = _drain(state, lines, cycle)
    return cycle


# An operand's stream in a fold: entry (t, r), t < steps, r < lanes, is asked for at line start + t + skew * r.
# It is element (i, j) = (i0 + it * t + ir * r, j0 + jt * t + jr * r) of the operand: of the input map
# (pixel, k), of the weights (k, filter).


@njit(cache=True)
def _ifmap_stream(dataflow, fold_row, fold_col, rows, cols, m, n, k):
    """(start, skew, steps, lanes, i0, it, ir, j0, jt, jr)"""
    if dataflow == WS:
        k0 = fold_row * rows
        return rows, 1, m, min(rows, k - k0), 0, 1, 0, k0, 0, 1
    if dataflow == IS:
        k0, p0 = fold_row * rows, fold_col * cols
        used = min(rows, k - k0)
        return rows - used, 0, used, min(cols, m - p0), p0, 0, 1, k0 + used - 1, -1, 0
    p0 = fold_row * rows
    return 0, 1, k, min(rows, m - p0), p0, 0, 1, 0, 1, 0


@njit(cache=True)
def _filter_stream(dataflow, fold_row, fold_col, rows, cols, m, n, k):
    """(start, skew, steps, lanes, i0, it, ir, j0, jt, jr)"""
    if dataflow == WS:
        k0, n0 = fold_row * rows, fold_col * cols
        used = min(rows, k - k0)
        return rows - used, 0, used, min(cols, n - n0), k0 + used - 1, -1, 0, n0, 0, 1
    if dataflow == IS:
        k0 = fold_row * rows
        return rows, 1, n, min(rows, k - k0), k0, 0, 1, 0, 1, 0
    n0 = fold_col * cols
    return 0, 1, k, min(cols, n - n0), 0, 1, 0, n0, 0, 1


@njit(cache=True)
def _ofmap_stream(dataflow, fold_row, fold_col, rows, cols, m, n, k):
    """(start, steps, lanes); always skewed."""
    if dataflow == WS:
        return 2 * rows - 1, m, min(cols, n - fold_col * cols)
    if dataflow == IS:
        return 2 * rows - 1, n, min(cols, m - fold_col * cols)
    used = min(rows, m - fold_row * rows)
    return k - 1 + rows - used, used, min(cols, n - fold_col * cols)


@njit(cache=True)
def _windows(shape, m, k):
    """(row, column, address) of each output pixel's window, and of each product within a window; int64 (m, 3), (k, 3).

    shape: H, W, C, R, S, stride height, stride width, output width. Addresses run over columns, then channels.
    """
    pixels, products = np.empty((m, 3), np.int64), np.empty((k, 3), np.int64)
    for p in range(m):
        row, column = (p // shape[7]) * shape[5], (p % shape[7]) * shape[6]
        pixels[p, 0], pixels[p, 1], pixels[p, 2] = row, column, (row * shape[1] + column) * shape[2]
    across = shape[4] * shape[2]
    for j in range(k):
        row, column = j // across, (j % across) // shape[2]
        products[j, 0], products[j, 1] = row, column
        products[j, 2] = (row * shape[1] + column) * shape[2] + j % shape[2]
    return pixels, products


@njit(cache=True, inline="always")
def _ifmap_address(pixels, products, height, width, pixel, product):
    """Address of an input value, -1 where the window hangs over the map."""
    if pixels[pixel, 0] + products[product, 0] >= height or pixels[pixel, 1] + products[product, 1] >= width:
        return -1
    return pixels[pixel, 2] + products[product, 2]


@njit(cache=True)
def _fetch_sets(ifmap, dataflow, rows, cols, m, n, k, pixels, products, height, width, size, words):
    """Prefetch order of an operand in USER mode, by address: (pointer, sets, elements, addresses).

    The sets of an address are ``sets[pointer[a] : pointer[a + 1]]``, ascending.
    """
    row_folds = ((k if dataflow != OS else m) + rows - 1) // rows
    col_folds = ((n if dataflow != IS else m) + cols - 1) // cols
    # The streamed operands are fetched along the skew, the loaded one row by row.
    if ifmap:
        folds, lanes, diagonal = (col_folds, cols, False) if dataflow == IS else (row_folds, rows, True)
        steps = m if dataflow == WS else k
    else:
        folds, lanes, diagonal = (
            (row_folds, rows, True) if dataflow == IS else (col_folds, cols, dataflow == OS)
        )
        steps = n if dataflow == IS else k
    matrix_rows = folds * steps
    pointer = np.zeros(size + 1, np.int64)
    newest = np.full(size, -1, np.int64)
    sets = np.zeros(0, np.int64)
    addresses = 0
    for fill in range(2):
        addresses = 0
        newest[:] = -1
        if fill == 1:
            for a in range(size):
                pointer[a + 1] += pointer[a]
            sets = np.zeros(pointer[size], np.int64)
            place = pointer[:size].copy()
        for outer in range(matrix_rows + lanes - 1 if diagonal else matrix_rows):
            low = max(0, outer - lanes + 1) if diagonal else 0
            high = min(outer, matrix_rows - 1) if diagonal else lanes - 1
            for inner in range(high - low + 1):
                if diagonal:
                    line = high - inner
                    lane = outer - line
                else:
                    line, lane = outer, inner
                fold, t = line // steps, line % steps
                address = -1
                if ifmap:
                    pixel, product = (t, fold * lanes + lane) if dataflow == WS else (fold * lanes + lane, t)
                    if pixel < m and product < k:
                        address = _ifmap_address(pixels, products, height, width, pixel, product)
                else:
                    product, filters = (
                        (fold * lanes + lane, t) if dataflow == IS else (t, fold * lanes + lane)
                    )
                    if product < k and filters < n:
                        address = filters * k + product
                if address < 0:
                    continue
                s = addresses // words
                addresses += 1
                if newest[address] == s:
                    continue
                newest[address] = s
                if fill == 0:
                    pointer[address + 1] += 1
                else:
                    sets[place[address]] = s
                    place[address] += 1
    return pointer, sets, matrix_rows * lanes, addresses


@njit(cache=True)
def replay(dataflow, rows, cols, m, n, k, shape, buffers, user, bandwidths, out):
    """Run one layer through the buffers.

    Parameters
    ----------
    dataflow : int
        WS, OS or IS.
    rows, cols, m, n, k : int
        Array, and the layer as a matrix product.
    shape : int64 (8,)
        Of the input map: H, W, C, filter R, S, stride height, width, output width.
    buffers : int64 (3,)
        Words of the ifmap, filter and ofmap buffers.
    user : bool
        USER mode (buffers wait for DRAM), else CALC.
    bandwidths : int64 (3,)
        Words a cycle: ifmap, filter, ofmap.
    out : int64 (17,)
        Filled with :data:`FIELDS`.
    """
    row_folds = ((k if dataflow != OS else m) + rows - 1) // rows
    col_folds = ((n if dataflow != IS else m) + cols - 1) // cols
    steps = m if dataflow == WS else (n if dataflow == IS else k)
    per_fold = steps + rows + cols - 2 + (0 if dataflow == OS else rows)
    ifmap_size, filter_size = shape[0] * shape[1] * shape[2], n * k
    height, width = shape[0], shape[1]
    pixels, products = _windows(shape, m, k)
    ifmap_newest = np.full(0 if user else ifmap_size, -1, np.int64)
    filter_newest = np.full(0 if user else filter_size, -1, np.int64)
    ifmap, filters = _estimator(buffers[0]), _estimator(buffers[1])
    if user:
        words = (buffers[0] + 99) // 100
        ifmap_pointer, ifmap_sets, elements, addresses = _fetch_sets(
            True, dataflow, rows, cols, m, n, k, pixels, products, height, width, ifmap_size, words
        )
        ifmap_user = _prefetcher(buffers[0], bandwidths[0], elements, addresses)
        words = (buffers[1] + 99) // 100
        filter_pointer, filter_sets, elements, addresses = _fetch_sets(
            False, dataflow, rows, cols, m, n, k, pixels, products, height, width, filter_size, words
        )
        filter_user = _prefetcher(buffers[1], bandwidths[1], elements, addresses)
    else:
        ifmap_pointer = ifmap_sets = filter_pointer = filter_sets = np.zeros(0, np.int64)
        ifmap_user = filter_user = np.zeros(11, np.int64)
    writer = _writer(buffers[2], bandwidths[2])
    writes = (m * n) * (1 if dataflow == OS else row_folds)
    # A drain may close a line before it is full; there is at most one drain per cycle.
    lines = np.zeros(writes // bandwidths[2] + min(writes, row_folds * col_folds * per_fold) + 2, np.int64)
    out[:] = NEVER
    stalls, last_written, total = 0, 0, 0
    line_number = 0
    for fold_col in range(col_folds):
        for fold_row in range(row_folds):
            i_start, i_skew, i_steps, i_lanes, ia, ib, ic, ja, jb, jc = _ifmap_stream(
                dataflow, fold_row, fold_col, rows, cols, m, n, k
            )
            f_start, f_skew, f_steps, f_lanes, fa, fb, fc, ga, gb, gc = _filter_stream(
                dataflow, fold_row, fold_col, rows, cols, m, n, k
            )
            o_start, o_steps, o_lanes = _ofmap_stream(dataflow, fold_row, fold_col, rows, cols, m, n, k)
            for line in range(per_fold):
                cycle = line_number + stalls
                line_number += 1
                worst = 0
                # Input map.
                at = line - i_start
                low = max(0, at - i_steps + 1) if i_skew else 0
                high = min(i_lanes - 1, at) if i_skew else (i_lanes - 1 if 0 <= at < i_steps else -1)
                offset, asked = 1, False
                for r in range(low, high + 1):
                    t = at - i_skew * r
                    address = _ifmap_address(
                        pixels, products, height, width, ia + ib * t + ic * r, ja + jb * t + jc * r
                    )
                    if address < 0:
                        continue
                    asked = True
                    if user:
                        offset = _fetch(ifmap_user, ifmap_pointer, ifmap_sets, address, cycle, offset)
                    else:
                        _estimate(ifmap, ifmap_newest, address, cycle, bandwidths[0])
                if asked:
                    if out[2] == NEVER:
                        out[2] = cycle + offset
                    out[3] = cycle + offset
                wait = offset - 1
                # Weights.
                at = line - f_start
                low = max(0, at - f_steps + 1) if f_skew else 0
                high = min(f_lanes - 1, at) if f_skew else (f_lanes - 1 if 0 <= at < f_steps else -1)
                offset = 1
                for r in range(low, high + 1):
                    t = at - f_skew * r
                    address = (ga + gb * t + gc * r) * k + fa + fb * t + fc * r
                    if user:
                        offset = _fetch(filter_user, filter_pointer, filter_sets, address, cycle, offset)
                    else:
                        _estimate(filters, filter_newest, address, cycle, bandwidths[1])
                if high >= low:
                    if out[4] == NEVER:
                        out[4] = cycle + offset
                    out[5] = cycle + offset
                wait = max(wait, offset - 1)
                # Outputs.
                at = line - o_start
                count = min(o_lanes - 1, at) - max(0, at - o_steps + 1) + 1
                last_written = cycle
                if count > 0:
                    last_written = _write(writer, lines, count, cycle)
                    if out[6] == NEVER:
                        out[6] = last_written
                    out[7] = last_written
                total = max(total, last_written)
                worst = max(wait, last_written - cycle)
                stalls += worst
    cycle = last_written
    if writer[LINE] > 0 or writer[DRAINED] < writer[FILLED]:
        while True:
            end = _drain(writer, lines, cycle)
            cycle = end + 1
            if writer[DRAINED] >= writer[FILLED]:
                break
    out[0], out[1] = total, stalls
    if user:
        out[8], out[9], out[10] = ifmap_user[USER_FROM], ifmap_user[LAST], ifmap_user[USER_READS]
        out[11], out[12], out[13] = filter_user[USER_FROM], filter_user[LAST], filter_user[USER_READS]
    else:
        _complete(ifmap, bandwidths[0])
        _complete(filters, bandwidths[1])
        out[8], out[9], out[10] = ifmap[DRAM_FROM], ifmap[DRAM_TO], ifmap[READS]
        out[11], out[12], out[13] = filters[DRAM_FROM], filters[DRAM_TO], filters[READS]
    out[14], out[15], out[16] = writer[WRITE_FROM], writer[WRITE_TO], writer[WRITES]
