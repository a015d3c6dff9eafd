"""Weights from files: npz with PyTorch's names, safetensors, ONNX."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asq_sw.errors import InputError
from asq_sw.files import read_npz, replacing

Array = NDArray[Any]


def read_weights(path: str | os.PathLike[str]) -> dict[str, Array]:
    """Arrays by PyTorch's names.

    Parameters
    ----------
    path : path
        ``.npz``, ``.safetensors`` or ``.onnx``.

    Raises
    ------
    InputError
        For a file that is missing, truncated or of another kind; names it.
    """
    place = Path(path)
    if not place.is_file():
        raise InputError(f"{place}: no such file, expected weights as .npz, .safetensors or .onnx")
    if place.suffix == ".onnx":
        from asq_sw.interop.onnx import read_onnx

        return dict(read_onnx(place)[1])
    if place.suffix == ".npz":
        return read_npz(place, str(place))
    if place.suffix == ".safetensors":
        from safetensors.numpy import load_file

        try:
            return dict(load_file(place))
        except Exception as error:  # also KeyError, for a type that NumPy does not have
            raise InputError(f"{place}: cannot be read as safetensors ({error!r})") from error
    raise InputError(
        f"{place}: is {place.suffix or 'without a suffix'}, expected .npz, .safetensors or .onnx"
    )


def write_npz(path: str | os.PathLike[str], arrays: dict[str, Array]) -> None:
    """Write arrays whole or not at all; equal arrays give equal bytes."""
    with replacing(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        for key in sorted(arrays):
            # np.savez stamps the time of day; this does not
            info = zipfile.ZipInfo(f"{key}.npy", (1980, 1, 1, 0, 0, 0))
            with archive.open(info, "w", force_zip64=True) as file:
                np.lib.format.write_array(file, np.asarray(arrays[key]), allow_pickle=False)
