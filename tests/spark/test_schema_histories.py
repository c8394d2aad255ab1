"""Any declared table is made, and then made into any other one: nothing is left, nothing is lost.

Each example is a few tables with two declarations each. What the reader tells is compared with the
declaration by `schema_on_spark.differences`, and the data by who a column was, not by its name.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from random import Random
from typing import Any

import pytest
from pyspark.sql import SparkSession
from spark.schema_on_spark import ToldSession, differences, live_table, table

from lakeflow_meta.backends.delta_log import DeltaLogReader
from lakeflow_meta.backends.local.spark.session import EmbeddedSpark
from lakeflow_meta.errors import SyncFailedError
from lakeflow_meta.schema.engine import SchemaEngine
from lakeflow_meta.schema.registry import Registry
from lakeflow_meta.schema.report import SyncReport, TableStatus
from lakeflow_meta.schema.table import Column, DeltaTable, Policy
from lakeflow_meta.schema.types import (
    Array,
    Boolean,
    Byte,
    DataType,
    Date,
    Double,
    Float,
    Integer,
    Long,
    Map,
    String,
    Struct,
    StructField,
    TimestampNtz,
    Variant,
    nested_types,
)
from lakeflow_meta.schema.types import Decimal as DecimalType
from lakeflow_meta.sql import ident, literal

EXAMPLES = 2
TABLES_IN_AN_EXAMPLE = 7
OPEN = {"delta.columnMapping.mode": "name", "delta.enableTypeWidening": "true"}
WIDER: dict[DataType, list[DataType]] = {
    Byte(): [Integer(), Long(), DecimalType(12, 2)],
    Integer(): [Long(), Double(), DecimalType(14, 3)],
    Float(): [Double()],
    Date(): [TimestampNtz()],
    DecimalType(6, 2): [DecimalType(10, 4)],
}
NARROWER: dict[DataType, DataType] = {Long(): Integer(), Double(): Float(), String(): Date()}
DEFAULTS: dict[DataType, list[str]] = {
    Integer(): ["7", "-(1 + 2)"], Long(): ["12345678901"], String(): ["'it\\'s'", "upper('x')"],
    Date(): ["current_date()", "DATE'2020-01-01'"], Double(): ["1.5D"],
}  # fmt: skip
LEAVES: list[DataType] = [*WIDER, *NARROWER, Boolean(), TimestampNtz(), Variant()]
IN_CLUSTERING = (Integer, Long, String, Date)
COMMENTS = ["", "a comment", "it's `odd` \\ 🎈 $x"]


@dataclass(frozen=True)
class Node:
    """A column, a field, or what is in an array or map; ``who`` stays when the name changes."""

    who: int
    name: str
    kind: DataType | None = None
    fields: tuple[Node, ...] = ()
    element: Node | None = None
    value: Node | None = None
    nullable: bool = True
    comment: str = ""
    default: str = ""

    @property
    def data_type(self) -> DataType:
        if self.element is not None:
            return Array(self.element.data_type)
        if self.value is not None:
            return Map(String(), self.value.data_type)
        if self.fields:
            return Struct(
                [StructField(f.name, f.data_type, f.nullable, f.comment) for f in self.fields]
            )
        assert self.kind is not None
        return self.kind

    @property
    def inner(self) -> tuple[Node, ...]:
        return (*self.fields, *(one for one in (self.element, self.value) if one is not None))

    def column(self) -> Column:
        return Column(self.name, self.data_type, self.nullable, self.comment, self.default)


@dataclass(frozen=True)
class Shape:
    """One declaration; checks and clustering name columns by who they are."""

    columns: tuple[Node, ...]
    comment: str = ""
    checks: dict[str, tuple[int, str]] = field(default_factory=dict)
    properties: dict[str, str | None] = field(default_factory=dict)
    clustered: tuple[int, ...] = ()
    strict: bool = False
    allow: tuple[str, ...] = ()

    def declared(self, schema: str, name: str, before: Shape | None) -> DeltaTable:
        paths = dict(_paths(self.columns))
        old = dict(_paths(before.columns)) if before is not None else {}
        renamed = {
            _text((*path[:-1], old[who][-1])): _text(path)
            for who, path in paths.items()
            if who in old and old[who][-1] != path[-1]
        }
        return table(
            schema,
            name,
            [node.column() for node in self.columns],
            comment=self.comment,
            checks={
                check: text.format(ident(paths[who][0]))
                for check, (who, text) in self.checks.items()
            },
            properties={**OPEN, **self.properties},
            clustered_by=[_text(paths[who]) for who in self.clustered],
            policy=Policy.STRICT if self.strict else Policy.ADDITIVE,
            renamed_columns=renamed,
            allow=self.allow,
        )


def _paths(
    nodes: Sequence[Node], under: tuple[str, ...] = ()
) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Where every column and field stands."""
    for node in nodes:
        path = (*under, node.name)
        yield node.who, path
        for inner, step in ((node.element, "element"), (node.value, "value")):
            if inner is not None:
                yield from _paths(inner.fields, (*path, step))
        yield from _paths(node.fields, path)


