"""The exceptions that mean "the input was wrong" or "a tool failed", as opposed to "the program is wrong"."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

_LONGEST = 1000
"""Characters of a message; a file may hold a word of any length."""


class InputError(ValueError):
    """Bad input from a person: the message is one sentence naming the file or field and what was expected.

    The command line prints it on one line and exits with status 2; a library caller can treat it as a
    ``ValueError``. A message that quotes very much of the input lacks its middle.
    """

    def __init__(self, message: str):
        if len(message) > _LONGEST:
            message = f"{message[: 2 * _LONGEST // 3]} ... {message[-_LONGEST // 3 :]}"
        super().__init__(message)


class ToolError(RuntimeError):
    """A program or process that this one started failed; the command line prints the line and exits with status 1."""


def nearest(word: object, names: Iterable[str]) -> str:
    """``, did you mean 'post'?`` for the end of a message that refuses ``word``; nothing where no name is near."""
    found = get_close_matches(str(word), list(names), n=1)
    return f", did you mean {found[0]!r}?" if found else ""
