"""What a run of extracts did, or would do, extract by extract. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from lakeflow_meta.errors import RunFailedError
from lakeflow_meta.extract.config import Extract


class ExtractStatus(StrEnum):
    """How an extract came out. ``PLANNED`` only in a dry run; ``SKIPPED``: it is not active."""

    SUCCESS = "success"
    FAILED = "failed"
    SKIPPED = "skipped"
    PLANNED = "planned"


_MARKS = {
    ExtractStatus.SUCCESS: "✓",
    ExtractStatus.FAILED: "✗",
    ExtractStatus.SKIPPED: "-",
    ExtractStatus.PLANNED: "+",
}


@dataclass(frozen=True, slots=True)
class ExtractOutcome:
    """One extract. ``files`` are names in ``folder``, the trigger last; ``data_files`` of them hold
    rows.

    ``completed``: former runs that had died, and that were brought to their end first.
    """

    extract_name: str
    status: ExtractStatus
    source: str = ""
    format: str = ""
    folder: str = ""
    files: tuple[str, ...] = ()
    data_files: int = 0
    rows: int = 0
    size_bytes: int = 0
    seconds: float = 0.0
    watermark: str | None = None
    completed: tuple[str, ...] = ()
    statement: str | None = None
    error: str = ""

    @classmethod
    def of(cls, extract: Extract, status: ExtractStatus, **values: Any) -> ExtractOutcome:
        """With what the declaration says."""
        return cls(
            extract.extract_name,
            status,
            source=described(extract),
            format=str(extract.file.format),
            folder=extract.target.path,
            **values,
        )

    def lines(self) -> Iterator[str]:
        """For people."""
        kind = f" ({self.source.split(' ')[0]}, {self.format})" if self.source else ""
        yield f"{_MARKS[self.status]} {self.extract_name}{kind}: {self._result()}"
        if self.status is ExtractStatus.PLANNED:
            yield from (f"    {line}" for line in (self.statement or "").splitlines())
        yield from (
            f"    run {run_id} had died, and was completed first" for run_id in self.completed
        )

    def _result(self) -> str:
        match self.status:
            case ExtractStatus.SUCCESS:
                rate = _thousands(self.rows / self.seconds) if self.seconds > 0 else "0"
                return (
                    f"{_count(self.rows, 'row')}, {_count(self.data_files, 'file')},"
                    f" {self.size_bytes:,} bytes in {self.seconds:.1f} s ({rate} rows/s)"
                    f" → {self.folder}/{self.files[0]}"
                )
            case ExtractStatus.PLANNED:
                after = f" after {self.watermark}" if self.watermark else ""
                return f"would write rows{after} to {self.folder}/{', '.join(self.files)}"
            case ExtractStatus.SKIPPED:
                return "not active"
            case ExtractStatus.FAILED:
                return self.error

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "status": str(self.status),
            "source": self.source or None,
            "format": self.format or None,
            "folder": self.folder or None,
            "files": list(self.files),
            "data_files": self.data_files,
            "rows": self.rows,
            "bytes": self.size_bytes,
            "seconds": round(self.seconds, 3),
            "watermark": self.watermark,
            "completed_runs": list(self.completed),
            **({"statement": self.statement} if self.statement is not None else {}),
            "error": self.error or None,
        }


def described(extract: Extract) -> str:
    """``TABLE main.gold.customers``; of a query only that it is one."""
    kind, text = next((k, t) for k, t in extract.source.named() if t is not None)
    return str(kind) if extract.source.query is not None else f"{kind} {text}"


def _thousands(number: float) -> str:
    return f"{number / 1000:.1f}K" if number >= 1000 else f"{number:.0f}"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


@dataclass(frozen=True, slots=True)
class ExtractsReport:
    """All extracts of a run, in the order they were started in."""

    outcomes: tuple[ExtractOutcome, ...]
    run_id: str
    group: str | None = None
    seconds: float = 0.0
    dry_run: bool = False

    def of(self, status: ExtractStatus) -> Sequence[ExtractOutcome]:
        """Those that came out so."""
        return [outcome for outcome in self.outcomes if outcome.status is status]

    @property
    def success_rate(self) -> float:
        """Percent of the extracts that ran; 0 where none did."""
        succeeded, failed = (
            len(self.of(status)) for status in (ExtractStatus.SUCCESS, ExtractStatus.FAILED)
        )
        return 100.0 * succeeded / (succeeded + failed) if succeeded + failed else 0.0

    @property
    def has_failures(self) -> bool:
        """Whether an extract failed."""
        return bool(self.of(ExtractStatus.FAILED))

    def raise_failures(self) -> None:
        """Raise RunFailedError with this report where an extract failed."""
        if failed := self.of(ExtractStatus.FAILED):
            first = failed[0]
            reason = first.error.splitlines()[0] if first.error else ""
            title = f"{len(failed)} of {_count(len(self.outcomes), 'extract')} failed"
            raise RunFailedError(f"{title}: {first.extract_name}: {reason}", self)

    def lines(self) -> Iterator[str]:
        """For people: each extract, then a total."""
        for outcome in self.outcomes:
            yield from outcome.lines()
        if not self.outcomes:
            yield "no extracts: nothing to do"
            return
        counts = [(status, len(self.of(status))) for status in ExtractStatus]
        shown = ", ".join(f"{count} {status}" for status, count in counts if count)
        total = f"{_count(len(self.outcomes), 'extract')}: {shown}"
        if self.dry_run:
            yield total
            return
        group = f", group {self.group}" if self.group else ""
        yield f"{total} in {self.seconds:.1f} s"
        yield f"run {self.run_id}{group}: success rate {self.success_rate:.1f}%"

    def to_dict(self) -> dict[str, Any]:
        """As JSON: a summary, and each extract by its name."""
        return {
            "run_id": self.run_id,
            "dry_run": self.dry_run,
            "group": self.group,
            "total": len(self.outcomes),
            **{str(status): len(self.of(status)) for status in ExtractStatus},
            "success_rate": round(self.success_rate, 1),
            "rows": sum(outcome.rows for outcome in self.outcomes),
            "seconds": round(self.seconds, 3),
            "extracts": {outcome.extract_name: outcome.to_dict() for outcome in self.outcomes},
        }
