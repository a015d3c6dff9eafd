"""SCALE-Sim 3's per-cycle traces, streamed to files: the same names, the same text.

SRAM: a line per cycle of the array's demand: the cycle in which it was served, then an address per lane, -1 where
nothing is asked for. DRAM: a line per cycle of a prefetch or a drain: the cycle, then the addresses. Memory holds
one block of lines, half a buffer, and what :mod:`sim.scalesim.replay` holds. Cost: some ns per character.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO

import numpy as np
from numba import njit
from numpy.typing import NDArray

from asq_sw.files import replacing, writable_folder
from sim.scalesim import replay as engine
from sim.scalesim.streams import FILTER, IFMAP, OFMAP, Shape, demand, folds, lanes

NAMES = ("IFMAP", "FILTER", "OFMAP")
BLOCK_WORDS = 1 << 18  # of a block of lines


@njit(cache=True, nogil=True)
def _put(text, at, value):
    """Decimal digits of ``value`` from ``text[at]`` on; returns the place after them."""
    if value < 0:
        text[at] = 45
        at += 1
        value = -value
    size, rest = 1, value // 10
    while rest > 0:
        size += 1
        rest //= 10
    for i in range(size):
        text[at + size - 1 - i] = 48 + value % 10
        value //= 10
    return at + size


@njit(cache=True, nogil=True)
def _format(cycles, table, decimal, text):
    """Lines of a cycle and a row of the table, with ``.0`` after each number if ``decimal``; returns their bytes."""
    at = 0
    for i in range(table.shape[0]):
        at = _put(text, at, cycles[i])
        if decimal:
            text[at], text[at + 1] = 46, 48
            at += 2
        for j in range(table.shape[1]):
            text[at] = 44
            at = _put(text, at + 1, table[i, j])
            if decimal:
                text[at], text[at + 1] = 46, 48
                at += 2
        text[at] = 10
        at += 1
    return at


class _File:
    """A trace file; SRAM traces hold whole numbers, DRAM traces the same with a decimal point."""

    def __init__(self, file: IO[bytes], decimal: bool) -> None:
        self.file, self.decimal = file, decimal
        self.text = np.empty(0, np.uint8)

    def write(self, cycles: NDArray[np.int64], table: NDArray[np.int64]) -> None:
        """Write lines; cycles int64 (n,), table int64 (n, width)."""
        room = 24 * table.shape[0] * (1 + table.shape[1])
        if self.text.size < room:
            self.text = np.empty(room, np.uint8)
        self.file.write(self.text[: _format(cycles, table, self.decimal, self.text)].tobytes())


def write_traces(
    s: Shape,
    sizes: NDArray[np.int64],
    user: bool,
    bandwidths: NDArray[np.int64],
    offsets: tuple[int, int, int],
    folder: Path,
) -> None:
    """Write a layer's six ``*_TRACE.csv`` into ``folder``, which is made.

    Parameters
    ----------
    s, sizes, user, bandwidths
        As for :func:`sim.scalesim.replay.begin`.
    offsets : (int, int, int)
        First addresses of ifmap, filter and ofmap.

    Raises
    ------
    InputError
        If the folder cannot be written. The files are there whole or not at all.
    """
    writable_folder(folder)
    down, across, per_fold = folds(s)
    total = down * across * per_fold
    widths = [int(lanes(operand, s)) for operand in (IFMAP, FILTER, OFMAP)]
    block = max(1, min(total, BLOCK_WORDS // max(widths)))
    fetch_widths = (0, 0) if user else _fetch_widths(s, sizes, bandwidths, total, block, max(widths))
    with ExitStack() as stack:

        def opened(name: str, place: str) -> _File:
            path = stack.enter_context(replacing(folder / f"{name}_{place}_TRACE.csv"))
            return _File(stack.enter_context(open(path, "wb")), place == "DRAM")

        sram = [opened(name, "SRAM") for name in NAMES]
        dram = [opened(name, "DRAM") for name in NAMES]
        buffers = engine.begin(s, sizes, user, bandwidths)
        out = engine.emitted(block, max(widths))
        tables = [np.empty((block, width), np.int64) for width in widths]
        states = (buffers.ifmap, buffers.filters)
        sets = [_Sets(offsets[i], states[i], int(bandwidths[i])) for i in (IFMAP, FILTER)]
        lines = _Lines(int(bandwidths[OFMAP]))
        for first in range(0, total, block):
            last = min(first + block, total)
            engine.advance(s, buffers, first, last, out)
            for operand in (IFMAP, FILTER, OFMAP):
                table = tables[operand][: last - first]
                demand(operand, s, first, offsets[operand], table)
                sram[operand].write(np.ascontiguousarray(out.cycles[: last - first, operand]), table)
            lines.written(tables[OFMAP][: last - first])
            for drained in lines.drained(out.drains[: out.counts[4]]):
                dram[OFMAP].write(*drained)
            for operand in (IFMAP, FILTER):
                new = out.new[operand, : out.counts[operand]]
                cycles = out.fetches[operand, : out.counts[2 + operand]]
                for prefetch in sets[operand].fetched(new, cycles):
                    dram[operand].write(*_widened(*prefetch, fetch_widths[operand]))
        more = True
        while more:
            more = engine.flush(buffers, out)
            for drained in lines.drained(out.drains[: out.counts[4]]):
                dram[OFMAP].write(*drained)
        for operand in (IFMAP, FILTER):
            if user:
                rest = _prefetches(operand, s, states[operand], int(sizes[operand]), offsets[operand])
            else:
                rest = sets[operand].completed()
            for prefetch in rest:
                dram[operand].write(*_widened(*prefetch, fetch_widths[operand]))


Rows = tuple[NDArray[np.int64], NDArray[np.int64]]


def _widened(cycles: NDArray[np.int64], table: NDArray[np.int64], width: int) -> Rows:
    """SCALE-Sim fills a prefetch that is narrower than another with ones."""
    if table.shape[1] < width:
        table = np.pad(table, ((0, 0), (0, width - table.shape[1])), constant_values=1)
    return cycles, table


class _Sets:
    """An operand's prefetches in CALC mode.

    Addresses are grouped into sets in the order in which they were first asked for, and a set is written in the
    order of a Python set, which is that of SCALE-Sim's.
    """

    def __init__(self, offset: int, state: NDArray[np.int64], bandwidth: int) -> None:
        self.offset, self.state, self.bandwidth = offset, state, bandwidth
        self.words = int(state[engine.WORDS])
        self.pending = np.zeros(0, np.int64)
        self.start, self.stop = -2, -1
        self.primed = False

    def fetched(self, new: NDArray[np.int64], cycles: NDArray[np.int64]) -> Iterator[Rows]:
        """Prefetches that end with these addresses; ``cycles`` are those in which one was asked for."""
        self.pending = np.concatenate((self.pending, new + self.offset))
        half = engine.HALF * self.words
        for cycle in cycles.tolist():
            if not self.primed:
                self._prime(int(self.state[engine.FIRST]) - 2, half)
            yield self._rows(half)
            self.start, self.stop = self.stop + 1, cycle

    def completed(self) -> Iterator[Rows]:
        """The last prefetch."""
        if not self.primed:
            self._prime(-2, math.ceil(self.pending.size / self.words) * self.words)
        yield self._rows(math.ceil(self.pending.size / self.words) * self.words)

    def _prime(self, stop: int, words: int) -> None:
        self.primed = True
        self.start, self.stop = stop - math.ceil(words / self.bandwidth) + 1, stop

    def _rows(self, words: int) -> Rows:
        """The prefetch of the next ``words`` words in the cycles at hand."""
        cycles = self.stop - self.start + 1
        width = math.ceil(words / cycles)
        chosen, self.pending = self.pending[:words], self.pending[words:]
        table = np.full(cycles * width, -1, np.int64)
        if chosen.size:
            ordered = [
                x for i in range(0, chosen.size, self.words) for x in set(chosen[i : i + self.words].tolist())
            ]
            table[: chosen.size] = ordered
        return np.arange(self.start + 1, self.stop + 2), table.reshape(cycles, width)


def _fetch_widths(
    s: Shape, sizes: NDArray[np.int64], bandwidths: NDArray[np.int64], total: int, block: int, width: int
) -> tuple[int, int]:
    """Words a cycle of the widest prefetch in CALC mode; the trace is as wide, so it is needed first."""
    buffers, out = engine.begin(s, sizes, False, bandwidths), engine.emitted(block, width)
    states = (buffers.ifmap, buffers.filters)
    sets = [_Sets(0, states[i], int(bandwidths[i])) for i in (IFMAP, FILTER)]
    widest = [0, 0]
    for first in range(0, total, block):
        engine.advance(s, buffers, first, min(first + block, total), out)
        for i, group in enumerate(sets):
            cycles = out.fetches[i, : out.counts[2 + i]]
            for _, table in group.fetched(out.new[i, : out.counts[i]], cycles):
                widest[i] = max(widest[i], table.shape[1])
    for i, group in enumerate(sets):
        for _, table in group.completed():
            widest[i] = max(widest[i], table.shape[1])
    return widest[0], widest[1]


class _Lines:
    """DRAM lines of the write buffer, from the first that was not drained on."""

    def __init__(self, width: int) -> None:
        self.width = width
        self.pending = np.zeros(0, np.int64)  # addresses that were not drained
        self.before = 0  # addresses that were
        self.closed: list[int] = []  # words written when a line was closed early

    def written(self, table: NDArray[np.int64]) -> None:
        """Addresses that came, line by line."""
        self.pending = np.concatenate((self.pending, table[table >= 0]))

    def drained(self, drains: NDArray[np.int64]) -> Iterator[Rows]:
        """Drains, each a row of :class:`sim.scalesim.replay.Emitted`'s ``drains``."""
        for first, count, written in drains.tolist():
            self.closed.append(written)
            table = np.full((count, self.width), -1, np.int64)
            at = 0
            for row in table:
                while self.closed and self.closed[0] <= self.before + at:
                    self.closed.pop(0)
                size = self.width
                if self.closed:
                    size = min(size, self.closed[0] - self.before - at)
                row[:size] = self.pending[at : at + size]
                at += size
            self.pending = self.pending[at:]
            self.before += at
            yield np.arange(first, first + count), table


