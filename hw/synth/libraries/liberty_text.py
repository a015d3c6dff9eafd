"""The syntax of Liberty: text to a tree of groups and attributes.

    library (mini) {                    a group: name (arguments) { statements }
      time_unit : "1ps";                a simple attribute: name : value ;
      voltage_map (VDD, 1.0);           a complex attribute: name (values) ;
      vimax : VDD + 0.5;                a value may be an expression
    }

Every value is kept as text, as the file writes it, without its quotes: what is a number is for the reader of
the attribute to say. What files in use do beyond the Liberty User Guide is read as it is meant: a semicolon
that is missing, or stands after a group; a comma that is missing between values or stands after the last
one; a string over several lines without backslashes; ``//`` comments; a unit glued to its number.

All tokens are found by one regular expression, in time proportional to the text whatever the text is, and
the groups are nested by a list, not by recursion.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import islice
from typing import NoReturn, overload

from asq_sw.errors import InputError

Value = str | list[str]
"""A simple attribute's value, or a complex attribute's values."""

# Every quantifier is possessive or can match in one way only, and the last alternatives leave no character
# without a token, so that nothing is tried twice.
_TOKEN = re.compile(
    r"""
    (?: \s++ | /\*[^*]*+(?:\*(?!/)[^*]*+)*+\*/ | //[^\n]*+ | \\[ \t\r]*+\n )*+  # between tokens
    (
        "[^"\\]*+(?:\\.[^"\\]*+)*+"                                            # a string
      | (?: [^\s(){}:;,"/\\\[]++ | /(?![*/]) | \\(?![ \t\r]*+\n)               # a word, such as 1.2e-3, VDD,
          | \[[\d:\s]*+\] | \[ )++                                             # -0.5ns, A[3:0]
      | [(){}:;,]
      | (?:"|/\*).*+                                                           # not closed: all that is left
      | \Z
    )
    """,
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(r'\\(?:([\\"])|[ \t\r]*+\n)')
_STRING = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL).fullmatch
_NAME = re.compile(r"[A-Za-z_][\w.$-]*+").fullmatch
_SIGNS = frozenset([*"(){}:;,", ""])
_OPERATORS = frozenset("+-*/&|^!")


@dataclass(slots=True)
class Group:
    """A Liberty group: ``name (args) { attributes and groups }``, each in the order of the file."""

    name: str
    args: list[str] = field(default_factory=list)
    attributes: list[tuple[str, Value]] = field(default_factory=list)
    groups: list[Group] = field(default_factory=list)

    def get_groups(self, name: str) -> list[Group]:
        """The groups of that name directly in this one."""
        return [group for group in self.groups if group.name == name]

    def get_attributes(self, name: str) -> list[Value]:
        """The values of every attribute of that name."""
        return [value for key, value in self.attributes if key == name]

    @overload
    def get_attribute(self, name: str) -> Value | None: ...
    @overload
    def get_attribute(self, name: str, default: Value) -> Value: ...
    @overload
    def get_attribute(self, name: str, default: Value | None) -> Value | None: ...
    def get_attribute(self, name: str, default: Value | None = None) -> Value | None:
        """The value of the attribute of that name, or ``default``.

        Raises
        ------
        InputError
            If the attribute is there more than once with different values.
        """
        given = self.get_attributes(name)
        if not given:
            return default
        if any(value != given[0] for value in given):
            other = next(value for value in given if value != given[0])
            both = " and ".join(_short(v if isinstance(v, str) else ", ".join(v)) for v in (given[0], other))
            raise InputError(f"{name} is {both} in one {self.name} group, expected one value")
        return given[0]


def parse(text: str, source: str = "Liberty text") -> Group:
    """The ``library`` group of a Liberty file's text.

    Parameters
    ----------
    text : str
        All of the file.
    source : str
        What errors call it.

    Raises
    ------
    InputError
        If the text is not one library in Liberty's syntax; one line with the source, the number of the line
        and what was expected there.
    """
    return _Parser(text, source).library()


def unquoted(token: str) -> str:
    """A token's text: a string without quotes and backslashes, any other token as it is."""
    if token[:1] != '"':
        return token
    return _ESCAPE.sub(r"\1", token[1:-1]) if "\\" in token else token[1:-1]


class _Parser:
    def __init__(self, text: str, source: str):
        self.text = text
        self.source = source
        # Three more ends, so that looking ahead needs no check.
        self.tokens: list[str] = [*_TOKEN.findall(text), "", "", ""]

    def library(self) -> Group:
        tokens = self.tokens
        root = group = Group("")
        outer: list[Group] = []
        at = 0
        while True:
            name = tokens[at]
            if name == "}" and outer:
                group = outer.pop()
                at += 1
                continue
            if name == ";":
                at += 1
                continue
            if root.groups and not outer:
                if name:
                    self.fail(at, "the end of the file after its library")
                return root.groups[0]
            if not (name.isidentifier() or _NAME(name)):
                self.fail(at, "an attribute, a group or }" if outer else "a library group")
            if not outer and (name != "library" or tokens[at + 1] == ":"):
                self.fail(at, "a library group")
            sign = tokens[at + 1]
            if sign == ":":
                value = tokens[at + 2]
                if tokens[at + 3] == ";" and value not in _SIGNS:
                    group.attributes.append((name, unquoted(value)))
                    at += 4
                    continue
                at, value = self.value(at + 2, "a value")
                group.attributes.append((name, value))
                if tokens[at] not in (";", "}") and tokens[at + 1] not in (":", "("):
                    self.fail(at, "; or the next attribute")
            elif sign == "(":
                if name == "include_file":
                    self.fail(at, "the included file's text in its place")
                at, values = self.values(at + 2)
                if tokens[at] == "{":
                    at += 1
                    inner = Group(name, values)
                    group.groups.append(inner)
                    outer.append(group)
                    group = inner
                elif outer:
                    group.attributes.append((name, values))
                else:
                    self.fail(at, "{")
            else:
                self.fail(at + 1, f": or ( after {_short(name)}")

    def values(self, at: int) -> tuple[int, list[str]]:
        """What is between brackets from ``at`` on, and where it goes on after them."""
        tokens = self.tokens
        values = []
        while (token := tokens[at]) != ")":
            if tokens[at + 1] in (",", ")") and token not in _SIGNS:
                values.append(unquoted(token))
                at += 1
            else:
                at, value = self.value(at, "a value or )", brackets=True)
                values.append(value)
            if tokens[at] == ",":
                at += 1
        return at + 1, values

    def value(self, at: int, expected: str, brackets: bool = False) -> tuple[int, str]:
        """A string, a word or an expression, and where it goes on after it.

        A word goes on an expression only after an operator or as one, so that an attribute that lacks its
        semicolon ends before the next one's name. Between ``brackets`` a colon belongs to a word, as in
        ``A:B``.
        """
        tokens = self.tokens
        if tokens[at][:1] == '"':
            return at + 1, unquoted(tokens[at])
        parts: list[str] = []
        depth = 0
        complete = False  # whether the expression may end here
        while (token := tokens[at]) and token[0] != '"':
            if not complete:
                if token == "(":
                    depth += 1
                elif token in _SIGNS:
                    break
                else:
                    complete = token[-1] not in _OPERATORS
            elif token == ")" and depth:
                depth -= 1
            elif brackets and token == ":" and tokens[at + 1] not in _SIGNS:
                parts[-1] += f":{tokens[at + 1]}"
                at += 2
                continue
            elif token[0] == "[":
                parts[-1] += token
                at += 1
                continue
            elif token[0] in _OPERATORS:
                complete = token[-1] not in _OPERATORS
            else:
                break
            parts.append(token)
            at += 1
        if depth:
            self.fail(at, "an operator or )" if complete else "an operand")
        if not parts:
            self.fail(at, expected)
        if not complete and len(parts) > 1:
            self.fail(at, "an operand")
        return at, " ".join(parts)

    def fail(self, at: int, expected: str) -> NoReturn:
        """Raise an error about the token at ``at``."""
        last = next((i for i in reversed(range(len(self.tokens))) if self.tokens[i]), -1)
        token = self.tokens[last] if last >= 0 else ""
        kind = ""
        if token[:2] == "/*":
            kind = "comment"
        elif token[:1] == '"' and not _STRING(token):
            kind = "string"
        if at > last or (at == last and kind):
            lines = self.text.count("\n") + (not self.text.endswith("\n"))
            why = f" (a {kind} that opens at line {self.line(last)} is not closed)" if kind else ""
            raise InputError(
                f"{self.source}: ends at line {lines} before its library does{why}, is it truncated?"
            )
        raise InputError(
            f"{self.source}: is not Liberty at line {self.line(at)}: {_short(self.tokens[at])}, "
            f"expected {expected}"
        )

    def line(self, at: int) -> int:
        """The number of the line that a token begins on."""
        match = next(islice(_TOKEN.finditer(self.text), at, None))
        return self.text.count("\n", 0, match.start(1)) + 1


def _short(token: str) -> str:
    """A token as an error shows it."""
    return repr(token if len(token) <= 40 else f"{token[:37]}...")
