"""The simulator: throughput, traffic and energy of a network on a POST (or int, or POT) systolic array."""

from typing import Any

import asq_sw  # noqa: F401 - first of all: a command can be interrupted from there on
from sim.accelerator import Accelerator
from sim.results import SimulationResult
from sim.run import simulate
from sim.workload import Layer, Workload

__all__ = ["Accelerator", "ExactArray", "Layer", "SimulationResult", "Workload", "run_gemm", "simulate"]


def __getattr__(name: str) -> Any:
    """The exact array, imported when it is asked for: the rest does not wait for its kernels."""
    if name in ("ExactArray", "run_gemm"):
        from sim.exact import array

        return getattr(array, name)
    raise AttributeError(f"module 'sim' has no attribute {name!r}")
