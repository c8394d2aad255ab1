"""Names of processes, so that what a dead one held can be taken over at once.

A name is ``host:pid:start``; the start tells a process from a later one with the same number.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path

_PROC = Path("/proc")


def process_name(pid: int | None = None) -> str:
    """The name of a process of this machine; of this process where no number is given."""
    number = os.getpid() if pid is None else pid
    return f"{_machine()}:{number}:{_started(number)}"


def may_be_alive(owner: str) -> bool:
    """Whether the process that an owner text (``host:pid:start/anything``) names may still run.

    False only where it is known to be gone: it was a process of this machine and of this boot.
    """
    name = owner.partition("/")[0]
    machine, _, rest = name.rpartition(":")[0].rpartition(":")
    started = name.rpartition(":")[2]
    if machine != _machine() or not rest.isdigit() or not started:
        return True
    return _started(int(rest)) == started


def _machine() -> str:
    """Host name and boot: numbers of processes mean nothing in another boot."""
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()[:8]
    except OSError:
        boot = ""
    return f"{socket.gethostname()}@{boot}" if boot else socket.gethostname()


def _started(pid: int) -> str:
    """When a process started, in clock ticks since the boot; empty where that cannot be told.

    Field 22 of ``/proc/<pid>/stat`` (man 5 proc); the name in field 2 may hold anything, and ends
    at the last parenthesis. A zombie runs no more.
    """
    if not _PROC.joinpath("self").exists():
        return "?" if _exists(pid) else ""
    try:
        fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in ("Z", "X") else fields[19]


def _exists(pid: int) -> bool:
    """Signal 0 only asks; on Windows it would end the process, so nothing is asked there."""
    if os.name != "posix":
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
