"""Numba kernels of :mod:`sim.exact.array`: the registers of a systolic array over many cycles.

Every kernel but :func:`trace` has time in its innermost loop, where the operands are contiguous streams.
An operand of a row (or column) is one stream for all its elements, each of which sees it one cycle later than
the neighbour before: ``stream[r, cols + t]`` is at row r's port in cycle t, and element (r, c) sees
``stream[r, cols + t - c]``. The part before ``cols`` is what the registers hold at the start.

A product is ``a * even + R[a] * odd``, with one of the two weights zero; activations have twice the rows, R[a]
below a, unless the grid reads no table. Arithmetic is modulo 2**n in the arrays' integer type.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit, prange

from hw.machine.dataflows import OS, WS


class Terms(NamedTuple):
    """Weights by term of the product."""

    even: Any
    odd: Any


class Spans(NamedTuple):
    """Time in spans of equal control: their bounds (one more than spans) and each one's control."""

    bounds: Any
    control: Any


class Drive(NamedTuple):
    """What is at the ports in each cycle: activations (T, rows), weight codes (T, cols), load or drain (T,)."""

    activations: Any
    codes: Any
    control: Any


class Registers(NamedTuple):
    """The registers, each (rows, cols), or (T, rows, cols) for what they hold after each cycle."""

    activation: Any
    weight: Any
    sums: Any


class Products(NamedTuple):
    """``table[code, a - lowest]`` is the product of a code and an activation."""

    table: Any
    lowest: Any


class Folds(NamedTuple):
    """``count`` folds from ``first`` on of an array of ``rows`` x ``cols``; ``across`` column folds to a row fold."""

    first: Any
    count: Any
    across: Any
    rows: Any
    cols: Any


