"""What does a network cost with each 4-bit weight grid on one machine? Run: python examples/compare_grids.py [NETWORK]"""

from __future__ import annotations

import sys
from pathlib import Path

from asq_sw.formats import WeightFormat
from asq_sw.sqnr import sqnr
from sim import Accelerator, simulate

MACHINE = Path(__file__).with_name("machine.toml")
GRIDS = {"int": None, "post": 0, "post-gap": 0, "fp4": None}
"""Grid -> F, the fractional bits of its table, where it has one."""


def main(network: str) -> None:
    print(f"{network} on {MACHINE.name}, 4-bit weights and activations")
    print(f"{'grid':10}{'images/s':>10}{'uJ/image':>10}{'of it MACs':>12}{'SQNR dB':>9}")
    for grid, frac_bits in GRIDS.items():
        machine = Accelerator.from_toml(MACHINE, grid=grid, frac_bits=frac_bits)
        total = simulate(network, machine).total
        energy = sum(total["energy_pj"].values())
        error = sqnr(WeightFormat(grid, 4, frac_bits), abits=4)  # the rounding of the table counted
        print(
            f"{grid:10}{total['images_per_s']:10.0f}{energy / 1e6:10.2f}"
            f"{total['energy_pj']['mac'] / energy:12.1%}{error.db:9.2f}"
        )


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "resnet20")
