"""Where a running monitor says that it lives: one small file, replaced whole at each look.

A file and not a control table, because a look that finds nothing must not make a commit.
"""

from __future__ import annotations

import json
import logging
import os
import socket
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from lakeflow_meta.backends.processes import STALE_AFTER_SECONDS, may_be_alive, process_name

logger = logging.getLogger(__name__)


class HeartbeatFile:
    """The status of the last look as JSON, with the process that wrote it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._process = {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "process": process_name(),
        }

    def write(self, status: Mapping[str, Any]) -> None:
        """Replace the file. A disk that refuses is logged: the monitor's work does not need it."""
        partial = self._path.with_name(f".{self._path.name}.{os.getpid()}.partial")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            partial.write_text(json.dumps({**self._process, **status}, indent=2), encoding="utf-8")
            partial.replace(self._path)
        except OSError as error:
            logger.warning("heartbeat %s cannot be written: %s", self._path, error.strerror)

    def read(self) -> dict[str, Any] | None:
        """The last status; None where no monitor has run here, or the file is damaged."""
        try:
            value = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return value if isinstance(value, dict) else None


def monitor_state(beat: Mapping[str, Any], now: datetime) -> str:
    """How the monitor that wrote a heartbeat is doing.

    running; stopped: it ended in order; dead: its process is gone, and it did not say so; silent:
    nothing is known of its process (it may be on another machine) or it lives, but no look has
    ended in time; unknown: somebody else wrote the file.
    """
    try:
        late = timedelta(seconds=float(beat["interval_seconds"]) + STALE_AFTER_SECONDS)
        silent = now - datetime.fromisoformat(beat["at"]) > late
    except (KeyError, TypeError, ValueError, OverflowError):
        return "unknown"
    if beat.get("state") != "running":
        return "stopped" if beat.get("state") == "stopped" else "unknown"
    if not may_be_alive(str(beat.get("process", ""))):
        return "dead"
    return "silent" if silent else "running"
