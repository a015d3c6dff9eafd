"""Wire capacitance before there is a layout.

``none``
    No wires.
``fanout`` (the default)
    Every sink adds 1.5 cell pitches of wire at 0.2 fF/um. A pitch is the side of the netlist's mean cell at
    70% utilization of the placement area. 0.2 fF/um: Weste and Harris, CMOS VLSI Design, 4th edition (2011),
    section 6.2.2; it hardly changes between nodes. 1.5 pitches: chosen so that nangate45 comes out near its
    own library's 5K wire-load table (0.31 to 0.41 fF per sink there).
``library``
    The library's own default wire-load table; an error for a library without one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from asq_sw.errors import InputError
from hw.synth.netlists.netlist import Netlist

MODELS = ("fanout", "library", "none")
CAPACITANCE_FF_PER_UM = 0.2
PITCHES_PER_SINK = 1.5
UTILIZATION = 0.7


def wire_load(netlist: Netlist, model: str) -> NDArray[np.float64]:
    """Wire capacitance per net, fF; shape (nets,)."""
    if model == "none":
        return np.zeros(netlist.nets)
    if model == "fanout":
        pitch = np.sqrt(netlist.area / max(len(netlist.instances), 1) / UTILIZATION)
        load = CAPACITANCE_FF_PER_UM * PITCHES_PER_SINK * pitch * netlist.fanout
    elif model == "library":
        table = netlist.library.wire_load
        if table is None:
            raise InputError(f"wires is 'library' but library {netlist.library.node} has no wire-load table")
        load = np.array([table.load(int(n)) for n in netlist.fanout])
    else:
        raise InputError(f"wires is {model!r}, expected one of {', '.join(MODELS)}")
    load[:2] = 0.0  # the constants do not switch
    return load


def net_load(netlist: Netlist, model: str = "fanout") -> NDArray[np.float64]:
    """Pins and wire per net and edge (rising, falling), fF; shape (nets, 2)."""
    return netlist.pin_load + wire_load(netlist, model)[:, None]
