"""Broadcast tiles against the integer definition: every variant, every product, worst sums, whole tiles."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from amaranth.sim import Simulator
from hypothesis import given, settings
from hypothesis import strategies as st

from asq_sw.errors import InputError
from asq_sw.formats import GRID_RECORDS, GRIDS, WeightFormat
from hw.rtl.adders import CARRY_SAVE_TREES, TREES
from hw.rtl.verilog import lint, rtlil_to_verilog, to_rtlil
from hw.units import variants
from hw.units.tile import STAGES, TileSpec


def run(spec: TileSpec, a: np.ndarray, codes: np.ndarray, clear: np.ndarray) -> dict[str, np.ndarray]:
    """Accumulators after each cycle, by name: (T, cols). ``a``: (T, rows), ``codes``: (T, rows, cols)."""
    tile = spec.build()
    words = spec.stored(codes)
    found: dict[str, list[list[int]]] = {name: [] for name in spec.outputs}

    async def bench(ctx):  # type: ignore[no-untyped-def]
        if spec.products.modes:
            ctx.set(tile.mode, spec.products.mode)
        for t in range(len(a)):
            for r in range(spec.rows):
                ctx.set(tile.a[r], int(a[t, r]))
            if spec.edge_registers and t == 0:
                await ctx.tick()
            if spec.edge_registers and t + 1 < len(a):
                for r in range(spec.rows):
                    ctx.set(tile.a[r], int(a[t + 1, r]))
            for r in range(spec.rows):
                for c in range(spec.cols):
                    ctx.set(tile.w[r][c], int(words[t, r, c]))
            ctx.set(tile.clear, int(clear[t]))
            if spec.registers:
                # a cycle to take the weights, which adds what the next one clears or takes back
                ctx.set(tile.load, 1)
                ctx.set(tile.clear, 1)
                await ctx.tick()
                ctx.set(tile.load, 0)
                ctx.set(tile.clear, 1)
            await ctx.tick()
            if spec.stage != "none" and t == 0:
                continue  # its sum comes a cycle later
            for name, rows in found.items():
                rows.append([ctx.get(getattr(tile, name)[c]) for c in range(spec.cols)])
        if spec.stage != "none":
            await ctx.tick()
            for name, rows in found.items():
                rows.append([ctx.get(getattr(tile, name)[c]) for c in range(spec.cols)])

    simulator = Simulator(tile)
    simulator.add_clock(1e-9)
    simulator.add_testbench(bench)
    simulator.run()
    return {name: np.array(rows, dtype=object) for name, rows in found.items()}


def shares(spec: TileSpec, a: np.ndarray, codes: np.ndarray) -> list[np.ndarray]:
    """What each accumulator's sum over the rows must be: (T, cols) by accumulator."""
    result = []
    for index in range(len(spec.products.sums)):
        table = {
            (x, c): spec.products.share(x, c)[index]
            for x in range(spec.activation.min, spec.activation.max + 1)
            for c in np.unique(codes).tolist()
        }
        sums = np.zeros((len(a), spec.cols), dtype=object)
        for t, r, c in np.ndindex(codes.shape):
            sums[t, c] += table[int(a[t, r]), int(codes[t, r, c])]
        result.append(sums)
    return result


def usable(spec: TileSpec) -> list[int]:
    """The codes that the variant takes."""
    codes = []
    for code in range(1 << spec.weight.storage_bits):
        try:
            spec.stored(np.array(code))
        except InputError:
            continue
        codes.append(code)
    return codes


def fraction(variant: str, frac_bits: int = 2) -> int:
    """F that the variant can have."""
    return 0 if variant.endswith("-or-fp4") else frac_bits


def widths(grid: str, variant: str) -> tuple[int, ...]:
    """Widths of the weights that the variant can have."""
    return (4,) if variant.endswith("-or-fp4") else GRID_RECORDS[grid].widths


CASES = [
    (grid, variant, bits, signed)
    for grid in GRIDS
    for variant in variants.names(grid)
    for bits in widths(grid, variant)
    if bits <= 4
    for signed in ((False,) if variant == "gated" else (False, True))
]


