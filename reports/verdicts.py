"""Lone elements of POST against int and POT: figures, and a sentence for each comparison."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from reports.blocks import Row, pick
from reports.scope import BITS


def comparisons(units: Sequence[Row], errors: Sequence[Row]) -> list[dict[str, Any]]:
    """POST's lone element against int's and POT's, by width.

    ``area``, ``energy``: ratios; ``gaussian``, ``laplacian``: decibels of SQNR more; ``kind``: ``win``, ``lose`` or ``mixed``, and
    ``word`` says it. ``units`` and ``errors``: the rows of ``units`` and ``sqnr`` in the report's data.
    """
    found = []
    for bits in BITS:
        for other in ("int", "pot"):
            (post,), (peer,) = pick(units, grid="post", wbits=bits), pick(units, grid=other, wbits=bits)
            area = post["area_per_mac_um2"] / peer["area_per_mac_um2"]
            energy = post["energy_per_mac_fj"] / peer["energy_per_mac_fj"]
            gauss, laplace = (
                _decibels(errors, "post", bits, name) - _decibels(errors, other, bits, name)
                for name in ("gaussian", "laplacian")
            )
            good = [area < 0.995, energy < 0.995, gauss > 0.05, laplace > 0.05]
            bad = [area > 1.005, energy > 1.005, gauss < -0.05, laplace < -0.05]
            kind = "win" if any(good) and not any(bad) else "lose" if any(bad) and not any(good) else "mixed"
            word = {"win": "POST wins", "lose": "POST loses", "mixed": "Mixed"}[kind]
            if not any(good) and not any(bad):
                word = "A tie"
            found.append(
                {
                    "bits": bits, "other": other, "area": area, "energy": energy, "gaussian": gauss, "laplacian": laplace,
                    "kind": kind, "word": word,
                }
            )  # fmt: skip
    return found


def verdicts(units: Sequence[Row], errors: Sequence[Row]) -> list[dict[str, str]]:
    """A sentence (``text``) for each of :func:`comparisons`, and its ``kind``."""
    return [
        {
            "kind": c["kind"],
            "text": (
                f"{c['word']} at {c['bits']} bits against {c['other']}{c['bits']}: its processing element has {c['area']:.2f} times "
                f"the area and {c['energy']:.2f} times the energy per MAC; its SQNR is {signed(c['gaussian'])} dB on Gaussian "
                f"and {signed(c['laplacian'])} dB on Laplacian weights."
            ),
        }
        for c in comparisons(units, errors)
    ]


def _decibels(errors: Sequence[Row], grid: str, bits: int, distribution: str) -> float:
    (row,) = pick(errors, grid=grid, bits=bits, distribution=distribution)
    return float(row["sqnr_db"])


def signed(decibels: float) -> str:
    """With its sign and one digit; no sign where it rounds to zero."""
    text = f"{decibels:+.1f}"
    return "0.0" if float(text) == 0 else text
