"""The software path: number formats, networks, quantizers and training, without PyTorch."""

__version__ = "0.1.0"