def _text(path: Sequence[str]) -> str:
    return ".".join(f"`{part}`" if "." in part else part for part in path)


# --------------------------------------------------------------------------- what may be declared


@dataclass
class Maker:
    """Draws declarations. Names are fresh, so that a column's name tells who made it."""

    random: Random
    count: int = 0
    breaks: bool = False

    def one_of(self, values: Sequence[Any]) -> Any:
        return self.random.choice(list(values))

    def happens(self, percent: int) -> bool:
        return self.random.random() * 100 < percent

    def name(self) -> str:
        self.count += 1
        return f"{self.one_of(['c', 'C', 'é ', 'x.y '])}{self.count}"

    def node(self, depth: int = 2, *, named: bool = True) -> Node:
        name, who = (self.name() if named else ""), self.count * 100 + self.count
        comment = self.one_of(COMMENTS) if named else ""
        made = Node(self.count, name, comment=comment) if named else Node(-who, name)
        choice = self.random.randint(0, 9) if depth else 9
        if choice <= 1:
            fields = tuple(self.node(depth - 1) for _ in range(self.random.randint(1, 3)))
            return replace(made, fields=fields)
        if choice == 2:
            return replace(made, element=self.node(depth - 1, named=False))
        if choice == 3:
            return replace(made, value=self.node(depth - 1, named=False))
        return replace(made, kind=self.one_of(LEAVES))

    def column(self) -> Node:
        made = self.node()
        if made.kind in DEFAULTS and self.happens(30):
            made = replace(made, default=self.one_of(DEFAULTS[made.kind]))
        return made

    def first(self) -> Shape:
        key = Node(0, "k", Long(), nullable=False)
        made = [self.column() for _ in range(self.random.randint(2, 5))]
        made = [replace(one, nullable=not one.default and self.happens(80)) for one in made]
        shape = Shape((key, *made), comment=self.one_of(COMMENTS), strict=self.happens(40))
        if self.happens(40):
            shape = self.with_check(shape)
        if self.happens(50):
            shape = replace(shape, properties={"mine": "1", "delta.appendOnly": "false"})
        return self.with_clustering(shape) if self.happens(35) else shape

    # --- changes

    def second(self, before: Shape) -> Shape:
        self.breaks = True
        shape = replace(before, strict=self.happens(50))
        for _ in range(self.random.randint(2, 6)):
            shape = self.changed(shape)
        if self.happens(8):
            shape = self.spoiled(shape)
        return shape

    def changed(self, shape: Shape) -> Shape:
        whole = [self.with_check, self.without_check, self.with_clustering, self.with_properties,
                 self.with_new_column, self.without_column, self.in_other_order]  # fmt: skip
        if self.happens(45):
            return self.one_of(whole)(shape)  # type: ignore[no-any-return]
        inside = [self.renamed, self.widened, self.commented, self.with_field, self.loosened,
                  self.with_default, self.without_field]  # fmt: skip
        change = self.one_of(inside)
        return self.with_one_other(shape, change)

    def with_one_other(self, shape: Shape, change: Callable[[Node], Node]) -> Shape:
        """The change of any column but the key, by which rows are known."""
        who = self.one_of([one.who for one in shape.columns if one.who])
        made = (change(one) if one.who == who else one for one in shape.columns)
        return replace(shape, columns=tuple(made))

    def inside(self, node: Node, change: Callable[[Node], Node]) -> Node:
        """The change, of the column or of something in it."""
        if not node.inner or self.happens(30):
            return change(node)
        if node.element is not None:
            return replace(node, element=self.inside(node.element, change))
        if node.value is not None:
            return replace(node, value=self.inside(node.value, change))
        at = self.random.randint(0, len(node.fields) - 1)
        made = self.inside(node.fields[at], change)
        return replace(node, fields=(*node.fields[:at], made, *node.fields[at + 1 :]))

    def renamed(self, node: Node) -> Node:
        return self.inside(node, lambda one: replace(one, name=self.name()) if one.name else one)

    def widened(self, node: Node) -> Node:
        def wider(one: Node) -> Node:
            known = WIDER.get(one.kind, []) if one.kind is not None else []
            return replace(one, kind=self.one_of(known)) if known else one

        return self.inside(node, wider)

    def commented(self, node: Node) -> Node:
        return self.inside(
            node, lambda one: replace(one, comment=self.one_of(COMMENTS)) if one.name else one
        )

    def with_field(self, node: Node) -> Node:
        def more(one: Node) -> Node:
            at = self.random.randint(0, len(one.fields))
            made = (*one.fields[:at], self.node(1), *one.fields[at:])
            return replace(one, fields=made) if one.fields else one

        return self.inside(node, more)

    def without_field(self, node: Node) -> Node:
        def fewer(one: Node) -> Node:
            return replace(one, fields=one.fields[1:]) if len(one.fields) > 1 else one

        return self.inside(node, fewer)

    def loosened(self, node: Node) -> Node:
        return replace(node, nullable=True)

    def with_default(self, node: Node) -> Node:
        known = DEFAULTS.get(node.kind, []) if node.kind is not None else []
        return replace(node, default=self.one_of(["", *known])) if known else node

    def with_new_column(self, shape: Shape) -> Shape:
        at = self.random.randint(0, len(shape.columns))
        return replace(shape, columns=(*shape.columns[:at], self.column(), *shape.columns[at:]))

    def without_column(self, shape: Shape) -> Shape:
        others = [one.who for one in shape.columns if one.who]
        gone = self.one_of(others) if len(others) > 1 else None
        return replace(shape, columns=tuple(one for one in shape.columns if one.who != gone))

    def in_other_order(self, shape: Shape) -> Shape:
        return replace(shape, columns=tuple(self.random.sample(shape.columns, len(shape.columns))))

    def with_check(self, shape: Shape) -> Shape:
        text = self.one_of(["{} IS NULL OR {} IS NOT NULL", "coalesce(`k`, 0) >= 0 OR {} IS NULL"])
        if self.breaks and self.happens(10):
            text = "{} IS NULL"
        name = self.one_of(["one", "Two"])
        who = self.one_of(shape.columns).who
        return replace(shape, checks={**shape.checks, name: (who, text.replace("{}", "{0}"))})

    def without_check(self, shape: Shape) -> Shape:
        return replace(shape, checks=dict(list(shape.checks.items())[1:]))

    def with_properties(self, shape: Shape) -> Shape:
        value = self.one_of(["1", "2", None])
        return replace(shape, properties={**shape.properties, "mine": value})

    def with_clustering(self, shape: Shape) -> Shape:
        whole = [one for one in shape.columns if isinstance(one.kind, IN_CLUSTERING)]
        structs = [one for one in shape.columns if Variant() not in nested_types(one.data_type)]
        inner = [f for one in structs for f in one.fields if isinstance(f.kind, IN_CLUSTERING)]
        both = [*whole, *inner]
        found = self.random.sample(both, min(len(both), self.random.randint(0, 2)))
        return replace(shape, clustered=tuple(one.who for one in found))

    def spoiled(self, shape: Shape) -> Shape:
        """Something that Delta cannot do."""

        def worse(one: Node) -> Node:
            narrower = NARROWER.get(one.kind) if one.kind is not None else None
            return replace(one, kind=narrower) if narrower else replace(one, nullable=False)

        return self.with_one_other(shape, worse)


