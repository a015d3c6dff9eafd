"""SCALE-Sim's files: topology ``.csv`` (convolutions or GEMMs) and configuration ``.cfg``, version 3."""

from __future__ import annotations

import configparser
import os
from dataclasses import dataclass
from pathlib import Path

from asq_sw.errors import InputError

CONV_COLUMNS = (
    "layer name",
    "IFMAP height",
    "IFMAP width",
    "filter height",
    "filter width",
    "channels",
    "num filter",
    "strides",
)
GEMM_COLUMNS = ("layer", "M", "N", "K")


@dataclass(frozen=True)
class ConvRow:
    """A convolution of a topology file; no padding, one stride for both directions."""

    name: str
    ifmap_h: int
    ifmap_w: int
    filter_h: int
    filter_w: int
    channels: int
    filters: int
    stride_h: int
    stride_w: int


@dataclass(frozen=True)
class GemmRow:
    """An (m, k) by (k, n) product of a topology file."""

    name: str
    m: int
    n: int
    k: int


@dataclass(frozen=True)
class ScaleSimConfig:
    """The part of a ``.cfg`` that changes SCALE-Sim's figures.

    Attributes
    ----------
    rows, cols : int
        Array.
    ifmap_kb, filter_kb, ofmap_kb : int
        Scratchpads, KiB (SCALE-Sim's kB are 1024 bytes, and its words 1 byte).
    dataflow : "ws", "os" or "is"
    user_bandwidth : bool
        ``InterfaceBandwidth: USER``: buffers wait for DRAM. Else (``CALC``) it reports the bandwidth needed.
    ifmap_bandwidth, filter_bandwidth : int
        Words a cycle from DRAM in USER mode; SCALE-Sim takes them from the layout section's
        ``*SRAMBankBandwidth``.
    ofmap_bandwidth : int
        Words a cycle to DRAM in USER mode: the first number of ``Bandwidth``.
    ifmap_offset, filter_offset, ofmap_offset : int
        First addresses in the traces.
    """

    run_name: str
    rows: int
    cols: int
    ifmap_kb: int
    filter_kb: int
    ofmap_kb: int
    dataflow: str
    user_bandwidth: bool
    ifmap_bandwidth: int
    filter_bandwidth: int
    ofmap_bandwidth: int
    ifmap_offset: int
    filter_offset: int
    ofmap_offset: int


def _read_text(path: str | os.PathLike[str]) -> str:
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not a text file") from error


def read_topology(path: str | os.PathLike[str]) -> list[ConvRow] | list[GemmRow]:
    """Layers of a topology file.

    As SCALE-Sim does: the first line is a header, a comma may end a line, a further column may hold a sparsity
    ratio (``2:4``; it changes nothing unless sparsity is on, which is not supported here), and a layer whose
    name contains ``DP`` is one layer per channel.

    Raises
    ------
    InputError
        Naming the file, the line and the field.
    """
    lines = _read_text(path).splitlines()
    numbered = [(i, line.strip()) for i, line in enumerate(lines, 1) if line.strip()]
    if not numbered:
        raise InputError(f"{path}: is empty, expected a header and layers")
    header = [cell.strip().lower() for cell in numbered[0][1].split(",")]
    gemm = header[1:4] == ["m", "n", "k"]
    if not gemm and (len(header) < 8 or "ifmap" not in header[1]):
        wanted = ", ".join(CONV_COLUMNS)
        raise InputError(
            f"{path}: line {numbered[0][0]}: header has columns {header}, expected {wanted}, or Layer, M, N, K"
        )
    if len(numbered) == 1:
        raise InputError(f"{path}: has a header and no layers, expected at least one layer")
    if gemm:
        return [_gemm(path, number, line) for number, line in numbered[1:]]
    return [row for number, line in numbered[1:] for row in _convs(path, number, line)]


def _cells(path: object, number: int, line: str, columns: tuple[str, ...]) -> tuple[str, list[int]]:
    """(name, whole numbers of at least 1) of a line; a sparsity ratio after them is checked and left out."""
    cells = [cell.strip() for cell in line.split(",")]
    if cells[-1] == "":
        cells.pop()
    if len(cells) < len(columns):
        raise InputError(
            f"{path}: line {number}: column {columns[len(cells)]} is missing, expected {len(columns)} columns"
        )
    values = []
    for column, cell in zip(columns[1:], cells[1:], strict=False):
        try:
            value = int(cell)
        except ValueError:
            raise InputError(
                f"{path}: line {number}: {column} is {cell!r}, expected a whole number"
            ) from None
        if value < 1:
            raise InputError(f"{path}: line {number}: {column} is {value}, expected at least 1")
        values.append(value)
    for extra in cells[len(columns) :]:
        parts = extra.split(":")
        if len(parts) != 2 or not all(part.strip().isdigit() for part in parts):
            raise InputError(f"{path}: line {number}: sparsity ratio is {extra!r}, expected N:M")
    return cells[0], values


