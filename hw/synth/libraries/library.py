"""A standard-cell library as a compact table of figures, and the same written back as Liberty for Yosys
and ABC.

Units everywhere: area um^2, time ns, capacitance fF, energy fJ, leakage nW, voltage V, temperature C.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asq_sw.errors import InputError
from asq_sw.files import replacing
from hw import nodes
from hw.synth.libraries import boolean

FORMAT = 2

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class LibertyTable:
    """A figure over input slew (ns) and load (fF), or over two slews; linear between points and beyond them.

    Attributes
    ----------
    x : (n,) float64, ascending
        Input slew; for a setup time the clock's slew.
    y : (m,) float64, ascending
        Load; for a setup time the data pin's slew. ``[0.]`` where the figure does not depend on it.
    z : (n, m) float64
    """

    x: Floats
    y: Floats
    z: Floats

    def at(self, x: float, y: float = 0.0) -> float:
        """The figure at ``x`` and ``y``."""
        i, u = _locate(self.x, x)
        j, v = _locate(self.y, y)
        rows = self.z[i : i + 2] if len(self.x) > 1 else self.z[[0, 0]]
        low, high = rows[:, j], rows[:, j + 1] if len(self.y) > 1 else rows[:, j]
        line = low * (1 - v) + high * v
        return float(line[0] * (1 - u) + line[1] * u)


def _locate(axis: Floats, value: float) -> tuple[int, float]:
    """Index of the interval to use and the (extrapolating) fraction along it."""
    if len(axis) == 1:
        return 0, 0.0
    i = min(max(int(np.searchsorted(axis, value, side="right")) - 1, 0), len(axis) - 2)
    return i, float((value - axis[i]) / (axis[i + 1] - axis[i]))


@dataclass(frozen=True)
class Arc:
    """Delay from one input (or the clock) to an output: worst over the states of the other inputs.

    ``sense`` is ``+`` (rising in, rising out), ``-`` or ``*`` (both). ``rise`` and ``fall`` are the delay to
    a rising and a falling output, ``rise_slew`` and ``fall_slew`` its transition time.
    """

    related: str
    sense: str
    rise: LibertyTable
    fall: LibertyTable
    rise_slew: LibertyTable
    fall_slew: LibertyTable


@dataclass(frozen=True)
class Input:
    """An input pin.

    ``capacitance`` is the library's figure for both edges, ``rise`` and ``fall`` those for one (equal to it
    where the library has none). ``energy`` is per transition of the pin, beside what the output's costs.
    """

    capacitance: float
    rise: float
    fall: float
    energy: LibertyTable | None = None


@dataclass(frozen=True)
class Output:
    """An output pin; ``energy[input]`` is per transition of the output that the input causes."""

    function: str
    max_capacitance: float
    arcs: tuple[Arc, ...]
    energy: dict[str, LibertyTable] = field(default_factory=dict)


@dataclass(frozen=True)
class FlipFlop:
    """What makes a cell a flip-flop.

    Attributes
    ----------
    clock : str
        The clock pin.
    rising : bool
        Whether the rising edge captures.
    state, inverse : str
        The names that outputs' functions use.
    next_state, clear, preset : str
        Boolean functions of the pins; clear and preset empty where there is none.
    setup : dict
        Data pin -> setup times of a rising and a falling data edge.
    energy : dict
        fJ of a clock edge by kind: ``capture`` (the edge that captures) or ``return``, then ``_same`` or
        ``_new``: whether the next state equals the state at that edge. Without the output's transition.
    """

    clock: str
    rising: bool
    state: str
    inverse: str
    next_state: str
    clear: str
    preset: str
    setup: dict[str, tuple[LibertyTable, LibertyTable]]
    energy: dict[str, LibertyTable]


@dataclass(frozen=True)
class Cell:
    """One cell.

    ``leakage`` is the library's default, ``leakage_states`` by input state (bit i of the index is input i)
    for combinational cells where the library has it, else empty.
    """

    name: str
    area: float
    leakage: float
    leakage_states: tuple[float, ...]
    inputs: dict[str, Input]
    outputs: dict[str, Output]
    flipflop: FlipFlop | None = None


@dataclass(frozen=True)
class WireLoad:
    """A library's own wire-load model: length by fan-out, capacitance per length (fF per unit of length)."""

    name: str
    capacitance: float
    slope: float
    lengths: tuple[tuple[int, float], ...]

    def load(self, fanout: int) -> float:
        """fF of a net with ``fanout`` sinks; beyond the table by its slope."""
        if fanout <= 0:
            return 0.0
        sinks, lengths = [n for n, _ in self.lengths], [length for _, length in self.lengths]
        if fanout > sinks[-1]:
            return self.capacitance * (lengths[-1] + self.slope * (fanout - sinks[-1]))
        return self.capacitance * float(np.interp(fanout, [0, *sinks], [0.0, *lengths]))


