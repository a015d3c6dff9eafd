"""Area, energy, leakage and delay of a hardware unit by number format: from the table, else measured now.

The table is a carried one (:mod:`hw.carried`). Reading it needs neither Yosys nor numba; an entry that it lacks is
synthesized and simulated (a few seconds, cached).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from asq_sw.errors import InputError
from asq_sw.formats import WeightFormat
from hw import carried
from hw.nodes import DEFAULT_NODE
from hw.units.spec import UnitSpec


@dataclass(frozen=True)
class UnitCost:
    """The cost of one unit.

    Attributes
    ----------
    area_um2 : float
        Cell area.
    energy_per_mac_fj : float
        Dynamic energy and leakage of one multiply-accumulate at ``clock_ns``.
    leakage_nw : float
    delay_ns : float
        Minimum clock period (longest path of a unit without registers).
    cells : int
    clock_ns : float
        The clock period it was synthesized for.
    node : str
    source : str
        Where the figures come from, in words.
    """

    area_um2: float
    energy_per_mac_fj: float
    leakage_nw: float
    delay_ns: float
    cells: int
    clock_ns: float
    node: str
    source: str

    @property
    def reached_mhz(self) -> float:
        """The fastest clock that the netlist reaches, MHz."""
        return 1e3 / self.delay_ns

    def meets(self, clock_mhz: float) -> bool:
        """Whether the netlist reaches a clock, MHz."""
        return clock_mhz <= self.reached_mhz


def key(spec: UnitSpec, node: str) -> str:
    """The carried table's name of a unit at a node."""
    return f"{node} {spec.name}"


def unit_cost(
    weight: WeightFormat,
    abits: int,
    node: str = DEFAULT_NODE,
    unit: str = "pe",
    variant: str | None = None,
) -> UnitCost:
    """The cost of a unit for unsigned activations.

    Parameters
    ----------
    weight : WeightFormat
    abits : int
        Activation bits, 2 to 8.
    node : str
        One of :data:`hw.nodes.NODES`.
    unit : str
        ``pe`` (weight-stationary, with its registers) or ``multiplier``.
    variant : str, optional
        By default the grid's first.

    Raises
    ------
    InputError
        For a unit or node that does not exist.
    ToolError
        If it must be measured and Yosys fails.
    """
    return spec_cost(UnitSpec(unit, weight, abits, variant=variant or ""), node)


def spec_cost(spec: UnitSpec, node: str = DEFAULT_NODE) -> UnitCost:
    """The cost of any unit; as :func:`unit_cost`."""
    record = carried.unit_costs()["units"].get(key(spec, node))
    if record is not None:
        source = f"measured: synthesized netlist, {node}, hw/data/unit_costs.json"
    else:
        from hw.synth.measure import measure

        record = measure(spec, node).to_json()
        source = f"measured now: synthesized netlist, {node}"
    return UnitCost(
        area_um2=record["area_um2"],
        energy_per_mac_fj=record["energy_per_mac_fj"],
        leakage_nw=record["leakage_nw"],
        delay_ns=record["delay_ns"],
        cells=record["cells"],
        clock_ns=record["clock_ns"],
        node=node,
        source=source,
    )


TILE_SIDE = 16


def tile_cost(weight: WeightFormat, abits: int, node: str = DEFAULT_NODE) -> UnitCost:
    """The cost of one MAC in a broadcast tile with weight registers, weights held: the best that is carried.

    Of the 16 x 16 tiles of this format in ``hw/data/tiles.json`` the one with the least energy that meets the clock, as a
    part of 1 / 256: area, energy, leakage and cells per MAC.

    Raises
    ------
    InputError
        If no tile of the format is carried.
    """
    fraction = weight.frac_bits if weight.takes_frac_bits else None
    rows = [
        row for row in carried.tiles().values()
        if row["registers"] and (row["rows"], row["cols"]) == (TILE_SIDE, TILE_SIDE)
    ]  # fmt: skip
    wanted = (node, weight.grid, weight.bits, abits, fraction)
    names = ("node", "grid", "wbits", "abits", "frac_bits")
    of_format = [row for row in rows if tuple(row[name] for name in names) == wanted]
    if not of_format:
        formats = sorted(
            {
                f"{r['grid']} {r['wbits']}x{r['abits']}"
                + ("" if r["frac_bits"] is None else f" F={r['frac_bits']}")
                for r in rows
                if r["node"] == node
            }
        )
        raise InputError(
            f"no tile of {weight.grid} {weight.bits}x{abits}" + ("" if fraction is None else f" F={fraction}")
            + f" is carried for {node}, expected one of {', '.join(formats) or 'another node'}"
        )  # fmt: skip
    best = min(of_format, key=lambda row: (row["slack_ns"] < 0, row["energy_held_per_mac_fj"]))
    macs = TILE_SIDE**2
    return UnitCost(
        area_um2=best["area_per_mac_um2"],
        energy_per_mac_fj=best["energy_held_per_mac_fj"],
        leakage_nw=best["leakage_per_mac_nw"],
        delay_ns=best["delay_ns"],
        cells=round(best["cells"] / macs),
        clock_ns=best["clock_ns"],
        node=node,
        source=f"measured: netlist of a {TILE_SIDE}x{TILE_SIDE} tile, {best['variant']}, weights held, {node}, "
        "hw/data/tiles.json",
    )


ZERO_SHARES = (0.0, 0.25, 0.5, 0.75, 0.9, 1.0)


@lru_cache(maxsize=256)
def energy_by_zeros(weight: WeightFormat, abits: int, node: str = DEFAULT_NODE) -> tuple[float, ...]:
    """Energy of a MAC, fJ, where so many of the activations (:data:`ZERO_SHARES`) are zero at random.

    Measured now on the weight-stationary element's netlist (about a second, its netlist is kept): what zeros save
    without a gate, because what does not change does not switch.
    """
    from hw.synth.measure import measure
    from hw.units.operands import with_zeros

    spec = UnitSpec("pe", weight, abits)  # one MAC a cycle
    return tuple(
        measure(spec, node, operands=with_zeros(weight, spec.activation, share)).energy_per_cycle_fj
        for share in ZERO_SHARES
    )
