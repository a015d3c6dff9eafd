"""Full adders and flip-flops whose cells give inverted outputs: which of them take inverted inputs instead.

Some libraries (asap7) have full adders and small flip-flops with inverted outputs alone. A full adder is
self-dual: of inverted inputs it gives true outputs; and a flip-flop may as well store the complement. So
every such cell has a phase, and inverters stand only where phases clash: ABC, to which these cells are closed,
cannot find that out. The phases are chosen by simulated annealing over the number of inverters, some
milliseconds for a column of a tile.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from hw.synth.libraries.boolean import parse, truth_table
from hw.synth.libraries.library import Cell, Library

ADDER, FLIPFLOP = "$fa", "$_DFF_P_"
SWEEPS = 400
"""Of the annealing; four times as many find nothing better on a column of POST4's 16 x 16 tile."""
_HOT, _COLD = 1.0, 0.05

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Placed:
    """A cell that stands for one of Yosys's: its pin for each of Yosys's ports, and if it inverts.

    Attributes
    ----------
    cell : Cell
    inputs, outputs : dict
        Port of Yosys's cell -> pin. The clock is among neither.
    clock : str
        Pin of a flip-flop's clock, else empty.
    """

    cell: Cell
    inputs: dict[str, str]
    outputs: dict[str, str]
    clock: str = ""


def role(cell: Cell, pin: str) -> tuple[str, bool]:
    """("X" for the carry or "Y" for the sum of three inputs, inverted or not), or ("", False)."""
    values = truth_table(parse(cell.outputs[pin].function), list(cell.inputs))
    for name, table in (("X", 0b11101000), ("Y", 0b10010110)):
        if values in (table, table ^ 0xFF):
            return name, values != table
    return "", False


def is_full_adder(cell: Cell) -> bool:
    """Whether a cell gives the carry and the sum of its three inputs, each inverted or not."""
    if len(cell.inputs) != 3 or len(cell.outputs) != 2 or cell.flipflop is not None:
        return False
    return {role(cell, pin)[0] for pin in cell.outputs} == {"X", "Y"}


def full_adder(library: Library) -> Cell | None:
    """The library's smallest full adder, with true or inverted outputs; None if it has none."""
    found = [cell for cell in library.cells.values() if is_full_adder(cell)]
    return min(found, key=lambda cell: (cell.area, cell.name), default=None)


def inverting_adder(library: Library) -> Placed | None:
    """The smallest full adder, if both its outputs are inverted."""
    cell = full_adder(library)
    if cell is None or not all(role(cell, pin)[1] for pin in cell.outputs):
        return None
    return Placed(
        cell,
        dict(zip("ABC", cell.inputs, strict=True)),
        {role(cell, pin)[0]: pin for pin in cell.outputs},
    )


def inverting_flipflop(library: Library) -> Placed | None:
    """The smallest plain flip-flop (rising clock, no set, no reset), if what it gives is the complement of D."""
    found = []
    for cell in library.cells.values():
        ff = cell.flipflop
        if (
            ff is None
            or not ff.rising
            or ff.clear
            or ff.preset
            or ff.next_state.strip("()") not in ("D", "!D")
        ):
            continue
        for pin, output in cell.outputs.items():
            function = output.function.strip("()")
            if function in (ff.state, ff.inverse):
                inverted = (function == ff.inverse) != (ff.next_state.strip("()") == "!D")
                found.append((cell.area, inverted, cell.name, pin))
    if not found or not min(found)[1]:
        return None
    _, _, name, pin = min(found)
    cell = library.cells[name]
    assert cell.flipflop is not None
    return Placed(cell, {"D": "D"}, {"Q": pin}, cell.flipflop.clock)


def inverting(library: Library) -> dict[str, Placed]:
    """Yosys's type of cell -> the library's that inverts; empty for most libraries."""
    found = {ADDER: inverting_adder(library), FLIPFLOP: inverting_flipflop(library)}
    return {name: placed for name, placed in found.items() if placed is not None}


