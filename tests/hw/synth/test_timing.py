"""Static timing: against a walk along every path, hand figures, and OpenSTA where it is installed."""

import re
import shutil
import subprocess

import circuits
import places
import pytest

from asq_sw.formats import WeightFormat
from hw.rtl.verilog import to_rtlil
from hw.synth.libraries import library as libraries
from hw.synth.libraries.library import to_liberty
from hw.synth.mapping.flow import synthesize
from hw.synth.netlists.netlist import to_verilog
from hw.synth.netlists.wires import net_load
from hw.synth.timing import analyze, typical_slew
from hw.units.spec import UnitSpec

SHARED = places.SHARED / "liberty"


def longest_path(design):
    """Longest register-to-register or input-to-register path, by walking every path from its end.

    All delays of the mini library but INV's are constants, INV's slews are, so path delays add.
    """
    library = design.library
    load = net_load(design, "none")
    slews = {"BUF": (0.010, 0.010), "NAND": (0.010, 0.010), "XOR": (0.010, 0.010), "DFF": (0.010, 0.010)}
    slews["INV"] = (0.010, 0.030)
    driver = {i.pins[pin]: i for i in design.instances for pin in i.cell.outputs if pin in i.pins}
    clock_slew = typical_slew(library)

    def paths(net, edge):
        """Every (delay, slew at the net) with which the net can rise (0) or fall (1)."""
        instance = driver.get(net)
        if instance is None or instance.cell.flipflop:
            yield (0.050, 0.060)[edge], 0.010  # a register's clock-to-Q, also before an input
            return
        for arc in instance.cell.outputs["Y"].arcs:
            sources = {"+": [edge], "-": [1 - edge], "*": [0, 1]}[arc.sense]
            for source in sources:
                for delay, slew in paths(instance.pins[arc.related], source):
                    table = (arc.rise, arc.fall)[edge]
                    yield delay + table.at(slew, load[net, edge]), slews[instance.cell.name][edge]

    ends = [(i.pins["D"], edge, setup) for i in design.flipflops for edge, setup in ((0, 0.007), (1, 0.009))]
    ends += [(net, edge, 0.0) for net in design.ports["y"].nets for edge in (0, 1)]
    assert clock_slew > 0
    return max(delay + setup for net, edge, setup in ends for delay, _ in paths(net, edge))


@pytest.mark.parametrize("seed", range(6))
def test_every_path_walked(mini, seed):
    design = circuits.random_netlist(mini, seed, gates=14)
    # A net takes the worst slew of its paths, so the analysis may exceed the longest single path only
    # where INV (the one cell whose delay depends on slew) merges them; here slews into INV are equal or
    # INV's own falling 30 ps.
    assert analyze(design, "none").delay_ns == pytest.approx(longest_path(design), rel=1e-9)


def test_chain_by_hand(mini):
    design = circuits.netlist(
        mini,
        {"clk": ("input", [2]), "a": ("input", [3]), "y": ("output", [7])},
        {
            "n": ("NAND", {"A": 3, "B": 6, "Y": 4}),
            "x": ("XOR", {"A": 4, "B": 3, "Y": 5}),
            "f": ("DFF", {"D": 5, "CK": 2, "Q": 6}),
            "b": ("BUF", {"A": 6, "Y": 7}),
        },
    )
    timing = analyze(design, "none")
    # Q rises (50), NAND.A to falling 28 from a rising input (A: the launch register), XOR falls 33, setup 9.
    assert timing.delay_ns == pytest.approx(0.050 + 0.028 + 0.033 + 0.009)
    assert timing.path == ("NAND", "XOR")
    assert timing.endpoint == "D of DFF"


def test_combinational_unit_starts_at_zero(mini):
    design = circuits.netlist(
        mini,
        {"a": ("input", [2]), "b": ("input", [3]), "y": ("output", [5])},
        {"x": ("XOR", {"A": 2, "B": 3, "Y": 4}), "b": ("BUF", {"A": 4, "Y": 5})},
    )
    timing = analyze(design, "none")
    assert timing.delay_ns == pytest.approx(0.037 + 0.010)
    assert timing.path == ("XOR", "BUF")
    assert timing.endpoint == "y[0]"


