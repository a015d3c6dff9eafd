"""How far the closed form (fidelity 1) is off the tile engine (fidelity 2), network by network.

python -m sim.fidelity -o docs/fidelity.md
"""

from __future__ import annotations

from typing import Any

import click

from asq_sw.files import write_text
from asq_sw.models import MODELS
from sim.accelerator import Accelerator
from sim.simulate import simulate


def compare(network: str, machine: Accelerator) -> dict[str, Any]:
    """Cycles and DRAM bytes of the layers with products at both fidelities, and what the rest adds."""
    one = simulate(network, machine)
    two = simulate(network, machine, fidelity=2)
    macs = [layer for layer in two.layers if layer.macs]
    worst = max(
        (
            (two_l.total_cycles / one_l.total_cycles - 1, one_l.name)
            for one_l, two_l in zip(one.layers, macs, strict=True)
        ),
    )
    closed = one.total["total_cycles"]
    tiled = sum(layer.total_cycles for layer in macs)
    bytes_one = one.total["dram_read_bytes"] + one.total["dram_write_bytes"]
    bytes_two = sum(layer.dram_read_bytes + layer.dram_write_bytes for layer in macs)
    return {
        "network": network,
        "closed": closed,
        "tiled": tiled,
        "error": closed / tiled - 1,
        "whole": two.total["total_cycles"],
        "bytes": bytes_one / bytes_two - 1,
        "worst": worst,
    }


def table(machine: Accelerator) -> str:
    """The comparison of every built-in network as Markdown."""
    lines = [
        "# How far each fidelity is off",
        "",
        f"Made by `python -m sim.fidelity`, on the default machine ({machine.rows}x{machine.cols} {machine.dataflow}, "
        f"{machine.grid} {machine.wbits}-bit weights, {machine.abits}-bit activations, {machine.clock_mhz:g} MHz, "
        f"{machine.dram_gb_per_s:g} GB/s). Fidelity 1 is the closed form, fidelity 2 the tile engine. The closed form "
        "leaves out the first load of a layer, requantization, the last write, the tiles' reloads, pooling and adds.",
        "",
        "| network | 1: cycles | 2: cycles, layers with products | 1 against 2 | worst layer (2 over 1) | DRAM bytes, 1 against 2 | 2: cycles, all layers |",
        "|---|---:|---:|---:|---|---:|---:|",
    ]
    for network in MODELS:
        r = compare(network, machine)
        lines.append(
            f"| {r['network']} | {r['closed']:,} | {r['tiled']:,} | {100 * r['error']:+.1f}% | "
            f"{r['worst'][1]} {100 * r['worst'][0]:+.0f}% | {100 * r['bytes']:+.1f}% | {r['whole']:,} |"
        )
    return "\n".join(lines) + "\n"


@click.command()
@click.option("-o", "--output", default="-", help="Markdown file, - for standard output.")
def main(output: str) -> None:
    """Compare the closed form with the tile engine on every built-in network."""
    write_text(output, table(Accelerator()))


if __name__ == "__main__":
    main()
