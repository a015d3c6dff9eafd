"""Networks as graphs.

:mod:`asq_sw.graph.ops` (what a layer can be), :mod:`asq_sw.graph.graph` (nodes and shapes),
:mod:`asq_sw.graph.models` (the built-in ones).
"""
