"""Tables of Unity Catalog, read over SQL: what is sent, and what is made of the answers."""

import json
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyarrow as pa
import pytest
from contract.catalog_stand_in import CatalogStandIn, ForeignKey, StandInTable, forbidden

from lakeflow_meta.backends.unity_catalog import ReadSession, UnityCatalogReader
from lakeflow_meta.errors import BackendError, NotFoundError
from lakeflow_meta.names import TableName
from lakeflow_meta.schema.live import (
    LiveForeignKey,
    LiveKeys,
    LivePrimaryKey,
    LiveTable,
    LiveView,
    TableState,
    Unreadable,
)
from lakeflow_meta.schema.table import Column, Identity
from lakeflow_meta.schema.type_text import parse_type
from lakeflow_meta.schema.types import Long, String

ORDERS = TableName.parse("main.shop.orders")
QUERIES = 7
"""One a relation: schemata, tables, views, table_tags, column_tags, columns, keys."""

LEGACY = {"delta.minReaderVersion": "1", "delta.minWriterVersion": "2"}


def entry(name: str, data_type: Any = "bigint", **more: Any) -> dict[str, Any]:
    """A column of the JSON document."""
    kind = {"name": data_type} if isinstance(data_type, str) else data_type
    return {"name": name, "type": kind, "nullable": True, **more}


def plain_table(**more: Any) -> StandInTable:
    return StandInTable(**{"columns": [entry("id")], "properties": dict(LEGACY), **more})


def names(*texts: str) -> list[TableName]:
    return [TableName.parse(text) for text in texts]


def state_of(catalog: CatalogStandIn, name: TableName = ORDERS) -> TableState:
    return UnityCatalogReader(catalog).describe([name])[name]


def read_table(table: StandInTable) -> TableState:
    catalog = CatalogStandIn()
    catalog.add(str(ORDERS), table)
    return state_of(catalog)


def live(table: StandInTable) -> LiveTable:
    found = read_table(table)
    assert isinstance(found, LiveTable), found
    return found


def unreadable(table: StandInTable) -> Unreadable:
    found = read_table(table)
    assert isinstance(found, Unreadable), found
    return found


def described(catalog: CatalogStandIn) -> int:
    """Statements about one object, as against queries."""
    return sum(n for word, n in catalog.counts().items() if not word.startswith("SELECT"))


def queried(catalog: CatalogStandIn) -> int:
    return len(catalog.statements) - described(catalog)


def shop(count: int) -> tuple[CatalogStandIn, list[TableName]]:
    """So many tables of one catalog in four schemas, the odd ones with a key to the one before."""
    catalog = CatalogStandIn()
    asked = []
    for number in range(count):
        name = TableName("main", f"s{number // 2 % 4}", f"t{number}")
        table = plain_table(
            columns=[entry("id"), entry("name", {"name": "string", "collation": "UTF8_BINARY"})],
            primary_key=(f"pk_{number}", ("id",)),
            tags={"number": str(number)},
            column_tags={"name": {"pii": "yes"}},
        )
        if number % 2:
            parent = asked[-1]
            place = (parent.catalog, parent.schema, parent.name)
            table.foreign_keys = [ForeignKey(f"fk_{number}", ("id",), place)]
        catalog.add(str(name), table)
        asked.append(name)
    return catalog, asked


# --- what is sent


@pytest.mark.parametrize("count", [1, 100])
def test_a_describe_a_table_and_a_fixed_number_of_queries_a_catalog(count: int) -> None:
    catalog, asked = shop(count)
    found = UnityCatalogReader(catalog).describe(asked)
    assert list(found) == asked
    assert all(isinstance(state, LiveTable) for state in found.values())
    assert described(catalog) == count
    assert queried(catalog) == QUERIES


def test_stamps_look_at_no_single_table() -> None:
    catalog, asked = shop(100)
    stamps = UnityCatalogReader(catalog).stamps(asked)
    assert list(stamps) == asked
    assert len(set(stamps.values())) == 100
    assert all(0 <= stamp < 2**63 for stamp in stamps.values())
    assert (queried(catalog), described(catalog)) == (QUERIES, 0)


