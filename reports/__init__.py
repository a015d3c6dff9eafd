"""The cross-check of software, simulator and RTL as one page, with its data as JSON and CSV."""

import asq_sw  # noqa: F401 - first of all: a command can be interrupted from there on
