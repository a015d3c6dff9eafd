"""Verilog with every module written once: modules that differ in their names alone become one.

Amaranth makes a module of its own of every submodule, with ports named after the nets outside: a column's groups
of rows, and the tables in them, are the same text but for those names. Two modules are taken for one where a
renaming of all that a module declares, and another order of its statements, makes their texts equal: what is
merged is the same circuit, whatever is overlooked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from zlib import crc32

_MODULE = re.compile(r"^module (\w+)\s*\((.*?)\);\n(.*?)^endmodule\n", re.MULTILINE | re.DOTALL)
_ITEM = re.compile(r"^  (?!end\b|\))\S.*\n(?:(?:    .*|  end\b.*|  \).*)\n)*", re.MULTILINE)
_INSTANCE = re.compile(r"  (\w+) (\\\S+ |\w+) \(\n")
_PIN = re.compile(r"^    \.(\\\S+ |\w+) ?\((.*)\),?$", re.MULTILINE)
_TOKEN = re.compile(r"\d*'s?[bdho][0-9a-fxz_]+|\\\S+ |[A-Za-z_]\w*|\s+|\d+|.", re.IGNORECASE)
_NAME = re.compile(r"\\|[A-Za-z_]")
_KEYWORDS = frozenset(
    [
        "input",
        "output",
        "wire",
        "reg",
        "signed",
        "assign",
        "always",
        "posedge",
        "negedge",
        "or",
        "begin",
        "end",
        "if",
        "else",
        "case",
        "casez",
        "endcase",
        "default",
        "initial",
    ]
)
_ROUNDS = 12
"""Rounds in which statements tell names apart, at most: as many as a signal is far from the ports, mostly."""


@dataclass
class _Module:
    """A module's name, ports in order, and items (statements); ``text`` is what is written.

    ``plain``: nothing in the body is of a form that is not known here.
    """

    name: str
    ports: list[str]
    text: str
    items: list[str]
    plain: bool

    @classmethod
    def of(cls, match: re.Match[str]) -> _Module:
        ports = [port.strip() for port in match[2].replace("\n", "").split(",") if port.strip()]
        items = _ITEM.findall(match[3])
        plain = "".join(items) == match[3] and all(
            len(_PIN.findall(item)) == item.count("\n") - 2 for item in items if _INSTANCE.match(item)
        )
        return cls(match[1], ports, match[0], items, plain)


Token = tuple[bool, str]
"""Whether it is a name that the module declares, and the text."""


def _tokens(text: str) -> Iterator[Token]:
    for token in _TOKEN.findall(text):
        word = token.strip()
        if word:
            yield bool(_NAME.match(word)) and word not in _KEYWORDS, word


def _item_tokens(item: str) -> list[Token]:
    """Tokens of a statement; an instance's pins in the order of their names, which are not the module's."""
    head = _INSTANCE.match(item)
    if head is None:
        return list(_tokens(item))
    tokens: list[Token] = [(False, head[1]), (True, head[2].strip())]
    for pin, net in sorted(_PIN.findall(item)):
        tokens += [(False, f".{pin.strip()}"), *_tokens(net)]
    return tokens


def _canonical(module: _Module) -> str:
    """The module with names and statements in an order of their own: equal texts are equal circuits."""
    items = [_item_tokens(item) for item in module.items]
    colours: dict[str, int] = {}
    for place, port in enumerate(module.ports):
        colours[port] = hash((1, place))
    kinds = len(set(colours.values()))
    keys: list[int] = []
    for _ in range(_ROUNDS):
        keys = [
            hash(tuple(colours.get(t, 0) if own else crc32(t.encode()) for own, t in item)) for item in items
        ]
        uses: dict[str, list[tuple[int, int]]] = {}
        for key, item in zip(keys, items, strict=True):
            for place, (own, token) in enumerate(item):
                if own:
                    uses.setdefault(token, []).append((key, place))
        colours = {name: hash((colours.get(name, 0), *sorted(places))) for name, places in uses.items()}
        if len(set(colours.values())) == kinds:
            break
        kinds = len(set(colours.values()))
    numbers = {port: f"${place}" for place, port in enumerate(module.ports)}
    lines = []
    for _, item in sorted(zip(keys, items, strict=True), key=lambda pair: pair[0]):
        words = [numbers.setdefault(token, f"${len(numbers)}") if own else token for own, token in item]
        lines.append(" ".join(words))
    return "\n".join([str(len(module.ports)), *lines])


def _replace(module: _Module, other: dict[str, tuple[str, dict[str, str]]]) -> None:
    """Take the other modules' names and pins where ``module`` places such."""
    for index, item in enumerate(module.items):
        head = _INSTANCE.match(item)
        if head is None or head[1] not in other:
            continue
        name, pins = other[head[1]]
        ordered = sorted((pins[pin.strip()], net) for pin, net in _PIN.findall(item))
        lines = ",\n".join(f"    .{pin}{_gap(pin)}({net})" for pin, net in ordered)
        instance = head[2].strip()
        new = f"  {name} {instance}{_gap(instance)} (\n{lines}\n  );\n"
        module.text = module.text.replace(item, new)
        module.items[index] = new


def _gap(name: str) -> str:
    """The space that ends an escaped name."""
    return " " if name.startswith("\\") else ""


def written_once(verilog: str) -> str:
    """Verilog, as :func:`hw.rtl.verilog.rtlil_to_verilog` writes it, without modules that another one equals.

    The first of equal modules stays, under its name and with its ports' names; the others' instances become
    its instances. A module that nothing places stays. Equal texts give equal texts.
    """
    modules = {match[1]: _Module.of(match) for match in _MODULE.finditer(verilog)}
    if not all(module.plain for module in modules.values()):
        return verilog
    while True:
        placed = {
            head[1]
            for m in modules.values()
            for item in m.items
            if (head := _INSTANCE.match(item)) is not None
        }
        alike: dict[tuple[int, int], list[_Module]] = {}
        for name in sorted(placed & modules.keys(), key=list(modules).index):
            module = modules[name]
            alike.setdefault((len(module.ports), len(module.items)), []).append(module)
        other: dict[str, tuple[str, dict[str, str]]] = {}
        for candidates in alike.values():
            first: dict[str, _Module] = {}
            for module in candidates if len(candidates) > 1 else ():
                kept = first.setdefault(_canonical(module), module)
                if kept is not module:
                    other[module.name] = (kept.name, dict(zip(module.ports, kept.ports, strict=True)))
        if not other:
            return "\n".join(module.text for module in modules.values())
        for name in other:
            del modules[name]
        for module in modules.values():
            _replace(module, other)
