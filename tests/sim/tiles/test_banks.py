"""Conflicts of scratchpad banks against addresses counted one by one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim import Accelerator, simulate
from sim.tiles.banks import ADDED_SUMS, FILTER, FIRST_IFMAP, SUMS, rates
from sim.workload import Layer, Workload, gemm

IDEAL = {"dram_gb_per_s": 1e9, "dram_latency_ns": 0, "vector_lanes": 0, "ifmap_kib": 4096, "ofmap_kib": 4096}


def taken(addresses: list[int], banks: int, ports: int, words: int) -> int:
    """Cycles of one group of words."""
    lines = {address // words for address in addresses}
    return max((-(-sum(line % banks == bank for line in lines) // ports) for bank in range(banks)), default=0)


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_ifmap_is_counted_address_by_address(data: st.DataObject) -> None:
    whole = st.integers
    layer = Layer(
        "c", "conv", data.draw(whole(3, 7)), data.draw(whole(3, 7)), data.draw(whole(1, 6)), data.draw(whole(1, 9)),
        (data.draw(whole(1, 3)), data.draw(whole(1, 3))), (data.draw(whole(1, 2)), data.draw(whole(1, 2))),
        tuple(data.draw(whole(0, 1)) for _ in range(4)),
    )  # fmt: skip
    dataflow = data.draw(st.sampled_from(["ws", "os", "is"]))
    rows, cols = data.draw(whole(1, 9)), data.draw(whole(1, 9))
    banks, ports, words = data.draw(whole(1, 8)), data.draw(whole(1, 2)), data.draw(whole(1, 5))
    machine = Accelerator(
        rows=rows, cols=cols, dataflow=dataflow, ifmap_banks=banks, bank_ports=ports, line_words=words
    )

    def address(pixel: int, product: int) -> int | None:
        oy, ox = divmod(pixel, layer.out_w)
        rest, c = divmod(product, layer.in_c)
        ky, kx = divmod(rest, layer.kernel[1])
        y, x = oy * layer.stride[0] + ky - layer.padding[0], ox * layer.stride[1] + kx - layer.padding[1]
        if not (0 <= y < layer.in_h and 0 <= x < layer.in_w):
            return None
        return (y * layer.in_w + x) * layer.in_c + c

    def group(pairs: list[tuple[int, int]]) -> int:
        found = [a for a in (address(*pair) for pair in pairs) if a is not None]
        return max(1, taken(found, banks, ports, words))

    pixels, products = layer.out_h * layer.out_w, layer.k
    wanted = []
    if dataflow == "ws":
        for k in range(0, products, rows):
            fold = range(k, min(products, k + rows))
            wanted.append(np.mean([group([(p, i) for i in fold]) for p in range(pixels)]))
    elif dataflow == "os":
        for m in range(0, pixels, rows):
            fold = range(m, min(pixels, m + rows))
            wanted.append(np.mean([group([(p, i) for p in fold]) for i in range(products)]))
    else:
        for k in range(0, products, rows):
            lines = [
                group([(p, i) for p in range(m, min(pixels, m + cols))])
                for i in range(k, min(products, k + rows))
                for m in range(0, pixels, cols)
            ]
            wanted.append(np.mean(lines))
    found = rates(layer, machine)[FIRST_IFMAP:]
    np.testing.assert_allclose(found, wanted)


def test_words_that_lie_together_come_together() -> None:
    work = gemm("g", 40, 8, 8)
    for banks, words, cycles in ((8, 1, 1), (4, 1, 2), (1, 8, 1), (1, 1, 8), (2, 2, 2)):
        machine = Accelerator(
            rows=8, cols=8, filter_banks=banks, ofmap_banks=banks, ifmap_banks=banks, line_words=words
        )
        found = rates(work, machine)
        assert found[FILTER] == found[SUMS] == cycles
        assert found[FIRST_IFMAP] == cycles
        assert found[ADDED_SUMS] == 2 * cycles
        two = rates(work, Accelerator(**machine.model_dump() | {"bank_ports": 2}))
        assert two[FIRST_IFMAP] == -(-cycles // 2)
        assert two[ADDED_SUMS] == cycles


def test_a_stride_that_meets_one_bank_is_serial() -> None:
    """Output-stationary rows read pixels 4 values apart: with 4 banks of one word all are in one bank."""
    layer = Layer("c", "conv", 8, 8, 4, 4)
    machine = {"rows": 8, "cols": 4, "dataflow": "os", "grid": "int"} | IDEAL
    bad, good = (Accelerator(**machine, ifmap_banks=n) for n in (4, 5))
    assert rates(layer, bad)[FIRST_IFMAP] == 8
    assert rates(layer, good)[FIRST_IFMAP] < 3
    cycles = [simulate(Workload("w", (layer,)), m, fidelity=2).layers[0].compute_cycles for m in (bad, good)]
    assert cycles[0] == 8 * (4 * 8 + 8 - 1 + 4 - 1)
    assert cycles[1] < cycles[0] / 2


@pytest.mark.parametrize("dataflow", ["ws", "os", "is"])
def test_enough_banks_change_nothing(dataflow: str) -> None:
    plain = Accelerator(dataflow=dataflow)
    wide = Accelerator(
        dataflow=dataflow, filter_banks=64, ofmap_banks=4096, ifmap_banks=4096, bank_ports=16, line_words=64
    )
    one, other = (simulate("resnet20", m, fidelity=2).total for m in (plain, wide))
    assert other["total_cycles"] == one["total_cycles"]
