"""Building blocks of the RTL, and the way out: hierarchy, adders, Yosys, Verilog."""
