"""Plans: what differs, the statements that would run, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakeflow_meta.names import TableName
from lakeflow_meta.schema.capabilities import OPEN_SOURCE_DELTA, UNITY_CATALOG, Capabilities
from lakeflow_meta.schema.frozen_mapping import FrozenMapping
from lakeflow_meta.schema.live import (
    LiveForeignKey,
    LiveKeys,
    LivePrimaryKey,
    LiveTable,
    LiveView,
    Unreadable,
)
from lakeflow_meta.schema.plan import Outlook, Surroundings, TablePlan, plan_declared
from lakeflow_meta.schema.table import (
    Column,
    Declared,
    DeltaTable,
    DroppedTable,
    ForeignKey,
    Policy,
    View,
)
from lakeflow_meta.schema.type_text import parse_type

NAME = TableName("c", "s", "t")


def _columns(**types: str) -> list[Column]:
    return [Column(name, parse_type(text)) for name, text in types.items()]


def _table(columns: list[Column], **more: Any) -> DeltaTable:
    return DeltaTable("c", "s", "t", columns, **more)


def _live(columns: list[Column], **more: Any) -> LiveTable:
    return LiveTable(NAME, tuple(columns), **more)


def _plan(
    declared: Declared,
    state: LiveTable | LiveView | Unreadable | None,
    capabilities: Capabilities = OPEN_SOURCE_DELTA,
    old: LiveTable | None = None,
    managed: frozenset[str] = frozenset(),
) -> TablePlan:
    around = Surroundings(capabilities, {"c.s.p": ("id",)}, managed)
    return plan_declared(declared, state, around, old=old)


MAPPED = FrozenMapping({"delta.columnMapping.mode": "name"})
WIDENED = FrozenMapping({"delta.enableTypeWidening": "true"})


def _words(plan: TablePlan) -> list[str]:
    """Three words of each statement behind the name of the table."""
    assert plan.outlook is not Outlook.REJECTED, plan.rejections
    return [" ".join(text.split()[3:6]) for text in plan.statements]


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


def _keyed(*, key: tuple[str, ...] = ("ID",), referenced_by: tuple[str, ...] = ()) -> LiveKeys:
    foreign = LiveForeignKey("other", ("P_ID",), TableName("C", "S", "P"), ("id",))
    children = tuple(TableName.parse(name) for name in referenced_by)
    return LiveKeys(LivePrimaryKey("theirs", key) if key else None, (foreign,), children)


KEYED = [Column("id", parse_type("int"), nullable=False), *_columns(p_id="int")]


def test_keys_that_are_there_under_another_name_are_left_alone() -> None:
    table = _table(KEYED, primary_key=["id"], foreign_keys=[ForeignKey(["p_id"], "c.s.p")])
    live = _live(KEYED, keys=_keyed())
    assert _plan(table, live, UNITY_CATALOG).outlook is Outlook.UNCHANGED
    bare = replace(live, keys=LiveKeys())
    assert len(_plan(table, bare, UNITY_CATALOG).statements) == 2


def test_a_primary_key_of_other_columns_is_made_anew() -> None:
    table = _table(KEYED, primary_key=["id"], foreign_keys=[ForeignKey(["p_id"], "c.s.p")])
    live = _live(KEYED, keys=_keyed(key=("p_id",), referenced_by=("c.s.child",)))
    managed = frozenset({"c.s.child"})
    assert _plan(table, live, UNITY_CATALOG, managed=managed).statements == (
        "ALTER TABLE `c`.`s`.`t` DROP PRIMARY KEY IF EXISTS CASCADE",
        "ALTER TABLE `c`.`s`.`t` ADD CONSTRAINT `pk_t` PRIMARY KEY (`id`)",
    )
    refused = _plan(table, live, UNITY_CATALOG)
    assert _rules(refused) == ["primary_key_referenced"]
    assert "c.s.child" in refused.rejections[0].message


def test_undeclared_keys_stay_unless_the_policy_is_strict() -> None:
    live = _live(KEYED, keys=_keyed())
    kept = _plan(_table(KEYED), live, UNITY_CATALOG)
    assert kept.outlook is Outlook.UNCHANGED
    assert [note.split(" is ")[0] for note in kept.notes] == [
        "foreign key other",
        "primary key theirs",
    ]
    strict = _plan(_table(KEYED, policy=Policy.STRICT), live, UNITY_CATALOG)
    assert strict.statements == (
        "ALTER TABLE `c`.`s`.`t` DROP CONSTRAINT IF EXISTS `other`",
        "ALTER TABLE `c`.`s`.`t` DROP PRIMARY KEY IF EXISTS CASCADE",
    )


def test_a_renamed_key_column_takes_its_keys_with_it_so_they_are_made_anew() -> None:
    live = _live(KEYED, keys=_keyed(), properties=MAPPED)
    columns = [Column("nr", parse_type("int"), nullable=False), *_columns(p_id="int")]
    table = _table(
        columns,
        primary_key=["nr"],
        foreign_keys=[ForeignKey(["p_id"], "c.s.p")],
        renamed_columns={"id": "nr"},
    )
    assert _words(_plan(table, live, UNITY_CATALOG)) == [
        "DROP PRIMARY KEY",
        "RENAME COLUMN `id`",
        "ADD CONSTRAINT `pk_t`",
    ]


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
    assert _words(_plan(table, other)) == ["DROP CONSTRAINT IF", "ADD CONSTRAINT `Small`"]


@pytest.mark.parametrize(
    ("declared", "live", "rule"),
    [
        (_columns(a="struct<x:int>"), _live(_columns(a="int")), "type_change"),
        (_columns(a="string"), _live(_columns(a="int")), "type_change"),
        (_columns(a="bigint"), _live(_columns(a="int")), "type_widening_needed"),
        (
            [Column("a", parse_type("int"), generated="1 + 1")],
            _live(_columns(a="int")),
            "value_source_change",
        ),
        (
            [*_columns(a="int"), Column("b", parse_type("int"), nullable=False)],
            _live(_columns(a="int")),
            "not_null_column_added",
        ),
    ],
)
def test_what_is_not_safe_is_refused_by_rule_with_the_drift_shown(
    declared: list[Column], live: LiveTable, rule: str
) -> None:
    plan = _plan(_table(declared, comment="a safe change too"), live)
    plan = plan.answered([0] * len(plan.questions)) if plan.questions else plan
    assert _rules(plan) == [rule]
    assert len(plan.lines) == 2
    assert plan.rejections[0].hint


def test_another_partitioning_or_location_is_refused_and_an_undeclared_one_left_alone() -> None:
    columns = _columns(a="int", b="int")
    live = _live(columns, partitioned_by=("a",), location="/data/t")
    plan = _plan(_table(columns), live)
    assert plan.outlook is Outlook.UNCHANGED
    assert plan.notes == (
        "partitioning (a) is not declared: left alone",
        "location /data/t is not declared: left alone",
    )
    other = _table(columns, partitioned_by=["b"], location="/data/u")
    assert _rules(_plan(other, live)) == ["partitioning_change", "location_change"]
    strict = _table(columns, policy=Policy.STRICT)
    assert _rules(_plan(strict, live)) == ["partitioning_change", "location_change"]


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
    assert "if note is the new name of memo, say so: renamed_columns: {memo: note}" in plan.notes


def test_undeclared_columns_are_left_alone_and_noted() -> None:
    plan = _plan(_table(_columns(a="int")), _live(_columns(a="int", _rescued="string")))
    assert plan.outlook is Outlook.UNCHANGED
    assert plan.lines == ()
    assert plan.notes == ("column _rescued is not declared: left alone",)


def test_under_the_strict_policy_undeclared_columns_need_a_word() -> None:
    live = _live(_columns(a="int", old="string", more="int"), properties=MAPPED)
    strict = _table(_columns(a="int"), policy=Policy.STRICT)
    refused = _plan(strict, live)
    assert _rules(refused) == ["column_not_declared"] * 2
    assert "allow: [drop_column old]" in refused.rejections[0].hint
    some = _table(_columns(a="int"), policy=Policy.STRICT, allow=["drop_column OLD"])
    assert [r.subject for r in _plan(some, live).rejections] == ["more"]
    both = _table(_columns(a="int"), policy=Policy.STRICT, allow=["drop_column"])
    dropped = _plan(both, live)
    assert dropped.statements == ("ALTER TABLE `c`.`s`.`t` DROP COLUMNS (`old`, `more`)",)
    assert [str(line) for line in dropped.lines] == [
        "- column old string  (loses data)",
        "- column more int  (loses data)",
    ]


def test_a_word_drops_the_column_under_the_additive_policy_too() -> None:
    live = _live(_columns(a="int", old="string", more="int"), properties=MAPPED)
    plan = _plan(_table(_columns(a="int"), allow=["drop_column old"]), live)
    assert plan.statements == ("ALTER TABLE `c`.`s`.`t` DROP COLUMNS (`old`)",)
    assert plan.notes == (
        "column more is not declared: left alone",
        "allowed by the declaration: drop_column old",
    )


def test_columns_are_dropped_and_renamed_only_under_column_mapping() -> None:
    live = _live(_columns(a="int", b="int"))
    dropping = _table(_columns(a="int"), allow=["drop_column"])
    assert _rules(_plan(dropping, live)) == ["column_mapping_needed"]
    renaming = _table(_columns(a="int", c="int"), renamed_columns={"b": "c"})
    assert _rules(_plan(renaming, live)) == ["column_mapping_needed"]
    at_once = replace(renaming, properties={"delta.columnMapping.mode": "name"})
    assert _words(_plan(at_once, live)) == [
        "SET TBLPROPERTIES ('delta.columnMapping.mode'",
        "RENAME COLUMN `b`",
    ]


def test_what_the_layout_rests_on_is_not_dropped() -> None:
    live = _live(_columns(a="int", b="int"), properties=MAPPED, partitioned_by=("b",))
    table = _table(_columns(a="int"), allow=["drop_column"])
    assert _rules(_plan(table, live)) == ["column_in_use"]
    clustered = replace(live, partitioned_by=(), clustered_by=("b",))
    assert _rules(_plan(table, clustered)) == ["column_in_use"]
    moved = replace(table, clustered_by=["a"])
    assert _words(_plan(moved, clustered)) == ["CLUSTER BY (`a`)", "DROP COLUMNS (`b`)"]


def test_columns_are_renamed_in_place_and_a_done_rename_does_nothing() -> None:
    live = _live(_columns(a="int", s="struct<x:int>"), properties=MAPPED, clustered_by=("a",))
    table = _table(
        _columns(b="int", s="struct<y:int>"),
        renamed_columns={"a": "b", "s.x": "s.y"},
        clustered_by=["b"],
    )
    plan = _plan(table, live)
    assert plan.statements == (
        "ALTER TABLE `c`.`s`.`t` RENAME COLUMN `a` TO `b`",
        "ALTER TABLE `c`.`s`.`t` RENAME COLUMN `s`.`x` TO `y`",
    )
    assert [str(line) for line in plan.lines] == ["~ name of a: a → b", "~ name of s.x: x → y"]
    after = _live(_columns(b="int", s="struct<y:int>"), properties=MAPPED, clustered_by=("b",))
    assert _plan(table, after).outlook is Outlook.UNCHANGED
    assert "RENAME" not in _plan(table, None).statements[0]


def test_a_chain_of_renames_runs_from_its_end_and_can_be_taken_up_anywhere() -> None:
    table = _table(_columns(b="int", c="int"), renamed_columns={"a": "b", "b": "c"})
    live = _live(_columns(a="int", b="int"), properties=MAPPED)
    assert _plan(table, live).statements == (
        "ALTER TABLE `c`.`s`.`t` RENAME COLUMN `b` TO `c`",
        "ALTER TABLE `c`.`s`.`t` RENAME COLUMN `a` TO `b`",
    )
    half = _live(_columns(a="int", c="int"), properties=MAPPED)
    assert _plan(table, half).statements == ("ALTER TABLE `c`.`s`.`t` RENAME COLUMN `a` TO `b`",)
    done = _live(_columns(b="int", c="int"), properties=MAPPED)
    assert _plan(table, done).outlook is Outlook.UNCHANGED


def test_a_rename_onto_a_column_that_is_there_is_refused() -> None:
    table = _table(_columns(b="int"), renamed_columns={"a": "b"})
    live = _live(_columns(a="int", b="int"), properties=MAPPED)
    assert _rules(_plan(table, live)) == ["ambiguous_rename"]


def test_fields_inside_structs_are_added_dropped_widened_and_commented_in_place() -> None:
    before = "struct<a:int,old:int,list:array<struct<n:int>>,m:map<string,int>>"
    after = (
        "struct<a:bigint comment 'A',b:string,list:array<struct<n:bigint,o:date>>,"
        "m:map<string,bigint>>"
    )
    live = _live(_columns(s=before), properties=FrozenMapping({**MAPPED, **WIDENED}))
    plan = _plan(_table(_columns(s=after), allow=["drop_column s.old"]), live)
    prefix = "ALTER TABLE `c`.`s`.`t` "
    assert plan.statements == (
        f"{prefix}ADD COLUMNS (`s`.`list`.`element`.`o` date, `s`.`b` string AFTER `a`)",
        f"{prefix}ALTER COLUMN `s`.`a` TYPE bigint",
        f"{prefix}ALTER COLUMN `s`.`list`.`element`.`n` TYPE bigint",
        f"{prefix}ALTER COLUMN `s`.`m`.`value` TYPE bigint",
        f"{prefix}DROP COLUMNS (`s`.`old`)",
        f"{prefix}ALTER COLUMN `s`.`a` COMMENT 'A'",
    )


@pytest.mark.parametrize(
    ("before", "after", "fits"),
    [
        ("tinyint", "smallint", True),
        ("tinyint", "double", True),
        ("int", "bigint", True),
        ("int", "decimal(10,0)", True),
        ("int", "decimal(11,2)", False),
        ("bigint", "decimal(20,0)", True),
        ("bigint", "double", False),
        ("float", "double", True),
        ("date", "timestamp_ntz", True),
        ("date", "timestamp", False),
        ("decimal(10,2)", "decimal(12,4)", True),
        ("decimal(10,2)", "decimal(12,1)", False),
        ("decimal(10,2)", "decimal(10,4)", False),
        ("bigint", "int", False),
        ("string", "int", False),
        ("varchar(3)", "string", True),
        ("string", "varchar(3)", False),
    ],
)
def test_types_are_widened_and_never_narrowed(before: str, after: str, fits: bool) -> None:
    live = _live(_columns(a=before), properties=WIDENED, features=frozenset({"timestampNtz"}))
    plan = _plan(_table(_columns(a=after)), live)
    if fits:
        assert plan.statements == (f"ALTER TABLE `c`.`s`.`t` ALTER COLUMN `a` TYPE {after}",)
        return
    assert plan.statements == ()
    assert plan.questions
    lost = plan.answered([3])
    assert _rules(lost) == ["type_change"]
    assert "the value of 3 rows would not fit" in lost.rejections[0].message
    assert "every value would fit" in plan.answered([0]).rejections[0].message


def test_widening_comes_after_the_property_that_it_needs() -> None:
    table = _table(_columns(a="bigint"), properties=WIDENED)
    assert _words(_plan(table, _live(_columns(a="int")))) == [
        "SET TBLPROPERTIES ('delta.enableTypeWidening'",
        "ALTER COLUMN `a`",
    ]


def test_columns_become_nullable_at_once_and_not_null_where_no_value_is_missing() -> None:
    required = [Column("a", parse_type("int"), nullable=False)]
    loose = _plan(_table(_columns(a="int")), _live(required))
    assert loose.statements == ("ALTER TABLE `c`.`s`.`t` ALTER COLUMN `a` DROP NOT NULL",)
    tight = _plan(_table(required), _live(_columns(a="int")), UNITY_CATALOG)
    assert tight.statements == ("ALTER TABLE `c`.`s`.`t` ALTER COLUMN `a` SET NOT NULL",)
    assert tight.query == (
        "SELECT count_if(`a` IS NULL) AS `q0` FROM (SELECT `a` AS `a` FROM `c`.`s`.`t`) AS rows"
    )
    assert tight.answered([0]).statements == tight.statements
    refused = tight.answered([1234])
    assert _rules(refused) == ["nulls_present"]
    assert "it has no value in 1,234 rows" in refused.rejections[0].message


def test_where_not_null_cannot_be_set_a_check_is_proposed() -> None:
    required = [Column("a", parse_type("int"), nullable=False)]
    plan = _plan(_table(required), _live(_columns(a="int")))
    assert "a_not_null: a IS NOT NULL" in plan.answered([0]).rejections[0].hint
    assert _rules(plan.answered([2])) == ["nulls_present"]
    more = _table([*required, Column("b", parse_type("int"), nullable=False)])
    both = _plan(more, _live(_columns(a="int")))
    assert sorted(_rules(both)) == ["not_null_column_added", "nullability_change"]


def test_missing_values_are_filled_with_the_default_on_request() -> None:
    required = [*_columns(a="int"), Column("b", parse_type("int"), nullable=False, default="7")]
    table = _table(required, allow=["backfill b"])
    plan = _plan(table, _live(_columns(a="int")), UNITY_CATALOG)
    prefix = "ALTER TABLE `c`.`s`.`t` "
    assert plan.statements == (
        f"{prefix}SET TBLPROPERTIES ('delta.feature.allowColumnDefaults' = 'supported')",
        f"{prefix}ADD COLUMNS (`b` int)",
        f"{prefix}ALTER COLUMN `b` SET DEFAULT 7",
        "UPDATE `c`.`s`.`t` SET `b` = 7 WHERE `b` IS NULL",
        f"{prefix}ALTER COLUMN `b` SET NOT NULL",
    )
    features = frozenset({"allowColumnDefaults"})
    half = [*_columns(a="int"), Column("b", parse_type("int"), default="7")]
    again = _plan(table, _live(half, features=features), UNITY_CATALOG)
    assert again.statements == plan.statements[3:]
    assert again.questions == ()


def test_defaults_are_set_changed_and_dropped() -> None:
    features = frozenset({"allowColumnDefaults"})
    live = _live(
        [Column("a", parse_type("int"), default="1"), *_columns(b="int")], features=features
    )
    table = _table([*_columns(a="int"), Column("b", parse_type("int"), default="'x'")])
    assert _plan(table, live).statements == (
        "ALTER TABLE `c`.`s`.`t` ALTER COLUMN `a` DROP DEFAULT",
        "ALTER TABLE `c`.`s`.`t` ALTER COLUMN `b` SET DEFAULT 'x'",
    )


def test_a_new_check_asks_the_data_as_the_columns_will_be_named() -> None:
    live = _live(_columns(a="int", b="int"), properties=MAPPED)
    table = _table(
        _columns(x="int", b="int", n="date"),
        renamed_columns={"a": "x"},
        checks={"pos": "x > 0 OR n IS NULL"},
    )
    plan = _plan(table, live)
    assert plan.query == (
        "SELECT count_if(NOT coalesce((x > 0 OR n IS NULL), false)) AS `q0` FROM"
        " (SELECT `a` AS `x`, `b` AS `b`, CAST(NULL AS date) AS `n` FROM `c`.`s`.`t`) AS rows"
    )
    refused = plan.answered([2])
    assert _rules(refused) == ["check_broken"]
    assert "broken by 2 rows" in refused.rejections[0].message
    assert _rules(plan.unanswered("no such function")) == ["data_not_read"]


def test_a_check_on_a_changing_column_is_dropped_before_and_comes_back_after() -> None:
    live = _live(
        _columns(a="int"),
        properties=FrozenMapping({**MAPPED, **WIDENED}),
        checks=FrozenMapping({"pos": "a > 0"}),
    )
    table = _table(_columns(a="bigint"), checks={"pos": "a > 0"})
    assert _words(_plan(table, live)) == [
        "DROP CONSTRAINT IF",
        "ALTER COLUMN `a`",
        "ADD CONSTRAINT `pos`",
    ]


def test_undeclared_checks_tags_properties_and_clustering_go_only_under_the_strict_policy() -> None:
    live = _live(
        [Column("a", parse_type("int"), tags={"pii": "no"})],
        checks=FrozenMapping({"pos": "a > 0"}),
        properties=FrozenMapping({"own": "1", "delta.appendOnly": "true"}),
        tags=FrozenMapping({"team": "x"}),
        clustered_by=("a",),
        keys=LiveKeys(),
    )
    kept = _plan(_table(_columns(a="int")), live, UNITY_CATALOG)
    assert kept.outlook is Outlook.UNCHANGED
    assert kept.notes == ("check pos is not declared: left alone",)
    strict = _plan(_table(_columns(a="int"), policy=Policy.STRICT), live, UNITY_CATALOG)
    prefix = "ALTER TABLE `c`.`s`.`t` "
    assert strict.statements == (
        f"{prefix}DROP CONSTRAINT IF EXISTS `pos`",
        f"{prefix}CLUSTER BY NONE",
        f"{prefix}UNSET TAGS ('team')",
        f"{prefix}ALTER COLUMN `a` UNSET TAGS ('pii')",
        f"{prefix}UNSET TBLPROPERTIES IF EXISTS ('own')",
    )


def test_a_property_that_is_declared_absent_is_taken_away() -> None:
    live = _live(_columns(a="int"), properties=FrozenMapping({"delta.appendOnly": "true"}))
    table = _table(_columns(a="int"), absent_properties=["delta.APPENDonly", "gone"])
    assert _plan(table, live).statements == (
        "ALTER TABLE `c`.`s`.`t` UNSET TBLPROPERTIES IF EXISTS ('delta.appendOnly')",
    )
    mapped = _live(_columns(a="int"), properties=MAPPED)
    none = _table(_columns(a="int"), absent_properties=["delta.columnMapping.mode"])
    assert _rules(_plan(none, mapped)) == ["property_change"]


def test_tags_are_one_statement_a_subject_and_skipped_where_there_are_none() -> None:
    columns = [Column("a", parse_type("int"), tags={"x": "1", "y": "2"})]
    table = _table(columns, tags={"team": "it's"})
    live = _live(_columns(a="int"), tags=FrozenMapping({"other": "1"}), keys=LiveKeys())
    assert _plan(table, live, UNITY_CATALOG).statements == (
        "ALTER TABLE `c`.`s`.`t` SET TAGS ('team' = 'it\\'s')",
        "ALTER TABLE `c`.`s`.`t` ALTER COLUMN `a` SET TAGS ('x' = '1', 'y' = '2')",
    )
    assert _plan(table, _live(_columns(a="int"))).notes == (
        "tags are not kept by open-source Delta: skipped",
    )


def test_fields_beside_texts_of_a_limited_length_are_not_changed() -> None:
    live = _live(_columns(s="struct<a:varchar(3),b:int>", t="varchar(3)"), properties=MAPPED)
    more = _table(_columns(s="struct<a:varchar(3),b:int,c:int>", t="string"))
    assert _rules(_plan(more, live)) == ["type_change"]
    other = _table(
        _columns(s="struct<a:varchar(3),x:int>", t="string"), renamed_columns={"s.b": "s.x"}
    )
    assert _rules(_plan(other, live)) == ["type_change"]
    fewer = _table(_columns(s="struct<a:varchar(3)>", t="string"), allow=["drop_column"])
    assert _rules(_plan(fewer, live)) == ["type_change"]


def test_columns_are_moved_under_the_strict_policy_with_the_fewest_statements() -> None:
    live = _live(_columns(a="int", b="int", c="int", d="int"))
    table = _table(_columns(d="int", a="int", b="int", c="int"))
    plan = _plan(table, live)
    assert plan.outlook is Outlook.UNCHANGED
    assert plan.notes == ("columns stand in another order than declared: left alone",)
    strict = replace(table, policy=Policy.STRICT)
    assert _plan(strict, live).statements == ("ALTER TABLE `c`.`s`.`t` ALTER COLUMN `d` FIRST",)


@given(before=names, data=st.data())
def test_moves_end_in_declared_order(before: list[str], data: st.DataObject) -> None:
    declared = data.draw(st.permutations(before))
    live = _live(_columns(**dict.fromkeys(before, "int")))
    table = _table(_columns(**dict.fromkeys(declared, "int")), policy=Policy.STRICT)
    order = list(before)
    for text in _plan(table, live).statements:
        name, place = text.split("ALTER COLUMN ")[1].replace("`", "").split(" ", 1)
        order.remove(name)
        after = place.removeprefix("AFTER ")
        order.insert(0 if place == "FIRST" else order.index(after) + 1, name)
    assert order == declared


def test_the_spelling_of_a_column_is_a_note() -> None:
    plan = _plan(_table(_columns(b="int")), _live(_columns(B="int")))
    assert plan.outlook is Outlook.UNCHANGED
    assert plan.notes == ("column b is spelled B in the table: left alone",)


def test_a_table_is_renamed_and_changed_in_one_sync() -> None:
    table = _table(_columns(a="int", b="int"), renamed_from="before")
    old = replace(_live(_columns(a="int")), name=TableName("c", "s", "before"))
    plan = _plan(table, None, old=old)
    assert plan.outlook is Outlook.CHANGE
    assert plan.statements == (
        "ALTER TABLE `c`.`s`.`before` RENAME TO `c`.`s`.`t`",
        "ALTER TABLE `c`.`s`.`t` ADD COLUMNS (`b` int)",
    )
    assert _plan(table, None).outlook is Outlook.CREATE
    assert _plan(table, _live(_columns(a="int", b="int")), old=old).outlook is Outlook.UNCHANGED


def test_a_table_is_dropped_only_when_that_is_declared() -> None:
    dropped = DroppedTable("c", "s", "t")
    plan = _plan(dropped, _live(_columns(a="int")))
    assert plan.outlook is Outlook.DROP
    assert plan.statements == ("DROP TABLE `c`.`s`.`t`",)
    assert plan.lines[0].loses_data
    assert _plan(dropped, None).outlook is Outlook.UNCHANGED
    assert _rules(_plan(dropped, LiveView(NAME, "SELECT 1"))) == ["another_kind"]


def test_views_are_made_and_replaced() -> None:
    view = View("c", "s", "t", "SELECT a FROM c.s.u", comment="all")
    made = ("CREATE OR REPLACE VIEW `c`.`s`.`t`\nCOMMENT 'all' AS\nSELECT a FROM c.s.u",)
    assert _plan(view, None).statements == made
    same = LiveView(NAME, "select  a\nfrom `C`.s.`u`", "all")
    assert _plan(view, same).outlook is Outlook.UNCHANGED
    assert _plan(view, replace(same, query="SELECT b FROM c.s.u")).statements == made
    assert _rules(_plan(view, _live(_columns(a="int")))) == ["another_kind"]
    assert _rules(_plan(_table(_columns(a="int")), same)) == ["another_kind"]


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