@pytest.mark.parametrize(("grid", "variant", "bits", "signed"), CASES)
def test_every_product_is_the_definitions(grid: str, variant: str, bits: int, signed: bool) -> None:
    """All activations of as many bits with all codes; of a pair of rows, the other row's extremes and zero."""
    spec = TileSpec(
        WeightFormat(grid, bits, fraction(variant)), bits, signed, variant, cols=1, rows=2, terms=2
    )
    values = range(spec.activation.min, spec.activation.max + 1)
    codes = usable(spec)
    assert len(codes) >= (1 << spec.weight.storage_bits) - 1
    others = itertools.product({values[0], 0, values[-1]}, {codes[0], codes[len(codes) // 2], codes[-1]})
    a, w = [], []
    for (x, c), (y, d) in itertools.product(itertools.product(values, codes), others):
        a.append((x, y))
        w.append((c, d))
    activations, weights = np.array(a), np.array(w)[..., None]
    sums = run(spec, activations, weights, np.ones(len(a)))
    exact = spec.exact(sums, np.moveaxis(weights, 1, 0))
    for ours, theirs in zip(exact, shares(spec, activations, weights), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@settings(max_examples=24, deadline=None)
@given(st.data())
def test_any_tile(data: st.DataObject) -> None:
    """Any widths, F, shape, tree, sharing: random operands and the extremes, sums over several cycles."""
    grid = data.draw(st.sampled_from(GRIDS))
    variant = data.draw(st.sampled_from(variants.names(grid)))
    bits = data.draw(st.sampled_from(widths(grid, variant)))
    abits = data.draw(st.integers(2, 8))
    if variant == "whole-table":
        bits, abits = min(bits, 4), min(abits, 5)
    if grid.startswith("post"):
        bits = min(bits, 5)  # 8 bits mean shifts by 63
    cols = data.draw(st.integers(1, 3))
    frac_bits = fraction(variant, data.draw(st.integers(0, 6)))
    signed = variant != "gated" and data.draw(st.booleans())
    tree = data.draw(st.sampled_from(TREES))
    saves = tree in CARRY_SAVE_TREES
    stage = data.draw(st.sampled_from(STAGES if saves else STAGES[:-1]))
    order: tuple[int, ...] = ()
    if variant in ("select-shift", "one-hot-shift", "late-sign") and bits <= 5:
        order = data.draw(
            st.just(()) | st.permutations(range(1 << WeightFormat(grid, bits).magnitude_bits)).map(tuple)
        )
    spec = TileSpec(
        WeightFormat(grid, bits, frac_bits), abits, signed, variant,
        2 * data.draw(st.integers(1, 2)), cols, 16, tree,
        data.draw(st.integers(0, cols)), edge_registers=data.draw(st.booleans()),
        carry_save=saves and data.draw(st.booleans()), stage=stage, order=order,
    )  # fmt: skip
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    cycles = 4
    a = rng.integers(spec.activation.min, spec.activation.max + 1, (cycles, spec.rows))
    codes = rng.choice(usable(spec), (cycles, spec.rows, cols))
    if data.draw(st.booleans()):
        a[:] = rng.choice([spec.activation.min, spec.activation.max], a.shape)
    sums = run(spec, a, codes, np.arange(cycles) == 0)
    last = {name: values[-1] for name, values in sums.items()}
    exact = spec.exact(last, codes.reshape(-1, cols))
    for ours, theirs in zip(exact, shares(spec, a, codes), strict=True):
        np.testing.assert_array_equal(ours, theirs.sum(axis=0))


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("signed", [False, True])
def test_accumulators_hold_their_worst_case(grid: str, signed: bool) -> None:
    """``terms`` times the largest and the smallest product, of the default variant."""
    terms = 12
    spec = TileSpec(WeightFormat(grid, 4, 2), 4, signed, rows=2, cols=2, terms=terms)
    products = {
        (a, c): spec.weight.product_of(a, c)
        for a in (spec.activation.min, spec.activation.max)
        for c in usable(spec)
    }
    high, low = (max(products, key=products.__getitem__), min(products, key=products.__getitem__))
    for a, code in (high, low):
        activations = np.full((terms // 2, 2), a)
        codes = np.full((terms // 2, 2, 2), code)
        sums = run(spec, activations, codes, np.arange(terms // 2) == 0)
        last = {name: values[-1] for name, values in sums.items()}
        (exact,) = spec.exact(last, codes.reshape(-1, 2))
        assert exact.tolist() == [terms * products[a, code]] * 2


def test_even_and_odd_sums_make_the_dot_product() -> None:
    """acc + sqrt(2) odd, without F; the integer definition is off by its table's rounding alone."""
    weight = WeightFormat("post", 4, 3)
    spec = TileSpec(weight, 4, variant="even-odd", rows=4, cols=1, terms=4)
    rng = np.random.default_rng(0)
    a, codes = rng.integers(0, 16, (20, 4)), rng.integers(0, 16, (20, 4, 1))
    sums = run(spec, a, codes, np.ones(20))
    acc, odd = spec.exact(sums, np.moveaxis(codes, 1, 0))
    exact = (weight.decode(codes[..., 0]) * a).sum(axis=1) * 2 ** (weight.anchor / 2)
    np.testing.assert_allclose((acc + 2**0.5 * odd)[:, 0].astype(float), exact, rtol=1e-12, atol=1e-12)
    defined = weight.product(a, codes[..., 0]).sum(axis=1)
    shift = np.array([weight.decompose(int(c))[3] for c in codes.ravel()]).reshape(20, 4)
    assert (np.abs(defined - exact * 2**3) <= (2.0 ** (shift - 1)).sum(axis=1)).all()


@pytest.mark.parametrize("registers", [False, True])
def test_held_weights_give_the_same(registers: bool) -> None:
    spec = TileSpec(WeightFormat("post", 4, 2), 4, rows=4, cols=3, terms=4, registers=registers)
    rng = np.random.default_rng(0)
    a, codes = rng.integers(0, 16, (10, 4)), rng.integers(0, 16, (10, 4, 3))
    sums = run(spec, a, codes, np.ones(10))
    (exact,) = spec.exact(sums, np.moveaxis(codes, 1, 0))
    np.testing.assert_array_equal(exact, shares(spec, a, codes)[0])


@pytest.mark.parametrize(
    ("grid", "variant"),
    [(grid, v) for grid in ("post", "post-gap", "int", "fp4", "apot", "nf4") for v in variants.names(grid)],
)
def test_verilog_has_no_warning(grid: str, variant: str, tmp_path) -> None:  # type: ignore[no-untyped-def]
    spec = TileSpec(WeightFormat(grid, 4, fraction(variant)), 4, variant=variant, rows=4, cols=2)
    path = tmp_path / f"{spec.name}.v"
    path.write_text(rtlil_to_verilog(to_rtlil(spec.build(), spec.name)))
    found = [line for line in lint(path) if "MULTITOP" not in line and "DECLFILENAME" not in line]
    assert found == []


@pytest.mark.parametrize("signed", [False, True])
def test_ports_are_packed_in_the_documented_order(signed: bool) -> None:
    """Bits put at a[r*A +: A] and w[(r*C+c)*B +: B] come out as sums at acc[c*S +: S]."""
    spec = TileSpec(WeightFormat("int", 4), 3, signed, "booth", rows=3, cols=4, terms=3)
    rng = np.random.default_rng(0)
    a = rng.integers(spec.activation.min, spec.activation.max + 1, spec.rows)
    codes = rng.integers(0, 16, (spec.rows, spec.cols))
    words = spec.stored(codes)
    bits, width = spec.products.code_bits, spec.sum_bits
    a_bits = sum((int(x) & 7) << 3 * r for r, x in enumerate(a))
    w_bits = sum(int(words[r, c]) << (r * spec.cols + c) * bits for r, c in np.ndindex(words.shape))
    tile, seen = spec.build(), []

    async def bench(ctx):  # type: ignore[no-untyped-def]
        ctx.set(tile.a.as_value(), a_bits)
        ctx.set(tile.w.as_value(), w_bits)
        ctx.set(tile.clear, 1)
        await ctx.tick()
        seen.append(ctx.get(tile.acc.as_value()))

    simulator = Simulator(tile)
    simulator.add_clock(1e-9)
    simulator.add_testbench(bench)
    simulator.run()
    sums = np.array([seen[0] >> c * width & (1 << width) - 1 for c in range(spec.cols)])
    np.testing.assert_array_equal(
        spec.exact({"acc": sums}, codes)[0], shares(spec, a[None], codes[None])[0][0]
    )
    ports = set(rtlil_to_verilog(to_rtlil(spec.build(), "top")).split("module top")[1].splitlines())
    assert {
        "  input [8:0] a;",
        f"  input [{12 * bits - 1}:0] w;",
        f"  output [{4 * width - 1}:0] acc;",
    } <= ports


def test_what_is_refused() -> None:
    weight = WeightFormat("int", 4)
    for fields, message in (
        ({"rows": 0}, "rows is 0"),
        ({"share": 9}, "share is 9"),
        ({"tree": "oak"}, "tree is 'oak'"),
        ({"variant": "even-odd"}, "variant is 'even-odd'"),
        ({"variant": "paired-planes", "rows": 3}, "multiple of 2"),
        ({"stage": "dress"}, "stage is 'dress'"),
        ({"tree": "adders", "carry_save": True}, "to save carries"),
        ({"order": (0, 1)}, "only shifters of one grid take one"),
    ):
        with pytest.raises(InputError, match=message):
            TileSpec(weight, **fields)


def test_what_shifters_refuse() -> None:
    post = WeightFormat("post", 4, 0)
    with pytest.raises(InputError, match="expected the numbers 0 to 7"):
        TileSpec(post, variant="one-hot-shift", order=(0, 0, 1, 2, 3, 4, 5, 6))
    with pytest.raises(InputError, match="only shifters of one grid take one"):
        TileSpec(post, variant="post-or-fp4", order=(1, 0, 2, 3, 4, 5, 6, 7)).products  # noqa: B018
    with pytest.raises(InputError, match="expected unsigned"):
        TileSpec(post, variant="gated", signed_activations=True)
    with pytest.raises(InputError, match="expected post4f0 or fp4"):
        TileSpec(WeightFormat("post", 4, 2), variant="post-or-fp4")


@pytest.mark.parametrize("signed", [False, True])
def test_one_tile_multiplies_post_and_fp4(signed: bool) -> None:
    """The same netlist: only the names differ, and what is applied to ``mode``."""
    post, fp4 = (
        TileSpec(weight, 4, signed, "post-or-fp4", 2, 2)
        for weight in (WeightFormat("post", 4, 0), WeightFormat("fp4", 4))
    )
    first, second = (to_rtlil(spec.build(), "top") for spec in (post, fp4))
    assert first == second.replace(fp4.name, post.name)
    assert (post.products.mode, fp4.products.mode) == (0, 1)


def test_a_zero_activation_moves_nothing_behind_the_gate() -> None:
    """The lines keep their values; the gate's line alone changes."""
    spec = TileSpec(WeightFormat("post", 4, 0), 4, variant="gated", rows=1, cols=1, edge_registers=True)
    tile, seen = spec.build(), []

    async def bench(ctx):  # type: ignore[no-untyped-def]
        (edge,) = tile.edges.components
        for a in (9, 0, 0, 5):
            ctx.set(tile.a[0], a)
            await ctx.tick()
            seen.append(ctx.get(edge.lines[0]))

    simulator = Simulator(tile)
    simulator.add_clock(1e-9)
    simulator.add_testbench(bench)
    simulator.run()
    top = 1 << (spec.products.line_width - 1)
    assert [line & ~top for line in seen[:3]] == [seen[0] & ~top] * 3
    assert [line >= top for line in seen] == [True, False, False, True]
