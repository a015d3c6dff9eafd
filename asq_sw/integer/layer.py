"""What every step of the integer network shares: its place in the network, its file form, and the maps it works on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from asq_sw.errors import InputError
from asq_sw.formats import signed_width
from asq_sw.graph.graph import Node
from asq_sw.integer.adapter import BETA_BITS, BETA_MAX
from asq_sw.integer.arithmetic import add, mantissa, requantize, saturated, shifted
from asq_sw.integer.constants import Requantize
from asq_sw.integer.record import Arrays, Record
from asq_sw.integer.widths import (
    ADDEND_MAX,
    LOGIT_WIDTH,
    REGISTER_WIDTH,
    SHIFTS,
    WIDE_MAX,
    WIDE_WIDTH,
)
from asq_sw.nn.network import Network
from asq_sw.nn.normalization import EPSILON

Array = NDArray[Any]
RELUS = ("none", "relu", "relu6")


@dataclass(frozen=True)
class Step:
    """A step as the file has it.

    Attributes
    ----------
    name : str
        Also of the map that it makes.
    op : str
    inputs : tuple of str
        Maps that it reads; ``input`` is the image.
    fraction : int
        Fractional bits of its map.
    attributes : mapping
        Whole numbers and tuples of them.
    """

    name: str
    op: str
    inputs: tuple[str, ...]
    fraction: int
    attributes: Mapping[str, Any]

    def write(self) -> dict[str, Any]:
        attributes = {k: list(v) if isinstance(v, tuple) else v for k, v in self.attributes.items()}
        return {
            "name": self.name, "op": self.op, "inputs": list(self.inputs), "fraction": self.fraction,
            "attributes": attributes,
        }  # fmt: skip


@dataclass(frozen=True)
class Place:
    """A step's surroundings.

    Attributes
    ----------
    step : Step
    in_shapes : tuple of tuple of int
        (H, W, C) or (C,) of each input.
    in_fractions : tuple of int
        Fractional bits of each input; 0 of the image.
    shape : tuple of int
        (H, W, C) or (C,) of its map.
    last : bool
        Whether its map is the network's output.
    """

    step: Step
    in_shapes: tuple[tuple[int, ...], ...]
    in_fractions: tuple[int, ...]
    shape: tuple[int, ...]
    last: bool


@dataclass
class Maps:
    """The maps of one batch while it runs.

    Attributes
    ----------
    values : dict
        Map by name: uint8 images, int16 (int32 of the last), (N, H, W, C) or (N, C).
    summed : frozenset of str
        Maps whose channel sums an adapter reads.
    totals : dict
        Channel sums of those, made with the map: int64 (N, C).
    keep : bool
        Keep everything, and make sums of products apart from what follows them.
    sums : dict
        With ``keep``: exact sums of products by step.
    """

    values: dict[str, Array]
    summed: frozenset[str] = frozenset()
    totals: dict[str, Array] = field(default_factory=dict)
    keep: bool = False
    sums: dict[str, Array] = field(default_factory=dict)


@dataclass(frozen=True)
class Source:
    """A trained network on its way to integers.

    Attributes
    ----------
    network : Network
    pixels : float32 (256, C)
        What each value of each colour is after normalization.
    name : str
        In messages.
    """

    network: Network
    pixels: Array
    name: str


@dataclass(frozen=True)
class Planned:
    """A node of the trained network with what its step takes in.

    Attributes
    ----------
    node : Node
    norm : Node or None
        The batch normalization that follows, where the step takes it in.
    relu : str
        Of :data:`RELUS`: how the step ends.
    from_image : bool
    in_fraction, fraction : int
        Fractional bits of the first input (0 of the image) and of the map.
    last : bool
        Whether the node itself is the network's last.
    """

    node: Node
    norm: Node | None
    relu: str
    from_image: bool
    in_fraction: int
    fraction: int
    last: bool


class Layer(ABC):
    """A step that runs. A subclass an op, listed in :data:`asq_sw.integer.layers.LAYERS`.

    Class attributes: ``op``; ``ATTRIBUTES``, name -> (how many numbers, 0 for one that is no list; least; greatest);
    ``INPUTS``, least and greatest number of inputs; ``IMPLIED``, attributes that the graph's node has besides;
    ``READS_IMAGE``, whether the first input may be the image; ``TAKES_NORM``, whether a normalization behind it with
    ``FOLDS`` becomes a part of it; ``JOINS``, whether a second input is added to its own result.
    """

    op: ClassVar[str]
    ATTRIBUTES: ClassVar[Mapping[str, tuple[int, int, int]]] = {}
    INPUTS: ClassVar[tuple[int, int]] = (1, 1)
    IMPLIED: ClassVar[Mapping[str, Any]] = {}
    READS_IMAGE: ClassVar[bool] = False
    TAKES_NORM: ClassVar[bool] = False
    FOLDS: ClassVar[bool] = False
    JOINS: ClassVar[bool] = False

    def __init__(self, place: Place, record: Record, arrays: Arrays):
        """Read the step's constants from the file's ``record`` and ``arrays``, checked."""
        self.place = place
        self.name, self.inputs, self.fraction = place.step.name, place.step.inputs, place.step.fraction
        self.change = place.in_fractions[0] - self.fraction

    @classmethod
    def export(cls, source: Source, planned: Planned) -> tuple[dict[str, Any], dict[str, Array]]:
        """The step's constants from a trained network: the file's object and arrays. By default none."""
        return {}, {}

    @abstractmethod
    def run(self, maps: Maps) -> Array:
        """The step's map, int16 (N, *shape), from maps that are there."""

    def _out_shape(self, batch: int) -> tuple[int, ...]:
        return (batch, *self.place.shape)


