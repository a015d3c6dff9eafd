"""The page's first lines: a sentence per comparison of POST with int and POT."""

from __future__ import annotations

from collections.abc import Sequence

from reports.blocks import Row, pick
from reports.scope import BITS


def verdicts(units: Sequence[Row], errors: Sequence[Row]) -> list[dict[str, str]]:
    """POST winning or losing as the figures say, by width and grid.

    ``kind``: ``win``, ``lose`` or ``mixed``; ``text``: the sentence. ``units`` and ``errors``: the rows of ``units`` and
    ``sqnr`` in the report's data.
    """
    lines = []
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


def _decibels(errors: Sequence[Row], grid: str, bits: int, distribution: str) -> float:
    (row,) = pick(errors, grid=grid, bits=bits, distribution=distribution)
    return float(row["sqnr_db"])


def _signed(decibels: float) -> str:
    """With its sign and one digit; no sign where it rounds to zero."""
    text = f"{decibels:+.1f}"
    return "0.0" if float(text) == 0 else text
