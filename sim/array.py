"""The systolic array bit by bit and cycle by cycle: every register of :mod:`hw.array`, with real operands.

An :class:`ExactArray` holds the registers of the RTL's array (without its optional skew registers, which are
plain delays): per element an activation, a weight code and a sum. It is driven by what is at its ports in each
cycle, and is equal to the RTL register by register (tests/sim/test_array_exact.py). :func:`run_gemm` runs a
whole matrix product through it, fold by fold.

Two kernels do the same work. With ``trace`` every register of every cycle is kept, by a loop that follows
the registers. Without, time is the inner loop: a partial sum that moves down a column meets, in row r, a
stream of activations delayed by its column and one weight, so that the column's sums of many cycles are one
vector operation. Each sum of each element and cycle is still computed; it is overwritten by the next row's.

A product is ``a * even[code] + R[a] * odd[code]`` with R the grid's look-up table: one of the two is zero for
every code, and there is no table and no second term in the grids that read none
(:meth:`asq_sw.formats.WeightFormat.decompose`). Sums are kept modulo 2**n in the narrowest integer (int16,
int32, int64) that has the register's bits, which is exact; wider sums are kept in limbs, run one by one.

Cost on two cores of a 2.x GHz server with AVX-512: 0.05 ns per element and cycle at int16, 0.1 at int32
(tests/benchmarks/bench_array.py measures it); with ``trace`` about 1 ns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numba import njit, prange
from numpy.typing import ArrayLike, NDArray

from asq_sw.errors import InputError
from asq_sw.formats import ActivationFormat, WeightFormat

DATAFLOWS = ("ws", "os")
SEGMENT = 1024
"""Most cycles that a column is worked through at once, so that its streams stay in the cache."""
BATCH = 1 << 14
"""About how many cycles :func:`run_gemm` prepares at once."""


# -- kernels ---------------------------------------------------------------------------------------------------


@njit(cache=True, parallel=True)
def _look_up(activations, table, lowest, out):
    """``out = table[activations - lowest]``; (rows, L)."""
    for r in prange(activations.shape[0]):
        for i in range(activations.shape[1]):
            out[r, i] = table[activations[r, i] - lowest]


@njit(cache=True, parallel=True, boundscheck=False)
def _run_ws(
    activations, entries, two_terms, codes, even_of, odd_of, even, odd, waves, bounds, loading, blocks
):
    """Weight-stationary, all cycles.

    ``activations[r, cols + t]`` is at row r's port in cycle t, ``entries`` its table entries; what comes
    before are the registers. ``waves[c, rows + i]`` is the sum that enters column c in cycle i and is in row
    r in cycle i + r: its value before r is what row r - 1 held. ``even, odd[c, r]`` are the weights.
    ``bounds`` and ``loading`` cut time into spans with and without load.
    """
    rows, cols = activations.shape[0], even.shape[0]
    for block in prange(blocks):
        shifting_even = np.empty(rows + SEGMENT, even.dtype)
        shifting_odd = np.empty(rows + SEGMENT, odd.dtype)
        for span in range(len(loading)):
            begin, end = bounds[span], bounds[span + 1]
            for c in range(block * cols // blocks, (block + 1) * cols // blocks):
                if loading[span]:
                    # A weight moves down with the sums: wave i meets the weight that entered in cycle i - 1.
                    for r in range(rows):
                        shifting_even[rows - 1 - r] = even[c, r]
                        shifting_odd[rows - 1 - r] = odd[c, r]
                    for t in range(begin, end):
                        shifting_even[rows + t - begin] = even_of[codes[t, c]]
                        shifting_odd[rows + t - begin] = odd_of[codes[t, c]]
                for r in range(rows):
                    a = activations[r, cols + begin - c : cols + end - c]
                    e = entries[r, cols + begin - c : cols + end - c]
                    wave = waves[c, rows + begin - r : rows + end - r]
                    if loading[span]:
                        by_even = shifting_even[rows - 1 - r : rows - 1 - r + end - begin]
                        by_odd = shifting_odd[rows - 1 - r : rows - 1 - r + end - begin]
                        for i in range(end - begin):
                            wave[i] += a[i] * by_even[i] + e[i] * by_odd[i]
                    elif two_terms:
                        even_here, odd_here = even[c, r], odd[c, r]
                        for i in range(end - begin):
                            wave[i] += a[i] * even_here + e[i] * odd_here
                    else:
                        even_here = even[c, r]
                        for i in range(end - begin):
                            wave[i] += a[i] * even_here
                if loading[span]:
                    for r in range(rows):
                        even[c, r] = shifting_even[rows + end - begin - 1 - r]
                        odd[c, r] = shifting_odd[rows + end - begin - 1 - r]


@njit(cache=True, parallel=True, boundscheck=False)
def _run_os(backward, entries, two_terms, even, odd, sums, drain, out, blocks):
    """Output-stationary, all cycles.

    ``backward[r, T - 1 - t]`` is at row r's port in cycle t (so that a row of elements reads a row of it),
    ``entries`` its table entries; ``even, odd[rows + t, c]`` are at column c's port. ``sums`` (rows, cols)
    is updated, ``out`` (T, cols) is the last row before each clock edge.
    """
    rows, cols = sums.shape
    cycles = len(drain)
    for block in prange(blocks):
        left, right = block * cols // blocks, (block + 1) * cols // blocks
        for t in range(cycles):
            for c in range(left, right):
                out[t, c] = sums[rows - 1, c]
            if drain[t]:
                for r in range(rows - 1, 0, -1):
                    for c in range(left, right):
                        sums[r, c] = sums[r - 1, c]
                for c in range(left, right):
                    sums[0, c] = 0
                continue
            for r in range(rows):
                a = backward[r, cycles - 1 - t + left : cycles - 1 - t + right]
                e = entries[r, cycles - 1 - t + left : cycles - 1 - t + right]
                by_even = even[rows + t - r, left:right]
                by_odd = odd[rows + t - r, left:right]
                total = sums[r, left:right]
                if two_terms:
                    for c in range(right - left):
                        total[c] += a[c] * by_even[c] + e[c] * by_odd[c]
                else:
                    for c in range(right - left):
                        total[c] += a[c] * by_even[c]


@njit(cache=True)
def _trace(
    stationary,
    a,
    codes,
    control,
    table,
    lowest,
    activation,
    weight,
    sums,
    all_activations,
    all_weights,
    all_sums,
):
    """Every register of every cycle, as the processing elements' docstrings say it.

    ``table[code, a - lowest]`` is the product; the first three arrays after ``lowest`` are the registers
    (rows, cols) and are updated, the last three (T, rows, cols) are filled with what they hold after each
    cycle.
    """
    rows, cols = activation.shape
    for t in range(len(control)):
        # From the last element to the first: a neighbour's register still holds its old value.
        for r in range(rows - 1, -1, -1):
            for c in range(cols - 1, -1, -1):
                a_in = a[t, r] if c == 0 else activation[r, c - 1]
                w_in = codes[t, c] if r == 0 else weight[r - 1, c]
                above = 0 if r == 0 else sums[r - 1, c]
                if stationary:
                    sums[r, c] = above + table[weight[r, c], a_in - lowest]
                    if control[t]:
                        weight[r, c] = w_in
                else:
                    sums[r, c] = above if control[t] else sums[r, c] + table[w_in, a_in - lowest]
                    weight[r, c] = w_in
                activation[r, c] = a_in
        all_activations[t], all_weights[t], all_sums[t] = activation, weight, sums


# -- the array -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cycles:
    """What an array did in a run of T cycles.

    Attributes
    ----------
    outputs : (T, cols)
        What is at the last row's sum outputs in each cycle, that is before the clock edge that ends it.
    activation, weight, sums : (T, rows, cols), or None without ``trace``
        The registers after each cycle's clock edge: activation values, weight codes, sums.
    """

    outputs: NDArray[Any]
    activation: NDArray[np.int64] | None = None
    weight: NDArray[np.int64] | None = None
    sums: NDArray[Any] | None = None


class ExactArray:
    """The registers of a weight-stationary or output-stationary array.

    Parameters
    ----------
    weight_format : WeightFormat
        Of the weight codes.
    abits : int
        Activation bits, 1 to 8.
    rows, cols : int
        Shape, at least 1.
    signed : bool
        Two's complement activations.
    dataflow : str
        ``"ws"`` or ``"os"``.
    terms : int, optional
        Products that a sum holds, which gives its width; beyond it sums wrap as the registers do. By default
        ``rows`` for ws; needed for os.

    Attributes
    ----------
    activation, weight : int64 (rows, cols)
        The activation registers' values and the weight registers' codes; 0 at first.
    psum_bits : int
        Width of the sum registers.

    Raises
    ------
    InputError
        For a shape, dataflow or number of terms out of range.
    """

    def __init__(
        self,
        weight_format: WeightFormat,
        abits: int,
        rows: int,
        cols: int,
        signed: bool = False,
        dataflow: str = "ws",
        terms: int | None = None,
    ):
        if dataflow not in DATAFLOWS:
            raise InputError(f"dataflow is {dataflow!r}, expected one of {', '.join(DATAFLOWS)}")
        if terms is None and dataflow == "os":
            raise InputError("terms is not given, expected the products that an output-stationary sum holds")
        terms = rows if terms is None else terms
        for field, value in (("rows", rows), ("cols", cols), ("terms", terms)):
            if value < 1:
                raise InputError(f"{field} is {value}, expected at least 1")
        self.weight_format = weight_format
        self.activation_format = ActivationFormat(abits, signed)
        self.rows, self.cols, self.dataflow = rows, cols, dataflow
        self.psum_bits = weight_format.accumulator_bits(abits, terms, signed)
        self.activation = np.zeros((rows, cols), np.int64)
        self.weight = np.zeros((rows, cols), np.int64)

        even, odd, table = self._terms()
        if self.psum_bits <= 64:
            self.dtype = next(t for t in (np.int16, np.int32, np.int64) if self.psum_bits <= t(0).nbytes * 8)
            self._limb_bits, limbs = self.psum_bits, 1
        else:
            # A limb of a weight, times an activation or its table entry, times the terms, stays in an int64.
            self.dtype = np.int64
            widest = max(abs(int(entry)) for entry in table)
            self._limb_bits = min(32, 61 - max(widest.bit_length(), 8) - terms.bit_length())
            if self._limb_bits < 1:
                raise InputError(f"terms is {terms}, expected fewer for sums of {self.psum_bits} bits")
            limbs = -(-self.psum_bits // self._limb_bits)
        self._terms_held = terms
        self._two_terms = any(odd)
        self._table = table.astype(self.dtype)
        self._even = self._split(even, limbs).astype(self.dtype)
        self._odd = self._split(odd, limbs).astype(self.dtype)
        # Products by code and activation value, ascending.
        values = range(self.activation_format.min, self.activation_format.max + 1)
        products = [
            [weight_format.product_of(a, code) for a in values]
            for code in range(1 << weight_format.storage_bits)
        ]
        self._products = self._split(products, limbs)
        self._sums = np.zeros((limbs, rows, cols), self.dtype)

    def _terms(self) -> tuple[list[int], list[int], NDArray[np.int64]]:
        """(even, odd) by code, and R by activation value, ascending: the product in two terms."""
        weight = self.weight_format
        codes = range(1 << weight.storage_bits)
        values = np.arange(self.activation_format.min, self.activation_format.max + 1)
        if not (weight.uses_lut and weight.shift_and_lut):
            return [weight.integer(code) for code in codes], [0 for _ in codes], np.zeros_like(values)
        even, odd = [0 for _ in codes], [0 for _ in codes]
        for code in codes:
            negative, zero, is_odd, shift = weight.decompose(code)
            if not zero:
                sign = -1 if negative else 1
                if is_odd:
                    odd[code] = sign << shift
                else:
                    even[code] = sign << weight.frac_bits + shift
        table = weight.lut(self.activation_format.bits, self.activation_format.signed)
        return even, odd, table[values & (len(table) - 1)]

    def _split(self, values: Any, limbs: int) -> NDArray[np.int64]:
        """Integers of any size as ``limbs`` int64 arrays, lowest first, that sum to them modulo 2**psum_bits."""
        whole = np.array(values, dtype=object)
        if limbs == 1:
            # Modulo 2**64: only the low bits of a sum are kept.
            return (((whole + (1 << 63)) & ((1 << 64) - 1)) - (1 << 63)).astype(np.int64)[None]
        mask = (1 << self._limb_bits) - 1
        return np.array([(whole >> self._limb_bits * i) & mask for i in range(limbs)]).astype(np.int64)

    def _join(self, limbs: NDArray[Any]) -> NDArray[Any]:
        """Register values from limbs (first axis): int64, or Python integers where wider."""
        bits = self.psum_bits
        if len(limbs) == 1:
            low = 64 - bits
            return limbs[0].astype(np.int64) << low >> low
        total = sum(limb.astype(object) << self._limb_bits * i for i, limb in enumerate(limbs))
        return ((total + (1 << bits - 1)) & ((1 << bits) - 1)) - (1 << bits - 1)

    @property
    def sums(self) -> NDArray[Any]:
        """The sum registers, (rows, cols): int64, or Python integers where they have more than 64 bits."""
        return self._join(self._sums)

    def load_state(self, activation: ArrayLike, weight: ArrayLike, sums: ArrayLike) -> None:
        """Set all registers, each (rows, cols): activation values, weight codes, sums."""
        shape = (self.rows, self.cols)
        self.activation = self._checked("activation registers", activation, shape, self._activation_range)
        self.weight = self._checked("weight registers", weight, shape, self._code_range)
        total = np.array(sums, dtype=object)
        if total.shape != shape:
            raise InputError(f"sum registers have shape {total.shape}, expected {shape}")
        self._sums = self._split(total, len(self._sums)).astype(self.dtype)

    @property
    def _activation_range(self) -> tuple[int, int]:
        return self.activation_format.min, self.activation_format.max

    @property
    def _code_range(self) -> tuple[int, int]:
        return 0, (1 << self.weight_format.storage_bits) - 1

    @staticmethod
    def _checked(
        field: str, values: ArrayLike, shape: tuple[int, ...], ends: tuple[int, int]
    ) -> NDArray[np.int64]:
        array = np.asarray(values)
        if array.shape != shape:
            raise InputError(f"{field} have shape {array.shape}, expected {shape}")
        if array.dtype.kind not in "iub" or (array.size and (array.min() < ends[0] or array.max() > ends[1])):
            raise InputError(f"{field} are out of range, expected whole numbers from {ends[0]} to {ends[1]}")
        return array.astype(np.int64)

    def run(self, a: ArrayLike, w: ArrayLike, control: ArrayLike, trace: bool = False) -> Cycles:
        """Advance by T clock cycles.

        Parameters
        ----------
        a : int (T, rows)
            Activation value at each row's port in each cycle.
        w : int (T, cols)
            Weight code at each column's port.
        control : bool (T,)
            ``load`` (ws) or ``drain`` (os).
        trace : bool
            Keep every register of every cycle: 24 bytes per element and cycle.

        Raises
        ------
        InputError
            If shapes disagree or an operand is out of its format's range.
        """
        flags = np.ascontiguousarray(control, dtype=np.bool_)
        cycles = flags.size
        values = self._checked("activations", a, (cycles, self.rows), self._activation_range)
        codes = self._checked("weight codes", w, (cycles, self.cols), self._code_range)
        if trace:
            return self._traced(values, codes, flags)
        outputs = self._fast(np.ascontiguousarray(values.T), codes, flags)
        return Cycles(self._join(outputs[:, :cycles]))

    def step(self, a: ArrayLike, w: ArrayLike, control: bool) -> NDArray[Any]:
        """Advance by one clock cycle: ``a`` (rows,), ``w`` (cols,). Gives the outputs before the edge, (cols,)."""
        return self.run(np.asarray(a)[None], np.asarray(w)[None], np.array([control])).outputs[0]

    def _traced(self, a: NDArray[np.int64], codes: NDArray[np.int64], flags: NDArray[np.bool_]) -> Cycles:
        shape = (len(flags), self.rows, self.cols)
        activations, weights = np.empty(shape, np.int64), np.empty(shape, np.int64)
        before, limbs = self.sums[-1], []
        for limb, products in enumerate(self._products):
            activation, weight = self.activation.copy(), self.weight.copy()
            sums, all_sums = self._sums[limb].astype(np.int64), np.empty(shape, np.int64)
            _trace(
                self.dataflow == "ws", a, codes, flags, products, self.activation_format.min,
                activation, weight, sums, activations, weights, all_sums,
            )  # fmt: skip
            self._sums[limb] = sums.astype(self.dtype)
            limbs.append(all_sums)
        self.activation, self.weight = activation, weight
        sums = self._join(np.array(limbs))
        outputs = np.concatenate([before[None], sums[:-1, -1]])[: len(flags)]
        return Cycles(outputs, activations, weights, sums)

    def _fast(self, a: NDArray[Any], codes: NDArray[np.int64], flags: NDArray[np.bool_]) -> NDArray[Any]:
        """Run without trace; ``a`` is (rows, T).

        Gives the limbs of the last row's sums before each clock edge and after the last: (limbs, T + 1, cols).
        """
        if len(self._sums) > 1 and self.dataflow == "os" and len(flags) > self._terms_held:
            # Limbs have room for so many terms: carry between them before going on.
            head, cut = [], self._terms_held
            for t in range(0, len(flags), cut):
                part = self._fast(a[:, t : t + cut], codes[t : t + cut], flags[t : t + cut])
                head.append(part if t + cut >= len(flags) else part[:, :-1])
                self._sums = self._split(self.sums, len(self._sums))
            return np.concatenate(head, axis=1)
        cols, cycles = self.cols, len(flags)
        # An activation register holds what was at its row's port some cycles ago.
        stream = np.empty((self.rows, cols + cycles), self.dtype)
        stream[:, :cols] = self.activation[:, ::-1]
        stream[:, cols:] = a
        run = self._fast_ws if self.dataflow == "ws" else self._fast_os
        outputs = run(stream, codes, flags)
        self.activation = stream[:, cycles:][:, ::-1].astype(np.int64)
        return outputs

    def _entries(self, stream: NDArray[Any]) -> NDArray[Any]:
        """The table entry of each activation, or the activations themselves where no table is read."""
        if not self._two_terms:
            return stream
        entries = np.empty_like(stream)
        _look_up(stream, self._table, self.activation_format.min, entries)
        return entries

    def _fast_ws(
        self, stream: NDArray[Any], codes: NDArray[np.int64], flags: NDArray[np.bool_]
    ) -> NDArray[Any]:
        rows, cols, cycles = self.rows, self.cols, len(flags)
        changes = np.flatnonzero(flags[1:] != flags[:-1]) + 1
        bounds = np.unique(np.concatenate([changes, np.arange(0, cycles, SEGMENT), [cycles]]))
        loading = flags[bounds[:-1]]
        entries = self._entries(stream)
        outputs = []
        for limb, (even_of, odd_of) in enumerate(zip(self._even, self._odd, strict=True)):
            waves = np.zeros((cols, rows + cycles), self.dtype)
            waves[:, :rows] = self._sums[limb, ::-1].T
            even, odd = (np.ascontiguousarray(by[self.weight].T) for by in (even_of, odd_of))
            _run_ws(
                stream, entries, self._two_terms, codes, even_of, odd_of, even, odd, waves, bounds, loading,
                min(cols, numba.get_num_threads()),
            )  # fmt: skip
            self._sums[limb] = waves[:, cycles:].T[::-1]
            outputs.append(waves[:, : cycles + 1].T)
        entered = codes[flags][::-1][:rows]
        self.weight = np.concatenate([entered, self.weight[: rows - len(entered)]])
        return np.array(outputs) if len(outputs) > 1 else outputs[0][None]

    def _fast_os(
        self, stream: NDArray[Any], codes: NDArray[np.int64], flags: NDArray[np.bool_]
    ) -> NDArray[Any]:
        cols, cycles = self.cols, len(flags)
        backward = np.ascontiguousarray(stream[:, ::-1])
        entries = self._entries(backward)
        moving = np.concatenate([self.weight[::-1], codes])
        outputs = np.empty((len(self._sums), cycles + 1, cols), self.dtype)
        for limb, (even_of, odd_of) in enumerate(zip(self._even, self._odd, strict=True)):
            _run_os(
                backward, entries, self._two_terms, even_of[moving], odd_of[moving], self._sums[limb], flags,
                outputs[limb], min(cols, numba.get_num_threads()),
            )  # fmt: skip
        outputs[:, cycles] = self._sums[:, -1]
        self.weight = np.ascontiguousarray(moving[cycles:][::-1])
        return outputs


# -- a whole matrix product ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Gemm:
    """A matrix product as an array did it.

    Attributes
    ----------
    values : (m, n)
        The exact integer results; int64, or Python integers where a sum has more than 64 bits.
    folds, cycles, updates : int
        Fillings of the array, clock cycles, and element updates (cycles * rows * cols).
    """

    values: NDArray[Any]
    folds: int
    cycles: int
    updates: int


def run_gemm(array: ExactArray, a: ArrayLike, codes: ArrayLike) -> Gemm:
    """Run ``a`` times ``codes`` through an array, starting from whatever its registers hold.

    Folds follow one another as the closed form has it (:mod:`sim.dataflow`): rows + m + rows + cols - 2 cycles
    each for ws; for os k + rows + cols - 2, and ``rows`` more to drain the sums, which the closed form leaves
    out (and rows + cols once before, if the array is not cleared). Where a fold is only partly filled, activation 0 and the zero code stand in. Partial sums of a
    weight-stationary array's k-folds are added outside it.

    Parameters
    ----------
    array : ExactArray
        Its registers advance.
    a : int (m, k)
        Activation values.
    codes : int (k, n)
        Weight codes.

    Raises
    ------
    InputError
        If shapes disagree or an operand is out of its format's range.
    """
    left, right = np.asarray(a), np.asarray(codes)
    if (
        left.ndim != 2
        or right.ndim != 2
        or left.shape[1] != right.shape[0]
        or not left.size
        or not right.size
    ):
        raise InputError(
            f"operands have shapes {left.shape} and {right.shape}, expected (m, k) and (k, n), none empty"
        )
    left = array._checked("activations", left, left.shape, array._activation_range)
    right = array._checked("weight codes", right, right.shape, array._code_range)
    return (_gemm_ws if array.dataflow == "ws" else _gemm_os)(array, left, right)


def _padded(values: NDArray[np.int64], rows: int, cols: int, fill: int) -> NDArray[np.int64]:
    """``values`` in an array whose sides are multiples of rows and cols."""
    sides = (-(-values.shape[0] // rows) * rows, -(-values.shape[1] // cols) * cols)
    whole = np.full(sides, fill, np.int64)
    whole[: values.shape[0], : values.shape[1]] = values
    return whole


@njit(cache=True)
def _feed_ws(left, right, first, count, rows, cols, a, codes, flags):
    """Inputs of ``count`` folds from ``first`` on: ``left`` (k, m), ``right`` (k, n), both padded."""
    m, k_folds = left.shape[1], right.shape[0] // rows
    period = rows + m + rows + cols - 2
    for f in range(count):
        top, side = (first + f) % k_folds * rows, (first + f) // k_folds * cols
        begin = f * period
        for r in range(rows):
            flags[begin + r] = True
            for c in range(cols):
                codes[begin + r, c] = right[top + rows - 1 - r, side + c]
            for t in range(m):
                a[r, begin + rows + r + t] = left[top + r, t]


@njit(cache=True)
def _take_ws(ports, first, count, k_folds, rows, cols, m, unused, result):
    """Add what left the array to ``result`` (n, m); ``ports`` is (T + 1, cols), ``unused`` its bits above."""
    period = rows + m + rows + cols - 2
    for f in range(count):
        side, begin = (first + f) // k_folds * cols, f * period + rows + rows
        for c in range(cols):
            for t in range(m):
                value = np.int64(ports[begin + c + t, c])
                result[side + c, t] += value << unused >> unused


def _gemm_ws(array: ExactArray, a: NDArray[np.int64], codes: NDArray[np.int64]) -> Gemm:
    rows, cols, m, n = array.rows, array.cols, a.shape[0], codes.shape[1]
    left = np.ascontiguousarray(_padded(a, 1, rows, 0).T).astype(array.dtype)
    right = _padded(codes, rows, cols, array.weight_format.zero_code)
    k_folds = len(right) // rows
    folds = k_folds * (right.shape[1] // cols)
    period = rows + m + rows + cols - 2
    limbs = len(array._sums)
    at_once = max(1, BATCH // period) if limbs == 1 else 1
    values: NDArray[Any] = np.zeros((right.shape[1], m), np.int64 if limbs == 1 else object)
    for first in range(0, folds, at_once):
        count = min(at_once, folds - first)
        inputs = np.zeros((rows, count * period), array.dtype)
        loads = np.zeros((count * period, cols), np.int64)
        flags = np.zeros(count * period, np.bool_)
        _feed_ws(left, right, first, count, rows, cols, inputs, loads, flags)
        ports = array._fast(inputs, loads, flags)
        if limbs == 1:
            unused = 64 - array.psum_bits
            _take_ws(ports[0], first, count, k_folds, rows, cols, m, unused, values)
            continue
        parts = np.zeros((limbs, *values.shape), np.int64)
        for port, part in zip(ports, parts, strict=True):
            _take_ws(port, first, count, k_folds, rows, cols, m, 0, part)
        values += array._join(parts)
    cycles = folds * period
    return Gemm(values[:n].T, folds, cycles, cycles * rows * cols)


@njit(cache=True)
def _feed_os(left, right, rows, cols, first, count, n_folds, a, codes, flags):
    """Inputs of ``count`` folds from ``first`` on: ``left`` (k, m), ``right`` (k, n), both padded."""
    k = left.shape[0]
    work = k + rows + cols - 2
    for f in range(count):
        top, side = (first + f) // n_folds * rows, (first + f) % n_folds * cols
        begin = f * (work + rows)
        for t in range(k):
            for r in range(rows):
                a[r, begin + t + r] = left[t, top + r]
            for c in range(cols):
                codes[begin + t + c, c] = right[t, side + c]
        flags[begin + work : begin + work + rows] = True


def _gemm_os(array: ExactArray, a: NDArray[np.int64], codes: NDArray[np.int64]) -> Gemm:
    rows, cols, (m, k), n = array.rows, array.cols, a.shape, codes.shape[1]
    left = np.ascontiguousarray(_padded(a, rows, 1, 0).T).astype(array.dtype)
    right = _padded(codes, 1, cols, array.weight_format.zero_code)
    n_folds = right.shape[1] // cols
    folds = n_folds * (left.shape[1] // rows)
    work = k + rows + cols - 2
    cycles = folds * (work + rows)
    if array.activation.any() or (array._sums != 0).any():
        clear = rows + cols
        array._fast(
            np.zeros((rows, clear), array.dtype), np.zeros((clear, cols), np.int64), np.ones(clear, np.bool_)
        )
        cycles += clear
    at_once = max(1, BATCH // (work + rows))
    values: NDArray[Any] = np.zeros(
        (left.shape[1], right.shape[1]), object if array.psum_bits > 64 else np.int64
    )
    for first in range(0, folds, at_once):
        count = min(at_once, folds - first)
        length = count * (work + rows)
        inputs = np.zeros((rows, length), array.dtype)
        moving = np.zeros((length, cols), np.int64)
        flags = np.zeros(length, np.bool_)
        _feed_os(left, right, rows, cols, first, count, n_folds, inputs, moving, flags)
        ports = array._fast(inputs, moving, flags)
        for f in range(count):
            top, side = (first + f) // n_folds * rows, (first + f) % n_folds * cols
            drained = ports[:, (f + 1) * (work + rows) - rows : (f + 1) * (work + rows)]
            values[top : top + rows, side : side + cols] = array._join(drained)[::-1]
    return Gemm(values[:m, :n], folds, cycles, cycles * rows * cols)