def test_wires_slow_it_down():
    spec = UnitSpec("multiplier", WeightFormat("post", 3), 3)
    library = libraries.load("nangate45")
    design = synthesize(to_rtlil(spec.build(), "top"), library, 2.0, only=("ripple area",)).netlist
    delays = [analyze(design, wires).delay_ns for wires in ("none", "fanout", "library")]
    assert delays[0] < delays[1]
    assert delays[0] < delays[2]


def opensta(folder, design, library_file):
    """OpenSTA's minimum period, with a register before each input as our analysis assumes."""
    library = design.library
    ff = min((c for c in library.cells.values() if c.flipflop), key=lambda c: (c.area, c.name))
    clock, out = ff.flipflop.clock, next(iter(ff.outputs))
    data = next(pin for pin in ff.inputs if pin != clock)
    verilog = to_verilog(design)
    for port, bits in design.inputs().items():
        for i, net in enumerate(bits.nets):
            verilog = verilog.replace(
                f"  assign n{net} = {port}[{i}];",
                f"  {ff.name} launch_{port}_{i} "
                f"(.{clock}({design.clock}), .{data}({port}[{i}]), .{out}(n{net}));",
            )
    (folder / "unit.v").write_text(verilog)
    (folder / "run.tcl").write_text(
        f"read_liberty {library_file}\nread_verilog {folder}/unit.v\nlink_design top\n"
        f"create_clock -name c -period 100 {design.clock}\n"
        f"set_clock_transition {typical_slew(library)} c\nreport_checks -path_delay max -digits 6\nexit\n"
    )
    done = subprocess.run(["sta", "-exit", folder / "run.tcl"], capture_output=True, text=True, check=False)
    slack = re.search(r"([\d.]+)\s+slack", done.stdout)
    assert slack, done.stdout + done.stderr
    return 100 - float(slack[1])


@pytest.mark.skipif(shutil.which("sta") is None, reason="OpenSTA is not installed")
@pytest.mark.parametrize(
    "node",
    [
        "nangate45",
        pytest.param("sky130hd", marks=pytest.mark.slow),
        pytest.param("asap7", marks=pytest.mark.slow),
    ],
)
def test_opensta_agrees(node, tmp_path):
    library = libraries.load(node)
    spec = UnitSpec("pe", WeightFormat("post", 3), 3)
    design = synthesize(to_rtlil(spec.build(), "top"), library, 2.0, only=("sklansky flow",)).netlist
    (tmp_path / "cells.lib").write_text(to_liberty(library))
    ours = analyze(design, "none").delay_ns
    assert ours == pytest.approx(opensta(tmp_path, design, tmp_path / "cells.lib"), rel=2e-5)


@pytest.mark.skipif(shutil.which("sta") is None, reason="OpenSTA is not installed")
@pytest.mark.skipif(not SHARED.is_dir(), reason="the original libraries are not here")
@pytest.mark.parametrize("name", ["nangate45_typ", "sky130hd_tt"])
def test_opensta_agrees_on_the_original_library(name, tmp_path):
    """The same with the library itself instead of our table: what reducing it costs."""
    import gzip

    library = libraries.load(name.split("_")[0])
    spec = UnitSpec("pe", WeightFormat("post", 3), 3)
    design = synthesize(to_rtlil(spec.build(), "top"), library, 2.0, only=("sklansky flow",)).netlist
    text = gzip.decompress((SHARED / f"{name}.lib.gz").read_bytes()).decode()
    (tmp_path / "cells.lib").write_text(re.sub(r"default_wire_load.*", "", text))
    ours = analyze(design, "none").delay_ns
    assert ours == pytest.approx(opensta(tmp_path, design, tmp_path / "cells.lib"), rel=1e-3)
