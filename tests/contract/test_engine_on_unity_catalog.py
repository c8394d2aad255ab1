"""The schema engine on Unity Catalog: what it sends, and what the tables are like afterwards."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import pytest
from contract.catalog_ddl_stand_in import CatalogDdlStandIn, DdlTable
from contract.catalog_stand_in import ForeignKey as KeptForeignKey
from contract.row_expressions import paths_in
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

from lakeflow_meta.backends.unity_catalog import UnityCatalogReader
from lakeflow_meta.errors import BackendError, NotFoundError, SpecError, SyncFailedError
from lakeflow_meta.names import TableName
from lakeflow_meta.schema.capabilities import UNITY_CATALOG
from lakeflow_meta.schema.engine import SchemaEngine
from lakeflow_meta.schema.imported import import_tables
from lakeflow_meta.schema.plan import Outlook
from lakeflow_meta.schema.registry import Registry
from lakeflow_meta.schema.report import SyncReport, TableStatus
from lakeflow_meta.schema.sync_memory import CleanState, SyncMemory
from lakeflow_meta.schema.table import (
    Column,
    Declared,
    DeltaTable,
    DroppedTable,
    ForeignKey,
    Identity,
    Policy,
    View,
)
from lakeflow_meta.schema.type_text import parse_type
from lakeflow_meta.schema.types import DataType, Struct
from lakeflow_meta.schema.verdict import Rule

QUERIES = 7
OPEN = {"delta.columnMapping.mode": "name", "delta.enableTypeWidening": "true"}
NASTY = 'it\'s "quoted" \\ back \n line é 🎈 `tick` $x'


class Remembered:
    """A `SyncMemory` of this process."""

    def __init__(self) -> None:
        self.states: dict[str, CleanState] = {}

    def recall(self) -> Mapping[str, CleanState]:
        return dict(self.states)

    def remember(self, states: Mapping[str, CleanState]) -> None:
        self.states.update(states)


@pytest.fixture
def catalog() -> CatalogDdlStandIn:
    return CatalogDdlStandIn("c.s", "c.other")


@pytest.fixture
def engine(catalog: CatalogDdlStandIn) -> SchemaEngine:
    return engine_on(catalog)


def engine_on(catalog: CatalogDdlStandIn, memory: SyncMemory | None = None) -> SchemaEngine:
    """As `DatabricksTarget` puts it together."""
    reader = UnityCatalogReader(catalog)
    return SchemaEngine(
        reader, lambda: catalog, capabilities=UNITY_CATALOG, memory=memory, looks_ahead=32
    )


def column(name: str, kind: str, **more: Any) -> Column:
    return Column(name, parse_type(kind), **more)


def key(name: str = "id", kind: str = "bigint") -> Column:
    return column(name, kind, nullable=False)


def table(name: str, columns: list[Column], **more: Any) -> DeltaTable:
    return DeltaTable("c", "s", name, columns, **more)


def parent(**more: Any) -> DeltaTable:
    values = {"primary_key": ["id"], "properties": OPEN, **more}
    return table("parent", values.pop("columns", [key(), column("name", "string")]), **values)


def child(**more: Any) -> DeltaTable:
    columns = more.pop("columns", [key(), column("pid", "bigint")])
    keys = more.pop("foreign_keys", [ForeignKey(["pid"], "c.s.parent")])
    return table("child", columns, foreign_keys=keys, **{"properties": OPEN, **more})


def sync(engine: SchemaEngine, *declared: Declared) -> SyncReport:
    """Sync; then nothing is left to do."""
    report = engine.sync(Registry(declared))
    left = engine.plan(Registry(declared))
    assert not left.has_changes, left.text()
    assert not left.has_rejections, left.text()
    return report


def refusals(engine: SchemaEngine, *declared: Declared) -> list[Rule]:
    """Why a sync is refused; it is, and plan and report say the same."""
    with pytest.raises(SyncFailedError) as caught:
        engine.sync(Registry(declared))
    outcomes = caught.value.report
    return [r.rule for outcome in outcomes for r in outcome.plan.rejections]


# --------------------------------------------------------------------------- what is as declared


def differences(declared: DeltaTable, catalog: CatalogDdlStandIn) -> list[str]:
    """What is not as declared. Knows nothing of the engine's own comparison."""
    return list(_differences(declared, catalog.table(str(declared.full_name)), catalog))


def _differences(declared: DeltaTable, live: DdlTable, catalog: CatalogDdlStandIn) -> Iterator[str]:
    strict = declared.policy is Policy.STRICT
    names = [one.name for one in live.shape]
    wanted = [one.name for one in declared.columns]
    if strict and names != wanted:
        yield f"columns {names}, not {wanted}"
    for one in declared.columns:
        if one.name not in names:
            yield f"{one.name} is missing"
            continue
        found = live.column(one.name)
        bare = replace(found, tags={}, data_type=one.data_type)
        if replace(one, tags={}) != bare or not _fits(one.data_type, found.data_type, strict):
            yield f"{found}, not {one}"
        tags = live.column_tags.get(one.name, {})
        yield from _of_mapping(f"tag of {one.name}", one.tags, tags, strict=strict)
    if declared.comment != (live.comment or ""):
        yield f"comment {live.comment!r}"
    yield from _of_mapping("tag", declared.tags, live.tags, strict=strict)
    checks = {name.lower(): text for name, text in declared.checks.items()}
    yield from _of_mapping("check", checks, live.checks, strict=strict)
    own = {key: value for key, value in live.own.items() if not key.startswith("delta.")}
    extra = {key: value for key, value in live.own.items() if key.startswith("delta.")}
    yield from _of_mapping("property", declared.properties, {**own, **extra}, strict=False)
    clustered = [".".join(path) for path in declared.clustering_paths]
    there = [".".join(path) for path in live.clustered]
    if (strict or clustered) and sorted(clustered) != sorted(there):
        yield f"clustered by {there}, not {clustered}"
    yield from _of_keys(declared, live, catalog, strict=strict)


