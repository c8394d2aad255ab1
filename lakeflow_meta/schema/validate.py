"""What may be done about a difference between a declared and a live table. Pure.

Everything that is refused is refused before the first statement of its table runs, with the rule's
name, the reason and the way out. Nothing is refused silently, and nothing is ignored: what is left
alone on purpose becomes a note. What only the data can tell becomes a `Question`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lakeflow_meta import sql_tables as sql
from lakeflow_meta.schema import rules_of_columns as columns
from lakeflow_meta.schema.capabilities import Capabilities
from lakeflow_meta.schema.change import Change
from lakeflow_meta.schema.column_changes import (
    AddColumns,
    AmbiguousRename,
    ChangeNullability,
    ChangeSource,
    ChangeType,
    MoveColumn,
    RemoveColumns,
    RenameColumn,
    SetComments,
)
from lakeflow_meta.schema.column_uses import limited_texts
from lakeflow_meta.schema.constraint_changes import (
    AddCheck,
    AddForeignKey,
    AddPrimaryKey,
    DropCheck,
    DropForeignKey,
    DropPrimaryKey,
)
from lakeflow_meta.schema.field_paths import Path
from lakeflow_meta.schema.live import LiveTable
from lakeflow_meta.schema.renames import plan_renames
from lakeflow_meta.schema.table import DeltaTable, Policy
from lakeflow_meta.schema.table_changes import (
    ChangeLocation,
    ChangePartitioning,
    SetClustering,
    SetProperties,
    SetTags,
    UnsetProperties,
    UnsetTags,
)
from lakeflow_meta.schema.verdict import Question, Rejection, Rule, Verdict


def judge(
    changes: Sequence[Change],
    declared: DeltaTable,
    live: LiveTable | None,
    capabilities: Capabilities,
    managed: frozenset[str] = frozenset(),
) -> Verdict:
    """Judge every difference of one table. ``managed`` are the keys of all declared tables."""
    if live is not None:
        live = plan_renames(declared, live).live
    court = _Court(declared, live, capabilities, managed, Verdict())
    if live is not None:
        court.verdict.notes += _spelling_notes(declared, live)
    for change in changes:
        court.judge(change)
    columns.hint_at_renames(court.verdict, changes, declared)
    return court.verdict


@dataclass(frozen=True, slots=True)
class _Court:
    """Judges one change after the other into ``verdict``."""

    declared: DeltaTable
    live: LiveTable | None
    capabilities: Capabilities
    managed: frozenset[str]
    verdict: Verdict

    @property
    def _strict(self) -> bool:
        return self.declared.policy is Policy.STRICT

    def judge(self, change: Change) -> None:
        if self.live is None:
            self._judge_new(change)
        else:
            self._judge_difference(change, self.live)

    def _judge_new(self, change: Change) -> None:
        """A table that is not there can be made in any way that the target knows."""
        match change:
            case SetTags():
                self._judge_tags(change, seen=True)
            case AddPrimaryKey() | AddForeignKey():
                self._judge_key(change, seen=True)
            case _:
                self.verdict.allow(change)

    def _judge_difference(self, change: Change, live: LiveTable) -> None:  # noqa: C901 - a flat match
        refused = list(limited_texts(_paths(change), live))
        if refused and not self._is_left_alone(change):
            self.verdict.refuse(change, *refused)
            return
        match change:
            case AddColumns():
                columns.judge_added(change, self.declared, self.capabilities, self.verdict)
            case RemoveColumns():
                columns.judge_removed(change, self.declared, live, self.capabilities, self.verdict)
            case RenameColumn() | AmbiguousRename():
                columns.judge_renamed(change, self.declared, live, self.verdict)
            case ChangeType():
                columns.judge_type(change, self.declared, live, self.verdict)
            case ChangeNullability():
                columns.judge_nullability(
                    change, self.declared, live, self.capabilities, self.verdict
                )
            case ChangeSource():
                columns.judge_source(change, self.verdict)
            case SetComments() if not self.capabilities.many_columns:
                for comment in change.comments:
                    self.verdict.allow(SetComments((comment,)))
            case MoveColumn():
                self._if_strict(change, "columns stand in another order than declared: left alone")
            case SetProperties() | UnsetProperties():
                self._judge_properties(change)
            case SetTags() | UnsetTags():
                self._judge_tags(change, seen=live.tags is not None)
            case SetClustering():
                self._judge_clustering(change, live)
            case ChangePartitioning() | ChangeLocation():
                self._judge_layout(change)
            case AddCheck():
                self._judge_new_check(change)
            case DropCheck(name, replaced=False):
                self._if_strict(change, f"check {name} is not declared: left alone")
            case AddPrimaryKey() | AddForeignKey():
                self._judge_key(change, seen=live.keys is not None)
            case DropPrimaryKey():
                self._judge_dropped_key(change)
            case DropForeignKey(replaced=False):
                self._judge_dropped_foreign_key(change)
            case _:
                self.verdict.allow(change)

    def _is_left_alone(self, change: Change) -> bool:
        return isinstance(change, MoveColumn) and not self._strict

    def _if_strict(self, change: Change, note: str) -> None:
        if self._strict:
            self.verdict.allow(change)
        elif note:
            self.verdict.tell(note)

    # --- the table itself

    def _judge_properties(self, change: SetProperties | UnsetProperties) -> None:
        refused = list(_property_refusals(change))
        if refused:
            self.verdict.refuse(change, *refused)
        elif isinstance(change, UnsetProperties) and not change.named:
            self._if_strict(change, "")
        else:
            self.verdict.allow(change)

    def _judge_tags(self, change: SetTags | UnsetTags, *, seen: bool) -> None:
        if not self.capabilities.tags:
            self.verdict.tell(f"tags are not kept by {self.capabilities.name}: skipped")
        elif not seen:
            self.verdict.tell("tags are not compared: live tags cannot be seen from here")
        elif isinstance(change, UnsetTags):
            self._if_strict(change, "")
        else:
            self.verdict.allow(change)

    def _judge_clustering(self, change: SetClustering, live: LiveTable) -> None:
        if not change.after:
            self._if_strict(change, "")
        elif change.before is None:
            message = "the live clustering columns cannot be seen"
            self.verdict.refuse(change, Rejection(Rule.CLUSTERING_UNKNOWN, "clustering", message))
        elif live.partitioned_by:
            message = "a partitioned table cannot be clustered"
            rule = Rule.CLUSTERING_OF_PARTITIONED_TABLE
            self.verdict.refuse(change, Rejection(rule, "clustering", message))
        else:
            self.verdict.allow(change)

    def _judge_layout(self, change: ChangePartitioning | ChangeLocation) -> None:
        line = next(change.lines())
        if not change.after and not self._strict:
            self.verdict.tell(f"{line.kind} {line.before} is not declared: left alone")
            return
        rule = (
            Rule.LOCATION_CHANGE if isinstance(change, ChangeLocation) else Rule.PARTITIONING_CHANGE
        )
        message = f"{line.kind} is {line.before}, declared as {line.after}; that rewrites the table"
        hint = f"declare the live {line.kind}, or copy the data into a new table"
        self.verdict.refuse(change, Rejection(rule, line.kind, message, hint))

    # --- constraints

    def _judge_new_check(self, change: AddCheck) -> None:
        message = f"check {change.name} ({change.expression}) is broken by {{rows}}"
        hint = "correct these rows first, or declare a check that they keep"
        broken = Rejection(Rule.CHECK_BROKEN, change.name, message, hint)
        self.verdict.questions.append(Question(sql.breaks(change.expression), broken))
        self.verdict.allow(change)

    def _judge_key(self, change: AddPrimaryKey | AddForeignKey, *, seen: bool) -> None:
        what = f"primary key ({', '.join(change.columns)})"
        if isinstance(change, AddForeignKey):
            what = f"foreign key ({', '.join(change.columns)}) to {change.parent}"
        if not self.capabilities.keys:
            name = self.capabilities.name
            self.verdict.tell(f"{what} is not kept by {name}: only checked here")
        elif not seen:
            self.verdict.tell(f"{what} is not compared: live keys cannot be seen from here")
        else:
            self.verdict.allow(change)

    def _judge_dropped_foreign_key(self, change: DropForeignKey) -> None:
        if change.goes_along and not self._strict:
            message = f"foreign key {change.name} is not declared, but would go with the key"
            hint = "declare it, or say policy: strict"
            rejection = Rejection(
                Rule.PRIMARY_KEY_REFERENCED, change.name, f"{message} of {change.parent}", hint
            )
            self.verdict.refuse(change, rejection)
        else:
            self._if_strict(change, f"foreign key {change.name} is not declared: left alone")

    def _judge_dropped_key(self, change: DropPrimaryKey) -> None:
        foreign = [str(t) for t in change.referenced_by if t.key not in self.managed]
        if not change.replaced and not self._strict:
            self.verdict.tell(f"primary key {change.name} is not declared: left alone")
        elif foreign:
            message = f"primary key {change.name} is named by foreign keys of {', '.join(foreign)}"
            hint = "declare these tables too, or drop their foreign keys first"
            rule = Rule.PRIMARY_KEY_REFERENCED
            self.verdict.refuse(change, Rejection(rule, "primary key", message, hint))
        else:
            self.verdict.allow(change)


def _paths(change: Change) -> list[Path]:
    """Fields that come, go, or become something else, and columns that are changed as a whole."""
    match change:
        case AddColumns(added):
            return [new.path for new in added]
        case RenameColumn(path, name) if len(path) == 1:
            return [(name,)]
        case RenameColumn(path) | ChangeType(path) | ChangeNullability(path) | MoveColumn(path):
            return [path]
        case SetComments(comments):
            return [path for path, _, _ in comments if len(path) == 1]
        case _:
            return []


_MAPPING = "delta.columnmapping.mode"


def _property_refusals(change: SetProperties | UnsetProperties) -> Iterator[Rejection]:
    if isinstance(change, UnsetProperties):
        changed = dict.fromkeys(change.properties, "")
        before = dict(change.properties)
    else:
        changed, before = dict(change.after), dict(change.before)
    for key, value in changed.items():
        old = before.get(key, "none")
        if key.lower() == _MAPPING and old.lower() != "none":
            message = f"{key} is {old}, declared as {value or 'absent'}; that rewrites every file"
            yield Rejection(Rule.PROPERTY_CHANGE, key, message, f"declare {old}")
        elif key.lower() == _MAPPING and value.lower() == "id":
            message = f"{key} can be id in a new table only"
            yield Rejection(Rule.PROPERTY_CHANGE, key, message, "declare name")
        if key.lower().startswith("delta.feature.") and value.lower() != "supported":
            hint = "https://docs.databricks.com/delta/drop-feature.html"
            message = f"{key} cannot be taken back by a property"
            yield Rejection(Rule.PROPERTY_CHANGE, key, message, hint)


def _spelling_notes(declared: DeltaTable, live: LiveTable) -> Iterator[str]:
    """Differences that are nobody's to repair."""
    for column in declared.columns:
        there = live.column(column.name)
        if there is not None and there.name != column.name:
            yield f"column {column.name} is spelled {there.name} in the table: left alone"
