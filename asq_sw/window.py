"""A sliding window's geometry: convolutions and poolings, in training, integers and the simulator."""

from __future__ import annotations

import math
from dataclasses import dataclass


def output_size(size: int, kernel: int, stride: int, padding: int, dilation: int = 1) -> int:
    """Places of a window along one axis; below 1 where it does not fit.

    ``(size + padding - dilation * (kernel - 1) - 1) // stride + 1`` (PyTorch's Conv2d).

    Parameters
    ----------
    size, kernel, stride, dilation : int
        At least 1.
    padding : int
        On both sides together.
    """
    return (size + padding - dilation * (kernel - 1) - 1) // stride + 1


@dataclass(frozen=True)
class Window:
    """Shape of a convolution.

    Attributes
    ----------
    channels, height, width : int
        Of the input.
    out_channels : int
    kernel, stride, dilation : (int, int)
        Height, width.
    padding : (int, int, int, int)
        Top, left, bottom, right.
    groups : int
    """

    channels: int
    height: int
    width: int
    out_channels: int
    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1

    @property
    def output(self) -> tuple[int, int]:
        """Height and width of the output."""
        top, left, bottom, right = self.padding
        (kh, kw), (sh, sw), (dh, dw) = self.kernel, self.stride, self.dilation
        return output_size(self.height, kh, sh, top + bottom, dh), output_size(
            self.width, kw, sw, left + right, dw
        )

    @property
    def weight_shape(self) -> tuple[int, int, int, int]:
        return (self.out_channels, self.channels // self.groups, *self.kernel)

    @property
    def macs(self) -> int:
        """Multiply-adds per image."""
        rows, columns = self.output
        return rows * columns * math.prod(self.weight_shape)
