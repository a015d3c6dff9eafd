"""Buffer trees for nets with many sinks, as an array's ``load``: mapping element by element leaves them bare."""

from __future__ import annotations

from dataclasses import replace

from hw.synth.libraries import boolean
from hw.synth.libraries.library import Cell, Library
from hw.synth.netlists.netlist import ONE, ZERO, Instance, Netlist, in_order
from hw.synth.netlists.wires import wire_load
from hw.synth.timing import typical_slew

MAX_SINKS = 24
"""Nets with more sinks get a tree. ABC's sizing recipes buffer within a module, so only broadcasts have more."""
GROUP = 16
"""Sinks of each buffer."""


def _buffer(library: Library, load: float) -> Cell:
    """The smallest buffer that is at most half as slow again as the fastest at ``load`` fF."""
    slew = typical_slew(library)
    buffers = []
    for cell in library.cells.values():
        if len(cell.inputs) == len(cell.outputs) == 1 and cell.flipflop is None:
            (pin,), (output,) = cell.inputs, cell.outputs.values()
            if boolean.truth_table(boolean.parse(output.function), [pin]) == 0b10:
                arc = output.arcs[0]
                buffers.append((max(arc.rise.at(slew, load), arc.fall.at(slew, load)), cell.area, cell))
    fastest = min(delay for delay, _, _ in buffers)
    return min((area, cell.name, cell) for delay, area, cell in buffers if delay <= 1.5 * fastest)[2]


def buffered(netlist: Netlist) -> Netlist:
    """The netlist with a tree of buffers on every net of more than :data:`MAX_SINKS` sinks (not the clock)."""
    clock = set(netlist.ports[netlist.clock].nets) if netlist.clock else set()
    wide = [n for n, sinks in enumerate(netlist.fanout) if sinks > MAX_SINKS and n not in clock | {ZERO, ONE}]
    if not wide:
        return netlist
    sink_load = float(netlist.pin_load.max(axis=1).sum() / max(netlist.fanout.sum(), 1))
    wire = wire_load(netlist, "fanout").sum() / max(netlist.fanout.sum(), 1)
    cell = _buffer(netlist.library, GROUP * (sink_load + float(wire)))
    (pin,), (output,) = cell.inputs, cell.outputs
    pins = [dict(instance.pins) for instance in netlist.instances]
    sinks: dict[int, list[tuple[dict[str, int], str]]] = {net: [] for net in wide}
    for instance, connected in zip(netlist.instances, pins, strict=True):
        for name in instance.cell.inputs:
            if connected.get(name, ZERO) in sinks:
                sinks[connected[name]].append((connected, name))
    added: list[dict[str, int]] = []
    nets = netlist.nets
    for net, ends in sinks.items():
        while len(ends) > GROUP:
            groups = -(-len(ends) // GROUP)
            heads = []
            for g in range(groups):
                buffer = {pin: net, output: nets}
                for connected, name in ends[g * len(ends) // groups : (g + 1) * len(ends) // groups]:
                    connected[name] = nets
                added.append(buffer)
                heads.append((buffer, pin))
                nets += 1
            ends = heads
    instances = [
        Instance(i.name, i.cell, connected) for i, connected in zip(netlist.instances, pins, strict=True)
    ]
    instances += [Instance(f"$tree${n}", cell, connected) for n, connected in enumerate(added)]
    return replace(netlist, instances=in_order(instances, nets), nets=nets)
