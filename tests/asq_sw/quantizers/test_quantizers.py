"""Every quantizer against its formula written out in numpy, and its gradients against differences.

The straight-through parts are checked against the papers' closed forms; parts that are smooth between the
roundings are checked against central differences of the function with the rounding replaced by its slope.
"""

from __future__ import annotations

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asq_sw.errors import InputError
from asq_sw.formats import GRID_RECORDS, WeightFormat
from asq_sw.quantizers import (
    Asq,
    Daq,
    Dorefa,
    GridWeights,
    Lsq,
    LsqPlus,
    Pact,
    Post,
    Qil,
)


def normal(*shape: int, seed: int = 0, dtype: type = np.float64) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def clamp_round(v: np.ndarray, low: float, high: float) -> np.ndarray:
    return np.rint(np.clip(v, low, high))


def grid(name: str, bits: int, **options) -> GridWeights:
    return GridWeights(WeightFormat(name, bits), **options)


ACTIVATIONS = {
    "asq": lambda b: Asq(b),
    "lsq": lambda b: Lsq(b),
    "lsq+": lambda b: LsqPlus(b),
    "pact": lambda b: Pact(b, start=1.5),
    "dorefa": lambda b: Dorefa(b),
    "qil": lambda b: Qil(b),
    "daq": lambda b: Daq(b),
}
WEIGHTS = {
    **{
        name: lambda b, name=name: grid(
            name, b if b in GRID_RECORDS[name].widths else GRID_RECORDS[name].widths[0]
        )
        for name in GRID_RECORDS
    },
    "per tensor": lambda b: grid("post", b, per_channel=False),
    "lsq": lambda b: Lsq(b, weights=True),
    "lsq+": lambda b: LsqPlus(b, weights=True),
    "dorefa": lambda b: Dorefa(b, weights=True),
    "qil": lambda b: Qil(b, weights=True),
    "qil gamma": lambda b: Qil(b, weights=True, train_gamma=True),
    "daq": lambda b: Daq(b, weights=True),
}
ALL = {f"activations {k}": v for k, v in ACTIVATIONS.items()} | {
    f"weights {k}": v for k, v in WEIGHTS.items()
}


# -- forward ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [1, 2, 3, 4, 8])
def test_asq_follows_its_formula(bits: int) -> None:
    x = np.maximum(normal(3, 16, 5, 4), 0)
    q = Asq(bits, seed=3)
    x_hat = q.forward(x)
    p = q.parameters
    g = x.mean(axis=(2, 3))
    hidden = np.maximum(g @ p["fc1.weight"].T + p["fc1.bias"], 0)
    beta = np.maximum(np.maximum(hidden @ p["fc2.weight"].T + p["fc2.bias"], 0), 1e-8).reshape(-1, 1, 1, 1)
    assert p["s"][0] == pytest.approx(2 * np.abs(x).mean() / (2**bits - 1) ** 0.5)
    assert p["fc1.weight"].shape == (4, 16)
    assert p["fc2.bias"][0] == 1
    np.testing.assert_allclose(
        x_hat, clamp_round(x / (p["s"] * beta), 0, 2**bits - 1) * p["s"] * beta, rtol=1e-12
    )
    np.testing.assert_allclose(
        Asq(bits, channel_axis=-1, seed=3).forward(np.ascontiguousarray(x.transpose(0, 2, 3, 1))),
        x_hat.transpose(0, 2, 3, 1),
        rtol=1e-12,
    )


def test_asq_of_few_channels_has_one_layer() -> None:
    x = np.abs(normal(2, 5, 3, 3))
    q = Asq(4)
    x_hat = q.forward(x)
    beta = x.mean(axis=(2, 3)) @ q.parameters["fc.weight"].T + q.parameters["fc.bias"]
    step = (q.parameters["s"] * np.maximum(beta, 1e-8)).reshape(-1, 1, 1, 1)
    np.testing.assert_allclose(x_hat, clamp_round(x / step, 0, 15) * step, rtol=1e-12)


