"""The section on bit-widths."""

from __future__ import annotations

import pytest
from report_rows import first

from hw.studies.space import POST4
from reports.sections import width
from reports.tiles.pareto import smallest


def test_macs_take_their_share_with_and_without_weight_registers() -> None:
    """1e9 MACs of 80 fJ are 80 uJ; beside 120 uJ of memory 40%."""
    total = {"network": "n", "grid": "post", "wbits": 4, "macs": 10**9, "mac_uj": 80.0, "energy_uj": 200.0}
    rows = [first(POST4, 80.0), first(POST4, 280.0, registers=True)]
    held = {account: smallest(rows, "nangate45", registers) for account, registers, _, _ in width.ACCOUNTS}
    (found,) = width.shares([total], held)
    assert (found["tile_uj"], found["tile_share"]) == pytest.approx((80.0, 0.4))
    assert (found["registers_uj"], found["registers_share"]) == pytest.approx((280.0, 0.7))
