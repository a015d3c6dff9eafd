"""A layer's operands, which units multiply while their energy is measured.

They are a weight matrix of codes (K inputs by N outputs) and activations (K inputs by T consecutive pixels). How they
drive a unit stands with the unit.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asq_sw.errors import InputError
from asq_sw.files import read_npz
from asq_sw.formats import ActivationFormat, WeightFormat
from asq_sw.provenance import file_hash
from asq_sw.sqnr import half_normal_activations, sqnr

CYCLES = 256
"""Counted cycles: activations that stream past one weight."""

Codes = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Operands:
    """A layer's operands.

    Attributes
    ----------
    weights : (K, N) int64
        Weight codes.
    activations : (K, T) int64
        Activation values; row k is what weight row k sees, in time.
    source : str
        Where they come from, in words.
    """

    weights: Codes
    activations: Codes
    source: str

    def __post_init__(self) -> None:
        if self.weights.ndim != 2 or self.activations.ndim != 2 or 0 in self.weights.shape:
            raise InputError(
                f"operands have shapes {self.weights.shape} and {self.activations.shape}, "
                "expected two matrices"
            )
        if len(self.weights) != len(self.activations) or self.activations.shape[1] < 2:
            raise InputError(
                f"weights have {len(self.weights)} inputs and activations {self.activations.shape}, expected "
                "as many rows and at least 2 columns"
            )


def gaussian(weight: WeightFormat, activation: ActivationFormat, seed: int = 0) -> Operands:
    """Gaussian weights at the grid's best scale, and ReLU activations of a Gaussian; all independent.

    Weights: N(0, 1) quantized at the alpha with the least squared error (:func:`asq_sw.sqnr.sqnr`).
    Activations: the codes' probabilities of :func:`asq_sw.sqnr.half_normal_activations` (half of them 0, the
    largest code at 3 sigma); signed ones are a Gaussian with the largest code at 3 sigma.
    288 inputs (3 x 3 x 32), 64 outputs, 512 pixels.
    """
    generator = np.random.default_rng(seed)
    values = generator.standard_normal((288, 64))
    codes = weight.encode(weight.nearest(values / sqnr(weight).alpha))
    if activation.signed:
        scaled = np.rint(generator.standard_normal((288, 512)) * activation.max / 3)
        activations = np.clip(scaled, activation.min, activation.max).astype(np.int64)
    else:
        probabilities = half_normal_activations(activation.bits)
        activations = generator.choice(
            len(probabilities), size=(288, 512), p=probabilities / probabilities.sum()
        )
    return Operands(
        np.asarray(codes, dtype=np.int64),
        activations.astype(np.int64),
        f"Gaussian weights, half-normal activations, seed {seed}",
    )


def with_zeros(weight: WeightFormat, activation: ActivationFormat, share: float, seed: int = 0) -> Operands:
    """:func:`gaussian`'s operands, with zeros at random in ``share`` of the (unsigned) activations.

    The others keep the proportions that they have there.
    """
    plain = gaussian(weight, activation, seed)
    generator = np.random.default_rng(seed)
    probabilities = half_normal_activations(activation.bits)[1:]
    others = 1 + generator.choice(
        len(probabilities), size=plain.activations.shape, p=probabilities / probabilities.sum()
    )
    zero = generator.random(plain.activations.shape) < share
    return Operands(
        plain.weights,
        np.where(zero, 0, others).astype(np.int64),
        f"Gaussian weights, half-normal activations with {100 * share:.0f}% zeros, seed {seed}",
    )


def from_files(
    weight: WeightFormat, activation: ActivationFormat, weights: str | Path, activations: str | Path
) -> Operands:
    """A layer's own operands from two ``.npz`` files (each its array ``codes``, else its first array).

    Weights: (K, N), or (N, C, R, S) as a convolution has them, which becomes K = C R S; whole numbers are
    codes of the format, floats are quantized per output at the grid's best scale for a Gaussian of their
    deviation. Activations: (K, T) whole numbers within the format.

    Raises
    ------
    InputError
        For a file that cannot be read, a wrong shape, or values outside the formats.
    """
    w, a = _array(weights), _array(activations)
    if w.ndim == 4:
        w = w.reshape(len(w), -1).T
    if w.ndim != 2:
        raise InputError(f"{Path(weights).name}: has shape {w.shape}, expected (K, N) or (N, C, R, S)")
    if w.dtype.kind not in "iuf" or (w.dtype.kind == "f" and not np.isfinite(w).all()):
        raise InputError(f"{Path(weights).name}: holds {w.dtype}, expected whole codes or finite weights")
    if w.dtype.kind == "f":
        deviation = np.maximum(w.std(axis=0, keepdims=True), np.finfo(np.float64).tiny)
        w = weight.encode(weight.nearest(w / (deviation * sqnr(weight).alpha)))
    if w.size and (w.min() < 0 or w.max() >= 1 << weight.storage_bits):
        raise InputError(
            f"{Path(weights).name}: codes reach {int(w.min())} to {int(w.max())}, expected 0 to "
            f"{(1 << weight.storage_bits) - 1}"
        )
    if a.ndim != 2 or a.dtype.kind not in "iu":
        raise InputError(f"{Path(activations).name}: has {a.dtype} of shape {a.shape}, expected whole (K, T)")
    if a.size and (a.min() < activation.min or a.max() > activation.max):
        raise InputError(
            f"{Path(activations).name}: values reach {int(a.min())} to {int(a.max())}, expected "
            f"{activation.min} to {activation.max}"
        )
    source = ", ".join(f"{Path(p).name} {file_hash(p)}" for p in (weights, activations))
    return Operands(w.astype(np.int64), a.astype(np.int64), source)


def _array(path: str | Path) -> NDArray[Any]:
    arrays = read_npz(path, str(path))
    if not arrays:
        raise InputError(f"{path}: holds no array")
    return arrays.get("codes", next(iter(arrays.values())))


def after(first: int, cycles: int) -> NDArray[np.bool_]:
    """Which of ``cycles`` cycles to count: those from ``first`` on."""
    return np.arange(cycles) >= first
