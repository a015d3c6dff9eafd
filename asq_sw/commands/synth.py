"""``asq synth``."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from asq_sw.commands import options
from asq_sw.commands.options import NODE, Number, not_taken, unit_options
from asq_sw.terminal import working

if TYPE_CHECKING:
    from rich.table import Table

    from hw.synth.fpga import FpgaCost
    from hw.synth.libraries.library import Library
    from hw.synth.measure import Measurement
    from hw.units.unit import Unit


@click.command(
    "synth",
    epilog="Example: asq synth pe --grid post --wbits 4 --abits 4 --node nangate45 --json cost.json",
    help="Synthesize UNIT (multiplier, pe, array, ...) for a cell library: area, delay, leakage, and energy "
    "per multiply-accumulate from a gate-level simulation of the netlist. Or place and route it (--fpga). A tile takes "
    "every option of the search for a datapath.",
)
@unit_options(side=1)
@click.option("--node", type=NODE, help="Cell library.  [default: nangate45]")
@click.option(
    "--liberty",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Liberty file instead of a node (may be repeated for a library in parts).",
)
@click.option(
    "--clock-ns", type=Number(min=0, min_open=True), help="Clock period to meet, ns.  [default: the node's]"
)
@click.option(
    "--clock-mhz", type=Number(min=0, min_open=True), help="The clock to meet by its frequency, MHz."
)
@click.option("--sweep", metavar="NS,NS,...", help="Clock periods to meet, one after the other: a curve.")
@click.option("--parts", is_flag=True, help="Area by part too: table, shifter, sign, adder, registers.")
@click.option("--netlist", type=click.Path(), help="Write the mapped netlist as Verilog.")
@click.option("--fpga", type=click.Choice(["ice40", "ecp5"]), help="Place and route for an FPGA instead.")
@click.option("--no-multipliers", is_flag=True, help="With --fpga: logic alone, no multiplier blocks.")
@click.option(
    "--wires",
    type=click.Choice(["fanout", "library", "none"]),
    default="fanout",
    show_default=True,
    help="Wire-load model.",
)
@click.option(
    "--glitches",
    type=click.Choice(["library", "unit", "none"]),
    default="library",
    show_default=True,
    help="Delays with which glitches are counted.",
)
@click.option("--weights", type=click.Path(path_type=Path), help=".npz of weights to multiply, (K, N).")
@click.option("--activations", type=click.Path(path_type=Path), help=".npz of activation codes, (K, T).")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the default operands.")
@click.option("--json", "json_path", type=click.Path(), help="JSON file, - for standard output.")
def command(
    unit: Unit,
    node: str | None,
    liberty: tuple[Path, ...],
    clock_ns: float | None,
    clock_mhz: float | None,
    sweep: str | None,
    parts: bool,
    netlist: str | None,
    fpga: str | None,
    no_multipliers: bool,
    wires: str,
    glitches: str,
    weights: Path | None,
    activations: Path | None,
    seed: int,
    json_path: str | None,
) -> None:
    clock_ns = options.clock_ns(clock_mhz, clock_ns)
    if node and liberty:
        raise click.UsageError("both --node and --liberty are given, expected one of them")
    if (weights is None) != (activations is None):
        raise click.UsageError("only one of --weights and --activations is given, expected both or none")
    if no_multipliers and not fpga:
        raise click.UsageError("--no-multipliers needs --fpga")
    if fpga and (node or liberty or clock_ns or sweep or parts or netlist or weights):
        raise click.UsageError("--fpga is given with an option of cell libraries, expected one or the other")
    if sweep and (clock_ns or parts or netlist):
        raise click.UsageError("--sweep is given with a clock, --parts or --netlist, expected it alone")
    periods = _periods(sweep) if sweep else [clock_ns]
    if weights is not None:
        from hw.units.unit import UNITS

        name = unit.record()["unit"]
        if "weight" not in UNITS[name].options:
            raise not_taken(name, "--weights", "weight")
    inputs = [path for path in (*liberty, weights, activations) if path is not None]
    with working(f"synthesizing {unit.name}"):
        if fpga:
            from hw.synth.fpga import measure_fpga

            routed = measure_fpga(unit, fpga, multipliers=not no_multipliers)
            record, table = routed.to_json(), lambda: _fpga_table(routed)
        else:
            from hw.nodes import DEFAULT_NODE
            from hw.synth.libraries import library as libraries
            from hw.synth.measure import read_liberty
            from hw.synth.parallel import Task, measure_all
            from hw.units.operands import from_files

            library = read_liberty(liberty) if liberty else libraries.load(node or DEFAULT_NODE)
            operands = None
            if weights and activations:
                formats: Any = unit  # it has a weight grid: see above
                operands = from_files(formats.weight, formats.activation, weights, activations)
            costs = measure_all([Task(unit, library, ns, operands, wires, glitches, seed) for ns in periods])
            record = {"sweep": [cost.to_json() for cost in costs]} if sweep else costs[0].to_json()
            if parts:
                from hw.synth.breakdown import breakdown

                record["parts_um2"] = breakdown(unit, library, costs[0].clock_ns).parts
            if netlist:
                _write_netlist(unit, library, costs[0], netlist)
            table = lambda: _sweep_table(costs) if sweep else _table(costs[0], record)  # noqa: E731
    if json_path is not None:
        from asq_sw.files import write_text
        from asq_sw.provenance import provenance

        write_text(json_path, json.dumps(record | {"provenance": provenance(inputs, seed)}, indent=1) + "\n")
    if json_path != "-":
        from asq_sw.terminal import render

        click.echo(render(table()))


def _periods(text: str) -> list[float | None]:
    try:
        periods: list[float | None] = [float(word) for word in text.split(",")]
        if all(period and 0 < period < math.inf for period in periods):
            return periods
    except ValueError:
        pass
    raise click.UsageError(f"--sweep is {text!r}, expected periods in ns such as 0.8,1,1.5")


def _write_netlist(unit: Unit, library: Library, cost: Measurement, path: str) -> None:
    from asq_sw.files import write_text
    from hw.synth.measure import synthesize_unit
    from hw.synth.netlists.netlist import to_verilog

    mapped = synthesize_unit(unit, library, cost.clock_ns, cost.wires)
    write_text(path, to_verilog(mapped.netlist, unit.name))


def _name(cost: Measurement | FpgaCost) -> str:
    record = cost.unit
    words = [record["unit"]]
    if "grid" in record:
        words += [record["grid"], f"{record['wbits']}x{record['abits']}", record["variant"]]
    if record.get("frac_bits") is not None:
        words.append(f"F={record['frac_bits']}")
    return " ".join(words)


def _per(cost: Measurement) -> str:
    """What the energies are per."""
    return "cycle" if cost.energy_per_mac_fj is None else "MAC"


def _three_columns(title: str, rows: list[tuple[str, str, str]], caption: str = "") -> Table:
    from rich.table import Table

    table = Table(
        title=title, caption=caption, title_justify="left", caption_justify="left", show_header=False
    )
    table.add_column()
    table.add_column(justify="right")
    table.add_column()
    for row in rows:
        table.add_row(*row)
    return table


def _table(cost: Measurement, record: dict[str, Any]) -> Table:
    share = cost.area_sequential_um2 / cost.area_um2 if cost.area_um2 else 0.0
    parts = record.get("parts_um2", {})
    per_mac = cost.area_per_mac_um2
    energy = (f"energy per {_per(cost)}", f"{sum(cost.energy_fj.values()):.4g}", "fJ")
    rows: list[tuple[str, str, str]] = [
        ("cells", f"{cost.cells}", ""),
        ("area", f"{cost.area_um2:.4g}", "um2"),
        ("  of it registers", f"{share:.1%}", ""),
        *([] if per_mac is None else [("  per MAC", f"{per_mac:.4g}", "um2")]),
        *((f"  {part}, cut apart", f"{area:.4g}", "um2") for part, area in parts.items()),
        ("delay", f"{cost.delay_ns:.4g}", "ns"),
        ("slack", f"{cost.slack_ns:.4g}", "ns"),
        ("leakage", f"{cost.leakage_nw:.4g}", "nW"),
        energy,
        *((f"  {part}", f"{value:.4g}", "fJ") for part, value in cost.energy_fj.items()),
        ("  of it glitches", f"{cost.glitch_fj:.4g}", "fJ"),
        ("transitions per net and cycle", f"{cost.activity:.4g}", ""),
    ]
    title = f"{_name(cost)} on {cost.node}, {cost.clock_ns:g} ns"
    caption = f"operands: {cost.operands}; wires: {cost.wires}; recipe: {cost.recipe}"
    return _three_columns(title, rows, caption)


def _fpga_table(cost: FpgaCost) -> Table:
    return _three_columns(
        f"{_name(cost)} on {cost.device}",
        [
            ("look-up tables", f"{cost.luts}", ""),
            *([] if cost.luts_per_mac is None else [("  per MAC", f"{cost.luts_per_mac:.4g}", "")]),
            ("flip-flops", f"{cost.ffs}", ""),
            ("multipliers", f"{cost.dsps}", ""),
            ("memories", f"{cost.brams}", ""),
            ("clock", f"{cost.fmax_mhz:.4g}", "MHz"),
        ],
    )


def _sweep_table(costs: list[Measurement]) -> Table:
    from rich.table import Table

    table = Table(title=f"{_name(costs[0])} on {costs[0].node}", title_justify="left")
    for head in ("clock ns", "delay ns", "slack ns", "area um2", f"energy/{_per(costs[0])} fJ", "recipe"):
        table.add_column(head, justify="left" if head == "recipe" else "right")
    for cost in costs:
        figures = (cost.clock_ns, cost.delay_ns, cost.slack_ns, cost.area_um2, sum(cost.energy_fj.values()))
        table.add_row(*(f"{figure:.4g}" for figure in figures), cost.recipe)
    return table
