"""``asq simulate``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from asq_sw.commands.options import machine_options


@click.command(
    "simulate",
    epilog="Example: asq simulate resnet18 --rows 32 --cols 32 --grid post --wbits 4 --abits 4",
    help="Cycles, utilization, traffic and energy of NETWORK by layer: a built-in name (resnet18, resnet20, "
    "mobilenet_v2, ...), an .onnx file, or a SCALE-Sim topology .csv (convolutions or M,N,K GEMMs).",
)
@click.argument("network")
@machine_options()
@click.option("--batch", default=1, show_default=True, type=click.IntRange(min=1), help="Images at once.")
@click.option(
    "--fidelity",
    type=click.Choice(["1", "2"]),
    help="1: closed form; 2: tile by tile.  [default: 1; 2 with an option that needs it]",
)
@click.option("--trace", type=click.Path(), help="Timeline for the Perfetto viewer (.json); fidelity 2.")
@click.option(
    "--zeros",
    type=click.Path(),
    help="JSON of python -m sim.studies.sparsity: MACs cost what they do with such zeros.",
)
@click.option("--gated", is_flag=True, help="With --zeros: zero activations leave an element as it is.")
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
    machine: dict[str, Any],
) -> None:
    from asq_sw.files import writable_folder, write_text

    if csv_dir is not None:
        writable_folder(csv_dir)
    if scalesim_cfg is not None:
        _alone(("network", "scalesim_cfg", "scalesim_traces", "csv_dir", "json_path"))
        _scalesim(network, scalesim_cfg, csv_dir, json_path, scalesim_traces)
        return
    if gated and zeros is None:
        raise click.UsageError("--gated needs --zeros")
    if scalesim_traces:
        raise click.UsageError("--scalesim-traces needs --scalesim-cfg")
    from sim import Accelerator, simulate
    from sim.report import layer_csv, summary

    accelerator = Accelerator.from_toml(config, **machine) if config else Accelerator(**machine)
    detailed = accelerator.tiled_fields
    if fidelity == "1" and detailed:
        raise click.UsageError(
            f"--fidelity 1 does not see {', '.join(detailed)}, expected 2 or the default there"
        )
    chosen = int(fidelity) if fidelity else (2 if trace or detailed else 1)
    shares = None
    if zeros is not None:
        from sim.studies.sparsity import read_shares
        from sim.workload import load

        shares = read_shares(zeros, load(network))
    result = simulate(network, accelerator, batch, chosen, trace, shares, gated)
    if result.without_zeros:
        click.echo(
            f"asq simulate: {zeros} has no zeros of {', '.join(result.without_zeros)}: taken with the default operands",
            err=True,
        )
    if csv_dir is not None:
        write_text(Path(csv_dir) / f"{result.network}_layers.csv", layer_csv(result))
    if json_path is not None:
        write_text(json_path, json.dumps(result.to_json(), indent=1))
    if json_path != "-":
        click.echo(summary(result))


def _alone(taken: tuple[str, ...]) -> None:
    """Refuse options that a SCALE-Sim machine would leave unread: all but ``taken``."""
    context = click.get_current_context()
    for option in context.command.params:
        name = option.name or ""
        if name not in taken and context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise click.UsageError(f"--scalesim-cfg is the whole machine, expected no {option.opts[0]}")


def _scalesim(network: str, cfg: str, csv_dir: str | None, json_path: str | None, traces: bool) -> None:
    from asq_sw.files import write_text
    from sim.scalesim import drop_in as scalesim

    result = scalesim.simulate(network, cfg, csv_dir, memory=True, traces=traces)
    if json_path is not None:
        write_text(json_path, json.dumps(result.to_json(), indent=1))
    if json_path != "-":
        click.echo(scalesim.summary(result))