@dataclass(frozen=True, eq=False)
class Library:
    """A cell library.

    Attributes
    ----------
    node : str
        Its name on the command line.
    names : tuple of str
        The Liberty libraries' own names.
    sources : dict
        Base name of each source file -> first 16 hexadecimal digits of its SHA-256.
    voltage, temperature : float
        V, C.
    process : str
        The operating condition's name and the process figure.
    thresholds : tuple of four floats
        Percent of the swing: lower and upper slew thresholds, input and output delay thresholds.
    left_out : dict
        Why -> how many cells of the sources are not here.
    """

    node: str
    names: tuple[str, ...]
    sources: dict[str, str]
    voltage: float
    temperature: float
    process: str
    thresholds: tuple[float, float, float, float]
    wire_load: WireLoad | None
    cells: dict[str, Cell]
    left_out: dict[str, int]

    @cached_property
    def digest(self) -> str:
        """A hash of every figure in the table."""
        from hashlib import sha256

        return sha256(json.dumps(to_json(self), sort_keys=True).encode()).hexdigest()[:16]

    def cell(self, name: str) -> Cell:
        """The cell of that name."""
        try:
            return self.cells[name]
        except KeyError:
            raise InputError(f"library {self.node} has no cell {name}") from None

    @cached_property
    def driving_cell(self) -> str:
        """The second-weakest buffer (the weakest if there is only one), as a typical driver of an input."""
        buffers = sorted(
            (cell.area, name)
            for name, cell in self.cells.items()
            if len(cell.inputs) == 1
            and len(cell.outputs) == 1
            and _is_buffer(next(iter(cell.outputs.values())).function, next(iter(cell.inputs)))
        )
        if not buffers:
            raise InputError(f"library {self.node} has no buffer, expected one to drive the inputs")
        return buffers[min(1, len(buffers) - 1)][1]


def _is_buffer(function: str, pin: str) -> bool:
    return boolean.truth_table(boolean.parse(function), [pin]) == 0b10


# -- the compact table as a file ---------------------------------------------------------------------------


def to_json(library: Library) -> dict[str, Any]:
    """The library as plain lists and dicts; axes that tables share are stored once."""
    axes: dict[tuple[float, ...], int] = {}

    def axis(values: Floats) -> int:
        return axes.setdefault(tuple(values.tolist()), len(axes))

    def table(t: LibertyTable | None) -> list[Any] | None:
        return None if t is None else [axis(t.x), axis(t.y), *t.z.ravel().tolist()]

    cells = {}
    for cell in library.cells.values():
        record: dict[str, Any] = {"area": cell.area, "leakage": cell.leakage}
        if cell.leakage_states:
            record["leakage_states"] = list(cell.leakage_states)
        record["inputs"] = {
            name: [pin.capacitance, pin.rise, pin.fall, table(pin.energy)]
            for name, pin in cell.inputs.items()
        }
        record["outputs"] = {
            name: {
                "function": pin.function,
                "max_capacitance": pin.max_capacitance,
                "arcs": [
                    [a.related, a.sense, table(a.rise), table(a.fall), table(a.rise_slew), table(a.fall_slew)]
                    for a in pin.arcs
                ],
                "energy": {related: table(t) for related, t in pin.energy.items()},
            }
            for name, pin in cell.outputs.items()
        }
        if ff := cell.flipflop:
            record["flipflop"] = {
                "clock": ff.clock,
                "rising": ff.rising,
                "state": ff.state,
                "inverse": ff.inverse,
                "next_state": ff.next_state,
                "clear": ff.clear,
                "preset": ff.preset,
                "setup": {pin: [table(rise), table(fall)] for pin, (rise, fall) in ff.setup.items()},
                "energy": {kind: table(t) for kind, t in ff.energy.items()},
            }
        cells[cell.name] = record
    wire = library.wire_load
    return {
        "format": FORMAT,
        "node": library.node,
        "libraries": list(library.names),
        "sources": library.sources,
        "units": {
            "area": "um^2",
            "time": "ns",
            "capacitance": "fF",
            "energy": "fJ",
            "leakage": "nW",
            "voltage": "V",
            "temperature": "C",
        },
        "voltage": library.voltage,
        "temperature": library.temperature,
        "process": library.process,
        "thresholds": list(library.thresholds),
        "wire_load": None
        if wire is None
        else {
            "name": wire.name,
            "capacitance": wire.capacitance,
            "slope": wire.slope,
            "lengths": [list(pair) for pair in wire.lengths],
        },
        "left_out": library.left_out,
        "axes": [list(values) for values in axes],
        "cells": cells,
    }


