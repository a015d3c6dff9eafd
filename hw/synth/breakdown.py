"""Where a unit's area goes: table, shifter, sign, adder, registers, ...

The flattened design is cut at word level into parts, each part is mapped by itself with the area recipe,
and areas are summed. No logic is shared across the cuts, so the parts together are somewhat larger than
the unit as it is synthesized whole; both figures are given.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from asq_sw.files import temporary_folder
from hw.rtl.verilog import to_rtlil
from hw.rtl.yosys import run_yosys
from hw.synth.libraries.library import Library
from hw.synth.mapping import flow
from hw.synth.measure import default_clock_ns, synthesize_unit
from hw.units.unit import Unit

# By the type of a word-level cell, else by the name of the signal that it drives (first match).
_BY_TYPE = {
    "registers": ("$dff", "$dffe", "$sdff", "$sdffe", "$sdffce", "$adff", "$adffe"),
    "multiplier": ("$mul",),
    "adder": ("$add", "$sub", "$neg", "$alu", "$macc", "$macc_v2"),
    "table": ("$memrd", "$memrd_v2", "$mem", "$mem_v2", "$meminit", "$meminit_v2"),
}
_BY_NAME = (
    ("shifter", ("shifted",)),
    ("sign", ("flipped",)),
    ("table", ("lut", "product")),
    ("select and zero", ("base", "gated", "nonzero", "term")),
    ("decoder", ("odd", "zero", "shift", "magnitude")),
)
OTHER = "other"


@dataclass(frozen=True)
class Breakdown:
    """Area of each part, um^2, largest first; their sum; and the area of the unit synthesized whole."""

    parts: dict[str, float]
    total_um2: float
    whole_um2: float


def _parts(module: dict[str, Any]) -> dict[str, str]:
    """Part of each word-level cell of a flat module in Yosys's JSON."""
    names: dict[Any, str] = {}
    for name, net in module["netnames"].items():
        if not net["hide_name"]:
            for bit in net["bits"]:
                # The innermost name is the most telling: flattening joins names along the hierarchy.
                names.setdefault(bit, name.split(".")[-1])
    part_of: dict[str, str] = {}
    users: dict[Any, list[str]] = {}
    for cell, record in module["cells"].items():
        for port, bits in record["connections"].items():
            if record["port_directions"].get(port) == "input":
                for bit in bits:
                    users.setdefault(bit, []).append(cell)
    for cell, record in module["cells"].items():
        by_type = [part for part, types in _BY_TYPE.items() if record["type"] in types]
        driven = [
            bit
            for port, bits in record["connections"].items()
            if record["port_directions"].get(port) == "output"
            for bit in bits
        ]
        by_name = [
            part for part, starts in _BY_NAME if any(names.get(bit, "").startswith(starts) for bit in driven)
        ]
        if by_type or by_name:
            part_of[cell] = (by_type + by_name)[0]
    # What has no telling name belongs to the part that uses it, if there is just one.
    for _ in module["cells"]:
        changed = False
        for cell, record in module["cells"].items():
            if cell in part_of:
                continue
            readers = {
                user
                for port, bits in record["connections"].items()
                if record["port_directions"].get(port) == "output"
                for bit in bits
                for user in users.get(bit, ())
            }
            parts = {part_of.get(user, OTHER) for user in readers}
            if len(parts) == 1 and OTHER not in parts:
                part_of[cell] = parts.pop()
                changed = True
        if not changed:
            break
    return {cell: part_of.get(cell, OTHER) for cell in module["cells"]}


def breakdown(unit: Unit, library: Library, clock_ns: float | None = None) -> Breakdown:
    """Area of a unit by part (two runs of Yosys, not cached; under a second for a processing element)."""
    clock = default_clock_ns(library) if clock_ns is None else clock_ns
    whole = synthesize_unit(unit, library, clock).netlist.area
    with temporary_folder("parts") as folder:
        name = str(folder)
        flow.write_inputs(folder, to_rtlil(unit.build(), flow.TOP), library, clock)
        start = flow.front(name, "")
        words = start[: start.index("alumacc")]
        run_yosys([*words, "memory_collect", f"write_json {name}/words.json", f"write_rtlil {name}/words.il"])
        module = flow.read_json(folder / "words.json")["modules"][flow.TOP]
        parts = _parts(module)
        labels = {part: f"part_{i}" for i, part in enumerate(sorted(set(parts.values())))}
        lines = []
        for line in (folder / "words.il").read_text(encoding="utf-8").splitlines():
            if line.startswith("  cell "):
                cell = line.split(" ", 4)[4].removeprefix("\\")
                lines.append(f'  attribute \\submod "{labels[parts[cell]]}"')
            lines.append(line)
        (folder / "parts.il").write_text("\n".join(lines) + "\n", encoding="utf-8")
        cut = [
            f"libcache -scl -dir {name}",
            f"read_rtlil {name}/parts.il",
            "submod",
            f"hierarchy -check -top {flow.TOP}",
            *start[start.index("alumacc") :],
        ]
        run_yosys(
            [
                *flow.to_gates(name, cut, "ripple", library),
                f"abc -liberty {name}/cells.lib -script {name}/area.abc",
                "opt_clean -purge",
                f"tee -q -o {name}/stat.json stat -json -liberty {name}/cells.lib",
            ]
        )
        stat = flow.read_json(folder / "stat.json")
    areas = {}
    for part, label in labels.items():
        record = stat["modules"].get(f"\\{flow.TOP}_{label}", {})
        areas[part] = float(record.get("area", 0.0))
    areas = {part: area for part, area in sorted(areas.items(), key=lambda item: -item[1]) if area > 0}
    return Breakdown(areas, sum(areas.values()), whole)
