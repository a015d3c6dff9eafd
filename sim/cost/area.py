"""Area of an accelerator: processing elements as measured, scratchpads from published macros.

Not in it: DRAM interface, control, wiring between the parts.
"""

from __future__ import annotations

from sim.accelerator import Accelerator
from sim.cost.memory import sram_um2


def area_um2(accelerator: Accelerator, pe_um2: float) -> dict[str, float]:
    """Area by part, um2: ``pes`` and ``sram``. ``pe_um2`` is the measured processing element."""
    pads = sum(
        count * sram_um2(kib, accelerator.node, accelerator.bank_ports)
        for count, kib in accelerator.macros.values()
    )
    return {"pes": accelerator.pes * pe_um2, "sram": accelerator.arrays * pads}
