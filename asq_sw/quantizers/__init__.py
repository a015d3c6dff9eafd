"""Trainable quantizers of activations and weights, on numpy arrays with numba kernels; see ``base`` for the protocol."""

from asq_sw.quantizers.asq import Asq
from asq_sw.quantizers.base import (
    ActivationQuantizer,
    EncodedActivations,
    EncodedWeights,
    Quantizer,
    WeightQuantizer,
)
from asq_sw.quantizers.daq import Daq
from asq_sw.quantizers.dorefa import Dorefa
from asq_sw.quantizers.grid import GridWeights, Post
from asq_sw.quantizers.lsq import Lsq
from asq_sw.quantizers.lsq_plus import LsqPlus
from asq_sw.quantizers.pact import Pact
from asq_sw.quantizers.qil import Qil

__all__ = [
    "ActivationQuantizer",
    "Asq",
    "Daq",
    "Dorefa",
    "EncodedActivations",
    "EncodedWeights",
    "GridWeights",
    "Lsq",
    "LsqPlus",
    "Pact",
    "Post",
    "Qil",
    "Quantizer",
    "WeightQuantizer",
]