def _of_mapping(
    what: str, declared: Mapping[str, str], live: Mapping[str, str], *, strict: bool
) -> Iterator[str]:
    for name in {**declared, **(live if strict else {})}:
        if declared.get(name) != live.get(name):
            yield f"{what} {name} is {live.get(name)}, not {declared.get(name)}"


def _of_keys(
    declared: DeltaTable, live: DdlTable, catalog: CatalogDdlStandIn, *, strict: bool
) -> Iterator[str]:
    primary = set(live.primary_key[1]) if live.primary_key else set()
    if (declared.primary_key or strict) and primary != set(declared.primary_key):
        yield f"primary key {primary}"
    wanted = {
        (str(k.parent), *pair)
        for k in declared.foreign_keys
        for pair in zip(k.columns, k.referenced_columns or k.columns, strict=True)
    }
    named = {str(k.parent) for k in declared.foreign_keys if k.referenced_columns}
    there = {
        (".".join(k.parent), column, referenced if ".".join(k.parent) in named else column)
        for k in live.foreign_keys
        for column, referenced in zip(k.columns, _referenced(k, catalog), strict=True)
    }
    if not wanted <= there or (strict and wanted != there):
        yield f"foreign keys {there}, not {wanted}"


def _referenced(key: KeptForeignKey, catalog: CatalogDdlStandIn) -> list[str]:
    """The columns of the parent, as the positions in its primary key say."""
    primary = catalog.tables[key.parent].primary_key
    assert primary is not None
    return [primary[1][position - 1] for position in key.positions]


def _fits(declared: DataType, live: DataType, strict: bool) -> bool:
    """Fields that are not declared, and their order, matter under ``strict`` alone."""
    if strict or not isinstance(declared, Struct) or not isinstance(live, Struct):
        return declared == live
    there = {one.name: one for one in live.fields}
    return all(
        one.name in there
        and replace(there[one.name], data_type=one.data_type) == one
        and _fits(one.data_type, there[one.name].data_type, strict)
        for one in declared.fields
    )


def as_declared(catalog: CatalogDdlStandIn, *declared: DeltaTable) -> bool:
    left = [d for one in declared for d in differences(one, catalog)]
    assert left == []
    return True


# --------------------------------------------------------------------------- creation


EVERY_TYPE = [
    "tinyint", "smallint", "int", "bigint", "float", "double", "decimal(12,3)", "boolean",
    "string", "binary", "date", "timestamp", "timestamp_ntz", "variant", "char(3)", "varchar(7)",
    "array<int>", "map<string,array<bigint>>", "array<varchar(4)>",
    "struct<a:int,`b c`:struct<d:timestamp_ntz>>",
    "struct<a:int comment 'in \\'side',b:struct<c:char(2),d:array<varchar(2)>>>",
]  # fmt: skip


def test_everything_is_created_from_nothing_and_then_nothing_is_left(
    catalog: CatalogDdlStandIn, engine: SchemaEngine
) -> None:
    made = [column(f"c{i}", text, comment=f"{i} {NASTY}") for i, text in enumerate(EVERY_TYPE)]
    every = table(
        "Every",
        [
            key(),
            *made,
            column("nr", "bigint", identity=Identity(5, -2, always=False)),
            column("day", "date", generated="CAST(c11 AS DATE)"),
            column("told", "string", default="'a, (b'", comment="said", tags={"pii": "no"}),
        ],
        comment=NASTY,
        primary_key=["id"],
        properties={**OPEN, "my.own": NASTY},
        clustered_by=["id", "c3"],
        checks={"Positive": "id>0 AND c8 <> 'a;)'"},
        tags={"team": NASTY[:20], "empty": ""},
    )
    beside = table("parts", [key(), column("day", "date")], partitioned_by=["day"])
    outside = table("outside", [key()], location="s3://bucket/out side")
    shown = View("c", "s", "shown", "SELECT id FROM c.s.parts", NASTY)

    report = sync(engine, every, beside, outside, shown)

    assert {outcome.status for outcome in report} == {TableStatus.CREATED}
    assert as_declared(catalog, every, beside, outside)
    assert not [note for outcome in report for note in outcome.plan.notes]
    assert catalog.tables["c", "s", "shown"].view_text == "SELECT id FROM c.s.parts"


def test_parents_come_first_and_keys_have_the_same_names_every_time() -> None:
    names = []
    for _ in range(2):
        catalog = CatalogDdlStandIn("c.s")
        sync(engine_on(catalog), child(primary_key=["id"]), parent())
        names.append([text.split("CONSTRAINT ")[1] for text in catalog.changes if "CONSTR" in text])
    assert names[0] == names[1] == [
        "`pk_parent` PRIMARY KEY (`id`)",
        "`pk_child` PRIMARY KEY (`id`)",
        "`fk_child_pid_parent` FOREIGN KEY (`pid`) REFERENCES `c`.`s`.`parent` (`id`)",
    ]  # fmt: skip


def test_a_key_may_name_its_own_table_and_one_of_another_schema(
    catalog: CatalogDdlStandIn, engine: SchemaEngine
) -> None:
    far = DeltaTable("c", "other", "far", [key("a"), key("b", "string")], primary_key=["a", "b"])
    near = table(
        "near",
        [key(), column("up", "bigint"), column("x", "string"), column("y", "bigint")],
        primary_key=["id"],
        foreign_keys=[
            ForeignKey(["up"], "c.s.near"),
            ForeignKey(["x", "y"], "c.other.far", ["b", "a"], "OwnName"),
        ],
    )
    sync(engine, near, far)
    assert as_declared(catalog, near)
    assert {one.name for one in catalog.table("c.s.near").foreign_keys} == {
        "fk_near_up_near", "ownname",
    }  # fmt: skip


