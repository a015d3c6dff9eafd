"""The ``asq`` command: finds the subcommand, runs it, turns bad input into one line and status 2."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any

import click
from click.shell_completion import CompletionItem

from asq_sw import __version__, terminal
from asq_sw.console import run
from asq_sw.errors import nearest


@dataclass(frozen=True)
class Entry:
    """A subcommand: its line of ``asq --help``, and where its click command is.

    ``where`` is ``module:attribute``, by default ``command`` of the module of that name in ``asq_sw.commands``; it is
    imported when the subcommand is called, so that ``asq --help`` waits for nothing.
    """

    help: str
    where: str = ""


SECTIONS: dict[str, dict[str, Entry]] = {
    "First steps": {
        "doctor": Entry("What is installed here: versions, threads, instruction sets, caches, optional parts."),
        "simulate": Entry("Cycles, throughput, traffic and energy of a network on an array."),
        "report": Entry("The whole cross-check as one HTML page with its data beside it."),
    },
    "Networks": {
        "train": Entry("Train a network with quantizers in the loop, without PyTorch."),
        "eval": Entry("Accuracy of a trained network, as float32 or in integers alone."),
        "export": Entry("Write a trained network as integers (.npz) or ONNX."),
        "agreement": Entry("How far integers are off the trained float network.", "asq_sw.studies.agreement:main"),
        "accuracies": Entry("The table of accuracies: methods and widths, trained alike.", "asq_sw.studies.accuracies:main"),
    },
    "Hardware": {
        "verilog": Entry("Write synthesizable Verilog of a multiplier, processing element, array or tile."),
        "synth": Entry("Area, delay, leakage and energy per MAC from a synthesized netlist."),
        "search": Entry("The tables of tiles: every way to make a tile's products, measured.", "hw.studies.search:main"),
    },
    "Machines": {
        "sweep": Entry("Explore array shapes, dataflows, grids, widths and buffers; Pareto front."),
        "sparsity": Entry("Zero operands of a trained network, for simulate --zeros.", "sim.studies.sparsity:main"),
        "fidelity": Entry("How far the simulator's fidelities are off one another.", "sim.studies.fidelity:main"),
    },
}  # fmt: skip
"""Subcommands in the order of ``asq --help``."""

COMMANDS = {name: entry for section in SECTIONS.values() for name, entry in section.items()}


class _Choice(click.Choice[Any]):
    """A click choice whose refusal says which name is the nearest."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter as error:
            said = error.message.rstrip(".") + nearest(value, map(str, self.choices))
            raise click.BadParameter(said, ctx, param) from error


class LazyGroup(click.Group):
    """A click group whose commands are imported when they are used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module, _, attribute = (COMMANDS[name].where or f"asq_sw.commands.{name}:command").partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        for parameter in command.params:
            if type(parameter.type) is click.Choice:
                parameter.type = _Choice(parameter.type.choices, parameter.type.case_sensitive)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in COMMANDS and not args[0].startswith("-"):
            raise click.UsageError(f"No such command {args[0]!r}{nearest(args[0], COMMANDS)}", ctx)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except click.NoSuchOption as error:
            if any(error.option_name in parameter.opts for parameter in self.params):
                raise click.UsageError(
                    f"{error.option_name} is given behind the command, expected it before: asq {error.option_name} "
                    f"{error.ctx.info_name if error.ctx else 'COMMAND'} ..."
                ) from error
            raise

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, entries in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(name, entry.help) for name, entry in entries.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Names of commands without an import, and the group's own options."""
        if incomplete.startswith("-"):
            return click.Command.shell_complete(self, ctx, incomplete)
        return [CompletionItem(n, help=e.help) for n, e in COMMANDS.items() if n.startswith(incomplete)]


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog='Completion of names and options in the shell: eval "$(_ASQ_COMPLETE=bash_source asq)" in ~/.bashrc, or '
    "zsh_source, fish_source.",
)
@click.version_option(__version__, prog_name="asq")
@click.option("-q", "--quiet", is_flag=True, help="No notices, progress or files written on standard error.")
@click.option("-v", "--verbose", is_flag=True, help="Say on standard error what is done.")
@click.pass_context
def cli(context: click.Context, quiet: bool, verbose: bool) -> None:
    """Low-bit accelerators built on POST arithmetic: simulate, generate Verilog, measure area and energy.

    Example: asq simulate resnet18 --rows 32 --cols 32 --grid post --wbits 4 --abits 4
    """
    if quiet and verbose:
        raise click.UsageError("--quiet and --verbose are given, expected one of them")
    levels = terminal.Verbosity
    terminal.listen(context, levels.QUIET if quiet else levels.VERBOSE if verbose else levels.NORMAL)


def main(args: list[str] | None = None) -> None:
    """Run the command line; exit status 0, 1 (failed), 2 (bad input) or 130 (interrupted)."""
    run(cli, "asq", args)


if __name__ == "__main__":
    main()
