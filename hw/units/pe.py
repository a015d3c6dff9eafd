# amaranth: UnusedElaboratable=no
# (a component may stand for the interface of its copies only)
"""Processing elements: one multiplier, one adder and the registers that move operands between neighbours.

Weight-stationary (:class:`ProcessingElement`): the weight stays, activations move right, partial sums down.
Output-stationary (:class:`OutputStationaryElement`): the sum stays, activations move right, weights down.

Operand and sum registers have no reset: what they hold at power-up is shifted out before it counts.
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, Self

import numpy as np
from amaranth.hdl import Cat, Module, Mux, Shape, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Member, Out
from numpy.typing import ArrayLike, NDArray

from asq_sw.errors import InputError
from hw.rtl.hierarchy import Copies
from hw.units.multiplier import fit
from hw.units.operands import CYCLES, Codes, Operands, after
from hw.units.spec import UnitSpec


class Element(wiring.Component):
    """What both kinds share: operands that pass through, and a sum plus a product.

    Parameters
    ----------
    spec : UnitSpec
        A ``pe`` of the class's :attr:`dataflow`.
    members : dict
        The ports that the kind adds.

    Attributes
    ----------
    down : tuple of str
        Names x of what moves down a column (ports ``x_in``, ``x_out``), the weights first.
    broadcast : tuple of str
        Names of the control inputs that all elements share.
    edge : str
        What happens at a clock edge, in a line.

    Raises
    ------
    InputError
        For another unit or dataflow.
    """

    dataflow: ClassVar[str]
    down: ClassVar[tuple[str, ...]]
    broadcast: ClassVar[tuple[str, ...]]
    edge: ClassVar[str]

    def __init__(self, spec: UnitSpec, members: dict[str, Member]):
        if (spec.unit, spec.dataflow) != ("pe", self.dataflow):
            raise InputError(
                f"unit is {spec.dataflow} {spec.unit} for {type(self).__name__}, expected {self.dataflow} pe"
            )
        self.spec = spec
        product = replace(spec, unit="multiplier", dataflow="ws", terms=0)
        self._multiplier = Copies(
            lambda: product.multiplier.from_spec(product, split_carry=True), ["multiplier"]
        )
        activation = Shape(spec.abits, spec.signed_activations)
        code = spec.weight.storage_bits
        super().__init__(
            {
                "a_in": In(activation),
                "a_out": Out(activation),
                "w_in": In(code),
                "w_out": Out(code),
                **members,
            }
        )

    @classmethod
    def from_spec(cls, spec: UnitSpec) -> Self:
        """The element that a :class:`hw.units.spec.UnitSpec` means."""
        return cls(spec)  # type: ignore[call-arg]  # the kinds add their ports themselves

    @classmethod
    def timing(cls, spec: UnitSpec) -> list[str]:
        """Lines of the header on sums and what happens at a clock edge."""
        return [f"partial sums hold {spec.terms} products in {spec.psum_bits} bits", cls.edge]

    @property
    def module_name(self) -> str:
        """Name of the Verilog module."""
        return self.spec.name

    def plus_product(self, m: Module, total: Value, a: Value, w: Value, platform: object) -> Value:
        """``total`` plus the product of ``a`` and ``w``, as wide as ``total``, with one adder.

        The multiplier's carry enters one place below the lowest bit: carry + carry carries into that bit.
        """
        (multiplier,) = self._multiplier.place(m, platform)
        m.d.comb += [multiplier.a.eq(a), multiplier.w.eq(w)]
        width = len(total)
        unused = Signal(name="unused")
        total_and_product = Signal(signed(width))
        m.d.comb += Cat(unused, total_and_product).eq(
            Cat(multiplier.c, total) + Cat(multiplier.c, fit(multiplier.p, width))
        )
        return total_and_product


class ProcessingElement(Element):
    """Weight-stationary processing element.

    At every rising clock edge::

        activation <= a_in
        psum       <= psum_in + a_in * weight
        weight     <= w_in                       if load

    So an activation is multiplied in the cycle in which it arrives, by the weight held in that cycle, and
    is seen by the neighbour on the right in the next; the sum is seen by the neighbour below in the next.

    Attributes
    ----------
    a_in, a_out : In, Out of the activation's shape
        The activation and its register.
    w_in, w_out : In, Out(storage_bits)
        The weight code to load and the weight register: a column of elements is a shift register.
    load : In(1)
        Shift the column's weights down by one.
    psum_in, psum_out : In, Out(signed(psum_bits))
        The partial sum from above and its register. It must hold ``terms`` products and does not wrap then.
    """

    dataflow = "ws"
    down = ("w", "psum")
    broadcast = ("load",)
    edge = "each clk: a_out <= a_in; psum_out <= psum_in + a_in * w_out; if (load) w_out <= w_in"

    def __init__(self, spec: UnitSpec):
        total = signed(spec.psum_bits)
        super().__init__(spec, {"load": In(1), "psum_in": In(total), "psum_out": Out(total)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        activation = Signal.like(self.a_in, name="activation", reset_less=True)
        weight = Signal.like(self.w_in, name="weight", reset_less=True)
        psum = Signal.like(self.psum_in, name="psum", reset_less=True)
        m.d.sync += [
            activation.eq(self.a_in),
            weight.eq(Mux(self.load, self.w_in, weight)),
            psum.eq(self.plus_product(m, self.psum_in, self.a_in, weight, platform)),
        ]
        m.d.comb += [self.a_out.eq(activation), self.w_out.eq(weight), self.psum_out.eq(psum)]
        return m

    @staticmethod
    def drive(
        spec: UnitSpec, operands: Operands, columns: Codes, generator: np.random.Generator
    ) -> tuple[dict[str, ArrayLike], NDArray[np.bool_]]:
        """A weight that stays, activations that stream; and which cycles count.

        ``columns`` (lanes,): each lane's output. ``psum_in`` is the sum of the rows above in a real column, between none
        and ``terms - 1`` of them, uniformly over the lanes, with their own weights and activations.
        """
        k_total, lanes = len(operands.weights), len(columns)
        cycles = min(CYCLES, operands.activations.shape[1])
        above = generator.integers(0, min(spec.terms, k_total), lanes)  # rows above this one
        k = generator.integers(0, k_total, lanes)
        activations = operands.activations[:, :cycles]
        products = spec.weight.product_table(spec.abits, spec.signed_activations)
        mask = (1 << spec.abits) - 1
        psum = np.zeros((cycles, lanes), dtype=np.int64 if spec.psum_bits <= 64 else object)
        for lane in range(lanes):
            rows = (k[lane] - 1 - np.arange(above[lane])) % k_total
            codes = operands.weights[rows, columns[lane]]
            psum[:, lane] = products[activations[rows] & mask, codes[:, None]].sum(axis=0)
        # One cycle to load the weight, one to settle; w_in keeps the next row's weight.
        own = operands.weights[k, columns]
        below = operands.weights[(k + 1) % k_total, columns]
        w_in = np.broadcast_to(below, (cycles + 1, lanes)).copy()
        w_in[0] = own
        load = np.zeros((cycles + 1, lanes), dtype=np.int64)
        load[0] = 1
        a_in = np.concatenate([activations[k, :1].T, activations[k].T])
        psum_in = np.concatenate([psum[:1], psum])
        return {"a_in": a_in, "w_in": w_in, "load": load, "psum_in": psum_in}, after(3, cycles + 1)


class OutputStationaryElement(Element):
    """Output-stationary processing element.

    At every rising clock edge::

        activation  <= a_in
        weight      <= w_in
        accumulator <= sum_in                          if drain
                       accumulator + a_in * w_in       otherwise

    While ``drain`` is set a column of accumulators is a shift register: the sums leave at the bottom, and
    what enters at the top (zeros) clears the column for the next sums.

    Attributes
    ----------
    a_in, a_out : In, Out of the activation's shape
        The activation and its register.
    w_in, w_out : In, Out(storage_bits)
        The weight code and its register.
    drain : In(1)
        Shift the column's accumulators down by one instead of accumulating.
    sum_in, sum_out : In, Out(signed(psum_bits))
        The accumulator above and this one. It must hold ``terms`` products and does not wrap then.
    """

    dataflow = "os"
    down = ("w", "sum")
    broadcast = ("drain",)
    edge = "each clk: a_out <= a_in; w_out <= w_in; sum_out <= drain ? sum_in : sum_out + a_in * w_in"

    def __init__(self, spec: UnitSpec):
        total = signed(spec.psum_bits)
        super().__init__(spec, {"drain": In(1), "sum_in": In(total), "sum_out": Out(total)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        activation = Signal.like(self.a_in, name="activation", reset_less=True)
        weight = Signal.like(self.w_in, name="weight", reset_less=True)
        accumulator = Signal.like(self.sum_in, name="accumulator", reset_less=True)
        m.d.sync += [
            activation.eq(self.a_in),
            weight.eq(self.w_in),
            accumulator.eq(
                Mux(
                    self.drain, self.sum_in, self.plus_product(m, accumulator, self.a_in, self.w_in, platform)
                )
            ),
        ]
        m.d.comb += [self.a_out.eq(activation), self.w_out.eq(weight), self.sum_out.eq(accumulator)]
        return m

    @staticmethod
    def drive(
        spec: UnitSpec, operands: Operands, columns: Codes, generator: np.random.Generator
    ) -> tuple[dict[str, ArrayLike], NDArray[np.bool_]]:
        """Activations and weights that both stream, along K; and which cycles count.

        ``columns`` (lanes,): each lane's output.
        """
        k_total, lanes = len(operands.weights), len(columns)
        pixel = generator.integers(0, operands.activations.shape[1], lanes)
        a_in = operands.activations[:, pixel]
        w_in = operands.weights[:, columns]
        drain = np.zeros((k_total + 1, lanes), dtype=np.int64)
        drain[0] = 1
        zero = np.zeros((1, lanes), dtype=np.int64)
        return (
            {
                "a_in": np.concatenate([zero, a_in]),
                "w_in": np.concatenate([w_in[:1], w_in]),
                "drain": drain,
                "sum_in": np.zeros_like(drain),
            },
            after(2, k_total + 1),
        )


def processing_element(spec: UnitSpec) -> type[Element]:
    """The class of the element that a :class:`hw.units.spec.UnitSpec` means."""
    return ProcessingElement if spec.dataflow == "ws" else OutputStationaryElement
