"""Softmax and cross-entropy of the logits, mean over the batch."""

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
    wide = logits.astype(np.float64)
    if not np.isfinite(wide).all():
        raise InputError(
            "the network's output holds NaN or infinite values, expected finite ones: lower the learning rate"
        )
    wide -= wide.max(axis=1, keepdims=True)
    log_sum = np.log(np.exp(wide).sum(axis=1, keepdims=True))
    log_probability = wide - log_sum
    rows = np.arange(len(labels))
    target = np.full_like(wide, smoothing / classes)
    target[rows, labels] += 1 - smoothing
    loss = -float((target * log_probability).sum()) / len(labels)
    return loss, ((np.exp(log_probability) - target) / len(labels)).astype(logits.dtype)
