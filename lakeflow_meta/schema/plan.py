"""What a sync would do: differences, the SQL that works them off, and what is refused. Pure.

A plan's statements are the ones that run, letter by letter; a plan with a refusal has none. What
only the data can tell is a query of the plan: `TablePlan.answered` is the plan when it was asked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, assert_never

from lakeflow_meta.names import TableName
from lakeflow_meta.schema.capabilities import Capabilities
from lakeflow_meta.schema.change import Change, ChangeLine
from lakeflow_meta.schema.column_changes import ChangeNullability, RemoveColumns
from lakeflow_meta.schema.constraint_changes import DropPrimaryKey
from lakeflow_meta.schema.data_query import data_query
from lakeflow_meta.schema.diff import (
    ReferencedColumns,
    compare_table,
    compare_view,
    in_order,
    new_tags_and_keys,
)
from lakeflow_meta.schema.field_paths import Path
from lakeflow_meta.schema.live import LiveTable, LiveView, TableState, Unreadable
from lakeflow_meta.schema.table import Declared, DeltaTable, DroppedTable, View
from lakeflow_meta.schema.table_changes import DropTable, RenameTable
from lakeflow_meta.schema.validate import judge
from lakeflow_meta.schema.verdict import Question, Rejection, Rule, Verdict


class Outlook(StrEnum):
    """What a sync would do to a table."""

    CREATE = "create"
    CHANGE = "change"
    DROP = "drop"
    UNCHANGED = "unchanged"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class TablePlan:
    """One table: what differs, the statements that make it so, and what stands against it.

    ``lines`` shows every difference, also those of a rejected table. ``version`` is the table's
    Delta version, None where it cannot be seen. ``query`` counts what ``questions`` ask for, a
    column of its one row each. ``unhinged`` are other tables that lose a foreign key by the plan.
    """

    table: Declared
    outlook: Outlook
    lines: tuple[ChangeLine, ...] = ()
    statements: tuple[str, ...] = ()
    rejections: tuple[Rejection, ...] = ()
    notes: tuple[str, ...] = ()
    version: int | None = None
    questions: tuple[Question, ...] = ()
    query: str = ""
    unhinged: tuple[TableName, ...] = ()

    @property
    def name(self) -> TableName:
        """The table."""
        return self.table.full_name

    @property
    def has_work(self) -> bool:
        """Whether a sync would run statements."""
        return bool(self.statements)

    @property
    def is_as_declared(self) -> bool:
        """Whether nothing differs, and nothing has to be asked of the data."""
        return self.outlook is Outlook.UNCHANGED and not self.questions

    def answered(self, counts: Sequence[int]) -> TablePlan:
        """The plan when the data has been asked; ``counts`` are rows, by question."""
        answers = [q.answer(count) for q, count in zip(self.questions, counts, strict=True)]
        return self._without_questions([answer for answer in answers if answer is not None])

    def unanswered(self, reason: str) -> TablePlan:
        """The plan when the data could not be asked."""
        message = f"the data could not be checked: {reason}"
        return self._without_questions([Rejection(Rule.DATA_NOT_READ, "data", message)])

    def _without_questions(self, refused: list[Rejection]) -> TablePlan:
        plan = replace(self, questions=(), query="")
        return plan.refused(refused) if refused else plan

    def refused(self, rejections: Sequence[Rejection]) -> TablePlan:
        """The plan with more that stands against it."""
        refused = (*self.rejections, *rejections)
        return replace(self, outlook=Outlook.REJECTED, statements=(), rejections=refused)

    def text_lines(self) -> Iterator[str]:
        """The plan of the table as a diff."""
        yield f"{self.name}: {self.outlook}"
        for line in self.lines:
            yield f"  {line}"
        for rejection in self.rejections:
            yield f"  ! {rejection}"
        for note in self.notes:
            yield f"  # {note}"

    def to_dict(self) -> dict[str, Any]:
        """The plan of the table as JSON."""
        return {
            "name": str(self.name),
            "outlook": str(self.outlook),
            "changes": [line.to_dict() for line in self.lines],
            "statements": list(self.statements),
            "rejections": [
                {"rule": str(r.rule), "subject": r.subject, "message": r.message, "hint": r.hint}
                for r in self.rejections
            ],
            "notes": list(self.notes),
        }


@dataclass(frozen=True, slots=True)
class SchemaPlan:
    """All tables of a registry, parents first. ``parents`` names each table's own parents."""

    tables: tuple[TablePlan, ...]
    parents: Mapping[TableName, tuple[TableName, ...]]

    @property
    def has_changes(self) -> bool:
        """Whether a sync would run statements."""
        return any(table.has_work for table in self.tables)

    @property
    def has_rejections(self) -> bool:
        """Whether a sync would fail for at least one table."""
        return any(table.rejections for table in self.tables)

    def counts(self) -> dict[str, int]:
        """How many tables have which outlook."""
        found = Counter(table.outlook for table in self.tables)
        return {str(outlook): found[outlook] for outlook in Outlook}

    @property
    def statements(self) -> tuple[str, ...]:
        """Every statement, in an order in which they could run one by one."""
        return tuple(text for table in self.tables for text in table.statements)

    def text(self, *, unchanged: bool = False) -> str:
        """The plan as a diff; unchanged tables only on request or where they have notes."""
        shown = [
            "\n".join(table.text_lines())
            for table in self.tables
            if unchanged or table.outlook is not Outlook.UNCHANGED or table.notes
        ]
        counts = ", ".join(f"{count} {name}" for name, count in self.counts().items() if count)
        return "\n".join([*shown, f"{_tables(len(self.tables))}: {counts or 'nothing declared'}"])

    def sql_text(self) -> str:
        """The statements as a script, under the name of each table."""
        parts = [
            "\n".join([f"-- {table.name}", *(f"{text};" for text in table.statements)])
            for table in self.tables
            if table.has_work
        ]
        return "\n\n".join(parts)

    def to_dict(self) -> dict[str, Any]:
        """The plan as JSON."""
        return {"tables": [table.to_dict() for table in self.tables], "counts": self.counts()}