def place(data: dict[str, Any], cells: dict[str, Placed]) -> int:
    """Put inverting cells for Yosys's into a design of gates, in place.

    Parameters
    ----------
    data : dict
        Yosys's JSON, of gates of one bit, ``$fa`` and ``$_DFF_P_``.
    cells : dict
        Of :func:`inverting`.

    Returns
    -------
    int
        Inverters that the phases leave, in all modules together (ABC may yet absorb some).
    """
    total = 0
    for module in data["modules"].values():
        names = [name for name, cell in module["cells"].items() if cell["type"] in cells]
        if names:
            phases, inverters = _phases(module, names, cells)
            total += inverters
            _replace(module, names, phases, cells)
    return total


def _phases(module: dict[str, Any], names: list[str], cells: dict[str, Placed]) -> tuple[Ints, int]:
    """Phase of each cell (1: it takes inverted inputs, gives true outputs), and the inverters that remain."""
    through: dict[Any, Any] = {}  # output of an inverter -> its input
    for cell in module["cells"].values():
        if cell["type"] == "$_NOT_":
            through[cell["connections"]["Y"][0]] = cell["connections"]["A"][0]
    numbers: dict[Any, int] = {}

    def root(bit: Any) -> tuple[int, int]:
        parity = 0
        while bit in through:
            bit, parity = through[bit], 1 - parity
        return numbers.setdefault(bit, len(numbers)), parity

    needs: list[tuple[int, int, int]] = []  # cell, net, parity
    gives: list[tuple[int, int]] = []  # cell, net
    for number, name in enumerate(names):
        record = module["cells"][name]
        placed = cells[record["type"]]
        for port in placed.inputs:
            bit = record["connections"][port][0]
            if not isinstance(bit, str):  # constants come in either phase
                needs.append((number, *root(bit)))
        for port in placed.outputs:
            gives.append((number, root(record["connections"][port][0])[0]))
    fixed: list[tuple[int, int]] = []  # net, parity of a true need
    source: dict[int, int] = {}
    for port in module["ports"].values():
        for bit in port["bits"]:
            if not isinstance(bit, str):
                net, parity = root(bit)
                if port["direction"] == "input":
                    source[net] = 0
                else:
                    fixed.append((net, parity))
    for record in module["cells"].values():  # other cells that are closed to ABC: true pins alone
        if record["type"] in cells or (record["type"].startswith("$_") and "DFF" not in record["type"]):
            continue
        for port, bits in record["connections"].items():
            for bit in bits:
                if isinstance(bit, str):
                    continue
                net, parity = root(bit)
                if record.get("port_directions", {}).get(port) == "output":  # Yosys knows no library's pins
                    source[net] = 0
                else:
                    fixed.append((net, parity))
    nets = len(numbers)
    given = np.full(nets, -1, dtype=np.int64)  # phase of a net's source; -1: ABC gives either
    for net, phase in source.items():
        given[net] = phase
    driver = np.full(nets, -1, dtype=np.int64)
    for cell_number, net in gives:
        driver[net] = cell_number
    count = np.zeros((nets, 2), dtype=np.int64)
    for net, parity in fixed:
        count[net, parity] += 1
    starts, items = _grouped(needs, len(names))
    out_starts, out_items = _grouped([(c, n, 0) for c, n in gives], len(names))
    return _anneal(
        starts, items, out_starts, out_items, given, driver, count, SWEEPS, np.random.default_rng(1)
    )


def _grouped(triples: list[tuple[int, int, int]], groups: int) -> tuple[Ints, Ints]:
    """(net, parity) by cell, and where each cell's begin; shapes (groups + 1,), (n, 2)."""
    ordered = sorted(triples)
    keys = np.array([t[0] for t in ordered], dtype=np.int64)
    items = np.array([t[1:] for t in ordered], dtype=np.int64).reshape(-1, 2)
    return np.searchsorted(keys, np.arange(groups + 1)).astype(np.int64), items


@numba.njit(cache=True, nogil=True)
def _inverters(net, count, given, driver, phase):
    """Inverters that a net needs: one if a phase that its source does not give is asked for."""
    has = given[net]
    if driver[net] >= 0:
        has = 1 - phase[driver[net]]
    if has < 0:
        return 1 if count[net, 0] > 0 and count[net, 1] > 0 else 0
    return 1 if count[net, 1 - has] > 0 else 0


