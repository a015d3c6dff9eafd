"""Quantization error of a weight grid on Gaussian and Laplacian weights, in closed form.

The signal is a weight of zero mean and unit variance (times an activation, where the table's rounding
counts). A cell of the grid is the interval of weights that round to one level, so the mean squared error is a
sum of truncated moments of the density: no sampling, no seed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import ndtr

from asq_sw.errors import InputError
from asq_sw.formats import WeightFormat

DISTRIBUTIONS = ("gaussian", "laplacian")


@dataclass(frozen=True)
class Sqnr:
    """Signal to quantization noise of one grid at its best scale.

    Attributes
    ----------
    alpha : float
        The scale with the least error, in standard deviations of the weights.
    db : float
        ``10 log10(signal / noise)``.
    """

    alpha: float
    db: float


def truncated_moments(edges: NDArray[np.float64], distribution: str) -> NDArray[np.float64]:
    """Integrals of ``p``, ``x p`` and ``x**2 p`` between successive ``edges`` (>= 0, the last may be inf).

    Unit variance, both signs counted (the half-line's integrals twice). Edges (..., n), result (3, ..., n - 1).
    """
    if distribution == "gaussian":
        density = np.exp(-(edges**2) / 2) / np.sqrt(2 * np.pi)
        finite = np.where(np.isinf(edges), 0.0, edges)
        upper = np.stack([ndtr(-edges), density, ndtr(-edges) + finite * density])
    elif distribution == "laplacian":
        b = np.sqrt(0.5)  # scale of unit variance
        finite = np.where(np.isinf(edges), 0.0, edges)
        tail = np.where(np.isinf(edges), 0.0, 0.5 * np.exp(-finite / b))
        upper = np.stack([tail, tail * (finite + b), tail * (finite**2 + 2 * b * finite + 2 * b * b)])
    else:
        raise InputError(f"distribution is {distribution!r}, expected one of {', '.join(DISTRIBUTIONS)}")
    return 2 * (upper[..., :-1] - upper[..., 1:])


def half_normal_activations(bits: int) -> NDArray[np.float64]:
    """Probability of each activation code after ReLU on a Gaussian, the largest code at 3 sigma.

    Shape (2**bits,). Half the codes' mass is at zero, as after a ReLU.
    """
    edges = np.concatenate([[-np.inf], (np.arange(2**bits - 1) + 0.5) * 3 / (2**bits - 1), [np.inf]])
    return np.diff(ndtr(edges))


def sqnr(weight: WeightFormat, distribution: str = "gaussian", abits: int | None = None) -> Sqnr:
    """Best achievable signal-to-quantization-noise ratio of a grid.

    Parameters
    ----------
    weight : WeightFormat
    distribution : "gaussian" or "laplacian"
    abits : int, optional
        Count the look-up table's rounding too: noise of the integer products of ``abits``-bit activations
        (:func:`half_normal_activations`) instead of noise of the levels.

    Returns
    -------
    Sqnr at the scale alpha that minimizes the error, found to 1e-6.
    """
    zero = int(np.flatnonzero(weight.levels == 0)[0])
    sides = [
        (weight.levels[zero:], weight.codes[zero:], 1),
        (-weight.levels[zero::-1], weight.codes[zero::-1], -1),
    ]
    parts = []
    for levels, codes, sign in sides[:1] if weight.record.symmetric else sides:
        first, second = levels, levels**2
        if abits is not None:
            # An activation a sees the level product(a, code) * scale / a. Averaged with weight a**2:
            a = np.arange(2**abits)
            share = half_normal_activations(abits)
            products = (
                sign * weight.product(a[:, None], codes[None, :]).astype(np.float64) * weight.product_scale
            )
            power = float(share @ a**2)
            first = (share * a) @ products / power
            second = share @ products**2 / power
        parts.append((levels, first, second))

    def noise(alphas: NDArray[np.float64]) -> NDArray[np.float64]:
        """Mean squared error at each scale; (n,) to (n,)."""
        alpha = alphas[:, None]
        total = np.zeros(len(alphas))
        for levels, first, second in parts:
            inner = (levels[1:] + levels[:-1]) / 2 * alpha
            edges = np.pad(inner, ((0, 0), (1, 1)), constant_values=((0, 0), (0.0, np.inf)))
            mass, mean, square = truncated_moments(edges, distribution)
            total += np.sum(square - 2 * alpha * first * mean + alpha * alpha * second * mass, axis=-1)
        return total / len(parts)  # the moments count both signs

    # The error has several local minima in alpha for steep grids: scan, then refine the best.
    scan = np.geomspace(0.2, 40.0, 400)
    best = int(np.argmin(noise(scan)))
    low, high = scan[max(best - 1, 0)], scan[min(best + 1, len(scan) - 1)]
    found = minimize_scalar(
        lambda alpha: noise(np.array([alpha]))[0],
        bounds=(low, high),
        method="bounded",
        options={"xatol": 1e-6},
    )
    return Sqnr(alpha=float(found.x), db=float(-10 * np.log10(found.fun)))
