"""A drop-in for SCALE-Sim 3: its machine, its conventions, its three reports, from its own files.

Compute cycles, mapping efficiency, compute utilization and SRAM accesses are closed forms. Stalls and DRAM
figures are replayed (:mod:`sim.scalesim.replay`). An oddity of SCALE-Sim is reproduced, and named here:

- *Total Cycles* is the index of the last cycle, one less than the number of cycles, and includes stalls.
- In ``os`` it adds rows + cols to the OFMAP writes of every fold.
- *Compute Util* counts a fold of ws and is ``cols - 1`` cycles longer than it is.
- In USER mode ifmap and filter bandwidth come from the layout section, ofmap bandwidth from ``Bandwidth``.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from asq_sw.errors import InputError
from asq_sw.files import writable_folder, write_text
from asq_sw.interop.scalesim import ScaleSimConfig, read_config
from asq_sw.provenance import provenance
from asq_sw.terminal import render
from hw.machine.dataflows import dataflow
from sim import closed_form
from sim.limits import check_counts, check_figures, check_memory
from sim.scalesim import calc as scalesim_calc
from sim.scalesim import replay as scalesim_replay
from sim.scalesim import streams as scalesim_streams
from sim.scalesim import trace as scalesim_trace
from sim.workload import Layer, from_topology


@dataclass(frozen=True)
class LayerReport:
    """One layer as SCALE-Sim reports it.

    ``memory`` holds :data:`sim.scalesim.replay.FIELDS`, or nothing where the buffers were not replayed.
    """

    layer: Layer
    compute_cycles: int
    folds: int
    mapping_efficiency: float
    compute_utilization: float
    ifmap_reads: int
    filter_reads: int
    ofmap_writes: int
    memory: dict[str, int]

    @property
    def total_cycles(self) -> int:
        """SCALE-Sim's *Total Cycles* (stalls included where they were replayed)."""
        return self.memory.get("total_cycles", self.compute_cycles)

    @property
    def cycles_with_prefetch(self) -> int:
        """*Total Cycles (incl. prefetch)*: from the first DRAM read to the last DRAM write."""
        first = min(self.memory["ifmap_dram_start"], self.memory["filter_dram_start"])
        return self.memory["ofmap_dram_stop"] - first


