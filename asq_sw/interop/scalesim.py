"""SCALE-Sim's files: topology ``.csv`` (convolutions or GEMMs) and configuration ``.cfg``, versions 2 and 3."""

from __future__ import annotations

import configparser
import os
from dataclasses import dataclass, replace
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
DATAFLOWS = ("ws", "os", "is")
LARGEST = 2**31 - 1  # of a size in a file
MOST_DP_CHANNELS = 1 << 16


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
    dataflow : str
        One of :data:`DATAFLOWS`.
    user_bandwidth : bool
        ``InterfaceBandwidth: USER``: buffers wait for DRAM. Else (``CALC``) it reports the bandwidth needed.
    ifmap_bandwidth, filter_bandwidth : int
        Words a cycle from DRAM in USER mode; SCALE-Sim 3 takes them from the layout section's
        ``*SRAMBankBandwidth``. Without that section (SCALE-Sim 2) they are the first number of ``Bandwidth``.
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

    As SCALE-Sim does: the first line is a header; what stands after a line's last comma is left out, unless it
    is a column that the header names; a layer whose name contains ``DP`` is one layer per channel. A header with
    columns M, N, K means matrix products. Beyond SCALE-Sim, a file may be separated by tabs, have lines of commas
    only, and columns after the strides: a second stride (the width's), a sparsity ratio (``2:4``; it changes
    nothing unless sparsity is on, which is not supported here), a batch size of 1, and columns of other names,
    which are not read.

    Raises
    ------
    InputError
        Naming the file, the line and the field.
    """
    text = _read_text(path)
    lines = text.splitlines()
    separator = "," if "," in text else "\t"
    numbered = [(i, [cell.strip() for cell in line.split(separator)]) for i, line in enumerate(lines, 1)]
    numbered = [(i, cells) for i, cells in numbered if any(cells)]
    if not numbered:
        raise InputError(f"{path}: is empty, expected a header and layers")
    header = [cell.lower() for cell in numbered[0][1]]
    gemm = header[1:4] == ["m", "n", "k"]
    if not gemm and (len(header) < len(CONV_COLUMNS) or "ifmap" not in header[1]):
        wanted = ", ".join(CONV_COLUMNS)
        raise InputError(
            f"{path}: line {numbered[0][0]}: header has columns {header}, expected {wanted}, or Layer, M, N, K"
        )
    if len(numbered) == 1:
        raise InputError(f"{path}: has a header and no layers, expected at least one layer")
    if gemm:
        return [_gemm(f"{path}: line {number}", header, cells) for number, cells in numbered[1:]]
    return [row for number, cells in numbered[1:] for row in _convs(f"{path}: line {number}", header, cells)]


def _whole(where: str, column: str, cell: str) -> int:
    try:
        value = int(cell)
    except ValueError:
        raise InputError(f"{where}: {column} is {cell!r}, expected a whole number") from None
    if not 1 <= value <= LARGEST:
        raise InputError(f"{where}: {column} is {value}, expected 1 to {LARGEST}")
    return value


def _cells(
    where: str, header: list[str], cells: list[str], columns: tuple[str, ...]
) -> tuple[list[int], dict[str, str]]:
    """The columns' whole numbers (without the name), and the further columns by their header."""
    if cells[-1] == "" or len(cells) > max(len(columns), sum(name != "" for name in header)):
        cells = cells[:-1]
    if len(cells) < len(columns):
        raise InputError(f"{where}: column {columns[len(cells)]} is missing, expected {len(columns)} columns")
    values = [_whole(where, column, cell) for column, cell in zip(columns[1:], cells[1:], strict=False)]
    extras = {}
    for i in range(len(columns), len(cells)):
        name = header[i] if i < len(header) else ""
        if not cells[i]:
            continue
        if not name or "spars" in name:
            _check_sparsity(where, cells[i])
        elif "batch" in name:
            if _whole(where, name, cells[i]) != 1:
                raise InputError(f"{where}: {name} is {cells[i]}, expected 1: SCALE-Sim has no batches")
        elif "stride" in name:
            extras["stride width"] = cells[i]
    return values, extras


