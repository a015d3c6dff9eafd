"""SRAM and DRAM figures against the points that they come from, and against others."""

from __future__ import annotations

import places
import pytest

from asq_sw.errors import InputError
from sim import Accelerator
from sim.cost.area import area_um2
from sim.cost.memory import DRAM, SRAM, dram_pj_per_bit, sram_pj_per_bit, sram_um2
from sim.studies.memory_checks import checks, page


def test_models_pass_through_their_points() -> None:
    """Horowitz, ISSCC 2014: 10, 20 and 100 pJ per 64 bits; EIE and SRAM22 macros; TPUv4i at 7 nm."""
    for kib, picojoules in ((8, 10), (32, 20), (1024, 100)):
        assert 64 * sram_pj_per_bit(kib, volts=0.9) == pytest.approx(picojoules)
        assert 64 * sram_pj_per_bit(kib) == pytest.approx(picojoules * (1.1 / 0.9) ** 2)
    for kib, picojoules in ((8, 7.5), (32, 8.5), (1024, 14)):
        assert 64 * sram_pj_per_bit(kib, "asap7") == pytest.approx(picojoules)
    assert 32 * sram_pj_per_bit(2, "sky130hd") == pytest.approx(6.95683 + 0.706646)
    assert 32 * sram_pj_per_bit(8, "sky130hd") == pytest.approx((9.31999 + 0.728734 + 14.3245 + 0.71669) / 2)
    assert sram_pj_per_bit(1024, "sky130hd") == pytest.approx(10 * sram_pj_per_bit(8, "sky130hd"))
    assert sram_um2(32) == pytest.approx(121_849)
    assert sram_um2(128) == pytest.approx(469_412)
    assert sram_um2(8, "sky130hd") == pytest.approx(674.48 * 781.92)


def test_independent_points_are_near() -> None:
    found = checks()
    assert sum("SRAM" in c.source or "CACTI" in c.source or "LEF" in c.source for c in found) >= 4
    for check in found:
        # FakeRAM gives small macros no periphery; ours of 7 nm have that of 45 nm, scaled.
        assert abs(check.off) < (1.5 if check.what == "1 KiB at 7 nm" else 0.13), check
    assert {c.unit for c in found} == {"um2", "pJ/bit"}


@pytest.mark.parametrize("node", SRAM)
def test_more_is_never_cheaper(node: str) -> None:
    sizes = [0.25, 1, 8, 20, 32, 512, 1024, 4096]
    for figure in (sram_pj_per_bit, sram_um2):
        values = [figure(kib, node) for kib in sizes]
        assert values == sorted(values)
        assert values[0] > 0
        assert figure(32, node, 2) > figure(32, node)


def test_banks_are_macros_of_their_own() -> None:
    whole, banked = Accelerator(), Accelerator(ifmap_banks=16)
    assert banked.macros["ifmap"] == (16, 8.0)
    assert area_um2(banked, 1.0)["sram"] - area_um2(whole, 1.0)["sram"] == pytest.approx(
        15 * SRAM["nangate45"].macro_um2
    )


def test_unknown_names_are_refused() -> None:
    with pytest.raises(InputError, match="node is 'x'"):
        sram_um2(1, "x")
    with pytest.raises(InputError, match="dram is 'x'"):
        dram_pj_per_bit("x")
    assert set(DRAM) == {"bandwidth", "ddr4-2400", "lpddr4-3200", "hbm2"}


def test_the_page_is_the_commands() -> None:
    assert (places.ROOT / "docs" / "memory.md").read_text() == page()
