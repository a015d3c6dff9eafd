"""Arrays that are used again: a training step allocates nothing after the first."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from asq_sw.kernels.aligned import LINE, from_line

Array = NDArray[Any]


class ArrayPool:
    """Arrays for reuse, by size; each begins with a cache line."""

    def __init__(self) -> None:
        self._free: dict[int, list[Array]] = {}

    def take(self, shape: tuple[int, ...], dtype: Any) -> Array:
        """An array whose values do not matter."""
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        free = self._free.get(size)
        memory = free.pop() if free else np.empty(size + LINE, np.uint8)
        return from_line(memory, size).view(dtype).reshape(shape)

    def give(self, array: Array | None) -> None:
        """Give back what :meth:`take` gave (or a view of all of it); other arrays, and None, are left alone."""
        while array is not None and array.dtype != np.uint8:
            if array.base is None:
                return
            array = array.base
        if array is not None:
            while array.base is not None:  # from the line that it begins with to the whole
                array = array.base
            self._free.setdefault(array.size - LINE, []).append(array)
