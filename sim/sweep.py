"""Design-space exploration: every combination of the axes in closed form, in chunks that survive a kill.

A sweep is a list of axes. Its points are numbered in a fixed order (the last axis fastest) and cut into chunks;
each chunk's rows are a pure function of its number, so local processes, a Dask cluster and a resumed run give
the same bytes. A chunk is written whole beside the output before it counts as done.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from numpy.typing import NDArray

from asq_sw.errors import InputError, nearest
from asq_sw.files import replacing
from asq_sw.formats import GRID_RECORDS, GRIDS, WeightFormat, legal
from asq_sw.sqnr import sqnr
from hw.costs import UnitCost
from hw.nodes import DEFAULT_NODE
from sim import closed_form
from sim.accelerator import Accelerator
from sim.cost.area import area_um2
from sim.cost.energy import event_energy, mac_cost
from sim.run import simulate
from sim.workload import Workload, load

CHUNK = 2048
AXES = (
    "grid", "wbits", "abits", "dataflow", "rows", "cols",
    "ifmap_kib", "filter_kib", "ofmap_kib", "dram_gb_per_s", "clock_mhz",
)  # fmt: skip
OBJECTIVES = ("latency_s", "energy_uj", "area_mm2")
METRICS = (
    "total_cycles", "stall_cycles", "latency_s", "images_per_s", "utilization",
    "energy_uj", "mac_uj", "sram_uj", "dram_uj", "leakage_uj", "area_mm2", "dram_bytes", "meets_clock", "sqnr_db",
)  # fmt: skip

REFINED = ("tiled_cycles", "tiled_latency_s", "tiled_energy_uj")
"""Columns of fidelity 2, of the points that it ran on."""
MARGIN = 0.25
"""By how much the front must beat a point's latency and energy before fidelity 2 is not asked (docs/fidelity.md)."""
REFINE_CHUNK = 64


