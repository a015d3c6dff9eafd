"""Mapped tiles against the integer definition at 5 to 8 bits: every activation with every weight code."""

from __future__ import annotations

import numpy as np
import pytest

from asq_sw.formats import WeightFormat
from hw.rtl.verilog import to_rtlil
from hw.synth.activity.program import compile_netlist
from hw.synth.activity.toggles import simulate
from hw.synth.libraries import library as libraries
from hw.synth.mapping.flow import TOP, synthesize
from hw.units import variants
from hw.units.tile import TileSpec

WIDTHS = {
    "post": (5, 8),
    "pot": (5, 8),
    "fp4": (4, 8),
    "apot": (8, 8),
    "int": (8, 8),
    "post-gap": (4, 8),
    "nf4": (4, 8),
}
"""Weight and activation bits by grid: 5 bits of POST are shifts by 7 already, 8 would be by 63."""
WIDE = [
    (grid, variant)
    for grid in WIDTHS
    for variant in variants.names(grid)
    if variant not in ("whole-table", "planes", "post-or-fp4", "gap-or-fp4")
]


def every_product(spec: TileSpec) -> None:
    """All activations with all codes in the first row; the other rows at random. Sums of one cycle."""
    library = libraries.load("nangate45")
    found = synthesize(to_rtlil(spec.build(), TOP), library, 1e3, only=("cells-ripple flow", "ripple flow"))
    values = np.arange(spec.activation.min, spec.activation.max + 1)
    half = 1 << (spec.weight.storage_bits - 1)
    codes = np.arange(2 * half)
    lanes = -(-len(values) * len(codes) // 64) * 64
    rng = np.random.default_rng(0)
    a = rng.choice(values, (spec.rows, lanes))
    w = rng.choice(codes, (spec.rows, lanes))
    pairs = np.stack(np.meshgrid(values, codes, indexing="ij")).reshape(2, -1)
    a[0, : pairs.shape[1]], w[0, : pairs.shape[1]] = pairs
    cycles = 3
    inputs = {
        name: np.broadcast_to(values.T, (cycles, lanes, spec.rows))
        for name, values in (("a", a), ("w", spec.stored(w)))
    }
    inputs["clear"] = np.ones((cycles, lanes), np.int64)
    traced = simulate(compile_netlist(found.netlist), inputs, trace=True).outputs
    sums = {name: traced[name][-1] for name in spec.outputs}
    table = np.empty((len(spec.products.sums), len(values), 2 * half), dtype=object)
    for i, x in enumerate(values):
        for code in codes:
            table[:, i, code] = spec.products.share(int(x), int(code))
    for index, exact in enumerate(spec.exact(sums, w)):
        expected = table[index][a - values[0], w].sum(axis=0)
        np.testing.assert_array_equal(exact, expected)


@pytest.mark.slow
@pytest.mark.parametrize(("grid", "variant"), WIDE)
@pytest.mark.parametrize("signed", [False, True])
def test_every_wide_product(grid: str, variant: str, signed: bool) -> None:
    wbits, abits = WIDTHS[grid]
    if variant == "gated" and signed:
        signed, abits = False, abits - 1  # unsigned alone: another width instead
    weight = WeightFormat(grid, wbits, 3 if grid == "post" else None)
    every_product(TileSpec(weight, abits, signed, variant, rows=2, cols=1, terms=2))


@pytest.mark.parametrize("variant", ["one-hot-shift", "select-shift"])
def test_every_product_of_eight_bit_activations(variant: str) -> None:
    every_product(TileSpec(WeightFormat("post", 4, 3), 8, variant=variant, rows=2, cols=1, terms=2))
