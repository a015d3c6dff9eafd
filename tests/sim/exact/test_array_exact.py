"""The exact array against the RTL, register by register, and a whole layer against the integer definition."""

from __future__ import annotations

import numpy as np
import pytest
from amaranth.sim import Simulator
from hypothesis import given, settings
from hypothesis import strategies as st

from asq_sw.errors import InputError
from asq_sw.formats import GRID_RECORDS, GRIDS, WeightFormat
from hw.units.spec import UnitSpec
from sim.exact.array import ExactArray, run_gemm


def model_of(spec: UnitSpec) -> ExactArray:
    return ExactArray(
        spec.weight, spec.abits, spec.rows, spec.cols, spec.signed_activations, spec.dataflow, spec.terms
    )


def random_inputs(spec: UnitSpec, cycles: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Activations, weight codes and control at random in every cycle: no schedule at all."""
    rng = np.random.default_rng(seed)
    a = rng.integers(spec.activation.min, spec.activation.max, (cycles, spec.rows), endpoint=True)
    w = rng.integers(0, 1 << spec.weight.storage_bits, (cycles, spec.cols))
    return a, w, np.repeat(rng.random(cycles) < 0.5, rng.integers(1, 4, cycles))[:cycles]


def rtl_registers(
    spec: UnitSpec, a: np.ndarray, w: np.ndarray, control: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Amaranth's array: outputs before each clock edge; activation, weight and sum registers after it."""
    array = spec.build()
    ws = spec.dataflow == "ws"
    outputs, registers = [], []

    async def bench(ctx) -> None:  # type: ignore[no-untyped-def]
        for t in range(len(control)):
            for r in range(spec.rows):
                ctx.set(array.a[r], int(a[t, r]))
            for c in range(spec.cols):
                ctx.set(array.w[c], int(w[t, c]))
            ctx.set(array.load if ws else array.drain, int(control[t]))
            outputs.append([ctx.get(port) for port in (array.psum if ws else array.sum)])
            await ctx.tick()
            registers.append(
                [
                    [
                        [ctx.get(pe.a_out), ctx.get(pe.w_out), ctx.get(pe.psum_out if ws else pe.sum_out)]
                        for pe in row
                    ]
                    for row in array.elements
                ]
            )

    simulator = Simulator(array)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    whole = np.array(registers, dtype=object)
    return np.array(outputs, dtype=object), whole[..., 0], whole[..., 1], whole[..., 2]


WIDE = [("post", 8, 8), ("post-paper", 7, 6), ("pot", 8, 5), ("int", 8, 8), ("apot", 6, 3), ("post", 2, 2)]


@pytest.mark.parametrize("dataflow", ["ws", "os"])
@pytest.mark.parametrize(("grid", "bits", "abits"), [*((grid, 4, 4) for grid in GRIDS), *WIDE])
def test_every_register_after_every_cycle(grid: str, bits: int, abits: int, dataflow: str) -> None:
    for signed, rows, cols in ((False, 3, 4), (True, 4, 2)):
        weight = WeightFormat(grid, bits)
        spec = UnitSpec("array", weight, abits, signed, rows=rows, cols=cols, dataflow=dataflow, terms=50)
        inputs = random_inputs(spec, 40, seed=bits)
        outputs, activation, code, sums = rtl_registers(spec, *inputs)
        traced = model_of(spec).run(*inputs, trace=True)
        for name, ours, rtl in (
            ("outputs", traced.outputs, outputs),
            ("activation", traced.activation, activation),
            ("weight", traced.weight, code),
            ("sums", traced.sums, sums),
        ):
            np.testing.assert_array_equal(ours, rtl, err_msg=name)
        fast = model_of(spec)
        np.testing.assert_array_equal(fast.run(*inputs).outputs, outputs)
        np.testing.assert_array_equal(fast.activation, activation[-1])
        np.testing.assert_array_equal(fast.weight, code[-1])
        np.testing.assert_array_equal(fast.sums, sums[-1])


@pytest.mark.parametrize("dataflow", ["ws", "os"])
def test_sums_wrap_as_the_registers_do(dataflow: str) -> None:
    """With fewer terms than are summed the RTL's registers wrap; so do ours."""
    spec = UnitSpec("array", WeightFormat("pot"), 4, rows=6, cols=2, dataflow=dataflow, terms=1)
    a, w = np.full((30, 6), 15), np.full((30, 2), 6)  # the largest product
    control = np.arange(30) < 7
    outputs, _, _, sums = rtl_registers(spec, a, w, control)
    assert spec.psum_bits == 11
    assert (sums < 0).any()
    np.testing.assert_array_equal(model_of(spec).run(a, w, control, trace=True).sums, sums)
    np.testing.assert_array_equal(model_of(spec).run(a, w, control).outputs, outputs)


@settings(max_examples=40, deadline=None)
@given(
    grid=st.sampled_from(GRIDS),
    bits=st.sampled_from([2, 3, 4, 8]),
    abits=st.integers(1, 8),
    signed=st.booleans(),
    rows=st.integers(1, 9),
    cols=st.integers(1, 9),
    dataflow=st.sampled_from(["ws", "os"]),
    cycles=st.integers(0, 60),
    cut=st.integers(0, 60),
    quiet=st.sampled_from([0.0, 0.9, 1.0]),
    seed=st.integers(0, 1000),
)
def test_fast_and_traced_kernels_agree(
    grid: str,
    bits: int,
    abits: int,
    signed: bool,
    rows: int,
    cols: int,
    dataflow: str,
    cycles: int,
    cut: int,
    quiet: float,
    seed: int,
) -> None:
    """From any state, in one run or in two, with rows that see only zeros for a while or always."""
    weight = WeightFormat(grid, min(GRID_RECORDS[grid].widths, key=lambda b: abs(b - bits)))
    arrays = [ExactArray(weight, abits, rows, cols, signed, dataflow, terms=5) for _ in range(2)]
    rng = np.random.default_rng(seed)
    ends = arrays[0].activation_format
    codes = 1 << weight.storage_bits
    half = 1 << arrays[0].psum_bits - 1
    state = (
        rng.integers(ends.min, ends.max, (rows, cols), endpoint=True) * (quiet < 1),
        rng.integers(0, codes, (rows, cols)),
        [[int(x * half) for x in row] for row in rng.random((rows, cols)) * 2 - 1],
    )
    for array in arrays:
        array.load_state(*state)
    a = rng.integers(ends.min, ends.max, (cycles, rows), endpoint=True)
    a *= rng.random((cycles, rows)) >= quiet
    w = rng.integers(0, codes, (cycles, cols))
    control = np.repeat(rng.random(cycles) < 0.4, rng.integers(1, 12, cycles))[:cycles]
    traced = arrays[0].run(a, w, control, trace=True)
    parts = [arrays[1].run(a[s], w[s], control[s]).outputs for s in (slice(cut), slice(cut, None))]
    np.testing.assert_array_equal(np.concatenate(parts), traced.outputs)
    for field in ("activation", "weight", "sums"):
        np.testing.assert_array_equal(getattr(arrays[0], field), getattr(arrays[1], field))


def definition(weight: WeightFormat, abits: int, a: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """The matrix product as a sum of the format's products, in Python integers."""
    table = weight.product_table(abits).astype(object)
    return sum(table[a[:, k, None], codes[None, k]] for k in range(a.shape[1]))


@pytest.mark.parametrize("dataflow", ["ws", "os"])
@pytest.mark.parametrize(("grid", "bits"), [*((grid, 4) for grid in GRIDS), ("int", 8), ("post", 8)])
def test_a_whole_product_is_the_integer_definition(grid: str, bits: int, dataflow: str) -> None:
    weight = WeightFormat(grid, bits)
    rng = np.random.default_rng(5)
    m, k, n = 23, 37, 19  # no multiple of the array's 8 x 6
    a, codes = rng.integers(0, 1 << bits, (m, k)), rng.integers(0, 1 << weight.storage_bits, (k, n))
    array = ExactArray(weight, bits, 8, 6, dataflow=dataflow, terms=None if dataflow == "ws" else k)
    gemm = run_gemm(array, a, codes)
    np.testing.assert_array_equal(gemm.values, definition(weight, bits, a, codes))
    if dataflow == "ws":
        assert gemm.folds == 5 * 4
        assert gemm.cycles == gemm.folds * (8 + m + 8 + 6 - 2)
    else:
        assert gemm.folds == 3 * 4
        assert gemm.cycles == gemm.folds * (k + 8 + 6 - 2 + 8)
    assert gemm.updates == gemm.cycles * 48
    # Whatever the first product left in the registers, the second is right.
    np.testing.assert_array_equal(run_gemm(array, a, codes).values, gemm.values)


@settings(max_examples=40, deadline=None)
@given(
    grid=st.sampled_from([("post", 4), ("post", 3), ("int", 8), ("pot", 4), ("fp4", 4)]),
    signed=st.booleans(),
    dataflow=st.sampled_from(["ws", "os"]),
    shape=st.tuples(*[st.integers(1, 40)] * 3),
    sides=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    dirty=st.booleans(),
    seed=st.integers(0, 99),
)
def test_bytes_and_cycles_give_the_same_product_and_registers(
    grid: tuple, signed: bool, dataflow: str, shape: tuple, sides: tuple, dirty: bool, seed: int
) -> None:
    weight, rng, (m, k, n) = WeightFormat(*grid), np.random.default_rng(seed), shape
    low, high = (-8, 7) if signed else (0, 15)
    a, codes = (
        rng.integers(low, high, (m, k), endpoint=True),
        rng.integers(0, 1 << weight.storage_bits, (k, n)),
    )
    found = []
    for by_cycle in (False, True):
        array = ExactArray(weight, 4, *sides, signed, dataflow, None if dataflow == "ws" else k)
        if dirty:
            start = np.random.default_rng(seed)
            array.load_state(
                start.integers(low, high, sides), start.integers(0, 1 << weight.storage_bits, sides),
                start.integers(-9, 9, sides),
            )  # fmt: skip
        for _ in range(2):
            gemm = run_gemm(array, a, codes, by_cycle)
            found.append(
                (gemm.values, gemm.folds, gemm.cycles, array.activation, array.weight.copy(), array.sums)
            )
    for byte, cycle in ((found[0], found[2]), (found[1], found[3])):
        for one, other in zip(byte, cycle, strict=True):
            np.testing.assert_array_equal(one, other)


def test_a_convolution_layer_of_resnet20() -> None:
    """16 filters of 3 x 3 x 16 over 32 x 32 pixels, as the network has it, on a 32 x 32 array."""
    weight = WeightFormat("post", 4)
    rng = np.random.default_rng(1)
    image = np.pad(rng.integers(0, 16, (32, 32, 16)), ((1, 1), (1, 1), (0, 0)))
    codes = rng.integers(0, 16, (3, 3, 16, 16))
    patches = np.lib.stride_tricks.sliding_window_view(image, (3, 3), axis=(0, 1))  # y, x, channel, 3, 3
    a = patches.transpose(0, 1, 3, 4, 2).reshape(1024, 144)
    gemm = run_gemm(ExactArray(weight, 4, 32, 32), a, codes.reshape(144, 16))
    table = weight.product_table(4)
    direct = np.zeros((32, 32, 16), dtype=np.int64)
    for y, x in np.ndindex(3, 3):
        for channel in range(16):
            direct += table[image[y : y + 32, x : x + 32, channel, None], codes[y, x, channel]]
    np.testing.assert_array_equal(gemm.values.reshape(32, 32, 16), direct)
    assert (gemm.folds, gemm.cycles) == (5, 5 * (32 + 1024 + 32 + 32 - 2))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"rows": 0}, "rows is 0, expected at least 1"),
        ({"dataflow": "is"}, "dataflow is 'is', expected one of ws, os"),
        ({"dataflow": "os"}, "terms is not given"),
        ({"terms": 0}, "terms is 0, expected at least 1"),
        ({"abits": 9}, "activation bits is 9"),
    ],
)
def test_what_an_array_refuses(fields: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        ExactArray(**{"weight_format": WeightFormat("post"), "abits": 4, "rows": 2, "cols": 2, **fields})


def test_what_a_run_refuses() -> None:
    array = ExactArray(WeightFormat("post"), 4, 2, 3)
    with pytest.raises(InputError, match=r"activations have shape \(4, 3\), expected \(4, 2\)"):
        array.run(np.zeros((4, 3), int), np.zeros((4, 3), int), np.zeros(4))
    with pytest.raises(InputError, match="activations are out of range, expected whole numbers from 0 to 15"):
        array.step([16, 0], [0, 0, 0], False)
    with pytest.raises(
        InputError, match="weight codes are out of range, expected whole numbers from 0 to 15"
    ):
        array.step([15, 0], [0, -1, 0], False)
    with pytest.raises(InputError, match="expected whole numbers"):
        array.step([0.5, 0], [0, 0, 0], False)
    with pytest.raises(InputError, match=r"shapes \(2, 3\) and \(2, 3\), expected \(m, k\) and \(k, n\)"):
        run_gemm(array, np.zeros((2, 3), int), np.zeros((2, 3), int))
