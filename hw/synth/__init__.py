"""What a netlist costs: synthesis, timing, activity and energy by cell library; FPGA figures."""
