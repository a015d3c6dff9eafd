"""Energy per clock cycle of a mapped netlist from its toggles and the library's figures.

* switching: 1/2 C V^2 per transition of a net, C = the driven input pins and the wire;
* internal: the library's energy per transition of an output, by the input that caused it (weighed by how
  often each input switches) and per transition of an input pin, at the slews of static timing and the
  actual load;
* clock: every flip-flop's clock pin (two transitions of pin and wire) and what it spends inside at both
  edges; a clock tree's buffers are not part of a unit and not counted;
* leakage: by the states that were seen (by the library's default where it has no states), times the period.

Data pins are charged as if they moved while the clock is high; :mod:`hw.studies.power_check` holds all of this
against OpenSTA and against the groups of the original libraries (docs/power.md).

Inputs count as nets of the unit: their drivers sit in the neighbour, whose outputs carry no load here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hw.synth.activity.toggles import Activity
from hw.synth.libraries.library import LibertyTable
from hw.synth.netlists.netlist import ZERO, Instance, Netlist
from hw.synth.netlists.wires import net_load
from hw.synth.timing import Timing, typical_slew


@dataclass(frozen=True)
class Power:
    """Energy per cycle in fJ by cause, leakage in nW and mean activity.

    ``activity`` is the mean number of transitions per net and cycle, the clock left out.
    """

    switching_fj: float
    internal_fj: float
    clock_fj: float
    leakage_fj: float
    leakage_nw: float
    activity: float

    @property
    def total_fj(self) -> float:
        """Energy per cycle, fJ."""
        return self.switching_fj + self.internal_fj + self.clock_fj + self.leakage_fj


def leakage_nw(netlist: Netlist, samples: NDArray[np.uint8] | None = None) -> float:
    """Leakage power, nW: by the states in ``samples`` (s, nets), else the library's default figures."""
    total = 0.0
    for instance in netlist.instances:
        total += _leakage(instance, samples)
    return total


def _leakage(instance: Instance, samples: NDArray[np.uint8] | None) -> float:
    states = instance.cell.leakage_states
    if samples is None or not len(samples) or not states:
        return instance.cell.leakage
    index = np.zeros(len(samples), dtype=np.int64)
    for i, pin in enumerate(instance.cell.inputs):
        index |= samples[:, instance.pins.get(pin, ZERO)].astype(np.int64) << i
    return float(np.bincount(index, minlength=len(states)) @ np.array(states)) / len(samples)


def estimate(
    netlist: Netlist, timing: Timing, activity: Activity, period_ns: float, wires: str = "fanout"
) -> Power:
    """Energy per cycle of ``netlist`` at the toggles of ``activity`` and a clock period of ``period_ns``."""
    library = netlist.library
    load = net_load(netlist, wires).mean(axis=1)
    half_square = 0.5 * library.voltage**2
    slew = timing.slew.mean(axis=1)
    clock_slew = typical_slew(library)
    toggles = activity.toggles.copy()
    clock_nets = set(netlist.ports[netlist.clock].nets) if netlist.clock else set()
    toggles[list(clock_nets)] = 0.0
    switching = float((half_square * load * toggles).sum())

    internal = clock = 0.0
    for instance in netlist.combinational:
        internal += _inputs(instance, toggles, slew)
        internal += _outputs(instance, toggles, slew, load)
    for instance, changes in zip(netlist.flipflops, activity.changes, strict=True):
        ff = instance.cell.flipflop
        assert ff is not None
        internal += _inputs(instance, toggles, slew)
        for pin, output in instance.cell.outputs.items():
            # An output that drives nothing still switches inside the cell.
            net = instance.pins.get(pin)
            if (table := output.energy.get(ff.clock)) is not None:
                internal += float(changes) * table.at(clock_slew, 0.0 if net is None else load[net])
        same = _edges(ff.energy, "same", clock_slew)
        clock += same + float(changes) * (_edges(ff.energy, "new", clock_slew) - same)
    for net in clock_nets:
        clock += 2 * half_square * float(load[net])
    leakage = leakage_nw(netlist, activity.samples)
    signals = np.ones(netlist.nets, dtype=bool)
    signals[[0, 1, *clock_nets]] = False
    return Power(
        switching_fj=switching,
        internal_fj=internal,
        clock_fj=clock,
        leakage_fj=leakage * period_ns * 1e-3,  # nW * ns = 1e-18 J
        leakage_nw=leakage,
        activity=float(toggles[signals].mean()) if signals.any() else 0.0,
    )


def _edges(energy: dict[str, LibertyTable], kind: str, slew: float) -> float:
    return sum(
        energy[f"{edge}_{kind}"].at(slew) for edge in ("capture", "return") if f"{edge}_{kind}" in energy
    )


def _inputs(instance: Instance, toggles: NDArray[np.float64], slew: NDArray[np.float64]) -> float:
    total = 0.0
    for pin, data in instance.cell.inputs.items():
        net = instance.pins.get(pin, ZERO)
        if data.energy is not None and toggles[net] > 0:
            total += float(toggles[net]) * data.energy.at(float(slew[net]))
    return total


def _outputs(
    instance: Instance,
    toggles: NDArray[np.float64],
    slew: NDArray[np.float64],
    load: NDArray[np.float64],
) -> float:
    total = 0.0
    for pin, output in instance.cell.outputs.items():
        net = instance.pins.get(pin)
        if net is None or toggles[net] == 0:
            continue
        causes = [(instance.pins.get(related, ZERO), table) for related, table in output.energy.items()]
        weight = sum(float(toggles[source]) for source, _ in causes)
        if weight > 0:
            total += float(toggles[net]) * (
                sum(
                    float(toggles[source]) * table.at(float(slew[source]), float(load[net]))
                    for source, table in causes
                    if toggles[source] > 0
                )
                / weight
            )
    return total
