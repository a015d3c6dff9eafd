"""Static timing of a mapped netlist: arrival times and slews from the cells' delay tables.

Arrivals and slews are propagated per net and edge through all arcs in order, worst case at each net. Loads
are pin capacitances plus wires (:mod:`hw.synth.netlists.wires`). Wire delay itself is not modelled: within a unit
wires are tens of micrometres.

A unit with flip-flops is timed as part of a larger clocked design: its inputs come from flip-flops of the
library's smallest kind (clock-to-Q into the input's load), its outputs go to the next unit's input. So the
minimum period holds for paths from register or input to register. A unit without flip-flops is timed from
input to output, driven by the library's small buffer.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from asq_sw.errors import InputError
from hw.synth.libraries.library import Arc, LibertyTable, Library
from hw.synth.netlists.netlist import ZERO, Instance, Netlist
from hw.synth.netlists.wires import net_load

_SENSES = {"+": 0, "-": 1, "*": 2}
RISE, FALL = 0, 1


@dataclass(frozen=True)
class Timing:
    """What static timing found.

    Attributes
    ----------
    delay_ns : float
        The longest path: with flip-flops the minimum clock period (clock-to-Q, logic and setup time), without
        from input to output.
    path : tuple of str
        Names of the library cells along it, from start to end.
    endpoint : str
        Where it ends.
    slew : (nets, 2) float64
        Transition time per net, rising and falling, ns.
    """

    delay_ns: float
    path: tuple[str, ...]
    endpoint: str
    slew: NDArray[np.float64]


def typical_slew(library: Library) -> float:
    """Transition time of the library's small buffer that drives four of its own kind, ns."""
    cell = library.cells[library.driving_cell]
    (pin,), (out,) = cell.inputs.values(), cell.outputs.values()
    arc, slew = out.arcs[0], 0.0
    for _ in range(8):
        slew = (arc.rise_slew.at(slew, 4 * pin.capacitance) + arc.fall_slew.at(slew, 4 * pin.capacitance)) / 2
    return slew


def typical_delay(library: Library) -> float:
    """Mean delay of the library's small buffer that drives four of its own kind, ns: some two gate delays."""
    cell = library.cells[library.driving_cell]
    (pin,), (out,) = cell.inputs.values(), cell.outputs.values()
    slew, load = typical_slew(library), 4 * pin.capacitance
    return (out.arcs[0].rise.at(slew, load) + out.arcs[0].fall.at(slew, load)) / 2