def test_a_describe_after_stamps_shares_their_queries() -> None:
    catalog, asked = shop(20)
    reader = UnityCatalogReader(catalog)
    stamps = reader.stamps(asked)
    found = reader.describe(asked[3:5])
    assert {name: state.version for name, state in found.items() if state} == {
        name: stamps[name] for name in asked[3:5]
    }
    assert (queried(catalog), described(catalog)) == (QUERIES, 2)


def test_a_describe_of_nothing_sends_nothing() -> None:
    catalog, _ = shop(1)
    assert UnityCatalogReader(catalog).describe([]) == {}
    assert UnityCatalogReader(catalog).stamps([]) == {}
    assert catalog.statements == []


def test_what_stamps_read_is_used_once_only() -> None:
    catalog, asked = shop(2)
    reader = UnityCatalogReader(catalog)
    reader.stamps(asked)
    reader.describe(asked)
    del catalog.tables["main", "s0", "t1"]
    assert reader.describe(asked)[asked[1]] is None
    assert queried(catalog) == 2 * QUERIES


def test_what_stamps_read_of_other_tables_is_not_used() -> None:
    catalog, asked = shop(4)
    reader = UnityCatalogReader(catalog)
    reader.stamps(asked[:2])
    assert all(isinstance(state, LiveTable) for state in reader.describe(asked).values())
    assert queried(catalog) == 2 * QUERIES


def test_what_stamps_read_is_not_used_later() -> None:
    catalog, asked = shop(2)
    now = [100.0]
    reader = UnityCatalogReader(catalog, monotonic=lambda: now[0])
    reader.stamps(asked)
    now[0] += 11
    catalog.tables["main", "s0", "t1"].tags = {"changed": "since"}
    found = reader.describe(asked)[asked[1]]
    assert isinstance(found, LiveTable)
    assert dict(found.tags or {}) == {"changed": "since"}


def test_names_that_differ_in_case_are_one_table() -> None:
    catalog, _ = shop(1)
    asked = names("main.s0.t0", "MAIN.S0.T0")
    found = UnityCatalogReader(catalog).describe(asked)
    assert [state.name for state in found.values() if isinstance(state, LiveTable)] == asked


@pytest.mark.parametrize("count", [1_000, 10_000])
def test_many_names_fit_into_the_parameters_of_a_statement(count: int) -> None:
    catalog, asked = shop(1_000)
    spread = [TableName("main", f"s{number}", f"x{number}") for number in range(count - 1_000)]
    stamps = UnityCatalogReader(catalog).stamps([*asked, *spread])
    assert list(stamps) == asked
    assert queried(catalog) == QUERIES


def test_many_schemas_fit_into_the_parameters_of_a_statement() -> None:
    catalog = CatalogStandIn()
    asked = [TableName("main", f"s{number}", f"t{number}") for number in range(200)]
    for name in asked:
        catalog.add(str(name), plain_table())
    assert list(UnityCatalogReader(catalog).stamps(asked)) == asked


def test_a_thousand_tables_are_read_the_same_in_any_order_and_by_any_number_of_threads() -> None:
    catalog, asked = shop(1_000)
    one = UnityCatalogReader(catalog, max_parallel=1).describe(asked)
    shuffled = sorted(asked, key=lambda name: name.name[::-1])
    catalog.tables = {key: catalog.tables[key] for key in reversed(catalog.tables)}
    many = UnityCatalogReader(catalog, max_parallel=8).describe(shuffled)
    assert list(many) == shuffled
    assert many == one
    keys = many[asked[1]]
    assert isinstance(keys, LiveTable)
    assert keys.keys is not None
    assert keys.keys.foreign[0].parent == asked[0]


def test_tables_are_looked_at_in_parallel_within_the_limit() -> None:
    catalog, asked = shop(12)
    three = threading.Barrier(3)

    class Slow:
        def execute(self, statement: str, parameters: Mapping[str, Any] | None = None) -> Any:
            if statement.startswith("DESCRIBE"):
                three.wait(timeout=30)
            return catalog.execute(statement, parameters)

    assert len(UnityCatalogReader(Slow(), max_parallel=3).describe(asked)) == 12
    assert catalog.most_at_once <= 3


