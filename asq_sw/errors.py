"""The one exception that means "the input was wrong", as opposed to "the program is wrong"."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class InputError(ValueError):
    """Bad input from a person: the message is one sentence naming the file or field and what was expected.

    The command line prints it on one line and exits with status 2; a library caller can treat it as a
    ``ValueError``.
    """


def nearest(word: object, names: Iterable[str]) -> str:
    """``, did you mean 'post'?`` for the end of a message that refuses ``word``; nothing where no name is near."""
    found = get_close_matches(str(word), list(names), n=1)
    return f", did you mean {found[0]!r}?" if found else ""
