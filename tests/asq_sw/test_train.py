"""Training runs: resume to the same bytes, kills, full disks, bad data; image sets of every kind."""

from __future__ import annotations

import gzip
import io
import json
import os
import pickle
import signal
import struct
import subprocess
import sys
import tarfile
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from asq_sw.cli import main
from asq_sw.data import Batches, Dataset, Part, load
from asq_sw.errors import InputError
from asq_sw.interop.weights import read_weights, write_npz
from asq_sw.nn.loss import distillation
from asq_sw.nn.optimizers import Adam, Sgd, factor
from asq_sw.train import CHECKPOINT, METRICS, Recipe, Trainer, evaluate, load_run

SMALL = {
    "model": "small_cnn", "input_shape": (1, 8, 8), "quantizer": "asq-post", "wbits": 2, "abits": 2,
    "epochs": 2, "batch": 100, "rate": 0.1, "crop": 1, "flip": False,
}  # fmt: skip


# -- runs --------------------------------------------------------------------------------------------------------


def test_resumed_run_ends_with_the_same_bytes(tmp_path: Path) -> None:
    recipe, data = Recipe(**SMALL), load("digits")
    Trainer(recipe, data, folder=tmp_path / "whole").run()

    class Stop(Exception):
        pass

    def stop(step: int, steps: int, loss: float) -> None:
        if step == 17:  # in the middle of the second epoch
            raise Stop

    parts = Trainer(recipe, data, folder=tmp_path / "parts")
    with pytest.raises(Stop):
        parts.run(progress=stop)
    parts.save()
    Trainer(recipe, data, folder=tmp_path / "parts").run(resume=True)
    for name in (CHECKPOINT, METRICS):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "parts" / name).read_bytes()