def _consistent(shape: Shape, before: Shape | None, allowed: bool) -> Shape:
    """Without checks and clustering on columns that are gone; with a word for what goes."""
    there = dict(_paths(shape.columns))
    gone = [path for who, path in _paths(before.columns) if who not in there] if before else []
    beside = {
        field.who
        for one in shape.columns
        if Variant() in nested_types(one.data_type)
        for field in one.fields
    }
    return replace(
        shape,
        checks={name: rule for name, rule in shape.checks.items() if rule[0] in there},
        clustered=tuple(w for w in shape.clustered if w in there and w not in beside),
        allow=("drop_column",) if gone and allowed else (),
    )


def history(seed: int) -> tuple[Shape, Shape]:
    """Two declarations of one table. The same seed gives the same ones on every machine."""
    maker = Maker(Random(seed))  # noqa: S311 - no secret
    first = _consistent(maker.first(), None, False)
    second = _consistent(maker.second(first), first, maker.happens(80))
    return first, second


# --------------------------------------------------------------------------- data


def _value(node: Node, row: int) -> str:
    """SQL for a value; every third is missing where that is allowed."""
    if node.nullable and node.name and (node.who + row) % 3 == 0:
        return f"CAST(NULL AS {node.data_type})"
    if node.element is not None:
        return f"array({_value(node.element, row)}, {_value(node.element, row + 1)})"
    if node.value is not None:
        return f"map('a', {_value(node.value, row)})"
    if node.fields:
        parts = ", ".join(f"{literal(one.name)}, {_value(one, row)}" for one in node.fields)
        return f"named_struct({parts})"
    match node.kind:
        case Boolean():
            return str(row % 2 == 0)
        case String():
            return f"'v{row}'"
        case Date():
            return f"DATE'2020-01-0{row + 1}'"
        case TimestampNtz():
            return f"TIMESTAMP_NTZ'2020-01-0{row + 1} 10:00:00'"
        case Variant():
            return f"parse_json('{row}')"
        case _:
            return f"{row}.5" if isinstance(node.kind, Float | Double) else str(row)


