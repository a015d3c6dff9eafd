"""The simulator: throughput, traffic and energy of a network on a POST (or int, or POT) systolic array."""

from sim.accelerator import Accelerator
from sim.simulate import SimulationResult, simulate
from sim.workload import Layer, Workload

__all__ = ["Accelerator", "Layer", "SimulationResult", "Workload", "simulate"]
