"""Reads Liberty libraries (``.lib``, ``.lib.gz``) into the compact table of :mod:`hw.synth.libraries.library`.

    python -m hw.synth.libraries.liberty FILE... --node NAME -o FILE.json.gz [--leave-out GLOB ...]

What is reduced, and how:

* Timing arcs of the same input, output and sense under different ``when`` conditions become one: the worst of
  each table point.
* Internal energy per output transition: the mean over ``when`` conditions and over rising and falling. The
  two alternate, so their mean is exact, also where a library books the load's charge in one and takes it out
  of the other.
* Internal energy per input transition: the mean over all states of the other inputs, of what applies
  there. For a flip-flop's data pin, over the states just after the capturing edge.
* Clock edges: apart by whether the flip-flop will change at the capturing edge (see
  :class:`hw.synth.libraries.library.FlipFlop`).
* Of tables per supply pin only those of the power supply: the ground's tables are the same charge on its
  way out (the two agree over a full cycle), and a supply at 0 V delivers no energy.

Liberty's unit of internal energy is voltage_unit^2 * capacitive_load_unit (Liberty User Guide, volume 1,
"internal_power" group).
"""

from __future__ import annotations

import gzip
import math
import re
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path

import click
import numpy as np

from asq_sw.console import run
from asq_sw.errors import InputError
from asq_sw.provenance import file_hash
from hw.synth.libraries import boolean
from hw.synth.libraries.liberty_text import Group, Value, parse
from hw.synth.libraries.library import (
    Arc,
    Cell,
    FlipFlop,
    Floats,
    Input,
    LibertyTable,
    Library,
    Output,
    WireLoad,
    save,
)

DIGITS = 4
"""Significant digits kept of each figure."""
ENERGY_DIGITS = 3
"""Significant digits kept of internal energies, which are means over states."""
MOST_INPUTS = 12
"""Cells with more inputs are left out: every state of the inputs is gone through."""

_SCALES = {"f": 1e-15, "p": 1e-12, "n": 1e-9, "u": 1e-6, "m": 1e-3, "": 1.0, "k": 1e3}
_SLEW = ("input_net_transition", "input_transition_time", "related_pin_transition")
_LOAD = ("total_output_net_capacitance", "constrained_pin_transition")


def _text(value: Value | None) -> str:
    """A Liberty value as one text, empty where there is none."""
    return ("" if value is None else value if isinstance(value, str) else ", ".join(value)).strip()


