"""What switches: operands, toggles without and with glitches, on a compiled netlist."""
