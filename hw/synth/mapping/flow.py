"""From RTLIL to a mapped netlist: Yosys and ABC under a clock period, by several recipes, the best one kept.

A recipe is a multiplier style (where the design multiplies), an adder style and an ABC script. Adder styles
that begin with ``cells-`` take the library's full-adder cell: ABC maps cells of one output alone, and builds
a larger full adder, with more glitches, of exclusive-ors. No single recipe is best: area-flow mapping gives
the smallest slow circuit, delay-oriented mapping with gate sizing the smallest fast one. All recipes run
(about 0.1 s each for a processing element), our own static timing judges each result, and the smallest
netlist that meets the clock is kept; if none does, the fastest. All designs get the same recipes.
"""

from __future__ import annotations

import inspect
import json
import logging
import os
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asq_sw.errors import ToolError
from asq_sw.files import temporary_folder
from asq_sw.provenance import versions
from hw.rtl.yosys import run_yosys
from hw.synth.libraries.library import Library, to_liberty
from hw.synth.mapping import cache, polarity
from hw.synth.mapping.buffers import buffered
from hw.synth.netlists.netlist import Netlist, from_yosys
from hw.synth.timing import Timing, analyze

LOG = logging.getLogger("asq.synth")
TOP = "top"
_SAVE = "design -save gates"

# The carry of an adder, one bit after the other. Its name sorts before Yosys's own (Brent-Kung), so it is
# tried first.
_RIPPLE = """
(* techmap_celltype = "$lcu" *)
module _80_lcu_ripple (P, G, CI, CO);
    parameter WIDTH = 2;
    (* force_downto *) input [WIDTH-1:0] P, G;
    input CI;
    (* force_downto *) output [WIDTH-1:0] CO;
    genvar i;
    generate
        for (i = 0; i < WIDTH; i = i + 1) begin : bits
            if (i == 0) assign CO[i] = G[i] | (P[i] & CI);
            else assign CO[i] = G[i] | (P[i] & CO[i-1]);
        end
    endgenerate
endmodule
"""

_ADDERS = {
    "ripple": "techmap -map ripple.v -map +/techmap.v",
    "brent-kung": "techmap",
    "sklansky": "techmap -map +/choices/sklansky.v -map +/techmap.v",
}
# Full-adder cells: found among the gates of these adder styles, and kept from ABC, which maps cells of one
# output alone. With fewer scripts: what is left to ABC is small.
_CELLS = "cells-"
_CELL_ADDERS = tuple(_CELLS + adder for adder in ("ripple", "brent-kung"))
_CELL_SCRIPTS = ("area", "flow", "flow-sized", "delay-sized-1.2", "delay-sized-1.0")

_OPTIMIZE = "strash; &get -n; &fraig -x; &put; scorr; dc2"
# The resubstitution script that ABC's start-up file calls compress2rs (pyosys brings no start-up file).
_COMPRESS = (
    "balance -l; resub -K 6 -l; rewrite -l; resub -K 6 -N 2 -l; refactor -l; resub -K 8 -l; balance -l; "
    "resub -K 8 -N 2 -l; rewrite -l; resub -K 10 -l; rewrite -z -l; resub -K 10 -N 2 -l; balance -l; "
    "resub -K 12 -l; refactor -z -l; resub -K 12 -N 2 -l; rewrite -z -l; balance -l"
)
_SIZE = "buffer -c; topo; upsize {D}; dnsize {D}"
# Name -> ABC commands, and the period that ABC is asked for in units of the clock's: it sees neither the
# flip-flops' own delay nor the wires, and its sizing overshoots, so that several are tried.
_SCRIPTS = {
    "area": (f"{_OPTIMIZE}; {_COMPRESS}; dch -f; amap -m", 1.0),
    "flow": (f"{_OPTIMIZE}; strash; &get -n; &dch -f; &nf {{D}}; &put", 1.0),
    "flow-sized": (f"{_OPTIMIZE}; strash; &get -n; &dch -f; &nf {{D}}; &put; {_SIZE}", 0.85),
    **{
        f"delay-sized-{factor}": (f"{_OPTIMIZE}; dch -f; map -B 0.9 {{D}}; {_SIZE}", factor)
        for factor in (1.5, 1.2, 1.0, 0.85, 0.7)
    },
}

