"""What a unit costs: synthesis, static timing, gate-level activity and energy, as one record."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from asq_sw.errors import InputError
from asq_sw.provenance import versions
from hw.nodes import DEFAULT_NODE, NODES
from hw.rtl.verilog import to_rtlil
from hw.synth.activity.glitches import delayed
from hw.synth.activity.program import compile_netlist
from hw.synth.activity.toggles import LANES_PER_WORD, simulate
from hw.synth.libraries import library as libraries
from hw.synth.libraries.library import Library
from hw.synth.mapping.flow import TOP, Mapped, synthesize
from hw.synth.power import Power, estimate, leakage_nw
from hw.synth.timing import typical_slew
from hw.units.operands import Operands
from hw.units.unit import LANES, Stimulus, Unit

LARGE = 4000
"""Cells from which on a unit is simulated in fewer lanes: it averages over its own parts."""
DEFAULT_CLOCK_SLEWS = 190
"""Clock period of any other library, in its typical slews: about what nangate45's is."""


def default_clock_ns(library: Library) -> float:
    """The clock period to meet where none is given."""
    if library.node in NODES:
        return NODES[library.node].clock_ns
    return float(f"{DEFAULT_CLOCK_SLEWS * typical_slew(library):.2g}")


@dataclass(frozen=True)
class Measurement:
    """The figures of one unit, as ``asq synth`` reports them (units in the names).

    ``unit`` is the unit's own record (:meth:`hw.units.unit.Unit.record`). ``delay_ns`` is the minimum clock period of a
    unit with registers, the longest path of one without. ``rtlil_hash`` names the design that was synthesized: the
    first 16 digits of its RTLIL's SHA-256. Energies hold at ``clock_ns``. ``energy_fj`` is by cause, per MAC (of a unit
    that makes none, per cycle), and adds up to ``energy_per_mac_fj``; ``glitch_fj`` of it is due to glitches.
    Figures per MAC are None for a unit that makes none. ``leakage_nw`` is that of the states seen in the simulation.
    """

    unit: dict[str, Any]
    node: str
    clock_ns: float
    wires: str
    cells: int
    area_um2: float
    area_sequential_um2: float
    area_per_mac_um2: float | None
    delay_ns: float
    slack_ns: float
    leakage_nw: float
    energy_per_mac_fj: float | None
    energy_per_cycle_fj: float
    energy_fj: dict[str, float]
    glitches: str
    glitch_fj: float
    activity: float
    operands: str
    recipe: str
    rtlil_hash: str
    cells_by_type: dict[str, int]
    critical_path: tuple[str, ...]
    curve: tuple[tuple[float, float], ...]
    library: dict[str, Any]
    tool_versions: dict[str, str]

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready dict; the unit's record stands beside the figures."""
        figures = asdict(self)
        unit: dict[str, Any] = figures.pop("unit")
        return unit | figures


def synthesize_unit(
    unit: Unit,
    library: Library,
    clock_ns: float | None = None,
    wires: str = "fanout",
    only: tuple[str, ...] = (),
) -> Mapped:
    """The mapped netlist of a unit (cached).

    What a unit is mostly copies of (:meth:`hw.units.unit.Unit.part`) is synthesized by itself. The unit takes copies
    of it, mapped by the recipe that was best for the part, then by those that met the clock there, smallest first, until
    the whole unit meets it or the part's tries are used up; if none does, the fastest unit is kept.

    Parameters
    ----------
    unit : Unit
    library : Library
    clock_ns : float, optional
        Clock period to meet; by default :func:`default_clock_ns`.
    wires : str
        Wire model (:mod:`hw.synth.netlists.wires`).
    only : tuple of str
        Recipes to choose from; by default all (:func:`hw.synth.mapping.flow.recipes`).

    Returns
    -------
    Where several recipes were tried on a unit with a part, ``tried`` is what the part took by itself.

    Raises
    ------
    InputError
        For a clock period that is not positive.
    ToolError
        If Yosys fails.
    """
    clock = default_clock_ns(library) if clock_ns is None else clock_ns
    if not clock > 0:
        raise InputError(f"clock period is {clock!r} ns, expected a positive number")
    part = unit.part()
    design = to_rtlil(unit.build(), TOP)
    if part is None:
        return synthesize(design, library, clock, wires, only)
    alone = synthesize(to_rtlil(part.component, TOP), library, clock, wires, only)
    fitting = sorted(alone.tried, key=lambda recipe: (alone.tried[recipe][1] > clock, *alone.tried[recipe]))
    best: Mapped | None = None
    more = fitting[: part.tries] if part.tries > 1 else []
    for recipe in dict.fromkeys([alone.recipe, *more]):
        whole = synthesize(design, library, clock, wires, (recipe,), part.module_name)
        if best is None or whole.timing.delay_ns < best.timing.delay_ns:
            best = whole
        if best.timing.delay_ns <= clock:
            break
    assert best is not None
    return best if part.tries == 1 else replace(best, tried=alone.tried)


def rtlil_hash(unit: Unit) -> str:
    """A name for the design that a unit is now: it changes with the RTL."""
    return sha256(to_rtlil(unit.build(), TOP).encode()).hexdigest()[:16]


