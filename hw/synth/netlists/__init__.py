"""Mapped netlists and their wires."""
