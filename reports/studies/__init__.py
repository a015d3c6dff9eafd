"""Commands that make docs: ``python -m reports.studies.NAME``."""
