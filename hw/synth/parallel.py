"""Area, delay and energy of units over clock periods, in parallel."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from asq_sw.workers import Workers
from hw.nodes import DEFAULT_NODE
from hw.synth.libraries.library import Library
from hw.synth.measure import Measurement, measure
from hw.units.operands import Operands
from hw.units.unit import Unit


@dataclass(frozen=True, eq=False)
class Task:
    """The arguments of one :func:`hw.synth.measure.measure`."""

    unit: Unit
    library: Library | str = DEFAULT_NODE
    clock_ns: float | None = None
    operands: Operands | None = None
    wires: str = "fanout"
    glitches: str = "library"
    seed: int = 0


def _one(task: Task) -> Measurement:
    return measure(
        task.unit, task.library, task.clock_ns, task.operands, task.wires, task.glitches, task.seed
    )


def measure_all(
    tasks: Sequence[Task], jobs: int | None = None, step: Callable[[int], None] | None = None
) -> list[Measurement]:
    """Measure several units, ``jobs`` at a time (by default one per core), in the order of ``tasks``.

    Equal netlists are synthesized once (:mod:`hw.synth.mapping.cache`). ``step`` is called with the number done.
    """
    jobs = min(jobs or os.cpu_count() or 1, len(tasks))
    measured = []
    if jobs <= 1:
        for number, task in enumerate(tasks, start=1):
            measured.append(_one(task))
            if step:
                step(number)
        return measured
    with Workers(jobs, "fork") as pool:
        for number, cost in enumerate(pool.map(_one, tasks), start=1):
            measured.append(cost)
            if step:
                step(number)
    return measured