@numba.njit(cache=True, nogil=True)
def _anneal(starts, items, out_starts, out_items, given, driver, count, sweeps, rng):
    """Simulated annealing from all phases 0; the best that was seen. O(pins) a sweep, no allocation in it."""
    cells = len(starts) - 1
    phase = np.zeros(cells, dtype=np.int64)
    for i in range(len(items)):
        count[items[i, 0], items[i, 1]] += 1
    cost = 0
    for net in range(len(given)):
        cost += _inverters(net, count, given, driver, phase)
    best, best_phase = cost, phase.copy()
    for sweep in range(sweeps):
        temperature = _HOT * (_COLD / _HOT) ** (sweep / max(sweeps - 1, 1))
        for _ in range(cells):
            cell = rng.integers(0, cells)
            change = _flip(cell, starts, items, out_starts, out_items, given, driver, count, phase)
            if change > 0 and rng.random() >= np.exp(-change / temperature):
                _flip(cell, starts, items, out_starts, out_items, given, driver, count, phase)
                continue
            cost += change
            if cost < best:
                best = cost
                best_phase[:] = phase
    return best_phase, best


@numba.njit(cache=True, nogil=True)
def _flip(cell, starts, items, out_starts, out_items, given, driver, count, phase):
    """Turn a cell's phase; gives the change in inverters."""
    change = 0
    for i in range(starts[cell], starts[cell + 1]):
        net, now = items[i, 0], items[i, 1] ^ phase[cell]
        change -= _inverters(net, count, given, driver, phase)
        count[net, now] -= 1
        count[net, 1 - now] += 1
        change += _inverters(net, count, given, driver, phase)
    before = 0
    for i in range(out_starts[cell], out_starts[cell + 1]):
        before += _inverters(out_items[i, 0], count, given, driver, phase)
    phase[cell] = 1 - phase[cell]
    for i in range(out_starts[cell], out_starts[cell + 1]):
        change += _inverters(out_items[i, 0], count, given, driver, phase)
    return change - before


def _replace(module: dict[str, Any], names: list[str], phases: Ints, cells: dict[str, Placed]) -> None:
    held = [bit for net in module["netnames"].values() for bit in net["bits"] if not isinstance(bit, str)]
    held += [
        bit
        for cell in module["cells"].values()
        for bits in cell["connections"].values()
        for bit in bits
        if not isinstance(bit, str)
    ]
    following = max(held, default=1) + 1

    def inverted(bit: Any, name: str, *, into: bool) -> Any:
        """A new net that an inverter drives from ``bit``, or drives ``bit`` from."""
        nonlocal following
        if into and isinstance(bit, str):
            return {"0": "1", "1": "0"}.get(bit, bit)
        fresh, following = following, following + 1
        ends = {"A": [bit], "Y": [fresh]} if into else {"A": [fresh], "Y": [bit]}
        module["cells"][name] = {
            "hide_name": 1, "type": "$_NOT_", "parameters": {}, "attributes": {},
            "port_directions": {"A": "input", "Y": "output"}, "connections": ends,
        }  # fmt: skip
        return fresh

    for name, phase in zip(names, phases, strict=True):
        record = module["cells"][name]
        placed = cells[record["type"]]
        pins, directions = {}, {}
        for port, pin in placed.inputs.items():
            bit = record["connections"][port][0]
            pins[pin] = [inverted(bit, f"{name}$not${pin}", into=True) if phase else bit]
            directions[pin] = "input"
        for port, pin in placed.outputs.items():
            bit = record["connections"][port][0]
            pins[pin] = [bit if phase else inverted(bit, f"{name}$not${pin}", into=False)]
            directions[pin] = "output"
        if placed.clock:
            pins[placed.clock] = record["connections"]["C"]
            directions[placed.clock] = "input"
        module["cells"][name] = {
            "hide_name": 1, "type": placed.cell.name, "parameters": {}, "attributes": {},
            "port_directions": directions, "connections": pins,
        }  # fmt: skip
