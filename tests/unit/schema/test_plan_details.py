"""Plans that real Delta tables asked for: what hangs on a column, and how data is asked."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakeflow_meta.names import TableName
from lakeflow_meta.schema.capabilities import OPEN_SOURCE_DELTA
from lakeflow_meta.schema.expressions import hangs_on
from lakeflow_meta.schema.frozen_mapping import FrozenMapping
from lakeflow_meta.schema.live import LiveTable
from lakeflow_meta.schema.plan import Outlook, Surroundings, TablePlan, plan_declared
from lakeflow_meta.schema.table import Column, DeltaTable, InvalidTableError, Policy
from lakeflow_meta.schema.type_text import parse_type

PREFIX = "ALTER TABLE `c`.`s`.`t` "
OPEN = FrozenMapping({"delta.columnMapping.mode": "name", "delta.enableTypeWidening": "true"})


def _columns(**types: str) -> list[Column]:
    return [Column(name, parse_type(text)) for name, text in types.items()]


def _plan(declared: list[Column], live: list[Column], **more: Any) -> TablePlan:
    there = {key[5:]: more.pop(key) for key in list(more) if key.startswith("live_")}
    state = LiveTable(TableName("c", "s", "t"), tuple(live), properties=OPEN, **there)
    table = DeltaTable("c", "s", "t", declared, **more)
    return plan_declared(table, state, Surroundings(OPEN_SOURCE_DELTA, {}))


def _refusals(plan: TablePlan) -> list[tuple[str, str]]:
    assert plan.outlook is Outlook.REJECTED
    return [(str(r.rule), r.subject) for r in plan.rejections]


@pytest.mark.parametrize(
    ("expression", "path", "hangs"),
    [
        ("a > 0", "a", True),
        ("a > 0 and s . X > 0", "s.x", True),
        ("s.x > 0", "s.y", False),
        ("s.x > 0", "s", True),
        ("s IS NOT NULL", "s.y", True),
        ("l[0].n > 1", "l.element.n", True),
        ("`a b`.`c.d` = 'a'", "a b", True),
        ("x = 'a'", "a", False),
        ("f(b, a)", "a", True),
    ],
)
def test_an_expression_hangs_on_what_it_names_around_it_and_inside(
    expression: str, path: str, hangs: bool
) -> None:
    assert hangs_on(expression, path.split(".")) is hangs


def test_a_check_that_is_not_declared_holds_its_columns() -> None:
    live = {"live_checks": FrozenMapping({"pos": "a > 0"})}
    there = _columns(a="int", b="int")
    wider = _columns(a="bigint", b="bigint")
    assert _refusals(_plan(wider, there, **live)) == [("column_in_use", "a")]
    renamed = {"renamed_columns": {"a": "x"}}
    assert _refusals(_plan(_columns(x="int", b="int"), there, **renamed, **live)) == [
        ("column_in_use", "a")
    ]
    dropped = _plan(_columns(b="int"), there, allow=["drop_column"], **live)
    assert _refusals(dropped) == [("column_in_use", "a")]
    strict = _plan(wider, there, policy=Policy.STRICT, **live)
    assert strict.statements[0] == f"{PREFIX}DROP CONSTRAINT IF EXISTS `pos`"


def test_a_declared_check_comes_back_only_where_its_own_field_changes() -> None:
    live = {"live_checks": FrozenMapping({"pos": "s . x > 0"}), "checks": {"pos": "s.x > 0"}}
    there = _columns(s="struct<x:int,y:int>")
    beside = _plan(_columns(s="struct<x:int,y:bigint>"), there, **live)
    assert beside.statements == (f"{PREFIX}ALTER COLUMN `s`.`y` TYPE bigint",)
    assert len(_plan(_columns(s="struct<x:bigint,y:int>"), there, **live).statements) == 3


def test_a_generated_column_keeps_its_type_and_its_sources() -> None:
    generated = Column("g", parse_type("int"), generated="a + 1")
    there = [*_columns(a="int"), generated]
    assert _refusals(_plan([*_columns(a="bigint"), generated], there)) == [("column_in_use", "a")]
    wide = Column("g", parse_type("bigint"), generated="a + 1")
    assert _refusals(_plan([*_columns(a="int"), wide], there)) == [("type_change", "g")]


def test_fields_that_the_layout_rests_on_are_not_dropped() -> None:
    there = _columns(s="struct<x:int,y:int>", b="int")
    live = {"live_clustered_by": ("s.x",), "allow": ["drop_column"]}
    assert _refusals(_plan(_columns(s="struct<y:int>", b="int"), there, **live)) == [
        ("column_in_use", "s.x")
    ]
    assert _refusals(_plan(_columns(b="int"), there, **live)) == [("column_in_use", "s")]
    other = _plan(_columns(s="struct<x:int>", b="int"), there, **live)
    assert other.statements == (f"{PREFIX}DROP COLUMNS (`s`.`y`)",)


def test_clustering_is_compared_by_paths_whatever_the_names_hold() -> None:
    there = _columns(**{"a.b": "int", "s": "struct<`c.d`:int>"})
    for declared in ("`a.b`", "a.b"):
        plan = _plan(
            there, there, clustered_by=[declared, "s.`c.d`"],
            live_clustered_by=("a.b", "s.`c.d`"),
        )  # fmt: skip
        assert plan.outlook is Outlook.UNCHANGED


def test_columns_beside_texts_of_a_limited_length_keep_what_is_said_of_their_fields() -> None:
    told = "struct<c:varchar(2),n:int comment 'n'>"
    there = [Column("s", parse_type(told), comment="old")]
    for made, more in (
        (Column("s", parse_type(told), comment="new"), {}),
        (Column("r", parse_type(told), comment="old"), {"renamed_columns": {"s": "r"}}),
    ):
        ((rule, _),) = _refusals(_plan([made], there, **more))
        assert rule == "type_change"
    bare = _columns(s="struct<c:varchar(2),n:int>")
    plan = _plan([Column("s", bare[0].data_type, comment="new")], bare)
    assert plan.statements == (f"{PREFIX}ALTER COLUMN `s` COMMENT 'new'",)


@pytest.mark.parametrize(
    ("before", "after", "fits"),
    [
        ("varchar(3)", "varchar(4)", True),
        ("char(3)", "varchar(3)", True),
        ("varchar(3)", "varchar(2)", False),
        ("void", "date", True),
        ("void", "array<int>", False),
        ("char(3)", "char(4)", False),
    ],
)
def test_what_delta_stores_alike_changes_its_type(before: str, after: str, fits: bool) -> None:
    plan = _plan(_columns(a=after), _columns(a=before))
    assert bool(plan.statements) is fits


@pytest.mark.parametrize("types", [("struct<x:int>", "int"), ("variant", "int"), ("date", "int")])
def test_types_that_cannot_be_cast_are_refused_without_asking_the_data(
    types: tuple[str, str],
) -> None:
    plan = _plan(_columns(a=types[1]), _columns(a=types[0]))
    assert _refusals(plan) == [("type_change", "a")]
    assert plan.questions == ()


def test_a_text_is_asked_for_its_length() -> None:
    plan = _plan(_columns(a="varchar(3)"), _columns(a="string"))
    assert "count_if(char_length(CAST(`a` AS string)) > 3)" in plan.query


def test_the_data_is_asked_as_structs_will_be() -> None:
    plan = _plan(
        _columns(s="struct<x:int,z:struct<n:int,m:date>,y:date>"),
        _columns(s="struct<old:int,x:int,z:struct<n:int>>"),
        checks={"c": "s.y IS NULL AND s.z.m IS NULL"},
        allow=["drop_column s.old"],
    )
    assert "named_struct('x', `s`.`x`, 'z', IF(`s`.`z` IS NULL, NULL, named_struct(" in plan.query
    assert "'y', CAST(NULL AS date))) AS `s`" in plan.query
    assert "old" not in plan.query


def test_a_check_cannot_speak_of_a_column_that_is_dropped() -> None:
    plan = _plan(
        _columns(a="int"), _columns(a="int", b="int"), checks={"c": "b > 0"}, allow=["drop_column"]
    )
    assert "(SELECT `a` AS `a` FROM" in plan.query


def test_a_location_is_compared_as_a_place() -> None:
    there = _columns(a="int")
    plan = _plan(there, there, location="file:///data/x/", live_location="/data/x")
    assert plan.outlook is Outlook.UNCHANGED


def test_column_mapping_by_id_is_for_new_tables() -> None:
    there = _columns(a="int")
    table = DeltaTable("c", "s", "t", there, properties={"delta.columnMapping.mode": "id"})
    live = LiveTable(TableName("c", "s", "t"), tuple(there))
    plan = plan_declared(table, live, Surroundings(OPEN_SOURCE_DELTA, {}))
    assert _refusals(plan) == [("property_change", "delta.columnMapping.mode")]


def test_a_field_beside_a_variant_cannot_be_clustered_by() -> None:
    with pytest.raises(InvalidTableError, match="beside a variant"):
        DeltaTable("c", "s", "t", _columns(s="struct<x:int,v:variant>"), clustered_by=["s.x"])


names = st.lists(st.sampled_from("abcdefgh"), min_size=1, unique=True)


@given(before=names, declared=names)
def test_new_columns_and_moves_together_end_in_declared_order(
    before: list[str], declared: list[str]
) -> None:
    plan = _plan(
        _columns(**dict.fromkeys(declared, "int")),
        _columns(**dict.fromkeys(before, "int")),
        policy=Policy.STRICT,
        allow=["drop_column"],
    )
    order = list(before)
    for text in (one.removeprefix(PREFIX).replace("`", "") for one in plan.statements):
        match text.split(" ", 2):
            case ["ADD", "COLUMNS", added]:
                for part in added.strip("()").split(", "):
                    _place(order, *part.split(" int"))
            case ["ALTER", "COLUMN", moved]:
                name, place = moved.split(" ", 1)
                order.remove(name)
                _place(order, name, f" {place}")
            case ["DROP", "COLUMNS", dropped]:
                order = [name for name in order if name not in dropped.strip("()").split(", ")]
    assert order == declared


def _place(order: list[str], name: str, place: str) -> None:
    at = order.index(place.removeprefix(" AFTER ")) + 1 if "AFTER" in place else len(order)
    order.insert(0 if "FIRST" in place else at, name)