def test_tags_are_one_statement_a_subject(catalog: CatalogDdlStandIn, engine: SchemaEngine) -> None:
    tags = {f"tag{i}": str(i) for i in range(10)}
    tagged = table("t", [replace(key(), tags=tags), column("b", "int", tags=tags)], tags=tags)
    sync(engine, tagged)
    assert len([text for text in catalog.changes if "SET TAGS" in text]) == 3
    assert as_declared(catalog, tagged)


# --------------------------------------------------------------------------- changes


def test_comments_are_one_statement_a_column(
    catalog: CatalogDdlStandIn, engine: SchemaEngine
) -> None:
    plain = table("t", [key(), column("b", "int"), column("s", "struct<a:int,b:int>")])
    sync(engine, plain)
    catalog.changes.clear()
    noted = table(
        "t",
        [
            replace(key(), comment=NASTY),
            column("b", "int", comment="b"),
            column("s", "struct<a:int comment 'x',b:int comment 'y'>", comment="s"),
        ],
    )
    sync(engine, noted)
    assert as_declared(catalog, noted)
    assert len(catalog.changes) == 5
    assert all(" COMMENT " in text for text in catalog.changes)


def test_a_column_becomes_not_null_where_no_value_is_missing(
    catalog: CatalogDdlStandIn, engine: SchemaEngine
) -> None:
    sync(engine, table("t", [key(), column("b", "int")]))
    catalog.insert("c.s.t", {"id": 1, "b": 1}, {"id": 2})
    strict = table("t", [key(), column("b", "int", nullable=False)])
    assert refusals(engine, strict) == [Rule.NULLS_PRESENT]
    assert catalog.table("c.s.t").column("b").nullable
    catalog.table("c.s.t").rows[1]["b"] = 2
    catalog.changes.clear()
    sync(engine, strict)
    assert catalog.changes == ["ALTER TABLE `c`.`s`.`t` ALTER COLUMN `b` SET NOT NULL"]
    assert as_declared(catalog, strict)


def test_a_new_not_null_column_is_filled_with_its_default_where_that_is_allowed(
    catalog: CatalogDdlStandIn, engine: SchemaEngine
) -> None:
    sync(engine, table("t", [key()]))
    catalog.insert("c.s.t", {"id": 1})
    new = column("b", "int", nullable=False, default="7")
    assert refusals(engine, table("t", [key(), new])) == [Rule.NOT_NULL_COLUMN_ADDED]
    declared = table("t", [key(), new], allow=["backfill b"])
    sync(engine, declared)
    assert catalog.table("c.s.t").rows == [{"id": 1, "b": 7}]
    assert as_declared(catalog, declared)


def test_a_new_column_that_is_filled_may_have_a_check(
    catalog: CatalogDdlStandIn, engine: SchemaEngine
) -> None:
    sync(engine, table("t", [key()]))
    catalog.insert("c.s.t", {"id": 1})
    new = column("b", "int", nullable=False, default="7")
    declared = table("t", [key(), new], allow=["backfill"], checks={"some": "b > 0"})
    sync(engine, declared)
    assert as_declared(catalog, declared)


def test_a_primary_key_changes_with_the_foreign_keys_that_name_it(
    catalog: CatalogDdlStandIn, engine: SchemaEngine
) -> None:
    columns = [key(), key("nr")]
    sync(engine, parent(columns=columns), child())
    declared = [parent(columns=columns, primary_key=["nr"]), child()]
    sync(engine, *declared)
    assert as_declared(catalog, *declared)


def test_a_primary_key_that_an_undeclared_table_names_is_not_changed(
    catalog: CatalogDdlStandIn, engine: SchemaEngine
) -> None:
    columns = [key(), key("nr")]
    sync(engine, parent(columns=columns), child())
    before = catalog.snapshot("c.s.parent")
    changed = parent(columns=columns, primary_key=["nr"])
    assert refusals(engine, changed) == [Rule.PRIMARY_KEY_REFERENCED]
    assert catalog.snapshot("c.s.parent") == before
    assert catalog.table("c.s.child").foreign_keys


def test_a_primary_key_is_not_changed_where_a_child_is_refused(
    catalog: CatalogDdlStandIn, engine: SchemaEngine
) -> None:
    """Else the child would lose its foreign key, and not get it back."""
    columns = [key(), key("nr")]
    sync(engine, parent(columns=columns), child())
    before = catalog.snapshot("c.s.child")
    refused_child = child(columns=[key(), column("pid", "bigint"), key("new")])
    with pytest.raises(SyncFailedError):
        engine.sync(Registry([parent(columns=columns, primary_key=["nr"]), refused_child]))
    assert catalog.snapshot("c.s.child") == before


def test_a_primary_key_is_not_changed_where_a_child_keeps_an_undeclared_foreign_key(
    catalog: CatalogDdlStandIn, engine: SchemaEngine
) -> None:
    columns = [key(), key("nr")]
    sync(engine, parent(columns=columns), child())
    changed = [parent(columns=columns, primary_key=["nr"]), child(foreign_keys=[])]
    assert refusals(engine, *changed) == [Rule.PRIMARY_KEY_REFERENCED] * 2
    assert catalog.table("c.s.child").foreign_keys
    sync(engine, changed[0], child(foreign_keys=[], policy=Policy.STRICT))
    assert not catalog.table("c.s.child").foreign_keys


