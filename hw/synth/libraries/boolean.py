"""Boolean functions as Liberty writes them: ``!(A1 & A2)``, ``A ^ B``, ``(D * !QN)``, ``A' + B``.

An expression is a nested tuple: ``("var", name)``, ``("const", 0 or 1)``, ``("not", x)``, and ``("and", x,
y)``,
``("or", x, y)``, ``("xor", x, y)``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from asq_sw.errors import InputError

Expression = tuple[Any, ...]

_TOKEN = re.compile(r"\s*(?:([A-Za-z_][A-Za-z0-9_\[\]]*)|([01])|([()!'^*&+|]))")


def parse(text: str) -> Expression:
    """The expression of ``text``.

    Operators, tightest first: ``!x`` and ``x'``; ``^``; ``*``, ``&`` or a blank; ``+`` or ``|``
    (Liberty User Guide, volume 1, "function" attribute).

    Raises
    ------
    InputError
        If ``text`` is no such expression.
    """
    tokens: list[tuple[str, str]] = []
    position = 0
    while position < len(text.rstrip()):
        match = _TOKEN.match(text, position)
        if match is None:
            raise InputError(f"{text!r} is not a Boolean function at {text[position:]!r}")
        kind = "name" if match[1] else "const" if match[2] else "sign"
        tokens.append((kind, match[match.lastindex or 0]))
        position = match.end()
    tokens.append(("end", ""))
    at = 0

    def take(*signs: str) -> bool:
        nonlocal at
        if tokens[at][0] == "sign" and tokens[at][1] in signs:
            at += 1
            return True
        return False

    def atom() -> Expression:
        nonlocal at
        kind, word = tokens[at]
        value: Expression
        if take("!"):
            return ("not", atom())
        if take("("):
            value = either()
            if not take(")"):
                raise InputError(f"{text!r} is not a Boolean function: a bracket is not closed")
        elif kind == "name":
            at += 1
            value = ("var", word)
        elif kind == "const":
            at += 1
            value = ("const", int(word))
        else:
            raise InputError(f"{text!r} is not a Boolean function: {word or 'the end'!r} is out of place")
        while take("'"):
            value = ("not", value)
        return value

    def exclusive() -> Expression:
        value = atom()
        while take("^"):
            value = ("xor", value, atom())
        return value

    def both() -> Expression:
        value = exclusive()
        while take("*", "&") or tokens[at][0] in ("name", "const") or tokens[at][1] in ("(", "!"):
            value = ("and", value, exclusive())
        return value

    def either() -> Expression:
        value = both()
        while take("+", "|"):
            value = ("or", value, both())
        return value

    result = either()
    if tokens[at][0] != "end":
        raise InputError(f"{text!r} is not a Boolean function: {tokens[at][1]!r} is out of place")
    return result


def variables(expression: Expression) -> list[str]:
    """Names in the expression, each once, in order of first use."""
    if expression[0] == "var":
        return [expression[1]]
    if expression[0] == "const":
        return []
    return list(dict.fromkeys(name for part in expression[1:] for name in variables(part)))


def evaluate(expression: Expression, values: dict[str, int], ones: int = 1) -> int:
    """Value of the expression, bit by bit of the integers in ``values``; ``ones`` has every used bit set.

    Raises
    ------
    KeyError
        For a name that is not in ``values``.
    """
    kind = expression[0]
    if kind == "var":
        return values[expression[1]]
    if kind == "const":
        return ones if expression[1] else 0
    if kind == "not":
        return ones & ~evaluate(expression[1], values, ones)
    left = evaluate(expression[1], values, ones)
    right = evaluate(expression[2], values, ones)
    return left & right if kind == "and" else left | right if kind == "or" else left ^ right


def patterns(names: Sequence[str]) -> tuple[dict[str, int], int]:
    """Integers that run through all ``2**n`` assignments: bit s of name i's is bit i of s; and all ones."""
    size = 1 << len(names)
    ones = (1 << size) - 1
    return {name: ones // ((1 << (1 << i)) + 1) << (1 << i) for i, name in enumerate(names)}, ones


def truth_table(expression: Expression, names: Sequence[str]) -> int:
    """Bit s is the expression's value where bit i of s is the value of ``names[i]``."""
    values, ones = patterns(names)
    return evaluate(expression, values, ones)
