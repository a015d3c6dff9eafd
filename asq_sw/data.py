"""Image sets: CIFAR-10's own archive, npz of arrays or of JPEG files, idx files, and the bundled digits.

Images are uint8 (N, H, W, C) in memory; a batch is made from them on the fly, cropped, flipped and normalized
in one pass.
"""

from __future__ import annotations

import gzip
import io
import os
import pickle
import struct
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from asq_sw.errors import InputError
from asq_sw.files import read_npz

Array = NDArray[Any]

DIGITS = "digits"
"""Name of the bundled set."""
MEAN = (0.485, 0.456, 0.406)
MOST_CLASSES = 1 << 16
"""Three times those of the largest set in use (ImageNet-21k)."""
STD = (0.229, 0.224, 0.225)
"""Of red, green and blue in 0 .. 1 (ImageNet's, which the public CIFAR-10 weights use too)."""


@dataclass(frozen=True)
class Part:
    """Labelled images.

    Attributes
    ----------
    images : uint8 (N, H, W, C)
    labels : int64 (N,)
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    def some(self, count: int | None) -> Part:
        """``count`` images drawn at random, always the same ones (files are often sorted by class); all for None."""
        if count is None or count >= len(self):
            return self
        chosen = np.sort(np.random.default_rng(0).permutation(len(self))[:count])
        return Part(self.images[chosen], self.labels[chosen])


@dataclass(frozen=True)
class Dataset:
    """Training and test images; either may be empty.

    Attributes
    ----------
    train, test : Part
    classes : int
        One more than the largest label.
    """

    train: Part
    test: Part

    @property
    def classes(self) -> int:
        return 1 + max(int(part.labels.max()) for part in (self.train, self.test) if len(part))

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        height, width, channels = self.train.images.shape[1:]
        return channels, height, width


# -- reading ---------------------------------------------------------------------------------------------------


def load(path: str | os.PathLike[str]) -> Dataset:
    """Read an image set.

    Parameters
    ----------
    path : path
        ``digits`` (bundled); CIFAR-10's ``cifar-10-python.tar.gz`` or the folder in it; a folder of idx files
        (``train-images-idx3-ubyte``, ``.gz`` or not, ...); an .npz with images and labels as
        ``train_images``, ``train_labels``, ``test_images``, ``test_labels`` (or ``x_train``, ``y_train`` ...,
        or ``images``, ``labels``), or with JPEG files one after another as ``train_jpeg``,
        ``train_offsets`` (N + 1) and ``train_labels``.

    Raises
    ------
    InputError
        For a missing, truncated or unknown file, one without images, images of several sizes, or labels that do not
        fit the images; names the file.
    """
    found = _read(path)
    train, test = found.train.images, found.test.images
    if not train.size and not test.size:
        raise InputError(f"{path}: holds no images, expected at least one")
    if train.shape[1:] != test.shape[1:]:
        raise InputError(
            f"{path}: training images are {train.shape[1:]} (height, width, channels), test images {test.shape[1:]}, "
            "expected one size"
        )
    return found


def _read(path: str | os.PathLike[str]) -> Dataset:
    if str(path) == DIGITS:
        with (files("asq_sw") / "datasets" / "digits.npz").open("rb") as file:
            return _npz(file, DIGITS)
    place = Path(path)
    try:
        if place.is_dir():
            return _folder(place)
        if not place.exists():
            raise InputError(f"{place}: no such file, expected an image set or {DIGITS!r}")
        if place.suffix == ".npz":
            return _npz(place, str(place))
        if tarfile.is_tarfile(place):
            with tarfile.open(place) as archive:
                return _cifar(
                    {
                        Path(m.name).name: _extract(archive, m)
                        for m in archive
                        if Path(m.name).name.startswith(("data_batch", "test_batch"))
                    },
                    str(place),
                )
    except InputError:
        raise
    except (OSError, EOFError, zlib.error, tarfile.TarError, ValueError, MemoryError) as error:
        raise InputError(f"{place}: cannot be read as an image set ({error})") from error
    raise InputError(f"{place}: is no image set, expected .npz, CIFAR-10's .tar.gz or a folder")


def _extract(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(member)
    return file.read() if file else b""


def _folder(folder: Path) -> Dataset:
    batches = sorted(p for p in folder.iterdir() if p.name.startswith(("data_batch", "test_batch")))
    if batches:
        return _cifar({p.name: p.read_bytes() for p in batches}, str(folder))
    inner = folder / "cifar-10-batches-py"
    if inner.is_dir():
        return _folder(inner)
    parts = []
    for name in ("train", "t10k"):
        images, labels = (
            _idx(folder, f"{name}-{kind}") for kind in ("images-idx3-ubyte", "labels-idx1-ubyte")
        )
        parts.append(_part(images, labels, str(folder), name))
    return Dataset(*parts)


class _Plain(pickle.Unpickler):
    """CIFAR-10's batches are pickles of numpy arrays; nothing else is let in."""

    def find_class(self, module: str, name: str) -> Any:
        if (module.split(".")[0], name) in {
            ("numpy", "ndarray"), ("numpy", "dtype"), ("numpy", "_reconstruct"), ("_codecs", "encode"),
        }:  # fmt: skip
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"{module}.{name} is not expected in an image set")


