"""The closed-form quantization error against published optima and against sampling."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import laplace, norm

from asq_sw.errors import InputError
from asq_sw.formats import WeightFormat
from asq_sw.sqnr import half_normal_activations, sqnr, truncated_moments


def test_three_level_optimum_of_max_1960() -> None:
    """Max, "Quantizing for Minimum Distortion", 1960, table I, N = 3: output 1.224, error 0.1902."""
    best = sqnr(WeightFormat("int", 2), "gaussian")
    assert best.alpha == pytest.approx(1.224, abs=5e-4)
    assert 10 ** (-best.db / 10) == pytest.approx(0.1902, abs=5e-5)


@pytest.mark.parametrize("grid", ["nf4", "int-full"])
def test_unsymmetric_grids_count_both_sides(grid: str) -> None:
    """A plain sum over a fine mesh of weights, at the scale that is found."""
    weight = WeightFormat(grid, 4)
    best = sqnr(weight)
    x = (np.arange(400_000) + 0.5) / 400_000 * 16 - 8
    density = np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi) * (x[1] - x[0])
    error = (weight.levels[weight.nearest(x / best.alpha)] * best.alpha - x) ** 2
    assert -10 * np.log10(float(error @ density)) == pytest.approx(best.db, abs=1e-3)


@pytest.mark.parametrize("distribution", ["gaussian", "laplacian"])
@pytest.mark.parametrize(("grid", "bits"), [("post", 4), ("post", 3), ("int", 6), ("fp4", 4), ("apot", 5)])
@pytest.mark.parametrize("abits", [None, 3])
def test_against_sampling(grid: str, bits: int, distribution: str, abits: int | None) -> None:
    # One sample in the middle of each of n equal slices of probability: far less noise than drawing.
    n = 1_000_000
    u = (np.arange(n) + 0.5) / n
    x = norm.ppf(u) if distribution == "gaussian" else laplace.ppf(u, scale=np.sqrt(0.5))
    f = WeightFormat(grid, bits, frac_bits=0)
    best = sqnr(f, distribution, abits)
    index = f.nearest(x / best.alpha)
    if abits is None:
        noise, signal = np.mean((x - best.alpha * f.levels[index]) ** 2), np.mean(x**2)
    else:
        noise = signal = 0.0
        for a, share in enumerate(half_normal_activations(abits)):
            got = best.alpha * f.product_scale * f.product(a, f.encode(index))
            noise += share * np.mean((a * x - got) ** 2)
            signal += share * np.mean((a * x) ** 2)
    assert 10 * np.log10(signal / noise) == pytest.approx(best.db, abs=0.01)


@pytest.mark.parametrize("distribution", ["gaussian", "laplacian"])
def test_moments_of_the_whole_line(distribution: str) -> None:
    mass, _, square = truncated_moments(np.array([0.0, 0.7, np.inf]), distribution)
    assert mass.sum() == pytest.approx(1)
    assert square.sum() == pytest.approx(1)


def test_more_fraction_bits_never_hurt_much() -> None:
    """With enough fractional bits the table's rounding vanishes."""
    exact = sqnr(WeightFormat("post", 4), "gaussian").db
    assert sqnr(WeightFormat("post", 4, frac_bits=10), "gaussian", 4).db == pytest.approx(exact, abs=1e-3)
    assert sqnr(WeightFormat("post", 4, frac_bits=0), "gaussian", 4).db < exact - 0.1


def test_unknown_distribution() -> None:
    with pytest.raises(InputError, match="laplacian"):
        sqnr(WeightFormat("post", 4), "uniform")
