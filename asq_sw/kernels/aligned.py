"""Arrays that begin with a cache line: vectors of a line's length then touch one line each, not two."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

LINE = 64
"""Bytes of a cache line, and of the longest vectors."""


def from_line(memory: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """``size`` bytes of ``memory``, which has :data:`LINE` more, from the first that begins a line."""
    start = -memory.ctypes.data % LINE
    return memory[start : start + size]


def aligned(shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
    """Zeros of ``shape`` that begin with a cache line."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    return from_line(np.zeros(size + LINE, np.uint8), size).view(dtype).reshape(shape)