def test_a_key_column_is_renamed_with_all_keys_that_use_it(
    catalog: CatalogDdlStandIn, engine: SchemaEngine
) -> None:
    sync(engine, parent(), child(primary_key=["id"]))
    catalog.insert("c.s.parent", {"id": 1, "name": "x"})
    declared = [
        parent(
            columns=[key("nr"), column("name", "string")],
            primary_key=["nr"],
            renamed_columns={"id": "nr"},
        ),
        child(
            columns=[key(), column("parent_nr", "bigint")],
            primary_key=["id"],
            renamed_columns={"pid": "parent_nr"},
            foreign_keys=[ForeignKey(["parent_nr"], "c.s.parent")],
        ),
    ]
    sync(engine, *declared)
    assert as_declared(catalog, *declared)
    assert catalog.table("c.s.parent").rows == [{"nr": 1, "name": "x"}]


def test_key_columns_that_pass_their_names_on_keep_the_keys_of_children(
    catalog: CatalogDdlStandIn, engine: SchemaEngine
) -> None:
    """The key has the same names before and after, and yet goes with the rename."""
    sync(engine, parent(columns=[key(), key("nr")]), child())
    declared = [
        parent(columns=[key("old"), key()], renamed_columns={"id": "old", "nr": "id"}),
        child(),
    ]
    sync(engine, *declared)
    assert as_declared(catalog, *declared)


@pytest.mark.parametrize("policy", list(Policy))
def test_a_key_column_is_not_renamed_where_undeclared_tables_name_it(
    catalog: CatalogDdlStandIn, engine: SchemaEngine, policy: Policy
) -> None:
    sync(engine, parent(), child())
    new = [key("nr"), column("name", "string")]
    for primary in (["nr"], []):
        renamed = parent(
            columns=new, primary_key=primary, renamed_columns={"id": "nr"}, policy=policy
        )
        found = refusals(engine, renamed)
        assert found
        assert set(found) <= {Rule.PRIMARY_KEY_REFERENCED, Rule.COLUMN_IN_USE}
    assert catalog.table("c.s.child").foreign_keys
    assert catalog.table("c.s.parent").column("id")


@pytest.mark.parametrize("what", ["renamed", "dropped", "nullable"])
def test_a_column_of_a_key_that_is_left_alone_stays_as_it_is(
    catalog: CatalogDdlStandIn, engine: SchemaEngine, what: str
) -> None:
    """An undeclared key would be lost without a word, or stop the sync half-way."""
    sync(engine, parent(), child(primary_key=["pid"], columns=[key(), key("pid")]))
    before = catalog.snapshot("c.s.child")
    changed = {
        "renamed": child(columns=[key(), key("x")], renamed_columns={"pid": "x"}, foreign_keys=[]),
        "dropped": child(columns=[key()], allow=["drop_column"], foreign_keys=[]),
        "nullable": child(),
    }[what]
    found = refusals(engine, changed, parent())
    assert set(found) == {Rule.COLUMN_IN_USE}
    assert catalog.snapshot("c.s.child") == before


def test_a_remembered_child_gets_its_foreign_key_back(catalog: CatalogDdlStandIn) -> None:
    """Neither the child nor its declaration has changed, so it would not be read."""
    columns = [key(), key("nr")]
    engine = engine_on(catalog, Remembered())
    engine.sync(Registry([parent(columns=columns), child()]))
    declared = [parent(columns=columns, primary_key=["nr"]), child()]
    engine.sync(Registry(declared))
    assert as_declared(catalog, *declared)
    assert catalog.table("c.s.child").foreign_keys


def test_strict_takes_away_what_is_not_declared(
    catalog: CatalogDdlStandIn, engine: SchemaEngine
) -> None:
    full = child(
        primary_key=["id"],
        columns=[replace(key(), tags={"a": "1"}), column("pid", "bigint", default="1")],
        tags={"b": "2", "c": "3"},
        checks={"some": "id > 0"},
        properties={**OPEN, "my.own": "x"},
        comment="said",
        clustered_by=["pid"],
    )
    sync(engine, parent(), full)
    bare = child(policy=Policy.STRICT, foreign_keys=[])
    sync(engine, parent(), bare)
    assert as_declared(catalog, bare)
    found = catalog.table("c.s.child")
    assert not found.tags
    assert not any(found.column_tags.values())
    assert not found.checks
    assert not found.foreign_keys
    assert found.primary_key is None


def test_additive_leaves_alone_what_is_not_declared(
    catalog: CatalogDdlStandIn, engine: SchemaEngine
) -> None:
    full = child(
        primary_key=["id"],
        columns=[replace(key(), tags={"a": "1"}), column("pid", "bigint"), column("x", "int")],
        tags={"b": "2"},
        checks={"some": "id > 0"},
    )
    sync(engine, parent(), full)
    before = catalog.snapshot("c.s.child")
    report = sync(engine, parent(), child(foreign_keys=[]))
    assert catalog.snapshot("c.s.child") == before
    notes = "\n".join(report.outcomes[0].plan.notes + report.outcomes[1].plan.notes)
    assert "primary key pk_child" in notes
    assert "foreign key fk_child_pid_parent" in notes
    assert "check some" in notes


def test_a_column_with_a_governed_tag_is_dropped_without_it(
    catalog: CatalogDdlStandIn, engine: SchemaEngine
) -> None:
    """https://docs.databricks.com/error-messages/error-classes.html: CANNOT_DROP_TAGGED_COLUMN."""
    tagged = column("b", "int", tags={"pii": "yes"})
    sync(engine, table("t", [key(), tagged], properties=OPEN))
    catalog.table("c.s.t").governed = {"pii"}
    declared = table("t", [key()], properties=OPEN, allow=["drop_column b"])
    sync(engine, declared)
    assert [one.name for one in catalog.table("c.s.t").shape] == ["id"]