def lanes_for(mapped: Mapped) -> int:
    """How many copies of a unit to simulate."""
    return LANES if len(mapped.netlist.instances) <= LARGE else LANES_PER_WORD


def power(
    mapped: Mapped, given: Stimulus, clock_ns: float, wires: str = "fanout", glitches: str = "library"
) -> Power:
    """Energy per cycle of a mapped unit under given inputs; ``glitches`` as in :func:`measure`."""
    netlist = mapped.netlist
    if glitches == "none":
        activity = simulate(compile_netlist(netlist), given.inputs, given.counting)
    else:
        program = compile_netlist(netlist, apart=True)
        kernel = delayed(program, mapped.timing, glitches, wires)
        activity = simulate(program, given.inputs, given.counting, kernel=kernel)
    return estimate(netlist, mapped.timing, activity, clock_ns, wires)


def measure(
    unit: Unit,
    library: Library | str = DEFAULT_NODE,
    clock_ns: float | None = None,
    operands: Operands | None = None,
    wires: str = "fanout",
    glitches: str = "library",
    seed: int = 0,
) -> Measurement:
    """Synthesize a unit and measure it.

    Parameters
    ----------
    unit : Unit
    library : Library or str
        A library, or the name of a node that the product carries.
    clock_ns : float, optional
        Clock period to meet; by default :func:`default_clock_ns`.
    operands : Operands, optional
        What it works on; by default the unit's own choice.
    wires : str
        Wire model (:mod:`hw.synth.netlists.wires`).
    glitches : str
        ``library`` counts glitches with the cells' delays, ``unit`` with equal delays, ``none`` not
        (:mod:`hw.synth.activity.glitches`).
    seed : int
        Of the unit's stimulus.

    Raises
    ------
    InputError
        For an unknown node, a unit that cannot be built, or operands for a unit that takes none.
    ToolError
        If Yosys fails.
    """
    cells = libraries.load(library) if isinstance(library, str) else library
    clock = default_clock_ns(cells) if clock_ns is None else float(clock_ns)
    mapped = synthesize_unit(unit, cells, clock, wires)
    given = unit.stimulus(lanes_for(mapped), seed, operands)
    used = power(mapped, given, clock, wires, glitches)
    still = used if glitches == "none" else power(mapped, given, clock, wires, "none")
    netlist, macs = mapped.netlist, unit.macs
    parts = {
        "switching": used.switching_fj,
        "internal": used.internal_fj,
        "clock": used.clock_fj,
        "leakage": used.leakage_fj,
    }
    share = macs or 1
    return Measurement(
        unit=unit.record(),
        node=cells.node,
        clock_ns=clock,
        wires=wires,
        cells=len(netlist.instances),
        area_um2=significant(netlist.area),
        area_sequential_um2=significant(netlist.area_sequential),
        area_per_mac_um2=significant(netlist.area / macs) if macs else None,
        delay_ns=significant(mapped.timing.delay_ns),
        slack_ns=significant(clock - mapped.timing.delay_ns),
        leakage_nw=significant(used.leakage_nw),
        energy_per_mac_fj=significant(used.total_fj / macs) if macs else None,
        energy_per_cycle_fj=significant(used.total_fj),
        energy_fj={cause: significant(value / share) for cause, value in parts.items()},
        glitches=glitches,
        glitch_fj=significant((used.total_fj - still.total_fj) / share),
        activity=significant(used.activity),
        operands=given.source,
        recipe=mapped.recipe,
        rtlil_hash=rtlil_hash(unit),
        cells_by_type=netlist.by_type,
        critical_path=mapped.timing.path,
        curve=pareto(mapped.tried),
        library={
            "libraries": list(cells.names),
            "sources": cells.sources,
            "voltage": cells.voltage,
            "temperature": cells.temperature,
            "process": cells.process,
            "default_leakage_nw": significant(leakage_nw(netlist)),
        },
        tool_versions=versions(),
    )


def pareto(tried: dict[str, tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    """Of (area um^2, delay ns) of all recipes those that no other beats in both, fastest first."""
    front: list[tuple[float, float]] = []
    for area, delay in sorted(
        {(round(a, 4), round(d, 5)) for a, d in tried.values()}, key=lambda p: (p[1], p[0])
    ):
        if not front or area < front[-1][0]:
            front.append((area, delay))
    return tuple(front)


def read_liberty(paths: tuple[Path, ...]) -> Library:
    """A library from Liberty files, for ``--liberty``; read once, then cached by the files' hashes."""
    from asq_sw.provenance import file_hash
    from hw.synth.libraries import liberty
    from hw.synth.mapping import cache

    for path in paths:
        if not path.is_file():
            raise InputError(f"{path}: no such file")
    name = cache.key("liberty", str(libraries.FORMAT), *(f"{p.name} {file_hash(p)}" for p in paths))
    kept = cache.get(name)
    if kept is not None:
        return libraries.from_json(kept)
    library = liberty.read(paths)
    cache.put(name, libraries.to_json(library))
    return library


def significant(value: float) -> float:
    """Six significant digits: as many as any of the figures can mean."""
    return float(f"{value:.6g}")
