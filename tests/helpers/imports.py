"""Who imports whom, read from the source: imports inside functions and for type checkers too."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple


class Import(NamedTuple):
    """One import of one module of the project by another; ``lazy``: not when the module is loaded."""

    by: str
    of: str
    lazy: bool
    line: int


def modules(root: Path, packages: Iterable[str]) -> dict[str, Path]:
    """Every module below some packages by its dotted name; a package is its ``__init__``."""
    found = {}
    for package in packages:
        for path in sorted((root / package).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(files: Mapping[str, Path]) -> list[Import]:
    """All imports among the modules of :func:`modules`.

    ``from a import b`` is one of ``a.b`` if that is a module, else of ``a``. What a package hands on lazily (in its
    module-level ``__getattr__``, and for type checkers) is no import of its own.
    """
    return [
        Import(name, target, lazy, line)
        for name, path in files.items()
        for node, lazy in _statements(
            ast.parse(path.read_text(encoding="utf-8")), False, path.name == "__init__.py"
        )
        for target, line in _targets(node, name, path, files)
    ]


def _statements(
    node: ast.AST, lazy: bool, package: bool
) -> Iterator[tuple[ast.Import | ast.ImportFrom, bool]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child, lazy
        elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            if not (package and isinstance(node, ast.Module) and child.name == "__getattr__"):
                yield from _statements(child, True, package)
        elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            if not package:
                yield from _statements(child, True, package)
        else:
            yield from _statements(child, lazy, package)


def _targets(
    node: ast.Import | ast.ImportFrom, by: str, path: Path, files: Mapping[str, Path]
) -> Iterator[tuple[str, int]]:
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    else:
        base = node.module or ""
        if node.level:
            parts = by.split(".") if path.name == "__init__.py" else by.split(".")[:-1]
            base = ".".join([*parts[: len(parts) - node.level + 1], *([base] if base else [])])
        names = [full if (full := f"{base}.{alias.name}") in files else base for alias in node.names]
    for name in dict.fromkeys(names):
        if name in files and name != by:
            yield name, node.lineno


def circles(edges: Iterable[tuple[str, str]]) -> list[list[str]]:
    """Groups of modules that import one another, directly or not (Tarjan 1972), each sorted."""
    graph: dict[str, set[str]] = {}
    for a, b in edges:
        graph.setdefault(a, set()).add(b)
        graph.setdefault(b, set())
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(name: str) -> None:
        order[name] = low[name] = len(order)
        stack.append(name)
        for other in sorted(graph[name]):
            if other not in order:
                visit(other)
                low[name] = min(low[name], low[other])
            elif other in stack:
                low[name] = min(low[name], order[other])
        if low[name] == order[name]:
            group = stack[stack.index(name) :]
            del stack[stack.index(name) :]
            if len(group) > 1:
                found.append(sorted(group))

    for name in sorted(graph):
        if name not in order:
            visit(name)
    return sorted(found)
