"""How far the fidelities are off one another, network by network: closed form (1), tiles (2), exact array (3).

python -m sim.studies.fidelity -o docs/fidelity.md
"""

from __future__ import annotations

from dataclasses import dataclass

import click
import numpy as np

from asq_sw.console import run
from asq_sw.files import write_text
from asq_sw.graph.models import MODELS
from asq_sw.terminal import Step, progress
from hw.machine.dataflows import dataflow
from sim.accelerator import Accelerator
from sim.exact.array import ExactArray, run_gemm
from sim.run import simulate
from sim.workload import Layer, Workload, load

CHECKED = 64
"""Outputs of each layer at fidelity 3 that are held against the formats' definition."""


@dataclass(frozen=True)
class Comparison:
    """One network on one machine; cycles of the layers with products unless it says otherwise.

    Attributes
    ----------
    closed_array, closed : int
        Fidelity 1: of the array, and with what DRAM takes longer.
    tiled_array, tiled : int
        Fidelity 2.
    exact : int
        Fidelity 3: clock cycles of the array, registers and all, with random operands.
    whole : int
        Fidelity 2, with pooling and adds.
    bytes_off : float
        DRAM bytes of fidelity 1 over those of 2, less one.
    worst : (float, str)
        The layer in which fidelity 2 is the most over 1: by how much, and its name.
    """

    network: str
    closed_array: int
    closed: int
    tiled_array: int
    tiled: int
    exact: int
    whole: int
    bytes_off: float
    worst: tuple[float, str]


def exact_cycles(workload: Workload, machine: Accelerator, seed: int = 0) -> int:
    """Clock cycles of all layers in the exact array (ws or os); about 1 ns a PE and cycle.

    Random operands. Of equal shapes and of a layer's groups one is run. ``CHECKED`` outputs a layer are held
    against the formats' definition.

    Raises
    ------
    ArithmeticError
        If an output differs.
    """
    done: dict[tuple[int, int, int], int] = {}
    total = 0
    for layer in workload.mac_layers:
        shape = (layer.m, layer.n, layer.k)
        if shape not in done:
            done[shape] = _exact_layer(layer, machine, np.random.default_rng([seed, len(done)]))
        total += layer.groups * done[shape]
    return total


def _exact_layer(layer: Layer, machine: Accelerator, rng: np.random.Generator) -> int:
    weight, activation = machine.weight, machine.activation
    terms = layer.k if dataflow(machine.dataflow).stationary == "ofmap" else None
    array = ExactArray(
        weight, machine.abits, machine.rows, machine.cols, dataflow=machine.dataflow, terms=terms
    )
    a = rng.integers(activation.min, activation.max + 1, (layer.m, layer.k))
    codes = rng.choice(weight.codes, (layer.k, layer.n))
    result = run_gemm(array, a, codes)
    i, j = rng.integers(layer.m, size=CHECKED), rng.integers(layer.n, size=CHECKED)
    expected = weight.product(a[i], codes[:, j].T).sum(axis=1)
    if not np.array_equal(result.values[i, j], expected):
        raise ArithmeticError(f"layer {layer.name}: the array's sums are not the format's")
    return result.cycles


def compare(network: str, machine: Accelerator) -> Comparison:
    """A built-in network at the three fidelities."""
    one = simulate(network, machine)
    two = simulate(network, machine, fidelity=2)
    macs = [layer for layer in two.layers if layer.macs]
    over = [(b.total_cycles / a.total_cycles - 1, a.name) for a, b in zip(one.layers, macs, strict=True)]
    moved_one = one.total["dram_read_bytes"] + one.total["dram_write_bytes"]
    moved_two = sum(layer.dram_read_bytes + layer.dram_write_bytes for layer in macs)
    return Comparison(
        network=network,
        closed_array=one.total["compute_cycles"],
        closed=one.total["total_cycles"],
        tiled_array=sum(layer.compute_cycles for layer in macs),
        tiled=sum(layer.total_cycles for layer in macs),
        exact=exact_cycles(load(network), machine),
        whole=two.total["total_cycles"],
        bytes_off=moved_one / moved_two - 1,
        worst=max(over),
    )


def table(
    machines: list[Accelerator], networks: list[str], step: Step = lambda done, total, note="": None
) -> str:
    """The comparison as Markdown, one table a machine; ``step`` is told before each network."""
    lines = [
        "# How far each fidelity is off",
        "",
        "Made by `python -m sim.studies.fidelity -o docs/fidelity.md`. Cycles of the layers with products; only the last "
        "column counts pooling and adds too. Array: cycles in which the array loads, streams, fills or drains. "
        "Fidelity 1 is the closed form, 2 the tile engine, 3 the array with every register in every cycle, on "
        f"random operands ({CHECKED} outputs of every shape held against the formats' definition; of a layer's "
        "groups one is run).",
        "",
        "The closed form leaves out the first load of a layer, DRAM latency, requantization, the last write and "
        "the reloads of the array for further parts of a layer. It counts as SCALE-Sim does: an output-stationary "
        "fold ends with the last product, and fidelity 3 takes as many cycles more as the array has rows to "
        "drain the sums.",
    ]
    for i, m in enumerate(machines):
        lines += [
            "",
            f"## {m.rows}x{m.cols} {m.dataflow}, {m.grid} {m.wbits}-bit weights, {m.abits}-bit activations, "
            f"{m.clock_mhz:g} MHz, {m.dram_gb_per_s:g} GB/s",
            "",
            "| network | array: 3 | 1 off 3 | 2 off 3 | all: 1 | all: 2 | 1 off 2 | worst layer, 2 over 1 "
            "| DRAM bytes, 1 off 2 | 2, with pooling and adds |",
            "|---|---:|---:|---:|---:|---:|---:|---|---:|---:|",
        ]
        for j, network in enumerate(networks):
            step(i * len(networks) + j, len(machines) * len(networks), f"{network}, {m.dataflow}")
            r = compare(network, m)
            lines.append(
                f"| {r.network} | {r.exact:,} | {100 * (r.closed_array / r.exact - 1):+.1f}% "
                f"| {100 * (r.tiled_array / r.exact - 1):+.1f}% | {r.closed:,} | {r.tiled:,} "
                f"| {100 * (r.closed / r.tiled - 1):+.1f}% | {r.worst[1]} {100 * r.worst[0]:+.0f}% "
                f"| {100 * r.bytes_off:+.1f}% | {r.whole:,} |"
            )
    return "\n".join(lines) + "\n"


@click.command(
    help="Compare the three fidelities on every built-in network, weight- and output-stationary.",
    epilog="Example: asq fidelity --network resnet18 -o fidelity.md",
)
@click.option("-o", "--output", default="-", help="Markdown file, - for standard output.")
@click.option("--network", "networks", multiple=True, type=click.Choice(list(MODELS)), help="Only these.")
def main(output: str, networks: tuple[str, ...]) -> None:
    machines = [Accelerator(dataflow=flow) for flow in ("ws", "os")]
    with progress("networks") as step:
        text = table(machines, list(networks or MODELS), step)
    write_text(output, text)


if __name__ == "__main__":
    run(main, "python -m sim.studies.fidelity")
