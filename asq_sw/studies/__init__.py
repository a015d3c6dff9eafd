"""Commands that make carried tables and docs: ``python -m asq_sw.studies.NAME``."""
