"""Every key of the machine file, from the model that reads it, as a page: ``python -m sim.studies.machine_keys -o docs/machine.md``."""

from __future__ import annotations

import inspect
import re
from types import UnionType
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin

import click

from asq_sw.console import run
from asq_sw.files import write_text
from asq_sw.formats import GRIDS
from hw.machine.dataflows import DATAFLOWS
from hw.machine.spec import UNIT_DATAFLOWS
from hw.nodes import NODES
from sim.accelerator import FIELD_ORDER, Accelerator
from sim.tiles.dram import PLAIN, PRESETS

NAMES = {
    "dataflow": DATAFLOWS, "grid": GRIDS, "node": NODES, "unit": UNIT_DATAFLOWS, "dram": (PLAIN, *PRESETS),
}  # fmt: skip
"""Key -> the names that it takes, where the model's type does not say."""
UNITS = {
    "_mhz": "MHz", "_kib": "KiB", "_gb_per_s": "1e9 bytes/s", "_ns": "ns", "bits": "bits", "_words": "values/cycle",
    "line_words": "values", "bank_ports": "lines/cycle", "vector_lanes": "values/cycle", "pe_stages": "cycles",
}  # fmt: skip
"""End of a key -> unit; the longest end that fits. The other numbers are counts."""
TYPES = {int: "whole number", float: "number", str: "name", bool: "true or false"}


class Key(NamedTuple):
    """A key of the machine file, in words.

    ``takes``: type and range, or the names.
    """

    name: str
    takes: str
    unit: str
    default: str
    meaning: str


def attributes(documented: type) -> dict[str, str]:
    """Attribute -> its description, from the Attributes section of a class's docstring (numpydoc)."""
    _, _, section = inspect.cleandoc(documented.__doc__ or "").partition("\nAttributes\n----------\n")
    section = re.split(r"^\S.*\n-+\n", section, flags=re.M)[0]
    found = {}
    for names, text in re.findall(r"^(\S[^:\n]*?) *(?::.*)?\n((?:[ \t]+.*\n?|\n)*)", section, flags=re.M):
        for name in names.split(", "):
            found[name] = " ".join(text.split())
    return found


def keys() -> list[Key]:
    """All keys, in the order in which a machine is written.

    Raises
    ------
    KeyError
        For a field that its class's docstring does not describe.
    """
    described = {
        name: text
        for documented in reversed(Accelerator.__mro__)
        if documented.__module__.split(".")[0] in ("hw", "sim")
        for name, text in attributes(documented).items()
    }
    fields = {name: field for name, field in Accelerator.model_fields.items() if not field.exclude}
    assert sorted(fields) == sorted(FIELD_ORDER)
    found = []
    for name in FIELD_ORDER:
        field = fields[name]
        kind, optional = _type(field.annotation)
        ends = [end for end in UNITS if name.endswith(end)]
        default = "the grid's" if optional and field.default is None else _toml(field.default)
        found.append(
            Key(
                name,
                _takes(name, kind, field.metadata),
                UNITS[max(ends, key=len)] if ends else "",
                default,
                re.sub(r"(?::\w+:|`)`([^`]+)`{1,2}", r"`\1`", described[name]),
            )
        )
    return found


def _type(annotation: Any) -> tuple[Any, bool]:
    """The type of a field, and whether it may be left open."""
    if get_origin(annotation) in (Union, UnionType):
        first, *rest = get_args(annotation)
        return first, type(None) in rest
    return annotation, False


def _takes(name: str, kind: Any, metadata: list[Any]) -> str:
    names = NAMES.get(name) or (get_args(kind) if get_origin(kind) is Literal else ())
    if names:
        return ", ".join(f"`{one}`" for one in names)
    ends = {end: getattr(m, end) for m in metadata for end in ("ge", "gt", "le", "lt") if hasattr(m, end)}
    low = f"at least {ends['ge']:g}" if "ge" in ends else f"above {ends['gt']:g}" if "gt" in ends else ""
    high = f"at most {ends['le']:g}" if "le" in ends else f"below {ends['lt']:g}" if "lt" in ends else ""
    if "ge" in ends and "le" in ends:
        low, high = f"{ends['ge']:g} to {ends['le']:g}", ""
    return ", ".join(text for text in (TYPES[kind], low, high) if text)


def _toml(value: Any) -> str:
    return f'`"{value}"`' if isinstance(value, str) else f"`{str(value).lower()}`"


def page() -> str:
    """The page as Markdown."""
    lines = [
        "# The machine file", "",
        "Made by `python -m sim.studies.machine_keys -o docs/machine.md` from the model that reads the file "
        "(`sim/accelerator.py`).", "",
        "`asq simulate NETWORK --config machine.toml` reads a TOML file with any of these keys; options of the command "
        "override it, and a key that is not here is refused. `examples/machine.toml` is one. In Python the keys are the "
        "arguments of `sim.Accelerator`, and its `to_toml` writes such a file.", "",
        "| key | takes | unit | default | meaning |", "|---|---|---|---|---|",
    ]  # fmt: skip
    lines += [f"| `{k.name}` | {k.takes} | {k.unit} | {k.default} | {k.meaning} |" for k in keys()]
    return "\n".join(lines) + "\n"


@click.command()
@click.option("-o", "--output", default="-", help="Markdown file, - for standard output.")
def main(output: str) -> None:
    """Write the keys of the machine file, with types, ranges, units and defaults, as a page.

    Example: python -m sim.studies.machine_keys -o docs/machine.md
    """
    write_text(output, page())


if __name__ == "__main__":
    run(main, "python -m sim.studies.machine_keys")