# How Yosys builds a multiplication: an array of partial products, or Booth's radix-4 recoding in two ways.
_MULTIPLIERS = {"": [], "booth": ["booth"], "booth-lowpower": ["booth -lowpower"]}


def styles(rtlil: str) -> list[tuple[str, str]]:
    """(multiplier, adder) styles to try; one multiplier style for a design that does not multiply."""
    multipliers = list(_MULTIPLIERS) if " $mul " in rtlil else [""]
    return [(multiplier, adder) for multiplier in multipliers for adder in (*_ADDERS, *_CELL_ADDERS)]


def recipes(rtlil: str, library: Library) -> list[str]:
    """Names of the recipes for a design: multiplier style (if any), adder style, ABC script.

    The adder styles that begin with ``cells-`` take the library's full-adder cell, where it has one.
    """
    names = []
    for style in styles(rtlil):
        cells = style[1] in _CELL_ADDERS
        if not cells or polarity.full_adder(library) is not None:
            names += [_recipe(*style, script) for script in (_CELL_SCRIPTS if cells else _SCRIPTS)]
    return names


def _recipe(multiplier: str, adder: str, script: str) -> str:
    return f"{multiplier} {adder} {script}".strip()


@dataclass(frozen=True)
class Mapped:
    """A mapped netlist and how it came about.

    Attributes
    ----------
    netlist : Netlist
    timing : Timing
    recipe : str
        Adder style and ABC script of the netlist.
    tried : dict
        Every recipe -> (area um^2, delay ns).
    """

    netlist: Netlist
    timing: Timing
    recipe: str
    tried: dict[str, tuple[float, float]]


def front(folder: str, multiplier: str, keep: str = "") -> list[str]:
    """Commands from RTLIL to word-level cells, in one module; but for modules named ``keep``."""
    return [
        # ABC's form of the library is kept by Yosys under a hash of the path, for ever, in /tmp by default.
        f"libcache -scl -dir {folder}",
        f"read_rtlil {folder}/design.il",
        f"hierarchy -check -top {TOP}",
        "proc",
        *([f"setattr -mod -set keep_hierarchy 1 {keep}"] if keep else []),
        "flatten",
        "opt -full",
        "wreduce",
        "peepopt",
        "opt_clean",
        *_MULTIPLIERS[multiplier],
        "alumacc",
        "share",
        "opt -full",
        "memory",
        "opt -full",
    ]


def gates(folder: str, adder: str, extracted: bool = False) -> list[str]:
    """Commands from word-level cells to gates, and to full-adder cells if the style takes them.

    ``extracted``: leave Yosys's full adders for :mod:`hw.synth.mapping.polarity`.
    """
    techmap = _ADDERS[adder.removeprefix(_CELLS)].replace("ripple.v", f"{folder}/ripple.v")
    cells = []
    if adder.startswith(_CELLS):
        # An inverted output, if so, is simplemap's to make a gate of.
        kept = [] if extracted else [f"techmap -map {folder}/full_adder.v", "simplemap"]
        cells = ["extract_fa -fa", *kept, "opt"]
    # Optimization shares what large tables have in common through word-level multiplexers.
    return [techmap, "opt -full", "simplemap", *cells]


def to_gates(folder: str, start: list[str], adder: str, library: Library) -> list[str]:
    """Commands that bring a design to gates and the library's flip-flops, after the commands ``start``.

    A library with inverting cells (:mod:`hw.synth.mapping.polarity`) has them placed between two runs of Yosys; the first
    is then made here.

    Raises
    ------
    ToolError
        If that run fails.
    """
    inverting = polarity.inverting(library)
    commands = [*start, *gates(folder, adder, polarity.ADDER in inverting)]
    if inverting:
        cut = Path(tempfile.mkdtemp(dir=folder)) / "gates.json"
        run_yosys(
            [
                *commands,
                f"dfflibmap -prepare -liberty {folder}/cells.lib",
                "opt_clean -purge",
                f"write_json {cut}",
            ]
        )
        data = read_json(cut)
        polarity.place(data, inverting)
        cut.write_text(json.dumps(data), encoding="utf-8")
        commands = [f"libcache -scl -dir {folder}", f"read_json {cut}"]
    return [*commands, *_flipflops(folder)]