@pytest.mark.parametrize(("name", "bits"), [(g, b) for g, r in GRID_RECORDS.items() for b in r.widths])
def test_grids_take_the_nearest_level(name: str, bits: int) -> None:
    w = normal(6, 7, 3, 3)
    q = grid(name, bits)
    w_hat = q.forward(w)
    alpha = np.quantile(np.abs(w.reshape(6, -1)), 0.99, axis=1)
    np.testing.assert_allclose(q.parameters["alpha"], alpha, rtol=1e-12)
    levels = WeightFormat(name, bits).levels
    v = w.reshape(6, -1) / alpha[:, None]
    nearest = levels[np.abs(v[..., None] - levels).argmin(axis=-1)]
    np.testing.assert_allclose(w_hat.reshape(6, -1), nearest * alpha[:, None], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("paper", "name"), [(False, "post"), (True, "post-paper")])
def test_post_is_its_grid(paper: bool, name: str) -> None:
    w = normal(4, 50)
    q = Post(4, paper, frac_bits=1)
    assert q.format == WeightFormat(name, 4, 1)
    np.testing.assert_array_equal(q.forward(w), grid(name, 4).forward(w))


def test_ties_go_towards_zero_on_either_side() -> None:
    """nf4's midpoints next to zero, times an alpha that divides them exactly."""
    q = grid("nf4", 4)
    levels = q.format.levels
    w = np.array([[levels[6] / 2, levels[8] / 2, (levels[5] + levels[6]) / 2, (levels[8] + levels[9]) / 2]])
    q.load_state({"alpha": np.ones(1)})
    np.testing.assert_array_equal(q.forward(w), [[0, 0, levels[6], levels[8]]])


