"""The protocol of every quantizer: forward, backward, parameters, codes.

A quantizer is a differentiable function of one array. ``forward`` returns the quantized array ``x_hat`` in
the input's dtype; ``backward`` takes the loss's gradient with respect to ``x_hat`` and returns the gradient
with respect to the input, and leaves the gradients of its own parameters in ``grads``.

Elementwise kernels do not look at the layout, so NCHW and NHWC (OIHW, HWIO, a matrix) are the same to them.
What does depend on it takes an axis: ASQ's average per channel, and the per-channel scale of weights.

Sums over elements are taken per chunk of :data:`CHUNK` elements, per sample or per channel, each by one
thread, and the parts are added in one order. So equal inputs give equal bytes for any number of threads.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from asq_sw.errors import InputError
from asq_sw.formats import ActivationFormat, WeightFormat

Array = NDArray[Any]

CHUNK = 1 << 14
"""Elements per partial sum: two float32 chunks fit the first-level cache."""

FLOOR = 1e-8
"""Smallest scale. Steps, scales and widths that training pushes below it are set back to it."""


class EncodedActivations(NamedTuple):
    """Integer activations, ``x_hat = scale * codes + offset``.

    Attributes
    ----------
    codes : int16 array
        As the input; in the range of ``format``.
    scale : array
        Broadcasts against ``codes``: shape (1,), or (N, 1, ...) where it differs by sample (ASQ).
    offset : array
        Likewise; zero but for LSQ+.
    format : ActivationFormat
    """

    codes: NDArray[np.int16]
    scale: Array
    offset: Array
    format: ActivationFormat


class EncodedWeights(NamedTuple):
    """Integer weights, ``w_hat = alpha[c] * format.decode(codes)`` with c the output channel.

    Attributes
    ----------
    codes : int16 array
        As the weights; codes of ``format``.
    alpha : array
        Shape (channels,).
    format : WeightFormat
    """

    codes: NDArray[np.int16]
    alpha: Array
    format: WeightFormat


class Quantizer(ABC):
    """What weights' and activations' quantizers share.

    Parameters
    ----------
    bits : int
        Width of a code; each class states its range.
    name : str, optional
        Named in error messages, such as ``layer1.0.conv1.weight``.

    Attributes
    ----------
    parameters : dict of str to array
        Trainable arrays; empty until initialized. Each array keeps its identity from then on: an optimizer
        updates it in place.
    grads : dict of str to array
        Gradients of the last ``backward``, by the same names, shapes and dtypes.
    initialized : bool
        Whether the parameters hold values made from data (or loaded).
    """

    min_bits = 1
    max_bits = 8

    def __init__(self, bits: int, name: str = ""):
        if isinstance(bits, bool) or not isinstance(bits, (int, np.integer)):
            raise InputError(f"{name or type(self).__name__}: bits is {bits!r}, expected a whole number")
        if not self.min_bits <= bits <= self.max_bits:
            raise InputError(
                f"{name or type(self).__name__}: bits is {bits}, expected {self.min_bits} to {self.max_bits}"
            )
        self.bits = int(bits)
        self.name = name
        self.parameters: dict[str, Array] = {}
        self.grads: dict[str, Array] = {}
        self.initialized = False
        self._saved: Any = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.bits}, name={self.name!r})"

    # -- the protocol ----------------------------------------------------------------------------------

    def forward(self, x: Array, training: bool = False, out: Array | None = None) -> Array:
        """Quantize.

        Parameters
        ----------
        x : float32 or float64 array
            Any shape (ASQ: at least (N, C)). The first batch with a value other than zero initializes the
            parameters.
        training : bool
            Keep what ``backward`` needs: references to ``x`` (and, for weights, to the result), which the
            caller leaves as they are until then.
        out : array, optional
            Where to write; C-contiguous, as ``x``, without memory in common with it.

        Returns
        -------
        ``x_hat``: shape and dtype of ``x``; ``out`` where given.

        Raises
        ------
        InputError
            For another dtype or shape, or a NaN or infinite value; names the quantizer.
        """
        x = self._checked(x)
        result = self._result(x, out)
        if not self.initialized:
            self._try_to_initialize(x)
        if x.size == 0:
            self._saved = ("empty", x) if training else self._saved
            return result
        for parameter in self._positive:
            np.maximum(self.parameters[parameter], FLOOR, out=self.parameters[parameter])
        saved = self._forward(x, result)
        if training:
            self._saved = (saved, x)
        return result

    def backward(self, grad: Array, out: Array | None = None) -> Array:
        """Gradient of the last training ``forward``.

        Parameters
        ----------
        grad : array
            dL/dx_hat; shape of that ``x``.
        out : array, optional
            As in ``forward``; must not share memory with ``grad``.

        Returns
        -------
        dL/dx, shape and dtype of ``x``. ``grads`` is overwritten.

        Raises
        ------
        RuntimeError
            Without a training ``forward`` before it.
        InputError
            For another shape, or a gradient of a parameter that is not finite; names the quantizer.
        """
        if self._saved is None:
            raise RuntimeError(f"{self.label}: backward without a training forward before it")
        saved, x = self._saved
        self._saved = None
        if grad.shape != x.shape:
            raise InputError(f"{self.label}: gradient of shape {grad.shape}, expected {x.shape}")
        grad = np.ascontiguousarray(grad, dtype=x.dtype)
        dx = self._result(grad, out)
        if x.size == 0:
            self.grads = {key: np.zeros_like(value) for key, value in self.parameters.items()}
            return dx
        grads = self._backward(saved, x, grad, dx)
        self.grads = {
            key: np.asarray(grads[key], dtype=value.dtype).reshape(value.shape)
            for key, value in self.parameters.items()
        }
        for key, value in self.grads.items():
            if not np.isfinite(value).all():
                raise InputError(
                    f"{self.label}: gradient of {key} is NaN or infinite, expected finite numbers"
                )
        return dx

    def state_dict(self) -> dict[str, Array]:
        """Copies of the parameters, with ``initialized`` (bool, shape ()) beside them."""
        state = {key: value.copy() for key, value in self.parameters.items()}
        return state | {"initialized": np.array(self.initialized)}

    def load_state(self, state: Mapping[str, Array]) -> None:
        """Take the parameters of :meth:`state_dict`, in place where they exist already.

        Raises
        ------
        InputError
            For a missing, additional, misshaped or non-finite array.
        """
        names = set(state) - {"initialized"}
        flag = np.asarray(state.get("initialized", True))
        if flag.shape != () or flag.dtype.kind != "b":
            raise InputError(
                f"{self.label}: initialized is {flag.dtype} of shape {flag.shape}, expected true or false"
            )
        initialized = bool(flag)
        expected = self._shapes(state)
        if (initialized or names) and names != set(expected):
            wrong = ", ".join(sorted(names ^ set(expected)))
            raise InputError(f"{self.label}: parameters missing or not known: {wrong}")
        arrays = {key: np.asarray(state[key]) for key in expected if key in names}
        for key, value in arrays.items():
            if value.dtype not in (np.float32, np.float64) or not np.isfinite(value).all():
                raise InputError(
                    f"{self.label}: parameter {key} is not made of finite floating-point numbers"
                )
            shape = self.parameters[key].shape if key in self.parameters else expected[key]
            if value.shape != shape:
                raise InputError(f"{self.label}: {key} has shape {value.shape}, expected {shape}")
        for key, value in arrays.items():
            self._set(key, value)
        self.initialized = initialized

    @property
    def label(self) -> str:
        """What error messages call this quantizer."""
        return self.name or type(self).__name__

    # -- what a method fills in ------------------------------------------------------------------------

    _names: tuple[str, ...] = ()
    _positive: tuple[str, ...] = ()

    @abstractmethod
    def _initial(self, x: Array) -> dict[str, Array]:
        """The parameters made from ``x``; neutral ones where ``x`` is all zeros."""

    @abstractmethod
    def _forward(self, x: Array, out: Array) -> Any:
        """Write ``out``; return what :meth:`_backward` needs beside ``x``."""

    @abstractmethod
    def _backward(self, saved: Any, x: Array, grad: Array, dx: Array) -> dict[str, Any]:
        """Write ``dx``; return the gradients of the parameters."""

    @property
    def channels(self) -> int | None:
        """Channels that its parameters are for; None where any number will do."""
        return None

    def _shapes(self, state: Mapping[str, Array]) -> dict[str, tuple[int, ...]]:
        """The parameters that a state must hold, with their shapes (as far as the state tells)."""
        return dict.fromkeys(self._names, (1,))

    # -- helpers ---------------------------------------------------------------------------------------

    def _checked(self, x: Array) -> Array:
        if x.dtype not in (np.float32, np.float64):
            raise InputError(f"{self.label}: values to quantize are {x.dtype}, expected float32 or float64")
        return np.ascontiguousarray(x).reshape(x.shape)

    def _result(self, x: Array, out: Array | None) -> Array:
        if out is None:
            return np.empty_like(x)
        if out.shape != x.shape or out.dtype != x.dtype or not out.flags.c_contiguous:
            raise InputError(
                f"{self.label}: out is {out.dtype} of shape {out.shape}, expected contiguous {x.dtype} "
                f"of shape {x.shape}"
            )
        if np.may_share_memory(out, x):
            raise InputError(f"{self.label}: out shares memory with the input, expected an array of its own")
        return out

    def _try_to_initialize(self, x: Array) -> None:
        if x.size == 0:
            return
        if not np.isfinite(x).all():
            self._refuse(int(x.size - np.isfinite(x).sum()), x.size)
        for key, value in self._initial(x).items():
            self._set(key, value.astype(x.dtype))
        self.initialized = bool(np.any(x))

    def _encodable(self, x: Array) -> Array:
        x_hat = self.forward(x)
        if self._names and not self.parameters:
            raise InputError(f"{self.label}: no parameters yet, expected a training batch or a loaded state")
        return x_hat

    def _set(self, key: str, value: Array) -> None:
        if key in self.parameters:
            self.parameters[key][...] = value
        else:
            self.parameters[key] = np.array(value)

    def _refuse(self, bad: int, size: int) -> None:
        if bad:
            raise InputError(
                f"{self.label}: {bad} of {size} values to quantize are NaN or infinite, expected finite numbers"
            )

    def _value(self, key: str) -> float:
        return float(self.parameters[key][0])


class ActivationQuantizer(Quantizer):
    """A quantizer of activations: codes of an :class:`~asq_sw.formats.ActivationFormat`.

    Parameters
    ----------
    bits : int
        1 to 8; 2 to 8 where ``signed``.
    signed : bool
        Codes from ``-2**(bits-1)``, for inputs that no ReLU precedes.
    """

    def __init__(self, bits: int, signed: bool = False, name: str = ""):
        super().__init__(bits, name)
        if signed and bits < 2:
            raise InputError(f"{self.label}: bits is {bits} for signed activations, expected 2 to 8")
        self.format = ActivationFormat(self.bits, signed)

    def encode(self, x: Array) -> EncodedActivations:
        """The integer codes that ``forward`` would give, with their scale; ``forward`` = scale * code + offset."""
        x_hat = self._encodable(x)
        scale, offset = self._code_scale(x)
        codes = np.rint((x_hat - offset) / scale).astype(np.int16)
        return EncodedActivations(codes, scale, offset, self.format)

    def codes(self, x: Array) -> NDArray[np.int16]:
        """The integer codes of ``x``; shape of ``x``."""
        return self.encode(x).codes

    @abstractmethod
    def _code_scale(self, x: Array) -> tuple[Array, Array]:
        """(scale, offset) of the codes, float64, each broadcasting against ``x``."""

    def last_scale(self, x_hat: Array) -> tuple[Array, Array]:
        """(scale, offset) of the last ``forward``, whose result was ``x_hat``: ``x_hat = scale * codes + offset``."""
        return self._code_scale(x_hat)


class WeightQuantizer(Quantizer):
    """A quantizer of weights: codes of a :class:`~asq_sw.formats.WeightFormat` and a scale per channel.

    Parameters
    ----------
    bits : int
    channel_axis : int
        Axis of the output channels: 0 for OIHW and for a linear layer's (out, in), -1 for HWIO.
    """

    def __init__(self, bits: int, channel_axis: int = 0, name: str = ""):
        super().__init__(bits, name)
        self.channel_axis = channel_axis

    @property
    @abstractmethod
    def format(self) -> WeightFormat:
        """The format of the codes that :meth:`encode` gives."""

    @abstractmethod
    def _alpha(self, w: Array) -> Array:
        """Scale per output channel, shape (channels,) or (1,): ``w_hat = alpha * level``."""

    def encode(self, w: Array) -> EncodedWeights:
        """The integer codes that ``forward`` would give, with their scale per output channel."""
        w_hat = self._encodable(w)
        format = self.format
        axis = self.channel_axis % w.ndim
        alpha = np.broadcast_to(self._alpha(w).astype(np.float64), w.shape[axis]).copy()
        level = w_hat / alpha.reshape([-1 if i == axis else 1 for i in range(w.ndim)])
        return EncodedWeights(self._encode_levels(level).astype(np.int16), alpha, format)

    def codes(self, w: Array) -> NDArray[np.int16]:
        """The integer codes of ``w``; shape of ``w``."""
        return self.encode(w).codes

    def _encode_levels(self, level: Array) -> Array:
        """Codes of values that are levels of the format, up to rounding."""
        return self.format.encode(self.format.nearest(level))
