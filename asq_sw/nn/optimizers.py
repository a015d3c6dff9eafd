"""Optimizers that update arrays in place, and the schedules of their learning rates."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from math import cos, pi
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asq_sw.errors import InputError

Array = NDArray[Any]


class Optimizer(ABC):
    """Updates a group of named arrays.

    Parameters
    ----------
    rate : float
        Learning rate at the schedule's peak, > 0.
    decay : float
        Weight decay, >= 0, added to the gradient of the arrays that ``decays`` names.
    decays : collection of str
        Names of arrays that decay.
    """

    def __init__(self, rate: float, decay: float = 0.0, decays: frozenset[str] = frozenset()):
        if not rate > 0:
            raise InputError(f"learning rate is {rate!r}, expected a number above 0")
        if not decay >= 0:
            raise InputError(f"weight decay is {decay!r}, expected a number of at least 0")
        self.rate, self.decay, self.decays = rate, decay, decays
        self.state: dict[str, Array] = {}

    def step(self, arrays: Mapping[str, Array], grads: Mapping[str, Array], factor: float) -> None:
        """Update every array of ``arrays`` that has a gradient, at ``factor`` times the rate."""
        for name, array in arrays.items():
            grad = grads.get(name)
            if grad is None:
                continue
            if self.decay and name in self.decays:
                grad = grad + array.dtype.type(self.decay) * array
            self._update(name, array, grad, self.rate * factor)

    @abstractmethod
    def _update(self, name: str, array: Array, grad: Array, rate: float) -> None:
        """Change ``array`` in place."""

    def _slot(self, name: str, kind: str, like: Array) -> Array:
        key = f"{kind}/{name}"
        if key not in self.state:
            self.state[key] = np.zeros_like(like)
        return self.state[key]


class Sgd(Optimizer):
    """Stochastic gradient descent with momentum, as PyTorch's: ``v = m v + g``, ``w -= rate v``.

    Parameters
    ----------
    momentum : float
        0 to below 1.
    nesterov : bool
        Step along ``g + m v`` (Sutskever et al., ICML 2013).
    """

    def __init__(
        self,
        rate: float,
        momentum: float = 0.9,
        nesterov: bool = False,
        decay: float = 0.0,
        decays: frozenset[str] = frozenset(),
    ):
        super().__init__(rate, decay, decays)
        if not 0 <= momentum < 1:
            raise InputError(f"momentum is {momentum!r}, expected a number from 0 to below 1")
        self.momentum, self.nesterov = momentum, nesterov

    def _update(self, name: str, array: Array, grad: Array, rate: float) -> None:
        velocity = self._slot(name, "velocity", array)
        velocity *= array.dtype.type(self.momentum)
        velocity += grad
        step = grad + array.dtype.type(self.momentum) * velocity if self.nesterov else velocity
        array -= array.dtype.type(rate) * step


class Adam(Optimizer):
    """Adam (Kingma and Ba, ICLR 2015, algorithm 1).

    Parameters
    ----------
    betas : (float, float)
    epsilon : float
    """

    def __init__(
        self,
        rate: float,
        betas: tuple[float, float] = (0.9, 0.999),
        epsilon: float = 1e-8,
        decay: float = 0.0,
        decays: frozenset[str] = frozenset(),
    ):
        super().__init__(rate, decay, decays)
        self.betas, self.epsilon = betas, epsilon

    def _update(self, name: str, array: Array, grad: Array, rate: float) -> None:
        first, second = self._slot(name, "first", array), self._slot(name, "second", array)
        count = self.state.setdefault(f"count/{name}", np.zeros(1, np.int64))
        count += 1
        to = array.dtype.type
        first += to(1 - self.betas[0]) * (grad - first)
        second += to(1 - self.betas[1]) * (grad * grad - second)
        t = int(count[0])
        step = rate * (1 - self.betas[1] ** t) ** 0.5 / (1 - self.betas[0] ** t)
        epsilon = self.epsilon * (1 - self.betas[1] ** t) ** 0.5
        array -= to(step) * first / (np.sqrt(second) + to(epsilon))


SCHEDULES = ("cosine", "step", "constant")


def factor(
    schedule: str, step: int, steps: int, warmup: int = 0, drops: tuple[float, ...] = (0.5, 0.75)
) -> float:
    """Share of the peak learning rate at step ``step`` of ``steps``.

    Parameters
    ----------
    schedule : str
        ``cosine`` (Loshchilov and Hutter, ICLR 2017, without restarts), ``step`` (a tenth after each of
        ``drops``) or ``constant``.
    step, steps : int
    warmup : int
        Steps of linear rise before it.
    drops : floats
        Shares of the steps after the warm-up.
    """
    if schedule not in SCHEDULES:
        raise InputError(f"schedule is {schedule!r}, expected one of {', '.join(SCHEDULES)}")
    if step < warmup:
        return (step + 1) / warmup
    done = (step - warmup) / max(1, steps - warmup)
    if schedule == "cosine":
        return 0.5 * (1 + cos(pi * min(1.0, done)))
    if schedule == "step":
        return 0.1 ** sum(done >= drop for drop in drops)
    return 1.0