@njit(cache=True, parallel=True)
def fill(values, lowest, table, stream, below, offset, blocks):
    """Transpose ``values`` (T, rows) into a stream from column ``offset`` on; about 1 ns per value.

    Unless ``below`` is 0, the stream's rows from there on get ``table[value - lowest]``.
    """
    cycles, rows = values.shape
    for block in prange(blocks):
        for t in range(block * cycles // blocks, (block + 1) * cycles // blocks):
            for r in range(rows):
                stream[r, offset + t] = values[t, r]
                if below:
                    stream[below + r, offset + t] = table[values[t, r] - lowest]


@njit(cache=True, parallel=True)
def settle(ports, unused, out, blocks):
    """Sums by (column, cycle) as int64 by (cycle, column), without the ``unused`` bits of 64 above them."""
    cycles, cols = out.shape
    for block in prange(blocks):
        for t in range(block * cycles // blocks, (block + 1) * cycles // blocks):
            for c in range(cols):
                out[t, c] = np.int64(ports[c, t]) << unused >> unused


@njit(cache=True, inline="always")
def _all_zero(values):
    found = values.dtype.type(0)
    for i in range(len(values)):
        found |= values[i]
    return found == 0


@njit(cache=True, parallel=True, boundscheck=False)
def run_ws(stream, back, codes, by_code, weights, waves, spans, blocks):
    """Weight-stationary array, all cycles; 0.05 ns per element and cycle on one core (int16, AVX2 or better).

    ``stream`` (rows or 2 * rows, cols + T) has the activations and, below them, their table entries. A span
    reads it ``back[span]`` cycles earlier: spans that see the same may share it.
    ``waves[c, rows + i]`` is the sum that enters column c in cycle i. It is in row r in cycle i + r, and adding
    the product there is what that element's sum register takes at the end of that cycle. At the start
    ``waves[c, rows - 1 - r]`` is register (r, c); at the end ``waves[c, rows + T - 1 - r]`` is.
    ``weights`` (cols, rows) are those in the registers and are updated; ``by_code`` what each code is. ``spans`` are
    with and without load; ``codes`` (T, cols) is read where it is loaded.

    Rows are taken two at a time: the waves that meet both in a span are all but the first and the last.
    """
    even, odd, even_of, odd_of = weights.even, weights.odd, by_code.even, by_code.odd
    bounds, loading = spans.bounds, spans.control
    rows, cols = even.shape[1], even.shape[0]
    # The entries' first row, or 0 where there are none and all weights are even.
    below = stream.shape[0] - rows
    longest = 0
    for span in range(len(loading)):
        longest = max(longest, bounds[span + 1] - bounds[span])
    for block in prange(blocks):
        moving_even = np.empty(rows + longest, even.dtype)
        moving_odd = np.empty(rows + longest, odd.dtype)
        idle = np.empty(rows, np.bool_)
        for span in range(len(loading)):
            begin, end = bounds[span], bounds[span + 1]
            length = end - begin
            both = length - 1
            for r in range(rows):
                # A row that holds only zeros in the span adds nothing (R[0] is 0).
                idle[r] = _all_zero(stream[r, begin - back[span] + 1 : cols + end - back[span]])
            all_idle = idle.all()
            for c in range(block * cols // blocks, (block + 1) * cols // blocks):
                at = cols + begin - back[span] - c
                if loading[span] and all_idle:
                    for r in range(rows - 1, -1, -1):
                        if r < length:
                            code = codes[end - 1 - r, c]
                            even[c, r], odd[c, r] = even_of[code], odd_of[code]
                        else:
                            even[c, r], odd[c, r] = even[c, r - length], odd[c, r - length]
                    continue
                if loading[span]:
                    # Weights move down as fast as sums: wave i meets what was at the port in cycle i - 1.
                    for r in range(rows):
                        moving_even[rows - 1 - r] = even[c, r]
                        moving_odd[rows - 1 - r] = odd[c, r]
                    for i in range(length):
                        moving_even[rows + i] = even_of[codes[begin + i, c]]
                        moving_odd[rows + i] = odd_of[codes[begin + i, c]]
                    for r in range(0, rows - 1, 2):
                        if idle[r] and idle[r + 1]:
                            continue
                        head, tail = rows - 2 - r, rows - 1 - r + both
                        waves[c, rows + begin - r - 1] += (
                            stream[r + 1, at] * moving_even[head]
                            + stream[below + r + 1, at] * moving_odd[head]
                        )
                        wave = waves[c, rows + begin - r : rows + begin - r + both]
                        by_even, by_odd = moving_even[head + 1 : tail], moving_odd[head + 1 : tail]
                        a, a_2 = stream[r, at : at + both], stream[r + 1, at + 1 : at + length]
                        e, e_2 = (
                            stream[below + r, at : at + both],
                            stream[below + r + 1, at + 1 : at + length],
                        )
                        for i in range(both):
                            wave[i] += (
                                a[i] * by_even[i]
                                + e[i] * by_odd[i]
                                + a_2[i] * by_even[i]
                                + e_2[i] * by_odd[i]
                            )
                        waves[c, rows + end - r - 1] += (
                            stream[r, at + both] * moving_even[tail]
                            + stream[below + r, at + both] * moving_odd[tail]
                        )
                    if rows % 2 and not idle[rows - 1]:
                        r = rows - 1
                        for i in range(length):
                            waves[c, 1 + begin + i] += (
                                stream[r, at + i] * moving_even[i] + stream[below + r, at + i] * moving_odd[i]
                            )
                    for r in range(rows):
                        even[c, r] = moving_even[rows + length - 1 - r]
                        odd[c, r] = moving_odd[rows + length - 1 - r]
                    continue
                for r in range(0, rows - 1, 2):
                    if idle[r] and idle[r + 1]:
                        continue
                    first, factor = (below + r, odd[c, r]) if odd[c, r] != 0 else (r, even[c, r])
                    second, factor_2 = r + 1, even[c, r + 1]
                    if odd[c, r + 1] != 0:
                        second, factor_2 = below + r + 1, odd[c, r + 1]
                    waves[c, rows + begin - r - 1] += stream[second, at] * factor_2
                    wave = waves[c, rows + begin - r : rows + begin - r + both]
                    a, a_2 = stream[first, at : at + both], stream[second, at + 1 : at + length]
                    for i in range(both):
                        wave[i] += a[i] * factor + a_2[i] * factor_2
                    waves[c, rows + end - r - 1] += stream[first, at + both] * factor
                if rows % 2 and not idle[rows - 1]:
                    r = rows - 1
                    first, factor = (below + r, odd[c, r]) if odd[c, r] != 0 else (r, even[c, r])
                    wave = waves[c, 1 + begin : 1 + end]
                    a = stream[first, at : at + length]
                    for i in range(length):
                        wave[i] += a[i] * factor


@njit(cache=True, parallel=True)
def weights_os(codes, by_code, offset, weights, blocks):
    """Put weights by term into streams (cols, ...) from column ``offset`` on, from codes (T, cols)."""
    even, odd, even_of, odd_of = weights.even, weights.odd, by_code.even, by_code.odd
    cycles, cols = codes.shape
    for block in prange(blocks):
        for t in range(block * cycles // blocks, (block + 1) * cycles // blocks):
            for c in range(cols):
                even[c, offset + t] = even_of[codes[t, c]]
                odd[c, offset + t] = odd_of[codes[t, c]]


@njit(cache=True, parallel=True, boundscheck=False)
def run_os(stream, weights, sums, ports, spans, blocks):
    """Output-stationary array, all cycles; 0.1 ns per element and cycle on one core (16-bit operands, AVX2).

    ``stream`` as in :func:`run_ws`; ``weights`` (cols, rows + T) are streams too. ``sums`` (cols, rows) are
    the registers and are updated. ``ports`` (cols, T + 1) is the last row's sum before each clock edge and after
    the last. Within a span the sums of the other rows are formed for its end only, in whatever order is fastest.
    """
    even, odd, bounds, draining = weights.even, weights.odd, spans.bounds, spans.control
    rows, cols = sums.shape[1], sums.shape[0]
    below = stream.shape[0] - rows
    cycles = ports.shape[1] - 1
    kind = sums.dtype.type
    for block in prange(blocks):
        for span in range(len(draining)):
            begin, end = bounds[span], bounds[span + 1]
            length = end - begin
            for c in range(block * cols // blocks, (block + 1) * cols // blocks):
                at = cols + begin - c
                if draining[span]:
                    for i in range(length):
                        ports[c, begin + i] = sums[c, rows - 1 - i] if i < rows else 0
                    for r in range(rows - 1, -1, -1):
                        sums[c, r] = sums[c, r - length] if r >= length else 0
                    continue
                for r in range(rows):
                    a, e = stream[r, at : at + length], stream[below + r, at : at + length]
                    by_even = even[c, rows + begin - r : rows + end - r]
                    by_odd = odd[c, rows + begin - r : rows + end - r]
                    total = kind(0)
                    if r == rows - 1:
                        port = ports[c, begin:end]
                        total = sums[c, r]
                        for i in range(length):
                            port[i] = total
                            total = kind(total + kind(a[i]) * kind(by_even[i]) + kind(e[i]) * kind(by_odd[i]))
                        sums[c, r] = total
                        continue
                    if below:
                        for i in range(length):
                            total = kind(total + kind(a[i]) * kind(by_even[i]) + kind(e[i]) * kind(by_odd[i]))
                    else:
                        for i in range(length):
                            total = kind(total + kind(a[i]) * kind(by_even[i]))
                    sums[c, r] += total
        for c in range(block * cols // blocks, (block + 1) * cols // blocks):
            ports[c, cycles] = sums[c, rows - 1]


@njit(cache=True)
def trace(dataflow, drive, products, registers, history):
    """Every register of every cycle, as the processing elements' docstrings say it; about 2 ns per element.

    ``dataflow`` is its code, ``drive`` :class:`Drive`, ``products`` :class:`Products`. ``registers`` are updated;
    ``history`` is filled with what they hold after each cycle.
    """
    a, codes, control = drive.activations, drive.codes, drive.control
    table, lowest = products.table, products.lowest
    activation, weight, sums = registers.activation, registers.weight, registers.sums
    rows, cols = activation.shape
    for t in range(len(control)):
        # From the last element to the first: a neighbour's register still holds its old value.
        for r in range(rows - 1, -1, -1):
            for c in range(cols - 1, -1, -1):
                a_in = a[t, r] if c == 0 else activation[r, c - 1]
                w_in = codes[t, c] if r == 0 else weight[r - 1, c]
                above = 0 if r == 0 else sums[r - 1, c]
                if dataflow == WS:
                    sums[r, c] = above + table[weight[r, c], a_in - lowest]
                    if control[t]:
                        weight[r, c] = w_in
                elif dataflow == OS:
                    sums[r, c] = above if control[t] else sums[r, c] + table[w_in, a_in - lowest]
                    weight[r, c] = w_in
                activation[r, c] = a_in
        history.activation[t], history.weight[t], history.sums[t] = activation, weight, sums


# -- matrix products -------------------------------------------------------------------------------------------


@njit(cache=True, parallel=True)
def feed_ws(left, first_top, tops, depth, rows, cols, stream):
    """Activations of ``tops`` k-folds from ``first_top`` on, one period each; ``left`` (depth, m) is padded.

    ``left`` may have its table entries below it, as the stream has. Between the vectors of one fold and the
    next, activations are zero.
    """
    m = left.shape[1]
    period = rows + m + rows + cols - 2
    for top in prange(tops):
        begin = cols + top * period
        for line in range(stream.shape[0]):
            r = line % rows
            start = begin + rows + r
            stream[line, begin:start] = 0
            stream[line, start : start + m] = left[line // rows * depth + (first_top + top) * rows + r]
            stream[line, start + m : begin + period] = 0


@njit(cache=True, parallel=True)
def load_ws(right, folds, period, codes):
    """Weight codes of folds, the last row's first; ``right`` (k, n) is padded."""
    first, count, across, rows, cols = folds
    for f in prange(count):
        top, side = (first + f) // across * rows, (first + f) % across * cols
        for r in range(rows):
            for c in range(cols):
                codes[f * period + r, c] = right[top + rows - 1 - r, side + c]


@njit(cache=True, parallel=True)
def take_ws(waves, folds, unused, result):
    """Add the sums that left the array to ``result`` (n, m); ``unused`` is 64 less the bits of a sum."""
    first, count, across, rows, cols = folds
    m = result.shape[1]
    period = rows + m + rows + cols - 2
    for c in prange(cols):
        for f in range(count):
            start = f * period + rows + rows + c
            total, sums = result[(first + f) % across * cols + c], waves[c, start : start + m]
            for t in range(m):
                total[t] += np.int64(sums[t]) << unused >> unused


@njit(cache=True, parallel=True)
def feed_os(left, right, folds, stream, weights):
    """Inputs of folds, into ``stream`` and ``weights``; ``left`` (m, k) and ``right`` (n, k), by term, are padded.

    ``left`` may have its table entries below it. Between folds activations are zero, and weights keep the
    zero that they are given with.
    """
    first, count, across, rows, cols = folds
    right_even, right_odd, even, odd = right.even, right.odd, weights.even, weights.odd
    k, height = left.shape[1], left.shape[0] // (stream.shape[0] // rows)
    period = k + rows + cols - 2 + rows
    for f in prange(count):
        top, side, begin = (first + f) // across * rows, (first + f) % across * cols, f * period
        for line in range(stream.shape[0]):
            r = line % rows
            start = cols + begin + r
            stream[line, cols + begin : start] = 0
            stream[line, start : start + k] = left[line // rows * height + top + r]
            stream[line, start + k : cols + begin + period] = 0
        for c in range(cols):
            start = rows + begin + c
            even[c, start : start + k] = right_even[side + c]
            odd[c, start : start + k] = right_odd[side + c]
