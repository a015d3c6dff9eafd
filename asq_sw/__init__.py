"""The software path: number formats, networks, quantizers and training, without PyTorch."""

from asq_sw import process

__version__ = "0.1.0"

process.begin()
