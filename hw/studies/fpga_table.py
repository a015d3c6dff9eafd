"""FPGA figures of element, array and tile by number format, as a page: ``python -m hw.studies.fpga_table -o docs/fpga.md``.

Every row is one ``asq synth UNIT --fpga`` (:mod:`hw.synth.fpga`), kept by the hash of its design.
"""

from __future__ import annotations

from pathlib import Path

import click

from asq_sw.console import run
from asq_sw.files import write_text
from asq_sw.formats import WeightFormat
from hw.studies.space import CONTENDERS
from hw.synth.fpga import TARGETS, FpgaCost, measure_fpga
from hw.units.multiplier import IntMultiplier
from hw.units.spec import UnitSpec
from hw.units.tile import TileSpec
from hw.units.unit import UNITS
from hw.units.variants import names as variants

SIDE = 8
FORMATS = (
    WeightFormat("int", 4),
    WeightFormat("post", 4, 0),
    WeightFormat("post", 4, 2),
    WeightFormat("pot", 4),
    WeightFormat("fp4", 4),
    WeightFormat("post-gap", 4, 0),
    WeightFormat("int", 8),
)


def specs() -> list[UnitSpec | TileSpec]:
    """What is routed: an element, an 8 x 8 array and an 8 x 8 tile of each format, activations as wide as weights.

    A tile is made in every way that contends for its format (:data:`hw.studies.space.CONTENDERS`) and in its default way.
    """
    lone: list[UnitSpec | TileSpec] = [
        UnitSpec(unit, weight, 8 if weight.bits == 8 else 4, rows=side, cols=side)
        for unit, side in (("pe", 1), ("array", SIDE))
        for weight in FORMATS
    ]
    return lone + [
        TileSpec(weight, 8 if weight.bits == 8 else 4, variant=variant, rows=SIDE, cols=SIDE)
        for weight in FORMATS
        for variant in ways(weight)
    ]


def ways(weight: WeightFormat) -> list[str]:
    """Variants of a format's tile that are routed."""
    contenders = [way.variant for way in CONTENDERS.get(weight, ())]
    return list(dict.fromkeys([*contenders, variants(weight.grid)[0]]))


def with_blocks() -> list[UnitSpec | TileSpec]:
    """What Yosys can give multiplier blocks to."""
    return [s for s in specs() if s.variant == IntMultiplier.variant]


def row(cost: FpgaCost) -> str:
    """One line of the table."""
    unit = cost.unit
    fraction = f" F={unit['frac_bits']}" if unit["frac_bits"] is not None else ""
    shape = f" {unit['rows']}x{unit['cols']}" if "rows" in UNITS[unit["unit"]].options else ""
    way = f" {unit['variant']}" if "tree" in unit else ""
    return (
        f"| {unit['unit']}{shape}{way} | {unit['grid']} {unit['wbits']}x{unit['abits']}{fraction} | {cost.luts:,} | {cost.ffs:,} | "
        f"{cost.dsps} | {cost.luts_per_mac:.1f} | {cost.fmax_mhz:.0f} |"
    )


def page(costs: list[FpgaCost]) -> str:
    """The table as Markdown, with what to conclude."""
    verdicts = []
    names = ("unit", "grid", "wbits", "frac_bits")
    for unit in ("pe", "array", "tile"):
        post, whole = (
            min(
                (c for c in costs if (*(c.unit[name] for name in names), c.dsps) == (unit, *wanted, 0)),
                key=lambda c: c.luts,
            )
            for wanted in (("post", 4, 0), ("int", 4, None))
        )
        verdicts.append(
            f"{unit}: POST4 (F = 0) takes {post.luts / whole.luts:.2f} times the look-up tables a MAC of "
            f"int4 and reaches {post.fmax_mhz / whole.fmax_mhz:.2f} times its clock"
        )
    tools = ", ".join(f"{name} {version}" for name, version in costs[0].tool_versions.items())
    lines = [
        "# On an FPGA", "",
        f"Made by `python -m hw.studies.fpga_table -o docs/fpga.md` ({costs[0].device}; {tools}). One row alone: "
        "`asq synth array --grid post --frac-bits 0 --rows 8 --cols 8 --fpga ecp5 --no-multipliers`. Counts are of the unit; Fmax is "
        "after place and route between registers, seed 1; it moves by some percent with the seed. A tile stands once for "
        "every way of making its products that contends on silicon; what is said is of the way with the fewest tables.", "",
        "Without multiplier blocks: " + "; ".join(verdicts) + ". Int with the device's multiplier blocks, where Yosys "
        "takes them, stands below: that is what an FPGA is good at, and POST has no use for them.",
        "",
        "| unit | format | LUTs | FFs | multipliers | LUTs per MAC | Fmax, MHz |",
        "|---|---|---:|---:|---:|---:|---:|",
        *(row(cost) for cost in costs),
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


@click.command(help="Place and route element, array and tile of every format; a page.")
@click.option("--fpga", type=click.Choice(sorted(TARGETS)), default="ecp5", show_default=True)
@click.option("-o", "--output", required=True, type=click.Path(dir_okay=False, path_type=Path))
def main(fpga: str, output: Path) -> None:
    costs = []
    for spec, blocks in [*((s, False) for s in specs()), *((s, True) for s in with_blocks())]:
        costs.append(measure_fpga(spec, fpga, multipliers=blocks))
        click.echo(row(costs[-1]))
    write_text(output, page(costs))


if __name__ == "__main__":
    run(main, "python -m hw.studies.fpga_table")
