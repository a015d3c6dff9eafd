"""Packages that only some commands need: the extras of pyproject.toml."""

from __future__ import annotations

from asq_sw.errors import InputError


def missing(what: str, package: str, extra: str) -> InputError:
    """The error of ``what`` (an option and its value) where ``package``, of the extra ``extra``, is not installed."""
    return InputError(
        f"{what} needs the package {package}, expected: pip install -e '.[{extra}]' in the project's folder"
    )
