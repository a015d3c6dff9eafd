"""CALC mode of :mod:`sim.scalesim.replay` without a visit to every request: the same figures, exactly.

In CALC mode reads never wait, so lines and cycles differ only by the stalls of the write buffer. That leaves:

- A read buffer prefetches whenever ``half`` different addresses were asked for since the last time. So the demand
  falls into epochs of ``half`` different addresses each, and what counts is how many there are and at which line the
  last one ends. Weights are asked for in whole cycles of different addresses: closed form. Input windows overlap:
  one bit per address says whether the epoch has seen it, and a window's contiguous run of addresses is looked up 64
  at a time. Order matters only where an epoch ends; there the requests are visited one by one.
- The write buffer changes its ways when half of it is full, when a drain ends, and when it is full: the lines of
  these events are closed forms, and the words between them are added up.

Cost: some ns per window and fold, and some us per half buffer that is filled. Memory: two words per 64 addresses.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from hw.machine.dataflows import IS, OS, WS
from sim.scalesim import replay as engine
from sim.scalesim.streams import (
    FILTER,
    IFMAP,
    OFMAP,
    Shape,
    address,
    folds,
    ifmap_address,
    ifmap_size,
    present,
    stream,
)


class Epochs(NamedTuple):
    """The input map's epochs.

    Attributes
    ----------
    half : int
        Different addresses of an epoch.
    bits : uint64
        A bit for each address, whether the epoch has seen it: of the epoch that ``tags`` names.
    tags : int64
        By word of ``bits``.
    state : int64 (4,)
        :data:`SEEN` and so on.
    """

    half: Any
    bits: Any
    tags: Any
    state: Any


# Where an operand's epochs stand: different addresses in this one, of all, epochs that ended, line of the last end.
SEEN, NEW, ENDED, END_LINE = range(4)


@njit(cache=True, inline="always")
def _triangle(x):
    return x * (x + 1) // 2 if x > 0 else 0


@njit(cache=True, inline="always")
def _before(at, skew, steps, width):
    """Entries of a fold's grid that are asked for in its first ``at`` lines."""
    if skew:
        return _triangle(at) - _triangle(at - steps) - _triangle(at - width) + _triangle(at - steps - width)
    return max(0, min(at, steps)) * width


@njit(cache=True, nogil=True)
def _line_of(entry, skew, steps, width):
    """Line, from the grid's first on, in which its ``entry``-th entry (from 0) is asked for."""
    low, high = 0, steps + (width if skew else 1) - 1
    while low < high:  # the first line after which more than ``entry`` were asked for
        middle = (low + high) // 2
        if _before(middle + 1, skew, steps, width) > entry:
            high = middle
        else:
            low = middle + 1
    return low


