"""Runs Yosys (``pyosys``)."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence

LOG = logging.getLogger("asq.yosys")

# Yosys leaves the process when a command fails and writes its log to C's standard output: hence a process.
_RUN_YOSYS = """
import sys
from pyosys import libyosys
design = libyosys.Design()
for command in sys.argv[1:]:
    libyosys.Pass.call(design, command)
"""


def run_yosys(commands: Sequence[str]) -> str:
    """Run Yosys commands on one design, in a process of their own; gives the log.

    Raises
    ------
    RuntimeError
        If a command fails, with the end of the log.
    """
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="asq-yosys-") as folder:  # ABC that fails leaves its files there
        done = subprocess.run(
            [sys.executable, "-c", _RUN_YOSYS, *commands],
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | {"TMPDIR": folder},
        )
    LOG.debug("Yosys ran %d commands: %.1f s", len(commands), time.monotonic() - start)
    if done.returncode:
        log = (done.stdout + done.stderr).strip().splitlines()
        raise RuntimeError("Yosys failed: " + " | ".join(log[-3:]))
    return done.stdout
