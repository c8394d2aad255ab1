"""Declared tables: the list, and one with its columns, its live state and its history."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from lakeflow_meta.control.row_changes import RowChange
from lakeflow_meta.control.sync import TIMES
from lakeflow_meta.control.tables import TABLES
from lakeflow_meta.errors import LakeflowMetaError, NotFoundError
from lakeflow_meta.names import TableName
from lakeflow_meta.schema.live import LiveTable, LiveView, Unreadable
from lakeflow_meta.ui.blocks import (
    Banner,
    Block,
    Cell,
    Code,
    Facts,
    Kind,
    Link,
    Mark,
    Output,
    Page,
    Place,
    Table,
    Text,
    Tone,
    place,
)
from lakeflow_meta.ui.definition_changes import definition_lines
from lakeflow_meta.ui.module_pages import pretty
from lakeflow_meta.ui.named_list import named_list

if TYPE_CHECKING:
    from lakeflow_meta.control.rows import Row
    from lakeflow_meta.ports import Commit
    from lakeflow_meta.schema.live import TableState
    from lakeflow_meta.ui.snapshot import Snapshot

_COMMITS = 200
"""How many commits of the control table are looked through for changes of one table."""
_CHANGES = 20


def tables(snapshot: Snapshot, at: Place) -> Page:
    """Declared tables by name, or those whose name holds a text."""
    rows = [(str(row["table_name"]), row) for row in snapshot.rows(TABLES)]
    return named_list(
        at,
        "Tables",
        ("table", "recorded", "columns", "module", "changed"),
        sorted(rows, key=itemgetter(0)),
        lambda row: _table_row(snapshot, row),
        "no table is declared",
    )


def _table_row(snapshot: Snapshot, row: Row) -> tuple[Cell, ...]:
    name, module = str(row["table_name"]), row["module_name"]
    known = module in snapshot.recorded.modules
    return (
        Link(name, place(Kind.TABLE, name=name)),
        _recorded_mark(row),
        len(_columns(_definition(row))),
        Link(module, place(Kind.MODULE, name=module)) if known else module,
        row["updated_timestamp"],
    )


def _recorded_mark(row: Row) -> Mark:
    if row["is_active"] is False:
        return Mark("inactive", Tone.OFF)
    if row["applied_fingerprint"]:
        return Mark("synced before", Tone.GOOD)
    return Mark("never synced", Tone.WAITING)


def _definition(row: Row) -> Mapping[str, Any]:
    """What is declared; nothing where the row holds no JSON object."""
    try:
        value = json.loads(row["definition"] or "")
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _columns(definition: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The declared columns, of either form."""
    found = definition.get("columns")
    if isinstance(found, dict):
        return [
            {"name": n, **(b if isinstance(b, dict) else {"type": b})} for n, b in found.items()
        ]
    columns = found if isinstance(found, list) else []
    return [column for column in columns if isinstance(column, dict)]


# --------------------------------------------------------------------------- one table


def table_page(snapshot: Snapshot, at: Place) -> Page:
    """One declared table. Raises NotFoundError."""
    name = at.get("name")
    row = next((row for row in snapshot.rows(TABLES) if str(row["table_name"]) == name), None)
    if row is None:
        raise NotFoundError(f"no table {name!r} is declared")
    live = _live(snapshot, name)
    blocks: list[Block] = [Banner(_recorded_mark(row), _comment(row)), _facts(snapshot, row, live)]
    blocks.append(_column_table(_columns(_definition(row)), live))
    blocks += _history(snapshot, name)
    blocks.append(
        Output("Definition as recorded", pretty(_definition(row)) if row["definition"] else "")
    )
    return Page(at, name, blocks, (Link("Tables", place(Kind.TABLES)),))


def _comment(row: Row) -> str:
    return str(_definition(row).get("comment") or "")


def _live(snapshot: Snapshot, name: str) -> TableState | str:
    """What stands at the name now, or why that cannot be told."""
    try:
        parsed = TableName.parse(name)
        return snapshot.app.table_reader.describe([parsed]).get(parsed)
    except LakeflowMetaError as error:
        return str(error)


def _facts(snapshot: Snapshot, row: Row, live: TableState | str) -> Facts:
    module = row["module_name"]
    known = module in snapshot.recorded.modules
    return Facts(
        (
            ("module", Link(module, place(Kind.MODULE, name=module)) if known else module),
            ("live", _live_mark(live)),
            ("live version", live.version if isinstance(live, LiveTable) else None),
            ("state after the last sync", row["applied_version"]),
            ("definition applied", Code(row["applied_fingerprint"] or "never")),
            ("recorded", row["created_timestamp"]),
            ("changed", row["updated_timestamp"]),
        )
    )


def _live_mark(live: TableState | str) -> Mark:
    match live:
        case LiveTable():
            return Mark("there", Tone.GOOD)
        case LiveView():
            return Mark("there, a view", Tone.GOOD)
        case Unreadable():
            return Mark(live.reason, Tone.BAD)
        case None:
            return Mark("not made yet", Tone.WAITING)
        case _:
            return Mark(live, Tone.BAD)


def _column_table(columns: Sequence[Mapping[str, Any]], live: TableState | str) -> Table:
    there = live if isinstance(live, LiveTable) else None
    rows: list[tuple[Cell, ...]] = []
    for column in columns:
        found = there.column(str(column.get("name"))) if there else None
        rows.append(
            (
                str(column.get("name")),
                Code(str(column.get("type") or "")),
                Code(str(found.data_type)) if found else None,
                "" if column.get("nullable") is not False else "not null",
                str(column.get("comment") or ""),
            )
        )
    undeclared = [c for c in there.columns if c.name not in {r[0] for r in rows}] if there else []
    rows += [(c.name, None, Code(str(c.data_type)), "", "live, not declared") for c in undeclared]
    return Table("Columns", ("column", "declared", "live", "null", "comment"), rows)


# --------------------------------------------------------------------------- its history


def _history(snapshot: Snapshot, name: str) -> Iterator[Block]:
    rows: list[tuple[Cell, ...]] = []
    for commit, change in _changes(snapshot, name):
        actor = commit.metadata.get("actor") or commit.metadata.get("userName")
        verb = commit.metadata.get("verb") or commit.operation
        what = "; ".join(definition_lines(change))
        rows.append((commit.at, commit.version, actor, verb, change.action, what))
    columns = ("when", "version", "who", "did", "action", "what")
    yield Table("History of the definition, the newest first", columns, rows, "no change is known")
    if len(snapshot.commits(TABLES)) > _COMMITS:
        yield Text(f"Only the newest {_COMMITS} commits were looked through.")


def _changes(snapshot: Snapshot, name: str) -> list[tuple[Commit, RowChange]]:
    """What commits changed of the one row, the newest first; up to where history is kept."""
    app, table = snapshot.app, snapshot.app.tables.of(TABLES)
    found: list[tuple[Commit, RowChange]] = []
    commits = [commit for commit in snapshot.commits(TABLES) if commit.version > 0]
    for commit in commits[: -_COMMITS - 1 : -1]:
        try:
            changed = app.store.changed_rows(
                table,
                commit.version - 1,
                until=commit.version,
                keys=TABLES.keys,
                ignore=TIMES,
                where={"table_name": name},
            )
        except NotFoundError:
            break
        found += [(commit, change) for change in changed]
        if len(found) >= _CHANGES:
            break
    return found
