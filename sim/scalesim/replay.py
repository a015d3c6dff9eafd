"""SCALE-Sim 3's double-buffered scratchpads, replayed request by request in numba.

SCALE-Sim lays out every cycle's addresses as matrices and passes them line by line to three buffer objects. Here
the addresses are made from fold and line as they are needed (:mod:`sim.scalesim.streams`), and a buffer is a few
integers and one array, so that nothing grows with the number of cycles. Stalls, DRAM accesses and first and last
cycles come out the same, its oddities included; an oddity that matters is said beside the code.

Cost: some ns per word that enters or leaves the array. Memory: one integer per address, and in USER mode one per
prefetched word. CALC mode has closed forms too (:mod:`sim.scalesim.calc`); this replay is what they are tested
against, what USER mode takes, and what makes the traces (:mod:`sim.scalesim.trace`).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from hw.machine.dataflows import IS, OS, WS
from sim.scalesim.streams import (
    FILTER,
    IFMAP,
    OFMAP,
    Shape,
    folds,
    ifmap_address,
    ifmap_size,
    lanes,
    present,
    stream,
)

NEVER = -(1 << 40)

# A result: see :func:`finish`.
FIELDS = (
    "total_cycles", "stall_cycles",
    "ifmap_sram_start", "ifmap_sram_stop", "filter_sram_start", "filter_sram_stop", "ofmap_sram_start", "ofmap_sram_stop",
    "ifmap_dram_start", "ifmap_dram_stop", "ifmap_dram_reads",
    "filter_dram_start", "filter_dram_stop", "filter_dram_reads",
    "ofmap_dram_start", "ofmap_dram_stop", "ofmap_dram_writes",
)  # fmt: skip

# Read buffer in CALC mode: it prefetches sets of unique addresses, 100 sets to a buffer, half of them active. A
# buffer that has taken in half its sets prefetches the other half, and forgets what it had.
SETS, HALF = 100, 50
WORDS, SET, PARTIAL, OPEN, PRIMED, FETCH_FROM, FETCH_TO, FIRST, READS, DRAM_FROM, DRAM_TO = range(11)


@njit(cache=True, nogil=True)
def estimator(total_words):
    """State of a read buffer in CALC mode."""
    state = np.zeros(11, np.int64)
    state[WORDS] = total_words // SETS
    state[FETCH_FROM], state[FETCH_TO] = -2, -1
    state[FIRST] = state[DRAM_FROM] = state[DRAM_TO] = NEVER
    return state


@njit(cache=True, inline="always")
def _estimate(state, newest, address, cycle, bandwidth):
    """One address asked for: (whether it is new, whether half a buffer is now full and the next is prefetched).

    ``newest[address]`` is the last set that it went into.
    """
    if state[FIRST] == NEVER:
        state[FIRST] = cycle
    if newest[address] >= state[OPEN]:
        return False, False
    newest[address] = state[SET]
    state[PARTIAL] += 1
    if state[PARTIAL] < state[WORDS]:
        return True, False
    state[PARTIAL] = 0
    state[SET] += 1
    if state[SET] != state[OPEN] + HALF:
        return True, False
    if state[PRIMED] == 0:
        prime(state, state[FIRST] - 2, HALF * state[WORDS], bandwidth)
    state[OPEN] += HALF
    state[FETCH_FROM] = state[FETCH_TO] + 1
    state[FETCH_TO] = cycle
    return True, True


@njit(cache=True, nogil=True)
def prime(state, last, words, bandwidth):
    """The first prefetch ends one DRAM latency before the first request."""
    state[PRIMED] = 1
    state[FETCH_TO] = last
    state[FETCH_FROM] = last - (words + bandwidth - 1) // bandwidth + 1
    state[DRAM_FROM] = state[FETCH_FROM] + 1


@njit(cache=True, nogil=True)
def complete(state, bandwidth):
    """Prefetch what is left; a set that is not full takes the time of a full one if nothing was prefetched."""
    if state[PRIMED] == 0:
        sets = state[SET] + (1 if state[PARTIAL] > 0 else 0)
        prime(state, -2, sets * state[WORDS], bandwidth)
    state[READS] = state[SET] * state[WORDS] + state[PARTIAL]
    state[DRAM_TO] = state[FETCH_TO] + 1


# Read buffer in USER mode: the whole prefetch order is known; a miss moves the window until it hits.
LINES, ACTIVE, AHEAD, START, END, LAST, WORDS_A_CYCLE, BUFFER_LINES, USER_READS, USER_FROM = range(10)


@njit(cache=True, nogil=True)
def _prefetcher(total_words, bandwidth, words, addresses):
    """``words`` of the prefetch matrix, of which ``addresses`` are not empty."""
    state = np.zeros(10, np.int64)
    active = (total_words + 1) // 2
    in_set = (total_words + SETS - 1) // SETS
    sets = addresses // in_set + 1
    state[LINES] = sets
    state[ACTIVE] = min(sets, (active + in_set - 1) // in_set)
    state[AHEAD] = min(sets - state[ACTIVE], (total_words - active + in_set - 1) // in_set)
    state[WORDS_A_CYCLE] = bandwidth
    # A prefetch takes this many DRAM lines, the first at most all that there are.
    state[BUFFER_LINES] = (total_words - active + bandwidth - 1) // bandwidth
    first = min((active + bandwidth - 1) // bandwidth, (words + bandwidth - 1) // bandwidth)
    state[END] = state[ACTIVE]
    state[USER_READS] = first * bandwidth
    state[USER_FROM] = -first
    state[LAST] = -1
    return state


@njit(cache=True, inline="always")
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


@njit(cache=True, nogil=True)
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


@njit(cache=True, nogil=True)
def fetch_order(operand, s):
    """(lines, lanes, diagonal) of the matrix of prefetches in USER mode.

    It is one fold's grid under the other, read row by row where the demand is not skewed, else diagonal by
    diagonal, each from its lowest row.
    """
    down, across, _ = folds(s)
    width = lanes(operand, s)
    if operand == IFMAP:
        steps = s.m if s.dataflow == WS else s.k
        return (across if s.dataflow == IS else down) * steps, width, s.dataflow != IS
    steps = s.n if s.dataflow == IS else s.k
    return (down if s.dataflow == IS else across) * steps, width, s.dataflow != WS


@njit(cache=True, inline="always")
def fetch_address(operand, s, line, lane, width):
    """Address at a place of the matrix of prefetches, -1 if it is empty."""
    if operand == IFMAP:
        steps = s.m if s.dataflow == WS else s.k
        outer, inner = (line // steps) * width + lane, line % steps
        pixel, product = (inner, outer) if s.dataflow == WS else (outer, inner)
        if pixel >= s.m or product >= s.k:
            return -1
        return ifmap_address(s.pixels, s.products, s.height, s.width, pixel, product)
    steps = s.n if s.dataflow == IS else s.k
    outer, inner = (line // steps) * width + lane, line % steps
    product, filters = (outer, inner) if s.dataflow == IS else (inner, outer)
    return filters * s.k + product if product < s.k and filters < s.n else -1


@njit(cache=True, nogil=True)
def _fetch_sets(operand, s, size, words):
    """Prefetch order in USER mode by address: (pointer, sets, words of the matrix, addresses in it).

    The sets of an address are ``sets[pointer[a] : pointer[a + 1]]``, ascending.
    """
    lines, width, diagonal = fetch_order(operand, s)
    pointer = np.zeros(size + 1, np.int64)
    newest = np.full(size, -1, np.int64)
    sets = np.zeros(0, np.int64)
    place = np.zeros(0, np.int64)
    addresses = 0
    for fill in range(2):
        addresses = 0
        newest[:] = -1
        if fill == 1:
            for a in range(size):
                pointer[a + 1] += pointer[a]
            sets = np.zeros(pointer[size], np.int64)
            place = pointer[:size].copy()
        for outer in range(lines + width - 1 if diagonal else lines):
            low = max(0, outer - width + 1) if diagonal else 0
            high = min(outer, lines - 1) if diagonal else width - 1
            for inner in range(high - low + 1):
                line, lane = (high - inner, outer - high + inner) if diagonal else (outer, inner)
                address = fetch_address(operand, s, line, lane, width)
                if address < 0:
                    continue
                in_set = addresses // words
                addresses += 1
                if newest[address] == in_set:
                    continue
                newest[address] = in_set
                if fill == 0:
                    pointer[address + 1] += 1
                else:
                    sets[place[address]] = in_set
                    place[address] += 1
    return pointer, sets, lines * width, addresses


# Write buffer: words collect in DRAM lines; when half of the buffer is full, half is drained. Lines are full but
# for those that a drain closes early, which wait in ``partial`` as (line, words).
FREE, TOTAL, DRAIN, LINE, FILLED, DRAINED, BUSY, WRITES, WRITE_FROM, WRITE_TO, WIDTH, WRITTEN, HEAD, TAIL = range(14)  # fmt: skip


@njit(cache=True, nogil=True)
def writer(total_words, bandwidth):
    """State of the write buffer."""
    state = np.zeros(14, np.int64)
    state[FREE] = state[TOTAL] = total_words
    state[DRAIN] = total_words - (total_words + 1) // 2
    state[WIDTH] = bandwidth
    state[WRITE_FROM] = state[WRITE_TO] = NEVER
    return state


@njit(cache=True, nogil=True)
def partial_lines(total_words, bandwidth, writes):
    """Room for every line that a drain can close early: one to a drain, and a drain takes this many words."""
    half = total_words - (total_words + 1) // 2
    drained = ((half + bandwidth - 1) // bandwidth - 1) * bandwidth + 1
    return np.zeros((writes // drained + 2, 2), np.int64)


@njit(cache=True, nogil=True)
def drain(state, partial, cycle):
    """Write half a buffer of lines to DRAM, one a cycle. Empty places count as data but in the last line."""
    if state[LINE] > 0:
        partial[state[TAIL], 0], partial[state[TAIL], 1] = state[FILLED], state[LINE]
        state[TAIL] += 1
        state[FILLED] += 1
        state[LINE] = 0
    end = min(state[DRAINED] + (state[DRAIN] + state[WIDTH] - 1) // state[WIDTH], state[FILLED])
    count = end - state[DRAINED]
    if count == 0:
        return cycle
    last = state[WIDTH]
    while state[HEAD] < state[TAIL] and partial[state[HEAD], 0] < end:
        if partial[state[HEAD], 0] == end - 1:
            last = partial[state[HEAD], 1]
        state[HEAD] += 1
    words = (count - 1) * state[WIDTH] + last
    state[WRITES] += words
    state[FREE] += words
    # The last drain begins with the last write, even if an earlier one is not through: keep the extremes.
    state[WRITE_FROM] = cycle if state[WRITE_FROM] == NEVER else min(state[WRITE_FROM], cycle)
    state[WRITE_TO] = max(state[WRITE_TO], cycle + count - 1)
    state[DRAINED] = end
    return cycle + count - 1


class Emitted(NamedTuple):
    """What a trace needs of a block of lines, from its first line on.

    Attributes
    ----------
    cycles : int64 (lines, 3)
        Of ifmap, filter and ofmap.
    new : int64 (2, words)
        CALC mode: addresses that entered the ifmap and the filter buffer.
    fetches : int64 (2, words)
        CALC mode: cycles of their prefetches after the first.
    drains : int64 (words, 3)
        First cycle, DRAM lines, words written to the buffer before it.
    counts : int64 (5,)
        Filled entries: of ``new`` (two), ``fetches`` (two), ``drains``.
    """

    cycles: Any
    new: Any
    fetches: Any
    drains: Any
    counts: Any


@njit(cache=True, nogil=True)
def emitted(lines, words):
    """Room for ``lines`` lines of up to ``words`` words; with no lines, nothing is emitted."""
    room = lines * words + (2 if lines else 0)
    return Emitted(
        np.zeros((lines, 3), np.int64),
        np.zeros((2, room), np.int64),
        np.zeros((2, room), np.int64),
        np.zeros((room, 3), np.int64),
        np.zeros(5, np.int64),
    )


@njit(cache=True, nogil=True)
def _note(state, cycle, drained, out):
    i = out.counts[4]
    out.drains[i, 0], out.drains[i, 1], out.drains[i, 2] = cycle, state[DRAINED] - drained, state[WRITTEN]
    out.counts[4] += 1


@njit(cache=True, inline="always")
def write(state, partial, count, cycle, out):
    """``count`` words written in a cycle; returns the cycle in which the last of them is in the buffer.

    Notes drains in ``out`` if it has room.
    """
    emit = out.drains.shape[0] > 0
    for _ in range(count):
        state[LINE] += 1
        state[WRITTEN] += 1
        state[FREE] -= 1
        if state[LINE] == state[WIDTH]:
            state[FILLED] += 1
            state[LINE] = 0
        if cycle < state[BUSY]:
            if state[FREE] <= 0:
                cycle = state[BUSY]
        elif state[FREE] < state[TOTAL] - state[DRAIN]:
            drained = state[DRAINED]
            state[BUSY] = drain(state, partial, cycle)
            if emit:
                _note(state, cycle, drained, out)
    return cycle


class Buffers(NamedTuple):
    """State of a layer's run.

    ``ifmap``, ``filters``, ``writer`` and ``partial`` are the buffers' states; ``ifmap_index`` and ``filter_index``
    by address the newest set (CALC) or a pointer into ``ifmap_sets`` and ``filter_sets`` (USER); ``figures`` holds
    :data:`FIELDS` as far as they are known, then the last cycle in which outputs were served.
    """

    user: bool
    bandwidths: Any
    ifmap: Any
    ifmap_index: Any
    ifmap_sets: Any
    filters: Any
    filter_index: Any
    filter_sets: Any
    writer: Any
    partial: Any
    figures: Any


@njit(cache=True, nogil=True)
def start(s, sizes, user, bandwidths):
    """State before the first line; ``sizes`` and ``bandwidths`` (words, words a cycle) of ifmap, filter, ofmap."""
    down, _, _ = folds(s)
    writes = s.m * s.n * (1 if s.dataflow == OS else down)
    if user:
        order = _fetch_sets(IFMAP, s, ifmap_size(s), (sizes[0] + SETS - 1) // SETS)
        ifmap = _prefetcher(sizes[0], bandwidths[0], order[2], order[3])
        ifmap_index, ifmap_sets = order[0], order[1]
        order = _fetch_sets(FILTER, s, s.n * s.k, (sizes[1] + SETS - 1) // SETS)
        filters = _prefetcher(sizes[1], bandwidths[1], order[2], order[3])
        filter_index, filter_sets = order[0], order[1]
    else:
        ifmap, filters = estimator(sizes[0]), estimator(sizes[1])
        ifmap_index, filter_index = np.full(ifmap_size(s), -1, np.int64), np.full(s.n * s.k, -1, np.int64)
        ifmap_sets = filter_sets = np.zeros(0, np.int64)
    figures = np.full(len(FIELDS) + 1, NEVER, np.int64)
    figures[0] = figures[1] = 0
    return (
        user, bandwidths, ifmap, ifmap_index, ifmap_sets, filters, filter_index, filter_sets,
        writer(sizes[2], bandwidths[2]), partial_lines(sizes[2], bandwidths[2], writes), figures,
    )  # fmt: skip


@njit(cache=True, nogil=True)
def advance(s, b, first, last, out):
    """Run lines ``first`` to ``last`` (exclusive) of a layer through the buffers; fills ``out`` if it has room."""
    down, _, per_fold = folds(s)
    emit = out.cycles.shape[0] > 0
    out.counts[:] = 0
    # Fields of a tuple that are arrays cost more to look up than what is done with them.
    pixels, products, height, width, k = s.pixels, s.products, s.height, s.width, s.k
    user, ifmap, ifmap_index, ifmap_sets = b.user, b.ifmap, b.ifmap_index, b.ifmap_sets
    filters, filter_index, filter_sets = b.filters, b.filter_index, b.filter_sets
    ifmap_bandwidth, filter_bandwidth = b.bandwidths[0], b.bandwidths[1]
    figures = b.figures
    for number in range(first, last):
        fold, line = number // per_fold, number % per_fold
        if line == 0 or number == first:
            i_start, i_skew, i_steps, i_lanes, ia, ib, ic, ja, jb, jc = stream(
                IFMAP, s, fold % down, fold // down
            )
            f_start, f_skew, f_steps, f_lanes, fa, fb, fc, ga, gb, gc = stream(
                FILTER, s, fold % down, fold // down
            )
            o_start, o_skew, o_steps, o_lanes, _, _, _, _, _, _ = stream(OFMAP, s, fold % down, fold // down)
        cycle = number + figures[1]
        # Input map.
        low, high = present(line, i_start, i_skew, i_steps, i_lanes)
        offset, asked = 1, False
        for r in range(low, high + 1):
            t = line - i_start - i_skew * r
            address = ifmap_address(
                pixels, products, height, width, ia + ib * t + ic * r, ja + jb * t + jc * r
            )
            if address < 0:
                continue
            asked = True
            if user:
                offset = _fetch(ifmap, ifmap_index, ifmap_sets, address, cycle, offset)
            else:
                new, fetch = _estimate(ifmap, ifmap_index, address, cycle, ifmap_bandwidth)
                if emit and new:
                    out.new[0, out.counts[0]] = address
                    out.counts[0] += 1
                    if fetch:
                        out.fetches[0, out.counts[2]] = cycle
                        out.counts[2] += 1
        if asked:
            if figures[2] == NEVER:
                figures[2] = cycle + offset
            figures[3] = cycle + offset
        wait = offset - 1
        # Weights.
        low, high = present(line, f_start, f_skew, f_steps, f_lanes)
        offset = 1
        for r in range(low, high + 1):
            t = line - f_start - f_skew * r
            address = (ga + gb * t + gc * r) * k + fa + fb * t + fc * r
            if user:
                offset = _fetch(filters, filter_index, filter_sets, address, cycle, offset)
            else:
                new, fetch = _estimate(filters, filter_index, address, cycle, filter_bandwidth)
                if emit and new:
                    out.new[1, out.counts[1]] = address
                    out.counts[1] += 1
                    if fetch:
                        out.fetches[1, out.counts[3]] = cycle
                        out.counts[3] += 1
        if high >= low:
            if figures[4] == NEVER:
                figures[4] = cycle + offset
            figures[5] = cycle + offset
        if emit:
            out.cycles[number - first, 0] = cycle + 1 + wait
            out.cycles[number - first, 1] = cycle + offset
        wait = max(wait, offset - 1)
        # Outputs.
        low, high = present(line, o_start, o_skew, o_steps, o_lanes)
        served = cycle
        if high >= low:
            served = write(b.writer, b.partial, high - low + 1, cycle, out)
            if figures[6] == NEVER:
                figures[6] = served
            figures[7] = served
        if emit:
            out.cycles[number - first, 2] = served
        figures[0] = max(figures[0], served)
        figures[1] += max(wait, served - cycle)
        figures[-1] = served


@njit(cache=True, nogil=True)
def flush(b, out):
    """Write to DRAM what is left in the write buffer, half a buffer at a time; fills ``out.drains`` if it has room.

    Call it again while it returns true.
    """
    state = b.writer
    out.counts[:] = 0
    room = out.drains.shape[0]
    cycle = b.figures[-1]
    while state[LINE] > 0 or state[DRAINED] < state[FILLED]:
        if 0 < room <= out.counts[4]:
            return True
        drained = state[DRAINED]
        cycle = drain(state, b.partial, cycle)
        if room:
            _note(state, cycle - (state[DRAINED] - drained) + 1, drained, out)
        cycle += 1
        b.figures[-1] = cycle
    return False


@njit(cache=True, nogil=True)
def finish(b):
    """Fill in the DRAM's part of ``b.figures``, after the last line and :func:`flush`."""
    figures = b.figures
    if b.user:
        figures[8], figures[9], figures[10] = b.ifmap[USER_FROM], b.ifmap[LAST], b.ifmap[USER_READS]
        figures[11], figures[12], figures[13] = b.filters[USER_FROM], b.filters[LAST], b.filters[USER_READS]
    else:
        complete(b.ifmap, b.bandwidths[0])
        complete(b.filters, b.bandwidths[1])
        figures[8], figures[9], figures[10] = b.ifmap[DRAM_FROM], b.ifmap[DRAM_TO], b.ifmap[READS]
        figures[11], figures[12], figures[13] = b.filters[DRAM_FROM], b.filters[DRAM_TO], b.filters[READS]
    figures[14], figures[15], figures[16] = b.writer[WRITE_FROM], b.writer[WRITE_TO], b.writer[WRITES]


def begin(s: Shape, sizes: NDArray[np.int64], user: bool, bandwidths: NDArray[np.int64]) -> Buffers:
    """State before the first line.

    Parameters
    ----------
    s : Shape
    sizes, bandwidths : int64 (3,)
        Words, words a cycle: of ifmap, filter and ofmap.
    user : bool
        USER mode (buffers wait for DRAM), else CALC.
    """
    return Buffers(*start(s, sizes, user, bandwidths))


def replay(s: Shape, sizes: NDArray[np.int64], user: bool, bandwidths: NDArray[np.int64]) -> dict[str, int]:
    """Run a layer through the buffers (parameters as for :func:`begin`): :data:`FIELDS` by name."""
    buffers, nothing = begin(s, sizes, user, bandwidths), emitted(0, 0)
    down, across, per_fold = folds(s)
    advance(s, buffers, 0, down * across * per_fold, nothing)
    flush(buffers, nothing)
    finish(buffers)
    return dict(zip(FIELDS, buffers.figures.tolist(), strict=False))
