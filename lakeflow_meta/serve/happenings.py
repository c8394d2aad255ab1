"""What `serve` tells: one line for people, one JSON document for programs. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any


class What(StrEnum):
    """What happened."""

    STARTED = "started"
    ENDED = "ended"
    SKIPPED = "skipped"
    MISSED = "missed"
    WAITS = "waits"
    FAILED = "failed"
    JOB_ADDED = "job added"
    JOB_CHANGED = "job changed"
    JOB_REMOVED = "job removed"
    MONITOR = "monitor"
    ORCHESTRATOR = "orchestrator"
    SERVE = "serve"


_SIGNS = {
    What.STARTED: "▶",
    What.SKIPPED: "·",
    What.MISSED: "·",
    What.WAITS: "·",
    What.FAILED: "✗",
    What.JOB_ADDED: "+",
    What.JOB_CHANGED: "~",
    What.JOB_REMOVED: "-",
}


@dataclass(frozen=True, slots=True)
class Happening:
    """One thing that happened. ``state`` and ``seconds`` are of a run that has ended."""

    at: datetime
    what: What
    text: str = ""
    job_name: str = ""
    job_id: int | None = None
    run_id: int | None = None
    state: str = ""
    seconds: float | None = None
    bad: bool = False

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it; what does not apply is left out."""
        fields = {
            "at": self.at.isoformat(),
            "what": str(self.what),
            "job_name": self.job_name,
            "job_id": self.job_id,
            "run_id": self.run_id,
            "state": self.state,
            "seconds": None if self.seconds is None else round(self.seconds, 3),
            "text": self.text,
        }
        return {name: value for name, value in fields.items() if value not in ("", None)}

    def line(self) -> str:
        """For people: when, what, and why."""
        sign = _SIGNS.get(self.what, "✗" if self.bad else "✓" if self.state else "·")
        took = "" if self.seconds is None else f" in {self.seconds:.1f} s"
        run = "" if self.run_id is None else f" (run {self.run_id})"
        said = self.state or self.what
        head = f"{self.job_name} {said}{took}{run}" if self.job_name else str(said)
        text = f": {self.text}" if self.text else ""
        return f"{self.at.isoformat(sep=' ', timespec='seconds')}  {sign} {head}{text}"
