"""``asq doctor``: what is installed here, and what of the processor is used."""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
from collections.abc import Iterable
from importlib.metadata import Distribution, PackageNotFoundError, entry_points, version
from pathlib import Path
from typing import Any

import click

INSTRUCTIONS = ("sse4.2", "avx2", "fma", "avx512f", "avx512vnni", "amx-tile", "amx-int8", "neon", "dotprod")
"""LLVM's names of the sets that are told where the processor has them."""
PROGRAMS = {"sta": "OpenSTA, for python -m hw.studies.power_check"}
"""Programs of the system that something may need, and what."""


@click.command(
    "doctor",
    epilog="Example: asq doctor --json doctor.json",
    help="Say what is installed here and what of the processor is used, a line each: versions, threads, instruction "
    "sets, caches, optional parts. Exit status 1 where a package that is needed is missing or too old.",
)
@click.option("--json", "json_path", type=click.Path(), help="JSON file, - for standard output.")
def command(json_path: str | None) -> None:
    from asq_sw.files import write_text

    found = examine()
    if json_path is not None:
        write_text(json_path, json.dumps(found, indent=1) + "\n")
    if json_path != "-":
        for name, text in lines(found):
            click.echo(f"{name + ':':<22}{text}")
    if found["wrong"]:
        sys.exit(1)


def examine() -> dict[str, Any]:
    """Everything as a JSON-ready record.

    ``packages`` and ``extras`` (a record by extra) say of each package its version (None: not installed) and what is
    ``required``; ``wrong`` lists the packages that are needed and are not as required; sizes are in bytes.
    """
    from asq_sw import __version__

    needed, extras = _requirements()
    return {
        "asq": __version__,
        "python": {"version": platform.python_version(), "executable": sys.executable},
        "platform": platform.platform(),
        "packages": needed,
        "wrong": [name for name, one in needed.items() if not one["fits"]],
        "threads": _threads(needed),
        "processor": _processor(needed),
        "caches": {"netlists": _netlists(), "compiled_code": _compiled()},
        "extras": extras,
        "programs": {name: shutil.which(name) for name in PROGRAMS},
    }


def _distribution() -> Distribution | None:
    """The installed project, whatever its name: it has the command."""
    for script in entry_points(group="console_scripts", name="asq"):
        if script.value.startswith("asq_sw."):
            return script.dist
    return None


def _requirements() -> tuple[dict[str, Any], dict[str, Any]]:
    """(packages that are needed, those of each extra) with their versions."""
    from packaging.requirements import Requirement

    project = _distribution()
    needed: dict[str, Any] = {}
    extras: dict[str, Any] = {}
    if project is None:
        return needed, extras
    names = project.metadata.get_all("Provides-Extra") or []
    for line in project.requires or ():
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            needed[requirement.name] = _installed(requirement)
            continue
        for extra in names:
            if requirement.marker.evaluate({"extra": extra}):
                extras.setdefault(extra, {})[requirement.name] = _installed(requirement)
    return needed, extras


def _installed(requirement: Any) -> dict[str, Any]:
    try:
        here: str | None = version(requirement.name)
    except PackageNotFoundError:
        here = None
    fits = here is not None and requirement.specifier.contains(here, prereleases=True)
    return {"version": here, "required": str(requirement.specifier), "fits": fits}


def _threads(needed: dict[str, Any]) -> dict[str, Any]:
    """Cores of the machine, those that this process may use, and numba's threads."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    found: dict[str, Any] = {"cores": os.cpu_count(), "usable": usable, "numba": None}
    if _there(needed, "numba"):
        from numba import config

        found["numba"] = config.NUMBA_NUM_THREADS
    return found


def _processor(needed: dict[str, Any]) -> dict[str, Any]:
    """LLVM's name of the processor, what it has of :data:`INSTRUCTIONS`, and how bytes are multiplied."""
    found: dict[str, Any] = {"name": platform.machine(), "instructions": [], "byte_products": None}
    if _there(needed, "llvmlite") and _there(needed, "numba"):
        from llvmlite import binding

        from asq_sw.kernels import int8

        features = binding.get_host_cpu_features()
        found["name"] = binding.get_host_cpu_name()
        found["instructions"] = [name for name in INSTRUCTIONS if features.get(name)]
        found["byte_products"] = int8.kind()
    return found


def _there(needed: dict[str, Any], package: str) -> bool:
    return bool(needed.get(package, {"fits": True})["fits"])


def _netlists() -> dict[str, Any]:
    """The cache of synthesized netlists."""
    from hw.synth.mapping import cache

    folder = cache.folder()
    return {"folder": str(folder), **_sizes(folder.rglob("*.json.gz"))}


def _compiled() -> dict[str, Any]:
    """What numba has compiled of the project's functions."""
    own = os.environ.get("NUMBA_CACHE_DIR")
    root = Path(own) if own else Path(__file__).resolve().parents[2]
    packages = [root] if own else [root / name for name in ("asq_sw", "hw", "sim", "reports")]
    found = (path for package in packages for path in package.rglob("*.nb[ic]"))
    return {"folder": str(root), **_sizes(found)}


def _sizes(paths: Iterable[Path]) -> dict[str, int]:
    files = total = 0
    for path in paths:
        try:
            total += path.stat().st_size
        except OSError:
            continue  # another process has just replaced it
        files += 1
    return {"files": files, "bytes": total}


def lines(found: dict[str, Any]) -> list[tuple[str, str]]:
    """(what, how it is) for people."""
    threads, processor, caches = found["threads"], found["processor"], found["caches"]
    of_bytes = {"amx": "used, AMX tiles", "vnni": "used, AVX-512 VNNI"}
    told = [
        ("asq", found["asq"]),
        ("python", f"{found['python']['version']}, {found['python']['executable']}"),
        ("platform", found["platform"]),
        *((name, _package(one)) for name, one in found["packages"].items()),
        ("threads", f"numba {threads['numba']}, usable cores {threads['usable']} of {threads['cores']}"),
        ("processor", processor["name"]),
        ("instruction sets", ", ".join(processor["instructions"]) or "none of those that are looked for"),
        ("byte products", of_bytes.get(processor["byte_products"], "not used, no such instructions: float32 sums")),
        *((f"cache, {name.replace('_', ' ')}", _cache(one)) for name, one in caches.items()),
        *((f"extra {name}", _extra(name, packages)) for name, packages in found["extras"].items()),
        *((name, f"{path or 'not found'} ({PROGRAMS[name]})") for name, path in found["programs"].items()),
    ]  # fmt: skip
    if not found["packages"]:
        told.insert(3, ("packages", "unknown: the project is not installed, expected pip install -e ."))
    return told


def _package(one: dict[str, Any]) -> str:
    if one["fits"]:
        return str(one["version"])
    return f"{one['version'] or 'not installed'} (expected {one['required'] or 'any version'})"


def _cache(one: dict[str, Any]) -> str:
    return f"{one['files']:,} files, {one['bytes'] / 1e6:,.1f} MB, {one['folder']}"


def _extra(name: str, packages: dict[str, Any]) -> str:
    said = ", ".join(f"{package} {_package(one)}" for package, one in packages.items())
    whole = all(one["fits"] for one in packages.values())
    return said if whole else f"{said}; pip install -e '.[{name}]' in the project's folder adds it"
