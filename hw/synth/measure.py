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
from hw.units.operands import LANES, Operands, Stimulus, gaussian, stimulus
from hw.units.spec import UnitSpec
from hw.units.tile import Column, TileSpec, meant

LARGE = 4000
"""Cells from which on a unit is simulated in fewer lanes: it averages over its own parts."""
TILE_TRIES = 6
"""Recipes that a tile takes its column's netlist from, at most."""
DEFAULT_CLOCK_SLEWS = 190
"""Clock period of any other library, in its typical slews: about what nangate45's is."""


def default_clock_ns(library: Library) -> float:
    """The clock period to meet where none is given."""
    if library.node in NODES:
        return NODES[library.node].clock_ns
    return float(f"{DEFAULT_CLOCK_SLEWS * typical_slew(library):.2g}")


@dataclass(frozen=True)
class UnitCost:
    """The figures of one unit, as ``asq synth`` reports them (units in the names).

    ``delay_ns`` is the minimum clock period of a unit with registers, the longest path of one without.
    ``rtlil_hash`` names the design that was synthesized: the first 16 digits of its RTLIL's SHA-256.
    ``energy_per_mac_fj`` holds at ``clock_ns`` and is the sum of ``energy_fj``'s parts; ``glitch_fj`` of
    it is due to glitches. ``leakage_nw`` is that of the states seen in the simulation. ``tile`` is
    :func:`tile_fields`; a tile has no ``dataflow``.
    """

    unit: str
    grid: str
    wbits: int
    abits: int
    variant: str
    frac_bits: int | None
    rows: int
    cols: int
    dataflow: str | None
    tile: dict[str, Any] | None
    signed_activations: bool
    node: str
    clock_ns: float
    wires: str
    cells: int
    area_um2: float
    area_sequential_um2: float
    area_per_mac_um2: float
    delay_ns: float
    slack_ns: float
    leakage_nw: float
    energy_per_mac_fj: float
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
        """A JSON-ready dict; what a tile alone has stands beside the rest, and a tile has no ``dataflow``."""
        record = asdict(self)
        tile = record.pop("tile")
        if tile is None:
            return record
        del record["dataflow"]
        return record | tile


def tile_fields(spec: UnitSpec | TileSpec) -> dict[str, Any] | None:
    """What a record says of a tile alone: its :attr:`TileSpec.choices`, ``terms`` and ``sum_bits``."""
    if not isinstance(spec, TileSpec):
        return None
    return spec.choices | {"terms": spec.terms, "sum_bits": spec.sum_bits}


def synthesize_unit(
    spec: UnitSpec | TileSpec, library: Library, clock_ns: float | None = None, wires: str = "fanout"
) -> Mapped:
    """The mapped netlist of a unit (cached).

    An array's processing element is synthesized by itself; the array then takes copies of it, mapped by
    the recipe that was best for the element.
    """
    clock = default_clock_ns(library) if clock_ns is None else clock_ns
    if not clock > 0:
        raise InputError(f"clock period is {clock!r} ns, expected a positive number")
    spec = meant(spec)
    if isinstance(spec, TileSpec):
        return synthesize_tile(spec, library, clock, wires)
    design = to_rtlil(spec.build(), TOP)
    if spec.unit != "array":
        return synthesize(design, library, clock, wires)
    element = replace(spec, unit="pe", rows=1, cols=1, skew=False)
    recipe = synthesize_unit(element, library, clock, wires).recipe
    return synthesize(design, library, clock, wires, (recipe,), element.name)


def synthesize_tile(
    tile: TileSpec, library: Library, clock_ns: float, wires: str = "fanout", only: tuple[str, ...] = ()
) -> Mapped:
    """The mapped netlist of a broadcast tile (cached).

    One column is synthesized by itself. The tile takes copies of it, mapped by the recipes that met the
    clock there, smallest first, until the whole tile meets it with its edge and broadcast lines; if none
    does, the fastest tile is kept.
    """
    column = Column(tile)
    alone = synthesize(to_rtlil(column, TOP), library, clock_ns, wires, only)
    design = to_rtlil(tile.build(), TOP)
    fitting = sorted(
        alone.tried, key=lambda recipe: (alone.tried[recipe][1] > clock_ns, *alone.tried[recipe])
    )
    best: Mapped | None = None
    for recipe in dict.fromkeys([alone.recipe, *fitting[:TILE_TRIES]]):
        found = synthesize(design, library, clock_ns, wires, (recipe,), column.module_name)
        if best is None or found.timing.delay_ns < best.timing.delay_ns:
            best = found
        if best.timing.delay_ns <= clock_ns:
            break
    assert best is not None
    return Mapped(best.netlist, best.timing, best.recipe, alone.tried)


def rtlil_hash(spec: UnitSpec | TileSpec) -> str:
    """A name for the design that a unit is now: it changes with the RTL."""
    return sha256(to_rtlil(spec.build(), TOP).encode()).hexdigest()[:16]


