"""Layers as the simulator sees them: shapes, and the matrix product that each one is."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path

from asq_sw.errors import InputError, nearest
from asq_sw.graph import models
from asq_sw.graph.graph import Graph
from asq_sw.graph.ops import OPS, Work
from asq_sw.window import output_size


@dataclass(frozen=True)
class Kind:
    """A kind of layer.

    Attributes
    ----------
    macs : bool
        Whether it runs on the array; else on the vector unit.
    channels_apart : bool
        Whether each channel of the output can be computed on another array.
    """

    macs: bool
    channels_apart: bool = True


KINDS = {
    "conv": Kind(macs=True),
    "depthwise": Kind(macs=True),
    "fc": Kind(macs=True),
    "gemm": Kind(macs=True),
    "pool": Kind(macs=False),
    "add": Kind(macs=False),
    "norm": Kind(macs=False, channels_apart=False),
}


@dataclass(frozen=True)
class Layer:
    """One layer of a workload.

    A convolution is ``groups`` matrix products of (m, k) by (k, n): m output pixels, k products per output,
    n filters. A fully connected layer or GEMM is a 1 x 1 convolution with one product.

    Attributes
    ----------
    name, kind : str
        ``kind``: of :data:`KINDS`; conv, depthwise (groups = in_c = out_c), fc, gemm; or one that does no products.
    in_h, in_w, in_c : int
        Input map, without padding. A GEMM of m rows has ``in_h = m``, ``in_w = 1``.
    out_c : int
        Filters, over all groups.
    kernel, stride, dilation : (int, int)
        Height and width.
    padding : (int, int, int, int)
        Top, left, bottom, right.
    groups, batch : int
    inputs : int
        Maps of this shape that are read (2 for a residual add).
    passes : int
        How often the vector unit goes over them, of a layer without products.
    sources : tuple of str
        Layers whose outputs it reads; empty where unknown (a topology file) or for the network's input.
    """

    name: str
    kind: str
    in_h: int
    in_w: int
    in_c: int
    out_c: int
    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1
    batch: int = 1
    inputs: int = 1
    passes: int = 1
    sources: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        where = f"layer {self.name}"
        if self.kind not in KINDS:
            raise InputError(f"{where}: kind is {self.kind!r}, expected one of {', '.join(KINDS)}")
        for field in fields(self):
            if field.name in ("name", "kind", "sources"):
                continue
            value = getattr(self, field.name)
            low = 0 if field.name == "padding" else 1
            for number in value if isinstance(value, tuple) else (value,):
                if isinstance(number, bool) or int(number) != number or number < low:
                    raise InputError(
                        f"{where}: {field.name} is {value}, expected whole numbers of at least {low}"
                    )
        if self.in_c % self.groups or self.out_c % self.groups:
            raise InputError(
                f"{where}: groups is {self.groups}, expected a divisor of {self.in_c} input and {self.out_c} "
                "output channels"
            )
        if self.out_h < 1 or self.out_w < 1:
            raise InputError(
                f"{where}: the {self.kernel[0]}x{self.kernel[1]} filter is larger than the padded "
                f"{self.in_h}x{self.in_w} input, expected it to fit"
            )

    def _out(self, axis: int) -> int:
        pads = self.padding[axis] + self.padding[axis + 2]
        size = (self.in_h, self.in_w)[axis]
        return output_size(size, self.kernel[axis], self.stride[axis], pads, self.dilation[axis])

    @property
    def out_h(self) -> int:
        return self._out(0)

    @property
    def out_w(self) -> int:
        return self._out(1)

    @property
    def is_mac(self) -> bool:
        """Whether the layer runs on the array."""
        return KINDS[self.kind].macs

    @property
    def m(self) -> int:
        """Output pixels over the batch (T); the product's rows."""
        return self.batch * self.out_h * self.out_w

    @property
    def n(self) -> int:
        """Filters per group; the product's columns. 0 for a layer without products."""
        return self.out_c // self.groups if self.is_mac else 0

    @property
    def k(self) -> int:
        """Products per output; 0 for a layer without products."""
        return self.kernel[0] * self.kernel[1] * (self.in_c // self.groups) if self.is_mac else 0

    @property
    def macs(self) -> int:
        """Multiply-accumulates over all groups and the batch."""
        return self.groups * self.m * self.n * self.k

    @property
    def ifmap_elements(self) -> int:
        """Input values, without padding, over the batch."""
        return self.batch * self.in_h * self.in_w * self.in_c * self.inputs

    @property
    def filter_elements(self) -> int:
        return self.groups * self.n * self.k

    @property
    def ofmap_elements(self) -> int:
        """Output values over the batch."""
        return self.m * self.out_c


@dataclass(frozen=True)
class Workload:
    """A network as layers in the order in which they run."""

    name: str
    layers: tuple[Layer, ...]

    def __post_init__(self) -> None:
        if not self.layers:
            raise InputError(f"network {self.name} has no layer, expected at least one")

    @property
    def mac_layers(self) -> tuple[Layer, ...]:
        return tuple(layer for layer in self.layers if layer.is_mac)

    @property
    def macs(self) -> int:
        return sum(layer.macs for layer in self.layers)


def from_graph(graph: Graph, batch: int = 1) -> Workload:
    """Layers of a network: those whose op is work of its own (the rest is fused into them).

    Raises
    ------
    InputError
        For an op that has no price: :mod:`asq_sw.graph.ops` knows neither its work nor where it is fused.
    """
    layers: list[Layer] = []
    # Node -> the simulated layer whose output it carries on (normalization, ReLU and reshapes are fused away).
    producer: dict[str, str] = {}
    for node in graph:
        op = OPS[node.op]
        if not op.priced:
            priced = ", ".join(name for name, known in OPS.items() if known.priced)
            raise InputError(
                f"network {graph.name}: layer {node.name} is a {node.op}, which the simulator cannot price, "
                f"expected one of {priced}"
            )
        sources = tuple(producer[source] for source in node.inputs if source in producer)
        if op.work is not None:
            layers.append(_layer(node.name, op.work(node.attrs, graph.in_shapes(node)), batch, sources))
            producer[node.name] = node.name
        elif sources:
            producer[node.name] = sources[0]
    return Workload(graph.name, tuple(layers))


def _layer(name: str, work: Work, batch: int, sources: tuple[str, ...]) -> Layer:
    channels, height, width = work.in_shape
    return Layer(
        name, work.kind, height, width, channels, work.out_channels, work.kernel, work.stride, work.padding,
        work.dilation, work.groups, batch, work.inputs, work.passes, sources,
    )  # fmt: skip


def gemm(name: str, m: int, n: int, k: int) -> Layer:
    """An (m, k) by (k, n) matrix product."""
    return Layer(name, "gemm", m, 1, k, n)


def load(network: str, batch: int = 1) -> Workload:
    """A workload by built-in name, or from an ``.onnx`` file or a SCALE-Sim topology ``.csv``.

    Raises
    ------
    InputError
        For an unknown name, a file that is not there, or one that is not what its name says.
    """
    suffix = Path(network).suffix.lower()
    if suffix == ".onnx":
        from asq_sw.interop.onnx import read_onnx

        graph, _ = read_onnx(network)
        try:
            return from_graph(graph, batch)
        except InputError as error:
            raise InputError(f"{network}: {error}") from None
    if suffix == ".csv":
        return from_topology(network, batch)
    if network not in models.MODELS:
        raise InputError(
            f"network {network!r} is unknown, expected one of {', '.join(models.MODELS)}, "
            f"an .onnx file or a SCALE-Sim topology .csv{nearest(network, models.MODELS)}"
        )
    return _built_in(network, batch)


@lru_cache(maxsize=64)
def _built_in(network: str, batch: int) -> Workload:
    return from_graph(models.build(network), batch)


def from_topology(path: str, batch: int = 1) -> Workload:
    """Layers of a SCALE-Sim topology file (convolutions or GEMMs, told apart by the header).

    SCALE-Sim has no padding, but counts a last window that the input only partly fills: its output has
    ``ceil((H - R + stride) / stride)`` rows. That window is padded here, so that the shapes are its own.
    """
    from asq_sw.interop.scalesim import ConvRow, read_topology

    layers: list[Layer] = []
    for row in read_topology(path):
        if not isinstance(row, ConvRow):
            layers.append(gemm(row.name, row.m * batch, row.n, row.k))
            continue
        kernel, stride = (row.filter_h, row.filter_w), (row.stride_h, row.stride_w)
        ends = [
            -(size - k) % s for size, k, s in zip((row.ifmap_h, row.ifmap_w), kernel, stride, strict=True)
        ]
        layers.append(
            Layer(
                row.name,
                "conv",
                row.ifmap_h,
                row.ifmap_w,
                row.channels,
                row.filters,
                kernel,
                stride,
                (0, 0, ends[0], ends[1]),
                batch=batch,
            )
        )
    return Workload(Path(path).stem, tuple(layers))