def test_threads_share_a_reader_and_its_limit_and_no_answers() -> None:
    catalog, asked = shop(40)
    opened = []
    reader = UnityCatalogReader(lambda: opened.append(1) or catalog, max_parallel=2)

    def stamp_and_describe(name: TableName) -> bool:
        stamps = reader.stamps([name])
        state = reader.describe([name])[name]
        return isinstance(state, LiveTable) and state.version == stamps[name]

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(stamp_and_describe, asked))
    assert (queried(catalog), described(catalog)) == (40 * QUERIES, 40)
    assert catalog.most_at_once <= 2
    assert opened == [1]


def test_the_session_is_opened_when_it_is_needed_and_once() -> None:
    catalog, asked = shop(2)
    opened = []

    def session() -> CatalogStandIn:
        opened.append(1)
        return catalog

    reader = UnityCatalogReader(session)
    assert opened == []
    reader.stamps(asked)
    reader.describe(asked)
    assert opened == [1]


# --- stamps


CHANGES: dict[str, Callable[[StandInTable], Any]] = {
    "last_altered": lambda t: setattr(t, "last_altered", "2026-01-01T00:00:00.000001+00:00"),
    "comment": lambda t: setattr(t, "comment", "new"),
    "tag": lambda t: t.tags.update(owner="me"),
    "tag value": lambda t: t.tags.update(kept="other"),
    "column tag": lambda t: t.column_tags.update(id={"pii": "no"}),
    "primary key": lambda t: setattr(t, "primary_key", ("pk", ("id", "name"))),
    "name of the primary key": lambda t: setattr(t, "primary_key", ("pk2", ("id",))),
    "order of the primary key": lambda t: setattr(t, "primary_key", ("pk", ("name", "id"))),
    "foreign key": lambda t: t.foreign_keys.append(
        ForeignKey("fk", ("id",), ("main", "shop", "parent"))
    ),
    "length of a column": lambda t: t.full_types.update(name="varchar(20)"),
    "kind": lambda t: setattr(t, "kind", "EXTERNAL"),
}


def one_of_each() -> CatalogStandIn:
    catalog = CatalogStandIn()
    table = plain_table(
        columns=[entry("id"), entry("name", "string")],
        tags={"kept": "yes"},
        primary_key=("pk", ("id",)),
        full_types={"name": "varchar(10)"},
    )
    catalog.add(str(ORDERS), table)
    catalog.add("main.shop.parent", plain_table(primary_key=("pk_parent", ("id",))))
    return catalog


@pytest.mark.parametrize("what", CHANGES)
def test_a_change_of_the_definition_is_another_stamp(what: str) -> None:
    catalog = one_of_each()
    reader = UnityCatalogReader(catalog)
    before = reader.stamps([ORDERS])
    assert reader.stamps([ORDERS]) == before
    CHANGES[what](catalog.tables["main", "shop", "orders"])
    assert reader.stamps([ORDERS]) != before


def test_a_foreign_key_of_another_table_is_another_stamp_of_its_parent() -> None:
    catalog = one_of_each()
    parent = TableName.parse("main.shop.parent")
    before = UnityCatalogReader(catalog).stamps([parent])
    CHANGES["foreign key"](catalog.tables["main", "shop", "orders"])
    assert UnityCatalogReader(catalog).stamps([parent]) != before


def test_the_order_of_the_rows_does_not_matter_to_a_stamp() -> None:
    catalog, found = CatalogStandIn(), []
    tags = {"a": "1", "b": "2"}
    for order in (list(tags), list(reversed(tags))):
        ordered = {key: tags[key] for key in order}
        catalog.add(str(ORDERS), plain_table(tags=ordered, column_tags={"id": ordered}))
        found.append(UnityCatalogReader(catalog).stamps([ORDERS]))
    assert found[0] == found[1]


def test_the_text_of_a_view_is_part_of_its_stamp() -> None:
    catalog = CatalogStandIn()
    catalog.add(str(ORDERS), StandInTable(kind="VIEW", view_text="SELECT 1"))
    before = UnityCatalogReader(catalog).stamps([ORDERS])
    catalog.tables["main", "shop", "orders"].view_text = "SELECT 2"
    assert UnityCatalogReader(catalog).stamps([ORDERS]) not in ({}, before)


