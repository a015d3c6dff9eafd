"""Commands that make carried data and docs: ``python -m hw.studies.NAME``."""
