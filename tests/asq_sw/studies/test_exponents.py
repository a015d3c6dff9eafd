"""The scan of exponents: densities and optima against published figures, the search against brute force."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import laplace, norm, t

from asq_sw.errors import InputError
from asq_sw.formats import WeightFormat, round_sqrt2
from asq_sw.sqnr import sqnr
from asq_sw.studies import exponents as ex
from asq_sw.studies import grid_search as gs

PDF = {
    "gaussian": norm.pdf,
    "laplacian": lambda x: laplace.pdf(x, scale=0.5**0.5),
    "student5": lambda x: t.pdf(x, 5, scale=0.6**0.5),
}


@pytest.mark.parametrize("density", gs.DENSITIES)
def test_tails_against_quadrature(density: str) -> None:
    for x in (0.0, 0.3, 1.7, 6.0):
        found = gs.tails(np.array([x, np.inf]), density)
        wanted = [2 * quad(lambda y, k=k: y**k * PDF[density](y), x, np.inf)[0] for k in range(3)]
        assert found[:, 0] == pytest.approx(wanted, abs=1e-9)
        assert not found[:, 1].any()


@pytest.mark.parametrize(("levels", "error"), [(4, 0.1188), (8, 0.03744), (16, 0.01154)])
def test_uniform_optima_of_max_1960(levels: int, error: float) -> None:
    """Max, "Quantizing for Minimum Distortion", 1960, table II: equally spaced outputs, no zero."""
    grid = gs.whole("", range(1, levels, 2))
    assert 10 ** (-gs.density_sqnr(grid, "gaussian")[0] / 10) == pytest.approx(error, rel=5e-4)


@pytest.mark.parametrize(("levels", "error"), [(4, 0.1175), (8, 0.03454), (16, 0.009497)])
def test_optima_of_max_1960(levels: int, error: float) -> None:
    """Table I of the same: outputs where they are best."""
    found = gs.density_sqnr(gs.lloyd(levels // 2, "gaussian", zero=False), "gaussian")[0]
    assert 10 ** (-found / 10) == pytest.approx(error, rel=1e-3)


@pytest.mark.parametrize("density", ["gaussian", "laplacian"])
def test_against_the_other_closed_form(density: str) -> None:
    for grid, own in ((gs.post(4), WeightFormat("post", 4, 0)), (gs.uniform(3), WeightFormat("int", 3)), (gs.fp4(), WeightFormat("fp4", 4))):  # fmt: skip
        assert gs.density_sqnr(grid, density)[0] == pytest.approx(sqnr(own, density).db, abs=1e-6)
    path = gs.datapath(range(7))
    found = gs.density_sqnr(gs.post(4), density, gs.seen_levels(path))[0]
    assert found == pytest.approx(sqnr(WeightFormat("post", 4, 0), density, 4).db, abs=1e-6)


@pytest.mark.parametrize("density", gs.DENSITIES)
@pytest.mark.parametrize("zero", [True, False])
def test_best_sets_against_every_set(density: str, zero: bool) -> None:
    every = sorted(
        ((gs.density_sqnr(gs.of_slots("", (0, *rest), zero), density)[0], (0, *rest)) for rest in combinations(range(1, 7), 2)),
        reverse=True,
    )  # fmt: skip
    found = gs.best_sets(3, density, zero, largest=6, keep=4)
    assert [f.slots for f in found] == [s for _, s in every[:4]]
    assert [f.db for f in found] == pytest.approx([db for db, _ in every[:4]], abs=1e-5)


def test_winners() -> None:
    def best(count: int, density: str, zero: bool = True) -> gs.Found:
        return gs.best_sets(count, density, zero, largest=14, keep=1)[0]

    for density, db in (("gaussian", 19.22), ("laplacian", 17.36)):
        assert best(7, density).slots == gs.POST_GAP_TOP
        assert best(7, density).db == pytest.approx(db, abs=0.01)
        assert best(8, density, False).slots == (0, 1, 2, 3, 4, 5, 7, 10)
    assert best(7, "student5").slots == (0, 2, 3, 4, 5, 6, 8)
    assert best(3, "gaussian").slots == (0, 2, 4)
    assert best(3, "gaussian").db == pytest.approx(13.23, abs=0.01)
    assert best(3, "laplacian").slots == (0, 2, 5)


@pytest.mark.parametrize(("bits", "density"), [(5, "student5"), (6, "student5"), (6, "gaussian")])
def test_wide_winners_are_no_worse_than_post(bits: int, density: str) -> None:
    found = gs.best_sets(2 ** (bits - 1) - 1, density, largest=40, keep=1)[0]
    assert found.db >= gs.density_sqnr(gs.post(bits), density)[0] - 1e-6


@pytest.mark.parametrize(
    "grid", [gs.post(3), gs.of_slots("", (0, 2, 5), zero=False), gs.nf4(), gs.uniform(2)]
)
def test_scale_of_a_group_is_the_best_of_all(grid: gs.LevelSet) -> None:
    values = gs.draw("student5", (6, 15), 3)
    groups = gs.in_groups([values], None)
    noise, scales = gs.group_noise(groups, grid)
    error = np.square(gs.quantized(groups, grid, scales) - groups.values).reshape(6, 15).sum(axis=1)
    assert error == pytest.approx(noise)
    for a in np.geomspace(0.3, 12, 200):
        tried = (
            np.square(gs.quantized(groups, grid, np.full(6, a)) - groups.values).reshape(6, 15).sum(axis=1)
        )
        assert (tried >= noise - 1e-9).all()


def test_zero_groups() -> None:
    groups = gs.in_groups([np.zeros((2, 8))], 4)
    assert not gs.group_noise(groups, gs.post(4))[0].any()
    assert not gs.scan(groups, gs.all_sets(3, 5), 5).any()


def test_scan_is_close_to_the_exact_scale() -> None:
    groups = gs.in_groups([gs.draw("laplacian", (40, 100), 4)], 96)
    assert sorted(set(np.diff(groups.starts))) == [4, 96]
    groups = groups.some(39)
    for zero in (True, False):
        sets = gs.all_sets(3, 7)
        rough = gs.scan(groups, sets, 7, zero, scales=256)
        exact = np.array([gs.group_noise(groups, gs.of_slots("", s, zero))[0].sum() for s in sets])
        assert (rough >= exact * (1 - 1e-9)).all()
        good = exact < 1.2 * exact.min()
        assert rough[good] == pytest.approx(exact[good], rel=5e-3)


def test_exchange_finds_the_best_of_all() -> None:
    groups = gs.in_groups([gs.draw("gaussian", (30, 64), 5)], None)
    sets = gs.all_sets(4, 9)
    noise = gs.scan(groups, sets, 9)
    best, least = gs.exchange(groups, [(0, 1, 2, 3)], 9)
    assert best == tuple(sets[int(np.argmin(noise))])
    assert least == pytest.approx(noise.min())


def test_products_are_those_of_the_formats() -> None:
    a = np.arange(16)
    for own, path in (
        (WeightFormat("fp4", 4), gs.datapath(gs.POST_GAP, 1.5)),
        *((WeightFormat("post", 4, f), gs.datapath(range(7), frac_bits=f)) for f in (0, 1, 2)),
        (WeightFormat("pot", 4), gs.datapath(range(0, 14, 2))),
    ):
        codes = own.codes[len(own.codes) // 2 + 1 :]
        assert (path.tables == own.product(a[:, None], codes[None, :])).all()


def test_products_of_the_gap() -> None:
    a = np.arange(16)
    twice = np.array([round_sqrt2(int(x), 1) for x in a])
    finest = gs.datapath(gs.POST_GAP)
    assert ([a, a << 1, twice, a << 2, twice << 1, a << 3, twice << 2] == finest.tables.T).all()
    root = np.array([round_sqrt2(int(x), 0) for x in a])
    below = np.rint(a / np.sqrt(2)).astype(int)
    top = gs.datapath(gs.POST_GAP_TOP, table="second")
    assert ([below, root, a << 1, root << 1, a << 2, root << 2, a << 3] == top.tables.T).all()
    assert (finest.product_bits, top.product_bits) == (9, 8)
    with pytest.raises(InputError, match="second"):
        gs.datapath(gs.POST_GAP_TOP, table="plain")


def test_simulated_dot_products_agree_with_the_closed_form() -> None:
    made = next(p for p in ex.products(0) if p.name == "post-gap, 2 sqrt(2) a")
    found = ex.simulate(made, "gaussian", channels=512)
    assert made.path is not None
    closed = gs.density_sqnr(made.grid, "gaussian", gs.seen_levels(made.path))[0]
    # A scale for each 1024 weights gains about 0.2 dB over one scale for all.
    assert found["db"] == pytest.approx(closed + 0.2, abs=0.1 + 3 * found["error"])


def test_names_and_costs() -> None:
    assert ex.exponents(gs.POST_GAP) == "0-5 7"
    assert ex.exponents((0, 1, 3)) == "0 1 3"
    assert [ex.adders(n) for n in (3, 5, 7, 11, 23)] == [1, 1, 1, 2, 2]
    assert ex.table_literals([0, 1] * 8) == 1
    assert ex.decoding(((0, 0), (0, 1), (0, 2)), True, True) == (6, 6)


def test_groups_of_a_file_and_their_page_rows() -> None:
    drawn = ex.source("drawn", [gs.draw("gaussian", (200, 64), 0)], 32)
    assert (len(drawn.ranked), len(drawn.shown), drawn.size) == (200, 200, "32")
    (row,) = ex.scan_groups([drawn], (3,))
    assert row["db"]["best"] >= row["db"]["POST"]
    assert row["better"] == pytest.approx(row["db"]["best"] - row["db"]["int3"])
    (row,) = ex.scan_groups([ex.source("drawn", [gs.draw("gaussian", (40, 64), 0)], None)], (4,))
    assert row["rounded"]["post-gap"] < row["db"]["post-gap"]
    assert row["rounded_better"] == pytest.approx(row["rounded"]["post-gap"] - row["db"]["FP4"])
    with pytest.raises(InputError, match="no floating-point array"):
        ex.matrices_of({"bias": np.zeros(3)}, "weights.npz")