def test_keys_are_added_in_the_spelling_of_the_table(
    catalog: CatalogDdlStandIn, engine: SchemaEngine
) -> None:
    catalog.run(
        "CREATE TABLE c.s.parent (Id BIGINT NOT NULL) USING delta",
        "CREATE TABLE c.s.child (ID BIGINT NOT NULL, Pid BIGINT) USING delta",
    )
    sync(engine, parent(columns=[key()]), child(primary_key=["id"]))
    assert catalog.table("c.s.parent").primary_key == ("pk_parent", ("Id",))
    assert catalog.table("c.s.child").primary_key == ("pk_child", ("ID",))
    assert [one.columns for one in catalog.table("c.s.child").foreign_keys] == [("Pid",)]


def test_a_table_is_renamed_with_its_keys_and_those_of_its_children(
    catalog: CatalogDdlStandIn, engine: SchemaEngine
) -> None:
    sync(engine, parent(), child())
    catalog.insert("c.s.parent", {"id": 1})
    renamed = replace(parent(), name="elders", renamed_from="parent")
    moved = child(foreign_keys=[ForeignKey(["pid"], "c.s.elders")])
    sync(engine, renamed, moved)
    assert as_declared(catalog, renamed, moved)
    assert len(catalog.table("c.s.elders").rows) == 1
    assert len(catalog.table("c.s.child").foreign_keys) == 1


def test_a_table_is_not_moved_to_another_schema(
    catalog: CatalogDdlStandIn, engine: SchemaEngine
) -> None:
    sync(engine, parent())
    moved = replace(parent(), schema="other", renamed_from="c.s.parent")
    before = list(catalog.changes)
    assert refusals(engine, moved) == [Rule.LOCATION_CHANGE]
    assert catalog.changes == before


def test_dropped_tables_take_foreign_keys_to_them_along(
    catalog: CatalogDdlStandIn, engine: SchemaEngine
) -> None:
    sync(engine, parent(), child())
    left = child(foreign_keys=[], policy=Policy.STRICT)
    sync(engine, DroppedTable("c", "s", "parent"), left)
    assert ("c", "s", "parent") not in catalog.tables
    assert not catalog.table("c.s.child").foreign_keys


def test_widening_and_nested_fields(catalog: CatalogDdlStandIn, engine: SchemaEngine) -> None:
    old = [key("id", "int"), column("s", "struct<a:int,b:string>"), column("l", "array<int>")]
    new = [key(), column("s", "struct<a:bigint,x:date,c:string>"), column("l", "array<bigint>")]
    sync(engine, table("t", old, properties=OPEN, primary_key=["id"], clustered_by=["s.a"]))
    catalog.insert("c.s.t", {"id": 1, "s": {"a": 1, "b": "x"}})
    declared = table(
        "t", new, properties=OPEN, primary_key=["id"], clustered_by=["s.a"],
        renamed_columns={"s.b": "s.c"}, policy=Policy.STRICT, checks={"a": "s.a > 0"},
    )  # fmt: skip
    sync(engine, declared)
    assert as_declared(catalog, declared)


def test_a_constraint_name_that_is_taken_fails_and_says_so(
    catalog: CatalogDdlStandIn, engine: SchemaEngine
) -> None:
    catalog.run(
        "CREATE TABLE c.s.elsewhere (id BIGINT NOT NULL) USING delta",
        "ALTER TABLE c.s.elsewhere ADD CONSTRAINT PK_Parent PRIMARY KEY (id)",
    )
    with pytest.raises(SyncFailedError, match="CONSTRAINT_ALREADY_EXISTS"):
        engine.sync(Registry([parent()]))


# --------------------------------------------------------------------------- what reading costs


def estate(count: int) -> list[DeltaTable]:
    return [
        table(
            f"t{i}",
            [key(), column("up", "bigint", tags={"n": str(i)})],
            primary_key=["id"],
            foreign_keys=[ForeignKey(["up"], f"c.s.t{i - 1}")] if i % 2 else [],
            tags={"number": str(i)},
        )
        for i in range(count)
    ]


def cost(catalog: CatalogDdlStandIn, action: Callable[[], Any]) -> tuple[int, int]:
    """Queries, and looks at one table."""
    start = len(catalog.statements)
    action()
    sent = catalog.statements[start:]
    queries = [text for text in sent if "information_schema" in text]
    return len(queries), len([text for text in sent if text.startswith(("DESCRIBE", "SHOW"))])


def test_reading_a_hundred_unchanged_tables_costs_a_look_each_and_nothing_with_memory(
    catalog: CatalogDdlStandIn,
) -> None:
    registry = Registry(estate(100))
    remembering = engine_on(catalog, Remembered())
    remembering.sync(registry)
    changes = len(catalog.changes)
    assert cost(catalog, lambda: engine_on(catalog).sync(registry)) == (QUERIES, 100)
    assert cost(catalog, lambda: remembering.sync(registry)) == (QUERIES, 0)
    assert len(catalog.changes) == changes


def test_one_changed_table_among_a_hundred_costs_no_look_at_the_others(
    catalog: CatalogDdlStandIn,
) -> None:
    tables = estate(100)
    engine = engine_on(catalog, Remembered())
    engine.sync(Registry(tables))
    tables[7] = replace(tables[7], comment="new")
    assert cost(catalog, lambda: engine.sync(Registry(tables))) == (3 * QUERIES, 2)
    assert cost(catalog, lambda: engine.sync(Registry(tables))) == (QUERIES, 0)


