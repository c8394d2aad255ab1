"""Plans for Unity Catalog: keys that hang together, tags, and what renames take along."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pytest

from lakeflow_meta.names import TableName
from lakeflow_meta.schema.capabilities import UNITY_CATALOG
from lakeflow_meta.schema.engine import SchemaEngine
from lakeflow_meta.schema.frozen_mapping import FrozenMapping
from lakeflow_meta.schema.live import (
    LiveForeignKey,
    LiveKeys,
    LivePrimaryKey,
    LiveTable,
    TableState,
)
from lakeflow_meta.schema.parents import losing_tables, referenced_columns
from lakeflow_meta.schema.plan import Outlook, SchemaPlan, TablePlan
from lakeflow_meta.schema.registry import Registry
from lakeflow_meta.schema.table import Column, Declared, DeltaTable, ForeignKey, Policy
from lakeflow_meta.schema.type_text import parse_type
from lakeflow_meta.schema.verdict import Rule

PARENT = TableName("c", "s", "parent")
CHILD = TableName("c", "s", "child")
MAPPED = {"delta.columnMapping.mode": "name"}


class Tables:
    """A reader of given states; ``asked`` is what was described. Answers every question with 0."""

    def __init__(self, *states: LiveTable) -> None:
        self._states = {state.name.key: state for state in states}
        self.asked: list[str] = []
        self.queries: list[str] = []

    def describe(self, tables: Iterable[TableName]) -> Mapping[TableName, TableState]:
        names = list(tables)
        self.asked += [str(name) for name in names]
        return {name: self._states.get(name.key) for name in names}

    def stamps(self, tables: Iterable[TableName]) -> Mapping[TableName, int]:
        return {name: 1 for name in tables if name.key in self._states}

    def tables_of(self, catalog: str, schema: str) -> list[TableName]:
        raise AssertionError(f"nobody asks for {catalog}.{schema}")

    def execute(
        self, statement: str, parameters: Mapping[str, Any] | None = None
    ) -> list[dict[str, Any]]:
        assert parameters is None
        self.queries.append(statement)
        return [{f"q{index}": 0 for index in range(9)}]


def plan(reader: Tables, *declared: Declared) -> SchemaPlan:
    engine = SchemaEngine(reader, lambda: reader, capabilities=UNITY_CATALOG)
    return engine.plan(Registry(declared))


def of(found: SchemaPlan, name: TableName) -> TablePlan:
    return next(one for one in found.tables if one.name == name)


def rules(found: TablePlan) -> list[Rule]:
    return [rejection.rule for rejection in found.rejections]


def columns(**kinds: str) -> list[Column]:
    """Types, with ``!`` for NOT NULL."""
    return [Column(n, parse_type(t.rstrip("!")), not t.endswith("!")) for n, t in kinds.items()]


def table(name: TableName, made: list[Column], **more: Any) -> DeltaTable:
    return DeltaTable(name.catalog, name.schema, name.name, made, **{"properties": MAPPED, **more})


def live(
    name: TableName,
    made: list[Column],
    primary: tuple[str, ...] = (),
    foreign: tuple[LiveForeignKey, ...] = (),
    referenced_by: tuple[TableName, ...] = (),
    **more: Any,
) -> LiveTable:
    key = LivePrimaryKey(f"pk_{name.name}", primary) if primary else None
    values: dict[str, Any] = {"properties": MAPPED, "tags": FrozenMapping({}), **more}
    return LiveTable(name, tuple(made), keys=LiveKeys(key, foreign, referenced_by), **values)


def to_parent(*columns: str, referenced: tuple[str, ...] = ("id",)) -> LiveForeignKey:
    return LiveForeignKey("to_parent", columns, PARENT, referenced)


LIVE_PARENT = live(PARENT, columns(id="bigint!", nr="bigint!"), ("id",), (), (CHILD,))
LIVE_CHILD = live(CHILD, columns(pid="bigint"), (), (to_parent("pid"),))
OTHER_KEY = table(PARENT, columns(id="bigint!", nr="bigint!"), primary_key=["nr"])
SAME_CHILD = table(CHILD, columns(pid="bigint"), foreign_keys=[ForeignKey(["pid"], PARENT)])


def test_a_foreign_key_goes_and_comes_with_the_primary_key_that_it_names() -> None:
    swapped = table(
        PARENT,
        columns(old="bigint!", id="bigint!"),
        primary_key=["id"],
        renamed_columns={"id": "old", "nr": "id"},
    )
    found = of(plan(Tables(LIVE_PARENT, LIVE_CHILD), swapped, SAME_CHILD), CHILD)
    assert [text.split("`child` ")[1].split(" (")[0] for text in found.statements] == [
        "DROP CONSTRAINT IF EXISTS `to_parent`",
        "ADD CONSTRAINT `fk_child_pid_parent` FOREIGN KEY",
    ]


def test_a_primary_key_stays_where_a_child_could_not_get_its_foreign_key_back() -> None:
    broken = table(CHILD, columns(pid="bigint", new="int!"), foreign_keys=SAME_CHILD.foreign_keys)
    found = plan(Tables(LIVE_PARENT, LIVE_CHILD), OTHER_KEY, broken)
    assert rules(of(found, PARENT)) == [Rule.PRIMARY_KEY_REFERENCED]
    assert rules(of(found, CHILD)) == [Rule.NOT_NULL_COLUMN_ADDED]


def test_a_primary_key_stays_where_a_child_waits_for_another_parent_that_is_refused() -> None:
    aunt = TableName("c", "s", "aunt")
    keys = [*SAME_CHILD.foreign_keys, ForeignKey(["aid"], aunt)]
    both = table(CHILD, columns(pid="bigint", aid="bigint"), foreign_keys=keys)
    refused = table(aunt, columns(id="bigint!", new="int!"), primary_key=["id"])
    reader = Tables(LIVE_PARENT, LIVE_CHILD, live(aunt, columns(id="bigint!"), ("id",)))
    found = plan(reader, OTHER_KEY, both, refused)
    assert rules(of(found, PARENT)) == [Rule.PRIMARY_KEY_REFERENCED]


def test_an_undeclared_foreign_key_is_not_lost_with_the_primary_key_that_it_names() -> None:
    reader = Tables(LIVE_PARENT, LIVE_CHILD)
    found = plan(reader, OTHER_KEY, table(CHILD, columns(pid="bigint")))
    assert rules(of(found, PARENT)) == rules(of(found, CHILD)) == [Rule.PRIMARY_KEY_REFERENCED]
    strict = table(CHILD, columns(pid="bigint"), policy=Policy.STRICT)
    assert not plan(reader, OTHER_KEY, strict).has_rejections


@pytest.mark.parametrize(
    ("what", "changed"),
    [
        ("renamed", table(CHILD, columns(x="bigint!"), renamed_columns={"pid": "x"})),
        ("nullable", table(CHILD, columns(pid="bigint"))),
        ("dropped", table(CHILD, columns(y="int"), allow=["drop_column"])),
    ],
)
def test_columns_of_undeclared_keys_stay(what: str, changed: DeltaTable) -> None:
    there = live(CHILD, columns(pid="bigint!", y="int"), ("pid",))
    found = of(plan(Tables(there), changed), CHILD)
    assert rules(found) == [Rule.COLUMN_IN_USE]
    assert f"cannot be {what}: key pk_child uses it" in found.rejections[0].message


def test_new_keys_are_spelled_as_the_tables_spell_their_columns() -> None:
    reader = Tables(live(PARENT, columns(ID="bigint!")), live(CHILD, columns(Pid="bigint")))
    parent = table(PARENT, columns(id="bigint!"), primary_key=["id"])
    for referenced in ([], ["id"]):
        keys = [ForeignKey(["pid"], PARENT, referenced)]
        found = plan(reader, parent, table(CHILD, columns(pid="bigint"), foreign_keys=keys))
        assert of(found, PARENT).statements[0].endswith("PRIMARY KEY (`ID`)")
        assert (
            of(found, CHILD)
            .statements[0]
            .endswith("FOREIGN KEY (`Pid`) REFERENCES `c`.`s`.`parent` (`ID`)")
        )


def test_tags_are_taken_from_a_column_before_it_is_dropped() -> None:
    """Governed tags hold it back."""
    gone = Column("gone", parse_type("int"), tags={"pii": "yes"})
    there = live(CHILD, [*columns(pid="bigint"), gone])
    found = of(
        plan(Tables(there), table(CHILD, columns(pid="bigint"), allow=["drop_column"])), CHILD
    )
    assert [text.split("`child` ")[1] for text in found.statements] == [
        "ALTER COLUMN `gone` UNSET TAGS ('pii')",
        "DROP COLUMNS (`gone`)",
    ]


def test_a_foreign_key_over_the_same_columns_is_replaced_by_the_declared_one() -> None:
    """Two foreign keys cannot have the same columns."""
    other = TableName("c", "s", "other")
    reader = Tables(LIVE_PARENT, live(other, columns(id="bigint!"), ("id",)), LIVE_CHILD)
    keys = [ForeignKey(["pid"], other)]
    declared = table(CHILD, columns(pid="bigint"), foreign_keys=keys)
    found = of(
        plan(reader, table(other, columns(id="bigint!"), primary_key=["id"]), declared), CHILD
    )
    assert ["DROP" in text for text in found.statements] == [True, False]


def test_foreign_keys_are_compared_by_their_pairs_of_columns() -> None:
    parent = live(PARENT, columns(a="bigint!", b="bigint!"), ("a", "b"), (), (CHILD,))
    key = to_parent("x", "y", referenced=("b", "a"))
    reader = Tables(parent, live(CHILD, columns(x="bigint", y="bigint"), (), (key,)))
    wanted = table(PARENT, columns(a="bigint!", b="bigint!"), primary_key=["a", "b"])
    for columns_of_key, referenced, same in (
        (["x", "y"], ["b", "a"], True),
        (["y", "x"], ["a", "b"], True),
        (["y", "x"], [], True),
        (["x", "y"], ["a", "b"], False),
        (["x", "y"], [], False),
    ):
        keys = [ForeignKey(columns_of_key, PARENT, referenced)]
        child = table(CHILD, columns(x="bigint", y="bigint"), foreign_keys=keys)
        assert (of(plan(reader, wanted, child), CHILD).outlook is Outlook.UNCHANGED) is same


def test_a_table_is_not_renamed_into_another_schema() -> None:
    moved = DeltaTable(
        "c", "new", "parent", columns(id="bigint!", nr="bigint!"), renamed_from="c.s.parent"
    )
    (found,) = plan(Tables(LIVE_PARENT), moved).tables
    assert rules(found) == [Rule.LOCATION_CHANGE]


def test_a_check_on_a_column_that_is_filled_is_asked_of_what_it_is_filled_with() -> None:
    new = Column("b", parse_type("int"), False, default="7")
    reader = Tables(live(CHILD, columns(pid="bigint")))
    declared = table(
        CHILD, [*columns(pid="bigint"), new], allow=["backfill"], checks={"some": "b > 0"}
    )
    assert not plan(reader, declared).has_rejections
    (query,) = reader.queries
    assert "coalesce(CAST(NULL AS int), 7) AS `b`" in query


def test_a_primary_key_that_goes_is_known_with_its_children() -> None:
    registry = Registry([OTHER_KEY, SAME_CHILD])
    states = {PARENT: LIVE_PARENT, CHILD: LIVE_CHILD}
    assert losing_tables(registry.tables, states) == {PARENT.key: (CHILD,)}
    assert referenced_columns(registry, states)[PARENT.key] == ("nr",)
