"""Running a command of the shell: what is printed, and with which status it ends."""

from __future__ import annotations

import sys
from typing import NoReturn

import click

from asq_sw.errors import InputError


def run(command: click.Command, name: str, args: list[str] | None = None) -> NoReturn:
    """Run a command; exit status 0, 1 (failed), 2 (bad input, one line of why) or 130 (interrupted).

    Parameters
    ----------
    command : click.Command
    name : str
        As a person calls it, such as ``python -m hw.studies.search``.
    args : list of str, optional
        Those of the process by default.
    """
    try:
        status = command.main(args=args, prog_name=name, standalone_mode=False)
    except InputError as error:
        fail(str(error), name)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        sys.exit(2)
    except click.ClickException as error:
        fail(error.format_message(), name)
    except (click.Abort, KeyboardInterrupt):
        click.echo(f"{name}: interrupted", err=True)
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(1)
    sys.exit(status if isinstance(status, int) else 0)


def fail(message: str, name: str) -> NoReturn:
    """Print one line on standard error and exit with status 2."""
    click.echo(f"{name}: error: " + " ".join(message.split()), err=True)
    sys.exit(2)
