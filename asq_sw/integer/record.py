"""Checked reading of an integer network's file: every number's type and range, every array's dtype, shape and range."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from asq_sw.errors import InputError

Array = NDArray[Any]


class Arrays:
    """A file's arrays; each is taken once, and none may be left.

    Parameters
    ----------
    source : str
        Names the file in messages.
    arrays : mapping
    """

    def __init__(self, source: str, arrays: Mapping[str, Array]):
        self.source = source
        self._left = dict(arrays)

    def take(
        self, name: str, dtype: Any, shape: tuple[int, ...], low: int | None = None, high: int | None = None
    ) -> Array:
        """The array of that name, contiguous, of exactly that dtype and shape, its values from ``low`` to ``high``.

        Raises
        ------
        InputError
            If it is missing, or of another dtype, shape or range.
        """
        if name not in self._left:
            raise InputError(f"{self.source}: array {name} is missing")
        array = self._left.pop(name)
        if array.dtype != dtype or array.shape != shape:
            raise InputError(
                f"{self.source}: array {name} is {array.dtype} of shape {array.shape}, "
                f"expected {np.dtype(dtype)} of {shape}"
            )
        if array.size and (
            (low is not None and int(array.min()) < low) or (high is not None and int(array.max()) > high)
        ):
            raise InputError(
                f"{self.source}: array {name} holds {array.min()} to {array.max()}, expected {low} to {high}"
            )
        return np.ascontiguousarray(array)

    def close(self) -> None:
        """Refuse arrays that nothing has taken."""
        for name in sorted(self._left):
            raise InputError(f"{self.source}: array {name} belongs to no step of the network")


class Record:
    """One object of a file's JSON; each field is taken once, and none may be left.

    Parameters
    ----------
    where : str
        Names the file and the object in messages.
    data : object
    """

    def __init__(self, where: str, data: Any):
        self.where = where
        if not isinstance(data, dict):
            raise InputError(f"{where} is {_short(data)}, expected an object")
        self._left = dict(data)

    def refuse(self, field: str, value: Any, expected: str) -> NoReturn:
        raise InputError(f"{self.where}: {field} is {_short(value)}, expected {expected}")

    def take(self, field: str) -> Any:
        """A field as it is."""
        if field not in self._left:
            raise InputError(f"{self.where}: {field} is missing")
        return self._left.pop(field)

    def whole(self, field: str, low: int, high: int) -> int:
        """A whole number."""
        value = self.take(field)
        if type(value) is not int or not low <= value <= high:
            self.refuse(field, value, f"a whole number from {low} to {high}")
        return value

    def wholes(self, field: str, count: int, low: int, high: int) -> tuple[int, ...]:
        """A list of ``count`` whole numbers."""
        values = self.take(field)
        if (
            not isinstance(values, list)
            or len(values) != count
            or any(type(v) is not int or not low <= v <= high for v in values)
        ):
            self.refuse(field, values, f"a list of {count} whole numbers from {low} to {high}")
        return tuple(values)

    def flag(self, field: str) -> bool:
        value = self.take(field)
        if not isinstance(value, bool):
            self.refuse(field, value, "true or false")
        return value

    def text(self, field: str, choices: tuple[str, ...] = ()) -> str:
        """A string, one of ``choices`` where there are any."""
        value = self.take(field)
        if not isinstance(value, str) or (choices and value not in choices):
            self.refuse(field, value, f"one of {', '.join(choices)}" if choices else "a string")
        return value

    def texts(self, field: str) -> tuple[str, ...]:
        """A list of strings."""
        values = self.take(field)
        if not isinstance(values, list) or not all(isinstance(v, str) for v in values):
            self.refuse(field, values, "a list of strings")
        return tuple(values)

    def record(self, field: str) -> Record:
        """An object."""
        return Record(f"{self.where}: {field}", self.take(field))

    def optional(self, field: str) -> Record | None:
        """An object, or null."""
        value = self.take(field)
        return None if value is None else Record(f"{self.where}: {field}", value)

    def close(self) -> None:
        """Refuse fields that nothing has taken."""
        for field in sorted(self._left):
            raise InputError(f"{self.where}: {field} is a field that this version does not have")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
