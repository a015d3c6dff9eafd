"""The closed form against counting: every processing element, every cycle, every operand, one by one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asq_sw.errors import InputError
from hw.machine.dataflows import DATAFLOWS
from sim import closed_form
from sim.workload import Layer


def cost(
    m: int,
    n: int,
    k: int,
    rows: int,
    cols: int,
    flow: str,
    groups: int = 1,
    bits: tuple[int, int, int] = (4, 4, 24),
    buffers: tuple[int, int, int] = (1 << 20,) * 3,
    bandwidth: float = 16.0,
) -> dict[str, int]:
    layers = np.array([[m, n, k, groups, m * k, n * k * groups, m * n * groups]])
    machine = np.array([rows, cols, DATAFLOWS[flow].code, *bits, *buffers])
    row = closed_form.evaluate_one(layers, machine, bandwidth)[0]
    return dict(zip(closed_form.RESULT_FIELDS, row.tolist(), strict=True))


def counted(m: int, n: int, k: int, rows: int, cols: int, flow: str) -> dict[str, int]:
    """Run the array's schedule event by event, from the definition of a systolic array.

    Stationary flows: the array is loaded a row a cycle; then step t of row r enters at cycle t + r and
    moves one column a cycle. Output-stationary: operands of step t enter row r at t + r, column c at t + c.
    """
    stationary = flow != "os"
    across, along = {"ws": (n, m), "is": (m, n), "os": (n, k)}[flow]
    down = k if stationary else m
    totals = dict.fromkeys(("folds", "compute_cycles", "mapped_pes", "ifmap", "filter", "ofmap"), 0)
    for top in range(0, down, rows):
        for left in range(0, across, cols):
            used_rows, used_cols = min(rows, down - top), min(cols, across - left)
            last = 0
            for r in range(rows):
                for c in range(cols):
                    for t in range(along):
                        last = max(last, t + r + c)
            totals["folds"] += 1
            totals["compute_cycles"] += last + 1 + (rows if stationary else 0)
            totals["mapped_pes"] += used_rows * used_cols
            streamed, kept = used_rows * along, used_rows * used_cols
            if flow == "ws":
                totals["ifmap"] += streamed
                totals["filter"] += kept
                totals["ofmap"] += along * used_cols
            elif flow == "is":
                totals["filter"] += streamed
                totals["ifmap"] += kept
                totals["ofmap"] += along * used_cols
            else:
                totals["ifmap"] += used_rows * along
                totals["filter"] += used_cols * along
                totals["ofmap"] += used_rows * used_cols
    return totals


sizes = st.integers(1, 9)


@settings(max_examples=60, deadline=None)
@given(
    m=sizes,
    n=sizes,
    k=sizes,
    rows=st.integers(1, 5),
    cols=st.integers(1, 5),
    flow=st.sampled_from(["ws", "os", "is"]),
)
def test_closed_form_is_the_count(m: int, n: int, k: int, rows: int, cols: int, flow: str) -> None:
    got, expected = cost(m, n, k, rows, cols, flow), counted(m, n, k, rows, cols, flow)
    down, across = DATAFLOWS[flow].folds(m, n, k, rows, cols)
    cycles = DATAFLOWS[flow].fold_cycles(m, n, k, rows, cols)
    assert (down * across, down * across * cycles) == (expected["folds"], expected["compute_cycles"])
    assert got["folds"] == expected["folds"]
    assert got["compute_cycles"] == expected["compute_cycles"]
    assert got["mapped_pes"] == expected["mapped_pes"]
    assert got["sram_ifmap_reads"] == expected["ifmap"]
    assert got["sram_filter_reads"] == expected["filter"]
    assert got["sram_ofmap_writes"] == expected["ofmap"]
    # Every write but the last of each output is read back to go on with.
    assert got["sram_psum_reads"] == expected["ofmap"] - m * n


@pytest.mark.parametrize("flow", ["ws", "os", "is"])
def test_groups_run_one_after_another(flow: str) -> None:
    one, many = cost(5, 3, 7, 4, 4, flow), cost(5, 3, 7, 4, 4, flow, groups=6)
    for field in ("folds", "compute_cycles", "mapped_pes", "sram_ifmap_reads", "sram_ofmap_writes"):
        assert many[field] == 6 * one[field]


def test_dram_traffic_by_bit_width() -> None:
    """By hand: 100 x 8 values of 4 bits in, 8 x 6 weights of 3, 100 x 6 values of 4 out; all fits."""
    row = cost(100, 6, 8, 8, 8, "ws", bits=(3, 4, 24))
    assert row["dram_read_bits"] == 100 * 8 * 4 + 8 * 6 * 3
    assert row["dram_write_bits"] == 100 * 6 * 4


def test_streamed_operand_is_read_again_or_in_parts() -> None:
    """4 column folds, 400 bytes of input, 128 bytes of weights."""
    weights = 8 * 32 * 4
    # Input in half of 800 bytes: everything once.
    assert cost(100, 32, 8, 8, 8, "ws", buffers=(800, 4096, 1 << 20))["dram_read_bits"] == 3200 + weights
    # Not in half of 512, but weights fit: two parts, nothing is read twice.
    assert cost(100, 32, 8, 8, 8, "ws", buffers=(512, 4096, 1 << 20))["dram_read_bits"] == 3200 + weights
    # Nor do the weights fit in half of 128 bytes: they are read for each of two parts...
    assert cost(100, 32, 8, 8, 8, "ws", buffers=(512, 128, 1 << 20))["dram_read_bits"] == 3200 + 2 * weights
    # ... but not for each of 50: then the input is read once for each column fold.
    assert cost(100, 32, 8, 8, 8, "ws", buffers=(16, 128, 1 << 20))["dram_read_bits"] == 4 * 3200 + weights


def test_partial_sums_split_the_layer_or_spill() -> None:
    """Two k-folds, 100 x 8 sums of 24 bits = 2400 bytes waiting."""
    fits = cost(100, 8, 16, 8, 8, "ws", buffers=(4096, 4096, 4800))
    assert fits["dram_write_bits"] == 100 * 8 * 4
    # Half of 2400 bytes holds half of them: two parts; the 512 bits of weights fit, nothing is read again.
    assert cost(100, 8, 16, 8, 8, "ws", buffers=(4096, 4096, 2400)) == fits
    # Weights that do not fit are read once a part.
    split = cost(100, 8, 16, 8, 8, "ws", buffers=(4096, 32, 2400))
    assert split["dram_read_bits"] == fits["dram_read_bits"] + 8 * 16 * 4
    # 2 bytes would need 2400 parts: spilling 19200 bits each way is cheaper than 2399 reloads.
    spilled = cost(100, 8, 16, 8, 8, "ws", buffers=(4096, 32, 2))
    assert spilled["dram_write_bits"] == fits["dram_write_bits"] + 100 * 8 * 24
    assert spilled["dram_read_bits"] == fits["dram_read_bits"] + 100 * 8 * 24


@pytest.mark.parametrize("flow", ["ws", "os", "is"])
def test_wider_sums_never_move_fewer_bits(flow: str) -> None:
    for buffers in ((512, 128, 2400), (64, 64, 64), (4096, 32, 300)):
        traffic = [
            row["dram_read_bits"] + row["dram_write_bits"]
            for row in (
                cost(100, 32, 24, 8, 8, flow, bits=(4, 4, w), buffers=buffers) for w in (8, 16, 24, 64)
            )
        ]
        assert traffic == sorted(traffic)


def test_stall_is_what_dram_takes_longer() -> None:
    slow = cost(100, 6, 8, 8, 8, "ws", bandwidth=0.5)
    bits = slow["dram_read_bits"] + slow["dram_write_bits"]
    assert slow["stall_cycles"] == -(-bits // 4) - slow["compute_cycles"]
    assert cost(100, 6, 8, 8, 8, "ws", bandwidth=1e6)["stall_cycles"] == 0


def test_first_layer_of_resnet18_as_scale_sim_counts() -> None:
    """110 x 110 pixels (the last window is partial), 64 filters of 147: 10 folds, 121939 + 1 cycles."""
    layer = Layer("Conv1", "conv", 224, 224, 3, 64, (7, 7), (2, 2), (0, 0, 1, 1))
    assert (layer.m, layer.n, layer.k) == (110 * 110, 64, 147)
    row = cost(layer.m, layer.n, layer.k, 32, 32, "ws")
    assert (row["folds"], row["compute_cycles"]) == (10, 121_940)


def test_many_machines_at_once_are_the_single_ones() -> None:
    rng = np.random.default_rng(1)
    layers = np.column_stack(
        [rng.integers(1, 300, (20, 3)), np.ones(20, int), rng.integers(1, 5000, (20, 3))]
    )
    machines = np.column_stack(
        [rng.integers(1, 64, (30, 2)), rng.integers(0, 3, 30), rng.integers(2, 9, (30, 2)), np.full(30, 24)]
        + [rng.integers(16, 4096, 30) for _ in range(3)]
    )
    bandwidths = rng.uniform(0.5, 32, 30)
    out = np.empty((30, 20, len(closed_form.RESULT_FIELDS)), np.int64)
    closed_form.evaluate(layers, machines, bandwidths, out)
    for p in range(30):
        np.testing.assert_array_equal(out[p], closed_form.evaluate_one(layers, machines[p], bandwidths[p]))


def test_a_code_without_a_dataflow_reaches_no_kernel() -> None:
    layers = np.array([[4, 4, 4, 1, 16, 16, 16]])
    machines = np.array([[8, 8, code, 4, 4, 24, 64, 64, 64] for code in (0, 3)])
    out = np.zeros((2, 1, len(closed_form.RESULT_FIELDS)), np.int64)
    with pytest.raises(InputError, match=r"dataflow code is 3, expected one of 0 \(ws\), 1 \(os\), 2 \(is\)"):
        closed_form.evaluate(layers, machines, np.ones(2), out)
    with pytest.raises(InputError, match="dataflow code is 3"):
        closed_form.evaluate_one(layers, machines[1], 1.0)
    assert not out.any()
