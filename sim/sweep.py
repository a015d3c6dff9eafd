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
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import as_completed
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import product
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from numpy.typing import NDArray

from asq_sw.accuracies import measured
from asq_sw.errors import InputError, nearest
from asq_sw.extras import missing
from asq_sw.files import replacing
from asq_sw.formats import GRID_RECORDS, GRIDS, WeightFormat, legal
from asq_sw.sqnr import sqnr
from asq_sw.workers import Workers
from hw.costs import UnitCost
from hw.machine.spec import UNIT_DATAFLOWS
from sim import closed_form, limits, views
from sim.accelerator import TILED_FIELDS, Accelerator
from sim.cost.area import area_um2
from sim.cost.energy import PARTS, event_energy, mac_cost
from sim.front import ALL, Goal, pareto, survivors
from sim.run import simulate
from sim.workload import Workload, load

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame

CHUNK = 2048
AXES = (
    "grid", "wbits", "abits", "dataflow", "rows", "cols",
    "ifmap_kib", "filter_kib", "ofmap_kib", "dram_gb_per_s", "clock_mhz",
    "arrays", "frac_bits", "unit", "node", "dram", "ifmap_banks", "asq",
)  # fmt: skip
_NAMES = ("grid", "dataflow", "unit", "node", "dram", "asq")
"""Axes whose values are names."""
_COUNTS = ("wbits", "abits", "rows", "cols", "arrays", "frac_bits", "ifmap_banks")
"""Axes whose values are whole numbers."""
_KINDS = ("grid", "wbits", "abits", "frac_bits", "unit", "dataflow", "node")
"""Fields that decide whether a combination exists."""
METRICS = (
    "total_cycles", "stall_cycles", "latency_s", "images_per_s", "utilization",
    "energy_uj", "mac_uj", "sram_uj", "dram_uj", "leakage_uj", "area_mm2", "dram_bytes", "meets_clock", "sqnr_db",
    "clock_mhz_reached", "top1_percent",
)  # fmt: skip
"""Columns of every point.

``sqnr_db`` is of Gaussian weights (:func:`asq_sw.sqnr.sqnr`), with the table's rounding where the format has one;
``top1_percent`` the carried accuracy of ResNet-20 trained on the format (:func:`asq_sw.accuracies.measured`), none where
it was not trained; ``meets_clock`` whether the MACs' netlist reaches the clock, ``clock_mhz_reached`` the fastest that it
does.
"""

REFINED = ("tiled_cycles", "tiled_latency_s", "tiled_energy_uj")
"""Columns of fidelity 2, of the points that it ran on."""
REFINE_CHUNK = 64


