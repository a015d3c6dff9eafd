"""The constants of the integer network's steps: typed, and to and from the file that docs/integer_contract.md specifies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asq_sw.errors import InputError
from asq_sw.formats import ActivationFormat, WeightFormat, two_terms
from asq_sw.integer.adapter import (
    BIAS_MAX,
    HIDDEN_SHIFT,
    MANTISSA_MAX,
    TOTAL_SHIFT,
    WEIGHT_MAX,
    adapter_widths,
)
from asq_sw.integer.record import Arrays, Record
from asq_sw.integer.widths import ADDEND_MAX, REGISTER_WIDTH, SHIFTS, quantizer_widths

Array = NDArray[Any]
_CHANNELS = 1 << 16
Written = tuple[dict[str, Any], dict[str, Array]]
"""An object of the file's JSON and arrays by name."""


@dataclass(frozen=True)
class Quantize:
    """Wide values to codes: ``clamp((wide * k + offset + half) >> shift)``; with ASQ, k / beta in place of k.

    Attributes
    ----------
    k : int
        0 to 32767.
    shift : int
        1 to 62.
    offset : int
        48 bits with the sign.
    """

    k: int
    shift: int
    offset: int

    @classmethod
    def read(cls, record: Record, asq: bool) -> Quantize:
        made = cls(
            record.whole("k", 0, MANTISSA_MAX),
            record.whole("shift", *SHIFTS),
            record.whole("offset", *((0, 0) if asq else (-ADDEND_MAX - 1, ADDEND_MAX))),
        )
        record.close()
        bits = quantizer_widths(asq, made.offset, made.shift).total
        assert bits <= REGISTER_WIDTH, bits  # by the ranges above
        return made

    def write(self) -> dict[str, Any]:
        return {"k": self.k, "shift": self.shift, "offset": self.offset}


@dataclass(frozen=True)
class Adapter:
    """ASQ's adapter (:mod:`asq_sw.integer.adapter`).

    Attributes
    ----------
    w1 : int64 (H, C)
        16 bits; H = 0: the adapter has one layer.
    b1 : int64 (H,)
        48 bits.
    r1, b2, r2 : int
    w2 : int64 (H,), or (C,) for an adapter of one layer
        16 bits.
    """

    w1: Array
    b1: Array
    r1: int
    w2: Array
    b2: int
    r2: int

    @classmethod
    def read(cls, record: Record, arrays: Arrays, prefix: str, channels: int, pixels: int) -> Adapter:
        """Of a map of ``channels`` of ``pixels``."""
        hidden = record.whole("hidden", 0, _CHANNELS)
        weight, bias = (-WEIGHT_MAX - 1, WEIGHT_MAX), (-BIAS_MAX - 1, BIAS_MAX)
        made = cls(
            arrays.take(f"{prefix}.adapter.w1", np.int16, (hidden, channels), *weight).astype(np.int64),
            arrays.take(f"{prefix}.adapter.b1", np.int64, (hidden,), *bias),
            record.whole("r1", *(HIDDEN_SHIFT if hidden else (0, 0))),
            arrays.take(f"{prefix}.adapter.w2", np.int16, (hidden or channels,), *weight).astype(np.int64),
            record.whole("b2", *bias),
            record.whole("r2", *TOTAL_SHIFT),
        )
        record.close()
        widths = adapter_widths(channels, hidden, pixels)
        if max(widths.total, widths.hidden_total) > REGISTER_WIDTH:
            raise InputError(
                f"{record.where}: sums over {channels} channels need {widths.total} bits, "
                f"expected at most {REGISTER_WIDTH}"
            )
        return made

    def write(self, prefix: str) -> Written:
        arrays = {"w1": self.w1.astype(np.int16), "b1": self.b1, "w2": self.w2.astype(np.int16)}
        return {"hidden": len(self.b1), "r1": self.r1, "b2": self.b2, "r2": self.r2}, {
            f"{prefix}.adapter.{key}": value for key, value in arrays.items()
        }


