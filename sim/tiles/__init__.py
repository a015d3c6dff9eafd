"""Fidelity 2: passes through buffers, DMA, banks, and ASQ's second pass."""
