"""Who wins is what the figures say."""

from __future__ import annotations

from reports.scope import BITS
from reports.verdicts import verdicts


def test_verdict_follows_the_figures() -> None:
    def unit(grid: str, bits: int, area: float) -> dict:
        return {"grid": grid, "wbits": bits, "area_per_mac_um2": area, "energy_per_mac_fj": area}

    units = [unit(g, b, 1.0 if g == "post" else 2.0) for g in ("post", "int", "pot") for b in BITS]
    errors = [
        {"grid": g, "bits": b, "distribution": d, "sqnr_db": 20.0 if g == "post" else 10.0}
        for g in ("post", "int", "pot")
        for b in BITS
        for d in ("gaussian", "laplacian")
    ]
    assert {v["kind"] for v in verdicts(units, errors)} == {"win"}
    for u in units:
        u["area_per_mac_um2"] = 4.0 if u["grid"] == "post" else 2.0
    assert {v["kind"] for v in verdicts(units, errors)} == {"mixed"}
