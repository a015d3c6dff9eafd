"""What a unit multiplies while its energy is measured: operands of a layer, and the inputs they make of a
unit.

A layer's operands are a weight matrix of codes (K inputs by N outputs) and activations (K inputs by T
consecutive pixels). A weight-stationary unit holds weights while T activations stream past; its partial
sums are those of the rows above it in a real column, with their own weights and activations.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from asq_sw.errors import InputError
from asq_sw.formats import ActivationFormat, WeightFormat
from asq_sw.provenance import file_hash
from asq_sw.sqnr import half_normal_activations, sqnr
from hw.units.tile import TileSpec, meant
from hw.units.unit import UnitSpec

CYCLES = 256
"""Counted cycles: activations that stream past one weight."""
LANES = 512
"""Copies of the unit, each at another place of the matrices."""

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
    try:
        with np.load(path, allow_pickle=False) as data:
            if not isinstance(data, np.lib.npyio.NpzFile):
                raise InputError(f"{Path(path).name}: is not an .npz file")
            name = "codes" if "codes" in data.files else data.files[0] if data.files else ""
            if not name:
                raise InputError(f"{Path(path).name}: holds no array")
            return np.asarray(data[name])
    except InputError:
        raise
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except (OSError, ValueError, AttributeError, EOFError) as error:
        raise InputError(f"{Path(path).name}: cannot be read as .npz ({error})") from error


@dataclass(frozen=True, eq=False)
class Stimulus:
    """A unit's inputs in time: port -> (cycles, lanes), and which cycles to count.

    A tile's packed ports have an axis or two more, as :func:`hw.synth.activity.toggles.simulate` takes them: ``a``
    (cycles, lanes, rows) and ``w`` (cycles, lanes, rows, cols).
    """

    inputs: dict[str, ArrayLike]
    counting: NDArray[np.bool_]


def stimulus(spec: UnitSpec | TileSpec, operands: Operands, lanes: int = LANES, seed: int = 0) -> Stimulus:
    """The inputs that ``operands`` make of a unit; every lane is another place in the matrices.

    Loading of weights is not counted, nor are the cycles until the pipeline is full: the energy is that
    of streaming, as most cycles of a fold are.

    * ``multiplier``: a held weight, streaming activations.
    * ``pe``, weight-stationary: the same, with ``psum_in`` the sum of the rows above: between none and
      ``terms - 1``, uniformly over the lanes.
    * ``pe``, output-stationary: activations and weights both stream, along K.
    * ``array``: rows and columns of the matrices, skewed as the array expects it.
    * ``tile``: see :func:`tile_stimulus`.

    Raises
    ------
    InputError
        For a unit that this does not know.
    """
    spec = meant(spec)
    if isinstance(spec, TileSpec):
        return tile_stimulus(spec, operands, lanes, seed)
    generator = np.random.default_rng(seed)
    k_total, n_total = operands.weights.shape
    n = generator.integers(0, n_total, lanes)
    cycles = min(CYCLES, operands.activations.shape[1])
    if spec.unit == "multiplier":
        k = generator.integers(0, k_total, lanes)
        weights = np.broadcast_to(operands.weights[k, n], (cycles, lanes))
        return Stimulus({"a": operands.activations[k, :cycles].T, "w": weights}, _after(1, cycles))
    if spec.unit == "pe" and spec.dataflow == "ws":
        return _weight_stationary(spec, operands, cycles, n, generator)
    if spec.unit == "pe":
        return _output_stationary(operands, n, generator)
    if spec.unit == "array" and spec.dataflow == "ws":
        return _weight_stationary_array(spec, operands, cycles, lanes, generator)
    if spec.unit == "array":
        return _output_stationary_array(spec, operands, lanes, generator)
    raise InputError(
        f"energy of a {spec.dataflow} {spec.unit} cannot be measured, expected multiplier, pe, array or tile"
    )


def tile_stimulus(
    tile: TileSpec, operands: Operands, lanes: int = LANES, seed: int = 0, held: bool = False
) -> Stimulus:
    """Dot products of two kinds.

    Output-stationary: every cycle R new activations and R x C new weights, along K, into the accumulators.
    ``held``, and always with weight registers: weights stay and activations stream, as in a weight-stationary
    fold; the accumulators then start anew every cycle.
    """
    generator = np.random.default_rng(seed)
    k_total, n_total = operands.weights.shape
    t_total = operands.activations.shape[1]
    first_n = generator.integers(0, n_total, lanes)
    first_t = generator.integers(0, t_total, lanes)
    weights = operands.weights
    slices = max(1, k_total // tile.rows)
    length = min(CYCLES, max(64, 2 * slices)) + 1
    cycle = np.arange(length)
    inputs: dict[str, ArrayLike] = {}
    if tile.registers or held:
        k0 = generator.integers(0, slices, lanes)[None, :] * tile.rows + np.zeros((length, 1), np.int64)
        t = (first_t + cycle[:, None]) % t_total
        if tile.registers:
            inputs["load"] = np.broadcast_to((cycle == 0).astype(np.int64)[:, None], (length, lanes))
        clear = np.ones((length, lanes), np.int64)
    else:
        k0 = np.broadcast_to((cycle % slices)[:, None] * tile.rows, (length, lanes))
        t = (first_t + (cycle // slices)[:, None]) % t_total
        clear = np.broadcast_to((cycle % slices == 0).astype(np.int64)[:, None], (length, lanes))
    inputs["clear"] = clear
    if tile.enable:
        inputs["en"] = np.ones((length, lanes), np.int64)
    if tile.products.modes:
        inputs["mode"] = np.full((length, lanes), tile.products.mode)
    k = (k0[..., None] + np.arange(tile.rows)) % k_total
    n = (first_n[:, None] + np.arange(tile.cols)) % n_total
    inputs["a"] = operands.activations[k, t[..., None]]
    inputs["w"] = tile.stored(weights)[k[..., None], n[:, None]]
    if tile.edge_registers:  # weights and clear a cycle after the activations
        for name in inputs:
            if name not in ("a", "mode", "en"):
                inputs[name] = np.roll(np.asarray(inputs[name]), 1, axis=0)
    return Stimulus(inputs, _after(3, length))


def _after(first: int, cycles: int) -> NDArray[np.bool_]:
    return np.arange(cycles) >= first


def _weight_stationary(
    spec: UnitSpec, operands: Operands, cycles: int, n: Codes, generator: np.random.Generator
) -> Stimulus:
    k_total, lanes = len(operands.weights), len(n)
    above = generator.integers(0, min(spec.terms, k_total), lanes)  # rows above this one
    k = generator.integers(0, k_total, lanes)
    activations = operands.activations[:, :cycles]
    table = spec.weight.product_table(spec.abits, spec.signed_activations)
    mask = (1 << spec.abits) - 1
    psum = np.zeros((cycles, lanes), dtype=np.int64 if spec.psum_bits <= 64 else object)
    for lane in range(lanes):
        rows = (k[lane] - 1 - np.arange(above[lane])) % k_total
        codes = operands.weights[rows, n[lane]]
        psum[:, lane] = table[activations[rows] & mask, codes[:, None]].sum(axis=0)
    # One cycle to load the weight, one to settle; w_in keeps the next row's weight.
    held = operands.weights[k, n]
    below = operands.weights[(k + 1) % k_total, n]
    w_in = np.broadcast_to(below, (cycles + 1, lanes)).copy()
    w_in[0] = held
    load = np.zeros((cycles + 1, lanes), dtype=np.int64)
    load[0] = 1
    a_in = np.concatenate([activations[k, :1].T, activations[k].T])
    psum_in = np.concatenate([psum[:1], psum])
    return Stimulus({"a_in": a_in, "w_in": w_in, "load": load, "psum_in": psum_in}, _after(3, cycles + 1))


def _output_stationary(operands: Operands, n: Codes, generator: np.random.Generator) -> Stimulus:
    k_total, lanes = len(operands.weights), len(n)
    pixel = generator.integers(0, operands.activations.shape[1], lanes)
    a_in = operands.activations[:, pixel]
    w_in = operands.weights[:, n]
    drain = np.zeros((k_total + 1, lanes), dtype=np.int64)
    drain[0] = 1
    zero = np.zeros((1, lanes), dtype=np.int64)
    return Stimulus(
        {
            "a_in": np.concatenate([zero, a_in]),
            "w_in": np.concatenate([w_in[:1], w_in]),
            "drain": drain,
            "sum_in": np.zeros_like(drain),
        },
        _after(2, k_total + 1),
    )


def _weight_stationary_array(
    spec: UnitSpec, operands: Operands, cycles: int, lanes: int, generator: np.random.Generator
) -> Stimulus:
    k_total, n_total = operands.weights.shape
    t_total = operands.activations.shape[1]
    first_k = generator.integers(0, k_total, lanes)
    first_n = generator.integers(0, n_total, lanes)
    first_t = generator.integers(0, t_total, lanes)
    fill = spec.rows + spec.cols
    length = spec.rows + fill + cycles
    time = np.arange(length) - spec.rows
    inputs: dict[str, ArrayLike] = {}
    for r in range(spec.rows):
        late = 0 if spec.skew else r
        t = (first_t[None, :] + (time - late)[:, None]) % t_total
        inputs[f"a__{r}"] = operands.activations[(first_k + r) % k_total, t]
    row = np.maximum(spec.rows - 1 - np.arange(length), 0)  # the last row's weights first; then they stay
    for c in range(spec.cols):
        inputs[f"w__{c}"] = operands.weights[
            (first_k[None, :] + row[:, None]) % k_total, (first_n + c) % n_total
        ]
    loading = (np.arange(length) < spec.rows).astype(np.int64)
    inputs["load"] = np.broadcast_to(loading[:, None], (length, lanes))
    return Stimulus(inputs, _after(spec.rows + fill, length))


def _output_stationary_array(
    spec: UnitSpec, operands: Operands, lanes: int, generator: np.random.Generator
) -> Stimulus:
    k_total, n_total = operands.weights.shape
    t_total = operands.activations.shape[1]
    first_n = generator.integers(0, n_total, lanes)
    first_t = generator.integers(0, t_total, lanes)
    length = spec.rows + k_total  # clear the sums, then stream along K, round and round where rows lag
    k = np.arange(length) - spec.rows
    inputs: dict[str, ArrayLike] = {}
    for r in range(spec.rows):
        late = (k - (0 if spec.skew else r)) % k_total
        inputs[f"a__{r}"] = operands.activations[late[:, None], (first_t + r) % t_total]
    for c in range(spec.cols):
        late = (k - (0 if spec.skew else c)) % k_total
        inputs[f"w__{c}"] = operands.weights[late[:, None], (first_n + c) % n_total]
    draining = (np.arange(length) < spec.rows).astype(np.int64)
    inputs["drain"] = np.broadcast_to(draining[:, None], (length, lanes))
    return Stimulus(inputs, _after(min(2 * spec.rows + spec.cols, length - 1), length))