class ScaledLayer(Layer):
    """A step that ends in the requantizer: batch normalization, convolution, linear.

    Attributes
    ----------
    requantize : Requantize
    relu : str
    low, high : int
        The ends of its map's values.
    """

    INPUTS = (1, 2)
    JOINS = True
    asq = False

    def __init__(self, place: Place, record: Record, arrays: Arrays):
        super().__init__(place, record, arrays)
        self.relu = record.text("relu", RELUS)
        bits = record.whole("bits", WIDE_WIDTH, LOGIT_WIDTH)
        if bits not in (WIDE_WIDTH, LOGIT_WIDTH) or (bits != WIDE_WIDTH and not place.last):
            record.refuse("bits", bits, f"{WIDE_WIDTH}, or {LOGIT_WIDTH} of the last step")
        self.dtype = np.int16 if bits == WIDE_WIDTH else np.int32
        self.high = (1 << (bits - 1)) - 1
        self.low = -self.high - 1 if self.relu == "none" else 0
        if self.relu == "relu6":
            self.high = min(self.high, six(self.fraction))
        self.requantize = Requantize.read(arrays, self.name, place.shape[-1])
        self.right = place.in_fractions[1] - self.fraction if len(self.inputs) > 1 else 0

    def _check_registers(self, record: Record, bound: int) -> None:
        """Refuse sums up to ``bound`` that the requantizer's registers could not hold."""
        beta = BETA_MAX if self.asq else 1 << BETA_BITS
        m = int(np.abs(self.requantize.m).max(initial=0))
        factor = (m * beta + (1 << (BETA_BITS - 1))) >> BETA_BITS
        half = 1 << (int(self.requantize.shift.max(initial=1)) - 1)
        total = bound * factor + int(np.abs(self.requantize.b).max(initial=0)) + half
        bits = signed_width(-total, total)
        if bits > REGISTER_WIDTH:
            raise InputError(
                f"{record.where}: its requantizer needs {bits} bits for sums up to {bound:.3g}, "
                f"expected at most {REGISTER_WIDTH}"
            )

    def _settled(self, maps: Maps, acc: Array, beta: Array) -> Array:
        """The step's map of exact sums (N, *shape) and beta by sample."""
        out = np.empty(acc.shape, self.dtype)
        other = by_pixel(maps.values[self.inputs[1]]) if len(self.inputs) > 1 else _NOTHING
        r = self.requantize
        requantize(
            by_pixel(acc), r.m, r.b, r.shift, beta, other, self.right, self.low, self.high, by_pixel(out)
        )
        return out


_NOTHING = np.empty((0, 1, 1), np.int16)


def scale_of(gain: Array, addend: Array, bound: int = 0, factor_bits: int = 0) -> Requantize:
    """The constants of ``sum * gain + addend``, in units of the map's last bit; float64 (O,) each.

    m has 16 bits, fewer where b would exceed its register or sums up to ``bound`` times a factor of ``factor_bits``
    more would exceed :data:`REGISTER_WIDTH`.
    """
    m, shift = mantissa(gain)
    with np.errstate(divide="ignore"):
        size = np.ceil(np.log2(np.abs(addend))) + shift  # -inf of zero
    too_wide = np.maximum(size - (ADDEND_MAX.bit_length() - 1), 0)
    room = REGISTER_WIDTH - 3 - bound.bit_length() - factor_bits
    long = np.array([max(abs(int(x)).bit_length() - room, 0) for x in m])
    less = np.minimum(np.maximum(too_wide, long).astype(np.int64), shift - SHIFTS[0])
    shift = shift - less
    m = np.where(less > 0, np.rint(np.ldexp(gain, shift)), m).astype(np.int64)
    b = np.rint(np.clip(np.ldexp(addend, shift), -ADDEND_MAX, ADDEND_MAX)).astype(np.int64)
    return Requantize(m, b, shift)


def folded(network: Network, name: str) -> tuple[Array, Array]:
    """(gain, addend) of a trained batch normalization, float64 (C,): it makes ``x * gain + addend``."""
    weight, bias = (network.parameters[f"{name}.{key}"].astype(np.float64) for key in ("weight", "bias"))
    mean, var = (
        network.buffers[f"{name}.{key}"].astype(np.float64) for key in ("running_mean", "running_var")
    )
    gain = weight / np.sqrt(var + EPSILON)
    return gain, bias - mean * gain


def six(fraction: int) -> int:
    """The value 6 with that many fractional bits, rounded down."""
    return 6 << fraction if fraction >= 0 else 6 >> -fraction


def ones(batch: int) -> Array:
    """Beta of a layer without ASQ: 1 for each sample."""
    return np.full(batch, 1 << BETA_BITS, np.int64)


def by_pixel(x: Array) -> Array:
    """(N, pixels, C) of a map."""
    return x.reshape(len(x), -1, x.shape[-1])


def brought(values: Array, right: int) -> Array:
    """int64 values shifted and saturated to wide ones."""
    return saturated(shifted(values, right))


def joined(x: Array, x_right: int, y: Array, y_right: int) -> Array:
    """The saturated sum of two wide maps."""
    out = np.empty(x.shape, np.int16)
    add(by_pixel(x), x_right, by_pixel(y), y_right, -WIDE_MAX - 1, WIDE_MAX, by_pixel(out))
    return out
