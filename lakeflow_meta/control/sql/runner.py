"""Runs checked SQL on control tables: one statement after the other, each one transaction.

What a statement is going to write is looked at first: JSON columns hold JSON, keys are there and
stay unique, no row is changed twice. What is refused is refused before anything of that statement
is written.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from lakeflow_meta.arrow_values import rows_of, values_of
from lakeflow_meta.control.sql.result import SqlResult
from lakeflow_meta.control.sql.row_edits import Action, RowEdit, edited_twice
from lakeflow_meta.control.sql.statements import Change, Insert, Select, Statement, parse_statements
from lakeflow_meta.control.tables import EVENTS, ControlTables, TableLayout
from lakeflow_meta.errors import (
    BackendError,
    ConflictError,
    LakeflowMetaError,
    Problem,
    RunFailedError,
    SpecError,
)
from lakeflow_meta.names import TableName
from lakeflow_meta.ports import Actor, Clock, ControlStore, Row

_JSON_SHAPES: Mapping[str, type] = {
    "source_config": dict,
    "target_config": dict,
    "transformation_config": dict,
    "job_config": dict,
    "definition": dict,
    "ddl_targets": list,
    "source_parameters": dict,
    "source_columns": list,
}


class SqlRunner:
    """Runs SQL that people type on the control tables of one family."""

    def __init__(
        self,
        store: ControlStore,
        tables: ControlTables,
        *,
        actor: Actor,
        clock: Clock,
    ) -> None:
        self._store = store
        self._tables = tables
        self._actor = actor
        self._clock = clock

    def run(self, text: str) -> list[SqlResult]:
        """Run every statement, in order; one result a statement.

        Raises SpecError, before anything runs, when any statement may not run. A statement that
        fails ends the run; if another one ran before it, RunFailedError carries those results.
        """
        statements = parse_statements(text, self._tables, now=self._clock())
        self._ensure(statements)
        done: list[SqlResult] = []
        for number, statement in enumerate(statements, 1):
            try:
                done.append(self._run(statement))
            except LakeflowMetaError as error:
                if len(statements) == 1:
                    raise
                raise _stopped(number, statements, done, error) from error
        return done

    def _ensure(self, statements: Sequence[Statement]) -> None:
        """Make the tables that the statements name, and the journal of those that write."""
        named = {table for statement in statements for table in statement.tables}
        layouts = {table.name.lower(): (table, lay) for table, lay in self._tables.all().items()}
        if any(not isinstance(statement, Select) for statement in statements):
            named.add(self._tables.of(EVENTS).name.lower())
        for name in sorted(named):
            self._store.ensure(*layouts[name])

    def _run(self, statement: Statement) -> SqlResult:
        match statement:
            case Select():
                found = self._store.select(statement.query, self._names())
                return SqlResult(tuple(found.schema.names), tuple(rows_of(found)))
            case Insert():
                return self._insert(statement)
            case Change():
                return self._change(statement)

    # --- INSERT

    def _insert(self, statement: Insert) -> SqlResult:
        """With a key: a MERGE that only inserts, so that a row of somebody else is never doubled.

        Where somebody inserts the same key between the check and the write, theirs stays.
        """
        table, layout = statement.table, statement.layout
        rows = [self._filled(row, layout) for row in self._given(statement)]
        _check_values(table, layout, rows)
        if not layout.keys:
            self._store.append(table, rows, note=self._note())
            return self._done(table, "inserted", len(rows))
        self._check_keys(table, layout, [_key(row, layout) for row in rows], ())
        others = [name for name in rows[0] if name not in layout.keys] if rows else []
        result = self._store.merge(
            table, rows, keys=layout.keys, insert_only=others, note=self._note()
        )
        found = self._done(table, "inserted", result.inserted)
        if result.inserted < len(rows):
            raise ConflictError(
                f"{table}: somebody inserted {len(rows) - result.inserted} of these keys at the"
                f" same time; theirs stay, {result.inserted} row(s) were inserted"
            )
        return found

    def _given(self, statement: Insert) -> list[Row]:
        values: Iterable[Sequence[Any]] = statement.rows
        if statement.query is not None:
            found = self._store.select(statement.query, self._names())
            values = zip(*map(values_of, found.columns), strict=True)
        return [dict(zip(statement.columns, row, strict=True)) for row in values]

    def _filled(self, row: Row, layout: TableLayout) -> Row:
        stamps = layout.stamps.of(self._clock(), self._actor())
        for name, value in {**dict(layout.switches), **stamps}.items():
            if name in layout.names and row.get(name) is None:
                row[name] = value
        return row

    # --- UPDATE, DELETE, MERGE

    def _change(self, statement: Change) -> SqlResult:
        table, layout = statement.table, statement.layout
        done: list[Sequence[RowEdit]] = []

        def check(edits: Sequence[RowEdit]) -> None:
            done[:] = [edits]
            self._check_edits(table, layout, edits)

        count = self._store.change(
            table, statement.query, self._names(), check=check, note=self._note()
        )
        return self._done(table, _what(done[0] if done else ()), count)

    def _check_edits(self, table: TableName, layout: TableLayout, edits: Sequence[RowEdit]) -> None:
        twice = edited_twice(edits)
        if twice:
            raise BackendError(
                f"{table}: more than one row of the source matches {_shown(twice)};"
                " make the rows of USING unique by what ON compares",
                code="DUPLICATE_SOURCE",
            )
        kept = [edit for edit in edits if edit.action is not Action.DELETE]
        _check_values(table, layout, [_named(edit, layout) for edit in kept], of_edits=True)
        if not layout.keys:
            return
        moved = [(edit.key, _key_after(edit, layout)) for edit in kept]
        new = [after for before, after in moved if before != after]
        if new:
            self._check_keys(table, layout, new, {edit.key for edit in edits})

    # --- what must hold

    def _check_keys(
        self,
        table: TableName,
        layout: TableLayout,
        new: Sequence[tuple[Any, ...]],
        leaving: Collection[tuple[Any, ...]],
    ) -> None:
        """Raises SpecError for a key with nothing in it, ConflictError for one that is taken."""
        for key in new:
            empty = [n for n, v in zip(layout.keys, key, strict=True) if v is None or v == ""]
            if empty:
                path = "/".join(map(str, key))
                message = f"{empty[0]} is empty, and it is part of the key"
                raise SpecError([Problem(str(table), 0, 0, path, message)])
        first = sorted({key[0] for key in new})
        found = self._store.read(table, columns=layout.keys, where={layout.keys[0]: first})
        taken = {_key(row, layout) for row in rows_of(found)} - set(leaving)
        counted = Counter(new)
        again = sorted({key for key in new if key in taken or counted[key] > 1}, key=str)
        if again:
            raise ConflictError(
                f"{table} already has {_shown(again)}; use UPDATE or MERGE, or DELETE it first"
            )

    # --- names and events

    def _names(self) -> dict[str, TableName]:
        return {table.name.lower(): table for table in self._tables.all()}

    def _note(self) -> dict[str, str]:
        return {"actor": self._actor(), "verb": "sql"}

    def _done(self, table: TableName, what: str, count: int) -> SqlResult:
        if count:
            event = {
                "at": self._clock(),
                "actor": self._actor(),
                "verb": "sql",
                "object": table.name,
                "action": f"{count} {what}",
                "outcome": "done",
            }
            self._store.append(self._tables.of(EVENTS), [event], note=self._note())
        return SqlResult(rows_affected=count)


def _stopped(
    number: int, statements: Sequence[Statement], done: Sequence[SqlResult], error: Exception
) -> RunFailedError:
    lines = [
        f"statement {number} of {len(statements)} ({statements[number - 1].name}) failed: {error}",
        *(
            f"  statement {n} ({statement.name}) ran: {result}"
            for n, (statement, result) in enumerate(zip(statements, done, strict=False), 1)
        ),
        *(
            f"  statement {n} ({statement.name}) did not run"
            for n, statement in enumerate(statements[number:], number + 1)
        ),
    ]
    return RunFailedError("\n".join(lines), tuple(done))


def _check_values(
    table: TableName, layout: TableLayout, rows: Sequence[Row], *, of_edits: bool = False
) -> None:
    """Raises SpecError that names every value that its column must not hold."""
    needed = [c.name for c in layout.columns if not c.nullable]
    problems = []
    for row in rows:
        path = "/".join(str(value) for value in _key(row, layout))
        for name in needed:
            if row.get(name) is None and (name in row or not of_edits):
                problems.append(Problem(str(table), 0, 0, path, f"{name} is NULL"))
        for name, shape in _JSON_SHAPES.items():
            if name in row and not _is_json(row[name], shape):
                what = "an object" if shape is dict else "a list"
                message = f"{name} is not JSON, or not {what}: {str(row[name])[:100]!r}"
                problems.append(Problem(str(table), 0, 0, path, message))
    if problems:
        raise SpecError(problems)


def _is_json(text: Any, shape: type) -> bool:
    if text is None or not str(text).strip():
        return True
    try:
        return isinstance(json.loads(text), shape)
    except (ValueError, RecursionError):
        return False


def _key(row: Row, layout: TableLayout) -> tuple[Any, ...]:
    return tuple(row.get(name) for name in layout.keys)


def _named(edit: RowEdit, layout: TableLayout) -> Row:
    """What is written of a row, with the key that it will have."""
    return dict(zip(layout.keys, edit.key, strict=True)) | edit.after


def _key_after(edit: RowEdit, layout: TableLayout) -> tuple[Any, ...]:
    return tuple(
        edit.after.get(name, before) for name, before in zip(layout.keys, edit.key, strict=True)
    )


def _shown(keys: Sequence[tuple[Any, ...]]) -> str:
    shown = ["/".join(map(str, key)) for key in keys[:5]]
    more = f" and {len(keys) - 5} more" if len(keys) > 5 else ""
    return ", ".join(shown) + more


def _what(edits: Sequence[RowEdit]) -> str:
    """What was done, for the journal: "updated", or several words in the order of the alphabet."""
    words = {Action.UPDATE: "updated", Action.DELETE: "deleted", Action.INSERT: "inserted"}
    return ", ".join(sorted({words[edit.action] for edit in edits}))