@dataclass(frozen=True)
class ScaleSimResult:
    """All layers of a run."""

    network: str
    config: ScaleSimConfig
    layers: tuple[LayerReport, ...]
    inputs: tuple[str, ...]

    def _utilization(self, report: LayerReport) -> float:
        return report.layer.macs / (report.total_cycles * self.config.rows * self.config.cols)

    def compute_report(self) -> str:
        """COMPUTE_REPORT.csv"""
        lines = [
            "LayerID, Total Cycles (incl. prefetch), Total Cycles, Stall Cycles, Overall Util %, "
            "Mapping Efficiency %, Compute Util %,"
        ]
        for i, r in enumerate(self.layers):
            overall = r.layer.macs * 100 / (r.total_cycles * (self.config.rows * self.config.cols))
            lines.append(
                f"{i}, {r.cycles_with_prefetch}, {r.total_cycles}, {r.memory['stall_cycles']}, {overall}, "
                f"{r.mapping_efficiency * 100}, {r.compute_utilization * 100},"
            )
        return "\n".join(lines) + "\n"

    def bandwidth_report(self) -> str:
        """BANDWIDTH_REPORT.csv, words per cycle"""
        lines = [
            "LayerID, Avg IFMAP SRAM BW, Avg FILTER SRAM BW, Avg OFMAP SRAM BW, "
            "Avg IFMAP DRAM BW, Avg FILTER DRAM BW, Avg OFMAP DRAM BW,"
        ]
        for i, r in enumerate(self.layers):
            sram = [n / r.total_cycles for n in (r.ifmap_reads, r.filter_reads, r.ofmap_writes)]
            dram = [
                r.memory[f"{name}_dram_{kind}"]
                / (r.memory[f"{name}_dram_stop"] - r.memory[f"{name}_dram_start"] + 1)
                for name, kind in (("ifmap", "reads"), ("filter", "reads"), ("ofmap", "writes"))
            ]
            lines.append(f"{i}, " + ", ".join(str(x) for x in sram + dram) + ",")
        return "\n".join(lines) + "\n"

    def detailed_access_report(self) -> str:
        """DETAILED_ACCESS_REPORT.csv"""
        head = []
        for place in ("SRAM", "DRAM"):
            for name, verb in (("IFMAP", "Reads"), ("Filter", "Reads"), ("OFMAP", "Writes")):
                head += [
                    f"{place} {name} Start Cycle",
                    f"{place} {name} Stop Cycle",
                    f"{place} {name} {verb}",
                ]
        lines = ["LayerID, " + ", ".join(head) + ","]
        for i, r in enumerate(self.layers):
            cells: list[str] = []
            for name, count in (
                ("ifmap", r.ifmap_reads),
                ("filter", r.filter_reads),
                ("ofmap", r.ofmap_writes),
            ):
                cells += [str(float(r.memory[f"{name}_sram_{end}"])) for end in ("start", "stop")] + [
                    str(count)
                ]
            for name, verb in (("ifmap", "reads"), ("filter", "reads"), ("ofmap", "writes")):
                cells += [str(float(r.memory[f"{name}_dram_{end}"])) for end in ("start", "stop")]
                cells.append(str(r.memory[f"{name}_dram_{verb}"]))
            lines.append(f"{i}, " + ", ".join(cells) + ",")
        return "\n".join(lines) + "\n"

    def to_json(self) -> dict[str, Any]:
        """The interfaces' record; stall cycles and DRAM traffic are null where the buffers were not replayed."""
        layers = []
        for r in self.layers:
            memory = r.memory
            reads = memory["ifmap_dram_reads"] + memory["filter_dram_reads"] if memory else None
            layers.append(
                {
                    "name": r.layer.name,
                    "kind": r.layer.kind,
                    "m": r.layer.m,
                    "n": r.layer.n,
                    "k": r.layer.k,
                    "macs": r.layer.macs,
                    "folds": r.folds,
                    "compute_cycles": r.compute_cycles,
                    "stall_cycles": memory.get("stall_cycles"),
                    "total_cycles": r.total_cycles,
                    "utilization": self._utilization(r),
                    "mapping_efficiency": r.mapping_efficiency,
                    "compute_utilization": r.compute_utilization,
                    "sram_reads": {"ifmap": r.ifmap_reads, "filter": r.filter_reads},
                    "sram_writes": {"ofmap": r.ofmap_writes},
                    "dram_read_bytes": reads,
                    "dram_write_bytes": memory.get("ofmap_dram_writes"),
                    "energy_pj": {},
                }
            )
        total: dict[str, Any] = {}
        for key in (
            "macs",
            "folds",
            "compute_cycles",
            "stall_cycles",
            "total_cycles",
            "dram_read_bytes",
            "dram_write_bytes",
        ):
            values = [layer[key] for layer in layers]
            total[key] = None if None in values else sum(values)
        total["utilization"] = total["macs"] / (total["total_cycles"] * self.config.rows * self.config.cols)
        config = {key: getattr(self.config, key) for key in self.config.__dataclass_fields__}
        return {
            "network": self.network,
            "config": {**config, "conventions": "SCALE-Sim 3"},
            "layers": layers,
            "total": total,
            "provenance": provenance(self.inputs),
        }


def _averages(layer: Layer, config: ScaleSimConfig) -> tuple[float, float]:
    """(mapping efficiency, compute utilization): means over folds, summed in SCALE-Sim's order."""
    rows, cols, flow = config.rows, config.cols, dataflow(config.dataflow)
    down, across, steps = flow.sizes(layer.m, layer.n, layer.k)
    cycles = flow.fold_cycles(layer.m, layer.n, layer.k, rows, cols)
    if flow.loads:
        cycles += cols - 1
    used_rows = np.minimum(rows, down - np.arange(0, down, rows))
    used_cols = np.minimum(cols, across - np.arange(0, across, cols))
    used = (used_cols[:, None] * used_rows[None, :]).ravel()
    # cumsum adds one after another, as a Python loop does; sum adds in pairs and rounds otherwise.
    mapping = np.cumsum(used / (rows * cols))[-1] / used.size
    compute = np.cumsum(used * steps / (rows * cols * cycles))[-1] / used.size
    return float(mapping), float(compute)


