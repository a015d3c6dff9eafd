"""The process of a command: its standard streams, the processes it starts, and how it ends when it is interrupted.

Python raises KeyboardInterrupt between two steps of its own only, loses it in callbacks, and unwinds through pools that
wait for their workers. A command does without it: a thread hears of the signal (:func:`signal.set_wakeup_fd`), prints
one line, kills the processes that the command started, removes its temporary files and leaves. What runs outside of
Python for seconds must let that thread run (``nogil=True`` for Numba).

Outside of a command (in a notebook, in a test) signals are as Python has them.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import subprocess

STATUSES = {signal.SIGINT: (130, "interrupted"), signal.SIGTERM: (143, "terminated")}
"""Signal -> exit status (128 and its number, as shells have it) and the word for it."""
PACKAGES = ("asq_sw", "hw", "sim", "reports")
_PATIENCE = 1.0
"""Seconds that an interrupted command waits: for a file that is being put in its place, for folders to be empty."""

lock = threading.RLock()
"""Held while a file appears, is put in its place or goes, and while a process is started: so all of them are known
when a command is interrupted, which takes the lock and keeps it."""
temporaries: set[str] = set()
"""Files and folders that are removed when the command is interrupted."""
_groups: set[int] = set()
"""Processes that lead groups of their own."""
_worker = False
_name: str | None = None
"""Of the command that this process is."""


def begin(name: str | None = None) -> None:
    """From here on this process is a command: see :mod:`asq_sw.process`.

    Parameters
    ----------
    name : str, optional
        As a person calls it. Without, nothing is done unless the process was started as one of our commands: so a
        command is one before anything large is imported.
    """
    global _name
    begun = _name is not None
    name = name or _command_name()
    if name is None or threading.current_thread() is not threading.main_thread():
        return
    _name = name
    if begun:
        return
    _open_streams()
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    for number in STATUSES:
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup, a shell's background job
            signal.signal(number, _left_to_the_thread)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    threading.Thread(target=_wait, args=(reader,), name="interrupts", daemon=True).start()


def _left_to_the_thread(number: int, frame: object) -> None:
    """A handler, so that the signal neither ends the process nor raises KeyboardInterrupt."""


def _wait(reader: int) -> None:
    while heard := os.read(reader, 1):
        if heard[0] in STATUSES:
            _end(*STATUSES[signal.Signals(heard[0])])


def _command_name() -> str | None:
    first = sys.argv[0] if sys.argv else ""
    if first == "-m":  # Python has it so until it has found the module
        modules = [word for word in sys.orig_argv[1:] if word.partition(".")[0] in PACKAGES]
        return None if not modules else "asq" if modules[0] == "asq_sw" else f"python -m {modules[0]}"
    return "asq" if os.path.basename(first) == "asq" else None


def _open_streams() -> None:
    """Give closed standard streams a number each, which the next file would have otherwise.

    Standard output is one that cannot be written, so that what is lost is told; the other two are empty.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDONLY if name == "stdout" else os.O_RDWR)
            setattr(sys, name, open(number, "w" if number else "r", closefd=False))  # noqa: SIM115


def _end(status: int, word: str) -> None:
    """Leave, with nothing running and nothing left behind."""
    lock.acquire(timeout=_PATIENCE)
    before = "\r\x1b[2K\x1b[?25h" if os.isatty(2) else ""  # off the progress bar's line, the cursor shown
    with suppress(OSError):
        os.write(2, f"{before}{_name}: {word}\n".encode())
    with suppress(OSError):  # the other threads go on for a moment: nobody is to hear it
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, 1)
        os.dup2(nothing, 2)
    try:
        _kill_all()
        _remove_all()
    finally:
        os._exit(status)


def _kill_all() -> None:
    multiprocessing: Any = sys.modules.get("multiprocessing.process")
    workers = [] if multiprocessing is None else [child.pid for child in multiprocessing.active_children()]
    for pid in (*_groups, *workers):
        kill(pid)


def _remove_all() -> None:
    import shutil

    until = time.monotonic() + _PATIENCE / 2
    while left := [path for path in temporaries if os.path.lexists(path)]:
        for path in left:
            if os.path.isdir(path):
                shutil.rmtree(path, ignore_errors=True)
            else:
                with suppress(OSError):
                    os.unlink(path)
        if time.monotonic() > until:
            return


def kill(pid: int) -> None:
    """Kill a process and its group, if it leads one; nothing where it has ended."""
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGKILL)
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def be_worker() -> None:
    """This process works for a command: a group of its own, which ends when the command's process does."""
    global _worker
    from multiprocessing import parent_process

    _worker = True
    os.setpgrp()
    parent = parent_process()
    assert parent is not None

    def follow() -> None:
        parent.join()
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=follow, name="parent", daemon=True).start()


@contextmanager
def starting() -> Iterator[None]:
    """Processes that are started in the block do not hear of Ctrl-C."""
    with lock:
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def run_tool(arguments: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
    """Run another program to its end, its output as text; it and all that it starts end with this process's command.

    ``options`` are those of :class:`subprocess.Popen`.

    Raises
    ------
    OSError
        If there is no such program.
    """
    import subprocess

    with starting():
        child = subprocess.Popen(
            arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, errors="replace", process_group=None if _worker else 0, **options,
        )  # fmt: skip
        _groups.add(child.pid)
    try:
        out, err = child.communicate()
    except BaseException:
        kill(child.pid)
        child.communicate()
        raise
    finally:
        _groups.discard(child.pid)
    return subprocess.CompletedProcess(arguments, child.returncode, out, err)


def memory_bytes() -> int:
    """Memory that this process may have at most: the machine's, or its control group's where that is less."""
    limits = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    with suppress(OSError, ValueError), open("/sys/fs/cgroup/memory.max", encoding="ascii") as file:
        limits.append(int(file.read()))  # "max" is no number: no limit
    return min(limits)


def _forget() -> None:
    """A forked process: the command is its parent's."""
    global lock, _name
    lock = threading.RLock()
    temporaries.clear()
    _groups.clear()
    if _name is not None:
        _name = None
        signal.set_wakeup_fd(-1)
        for number in STATUSES:
            if signal.getsignal(number) is _left_to_the_thread:
                signal.signal(number, signal.SIG_DFL)


os.register_at_fork(after_in_child=_forget)
