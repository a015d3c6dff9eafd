"""Results kept between runs, by the hash of everything that they depend on.

The folder is ``$ASQ_CACHE_DIR``, else ``$XDG_CACHE_HOME/asq``, else ``~/.cache/asq``. It can be deleted at
any time. A folder that cannot be written, or a damaged entry, only costs the work again.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import logging
import os
import zlib
from pathlib import Path
from typing import Any

from asq_sw.errors import InputError
from asq_sw.files import replacing


def folder() -> Path:
    """Where results are kept."""
    if own := os.environ.get("ASQ_CACHE_DIR"):
        return Path(own)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "asq"


def key(*parts: str) -> str:
    """A name for what depends on ``parts`` and nothing else."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode()
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.hexdigest()[:32]


def _path(name: str) -> Path:
    return folder() / name[:2] / f"{name}.json.gz"


def get(name: str) -> Any:
    """What was put under ``name``, or None."""
    try:
        return json.loads(gzip.decompress(_path(name).read_bytes()))
    except (OSError, EOFError, ValueError, zlib.error):
        return None


def put(name: str, value: Any) -> None:
    """Keep a JSON value under ``name``; silently not where the folder cannot be written."""
    try:
        with replacing(_path(name), logging.DEBUG) as temporary:
            temporary.write_bytes(gzip.compress(json.dumps(value).encode(), 6, mtime=0))
    except (OSError, InputError):
        return