def _check_sparsity(where: str, cell: str) -> None:
    parts = cell.split(":")
    if len(parts) > 2 or not all(part.strip().isdigit() for part in parts):
        raise InputError(f"{where}: sparsity ratio is {cell!r}, expected N:M")


def _gemm(where: str, header: list[str], cells: list[str]) -> GemmRow:
    (m, n, k), _ = _cells(where, header, cells, GEMM_COLUMNS)
    return GemmRow(cells[0], m, n, k)


def _convs(where: str, header: list[str], cells: list[str]) -> list[ConvRow]:
    values, extras = _cells(where, header, cells, CONV_COLUMNS)
    ifmap_h, ifmap_w, filter_h, filter_w, channels, filters, stride = values
    stride_w = _whole(where, "stride width", extras["stride width"]) if extras else stride
    for field, size, limit in (("height", filter_h, ifmap_h), ("width", filter_w, ifmap_w)):
        if size > limit:
            raise InputError(f"{where}: filter {field} is {size}, expected at most the ifmap's {limit}")
    row = ConvRow(cells[0], ifmap_h, ifmap_w, filter_h, filter_w, channels, filters, stride, stride_w)
    if "DP" in row.name:
        if channels > MOST_DP_CHANNELS:
            raise InputError(
                f"{where}: channels is {channels} of a DP layer, which is a layer a channel, expected at most "
                f"{MOST_DP_CHANNELS}"
            )
        return [replace(row, name=f"{row.name}Channel_{i}", channels=1) for i in range(channels)]
    return [row]


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
        value = parser.get(section, field, fallback=default, raw=True)
        if value is None:
            raise InputError(f"{path}: field {field} is missing in section [{section}], expected a value")
        return value.strip()

    def whole(section: str, field: str, low: int, default: str | None = None) -> int:
        value = text(section, field, default)
        try:
            number = int(value)
        except ValueError:
            raise InputError(f"{path}: {field} is {value!r}, expected a whole number") from None
        if not low <= number <= LARGEST:
            raise InputError(f"{path}: {field} is {number}, expected {low} to {LARGEST}")
        return number

    arch, layout = "architecture_presets", "layout"
    dataflow = text(arch, "Dataflow").lower()
    if dataflow not in DATAFLOWS:
        raise InputError(f"{path}: Dataflow is {dataflow!r}, expected one of {', '.join(DATAFLOWS)}")
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
    ofmap_bandwidth = _whole(str(path), "Bandwidth", text(arch, "Bandwidth", "10").split(",")[0].strip())
    if not parser.has_section(layout):  # SCALE-Sim 2: one bandwidth for all
        parser.read_dict(
            {layout: {f"{x}SRAMBankBandwidth": str(ofmap_bandwidth) for x in ("Ifmap", "Filter")}}
        )
        parser.read_dict({layout: {f"{x}SRAMBankNum": "1" for x in ("Ifmap", "Filter")}})
    bandwidths = {}
    for operand in ("Ifmap", "Filter"):
        bandwidth = whole(layout, f"{operand}SRAMBankBandwidth", 1, "10")
        if bandwidth % whole(layout, f"{operand}SRAMBankNum", 1, "10") and mode == "USER":
            raise InputError(
                f"{path}: {operand}SRAMBankBandwidth is {bandwidth}, expected a multiple of {operand}SRAMBankNum"
            )
        bandwidths[operand] = bandwidth
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
        ofmap_bandwidth=ofmap_bandwidth,
        ifmap_offset=whole(arch, "IfmapOffset", 0, "0"),
        filter_offset=whole(arch, "FilterOffset", 0, "10000000"),
        ofmap_offset=whole(arch, "OfmapOffset", 0, "20000000"),
    )
