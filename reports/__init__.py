"""The cross-check of software, simulator and RTL as one page, with its data as JSON and CSV."""
