"""Our energies against OpenSTA's, with every difference given its cause.

    python -m hw.studies.power_check -o docs/power.md

Needs OpenSTA 2.0.17 (Debian's ``opensta``) and the original Liberty files, ``NODE*.lib.gz``, in the folder
that the environment variable ``ASQ_LIBERTY`` names (else ``liberty``). OpenSTA is given the netlist, our loads, slews of the inputs, clock and the activities of the inputs. What it then
reports is first computed a second time here, group by group of the original Liberty, by OpenSTA's own rules
(:data:`RULES` all on; the two agree, so the rules are the ones); then its rules are taken back one by one
until what is left is what Liberty means by these groups. That last figure is what ours has to meet: it
comes from the original tables and the sampled states, ours from the reduced tables of the compact library.
"""

from __future__ import annotations

import gzip
import os
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from asq_sw.console import run
from asq_sw.errors import InputError
from asq_sw.files import replacing, temporary_folder
from asq_sw.formats import WeightFormat
from asq_sw.process import run_tool
from hw.nodes import NODES
from hw.rtl.verilog import to_rtlil
from hw.synth.activity.glitches import delayed
from hw.synth.activity.program import compile_netlist
from hw.synth.activity.toggles import Activity, simulate
from hw.synth.libraries import boolean, liberty
from hw.synth.libraries import library as libraries
from hw.synth.libraries.library import LibertyTable
from hw.synth.mapping.flow import TOP, synthesize
from hw.synth.measure import default_clock_ns
from hw.synth.netlists.netlist import ONE, ZERO, Instance, Netlist, to_verilog
from hw.synth.netlists.wires import net_load, wire_load
from hw.synth.power import Power, estimate, leakage_nw
from hw.synth.timing import Timing, typical_slew
from hw.units.spec import UnitSpec

ORIGINALS = "ASQ_LIBERTY"
"""Environment variable that names the folder of the original Liberty files, which are not carried; else ``liberty``."""
RECIPE = "ripple area"
UNITS: tuple[UnitSpec, ...] = tuple(
    UnitSpec(unit, WeightFormat(grid, bits, frac_bits=0), abits)
    for unit, grid, bits, abits in (
        ("pe", "post", 4, 4),
        ("pe", "int", 4, 4),
        ("pe", "fp4", 4, 4),
        ("pe", "post", 3, 3),
        ("pe", "int", 3, 3),
        ("pe", "pot", 4, 4),
        ("pe", "apot", 4, 4),
        ("pe", "int", 8, 8),
        ("multiplier", "post", 4, 4),
        ("multiplier", "int", 4, 4),
    )
)
"""Ten netlists; the first three are the elements that the question was put about."""

RULES = {
    "ground": "most tables of the ground pin are added to those of the supply, which are the same charge "
    "(measured: OpenSTA once more on a library without them)",
    "propagated": "toggles set on inner nets are overwritten by its own, which take a cell's inputs for "
    "independent and know no glitches",
    "both edges": "every transition is charged the rising and the falling energy, not one of them",
    "every group": "an output's groups are all charged at each transition, by the probability of their "
    "`when` (1/2 without one; 1 from a clock), which add up to more than one: one input causes a transition",
    "independent": "a `when` is weighed as if its pins were independent, also Q and QN, and a data pin as if "
    "it moved in the clock's low half as often as in the high half",
}
"""What OpenSTA 2.0.17 does otherwise than Liberty means it, in the order in which it is taken back."""


@dataclass(frozen=True)
class _Group:
    """An internal_power group of one pin: fJ of a rising and a falling transition."""

    related: tuple[str, ...]
    when: boolean.Expression | None
    rise: LibertyTable
    fall: LibertyTable


Groups = dict[str, dict[str, list[_Group]]]
"""Cell -> pin -> its groups."""


def originals() -> Path:
    """The folder of the original Liberty files."""
    return Path(os.environ.get(ORIGINALS, "liberty"))


