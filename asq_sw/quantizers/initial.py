"""Starting values by least squared error, for the methods that start from the data's spread."""

from __future__ import annotations

import numpy as np

from asq_sw.quantizers.base import Array

_SAMPLE = 1 << 16
_CANDIDATES = 100


def sample(x: Array) -> Array:
    """At most 65,536 evenly spaced values of ``x``, float64: enough for a scale, whatever the batch."""
    flat = x.reshape(-1)
    return flat[:: -(-flat.size // _SAMPLE)].astype(np.float64)


def best_clip(magnitudes: Array, levels: int) -> float:
    """The clipping point with the least squared error of a uniform grid from 0 on.

    Parameters
    ----------
    magnitudes : array
        Values >= 0.
    levels : int
        Steps between 0 and the clipping point, >= 1.

    Returns
    -------
    One of 100 evenly spaced fractions of the largest value; 1 where all are zero.
    """
    values = sample(magnitudes)
    largest = values.max()
    if largest == 0:
        return 1.0
    clips = largest * np.arange(1, _CANDIDATES + 1) / _CANDIDATES
    errors = [
        np.square(np.rint(np.minimum(values, clip) * (levels / clip)) * (clip / levels) - values).sum()
        for clip in clips
    ]
    return float(clips[int(np.argmin(errors))])


def fit_affine(x: Array, levels: int, rounds: int = 20) -> tuple[float, float]:
    """(step, offset) of ``offset + step * (0 .. levels)`` fitted to ``x`` in squared error.

    Starts from the smallest and largest value, then alternates codes and linear least squares; no round
    raises the error. A constant ``x`` gives (|x| / levels or 1, min(x, 0)), which represents it.
    """
    values = sample(x)
    low, high = float(values.min()), float(values.max())
    if low == high:
        low, high = min(low, 0.0), max(high, 0.0)
        return (high - low) / levels or 1.0, low
    step, offset = (high - low) / levels, low
    for _ in range(rounds):
        codes = np.clip(np.rint((values - offset) / step), 0, levels)
        spread = codes - codes.mean()
        if not spread.any():
            break
        new = float(spread @ values / (spread @ spread))
        if new <= 0:
            break
        step, offset = new, float(values.mean() - new * codes.mean())
    return step, offset
