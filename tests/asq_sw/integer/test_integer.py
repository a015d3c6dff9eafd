"""The integer network against its own definition in Python integers, and against the trained network."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from asq_sw.data import Batches, load
from asq_sw.errors import InputError
from asq_sw.graph.models import build
from asq_sw.integer.adapter import BETA_BITS, MEAN_BITS
from asq_sw.integer.arithmetic import mantissa
from asq_sw.integer.export import export
from asq_sw.integer.network import IntegerNetwork
from asq_sw.nn.network import Network
from asq_sw.quantizers.methods import choices, quantizers
from asq_sw.studies import agreement
from asq_sw.train import Recipe, Trainer, evaluate, integer_network


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("run") / "digits"
    recipe = Recipe(
        model="small_cnn", input_shape=(1, 8, 8), quantizer="asq-post", wbits=3, abits=4, epochs=6, rate=0.1,
        crop=1, flip=False, rounded=True,
    )  # fmt: skip
    trainer = Trainer(recipe, load("digits"), folder=folder)
    trainer.run()
    return folder, recipe, trainer.network


def test_accuracy_is_the_fake_quantized_networks(trained) -> None:
    folder, recipe, network = trained
    data = load("digits")
    integer = integer_network(folder)
    logits = integer.forward(data.test.images)
    accuracy = 100 * np.mean(logits.argmax(axis=1) == data.test.labels)
    expected, _ = evaluate(network, recipe.batches(data.test, training=False))
    assert expected > 75
    assert accuracy == pytest.approx(expected, abs=0.6)  # two images of 360
    real = np.concatenate([network.forward(x) for x, _ in recipe.batches(data.test, False).in_order()])
    scale = 2.0**-integer.fraction
    assert np.median(np.abs(logits * scale - real)) < 0.02


def test_agreement_counts_what_integers_and_rounding_errors_change(trained) -> None:
    folder, recipe, network = trained
    data = load("digits")
    plain, whole, small, large = agreement.compare(folder, data.test, (1e-6, 0.5))
    assert plain.changed == 0
    assert plain.accuracy == pytest.approx(evaluate(network, recipe.batches(data.test, training=False))[0])
    logits = integer_network(folder).forward(data.test.images)
    assert whole.accuracy == pytest.approx(100 * np.mean(logits.argmax(axis=1) == data.test.labels))
    assert small.changed < 1 < large.changed
    both = agreement.pooled([(100, [plain]), (300, [agreement.Row("", plain.accuracy + 4, 2.0)])])
    assert (both[0].accuracy, both[0].changed) == pytest.approx((plain.accuracy + 3, 1.5))
    with pytest.raises(InputError, match="no images"):
        agreement.compare(folder, data.test.some(1).some(0), ())


def test_saved_and_loaded_gives_the_same_bits(trained, tmp_path: Path) -> None:
    integer = integer_network(trained[0])
    images = load("digits").test.images[:50]
    integer.save(tmp_path / "n.npz")
    again = IntegerNetwork.load(tmp_path / "n.npz")
    assert again.forward(images).tobytes() == integer.forward(images).tobytes()
    integer.save(tmp_path / "m.npz")
    assert (tmp_path / "n.npz").read_bytes() == (tmp_path / "m.npz").read_bytes()
    whole = (tmp_path / "n.npz").read_bytes()
    (tmp_path / "half.npz").write_bytes(whole[: len(whole) // 2])
    for name in ("half.npz", "missing.npz"):
        with pytest.raises(InputError, match=name):
            IntegerNetwork.load(tmp_path / name)


def test_every_step_of_a_layer_in_python_integers(trained) -> None:
    """conv1 of two images: codes, beta, sums and requantization, written out with integers of any size."""
    integer = integer_network(trained[0])
    images = load("digits").test.images[:2]
    integer.forward(images, keep=True)
    name = "conv1"
    layer = integer.layers[name]
    wide = integer.values[layer.inputs[0]].astype(object)
    codes, beta = layer.operands(integer.values[layer.inputs[0]])
    pixels = wide.shape[1] * wide.shape[2]
    adapter = layer.adapter
    w1, b1, w2 = (getattr(adapter, k).astype(object) for k in ("w1", "b1", "w2"))

    def rounded(value: int, right: int) -> int:
        return (value + (1 << (right - 1))) >> right

    for n in range(2):
        sums = wide[n].reshape(pixels, -1).sum(axis=0)
        means = [rounded(int(s) * round((1 << 24) / pixels), 24 - MEAN_BITS) for s in sums]
        hidden = [max(0, rounded(int(b + w @ means), adapter.r1)) for w, b in zip(w1, b1, strict=True)]
        total = adapter.b2 + int(w2 @ (hidden if len(hidden) else means))
        assert int(beta[n]) == min(max(rounded(total, adapter.r2), 1), 65535)
        inverse = ((1 << 28) + int(beta[n]) // 2) // int(beta[n])
        k = rounded(layer.quantize.k * inverse, 16)
        for index in np.ndindex(wide.shape[1:]):
            assert int(codes[(n, *index)]) == min(
                max(rounded(int(wide[(n, *index)]) * k, layer.quantize.shift), 0), 15
            )

    table = layer.products.weight.product_table(4)
    stored = layer.codes
    acc = np.zeros(integer.sums[name].shape, object)
    padded = np.pad(codes, ((0, 0), (1, 1), (1, 1), (0, 0)))
    sy, sx = layer.window.stride
    for i, j, ky, kx in np.ndindex(*acc.shape[1:3], 3, 3):
        a = padded[:, sy * i + ky, sx * j + kx]
        acc[:, i, j] += table[a[:, None, :], stored[None, :, :, ky, kx]].sum(axis=-1)
    np.testing.assert_array_equal(integer.sums[name].astype(np.int64), acc.astype(np.int64))
    assert np.abs(acc).max() <= integer.bounds[name]

    m, b, shift = layer.requantize.m, layer.requantize.b, layer.requantize.shift
    for index in np.ndindex(acc.shape):
        n, c = index[0], index[-1]
        factor = rounded(int(m[c]) * int(beta[n]), BETA_BITS)
        value = rounded(int(acc[index]) * factor + int(b[c]), int(shift[c]))
        assert int(integer.values[name][index]) == min(max(value, 0), 32767)


def test_mantissa_is_the_nearest_of_16_bits() -> None:
    values = np.array([1.0, 0.999999, -3.7, 1e-6, 12345.6, 0.0, 2.0**-40])
    m, shift = mantissa(values)
    for value, whole, right in zip(values, m, shift, strict=True):
        assert abs(whole) <= 1 << 15
        exact = Fraction(value)
        error = abs(Fraction(int(whole), 1 << int(right)) - exact)
        assert error <= Fraction(1, 1 << int(right)) / 2
        if value and abs(value) < 2**14:
            assert abs(whole) >= 1 << 14 or right == 62


@pytest.mark.parametrize(
    "method",
    [
        "asq-post",
        "lsq",
        "qil",
        *(
            pytest.param(m, marks=pytest.mark.slow)
            for m in ("asq-apot", "daq", "asq-fp4", "pact", "asq-nf4", "asq-int-full")
        ),
    ],
)
def test_every_method_exports(method: str) -> None:
    """An untrained residual network: integers follow the fake-quantized network closely."""
    graph = build("resnet20", (3, 16, 16))
    network = Network(
        graph, quantizers(graph, choices(graph, method, 4 if method in ("asq-fp4", "asq-nf4") else 3, 4))
    )
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (16, 16, 16, 3)).astype(np.uint8)
    from asq_sw.data import Part

    batches = Batches(Part(images, np.zeros(16, np.int64)), 16)
    x, _ = next(batches.in_order())
    for _ in range(12):  # settle the running statistics
        network.forward(x, training=True)
    integer = export(network, network.peaks(x), batches.pixels())
    real = network.forward(x)
    scale = 2.0**-integer.fraction
    error = np.abs(integer.forward(images) * scale - real).max() / np.abs(real).max()
    assert error < 0.25  # 19 layers of codes that may fall to either side of a half
    assert np.corrcoef((integer.forward(images) * scale).ravel(), real.ravel())[0, 1] > 0.97


def test_what_cannot_be_integers_is_refused() -> None:
    graph = build("small_cnn")
    x = np.random.default_rng(0).normal(size=(2, 28, 28, 1)).astype(np.float32)
    pixels = np.zeros((256, 1), np.float32)

    def refused(method: str, wbits: int, edge: int, message: str) -> None:
        network = Network(graph, quantizers(graph, choices(graph, method, wbits, 4, edge)))
        network.forward(x, training=True)
        with pytest.raises(InputError, match=message):
            export(network, network.peaks(x), pixels)

    refused("asq-post", 4, 0, "is in full precision")
    refused("asq-post", 8, 8, "use fewer bits")
