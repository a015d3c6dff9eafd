"""Energy, area and memory of a machine."""
