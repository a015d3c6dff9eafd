"""The section on the quantization error of every grid and width."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt

from asq_sw.formats import GRID_RECORDS, WeightFormat
from asq_sw.sqnr import DISTRIBUTIONS, sqnr
from reports.blocks import Figure, Row, Section, Table, pick
from reports.figures import STYLE, to_svg
from reports.palette import GRIDS
from reports.scope import Request


def rows(request: Request, data: Mapping[str, Any]) -> dict[str, Any]:
    """``sqnr``: a row per grid, legal width and distribution."""
    request.step("computing the quantization error")
    return {
        "sqnr": [
            error_row(WeightFormat(grid, bits), distribution)
            for grid, record in GRID_RECORDS.items()
            for bits in record.widths
            for distribution in DISTRIBUTIONS
        ]
    }


def error_row(weight: WeightFormat, distribution: str) -> dict[str, Any]:
    """SQNR of a format at its best scale, dB, and with the rounding of its table where it has one."""
    best = sqnr(weight, distribution)
    rounded = sqnr(weight, distribution, weight.bits) if weight.takes_frac_bits else best
    return {
        "grid": weight.grid,
        "bits": weight.bits,
        "storage_bits": weight.storage_bits,
        "levels": len(weight.levels),
        "distribution": distribution,
        "alpha": best.alpha,
        "sqnr_db": best.db,
        "sqnr_with_table_db": rounded.db,
        "frac_bits": weight.frac_bits,
    }


def against_bits(errors: Sequence[Row]) -> str:
    """SQNR of every grid against the bits that it really stores, for both distributions."""
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(1, 2, figsize=(10.2, 3.6), layout="constrained", sharey=True)
        for axis, distribution in zip(axes, ("gaussian", "laplacian"), strict=True):
            for grid, style in GRIDS.items():
                points = pick(errors, grid=grid, distribution=distribution)
                points.sort(key=lambda r: r["storage_bits"])
                axis.plot(
                    [r["storage_bits"] for r in points],
                    [r["sqnr_db"] for r in points],
                    "*" if len(points) == 1 else "o-",
                    ms=10 if len(points) == 1 else 4,
                    color=style.colour,
                    label=style.label,
                )
            axis.set_xlabel("Bits stored per weight")
            axis.set_title(f"{distribution.capitalize()} weights")
        axes[0].set_ylabel("SQNR at the best scale (dB)")
        figure.legend(*axes[0].get_legend_handles_labels(), title="Weight grid", loc="outside right upper")
        return to_svg(figure, "sqnr")


HEADER = (
    "grid", "bits", "stored bits", "levels", "Gaussian dB", "Laplacian dB", "Gaussian dB with rounded table",
)  # fmt: skip


def section(data: Mapping[str, Any]) -> Section:
    """A figure and a table."""
    errors = data["sqnr"]
    source = (
        "Computed here in closed form (truncated moments), at the scale with the least error; no sampling."
    )
    caption = (
        "SQNR of each grid at its best scale, against the bits that it really stores. More bits add only smaller exponents, so that POST "
        "and POT stop gaining while int goes on; post-paper's lead over post of the same name is the extra bit that it stores."
    )
    table = []
    for row in pick(errors, distribution="gaussian"):
        other = pick(errors, grid=row["grid"], bits=row["bits"], distribution="laplacian")[0]
        has_table = WeightFormat(row["grid"], row["bits"]).takes_frac_bits
        table.append(
            [row["grid"], row["bits"], row["storage_bits"], row["levels"]]
            + [f"{row['sqnr_db']:.2f}", f"{other['sqnr_db']:.2f}"]
            + [f"{row['sqnr_with_table_db']:.2f}" if has_table else "–"]
        )
    return Section(
        "Quantization error by grid and bit-width",
        [
            Figure("SQNR", against_bits(errors), caption, source),
            Table(
                "SQNR",
                HEADER,
                table,
                "The last column counts the rounding of the table (F fractional bits) on half-normal activations.",
                source,
            ),
        ],
        ("sqnr",),
    )