@pytest.mark.slow
def test_killed_while_writing_loses_nothing(tmp_path: Path) -> None:
    """A process that checkpoints all the time is killed, again and again; each time it goes on."""
    script = (
        "import sys, asq_sw.train as t; from asq_sw.data import load; t._SAVE_SECONDS = 0\n"
        f"recipe = t.Recipe(**{ {**SMALL, 'epochs': 6}!r})\n"
        "t.Trainer(recipe, load('digits'), folder=sys.argv[1]).run(resume=True, "
        "progress=lambda *a: print(a[0], flush=True))\n"
    )
    folder = tmp_path / "killed"
    reached = 0
    for _ in range(2):
        process = subprocess.Popen(
            [sys.executable, "-c", script, str(folder)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        for line in process.stdout:
            reached = int(line)
            if reached % 20 == 11:
                time.sleep(0.01)  # somewhere in a save
                os.kill(process.pid, signal.SIGKILL)
                break
        process.wait()
        load_run(folder)  # what is there is whole
    Trainer(Recipe(**{**SMALL, "epochs": 6}), load("digits"), folder=folder).run(resume=True)
    Trainer(Recipe(**{**SMALL, "epochs": 6}), load("digits"), folder=tmp_path / "whole").run()
    assert (folder / CHECKPOINT).read_bytes() == (tmp_path / "whole" / CHECKPOINT).read_bytes()


def test_full_disk_leaves_the_last_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = Trainer(Recipe(**SMALL), load("digits"), folder=tmp_path / "run")
    trainer.run()
    before = (tmp_path / "run" / CHECKPOINT).read_bytes()
    write = np.lib.format.write_array

    def full(file, array, **options):  # type: ignore[no-untyped-def]
        if array.size > 1000:
            raise OSError(28, "No space left on device")
        write(file, array, **options)

    monkeypatch.setattr(np.lib.format, "write_array", full)
    with pytest.raises(InputError, match=r"checkpoint.npz: cannot be written .No space left"):
        trainer.save()
    assert (tmp_path / "run" / CHECKPOINT).read_bytes() == before
    assert sorted(os.listdir(tmp_path / "run")) == [CHECKPOINT, "config.json", METRICS]


def test_another_recipe_is_not_resumed(tmp_path: Path) -> None:
    data = load("digits")
    Trainer(Recipe(**{**SMALL, "epochs": 1}), data, folder=tmp_path / "run").run()
    with pytest.raises(InputError, match="wbits is 2, expected 3"):
        Trainer(Recipe(**{**SMALL, "epochs": 1, "wbits": 3}), data, folder=tmp_path / "run").run(resume=True)
    with pytest.raises(InputError, match="expected an empty folder or --resume"):
        Trainer(Recipe(**SMALL), data, folder=tmp_path / "run").run()
    path = tmp_path / "run" / CHECKPOINT
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(InputError, match="may be truncated"):
        Trainer(Recipe(**{**SMALL, "epochs": 1}), data, folder=tmp_path / "run").run(resume=True)


@pytest.mark.parametrize(
    "method",
    [
        "fp32",
        "asq-post",
        "qil",
        *(
            pytest.param(m, marks=pytest.mark.slow)
            for m in ("lsq", "lsq-plus", "pact", "dorefa", "daq", "apot")
        ),
    ],
)
def test_every_method_learns(method: str) -> None:
    bits = 1 if method == "daq" else 3
    fields = SMALL | {"quantizer": method, "wbits": bits, "abits": bits, "epochs": 4}
    if method in ("qil", "daq"):
        fields |= {"quantizer_optimizer": "adam", "quantizer_rate": 1e-3}
    last = Trainer(Recipe(**fields), load("digits")).run()
    # ten classes: chance is 10
    assert last["test_accuracy"] > (30 if bits == 1 else 60)


@pytest.mark.parametrize("method", ["fp32", "asq-post", "lsq", "qil", "daq", "pact", "dorefa"])
@pytest.mark.filterwarnings("error")
def test_a_diverging_run_says_so(method: str) -> None:
    bits = 1 if method == "daq" else 3
    trainer = Trainer(
        Recipe(**SMALL | {"rate": 1e30, "quantizer": method, "wbits": bits, "abits": bits}), load("digits")
    )
    with pytest.raises(InputError, match=r"the loss is not finite at step \d+: lower --rate"):
        trainer.run()


def test_metrics_of_a_process_killed_behind_its_checkpoint(tmp_path: Path) -> None:
    recipe, data = Recipe(**SMALL), load("digits")
    Trainer(recipe, data, folder=tmp_path).run()
    written = (tmp_path / METRICS).read_text()
    (tmp_path / METRICS).write_text("".join(written.splitlines(keepends=True)[:-1]))  # the epoch before's
    Trainer(recipe, data, folder=tmp_path).run(resume=True)
    assert (tmp_path / METRICS).read_text() == written


# -- the command -------------------------------------------------------------------------------------------------


def test_train_eval_export(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    runner = CliRunner()
    from asq_sw.cli import cli as group

    words = [
        "train",
        "small_cnn",
        "--data",
        "digits",
        "--wbits",
        "3",
        "--abits",
        "3",
        "--epochs",
        "2",
        "--rate",
        "0.1",
        "-o",
        "run",
    ]
    assert "test_accuracy" in runner.invoke(group, words, catch_exceptions=False).output
    config = json.loads(Path("run/config.json").read_text())
    assert config["recipe"]["classes"] == 10
    assert config["provenance"]["seed"] == 0
    for words, start in (
        ("eval run --data digits", "float32: "),
        ("eval run --data digits --integer", "integer: "),
        ("export run -o n.npz", "n.npz: 4 layers"),
        ("eval n.npz --data digits", "integer: "),
        ("export run -o n.onnx", "n.onnx: "),
        ("eval n.onnx --data digits", "float32: "),
    ):
        assert runner.invoke(group, words.split(), catch_exceptions=False).output.startswith(start)
    result = runner.invoke(
        group, ["eval", "run", "--data", "digits", "--integer", "--json", "-"], catch_exceptions=False
    )
    found = json.loads(result.output)
    assert found["images"] == 360
    assert 30 < found["accuracy"] <= 100


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("train small_cnn --data nothing.npz -o run", "nothing.npz: no such file"),
        ("train small_cnn --data digits --quantizer best -o run", "quantizer is 'best'"),
        ("train small_cnn --data digits --wbits 9 -o run", "wbits"),
        ("train small_cnn --data digits --layer nowhere:wbits=3 -o run", "nowhere"),
        ("train resnet20 --data digits --pretrained nowhere.npz -o run", "nowhere.npz: no such file"),
        ("train small_cnn --data digits --rate nan -o run", "'nan' is not a finite number"),
        ("train small_cnn --data digits --rate inf -o run", "'inf' is not a finite number"),
        ("train small_cnn --data digits --temperature -inf -o run", "-inf"),
        ("train small_cnn --data digits --teacher nan -o run", "'nan' is not a finite number"),
        ("eval nowhere --data digits", "nowhere: no such file or folder"),
        ("export nowhere -o x.npz", "config.json: cannot be read"),
    ],
)
def test_bad_input_is_one_line_and_status_2(
    words: str,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        main(words.split())
    assert stopped.value.code == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert os.listdir(tmp_path) == []


def _set(path: Path, count: int, label: int = 1, classes: type = np.int64, size: int = 8) -> str:
    images = np.zeros((count, size, size, 1), np.uint8)
    labels = np.full(count, label, classes)
    np.savez(path, train_images=images, train_labels=labels, test_images=images, test_labels=labels)
    return str(path)


@pytest.mark.parametrize(
    ("label", "kind"), [(1 << 16, np.int64), (-1, np.int64), (2**62, np.int64), (2**63, np.uint64), (-(2**63), np.int64)]
)  # fmt: skip
def test_a_label_far_out_of_range(label: int, kind: type, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=rf"set.npz: train has the label {label}, expected 0 to 65535"):
        load(_set(tmp_path / "set.npz", 3, label, kind))


def test_sets_without_images(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"set.npz: holds no images"):
        load(_set(tmp_path / "set.npz", 0))
    with pytest.raises(InputError, match=r"set.npz: images of train .* no size of 0"):
        load(_set(tmp_path / "set.npz", 3, size=0))
    none = Part(np.zeros((0, 8, 8, 1), np.uint8), np.zeros(0, np.int64))
    with pytest.raises(InputError, match="no training images"):
        Trainer(Recipe(**SMALL), Dataset(none, load("digits").test))
    np.savez(
        tmp_path / "two.npz",
        train_images=np.zeros((2, 8, 8), np.uint8), train_labels=[0, 1],
        test_images=np.zeros((2, 9, 8), np.uint8), test_labels=[0, 1],
    )  # fmt: skip
    with pytest.raises(InputError, match=r"training images are \(8, 8, 1\).*expected one size"):
        load(tmp_path / "two.npz")


@pytest.mark.parametrize("integer", [False, True])
def test_eval_of_labels_that_the_network_lacks(
    integer: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Trainer(Recipe(**SMALL | {"epochs": 0}), load("digits"), folder=tmp_path / "run").run()
    with pytest.raises(SystemExit) as stopped:
        main(
            ["eval", str(tmp_path / "run"), "--data", _set(tmp_path / "set.npz", 3, 10)]
            + ["--integer"] * integer
        )
    printed = capsys.readouterr().err
    assert (stopped.value.code, printed.count("\n")) == (2, 1)
    assert "10" in printed
    assert "9" in printed


def test_a_batch_beyond_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asq_sw.train.memory_bytes", lambda: 10_000_000)
    data = load("digits")
    with pytest.raises(
        InputError, match=r"batch: maps of 1000 images .* expected at most (\d+) images .--batch."
    ):
        Trainer(Recipe(**SMALL | {"batch": 1000}), data)
    Trainer(Recipe(**SMALL | {"batch": 10}), data)


@pytest.mark.parametrize("suffix", [".npz", ".safetensors", ".onnx"])
def test_random_bytes(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"noise{suffix}"
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "whole.npz", a=np.arange(100.0), b=np.arange(9))
    whole = (tmp_path / "whole.npz").read_bytes()
    for number in range(300):
        noise = rng.bytes(int(rng.integers(0, 400)))
        at = int(rng.integers(0, len(whole)))
        starts = (b"", b"PK\x03\x04", b"\x93NUMPY\x01\x00", whole[:at])
        path.write_bytes(starts[number % 4] + noise + (whole[at + len(noise) :] if number % 4 == 3 else b""))
        readers = (read_weights, load) if suffix == ".npz" else (read_weights,)
        for reader in readers:
            with suppress(InputError):
                reader(path)
        if number % 4 < 3:
            with pytest.raises(InputError, match="noise"):
                read_weights(path)


def test_layers_of_their_own_widths() -> None:
    recipe = Recipe(**SMALL | {"layers": {"conv1": {"wbits": 5}, "conv2": {"method": "fp32"}}})
    pairs = recipe.network().quantizers
    assert pairs["conv1"].weight is not None
    assert pairs["conv1"].weight.bits == 5
    assert "conv2" not in pairs


# -- image sets --------------------------------------------------------------------------------------------------


def cifar_batch(count: int, seed: int) -> dict[bytes, object]:
    rng = np.random.default_rng(seed)
    return {
        b"data": rng.integers(0, 256, (count, 3072)).astype(np.uint8),
        b"labels": rng.integers(0, 10, count).tolist(),
    }


def test_cifar_archive_and_folder(tmp_path: Path) -> None:
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    batches = {f"data_batch_{i}": cifar_batch(4, i) for i in range(1, 6)} | {"test_batch": cifar_batch(3, 9)}
    for name, batch in batches.items():
        (folder / name).write_bytes(pickle.dumps(batch, protocol=2))
    with tarfile.open(tmp_path / "cifar-10-python.tar.gz", "w:gz") as archive:
        archive.add(folder, "cifar-10-batches-py")
    for path in (tmp_path / "cifar-10-python.tar.gz", folder, tmp_path):
        data = load(path)
        assert (len(data.train), len(data.test), data.shape) == (20, 3, (3, 32, 32))
        first = batches["data_batch_1"][b"data"][0].reshape(3, 32, 32)  # type: ignore[index]
        np.testing.assert_array_equal(data.train.images[0], first.transpose(1, 2, 0))
    whole = (tmp_path / "cifar-10-python.tar.gz").read_bytes()
    (tmp_path / "half.tar.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"half.tar.gz"):
        load(tmp_path / "half.tar.gz")
    (folder / "test_batch").write_bytes(pickle.dumps(os.system))
    with pytest.raises(InputError, match="test_batch is not a batch"):
        load(folder)


def test_idx_files(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name, count in (("train", 6), ("t10k", 4)):
        images = rng.integers(0, 256, (count, 28, 28)).astype(np.uint8)
        raw = struct.pack(">4B3I", 0, 0, 8, 3, *images.shape) + images.tobytes()
        (tmp_path / f"{name}-images-idx3-ubyte.gz").write_bytes(gzip.compress(raw))
        (tmp_path / f"{name}-labels-idx1-ubyte").write_bytes(
            struct.pack(">4BI", 0, 0, 8, 1, count) + bytes(range(count))
        )
    data = load(tmp_path)
    assert (data.shape, len(data.train), data.test.labels.tolist()) == ((1, 28, 28), 6, [0, 1, 2, 3])
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(struct.pack(">4BI", 0, 0, 8, 1, 9) + bytes(4))
    with pytest.raises(InputError, match="may be truncated"):
        load(tmp_path)


def test_npz_of_arrays_and_of_jpeg(tmp_path: Path) -> None:
    from PIL import Image

    files = []
    for shade in (10, 200, 90):
        file = io.BytesIO()
        Image.fromarray(np.full((8, 8, 3), shade, np.uint8)).save(file, "JPEG", quality=95)
        files.append(np.frombuffer(file.getvalue(), np.uint8))
    offsets = np.cumsum([0, *map(len, files)])
    jpeg = {
        "train_jpeg": np.concatenate(files),
        "train_offsets": offsets,
        "train_labels": np.array([0, 1, 2]),
    }
    np.savez(tmp_path / "j.npz", **jpeg)
    data = load(tmp_path / "j.npz")
    assert data.train.images.mean(axis=(1, 2, 3)).round().tolist() == [10, 200, 90]
    assert len(data.test) == 0
    np.savez(tmp_path / "cut.npz", **jpeg | {"train_jpeg": jpeg["train_jpeg"][:-40]})
    with pytest.raises(InputError, match="offsets do not fit"):
        load(tmp_path / "cut.npz")
    for bad, message in (
        (
            {"train_images": np.zeros((3, 4, 4), np.float32), "train_labels": np.zeros(3, int)},
            "expected uint8",
        ),
        ({"train_images": np.zeros((3, 4, 4), np.uint8), "train_labels": np.zeros(2, int)}, "2 labels"),
        ({"train_images": np.zeros((3, 4, 4), np.uint8), "train_labels": np.array([0, -1, 0])}, "label -1"),
        ({"train_images": np.zeros((3, 4, 4), np.uint8)}, "labels of train are missing"),
        ({"other": np.zeros(3)}, "expected train_images"),
    ):
        np.savez(tmp_path / "bad.npz", **bad)
        with pytest.raises(InputError, match=message):
            load(tmp_path / "bad.npz")


def test_label_out_of_range_is_refused() -> None:
    with pytest.raises(InputError, match="labels run to 9, expected at most 4"):
        Trainer(Recipe(**SMALL | {"classes": 5}), load("digits"))


def test_batches_are_a_function_of_seed_and_epoch() -> None:
    part = load("digits").train
    one, two = (Batches(part, 64, crop=1, flip=True, seed=3) for _ in range(2))
    for (x, y), (v, w) in zip(one.epoch(4), two.epoch(4), strict=True):
        assert x.tobytes() == v.tobytes()
        assert y.tolist() == w.tolist()
    later = list(one.epoch(4, start=5))
    assert later[0][0].tobytes() == list(two.epoch(4))[5][0].tobytes()
    assert next(one.epoch(5))[1].tolist() != next(one.epoch(4))[1].tolist()


def test_a_batch_is_normalized_shifted_and_mirrored() -> None:
    image = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(1, 2, 3, 3)
    batches = Batches(Part(image, np.zeros(1, np.int64)), 1)
    ((x, _),) = batches.in_order()
    expected = (image / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    np.testing.assert_allclose(x, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        batches.pixels()[17], (17 / 255 - np.array([0.485, 0.456, 0.406])) / [0.229, 0.224, 0.225], rtol=1e-4
    )
    moved, _ = batches._batch(np.array([0]), np.array([1]), np.array([0]), np.array([1]))
    np.testing.assert_allclose(moved[0, 0], x[0, 1, ::-1])
    np.testing.assert_allclose(moved[0, 1], np.broadcast_to(batches.pixels()[0], (3, 3)))


# -- optimizers and weights --------------------------------------------------------------------------------------


def test_optimizers_follow_their_formulas() -> None:
    w, v = np.array([1.0, -2.0]), np.zeros(2)
    array = w.copy()
    sgd = Sgd(0.1, 0.9, nesterov=True, decay=0.01, decays=frozenset(["w"]))
    for grad in (np.array([0.5, 1.0]), np.array([-1.0, 2.0])):
        g = grad + 0.01 * w
        v = 0.9 * v + g
        w = w - 0.1 * 0.5 * (g + 0.9 * v)
        sgd.step({"w": array}, {"w": grad}, 0.5)
    np.testing.assert_allclose(array, w)
    array = w.copy()
    adam, m, s = Adam(0.1), np.zeros(2), np.zeros(2)
    for t, grad in enumerate((np.array([0.5, 1.0]), np.array([-1.0, 2.0])), start=1):
        m, s = 0.9 * m + 0.1 * grad, 0.999 * s + 0.001 * grad**2
        w = w - 0.1 * (m / (1 - 0.9**t)) / (np.sqrt(s / (1 - 0.999**t)) + 1e-8)
        adam.step({"w": array}, {"w": grad}, 1.0)
    np.testing.assert_allclose(array, w)


def test_schedules() -> None:
    assert [factor("constant", i, 10, 4) for i in range(5)] == [0.25, 0.5, 0.75, 1, 1]
    assert factor("cosine", 5, 10) == pytest.approx(0.5)
    assert factor("cosine", 10, 10) == pytest.approx(0)
    assert [factor("step", i, 8) for i in (3, 4, 6)] == pytest.approx([1, 0.1, 0.01])
    with pytest.raises(InputError, match="schedule is 'up'"):
        factor("up", 0, 1)


def test_weights_from_npz_safetensors_onnx(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    from asq_sw.interop.onnx import write_onnx

    network = Recipe(**SMALL).network()
    arrays = network.parameters | network.buffers
    write_npz(tmp_path / "w.npz", arrays)
    save_file(arrays, tmp_path / "w.safetensors")
    write_onnx(network.graph, arrays, tmp_path / "w.onnx")
    for name in ("w.npz", "w.safetensors", "w.onnx"):
        found = read_weights(tmp_path / name)
        for key, value in arrays.items():
            np.testing.assert_array_equal(found[key], value)
        raw = (tmp_path / name).read_bytes()
        (tmp_path / f"half.{name}").write_bytes(raw[: len(raw) // 2])
        with pytest.raises(InputError, match=f"half.{name}"):
            read_weights(tmp_path / f"half.{name}")


# -- without the network's own training data ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def full_precision(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict, float]:
    """Weights of a trained full-precision network on digits, and its accuracy."""
    fields = SMALL | {"quantizer": "fp32", "epochs": 8}
    trainer = Trainer(Recipe(**fields), load("digits"))
    last = trainer.run()
    return trainer.network.parameters | trainer.network.buffers, last["test_accuracy"]


def other_images(classes: int = 50) -> Dataset:
    """Blobs of light, which are no digits, with labels that the network has no outputs for."""
    rng = np.random.default_rng(3)
    small = rng.random((1500, 4, 4, 1)) ** 3
    images = (255 * np.kron(small, np.ones((1, 2, 2, 1)))).astype(np.uint8)
    part = Part(images, np.full(1500, classes - 1))
    return Dataset(part, part.some(100))


@pytest.mark.parametrize("method", ["qil", "asq-post", "lsq"])
def test_calibration_alone_comes_near_full_precision(
    method: str, full_precision: tuple, tmp_path: Path
) -> None:
    weights, accuracy = full_precision
    fields = SMALL | {"quantizer": method, "wbits": 4, "abits": 4, "epochs": 0}
    last = Trainer(Recipe(**fields), load("digits"), weights, tmp_path / "run").run()
    assert set(last) == {"epoch", "test_loss", "test_accuracy"}
    assert last["test_accuracy"] > accuracy - (12 if method == "qil" else 4)  # QIL prunes from the start
    # Nothing was trained, and the run is one like any other.
    recipe, network, peaks = load_run(tmp_path / "run")
    for name, value in network.parameters.items():
        np.testing.assert_array_equal(value, weights[name])
    assert peaks
    assert Trainer(recipe, load("digits"), weights, tmp_path / "run").run(resume=True) == last


def test_quantizers_learn_from_other_images(full_precision: tuple) -> None:
    """QIL's second promise: intervals trained on images of another kind, judged on the network's own."""
    weights, accuracy = full_precision
    fields = SMALL | {
        "quantizer": "qil", "wbits": 4, "abits": 4, "epochs": 3, "teacher": 1.0, "rate": 0.01, "crop": 0,
        "quantizer_optimizer": "adam", "quantizer_rate": 1e-2,
    }  # fmt: skip
    trainer = Trainer(Recipe(**fields), other_images(), weights)
    trainer.run()
    found, _ = evaluate(trainer.network, trainer.recipe.batches(load("digits").test, training=False))
    assert found > accuracy - 8


def test_frozen_trains_the_quantizers_alone(full_precision: tuple) -> None:
    weights, _ = full_precision
    trainer = Trainer(Recipe(**SMALL | {"frozen": True, "epochs": 1}), load("digits"), weights)
    before = {
        key: value.copy() for key, value in trainer.network.state().items() if key.startswith("quantizer/")
    }
    trainer.run()
    for name, value in trainer.network.parameters.items():
        np.testing.assert_array_equal(value, weights[name])
    after = trainer.network.state()
    assert any((after[key] != before[key]).any() for key in before)


def test_a_teacher_needs_weights() -> None:
    with pytest.raises(InputError, match="teacher is given without pretrained weights"):
        Trainer(Recipe(**SMALL | {"teacher": 0.5}), load("digits"))


def test_distillation_is_the_gradient_of_its_loss() -> None:
    rng = np.random.default_rng(0)
    logits, teacher = rng.normal(size=(5, 7)), rng.normal(size=(5, 7))
    for temperature in (1.0, 3.0):
        _, grad = distillation(logits, teacher, temperature)
        for index in np.ndindex(logits.shape):
            step = np.zeros_like(logits)
            step[index] = 1e-5
            high, low = (distillation(logits + s * step, teacher, temperature)[0] for s in (1, -1))
            assert grad[index] == pytest.approx((high - low) / 2e-5, abs=1e-7)
    # The teacher itself has the least loss, with no gradient left.
    assert np.abs(distillation(teacher, teacher)[1]).max() < 1e-15
    with pytest.raises(InputError, match="NaN"):
        distillation(np.full((1, 2), np.nan), np.zeros((1, 2)))


def test_command_takes_labels_that_the_network_lacks(full_precision: tuple, tmp_path: Path) -> None:
    from asq_sw.cli import cli as group

    weights, _ = full_precision
    write_npz(tmp_path / "weights.npz", weights)
    data = other_images()
    np.savez(
        tmp_path / "other.npz", train_images=data.train.images, train_labels=data.train.labels,
        test_images=data.test.images, test_labels=data.test.labels,
    )  # fmt: skip
    arguments = [
        "train",
        "small_cnn",
        "--data",
        str(tmp_path / "other.npz"),
        "--pretrained",
        str(tmp_path / "weights.npz"),
    ]
    arguments += [
        "--quantizer",
        "asq-post",
        "--epochs",
        "0",
        "--batch",
        "100",
        "--no-augment",
        "-o",
        str(tmp_path / "run"),
    ]
    refused = CliRunner().invoke(group, arguments)
    assert refused.exit_code != 0
    done = CliRunner().invoke(group, [*arguments, "--teacher", "1"])
    assert done.exit_code == 0, done.output
    tested = CliRunner().invoke(
        group, ["eval", str(tmp_path / "run"), "--data", "digits", "--json", str(tmp_path / "r.json")]
    )
    assert tested.exit_code == 0, tested.output
    assert json.loads((tmp_path / "r.json").read_text())["accuracy"] > 85
