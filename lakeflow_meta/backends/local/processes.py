"""Who runs a run: a process that can be told apart from a later one with the same number.

A process id alone is not enough: it is used again after the process ended, and in another
container it means another process. So the start time and the boot, from ``/proc``, and the
process-id namespace go with it. Where these cannot be compared (another machine or container, no
``/proc``), only a heartbeat that has stopped proves an end.
"""

from __future__ import annotations

import json
import os
import socket
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path

STALE_AFTER_SECONDS = 60.0
"""A heartbeat older than this is that of a dead process, where nothing better is known."""

_PROC = Path("/proc")
# /proc/<pid>/stat, counted behind the command's name: fields 3 (state) and 22 (start), proc(5).
_STATE, _STARTED = 0, 19
_ENDED_STATES = frozenset({"Z", "X"})


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """``place`` tells boots, containers and machines apart; ``started`` tells processes apart."""

    pid: int
    started: str
    place: str

    def to_json(self) -> str:
        """Text for the run's row."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> ProcessIdentity:
        """Read what `to_json` wrote."""
        return cls(**json.loads(text))


def this_process() -> ProcessIdentity:
    """The identity of the calling process."""
    pid = os.getpid()
    return ProcessIdentity(pid, _started(pid) or "", _place())


def has_ended(owner: ProcessIdentity, heartbeat_at: datetime, now: datetime) -> bool:
    """Whether the process is certainly no longer there, or has been silent for too long."""
    if owner.place == _place():
        if owner.started:
            return _started(owner.pid) != owner.started
        if not _exists(owner.pid):
            return True
    return now - heartbeat_at > timedelta(seconds=STALE_AFTER_SECONDS)


def _started(pid: int) -> str | None:
    """Clock ticks since boot at which the process started; None when it has ended."""
    try:
        stat = (_PROC / str(pid) / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[_STATE] in _ENDED_STATES else fields[_STARTED]


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _place() -> str:
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        namespace = (_PROC / "self/ns/pid").readlink()
    except OSError:
        return f"host:{socket.gethostname()}"
    return f"{boot}:{namespace}"
