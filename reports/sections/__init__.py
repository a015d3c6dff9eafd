"""The parts of the report, one file a section."""
