"""A drop-in for SCALE-Sim: its machine, its conventions, its reports."""
