"""The ``asq`` command: finds the subcommand's module, runs it, turns bad input into one line and status 2."""

from __future__ import annotations

import importlib

import click

from asq_sw import __version__
from asq_sw.console import run

# name -> one-line help; the module asq_sw.commands.NAME holds `command`, imported only when it is called,
# so that `asq --help` does not wait for numba.
COMMANDS = {
    "simulate": "Cycles, throughput, traffic and energy of a network on an array.",
    "verilog": "Write synthesizable Verilog of a multiplier, processing element, array or tile.",
    "train": "Train a network with quantizers in the loop, without PyTorch.",
    "eval": "Accuracy of a trained network, as float32 or in integers alone.",
    "export": "Write a trained network as integers (.npz) or ONNX.",
    "sweep": "Explore array shapes, dataflows, grids, widths and buffers; Pareto front.",
    "synth": "Area, delay, leakage and energy per MAC from a synthesized netlist.",
    "report": "The whole cross-check as one HTML page with its data beside it.",
}


class LazyGroup(click.Group):
    """A click group whose commands are imported when they are used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        return importlib.import_module(f"asq_sw.commands.{name}").command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="asq")
def cli() -> None:
    """Low-bit accelerators built on POST arithmetic: simulate, generate Verilog, measure area and energy.

    Example: asq simulate resnet18 --rows 32 --cols 32 --grid post --wbits 4 --abits 4
    """


def main(args: list[str] | None = None) -> None:
    """Run the command line; exit status 0, 1 (failed), 2 (bad input) or 130 (interrupted)."""
    run(cli, "asq", args)


if __name__ == "__main__":
    main()
