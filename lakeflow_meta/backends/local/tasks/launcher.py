"""Becomes a task's program, after asking to be ended together with the process that started it.

``python launcher.py PARENT COMMAND…``. Without it, a killed ``lakeflow-meta run`` would leave its
programs running, and they would still write while the next run does the same work again. Linux
only (prctl(2), PR_SET_PDEATHSIG: it survives exec, and counts from the starting *thread*, which
here waits for the program); elsewhere the program simply starts. It imports nothing of
lakeflow_meta.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    """Tie this process to ``PARENT`` and become ``COMMAND``."""
    parent, *command = arguments
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != int(parent):
            sys.exit("the process that started this task has ended")
    os.execv(command[0], command)  # noqa: S606 - no shell: the way a program becomes another


if __name__ == "__main__":
    main(sys.argv[1:])
