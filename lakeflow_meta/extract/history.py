"""Rows of the table of runs: what is written of a run, and what is read of former ones. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from lakeflow_meta.control.rows import Row
from lakeflow_meta.control.tables import EXTRACT_RUNS
from lakeflow_meta.extract.config import Extract
from lakeflow_meta.extract.publication import WrittenFile, file_entry
from lakeflow_meta.extract.rules import object_name
from lakeflow_meta.extract.selection import Selection, Watermark
from lakeflow_meta.extract.words import SourceKind
from lakeflow_meta.fingerprint import canonical_json, fingerprint

KEYS = ("log_id",)
"""A row is written once, however often its run is completed."""
_MESSAGE = 8000
"""Characters; more would only fill the table."""
LOST = "the process ended before its files were whole; nothing of it was published"


class RunStatus(StrEnum):
    """The words of ``run_status``."""

    IN_PROGRESS = "IN_PROGRESS"
    SUCCESS = "SUCCESS"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class RunStart:
    """One extract of one run, when it begins."""

    extract: Extract
    run_id: str
    run_at: datetime
    started_at: datetime
    actor: str = ""
    memory_mb: int | None = None

    def row(self) -> Row:
        """What is known before anything is read."""
        return {
            **_EMPTY,
            **_of_source(self.extract),
            "log_id": _log_id(self.extract.extract_name, self.run_id, RunStatus.IN_PROGRESS),
            "extract_name": self.extract.extract_name,
            "execution_group": self.extract.group,
            "run_id": self.run_id,
            "run_timestamp": self.run_at,
            "run_status": str(RunStatus.IN_PROGRESS),
            "run_type": self.extract.load.mode.upper(),
            "output_format": str(self.extract.file.format),
            "output_file_path": self.extract.target.path,
            "is_compressed": self.extract.compression is not None,
            "compression_type": (
                self.extract.compression.type.upper() if self.extract.compression else None
            ),
            "start_time": self.started_at,
            "memory_usage_mb_before": self.memory_mb,
            "created_by": self.actor or None,
            "created_timestamp": self.started_at,
            "definition_fingerprint": fingerprint(self.extract.document()),
        }


_EMPTY: Row = dict.fromkeys(EXTRACT_RUNS.names)


def _of_source(extract: Extract) -> Row:
    source = extract.source
    kind, text = next((kind, text) for kind, text in source.named() if text is not None)
    row: Row = {"source_type": str(kind), "source_object": text}
    if kind in (SourceKind.QUERY, SourceKind.TEMPLATE):
        return row
    catalog, schema, name = object_name(text or "", source.datastore)
    return row | {"source_object": name, "source_schema": schema, "lakehouse_id": catalog}


def _log_id(extract_name: str, run_id: str, status: RunStatus) -> int:
    """The same for the same row, so that a row that was written is known again."""
    text = canonical_json([extract_name, run_id, status])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) >> 1


def _ended(start: Row, status: RunStatus, now: datetime, memory_mb: int | None) -> Row:
    seconds = max((now - start["start_time"]) / timedelta(seconds=1), 0.0)
    return {
        **start,
        "log_id": _log_id(start["extract_name"], start["run_id"], status),
        "run_status": str(status),
        "end_time": now,
        "duration_seconds": round(seconds),
        "memory_usage_mb_after": memory_mb,
        "created_timestamp": now,
    }


def succeeded(
    start: RunStart,
    *,
    rows_extracted: int,
    files: Sequence[WrittenFile],
    trigger: str | None,
    selection: Selection,
    watermark: Watermark | None,
    now: datetime,
    memory_mb: int | None = None,
) -> Row:
    """The last row of a run whose files are whole."""
    row = _ended(start.row(), RunStatus.SUCCESS, now, memory_mb)
    rows = sum(file.rows for file in files)
    seconds = max((now - start.started_at) / timedelta(seconds=1), 0.001)
    folder = start.extract.target.path
    first, size = files[0].name, sum(file.size_bytes for file in files)
    held = [entry["name"] for entry in files[0].entries]
    row |= {
        "output_file_name": held[0] if held else first,
        "output_file_size_bytes": sum(file.content_bytes for file in files),
        "rows_extracted": rows_extracted,
        "rows_written": rows,
        "files_generated": sum(len(file.entries) or 1 for file in files),
        "trigger_file_created": trigger is not None,
        "trigger_file_path": f"{folder}/{trigger}" if trigger else None,
        "throughput_rows_per_second": min(round(rows / seconds), 2**31 - 1),
        "watermark_before": selection.after.text if selection.after else None,
        "watermark_after": watermark.text if watermark else None,
        "files": canonical_json([file_entry(file) for file in files]),
    }
    if row["is_compressed"]:
        row |= {
            "compressed_file_path": folder,
            "compressed_file_name": first,
            "compressed_file_size_bytes": size,
        }
    if selection.period is not None:
        row["period_start"], row["period_end"] = selection.period.moments()
    return row


def failed(
    start: Row, message: str, now: datetime, *, details: str = "", memory_mb: int | None = None
) -> Row:
    """The last row of a run that published nothing; ``start`` is its first row."""
    row = _ended(start, RunStatus.FAILED, now, memory_mb)
    return row | {"error_message": message[:_MESSAGE], "error_details": details[:_MESSAGE] or None}


def unfinished(rows: Iterable[Row]) -> list[Row]:
    """First rows of runs that have no last one, the oldest first."""
    by_run: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        by_run.setdefault((row["extract_name"], row["run_id"]), []).append(row)
    found = [
        run[0]
        for run in by_run.values()
        if {row["run_status"] for row in run} == {RunStatus.IN_PROGRESS}
    ]
    return sorted(found, key=lambda row: row["run_timestamp"])


def to_be_repeated(rows: Iterable[Mapping[str, Any]]) -> set[str]:
    """Extracts whose latest run did not succeed: it failed, or never ended."""
    latest: dict[str, tuple[datetime, bool]] = {}
    for row in rows:
        name, at = row["extract_name"], row["run_timestamp"]
        before, succeeded_then = latest.get(name, (at, False))
        success = row["run_status"] == RunStatus.SUCCESS
        if at > before:
            latest[name] = (at, success)
        elif at == before:
            latest[name] = (at, success or succeeded_then)
    return {name for name, (_, success) in latest.items() if not success}