@dataclass(frozen=True)
class Sweep:
    """What to explore.

    Attributes
    ----------
    network : str
        As :func:`sim.workload.load` takes it.
    axes : tuple of (field, values)
        Fields of :class:`sim.accelerator.Accelerator`. Where ``abits`` is not an axis it follows ``wbits``.
    node : str
        Cell library of the processing elements.
    batch : int
    """

    network: str
    axes: tuple[tuple[str, tuple[Any, ...]], ...]
    node: str = DEFAULT_NODE
    batch: int = 1

    def __post_init__(self) -> None:
        names = [name for name, _ in self.axes]
        for name, values in self.axes:
            if name not in AXES:
                raise InputError(
                    f"axis {name} is unknown, expected one of {', '.join(AXES)}{nearest(name, AXES)}"
                )
            if not values or len(set(values)) != len(values):
                raise InputError(f"axis {name} has the values {list(values)}, expected some, all different")
            for value in values:  # every value is checked before anything is computed
                Accelerator(
                    **{name: value, **({"wbits": GRID_RECORDS[value].widths[-1]} if value in GRIDS else {})}
                )
        if len(set(names)) != len(names):
            raise InputError(f"an axis is given twice in {', '.join(names)}, expected each once")

    def __len__(self) -> int:
        return prod(len(values) for _, values in self.axes)

    @property
    def chunks(self) -> int:
        return -(-len(self) // CHUNK)

    @property
    def key(self) -> str:
        """Hash of all that the rows depend on but the code: the axes, and the network file's bytes."""
        record: list[Any] = [self.network, self.axes, self.node, self.batch, CHUNK]
        if Path(self.network).is_file():
            record.append(hashlib.sha256(Path(self.network).read_bytes()).hexdigest())
        return hashlib.sha256(json.dumps(record).encode()).hexdigest()[:16]

    def point(self, index: int) -> dict[str, Any]:
        """Accelerator's fields of a point."""
        fields: dict[str, Any] = {}
        for name, values in reversed(self.axes):
            index, i = divmod(index, len(values))
            fields[name] = values[i]
        if "wbits" in fields:
            fields.setdefault("abits", fields["wbits"])
        return fields

    def accelerator(self, index: int) -> Accelerator | None:
        """A point's machine; None where the combination does not exist (a grid at a width that it does not have)."""
        fields = self.point(index)
        default = Accelerator.model_fields
        grid, bits = (fields.get(name, default[name].default) for name in ("grid", "wbits"))
        if not legal(grid, bits):
            return None
        return Accelerator(**fields, node=self.node)


@lru_cache(maxsize=4)
def _workload(network: str, batch: int) -> Workload:
    return load(network, batch)


@lru_cache(maxsize=256)
def _cost(grid: str, wbits: int, frac_bits: int | None, abits: int, node: str, unit: str) -> UnitCost:
    fields: dict[str, Any] = {"grid": grid, "wbits": wbits, "frac_bits": frac_bits, "abits": abits}
    return mac_cost(Accelerator(**fields, node=node, unit=unit))


def evaluate_chunk(sweep: Sweep, chunk: int) -> pa.Table:
    """All rows of one chunk; a pure function of its arguments. About 10 us a point and layer."""
    layers = _workload(sweep.network, sweep.batch).mac_layers
    indices = range(chunk * CHUNK, min((chunk + 1) * CHUNK, len(sweep)))
    machines = [(i, m) for i in indices if (m := sweep.accelerator(i)) is not None]
    shapes = closed_form.layer_rows(layers)
    rows = np.array([closed_form.machine_row(m, layers) for _, m in machines], np.int64)
    rows = rows.reshape(len(machines), len(closed_form.MACHINE_FIELDS))
    bandwidths = np.array([m.dram_bytes_per_cycle for _, m in machines])
    counts = np.empty((len(machines), len(layers), len(closed_form.RESULT_FIELDS)), np.int64)
    closed_form.evaluate(shapes, rows, bandwidths, counts)
    table: dict[str, list[Any]] = {"point": [i for i, _ in machines]}
    names = [name for name, _ in sweep.axes]
    for name in [*names, *(["abits"] if "wbits" in names and "abits" not in names else [])]:
        table[name] = [getattr(m, name) for _, m in machines]
    metrics = [_metrics(m, layers, counts[j], sweep.batch) for j, (_, m) in enumerate(machines)]
    for name in METRICS:
        table[name] = [row[name] for row in metrics]
    # Types are named, not guessed, so that a chunk without any machine joins the others.
    return pa.table({name: pa.array(column, _type(name)) for name, column in table.items()})


def _type(column: str) -> pa.DataType:
    if column in ("grid", "dataflow"):
        return pa.string()
    if column in ("point", "wbits", "abits", "rows", "cols", "total_cycles", "stall_cycles", "dram_bytes"):
        return pa.int64()
    return pa.bool_() if column == "meets_clock" else pa.float64()


def _metrics(
    machine: Accelerator, layers: Sequence[Any], counts: NDArray[np.int64], batch: int
) -> dict[str, Any]:
    column = {name: counts[:, i] for i, name in enumerate(closed_form.RESULT_FIELDS)}
    cost = _cost(machine.grid, machine.wbits, machine.frac_bits, machine.abits, machine.node, machine.unit)
    cycles = column["compute_cycles"] + column["stall_cycles"]
    total = int(cycles.sum())
    base = event_energy(machine, cost, 1)
    psums = np.array([machine.psum_bits(layer.k) for layer in layers])
    macs = sum(layer.macs for layer in layers)
    energy = {
        "mac_uj": macs * base.mac_pj * 1e-6,
        "sram_uj": 1e-6
        * float(
            column["sram_ifmap_reads"].sum() * base.ifmap_pj
            + column["sram_filter_reads"].sum() * base.filter_pj
            + ((column["sram_psum_reads"] + column["sram_ofmap_writes"]) * psums).sum() * base.psum_pj
        ),
        "dram_uj": 1e-6
        * float((column["dram_read_bits"] + column["dram_write_bits"]).sum())
        * base.dram_pj_per_bit,
        "leakage_uj": 1e-6 * total * base.leakage_pj_per_cycle,
    }
    latency = total / (1e6 * machine.clock_mhz)
    return {
        "total_cycles": total,
        "stall_cycles": int(column["stall_cycles"].sum()),
        "latency_s": latency,
        "images_per_s": batch / latency,
        "utilization": macs / (machine.pes * total),
        "energy_uj": sum(energy.values()),
        **energy,
        "area_mm2": 1e-6 * sum(area_um2(machine, cost.area_um2).values()),
        "dram_bytes": int((-(-column["dram_read_bits"] // 8) - (-column["dram_write_bits"] // 8)).sum()),
        "meets_clock": bool(cost.delay_ns <= 1e3 / machine.clock_mhz),
        "sqnr_db": _sqnr_db(machine.grid, machine.wbits),
    }


@lru_cache(maxsize=64)
def _sqnr_db(grid: str, wbits: int) -> float:
    """Of Gaussian weights: what a point gives up in accuracy stands beside what it saves."""
    return sqnr(WeightFormat(grid, wbits)).db


def pareto(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Points that no other point beats: no other is at least as good in every column and better in one.

    Smaller is better. Of equal points all stay. ``values``: (n, d). Sorted first, so that a point need only be
    held against the front so far: n log n for the sort and n times the front's length.
    """
    order = np.lexsort(values.T[::-1])
    keep = np.zeros(len(values), np.bool_)
    front = np.empty((0, values.shape[1]))
    for i in order:
        v = values[i]
        if not ((front <= v).all(axis=1) & (front < v).any(axis=1)).any():
            keep[i] = True
            front = np.vstack([front, v])
    return keep


def survivors(values: NDArray[np.float64], margin: float = MARGIN) -> NDArray[np.int64]:
    """Indices of the points that no point of the front beats by more than ``margin`` in latency and energy.

    Areas are the same at both fidelities: there a point is beaten by an area no larger. ``values``: (n, 3), in
    the order of :data:`OBJECTIVES`. With a margin of 0 the survivors are the front itself.
    """
    front = values[pareto(values)]
    raised = front * np.array([1 + margin, 1 + margin, 1.0])
    beaten = [((raised <= v).all(axis=1) & (front < v).any(axis=1)).any() for v in values]
    return np.flatnonzero(~np.array(beaten, np.bool_))


def refine_chunk(sweep: Sweep, points: tuple[int, ...]) -> pa.Table:
    """Fidelity 2 of some points; a pure function of its arguments. About 1 ms a point and 20 layers."""
    workload = _workload(sweep.network, sweep.batch)
    table: dict[str, list[Any]] = {name: [] for name in ("point", *REFINED)}
    for point in points:
        machine = sweep.accelerator(point)
        assert machine is not None
        total = simulate(workload, machine, sweep.batch, fidelity=2).total
        table["point"].append(point)
        table["tiled_cycles"].append(int(total["total_cycles"]))
        table["tiled_latency_s"].append(total["total_cycles"] / (1e6 * machine.clock_mhz))
        table["tiled_energy_uj"].append(1e-6 * sum(total["energy_pj"].values()))
    return pa.table(
        {
            name: pa.array(column, pa.int64() if name in ("point", "tiled_cycles") else pa.float64())
            for name, column in table.items()
        }
    )


def run(
    sweep: Sweep,
    out: str | os.PathLike[str],
    dask: str | None = None,
    workers: int | None = None,
    step: Callable[[int, int], None] = lambda done, chunks: None,
    refine: bool = False,
) -> pa.Table:
    """Evaluate every point and write the rows, with the Pareto front marked.

    Parameters
    ----------
    sweep : Sweep
    out : path
        ``.parquet`` or ``.csv``. Chunks wait in the folder ``out + ".parts"`` until all are done.
    dask : str, optional
        Address of a Dask scheduler (``tcp://host:port``) that runs the chunks instead of local processes.
    workers : int, optional
        Local processes; by default one per core.
    step : callable
        Called with (chunks done, chunks) after each chunk.
    refine : bool
        Run fidelity 2 on the points that the closed form does not rule out (:func:`survivors`), and mark the
        front of those figures. The other rows hold no value in :data:`REFINED`.

    Returns
    -------
    The table that was written: ``point``, the axes, :data:`METRICS`, with ``refine`` :data:`REFINED`, ``pareto``.

    Raises
    ------
    InputError
        For another suffix, an unknown network, a folder that cannot be written, a scheduler that does not answer.
    """
    target = Path(out)
    if target.suffix not in (".parquet", ".csv"):
        raise InputError(f"{target}: suffix is {target.suffix!r}, expected .parquet or .csv")
    _workload(sweep.network, sweep.batch)
    parts = Path(f"{target}.parts") / sweep.key
    try:
        parts.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{parts}: cannot be written ({error.strerror})") from error
    tasks = {c: (evaluate_chunk, sweep, c) for c in range(sweep.chunks)}
    whole = _all(tasks, parts, "", dask, workers, step)
    values = np.column_stack([whole[name].to_numpy() for name in OBJECTIVES])
    if not refine:
        whole = whole.append_column("pareto", pa.array(pareto(values)))
    else:
        whole = _refined(sweep, whole, values, parts, dask, workers, step)
    with replacing(target) as temporary:
        if target.suffix == ".csv":
            pyarrow.csv.write_csv(whole, temporary)
        else:
            pyarrow.parquet.write_table(whole, temporary)
    shutil.rmtree(f"{target}.parts")
    return whole


def _refined(
    sweep: Sweep,
    whole: pa.Table,
    values: NDArray[np.float64],
    parts: Path,
    dask: str | None,
    workers: int | None,
    step: Callable[[int, int], None],
) -> pa.Table:
    """``whole`` with the columns :data:`REFINED` and the front of the refined figures."""
    kept = survivors(values)
    points = whole["point"].to_numpy()[kept]
    groups = [tuple(points[i : i + REFINE_CHUNK].tolist()) for i in range(0, len(points), REFINE_CHUNK)]
    tasks = {c: (refine_chunk, sweep, group) for c, group in enumerate(groups)}
    tiled = _all(tasks, parts, "refined-", dask, workers, step)
    for name in REFINED:
        column: list[Any] = [None] * whole.num_rows
        for index, value in zip(kept.tolist(), tiled[name].to_pylist(), strict=True):
            column[index] = value
        whole = whole.append_column(name, pa.array(column, tiled.schema.field(name).type))
    refined = np.column_stack([tiled["tiled_latency_s"], tiled["tiled_energy_uj"], values[kept, 2]])
    marked = np.zeros(whole.num_rows, np.bool_)
    marked[kept] = pareto(refined)
    return whole.append_column("pareto", pa.array(marked))


def _part(parts: Path, name: str, chunk: int) -> Path:
    return parts / f"{name}{chunk:06d}.parquet"


Task = tuple[Callable[..., pa.Table], Sweep, Any]


def _all(
    tasks: dict[int, Task],
    parts: Path,
    name: str,
    dask: str | None,
    workers: int | None,
    step: Callable[[int, int], None],
) -> pa.Table:
    """The tables of all tasks, in order; each is kept in ``parts`` as it comes."""
    missing = {c: task for c, task in tasks.items() if not _part(parts, name, c).exists()}
    done = len(tasks) - len(missing)
    step(done, len(tasks))
    for chunk, table in _evaluate(missing, dask, workers):
        with replacing(_part(parts, name, chunk), logging.DEBUG) as temporary:
            pyarrow.parquet.write_table(table, temporary)
        done += 1
        step(done, len(tasks))
    return pa.concat_tables([pyarrow.parquet.read_table(_part(parts, name, c)) for c in tasks])


def _evaluate(
    tasks: dict[int, Task], dask: str | None, workers: int | None
) -> Iterator[tuple[int, pa.Table]]:
    """(chunk, rows) as they come."""
    if dask is not None:
        yield from _on_dask(tasks, dask)
        return
    count = min(workers or os.cpu_count() or 1, len(tasks))
    if count <= 1:
        for chunk, (function, *arguments) in tasks.items():
            yield chunk, function(*arguments)
        return
    with ProcessPoolExecutor(count, mp_context=get_context("spawn"), initializer=_one_thread) as pool:
        jobs = {pool.submit(task[0], *task[1:]): chunk for chunk, task in tasks.items()}
        try:
            for job in as_completed(jobs):
                yield jobs[job], job.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _one_thread() -> None:
    """A worker has one core; it leaves interrupts to the parent."""
    import signal

    import numba

    numba.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _on_dask(tasks: dict[int, Task], address: str) -> Iterator[tuple[int, pa.Table]]:
    try:
        import distributed
    except ImportError:
        raise InputError('--dask needs the package distributed, expected: pip install "asq[dask]"') from None
    try:
        client = distributed.Client(address, timeout="5s")
    except (OSError, ValueError) as error:
        raise InputError(f"--dask {address}: no scheduler answers there, expected tcp://host:port") from error
    with client:
        jobs = {client.submit(*task, pure=False): chunk for chunk, task in tasks.items()}
        for job in distributed.as_completed(jobs):
            yield jobs[job], job.result()
