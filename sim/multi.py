"""Several equal arrays, each with its own scratchpads, on one DRAM.

Every layer is cut into equal shares, one for each array, which run side by side: by images of the batch, by
filters (groups for depthwise layers), or by rows of the output, whichever is fastest in closed form. All shares
take the time of the largest. The bus is divided evenly, since all arrays ask alike; a DRAM of pages and banks
serves their transfers one after the other. An operand that several
shares need is read once by each: what is cut by filters reads its input as often as there are arrays.

So a share is a layer of its own on one array with 1 / N of the DRAM, and every fidelity runs as it is.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from sim import closed_form
from sim.accelerator import Accelerator
from sim.results import LayerResult
from sim.workload import KINDS, Layer, Workload


def one_of(machine: Accelerator) -> Accelerator:
    """One array with its part of the bandwidth."""
    return Accelerator(
        **machine.model_dump()
        | {
            "arrays": 1,
            "dram_gb_per_s": machine.dram_gb_per_s / machine.arrays,
            "dram_sharers": machine.arrays * machine.dram_sharers,
        }
    )


def shares(layer: Layer, arrays: int) -> list[Layer]:
    """The largest share of each way to cut a layer; the layer itself where none applies."""
    ways = []
    if layer.batch > 1:
        ways.append(replace(layer, batch=-(-layer.batch // arrays)))
    if layer.groups > 1:
        groups = -(-layer.groups // arrays)
        ways.append(
            replace(
                layer,
                groups=groups,
                in_c=layer.in_c // layer.groups * groups,
                out_c=layer.out_c // layer.groups * groups,
            )
        )
    elif layer.is_mac:
        ways.append(replace(layer, out_c=-(-layer.out_c // arrays)))
    elif KINDS[layer.kind].channels_apart:
        channels = -(-layer.in_c // arrays)
        ways.append(replace(layer, in_c=channels, out_c=channels))
    if layer.out_h > 1:
        rows = -(-layer.out_h // arrays)
        height = (rows - 1) * layer.stride[0] + layer.dilation[0] * (layer.kernel[0] - 1) + 1
        _, left, _, right = layer.padding
        ways.append(replace(layer, in_h=height, padding=(0, left, 0, right)))
    return ways or [layer]


def divided(workload: Workload, machine: Accelerator) -> tuple[Workload, Accelerator]:
    """Every layer's share on one of the machine's arrays, and that array."""
    one = one_of(machine)
    names = closed_form.RESULT_FIELDS
    layers = []
    for layer in workload.layers:
        ways = shares(layer, machine.arrays)
        if layer.is_mac and len(ways) > 1:
            counts = closed_form.evaluate_one(
                closed_form.layer_rows(ways), closed_form.machine_row(one, ways), one.dram_bytes_per_cycle
            )
            cycles = counts[:, names.index("compute_cycles")] + counts[:, names.index("stall_cycles")]
            traffic = counts[:, names.index("dram_read_bits")] + counts[:, names.index("dram_write_bits")]
            layers.append(ways[int(np.lexsort((traffic, cycles))[0])])
        else:
            layers.append(ways[0])
    return Workload(workload.name, tuple(layers)), one


def together(share: LayerResult, layer: Layer, machine: Accelerator) -> LayerResult:
    """The result of all arrays from that of one: its cycles, everybody's accesses and energy."""
    n = machine.arrays
    return replace(
        share,
        m=layer.m if layer.is_mac else share.m,
        n=layer.n,
        k=layer.k,
        groups=layer.groups if layer.is_mac else share.groups,
        macs=layer.macs,
        folds=n * share.folds,
        utilization=layer.macs / (machine.pes * share.total_cycles) if share.total_cycles else 0.0,
        sram_reads={key: n * value for key, value in share.sram_reads.items()},
        sram_writes={key: n * value for key, value in share.sram_writes.items()},
        dram_read_bytes=n * share.dram_read_bytes,
        dram_write_bytes=n * share.dram_write_bytes,
        energy_pj={key: n * value for key, value in share.energy_pj.items()},
        asq={key: value if key == "cycles" else n * value for key, value in share.asq.items()},
    )
