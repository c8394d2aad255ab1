"""Names of processes, so that what a dead one held can be taken over at once.

A name is ``host@place:pid:start``. A process id alone is not enough: it is used again after its
process ended, and in another container it means another process. So the start time, and the boot
and the process-id namespace as ``place``, go with it, all from ``/proc``; the host is there for
people. Where these cannot be compared (another machine or container, no ``/proc``), nothing is
known, and only a heartbeat that has stopped proves an end.
"""

from __future__ import annotations

import os
import re
import socket
from datetime import datetime, timedelta
from pathlib import Path

STALE_AFTER_SECONDS = 60.0
"""A heartbeat older than this is that of a dead process, where nothing better is known."""

_PROC = Path("/proc")
# /proc/<pid>/stat, counted behind the command's name: fields 3 (state) and 22 (start), proc(5).
_STATE, _STARTED = 0, 19
_ENDED_STATES = frozenset({"Z", "X"})
_UNKNOWN = "?"
_NAME = re.compile(r"(?P<machine>[^:]+):(?P<pid>[0-9]{1,9}):(?P<started>[0-9]+|\?)")


def process_name(pid: int | None = None) -> str:
    """The name of a process of this machine; of this process where no number is given."""
    number = os.getpid() if pid is None else pid
    return f"{_machine()}:{number}:{_started(number) or _UNKNOWN}"


def may_be_alive(owner: str) -> bool:
    """Whether the process that an owner text (``<name>`` or ``<name>/anything``) names may run.

    False only where it is known to be gone.
    """
    return is_running(owner) is not False


def is_alive(owner: str) -> bool:
    """Whether the process that an owner text names is known to run."""
    return is_running(owner) is True


def has_ended(owner: str, heartbeat_at: datetime, now: datetime) -> bool:
    """Whether the process is certainly no longer there, or cannot be seen and is silent."""
    running = is_running(owner)
    if running is None:
        return now - heartbeat_at > timedelta(seconds=STALE_AFTER_SECONDS)
    return not running


def command_line(pid: int) -> list[str] | None:
    """The words that a process was started with, none for one that has ended and was not waited
    for; None where there is no such process, or nothing can be told of it.
    """
    try:
        words = (_PROC / str(pid) / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return None
    return [os.fsdecode(word) for word in words if word]


def is_running(owner: str) -> bool | None:
    """Whether the process that an owner text names runs; None where that cannot be told here."""
    name = _NAME.fullmatch(owner.partition("/")[0])
    if name is None or _place_in(name["machine"]) != _place_in(_machine()):
        return None
    pid = int(name["pid"])
    started = _started(pid)
    if started is None and _exists(pid):
        return None  # it is hidden from this user (proc(5), hidepid), or there is no /proc
    if started and name["started"] == _UNKNOWN:
        return None
    return started == name["started"]


def _machine() -> str:
    """``host@boot.namespace``; the host alone where there is no ``/proc``."""
    host = socket.gethostname()
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        namespace = (_PROC / "self/ns/pid").readlink()
    except OSError:
        return host
    return f"{host}@{boot}.{re.sub('[^0-9]', '', str(namespace))}"


def _place_in(machine: str) -> str:
    """What tells machines, boots and containers apart. A host may be given another name."""
    return machine.rpartition("@")[2]


def _started(pid: int) -> str | None:
    """Clock ticks since the boot at which a process started; None where it has no entry.

    The command's name, in parentheses, may hold anything. Empty for a zombie: it runs no more.
    """
    try:
        stat = (_PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    return "" if fields[_STATE] in _ENDED_STATES else fields[_STARTED]


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
