"""The order in which a graph's nodes run, with batch normalization taking in what follows it.

A batch normalization (an op that :mod:`asq_sw.graph.ops` says takes in) runs the residual sum and the ReLU behind it
in its own passes, where nothing else reads what lies between. Training and the integer network run by the same plan.
"""

from __future__ import annotations

from dataclasses import dataclass

from asq_sw.graph.graph import Graph, Node
from asq_sw.graph.ops import OPS


@dataclass(frozen=True)
class Step:
    """One node, or a batch normalization with the sum and the ReLU behind it.

    Attributes
    ----------
    node : Node
    inputs : tuple of str
        Nodes it reads; of a batch normalization the second is what it adds.
    output : str
        Name of the last node that it stands for.
    relu : str or None
        The op (``relu`` or ``relu6``) that a batch normalization ends with, if any.
    """

    node: Node
    inputs: tuple[str, ...]
    output: str
    relu: str | None = None


def readers(graph: Graph) -> dict[str, list[Node]]:
    """The nodes that read each node, by name."""
    by_source: dict[str, list[Node]] = {node.name: [] for node in graph}
    for node in graph:
        for source in node.inputs:
            by_source[source].append(node)
    return by_source


def plan(graph: Graph) -> list[Step]:
    """The steps, in order."""
    read_by = readers(graph)

    def sole_reader(name: str, taken_in: str) -> Node | None:
        nodes = read_by[name]
        return nodes[0] if len(nodes) == 1 and OPS[nodes[0].op].taken_in == taken_in else None

    steps: list[Step] = []
    done: set[str] = set()
    made = {"input"}
    for node in graph:
        if not node.inputs or node.name in done:
            continue
        inputs, last, relu = node.inputs, node, None
        if OPS[node.op].takes_in:
            total = sole_reader(node.name, "sum")
            if total is not None and len(total.inputs) == 2 and total.inputs[0] != total.inputs[1]:
                other = total.inputs[total.inputs[0] == node.name]
                if other in made:  # the sum can run here: what it adds is there already
                    inputs, last = (*node.inputs, other), total
                    done.add(total.name)
            clamp = sole_reader(last.name, "clamp")
            if clamp is not None:
                last, relu = clamp, clamp.op
                done.add(clamp.name)
        steps.append(Step(node, inputs, last.name, relu))
        made.add(last.name)
    return steps