def test_what_cannot_be_read_has_no_stamp() -> None:
    catalog = CatalogStandIn()
    catalog.add("main.shop.parquet", plain_table(format="PARQUET"))
    catalog.add("main.shop.stream", plain_table(kind="STREAMING_TABLE"))
    asked = names("main.shop.parquet", "main.shop.stream", "main.shop.none", "main.no.t", "no.s.t")
    assert UnityCatalogReader(catalog).stamps(asked) == {}


# --- what is made of it


def test_a_table_is_read_whole() -> None:
    table = plain_table(
        columns=[
            entry("Id", nullable=False, comment="the key"),
            entry("region", "string"),
            entry("amount", {"name": "decimal", "precision": 12, "scale": 2}, default="0.0"),
        ],
        comment="Orders, 'as placed'",
        properties={
            "delta.minReaderVersion": "3",
            "delta.minWriterVersion": "7",
            "delta.feature.clustering": "supported",
            "delta.feature.checkConstraints": "supported",
            "delta.constraints.Positive": "amount > 0",
            "delta.enableChangeDataFeed": "true",
            "clusteringColumns": '[["region"]]',
            "team": "shop",
        },
        clustered_by=["region", "`odd.name`.inner"],
        tags={"cost": "1", "empty": ""},
        column_tags={"ID": {"pii": "no"}},
        primary_key=("orders_pk", ("Id", "region")),
    )
    found = live(table)
    stamps = found.version
    assert stamps > 0
    assert found == LiveTable(
        ORDERS,
        (
            Column("Id", Long(), nullable=False, comment="the key", tags={"pii": "no"}),
            Column("region", String()),
            Column("amount", parse_type("decimal(12,2)"), default="0.0"),
        ),
        comment="Orders, 'as placed'",
        properties=found.properties,
        clustered_by=("region", "`odd.name`.inner"),
        checks=found.checks,
        version=stamps,
        features=frozenset({"clustering", "checkConstraints"}),
        keys=LiveKeys(LivePrimaryKey("orders_pk", ("Id", "region"))),
        tags=found.tags,
    )
    assert dict(found.checks) == {"positive": "amount > 0"}
    assert dict(found.properties) == {"delta.enableChangeDataFeed": "true", "team": "shop"}
    assert dict(found.tags or {}) == {"cost": "1", "empty": ""}


def test_a_table_without_anything_has_no_keys_and_no_tags_which_is_not_unknown() -> None:
    found = live(plain_table())
    assert found.keys == LiveKeys()
    assert found.tags is not None
    assert (dict(found.tags), found.location, found.partitioned_by) == ({}, "", ())


def test_partitions_and_the_place_of_an_external_table_are_read() -> None:
    table = plain_table(
        columns=[entry("id"), entry("day", "date"), entry("hour", "int")],
        kind="EXTERNAL",
        location="s3://bucket/orders",
        partitioned_by=["day", "hour"],
    )
    found = live(table)
    assert found.location == "s3://bucket/orders"
    assert found.partitioned_by == ("day", "hour")


def test_foreign_keys_pair_their_columns_with_those_of_the_parent_in_order() -> None:
    catalog = CatalogStandIn()
    catalog.add("main.crm.customers", plain_table(primary_key=("pk", ("country", "number"))))
    key = ForeignKey("fk_customer", ("b", "a"), ("main", "crm", "customers"))
    itself = ForeignKey("fk_itself", ("parent_id",), ("main", "shop", "orders"))
    orders = plain_table(primary_key=("pk", ("id",)), foreign_keys=[itself, key])
    orders.unique_key = ("uk", ("email",))
    catalog.add(str(ORDERS), orders)
    customers = TableName.parse("main.crm.customers")
    found = UnityCatalogReader(catalog).describe([ORDERS, customers])
    assert [state.keys for state in found.values() if isinstance(state, LiveTable)] == [
        LiveKeys(
            LivePrimaryKey("pk", ("id",)),
            (
                LiveForeignKey("fk_customer", ("b", "a"), customers, ("country", "number")),
                LiveForeignKey("fk_itself", ("parent_id",), ORDERS, ("id",)),
            ),
        ),
        LiveKeys(LivePrimaryKey("pk", ("country", "number")), referenced_by=(ORDERS,)),
    ]