class _Tables:
    """Tables packed into flat arrays for the kernel."""

    def __init__(self) -> None:
        self.index: dict[int, int] = {}
        self.keep: list[LibertyTable] = []

    def add(self, table: LibertyTable) -> int:
        if id(table) not in self.index:
            self.index[id(table)] = len(self.keep)
            self.keep.append(table)
        return self.index[id(table)]

    def packed(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Per table (start, n, m), and the values: n slews, m loads, n * m figures."""
        where, values = [], []
        start = 0
        for t in self.keep:
            where.append((start, len(t.x), len(t.y)))
            values += [t.x, t.y, t.z.ravel()]
            start += len(t.x) + len(t.y) + t.z.size
        return np.array(where, dtype=np.int64).reshape(-1, 3), np.concatenate(values or [np.zeros(0)])


@njit(cache=True, nogil=True)
def _figure(where: NDArray[np.int64], values: NDArray[np.float64], table: int, x: float, y: float) -> float:
    """Bilinear look-up, extrapolating beyond the ends; about 20 ns."""
    start, n, m = where[table, 0], where[table, 1], where[table, 2]
    ys, zs = start + n, start + n + m
    i, j, u, v = 0, 0, 0.0, 0.0
    if n > 1:
        while i < n - 2 and x >= values[start + i + 1]:
            i += 1
        u = (x - values[start + i]) / (values[start + i + 1] - values[start + i])
    if m > 1:
        while j < m - 2 and y >= values[ys + j + 1]:
            j += 1
        v = (y - values[ys + j]) / (values[ys + j + 1] - values[ys + j])
    down, right = (m if n > 1 else 0), (1 if m > 1 else 0)
    at = zs + i * m + j
    low = values[at] * (1 - v) + values[at + right] * v
    high = values[at + down] * (1 - v) + values[at + down + right] * v
    return low * (1 - u) + high * u


@njit(cache=True, nogil=True)
def _propagate(
    where: NDArray[np.int64],
    values: NDArray[np.float64],
    arcs: NDArray[np.int64],
    load: NDArray[np.float64],
    arrival: NDArray[np.float64],
    slew: NDArray[np.float64],
    before: NDArray[np.int64],
) -> None:
    """Arrivals along ``arcs`` rows (from net, to net, sense, 4 tables); about 0.2 us per arc.

    ``before[net, edge]`` becomes ``2 * arc + edge at the arc's input`` of the worst arrival.
    """
    for k in range(arcs.shape[0]):
        source, target, sense = arcs[k, 0], arcs[k, 1], arcs[k, 2]
        for edge in range(2):
            for source_edge in range(2):
                if sense != 2 and (source_edge != edge) != (sense == 1):
                    continue
                if arrival[source, source_edge] == -np.inf:
                    continue
                s = slew[source, source_edge]
                t = arrival[source, source_edge] + _figure(
                    where, values, arcs[k, 3 + edge], s, load[target, edge]
                )
                if t > arrival[target, edge]:
                    arrival[target, edge] = t
                    before[target, edge] = 2 * k + source_edge
                out = _figure(where, values, arcs[k, 5 + edge], s, load[target, edge])
                if out > slew[target, edge]:
                    slew[target, edge] = out


def analyze(netlist: Netlist, wires: str = "fanout") -> Timing:
    """Static timing of ``netlist``; cost about 1 us per arc."""
    library = netlist.library
    load = net_load(netlist, wires)
    clock_slew = typical_slew(library)
    # Two more nets: the clock, and what drives the unit's inputs.
    clock, launch = netlist.nets, netlist.nets + 1
    load = np.concatenate([load, np.zeros((2, 2))])
    tables = _Tables()
    rows: list[tuple[int, ...]] = []
    owners: list[Instance | None] = []

    def add(instance: Instance | None, source: int, target: int, sense: str, arc: Arc) -> None:
        four = (arc.rise, arc.fall, arc.rise_slew, arc.fall_slew)
        rows.append((source, target, _SENSES[sense], *(tables.add(t) for t in four)))
        owners.append(instance)

    flipflops = netlist.flipflops
    if flipflops:
        smallest = min(
            (c for c in library.cells.values() if c.flipflop is not None), key=lambda c: (c.area, c.name)
        )
        output = next(iter(smallest.outputs.values()))
        assert smallest.flipflop is not None
        driver, source = [a for a in output.arcs if a.related == smallest.flipflop.clock], clock
    else:
        output = next(iter(library.cells[library.driving_cell].outputs.values()))
        driver, source = list(output.arcs), launch
    for port in netlist.inputs().values():
        for net in port.nets:
            for arc in driver:
                add(None, source, net, "*", arc)
    for instance in [*flipflops, *netlist.combinational]:
        ff = instance.cell.flipflop
        for pin, out in instance.cell.outputs.items():
            if pin not in instance.pins:
                continue
            for arc in out.arcs:
                if ff is not None and arc.related != ff.clock:
                    continue
                at = clock if ff is not None else instance.pins.get(arc.related, ZERO)
                add(instance, at, instance.pins[pin], "*" if ff is not None else arc.sense, arc)

    size = netlist.nets + 2
    arrival = np.full((size, 2), -np.inf)
    slew = np.zeros((size, 2))
    before = np.full((size, 2), -1, dtype=np.int64)
    arrival[[clock, launch]] = 0.0
    slew[[clock, launch]] = clock_slew
    where, values = tables.packed()
    _propagate(where, values, np.array(rows, dtype=np.int64).reshape(-1, 7), load, arrival, slew, before)
    if not flipflops:  # the driver shapes the input's edge but is not part of the unit
        arrival, before = _without_driver(netlist, rows, where, values, load, slew, size)

    worst, at_end, end_edge, name = -np.inf, -1, RISE, ""
    for instance in flipflops:
        ff = instance.cell.flipflop
        assert ff is not None
        for pin in instance.cell.inputs:
            net = instance.pins.get(pin, ZERO)
            if pin == ff.clock or arrival[net].max() == -np.inf:
                continue
            for edge in (RISE, FALL):
                setup = ff.setup[pin][edge].at(clock_slew, slew[net, edge]) if pin in ff.setup else 0.0
                if arrival[net, edge] + setup > worst:
                    worst, at_end, end_edge = arrival[net, edge] + setup, net, edge
                    name = f"{pin} of {instance.cell.name}"
    for port_name, port in netlist.outputs().items():
        for bit, net in enumerate(port.nets):
            edge = int(arrival[net].argmax())
            if arrival[net, edge] > worst:
                worst, at_end, end_edge, name = arrival[net, edge], net, edge, f"{port_name}[{bit}]"
    if not np.isfinite(worst):
        return Timing(0.0, (), "", slew[: netlist.nets])
    path = []
    net, edge = at_end, end_edge
    while before[net, edge] >= 0:
        k, source_edge = divmod(int(before[net, edge]), 2)
        owner = owners[k]
        if owner is not None:
            path.append(owner.cell.name)
        net, edge = rows[k][0], source_edge
    return Timing(float(worst), tuple(reversed(path)), name, slew[: netlist.nets])


def _without_driver(
    netlist: Netlist,
    rows: list[tuple[int, ...]],
    where: NDArray[np.int64],
    values: NDArray[np.float64],
    load: NDArray[np.float64],
    slew: NDArray[np.float64],
    size: int,
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Arrivals with the inputs at time 0, with the slews that their driver gave them."""
    arrival = np.full((size, 2), -np.inf)
    before = np.full((size, 2), -1, dtype=np.int64)
    inputs = [net for port in netlist.inputs().values() for net in port.nets]
    if not inputs:
        raise InputError("netlist has no input, expected one to time from")
    arrival[inputs] = 0.0
    launch = netlist.nets + 1
    kept = [row for row in rows if row[0] != launch]
    fresh = np.zeros_like(slew)
    fresh[inputs] = slew[inputs]
    _propagate(where, values, np.array(kept, dtype=np.int64).reshape(-1, 7), load, arrival, fresh, before)
    offset = len(rows) - len(kept)
    return arrival, np.where(before >= 0, before + 2 * offset, before)
