"""SCALE-Sim 3's own compute system, without its memory system, on whole networks; runs in SCALE-Sim's environment.

    V/bin/python tests/data/scalesim/compute_side.py TOPOLOGY.csv CONFIG.cfg conv|gemm

Prints one JSON line per layer: [total cycles, mapping efficiency %, compute utilization %, ifmap reads, filter reads,
ofmap writes], where total cycles are those of CALC mode without stalls: the demand's lines less one. SCALE-Sim's
memory system needs minutes to hours for these networks, its compute system seconds. Two things are replaced, and
neither makes a figure: the prefetch matrices, which CALC mode builds and does not read, are left out, and a matrix
that grows fold by fold is appended to in place.
"""

from __future__ import annotations

import json
import sys
import types

import numpy as np
from scalesim.compute import systolic_compute_is, systolic_compute_os, systolic_compute_ws
from scalesim.compute.operand_matrix import operand_matrix
from scalesim.layout_utils import layouts
from scalesim.scale_config import scale_config
from scalesim.topology_utils import topologies


class Appending:
    """``np.concatenate`` along axis 0 that appends to its last result in place, with room to grow."""

    def __init__(self):
        self.last = []  # (the view that was returned, its storage)

    def __call__(self, arrays, axis=0):
        if axis == 0 and len(arrays) == 2:
            head, tail = arrays
            for i, (view, storage) in enumerate(self.last):
                if view is head:
                    size = len(head) + len(tail)
                    if size > len(storage):
                        storage = np.empty((2 * size, head.shape[1]), np.result_type(head, tail))
                        storage[: len(head)] = head
                    storage[len(head) : size] = tail
                    self.last[i] = (storage[:size], storage)
                    return self.last[i][0]
            if len(head) >= 64:
                result = np.concatenate(arrays, axis=axis)
                self.last = [*self.last[-8:], (result, result)]
                return result
        return np.concatenate(arrays, axis=axis)


def main() -> None:
    topology_path, config_path, kind = sys.argv[1:]
    config, topology, layout = scale_config(), topologies(), layouts()
    config.read_conf_file(config_path)
    topology.load_arrays(topology_path, mnk_inputs=kind == "gemm")
    module, name = {
        "ws": (systolic_compute_ws, "systolic_compute_ws"),
        "os": (systolic_compute_os, "systolic_compute_os"),
        "is": (systolic_compute_is, "systolic_compute_is"),
    }[config.get_dataflow()]
    module.np = types.SimpleNamespace(**{**vars(np), "concatenate": Appending()})
    for layer in range(topology.get_num_layers()):
        operands = operand_matrix()
        operands.set_params(config, topology, layout, layer)
        matrices = [operands.get_ifmap_matrix(), operands.get_filter_matrix(), operands.get_ofmap_matrix()]
        module.np.concatenate.last = []
        system = getattr(module, name)()
        system.set_params(
            config_obj=config,
            ifmap_op_mat=matrices[0][1],
            filter_op_mat=matrices[1][1],
            ofmap_op_mat=matrices[2][1],
        )
        demands = system.get_demand_matrices()
        (lines,) = {len(matrix) for matrix in demands}
        figures = [
            lines - 1,
            system.get_avg_mapping_efficiency() * 100,
            system.get_avg_compute_utilization() * 100,
            int(system.get_ifmap_requests()),
            int(system.get_filter_requests()),
            int(system.get_ofmap_requests()),
        ]
        print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    main()