def test_a_hundred_changed_tables_cost_queries_by_the_wave_and_two_looks_each(
    catalog: CatalogDdlStandIn,
) -> None:
    tables = estate(100)
    engine = engine_on(catalog, Remembered())
    engine.sync(Registry(tables))
    tables = [replace(one, comment="new") for one in tables]
    queries, looks = cost(catalog, lambda: engine.sync(Registry(tables)))
    assert looks == 200
    assert queries <= 12 * QUERIES


def test_a_new_child_does_not_make_its_parent_strange_for_long(catalog: CatalogDdlStandIn) -> None:
    """The stamp of a parent changes with the keys that name it."""
    engine = engine_on(catalog, Remembered())
    engine.sync(Registry([parent()]))
    engine.sync(Registry([parent(), child()]))
    assert cost(catalog, lambda: engine.sync(Registry([parent(), child()])))[1] <= 1
    assert cost(catalog, lambda: engine.sync(Registry([parent(), child()]))) == (QUERIES, 0)


# --------------------------------------------------------------------------- names, import


def test_tables_of_a_schema_are_listed(catalog: CatalogDdlStandIn, engine: SchemaEngine) -> None:
    sync(engine, parent(), child(), View("c", "s", "a_view", "SELECT 1 AS x"))
    reader = UnityCatalogReader(catalog)
    assert reader.tables_of("c", "s") == [
        TableName("c", "s", name) for name in ("a_view", "child", "parent")
    ]
    assert reader.tables_of("c", "other") == []
    with pytest.raises(NotFoundError):
        reader.tables_of("c", "missing")


@pytest.mark.parametrize("policy", list(Policy))
def test_what_is_imported_has_nothing_left_to_do(
    catalog: CatalogDdlStandIn, engine: SchemaEngine, policy: Policy
) -> None:
    catalog.run(
        """CREATE TABLE c.s.parent (Id BIGINT NOT NULL COMMENT 'it\\'s', `a b` STRUCT<x: INT COMMENT
        'in', y: ARRAY<VARCHAR(3)>>, code VARCHAR(7) DEFAULT 'new', at TIMESTAMP, d DATE GENERATED
        ALWAYS AS (CAST(at AS DATE)), n BIGINT GENERATED BY DEFAULT AS IDENTITY (START WITH -3
        INCREMENT BY 2)) USING delta COMMENT 'all' TBLPROPERTIES ('delta.columnMapping.mode' =
        'name', 'delta.feature.allowColumnDefaults' = 'supported', 'my.own' = 'x') CLUSTER BY
        (d, `a b`.x)""",
        "ALTER TABLE c.s.parent ADD CONSTRAINT Own_Name PRIMARY KEY (Id)",
        "ALTER TABLE c.s.parent ADD CONSTRAINT Positive CHECK (id > 0)",
        "ALTER TABLE c.s.parent SET TAGS ('team' = 'x')",
        "ALTER TABLE c.s.parent ALTER COLUMN code SET TAGS ('pii' = '')",
        "CREATE TABLE c.s.child (id BIGINT NOT NULL, Pid BIGINT) USING delta",
        "ALTER TABLE c.s.child ADD CONSTRAINT up FOREIGN KEY (Pid) REFERENCES c.s.parent (Id)",
        "CREATE OR REPLACE VIEW c.s.shown COMMENT 'v' AS SELECT Id FROM c.s.parent",
    )
    reader = UnityCatalogReader(catalog)
    places = [TableName(*place) for place in catalog.tables]
    found = import_tables(reader.describe(places), UNITY_CATALOG, policy)
    assert found.left_out == ()
    plan = engine.plan(Registry(found.tables))
    assert plan.counts()[Outlook.UNCHANGED] == 3, plan.text()
    assert not [note for one in plan.tables for note in one.notes]
    catalog.changes.clear()
    engine.sync(Registry(found.tables))
    assert catalog.changes == []


# --------------------------------------------------------------------------- any change at all


KINDS = ["int", "bigint", "string", "double", "decimal(10,0)", "varchar(5)", "timestamp_ntz"]
NESTED = [
    "struct<x:int>",
    "struct<x:bigint,y:string>",
    "struct<y:string comment 'y'>",
    "array<int>",
]
SPARE = ["a", "b", "c", "d"]
PARENTS = {"one": [], "two": ["one"], "three": ["one", "two"]}
texts = st.sampled_from(["", "x", "it's"])
tags = st.dictionaries(st.sampled_from(["k", "l"]), st.sampled_from(["", "1", "2"]), max_size=2)


@st.composite
def spare_columns(draw: st.DrawFn) -> list[Column]:
    found = []
    for name in draw(st.lists(st.sampled_from(SPARE), unique=True, max_size=3)):
        kind = draw(st.sampled_from([*KINDS, *NESTED]))
        nullable = draw(st.integers(0, 3)) > 0
        default = draw(st.sampled_from(["", "", "3"])) if kind in ("int", "bigint") else ""
        found.append(
            column(
                name, kind, nullable=nullable, default=default, comment=draw(texts), tags=draw(tags)
            )
        )
    return found


