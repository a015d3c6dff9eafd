# amaranth: UnusedElaboratable=no
# (a component may stand for the interface of its copies only)
"""Broadcast tiles: R activations, each broadcast along a row of C columns; a column adds R products per cycle.

A column is one dot product: R weights, an adder tree and an accumulator. What depends on the activations
alone is made once per row at the *edge*. All grids and variants (:mod:`hw.units.variants`) have this interface.

At every rising clock edge, for each column c::

    acc[c] <= (0 if clear else acc[c]) + sum over r of term(a[r], w[r][c])

where ``term(a, w) + correction(w)`` is the integer product of :mod:`asq_sw.formats`. The corrections of a dot
product depend on its weights alone: :meth:`TileSpec.exact` adds them, as the requantizer does with its bias.
The accumulator works modulo ``2**sum_bits`` and every sum of ``terms`` products fits, so that the result is
exact although the uncorrected terms may wrap around.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from amaranth.hdl import Cat, Module, Mux, ResetSignal, Shape, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.data import ArrayLayout
from amaranth.lib.wiring import In, Member, Out
from numpy.typing import ArrayLike, NDArray

from asq_sw.errors import InputError, nearest
from asq_sw.formats import MAX_BITS, MIN_BITS, ActivationFormat, WeightFormat
from hw.rtl.adders import CARRY_SAVE_TREES, TREES, Operand, add_up, two_words
from hw.rtl.hierarchy import Copies
from hw.units import variants
from hw.units.operands import CYCLES, Operands, after, gaussian
from hw.units.spec import (
    MAX_SIDE,
    MAX_TERMS,
    OS_TERMS,
    format_options,
    formats_name,
    formats_record,
    operand_lines,
)
from hw.units.unit import LANES, UNITS, Part, Stimulus, Unit, imported
from hw.units.variants.products import Products

STAGES = ("none", "products", "tree")
"""Where a column may have a pipeline register."""
CHOICES = UNITS["tile"].options[UNITS["tile"].options.index("tree") :]
"""Fields of :class:`TileSpec` that only a tile has: what it is besides formats, variant, shape and terms."""
PART_TRIES = 6
"""Recipes that a tile takes its column's netlist from, at most."""