def simulate(
    topology: str | os.PathLike[str],
    config: str | os.PathLike[str] | ScaleSimConfig,
    csv_dir: str | os.PathLike[str] | None = None,
    memory: bool | None = None,
    traces: bool = False,
) -> ScaleSimResult:
    """Run a topology file on a SCALE-Sim configuration.

    Parameters
    ----------
    topology : path of a ``.csv``
    config : path of a ``.cfg``, or one that was read
    csv_dir : path, optional
        Write COMPUTE_REPORT.csv, BANDWIDTH_REPORT.csv and DETAILED_ACCESS_REPORT.csv there.
    memory : bool, optional
        Replay the buffers (stalls, DRAM); by default only if reports are asked for. Without it a network takes
        about a millisecond.
    traces : bool
        Write each layer's per-cycle SRAM and DRAM traces too, into ``layer0``, ``layer1``, ... under ``csv_dir``.
        They are as large as SCALE-Sim's: about 5 bytes per word moved.

    Raises
    ------
    InputError
        For bad files, for a folder that cannot be written, and for sizes whose figures leave 64 bits or whose folds and
        addresses take more memory than :data:`sim.limits.MOST_BYTES` (before anything is computed).
    """
    machine = config if isinstance(config, ScaleSimConfig) else read_config(config)
    workload = from_topology(os.fspath(topology))
    if traces and csv_dir is None:
        raise InputError("traces need a folder, expected one for the reports (--csv)")
    folder = None if csv_dir is None else writable_folder(csv_dir)
    replayed = folder is not None if memory is None else memory or folder is not None
    flow = dataflow(machine.dataflow)
    check_counts(workload.layers)
    for layer in workload.layers:
        _check_size(layer, machine, replayed)
    # Words of a byte, and scratchpads and DRAM without limits: what they cost is replayed.
    array = closed_form.MachineShape(
        machine.rows,
        machine.cols,
        flow.code,
        8,
        8,
        8,
        ifmap_bytes=1 << 40,
        filter_bytes=1 << 40,
        ofmap_bytes=1 << 40,
    )
    counts = closed_form.evaluate_one(
        closed_form.layer_rows(workload.layers), np.array(array, np.int64), bandwidth=1e9
    )
    reports = []
    for layer, row in zip(workload.layers, counts.tolist(), strict=True):
        count = dict(zip(closed_form.RESULT_FIELDS, row, strict=True))
        mapping, compute = _averages(layer, machine)
        extra = 0 if flow.loads else count["folds"] * (machine.rows + machine.cols)
        reports.append(
            LayerReport(
                layer,
                compute_cycles=count["compute_cycles"] - 1,
                folds=count["folds"],
                mapping_efficiency=mapping,
                compute_utilization=compute,
                ifmap_reads=count["sram_ifmap_reads"],
                filter_reads=count["sram_filter_reads"],
                ofmap_writes=count["sram_ofmap_writes"] + extra,
                memory=_memory(layer, machine) if replayed else {},
            )
        )
    for report in reports:
        _check_report(report, machine)
    files = tuple(str(f) for f in (topology, config) if not isinstance(f, ScaleSimConfig))
    result = ScaleSimResult(workload.name, machine, tuple(reports), files)
    if folder is not None:
        write_text(folder / "COMPUTE_REPORT.csv", result.compute_report())
        write_text(folder / "BANDWIDTH_REPORT.csv", result.bandwidth_report())
        write_text(folder / "DETAILED_ACCESS_REPORT.csv", result.detailed_access_report())
        if traces:
            offsets = (machine.ifmap_offset, machine.filter_offset, machine.ofmap_offset)
            for i, layer in enumerate(workload.layers):
                scalesim_trace.write_traces(
                    _shape(layer, machine), *_buffers(machine), offsets, folder / f"layer{i}"
                )
    return result


def _check_report(report: LayerReport, machine: ScaleSimConfig) -> None:
    """Refuse figures that cannot be; SCALE-Sim's cycles, one too few, leave none to the smallest layers."""
    where, cycles = f"layer {report.layer.name} in SCALE-Sim's conventions", report.total_cycles
    if cycles < 1:
        raise InputError(
            f"{where}: the last cycle has the number {cycles}, expected a layer of two cycles at least"
        )
    check_figures(
        where,
        {
            "utilization": report.layer.macs / (cycles * machine.rows * machine.cols),
            "mapping_efficiency": report.mapping_efficiency,
            "compute_utilization": report.compute_utilization,
        },
        {name: value for name, value in report.memory.items() if not name.endswith(("start", "stop"))},
    )