@njit(cache=True, nogil=True)
def _fetch_lines(operand, s, first, offset, table):
    """Fill ``table`` with lines of the prefetch order from line ``first`` on, -1 for none."""
    lines, width, diagonal = engine.fetch_order(operand, s)
    table[:] = -1
    word, end = first * table.shape[1], min((first + table.shape[0]) * table.shape[1], lines * width)
    # Find the word's diagonal.
    outer, inner = word // width, word % width
    if diagonal:
        outer, inner = 0, word
        while True:
            size = min(outer, lines - 1) - max(0, outer - width + 1) + 1
            if inner < size or outer >= lines + width:
                break
            inner -= size
            outer += 1
    for i in range(end - word):
        if diagonal:
            high = min(outer, lines - 1)
            line, lane = high - inner, outer - high + inner
            size = high - max(0, outer - width + 1) + 1
        else:
            line, lane, size = outer, inner, width
        place = engine.fetch_address(operand, s, line, lane, width)
        if place >= 0:
            table[i // table.shape[1], i % table.shape[1]] = place + offset
        inner += 1
        if inner == size:
            outer, inner = outer + 1, 0


def _prefetches(operand: int, s: Shape, state: NDArray[np.int64], size: int, offset: int) -> Iterator[Rows]:
    """An operand's prefetches in USER mode, from the buffer's state after the run.

    SCALE-Sim fetches the first lines, then one stretch, then the same further stretch again and again, and empties
    places of its own matrix where a stretch ends within a line; both are reproduced.
    """
    width = int(state[engine.WORDS_A_CYCLE])
    matrix_lines, matrix_lanes, _ = engine.fetch_order(operand, s)
    lines = math.ceil(matrix_lines * matrix_lanes / width)
    active = (size + 1) // 2
    emptied: list[tuple[int, int, int]] = []  # line, from, to

    def stretch(start: int, count: int) -> NDArray[np.int64]:
        table = np.empty((count, width), np.int64)
        _fetch_lines(operand, s, start, offset, table)
        for line, low, high in emptied:
            if start <= line < start + count:
                table[line - start, low:high] = -1
        return table

    count = int(-state[engine.USER_FROM])
    cut = active % width
    if count * width > active:
        emptied.append((count - 1, cut, width))
    yield np.arange(-count, 0), stretch(0, count)
    next_col = cut if count * width > active else 0
    next_line = (count if count * width > active else count + 1) % lines
    count = int(state[engine.BUFFER_LINES])
    last = -1
    table, shown = np.zeros((0, width), np.int64), -1
    for _ in range((int(state[engine.LAST]) + 1) // (count + 1)):
        if next_line != shown:
            end = next_line + count
            if end > lines:  # it goes on from the matrix's start, in a copy
                again = min(end - lines, next_line)
                table = np.concatenate((stretch(next_line, lines - next_line), stretch(0, again)))
                table[0, :next_col] = -1
                if count * width > active:
                    table[-1, cut:] = -1
                missing = np.full((count - len(table), width), -1, np.int64)
                table = np.concatenate((table, missing))
            else:
                emptied.append((next_line, 0, next_col))
                if count * width > active:
                    emptied.append((end - 1, cut, width))
                table = stretch(next_line, count)
            shown = next_line
        yield np.arange(last + 2, last + 2 + count), table
        last += count + 1
        next_line = (count if count * width > active else count + 1) % lines