def _told(node: Node, value: Any) -> Any:
    """A value by who its fields are, so that it can be compared under other names and types."""
    if value is None:
        return None
    if node.element is not None:
        return [_told(node.element, one) for one in value]
    if node.value is not None:
        return {key: _told(node.value, one) for key, one in value.items()}
    if node.fields:
        return {one.who: _told(one, value.get(one.name)) for one in node.fields}
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, dt.date) and not isinstance(value, dt.datetime):
        return dt.datetime(value.year, value.month, value.day)  # noqa: DTZ001 - a wall-clock time
    return str(value) if node.kind == Variant() else value


def _kept(before: Any, after: Any) -> bool:
    """Whether all that is in both is the same; what is new has no value."""
    if isinstance(before, dict) and isinstance(after, dict):
        return all(
            _kept(before[key], value) if key in before else value is None
            for key, value in after.items()
        )
    if isinstance(before, list) and isinstance(after, list):
        return len(before) == len(after) and all(map(_kept, before, after))
    return bool(before == after)


def _rows(session: ToldSession, declared: DeltaTable, shape: Shape) -> list[Any]:
    rows = session.read(f"SELECT * FROM {declared.full_name} ORDER BY k")
    return [{one.who: _told(one, row[one.name]) for one in shape.columns} for row in rows]


# --------------------------------------------------------------------------- the property


@pytest.fixture(scope="module")
def session(interpreted: SparkSession) -> ToldSession:
    return ToldSession(interpreted)


@pytest.fixture(scope="module")
def home(interpreted: SparkSession) -> str:
    interpreted.sql("CREATE SCHEMA testcat.histories")
    return "testcat.histories"


@dataclass
class Tally:
    """How much of what was tried was done."""

    tables: int = 0
    done: int = 0
    statements: int = 0
    refused: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def tally() -> Tally:
    return Tally()


def _synced(engine: SchemaEngine, declared: Sequence[DeltaTable]) -> SyncReport:
    try:
        return engine.sync(Registry(declared))
    except SyncFailedError as error:
        report: SyncReport = error.report
        return report


@pytest.mark.parametrize("example", range(EXAMPLES))
def test_any_table_becomes_any_other_exactly_or_stays_as_it_was(
    example: int,
    session: ToldSession,
    embedded: EmbeddedSpark,
    home: str,
    tally: Tally,
) -> None:
    reader = DeltaLogReader(embedded.warehouse)
    engine = SchemaEngine(reader, lambda: session)
    seeds = range(example * TABLES_IN_AN_EXAMPLE, (example + 1) * TABLES_IN_AN_EXAMPLE)
    drawn = [history(seed) for seed in seeds]
    names = [f"t{seed:05}" for seed in seeds]
    tally.tables += len(drawn)
    first = [a.declared(home, name, None) for name, (a, _) in zip(names, drawn, strict=True)]
    second = [b.declared(home, name, a) for name, (a, b) in zip(names, drawn, strict=True)]

    assert not _synced(engine, first).failures
    for declared, (shape, _) in zip(first, drawn, strict=True):
        assert differences(declared, live_table(reader, declared)) == []
        rows = ", ".join(f"({', '.join(_value(c, row) for c in shape.columns)})" for row in (0, 1))
        session.execute(f"INSERT INTO {declared.full_name} VALUES {rows}")
    before = {t.name: live_table(reader, t) for t in first}
    data = {t.name: _rows(session, t, a) for t, (a, _) in zip(first, drawn, strict=True)}

    report = _synced(engine, second)

    done = []
    for outcome, declared, (_, shape) in zip(report, second, drawn, strict=True):
        live = live_table(reader, declared)
        if outcome.plan.rejections:
            tally.refused += [str(r) for r in outcome.plan.rejections]
            assert (live, outcome.applied) == (before[declared.name], 0)
            continue
        assert outcome.status is not TableStatus.FAILED, outcome.error
        assert differences(declared, live) == []
        after = _rows(session, declared, shape)
        assert _kept(data[declared.name], after), (data[declared.name], after)
        tally.statements += len(outcome.plan.statements)
        done.append(declared)
    tally.done += len(done)
    session.ran.clear()
    assert not engine.plan(Registry(done)).has_changes
    assert {o.status for o in engine.sync(Registry(done))} <= {TableStatus.UNCHANGED}
    assert session.ran == []


def test_most_histories_are_not_refused(tally: Tally) -> None:
    if not tally.tables:
        pytest.skip("the histories did not run")
    assert tally.done >= tally.tables * 0.6, tally.refused
    assert tally.statements >= 2 * tally.done, tally