def _cifar(batches: Mapping[str, bytes], source: str) -> Dataset:
    train: list[tuple[Array, Array]] = []
    test: list[tuple[Array, Array]] = []
    for name in sorted(batches):
        try:
            batch = _Plain(io.BytesIO(batches[name]), encoding="bytes").load()
            data, labels = np.asarray(batch[b"data"], np.uint8), np.asarray(batch[b"labels"], np.int64)
            images = data.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        except Exception as error:  # damaged bytes can name any operation of a pickle
            raise InputError(f"{source}: {name} is not a batch of CIFAR-10 ({error!r})") from error
        (test if name.startswith("test") else train).append((images, labels))
    if not train or not test:
        raise InputError(f"{source}: holds {sorted(batches)}, expected data_batch_* and test_batch")
    parts = []
    for batches_of_part in (train, test):
        images, labels = (np.concatenate(arrays) for arrays in zip(*batches_of_part, strict=True))
        parts.append(_part(images, labels, source, "batches"))
    return Dataset(*parts)


def _idx(folder: Path, name: str) -> Array:
    """One idx file (Y. LeCun's MNIST format): a magic number with type and dimensions, sizes, bytes."""
    for candidate in (folder / name, folder / f"{name}.gz", folder / name.replace("-idx", ".idx")):
        if candidate.exists():
            break
    else:
        raise InputError(f"{folder}: holds neither CIFAR-10 batches nor {name}")
    raw = candidate.read_bytes()
    raw = gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
    if len(raw) < 8 or raw[:3] != b"\0\0\x08" or len(raw) < 4 + 4 * raw[3]:
        raise InputError(f"{candidate}: is not an idx file of bytes")
    shape = struct.unpack(f">{raw[3]}I", raw[4 : 4 + 4 * raw[3]])
    values = np.frombuffer(raw, np.uint8, offset=4 + 4 * raw[3])
    if values.size != np.prod(shape, dtype=np.int64):
        raise InputError(f"{candidate}: holds {values.size} values, expected {shape}: it may be truncated")
    return values.reshape(shape)


_NAMES = {
    "train": (("train_images", "train_labels"), ("x_train", "y_train"), ("images", "labels"), ("x", "y")),
    "test": (("test_images", "test_labels"), ("x_test", "y_test"), ("val_images", "val_labels")),
}


def _npz(source: Any, name: str) -> Dataset:
    arrays = read_npz(source, name)
    parts = {}
    for part, names in _NAMES.items():
        if f"{part}_jpeg" in arrays:
            images = _jpeg(arrays[f"{part}_jpeg"], arrays.get(f"{part}_offsets"), f"{name}: {part}_jpeg")
            parts[part] = _part(images, arrays.get(f"{part}_labels"), name, part)
            continue
        for pixels, labels in names:
            if pixels in arrays:
                parts[part] = _part(arrays[pixels], arrays.get(labels), name, part)
                break
    if "train" not in parts:
        raise InputError(f"{name}: holds {sorted(arrays)}, expected train_images or train_jpeg")
    train = parts["train"]
    return Dataset(train, parts.get("test", Part(train.images[:0], train.labels[:0])))


def _jpeg(data: Array, offsets: Array | None, name: str) -> Array:
    from PIL import Image

    if data.ndim != 1 or data.dtype != np.uint8:
        raise InputError(f"{name}: is {data.dtype} of shape {data.shape}, expected uint8 (bytes,)")
    if (
        offsets is None or offsets.ndim != 1 or offsets.size < 2 or offsets.dtype.kind not in "iu"
        or offsets[0] < 0 or offsets[-1] > len(data) or np.any(offsets[1:] <= offsets[:-1])
    ):  # fmt: skip
        raise InputError(
            f"{name}: its offsets do not fit its {len(data)} bytes, expected rising ones within them"
        )

    def decode(i: int) -> Array:
        return np.asarray(Image.open(io.BytesIO(data[offsets[i] : offsets[i + 1]].tobytes())).convert("RGB"))

    count = len(offsets) - 1
    try:
        first = decode(0)
        images = np.empty((count, *first.shape), np.uint8)

        def fill(start: int) -> None:
            for i in range(start, min(start + 500, count)):
                images[i] = decode(i)

        with ThreadPoolExecutor() as pool:
            list(pool.map(fill, range(0, count, 500)))
    except Exception as error:  # Pillow raises many kinds
        raise InputError(f"{name}: holds a picture that cannot be decoded ({error})") from error
    return images


