"""The page: sections of figures and tables, each with its conclusion and its source, as one HTML file."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined

from asq_sw.formats import GRID_RECORDS
from reports import figures
from reports.sections import accuracy, full, tiles, width
from reports.sections.quick import BITS, ENERGY_PARTS, GRIDS_COMPARED, NETWORKS

Rows = Sequence[dict[str, Any]]


def _figure(name: str, svg: str, caption: str, source: str) -> dict[str, Any]:
    return {"svg": svg, "name": name, "caption": caption, "source": source}


def _table(
    name: str, header: Sequence[str], rows: Sequence[Sequence[Any]], caption: str, source: str
) -> dict[str, Any]:
    return {"svg": "", "name": name, "header": header, "rows": rows, "caption": caption, "source": source}


def _pick(rows: Rows, **key: Any) -> list[dict[str, Any]]:
    return [row for row in rows if all(row[k] == v for k, v in key.items())]


def unit_section(data: dict[str, Any]) -> dict[str, Any]:
    """Area and energy per MAC of the processing elements."""
    units = data["units"]
    node = data["options"]["node"]
    source = (
        f"Measured here: RTL synthesized with Yosys onto {node}'s cells; delay by static timing and energy by "
        "gate-level simulation of the mapped netlist. Operands: Gaussian weights at the grid's best scale, "
        "half-normal activations, fixed seed."
    )
    post, whole = _pick(units, grid="post", wbits=4)[0], _pick(units, grid="int", wbits=4)[0]
    eight = _pick(units, grid="post", wbits=8)[0]["area_per_mac_um2"]
    ratio = post["area_per_mac_um2"] / whole["area_per_mac_um2"]
    caption = (
        f"A processing element of its own (multiplier, registers and adder). At 4 bits POST takes {ratio:.2f} times "
        f"int's area, {'so its naive element loses' if ratio > 1 else 'so it wins'}. At 8 bits a power grid's "
        f"exponents span so many octaves that the shifter and adder explode ({eight:,.0f} µm²), for no gain in "
        "accuracy: powers of sqrt(2) are a format for 4 bits and fewer."
    )
    header = [
        "PE",
        "F",
        "stored bits",
        "cells",
        "area µm²",
        "sequential µm²",
        "delay ns",
        "leakage nW",
        "fJ/MAC",
    ]
    table = [
        [
            f"{u['grid']} {u['wbits']}x{u['abits']}",
            u["frac_bits"] if GRID_RECORDS[u["grid"]].takes_frac_bits else "–",
            u["storage_bits"],
            u["cells"],
            f"{u['area_um2']:.1f}",
            f"{u['area_sequential_um2']:.1f}",
            f"{u['delay_ns']:.2f}",
            f"{u['leakage_nw']:.0f}",
            f"{u['energy_per_mac_fj']:.1f}",
        ]
        for u in units
    ]
    return {
        "title": "What a processing element costs",
        "blocks": [
            _figure(
                "Area and energy per MAC",
                figures.unit_costs(units, BITS, (*GRIDS_COMPARED, "apot", "fp4")),
                caption,
                source,
            ),
            _table(
                "Processing elements",
                header,
                table,
                "Weight-stationary, partial sums for 32 rows; weight x activation bits.",
                source,
            ),
        ],
    }


def speed_section(data: dict[str, Any]) -> dict[str, Any]:
    """Throughput, utilization and time by layer."""
    options, totals, layers = data["options"], data["totals"], data["layers"]
    shape = f"{options['rows']}x{options['cols']}"
    source = (
        f"Computed here: closed-form cycles of a weight-stationary {shape} array at {options['clock_mhz']:g} MHz; "
        f"netlists are synthesized for {1e3 / data['units'][0]['clock_ns']:g} MHz and no faster; the clock that one "
        "reaches is its processing element's delay by static timing."
    )
    four = {n: _pick(totals, network=n, grid="post", wbits=4)[0] for n in NETWORKS}
    caption = (
        "At one clock every grid takes the same cycles; fewer bits help only where DRAM is the limit. "
        + " ".join(
            f"{n} at 4 bits: {t['images_per_s']:.0f} images/s, utilization {100 * t['utilization']:.0f}%."
            for n, t in four.items()
        )
        + " Run at the clock that its own netlist reaches, fewer bits are faster: the adder and shifter are shorter. "
        "Every netlist was asked for the same clock, so the wide ones, which just meet it, are not shown at their best."
    )
    blocks = [_figure("Throughput", figures.throughput(totals, NETWORKS, BITS), caption, source)]
    rows = [
        [
            t["network"],
            f"{t['grid']} {t['wbits']}",
            f"{t['total_cycles']:,}",
            f"{100 * t['utilization']:.1f}%",
            f"{1e3 * t['latency_s']:.3f}",
            f"{t['images_per_s']:.0f}",
            f"{t['tops']:.3f}",
            f"{t['tops_per_w']:.2f}",
            f"{t['fmax_mhz']:.0f}",
        ]
        for t in totals
    ]
    header = [
        "network",
        "grid",
        "cycles",
        "utilization",
        "ms/image",
        "images/s",
        "TOPS",
        "TOPS/W",
        "PE fmax MHz",
    ]
    blocks.append(
        _table("Throughput by grid and width", header, rows, f"At {options['clock_mhz']:g} MHz.", source)
    )
    for network in NETWORKS:
        mine = _pick(layers, network=network, grid="post", wbits=4)
        slowest = max(mine, key=lambda r: r["compute_us"] + r["stall_us"])
        waste = {r["name"]: (1 - r["utilization"]) * (r["compute_us"] + r["stall_us"]) for r in mine}
        worst = max(waste, key=lambda name: waste[name])
        caption = (
            f"{network}, POST 4 bits. {slowest['name']} takes the longest. {worst} wastes the most: "
            f"{100 * waste[worst] / sum(waste.values()):.0f}% of all the time that processing elements stand idle; "
            "that is where a better mapping would pay first."
        )
        blocks.append(
            _figure(f"Time by layer, {network}", figures.time_by_layer(mine, network), caption, source)
        )
    return {"title": "Throughput, utilization and time by layer", "blocks": blocks}


def energy_section(data: dict[str, Any]) -> dict[str, Any]:
    """Energy split into MAC, SRAM, DRAM."""
    totals, layers = data["totals"], data["layers"]
    source = (
        "MAC: measured here (netlists above). SRAM and DRAM: accesses counted here, energy per access "
        + "; ".join(data["energy_sources"][part] for part in ("sram", "dram"))
    )
    shares = []
    for network in NETWORKS:
        t = _pick(totals, network=network, grid="post", wbits=4)[0]
        shares.append(
            f"{network}: MACs are {100 * t['mac_uj'] / t['energy_uj']:.0f}% of {t['energy_uj']:.0f} µJ"
        )
    caption = (
        "Where the energy of one image goes. With POST at 4 bits, " + "; ".join(shares) + ". "
        "Where memory dominates, the bits stored matter more than the kind of multiplier."
    )
    blocks = [
        _figure(
            "Energy per image", figures.energy_totals(totals, NETWORKS, BITS, GRIDS_COMPARED), caption, source
        )
    ]
    for network in NETWORKS:
        mine = _pick(layers, network=network, grid="post", wbits=4)
        top = max(mine, key=lambda r: sum(r[f"{p}_uj"] for p in ENERGY_PARTS))
        part = max(ENERGY_PARTS, key=lambda p: top[f"{p}_uj"])
        caption = (
            f"{network}, POST 4 bits. {top['name']} spends the most, mainly on {figures.PART_NAMES[part]}."
        )
        blocks.append(
            _figure(f"Energy by layer, {network}", figures.energy_by_layer(mine, network), caption, source)
        )
    rows = [
        [t["network"], f"{t['grid']} {t['wbits']}", *(f"{t[f'{p}_uj']:.1f}" for p in ENERGY_PARTS)]
        + [f"{t['energy_uj']:.1f}", f"{t['dram_bytes'] / 1e6:.2f}"]
        for t in totals
    ]
    header = [
        "network",
        "grid",
        *(f"{figures.PART_NAMES[p]} µJ" for p in ENERGY_PARTS),
        "total µJ",
        "DRAM MB",
    ]
    blocks.append(_table("Energy per image by grid and width", header, rows, "Per image, batch 1.", source))
    return {"title": "Energy: MAC, SRAM, DRAM", "blocks": blocks}


def error_section(data: dict[str, Any]) -> dict[str, Any]:
    """Quantization error of every grid."""
    rows = data["sqnr"]
    source = (
        "Computed here in closed form (truncated moments), at the scale with the least error; no sampling."
    )

    def db(grid: str, bits: int) -> float:
        return _pick(rows, grid=grid, bits=bits, distribution="gaussian")[0]["sqnr_db"]

    caption = (
        f"At 4 bits POST ({db('post', 4):.1f} dB on Gaussian weights) is level with int ({db('int', 4):.1f}), apot "
        f"({db('apot', 4):.1f}), fp4 ({db('fp4', 4):.1f}) and post-gap ({db('post-gap', 4):.1f}) and far above POT "
        f"({db('pot', 4):.1f}); on Laplacian weights it is ahead of int. More bits add only smaller exponents: POST stops at "
        f"{db('post', 8):.1f} dB and POT at {db('pot', 8):.1f} dB while int gains 6 dB a bit. post-paper's lead over "
        "post at the same name is the extra bit that it stores."
    )
    header = [
        "grid",
        "bits",
        "stored bits",
        "levels",
        "Gaussian dB",
        "Laplacian dB",
        "Gaussian dB with rounded table",
    ]
    table = []
    for row in _pick(rows, distribution="gaussian"):
        other = _pick(rows, grid=row["grid"], bits=row["bits"], distribution="laplacian")[0]
        rounded = f"{row['sqnr_with_table_db']:.2f}" if GRID_RECORDS[row["grid"]].takes_frac_bits else "–"
        table.append(
            [row["grid"], row["bits"], row["storage_bits"], row["levels"]]
            + [f"{row['sqnr_db']:.2f}", f"{other['sqnr_db']:.2f}", rounded]
        )
    return {
        "title": "Quantization error by grid and bit-width",
        "blocks": [
            _figure("SQNR", figures.quantization_error(rows), caption, source),
            _table(
                "SQNR",
                header,
                table,
                "The last column counts the rounding of the table (F fractional bits) on half-normal activations.",
                source,
            ),
        ],
    }


def render(data: dict[str, Any]) -> str:
    """The whole page as HTML text, with nothing outside it (styles and figures inline)."""
    options = data["options"]
    template = files("reports").joinpath("templates/report.html.j2").read_text(encoding="utf-8")
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(template).render(
        title="POST against int and POT: throughput, area, energy and error",
        summary=(
            f"{' and '.join(NETWORKS)} on a {options['rows']}x{options['cols']} weight-stationary array at "
            f"{', '.join(map(str, BITS))} bits. Each figure says whether it was measured here, computed here or "
            "published elsewhere."
        ),
        provenance=data["provenance"],
        verdicts=data["verdicts"],
        sections=[
            unit_section(data),
            tiles.section(data["tiles"], data["tiles_trained"], data["accuracy"], data["tiles_fronts"]),
            speed_section(data),
            energy_section(data),
            width.section(data, NETWORKS),
            error_section(data),
            accuracy.section(data["accuracy"], data["accuracy_longer"], data["accuracy_grids"]),
            *(full.sections(data) if "engine" in data else []),
        ],
    )
