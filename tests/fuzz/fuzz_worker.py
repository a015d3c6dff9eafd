"""Runs inputs in a process of its own, so that a crash or a hang is a finding and not the end.

The process reads pickled (target, files) from its standard input and answers each with a pickled :class:`Outcome`.
:class:`Worker` is the other end: it starts the process, waits at most :data:`SECONDS` for an answer, and starts
another when the first is dead.
"""

from __future__ import annotations

import contextlib
import faulthandler
import io
import os
import pickle
import resource
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import traceback
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 10.0
"""An input that takes longer hangs."""
MEMORY = 2 << 30
"""Bytes of address space that an input may take beyond what the process has at its start."""
LONGEST = 2000
"""Characters of a message that is still one line for a person."""


@dataclass(frozen=True)
class Outcome:
    """What an input did.

    Attributes
    ----------
    kind : str
        ``read``, ``refused`` or ``finding``.
    text : str
        The refusal, or what is wrong.
    signature : str
        Of a finding: equal for two that are most likely one.
    """

    kind: str
    text: str = ""
    signature: str = ""


class Reached(Exception):
    """Raised in the place of a command's long work: all options were taken."""


# -- the other process -----------------------------------------------------------------------------------------


def _frame(error: BaseException) -> str:
    """The innermost place in the project's own code."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if f.filename.startswith(str(ROOT)) and "/tests/" not in f.filename]
    return f"{Path(own[-1].filename).relative_to(ROOT)}:{own[-1].name}" if own else "elsewhere"


def _whole_trace(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))[-6000:]


def _entries(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()}


def _read(target: Any, folder: Path) -> Outcome:
    from asq_sw.errors import InputError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            target.read(folder)
    except InputError as error:
        message = str(error)
        if not message.strip() or "\n" in message.strip() or len(message) > LONGEST:
            return Outcome(
                "finding", f"{len(message)} characters: {message[:3000]}", f"message {_frame(error)}"
            )
        if target.names_file and not any(name in message for name in target.names(folder)):
            return Outcome("finding", f"names no file: {message}", f"unnamed {_frame(error)}")
        return Outcome("refused", message)
    except BaseException as error:
        return Outcome("finding", _whole_trace(error), f"{type(error).__name__} {_frame(error)}")
    return Outcome("read")


def _command(target: Any, folder: Path) -> Outcome:
    """Run the command line as the console script does."""
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", errors="backslashreplace") for _ in range(2))
    before = _entries(folder)
    status: Any = None
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            target.read(folder)
    except Reached:
        return Outcome("read")
    except SystemExit as error:
        status = 0 if error.code is None else error.code
    except BaseException as error:
        return Outcome("finding", _whole_trace(error), f"{type(error).__name__} {_frame(error)}")
    for stream in (out, err):
        stream.flush()
    said = err.buffer.getvalue().decode()  # type: ignore[attr-defined]
    lines = said.strip().splitlines()
    if status == 0:
        return Outcome("read")
    words = " ".join(lines[-1:])[:60]
    if status != 2:
        return Outcome("finding", f"status {status!r}: {said}", f"status {status!r} {words}")
    if len(lines) != 1 and "Usage:" not in said:
        return Outcome("finding", f"{len(lines)} lines: {said}", f"lines {words}")
    if left := sorted(_entries(folder) - before):
        return Outcome("finding", f"left behind: {left}; {said}", f"left {words}")
    return Outcome("refused", said.strip())


def serve(log: str) -> None:
    """Answer until the standard input ends; ``log`` gets the traces of crashes and hangs."""
    answers = os.fdopen(os.dup(1), "wb")
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    trouble = open(log, "w")  # noqa: SIM115  for as long as the process lives
    faulthandler.enable(trouble)
    faulthandler.register(signal.SIGUSR1, trouble)
    home = Path(tempfile.mkdtemp(prefix="fuzz"))
    import fuzz_targets

    limited = False
    while True:
        try:
            name, files = pickle.load(sys.stdin.buffer)
        except EOFError:
            break
        target = fuzz_targets.BROKEN if name == fuzz_targets.BROKEN.name else fuzz_targets.TARGETS[name]
        folder, temporary = home / "in", home / "tmp"
        for place in (folder, temporary):
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir()
        for file, data in files.items():
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).write_bytes(data)
        os.chdir(folder)
        tempfile.tempdir = str(temporary)
        if not limited:
            limited = True
            target.prepare()
            pages = int(Path("/proc/self/statm").read_text().split()[0])
            most = pages * resource.getpagesize() + MEMORY
            resource.setrlimit(resource.RLIMIT_AS, (most, most))
        outcome = (_command if target.is_command else _read)(target, folder)
        if outcome.kind != "finding":
            left = _entries(temporary) | (set() if target.is_command else _entries(folder) - set(files))
            if left:
                outcome = Outcome("finding", f"left behind: {sorted(left)}", "left behind")
        pickle.dump(outcome, answers)
        answers.flush()
    os.chdir("/")
    shutil.rmtree(home, ignore_errors=True)


# -- this process ----------------------------------------------------------------------------------------------


class Worker:
    """One other process, started when it is needed."""

    def __init__(self, seconds: float = SECONDS) -> None:
        self._seconds = seconds
        self._process: subprocess.Popen[bytes] | None = None
        self._folder = tempfile.TemporaryDirectory(prefix="fuzz")
        self._log = Path(self._folder.name) / "trouble"

    def _start(self) -> subprocess.Popen[bytes]:
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(Path(__file__).parent), str(ROOT / "tests" / "helpers")]),
            "TMPDIR": self._folder.name,
            "COLUMNS": "400",
            "PYTHONWARNINGS": "ignore",
        }  # fmt: skip
        environment.setdefault("OMP_NUM_THREADS", "1")
        environment.setdefault("NUMBA_NUM_THREADS", "1")
        environment.setdefault("OPENBLAS_NUM_THREADS", "1")
        return subprocess.Popen(
            [sys.executable, "-c", "import sys, fuzz_worker; fuzz_worker.serve(sys.argv[1])", str(self._log)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment,
        )  # fmt: skip

    def run(self, target: str, files: dict[str, bytes]) -> Outcome:
        """What the input ``files`` (by name) does to ``target``."""
        fresh = self._process is None
        process = self._process = self._process or self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            pickle.dump((target, files), process.stdin)
            process.stdin.flush()
        except BrokenPipeError:
            return self._dead()
        # The first answer waits for the imports, and for kernels to be compiled.
        ready, _, _ = select.select([process.stdout], [], [], self._seconds + (120 if fresh else 0))
        if not ready:
            process.send_signal(signal.SIGUSR1)
            select.select([process.stdout], [], [], 0.5)
            trace = self._trace()
            self.close()
            return Outcome("finding", f"no answer in {self._seconds:g} s\n{trace}", f"hang {_where(trace)}")
        try:
            answer: Outcome = pickle.load(process.stdout)
        except EOFError:
            return self._dead()
        return answer

    def _dead(self) -> Outcome:
        assert self._process is not None
        status = self._process.wait()
        trace = self._trace()
        self.close()
        return Outcome(
            "finding", f"the process ended with {status}\n{trace}", f"crash {status} {_where(trace)}"
        )

    def _trace(self) -> str:
        return self._log.read_text(errors="replace")[-6000:] if self._log.exists() else ""

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            for pipe in (self._process.stdin, self._process.stdout):
                assert pipe is not None
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
            self._process = None
        for folder in Path(self._folder.name).glob("fuzz*"):
            shutil.rmtree(folder, ignore_errors=True)


def _where(trace: str) -> str:
    """The innermost place in the project's own code of a trace of :mod:`faulthandler`."""
    own = [
        line.strip()
        for line in trace.splitlines()
        if line.strip().startswith(f'File "{ROOT}') and "/tests/" not in line
    ]
    return own[0].removeprefix(f'File "{ROOT}/') if own else "elsewhere"
