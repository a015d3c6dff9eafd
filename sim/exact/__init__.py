"""Fidelity 3: the array bit by bit and cycle by cycle."""
