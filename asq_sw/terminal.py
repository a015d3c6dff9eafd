"""What a command says beside its result, on standard error; and how wide its tables may be.

Notices, files written and progress are silent with ``asq --quiet``; what is done is told step by step with ``asq
--verbose``. Standard output is for results alone.
"""

from __future__ import annotations

import io
import logging
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from enum import IntEnum
from typing import TYPE_CHECKING, Any

import click

from asq_sw import files

if TYPE_CHECKING:
    from rich.table import Table

LOG = logging.getLogger("asq")
"""Where packages tell what they do, as ``asq.files`` and so on; nobody hears it unless a command listens."""
_KEY = "asq_sw.terminal.verbosity"


class Verbosity(IntEnum):
    """How much a command says."""

    QUIET = 0
    NORMAL = 1
    VERBOSE = 2


def verbosity() -> Verbosity:
    """That of the running command; normal outside of one."""
    context = click.get_current_context(silent=True)
    return Verbosity.NORMAL if context is None else context.find_root().meta.get(_KEY, Verbosity.NORMAL)


def _name() -> str:
    context = click.get_current_context(silent=True)
    return context.command_path if context is not None else "asq"


def notice(text: str) -> None:
    """One line on standard error, not with ``--quiet``."""
    if verbosity() > Verbosity.QUIET:
        click.echo(f"{_name()}: {text}", err=True)


def listen(context: click.Context, level: Verbosity) -> None:
    """Say as much as ``level`` for as long as the context, a command's outermost, is open.

    A file that was written gets a line when the command ends, however often it was written and unless it is gone
    by then; with ``VERBOSE`` a line at once, each time, and so has everything else that the packages tell.
    """
    context.meta[_KEY] = level
    start = time.monotonic()
    handler, before = _Handler(level), LOG.level
    LOG.addHandler(handler)
    LOG.setLevel(logging.DEBUG)

    def stop() -> None:
        LOG.removeHandler(handler)
        LOG.setLevel(before)
        handler.tell_files()
        if level == Verbosity.VERBOSE:
            click.echo(f"{context.command_path}: took {time.monotonic() - start:.1f} s", err=True)

    context.call_on_close(stop)


class _Handler(logging.Handler):
    """Tells what is logged, or keeps the files for later."""

    def __init__(self, level: Verbosity):
        super().__init__(logging.DEBUG)
        self.verbosity = level
        self.files: dict[str, None] = {}

    def emit(self, record: logging.LogRecord) -> None:
        if self.verbosity == Verbosity.VERBOSE:
            click.echo(f"{_name()}: {record.getMessage()}", err=True)
        elif record.name == files.LOG.name and record.levelno >= logging.INFO:
            self.files[str(record.args[0])] = None  # type: ignore[index]

    def tell_files(self) -> None:
        """A line for each file that is there."""
        for path in self.files if self.verbosity > Verbosity.QUIET else ():
            if os.path.exists(path):
                click.echo(f"asq: wrote {path}", err=True)


# -- progress ----------------------------------------------------------------------------------------------------------

FIRST_SECONDS, LONGEST_SECONDS = 5.0, 60.0
"""Seconds until the first line of progress, and the most between two; in between a quarter of what has passed."""

Step = Callable[..., None]
"""``step(done, total, note="")``: so much of the work is done, and what may be said of it."""


@contextmanager
def progress(what: str, clock: Callable[[], float] = time.monotonic) -> Iterator[Step]:
    """Show how far a long piece of work is, and how long it still takes.

    A bar on a terminal; elsewhere a line now and then (:data:`FIRST_SECONDS`) with percent and time left; nothing with
    ``--quiet``. What was done before the first call counts as done, but not for the speed.

    Yields
    ------
    step : callable
        ``step(done, total, note="")`` with whole or broken numbers, as often as one likes.
    """
    if verbosity() == Verbosity.QUIET:
        yield lambda done, total, note="": None
    elif _terminal():
        with _bar(what) as step:
            yield step
    else:
        yield _Lines(what, clock)