def test_foreign_keys_may_name_the_columns_of_their_parent_in_another_order() -> None:
    catalog = CatalogStandIn()
    place = ("main", "crm", "customers")
    catalog.add("main.crm.customers", plain_table(primary_key=("pk", ("country", "number"))))
    key = ForeignKey("fk", ("customer_number", "customer_country"), place, positions=(2, 1))
    catalog.add(str(ORDERS), plain_table(foreign_keys=[key]))
    found = state_of(catalog)
    assert isinstance(found, LiveTable)
    assert found.keys is not None
    assert found.keys.foreign[0].referenced_columns == ("number", "country")


def test_the_parent_of_a_foreign_key_need_not_be_asked_for() -> None:
    catalog = one_of_each()
    CHANGES["foreign key"](catalog.tables["main", "shop", "orders"])
    found = state_of(catalog)
    assert isinstance(found, LiveTable)
    assert found.keys is not None
    assert found.keys.foreign[0].parent == TableName.parse("main.shop.parent")
    parent = state_of(catalog, TableName.parse("main.shop.parent"))
    assert isinstance(parent, LiveTable)
    assert parent.keys is not None
    assert parent.keys.referenced_by == (ORDERS,)


def test_keys_are_unknown_where_a_parent_is_hidden() -> None:
    catalog = one_of_each()
    CHANGES["foreign key"](catalog.tables["main", "shop", "orders"])
    catalog.hidden_tables = {("main", "shop", "parent")}
    found = state_of(catalog)
    assert isinstance(found, LiveTable)
    assert found.keys is None


# --- types


TYPES = {
    "tinyint": {"name": "tinyint"},
    "smallint": {"name": "smallint"},
    "int": {"name": "int"},
    "bigint": {"name": "bigint"},
    "float": {"name": "float"},
    "double": {"name": "double"},
    "boolean": {"name": "boolean"},
    "binary": {"name": "binary"},
    "date": {"name": "date"},
    "timestamp": {"name": "timestamp_ltz"},
    "timestamp_ntz": {"name": "timestamp_ntz"},
    "variant": {"name": "variant"},
    "void": {"name": "void"},
    "string": {"name": "string", "collation": "UTF8_BINARY"},
    "char(3)": {"name": "char", "length": 3},
    "varchar(10)": {"name": "varchar", "length": 10},
    "decimal(38,18)": {"name": "decimal", "precision": 38, "scale": 18},
    "array<map<string,int>>": {
        "name": "array",
        "element_type": {
            "name": "map",
            "key_type": {"name": "string"},
            "value_type": {"name": "int"},
            "value_nullable": True,
        },
        "element_nullable": True,
    },
    "struct<x:int not null comment 'a b',`y z`:array<date>>": {
        "name": "struct",
        "fields": [
            {"name": "x", "type": {"name": "int"}, "nullable": False, "comment": "a b"},
            {
                "name": "y z",
                "type": {"name": "array", "element_type": {"name": "date"}},
                "nullable": True,
            },
        ],
    },
}
"""As Spark 4.1 writes them."""


@pytest.mark.parametrize("text", TYPES)
def test_every_type_is_read(text: str) -> None:
    found = live(plain_table(columns=[entry("c", TYPES[text])]))
    assert found.columns == (Column("c", parse_type(text)),)


def test_lengths_of_texts_come_from_the_information_schema() -> None:
    inner = {"name": "struct", "fields": [entry("code", "string"), entry("free", "string")]}
    table = plain_table(
        columns=[entry("Name", "string"), entry("parts", {"name": "array", "element_type": inner})],
        full_types={"Name": "VARCHAR(20)", "parts": "ARRAY<STRUCT<code: CHAR(3), free: STRING>>"},
    )
    assert [str(column.data_type) for column in live(table).columns] == [
        "varchar(20)",
        "array<struct<code:char(3),free:string>>",
    ]


def test_a_length_that_the_information_schema_has_kept_for_another_type_is_ignored() -> None:
    table = plain_table(columns=[entry("c", "int")], full_types={"c": "varchar(20)"})
    assert live(table).columns == (Column("c", parse_type("int")),)