@dataclass(frozen=True)
class Sweep:
    """What to explore.

    Attributes
    ----------
    network : str
        As :func:`sim.workload.load` takes it.
    axes : tuple of (field, values)
        Fields of :class:`sim.accelerator.Accelerator`: those of :data:`AXES`.
    fixed : tuple of (field, value)
        Fields that all points have; an axis of the same field goes before it.
    batch : int

    Raises
    ------
    InputError
        For an axis or a value that there is not, and where no combination of them exists.
    """

    network: str
    axes: tuple[tuple[str, tuple[Any, ...]], ...]
    fixed: tuple[tuple[str, Any], ...] = ()
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
        exist = [fields for fields, why in self._kinds if why is None]
        if not exist:
            raise InputError(f"no point of the sweep exists: {'; '.join(self.left_out)}")
        for fields in exist:  # a combination that is refused is so before anything is computed, too
            if fields.get("unit", "pe") != "pe":
                _cost(Accelerator(**fields))
            else:
                Accelerator(**fields)

    def __len__(self) -> int:
        return prod(len(values) for _, values in self.axes)

    @property
    def chunks(self) -> int:
        return -(-len(self) // CHUNK)

    @property
    def key(self) -> str:
        """Hash of all that the rows depend on but the code: the axes, and the network file's bytes."""
        record: list[Any] = [self.network, self.axes, self.fixed, self.batch, CHUNK]
        if Path(self.network).is_file():
            record.append(hashlib.sha256(Path(self.network).read_bytes()).hexdigest())
        return hashlib.sha256(json.dumps(record).encode()).hexdigest()[:16]

    @cached_property
    def _kinds(self) -> list[tuple[dict[str, Any], str | None]]:
        """Every combination of the axes that decide: (fields, why it does not exist)."""
        axes = [(name, values) for name, values in self.axes if name in _KINDS]
        found = []
        for values in product(*(values for _, values in axes)):
            fields = dict(self.fixed) | {name: value for (name, _), value in zip(axes, values, strict=True)}
            found.append(self._existing(fields))
        return found

    def _existing(self, fields: dict[str, Any]) -> tuple[dict[str, Any], str | None]:
        """A point's fields, and why there is no such machine (None: there is)."""
        grid, bits, unit, flow = (
            fields.get(name, _default(name)) for name in ("grid", "wbits", "unit", "dataflow")
        )
        if not legal(grid, bits):
            widths = GRID_RECORDS[grid].widths
            return fields, f"{grid} has no {bits} bits, expected {', '.join(map(str, widths))}"
        if flow not in UNIT_DATAFLOWS[unit]:
            return fields, f"unit {unit} cannot do {flow}, expected {', '.join(UNIT_DATAFLOWS[unit])}"
        fractions = dict(self.axes).get("frac_bits", ())
        if len(dict(self.axes).get("grid", ())) > 1 and not GRID_RECORDS[grid].takes_frac_bits:
            if fractions and fields["frac_bits"] != fractions[0]:
                return fields, f"{grid} would repeat its point for each frac_bits"
            fields = fields | {"frac_bits": None}
        return fields, None

    @property
    def left_out(self) -> list[str]:
        """What is given and yet not among the points, in sentences: combinations that do not exist, and fields that a
        grid does not take; empty where all is there."""
        of_one = prod(len(values) for name, values in self.axes if name not in _KINDS)
        reasons = Counter(why for _, why in self._kinds if why is not None)
        said = [f"{why} (points left out: {count * of_one:,})" for why, count in reasons.items()]
        if any(self.values("frac_bits")):
            without = [grid for grid in self.values("grid") if not GRID_RECORDS[grid].takes_frac_bits]
            said += [f"{grid} takes no frac_bits: its points are without" for grid in without]
        return said

    def fields(self, index: int) -> dict[str, Any]:
        """Accelerator's fields of a point."""
        fields: dict[str, Any] = {}
        for name, values in reversed(self.axes):
            index, i = divmod(index, len(values))
            fields[name] = values[i]
        return dict(self.fixed) | fields

    def accelerator(self, index: int) -> Accelerator | None:
        """A point's machine; None where the combination does not exist (a grid at a width that it does not have)."""
        fields, why = self._existing(self.fields(index))
        return None if why is not None else Accelerator(**fields)

    def values(self, name: str) -> tuple[Any, ...]:
        """All values of a field."""
        return dict(self.axes).get(name, (dict(self.fixed).get(name, _default(name)),))

    def check(self, refine: bool) -> None:
        """Refuse what the points' figures could not hold, or would leave out.

        Raises
        ------
        InputError
            For counts that leave 64 bits (:mod:`sim.limits`), and without ``refine`` for fields that fidelity 2 alone sees.
        """
        arrays = max(self.values("arrays"))
        bound = limits.check_counts(_workload(self.network, self.batch).layers, arrays)
        slowest = 1e3 * min(self.values("dram_gb_per_s")) / max(self.values("clock_mhz"))
        limits.check_cycles(bound, slowest / arrays)
        unseen = [name for name in TILED_FIELDS if set(self.values(name)) != {_default(name)}]
        if unseen and not refine:
            raise InputError(
                f"the closed form does not see {', '.join(unseen)}, expected fidelity 2 too (--refine)"
            )


def _default(name: str) -> Any:
    return Accelerator.model_fields[name].default


@lru_cache(maxsize=4)
def _workload(network: str, batch: int) -> Workload:
    return load(network, batch)


def _cost(machine: Accelerator) -> UnitCost:
    return _cost_of(machine.grid, machine.wbits, machine.frac_bits, machine.abits, machine.node, machine.unit)


@lru_cache(maxsize=1024)
def _cost_of(grid: str, wbits: int, frac_bits: int | None, abits: int, node: str, unit: str) -> UnitCost:
    fields: dict[str, Any] = {"grid": grid, "wbits": wbits, "frac_bits": frac_bits, "abits": abits}
    return mac_cost(Accelerator(**fields, node=node, unit=unit))


def evaluate_chunk(sweep: Sweep, chunk: int) -> pa.Table:
    """All rows of one chunk; a pure function of its arguments.

    About 10 us a point and layer; of several arrays as long as :func:`sim.simulate`.
    """
    workload = _workload(sweep.network, sweep.batch)
    layers = workload.mac_layers
    indices = range(chunk * CHUNK, min((chunk + 1) * CHUNK, len(sweep)))
    machines = [(i, m) for i in indices if (m := sweep.accelerator(i)) is not None]
    single = [m for _, m in machines if m.arrays == 1]
    shapes = closed_form.layer_rows(layers)
    rows = np.array([closed_form.machine_row(m, layers) for m in single], np.int64)
    rows = rows.reshape(len(single), len(closed_form.MACHINE_FIELDS))
    bandwidths = np.array([m.dram_bytes_per_cycle for m in single])
    counts = np.empty((len(single), len(layers), len(closed_form.RESULT_FIELDS)), np.int64)
    closed_form.evaluate(shapes, rows, bandwidths, counts)
    of_single = iter(counts)
    table: dict[str, list[Any]] = {"point": [i for i, _ in machines]}
    names = [name for name, _ in sweep.axes]
    for name in [*names, *(["abits"] if "wbits" in names and "abits" not in names else [])]:
        table[name] = [getattr(m, name) for _, m in machines]
    macs = sum(layer.macs for layer in layers)
    metrics = []
    for i, m in machines:
        amounts = _amounts(m, layers, next(of_single)) if m.arrays == 1 else _of_arrays(m, workload)
        metrics.append(_metrics(m, amounts, macs, sweep.batch))
        where = f"point {i} ({', '.join(f'{name}={table[name][len(metrics) - 1]}' for name in names)})"
        limits.check_figures(
            where, {"utilization": metrics[-1]["utilization"]},
            {name: metrics[-1][name] for name in ("total_cycles", "stall_cycles", *_ENERGIES, "dram_bytes", "area_mm2")},
        )  # fmt: skip
    for name in METRICS:
        table[name] = [row[name] for row in metrics]
    # Types are named, not guessed, so that a chunk without any machine joins the others.
    return pa.table({name: pa.array(column, _type(name)) for name, column in table.items()})


def _type(column: str) -> pa.DataType:
    if column in _NAMES:
        return pa.string()
    if column in (*_COUNTS, "point", "total_cycles", "stall_cycles", "dram_bytes"):
        return pa.int64()
    return pa.bool_() if column == "meets_clock" else pa.float64()


_ENERGIES = tuple(f"{part}_uj" for part in PARTS)


def _amounts(machine: Accelerator, layers: Sequence[Any], counts: NDArray[np.int64]) -> dict[str, Any]:
    """Cycles, energies and bytes of a machine of one array from its counts."""
    column = {name: counts[:, i] for i, name in enumerate(closed_form.RESULT_FIELDS)}
    cycles = column["compute_cycles"] + column["stall_cycles"]
    total = int(cycles.sum())
    base = event_energy(machine, _cost(machine), 1)
    psums = np.array([machine.psum_bits(layer.k) for layer in layers])
    return {
        "total_cycles": total,
        "stall_cycles": int(column["stall_cycles"].sum()),
        "mac_uj": sum(layer.macs for layer in layers) * base.mac_pj * 1e-6,
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
        "dram_bytes": int((-(-column["dram_read_bits"] // 8) - (-column["dram_write_bits"] // 8)).sum()),
    }


def _of_arrays(machine: Accelerator, workload: Workload) -> dict[str, Any]:
    """As :func:`_amounts` of a machine of several arrays, whose layers are cut first."""
    total = simulate(workload, machine).total
    return {
        "total_cycles": total["total_cycles"],
        "stall_cycles": total["stall_cycles"],
        **{f"{part}_uj": 1e-6 * total["energy_pj"][part] for part in PARTS},
        "dram_bytes": total["dram_read_bytes"] + total["dram_write_bytes"],
    }


def _metrics(machine: Accelerator, amounts: dict[str, Any], macs: int, batch: int) -> dict[str, Any]:
    cost = _cost(machine)
    total = amounts["total_cycles"]
    latency = total / (1e6 * machine.clock_mhz)
    return amounts | {
        "latency_s": latency,
        "images_per_s": batch / latency,
        "utilization": macs / (machine.pes * total),
        "energy_uj": sum(amounts[name] for name in _ENERGIES),
        "area_mm2": 1e-6 * sum(area_um2(machine, cost.area_um2).values()),
        "meets_clock": cost.meets(machine.clock_mhz),
        "clock_mhz_reached": cost.reached_mhz,
        "sqnr_db": _sqnr_db(machine.weight, machine.abits),
        "top1_percent": measured(machine.weight, machine.abits),
    }


@lru_cache(maxsize=256)
def _sqnr_db(weight: WeightFormat, abits: int) -> float:
    """Of Gaussian weights: what a point gives up in accuracy stands beside what it saves."""
    return sqnr(weight, abits=abits if weight.rounds else None).db


@dataclass(frozen=True)
class SweepResult:
    """A sweep's rows, and which of them were asked.

    Attributes
    ----------
    sweep : Sweep
    goal : Goal
    table : pyarrow.Table
        As :func:`run` writes it.
    """

    sweep: Sweep
    goal: Goal
    table: pa.Table

    @property
    def refined(self) -> int:
        """Points that fidelity 2 ran on."""
        return 0 if "tiled_cycles" not in self.table.column_names else (
            self.table.num_rows - self.table["tiled_cycles"].null_count
        )  # fmt: skip

    def to_pandas(self) -> DataFrame:
        """The table as one of pandas.

        Raises
        ------
        InputError
            Without pandas.
        """
        return views.frame(self.table.to_pylist())

    def front(self) -> list[dict[str, Any]]:
        """Rows of the front, in the order of the points."""
        return [row for row in self.table.to_pylist() if row["pareto"]]

    def plot(self) -> Figure:
        """Energy against latency by weight format, the front filled, as a figure of matplotlib."""
        rows = self.table.to_pylist()
        for row in rows:
            machine = self.sweep.accelerator(row["point"])
            assert machine is not None
            row["label"] = f"{machine.grid} {machine.wbits}/{machine.abits}"
        return views.sweep_figure(rows, f"{self.sweep.network}: {len(rows):,} points")

    def _repr_html_(self) -> str:
        """For notebooks: the front as a table."""
        return views.html_table(
            self.front(), f"{self.sweep.network}: front over {', '.join(self.goal.objectives)} of {self.table.num_rows:,} points",
        )  # fmt: skip


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
    return pa.table({name: pa.array(column, _refined_type(name)) for name, column in table.items()})


def _refined_type(column: str) -> pa.DataType:
    return pa.int64() if column in ("point", "tiled_cycles") else pa.float64()


def run(
    sweep: Sweep,
    out: str | os.PathLike[str],
    dask: str | None = None,
    workers: int | None = None,
    step: Callable[[int, int], None] = lambda done, chunks: None,
    refine: bool = False,
    goal: Goal = ALL,
) -> SweepResult:
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
    goal : Goal
        Which points are the front.

    Returns
    -------
    The table that was written, in a :class:`SweepResult`: ``point``, the axes, :data:`METRICS`, with ``refine``
    :data:`REFINED`, ``pareto``.

    Raises
    ------
    InputError
        For another suffix, an unknown network, a folder that cannot be written, a scheduler that does not answer, a
        requirement of a column that there is not, and what :meth:`Sweep.check` refuses.
    """
    target = Path(out)
    if target.suffix not in (".parquet", ".csv"):
        raise InputError(f"{target}: suffix is {target.suffix!r}, expected .parquet or .csv")
    sweep.check(refine)
    names = [name for name, _ in sweep.axes]
    columns = (*names, *(("abits",) if "wbits" in names else ()), *METRICS, *(REFINED if refine else ()))
    for requirement in goal.require:
        if requirement.column not in columns or requirement.column in _NAMES:
            numbers = [name for name in dict.fromkeys(columns) if name not in _NAMES]
            raise InputError(
                f"the requirement {requirement} is of {requirement.column}, expected one of {', '.join(numbers)}"
            )
    parts = Path(f"{target}.parts") / sweep.key
    try:
        parts.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{parts}: cannot be written ({error.strerror})") from error
    tasks = {c: (evaluate_chunk, sweep, c) for c in range(sweep.chunks)}
    whole = _all(tasks, parts, "", dask, workers, step)
    allowed = np.flatnonzero(goal.allowed(whole, METRICS + AXES))
    if refine:
        whole, allowed = _refined(sweep, goal, whole, allowed, parts, dask, workers, step)
    tiled = {"latency_s": "tiled_latency_s", "energy_uj": "tiled_energy_uj"} if refine else {}
    marked = np.zeros(whole.num_rows, np.bool_)
    marked[allowed] = pareto(goal.values(whole.take(allowed), tiled))
    whole = whole.append_column("pareto", pa.array(marked))
    with replacing(target) as temporary:
        if target.suffix == ".csv":
            pyarrow.csv.write_csv(whole, temporary)
        else:
            pyarrow.parquet.write_table(whole, temporary)
    shutil.rmtree(f"{target}.parts")
    return SweepResult(sweep, goal, whole)


def _refined(
    sweep: Sweep,
    goal: Goal,
    whole: pa.Table,
    allowed: NDArray[np.int64],
    parts: Path,
    dask: str | None,
    workers: int | None,
    step: Callable[[int, int], None],
) -> tuple[pa.Table, NDArray[np.int64]]:
    """``whole`` with the columns :data:`REFINED`, and the rows that may be of the front of the refined figures."""
    kept = allowed[survivors(goal.values(whole.take(allowed)), changing=goal.changing())]
    points = whole["point"].to_numpy()[kept]
    groups = [tuple(points[i : i + REFINE_CHUNK].tolist()) for i in range(0, len(points), REFINE_CHUNK)]
    # What is refined depends on the goal, so that parts of another are not taken for these.
    prefix = f"refined-{hashlib.sha256(json.dumps(groups).encode()).hexdigest()[:8]}-"
    tasks = {c: (refine_chunk, sweep, group) for c, group in enumerate(groups)}
    tiled = _all(tasks, parts, prefix, dask, workers, step) if tasks else None
    for name in REFINED:
        column: list[Any] = [None] * whole.num_rows
        for index, value in zip(kept.tolist(), [] if tiled is None else tiled[name].to_pylist(), strict=True):
            column[index] = value
        whole = whole.append_column(name, pa.array(column, _refined_type(name)))
    return whole, np.intersect1d(kept, np.flatnonzero(goal.allowed(whole, REFINED)))


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
    with Workers(count, "spawn", _one_thread) as pool:
        jobs = {pool.submit(task[0], *task[1:]): chunk for chunk, task in tasks.items()}
        for job in as_completed(jobs):
            yield jobs[job], job.result()


def _one_thread() -> None:
    """A worker has one core."""
    import numba

    numba.set_num_threads(1)


def _on_dask(tasks: dict[int, Task], address: str) -> Iterator[tuple[int, pa.Table]]:
    try:
        import distributed
    except ImportError:
        raise missing("--dask", "distributed", "dask") from None
    try:
        client = distributed.Client(address, timeout="5s")
    except (OSError, ValueError) as error:
        raise InputError(f"--dask {address}: no scheduler answers there, expected tcp://host:port") from error
    with client:
        jobs = {client.submit(*task, pure=False): chunk for chunk, task in tasks.items()}
        for job in distributed.as_completed(jobs):
            yield jobs[job], job.result()
