"""Where a result came from: versions, command, seed and the hashes of the inputs."""

from __future__ import annotations

import hashlib
import os
import platform
import sys
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("numpy", "numba", "amaranth", "pyosys")


def file_hash(path: str | os.PathLike[str]) -> str:
    """First 16 hexadecimal digits of the SHA-256 of a file's bytes."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()[:16]


def versions(packages: Iterable[str] = PACKAGES) -> dict[str, str]:
    """Versions of Python, of this package and of the named packages that are installed."""
    from asq_sw import __version__

    found = {"asq": __version__, "python": platform.python_version()}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def provenance(
    inputs: Iterable[str | os.PathLike[str]] = (),
    seed: int | None = None,
    packages: Iterable[str] = PACKAGES,
) -> dict[str, Any]:
    """A JSON-ready record; it holds no time of day, so equal runs give equal bytes.

    ``inputs`` are files that the result depends on; each is named by its base name with its hash.
    """
    command = (
        ["asq", *sys.argv[1:]]
        if Path(sys.argv[0]).name in ("asq", "__main__.py")
        else [Path(sys.argv[0]).name]
    )
    record: dict[str, Any] = {
        "command": " ".join(command),
        "versions": versions(packages),
        "inputs": {Path(path).name: file_hash(path) for path in inputs},
    }
    if seed is not None:
        record["seed"] = seed
    return record