@pytest.mark.parametrize("name", ["post", "nf4", "int-full"])
def test_other_numbers_in_the_levels_place(name: str) -> None:
    q = grid(name, 4)
    w = normal(5, 3, 2, 2)
    w_hat = q.forward(w)
    values = q.format.levels**3
    cubes = (w_hat / q.parameters["alpha"].reshape(-1, 1, 1, 1)) ** 3 * q.parameters["alpha"].reshape(
        -1, 1, 1, 1
    )
    np.testing.assert_allclose(q.with_levels(w, values), cubes, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(q.with_levels(w_hat, values), cubes, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ["nf4", "int-full"])
def test_least_squares_start_of_asymmetric_levels(name: str) -> None:
    """No share of a finer scan is much better, and weights of one sign alone are served by their own side."""
    w = np.abs(normal(2, 500)) * [[1], [-1]]
    q = grid(name, 4, start="least-squares")
    error = np.square(q.forward(w) - w).sum(axis=1)
    levels = WeightFormat(name, 4).levels
    for row in range(2):
        scan = [
            np.square(a * levels[np.abs(w[row, :, None] / a - levels).argmin(axis=-1)] - w[row]).sum()
            for a in np.quantile(np.abs(w[row]), 0.99) * np.linspace(0.2, 1.3, 200)
        ]
        assert error[row] <= 1.02 * min(scan)


def test_least_squares_start_is_the_ternary_optimum() -> None:
    """2 bits are -1, 0, 1: keeping the k largest costs least where (their sum)**2 / k is largest."""
    w = normal(5, 400)
    q = grid("post", 2, start="least-squares")
    error = np.square(q.forward(w) - w).sum(axis=1)
    falling = np.sort(np.abs(w), axis=1)[:, ::-1]
    gain = np.cumsum(falling, axis=1) ** 2 / np.arange(1, 401)
    least = np.square(w).sum(axis=1) - gain.max(axis=1)
    assert (error >= least - 1e-9).all()
    assert (error < 1.01 * least).all()
    wide = grid("post", 2)
    assert (np.square(wide.forward(w) - w).sum(axis=1) > 1.5 * error).all()
    with pytest.raises(InputError, match="start is 'warm'"):
        grid("post", 2, start="warm")


def test_qil_of_two_bits_is_ternary_and_prunes() -> None:
    w = normal(8, 40)
    q = Qil(2, weights=True)
    q.forward(w)
    q.parameters["c"][:], q.parameters["d"][:] = 0.8, 0.3
    w_hat = q.forward(w)
    t = np.clip(np.sign(w) * (0.5 / 0.3 * np.abs(w) - 0.5 * 0.8 / 0.3 + 0.5), -1, 1)
    expected = np.where(np.abs(w) < 0.5, 0, np.where(np.abs(w) > 1.1, np.sign(w), np.rint(t)))
    np.testing.assert_array_equal(w_hat, expected)


@pytest.mark.parametrize("bits", [2, 3, 4])
def test_qil_gamma_bends_the_transform(bits: int) -> None:
    w = normal(8, 40)
    q = Qil(bits, weights=True, train_gamma=True)
    q.forward(w)
    for key, value in (("c", 0.9), ("d", 0.7), ("gamma", 1.6)):
        q.parameters[key][:] = value
    u = np.clip((np.abs(w) - 0.9 + 0.7) / 1.4, 0, 1) ** 1.6
    steps = 2 ** (bits - 1) - 1
    np.testing.assert_allclose(q.forward(w), np.sign(w) * np.rint(u * steps) / steps, atol=1e-12)


def soft_daq(z: np.ndarray, high: int, sigma: float, temperature: float) -> np.ndarray:
    """The papers' soft rounding, all of it: scores, controller, softmax, candidates moved outward."""
    f = np.floor(z)
    t = z - f
    near = np.rint(t)
    scores = np.stack([np.exp(-np.abs(t - k)) * np.exp(-((k - near) ** 2) / sigma**2) for k in (0, 1)])
    beta = temperature / np.abs(scores[0] - scores[1])
    p = np.exp(beta * scores)
    p /= p.sum(axis=0)
    outward = 1 / (np.exp(temperature) - 1)
    return f + p[0] * (-outward) + p[1] * (1 + outward)


@pytest.mark.parametrize("bits", [1, 2, 4])
@pytest.mark.parametrize("training", [False, True])
def test_daq_soft_output_is_the_hard_one(bits: int, training: bool) -> None:
    high = 2**bits - 1
    x = np.abs(normal(4, 30))
    q = Daq(bits)
    x_hat = q.forward(x, training=training)
    u = 3 * x.std(ddof=1)
    z = np.clip(x / (u / high), 0, high)
    np.testing.assert_allclose(x_hat, soft_daq(z, high, 2.0, 2.0) / high, atol=1e-12)
    w = normal(5, 60)
    q = Daq(bits, weights=True)
    z = np.clip(((w - w.mean()) / w.std(ddof=1) + 3) / (6 / high), 0, high)
    np.testing.assert_allclose(
        q.forward(w, training=training), (2 * soft_daq(z, high, 1.0, 2.0) - high) / high, atol=1e-12
    )


def test_daq_slope_is_the_soft_roundings() -> None:
    """d(soft)/dz with the temperature held, by central differences."""
    q = Daq(2)
    x = np.linspace(0.06, 2.93, 41)[None]
    q.forward(x)
    q.parameters["l"][:], q.parameters["u"][:] = 0.0, 3.0
    q.forward(x, training=True)
    slope = q.backward(np.ones_like(x))[0] * 3
    z = x[0]

    def soft(z: np.ndarray, held: np.ndarray) -> np.ndarray:
        t = z - np.floor(z0)
        near = np.rint(z0 - np.floor(z0))
        scores = np.stack([np.exp(-np.abs(t - k)) * np.exp(-((k - near) ** 2) / 4.0) for k in (0, 1)])
        p = np.exp(held * scores)
        p /= p.sum(axis=0)
        return np.floor(z0) + p[1] * (1 + 1 / (np.exp(2) - 1)) - p[0] / (np.exp(2) - 1)

    z0 = z
    t, near = z - np.floor(z), np.rint(z - np.floor(z))
    s = [np.exp(-np.abs(t - k)) * np.exp(-((k - near) ** 2) / 4.0) for k in (0, 1)]
    held = 2.0 / np.abs(s[0] - s[1])
    numeric = (soft(z + 1e-6, held) - soft(z - 1e-6, held)) / 2e-6
    np.testing.assert_allclose(slope, numeric, rtol=1e-5)


# -- backward: closed forms --------------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [2, 4])
def test_asq_gradients(bits: int) -> None:
    x = np.maximum(normal(4, 12, 5, 5), 0) * np.linspace(0.5, 2, 4).reshape(-1, 1, 1, 1)
    grad = normal(*x.shape, seed=1)
    q = Asq(bits, seed=5)
    q.forward(x)
    q.parameters["fc2.weight"][:] = normal(1, 3, seed=9) * 0.3
    q.forward(x, training=True)
    dx = q.backward(grad)
    p = {k: v.copy() for k, v in q.parameters.items()}
    s, high = p["s"][0], 2**bits - 1

    def beta_of(x: np.ndarray, p: dict[str, np.ndarray]) -> np.ndarray:
        hidden = np.maximum(x.mean(axis=(2, 3)) @ p["fc1.weight"].T + p["fc1.bias"], 0)
        return np.maximum(np.maximum(hidden @ p["fc2.weight"].T + p["fc2.bias"], 0), 1e-8)[:, 0]

    beta = beta_of(x, p)
    v = x / (s * beta.reshape(-1, 1, 1, 1))
    e = np.where(v > high, high, np.where(v < 0, 0, np.rint(v) - v))
    per_sample = (grad * e).sum(axis=(1, 2, 3))
    assert q.grads["s"][0] == pytest.approx((beta * per_sample).sum() / (high * x.size) ** 0.5)

    # dL/dbeta goes through the adapter: differences of sum_i (dL/dbeta_i) beta_i
    d_beta = s * per_sample

    def through(x: np.ndarray, p: dict[str, np.ndarray]) -> float:
        return float((d_beta * beta_of(x, p)).sum())

    for key in ("fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"):
        numeric = np.zeros_like(p[key])
        for index in np.ndindex(p[key].shape):
            for sign in (1, -1):
                moved = {k: v.copy() for k, v in p.items()}
                moved[key][index] += sign * 1e-6
                numeric[index] += sign * through(x, moved) / 2e-6
        np.testing.assert_allclose(q.grads[key], numeric, rtol=1e-5, atol=1e-8)
    inside = (v >= 0) & (v <= high)
    numeric = np.zeros(x.shape[:2])
    for n, c in np.ndindex(numeric.shape):
        moved = x.copy()
        moved[n, c] += 1e-6
        numeric[n, c] = (through(moved, p) - through(x, p)) / 1e-6 / x[0, 0].size
    np.testing.assert_allclose(dx, grad * inside + numeric[:, :, None, None], rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("signed", [False, True])
def test_lsq_gradients(signed: bool) -> None:
    x, grad = normal(6, 8, 3, 3), normal(6, 8, 3, 3, seed=1)
    q = Lsq(3, signed=signed)
    q.forward(x, training=True)
    dx = q.backward(grad)
    s = 2 * np.abs(x).mean() / (3 if signed else 7) ** 0.5
    low, high = (-4, 3) if signed else (0, 7)
    v = x / s
    e = np.where(v < low, low, np.where(v > high, high, np.rint(v) - v))
    np.testing.assert_allclose(dx, grad * ((v >= low) & (v <= high)))
    assert q.grads["s"][0] == pytest.approx((grad * e).sum() / (x.size * high) ** 0.5)


@pytest.mark.parametrize("name", ["post", "nf4", "int-full"])
def test_grid_gradients(name: str) -> None:
    w, grad = normal(5, 64), normal(5, 64, seed=1)
    q = grid(name, 4)
    w_hat = q.forward(w, training=True)
    dw = q.backward(grad)
    alpha = q.parameters["alpha"][:, None]
    low, high = {"int-full": -8 / 7}.get(name, -1), 1
    inside = (low * alpha <= w) & (w <= high * alpha)
    assert not inside.all()
    level = w_hat / alpha
    slope = np.where(inside, level - w / alpha, np.where(w > 0, high, low))
    np.testing.assert_allclose(dw, grad * inside)
    np.testing.assert_allclose(q.grads["alpha"], (grad * slope).sum(axis=1) / 64**0.5)


@pytest.mark.parametrize("name", ["nf4", "int-full"])
def test_grid_scale_gradient_by_differences(name: str) -> None:
    """The straight-through function alpha * (clamp(w / alpha) + held rounding), differentiated by differences."""
    w, grad = normal(3, 200), normal(3, 200, seed=1)
    q = grid(name, 4)
    w_hat = q.forward(w, training=True)
    q.backward(grad)
    alpha, levels = q.parameters["alpha"][:, None], q.format.levels
    rounding = w_hat / alpha - np.clip(w / alpha, levels[0], levels[-1])

    def through(a: np.ndarray) -> np.ndarray:
        return (grad * a * (np.clip(w / a, levels[0], levels[-1]) + rounding)).sum(axis=1)

    numeric = (through(alpha + 1e-7) - through(alpha - 1e-7)) / 2e-7
    np.testing.assert_allclose(q.grads["alpha"], numeric / 200**0.5, rtol=1e-4, atol=1e-6)


def test_pact_gradient_is_what_is_above() -> None:
    x, grad = np.abs(normal(4, 50)) * 2, normal(4, 50, seed=1)
    q = Pact(4, start=1.5)
    q.forward(x, training=True)
    q.backward(grad)
    assert q.grads["alpha"][0] == pytest.approx(grad[x > 1.5].sum())


def slopes(transform, x: np.ndarray, grad: np.ndarray, parameters: dict[str, float]) -> dict[str, float]:
    """d sum(grad * transform) / d(parameter), by central differences."""
    result = {}
    for key in parameters:
        high, low = ({**parameters, key: parameters[key] + d} for d in (1e-6, -1e-6))
        result[key] = float((grad * (transform(x, **high) - transform(x, **low))).sum() / 2e-6)
    return result


def test_qil_gradients_are_those_of_the_transform() -> None:
    def weights(w, c, d, gamma):
        return np.sign(w) * np.clip((np.abs(w) - c + d) / (2 * d), 0, 1) ** gamma

    def activations(x, c, d):
        return np.clip((x - c + d) / (2 * d), 0, 1)

    for q, transform, values in (
        (Qil(3, weights=True, train_gamma=True), weights, {"c": 0.8, "d": 0.5, "gamma": 1.3}),
        (Qil(3), activations, {"c": 0.8, "d": 0.6}),
    ):
        x = np.abs(normal(20, 20)) if transform is activations else normal(20, 20)
        grad = normal(20, 20, seed=1)
        q.forward(x)
        for key, value in values.items():
            q.parameters[key][:] = value
        q.forward(x, training=True)
        dx = q.backward(grad)
        for key, value in slopes(transform, x, grad, values).items():
            assert q.grads[key][0] == pytest.approx(value, rel=1e-4, abs=1e-5)
        numeric = grad * (transform(x + 1e-7, **values) - transform(x - 1e-7, **values)) / 2e-7
        np.testing.assert_allclose(dx, numeric, atol=1e-5)


def test_dorefa_weights_gradient_goes_through_tanh_and_the_maximum() -> None:
    w, grad = normal(6, 9), normal(6, 9, seed=1)
    q = Dorefa(3, weights=True)
    q.forward(w, training=True)
    dw = q.backward(grad)

    def smooth(w: np.ndarray) -> float:
        return float((grad * np.tanh(w) / np.abs(np.tanh(w)).max()).sum())

    for index in np.ndindex(w.shape):
        high, low = w.copy(), w.copy()
        high[index] += 1e-6
        low[index] -= 1e-6
        assert dw[index] == pytest.approx((smooth(high) - smooth(low)) / 2e-6, rel=1e-5, abs=1e-7)


def test_lsq_plus_offset_gradient() -> None:
    x, grad = normal(8, 40), normal(8, 40, seed=1)
    q = LsqPlus(3)
    q.forward(x)
    q.parameters["s"][:], q.parameters["beta"][:] = 0.3, -0.6
    x_hat = q.forward(x, training=True)
    q.backward(grad)
    v = (x + 0.6) / 0.3
    np.testing.assert_allclose(x_hat, clamp_round(v, 0, 7) * 0.3 - 0.6, atol=1e-12)
    outside = (v < 0) | (v > 7)
    assert q.grads["beta"][0] == pytest.approx((grad * outside).sum() / (x.size * 7) ** 0.5)


# -- what holds for all ------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(sorted(ALL)),
    st.integers(2, 7),
    st.integers(0, 99),
    st.sampled_from([np.float32, np.float64]),
)
def test_codes_reproduce_the_output(name: str, bits: int, seed: int, dtype: type) -> None:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rng.integers(1, 5), rng.integers(1, 20), 3, 2)).astype(dtype)
    x = x if name.startswith("weights") else np.abs(x)
    q = ALL[name](bits)
    x_hat = q.forward(x, training=True)
    assert x_hat.dtype == dtype
    assert x_hat.shape == x.shape
    encoded = q.encode(x)
    if name.startswith("weights"):
        alpha = encoded.alpha.reshape(-1, 1, 1, 1)
        if name.split()[1] in ("lsq", "lsq+"):  # its lowest code is no level of the symmetric grid
            values = np.vectorize(encoded.format.integer)(encoded.codes) / encoded.format.unit
        else:
            values = encoded.format.decode(encoded.codes)
        np.testing.assert_allclose(alpha * values, x_hat, rtol=1e-5, atol=1e-6)
    else:
        assert encoded.codes.min() >= encoded.format.min
        assert encoded.codes.max() <= encoded.format.max
        np.testing.assert_allclose(
            encoded.scale * encoded.codes + encoded.offset, x_hat, rtol=1e-4, atol=1e-5
        )
    dx = q.backward(np.ones_like(x))
    assert dx.shape == x.shape
    assert np.isfinite(dx).all()
    assert set(q.grads) == set(q.parameters)


