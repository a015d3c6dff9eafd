"""What one must know of a tile besides its Verilog: where what lies in its ports, what its weights are stored
as, and the corrections that make its sums exact. As JSON, and as comment lines."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from amaranth.lib import wiring

from asq_sw.errors import InputError
from hw.units.tile import TileSpec

LINE = 96
"""Characters of a comment line, at most."""


def stored(tile: TileSpec) -> list[int | None]:
    """What to apply to ``w``, by weight code of the format; None for a code that the variant cannot take."""
    words: list[int | None] = []
    for code in range(1 << tile.weight.storage_bits):
        try:
            words.append(int(tile.stored(np.array(code))))
        except InputError:
            words.append(None)
    return words


def corrections(tile: TileSpec) -> dict[str, list[int | None]]:
    """By accumulator (``products.sums``): what a product's term lacks, by weight code as in :func:`stored`.

    A dot product's exact share of the accumulator is the accumulator plus the sum of its weights' corrections,
    modulo ``2**sum_bits`` (:meth:`hw.units.tile.TileSpec.exact`).
    """
    by_code = [
        None if word is None else tile.products.correction(code) for code, word in enumerate(stored(tile))
    ]
    return {
        name: [None if lacking is None else int(lacking[index]) for lacking in by_code]
        for index, name in enumerate(tile.products.sums)
    }


def ports(tile: TileSpec) -> list[dict[str, Any]]:
    """The tile's ports: name, direction, width; of a packed one the fields' bits and their order."""
    a, w, s = tile.abits, tile.products.code_bits, tile.sum_bits
    packed = {
        "a": {"field_bits": a, "signed": tile.signed_activations, "order": f"a[r] = a[r*{a} +: {a}]"},
        "w": {"field_bits": w, "signed": False, "order": f"w[r][c] = w[(r*{tile.cols}+c)*{w} +: {w}]"},
    }
    for name in tile.outputs:
        packed[name] = {"field_bits": s, "signed": True, "order": f"{name}[c] = {name}[c*{s} +: {s}]"}
    component = tile.build()
    listed: list[dict[str, Any]] = [{"name": "clk", "direction": "input", "width": 1}]
    if tile.reset:
        listed.append({"name": "rst", "direction": "input", "width": 1})
    for name, member in component.signature.members.items():
        direction = "input" if member.flow == wiring.In else "output"
        width = len(getattr(component, name).as_value()) if name in packed else len(getattr(component, name))
        listed.append({"name": name, "direction": direction, "width": width, **packed.get(name, {})})
    return listed


def record(tile: TileSpec) -> dict[str, Any]:
    """All of it, JSON-ready, as ``asq verilog tile --corrections`` writes it."""
    fields = tile.record()
    return {
        "module": tile.name,
        "made_by": f"asq verilog {tile.options}",
        **{
            name: fields[name]
            for name in ("grid", "wbits", "frac_bits", "abits", "signed_activations", "variant")
        },
        "rows": tile.rows,
        "cols": tile.cols,
        "options": tile.choices,
        "terms": tile.terms,
        "sum_bits": tile.sum_bits,
        "product_scale": tile.weight.product_scale,
        "zero_code": tile.weight.zero_code,
        "ports": ports(tile),
        **({"mode": tile.products.mode} if tile.products.modes else {}),
        "stored": stored(tile),
        "corrections": corrections(tile),
    }


def comments(tile: TileSpec) -> list[str]:
    """The same for the head of a Verilog file, and what happens at a clock edge; lines without ``//``."""
    products = tile.products
    lines = [
        "packed ports, rows r and columns c from 0: "
        + "; ".join(p["order"] for p in ports(tile) if "order" in p)
    ]
    if products.modes:
        lines.append("mode: " + ", ".join(f"{i} {grid}" for i, grid in enumerate(products.modes)))
    words = stored(tile)
    if any(word is not None and word != code for code, word in enumerate(words)):
        pairs = ", ".join(f"{code}: {word}" for code, word in enumerate(words) if word is not None)
        lines.append(f"w takes, by weight code: {pairs}")
    missing = [code for code, word in enumerate(words) if word is None]
    if missing:
        lines.append(f"w cannot hold weight code {', '.join(map(str, missing))}")
    edge = "each clk" + (", rst first and where en" if tile.reset and tile.enable else "")
    edge += ", where en" if tile.enable and not tile.reset else ""
    edge += ", rst first" if tile.reset and not tile.enable else ""
    for name in products.sums:
        total = f"({name}[c] + {name}_carry[c])" if tile.carry_save else f"{name}[c]"
        lines.append(
            f"{edge}, column c: {total} <= (clear ? 0 : {total}) + the sum over r of a term of a[r] and w[r][c]"
        )
    if tile.reset:
        lines.append("rst = 1: the sums become 0, without the products of this cycle and of those before")
    if tile.registers:
        lines.append("weights are held in registers, written from w where load is 1")
    if tile.edge_registers:
        lines.append("a goes through registers: w and clear of a product come one cycle after its a")
    if tile.stage != "none":
        lines.append("the sums come a cycle later, through a register behind the " + tile.stage)
    lines.append(
        f"exact sum = sum of terms + sum of its weights' corrections, modulo 2**{tile.sum_bits}; these are,"
    )
    lines.append("by weight code from 0" + (" (-: none):" if missing else ":"))
    for name, values in corrections(tile).items():
        line = f"{name}:"
        for word in ("-" if value is None else str(value) for value in values):
            if len(line) + len(word) + 1 > LINE:
                lines.append(line)
                line = "  "
            line += f" {word}"
        lines.append(line)
    if len(products.sums) > 1:
        lines.append(f"what the sums make together: {type(products).__module__}")
    return lines


def text(tile: TileSpec) -> str:
    """:func:`record` as the text of a file."""
    return json.dumps(record(tile), indent=1) + "\n"