def _terminal() -> bool:
    return sys.stderr is not None and sys.stderr.isatty()


def working(what: str) -> AbstractContextManager[Any]:
    """A spinner on a terminal, for work of which nobody knows how far it is; nothing elsewhere or with ``--quiet``."""
    if verbosity() == Verbosity.QUIET or not _terminal():
        return nullcontext()
    from rich.console import Console

    return Console(stderr=True).status(what)


@contextmanager
def _bar(what: str) -> Iterator[Step]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
    from rich.table import Column

    columns = (
        TextColumn(what), BarColumn(), TaskProgressColumn(), TimeRemainingColumn(), 
        TextColumn("{task.fields[note]}", table_column=Column(no_wrap=True, overflow="ellipsis")),
    )  # fmt: skip
    with Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=False) as bar:
        task = bar.add_task(what, total=None, note="")
        yield lambda done, total, note="": bar.update(task, completed=done, total=total, note=note)


class _Lines:
    """Progress as plain lines, seldom."""

    def __init__(self, what: str, clock: Callable[[], float]):
        self.what, self.clock = what, clock
        self.start = clock()
        self.due = self.start + FIRST_SECONDS
        self.first: float | None = None

    def __call__(self, done: float, total: float, note: str = "") -> None:
        now = self.clock()
        if self.first is None:
            self.first = done
        if now < self.due:
            return
        spent, fresh = now - self.start, done - self.first
        self.due = now + min(LONGEST_SECONDS, max(FIRST_SECONDS, spent / 4))
        parts = [f"{100 * done / total:.0f}%" if total else "", note]
        if fresh > 0 and done < total:
            parts.insert(1, f"about {duration(spent / fresh * (total - done))} left")
        notice(f"{self.what}: " + ", ".join(part for part in parts if part))


def duration(seconds: float) -> str:
    """Seconds in words, no finer than one needs: ``40 s``, ``12 min``, ``3 h 20 min``."""
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


# -- tables ------------------------------------------------------------------------------------------------------------

PIPED_WIDTH = 140
"""Characters of a table that no terminal shows."""


def width() -> int:
    """Characters that a line of standard output has: of the terminal (or ``COLUMNS``), else :data:`PIPED_WIDTH`."""
    if (sys.stdout is not None and sys.stdout.isatty()) or "COLUMNS" in os.environ:
        return shutil.get_terminal_size().columns
    return PIPED_WIDTH


def render(table: Table, least: tuple[str, ...] = ()) -> str:
    """A rich table as text that fits the terminal.

    Parameters
    ----------
    table : rich.table.Table
        Of text.
    least : tuple of str
        Headers of the columns that may be left out where there is no room, in this order. The caption then names them.

    Styles are the terminal's; none in a pipe, and no colour where the environment has ``NO_COLOR``.
    """
    from rich.console import Console

    room = width()
    console = Console(
        width=room, file=sys.stdout or io.StringIO(), markup=False, emoji=False, highlight=False
    )
    unlimited = console.options.update(max_width=10_000)
    left_out: list[str] = []
    fitting = table
    for header in least:
        if console.measure(fitting, options=unlimited).maximum <= room:
            break
        left_out.append(header)
        fitting = _without(table, left_out)
    with console.capture() as capture:
        console.print(fitting)
    return capture.get().rstrip("\n")


def _without(table: Table, headers: list[str]) -> Table:
    from rich.table import Table

    said = f"no room for {', '.join(headers)}; a wider terminal shows them"
    shorter = Table(
        title=table.title, caption=f"{table.caption}; {said}" if table.caption else said, box=table.box,
        title_justify=table.title_justify, caption_justify="left", pad_edge=table.pad_edge, show_header=table.show_header,
    )  # fmt: skip
    kept = [column for column in table.columns if column.header not in headers]
    for column in kept:
        shorter.add_column(column.header, justify=column.justify)
    for cells in zip(*(column.cells for column in kept), strict=True):
        shorter.add_row(*cells)
    return shorter