@st.composite
def any_table(draw: st.DrawFn, name: str, primary: Mapping[str, list[str]]) -> DeltaTable:
    """Key columns are always there; everything else may be."""
    keys = [key(), key("nr"), column("f", "bigint"), column("g", "bigint")]
    columns = draw(st.permutations([*keys, *draw(spare_columns())]))
    foreign = []
    free = ["f", "g"]
    for up in PARENTS[name]:
        size = len(primary[up])
        if 0 < size <= len(free) and draw(st.booleans()):
            chosen, free = free[:size], free[size:]
            referenced = draw(st.permutations(primary[up]))
            foreign.append(ForeignKey(chosen, f"c.s.{up}", referenced))
    names = [one.name for one in columns]
    made = [
        text
        for text in ["id > 0", "a IS NOT NULL", "f > 0", "nr > 0 AND id > 0"]
        if text[0] != "a" or "a" in names
    ]
    checks = draw(st.dictionaries(st.sampled_from(["k1", "k2"]), st.sampled_from(made), max_size=2))
    flat = [one.name for one in columns if str(one.data_type) in KINDS]
    return table(
        name,
        columns,
        comment=draw(texts),
        primary_key=primary[name],
        foreign_keys=foreign,
        properties=draw(st.sampled_from([OPEN, OPEN, OPEN, {"my.own": "x"}])),
        clustered_by=draw(st.lists(st.sampled_from(flat), unique=True, max_size=2)),
        checks=checks,
        tags=draw(tags),
        policy=draw(st.sampled_from(Policy)),
        allow=draw(
            st.sampled_from([["drop_column", "backfill"], ["drop_column"], ["backfill"], []])
        ),
    )


primary_keys = st.fixed_dictionaries(
    {name: st.sampled_from([[], ["id"], ["nr"], ["id", "nr"]]) for name in PARENTS}
)


@st.composite
def any_estate(draw: st.DrawFn, before: Sequence[DeltaTable] = ()) -> list[DeltaTable]:
    """Three tables with keys between them; some as ``before``, some columns under a new name."""
    primary = draw(primary_keys)
    found = []
    for index, name in enumerate(PARENTS):
        made = draw(any_table(name, primary))
        if before and draw(st.booleans()):
            made = draw(changed(before[index], made))
        found.append(made)
    return found


WIDER = {
    "int": ["bigint", "double", "decimal(10,0)"],
    "varchar(5)": ["varchar(9)", "string"],
    "decimal(10,0)": ["decimal(12,2)"],
    "struct<x:int>": ["struct<x:bigint>", "struct<x:int,y:string comment 'n'>"],
    "struct<x:bigint,y:string>": ["struct<y:string,x:bigint>", "struct<x:bigint>"],
    "array<int>": ["array<bigint>"],
}
LIKELY = st.sampled_from([True, True, False])


@st.composite
def varied(draw: st.DrawFn, one: Column) -> Column:
    """The column as somebody may come to declare it in place of the old one."""
    kinds = WIDER.get(str(one.data_type), [])
    kind = draw(st.sampled_from([*kinds, str(one.data_type)]))
    default = one.default if kind in ("int", "bigint") else ""
    numeric = kind in ("int", "bigint")
    return replace(
        one,
        data_type=parse_type(kind),
        nullable=draw(st.sampled_from([one.nullable, one.nullable, not one.nullable])),
        default=draw(st.sampled_from([default, "4", ""])) if numeric else "",
        comment=draw(texts),
        tags=draw(tags),
    )


@st.composite
def changed(draw: st.DrawFn, before: DeltaTable, other: DeltaTable) -> DeltaTable:
    """The columns of before, widened and the like, some under a new name, some new; else other."""
    columns = [draw(varied(one)) if one.name in SPARE else one for one in before.columns]
    free = {one.name for one in columns}
    columns += [one for one in draw(spare_columns()) if one.name not in free and draw(LIKELY)]
    swaps = draw(st.sampled_from([{}, {"id": "ident"}, {"f": "h"}, {"id": "old", "nr": "id"}]))
    spares = [one.name for one in columns if one.name in SPARE]
    if spares and draw(st.booleans()):
        swaps = {**swaps, draw(st.sampled_from(spares)): "e"}
    columns = [replace(one, name=swaps.get(one.name, one.name)) for one in columns]
    names = {one.name for one in columns}
    keys = [name if name in names else swaps.get(name, name) for name in other.primary_key]
    foreign = [
        replace(one, columns=[n if n in names else swaps.get(n, n) for n in one.columns])
        for one in other.foreign_keys
    ]
    if not names.issuperset(keys):
        keys = []
    checks = {n: t for n, t in other.checks.items() if names >= {p[0] for p in paths_in(t)}}
    clustered = [n for n in other.clustered_by if n in names]
    return replace(
        other, columns=columns, renamed_columns=swaps, primary_key=keys, foreign_keys=foreign,
        checks=checks, clustered_by=clustered,
    )  # fmt: skip


@st.composite
def some_rows(draw: st.DrawFn, of: DeltaTable) -> list[dict[str, Any]]:
    return [
        {one.name: draw(_values(one)) for one in of.columns} for _ in range(draw(st.integers(0, 2)))
    ]


def _values(one: Column) -> st.SearchStrategy[Any]:
    numbers = st.sampled_from([1.0, 2.0, -1.0])
    found = st.sampled_from(["x", "long text"]) if str(one.data_type) == "string" else numbers
    if isinstance(one.data_type, Struct):
        inner = [(f.name, _values(Column(f.name, f.data_type))) for f in one.data_type.fields]
        found = st.fixed_dictionaries(dict(inner))
    return found if not one.nullable else st.one_of(st.none(), found)


@dataclass(frozen=True)
class History:
    """Two declarations of the same tables, and what rows there are in between."""

    first: list[DeltaTable]
    second: list[DeltaTable]
    rows: dict[str, list[dict[str, Any]]]


@st.composite
def histories(draw: st.DrawFn) -> History:
    try:
        first = draw(any_estate())
        second = draw(any_estate(first))
        Registry(first).in_order()
        Registry(second).in_order()
    except SpecError:
        reject()
    return History(first, second, {one.name: draw(some_rows(one)) for one in first})