def from_json(data: dict[str, Any]) -> Library:
    """The inverse of :func:`to_json`."""
    axes = [np.array(values, dtype=np.float64) for values in data["axes"]]

    def table(t: list[Any]) -> LibertyTable:
        x, y = axes[t[0]], axes[t[1]]
        return LibertyTable(x, y, np.array(t[2:], dtype=np.float64).reshape(len(x), len(y)))

    cells = {}
    for name, record in data["cells"].items():
        ff = record.get("flipflop")
        cells[name] = Cell(
            name=name,
            area=record["area"],
            leakage=record["leakage"],
            leakage_states=tuple(record.get("leakage_states", ())),
            inputs={
                pin: Input(both, rise, fall, None if energy is None else table(energy))
                for pin, (both, rise, fall, energy) in record["inputs"].items()
            },
            outputs={
                pin: Output(
                    function=out["function"],
                    max_capacitance=out["max_capacitance"],
                    arcs=tuple(Arc(a[0], a[1], *(table(t) for t in a[2:])) for a in out["arcs"]),
                    energy={related: table(t) for related, t in out["energy"].items()},
                )
                for pin, out in record["outputs"].items()
            },
            flipflop=None
            if ff is None
            else FlipFlop(
                **{key: ff[key] for key in ff if key not in ("setup", "energy")},
                setup={pin: (table(rise), table(fall)) for pin, (rise, fall) in ff["setup"].items()},
                energy={kind: table(t) for kind, t in ff["energy"].items()},
            ),
        )
    wire = data["wire_load"]
    return Library(
        node=data["node"],
        names=tuple(data["libraries"]),
        sources=data["sources"],
        voltage=data["voltage"],
        temperature=data["temperature"],
        process=data["process"],
        thresholds=tuple(data["thresholds"]),
        wire_load=None
        if wire is None
        else WireLoad(
            wire["name"], wire["capacitance"], wire["slope"], tuple((n, le) for n, le in wire["lengths"])
        ),
        cells=cells,
        left_out=data["left_out"],
    )


def save(library: Library, path: str | Path) -> None:
    """Write the compact table, compressed JSON with one line per cell; equal tables give equal bytes."""
    data = to_json(library)
    cells = data.pop("cells")
    encode = json.JSONEncoder(separators=(",", ":")).encode
    head = encode(data)[:-1]
    lines = [f"{encode(name)}:{encode(cell)}" for name, cell in cells.items()]
    text = head + ',"cells":{\n' + ",\n".join(lines) + "\n}}\n"
    with replacing(path) as temporary:
        temporary.write_bytes(gzip.compress(text.encode(), 9, mtime=0))


@lru_cache(maxsize=4)
def load(node: str) -> Library:
    """The table that the product carries for a node, one of :data:`hw.nodes.NODES`.

    Raises
    ------
    InputError
        For any other node.
    """
    return from_json(json.loads(gzip.decompress(nodes.node(node).library.read_bytes())))


# -- Liberty, for Yosys and ABC ----------------------------------------------------------------------------