def _part(images: Array, labels: Array | None, source: str, name: str) -> Part:
    if labels is None:
        raise InputError(f"{source}: labels of {name} are missing")
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim == 4 and images.shape[-1] not in (1, 3) and images.shape[1] in (1, 3):
        images = images.transpose(0, 2, 3, 1)
    if images.ndim != 4 or images.dtype != np.uint8 or 0 in images.shape[1:]:
        raise InputError(
            f"{source}: images of {name} are {images.dtype} of shape {images.shape}, "
            "expected uint8 (N, H, W, C), no size of 0"
        )
    labels = np.asarray(labels).reshape(-1)
    if labels.dtype.kind not in "ui" or len(labels) != len(images):
        raise InputError(
            f"{source}: {name} has {len(labels)} labels ({labels.dtype}) for {len(images)} images, "
            "expected a whole number each"
        )
    if len(labels):
        for label in (int(labels.min()), int(labels.max())):
            if not 0 <= label < MOST_CLASSES:
                raise InputError(f"{source}: {name} has the label {label}, expected 0 to {MOST_CLASSES - 1}")
    return Part(np.ascontiguousarray(images), labels.astype(np.int64))


# -- batches ---------------------------------------------------------------------------------------------------


@njit(cache=True, parallel=True)
def _make(images, chosen, rows, columns, flips, scale, shift, out):
    height, width, channels = images.shape[1:]
    for n in prange(chosen.size):
        image = images[chosen[n]]
        for y in range(height):
            source = y + rows[n]
            for x in range(width):
                column = (width - 1 - x if flips[n] else x) + columns[n]
                inside = 0 <= source < height and 0 <= column < width
                for c in range(channels):
                    value = np.float32(image[source, column, c]) if inside else np.float32(0)
                    out[n, y, x, c] = value * scale[c] + shift[c]


class Batches:
    """Normalized float32 batches of one part.

    Parameters
    ----------
    part : Part
    size : int
        Images a batch.
    mean, std : floats
        By channel, of values in 0 .. 1; one number serves all channels.
    crop : int
        Pixels by which a training image is shifted at most, zeros coming in (before normalization).
    flip : bool
        Whether every second training image is mirrored.
    seed : int
    """

    def __init__(
        self,
        part: Part,
        size: int,
        mean: tuple[float, ...] = MEAN,
        std: tuple[float, ...] = STD,
        crop: int = 0,
        flip: bool = False,
        seed: int = 0,
    ):
        if size < 1:
            raise InputError(f"batch size is {size}, expected at least 1")
        channels = part.images.shape[3]
        means, stds = (np.array(v, np.float64) for v in (mean, std))
        if channels != len(means):  # grey images: the average colour
            means, stds = (np.full(channels, v.mean()) for v in (means, stds))
        self.part, self.size, self.crop, self.flip, self.seed = part, size, crop, flip, seed
        self._scale = (1 / (255 * stds)).astype(np.float32)
        self._shift = (-means / stds).astype(np.float32)

    def pixels(self) -> NDArray[np.float32]:
        """What each of the 256 values is after normalization, by colour: float32 (256, C)."""
        return np.arange(256, dtype=np.float32)[:, None] * self._scale + self._shift

    def __len__(self) -> int:
        """Batches of a pass for evaluation."""
        return -(-len(self.part) // self.size)

    def _batch(self, chosen: Array, rows: Array, columns: Array, flips: Array) -> tuple[Array, Array]:
        out = np.empty((len(chosen), *self.part.images.shape[1:]), np.float32)
        _make(self.part.images, chosen, rows, columns, flips, self._scale, self._shift, out)
        return out, self.part.labels[chosen]

    def in_order(self) -> Iterator[tuple[Array, Array]]:
        """Every image once, as it is: (float32 (n, H, W, C), labels (n,))."""
        for start in range(0, len(self.part), self.size):
            chosen = np.arange(start, min(start + self.size, len(self.part)))
            still = np.zeros(len(chosen), np.int64)
            yield self._batch(chosen, still, still, still)

    @property
    def per_epoch(self) -> int:
        """Batches of a training epoch: whole ones only, unless there is not one."""
        return max(1, len(self.part) // self.size)

    def epoch(self, number: int, start: int = 0) -> Iterator[tuple[Array, Array]]:
        """Shuffled, augmented batches of epoch ``number`` from batch ``start`` on; a function of the seed."""
        rng = np.random.default_rng([self.seed, number])
        count = len(self.part)
        order = rng.permutation(count)
        shifts = rng.integers(-self.crop, self.crop + 1, (2, count))
        flips = rng.integers(0, 2, count) if self.flip else np.zeros(count, np.int64)
        for b in range(start, self.per_epoch):
            part = slice(b * self.size, (b + 1) * self.size)
            chosen = order[part]
            yield self._batch(chosen, shifts[0, part], shifts[1, part], flips[part])
