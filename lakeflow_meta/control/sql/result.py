"""What one SQL statement on control tables gave. Pure; not in `runner`, which loads slowly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lakeflow_meta.control.rows import Row


@dataclass(frozen=True, slots=True)
class SqlResult:
    """What one statement gave: rows of a SELECT, or how many rows it touched."""

    columns: tuple[str, ...] = ()
    rows: tuple[Row, ...] | None = None
    rows_affected: int = 0

    def to_dict(self) -> dict[str, Any]:
        """The JSON result of ``sql``."""
        if self.rows is None:
            return {"rows_affected": self.rows_affected}
        return {"rows": list(self.rows)}

    def __str__(self) -> str:
        if self.rows is None:
            return f"{self.rows_affected} row(s) affected"
        return f"{len(self.rows)} row(s)"