def _gemm(path: object, number: int, line: str) -> GemmRow:
    name, (m, n, k) = _cells(path, number, line, GEMM_COLUMNS)
    return GemmRow(name, m, n, k)


def _convs(path: object, number: int, line: str) -> list[ConvRow]:
    name, (ifmap_h, ifmap_w, filter_h, filter_w, channels, filters, stride) = _cells(
        path, number, line, CONV_COLUMNS
    )
    for field, size, limit in (("height", filter_h, ifmap_h), ("width", filter_w, ifmap_w)):
        if size > limit:
            raise InputError(
                f"{path}: line {number}: filter {field} is {size}, expected at most the ifmap's {limit}"
            )
    shape = (ifmap_h, ifmap_w, filter_h, filter_w)
    if "DP" in name:
        return [ConvRow(f"{name}Channel_{i}", *shape, 1, filters, stride, stride) for i in range(channels)]
    return [ConvRow(name, *shape, channels, filters, stride, stride)]


def read_config(path: str | os.PathLike[str]) -> ScaleSimConfig:
    """Read a ``.cfg``.

    Raises
    ------
    InputError
        Naming the file and the field; also for sparsity and custom layouts, which are not supported.
    """
    parser = configparser.ConfigParser()
    try:
        parser.read_string(_read_text(path), source=str(path))
    except configparser.Error as error:
        raise InputError(
            f"{path}: is not a SCALE-Sim configuration ({str(error).splitlines()[0]})"
        ) from error

    def text(section: str, field: str, default: str | None = None) -> str:
        value = parser.get(section, field, fallback=default)
        if value is None:
            raise InputError(f"{path}: field {field} is missing in section [{section}], expected a value")
        return value.strip()

    def whole(section: str, field: str, low: int, default: str | None = None) -> int:
        value = text(section, field, default)
        try:
            number = int(value)
        except ValueError:
            raise InputError(f"{path}: {field} is {value!r}, expected a whole number") from None
        if number < low:
            raise InputError(f"{path}: {field} is {number}, expected at least {low}")
        return number

    arch, layout = "architecture_presets", "layout"
    dataflow = text(arch, "Dataflow").lower()
    if dataflow not in ("ws", "os", "is"):
        raise InputError(f"{path}: Dataflow is {dataflow!r}, expected ws, os or is")
    mode = text("run_presets", "InterfaceBandwidth").upper()
    if mode not in ("USER", "CALC"):
        raise InputError(f"{path}: InterfaceBandwidth is {mode!r}, expected USER or CALC")
    for section, field in (
        ("sparsity", "SparsitySupport"),
        (layout, "IfmapCustomLayout"),
        (layout, "FilterCustomLayout"),
        ("run_presets", "UseRamulatorTrace"),
    ):
        if text(section, field, "False").lower() == "true":
            raise InputError(f"{path}: {field} is true, expected false: it is not supported")
    bandwidths = {}
    for operand in ("Ifmap", "Filter"):
        bandwidth = whole(layout, f"{operand}SRAMBankBandwidth", 1, "10")
        if bandwidth % whole(layout, f"{operand}SRAMBankNum", 1, "10") and mode == "USER":
            raise InputError(
                f"{path}: {operand}SRAMBankBandwidth is {bandwidth}, expected a multiple of {operand}SRAMBankNum"
            )
        bandwidths[operand] = bandwidth
    ofmap_bandwidth = text(arch, "Bandwidth", "10").split(",")[0].strip()
    if not ofmap_bandwidth.isdigit() or int(ofmap_bandwidth) < 1:
        raise InputError(f"{path}: Bandwidth is {ofmap_bandwidth!r}, expected a whole number of at least 1")
    return ScaleSimConfig(
        run_name=text("general", "run_name", "scale_run"),
        rows=whole(arch, "ArrayHeight", 1),
        cols=whole(arch, "ArrayWidth", 1),
        ifmap_kb=whole(arch, "IfmapSramSzkB", 1),
        filter_kb=whole(arch, "FilterSramSzkB", 1),
        ofmap_kb=whole(arch, "OfmapSramSzkB", 1),
        dataflow=dataflow,
        user_bandwidth=mode == "USER",
        ifmap_bandwidth=bandwidths["Ifmap"],
        filter_bandwidth=bandwidths["Filter"],
        ofmap_bandwidth=int(ofmap_bandwidth),
        ifmap_offset=whole(arch, "IfmapOffset", 0, "0"),
        filter_offset=whole(arch, "FilterOffset", 0, "10000000"),
        ofmap_offset=whole(arch, "OfmapOffset", 0, "20000000"),
    )
