"""Worker processes."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from multiprocessing import get_context, resource_tracker
from types import TracebackType
from typing import Any

from asq_sw import process
from asq_sw.errors import ToolError
from asq_sw.files import temporary_folder


class Workers(ProcessPoolExecutor):
    """A pool of processes that leave Ctrl-C to the one that started them and end with it, however it ends.

    A block that raises does not wait: the workers are killed. Their temporary files lie in one folder, which goes
    with the pool.

    Parameters
    ----------
    count : int
        Processes.
    start : str
        How they start: ``spawn`` or ``fork`` (:func:`multiprocessing.get_context`).
    ready : callable, optional
        Called in each before its first task.

    Raises
    ------
    ToolError
        At the end of the block, if a worker was killed from outside.
    """

    def __init__(self, count: int, start: str, ready: Callable[[], None] | None = None):
        self._stack = ExitStack()
        folder = str(self._stack.enter_context(temporary_folder("workers")))
        if start == "spawn":
            _start_tracker()
        super().__init__(count, get_context(start), _begin, (folder, ready))

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        with process.starting():  # here is where processes are started
            return super().submit(fn, *args, **kwargs)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._stack:
            if kind is None:
                self.shutdown(wait=True)
                return
            started = list((self._processes or {}).values())
            self.shutdown(wait=False, cancel_futures=True)
            for worker in started:
                if worker.pid is not None:
                    process.kill(worker.pid)
            for worker in started:
                worker.join()
            if isinstance(error, BrokenProcessPool):
                raise ToolError("a worker process was killed, perhaps for want of memory") from error


def _begin(folder: str, ready: Callable[[], None] | None) -> None:
    process.be_worker()
    tempfile.tempdir = os.environ["TMPDIR"] = folder
    if ready is not None:
        ready()


def _start_tracker() -> None:
    """Start what removes the semaphores of spawned processes, told not to warn of those of a killed command."""
    before = os.environ.get("PYTHONWARNINGS")
    os.environ["PYTHONWARNINGS"] = "ignore::UserWarning:multiprocessing.resource_tracker"
    try:
        with process.starting():
            resource_tracker.ensure_running()
    finally:
        if before is None:
            del os.environ["PYTHONWARNINGS"]
        else:
            os.environ["PYTHONWARNINGS"] = before