def _tables(count: int) -> str:
    return "1 table" if count == 1 else f"{count} tables"


def keep_together(
    plans: Sequence[TablePlan], parents: Mapping[TableName, Sequence[TableName]]
) -> list[TablePlan]:
    """Refuse plans that take a foreign key from a table which cannot get it back: one that is
    refused, or that refers to one.
    """
    found = {plan.name.key: plan for plan in plans}
    while True:
        stuck: set[str] = set()
        for key, plan in found.items():  # parents come first
            if plan.rejections or any(parent.key in stuck for parent in parents[plan.name]):
                stuck.add(key)
        torn = [
            (key, child)
            for key, plan in found.items()
            for child in plan.unhinged
            if key not in stuck and child.key in stuck
        ]
        if not torn:
            return list(found.values())
        for key, child in torn:
            message = f"{child} would lose its foreign key: it cannot be synced as declared"
            rejection = Rejection(Rule.PRIMARY_KEY_REFERENCED, "primary key", message)
            found[key] = found[key].refused([rejection])


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the plan of one table depends on besides itself.

    ``referenced`` are primary keys of parents, ``managed`` the keys of all declared names,
    ``losing`` those of tables whose primary key goes, and with it what refers to it.
    """

    capabilities: Capabilities
    referenced: ReferencedColumns
    managed: frozenset[str] = frozenset()
    losing: frozenset[str] = frozenset()


def plan_declared(
    declared: Declared,
    state: TableState,
    around: Surroundings,
    rejections: tuple[Rejection, ...] = (),
    old: TableState = None,
) -> TablePlan:
    """Plan one declaration. ``rejections`` were found before, against other tables; ``old`` is
    what stands at the name that a table had before.
    """
    match declared:
        case DeltaTable():
            plan = _plan_table(declared, state, around, old)
        case View():
            plan = _plan_view(declared, state)
        case DroppedTable():
            plan = _plan_drop(declared, state)
        case _:
            assert_never(declared)
    return plan.refused(rejections) if rejections else plan


def _plan_table(
    declared: DeltaTable, state: TableState, around: Surroundings, old: TableState
) -> TablePlan:
    if isinstance(state, Unreadable):
        return _refused(declared, _unreadable(state))
    if isinstance(state, LiveView):
        return _refused(declared, _another_kind(f"{declared.full_name} is a view, not a table"))
    live = old if state is None and isinstance(old, LiveTable) else state
    changes = compare_table(declared, live, around.referenced, around.losing)
    verdict = judge(changes, declared, live, around.capabilities, around.managed)
    if state is None and live is not None:
        _judge_new_name(live.name, declared.full_name, around.capabilities, verdict)
    questions = tuple(verdict.questions)
    plan = _planned(declared, live, verdict)
    if verdict.rejections:
        certain = [question.otherwise for question in questions]
        return plan.refused([rejection for rejection in certain if rejection is not None])
    if not questions or live is None:
        return plan
    return replace(plan, questions=questions, query=_query(declared, live, verdict))


def _judge_new_name(
    old: TableName, new: TableName, capabilities: Capabilities, verdict: Verdict
) -> None:
    """https://docs.databricks.com/sql/language-manual/sql-ref-syntax-ddl-alter-table.html:
    RENAME TO "renames the table within the same schema".
    """
    change = RenameTable(old, new)
    if capabilities.moves_tables or old.sibling(new.name).key == new.key:
        verdict.allow(change)
        return
    message = f"{old} cannot become {new}: {capabilities.name} renames tables inside a schema"
    hint = "create the new table in a DDL script, with the data of the old one"
    verdict.refuse(change, Rejection(Rule.LOCATION_CHANGE, "table name", message, hint))


def _query(declared: DeltaTable, live: LiveTable, verdict: Verdict) -> str:
    dropped: list[Path] = []
    filled: dict[str, str] = {}
    for change in verdict.allowed:
        match change:
            case RemoveColumns(columns):
                dropped += [path for path, _ in columns]
            case ChangeNullability(path, fill=fill) if fill:
                filled[path[0].lower()] = fill
            case _:
                pass
    return data_query(declared, live, dropped, filled, verdict.questions)


def _plan_view(declared: View, state: TableState) -> TablePlan:
    if isinstance(state, Unreadable):
        return _refused(declared, _unreadable(state))
    if isinstance(state, LiveTable):
        return _refused(declared, _another_kind(f"{declared.full_name} is a table, not a view"))
    verdict = Verdict()
    for change in compare_view(declared, state):
        verdict.allow(change)
    return _planned(declared, state, verdict)


def _plan_drop(declared: DroppedTable, state: TableState) -> TablePlan:
    if state is None or (isinstance(state, Unreadable) and state.kind == "no_schema"):
        return TablePlan(declared, Outlook.UNCHANGED)
    if isinstance(state, Unreadable):
        return _refused(declared, _unreadable(state))
    if isinstance(state, LiveView):
        return _refused(declared, _another_kind(f"{declared.full_name} is a view, not a table"))
    verdict = Verdict()
    verdict.allow(DropTable(len(state.columns)))
    return replace(_planned(declared, state, verdict), outlook=Outlook.DROP)


def _planned(
    declared: Declared,
    live: LiveTable | LiveView | None,
    verdict: Verdict,
) -> TablePlan:
    lines = tuple(line for change in in_order(iter(verdict.drift)) for line in change.lines())
    refused = tuple(verdict.rejections)
    statements = () if refused else tuple(_statements(declared, verdict.allowed))
    outlook = _outlook(created=live is None, refused=bool(refused), work=bool(statements))
    version = None if live is None else live.version
    unhinged = [
        name for c in verdict.allowed if isinstance(c, DropPrimaryKey) for name in c.referenced_by
    ]
    notes = tuple(verdict.notes)
    return TablePlan(
        declared, outlook, lines, statements, refused, notes, version, unhinged=tuple(unhinged)
    )


def _statements(declared: Declared, changes: Sequence[Change]) -> Iterator[str]:
    for change in in_order(iter(changes)):
        yield from change.statements(declared.full_name)


def _outlook(*, created: bool, refused: bool, work: bool) -> Outlook:
    if refused:
        return Outlook.REJECTED
    if not work:
        return Outlook.UNCHANGED
    return Outlook.CREATE if created else Outlook.CHANGE


def standing_notes(declared: Declared, capabilities: Capabilities) -> tuple[str, ...]:
    """What a plan says of a declaration on this target whatever the live table is."""
    if not isinstance(declared, DeltaTable):
        return ()
    kept = in_order(new_tags_and_keys(declared, {}))
    return tuple(judge(kept, declared, None, capabilities).notes) if kept else ()


# --------------------------------------------------------------------------- refusals


def _refused(declared: Declared, rejection: Rejection) -> TablePlan:
    return TablePlan(declared, Outlook.REJECTED, rejections=(rejection,))


def _unreadable(state: Unreadable) -> Rejection:
    rule = Rule.SCHEMA_MISSING if state.kind == "no_schema" else Rule.TABLE_UNREADABLE
    return Rejection(rule, "table", state.reason, state.hint)


def _another_kind(message: str) -> Rejection:
    return Rejection(Rule.ANOTHER_KIND, "table", message, "declare another name, or drop it")