@lru_cache(maxsize=3)
def _texts(node: str) -> dict[str, str]:
    folder = originals()
    paths = sorted(folder.glob(NODES[node].liberty))
    if not paths:
        raise InputError(
            f"{folder}: has no Liberty file of {node}, expected {NODES[node].liberty} ({ORIGINALS} names the folder)"
        )
    return {path.name[:-3]: gzip.decompress(path.read_bytes()).decode() for path in paths}


def only_cells(text: str, names: set[str]) -> tuple[str, set[str]]:
    """Liberty text with all cells but ``names`` left out, and no wire load; and those that it has."""
    out, found, at = [], set(), 0
    for match in re.finditer(r'\bcell\s*\(\s*"?([^")\s]+)"?\s*\)\s*\{', text):
        end = _end(text, match.end())
        if match[1] in names:
            found.add(match[1])
            continue
        out.append(text[at : match.start()])
        at = end
    out.append(text[at:])
    return re.sub(r"default_wire_load\s*:[^;]*;", "", "".join(out)), found


def without_ground(text: str) -> str:
    """Liberty text without the internal_power groups of ground pins."""
    grounds = re.findall(r'pg_pin\s*\(\s*"?(\w+)"?\s*\)\s*\{[^}]*?pg_type\s*:\s*"?primary_ground', text)
    out, at = [], 0
    for match in re.finditer(r"\binternal_power\s*\(\s*\)\s*\{", text):
        end = _end(text, match.end())
        rail = re.search(r'related_pg_pin\s*:\s*"?(\w+)', text[match.end() : end])
        if rail and rail[1] in grounds:
            out.append(text[at : match.start()])
            at = end
    return "".join([*out, text[at:]])


def _end(text: str, start: int) -> int:
    """One past the brace that closes the group whose inside begins at ``start``."""
    depth = 1
    for brace in re.compile(r"[{}]").finditer(text, start):
        depth += 1 if brace[0] == "{" else -1
        if depth == 0:
            return brace.end()
    raise InputError("a Liberty group is not closed, is the file truncated?")


def _originals(netlist: Netlist, folder: Path) -> list[Path]:
    """Liberty files with the netlist's cells alone."""
    names = {i.cell.name for i in netlist.instances}
    paths = []
    for name, text in _texts(netlist.library.node).items():
        cut, found = only_cells(text, names)
        if found:
            (folder / name).write_text(cut)
            paths.append(folder / name)
    return paths


def _groups(paths: Iterable[Path]) -> Groups:
    found: Groups = {}
    for path in paths:
        reader = liberty._Reader(path, ())
        for cell in reader.group.get_groups("cell"):
            supplies = {
                liberty._text(pg.args[0])
                for pg in cell.get_groups("pg_pin")
                if liberty._text(pg.get_attribute("pg_type", "")) == "primary_power"
            }
            pins = found.setdefault(liberty._text(cell.args[0]), {})
            for pin in cell.get_groups("pin"):
                held = pins.setdefault(liberty._text(pin.args[0]), [])
                for group, when, rise, fall in reader.powers(pin, supplies):
                    related = group.get_attribute("related_pin")
                    held.append(
                        _Group(
                            tuple(liberty._text(related).split()) if related is not None else (),
                            boolean.parse(when) if when else None,
                            rise,
                            fall,
                        )
                    )
    return found


# -- activities as OpenSTA propagates them -------------------------------------------------------------------


def _propagate(e: boolean.Expression, pins: dict[str, tuple[float, float]]) -> tuple[float, float]:
    """(transitions per cycle, probability of 1) of an expression of independent pins, as OpenSTA has it."""
    if e[0] == "var":
        return pins[e[1]]
    if e[0] == "const":
        return 0.0, float(e[1])
    a, p = _propagate(e[1], pins)
    if e[0] == "not":
        return a, 1 - p
    b, q = _propagate(e[2], pins)
    if e[0] == "and":
        return a * q + b * p, p * q
    if e[0] == "or":
        return a * (1 - q) + b * (1 - p), 1 - (1 - p) * (1 - q)
    one, two = p * (1 - q), q * (1 - p)
    return a * one + b * two, one + two


