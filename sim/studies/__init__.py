"""Commands that make docs and measure networks: ``python -m sim.studies.NAME``."""