def _number(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise InputError(f"{text!r} is no finite number")
    return number


def _numbers(value: Value | None) -> list[float]:
    return [_number(word) for word in re.split(r"[,\s]+", _text(value)) if word]


def _name(group: Group) -> str:
    """A group's first argument."""
    if not group.args:
        raise InputError(f"a {group.name} group has no name, expected {group.name} (NAME)")
    return " ".join(group.args[0].split())


@contextmanager
def _named(file: str, what: str = "") -> Iterator[None]:
    """Errors inside name the file and what in it was read."""
    try:
        yield
    except InputError as error:
        raise InputError(
            ": ".join([file, *filter(None, [what]), str(error).removeprefix(f"{file}: ")])
        ) from error
    except (ValueError, LookupError, TypeError, ArithmeticError, RecursionError) as error:
        raise InputError(f"{file}: {what or 'it'} cannot be read ({error!r}), expected Liberty") from error


def _parse(path: Path) -> Group:
    """The file's ``library`` group."""
    try:
        raw = path.read_bytes()
        text = (gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw).decode("utf-8-sig", errors="replace")
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{path.name}: cannot be read ({reason}), expected a Liberty file") from error
    if not re.search(r"\blibrary\s*\(", text):
        raise InputError(f"{path.name}: has no library group, expected a Liberty file")
    return parse(text, path.name)


class _Reader:
    """One Liberty file's units, templates and cells."""

    def __init__(self, path: Path, leave_out: Sequence[str]):
        self.path = path
        self.group = _parse(path)
        self.leave_out = leave_out
        self.name = _name(self.group) if self.group.args else path.name
        self.left: Counter[str] = Counter()
        self.time = self._unit("time_unit", "s", 1e-9)
        self.volt = self._unit("voltage_unit", "V", 1.0)
        self.leak = self._unit("leakage_power_unit", "W", 1e-9)
        load = "".join(self.group.get_attribute("capacitive_load_unit", []))
        self.cap = self._quantity("capacitive_load_unit", load, "F") / 1e-15
        self.energy = self.volt**2 * self.cap
        model = _text(self.group.get_attribute("delay_model", "table_lookup"))
        if model != "table_lookup":
            raise InputError(f"{path.name}: delay_model is {model!r}, expected table_lookup")
        self.templates = {
            _name(t): t
            for kind in ("lu_table_template", "power_lut_template")
            for t in self.group.get_groups(kind)
        }

    def _unit(self, field: str, symbol: str, base: float) -> float:
        return self._quantity(field, _text(self.group.get_attribute(field, "")), symbol) / base

    def _quantity(self, field: str, text: str, symbol: str) -> float:
        match = re.fullmatch(rf"\s*([0-9.eE+-]*)\s*([fpnumk]?){symbol}\s*", text, re.IGNORECASE)
        try:
            number = float(match[1] or 1) if match else math.nan
        except ValueError:
            number = math.nan
        if match is None or not 0 < number < math.inf:
            raise InputError(
                f"{self.path.name}: {field} is {text!r}, expected a number and a unit such as 1n{symbol}"
            )
        return number * _SCALES[match[2].lower()]

    def number(self, field: str, default: float | None = None) -> float:
        value = self.group.get_attribute(field)
        if value is None:
            if default is None:
                raise InputError(f"{self.path.name}: has no {field}")
            return default
        try:
            return _number(_text(value))
        except ValueError:
            raise InputError(f"{self.path.name}: {field} is {_text(value)!r}, expected a number") from None

    def thresholds(self) -> tuple[float, float, float, float]:
        return (
            self.number("slew_lower_threshold_pct_rise", 20.0),
            self.number("slew_upper_threshold_pct_rise", 80.0),
            self.number("input_threshold_pct_rise", 50.0),
            self.number("output_threshold_pct_rise", 50.0),
        )

    def wire_load(self) -> WireLoad | None:
        default = self.group.get_attribute("default_wire_load")
        for group in self.group.get_groups("wire_load"):
            if default is not None and _name(group) == _text(default):
                pairs = sorted(_numbers(pair)[:2] for pair in group.get_attributes("fanout_length"))
                capacitance = _number(_text(group.get_attribute("capacitance", "0"))) * self.cap
                if capacitance > 0 and pairs:
                    slope = _number(_text(group.get_attribute("slope", "0")))
                    return WireLoad(
                        _text(default), capacitance, slope, tuple((int(n), le) for n, le in pairs)
                    )
        return None

    # -- tables --------------------------------------------------------------------------------------

    def table(self, group: Group, scale: float, y_scale: float | None = None) -> LibertyTable:
        """A values group as slew by load (or by the constrained pin's slew), scaled to the table's units."""
        template = self.templates.get(_name(group) if group.args else "")
        variables, axes = [], []
        for index in ("1", "2"):
            kind = None if template is None else template.get_attribute(f"variable_{index}")
            points = group.get_attribute(f"index_{index}")
            if points is None and template is not None and kind is not None:
                points = template.get_attribute(f"index_{index}")
            if kind is not None and points is not None:
                variables.append(_text(kind))
                axes.append(np.array(_numbers(points)))
        values = np.array(_numbers(group.get_attribute("values")))
        if template is None or values.size == 1:
            variables, axes = [], []
        if math.prod(len(a) for a in axes) != values.size:
            raise InputError(
                f"{self.path.name}: a table of {group.name} has {values.size} values for indices of "
                f"{' by '.join(str(len(a)) for a in axes) or 'none'}"
            )
        z = values.reshape([len(a) for a in axes]) * scale
        x, y = np.zeros(1), np.zeros(1)
        order = []
        for variable, axis in zip(variables, axes, strict=True):
            if variable in _SLEW:
                x = _round(axis * self.time)
                order.append(0)
            elif variable in _LOAD:
                y = _round(axis * (self.cap if y_scale is None else y_scale))
                order.append(1)
            else:
                raise InputError(
                    f"{self.path.name}: a table depends on {variable!r}, expected {', '.join(_SLEW + _LOAD)}"
                )
        if order == [1, 0]:
            z = z.T
        return LibertyTable(x, y, _round(z.reshape(len(x), len(y))))

    def delay(self, timing: Group, name: str) -> LibertyTable | None:
        groups = timing.get_groups(name)
        return self.table(groups[0], self.time) if groups else None

    def powers(
        self, pin: Group, supplies: set[str]
    ) -> Iterator[tuple[Group, str, LibertyTable, LibertyTable]]:
        """(group, when, rising energy, falling energy) of each of a pin's groups of the power supply."""
        zero = LibertyTable(np.zeros(1), np.zeros(1), np.zeros((1, 1)))
        for group in pin.get_groups("internal_power"):
            rail = group.get_attribute("related_pg_pin")
            if rail is not None and supplies and _text(rail) not in supplies:
                continue
            both = group.get_groups("power")
            rise, fall = group.get_groups("rise_power") or both, group.get_groups("fall_power") or both
            yield (
                group,
                _text(group.get_attribute("when", "")),
                self.table(rise[0], self.energy) if rise else zero,
                self.table(fall[0], self.energy) if fall else zero,
            )

    # -- cells ---------------------------------------------------------------------------------------

    def cells(self) -> Iterator[Cell]:
        for group in self.group.get_groups("cell"):
            with _named(self.path.name):
                name = _name(group)
            with _named(self.path.name, f"cell {name}"):
                reason = self._why_not(group, name)
                cell = None if reason else self.cell(group, name)
            if cell is None:
                self.left[reason] += 1
            else:
                yield cell

    def _why_not(self, group: Group, name: str) -> str:
        """Why a cell is not in the table, or an empty string."""
        pins = group.get_groups("pin")
        outputs = [p for p in pins if _text(p.get_attribute("direction", "")) == "output"]
        if any(fnmatchcase(name, pattern) for pattern in self.leave_out):
            return "named in --leave-out"
        if _text(group.get_attribute("dont_use", "false")).lower() == "true":
            return "dont_use"
        if group.get_groups("latch") or group.get_groups("statetable"):
            return "latch or clock gate"
        if group.get_groups("ff_bank") or group.get_groups("bus") or group.get_groups("bundle"):
            return "several bits"
        if any(p.get_attribute("three_state") is not None for p in outputs):
            return "three-state"
        if not outputs or any(p.get_attribute("function") is None for p in outputs):
            return "no function"
        inputs = sum(_text(p.get_attribute("direction", "")) == "input" for p in pins)
        if not inputs:
            return "constant"
        if inputs > MOST_INPUTS:
            return f"more than {MOST_INPUTS} inputs"
        flipflops = group.get_groups("ff")
        if len(flipflops) > 1 or group.get_groups("test_cell"):
            return "scan or several flip-flops"
        if flipflops:
            ff = flipflops[0]
            data = set(boolean.variables(boolean.parse(_text(ff.get_attribute("next_state")))))
            if len(data - {_text(a) for a in ff.args}) > 2:
                return "scan or several flip-flops"
        if any(t.get_attribute("related_pin") is None for p in outputs for t in p.get_groups("timing")):
            return "no related pin"
        return ""

    def cell(self, group: Group, name: str) -> Cell:
        by_direction: dict[str, dict[str, Group]] = {"input": {}, "output": {}}
        for pin in group.get_groups("pin"):
            by_direction.setdefault(_text(pin.get_attribute("direction")), {})[_name(pin)] = pin
        inputs, outputs = by_direction["input"], by_direction["output"]
        functions = {out: boolean.parse(_text(pin.get_attribute("function"))) for out, pin in outputs.items()}
        supplies = {
            _name(pg)
            for pg in group.get_groups("pg_pin")
            if _text(pg.get_attribute("pg_type", "")) == "primary_power"
        }
        ff_groups = group.get_groups("ff")
        if ff_groups:
            ff, pin_energy = self._flipflop(ff_groups[0], inputs, functions, supplies)
            states: tuple[float, ...] = ()
        else:
            ff = None
            assignments = list(_assignments(list(inputs), functions))
            pin_energy = {n: self._mean_energy(p, supplies, assignments, [0, 1]) for n, p in inputs.items()}
            states = self._leakage_states(group, supplies, assignments)
        default = group.get_attribute("cell_leakage_power")
        if default is not None:
            leakage = _number(_text(default)) * self.leak
        else:
            leakages = [v for when, v in self._leakages(group, supplies) if not when] or [
                v for _, v in self._leakages(group, supplies)
            ]
            leakage = (
                float(np.mean(leakages))
                if leakages
                else self.number("default_cell_leakage_power", 0) * self.leak
            )
        return Cell(
            name=name,
            area=_number(_text(group.get_attribute("area", "0"))),
            leakage=_short(leakage),
            leakage_states=tuple(_short(v) for v in states),
            inputs={n: Input(*self._capacitances(p), pin_energy[n]) for n, p in inputs.items()},
            outputs={
                n: Output(
                    function=_text(pin.get_attribute("function")),
                    max_capacitance=_short(
                        _number(_text(pin.get_attribute("max_capacitance", "1e9"))) * self.cap
                    ),
                    arcs=self._arcs(pin, ff),
                    energy=self._output_energy(pin, supplies, list(inputs)),
                )
                for n, pin in outputs.items()
            },
            flipflop=ff,
        )

    def _capacitances(self, pin: Group) -> tuple[float, float, float]:
        """For both edges, rising and falling; fF."""
        both = pin.get_attribute("capacitance", self.group.get_attribute("default_input_pin_cap", "0"))
        values = (
            both,
            pin.get_attribute("rise_capacitance", both),
            pin.get_attribute("fall_capacitance", both),
        )
        rise, fall = (_short(_number(_text(value)) * self.cap) for value in values[1:])
        return _short(_number(_text(both)) * self.cap), rise, fall

    def _leakages(self, group: Group, supplies: set[str]) -> list[tuple[str, float]]:
        leakages = []
        for leak in group.get_groups("leakage_power"):
            rail = leak.get_attribute("related_pg_pin")
            if rail is None or not supplies or _text(rail) in supplies:
                value = _number(_text(leak.get_attribute("value"))) * self.leak
                leakages.append((_text(leak.get_attribute("when", "")), value))
        return leakages

    def _leakage_states(
        self, group: Group, supplies: set[str], assignments: list[dict[str, int]]
    ) -> tuple[float, ...]:
        by_when = [(boolean.parse(when), v) for when, v in self._leakages(group, supplies) if when]
        if not by_when or len(assignments) > 64:
            return ()
        states = []
        for values in assignments:
            match = [v for when, v in by_when if boolean.evaluate(when, values)]
            if not match:
                return ()
            states.append(match[0])
        return tuple(states)

    def _arcs(self, pin: Group, ff: FlipFlop | None) -> tuple[Arc, ...]:
        merged: dict[tuple[str, str], list[LibertyTable]] = {}
        for timing in pin.get_groups("timing"):
            kind = _text(timing.get_attribute("timing_type", "combinational"))
            if ff is None and kind != "combinational":
                continue
            if ff is not None and kind not in ("rising_edge", "falling_edge"):
                continue
            names = ("cell_rise", "cell_fall", "rise_transition", "fall_transition")
            delays = [self.delay(timing, name) for name in names]
            # A one-edge arc (a half-unate pass gate) stands for both.
            pairs = [
                (delays[0] or delays[1], delays[1] or delays[0]),
                (delays[2] or delays[3], delays[3] or delays[2]),
            ]
            tables = [t for pair in pairs for t in pair if t is not None]
            if len(tables) != 4:
                continue
            for related in _text(timing.get_attribute("related_pin")).split():
                sense = _text(timing.get_attribute("timing_sense", "non_unate"))
                sign = {"positive_unate": "+", "negative_unate": "-"}.get(sense, "*")
                so_far = merged.get((related, sign))
                merged[related, sign] = (
                    tables if so_far is None else [_worst(a, b) for a, b in zip(so_far, tables, strict=True)]
                )
        return tuple(Arc(related, sign, *tables) for (related, sign), tables in merged.items())

    def _output_energy(self, pin: Group, supplies: set[str], inputs: list[str]) -> dict[str, LibertyTable]:
        by_input: dict[str, list[LibertyTable]] = {}
        for group, _, rise, fall in self.powers(pin, supplies):
            related = group.get_attribute("related_pin")
            for name in inputs if related is None else _text(related).split():
                by_input.setdefault(name, []).append(_mean([rise, fall]))
        return {name: _mean(tables) for name, tables in by_input.items()}

    def _mean_energy(
        self, pin: Group, supplies: set[str], assignments: Iterable[dict[str, int]], edges: list[int]
    ) -> LibertyTable | None:
        """Mean over assignments of the energy of the pin's own transitions; ``edges``: 0 rise, 1 fall."""
        groups = [(when, pair) for _, when, *pair in self.powers(pin, supplies)]
        if not groups:
            return None
        parsed = [(boolean.parse(when) if when else None, pair) for when, pair in groups]
        zero = LibertyTable(np.zeros(1), np.zeros(1), np.zeros((1, 1)))
        tables = []
        for values in assignments:
            match = [pair for when, pair in parsed if when and boolean.evaluate(when, values)]
            match = match or [pair for when, pair in parsed if when is None]
            tables.append(_mean([match[0][e] for e in edges]) if match else zero)
        return _mean(tables)

    def _flipflop(
        self,
        group: Group,
        inputs: dict[str, Group],
        functions: dict[str, boolean.Expression],
        supplies: set[str],
    ) -> tuple[FlipFlop, dict[str, LibertyTable | None]]:
        state, inverse = (_text(a) for a in group.args[:2])
        clocked = boolean.parse(_text(group.get_attribute("clocked_on")))
        rising = clocked[0] == "var"
        if clocked[0] not in ("var", "not") or (not rising and clocked[1][0] != "var"):
            raise InputError("clocked_on is no pin or its complement")
        clock = clocked[1] if rising else clocked[1][1]
        next_state = boolean.parse(_text(group.get_attribute("next_state")))
        resets = {key: _text(group.get_attribute(key, "")) for key in ("clear", "preset")}
        parsed_resets = [boolean.parse(text) for text in resets.values() if text]

        # Every state with the resets inactive, apart by clock level and by whether the state will change.
        states: dict[tuple[int, str], list[dict[str, int]]] = {}
        names = [*inputs, state]
        for s in range(1 << len(names)):
            values = {name: s >> i & 1 for i, name in enumerate(names)}
            values[inverse] = 1 - values[state]
            if any(boolean.evaluate(reset, values) for reset in parsed_resets):
                continue
            values |= {name: boolean.evaluate(f, values) for name, f in functions.items()}
            kind = "same" if boolean.evaluate(next_state, values) == values[state] else "new"
            states.setdefault((values[clock], kind), []).append(values)

        energy: dict[str, LibertyTable] = {}
        for kind in ("same", "new"):
            both = states.get((0, kind), []) + states.get((1, kind), [])
            for edge, index in (("capture", 0 if rising else 1), ("return", 1 if rising else 0)):
                mean = self._mean_energy(inputs[clock], supplies, both, [index])
                if mean is not None:
                    energy[f"{edge}_{kind}"] = mean
        after = [v for kind in ("same", "new") for v in states.get((1 if rising else 0, kind), [])]
        pins = {
            name: None if name == clock else self._mean_energy(pin, supplies, after, [0, 1])
            for name, pin in inputs.items()
        }
        setup: dict[str, tuple[LibertyTable, LibertyTable]] = {}
        for name, pin in inputs.items():
            for timing in pin.get_groups("timing"):
                if _text(timing.get_attribute("timing_type", "")).startswith("setup_"):
                    tables = [
                        self.table(timing.get_groups(edge)[0], self.time, self.time)
                        for edge in ("rise_constraint", "fall_constraint")
                        if timing.get_groups(edge)
                    ]
                    if tables:
                        so_far = setup.get(name)
                        pair = (tables[0], tables[-1])
                        setup[name] = (
                            pair
                            if so_far is None
                            else (_worst(so_far[0], pair[0]), _worst(so_far[1], pair[1]))
                        )
        ff = FlipFlop(
            clock=clock,
            rising=rising,
            state=state,
            inverse=inverse,
            next_state=_text(group.get_attribute("next_state")),
            setup=setup,
            energy=energy,
            **resets,
        )
        return ff, pins


def _assignments(names: list[str], functions: dict[str, boolean.Expression]) -> Iterator[dict[str, int]]:
    """All assignments of the inputs, each with its outputs; input i is bit i of the index."""
    for s in range(1 << len(names)):
        values = {name: s >> i & 1 for i, name in enumerate(names)}
        yield values | {name: boolean.evaluate(f, values) for name, f in functions.items()}


def _short(value: float, digits: int = DIGITS) -> float:
    return float(f"{value:.{digits}g}")


def _round(values: Floats, digits: int = DIGITS) -> Floats:
    return np.array([_short(v, digits) for v in values.ravel()]).reshape(values.shape)


def _resampled(table: LibertyTable, x: Floats, y: Floats) -> Floats:
    if np.array_equal(table.x, x) and np.array_equal(table.y, y):
        return table.z
    if table.z.size == 1:
        return np.full((len(x), len(y)), table.z[0, 0])
    return np.array([[table.at(a, b) for b in y] for a in x])


def _common(tables: Sequence[LibertyTable]) -> tuple[Floats, Floats]:
    largest = max(tables, key=lambda t: t.z.size)
    return largest.x, largest.y


def _worst(a: LibertyTable, b: LibertyTable) -> LibertyTable:
    x, y = _common([a, b])
    return LibertyTable(x, y, np.maximum(_resampled(a, x, y), _resampled(b, x, y)))


def _mean(tables: Sequence[LibertyTable]) -> LibertyTable:
    x, y = _common(tables)
    return LibertyTable(x, y, _round(np.mean([_resampled(t, x, y) for t in tables], axis=0), ENERGY_DIGITS))


def read(paths: Sequence[str | Path], node: str | None = None, leave_out: Sequence[str] = ()) -> Library:
    """Read Liberty files into one library.

    Parameters
    ----------
    paths : list of paths
        ``.lib`` or ``.lib.gz``; several make one library (as asap7's five).
    node : str, optional
        The library's name; by default the first file's.
    leave_out : list of str
        Shell patterns of cells to leave out.

    Raises
    ------
    InputError
        If a file cannot be read, is truncated or is no Liberty library; for units that are not understood;
        if two files differ in voltage or define a cell twice; if no flip-flop or no logic is found.
    """
    if not paths:
        raise InputError("no Liberty file given, expected at least one")
    readers = []
    for path in map(Path, paths):
        with _named(path.name):
            readers.append(_Reader(path, leave_out))
    first = readers[0]
    cells: dict[str, Cell] = {}
    left: Counter[str] = Counter()
    for reader in readers:
        for field in ("nom_voltage", "nom_temperature"):
            with _named(reader.path.name):
                value = reader.number(field)
            if value != first.number(field):
                raise InputError(
                    f"{reader.path.name}: {field} is {value:g}, expected "
                    f"{first.number(field):g} as in {first.path.name}"
                )
        for cell in reader.cells():
            if cell.name in cells:
                raise InputError(f"{reader.path.name}: cell {cell.name} is defined a second time")
            cells[cell.name] = cell
        left += reader.left
    what = ", ".join(reader.path.name for reader in readers)
    if not any(cell.flipflop for cell in cells.values()):
        raise InputError(f"{what}: has no flip-flop that can be used, expected at least one")
    if not any(cell.flipflop is None and cell.outputs for cell in cells.values()):
        raise InputError(f"{what}: has no combinational cell, expected at least one")
    with _named(first.path.name):
        conditions = " ".join(_text(first.group.get_attribute("default_operating_conditions")).split())
        return Library(
            node=node or first.name,
            names=tuple(reader.name for reader in readers),
            sources={reader.path.name: file_hash(reader.path) for reader in readers},
            voltage=first.number("nom_voltage") * first.volt,
            temperature=first.number("nom_temperature"),
            process=f"{conditions and conditions + ', '}process {first.number('nom_process', 1):g}",
            thresholds=first.thresholds(),
            wire_load=first.wire_load(),
            cells=cells,
            left_out=dict(sorted(left.items())),
        )


@click.command()
@click.argument("paths", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--node", required=True, help="Name of the library.")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="FILE.json.gz")
@click.option("--leave-out", multiple=True, metavar="GLOB", help="Cells to leave out (may be repeated).")
def main(paths: tuple[Path, ...], node: str, output: Path, leave_out: tuple[str, ...]) -> None:
    """Turn Liberty files into the compact table that `asq synth` reads."""
    library = read(paths, node, leave_out)
    save(library, output)
    flipflops = sum(cell.flipflop is not None for cell in library.cells.values())
    click.echo(
        f"{output}: {len(library.cells)} cells, {flipflops} of them flip-flops; left out: {library.left_out}"
    )


if __name__ == "__main__":
    run(main, "python -m hw.synth.libraries.liberty")