def _flipflops(folder: str) -> list[str]:
    """Commands from Yosys's flip-flops to the library's."""
    return [f"dfflibmap -liberty {folder}/cells.lib", "opt"]


def _mapping(folder: str, recipe: str, script: str, clock_ns: float) -> list[str]:
    """Commands from gates (the saved design ``gates``) to library cells, and the netlist as a file."""
    return [
        "design -load gates",
        f"abc -liberty {folder}/cells.lib -constr {folder}/limits.constr -D {clock_ns * 1000:.0f} "
        f"-script {folder}/{script}.abc",
        "setattr -mod -unset keep_hierarchy *",
        "flatten",
        "setundef -zero",
        "opt_clean -purge",
        f"write_json {folder}/{recipe.replace(' ', '.')}.json",
    ]


def synthesize(
    rtlil: str,
    library: Library,
    clock_ns: float,
    wires: str = "fanout",
    only: tuple[str, ...] = (),
    keep: str = "",
) -> Mapped:
    """Map a design whose top module is ``top``.

    Parameters
    ----------
    rtlil : str
        The design, with one clock at most.
    library : Library
    clock_ns : float
        The clock period to meet.
    wires : str
        Wire model for the judgement (:mod:`hw.synth.netlists.wires`).
    only : tuple of str
        The recipes to try; by default :func:`recipes`.
    keep : str
        Name of a module that is mapped once and then copied, as an array's processing element.

    Raises
    ------
    ToolError
        If Yosys fails with every recipe.
    """
    key = cache.key(
        "netlist 2",
        rtlil,
        library.digest,
        f"{clock_ns:.6g}",
        wires,
        *only,
        keep,
        _flow_text(library),
        *map(str, versions().items()),
    )
    mapped = cache.get(key)
    LOG.debug("netlist at %.4g ns %s", clock_ns, "from the cache" if mapped else "by Yosys")
    if mapped is None:
        mapped = _run(rtlil, library, clock_ns, wires, only or tuple(recipes(rtlil, library)), keep)
        cache.put(key, mapped)
    LOG.debug("recipe %s, the best of %d", mapped["recipe"], len(mapped["tried"]))
    netlist = buffered(from_yosys(mapped["yosys"], library, TOP))
    tried = {recipe: (area, delay) for recipe, (area, delay) in mapped["tried"].items()}
    return Mapped(netlist, analyze(netlist, wires), mapped["recipe"], tried)


def _flow_text(library: Library) -> str:
    """What the flow does to a design with this library."""
    words = [front("", multiplier, "kept") for multiplier in _MULTIPLIERS]
    ends = [*_flipflops(""), _SAVE]
    styles = [gates("", adder) + ends for adder in (*_ADDERS, *_CELL_ADDERS)]
    text = json.dumps([words, styles, _mapping("", "", "", 1.0), _SCRIPTS, _RIPPLE])
    return text + inspect.getsource(polarity) if polarity.inverting(library) else text


