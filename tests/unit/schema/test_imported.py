"""Live tables as declarations: nothing to do afterwards, equal values from YAML and Python."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakeflow_meta.control.declared import read_declared
from lakeflow_meta.control.tables_text import tables_yaml
from lakeflow_meta.errors import ConfigError
from lakeflow_meta.jobs.job_settings import JobContext
from lakeflow_meta.names import TableName
from lakeflow_meta.schema.capabilities import OPEN_SOURCE_DELTA, UNITY_CATALOG, Capabilities
from lakeflow_meta.schema.frozen_mapping import FrozenMapping
from lakeflow_meta.schema.imported import ImportedTables, import_tables, read_wanted
from lakeflow_meta.schema.live import (
    LiveForeignKey,
    LiveKeys,
    LivePrimaryKey,
    LiveTable,
    LiveView,
    TableState,
    Unreadable,
)
from lakeflow_meta.schema.plan import Outlook, Surroundings, TablePlan, plan_declared
from lakeflow_meta.schema.python_layout import width
from lakeflow_meta.schema.python_text import python_module
from lakeflow_meta.schema.recorded_tables import read_tables
from lakeflow_meta.schema.registry import Registry
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

NASTY = "it's \"both\" \\ ${env:HOME} $${x}\n second\r\n\tline é 漢字 🎈 \u2028 `tick`: # - ' end "
MAPPED = {"delta.columnMapping.mode": "name"}
NAME = TableName("c", "s", "t")

# --------------------------------------------------------------------------- random live tables

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


# --------------------------------------------------------------------------- helpers


def _imported(
    *states: LiveTable | LiveView,
    capabilities: Capabilities = UNITY_CATALOG,
    policy: Policy = Policy.ADDITIVE,
) -> ImportedTables:
    return import_tables({state.name: state for state in states}, capabilities, policy)


def _plan(
    declared: Declared, live: TableState, capabilities: Capabilities = UNITY_CATALOG
) -> TablePlan:
    return plan_declared(declared, live, Surroundings(capabilities, {}))


def _from_python(tables: Sequence[Declared]) -> list[Declared]:
    scope: dict[str, Any] = {}
    exec(compile(python_module(tables), "tables.py", "exec"), scope)  # noqa: S102 - our own text
    return list(scope["registry"])


def _from_yaml(tables: Sequence[Declared]) -> list[Declared]:
    """Loaded as a sync loads it, recorded, and read again from the rows."""
    context = JobContext("main.lakeflow.etl_control")
    found = read_declared({"t.yml": tables_yaml(tables)}, {}, variables={}, context=context)
    assert found.problems == ()
    read, problems = read_tables(found.tables, "etl_control_tables")
    assert problems == {}
    return sorted(read, key=lambda table: table.full_name.key)


def _live(**more: Any) -> LiveTable:
    given = {"columns": (Column("id", Long(), nullable=False), Column("p", Long())), **more}
    return LiveTable(NAME, **given)


# --------------------------------------------------------------------------- round trips


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


def _everything() -> list[Declared]:
    """Every word of the model, short and long."""
    deep = parse_type("struct<a:array<struct<b:map<string,struct<`c d`:decimal(38,9)>>>>>")
    deeper: DataType = Decimal(38, 18)
    for level in range(30):
        deeper = Struct([StructField(f"level_{level}", deeper, comment=NASTY)])
    wide = Struct([StructField(f"field_{i}", Long(), i % 2 == 0, "why " * i) for i in range(40)])
    columns = [
        Column("id", Long(), nullable=False, identity=Identity()),
        Column("n", Long(), identity=Identity(-5, -2, always=False)),
        Column("deep", deep, comment=NASTY),
        Column("deeper", deeper),
        Column("wide", wide, nullable=False, tags={"pii": NASTY}),
        Column("x" * 255, Char(3), default="'" + "long " * 30 + "'"),
        Column("g", Varchar(4), generated="cast(id AS string)", comment="漢字 " * 40),
    ]
    many = DeltaTable(
        "c", "s", "class", columns, NASTY * 3, ["id"],
        [ForeignKey(["n"], "c.s.parent", ["id"], "named"), ForeignKey(["id"], "c.s.parent")],
        {**MAPPED, "url": "https://" + "x" * 200, "k" * 70: "v" * 40, "quotes": "'" * 9 + '"' * 9},
        ["id", "wide.field_0"], checks={"positive": "id > 0 AND " * 20 + "true"}, tags={"a": ""},
        location="s3://bucket/a", renamed_from="older", renamed_columns={"m": "n"},
        policy=Policy.STRICT, allow=["drop_column"], absent_properties=["gone"],
    )  # fmt: skip
    parent = DeltaTable(
        "c", "s", "parent", [Column("id", Long(), False), Column("d", Long())],
        primary_key=["id"], partitioned_by=["d"],
    )  # fmt: skip
    return [
        many,
        parent,
        DeltaTable("c", "s2", "parent", [Column("id", Long())]),
        View("c", "s", "1 view".replace(" ", "-"), "SELECT 1\nFROM c.s.parent", NASTY),
        View("c", "s", "long", "SELECT\n" + ",\n".join(f"  {i} AS c{i}" for i in range(60))),
        DroppedTable("c", "s", "registry"),
        DroppedTable("c", "s", "漢"),
        DroppedTable("d", "s", "漢"),
        DroppedTable("c", "s", "漢字"),
    ]


def test_every_word_of_the_model_survives_both_forms() -> None:
    tables = sorted(_everything(), key=lambda table: table.full_name.key)
    assert _from_yaml(tables) == tables
    assert _from_python(tables) == tables


def test_the_python_module_stands_as_the_formatter_leaves_it() -> None:
    pytest.importorskip("ruff")
    source = python_module(_everything())
    command = [sys.executable, "-m", "ruff"]
    isolated = ["--isolated", "--line-length=100", "--stdin-filename=tables.py"]
    rules = "--select=A,E,F,I,N,UP,W"
    for more in (["format", "--diff", *isolated], ["check", rules, *isolated]):
        ran = subprocess.run(
            [*command, *more, "-"], input=source.encode(), capture_output=True, check=False
        )
        assert ran.returncode == 0, (ran.stdout + ran.stderr).decode()
    assert max(map(width, source.splitlines())) <= 100


def test_the_python_module_reads_like_one_that_people_wrote() -> None:
    parent = TableName("c", "s", "Parent")
    keys = LiveKeys(foreign=(LiveForeignKey("fk_t_p_Parent", ("P",), parent, ("id",)),))
    live = _live(keys=keys, tags=FrozenMapping({"a": "b"}), comment="plain")
    (table,) = _imported(live).tables
    assert python_module([table]) == (
        '"""Tables and views, imported from live ones by `lakeflow-meta tables import`."""\n'
        "\n"
        "from lakeflow_meta import Column, DeltaTable, ForeignKey, Long, Registry\n"
        "\n"
        "t = DeltaTable(\n"
        '    "c",\n'
        '    "s",\n'
        '    "t",\n'
        '    columns=[Column("id", Long(), nullable=False), Column("p", Long())],\n'
        '    comment="plain",\n'
        '    foreign_keys=[ForeignKey(["p"], "c.s.Parent", referenced_columns=["id"])],\n'
        '    tags={"a": "b"},\n'
        ")\n"
        "registry = Registry([t])\n"
    )
    assert _from_python([]) == []


def test_the_same_tables_give_the_same_text_in_any_order() -> None:
    states = {NAME.sibling(f"t{i}"): replace(_live(), name=NAME.sibling(f"t{i}")) for i in range(9)}
    shuffled = sorted(states, key=lambda name: hashlib.sha256(name.key.encode()).digest())
    one = import_tables(states, UNITY_CATALOG)
    other = import_tables({name: states[name] for name in shuffled}, UNITY_CATALOG)
    assert one == other
    assert tables_yaml(one.tables) == tables_yaml(reversed(other.tables))
    assert python_module(one.tables) == python_module(reversed(other.tables))


# --------------------------------------------------------------------------- what is declared


def test_properties_of_people_are_declared_and_those_of_delta_are_not() -> None:
    people = {
        "delta.columnMapping.mode": "name",
        "delta.enableDeletionVectors": "true",
        "delta.deletedFileRetentionDuration": "interval 7 days",
        "delta.appendOnly": "false",
        "owner.team": "x",
    }
    theirs = {
        "delta.minReaderVersion": "3",
        "delta.lastCommitTimestamp": "1700000000000",
        "delta.columnMapping.maxColumnId": "7",
        "delta.rowTracking.materializedRowIdColumnName": "_row-id",
        "delta.feature.rowTracking": "supported",
    }
    (table,) = _imported(_live(properties=FrozenMapping(people | theirs))).tables
    assert isinstance(table, DeltaTable)
    assert table.properties == people


def test_keys_have_names_only_where_these_are_not_the_derived_ones() -> None:
    parent = TableName("c", "s", "p")
    foreign = (
        LiveForeignKey("theirs", ("ID",), parent, ("x",)),
        LiveForeignKey("FK_t_P_p", ("P",), parent, ("x",)),
    )
    live = _live(keys=LiveKeys(LivePrimaryKey("their_pk", ("ID",)), foreign), tags=FrozenMapping())
    found = _imported(live, policy=Policy.STRICT)
    (table,) = found.tables
    assert isinstance(table, DeltaTable)
    assert table.primary_key == ("id",)
    assert [(k.columns, k.name) for k in table.foreign_keys] == [(("p",), ""), (("id",), "theirs")]
    (warning,) = found.warnings
    assert "their_pk" in warning.message
    assert "pk_t" in warning.hint
    assert table.policy is Policy.STRICT
    assert _plan(table, live).outlook is Outlook.UNCHANGED


def test_a_key_to_an_imported_parent_does_not_repeat_its_primary_key() -> None:
    parent = replace(_live(keys=LiveKeys(LivePrimaryKey("pk_p", ("id",)))), name=NAME.sibling("p"))
    key = LiveForeignKey("fk_t_p_p", ("p",), parent.name, ("id",))
    found = _imported(parent, _live(keys=LiveKeys(foreign=(key,))))
    assert [t.foreign_keys for t in found.tables if isinstance(t, DeltaTable)] == [
        (),
        (ForeignKey(["p"], "c.s.p"),),
    ]


def test_comments_inside_expressions_go_and_the_rest_stays() -> None:
    live = _live(checks=FrozenMapping({"a": "p > 1 /* why */ AND -- end\n p<9 "}))
    (table,) = _imported(live).tables
    assert isinstance(table, DeltaTable)
    assert dict(table.checks) == {"a": "p > 1 AND p<9"}
    assert _plan(table, live).outlook is Outlook.UNCHANGED


def test_clustering_by_a_field_is_declared_as_it_is_shown() -> None:
    inside = Column("s", parse_type("struct<`a.b`:int>"))
    live = _live(columns=(inside,), clustered_by=("s.`a.b`",), properties=FrozenMapping(MAPPED))
    (table,) = _imported(live).tables
    assert isinstance(table, DeltaTable)
    assert table.clustering_paths == (("s", "a.b"),)
    assert _from_yaml([table]) == _from_python([table]) == [table]


# --------------------------------------------------------------------------- what is left out


def test_what_cannot_be_imported_is_named_and_the_others_are_written() -> None:
    states: dict[TableName, TableState] = {
        NAME: _live(),
        NAME.sibling("gone"): None,
        NAME.sibling("csv"): Unreadable("it is no Delta table", "convert it", "not_delta"),
        NAME.sibling("lost"): replace(
            _live(columns=(Column("s", parse_type("struct<a:int not null>")),)),
            name=NAME.sibling("lost"),
        ),
        NAME.sibling("v"): LiveView(NAME.sibling("v"), "SELECT '${x}'"),
        NAME.sibling("w"): LiveView(NAME.sibling("w"), ""),
        NAME.sibling("a`b"): replace(_live(), name=NAME.sibling("a`b")),
    }
    found = import_tables(states, OPEN_SOURCE_DELTA)
    assert [table.name for table in found.tables] == ["t"]
    left = ["a`b", "csv", "gone", "lost", "v", "w"]
    assert [name.name for name in found.left_out] == left
    assert sorted(warning.file for warning in found.warnings) == [f"c.s.{name}" for name in left]
    assert "c.s.csv: not imported: it is no Delta table (convert it)" in map(str, found.warnings)


def test_parts_that_cannot_be_declared_are_left_out_and_strict_becomes_additive() -> None:
    parent = TableName("c", "s", "p")
    twice = LiveForeignKey("one", ("p",), parent, ("x",))
    live = _live(
        checks=FrozenMapping({"my check": "id > 0", "good": "p > 0"}),
        tags=FrozenMapping({"class.ssn": "x", "good": "y"}),
        columns=(
            Column("id", Long(), nullable=False, tags={"system.x": "", "ok": "1"}),
            Column("p", Long()),
        ),
        properties=FrozenMapping({"owner": "me", "mine": "1"}),
        keys=LiveKeys(foreign=(twice, replace(twice, name="two"))),
    )
    found = _imported(live, policy=Policy.STRICT)
    (table,) = found.tables
    assert isinstance(table, DeltaTable)
    assert dict(table.checks) == {"good": "p > 0"}
    assert dict(table.tags) == {"good": "y"}
    assert dict(table.columns[0].tags) == {"ok": "1"}
    assert dict(table.properties) == {"mine": "1"}
    assert [key.name for key in table.foreign_keys] == ["one"]
    assert table.policy is Policy.ADDITIVE
    assert sorted(warning.path for warning in found.warnings) == [
        "checks", "columns", "foreign_keys", "policy", "properties", "tags",
    ]  # fmt: skip
    assert _plan(table, live).outlook is Outlook.UNCHANGED


def test_what_a_reader_cannot_see_is_said_only_where_the_target_has_it() -> None:
    live = _live(clustered_by=None)
    assert [w.path for w in _imported(live).warnings] == ["cluster_by", "primary_key", "tags"]
    assert [w.path for w in _imported(live, capabilities=OPEN_SOURCE_DELTA).warnings] == [
        "cluster_by"
    ]


@given(
    st.dictionaries(
        st.sampled_from("abcd"),
        st.tuples(
            st.booleans(),
            st.lists(st.tuples(st.sampled_from(["id", "p"]), st.sampled_from("abcde")), max_size=2),
        ),
    )
)
def test_keys_that_go_round_or_do_not_fit_are_left_out_until_a_registry_takes_all(
    graph: dict[str, tuple[bool, list[tuple[str, str]]]],
) -> None:
    states = []
    for name, (has_key, links) in graph.items():
        foreign = tuple(
            LiveForeignKey(f"fk_{name}_{i}", (column,), NAME.sibling(parent), ("id",))
            for i, (column, parent) in enumerate(links)
        )
        primary = LivePrimaryKey(f"pk_{name}", ("id",)) if has_key else None
        live = _live(keys=LiveKeys(primary, foreign), tags=FrozenMapping())
        states.append(replace(live, name=NAME.sibling(name)))
    found = _imported(*states, policy=Policy.STRICT)
    assert len(Registry(found.tables).in_order()) == len(graph)
    for table, live in zip(found.tables, sorted(states, key=lambda s: s.name), strict=True):
        assert isinstance(table, DeltaTable)
        left = len((live.keys or LiveKeys()).foreign) - len(table.foreign_keys)
        warned = [w for w in found.warnings if (w.file, w.path) == (str(live.name), "foreign_keys")]
        assert bool(left) == bool(warned) == (table.policy is Policy.ADDITIVE)


def test_a_circle_of_keys_loses_one_link_and_a_key_to_itself_stays() -> None:
    states = []
    for name, parent in (("a", "b"), ("b", "a"), ("c", "c")):
        key = LiveForeignKey(f"fk_{name}_p_{parent}", ("p",), NAME.sibling(parent), ("id",))
        keys = LiveKeys(LivePrimaryKey(f"pk_{name}", ("id",)), (key,))
        states.append(replace(_live(keys=keys, tags=FrozenMapping()), name=NAME.sibling(name)))
    found = _imported(*states)
    counts = [len(table.foreign_keys) for table in found.tables if isinstance(table, DeltaTable)]
    assert counts == [0, 1, 1]
    (warning,) = found.warnings
    assert str(warning) == (
        "c.s.a: foreign_keys: left out: foreign key fk_a_p_b:"
        " foreign keys go round: c.s.a → c.s.b → c.s.a"
    )


def test_of_two_tables_in_one_place_the_first_is_imported() -> None:
    one = _live(location="/data/x")
    found = _imported(one, replace(one, name=NAME.sibling("u")), capabilities=OPEN_SOURCE_DELTA)
    assert [table.name for table in found.tables] == ["t"]
    assert [name.name for name in found.left_out] == ["u"]


# --------------------------------------------------------------------------- names


def test_tables_and_whole_schemas_can_be_named() -> None:
    wanted = read_wanted(["c.s.t", "c.`s`", "C.S.T", "c.x", "C.X"])
    assert wanted.tables == (NAME,)
    assert wanted.schemas == (("c", "s"), ("c", "x"))
    listed = [NAME.sibling("b"), TableName("c", "s", "T")]
    assert wanted.names(listed) == [NAME.sibling("b"), NAME]


@pytest.mark.parametrize("text", ["", "t", "a.b.c.d", "a..b", "a.b c", "a.b/c.d"])
def test_other_names_are_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        read_wanted([text])
