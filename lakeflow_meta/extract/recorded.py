"""All extracts that the control tables hold, and the rows that cannot be used. Pure.

A row that cannot be read is reported with its key, and the others go on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from lakeflow_meta.control.rows import RowError, is_active
from lakeflow_meta.control.tables import EXTRACT_DETAILS, EXTRACTS
from lakeflow_meta.errors import Problem
from lakeflow_meta.extract.config import Extract
from lakeflow_meta.extract.rows import from_rows


@dataclass(frozen=True, slots=True)
class BadExtract:
    """Rows that cannot be used; nothing can be wrong with rows that are inactive."""

    extract_name: str
    is_active: bool
    problem: Problem
    group: str | None = None


@dataclass(frozen=True, slots=True)
class RecordedExtracts:
    """What the control tables hold: extracts by execution order, then name; inactive ones too."""

    extracts: tuple[Extract, ...] = ()
    bad: tuple[BadExtract, ...] = ()

    @property
    def active(self) -> tuple[Extract, ...]:
        """The extracts that are run."""
        return tuple(extract for extract in self.extracts if extract.is_active is not False)

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What is wrong with rows that are active, sorted."""
        return tuple(sorted({bad.problem for bad in self.bad if bad.is_active}))


def read_extracts(
    rows: Iterable[Mapping[str, Any]], details: Iterable[Mapping[str, Any]], *, table: str
) -> RecordedExtracts:
    """Put the rows of two tables together; ``table`` is the sources table, for problems."""
    ours, theirs = _by_name(rows), _by_name(details)
    found: list[Extract] = []
    bad: list[BadExtract] = []
    for name in sorted({*ours, *theirs}):
        mine, its = ours.get(name, []), theirs.get(name, [])
        try:
            found.append(from_rows(*_one_each(mine, its)))
        except RowError as error:
            active = all(map(is_active, [*mine, *its]))
            problem = Problem(f"{table}{EXTRACTS.suffix}", 0, 0, name, str(error), error.hint)
            groups = [row["execution_group"] for row in mine if row.get("execution_group")]
            group = groups[0] if groups else None
            bad.append(BadExtract(name, active, problem, group))
    found.sort(key=_run_order)
    return RecordedExtracts(tuple(found), tuple(bad))


def _by_name(rows: Iterable[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    found: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        found.setdefault(row.get("extract_name") or "''", []).append(row)
    return found


def _one_each(
    rows: list[Mapping[str, Any]], details: list[Mapping[str, Any]]
) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    for held, layout in ((rows, EXTRACTS), (details, EXTRACT_DETAILS)):
        if not held:
            hint = "add it, load the metadata again, or delete the other row"
            raise RowError(f"there is no row of it in …{layout.suffix}", hint)
        if len(held) > 1:
            message = f"{len(held)} rows of …{layout.suffix} have this key"
            raise RowError(message, "delete all but one of them")
    return rows[0], details[0]


def _run_order(extract: Extract) -> tuple[bool, int, str]:
    order = extract.execution_order
    return (order is None, order or 0, extract.extract_name)