def _run(
    rtlil: str, library: Library, clock_ns: float, wires: str, chosen: tuple[str, ...], keep: str
) -> dict[str, Any]:
    if polarity.full_adder(library) is None:
        chosen = tuple(recipe for recipe in chosen if _CELLS not in recipe)
    with temporary_folder("synth") as folder:
        name = str(folder)
        write_inputs(folder, rtlil, library, clock_ns)

        def one_style(style: tuple[str, str]) -> list[str]:
            scripts = [script for script in _SCRIPTS if _recipe(*style, script) in chosen]
            mappings = [_mapping(name, _recipe(*style, script), script, clock_ns) for script in scripts]
            if not mappings:
                return []
            try:
                start = to_gates(name, front(name, style[0], keep), style[1], library)
            except ToolError as failed:
                return [str(failed)]
            start.append(_SAVE)
            try:
                run_yosys(start + [line for mapping in mappings for line in mapping])
                return []
            except ToolError:
                return [error for mapping in mappings if (error := _failure(start + mapping))]

        with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
            errors = [error for failed in pool.map(one_style, styles(rtlil)) for error in failed]
        results = []
        for recipe in chosen:
            file = folder / f"{recipe.replace(' ', '.')}.json"
            if file.exists():
                data = read_json(file)
                netlist = buffered(from_yosys(data, library, TOP))
                results.append((recipe, netlist.area, analyze(netlist, wires).delay_ns, data))
        if not results:
            raise ToolError(errors[0])
    meeting = [r for r in results if r[2] <= clock_ns]
    best = min(meeting, key=lambda r: (r[1], r[2])) if meeting else min(results, key=lambda r: (r[2], r[1]))
    return {
        "recipe": best[0],
        "tried": {name: (area, delay) for name, area, delay, _ in results},
        "yosys": _pruned(best[3]),
    }


def read_json(file: Path) -> Any:
    """What Yosys wrote.

    Raises
    ------
    ToolError
        If it is not whole: Yosys does not tell of a full disk.
    """
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ToolError(
            f"{file}: Yosys wrote a part of it alone, expected room for temporary files"
        ) from error


def write_inputs(folder: Path, rtlil: str, library: Library, clock_ns: float) -> None:
    """Write what the Yosys commands of this module read."""
    (folder / "design.il").write_text(rtlil, encoding="utf-8")
    (folder / "cells.lib").write_text(to_liberty(library), encoding="utf-8")
    (folder / "ripple.v").write_text(_RIPPLE, encoding="utf-8")
    (folder / "full_adder.v").write_text(_full_adder(library), encoding="utf-8")
    buffer = library.cells[library.driving_cell]
    load = next(iter(buffer.inputs.values())).capacitance
    (folder / "limits.constr").write_text(
        f"set_driving_cell {buffer.name}\nset_load {load:.4g}\n", encoding="utf-8"
    )
    for script, (text, factor) in _SCRIPTS.items():
        lines = text.replace("{D}", f"-D {factor * clock_ns * 1000:.0f}").replace("; ", "\n")
        (folder / f"{script}.abc").write_text(lines + "\n", encoding="utf-8")


def _full_adder(library: Library) -> str:
    """Verilog that maps Yosys's full adder to the library's, if there is one."""
    cell = polarity.full_adder(library)
    if cell is None:
        return ""
    pins = [f".\\{pin} ({bit}[i])" for pin, bit in zip(cell.inputs, "ABC", strict=True)]
    lines = []
    for pin in cell.outputs:
        role, inverted = polarity.role(cell, pin)
        pins.append(f".\\{pin} ({role.lower()}[i])")
        lines.append(f"    assign {role} = {'~' if inverted else ''}{role.lower()};")
    return f"""
(* techmap_celltype = "$fa" *)
module _80_full_adder (A, B, C, X, Y);
    parameter WIDTH = 1;
    (* force_downto *) input [WIDTH-1:0] A, B, C;
    (* force_downto *) output [WIDTH-1:0] X, Y;
    wire [WIDTH-1:0] x, y;
{chr(10).join(lines)}
    genvar i;
    generate
        for (i = 0; i < WIDTH; i = i + 1) begin : bits
            \\{cell.name} adder ({", ".join(pins)});
        end
    endgenerate
endmodule
"""


def _failure(commands: list[str]) -> str:
    """Why Yosys fails with these commands, or nothing. ABC crashes on some logic with some scripts."""
    try:
        run_yosys(commands)
    except ToolError as error:
        return str(error)
    return ""


def _pruned(data: dict[str, Any]) -> dict[str, Any]:
    """What :func:`from_yosys` reads of Yosys's JSON."""
    module = data["modules"][TOP]
    return {
        "modules": {
            TOP: {
                "ports": module["ports"],
                "cells": {
                    name: {"type": cell["type"], "connections": cell["connections"]}
                    for name, cell in module["cells"].items()
                },
            }
        }
    }
