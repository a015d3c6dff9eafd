"""The memory models beside published points that they were not made from: ``python -m sim.studies.memory_checks``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click

from asq_sw.console import run
from asq_sw.files import write_text
from sim.cost.memory import (
    DRAM,
    HOROWITZ,
    SRAM,
    SRAM22,
    SRAM22_ENERGY,
    dram_pj_per_bit,
    sram_pj_per_bit,
    sram_um2,
)

OPENRAM = "OpenRAM macros for SKY130, ISCAS 2023, table I (ieeexplore 10181379)"
CACTI = "CACTI at 45 nm, as tabled in github.com/Dongyunkam/DRAM_info"
OPENRAM_ENERGY = (
    "sky130_sram_2kbyte_1rw1r_32x512_8, OpenRAM's Liberty file (read, 1.8 V): lowest if its figures are pJ, highest if they "
    "are mW over the least period"
)
FAKERAM7 = "LEF sizes of OpenROAD's asap7 platform, made by FakeRAM 2.0, which has no fixed part"
FAKERAM = "fakeram45_2048x39, LEF size (OpenROAD's nangate45 platform)"


@dataclass(frozen=True)
class Check:
    """A published figure that the model was not made from, and the model's: ``published`` lowest and highest.

    ``part`` and ``of``: ``sram`` and a node, or ``dram`` and a kind, where it is an energy; empty where it is an area.
    """

    what: str
    unit: str
    model: float
    published: tuple[float, float]
    source: str
    part: str = ""
    of: str = ""

    @property
    def off(self) -> float:
        """How far the model lies outside the published range, as a share of its nearest end; 0 within."""
        low, high = self.published
        return self.model / low - 1 if self.model < low else max(0.0, self.model / high - 1)


def checks() -> list[Check]:
    """Every independent published point found, with the model's figure."""

    def one(value: float) -> tuple[float, float]:
        return value, value

    return [
        Check(
            "512 B at 45 nm and 0.9 V, read to write", "pJ/bit", sram_pj_per_bit(0.5, volts=0.9),
            (0.03316, 0.07308), CACTI, "sram", "nangate45",
        ),
        Check(
            "128 B at 45 nm and 0.9 V, read to write", "pJ/bit", sram_pj_per_bit(0.125, volts=0.9),
            (0.02137, 0.02891), CACTI, "sram", "nangate45",
        ),
        Check("512 B at 45 nm", "um2", sram_um2(0.5), one(7603.0), CACTI),
        Check("9.75 KiB at 45 nm", "um2", sram_um2(2048 * 39 / 8192), one(206.91 * 219.8), FAKERAM),
        Check("4 KiB, one port, 130 nm", "um2", sram_um2(4, "sky130hd"), one(764.24 * 460.28), SRAM22),
        *(
            Check(f"{kib} KiB, two ports, 130 nm", "um2", sram_um2(kib, "sky130hd", 2), one(w * h), OPENRAM)
            for kib, w, h in ((1, 479.78, 397.5), (2, 683.1, 416.54), (4, 693.9, 668.8), (8, 1093.8, 720.5))
        ),
        Check(
            "4 KiB at 130 nm, a read", "pJ/bit", sram_pj_per_bit(4, "sky130hd"), one((8.66547 + 0.704826) / 32),
            SRAM22_ENERGY, "sram", "sky130hd",
        ),
        Check(
            "2 KiB, two ports, 130 nm", "pJ/bit", sram_pj_per_bit(2, "sky130hd", 2),
            ((2.707046 + 2.420102) / 32, (2.707046 + 2.420102) / 2 * 5.156 / 32), OPENRAM_ENERGY,
            "sram", "sky130hd",
        ),
        Check("9.75 KiB at 7 nm", "um2", sram_um2(2048 * 39 / 8192, "asap7"), one(20.33 * 166.6), f"fakeram7_2048x39, {FAKERAM7}"),
        Check("1 KiB at 7 nm", "um2", sram_um2(1, "asap7"), one(8.36 * 42.0), f"fakeram7_256x32, {FAKERAM7}"),
        Check("DDR4", "pJ/bit", dram_pj_per_bit("ddr4-2400"), (1300 / 64, 2600 / 64), HOROWITZ, "dram", "ddr4-2400"),
        Check(
            "LPDDR4", "pJ/bit", dram_pj_per_bit("lpddr4-3200"), (3.7, 40.0),
            "ISSCC 2012, ieeexplore 6176871 (LPDDR3, 3.7 in the interface alone); Malladi et al., ISCA 2012 (LPDDR2, 40 in all)",
            "dram", "lpddr4-3200",
        ),
        Check(
            "HBM2", "pJ/bit", dram_pj_per_bit("hbm2"), (3.92, 7.0),
            "O'Connor et al., MICRO 2017 (3.92 in the device); Yan et al., HPCA 2020 (HyGCN: 7 in all)",
            "dram", "hbm2",
        ),
    ]  # fmt: skip


def published_range(part: str, of: str) -> tuple[float, float]:
    """Lowest and highest published energy over the model's, 1 among them.

    ``part`` and ``of`` as in :class:`Check`; where nothing is published of a node, the widest range of the others, and the
    plain bandwidth model is LPDDR4's (:data:`sim.cost.memory.DRAM`).
    """
    kind = "lpddr4-3200" if of == "bandwidth" else of
    of_part = [check for check in checks() if check.part == part]
    points = [check for check in of_part if check.of == kind] or of_part
    return (
        min(1.0, *(check.published[0] / check.model for check in points)),
        max(1.0, *(check.published[1] / check.model for check in points)),
    )


def page() -> str:
    """The checks as Markdown."""
    lines = [
        "# Memory figures against published points",
        "",
        "Made by `python -m sim.studies.memory_checks -o docs/memory.md`. The models (`sim/cost/memory.py`) are not made from these points.",
        "",
        "| what | model | published | off | source |",
        "|---|---:|---:|---:|---|",
    ]
    for check in checks():
        low, high = (f"{value:,.4g}" if value < 1000 else f"{value:,.0f}" for value in check.published)
        published = low if low == high else f"{low} to {high}"
        model = f"{check.model:,.4g}" if check.model < 1000 else f"{check.model:,.0f}"
        lines.append(
            f"| {check.what}, {check.unit} | {model} | {published} | {100 * check.off:+.0f}% | {check.source} |"
        )
    lines += ["", "Where the models' own figures come from:", ""]
    lines += [f"- {node} energy: {s.energy_source}; area: {s.area_source}" for node, s in SRAM.items()]
    lines += [f"- DRAM {kind}: {pj:.3g} pJ/bit, {source}" for kind, (pj, source) in DRAM.items()]
    return "\n".join(lines) + "\n"


@click.command(help="Print the memory models beside published points that they were not made from.")
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Markdown file.")
def main(output: Path | None) -> None:
    if output is not None:
        write_text(output, page())
    else:
        click.echo(page(), nl=False)


if __name__ == "__main__":
    run(main, "python -m sim.studies.memory_checks")
