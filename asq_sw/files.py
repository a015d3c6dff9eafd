"""Files written whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import platform
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from asq_sw import process
from asq_sw.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

LOG = logging.getLogger("asq.files")
"""Has a record of every file that was written, with its path as the only argument."""
FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS})
"""Errors of a disk that takes no more."""
_PROBE = 1 << 12
"""Bytes that a folder must be able to take: a block."""


@contextmanager
def replacing(path: str | os.PathLike[str], level: int = logging.INFO) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; rename it over ``path`` if the block succeeds.

    The rename is atomic on one file system, so a reader sees the old file or the new one, never a part. If
    the block raises (a full disk, an interrupt), the temporary file and the folders made for it are removed and
    ``path`` is untouched. What a killed process left beside ``path`` is removed. A device or a pipe is written to
    when the block has succeeded, and stays what it is.

    ``level``: of the record in :data:`LOG`; ``logging.DEBUG`` for what no person waits for, as a cache's entry.

    Raises
    ------
    InputError
        If the folder does not exist, cannot be created or cannot be written, ``path`` is a folder, or the disk is
        full.
    """
    target = Path(path)
    if target.is_dir():
        raise InputError(f"{target}: is a folder, expected a file name")
    if target.exists() and not target.is_file():
        with _sent_to(target) as temporary:
            yield temporary
        return
    made: list[Path] = []
    start = f".{target.name[:100]}."
    try:
        _make(target.parent, made)
        with process.lock:
            handle, name = tempfile.mkstemp(
                dir=target.parent, prefix=start + _owner(), suffix=target.suffix[:20]
            )
            process.temporaries.add(name)
    except OSError as error:
        _unmake(made)
        raise InputError(f"{target}: cannot be written ({error.strerror or error})") from error
    os.close(handle)
    temporary = Path(name)
    done = False
    try:
        yield temporary
        with open(temporary, "rb") as written:
            os.fsync(written.fileno())
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        with process.lock:
            temporary.replace(target)
        done = True
        LOG.log(level, "wrote %s", target)
    except IsADirectoryError as error:
        raise InputError(f"{target}: is a folder, expected a file name") from error
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise InputError(f"{target}: cannot be written ({error.strerror or error})") from error
    finally:
        with process.lock:
            temporary.unlink(missing_ok=True)
            process.temporaries.discard(name)
        if not done:
            _unmake(made)
        _remove_orphans(target.parent, start)


@contextmanager
def _sent_to(device: Path) -> Iterator[Path]:
    with temporary_folder("output") as folder:
        yield folder / f"output{device.suffix}"
        try:
            with open(folder / f"output{device.suffix}", "rb") as whole, open(device, "wb") as there:
                shutil.copyfileobj(whole, there)
        except OSError as error:
            raise InputError(f"{device}: cannot be written ({error.strerror or error})") from error


@contextmanager
def temporary_folder(purpose: str) -> Iterator[Path]:
    """A folder for the block, among the system's temporary files; those of killed processes are removed.

    Raises
    ------
    InputError
        If it cannot be made.
    """
    start = f"asq-{purpose}-"
    try:
        _remove_orphans(Path(tempfile.gettempdir()), start)
        with process.lock:
            name = tempfile.mkdtemp(prefix=start + _owner())
            process.temporaries.add(name)
    except OSError as error:
        raise InputError(
            f"temporary files cannot be written ({error.strerror or error}), expected TMPDIR to name a folder with room"
        ) from error
    try:
        yield Path(name)
    finally:
        with process.lock:
            shutil.rmtree(name, ignore_errors=True)
            process.temporaries.discard(name)


def _make(folder: Path, made: list[Path]) -> None:
    """Create a folder and those above it; ``made`` gets those that were not there."""
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    for place in reversed(missing):
        place.mkdir(exist_ok=True)
        made.append(place)
    folder.mkdir(exist_ok=True)  # a file in its place is refused


def _unmake(made: list[Path]) -> None:
    for place in reversed(made):
        with suppress(OSError):
            place.rmdir()


@cache
def _machine() -> str:
    return hashlib.sha256(platform.node().encode()).hexdigest()[:8]


def _owner() -> str:
    """Of a temporary file: the machine and the process."""
    return f"{_machine()}-{os.getpid()}."


def _remove_orphans(folder: Path, start: str) -> None:
    """Remove temporary files whose names begin with ``start`` and whose process on this machine has ended."""
    owned = re.compile(re.escape(start + _machine()) + r"-(\d+)\.")
    with suppress(OSError):
        for entry in list(os.scandir(folder)):
            match = owned.match(entry.name)
            if match is None or _lives(int(match[1])):
                continue
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path, ignore_errors=True)
            else:
                with suppress(OSError):
                    os.unlink(entry.path)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def read_npz(source: str | os.PathLike[str] | IO[bytes], name: str) -> dict[str, NDArray[Any]]:
    """The arrays of an .npz file, none of them Python objects.

    Parameters
    ----------
    source : path or binary file
    name : str
        What errors call it.

    Raises
    ------
    InputError
        For a file that is missing, truncated, too large for memory or of another kind.
    """
    import zipfile

    import numpy as np

    arrays: dict[str, NDArray[Any]] = {}
    try:
        with zipfile.ZipFile(source) as archive:
            for member in archive.namelist():
                with archive.open(member) as file:
                    arrays[member.removesuffix(".npy")] = np.lib.format.read_array(file, allow_pickle=False)
    except FileNotFoundError as error:
        raise InputError(f"{name}: no such file, expected an .npz") from error
    except MemoryError as error:
        raise InputError(f"{name}: holds an array that is too large for memory ({error})") from error
    except Exception as error:  # NumPy, zipfile and zlib raise many kinds, all of which mean the same here
        raise InputError(f"{name}: cannot be read as .npz, it may be truncated ({error!r})") from error
    return arrays


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write ``text`` (UTF-8) to ``path`` whole or not at all; ``-`` means standard output."""
    if str(path) == "-":
        print(text, end="" if text.endswith("\n") else "\n")
        return
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def writable_folder(path: str | os.PathLike[str]) -> Path:
    """Create the folder ``path`` if needed and check that a file can be made in it.

    Raises
    ------
    InputError
        If it cannot be created or written.
    """
    folder = Path(path)
    made: list[Path] = []
    try:
        _make(folder, made)
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(bytes(_PROBE))
    except OSError as error:
        _unmake(made)
        raise InputError(f"{folder}: cannot be written ({error.strerror or error})") from error
    return folder