@njit(cache=True, nogil=True)
def _filter_epochs(s, half, epochs):
    """Epochs of the weights. They come in blocks of ``size`` different addresses, each gone through ``times``."""
    down, across, per_fold = folds(s)
    blocks = 1 if s.dataflow == IS else across
    times = down if s.dataflow == OS else (across if s.dataflow == IS else 1)
    for block in range(blocks):
        width = s.n if s.dataflow == IS else min(s.cols, s.n - block * s.cols)
        size, at, recent = (
            s.k * width,
            0,
            0,
        )  # ``recent`` requests in a row, up to this one, are of this epoch
        while at < size * times:
            step = min(half - epochs[SEEN], size - recent, size * times - at)
            at, recent = at + step, recent + step
            epochs[SEEN] += step
            epochs[NEW] += step
            if epochs[SEEN] == half:
                entry = at - 1
                in_pass = entry % size
                if s.dataflow == OS:
                    fold, entry = block * down + entry // size, in_pass
                elif s.dataflow == WS:
                    fold, entry = block * down + in_pass // (s.rows * width), in_pass % (s.rows * width)
                else:
                    fold = (entry // size) * down + in_pass // (s.rows * width)
                    entry = in_pass % (s.rows * width)
                start, skew, steps, used, _, _, _, _, _, _ = stream(FILTER, s, fold % down, fold // down)
                epochs[END_LINE] = fold * per_fold + start + _line_of(entry, skew, steps, used)
                epochs[ENDED] += 1
                epochs[SEEN] = recent = 0
            elif recent == size:
                break  # the rest of the block is there


@njit(cache=True, inline="always")
def _popcount(x):
    x = x - ((x >> np.uint64(1)) & np.uint64(0x5555555555555555))
    x = (x & np.uint64(0x3333333333333333)) + ((x >> np.uint64(2)) & np.uint64(0x3333333333333333))
    x = (x + (x >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((x * np.uint64(0x0101010101010101)) >> np.uint64(56))


@njit(cache=True, inline="always")
def _run(bits, tags, epoch, address, length, insert):
    """How many of ``length`` addresses from ``address`` on this epoch has not seen; with ``insert`` it now has."""
    new, end = 0, address + length
    while address < end:
        word, low = address >> 6, address & 63
        high = min(64, low + end - address)
        mask = np.uint64(0xFFFFFFFFFFFFFFFF) >> np.uint64(64 - (high - low)) << np.uint64(low)
        seen = bits[word] if tags[word] == epoch else np.uint64(0)
        fresh = mask & ~seen
        if fresh != np.uint64(0):
            new += _popcount(fresh)
            if insert:
                bits[word] = seen | mask
                tags[word] = epoch
        address += high - low
    return new


@njit(cache=True, nogil=True)
def _runs(s, first, last):
    """Products ``first`` to ``last`` (exclusive) as runs of contiguous addresses, one per filter row: int64 (n, 4).

    Columns: row in the window, address in the window, length, words of the filter row before it.
    """
    across = s.filter_row
    rows = (last - 1) // across - first // across + 1
    runs = np.empty((rows, 4), np.int64)
    for i in range(rows):
        row = first // across + i
        low, high = max(first, row * across), min(last, (row + 1) * across)
        runs[i, 0], runs[i, 1], runs[i, 2], runs[i, 3] = (
            row,
            s.products[low, 2],
            high - low,
            low - row * across,
        )
    return runs


# Inlined, like the next: handing the records over costs as much as many a call.
@njit(cache=True, forceinline=True)
def _windows(s, runs, first, last, e, insert):
    """:func:`_run` over the runs of pixels ``first`` to ``last`` (exclusive); what hangs over the map is left out."""
    new = 0
    # Fields of a tuple that are arrays cost more to look up than what is done with them.
    pixels, height, width, channels = s.pixels, s.height, s.width, s.channels
    bits, tags, epoch = e.bits, e.tags, e.state[ENDED]
    for pixel in range(first, last):
        row, fits, address = pixels[pixel, 0], (width - pixels[pixel, 1]) * channels, pixels[pixel, 2]
        for i in range(runs.shape[0]):
            if row + runs[i, 0] >= height:
                break
            length = min(runs[i, 2], fits - runs[i, 3])
            if length > 0:
                new += _run(bits, tags, epoch, address + runs[i, 1], length, insert)
    return new


@njit(cache=True, forceinline=True)
def _ask(s, grid, line, low, high, e, number):
    """Visit the requests of lanes ``low`` to ``high`` of a fold's line one by one; whether an epoch ended."""
    start, skew, _, _, i0, it, ir, j0, jt, jr = grid
    pixels, products, height, width = s.pixels, s.products, s.height, s.width
    bits, tags, state = e.bits, e.tags, e.state
    seen, new, epoch = state[SEEN], 0, state[ENDED]
    for r in range(low, high + 1):
        t = line - start - skew * r
        place = ifmap_address(pixels, products, height, width, i0 + it * t + ir * r, j0 + jt * t + jr * r)
        if place < 0:
            continue
        word, bit = place >> 6, np.uint64(1) << np.uint64(place & 63)
        before = bits[word] if tags[word] == epoch else np.uint64(0)
        if before & bit:
            continue
        bits[word] = before | bit
        tags[word] = epoch
        new += 1
        seen += 1
        if seen == e.half:
            seen = 0
            epoch += 1
            state[END_LINE] = number
    ended = epoch > state[ENDED]
    state[SEEN], state[ENDED] = seen, epoch
    state[NEW] += new
    return ended


@njit(cache=True, nogil=True)
def _ifmap_epochs(s, half, state):
    """Epochs of the input map."""
    down, across, per_fold = folds(s)
    words = (ifmap_size(s) >> 6) + 1
    e = Epochs(half, np.zeros(words, np.uint64), np.full(words, -1, np.int64), state)
    filter_row = s.filter_row
    for fold in range(down * across):
        grid = stream(IFMAP, s, fold % down, fold // down)
        _, skew, steps, width, i0, _, _, j0, _, _ = grid
        first_line = fold * per_fold
        # Requests that can come before one that was visited ahead of its turn: those of the skew's corner.
        corner = skew * width * (width - 1) // 2
        if s.dataflow == WS:
            runs = _runs(s, j0, j0 + width)
        else:
            runs = _runs(s, j0 - steps + 1 if s.dataflow == IS else 0, j0 + 1)
        step = 0
        while step < steps:
            # A stretch of steps [step, stop) whose requests may be visited in any order, for no epoch can end within
            # it or its corner: windows (ws), or a part of all windows of the fold (os, is).
            room = (half - 1 - state[SEEN] - corner) // width
            if s.dataflow == WS:
                stop = min(steps, step + max(room, 1))
                first, last = step, stop
            else:
                stop = steps
                if s.dataflow == OS:
                    stop = min(steps, step + 64, (step // filter_row + 1) * filter_row)
                    runs = _runs(s, step, stop)
                first, last = i0, i0 + width
            if room < stop - step:
                # Near an epoch's end: count what is really new in a stretch and in the corner after it.
                ahead, ahead_last = runs, last
                if s.dataflow == WS:
                    stop = last = min(steps, step + width)
                    ahead_last = min(steps, stop + width - 1)
                elif s.dataflow == OS:
                    ahead = _runs(s, step, min(steps, stop + width - 1))
                if state[SEEN] + _windows(s, ahead, first, ahead_last, e, False) >= half:
                    step = _one_by_one(s, grid, step, first_line, e)
                    continue
            new = _windows(s, runs, first, last, e, True)
            state[SEEN] += new
            state[NEW] += new
            step = stop


@njit(cache=True, nogil=True)
def _one_by_one(s, grid, step, first_line, e):
    """Visit a fold's requests line by line from ``step`` on, until an epoch ended and the next end is far.

    Returns the first step of which nothing was visited; all of the steps before it was. The steps before ``step``
    were visited already.
    """
    start, skew, steps, width = grid[0], grid[1], grid[2], grid[3]
    ended = False
    for at in range(step, steps + (width - 1 if skew else 0)):
        low, high = present(at, 0, skew, steps, width)
        if skew:
            high = min(high, at - step)
        number = first_line + start + at
        ended |= _ask(s, grid, start + at, low, high, e, number)
        if ended and skew and at + 1 < steps and e.state[SEEN] + width * (width - 1) < e.half:
            # Visit ahead of their turn the rest of the steps that were begun.
            for later in range(at + 1, at + width):
                low, high = later - at, min(width - 1, later - step)
                _ask(s, grid, start + later, low, high, e, 0)
            return at + 1
    return steps


@njit(cache=True, nogil=True)
def _first_line(operand, s):
    """Number of the first line that asks for something: the first entry of the first window is always there."""
    return stream(operand, s, 0, 0)[0]


@njit(cache=True, nogil=True)
def _last_line(operand, s):
    """Number of the last line that asks for an address that there is."""
    down, across, per_fold = folds(s)
    for fold in range(down * across - 1, -1, -1):
        start, skew, steps, width, i0, it, ir, j0, jt, jr = stream(operand, s, fold % down, fold // down)
        for line in range(per_fold - 1, -1, -1):
            low, high = present(line, start, skew, steps, width)
            for r in range(low, high + 1):
                t = line - start - skew * r
                i, j = i0 + it * t + ir * r, j0 + jt * t + jr * r
                if address(operand, s, i, j) >= 0:
                    return fold * per_fold + line
    return 0


@njit(cache=True, nogil=True)
def _writes(s, writer, partial, asked, stalled, figures):
    """The write buffer. ``stalled[i]`` becomes the stalls before line ``asked[i]`` (ascending)."""
    down, across, per_fold = folds(s)
    lines = down * across * per_fold
    stalls, next_asked = 0, 0
    fold, before_fold = 0, 0  # the fold of the next write, and the words written before it
    total_words = s.m * s.n * (1 if s.dataflow == OS else down)
    nothing = engine.emitted(0, 0)
    last_words_line, served_last = -1, 0
    while writer[engine.WRITTEN] < total_words:
        # The write at which something may change, counted from 1.
        threshold = writer[engine.TOTAL] - writer[engine.DRAIN]
        busy = writer[engine.BUSY] - stalls  # line from which on no drain is under way
        now = writer[engine.WRITTEN]
        full = now + max(1, writer[engine.FREE])
        half = now + max(1, writer[engine.FREE] - threshold + 1)
        # The line of that write: of the one that fills the buffer, if a drain is under way then, else of the first
        # after it that fills half.
        line, at_fold, at_words = _line_of_write(s, min(full, total_words), fold, before_fold)
        if full > total_words or line >= busy:
            line, at_fold, at_words = _line_of_write(s, min(half, total_words), fold, before_fold)
            if half <= total_words and line < busy:
                words = _words_before(s, busy, fold, before_fold)
                line, at_fold, at_words = _line_of_write(s, min(words + 1, total_words), fold, before_fold)
        fold, before_fold = at_fold, at_words
        # Add up to it; it is visited word by word.
        words = _words_before(s, line, fold, before_fold) - now
        writer[engine.WRITTEN] += words
        writer[engine.FREE] -= words
        whole = writer[engine.LINE] + words
        writer[engine.FILLED] += whole // writer[engine.WIDTH]
        writer[engine.LINE] = whole % writer[engine.WIDTH]
        start, skew, steps, width, _, _, _, _, _, _ = stream(OFMAP, s, fold % down, fold // down)
        low, high = present(line - fold * per_fold, start, skew, steps, width)
        while next_asked < asked.size and asked[next_asked] <= line:
            stalled[next_asked] = stalls
            next_asked += 1
        served = engine.write(writer, partial, high - low + 1, line + stalls, nothing)
        last_words_line, served_last = line, served
        if now + words == 0:
            figures[6] = served
        stalls += served - (line + stalls)
    while next_asked < asked.size:
        stalled[next_asked] = stalls
        next_asked += 1
    if figures[6] == engine.NEVER:
        figures[6] = stream(OFMAP, s, 0, 0)[0]
    figures[7] = served_last
    figures[-1] = served_last if last_words_line == lines - 1 else lines - 1 + stalls
    figures[0], figures[1] = figures[-1], stalls


@njit(cache=True, nogil=True)
def _fold_words(s, fold, down):
    grid = stream(OFMAP, s, fold % down, fold // down)
    return grid[2] * grid[3]


@njit(cache=True, nogil=True)
def _line_of_write(s, word, fold, before_fold):
    """(line of the ``word``-th write, its fold, words before that fold), from a fold on that is not after it."""
    down, _, per_fold = folds(s)
    words = _fold_words(s, fold, down)
    while before_fold + words < word:
        before_fold += words
        fold += 1
        words = _fold_words(s, fold, down)
    start, skew, steps, width, _, _, _, _, _, _ = stream(OFMAP, s, fold % down, fold // down)
    return fold * per_fold + start + _line_of(word - before_fold - 1, skew, steps, width), fold, before_fold


@njit(cache=True, nogil=True)
def _words_before(s, line, fold, before_fold):
    """Words written before a line, from a fold on that is not after it."""
    down, across, per_fold = folds(s)
    while fold < down * across - 1 and (fold + 1) * per_fold <= line:
        before_fold += _fold_words(s, fold, down)
        fold += 1
    start, skew, steps, width, _, _, _, _, _, _ = stream(OFMAP, s, fold % down, fold // down)
    return before_fold + _before(line - fold * per_fold - start, skew, steps, width)


@njit(cache=True, nogil=True)
def _read_figures(state, epochs, first, end, bandwidth):
    """DRAM start, stop and reads of a read buffer: its first request's cycle and that of its last epoch's end."""
    if epochs[ENDED] > 0:
        engine.prime(state, first - 2, engine.HALF * state[engine.WORDS], bandwidth)
        state[engine.FETCH_TO] = end
    state[engine.SET] = epochs[NEW] // state[engine.WORDS]
    state[engine.PARTIAL] = epochs[NEW] % state[engine.WORDS]
    engine.complete(state, bandwidth)
    return state[engine.DRAM_FROM], state[engine.DRAM_TO], state[engine.READS]


@njit(cache=True, nogil=True)
def _figures(s, sizes, bandwidths):
    figures = np.full(len(engine.FIELDS) + 1, engine.NEVER, np.int64)
    down, _, _ = folds(s)
    asked, stalled = np.zeros(6, np.int64), np.zeros(6, np.int64)
    epochs = np.zeros((2, 4), np.int64)
    ifmap, filters = engine.estimator(sizes[0]), engine.estimator(sizes[1])
    _ifmap_epochs(s, engine.HALF * ifmap[engine.WORDS], epochs[0])
    _filter_epochs(s, engine.HALF * filters[engine.WORDS], epochs[1])
    for i in range(2):
        asked[i], asked[2 + i] = _first_line(i, s), _last_line(i, s)
        asked[4 + i] = epochs[i, END_LINE]
    order = np.argsort(asked)
    writes = s.m * s.n * (1 if s.dataflow == OS else down)
    writer = engine.writer(sizes[2], bandwidths[2])
    partial = engine.partial_lines(sizes[2], bandwidths[2], writes)
    in_order = np.zeros(6, np.int64)
    _writes(s, writer, partial, asked[order], in_order, figures)
    stalled[order] = in_order
    cycles = asked + stalled
    figures[2], figures[3], figures[4], figures[5] = (
        cycles[0] + 1,
        cycles[2] + 1,
        cycles[1] + 1,
        cycles[3] + 1,
    )
    figures[8], figures[9], figures[10] = _read_figures(ifmap, epochs[0], cycles[0], cycles[4], bandwidths[0])
    figures[11], figures[12], figures[13] = _read_figures(
        filters, epochs[1], cycles[1], cycles[5], bandwidths[1]
    )
    cycle = figures[-1]
    while writer[engine.LINE] > 0 or writer[engine.DRAINED] < writer[engine.FILLED]:
        cycle = engine.drain(writer, partial, cycle) + 1
    figures[14], figures[15] = writer[engine.WRITE_FROM], writer[engine.WRITE_TO]
    figures[16] = writer[engine.WRITES]
    return figures


def calculate(s: Shape, sizes: NDArray[np.int64], bandwidths: NDArray[np.int64]) -> dict[str, int]:
    """:data:`sim.scalesim.replay.FIELDS` by name.

    Parameters
    ----------
    s : Shape
    sizes, bandwidths : int64 (3,)
        Words, words a cycle: of ifmap, filter and ofmap.
    """
    figures = _figures(s, sizes, bandwidths)
    return dict(zip(engine.FIELDS, figures.tolist(), strict=False))
