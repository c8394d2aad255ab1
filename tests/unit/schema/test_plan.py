"""Plans: what differs, the statements that would run, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakeflow_meta.names import TableName
from lakeflow_meta.schema.frozen_mapping import FrozenMapping
from lakeflow_meta.schema.live import LiveForeignKey, LiveTable, Unreadable
from lakeflow_meta.schema.plan import Outlook, TablePlan, plan_table
from lakeflow_meta.schema.table import Column, DeltaTable, ForeignKey, UndeclaredColumns
from lakeflow_meta.schema.type_text import parse_type
from lakeflow_meta.schema.validate import OPEN_SOURCE_DELTA, UNITY_CATALOG, Capabilities

NAME = TableName("c", "s", "t")


def _columns(**types: str) -> list[Column]:
    return [Column(name, parse_type(text)) for name, text in types.items()]


def _table(columns: list[Column], **more: Any) -> DeltaTable:
    return DeltaTable("c", "s", "t", columns, **more)


def _live(columns: list[Column], **more: Any) -> LiveTable:
    return LiveTable(NAME, tuple(columns), **more)


def _plan(
    declared: DeltaTable,
    state: LiveTable | Unreadable | None,
    capabilities: Capabilities = OPEN_SOURCE_DELTA,
) -> TablePlan:
    return plan_table(declared, state, capabilities, {"c.s.p": ("id",)})


def _rules(plan: TablePlan) -> list[str]:
    assert plan.outlook is Outlook.REJECTED
    assert plan.statements == ()
    return [str(rejection.rule) for rejection in plan.rejections]


def test_a_new_table_is_one_plain_create_and_its_checks() -> None:
    table = _table(
        [Column("id", parse_type("bigint"), nullable=False, comment="it's"), *_columns(x="int")],
        comment="all $",
        properties={"b": "2", "a": True},
        partitioned_by=["x"],
        checks={"pos": "id > 0"},
    )
    assert _plan(table, None).statements == (
        (
            "CREATE TABLE `c`.`s`.`t` (\n"
            "  `id` bigint NOT NULL COMMENT 'it\\'s',\n"
            "  `x` int\n"
            ")\n"
            "USING delta\n"
            "COMMENT 'all \\u0024'\n"
            "TBLPROPERTIES ('a' = 'true', 'b' = '2')\n"
            "PARTITIONED BY (`x`)"
        ),
        "ALTER TABLE `c`.`s`.`t` ADD CONSTRAINT `pos` CHECK (id > 0)",
    )


def test_keys_are_statements_where_the_target_keeps_them_and_notes_where_not() -> None:
    columns = [Column("id", parse_type("int"), nullable=False), *_columns(p_id="int")]
    table = _table(columns, primary_key=["id"], foreign_keys=[ForeignKey(["p_id"], "c.s.p")])
    kept = _plan(table, None, UNITY_CATALOG)
    assert kept.statements[1:] == (
        "ALTER TABLE `c`.`s`.`t` ADD CONSTRAINT `pk_t` PRIMARY KEY (`id`)",
        (
            "ALTER TABLE `c`.`s`.`t` ADD CONSTRAINT `fk_t_p_id_p`"
            " FOREIGN KEY (`p_id`) REFERENCES `c`.`s`.`p` (`id`)"
        ),
    )
    local = _plan(table, None)
    assert len(local.statements) == 1
    assert [note.split(" is ")[0] for note in local.notes] == [
        "primary key (id)",
        "foreign key (p_id) to c.s.p",
    ]
    live = _live(columns)
    assert _plan(table, live).outlook is Outlook.UNCHANGED
    assert "cannot be seen" in _plan(table, live, UNITY_CATALOG).notes[0]


def test_keys_that_are_there_under_another_name_are_left_alone() -> None:
    columns = [Column("id", parse_type("int"), nullable=False), *_columns(p_id="int")]
    table = _table(columns, primary_key=["id"], foreign_keys=[ForeignKey(["p_id"], "c.s.p")])
    parent = TableName("C", "S", "P")
    key = LiveForeignKey("other", ("P_ID",), parent, ("id",))
    live = _live(columns, primary_key=("ID",), foreign_keys=(key,))
    assert _plan(table, live, UNITY_CATALOG).outlook is Outlook.UNCHANGED
    bare = replace(live, primary_key=(), foreign_keys=())
    assert len(_plan(table, bare, UNITY_CATALOG).statements) == 2
    moved = replace(live, primary_key=("p_id",))
    assert _rules(_plan(table, moved, UNITY_CATALOG)) == ["primary_key_change"]


@pytest.mark.parametrize(
    ("there", "declared", "expected"),
    [
        ("a b", "a b zeta alpha", "ADD COLUMNS (`zeta` int, `alpha` int)"),
        ("a c", "a b c", "ADD COLUMNS (`b` int AFTER `a`)"),
        ("b", "a b", "ADD COLUMNS (`a` int FIRST)"),
        ("c", "a b c d", "ADD COLUMNS (`a` int FIRST, `b` int AFTER `a`, `d` int)"),
        ("B a", "a b c", "ADD COLUMNS (`c` int AFTER `B`)"),
    ],
)
def test_new_columns_are_one_statement_in_declared_places(
    there: str, declared: str, expected: str
) -> None:
    live = _live(_columns(**dict.fromkeys(there.split(), "int")))
    plan = _plan(_table(_columns(**dict.fromkeys(declared.split(), "int"))), live)
    assert plan.statements == (f"ALTER TABLE `c`.`s`.`t` {expected}",)


names = st.lists(st.sampled_from("abcdefgh"), min_size=1, unique=True)


@given(declared=names, data=st.data())
def test_added_columns_end_in_declared_order(declared: list[str], data: st.DataObject) -> None:
    kept = data.draw(st.sets(st.sampled_from(declared), min_size=1))
    there = [name for name in declared if name in kept]
    live = _live(_columns(**dict.fromkeys(there, "int")))
    plan = _plan(_table(_columns(**dict.fromkeys(declared, "int"))), live)
    order = list(there)
    for line in plan.lines:
        after = line.after.partition(" after ")[2]
        first = line.after.endswith(" first")
        at = 0 if first else order.index(after) + 1 if after else len(order)
        order.insert(at, line.name)
    assert order == declared


def test_a_new_column_that_needs_a_feature_gets_it_first() -> None:
    plan = _plan(_table(_columns(a="int", b="array<timestamp_ntz>")), _live(_columns(a="int")))
    assert plan.statements[0] == (
        "ALTER TABLE `c`.`s`.`t` SET TBLPROPERTIES ('delta.feature.timestampNtz' = 'supported')"
    )
    assert "permanent" in str(plan.lines[0])
    live = _live(_columns(a="int"), features=frozenset({"timestampNtz"}))
    assert len(_plan(_table(_columns(a="int", b="timestamp_ntz")), live).statements) == 1


def test_comments_are_one_statement_where_the_target_takes_lists() -> None:
    live = _live(_columns(a="int", B="int"))
    table = _table(
        [Column("a", parse_type("int"), comment="x"), Column("b", parse_type("int"), comment="y")]
    )
    together = "ALTER TABLE `c`.`s`.`t` ALTER COLUMN `a` COMMENT 'x', `B` COMMENT 'y'"
    assert _plan(table, live).statements == (together,)
    assert len(_plan(table, live, UNITY_CATALOG).statements) == 2


def test_only_declared_properties_are_managed_and_deltas_own_without_case() -> None:
    live = _live(
        _columns(a="int"),
        properties=FrozenMapping({"delta.appendOnly": "true", "other": "1", "Mine": "1"}),
        features=frozenset({"deletionVectors"}),
    )
    same = {"delta.APPENDONLY": "true", "delta.feature.deletionVectors": "supported"}
    assert _plan(_table(_columns(a="int"), properties=same), live).outlook is Outlook.UNCHANGED
    other = _plan(_table(_columns(a="int"), properties={"mine": "1", "delta.x": "2"}), live)
    assert other.statements == (
        "ALTER TABLE `c`.`s`.`t` SET TBLPROPERTIES ('delta.x' = '2', 'mine' = '1')",
    )


@pytest.mark.parametrize(
    ("live", "declared", "statements"),
    [((), ["a"], 1), (("b", "a"), ["a", "b"], 0), (("b",), ["a"], 1), (("a",), [], 0)],
)
def test_clustering_is_a_set_and_managed_only_where_declared(
    live: tuple[str, ...], declared: list[str], statements: int
) -> None:
    columns = _columns(a="int", b="int")
    plan = _plan(_table(columns, clustered_by=declared), _live(columns, clustered_by=live))
    assert len(plan.statements) == statements


def test_a_check_is_compared_by_its_words_not_by_its_blanks() -> None:
    columns = _columns(a="int")
    table = _table(columns, checks={"Small": "a<10 AND A != 'X y'"})
    same = _live(columns, checks=FrozenMapping({"small": "a < 10 and a ! = 'X y'"}))
    assert _plan(table, same).outlook is Outlook.UNCHANGED
    other = _live(columns, checks=FrozenMapping({"small": "a < 10 and a != 'x y'"}))
    assert _rules(_plan(table, other)) == ["check_change"]


@pytest.mark.parametrize(
    ("declared", "live", "rule"),
    [
        (_columns(a="bigint"), _live(_columns(a="int")), "type_change"),
        (_columns(a="struct<x:int,y:int>"), _live(_columns(a="struct<x:int>")), "type_change"),
        (_columns(a="int"), _live(_columns(a="int", b="int")), "column_not_declared"),
        (
            [Column("a", parse_type("int"), nullable=False)],
            _live(_columns(a="int")),
            "nullability_change",
        ),
        (
            _columns(a="int"),
            _live([Column("a", parse_type("int"), nullable=False)]),
            "nullability_change",
        ),
        (
            [*_columns(a="int"), Column("b", parse_type("int"), nullable=False)],
            _live(_columns(a="int")),
            "not_null_column_added",
        ),
        (
            _columns(a="int", b="int"),
            _live(_columns(a="int", b="int"), partitioned_by=("a",)),
            "partitioning_change",
        ),
    ],
)
def test_what_is_not_safe_is_refused_by_rule_with_the_drift_shown(
    declared: list[Column], live: LiveTable, rule: str
) -> None:
    plan = _plan(_table(declared, comment="a safe change too"), live)
    assert _rules(plan) == [rule]
    assert len(plan.lines) == 2
    assert plan.rejections[0].hint


def test_clustering_that_cannot_be_seen_or_cannot_be_had_is_refused() -> None:
    table = _table(_columns(a="int", b="int"), clustered_by=["a"])
    assert _rules(_plan(table, _live(_columns(a="int", b="int"), clustered_by=None))) == [
        "clustering_unknown"
    ]
    partitioned = _live(_columns(a="int", b="int"), partitioned_by=("b",))
    assert "clustering_of_partitioned_table" in _rules(_plan(table, partitioned))


def test_a_possible_rename_is_said() -> None:
    live = _live(_columns(id="int", memo="string"))
    plan = _plan(_table(_columns(id="int", note="string")), live)
    assert "if note is its new name: renaming is not available" in plan.rejections[0].message


def test_undeclared_columns_are_left_alone_on_request_and_noted() -> None:
    table = _table(_columns(a="int"), undeclared_columns=UndeclaredColumns.KEEP)
    plan = _plan(table, _live(_columns(a="int", _rescued="string")))
    assert plan.outlook is Outlook.UNCHANGED
    assert plan.lines == ()
    assert plan.notes == ("column _rescued is not declared: left alone",)


def test_case_and_order_of_columns_are_notes_not_changes() -> None:
    plan = _plan(_table(_columns(a="int", b="int")), _live(_columns(B="int", a="int")))
    assert plan.outlook is Outlook.UNCHANGED
    assert plan.notes == (
        "column b is spelled B in the table: left alone",
        "columns stand in another order (B, a): left alone",
    )


def test_what_cannot_be_read_is_neither_absent_nor_in_sync() -> None:
    plan = _plan(
        _table(_columns(a="int")), Unreadable("schema c.s does not exist", "x", "no_schema")
    )
    assert _rules(plan) == ["schema_missing"]
    assert list(plan.text_lines()) == ["c.s.t: rejected", "  ! schema c.s does not exist (x)"]


def test_characters_beyond_16_bits_are_escaped_or_cluster_in_a_second_statement() -> None:
    table = _table(_columns(a="int"), comment="🎈", clustered_by=["a"])
    (create,) = _plan(table, None).statements
    assert "COMMENT '\\U0001F388'" in create
    assert create.endswith("CLUSTER BY (`a`)")
    odd = _table(_columns(**{"a🎈": "int", "b": "int"}), clustered_by=["b"])
    create, cluster = _plan(odd, None).statements
    assert "CLUSTER BY" not in create
    assert cluster == "ALTER TABLE `c`.`s`.`t` CLUSTER BY (`b`)"
