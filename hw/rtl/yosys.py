"""Runs Yosys (``pyosys``)."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Sequence

from asq_sw.errors import ToolError
from asq_sw.files import temporary_folder
from asq_sw.process import run_tool

LOG = logging.getLogger("asq.yosys")

# Yosys leaves the process when a command fails and writes its log to C's standard output: hence a process.
_RUN_YOSYS = """
import ctypes, sys
from pyosys import libyosys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, 9)  # PR_SET_PDEATHSIG, SIGKILL: end with the one that waits
design = libyosys.Design()
for command in sys.argv[1:]:
    libyosys.Pass.call(design, command)
"""


def run_yosys(commands: Sequence[str]) -> str:
    """Run Yosys commands on one design, in a process of their own; gives the log.

    Raises
    ------
    ToolError
        If a command fails, with the end of the log.
    """
    start = time.monotonic()
    with temporary_folder("yosys") as folder:  # ABC that fails leaves its files there
        done = run_tool(
            [sys.executable, "-c", _RUN_YOSYS, *commands], env=os.environ | {"TMPDIR": str(folder)}
        )
    LOG.debug("Yosys ran %d commands: %.1f s", len(commands), time.monotonic() - start)
    if done.returncode:
        log = (done.stdout + done.stderr).strip().splitlines()
        raise ToolError("Yosys failed: " + " | ".join(log[-3:]))
    return done.stdout