@pytest.mark.parametrize("name", ALL)
def test_zeros_and_dead_channels(name: str) -> None:
    q = ALL[name](2)
    zeros = np.zeros((3, 8, 4, 4), np.float32)
    first = q.forward(zeros, training=True)
    assert np.isfinite(first).all()
    assert np.isfinite(q.backward(np.ones_like(zeros))).all()
    x = np.abs(normal(3, 8, 4, 4, dtype=np.float32))
    x[1] = 0
    for _ in range(2):
        assert np.isfinite(q.forward(x, training=True)).all()
        assert np.isfinite(q.backward(np.ones_like(x))).all()


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_is_named(name: str, bad: float) -> None:
    q = ALL[name](2)
    x = np.abs(normal(3, 8, 4, 4, dtype=np.float32))
    q.forward(x)
    q.name = "layer1.0.conv1.activation"
    x[2, 1, 0, 3] = bad
    with pytest.raises(InputError, match=r"layer1.0.conv1.activation: .*expected finite"):
        q.forward(x, training=True)


@pytest.mark.parametrize("name", ALL)
def test_threads_do_not_change_a_byte(name: str) -> None:
    x = np.abs(normal(6, 16, 40, 40, dtype=np.float32))
    grad = normal(*x.shape, seed=1, dtype=np.float32)

    def run(threads: int) -> list[bytes]:
        numba.set_num_threads(threads)
        q = ALL[name](3)
        x_hat = q.forward(x, training=True)
        dx = q.backward(grad)
        return [x_hat.tobytes(), dx.tobytes(), *(q.grads[k].tobytes() for k in sorted(q.grads))]

    many = numba.get_num_threads()
    try:
        assert run(1) == run(many)
    finally:
        numba.set_num_threads(many)


@pytest.mark.parametrize("name", ALL)
def test_state_goes_out_and_in(name: str) -> None:
    x = np.abs(normal(4, 9, 3, 3))
    q = ALL[name](3)
    x_hat = q.forward(x)
    other = ALL[name](3)
    other.load_state(q.state_dict())
    np.testing.assert_array_equal(other.forward(x), x_hat)
    with pytest.raises(InputError, match="missing or not known"):
        ALL[name](3).load_state({**q.state_dict(), "extra": np.ones(1)})


def test_grid_weights_of_any_kind_of_grid() -> None:
    assert GridWeights(WeightFormat("post", 4, 3)).format.frac_bits == 3
    with pytest.raises(InputError, match="bits is 9"):
        Lsq(9)
    with pytest.raises(RuntimeError, match="backward without"):
        Lsq(4).backward(np.ones(3))
