# amaranth: UnusedElaboratable=no
# (a component may stand for the interface of its copies only)
"""Systolic arrays of processing elements: weight-stationary and output-stationary.

Time is counted in clock cycles; "in cycle t" means between clock edges t - 1 and t, so a register written at
the edge that ends cycle t shows its value in cycle t + 1. Row r, column c, both from 0.

By default neighbouring rows and columns must be fed one cycle apart (the *skew* of a systolic array), and
results leave one cycle apart per column. With ``skew`` the array delays its inputs and aligns its outputs
itself: it is fed whole vectors and gives whole vectors, for (rows**2 + cols**2) / 2 more registers.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import ClassVar, Self

import numpy as np
from amaranth.hdl import Module, Signal, Value
from amaranth.lib import wiring
from numpy.typing import ArrayLike, NDArray

from asq_sw.errors import InputError
from hw.rtl.hierarchy import Copies
from hw.units.operands import CYCLES, Codes, Operands, after
from hw.units.pe import Element
from hw.units.spec import UnitSpec
from hw.units.unit import Part


def delayed(m: Module, value: Value, cycles: int, name: str) -> Value:
    """``value`` as it was ``cycles`` cycles ago, through registers without reset."""
    for stage in range(cycles):
        register = Signal(value.shape(), name=f"{name}_{stage}", reset_less=True)
        m.d.sync += register.eq(value)
        value = register
    return value


def element_of(spec: UnitSpec) -> UnitSpec:
    """The processing element that an array is made of."""
    return replace(spec, unit="pe", rows=1, cols=1, skew=False)


class Row(wiring.Component):
    """One row of elements, side by side. All rows of an array are one Verilog module.

    Attributes
    ----------
    a_in : In
        The row's activation, entering column 0.
    x_in, x_out : arrays of In and Out, cols
        For each x of the element's ``down``: from the row above and to the row below.
    load or drain : In(1)
        The element's ``broadcast``.
    """

    def __init__(self, spec: UnitSpec):
        element = element_of(spec)
        self.elements = Copies(element.build, [f"pe_{c}" for c in range(spec.cols)])
        self.module_name = f"{spec.name}_row"
        first = self.elements.first
        self.down, self.broadcast = first.down, first.broadcast
        ports = first.signature.members
        members = {"a_in": ports["a_in"], **{name: ports[name] for name in first.broadcast}}
        for name in first.down:
            for port in (f"{name}_in", f"{name}_out"):
                members[port] = ports[port].array(spec.cols)
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        a: Value = self.a_in
        for c, element in enumerate(self.elements.place(m, platform)):
            m.d.comb += element.a_in.eq(a)
            a = element.a_out
            m.d.comb += [getattr(element, name).eq(getattr(self, name)) for name in self.broadcast]
            for name in self.down:
                m.d.comb += getattr(element, f"{name}_in").eq(getattr(self, f"{name}_in")[c])
                m.d.comb += getattr(self, f"{name}_out")[c].eq(getattr(element, f"{name}_out"))
        return m


class Array(wiring.Component):
    """What both dataflows share.

    Parameters
    ----------
    spec : UnitSpec
        An ``array`` of the class's :attr:`dataflow`.

    Raises
    ------
    InputError
        For another unit or dataflow.
    """

    dataflow: ClassVar[str]
    skewed_weights: ClassVar[bool]

    def __init__(self, spec: UnitSpec):
        if (spec.unit, spec.dataflow) != ("array", self.dataflow):
            raise InputError(
                f"unit is {spec.dataflow} {spec.unit} for {type(self).__name__}, "
                f"expected {self.dataflow} array"
            )
        self.spec = spec
        self.rows = Copies(lambda: Row(spec), [f"row_{r}" for r in range(spec.rows)])
        self.module_name = spec.name
        first = self.rows.first.elements.first
        ports = first.signature.members
        members = {
            "a": ports["a_in"].array(spec.rows),
            "w": ports["w_in"].array(spec.cols),
            **{name: ports[name] for name in first.broadcast},
            **{name: ports[f"{name}_out"].array(spec.cols) for name in first.down[1:]},
        }
        super().__init__(members)

    @classmethod
    def from_spec(cls, spec: UnitSpec) -> Self:
        """The array that a :class:`hw.units.spec.UnitSpec` means."""
        return cls(spec)

    @staticmethod
    def part(spec: UnitSpec) -> Part:
        """Its processing element."""
        element = element_of(spec)
        return Part(element.build(), element.name)

    @property
    def elements(self) -> list[list[Element]]:
        """The processing elements by row and column; for simulation."""
        return [row.elements.components for row in self.rows.components]

    def elaborate(self, platform: object) -> Module:
        m = Module()
        skew = self.spec.skew
        down, broadcast = self.rows.first.down, self.rows.first.broadcast
        rows = self.rows.place(m, platform)
        for r, row in enumerate(rows):
            m.d.comb += row.a_in.eq(delayed(m, self.a[r], r if skew else 0, f"skew_a_{r}"))
            m.d.comb += [getattr(row, name).eq(getattr(self, name)) for name in broadcast]
        for above, below in pairwise(rows):
            for name in down:
                for source, target in zip(
                    getattr(above, f"{name}_out"), getattr(below, f"{name}_in"), strict=True
                ):
                    m.d.comb += target.eq(source)
        top, bottom = rows[0], rows[-1]
        for c in range(self.spec.cols):
            wait = c if skew and self.skewed_weights else 0
            m.d.comb += top.w_in[c].eq(delayed(m, self.w[c], wait, f"skew_w_{c}"))
            # Weights that wait need no alignment of the sums, which then leave all at once.
            wait = self.spec.cols - 1 - c if skew and not self.skewed_weights else 0
            for name in down[1:]:
                m.d.comb += getattr(top, f"{name}_in")[c].eq(0)
                last = getattr(bottom, f"{name}_out")[c]
                m.d.comb += getattr(self, name)[c].eq(delayed(m, last, wait, f"align_{name}_{c}"))
        return m


class SystolicArray(Array):
    """Weight-stationary array: psum[c] = sum over rows r of a[r] * weight[r][c].

    Attributes
    ----------
    a : array of In, rows
        Activations, one per row, entering column 0.
    w : array of In(storage_bits), cols
        Weight codes to load, one per column, entering row 0.
    load : In(1)
        Shift all columns' weights down by one row.
    psum : array of Out(signed(psum_bits)), cols
        The sum that leaves the last row, one per column.

    Timing
    ------
    A fold is loaded with ``load`` set for ``rows`` cycles, the last row's weights first. It then works
    through T activation vectors. With cycle 0 the first after the load:

    - without ``skew``: element r of vector t is at ``a[r]`` in cycle t + r; its sum for column c is at
      ``psum[c]`` in cycle t + rows + c. The last product is made in cycle T + rows + cols - 3, so a fold
      takes rows + T + rows + cols - 2 cycles;
    - with ``skew``: all of vector t is at ``a`` in cycle t; all its sums are at ``psum`` in cycle
      t + rows + cols - 1.

    The next load may begin in the cycle after the last product. Sums made while weights shift mean nothing.
    """

    dataflow = "ws"
    skewed_weights = False

    @staticmethod
    def timing(spec: UnitSpec) -> list[str]:
        """Lines of the header on sums and when what happens."""
        rows, cols = spec.rows, spec.cols
        entry, leave = ("t", f"t + {rows + cols - 1}") if spec.skew else ("t + r", f"t + {rows} + c")
        return [
            f"partial sums hold {spec.terms} products in {spec.psum_bits} bits",
            f"load for {rows} cycles, the last row's weights first; then, counting cycles from 0,",
            f"element r of vector t is at a__r in cycle {entry}; its sum is at psum__c in cycle {leave}",
        ]

    @staticmethod
    def drive(
        spec: UnitSpec, operands: Operands, columns: Codes, generator: np.random.Generator
    ) -> tuple[dict[str, ArrayLike], NDArray[np.bool_]]:
        """Rows and columns of the matrices, skewed as the array expects it: weights stay, activations stream; and which
        cycles count. ``columns``: as many as lanes."""
        lanes, cycles = len(columns), min(CYCLES, operands.activations.shape[1])
        k_total, n_total = operands.weights.shape
        t_total = operands.activations.shape[1]
        first_k = generator.integers(0, k_total, lanes)
        first_n = generator.integers(0, n_total, lanes)
        first_t = generator.integers(0, t_total, lanes)
        fill = spec.rows + spec.cols
        length = spec.rows + fill + cycles
        time = np.arange(length) - spec.rows
        inputs: dict[str, ArrayLike] = {}
        for r in range(spec.rows):
            late = 0 if spec.skew else r
            t = (first_t[None, :] + (time - late)[:, None]) % t_total
            inputs[f"a__{r}"] = operands.activations[(first_k + r) % k_total, t]
        row = np.maximum(spec.rows - 1 - np.arange(length), 0)  # the last row's weights first; then they stay
        for c in range(spec.cols):
            inputs[f"w__{c}"] = operands.weights[
                (first_k[None, :] + row[:, None]) % k_total, (first_n + c) % n_total
            ]
        loading = (np.arange(length) < spec.rows).astype(np.int64)
        inputs["load"] = np.broadcast_to(loading[:, None], (length, lanes))
        return inputs, after(spec.rows + fill, length)


class OutputStationaryArray(Array):
    """Output-stationary array: sum[r][c] = sum over time k of a[r](k) * w[c](k).

    Attributes
    ----------
    a : array of In, rows
        Activations, one per row, entering column 0.
    w : array of In(storage_bits), cols
        Weight codes, one per column, entering row 0.
    drain : In(1)
        Shift all columns' sums down by one row instead of accumulating; zeros enter at the top.
    sum : array of Out(signed(psum_bits)), cols
        The last row's accumulators.

    Timing
    ------
    The accumulators are cleared by ``drain`` set for ``rows`` cycles, which also empties them of the fold
    before; at power-up for ``rows + cols`` cycles with activations 0, so that no operand is left in the
    array. With cycle 0 the first after that, and K terms to sum:

    - without ``skew``: term k of row r is at ``a[r]`` in cycle k + r and of column c at ``w[c]`` in cycle
      k + c; they meet in element (r, c) in cycle k + r + c. A fold takes K + rows + cols - 2 cycles;
    - with ``skew``: all of term k is at ``a`` and ``w`` in cycle k.

    Outside those K cycles a row or column must be fed pairs whose product is zero: activation 0 suffices.
    Then ``drain`` is set: the sums of row rows - 1 - i are at ``sum`` in drain cycle i, all columns at once
    (there is nothing to align). Draining takes ``rows`` cycles more per fold.
    """

    dataflow = "os"
    skewed_weights = True

    @staticmethod
    def timing(spec: UnitSpec) -> list[str]:
        """Lines of the header on sums and when what happens."""
        rows, cols = spec.rows, spec.cols
        entry = "k" if spec.skew else "k + r (a__r) or k + c (w__c)"
        return [
            f"partial sums hold {spec.terms} products in {spec.psum_bits} bits",
            f"drain for {rows} cycles to clear; then, counting cycles from 0, term k enters in cycle {entry};",
            f"K terms take K + {rows + cols - 2} cycles; then drain: sum__c is row {rows - 1}, the next the row above",
        ]

    @staticmethod
    def drive(
        spec: UnitSpec, operands: Operands, columns: Codes, generator: np.random.Generator
    ) -> tuple[dict[str, ArrayLike], NDArray[np.bool_]]:
        """Rows and columns of the matrices, skewed as the array expects it, both streaming along K; and which cycles
        count. ``columns``: as many as lanes."""
        lanes = len(columns)
        k_total, n_total = operands.weights.shape
        t_total = operands.activations.shape[1]
        first_n = generator.integers(0, n_total, lanes)
        first_t = generator.integers(0, t_total, lanes)
        length = spec.rows + k_total  # clear the sums, then stream along K, round and round where rows lag
        k = np.arange(length) - spec.rows
        inputs: dict[str, ArrayLike] = {}
        for r in range(spec.rows):
            late = (k - (0 if spec.skew else r)) % k_total
            inputs[f"a__{r}"] = operands.activations[late[:, None], (first_t + r) % t_total]
        for c in range(spec.cols):
            late = (k - (0 if spec.skew else c)) % k_total
            inputs[f"w__{c}"] = operands.weights[late[:, None], (first_n + c) % n_total]
        draining = (np.arange(length) < spec.rows).astype(np.int64)
        inputs["drain"] = np.broadcast_to(draining[:, None], (length, lanes))
        return inputs, after(min(2 * spec.rows + spec.cols, length - 1), length)


def systolic_array(spec: UnitSpec) -> type[Array]:
    """The class of the array that a :class:`hw.units.spec.UnitSpec` means."""
    return SystolicArray if spec.dataflow == "ws" else OutputStationaryArray
