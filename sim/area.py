"""Area of an accelerator: processing elements as measured, scratchpads from a published bit cell.

Not in it: DRAM interface, control, wiring between the parts.
"""

from __future__ import annotations

from sim.accelerator import Accelerator

# 6T cell at 45 nm: Mistry et al., IEDM 2007 (Intel 45 nm high-k): 0.346 um2.
SRAM_CELL_UM2 = 0.346
# Share of a macro that is cells; the rest is decoders, sense amplifiers and wires. A round figure for macros of
# some tens of KiB: an assumption, not a measurement.
SRAM_EFFICIENCY = 0.7
SOURCE = "published: 6T cell 0.346 um2 (Mistry et al., IEDM 2007); assumed: 70% of a macro is cells"


def sram_um2(kib: float) -> float:
    """Area of a single-port scratchpad of that capacity at 45 nm, um2."""
    return 8 * 1024 * kib * SRAM_CELL_UM2 / SRAM_EFFICIENCY


def area_um2(accelerator: Accelerator, pe_um2: float) -> dict[str, float]:
    """Area by part, um2: ``pes`` and ``sram``. ``pe_um2`` is the measured processing element."""
    kib = accelerator.ifmap_kib + accelerator.filter_kib + accelerator.ofmap_kib
    return {"pes": accelerator.pes * pe_um2, "sram": accelerator.arrays * sram_um2(kib)}
