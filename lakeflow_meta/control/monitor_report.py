"""What one look of the monitor found and did, and where it stands. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from lakeflow_meta.control.changes import Changes
from lakeflow_meta.errors import Problem
from lakeflow_meta.fingerprint import canonical_json


@dataclass(frozen=True, slots=True)
class JobUpdate:
    """A job that was made as its module says."""

    module: str
    job_id: int | None
    action: str

    def to_dict(self) -> dict[str, Any]:
        """With both words for a module: lakeflow-jobs-meta says job."""
        names = {"module": self.module, "job": self.module}
        return {**names, "job_id": self.job_id, "action": self.action}


@dataclass(slots=True)
class TickReport:
    """Filled step by step while the monitor works."""

    began_at: datetime
    previous: datetime | None
    files: dict[str, str] = field(default_factory=dict)
    """File name to new, changed, deleted, waiting (still being written) or invalid."""
    changes: Changes = field(default_factory=Changes)
    jobs: list[JobUpdate] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    @property
    def yaml_changes(self) -> bool:
        """Whether a file was taken, or is gone."""
        return any(what in ("new", "changed", "deleted") for what in self.files.values())

    def report(self, problems: Iterable[Problem]) -> None:
        """Rows that cannot be read: an error each, at every look until they are corrected."""
        texts = (str(problem) for problem in problems)
        self.errors += [text for text in texts if text not in self.errors]

    def to_dict(self) -> dict[str, Any]:
        """The dict of `check_and_update`."""
        table_changes = bool(self.changes)
        return {
            "timestamp": self.began_at.isoformat(),
            "changes_detected": self.yaml_changes or table_changes,
            "yaml_changes": self.yaml_changes,
            "table_changes": table_changes,
            "jobs_updated": [job.to_dict() for job in self.jobs],
            "errors": list(self.errors),
            "last_check_timestamp": self.previous.isoformat() if self.previous else None,
            "files": [{"file": name, "action": what} for name, what in sorted(self.files.items())],
            "changes": self.changes.to_dict(),
        }


def status_line(result: Mapping[str, Any]) -> str:
    """One look in one line, for people."""
    return f"{result['timestamp']} {said(result)}"


def said(result: Mapping[str, Any]) -> str:
    """`status_line` without its time."""
    files = ", ".join(f"{f['action']} {f['file']}" for f in result["files"])
    jobs = ", ".join(f"{j['action']} {j['module']}" for j in result["jobs_updated"])
    parts = [part for part in (files, jobs) if part]
    parts += (
        [f"{len(result['errors'])} error(s): {result['errors'][0]}"] if result["errors"] else []
    )
    if not parts:
        parts = ["changes not applied" if result["table_changes"] else "nothing changed"]
    return "; ".join(parts)


@dataclass(frozen=True, slots=True)
class FilesCursor:
    """Which contents of a folder were taken.

    ``files`` maps a name to its mark: the SHA-256 of its content and, where it uses variables, a
    digest of their values. ``defines`` names the variables that a file defined when it was taken.
    """

    files: Mapping[str, str] = field(default_factory=dict)
    defines: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    fence: int = 0

    def after(
        self,
        marks: Mapping[str, str],
        defines: Mapping[str, tuple[str, ...]],
        deleted: Iterable[str],
    ) -> FilesCursor:
        """The cursor once these files were taken."""
        gone = frozenset(deleted)
        files = {n: mark for n, mark in {**self.files, **marks}.items() if n not in gone}
        kept = {n: v for n, v in self.defines.items() if n not in gone and n not in marks}
        return FilesCursor(files, {**kept, **defines}, self.fence)

    def row(self, key: str) -> dict[str, Any]:
        """The row of ``etl_control_state`` that follows the recorded one."""
        defines = {name: list(names) for name, names in self.defines.items()}
        value = canonical_json({"files": dict(self.files), "defines": defines})
        return {"key": key, "value": value, "fence": self.fence + 1}


def read_cursor(value: str, fence: int | None) -> FilesCursor:
    """From its row. Raises ValueError, KeyError, TypeError for a row that somebody else wrote."""
    stored = json.loads(value)
    files = {str(name): str(mark) for name, mark in stored["files"].items()}
    defines = {name: tuple(names) for name, names in stored["defines"].items()}
    return FilesCursor(files, defines, fence or 0)
