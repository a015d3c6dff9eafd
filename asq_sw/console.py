"""Running a command of the shell: what is printed, and with which status it ends."""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress
from itertools import pairwise
from typing import Any, NoReturn

import click

from asq_sw import process
from asq_sw.errors import InputError, ToolError

_TOO_LARGE = ("array is too big", "Maximum allowed dimension exceeded", "Maximum allowed size exceeded")
"""What NumPy says, as a ValueError, of arrays that no memory holds."""


def run(command: click.Command, name: str, args: list[str] | None = None) -> NoReturn:
    """Run a command; what is wrong is one line on standard error.

    Exit status: 0; 1 (a tool failed, or standard output cannot be written); 2 (bad input, a full disk, not enough
    memory); 130 and 143 (interrupted and terminated, see :mod:`asq_sw.process`).

    Parameters
    ----------
    command : click.Command
    name : str
        As a person calls it, such as ``python -m hw.studies.search``.
    args : list of str, optional
        Those of the process by default: the process is this command then, signals and all.
    """
    if args is None:
        process.begin(name)
        _know_output()
    status = _status(command, name, args)
    with process.lock:  # an interrupted command gets no further
        sys.exit(status)


def _status(command: click.Command, name: str, args: list[str] | None) -> int:
    try:
        status = command.main(args=args, prog_name=name, standalone_mode=False)
        if sys.stdout is not None:
            sys.stdout.flush()
    except InputError as error:
        return _say(name, str(error), 2)
    except ToolError as error:
        return _say(name, str(error), 1)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        return 2
    except click.ClickException as error:
        return _say(name, error.format_message(), 2)
    except (click.Abort, KeyboardInterrupt):
        return _say(name, "interrupted", 130, kind="")
    except BrokenPipeError:  # the reader has enough
        _drop_output()
        return 1
    except OutputError as error:
        _drop_output()
        return _say(name, f"standard output cannot be written ({error.strerror})", 1)
    except OSError as error:
        return _say(name, f"{error.filename or 'a file'}: {error.strerror or error}", 2)
    except (MemoryError, OverflowError, ValueError) as error:
        if isinstance(error, ValueError) and not str(error).startswith(_TOO_LARGE):
            raise
        option = _largest_option(sys.argv[1:] if args is None else args)
        if option is None and isinstance(error, OverflowError):
            raise
        return _say(name, f"{option or 'the input'}: too large for this machine ({error})", 2)
    return status if isinstance(status, int) else 0


def _say(name: str, message: str, status: int, kind: str = "error: ") -> int:
    with process.lock, suppress(OSError):
        click.echo(f"{name}: {kind}" + " ".join(message.split()), err=True)
    return status


class OutputError(OSError):
    """Standard output cannot be written."""


class _Output(io.FileIO):
    """Standard output, whose errors are told from those of other files."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise OutputError(error.errno, error.strerror) from error


def _know_output() -> None:
    before = sys.stdout
    if isinstance(before, io.TextIOWrapper):
        before.flush()
        raw = _Output(before.fileno(), "w", closefd=False)
        sys.stdout = io.TextIOWrapper(
            io.BufferedWriter(raw), before.encoding, before.errors, None, before.line_buffering
        )


def _drop_output() -> None:
    """What standard output still holds goes nowhere; or Python would try again at its end, and say so."""
    if isinstance(getattr(getattr(sys.stdout, "buffer", None), "raw", None), _Output):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _largest_option(words: list[str]) -> str | None:
    """The option with the largest whole number, which is the one that a size comes from."""
    split = [part for word in words for part in (word.split("=", 1) if word[:2] == "--" else [word])]
    numbers = {
        f"{option} {value}": int(value)
        for option, value in pairwise(split)
        if option[:2] == "--" and value.isdecimal()
    }
    return max(numbers, key=numbers.__getitem__, default=None)