def _check_size(layer: Layer, machine: ScaleSimConfig, replayed: bool) -> None:
    """Refuse a layer whose folds, and whose pixels and addresses where they are replayed, take too much memory."""
    down, across = dataflow(machine.dataflow).folds(layer.m, layer.n, layer.k, machine.rows, machine.cols)
    needed = 4 * 8 * down * across
    if (
        replayed
    ):  # where each pixel and each product begins; of each address an index in USER mode, else a few bits
        addresses = layer.ifmap_elements + layer.filter_elements
        of_addresses = 24 * addresses if machine.user_bandwidth else addresses // 4
        needed = max(needed, of_addresses + 24 * (layer.m + layer.k))
    check_memory(f"layer {layer.name} ({down:,} x {across:,} folds) in SCALE-Sim's conventions", needed)


def _shape(layer: Layer, machine: ScaleSimConfig) -> scalesim_streams.Shape:
    # SCALE-Sim lays the (m, k) operand of a product out as a map of m rows and k columns under a 1 x k filter.
    height, width, channels, filter_w = layer.in_h, layer.in_w, layer.in_c, layer.kernel[1]
    if layer.kind == "gemm":
        height, width, channels, filter_w = layer.m, layer.k, 1, layer.k
    flow = dataflow(machine.dataflow)
    down, across, _ = flow.sizes(layer.m, layer.n, layer.k)
    pixels, products = scalesim_streams.windows(
        layer.m, layer.k, width, channels, filter_w, *layer.stride, layer.out_w
    )
    return scalesim_streams.Shape(
        dataflow=flow.code,
        rows=machine.rows,
        cols=machine.cols,
        m=layer.m,
        n=layer.n,
        k=layer.k,
        down=down,
        across=across,
        per_fold=flow.fold_cycles(layer.m, layer.n, layer.k, machine.rows, machine.cols),
        height=height,
        width=width,
        channels=channels,
        filter_row=filter_w * channels,
        pixels=pixels,
        products=products,
    )


def _memory(layer: Layer, machine: ScaleSimConfig) -> dict[str, int]:
    """:data:`sim.scalesim.replay.FIELDS` by name."""
    shape = _shape(layer, machine)
    sizes, user, bandwidths = _buffers(machine)
    if user:
        return scalesim_replay.replay(shape, sizes, user, bandwidths)
    return scalesim_calc.calculate(shape, sizes, bandwidths)


def _buffers(machine: ScaleSimConfig) -> tuple[NDArray[np.int64], bool, NDArray[np.int64]]:
    """(words, whether USER mode, words a cycle) of ifmap, filter and ofmap."""
    sizes = [1024 * kb for kb in (machine.ifmap_kb, machine.filter_kb, machine.ofmap_kb)]
    if machine.user_bandwidth:
        bandwidths = [machine.ifmap_bandwidth, machine.filter_bandwidth, machine.ofmap_bandwidth]
    else:
        bandwidths = [10, 10, machine.cols]  # what SCALE-Sim assumes before it knows better
    return np.array(sizes, np.int64), machine.user_bandwidth, np.array(bandwidths, np.int64)


def summary(result: ScaleSimResult) -> str:
    """Table by layer, with SCALE-Sim's conventions."""
    c = result.config
    title = f"{result.network}: SCALE-Sim machine, {c.rows}x{c.cols} {c.dataflow}, {'USER' if c.user_bandwidth else 'CALC'} bandwidth"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    names = (
        "layer",
        "m",
        "n",
        "k",
        "compute cycles",
        "stall",
        "total",
        "mapping",
        "compute util.",
        "DRAM words",
    )
    for name in names:
        table.add_column(name, justify="left" if name == "layer" else "right")
    for r in result.layers:
        memory = r.memory
        words = (
            sum(memory[f] for f in ("ifmap_dram_reads", "filter_dram_reads", "ofmap_dram_writes"))
            if memory
            else None
        )
        table.add_row(
            r.layer.name,
            str(r.layer.m),
            str(r.layer.n),
            str(r.layer.k),
            f"{r.compute_cycles:,}",
            f"{memory['stall_cycles']:,}" if memory else "-",
            f"{r.total_cycles:,}",
            f"{100 * r.mapping_efficiency:.2f}%",
            f"{100 * r.compute_utilization:.2f}%",
            "-" if words is None else f"{words:,}",
        )
    return (
        render(table, ("DRAM words", "m", "n", "k", "mapping", "compute cycles"))
        + f"\n\n{sum(r.total_cycles for r in result.layers):,} cycles in {len(result.layers)} layers"
    )
