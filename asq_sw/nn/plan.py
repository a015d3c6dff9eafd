"""The order in which a graph's nodes run, with batch normalization taking in what follows it.

A batch normalization runs the residual sum and the ReLU behind it in its own passes, where nothing else reads
what lies between. Training and the integer network run by the same plan.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from asq_sw.graph.graph import Graph, Node


@dataclass
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
        ``relu`` or ``relu6`` where a batch normalization ends with one.
    run : object
        What executes it.
    saved : dict
        What a forward pass keeps for the backward one.
    """

    node: Node
    inputs: tuple[str, ...]
    output: str
    relu: str | None = None
    run: Any = None
    saved: dict[str, Any] = field(default_factory=dict)


def readers(graph: Graph) -> dict[str, list[Node]]:
    """The nodes that read each node, by name."""
    found: dict[str, list[Node]] = {node.name: [] for node in graph}
    for node in graph:
        for source in node.inputs:
            found[source].append(node)
    return found


def plan(graph: Graph) -> list[Step]:
    """The steps, in order."""
    read_by = readers(graph)

    def sole_reader(name: str, ops: tuple[str, ...]) -> Node | None:
        nodes = read_by[name]
        return nodes[0] if len(nodes) == 1 and nodes[0].op in ops else None

    steps: list[Step] = []
    done: set[str] = set()
    made = {"input"}
    for node in graph:
        if node.op == "input" or node.name in done:
            continue
        step = Step(node, node.inputs, node.name)
        if node.op == "bn":
            last, other = node, None
            total = sole_reader(node.name, ("add",))
            if total is not None and len(total.inputs) == 2 and total.inputs[0] != total.inputs[1]:
                rest = total.inputs[total.inputs[0] == node.name]
                if rest in made:  # the sum can run here: what it adds is there already
                    last, other = total, rest
            relu = sole_reader(last.name, ("relu", "relu6"))
            if other is not None:
                done.add(last.name)
                step.inputs = (*node.inputs, other)
            if relu:
                done.add(relu.name)
                step.relu = relu.op
            step.output = (relu or last).name
        made.add(step.output)
        steps.append(step)
    return steps
