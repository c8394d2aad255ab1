"""Tables together: unique names, keys that fit, an order that never changes."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from lakeflow_meta.errors import ConfigError, SpecError
from lakeflow_meta.names import TableName
from lakeflow_meta.schema.constraint_names import foreign_key_name, primary_key_name
from lakeflow_meta.schema.registry import NamePolicy, Registry
from lakeflow_meta.schema.table import Column, DeltaTable, DroppedTable, ForeignKey, View
from lakeflow_meta.schema.type_text import parse_type


def _table(name: str, *parents: str, kind: str = "int", **more: Any) -> DeltaTable:
    keys = [ForeignKey([f"{parent}_id"], f"c.s.{parent}") for parent in parents]
    columns = [Column("id", parse_type(kind), nullable=False)]
    columns += [Column(f"{parent}_id", parse_type("int")) for parent in parents]
    return DeltaTable("c", "s", name, columns, primary_key=["id"], foreign_keys=keys, **more)


def _names(registry: Registry) -> list[str]:
    return [table.name for table in registry.in_order()]


def _messages(registry: Registry) -> list[str]:
    with pytest.raises(SpecError) as caught:
        registry.in_order()
    return [problem.message for problem in caught.value.problems]


def test_names_are_unique_without_case_and_every_collision_is_told() -> None:
    registry = Registry([_table("orders"), _table("lines")])
    with pytest.raises(SpecError) as caught:
        registry.register(_table("Orders"), _table("fine"), _table("LINES"))
    assert len(caught.value.problems) == 2
    assert "c.s.lines" in caught.value.problems[0].message
    assert len(registry) == 2


def test_tables_outside_of_the_namespaces_are_refused() -> None:
    with pytest.raises(SpecError, match=r"outside of Dev\.Silver"):
        Registry([_table("t")], namespaces=["Dev.Silver"])
    assert len(Registry([_table("t")], namespaces=["dev.*", "C.*"])) == 1


def test_a_naming_policy_tells_every_name_that_does_not_keep_it() -> None:
    policy = NamePolicy(tables="[a-z_]+", columns="[a-z_]+")
    with pytest.raises(SpecError) as caught:
        Registry([_table("Orders"), _table("fine"), _table("t1")], policy=policy)
    assert [problem.message for problem in caught.value.problems] == [
        "name 'Orders' does not match [a-z_]+",
        "name 't1' does not match [a-z_]+",
    ]
    with pytest.raises(ConfigError, match="naming pattern"):
        NamePolicy(tables="(")


def test_two_tables_in_one_place_are_refused() -> None:
    columns = [Column("id", parse_type("int"))]
    one = DeltaTable("c", "s", "a", columns, location="s3://b/x")
    other = DeltaTable("c", "s", "b", columns, location="s3://b/x/")
    with pytest.raises(SpecError, match=r"also that of c\.s\.a"):
        Registry([one, other])


def test_views_come_after_what_they_read() -> None:
    views = [
        View("c", "s", "a", "SELECT * FROM c.s.b JOIN `c`.`s`.`t`"),
        View("c", "s", "b", "SELECT 'c.s.a' FROM C.S.T"),
    ]
    assert _names(Registry([*views, _table("t")])) == ["t", "b", "a"]
    circle = View("c", "s", "b", "SELECT * FROM c.s.a")
    assert "views go round: c.s.a → c.s.b → c.s.a" in _messages(Registry([views[0], circle]))


def test_an_earlier_name_that_is_declared_too_or_twice_is_refused() -> None:
    columns = [Column("id", parse_type("int"))]
    one = DeltaTable("c", "s", "a", columns, renamed_from="old")
    other = DeltaTable("c", "s", "b", columns, renamed_from="c.s.OLD")
    assert _messages(Registry([one, other])) == ["c.s.OLD is also the earlier name of c.s.a"]
    assert "declared, too" in _messages(Registry([one, DeltaTable("c", "s", "old", columns)]))[0]


def test_a_foreign_key_to_a_view_or_a_dropped_table_is_refused() -> None:
    for parent in (View("c", "s", "p", "SELECT 1"), DroppedTable("c", "s", "p")):
        assert _messages(Registry([_table("t", "p"), parent])) == [
            "c.s.p is declared, but is no table"
        ]


def test_parents_come_first_whatever_the_order_of_registration() -> None:
    tables = [_table("m"), _table("a", "z"), _table("z"), _table("b", "a", "m"), _table("y")]
    for order in itertools.permutations(tables):
        assert _names(Registry(order)) == ["m", "y", "z", "a", "b"]


def test_a_chain_of_ten_thousand_tables_is_put_in_order() -> None:
    tables = [_table("t00000")]
    tables += [_table(f"t{n:05}", f"t{n - 1:05}") for n in range(1, 10_000)]
    assert _names(Registry(reversed(tables))) == [f"t{n:05}" for n in range(10_000)]


def test_a_cycle_is_shown_and_a_table_may_refer_to_itself() -> None:
    assert _names(Registry([_table("self", "self")])) == ["self"]
    registry = Registry(
        [
            _table("a", "b"),
            _table("b", "c"),
            _table("c", "a"),
            _table("d", "a"),
            _table("x", "y"),
            _table("y", "x"),
        ]
    )
    assert _messages(registry) == [
        "foreign keys go round: c.s.a → c.s.b → c.s.c → c.s.a",
        "foreign keys go round: c.s.x → c.s.y → c.s.x",
    ]


def test_a_key_must_name_the_parents_primary_key_with_the_same_types() -> None:
    other = DeltaTable("c", "s", "other", [Column("x", parse_type("int"))])
    registry = Registry(
        [_table("p", kind="bigint"), _table("typed", "p"), other, _table("keyless", "other")]
    )
    assert _messages(registry) == [
        "the key does not name the primary key of c.s.other (nothing)",
        "types differ: p_id is int, c.s.p.id is bigint",
    ]


def test_parents_outside_of_the_registry_are_listed_once() -> None:
    registry = Registry([_table("a", "gone"), _table("b", "gone", "a")])
    assert registry.outsiders() == [TableName("c", "s", "gone")]
    assert _names(registry) == ["a", "b"]


def test_a_subset_is_made_of_declared_tables_only() -> None:
    registry = Registry([_table("a"), _table("b", "a")])
    subset = registry.subset([TableName.parse("C.S.B")])
    assert [t.name for t in subset] == ["b"]
    assert subset.outsiders() == [TableName("c", "s", "a")]
    with pytest.raises(SpecError, match=r"c\.s\.q"):
        registry.subset([TableName("c", "s", "q")])


def test_constraint_names_are_derived_legal_and_short_enough() -> None:
    table = _table("Orders", "customer")
    assert primary_key_name(table) == "pk_orders"
    assert (
        foreign_key_name(table.full_name, table.foreign_keys[0]) == "fk_orders_customer_id_customer"
    )
    named = ForeignKey(["customer_id"], "c.s.customer", name="mine")
    assert foreign_key_name(table.full_name, named) == "mine"
    long = [_table(f"{'x' * 250}{n}") for n in range(2)]
    names = {primary_key_name(each) for each in long}
    assert len(names) == 2
    assert max(map(len, names)) <= 255
    odd = {primary_key_name(_table(name)) for name in ("net-gross", "net_gross", "net+gross")}
    assert len(odd) == 3


def test_two_constraints_of_one_schema_may_not_get_the_same_name() -> None:
    columns = [Column("id", parse_type("int"), nullable=False), Column("b_c", parse_type("int"))]
    one = DeltaTable("c", "s", "a", columns, foreign_keys=[ForeignKey(["b_c"], "c.s.p")])
    columns = [Column("c", parse_type("int"))]
    two = DeltaTable("c", "s", "a_b", columns, foreign_keys=[ForeignKey(["c"], "c.s.p")])
    assert _messages(Registry([one, two, _table("p")])) == [
        "constraint name 'fk_a_b_c_p' is also made for c.s.a"
    ]
