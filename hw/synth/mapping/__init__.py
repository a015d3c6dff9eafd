"""From RTL to a mapped, buffered and sized netlist."""