@dataclass(frozen=True)
class Requantize:
    """Sums to wide values: ``((sum * (m * beta >> 12) + b + half) >> shift)``, by output channel.

    Attributes
    ----------
    m : int64 (O,)
        16 bits.
    b : int64 (O,)
        48 bits.
    shift : int64 (O,)
        1 to 62.
    """

    m: Array
    b: Array
    shift: Array

    @classmethod
    def read(cls, arrays: Arrays, prefix: str, channels: int) -> Requantize:
        return cls(
            arrays.take(f"{prefix}.m", np.int16, (channels,)).astype(np.int64),
            arrays.take(f"{prefix}.b", np.int64, (channels,), -ADDEND_MAX - 1, ADDEND_MAX),
            arrays.take(f"{prefix}.shift", np.uint8, (channels,), *SHIFTS).astype(np.int64),
        )

    def write(self, prefix: str) -> dict[str, Array]:
        return {
            f"{prefix}.m": self.m.astype(np.int16),
            f"{prefix}.b": self.b,
            f"{prefix}.shift": self.shift.astype(np.uint8),
        }


@dataclass(frozen=True)
class Products:
    """What a layer's codes multiply to: ``product(a, code) = a * even[code] + table[a - low] * odd[code]``.

    Attributes
    ----------
    weight : WeightFormat
    activation : ActivationFormat
    even : int64 (2**storage bits,)
    odd : int64 (2**storage bits,), or None
        With ``table``: only of grids that read one.
    table : int64 (2**activation bits,), or None
    """

    weight: WeightFormat
    activation: ActivationFormat
    even: Array
    odd: Array | None
    table: Array | None

    @classmethod
    def of(cls, weight: WeightFormat, activation: ActivationFormat) -> Products:
        """
        Raises
        ------
        InputError
            For a grid with two tables, or whose products are too large to be summed.
        """
        check_products(weight)
        even, odd, table = two_terms(weight, activation)
        return cls(
            weight,
            activation,
            np.array(even, np.int64),
            None if odd is None else np.array(odd, np.int64),
            table,
        )

    def split(self, codes: Array) -> tuple[Array, Array | None]:
        """``even`` and ``odd`` of each of ``codes``, int64."""
        return self.even[codes], None if self.odd is None else self.odd[codes]

    def bound(self, codes: Array) -> int:
        """Largest magnitude of a sum over all but the first axis of ``codes``, for the worst activations."""
        even, odd = self.split(codes)
        reach = max(-self.activation.min, self.activation.max)
        # float64: exact as far as sums are allowed, and no overflow beyond
        worst = np.abs(even).reshape(len(even), -1).sum(axis=1, dtype=np.float64) * reach
        if odd is not None and self.table is not None:
            entries = np.abs(odd).reshape(len(odd), -1).sum(axis=1, dtype=np.float64)
            worst += entries * int(np.abs(self.table).max())
        return int(worst.max(initial=0))

    @classmethod
    def read(cls, record: Record, arrays: Arrays, prefix: str) -> Products:
        """The formats, and their tables, which must be what the formats say."""
        weight_spec, activation = record.take("weight"), record.record("activation")
        where = f"{record.where}: weight"
        try:
            weight = WeightFormat.from_spec(weight_spec)
            same = weight.spec() == weight_spec
        except InputError as error:
            raise InputError(f"{where}: {error}") from error
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise InputError(f"{where} is no number format ({error!r}), expected its fields") from error
        if not same:
            raise InputError(f"{where} is {weight_spec}, expected {weight.spec()}")
        codes = ActivationFormat(activation.whole("bits", 1, 8), activation.flag("signed"))
        activation.close()
        try:
            made = cls.of(weight, codes)
        except InputError as error:
            raise InputError(f"{where}: {error}") from error
        for key in ("even", "odd", "table"):
            held = getattr(made, key)
            if held is None:
                continue
            given = arrays.take(f"{prefix}.{key}", np.int64, held.shape)
            if (given != held).any():
                at = int(np.flatnonzero(given != held)[0])
                raise InputError(
                    f"{arrays.source}: array {prefix}.{key} holds {given[at]} at {at}, "
                    f"expected {held[at]} as {weight.name} has it"
                )
        return made

    def write(self, prefix: str) -> Written:
        arrays = {"even": self.even, "odd": self.odd, "table": self.table}
        return {
            "weight": self.weight.spec(),
            "activation": {"bits": self.activation.bits, "signed": self.activation.signed},
        }, {f"{prefix}.{key}": value for key, value in arrays.items() if value is not None}


def check_products(weight: WeightFormat) -> None:
    """Refuse a grid whose products are too large to be summed.

    Raises
    ------
    InputError
        If they reach 2**40 times the activation.
    """
    if weight.reach_bits > 40:
        raise InputError(
            f"products of {weight.bits}-bit {weight.grid} weights reach 2**{weight.reach_bits} times the activation, "
            "expected at most 2**40: use fewer bits"
        )
