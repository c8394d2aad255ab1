"""Any table that is there is imported as a declaration with which it is in sync, in both forms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from unit.schema.test_imported import (
    MAPPED,
    NAME,
    NASTY,
    _from_python,
    _from_yaml,
    _imported,
    _plan,
)

from lakeflow_meta.names import TableName
from lakeflow_meta.schema.capabilities import OPEN_SOURCE_DELTA, UNITY_CATALOG, Capabilities
from lakeflow_meta.schema.frozen_mapping import FrozenMapping
from lakeflow_meta.schema.live import (
    LiveForeignKey,
    LiveKeys,
    LivePrimaryKey,
    LiveTable,
    LiveView,
)
from lakeflow_meta.schema.plan import Outlook
from lakeflow_meta.schema.table import (
    Column,
    DeltaTable,
    Identity,
    Policy,
)
from lakeflow_meta.schema.types import (
    PLAIN_TYPES,
    Array,
    Binary,
    Boolean,
    Char,
    DataType,
    Decimal,
    Long,
    Map,
    Struct,
    StructField,
    Varchar,
    Variant,
)

texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=30) | st.sampled_from(
    ["", NASTY, NASTY * 4, "yes", "1", "null", "word " * 40, "x" * 150, "'", '"', "'''\"", "<<"]
)
names = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=9)
plain = st.sampled_from([*PLAIN_TYPES, Decimal(12, 3), Decimal(), Char(3), Varchar(7)])
keys_of_maps = st.sampled_from([t for t in PLAIN_TYPES if not isinstance(t, Variant)])


def _struct(inner: st.SearchStrategy[DataType]) -> st.SearchStrategy[DataType]:
    fields = st.lists(
        st.builds(StructField, names, inner, st.just(value=True), texts),
        min_size=1,
        max_size=3,
        unique_by=lambda f: f.name.lower(),
    )
    return fields.map(Struct)


types: st.SearchStrategy[DataType] = st.recursive(
    plain,
    lambda inner: inner.map(Array) | st.builds(Map, keys_of_maps, inner) | _struct(inner),
    max_leaves=8,
)
expressions = st.sampled_from(
    ["1", "'a''b; \\' x'", "current_timestamp( )", '"q" /* why */ || `a b`']
)
properties = st.dictionaries(
    st.sampled_from(
        ["delta.enableChangeDataFeed", "delta.appendOnly", "my.own", "<<", "a b", "${x}"]
    )
    | names.filter(lambda key: not key.lower().startswith("delta.")),
    texts,
    max_size=4,
)
tags = st.dictionaries(
    st.sampled_from(["pii", "Cost Centre", "${x}", "1"]),
    texts.filter(lambda text: len(text) <= 256),
    max_size=2,
).map(FrozenMapping)


@st.composite
def columns(draw: st.DrawFn) -> Column:
    data_type = draw(types)
    sources: dict[str, Any] = draw(
        st.just({})
        | st.fixed_dictionaries({"default": expressions})
        | st.fixed_dictionaries({"generated": expressions})
    )
    if isinstance(data_type, Long) and draw(st.booleans()):
        step = st.integers(-3, 3).filter(bool)
        sources = {"identity": draw(st.builds(Identity, st.integers(), step, st.booleans()))}
    nullable = draw(st.booleans())
    return Column(draw(names), data_type, nullable, draw(texts), **sources)


@st.composite
def live_tables(draw: st.DrawFn) -> LiveTable:
    found = draw(
        st.lists(columns(), min_size=1, max_size=5, unique_by=lambda column: column.name.lower())
    )
    plain_names = [c.name for c in found if not isinstance(c.data_type, Array | Map | Struct)]
    required = [column.name for column in found if not column.nullable]
    tagged = draw(st.booleans())
    if tagged:
        found = [replace(column, tags=draw(tags)) for column in found]
    partitioned, clustered = _layout(draw, found, plain_names)
    own = draw(properties) | MAPPED | draw(st.sampled_from([{}, {"delta.minReaderVersion": "3"}]))
    return LiveTable(
        NAME,
        tuple(found),
        draw(texts),
        FrozenMapping(own),
        partitioned,
        clustered,
        FrozenMapping(draw(st.dictionaries(st.sampled_from(["a", "b_1"]), expressions))),
        keys=draw(st.none() | _keys([c.name for c in found], required)),
        tags=draw(tags) if tagged else None,
        location=draw(st.sampled_from(["", "s3://bucket/${a} b", "/data/x"])),
        features=frozenset({"deletionVectors"}),
    )


def _layout(
    draw: st.DrawFn, found: Sequence[Column], plain_names: Sequence[str]
) -> tuple[tuple[str, ...], tuple[str, ...] | None]:
    chosen: Sequence[str] = ()
    if plain_names:
        chosen = draw(st.lists(st.sampled_from(plain_names), unique=True, max_size=3))
    if draw(st.booleans()):
        kinds = {c.name: c.data_type for c in found}
        partitioned = tuple(n for n in chosen if not isinstance(kinds[n], Variant))
        return (partitioned if len(partitioned) < len(found) else ()), ()
    refused = (Boolean, Binary, Variant)
    clustered = tuple(
        c.name for c in found if c.name in chosen and type(c.data_type) not in refused
    )
    return (), draw(st.sampled_from([clustered, None]))


def _keys(local: Sequence[str], required: Sequence[str]) -> st.SearchStrategy[LiveKeys]:
    named = st.sampled_from(["fk_t_theirs", "Ours"])
    foreign = st.builds(
        LiveForeignKey,
        named,
        st.lists(st.sampled_from(local), min_size=1, unique=True).map(tuple),
        st.just(TableName("c", "s", "p")),
        st.just(()),
    ).map(lambda key: replace(key, referenced_columns=key.columns))
    primary = (
        st.lists(st.sampled_from(required), min_size=1, unique=True).map(
            lambda names: LivePrimaryKey("pk_t", tuple(names))
        )
        if required
        else st.none()
    )
    return st.builds(LiveKeys, st.none() | primary, st.tuples() | st.tuples(foreign))


@given(
    live_tables(),
    st.sampled_from([OPEN_SOURCE_DELTA, UNITY_CATALOG]),
    st.sampled_from(list(Policy)),
)
def test_an_imported_table_is_in_sync_with_the_one_it_came_from(
    live: LiveTable, capabilities: Capabilities, policy: Policy
) -> None:
    found = _imported(live, capabilities=capabilities, policy=policy)
    assert found.left_out == ()
    (table,) = found.tables
    plan = _plan(table, live, capabilities)
    assert (plan.outlook, plan.lines, plan.notes) == (Outlook.UNCHANGED, (), ())
    assert isinstance(table, DeltaTable)
    hidden = [warning for warning in found.warnings if "cannot be seen" in warning.message]
    assert table.policy is (Policy.ADDITIVE if hidden else policy)


@given(live_tables())
def test_yaml_and_python_give_equal_declarations(live: LiveTable) -> None:
    tables = list(_imported(live).tables)
    assert _from_yaml(tables) == tables
    assert _from_python(tables) == tables


@given(texts, texts, names)
def test_views_survive_both_forms(comment: str, literal: str, column: str) -> None:
    quoted = literal.replace("${", "").replace("'", "").replace("\\", "")
    query = f"\nSELECT '{quoted}',\n  1 AS x -- why\nFROM c.s.t  "
    live = LiveView(NAME.sibling("v"), query, comment)
    (view,) = tables = _imported(live).tables
    assert _plan(view, live).outlook is Outlook.UNCHANGED
    assert _from_yaml(tables) == [view]
    assert _from_python(tables) == [view]
