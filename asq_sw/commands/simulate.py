"""``asq simulate``."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from asq_sw.errors import nearest
from asq_sw.formats import GRIDS


class OneOf(click.ParamType):
    """A name of a table that is imported when the option is given or shown: ``module:TABLE``."""

    name = "name"

    def __init__(self, table: str):
        self.table = table

    def _names(self) -> list[str]:
        module, name = self.table.split(":")
        return list(getattr(import_module(module), name))

    def get_metavar(self, param: click.Parameter, ctx: click.Context | None = None) -> str:
        return f"[{'|'.join(self._names())}]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if value not in self._names():
            names = self._names()
            self.fail(
                f"{value!r} is not one of {', '.join(map(repr, names))}{nearest(value, names)}", param, ctx
            )
        return str(value)


@click.command(
    "simulate",
    epilog="Example: asq simulate resnet18 --rows 32 --cols 32 --grid post --wbits 4 --abits 4",
    help="Cycles, utilization, traffic and energy of NETWORK by layer: a built-in name (resnet18, resnet20, "
    "mobilenet_v2, ...), an .onnx file, or a SCALE-Sim topology .csv (convolutions or M,N,K GEMMs).",
)
@click.argument("network")
@click.option("--arrays", type=int, help="Equal arrays on one DRAM.  [default: 1]")
@click.option("--rows", type=int, help="Rows of the array.  [default: 32]")
@click.option("--cols", type=int, help="Columns of the array.  [default: 32]")
@click.option(
    "--dataflow",
    type=OneOf("hw.machine.dataflows:DATAFLOWS"),
    help="What stays in the array.  [default: ws]",
)
@click.option("--grid", type=click.Choice(GRIDS), help="Weight grid.  [default: post]")
@click.option("--wbits", type=int, help="Weight bits, 2 to 8.  [default: 4]")
@click.option("--abits", type=int, help="Activation bits, 2 to 8.  [default: 4]")
@click.option("--frac-bits", type=int, help="Fractional bits of the grid's rounded table.")
@click.option(
    "--unit",
    type=OneOf("hw.machine.spec:UNIT_DATAFLOWS"),
    help="MACs' area and energy: lone elements or 16x16 tiles.  [default: pe]",
)
@click.option("--clock-mhz", type=float, help="Clock, MHz.  [default: 500]")
@click.option("--batch", default=1, show_default=True, type=click.IntRange(min=1), help="Images at once.")
@click.option(
    "--fidelity",
    type=click.Choice(["1", "2"]),
    help="1: closed form; 2: tile by tile.  [default: 1; 2 with an option that needs it]",
)
@click.option("--trace", type=click.Path(), help="Timeline for the Perfetto viewer (.json); fidelity 2.")
@click.option(
    "--asq", type=click.Choice(["off", "two-pass", "producer"]), help="Cost of ASQ's step; fidelity 2."
)
@click.option("--dram", help="DRAM of fidelity 2: bandwidth, ddr4-2400, lpddr4-3200 or hbm2.")
@click.option(
    "--ifmap-banks", type=int, help="Banks of the ifmap scratchpad; their conflicts count, fidelity 2."
)
@click.option(
    "--zeros",
    type=click.Path(),
    help="JSON of python -m sim.studies.sparsity: MACs cost what they do with such zeros.",
)
@click.option("--gated", is_flag=True, help="With --zeros: zero activations leave an element as it is.")
@click.option("--config", type=click.Path(), help="TOML file of the machine; options override it.")
@click.option("--scalesim-cfg", type=click.Path(), help="SCALE-Sim .cfg: its machine and its conventions.")
@click.option(
    "--scalesim-traces",
    is_flag=True,
    help="With --scalesim-cfg and --csv: SCALE-Sim's per-cycle traces too (large).",
)
@click.option("--csv", "csv_dir", type=click.Path(), help="Folder for CSV reports.")
@click.option("--json", "json_path", type=click.Path(), help="JSON file, - for standard output.")
def command(
    network: str,
    batch: int,
    fidelity: str | None,
    trace: str | None,
    config: str | None,
    scalesim_cfg: str | None,
    scalesim_traces: bool,
    csv_dir: str | None,
    json_path: str | None,
    zeros: str | None,
    gated: bool,
    **machine: Any,
) -> None:
    from asq_sw.files import writable_folder, write_text

    if csv_dir is not None:
        writable_folder(csv_dir)
    if scalesim_cfg is not None:
        given = sorted(f"--{k.replace('_', '-')}" for k, v in machine.items() if v is not None)
        if given or config is not None:
            raise click.UsageError(
                f"--scalesim-cfg is the whole machine, expected no {(given or ['--config'])[0]}"
            )
        if zeros is not None:
            raise click.UsageError("--scalesim-cfg gives no energies, expected no --zeros")
        _scalesim(network, scalesim_cfg, csv_dir, json_path, scalesim_traces)
        return
    if gated and zeros is None:
        raise click.UsageError("--gated needs --zeros")
    if scalesim_traces:
        raise click.UsageError("--scalesim-traces needs --scalesim-cfg")
    from sim import Accelerator, simulate
    from sim.report import layer_csv, summary

    changes = {key: value for key, value in machine.items() if value is not None}
    accelerator = Accelerator.from_toml(config, **changes) if config else Accelerator(**changes)
    detailed = trace or accelerator.asq != "off" or accelerator.ifmap_banks
    chosen = int(fidelity) if fidelity else (2 if detailed else 1)
    shares = None
    if zeros is not None:
        from sim.studies.sparsity import read_shares

        shares = read_shares(zeros)
    result = simulate(network, accelerator, batch, chosen, trace, shares, gated)
    if csv_dir is not None:
        write_text(Path(csv_dir) / f"{result.network}_layers.csv", layer_csv(result))
    if json_path is not None:
        write_text(json_path, json.dumps(result.to_json(), indent=1))
    if json_path != "-":
        click.echo(summary(result))


def _scalesim(network: str, cfg: str, csv_dir: str | None, json_path: str | None, traces: bool) -> None:
    from asq_sw.files import write_text
    from sim.scalesim import drop_in as scalesim

    result = scalesim.simulate(network, cfg, csv_dir, memory=True, traces=traces)
    if json_path is not None:
        write_text(json_path, json.dumps(result.to_json(), indent=1))
    if json_path != "-":
        click.echo(scalesim.summary(result))
