"""Files written whole or not at all."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from asq_sw.errors import InputError

LOG = logging.getLogger("asq.files")
"""Has a record of every file that was written, with its path as the only argument."""


@contextmanager
def replacing(path: str | os.PathLike[str], level: int = logging.INFO) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; rename it over ``path`` if the block succeeds.

    The rename is atomic on one file system, so a reader sees the old file or the new one, never a part. If
    the block raises (a full disk, an interrupt), the temporary file is removed and ``path`` is untouched.

    ``level``: of the record in :data:`LOG`; ``logging.DEBUG`` for what no person waits for, as a cache's entry.

    Raises
    ------
    InputError
        If the folder does not exist, cannot be created or cannot be written, or ``path`` is a folder.
    """
    target = Path(path)
    if target.is_dir():
        raise InputError(f"{target}: is a folder, expected a file name")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=target.suffix)
    except OSError as error:
        raise InputError(f"{target}: cannot be written ({error.strerror or error})") from error
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with open(temporary, "rb") as written:
            os.fsync(written.fileno())
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(target)
        LOG.log(level, "wrote %s", target)
    except IsADirectoryError as error:
        raise InputError(f"{target}: is a folder, expected a file name") from error
    finally:
        temporary.unlink(missing_ok=True)


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
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InputError(f"{folder}: cannot be written ({error.strerror or error})") from error
    return folder
