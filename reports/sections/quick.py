"""The quick cross-check: built-in networks, one array, every bit-width; data first, then the page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any

from asq_sw.formats import GRIDS, WeightFormat, legal
from asq_sw.sqnr import DISTRIBUTIONS, sqnr
from hw.nodes import DEFAULT_NODE

NETWORKS = ("resnet18", "resnet20")
BITS = (2, 3, 4, 8)
GRIDS_COMPARED = ("post", "int", "pot")
SQNR_BITS = (2, 3, 4, 5, 6, 7, 8)
ENERGY_PARTS = ("mac", "sram", "dram", "leakage")

Step = Callable[[str], None]


@dataclass(frozen=True)
class QuickOptions:
    """What the quick report looks at.

    Attributes
    ----------
    rows, cols : int
        Shape of the array.
    clock_mhz : float
        The clock at which the grids are compared.
    node : str
        Cell library of the netlists.
    """

    rows: int = 32
    cols: int = 32
    clock_mhz: float = 500.0
    node: str = DEFAULT_NODE


def measured_units(options: QuickOptions, step: Step) -> list[dict[str, Any]]:
    """One row per processing element, synthesized now (or taken from the cache of an equal run)."""
    pairs = [(g, b) for b in BITS for g in GRIDS_COMPARED] + [("fp4", 4), ("apot", 4)]
    step(f"synthesizing and measuring {len(pairs)} processing elements on {options.node}")
    # The widest take the longest: start with them. Two workers, for the two cores that people have at least.
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        jobs = [pool.submit(_measured, *pair, options.node) for pair in sorted(pairs, key=lambda p: -p[1])]
        rows = [job.result() for job in jobs]
    return sorted(rows, key=lambda row: pairs.index((row["grid"], row["wbits"])))


def _measured(grid: str, bits: int, node: str) -> dict[str, Any]:
    from hw.synth.measure import measure
    from hw.units.spec import UnitSpec

    weight = WeightFormat(grid, bits)
    cost = measure(UnitSpec("pe", weight, bits), node).to_json()
    kept: tuple[str, ...] = (
        "clock_ns",
        "cells",
        "area_um2",
        "area_sequential_um2",
        "area_per_mac_um2",
        "delay_ns",
        "slack_ns",
    )
    kept += ("leakage_nw", "energy_per_mac_fj", "activity", "operands", "wires", "node", "variant")
    return {
        "grid": grid,
        "wbits": bits,
        "abits": bits,
        "storage_bits": weight.storage_bits,
        "frac_bits": weight.frac_bits,
        **{key: cost[key] for key in kept},
    }


def quantization_rows() -> list[dict[str, Any]]:
    """SQNR of every grid and width at its best scale; for POST with the table's rounding beside it."""
    rows = []
    for grid in GRIDS:
        for bits in (b for b in SQNR_BITS if legal(grid, b)):
            weight = WeightFormat(grid, bits)
            for distribution in DISTRIBUTIONS:
                best = sqnr(weight, distribution)
                rounded = sqnr(weight, distribution, bits) if weight.takes_frac_bits else best
                rows.append(
                    {
                        "grid": grid,
                        "bits": bits,
                        "storage_bits": weight.storage_bits,
                        "levels": len(weight.levels),
                        "distribution": distribution,
                        "alpha": best.alpha,
                        "sqnr_db": best.db,
                        "sqnr_with_table_db": rounded.db,
                        "frac_bits": weight.frac_bits,
                    }
                )
    return rows


