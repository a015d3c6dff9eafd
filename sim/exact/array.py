"""The systolic array bit by bit and cycle by cycle: every register of :mod:`hw.units.array`, with real operands.

An :class:`ExactArray` holds the registers of the RTL's array (without its optional skew registers, which are
plain delays): per element an activation, a weight code and a sum. It is driven by what is at its ports in each
cycle, and is equal to the RTL register by register (tests/sim/test_array_exact.py). :func:`run_gemm` runs a
whole matrix product through it, fold by fold, in byte products where operands are bytes.

Two kinds of kernel do the same work (:mod:`sim.exact.kernels`). With ``trace`` every register of every cycle
is kept, by a loop that follows the registers. Without, time is the innermost loop: outputs in every cycle and
registers at the end are the same.

A product is ``a * even[code] + R[a] * odd[code]`` with R the grid's look-up table: one of the two is zero for
every code, and there is no table and no second term in the grids that read none
(:meth:`asq_sw.formats.WeightFormat.decompose`). Sums are kept modulo 2**n in the narrowest integer (int16,
int32, int64) that has the register's bits, which is exact; wider sums are kept in limbs, run one by one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numpy.typing import ArrayLike, NDArray

from asq_sw.errors import InputError
from asq_sw.formats import ActivationFormat, WeightFormat, two_terms
from hw.machine.dataflows import Dataflow
from hw.machine.dataflows import dataflow as dataflow_of
from sim.exact import kernels
from sim.exact import products as array_products
from sim.exact.kernels import Drive, Folds, Products, Registers, Spans, Terms

DATAFLOWS = ("ws", "os")
SPAN = 512
"""Most cycles that a column is worked through at once, so that its streams stay in the cache."""
BATCH = 1 << 15
"""About how many cycles :func:`run_gemm` prepares at once."""


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
        sums_stay = dataflow_of(dataflow).stationary == "ofmap"
        if terms is None and sums_stay:
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
            self._limb_bits = min(32, 61 - max(widest.bit_length(), 8) - max(terms, SPAN).bit_length())
            if self._limb_bits < 1:
                raise InputError(f"terms is {terms}, expected fewer for sums of {self.psum_bits} bits")
            limbs = -(-self.psum_bits // self._limb_bits)
        self._terms_held = terms
        self._two_terms = any(odd)
        self._table = table
        self._even, self._odd = self._split(even, limbs), self._split(odd, limbs)
        operands = np.concatenate([self._even, self._odd], axis=None)
        widest = max(np.abs(table).max(), *self._activation_range, operands.max(), -operands.min())
        # Weight-stationary operands are as wide as the sums that they are added to in place.
        if sums_stay:
            # Every kind of integer is a kernel to compile: two are enough here.
            self.dtype = np.int32 if self.psum_bits <= 32 and widest < 1 << 15 else np.int64
        self._operand = np.int16 if self.dtype is np.int32 and sums_stay else self.dtype
        self._even, self._odd = self._even.astype(self._operand), self._odd.astype(self._operand)
        # Products by code and activation value, ascending.
        patterns = np.arange(*self._activation_range) & (1 << abits) - 1
        patterns = np.append(patterns, self.activation_format.max)
        self._products = self._split(weight_format.product_table(abits, signed)[patterns].T, limbs)
        self._sums = np.zeros((limbs, rows, cols), self.dtype)

    def _terms(self) -> tuple[list[int], list[int], NDArray[np.int64]]:
        """(even, odd) by code, and R by activation value, ascending: the product in two terms."""
        weight, values = (
            self.weight_format,
            np.arange(self.activation_format.min, self.activation_format.max + 1),
        )
        even, odd, table = two_terms(weight, self.activation_format)
        if table is None:
            table = np.zeros(len(values), np.int64)
        return even, odd or [0 for _ in even], table

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
        ends = self._activation_range
        self.activation = self._checked("activation registers", activation, shape, ends).copy()
        self.weight = self._checked("weight registers", weight, shape, self._code_range).copy()
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
        return np.ascontiguousarray(array, dtype=np.int64)

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
        codes = self._checked("weight codes", w, (cycles, self.cols), self._code_range)
        values = self._checked("activations", a, (cycles, self.rows), self._activation_range)
        if trace:
            return self._traced(values, codes, flags)
        threads = numba.get_num_threads()
        stream = self._stream(cycles)
        self._fill(values, stream, self.rows, self.cols)
        advance = {"ws": self._advance_ws, "os": self._advance_with_codes}[self.dataflow]
        ports = advance(stream, codes, flags)
        if len(ports) > 1:
            return Cycles(self._join(ports[..., :cycles]).T)
        outputs = np.empty((cycles, self.cols), np.int64)
        kernels.settle(ports[0], 64 - self.psum_bits, outputs, threads)
        return Cycles(outputs)

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
            kernels.trace(
                dataflow_of(self.dataflow).code,
                Drive(a, codes, flags),
                Products(products, self.activation_format.min),
                Registers(activation, weight, sums),
                Registers(activations, weights, all_sums),
            )
            self._sums[limb] = sums.astype(self.dtype)
            limbs.append(all_sums)
        self.activation, self.weight = activation, weight
        sums = self._join(np.array(limbs))
        outputs = np.concatenate([before[None], sums[:-1, -1]])[: len(flags)]
        return Cycles(outputs, activations, weights, sums)

    def _stream(self, cycles: int) -> NDArray[Any]:
        """A stream for the kernels, not yet filled: (rows, or twice that with table entries, cols + T)."""
        return np.empty((self.rows * (1 + self._two_terms), self.cols + cycles), self._operand)

    def _fill(self, values: NDArray[np.int64], stream: NDArray[Any], below: int, offset: int) -> None:
        """Put values (T, n) into columns of a stream from ``offset`` on, and their entries from row ``below`` on."""
        kernels.fill(
            values, self.activation_format.min, self._table, stream, below if self._two_terms else 0, offset,
            numba.get_num_threads(),
        )  # fmt: skip

    def _with_entries(self, activations: NDArray[np.int64]) -> NDArray[Any]:
        """Activations (n, ...) with their table entries below them, if any are read."""
        if not self._two_terms:
            return activations.astype(self._operand)
        both = np.empty((2 * len(activations), *activations.shape[1:]), self._operand)
        both[: len(activations)] = activations
        both[len(activations) :] = self._table.astype(self._operand)[activations - self.activation_format.min]
        return both

    def _begin(self, stream: NDArray[Any]) -> None:
        """Put the activation registers before the stream, and take what they will hold from its end."""
        stream[:, : self.cols] = self._with_entries(self.activation[:, ::-1])
        last = stream[: self.rows, stream.shape[1] - self.cols :]
        self.activation = last[:, ::-1].astype(np.int64)

    @staticmethod
    def _spans(flags: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Bounds of spans of equal control, at most :data:`SPAN` cycles long, and the control of each."""
        changes = np.flatnonzero(flags[1:] != flags[:-1]) + 1
        bounds = np.unique(np.concatenate([changes, np.arange(0, len(flags), SPAN), [len(flags)]]))
        return bounds.astype(np.int64), flags[bounds[:-1]]

    def _advance_ws(
        self,
        stream: NDArray[Any],
        codes: NDArray[np.int64],
        flags: NDArray[np.bool_],
        back: NDArray[np.int64] | None = None,
    ) -> NDArray[Any]:
        """Run; the last row's sums before each clock edge and after the last, (limbs, cols, T + 1).

        In cycle t the stream is read ``back[t]`` cycles earlier: it may be shorter than T where it repeats.
        """
        rows, cols, cycles = self.rows, self.cols, len(flags)
        self._begin(stream)
        ports = np.empty((len(self._sums), cols, cycles + rows), self.dtype)
        bounds, loading = self._spans(flags)
        spans_back = np.zeros_like(bounds[:-1]) if back is None else back[bounds[:-1]]
        for limb, (even_of, odd_of) in enumerate(zip(self._even, self._odd, strict=True)):
            waves = ports[limb]
            waves[:, :rows] = self._sums[limb, ::-1].T
            waves[:, rows:] = 0
            even, odd = (np.ascontiguousarray(by[self.weight].T) for by in (even_of, odd_of))
            kernels.run_ws(
                stream, spans_back, codes, Terms(even_of, odd_of), Terms(even, odd), waves, Spans(bounds, loading),
                min(cols, numba.get_num_threads()),
            )  # fmt: skip
            self._sums[limb] = waves[:, cycles:].T[::-1]
        entered = codes[np.flatnonzero(flags)[::-1][:rows]]
        self.weight = np.concatenate([entered, self.weight[: rows - len(entered)]])
        return ports[..., : cycles + 1]

    def _weight_streams(self, cycles: int) -> tuple[NDArray[Any], NDArray[Any]]:
        """Limbs of the weights of each column by term, (limbs, cols, rows + T): the registers, then zeros."""
        shape = (len(self._sums), self.cols, self.rows + cycles)
        even, odd = np.zeros(shape, self._operand), np.zeros(shape, self._operand)
        before = self.weight[::-1].T
        even[..., : self.rows], odd[..., : self.rows] = self._even[:, before], self._odd[:, before]
        return even, odd

    def _advance_with_codes(
        self, stream: NDArray[Any], codes: NDArray[np.int64], flags: NDArray[np.bool_]
    ) -> NDArray[Any]:
        """:meth:`_advance_os` with codes (T, cols) at the weights' ports."""
        cycles = len(codes)
        even, odd = self._weight_streams(cycles)
        for limb in range(len(even)):
            kernels.weights_os(
                codes, Terms(self._even[limb], self._odd[limb]), self.rows, Terms(even[limb], odd[limb]),
                numba.get_num_threads(),
            )  # fmt: skip
        self.weight = np.concatenate([codes[::-1][: self.rows], self.weight[: max(self.rows - cycles, 0)]])
        return self._advance_os(stream, even, odd, flags)

    def _advance_os(
        self, stream: NDArray[Any], even: NDArray[Any], odd: NDArray[Any], flags: NDArray[np.bool_]
    ) -> NDArray[Any]:
        """As :meth:`_advance_ws`; the weight registers are left to the caller."""
        cols, cycles = self.cols, len(flags)
        self._begin(stream)
        ports = np.empty((len(self._sums), cols, cycles + 1), self.dtype)
        bounds, draining = self._spans(flags)
        # Limbs have room for so many terms; then what they carry must be passed on.
        step = max(self._terms_held // SPAN, 1) if len(self._sums) > 1 else max(len(draining), 1)
        for first in range(0, max(len(draining), 1), step):
            for limb in range(len(self._sums)):
                sums = np.ascontiguousarray(self._sums[limb].T)
                kernels.run_os(
                    stream, Terms(even[limb], odd[limb]), sums, ports[limb],
                    Spans(bounds[first : first + step + 1], draining[first : first + step]),
                    min(cols, numba.get_num_threads()),
                )  # fmt: skip
                self._sums[limb] = sums.T
            if len(self._sums) > 1:
                self._sums = self._split(self.sums, len(self._sums))
        return ports


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


def run_gemm(array: ExactArray, a: ArrayLike, codes: ArrayLike, by_cycle: bool = False) -> Gemm:
    """Run ``a`` times ``codes`` through an array, starting from whatever its registers hold.

    Folds follow one another as the closed form has it (:mod:`sim.closed_form`): rows + m + rows + cols - 2 cycles
    each for ws; for os k + rows + cols - 2, and ``rows`` more to drain the sums, which the closed form leaves
    out (and rows + cols once before, if the array is not cleared). Where a fold is only partly filled, activation 0 and the zero code stand in. Partial sums of a
    weight-stationary array's k-folds are added outside it.

    What leaves the array is made by byte products where operands are bytes and the processor has them
    (:mod:`sim.exact.products`); the registers then walk through the last cycles, which are all that they
    remember. Results, cycles and registers are the same either way.

    Parameters
    ----------
    array : ExactArray
        Its registers advance.
    a : int (m, k)
        Activation values.
    codes : int (k, n)
        Weight codes.
    by_cycle : bool
        Walk the registers through every cycle.

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
    right = array._checked("weight codes", right, right.shape, array._code_range)
    if not by_cycle:
        found = _gemm_in_bytes(array, left, right)
        if found is not None:
            return found
    left = array._checked("activations", left, left.shape, array._activation_range)
    return {"ws": _gemm_ws, "os": _gemm_os}[array.dataflow](array, left, right)


def _padded(values: NDArray[np.int64], rows: int, cols: int, fill: int) -> NDArray[np.int64]:
    """``values`` in an array whose sides are multiples of rows and cols."""
    sides = (-(-values.shape[0] // rows) * rows, -(-values.shape[1] // cols) * cols)
    whole = np.full(sides, fill, np.int64)
    whole[: values.shape[0], : values.shape[1]] = values
    return whole


def _gemm_in_bytes(array: ExactArray, a: NDArray[Any], codes: NDArray[np.int64]) -> Gemm | None:
    """The whole product by bytes; None where it must go cycle by cycle."""
    rows, cols, (m, k), n = array.rows, array.cols, a.shape, codes.shape[1]
    flow = dataflow_of(array.dataflow)
    sums_stay = flow.stationary == "ofmap"
    weights = (array._even[0], array._odd[0])
    if (
        len(array._sums) > 1
        or a.dtype.kind not in "iub"
        or array._terms_held < (k if sums_stay else min(rows, k))  # sums would wrap
        or (not sums_stay and array.activation[:, : cols - 1].any())  # the first fold meets them
        or not array_products.fits(k, *weights, array._table, *array._activation_range)
    ):
        return None
    even, odd = (one.astype(np.int8) for one in weights)
    values = array_products.product(
        np.ascontiguousarray(a), codes, even, odd, array._two_terms, array._table, *array._activation_range
    )
    if values is None:
        return None
    zero = np.zeros((rows, cols), np.int64)
    folds, cycles = _schedule(flow, (m, n, k), rows, cols)
    if sums_stay:
        if array.activation.any() or array._sums.any():
            cycles += rows + cols
        # Zeros followed the operands, and left with the sums.
        array.load_state(zero, zero + array.weight_format.zero_code, zero)
        return Gemm(values, folds, cycles, cycles * rows * cols)
    top, side = (k - 1) // rows * rows, (n - 1) // cols * cols
    held = np.full((rows, cols), array.weight_format.zero_code, np.int64)
    held[: k - top, : n - side] = codes[top:, side:]
    array.load_state(zero, held, zero)
    # A register remembers what entered in the last rows + cols cycles.
    streaming = m + rows + cols - 2
    last = min(streaming, rows + cols)
    ports = np.zeros((last, rows), np.int64)
    for r in range(k - top):
        first = streaming - last - r  # of the pixels, at the row's port in the first of these cycles
        begin, end = max(first, 0), min(first + last, m)
        if begin < end:
            ports[begin - first : end - first, r] = a[begin:end, top + r]
    array.run(ports, np.zeros((last, cols), np.int64), np.zeros(last, bool))
    return Gemm(values, folds, cycles, cycles * rows * cols)


def _schedule(flow: Dataflow, shape: tuple[int, int, int], rows: int, cols: int) -> tuple[int, int]:
    """(folds, cycles) of a product (m, n, k), with the cycles in which sums that stay are drained."""
    down, across = flow.folds(*shape, rows, cols)
    drain = rows if flow.stationary == "ofmap" else 0
    return down * across, down * across * (flow.fold_cycles(*shape, rows, cols) + drain)


def _gemm_ws(array: ExactArray, a: NDArray[np.int64], codes: NDArray[np.int64]) -> Gemm:
    rows, cols, m, n = array.rows, array.cols, a.shape[0], codes.shape[1]
    right = _padded(codes, rows, cols, array.weight_format.zero_code)
    depth, n_folds = len(right), right.shape[1] // cols
    left = np.zeros((depth * (1 + array._two_terms), m), array._operand)
    array._fill(a, left, depth, 0)
    folds = depth // rows * n_folds
    period = rows + m + rows + cols - 2
    limbs = len(array._sums)
    at_once = max(1, BATCH // period) if limbs == 1 else 1
    values: NDArray[Any] = np.zeros((right.shape[1], m), np.int64 if limbs == 1 else object)
    loads = np.zeros((min(at_once, folds) * period, cols), np.int64)
    first = 0
    while first < folds:
        # Folds of the same rows see the same activations, but the first also what the registers held before.
        count = 1 if array.activation[:, : cols - 1].any() else min(at_once, folds - first)
        first_top, last_top = first // n_folds, (first + count - 1) // n_folds
        stream = array._stream((last_top - first_top + 1) * period)
        kernels.feed_ws(left, first_top, last_top - first_top + 1, depth, rows, cols, stream)
        some = Folds(first, count, n_folds, rows, cols)
        kernels.load_ws(right, some, period, loads)
        fold = np.arange(count)
        back = np.repeat((fold - ((first + fold) // n_folds - first_top)) * period, period)
        flags = np.arange(count * period) % period < rows
        ports = array._advance_ws(stream, loads[: count * period], flags, back)
        if limbs == 1:
            unused = 64 - array.psum_bits
            kernels.take_ws(ports[0], some, unused, values)
        else:
            parts = np.zeros((limbs, *values.shape), np.int64)
            for port, part in zip(ports, parts, strict=True):
                kernels.take_ws(port, some, 0, part)
            values += array._join(parts)
        first += count
    cycles = folds * period
    return Gemm(values[:n].T, folds, cycles, cycles * rows * cols)


def _gemm_os(array: ExactArray, a: NDArray[np.int64], codes: NDArray[np.int64]) -> Gemm:
    rows, cols, (m, k), n = array.rows, array.cols, a.shape, codes.shape[1]
    padded = _padded(a, rows, 1, 0)
    left = array._with_entries(padded)
    right = np.ascontiguousarray(_padded(codes, 1, cols, array.weight_format.zero_code).T)
    n_folds = len(right) // cols
    folds = n_folds * (len(padded) // rows)
    period = k + rows + cols - 2 + rows
    limbs = len(array._sums)
    cycles = folds * period
    if array.activation.any() or array._sums.any():
        clear = rows + cols
        array.run(np.zeros((clear, rows), int), np.zeros((clear, cols), int), np.ones(clear, bool))
        cycles += clear
    at_once = min(folds, max(1, BATCH // period))
    values: NDArray[Any] = np.zeros((len(padded), len(right)), np.int64 if limbs == 1 else object)
    for first in range(0, folds, at_once):
        count = min(at_once, folds - first)
        length = count * period
        stream = array._stream(length)
        even, odd = array._weight_streams(length)
        for limb in range(limbs):
            kernels.feed_os(
                left,
                Terms(array._even[limb][right], array._odd[limb][right]),
                Folds(first, count, n_folds, rows, cols),
                stream,
                Terms(even[limb], odd[limb]),
            )
        flags = np.arange(length) % period >= period - rows
        ports = array._advance_os(stream, even, odd, flags)
        array.weight[:] = array.weight_format.zero_code  # what entered while the sums drained
        for f in range(count):
            top, side = (first + f) // n_folds * rows, (first + f) % n_folds * cols
            drained = array._join(ports[..., (f + 1) * period - rows : (f + 1) * period])
            values[top : top + rows, side : side + cols] = drained.T[::-1]
    return Gemm(values[:m, :n], folds, cycles, cycles * rows * cols)