@pytest.mark.parametrize(
    ("data_type", "told"),
    [
        ({"name": "geography(4326)"}, "geography"),
        ({"name": "hyperloglog"}, "hyperloglog"),
        ({"name": "interval", "start_unit": "day", "end_unit": "second"}, "interval"),
        ({"name": "string", "collation": "UTF8_LCASE"}, "UTF8_LCASE"),
        ({"name": "array", "element_type": {"name": "string", "collation": "de"}}, "de"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_unknown_type_is_told_with_its_column(data_type: dict[str, Any], told: str) -> None:
    found = unreadable(plain_table(columns=[entry("id"), entry("place", data_type)]))
    assert found.kind == "unknown_type"
    assert "'place'" in found.reason
    assert told in found.reason


def test_a_collation_of_the_whole_table_is_an_unknown_type() -> None:
    assert unreadable(plain_table(collation="UNICODE_CI")).kind == "unknown_type"


# --- generated columns

CREATE = """CREATE TABLE main.shop.orders (
  id BIGINT GENERATED BY DEFAULT AS IDENTITY (START WITH -5 INCREMENT BY 2),
  `odd ``, GENERATED` STRUCT<generated: INT COMMENT 'GENERATED ALWAYS AS (1)', b: DECIMAL(9,2)>,
  amount DECIMAL(10, 2) DEFAULT coalesce(1, 2) COMMENT 'a, (b',
  flag BOOLEAN DEFAULT 1 < 2,
  day DATE NOT NULL GENERATED ALWAYS AS ( CAST(concat(ts, ')') AS DATE) ) COMMENT 'of ts',
  nr BIGINT GENERATED ALWAYS AS IDENTITY,
  ts TIMESTAMP,
  CONSTRAINT `pk` PRIMARY KEY (`id`))
USING delta
COMMENT 'x GENERATED ALWAYS AS (2)'
CLUSTER BY (id)
"""


def generated_table(properties: dict[str, str]) -> StandInTable:
    columns = [entry("id"), entry("day", "date"), entry("nr"), entry("ts", "timestamp_ltz")]
    return plain_table(columns=columns, properties=properties, create=CREATE)


@pytest.mark.parametrize(
    "properties",
    [
        {"delta.minWriterVersion": "7", "delta.feature.identityColumns": "supported"},
        {"delta.minWriterVersion": "7", "delta.feature.generatedColumns": "supported"},
        {"delta.minWriterVersion": "6"},
        {},
    ],
    ids=str,
)
def test_generated_and_identity_columns_are_read(properties: dict[str, str]) -> None:
    found = live(generated_table(properties))
    assert {c.name: c.generated for c in found.columns if c.generated} == {
        "day": "CAST(concat(ts, ')') AS DATE)"
    }
    assert {c.name: c.identity for c in found.columns if c.identity} == {
        "id": Identity(-5, 2, always=False),
        "nr": Identity(),
    }


def test_a_table_that_cannot_have_generated_columns_is_not_looked_at_again() -> None:
    catalog = CatalogStandIn()
    properties = {"delta.minWriterVersion": "7", "delta.feature.clustering": "supported"}
    catalog.add(str(ORDERS), generated_table(properties))
    state_of(catalog)
    assert catalog.counts()["SHOW CREATE"] == 0


@pytest.mark.parametrize(
    "create", ["CREATE TABLE t", "CREATE TABLE t (a INT GENERATED SOMEHOW)", "CREATE TABLE t (a"]
)
def test_a_create_statement_that_is_not_understood_is_our_mistake(create: str) -> None:
    with pytest.raises(ValueError, match=r"list of columns|SOMEHOW"):
        read_table(plain_table(properties={}, create=create))


# --- views and other relations


def test_a_view_needs_no_statement_of_its_own() -> None:
    catalog = CatalogStandIn()
    view = StandInTable(kind="VIEW", view_text="SELECT 1 AS a", comment="one")
    catalog.add(str(ORDERS), view)
    stamps = UnityCatalogReader(catalog).stamps([ORDERS])
    assert state_of(catalog) == LiveView(ORDERS, "SELECT 1 AS a", "one", version=stamps[ORDERS])
    assert described(catalog) == 0


def test_the_text_of_somebody_elses_view_is_told_to_nobody() -> None:
    view = StandInTable(kind="VIEW", view_text="SELECT 1", owned=False)
    assert unreadable(view).kind == "no_permission"


@pytest.mark.parametrize(
    ("kind", "data_format", "told"),
    [
        ("MATERIALIZED_VIEW", "DELTA", "a materialized view"),
        ("STREAMING_TABLE", "DELTA", "a streaming table"),
        ("FOREIGN", "POSTGRESQL", "a foreign table"),
        ("MANAGED", "ICEBERG", "ICEBERG"),
        ("EXTERNAL", "PARQUET", "PARQUET"),
        ("METRIC_VIEW", "", "METRIC_VIEW"),
    ],
)
def test_what_is_no_delta_table_is_told(kind: str, data_format: str, told: str) -> None:
    found = unreadable(plain_table(kind=kind, format=data_format))
    assert found.kind == "not_delta"
    assert told in found.reason
    assert found.hint


@pytest.mark.parametrize(
    "kind", ["MANAGED", "EXTERNAL", "MANAGED_SHALLOW_CLONE", "EXTERNAL_SHALLOW_CLONE"]
)
def test_delta_tables_of_every_kind_are_read(kind: str) -> None:
    assert live(plain_table(kind=kind)).columns


# --- what is missing or forbidden


def test_a_table_that_is_absent_may_be_created() -> None:
    catalog, _ = shop(1)
    assert state_of(catalog, TableName.parse("main.s0.none")) is None
    assert described(catalog) == 0


def test_a_table_that_was_dropped_since_it_was_listed_is_absent() -> None:
    gone = NotFoundError("gone", code="TABLE_OR_VIEW_NOT_FOUND")
    assert read_table(plain_table(fails_with=gone)) is None


def test_missing_and_forbidden_schemas_concern_their_tables_only() -> None:
    catalog, asked = shop(2)
    catalog.add("main.secret.t", plain_table())
    catalog.forbidden_schemas = {("main", "secret")}
    others = names("main.secret.t", "main.secret.u", "main.nowhere.t", "main.nowhere.u")
    found = UnityCatalogReader(catalog).describe([*asked, *others])
    assert [getattr(state, "kind", "read") for state in found.values()] == [
        *("read", "read", "no_permission", "no_permission", "no_schema", "no_schema")
    ]
    assert catalog.counts()["DESCRIBE SCHEMA"] == 2


def test_missing_and_forbidden_catalogs_concern_their_tables_only() -> None:
    catalog, asked = shop(2)
    catalog.add("hidden.s.t", plain_table())
    catalog.forbidden_catalogs = {"hidden"}
    others = names("hidden.s.t", "missing.s.t")
    found = UnityCatalogReader(catalog).describe([*asked, *others])
    assert [getattr(state, "kind", "read") for state in found.values()] == [
        *("read", "read", "no_permission", "no_schema")
    ]
    assert "missing" in getattr(found[others[1]], "reason", "")


def test_a_forbidden_table_concerns_itself_only() -> None:
    catalog, asked = shop(3)
    catalog.tables["main", "s0", "t1"].fails_with = forbidden("SELECT")
    found = UnityCatalogReader(catalog).describe(asked)
    assert [getattr(state, "kind", "read") for state in found.values()] == [
        *("read", "no_permission", "read")
    ]
    assert "main.s0.t1" in getattr(found[asked[1]], "reason", "")


def test_a_table_that_fails_alone_is_damaged() -> None:
    catalog, asked = shop(3)
    catalog.tables["main", "s0", "t1"].fails_with = BackendError("odd", code="INTERNAL_ERROR")
    found = UnityCatalogReader(catalog).describe(asked)
    assert [getattr(state, "kind", "read") for state in found.values()] == [
        *("read", "damaged", "read")
    ]


def test_a_table_whose_log_is_gone_is_damaged_also_when_it_is_the_only_one() -> None:
    lost = NotFoundError("no log", code="DELTA_PATH_DOES_NOT_EXIST")
    assert unreadable(plain_table(fails_with=lost)).kind == "damaged"


def test_an_error_of_every_table_is_raised() -> None:
    catalog, asked = shop(3)
    for table in catalog.tables.values():
        table.fails_with = BackendError("old runtime", code="PARSE_SYNTAX_ERROR")
    with pytest.raises(BackendError, match="old runtime"):
        UnityCatalogReader(catalog).describe(asked)


@pytest.mark.parametrize("code", ["PERMISSION_DENIED", "OUTCOME_UNKNOWN", "INTERNAL_ERROR"])
def test_an_error_that_is_not_about_the_catalog_is_raised(code: str) -> None:
    class Broken:
        def execute(self, statement: str, parameters: Mapping[str, Any] | None = None) -> Any:
            raise BackendError("no warehouse", code=code)

    with pytest.raises(BackendError, match="no warehouse"):
        UnityCatalogReader(Broken()).describe([ORDERS])
    with pytest.raises(BackendError, match="no warehouse"):
        UnityCatalogReader(Broken()).stamps([ORDERS])


def test_an_answer_that_we_do_not_understand_is_our_mistake() -> None:
    with pytest.raises(KeyError, match="element_type"):
        read_table(plain_table(columns=[entry("id", {"name": "array"})]))


# --- the session for reading


class WarehouseStandIn:
    """`RunSql` on the stand-in; fails as often as told before it answers."""

    most_bytes: int | None = None

    def __init__(self, catalog: CatalogStandIn, failures: int, *, transient: bool = True) -> None:
        self._catalog = catalog
        self._failures = failures
        self._transient = transient
        self.calls = 0

    def query(self, statement: str, parameters: Mapping[str, Any] | None = None) -> pa.Table:
        self.calls += 1
        if self.calls <= self._failures:
            raise BackendError("busy", code="TEMPORARILY_UNAVAILABLE", transient=self._transient)
        return pa.Table.from_pylist(self._catalog.execute(statement, parameters))

    def change(
        self,
        statement: str,
        parameters: Mapping[str, Any] | None = None,
        note: Mapping[str, str] | None = None,
    ) -> pa.Table:
        raise AssertionError("nothing here writes")


def test_reading_goes_on_after_passing_errors() -> None:
    catalog, asked = shop(2)
    pauses: list[float] = []
    warehouse = WarehouseStandIn(catalog, failures=3)
    session = ReadSession(warehouse, sleep=pauses.append)
    found = UnityCatalogReader(session, max_parallel=1).describe(asked)
    assert all(isinstance(state, LiveTable) for state in found.values())
    assert len(pauses) == 3


@pytest.mark.parametrize(("transient", "calls"), [(True, 4), (False, 1)])
def test_an_error_that_stays_is_raised_as_it_is(transient: bool, calls: int) -> None:
    catalog, _ = shop(1)
    warehouse = WarehouseStandIn(catalog, failures=99, transient=transient)
    with pytest.raises(BackendError, match="busy") as raised:
        ReadSession(warehouse, sleep=lambda _: None).execute("SELECT 1")
    assert raised.value.transient is transient
    assert warehouse.calls == calls


def test_identifiers_are_quoted() -> None:
    catalog = CatalogStandIn()
    odd = TableName("main", "a`b", "c-d;--")
    catalog.schemas.add(("main", "a`b"))
    catalog.tables["main", "a`b", "c-d;--"] = plain_table()
    assert isinstance(state_of(catalog, odd), LiveTable)
    assert "`main`.`a``b`.`c-d;--`" in catalog.statements[-1]


def test_the_document_of_the_stand_in_is_that_of_spark() -> None:
    """Keys of a document that Spark 4.1 wrote, but for those that tell of storage."""
    spark = json.loads(
        '{"table_name":"gg","catalog_name":"spark_catalog","namespace":["default"],'
        '"schema_name":"default","columns":[{"name":"id","type":{"name":"int"},"nullable":true}],'
        '"clustering_columns":["id"],"location":"file:/x/gg","type":"MANAGED","provider":"parquet",'
        '"table_properties":{"clusteringColumns":"[[\\"id\\"]]"},"collation":"UTF8_BINARY"}'
    )
    table = plain_table(columns=[entry("id", "int")], clustered_by=["id"])
    assert table.document(("spark_catalog", "default", "gg")).keys() == spark.keys()
