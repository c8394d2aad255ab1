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
    Char,
    DataType,
    Decimal,
    Long,
    Struct,
    StructField,
    Varchar,
)

NASTY = "it's \"both\" \\ ${env:HOME} $${x}\n second\r\n\tline é 漢字 🎈 \u2028 `tick`: # - ' end "
MAPPED = {"delta.columnMapping.mode": "name"}
NAME = TableName("c", "s", "t")

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