def propagated(
    netlist: Netlist, activity: Activity, registers: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Toggles and duty per net, shape (nets,), from those of the inputs and of the flip-flops' outputs.

    ``registers`` (nets, 2): what OpenSTA printed for the latter, which its order of visits decides.
    """
    toggles, duty = np.zeros(netlist.nets), np.zeros(netlist.nets)
    duty[ONE] = 1.0
    mean = activity.samples.mean(axis=0)
    for port in netlist.inputs().values():
        for net in port.nets:
            toggles[net], duty[net] = activity.toggles[net], mean[net]
    for instance in netlist.flipflops:
        for pin in instance.cell.outputs:
            if pin in instance.pins:
                net = instance.pins[pin]
                toggles[net], duty[net] = registers[net]
    for instance in netlist.combinational:
        values = {
            pin: (float(toggles[n]), float(duty[n]))
            for pin in instance.cell.inputs
            for n in [instance.pins.get(pin, ZERO)]
        }
        for pin, output in instance.cell.outputs.items():
            if pin in instance.pins:
                net = instance.pins[pin]
                toggles[net], duty[net] = _propagate(boolean.parse(output.function), values)
    return toggles, duty


# -- OpenSTA ---------------------------------------------------------------------------------------------------


def opensta(
    netlist: Netlist,
    timing: Timing,
    activity: Activity,
    period_ns: float,
    folder: Path,
    paths: Sequence[Path],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """What OpenSTA reports per instance and what it propagated.

    Returns
    -------
    energy : (instances, 3) float64
        Internal, switching and leakage energy, fJ per cycle.
    toggles, duty : (nets,) float64
        Its activities; NaN where it gives none (constants, the clock).
    """
    if shutil.which("sta") is None:
        raise InputError("OpenSTA (sta) is not installed, expected it on the path")
    (folder / "unit.v").write_text(to_verilog(netlist))
    create = f"create_clock -name c -period {period_ns}" + (f" {netlist.clock}" if netlist.clock else "")
    lines = [f"read_liberty {path}" for path in paths]
    lines += [f"read_verilog {folder}/unit.v", "link_design top", "set_cmd_units -time ns -capacitance fF"]
    lines += [create]
    if netlist.clock:
        lines.append(f"set_clock_transition {typical_slew(netlist.library)} c")
    wire = wire_load(netlist, "fanout")
    mean = activity.samples.mean(axis=0)
    for name, port in netlist.inputs().items():
        for i, net in enumerate(port.nets):
            pin = f"[get_ports {{{name}[{i}]}}]"
            for edge, slew in zip(("rise", "fall"), timing.slew[net], strict=True):
                lines.append(f"set_input_transition -{edge} {slew:.6g} {pin}")
            lines.append(f"set_input_delay 0 -clock c {pin}")
            lines.append(
                f"sta::set_power_input_port_activity {pin} {activity.toggles[net]:.7g} {mean[net]:.7g}"
            )
    for k, instance in enumerate(netlist.instances):
        for pin in instance.cell.outputs:
            if pin in instance.pins:
                at = f"[get_nets -of_objects [get_pins u{k}/{pin}]]"
                lines.append(f"set_load {wire[instance.pins[pin]]:.6g} {at}")
    lines.append("sta::set_debug power_activity 3")
    lines.append("namespace eval sta {")
    lines.append('foreach i [get_cells *] { puts "CELL [get_name $i] [instance_power $i [cmd_corner]]" } }')
    (folder / "run.tcl").write_text("\n".join([*lines, "exit", ""]))
    done = run_tool(["sta", "-no_splash", "-exit", str(folder / "run.tcl")])
    energy = np.full((len(netlist.instances), 3), np.nan)
    toggles, duty = np.full(netlist.nets, np.nan), np.full(netlist.nets, np.nan)
    for match in re.finditer(r"^CELL u(\d+) (\S+) (\S+) (\S+)", done.stdout, re.MULTILINE):
        energy[int(match[1])] = [float(value) * period_ns * 1e6 for value in match.groups()[1:]]
    for match in re.finditer(r"set u(\d+)/(\S+) (\S+) (\S+)", done.stdout + done.stderr):
        net = netlist.instances[int(match[1])].pins[match[2]]
        toggles[net], duty[net] = float(match[3]), float(match[4])
    if np.isnan(energy).any():
        reason = re.search(r"Error: (.*)", done.stdout + done.stderr)
        raise InputError(f"OpenSTA gave no power for some cells ({reason[1] if reason else 'no message'})")
    return energy, toggles, duty


# -- the same from the original groups -------------------------------------------------------------------------


def _value(e: boolean.Expression, values: Mapping[str, NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """The expression at every sample, shape (samples,)."""
    given: Any = values
    found = np.asarray(boolean.evaluate(e, given), dtype=np.uint8)
    return np.broadcast_to(found, next(iter(values.values())).shape)


class _Account:
    """Internal energy of a netlist from its Liberty groups, by OpenSTA's rules or without them."""

    def __init__(
        self,
        netlist: Netlist,
        timing: Timing,
        activity: Activity,
        groups: Groups,
        rules: frozenset[str],
        registers: NDArray[np.float64],
    ):
        self.netlist, self.activity, self.groups, self.rules = netlist, activity, groups, rules
        self.load = net_load(netlist, "fanout").mean(axis=1)
        self.slew = timing.slew.mean(axis=1)
        self.clock = set(netlist.ports[netlist.clock].nets) if netlist.clock else set()
        self.clock_slew = typical_slew(netlist.library)
        self.toggles, self.duty = activity.toggles.copy(), activity.samples.mean(axis=0)
        self.changes = activity.changes
        if "propagated" in rules:
            self.toggles, self.duty = propagated(netlist, activity, registers)
            self.changes = np.array(
                [
                    max(self.toggles[i.pins[pin]] for pin in i.cell.outputs if pin in i.pins)
                    for i in netlist.flipflops
                ]
            )
        self.toggles[list(self.clock)] = 2.0
        self.duty[list(self.clock)] = 0.5
        self.slew[list(self.clock)] = self.clock_slew
        self.samples = activity.samples

    def internal(self) -> NDArray[np.float64]:
        """fJ per cycle of each instance."""
        changes = iter(self.changes)
        return np.array(
            [
                self._cell(i, next(changes) if i.cell.flipflop is not None else 0.0)
                for i in self.netlist.instances
            ]
        )

    def _energy(self, group: _Group, slew: float, load: float, edge: int | None = None) -> float:
        rise, fall = group.rise.at(slew, load), group.fall.at(slew, load)
        if edge is not None:
            return (rise, fall)[edge]
        return rise + fall if "both edges" in self.rules else (rise + fall) / 2

    def _cell(self, instance: Instance, changes: float) -> float:
        cell = instance.cell
        ff = cell.flipflop
        states = self._states(instance)
        activity: dict[str, tuple[float, float]] = {
            pin: (float(self.toggles[n]), float(self.duty[n]))
            for pin in cell.inputs
            for n in [instance.pins.get(pin, ZERO)]
        }
        for pin, output in cell.outputs.items():
            if pin in instance.pins:
                n = instance.pins[pin]
                activity[pin] = (float(self.toggles[n]), float(self.duty[n]))
            elif ff is not None:
                other = next(instance.pins[p] for p in cell.outputs if p in instance.pins)
                activity[pin] = (changes, 1 - float(self.duty[other]))
            else:
                inner = {p: activity[p] for p in cell.inputs}
                activity[pin] = _propagate(boolean.parse(output.function), inner)
        total = 0.0
        for pin in cell.inputs:
            net = instance.pins.get(pin, ZERO)
            if groups := self.groups[cell.name][pin]:
                total += self._input(instance, pin, groups, float(self.slew[net]), activity, states)
        for pin in cell.outputs:
            if pin not in instance.pins and (ff is None or "propagated" in self.rules):
                continue  # OpenSTA looks at connected pins; ours counts a flip-flop's open output too
            net = instance.pins.get(pin, ZERO)
            load = float(self.load[net]) if pin in instance.pins else 0.0
            toggles = changes if ff is not None else activity[pin][0]
            total += toggles * self._output(instance, pin, load, activity, states)
        return total

    def _states(self, instance: Instance) -> dict[str, NDArray[np.uint8]]:
        """Sampled values of every pin, shape (samples,)."""
        values = {p: self.samples[:, instance.pins.get(p, ZERO)] for p in instance.cell.inputs}
        ff = instance.cell.flipflop
        if ff is None:
            for pin, output in instance.cell.outputs.items():
                values[pin] = _value(boolean.parse(output.function), values)
            return values
        known = {ff.state: self._known(instance)}
        known[ff.inverse] = 1 - known[ff.state]
        for pin, output in instance.cell.outputs.items():
            values[pin] = _value(boolean.parse(output.function), values | known)
        high = ff.rising != ("late" in self.rules)
        values[ff.clock] = np.full(len(self.samples), int(high), dtype=np.uint8)
        return values

    def _held(self, instance: Instance, states: dict[str, NDArray[np.uint8]]) -> dict[str, NDArray[np.uint8]]:
        """The states at the returning edge if data has not moved since the capturing one: Q is D there."""
        ff = instance.cell.flipflop
        assert ff is not None
        known = states | {ff.state: self._known(instance)}
        known[ff.inverse] = 1 - known[ff.state]
        following = _value(boolean.parse(ff.next_state), known)
        known |= {ff.state: following, ff.inverse: 1 - following}
        outputs = {
            pin: _value(boolean.parse(output.function), known)
            for pin, output in instance.cell.outputs.items()
        }
        return states | outputs

    def _known(self, instance: Instance) -> NDArray[np.uint8]:
        """Sampled state of a flip-flop, from an output of it that is connected."""
        ff = instance.cell.flipflop
        assert ff is not None
        pin = next(p for p in instance.cell.outputs if p in instance.pins)
        function = boolean.parse(instance.cell.outputs[pin].function)
        value = self.samples[:, instance.pins[pin]]
        inverted = function in (("var", ff.inverse), ("not", ("var", ff.state)))
        return 1 - value if inverted else value

    def _input(
        self,
        instance: Instance,
        pin: str,
        groups: list[_Group],
        slew: float,
        activity: dict[str, tuple[float, float]],
        states: dict[str, NDArray[np.uint8]],
    ) -> float:
        ff = instance.cell.flipflop
        clock = ff is not None and pin == ff.clock
        toggles = activity[pin][0]
        if "independent" in self.rules:
            total = 0.0
            for group in groups:
                default = (1.0 if clock else 0.5) if "every group" in self.rules else 1.0
                weight = default if group.when is None else _propagate(group.when, activity)[1]
                total += weight * self._energy(group, slew, 0.0)
            return toggles * total
        # At each state the first group that applies, else the one without a condition.
        total, rest = 0.0, np.ones(len(self.samples), dtype=bool)
        edges: tuple[int | None, ...] = (0, 1) if clock else (None,)
        for edge in edges:
            values = states
            if clock and "late" in self.rules and ff is not None and edge == int(ff.rising):
                values = self._held(instance, states)
            rest[:] = True
            for group in sorted(groups, key=lambda g: g.when is None):
                applies = rest.copy()
                if group.when is not None:
                    applies &= _value(group.when, values).astype(bool)
                rest &= ~applies
                if (share := float(applies.mean())) > 0:
                    total += share * self._energy(group, slew, 0.0, edge)
        return total * (1.0 if clock else toggles)

    def _output(
        self,
        instance: Instance,
        pin: str,
        load: float,
        activity: dict[str, tuple[float, float]],
        states: dict[str, NDArray[np.uint8]],
    ) -> float:
        """Per transition of the output."""
        cell = instance.cell
        ff = cell.flipflop
        function = boolean.parse(cell.outputs[pin].function)
        weights, energies = [], []
        for group in self.groups[cell.name][pin]:
            for related in group.related or tuple(cell.inputs):
                net = instance.pins.get(related, ZERO)
                clock = ff is not None and related == ff.clock
                if "every group" in self.rules:
                    implied = None if ff is not None else _implied(function, related)
                    if group.when is not None:
                        weight = _propagate(group.when, activity)[1]
                    elif implied is None or activity[pin][0] == 0:
                        weight = 1.0 if clock else 0.5
                    else:
                        weight = activity[related][0] * _propagate(implied, activity)[1] / activity[pin][0]
                elif ff is not None:
                    weight = float(clock)
                else:
                    weight = activity[related][0] * self._share(group, related, function, activity, states)
                weights.append(weight)
                energies.append(self._energy(group, float(self.slew[net]), load))
        if "every group" in self.rules:
            return float(np.dot(weights, energies))
        if not weights:
            return 0.0
        if sum(weights) == 0:
            return float(np.mean(energies))
        return float(np.dot(weights, energies)) / sum(weights)

    def _share(
        self,
        group: _Group,
        related: str,
        function: boolean.Expression,
        activity: dict[str, tuple[float, float]],
        states: dict[str, NDArray[np.uint8]],
    ) -> float:
        """How often ``related`` would move the output while the group applies."""
        if "independent" in self.rules:
            moves = _difference(function, related, activity)
            return moves if group.when is None else _propagate(group.when, activity)[1]
        size = len(self.samples)
        high = _value(function, states | {related: np.ones(size, dtype=np.uint8)})
        low = _value(function, states | {related: np.zeros(size, dtype=np.uint8)})
        open_ = high != low
        if group.when is not None:
            open_ = open_ & _value(group.when, states).astype(bool)
        return float(open_.mean())


def _implied(function: boolean.Expression, pin: str) -> boolean.Expression | None:
    """The `when` that OpenSTA takes for a group without one: it looks at the function's last operation.

    It weighs these few by how often that input moves the output, as it should all.
    """
    if function[0] == "not":
        return _implied(function[1], pin)
    if function == ("var", pin):
        return ("const", 1)
    own = (("var", pin), ("not", ("var", pin)))
    if function[0] in ("and", "or"):
        for side, other in ((1, 2), (2, 1)):
            if function[side] in own:
                return function[other] if function[0] == "and" else ("not", function[other])
    return None


def _difference(
    function: boolean.Expression, related: str, activity: dict[str, tuple[float, float]]
) -> float:
    p = _propagate(function, activity | {related: (0.0, 1.0)})[1]
    q = _propagate(function, activity | {related: (0.0, 0.0)})[1]
    return p * (1 - q) + q * (1 - p)


# -- the comparison --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Check:
    """One netlist's energies by OpenSTA, by its Liberty groups and by us; fJ per cycle.

    Attributes
    ----------
    reported : dict
        What OpenSTA says: internal (the clock's inside too), switching, leakage.
    steps : dict
        Internal energy with a rule of :data:`RULES` more taken back at each key: ``ground`` is measured with
        OpenSTA, ``rebuilt`` the same computed here, then one by one to the last, which is Liberty's meaning.
    switching : tuple of float
        Of the nets that cells drive, at OpenSTA's toggles: OpenSTA's figure; ours at the larger of the loads of
        a rising and a falling edge, as OpenSTA has it; ours at their mean, as we have it.
    ours : Power
        What :func:`hw.synth.power.estimate` says.
    ours_internal : float
        Its part to compare with the last step: inside of the cells, also at clock edges.
    default_leakage_fj : float
        Ours without states, to compare with OpenSTA's.
    late_internal : float
        The last step with the data pins that move in the clock's second half charged as Liberty has it
        there: ours has all of them in the first half.
    """

    name: str
    node: str
    cells: int
    reported: dict[str, float]
    steps: dict[str, float]
    switching: tuple[float, float, float]
    ours: Power
    ours_internal: float
    default_leakage_fj: float
    late_internal: float

    @property
    def rebuilt(self) -> float:
        """Internal energy by OpenSTA's rules, relative to OpenSTA's figure for it."""
        return self.steps["rebuilt"] / self.steps["ground"]

    @property
    def agreement(self) -> float:
        """Our internal energy relative to what the original Liberty groups mean."""
        return self.ours_internal / self.steps["independent"]


def _share_late(instance: Instance, toggles: NDArray[np.float64], after: NDArray[np.float64]) -> float:
    """Share of a flip-flop's data toggles that come in the clock's second half."""
    ff = instance.cell.flipflop
    if ff is None:
        return 0.0
    nets = [instance.pins.get(pin, ZERO) for pin in instance.cell.inputs if pin != ff.clock]
    total = float(toggles[nets].sum())
    return float(after[nets].sum()) / total if total > 0 else 0.0


def check(spec: UnitSpec, node: str) -> Check:
    """Compare one unit's energies; about 2 s.

    Raises
    ------
    InputError
        If OpenSTA or the Liberty files are not there.
    """
    library = libraries.load(node)
    clock = default_clock_ns(library)
    mapped = synthesize(to_rtlil(spec.build(), TOP), library, clock, only=(RECIPE,))
    netlist, timing = mapped.netlist, mapped.timing
    given = spec.stimulus()
    program = compile_netlist(netlist, apart=True)
    activity = simulate(program, given.inputs, given.counting, kernel=delayed(program, timing))
    ours = estimate(netlist, timing, activity, clock)
    with temporary_folder("sta") as folder:
        paths = _originals(netlist, folder)
        groups = _groups(paths)
        whole = opensta(netlist, timing, activity, clock, folder, paths)[0].sum(axis=0)
        for path in paths:
            path.write_text(without_ground(path.read_text()))
        energy, *registers = opensta(netlist, timing, activity, clock, folder, paths)
    seen = np.stack(registers, axis=1)
    found = energy.sum(axis=0)
    steps = {"ground": float(found[0])}
    names = list(RULES)
    for k, key in enumerate(["rebuilt", *names[1:]], 1):
        account = _Account(netlist, timing, activity, groups, frozenset(names[k:]), seen)
        steps[key] = float(account.internal().sum())
    second = delayed(program, timing, after_ns=clock / 2)
    after = simulate(program, given.inputs, given.counting, kernel=second).toggles
    share = np.array([_share_late(instance, activity.toggles, after) for instance in netlist.instances])
    first = _Account(netlist, timing, activity, groups, frozenset(), seen).internal()
    last = _Account(netlist, timing, activity, groups, frozenset({"late"}), seen).internal()
    half_square = 0.5 * library.voltage**2
    load = net_load(netlist, "fanout")
    toggles = propagated(netlist, activity, seen)[0]
    driven = [i.pins[pin] for i in netlist.instances for pin in i.cell.outputs if pin in i.pins]
    pins = (
        sum(2 * half_square * load[net].mean() for net in netlist.ports[netlist.clock].nets)
        if netlist.clock
        else 0
    )
    return Check(
        name=spec.name,
        node=node,
        cells=len(netlist.instances),
        reported=dict(zip(("internal", "switching", "leakage"), map(float, whole), strict=True)),
        steps=steps,
        switching=(
            float(found[1]),
            float((half_square * load.max(axis=1) * toggles)[driven].sum()),
            float((half_square * load.mean(axis=1) * toggles)[driven].sum()),
        ),
        ours=ours,
        ours_internal=ours.internal_fj + ours.clock_fj - float(pins),
        default_leakage_fj=leakage_nw(netlist) * clock * 1e-3,
        late_internal=float(((1 - share) * first + share * last).sum()),
    )


NAMES = {
    "ground": "without the ground's tables",
    "rebuilt": "the same, rebuilt",
    "propagated": "simulated toggles",
    "both edges": "one edge a transition",
    "every group": "one group a transition",
    "independent": "sampled states",
}


def report(checks: Sequence[Check]) -> str:
    """The page on what the two differ in, as Markdown."""
    excess = np.array([c.reported["internal"] / c.ours_internal for c in checks])
    lines = [
        "# Energy against OpenSTA",
        "",
        "Made by `python -m hw.studies.power_check -o docs/power.md` with OpenSTA 2.0.17 (Debian's `opensta`) and",
        "the original Liberty files (`ASQ_LIBERTY` names their folder). All figures in fJ per cycle; netlists of one recipe.",
        "",
        f"OpenSTA 2.0.17 reports {excess.min():.1f} to {excess.max():.1f} times our internal energy. Which is",
        "right was decided group by group of the original Liberty files: OpenSTA's figure was rebuilt by its own",
        "rules, then those of its rules that are not what Liberty means were taken back one by one. What is left",
        "is Liberty's own meaning at the simulated toggles and states, and ours meets it. OpenSTA's rules:",
        "",
    ]
    lines += [f"- *{NAMES[key]}*: undoes that {text}." for key, text in RULES.items()]
    lines += [
        "",
        "*One edge a transition* and *one group a transition* are also OpenSTA's own later verdict: its source",
        "of 2020 (search/Power.cc) averages the edges and divides the groups of an output by the sum of their",
        "weights. 2.0.17 does neither. The rules partly hide each other: on nangate45 Q and QN taken for",
        "independent halve the clock pins' energy, and both edges double it again. What is left over depends on",
        "the cells and the node, so ratios between units are not OpenSTA's either (totals in the last table).",
    ]
    worst = max(abs(c.agreement - 1) for c in checks)
    off = max(abs(c.rebuilt - 1) for c in checks)
    lines += [
        "",
        f"Over all {len(checks)} netlists the rebuilt figure is within {100 * off:.1f}% of OpenSTA's, and ours",
        f"within {100 * worst:.1f}% of Liberty's meaning, so none of our figures changed. Liberty's meaning is the",
        "reading of these tables that is written down in `hw/synth/libraries/liberty.py`; it was not measured in SPICE.",
        "",
        "## Internal energy, the clock's inside the cells with it",
        "",
        "Columns from left to right: what OpenSTA reports, then with one rule more taken back; the last but one",
        "column is Liberty's meaning, the last ours.",
        "",
        "| node | unit | OpenSTA | " + " | ".join(NAMES.values()) + " | ours | ours to Liberty |",
        "|---|---|" + "---:|" * (len(NAMES) + 3),
    ]
    for c in checks:
        values = [c.reported["internal"], *(c.steps[key] for key in NAMES), c.ours_internal]
        lines.append(
            f"| {c.node} | {c.name} | "
            + " | ".join(f"{value:.1f}" for value in values)
            + f" | {100 * (c.agreement - 1):+.1f}% |"
        )
    lines += [
        "",
        "## By part",
        "",
        "Switching at OpenSTA's toggles, of the nets that cells drive: OpenSTA loads both edges with the larger",
        "of a pin's two capacitances, we with their mean, as a cycle has one of each. Beyond that, ours counts",
        "the unit's inputs and the clock pins, and the simulated toggles with glitches. Leakage: OpenSTA's does",
        "not see states; on asap7, which has no figure for a cell as a whole, it adds its states with weights",
        "that sum to more than one. Totals, as reported, are not comparable for the reasons above.",
        "",
        "*Second half*: what the internal energy would be more if a data pin that moves in the clock's second",
        "half (low, the input latch open) were charged as Liberty has it there; we charge every one as in the",
        "first half, where the returning clock edge carries the latch's charge. Known, and not in our figures.",
        "",
        "| node | unit | switching OpenSTA | larger load | ours | leakage OpenSTA | ours | total OpenSTA | ours "
        "| second half, of the total |",
        "|---|---|" + "---:|" * 8,
    ]
    for c in checks:
        values = [*c.switching, c.reported["leakage"], c.default_leakage_fj]
        values += [sum(c.reported.values()), c.ours.total_fj]
        late = (c.late_internal - c.steps["independent"]) / c.ours.total_fj
        lines.append(
            f"| {c.node} | {c.name} | "
            + " | ".join(f"{value:.3g}" if value < 10 else f"{value:.1f}" for value in values)
            + f" | {100 * late:+.1f}% |"
        )
    return "\n".join([*lines, ""])


@click.command()
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="The page, Markdown.")
def main(output: Path) -> None:
    """Hold our energies against OpenSTA's on ten netlists of each node (about a minute and a half)."""
    with replacing(output) as temporary:  # first, so that a path that cannot be written is told at once
        checks = [check(spec, node) for node in NODES for spec in UNITS]
        temporary.write_text(report(checks))
    click.echo(f"{output}: {len(checks)} netlists")


if __name__ == "__main__":
    run(main, "python -m hw.studies.power_check")