@dataclass(frozen=True)
class TileSpec(Unit):
    """A tile to build.

    Parameters
    ----------
    weight : WeightFormat
    abits : int
        Activation bits, 2 to 8.
    signed_activations : bool
    variant : str
        One of ``hw.units.variants.names(weight.grid)``; empty for the default, which then stands here.
    rows, cols : int
        R and C, 1 to 1024; rows a multiple of the variant's group.
    terms : int
        Products that an accumulator must hold without overflow, 1 to 2**24.
    tree : str
        How a column adds (:data:`hw.rtl.adders.TREES`).
    share : int
        Columns that share the lines of one edge, 1 to cols; 0 for all.
    registers : bool
        Each column holds its weights in registers, written when ``load`` is set. Otherwise weights are
        inputs, and their registers are the neighbour's and not counted.
    edge_registers : bool
        The edge's lines go through registers (the path from activation to accumulator is cut there): ``w``
        and ``clear`` of a product come one cycle after its activation.
    carry_save : bool
        The accumulators are kept as two words each, ``acc`` and ``acc_carry``, whose sum they are: no carry
        runs in a cycle. Whoever reads the result adds the two.
    stage : str
        A pipeline register more in every column (:data:`STAGES`): behind the products, or behind the tree
        that adds them up. The accumulators are then a cycle later.
    order : tuple of int
        Which magnitude field the tile takes for each magnitude field of the format: a permutation, applied
        by :meth:`stored`. Empty for the format's own. For the variants that select and shift.
    enable : bool
        An input ``en``: every register of the tile holds its value at a clock edge where it is 0, ``load`` or not.
    reset : bool
        An input ``rst``, synchronous: where it is 1 the accumulators become 0, also where ``en`` is 0, and the
        products of that cycle and of those before are in no later sum. Weight registers and the edge's
        registers keep working: they need no reset.

    Raises
    ------
    InputError
        For anything out of range.
    """

    weight: WeightFormat
    abits: int = 4
    signed_activations: bool = False
    variant: str = ""
    rows: int = 8
    cols: int = 8
    terms: int = OS_TERMS
    tree: str = TREES[0]
    share: int = 0
    registers: bool = False
    edge_registers: bool = False
    carry_save: bool = False
    stage: str = "none"
    order: tuple[int, ...] = ()
    enable: bool = False
    reset: bool = False

    def __post_init__(self) -> None:
        for field, value, low, high in (
            ("activation bits", self.abits, MIN_BITS, MAX_BITS),
            ("rows", self.rows, 1, MAX_SIDE),
            ("cols", self.cols, 1, MAX_SIDE),
            ("terms", self.terms, 1, MAX_TERMS),
            ("share", self.share, 0, self.cols),
        ):
            if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
                raise InputError(f"{field} is {value!r}, expected a whole number from {low} to {high}")
        if self.tree not in TREES:
            raise InputError(
                f"tree is {self.tree!r}, expected one of {', '.join(TREES)}{nearest(self.tree, TREES)}"
            )
        if self.stage not in STAGES:
            raise InputError(
                f"stage is {self.stage!r}, expected one of {', '.join(STAGES)}{nearest(self.stage, STAGES)}"
            )
        if (self.carry_save or self.stage == "tree") and self.tree not in CARRY_SAVE_TREES:
            raise InputError(
                f"tree is {self.tree!r}, expected one of {', '.join(CARRY_SAVE_TREES)} to save carries"
            )
        if not self.variant:
            object.__setattr__(self, "variant", variants.names(self.weight.grid)[0])
        if not self.share:
            object.__setattr__(self, "share", self.cols)
        if self.rows % self.products.group:
            raise InputError(
                f"rows is {self.rows}, expected a multiple of {self.products.group} for variant {self.variant}"
            )

    @property
    def activation(self) -> ActivationFormat:
        """The activation format."""
        return ActivationFormat(self.abits, self.signed_activations)

    @cached_property
    def products(self) -> Products:
        """The variant."""
        return variants.make(self.variant, self.weight, self.activation, self.order)

    @property
    def sum_bits(self) -> int:
        """Width of an accumulator (two's complement)."""
        return self.products.sum_bits(self.terms)

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the words that hold the accumulators."""
        words = ("", "_carry") if self.carry_save else ("",)
        return tuple(name + word for name in self.products.sums for word in words)

    @property
    def groups(self) -> int:
        """Groups of rows that share lines."""
        return self.rows // self.products.group

    @property
    def macs(self) -> int:
        """Multiply-accumulates per cycle."""
        return self.rows * self.cols

    @property
    def name(self) -> str:
        """A Verilog module name that tells tiles apart."""
        parts = [formats_name(self.weight, self.activation), f"tile_{self.rows}x{self.cols}", self.variant]
        if self.tree != TREES[0]:
            parts.append(self.tree)
        if self.share != self.cols:
            parts.append(f"share{self.share}")
        if self.registers:
            parts.append("registers")
        if self.edge_registers:
            parts.append("edge")
        if self.carry_save:
            parts.append("carry_save")
        if self.stage != "none":
            parts.append(f"{self.stage}_stage")
        if self.order:
            parts.append("order" + "".join(map(str, self.order)))
        if self.enable:
            parts.append("enable")
        if self.reset:
            parts.append("reset")
        if self.terms != OS_TERMS:
            parts.append(f"t{self.terms}")
        return "_".join(parts).replace("-", "_")

    @property
    def choices(self) -> dict[str, Any]:
        """What a tile has besides formats, variant, shape and terms: option -> value, JSON-ready."""
        return {
            name: list(value) if isinstance(value := getattr(self, name), tuple) else value
            for name in CHOICES
        }

    @property
    def options(self) -> str:
        """The command-line words that mean this tile, such as ``tile --grid post --wbits 4 ... --share 2``."""
        words = ["tile", *format_options(self.weight, self.activation, self.variant)]
        words += ["--rows", str(self.rows), "--cols", str(self.cols)]
        if self.terms != OS_TERMS:
            words += ["--terms", str(self.terms)]
        for name in CHOICES:
            value = getattr(self, name)
            if value != (self.cols if name == "share" else getattr(TileSpec, name)):
                words.append("--" + name.replace("_", "-"))
                if isinstance(value, tuple):
                    words.append(",".join(map(str, value)))
                elif not isinstance(value, bool):
                    words.append(str(value))
        return " ".join(words)

    @property
    def latency(self) -> int:
        """Cycles from an activation's entry until its product is in the accumulators."""
        return 1 + self.edge_registers + (self.stage != "none")

    def build(self) -> Tile:
        """The component."""
        return Tile(self)

    def part(self) -> Part:
        """Its column: one is mapped alone, by the recipes of which the whole tile meets the clock with its edge and
        broadcast lines."""
        column = Column(self)
        return Part(column, column.module_name, PART_TRIES)

    def header(self) -> list[str]:
        """Operands, product, sums, ports, clock edge and the corrections that make the sums exact, a line each."""
        return [
            *operand_lines(self.weight, self.activation),
            f"partial sums hold {self.terms} products in {self.sum_bits} bits",
            *imported("hw.units.contract:comments")(self),
        ]

    def record(self) -> dict[str, Any]:
        """Which tile it is, JSON-ready."""
        return {
            "unit": "tile",
            **formats_record(self.weight, self.activation, self.variant),
            "rows": self.rows,
            "cols": self.cols,
            "signed_activations": self.signed_activations,
            **self.choices,
            "terms": self.terms,
            "sum_bits": self.sum_bits,
        }

    def stimulus(
        self,
        lanes: int = LANES,
        seed: int = 0,
        operands: Operands | None = None,
        stationary: bool = False,
    ) -> Stimulus:
        """Dot products of ``operands`` (by default :func:`hw.units.operands.gaussian`), of two kinds.

        Output-stationary: every cycle R new activations and R x C new weights, along K, into the accumulators.
        ``stationary``, and always with weight registers: weights stay and activations stream, as in a
        weight-stationary fold; the accumulators then start anew every cycle.

        ``a`` is (cycles, lanes, rows) and ``w`` (cycles, lanes, rows, cols).
        """
        operands = gaussian(self.weight, self.activation, seed) if operands is None else operands
        generator = np.random.default_rng(seed)
        k_total, n_total = operands.weights.shape
        t_total = operands.activations.shape[1]
        first_n = generator.integers(0, n_total, lanes)
        first_t = generator.integers(0, t_total, lanes)
        weights = operands.weights
        slices = max(1, k_total // self.rows)
        length = min(CYCLES, max(64, 2 * slices)) + 1
        cycle = np.arange(length)
        inputs: dict[str, ArrayLike] = {}
        if self.registers or stationary:
            k0 = generator.integers(0, slices, lanes)[None, :] * self.rows + np.zeros((length, 1), np.int64)
            t = (first_t + cycle[:, None]) % t_total
            if self.registers:
                inputs["load"] = np.broadcast_to((cycle == 0).astype(np.int64)[:, None], (length, lanes))
            clear = np.ones((length, lanes), np.int64)
        else:
            k0 = np.broadcast_to((cycle % slices)[:, None] * self.rows, (length, lanes))
            t = (first_t + (cycle // slices)[:, None]) % t_total
            clear = np.broadcast_to((cycle % slices == 0).astype(np.int64)[:, None], (length, lanes))
        inputs["clear"] = clear
        if self.enable:
            inputs["en"] = np.ones((length, lanes), np.int64)
        if self.products.modes:
            inputs["mode"] = np.full((length, lanes), self.products.mode)
        k = (k0[..., None] + np.arange(self.rows)) % k_total
        n = (first_n[:, None] + np.arange(self.cols)) % n_total
        inputs["a"] = operands.activations[k, t[..., None]]
        inputs["w"] = self.stored(weights)[k[..., None], n[:, None]]
        if self.edge_registers:  # weights and clear a cycle after the activations
            for name in inputs:
                if name not in ("a", "mode", "en"):
                    inputs[name] = np.roll(np.asarray(inputs[name]), 1, axis=0)
        return Stimulus(inputs, after(3, length), operands.source)

    # -- what the sums mean ------------------------------------------------------------------------------

    def stored(self, codes: ArrayLike) -> NDArray[np.int64]:
        """What to apply to ``w`` for weight codes of the format; same shape."""
        return self.products.stored(codes)

    def exact(self, sums: dict[str, ArrayLike], codes: ArrayLike) -> list[NDArray[Any]]:
        """The exact sums behind the accumulators.

        Parameters
        ----------
        sums : dict of str
            Name (:attr:`outputs`) -> values, shape (...,), as two's complement or as unsigned bit patterns.
        codes : integers, (k, ...)
            The weight codes of the format that each of the sums has added, first to last. A tile's rows
            without a weight take the format's zero code and are counted like any other.

        Returns
        -------
        For each accumulator, shape (...,), Python integers: the sum of its shares of the products. With one
        accumulator that is the sum of the integer products; with two see :mod:`hw.units.variants.even_odd`.
        """
        weights = np.asarray(codes, dtype=np.int64)
        used = np.unique(weights)
        half, sums_behind = 1 << (self.sum_bits - 1), []
        for index, name in enumerate(self.products.sums):
            table = np.zeros(1 << self.weight.storage_bits, dtype=object)
            for code in used:
                table[code] = self.products.correction(int(code))[index]
            raw = np.asarray(sums[name]).astype(object) + table[weights].sum(axis=0)
            if self.carry_save:
                raw = raw + np.asarray(sums[f"{name}_carry"]).astype(object)
            sums_behind.append((raw + half) % (2 * half) - half)
        return sums_behind


class Edge(wiring.Component):
    """What a row's columns share: the lines of every group of rows, from the activations.

    Combinational, or a cycle later with ``edge_registers``.

    Attributes
    ----------
    a : In array, rows
        The activations.
    mode : In
        Which grid the weights are of, for a variant that has several.
    en : In(1)
        Only with ``enable`` and ``edge_registers``.
    lines : Out array, groups
        See :class:`hw.units.variants.products.Products`.
    """

    def __init__(self, spec: TileSpec):
        self.spec = spec
        self.module_name = f"{spec.name}_edge"
        super().__init__(
            {
                "a": In(Shape(spec.abits, spec.signed_activations)).array(spec.rows),
                **_mode(spec),
                **({"en": In(1)} if spec.enable and spec.edge_registers else {}),
                "lines": Out(spec.products.line_width).array(spec.groups),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        spec, products = self.spec, self.spec.products
        for g in range(spec.groups):
            m.submodules[f"group_{g}"] = part = Module()
            rows = [self.a[r] for r in range(g * products.group, (g + 1) * products.group)]
            lines = products.lines_of(part, rows, self.mode if products.modes else None)
            if spec.edge_registers:
                register = Signal(products.line_width, name=f"lines_{g}", reset_less=True)
                if products.gated:  # the last line says whether the others are needed
                    lines = Cat(Mux(lines[-1], lines[:-1], register[:-1]), lines[-1])
                m.d.sync += register.eq(Mux(self.en, lines, register) if spec.enable else lines)
                m.d.comb += self.lines[g].eq(register)
            else:
                m.d.comb += self.lines[g].eq(lines)
        return m


class Column(wiring.Component):
    """One dot product.

    Attributes
    ----------
    lines : In array, groups
    w : In(code_bits) array, rows
    clear : In(1)
    load : In(1)
        Only with ``registers``: take ``w`` at this clock edge.
    en : In(1)
        Only with ``enable``: registers hold where it is 0.
    acc, ... : Out(signed(sum_bits))
        The accumulators, by the spec's ``outputs``.
    """

    def __init__(self, spec: TileSpec):
        self.spec = spec
        self.module_name = f"{spec.name}_column"
        super().__init__(
            {
                "lines": In(spec.products.line_width).array(spec.groups),
                **_control(spec),
                "w": In(spec.products.code_bits).array(spec.rows),
                **{name: Out(signed(spec.sum_bits)) for name in spec.outputs},
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        spec, products = self.spec, self.spec.products
        codes = [self.w[r] for r in range(spec.rows)]
        if spec.registers:
            for r in range(spec.rows):
                register = Signal.like(codes[r], name=f"weight_{r}", reset_less=True)
                load = self.load & self.en if spec.enable else self.load
                m.d.sync += register.eq(Mux(load, codes[r], register))
                codes[r] = register
        heaps: list[list[Operand]] = [[] for _ in products.sums]
        for g in range(spec.groups):
            m.submodules[f"group_{g}"] = part = Module()
            own = codes[g * products.group : (g + 1) * products.group]
            for heap, operands in zip(heaps, products.operands(part, self.lines[g], own), strict=True):
                for value, position in operands:
                    operand = Signal(len(value), name=f"operand_{len(heap)}")
                    part.d.comb += operand.eq(value)
                    heap.append(Operand(operand, position))
        for name, heap in zip(products.sums, heaps, strict=True):
            self._accumulate(m, name, self._staged(m, name, heap))
        return m

    def _next(self, register: Value, value: Value) -> Value:
        """What a register takes at a clock edge: ``value``, unless it is held or reset.

        Multiplexers, not Amaranth's reset and enable: those are processes in the Verilog.
        """
        if self.spec.enable:
            value = Mux(self.en, value, register)
        return Mux(ResetSignal(), 0, value) if self.spec.reset else value

    def _staged(self, m: Module, name: str, heap: list[Operand]) -> list[Operand]:
        """The heap behind the pipeline register, where there is one."""
        spec = self.spec
        if spec.stage == "none":
            return heap
        if spec.stage == "tree":
            m.submodules[f"{name}_early_tree"] = early = Module()
            heap = [Operand(word, 0) for word in two_words(early, heap, spec.sum_bits, spec.tree)]
        staged = []
        for index, (value, position) in enumerate(heap):
            register = Signal(len(value), name=f"{name}_stage_{index}", reset_less=True)
            m.d.sync += register.eq(self._next(register, value))
            staged.append(Operand(register, position))
        return staged

    def _accumulate(self, m: Module, name: str, heap: list[Operand]) -> None:
        spec = self.spec
        clear: Value = self.clear
        if spec.stage != "none":
            clear = Signal(name=f"{name}_clear", reset_less=True)
            m.d.sync += clear.eq(self._next(clear, self.clear))
        m.submodules[f"{name}_tree"] = tree = Module()
        words = [name, f"{name}_carry"] if spec.carry_save else [name]
        registers = []
        for word in words:
            accumulator = Signal(spec.sum_bits, name=f"{word}_register", reset_less=True)
            before = Signal(spec.sum_bits, name=f"{word}_before")
            m.d.comb += before.eq(accumulator & ~clear.replicate(spec.sum_bits))
            heap = [*heap, Operand(before, 0)]
            registers.append(accumulator)
        if spec.carry_save:
            sums: Sequence[Value] = two_words(tree, heap, spec.sum_bits, spec.tree)
        else:
            sums = [add_up(tree, heap, spec.sum_bits, spec.tree)]
        for word, accumulator, value in zip(words, registers, sums, strict=True):
            m.d.sync += accumulator.eq(self._next(accumulator, value))
            m.d.comb += getattr(self, word).eq(accumulator)


def _mode(spec: TileSpec) -> dict[str, Member]:
    modes = spec.products.modes
    return {"mode": In((len(modes) - 1).bit_length())} if modes else {}


def _control(spec: TileSpec) -> dict[str, Member]:
    names = ["clear", *(["load"] if spec.registers else []), *(["en"] if spec.enable else [])]
    return {name: In(1) for name in names}


class Tile(wiring.Component):
    """R x C products per cycle; see this module.

    Parameters
    ----------
    spec : TileSpec

    Attributes
    ----------
    a : In(ArrayLayout), rows of abits
        The activations of this cycle: row r's is ``a[r*A +: A]`` with A = abits.
    w : In(ArrayLayout), rows of cols of code_bits
        The weights, as :meth:`TileSpec.stored` gives them: row r's in column c is ``w[(r*C+c)*B +: B]`` with
        C = cols and B = the variant's code_bits. Of this cycle, or with ``registers`` to be taken at this
        cycle's end where ``load`` is set.
    mode : In
        Only of a variant with several grids: :attr:`Products.mode`, as long as its weights are there.
    clear : In(1)
        The accumulators start from this cycle's products.
    load : In(1)
        Only with ``registers``.
    en : In(1)
        Only with ``enable``. With ``reset``, ``rst`` is the clock domain's.
    acc, ... : Out(ArrayLayout), cols of signed(sum_bits)
        The accumulators, by the spec's ``outputs``: column c's is ``acc[c*S +: S]`` with S = sum_bits, in two's
        complement.
    """

    def __init__(self, spec: TileSpec):
        self.spec = spec
        self.module_name = spec.name
        blocks = -(-spec.cols // spec.share)
        self.edges = Copies(lambda: Edge(spec), [f"edge_{b}" for b in range(blocks)])
        self.columns = Copies(lambda: Column(spec), [f"column_{c}" for c in range(spec.cols)])
        super().__init__(
            {
                "a": In(ArrayLayout(Shape(spec.abits, spec.signed_activations), spec.rows)),
                "w": In(ArrayLayout(ArrayLayout(spec.products.code_bits, spec.cols), spec.rows)),
                **_mode(spec),
                **_control(spec),
                **{name: Out(ArrayLayout(signed(spec.sum_bits), spec.cols)) for name in spec.outputs},
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        spec = self.spec
        edges: Sequence[Any] = self.edges.place(m, platform)
        columns: Sequence[Any] = self.columns.place(m, platform)
        for edge in edges:
            m.d.comb += [edge.a[r].eq(self.a[r]) for r in range(spec.rows)]
            if spec.products.modes:
                m.d.comb += edge.mode.eq(self.mode)
            if spec.enable and spec.edge_registers:
                m.d.comb += edge.en.eq(self.en)
        for c, column in enumerate(columns):
            edge = edges[c // spec.share]
            m.d.comb += [column.lines[g].eq(edge.lines[g]) for g in range(spec.groups)]
            m.d.comb += [column.w[r].eq(self.w[r][c]) for r in range(spec.rows)]
            m.d.comb += column.clear.eq(self.clear)
            if spec.registers:
                m.d.comb += column.load.eq(self.load)
            if spec.enable:
                m.d.comb += column.en.eq(self.en)
            for name in spec.outputs:
                m.d.comb += getattr(self, name)[c].eq(getattr(column, name))
        return m
