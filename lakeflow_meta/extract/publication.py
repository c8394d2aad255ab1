"""What a run has written and is to publish: the note that decides it. Pure.

The note is written when all files are whole, before the first of them gets its name. From then on
the run is decided: whoever finds the note does what is left of it, and ends as the run itself would
have ended.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from lakeflow_meta.errors import BackendError
from lakeflow_meta.extract.selection import Watermark
from lakeflow_meta.fingerprint import canonical_json

_FORM = 1
"""Of the note; another package version may find it."""


@dataclass(frozen=True, slots=True)
class WrittenFile:
    """One file that holds rows. ``staged`` is its name as long as it has no other.

    ``content_bytes``: before compression; of parquet the size of the file.
    """

    name: str
    staged: str
    rows: int
    size_bytes: int
    content_bytes: int
    sha256: str
    entries: tuple[Mapping[str, Any], ...] = ()
    """Of an archive: name, rows and bytes of what is in it."""


@dataclass(frozen=True, slots=True)
class Publication:
    """Everything that is left to do for a run, in the order of its fields."""

    extract_name: str
    run_id: str
    folder: str
    removed: tuple[str, ...]
    """Names that are deleted before: the trigger of a former run first."""
    renamed: tuple[tuple[str, str], ...]
    """Staged name and name; the trigger last."""
    watermark: Watermark | None
    watermark_fence: int
    """Fence of the recorded watermark that this run saw."""
    row: Mapping[str, Any]
    """The row of the table of runs that says `SUCCESS`."""

    def to_json(self) -> str:
        """The note."""
        value = asdict(self)
        value["form"] = _FORM
        value["watermark"] = self.watermark.to_dict() if self.watermark else None
        value["row"] = {name: _written(item) for name, item in self.row.items()}
        return canonical_json(value)

    @classmethod
    def from_json(cls, text: str) -> Publication:
        """What `to_json` gave. Raises BackendError where it cannot be read."""
        try:
            value = json.loads(text)
            if value.pop("form") != _FORM:
                raise BackendError(
                    "a newer version of this package left a run that is not over; use that version",
                    code="NEWER_NOTE",
                )
            watermark = value.pop("watermark")
            return cls(
                removed=tuple(value.pop("removed")),
                renamed=tuple((staged, name) for staged, name in value.pop("renamed")),
                watermark=Watermark.from_dict(watermark) if watermark else None,
                row={name: _read(item) for name, item in value.pop("row").items()},
                **value,
            )
        except (ValueError, KeyError, TypeError) as error:
            raise BackendError("the note of a run cannot be read", code="BAD_NOTE") from error


def _written(value: Any) -> Any:
    return {"at": value.isoformat()} if isinstance(value, datetime) else value


def _read(value: Any) -> Any:
    return datetime.fromisoformat(value["at"]) if isinstance(value, dict) else value


def manifest_text(
    extract_name: str, run_id: str, run_at: datetime, files: tuple[WrittenFile, ...]
) -> str:
    """The file that lists the others, for whoever takes them."""
    document = {
        "extract_name": extract_name,
        "run_id": run_id,
        "run_timestamp": run_at.isoformat(),
        "rows": sum(file.rows for file in files),
        "files": [file_entry(file) for file in files],
    }
    return json.dumps(document, ensure_ascii=False, indent=2) + "\n"


def file_entry(file: WrittenFile) -> dict[str, Any]:
    """One file as JSON."""
    entry: dict[str, Any] = {
        "name": file.name,
        "rows": file.rows,
        "bytes": file.size_bytes,
        "sha256": file.sha256,
    }
    if file.entries:
        entry["entries"] = [dict(each) for each in file.entries]
    return entry