def begun(history: History) -> CatalogDdlStandIn:
    """The catalog after the first sync, with rows."""
    catalog = CatalogDdlStandIn("c.s")
    sync(engine_on(catalog), *history.first)
    for one in history.first:
        assert as_declared(catalog, one)
        for row in history.rows[one.name]:
            with suppress(BackendError):  # a check may refuse it
                catalog.insert(str(one.full_name), row)
    return catalog


def outcome_of(engine: SchemaEngine, declared: list[DeltaTable]) -> SyncReport:
    try:
        return engine.sync(Registry(declared))
    except SyncFailedError as error:
        return error.report


def judged(
    catalog: CatalogDdlStandIn, report: SyncReport, before: Mapping[TableName, Any]
) -> list[TableName]:
    """Each table is as declared, or refused and as before; the names of the refused ones."""
    bad = []
    for outcome in report:
        assert isinstance(outcome.plan.table, DeltaTable)
        if outcome.status.bad:
            bad.append(outcome.name)
            assert outcome.plan.rejections or outcome.status is TableStatus.SKIPPED, outcome
            assert catalog.snapshot(str(outcome.name)) == before[outcome.name], report.text()
        else:
            left = differences(outcome.plan.table, catalog)
            assert left == [], report.text()
    return bad


def snapshots(catalog: CatalogDdlStandIn, declared: list[DeltaTable]) -> dict[TableName, Any]:
    return {one.full_name: catalog.snapshot(str(one.full_name)) for one in declared}


MANY = settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


@MANY
@given(histories(), st.booleans())
def test_any_tables_become_as_declared_or_are_refused_as_they_are(
    history: History, remembers: bool
) -> None:
    catalog = begun(history)
    before = snapshots(catalog, history.second)
    memory = Remembered() if remembers else None
    if memory:
        engine_on(catalog, memory).sync(Registry(history.first))
    report = outcome_of(engine_on(catalog, memory), history.second)
    bad = judged(catalog, report, before)
    catalog.changes.clear()
    again = outcome_of(engine_on(catalog, memory), history.second)
    assert catalog.changes == [], report.text() + again.text()
    assert [outcome.name for outcome in again if outcome.status.bad] == [
        name for name in bad if again.plan.tables
    ]


class DiedError(BaseException):
    """The process is gone."""


@MANY
@given(histories(), st.data())
def test_a_sync_that_dies_after_any_statement_is_completed_by_the_next(
    history: History, data: st.DataObject
) -> None:
    catalog = begun(history)
    plan = engine_on(catalog).plan(Registry(history.second))
    refused_ones = {one.name for one in plan.tables if one.rejections}
    count = len(plan.statements)
    left = data.draw(st.integers(0, max(count - 1, 0)))

    def die(_: str) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise DiedError

    catalog.before = die
    with suppress(DiedError):
        outcome_of(engine_on(catalog), history.second)
    catalog.before = lambda _: None
    before = snapshots(catalog, history.second)
    report = outcome_of(engine_on(catalog), history.second)
    bad = judged(catalog, report, before)
    new = {o.name for o in report if o.plan.rejections} - refused_ones
    assert not new, plan.text() + report.text()
    assert bad or not engine_on(catalog).plan(Registry(history.second)).has_changes


def test_two_syncs_at_once_end_as_declared(catalog: CatalogDdlStandIn) -> None:
    """The one that comes second is refused by the platform, looks again, and is content."""
    declared = [parent()]
    both = threading.Barrier(2)

    def meet(statement: str) -> None:
        if statement.startswith("CREATE TABLE"):
            both.wait(timeout=30)

    engines = [engine_on(catalog) for _ in range(2)]
    catalog.before = meet
    with ThreadPoolExecutor(2) as pool:
        reports = list(pool.map(lambda engine: outcome_of(engine, declared), engines))
    catalog.before = lambda _: None
    failures = [outcome.error for report in reports for outcome in report.failures]
    assert len(failures) < 2
    assert all("TABLE_OR_VIEW_ALREADY_EXISTS" in error for error in failures)
    assert as_declared(catalog, *declared)


@settings(MANY, max_examples=20)
@given(histories())
def test_two_syncs_at_once_leave_tables_as_declared_or_for_the_next_sync(history: History) -> None:
    catalog = begun(history)
    plan = engine_on(catalog).plan(Registry(history.second))
    refused_ones = {one.name for one in plan.tables if one.rejections}
    with ThreadPoolExecutor(2) as pool:
        engines = [engine_on(catalog) for _ in range(2)]
        list(pool.map(lambda engine: outcome_of(engine, history.second), engines))
    before = snapshots(catalog, history.second)
    report = outcome_of(engine_on(catalog), history.second)
    judged(catalog, report, before)
    assert {o.name for o in report if o.plan.rejections} <= refused_ones, report.text()


@settings(MANY, max_examples=20)
@given(any_estate(), st.sampled_from(Policy))
def test_any_tables_that_are_imported_have_nothing_left_to_do(
    declared: list[DeltaTable], policy: Policy
) -> None:
    try:
        registry = Registry(declared)
        registry.in_order()
    except SpecError:
        reject()
    catalog = CatalogDdlStandIn("c.s")
    engine_on(catalog).sync(registry)
    states = UnityCatalogReader(catalog).describe([one.full_name for one in declared])
    found = import_tables(states, UNITY_CATALOG, policy)
    assert found.warnings == found.left_out == ()
    plan = engine_on(catalog).plan(Registry(found.tables))
    assert plan.counts()[Outlook.UNCHANGED] == len(declared), plan.text()
    assert not [note for one in plan.tables for note in one.notes]