def simulated(
    options: QuickOptions, units: Sequence[dict[str, Any]], step: Step
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """(totals, layers): a row per network, grid and width, and a row per layer of each."""
    from sim import Accelerator, simulate

    totals, layers = [], []
    for network in NETWORKS:
        step(f"simulating {network}")
        for unit in units:
            if unit["grid"] not in GRIDS_COMPARED:
                continue
            accelerator = Accelerator(
                rows=options.rows,
                cols=options.cols,
                grid=unit["grid"],
                wbits=unit["wbits"],
                abits=unit["abits"],
                clock_mhz=options.clock_mhz,
                node=options.node,
            )
            result = simulate(network, accelerator).to_json()
            key = {"network": network, "grid": unit["grid"], "wbits": unit["wbits"]}
            total = result["total"]
            fmax = 1e3 / unit["delay_ns"]
            fastest = accelerator.model_copy(update={"clock_mhz": fmax})
            parts = {f"{part}_uj": total["energy_pj"].get(part, 0.0) / 1e6 for part in ENERGY_PARTS}
            totals.append(
                {
                    **key,
                    "macs": total["macs"],
                    "total_cycles": total["total_cycles"],
                    "stall_cycles": total["stall_cycles"],
                    "utilization": total["utilization"],
                    "latency_s": total["latency_s"],
                    "images_per_s": total["images_per_s"],
                    "tops": total["tops"],
                    "tops_per_w": total["tops_per_w"],
                    "clock_mhz": options.clock_mhz,
                    "fmax_mhz": fmax,
                    "images_per_s_at_fmax": simulate(network, fastest).total["images_per_s"],
                    "dram_bytes": total["dram_read_bytes"] + total["dram_write_bytes"],
                    **parts,
                    "energy_uj": sum(parts.values()),
                }
            )
            for layer in result["layers"]:
                layers.append(
                    {
                        **key,
                        "name": layer["name"],
                        "kind": layer["kind"],
                        "macs": layer["macs"],
                        "compute_us": layer["compute_cycles"] / options.clock_mhz,
                        "stall_us": layer["stall_cycles"] / options.clock_mhz,
                        "utilization": layer["utilization"],
                        **{f"{part}_uj": layer["energy_pj"].get(part, 0.0) / 1e6 for part in ENERGY_PARTS},
                    }
                )
    return totals, layers


def verdicts(units: Sequence[dict[str, Any]], errors: Sequence[dict[str, Any]]) -> list[dict[str, str]]:
    """A sentence per comparison of POST with int and POT, winning or losing as the figures say."""
    lines = []

    def unit(grid: str, bits: int) -> dict[str, Any]:
        return next(u for u in units if (u["grid"], u["wbits"]) == (grid, bits))

    def db(grid: str, bits: int, distribution: str) -> float:
        return next(
            r["sqnr_db"]
            for r in errors
            if (r["grid"], r["bits"], r["distribution"]) == (grid, bits, distribution)
        )

    for bits in BITS:
        for other in ("int", "pot"):
            post, peer = unit("post", bits), unit(other, bits)
            area = post["area_per_mac_um2"] / peer["area_per_mac_um2"]
            energy = post["energy_per_mac_fj"] / peer["energy_per_mac_fj"]
            gauss = db("post", bits, "gaussian") - db(other, bits, "gaussian")
            laplace = db("post", bits, "laplacian") - db(other, bits, "laplacian")
            good = [area < 0.995, energy < 0.995, gauss > 0.05, laplace > 0.05]
            bad = [area > 1.005, energy > 1.005, gauss < -0.05, laplace < -0.05]
            kind = "win" if any(good) and not any(bad) else "lose" if any(bad) and not any(good) else "mixed"
            word = {"win": "POST wins", "lose": "POST loses", "mixed": "Mixed"}[kind]
            if not any(good) and not any(bad):
                word = "A tie"
            lines.append(
                {
                    "kind": kind,
                    "text": (
                        f"{word} at {bits} bits against {other}{bits}: its processing element has {area:.2f} times "
                        f"the area and {energy:.2f} times the energy per MAC; its SQNR is {_signed(gauss)} dB on Gaussian "
                        f"and {_signed(laplace)} dB on Laplacian weights."
                    ),
                }
            )
    return lines


def _signed(decibels: float) -> str:
    """With its sign and one digit; no sign where it rounds to zero."""
    text = f"{decibels:+.1f}"
    return "0.0" if float(text) == 0 else text
