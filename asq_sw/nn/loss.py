"""Softmax and cross-entropy of the logits against labels or another network's logits, mean over the batch."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from asq_sw.errors import InputError

Array = NDArray[Any]


def cross_entropy(logits: Array, labels: Array, smoothing: float = 0.0) -> tuple[float, Array]:
    """Loss and its gradient.

    Parameters
    ----------
    logits : (N, classes), float32 or float64
    labels : (N,), integers in 0 .. classes - 1
    smoothing : float
        Share of the target that is spread over all classes (Szegedy et al., CVPR 2016, section 7).

    Returns
    -------
    Mean of ``-sum(target * log softmax(logits))``, and dL/dlogits in the logits' shape and dtype.

    Raises
    ------
    InputError
        For a label out of range, or logits that are not finite (training has diverged).
    """
    if len(labels) == 0:
        return 0.0, np.zeros_like(logits)
    classes = logits.shape[1]
    if labels.min() < 0 or labels.max() >= classes:
        raise InputError(
            f"labels run from {labels.min()} to {labels.max()}, expected 0 to {classes - 1} "
            f"for a network of {classes} classes"
        )
    log_probability = _log_softmax(logits, 1.0)
    rows = np.arange(len(labels))
    target = np.full_like(log_probability, smoothing / classes)
    target[rows, labels] += 1 - smoothing
    loss = -float((target * log_probability).sum()) / len(labels)
    return loss, ((np.exp(log_probability) - target) / len(labels)).astype(logits.dtype)


def distillation(logits: Array, teacher: Array, temperature: float = 1.0) -> tuple[float, Array]:
    """Loss and its gradient against a teacher's logits, no labels read (Hinton et al., 2015, section 2).

    Parameters
    ----------
    logits, teacher : (N, classes)
    temperature : float
        T > 0: both are divided by it, and the loss multiplied by T**2, so that the gradient keeps its size.

    Returns
    -------
    Mean of ``-T**2 sum(softmax(teacher / T) * log softmax(logits / T))``, and dL/dlogits.

    Raises
    ------
    InputError
        For logits that are not finite (training has diverged).
    """
    if len(logits) == 0:
        return 0.0, np.zeros_like(logits)
    log_probability = _log_softmax(logits, temperature)
    target = np.exp(_log_softmax(teacher, temperature))
    loss = -(temperature**2) * float((target * log_probability).sum()) / len(logits)
    gradient = temperature * (np.exp(log_probability) - target) / len(logits)
    return loss, gradient.astype(logits.dtype)


def _log_softmax(logits: Array, temperature: float) -> Array:
    wide = logits.astype(np.float64) / temperature
    if not np.isfinite(wide).all():
        raise InputError(
            "the network's output holds NaN or infinite values, expected finite ones: lower the learning rate"
        )
    wide -= wide.max(axis=1, keepdims=True)
    log_probability: Array = wide - np.log(np.exp(wide).sum(axis=1, keepdims=True))
    return log_probability