def power(
    spec: UnitSpec | TileSpec,
    mapped: Mapped,
    operands: Operands,
    clock_ns: float,
    wires: str = "fanout",
    glitches: str = "library",
    seed: int = 0,
) -> Power:
    """Energy per cycle of a mapped unit that works on ``operands``; ``glitches`` as in :func:`measure`."""
    return streamed(mapped, stimulus(spec, operands, lanes_for(mapped), seed), clock_ns, wires, glitches)


def lanes_for(mapped: Mapped) -> int:
    """How many copies of a unit to simulate."""
    return LANES if len(mapped.netlist.instances) <= LARGE else LANES_PER_WORD


def streamed(
    mapped: Mapped, given: Stimulus, clock_ns: float, wires: str = "fanout", glitches: str = "library"
) -> Power:
    """Energy per cycle of a netlist under given inputs; ``glitches`` as in :func:`measure`."""
    netlist = mapped.netlist
    if glitches == "none":
        activity = simulate(compile_netlist(netlist), given.inputs, given.counting)
    else:
        program = compile_netlist(netlist, apart=True)
        kernel = delayed(program, mapped.timing, glitches, wires)
        activity = simulate(program, given.inputs, given.counting, kernel=kernel)
    return estimate(netlist, mapped.timing, activity, clock_ns, wires)


def measure(
    spec: UnitSpec | TileSpec,
    library: Library | str = DEFAULT_NODE,
    clock_ns: float | None = None,
    operands: Operands | None = None,
    wires: str = "fanout",
    glitches: str = "library",
    seed: int = 0,
) -> UnitCost:
    """Synthesize a unit and measure it.

    Parameters
    ----------
    spec : UnitSpec or TileSpec
    library : Library or str
        A library, or the name of a node that the product carries.
    clock_ns : float, optional
        Clock period to meet; by default :func:`default_clock_ns`.
    operands : Operands, optional
        What it multiplies; by default :func:`hw.units.operands.gaussian`.
    wires : str
        Wire model (:mod:`hw.synth.netlists.wires`).
    glitches : str
        ``library`` counts glitches with the cells' delays, ``unit`` with equal delays, ``none`` not
        (:mod:`hw.synth.activity.glitches`).
    seed : int
        Of the default operands, and of the places in the matrices that are looked at.

    Raises
    ------
    InputError
        For an unknown node or a unit that cannot be built.
    RuntimeError
        If Yosys fails.
    """
    spec = meant(spec)
    cells = libraries.load(library) if isinstance(library, str) else library
    clock = default_clock_ns(cells) if clock_ns is None else float(clock_ns)
    mapped = synthesize_unit(spec, cells, clock, wires)
    if operands is None:
        operands = gaussian(spec.weight, spec.activation, seed)
    used = power(spec, mapped, operands, clock, wires, glitches, seed)
    still = used if glitches == "none" else power(spec, mapped, operands, clock, wires, "none", seed)
    netlist, macs = mapped.netlist, spec.macs
    parts = {
        "switching": used.switching_fj,
        "internal": used.internal_fj,
        "clock": used.clock_fj,
        "leakage": used.leakage_fj,
    }
    energy = {name: _figure(value / macs) for name, value in parts.items()}
    return UnitCost(
        unit=spec.unit,
        grid=spec.weight.grid,
        wbits=spec.weight.bits,
        abits=spec.abits,
        variant=spec.variant,
        frac_bits=spec.weight.frac_bits if spec.weight.grid.startswith("post") else None,
        rows=spec.rows,
        cols=spec.cols,
        dataflow=None if isinstance(spec, TileSpec) else spec.dataflow,
        tile=tile_fields(spec),
        signed_activations=spec.signed_activations,
        node=cells.node,
        clock_ns=clock,
        wires=wires,
        cells=len(netlist.instances),
        area_um2=_figure(netlist.area),
        area_sequential_um2=_figure(netlist.area_sequential),
        area_per_mac_um2=_figure(netlist.area / macs),
        delay_ns=_figure(mapped.timing.delay_ns),
        slack_ns=_figure(clock - mapped.timing.delay_ns),
        leakage_nw=_figure(used.leakage_nw),
        energy_per_mac_fj=_figure(used.total_fj / macs),
        energy_fj=energy,
        glitches=glitches,
        glitch_fj=_figure((used.total_fj - still.total_fj) / macs),
        activity=_figure(used.activity),
        operands=operands.source,
        recipe=mapped.recipe,
        rtlil_hash=rtlil_hash(spec),
        cells_by_type=netlist.by_type,
        critical_path=mapped.timing.path,
        curve=pareto(mapped.tried),
        library={
            "libraries": list(cells.names),
            "sources": cells.sources,
            "voltage": cells.voltage,
            "temperature": cells.temperature,
            "process": cells.process,
            "default_leakage_nw": _figure(leakage_nw(netlist)),
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
    held = cache.get(name)
    if held is not None:
        return libraries.from_json(held)
    found = liberty.read(paths)
    cache.put(name, libraries.to_json(found))
    return found


def _figure(value: float) -> float:
    """Six significant digits: as many as any of the figures can mean."""
    return float(f"{value:.6g}")