def to_liberty(library: Library, cells: Iterable[str] | None = None) -> str:
    """A minimal Liberty library: what dfflibmap and ABC read (area, functions, pins, loads, delays).

    ``cells`` restricts it to those cells; by default all. Units: ns, fF, nW.
    """
    chosen = library.cells if cells is None else {name: library.cells[name] for name in cells}
    templates: dict[tuple[str, int, int], str] = {}
    low, high, into, out = library.thresholds
    body: list[str] = []

    def values(t: LibertyTable) -> str:
        rows = ", ".join('"' + ", ".join(f"{z:.6g}" for z in row) + '"' for row in t.z)
        return (
            f'index_1 ("{", ".join(f"{x:.6g}" for x in t.x)}"); '
            f'index_2 ("{", ".join(f"{y:.6g}" for y in t.y)}"); values ({rows});'
        )

    def template(t: LibertyTable, kind: str = "d") -> str:
        n, m = t.z.shape
        return templates.setdefault((kind, n, m), f"{kind}{n}x{m}")

    for cell in chosen.values():
        body.append(
            f"  cell ({cell.name}) {{ area : {cell.area:.8g}; cell_leakage_power : {cell.leakage:.6g};"
        )
        if ff := cell.flipflop:
            edge = ff.clock if ff.rising else f"!{ff.clock}"
            body.append(f'    ff ("{ff.state}", "{ff.inverse}") {{ next_state : "{ff.next_state}";')
            body.append(f'      clocked_on : "{edge}";')
            body += [
                f'      {key} : "{text}";'
                for key, text in (("clear", ff.clear), ("preset", ff.preset))
                if text
            ]
            body.append("    }")
        for name, pin in cell.inputs.items():
            clock = " clock : true;" if cell.flipflop and name == cell.flipflop.clock else ""
            body.append(
                f"    pin ({name}) {{ direction : input;{clock} capacitance : {pin.capacitance:.6g}; "
                f"rise_capacitance : {pin.rise:.6g}; fall_capacitance : {pin.fall:.6g};"
            )
            if cell.flipflop and name in cell.flipflop.setup:
                body.append(f'      timing () {{ related_pin : "{cell.flipflop.clock}";')
                body.append(f"        timing_type : setup_{'rising' if cell.flipflop.rising else 'falling'};")
                for key, t in zip(
                    ("rise_constraint", "fall_constraint"), cell.flipflop.setup[name], strict=True
                ):
                    body.append(f"        {key} ({template(t, 's')}) {{ {values(t)} }}")
                body.append("      }")
            body.append("    }")
        for name, output in cell.outputs.items():
            body.append(f'    pin ({name}) {{ direction : output; function : "{output.function}";')
            body.append(f"      max_capacitance : {output.max_capacitance:.6g};")
            for arc in output.arcs:
                sense = {"+": "positive_unate", "-": "negative_unate", "*": "non_unate"}[arc.sense]
                body.append(f'      timing () {{ related_pin : "{arc.related}"; timing_sense : {sense};')
                if cell.flipflop:
                    body.append(
                        f"        timing_type : {'rising' if cell.flipflop.rising else 'falling'}_edge;"
                    )
                for key, t in (
                    ("cell_rise", arc.rise),
                    ("cell_fall", arc.fall),
                    ("rise_transition", arc.rise_slew),
                    ("fall_transition", arc.fall_slew),
                ):
                    body.append(f"        {key} ({template(t)}) {{ {values(t)} }}")
                body.append("      }")
            body.append("    }")
        body.append("  }")
    head = [
        f"library ({library.node}) {{",
        "  delay_model : table_lookup;",
        '  time_unit : "1ns"; voltage_unit : "1V"; current_unit : "1mA";',
        '  leakage_power_unit : "1nW"; pulling_resistance_unit : "1kohm"; capacitive_load_unit (1, ff);',
        f"  nom_process : 1; nom_temperature : {library.temperature:g}; nom_voltage : {library.voltage:g};",
    ]
    for edge in ("rise", "fall"):
        head += [
            f"  slew_lower_threshold_pct_{edge} : {low:g}; slew_upper_threshold_pct_{edge} : {high:g};",
            f"  input_threshold_pct_{edge} : {into:g}; output_threshold_pct_{edge} : {out:g};",
        ]
    variables = {
        "d": ("input_net_transition", "total_output_net_capacitance"),
        "s": ("related_pin_transition", "constrained_pin_transition"),
    }
    for (kind, n, m), name in templates.items():
        x, y = variables[kind]
        head += [
            f"  lu_table_template ({name}) {{",
            f"    variable_1 : {x}; variable_2 : {y};",
            f'    index_1 ("{", ".join(str(i + 1) for i in range(n))}");',
            f'    index_2 ("{", ".join(str(i + 1) for i in range(m))}");',
            "  }",
        ]
    return "\n".join([*head, *body, "}", ""])
