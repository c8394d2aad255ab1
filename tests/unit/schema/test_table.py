"""Declared tables: rules, immutability, and their form in YAML and JSON."""

from __future__ import annotations

import copy
import json
import pickle
from typing import Any

import pytest
from pydantic import ValidationError

from lakeflow_meta.errors import SpecError
from lakeflow_meta.findings import path_text, validation_findings
from lakeflow_meta.schema.table import (
    Column,
    Consent,
    DeltaTable,
    DroppedTable,
    ForeignKey,
    View,
)
from lakeflow_meta.schema.table_spec import TableSpec, definition
from lakeflow_meta.schema.type_text import parse_type

WHOLE: dict[str, Any] = {
    "table": "main.silver.orders",
    "module": "shop",
    "comment": "all orders",
    "columns": [
        {"name": "id", "type": "bigint", "comment": "key"},
        {"name": "customer_id", "type": "int"},
        {"name": "lines", "type": "array<struct<sku:string,count:int>>"},
        {"name": "day", "type": "date", "nullable": False},
    ],
    "primary_key": "id",
    "foreign_keys": [
        {
            "columns": "customer_id",
            "references": "main.silver.customers",
            "referenced_columns": ["id"],
        }
    ],
    "properties": {"delta.appendOnly": True, "my.number": 3},
    "cluster_by": ["day", "id"],
    "checks": {"positive": "id > 0"},
}


def _columns(*names: str) -> list[Column]:
    return [Column(name, parse_type("int")) for name in names]


def _problems(columns: list[Column], **more: Any) -> dict[str, str]:
    with pytest.raises(SpecError) as caught:
        DeltaTable("c", "s", "t", columns, **more)
    return {problem.path: problem.message for problem in caught.value.problems}


def _findings(**changes: Any) -> dict[str, str]:
    with pytest.raises(ValidationError) as caught:
        TableSpec.model_validate({**WHOLE, **changes})
    found = validation_findings(caught.value, TableSpec)
    return {path_text(finding.path): finding.message for finding in found}


def test_a_table_can_be_hashed_copied_and_pickled_but_not_changed() -> None:
    table = TableSpec.model_validate(WHOLE).to_table()
    assert copy.deepcopy(table) == table
    assert pickle.loads(pickle.dumps(table)) == table  # noqa: S301 - our own bytes
    assert {table: 1}[copy.copy(table)] == 1
    with pytest.raises(AttributeError):
        table.comment = "other"  # type: ignore[misc]  # what is tested
    with pytest.raises(TypeError):
        table.properties["x"] = "y"  # type: ignore[index]  # what is tested


def test_everything_wrong_with_a_table_is_said_at_once() -> None:
    found = _problems(
        [*_columns("a", "A", "b c"), Column("m", parse_type("map<int,int>"))],
        primary_key=["a", "zz"],
        clustered_by=["m", "a", "A", "b c", "q"],
        partitioned_by=["a"],
        properties={"owner": "me", "delta.constraints.x": "a > 1"},
        checks={"odd name": "a > 0", "open": "(a > 0", "two": "a > 0); DROP TABLE x; --"},
        foreign_keys=[ForeignKey(["nope"], "c.s.p"), ForeignKey(["a"], "c.s.p", ["x", "y"])],
    )
    assert found["columns[1].name"] == "column 'A' is declared twice"
    assert "character that Delta refuses" in found["columns[2].name"]
    assert set(found) == {
        "columns[1].name",
        "columns[2].name",
        "primary_key",
        "clustered_by",
        "properties.owner",
        "properties.delta.constraints.x",
        "checks.odd name",
        "checks.open",
        "checks.two",
        "foreign_keys[0].columns",
        "foreign_keys[1].referenced_columns",
    }


@pytest.mark.parametrize(
    ("more", "path"),
    [
        ({"primary_key": ["a"]}, "primary_key"),
        ({"partitioned_by": ["a", "b"]}, "partitioned_by"),
        ({"clustered_by": ["a", "a"]}, "clustered_by"),
        ({"clustered_by": ["A"]}, "clustered_by"),
        ({"properties": {"delta.minReaderVersion": "3"}}, "properties.delta.minReaderVersion"),
        ({"properties": {"delta.x": "1", "delta.X": "2"}}, "properties.delta.x"),
        ({"checks": {"c": " "}}, "checks.c"),
        ({"checks": {"c": "a > ${env:HOME}"}}, "checks.c"),
        ({"checks": {"c": "a > 0 -- b"}}, "checks.c"),
        ({"checks": {"c": "a = 'it"}}, "checks.c"),
    ],
)
def test_a_rule_that_is_broken_names_its_place(more: dict[str, Any], path: str) -> None:
    assert list(_problems(_columns("a", "b"), **more)) == [path]


@pytest.mark.parametrize("expression", ["a <> ';)'", "a IN (1, (2))", "`x(` > 0", 'a = "--"'])
def test_quotes_in_a_check_may_hold_anything(expression: str) -> None:
    assert DeltaTable("c", "s", "t", _columns("a"), checks={"c": expression}).checks


def test_special_characters_are_fine_with_column_mapping() -> None:
    mapping = {"delta.columnMapping.mode": "name"}
    assert DeltaTable("c", "s", "t", _columns("a b"), properties=mapping).columns


def test_not_null_inside_something_nullable_is_refused_as_delta_does() -> None:
    inner = parse_type("struct<a:int not null>")
    assert DeltaTable("c", "s", "t", [Column("x", inner, nullable=False)]).columns
    assert list(_problems([Column("x", inner)])) == ["columns[0].type"]
    deep = parse_type("array<struct<a:int not null>>")
    assert list(_problems([Column("x", deep, nullable=False)])) == ["columns[0].type"]


@pytest.mark.parametrize("name", ["", "a.b", "a b", "x" * 256])
def test_a_name_that_no_table_may_have_is_refused(name: str) -> None:
    with pytest.raises(SpecError):
        DeltaTable("c", "s", name, _columns("a"))


def test_a_text_in_place_of_a_list_of_columns_is_refused() -> None:
    with pytest.raises(TypeError, match="primary_key is a list of names"):
        DeltaTable("c", "s", "t", _columns("id"), primary_key="id")


def test_a_spec_and_its_recorded_definition_make_the_same_table() -> None:
    spec = TableSpec.model_validate(WHOLE)
    row = spec.row()
    assert row["table_name"] == "main.silver.orders"
    assert (row["module_name"], row["is_active"]) == ("shop", None)
    again = TableSpec.model_validate(
        {"table": row["table_name"], "module": "shop", **json.loads(row["definition"])}
    )
    assert again.to_table() == spec.to_table()
    assert again.row() == row
    assert definition(again.to_table())["properties"] == {
        "delta.appendOnly": "true",
        "my.number": "3",
    }


def test_columns_as_a_mapping_and_names_in_parts_say_the_same() -> None:
    parts = {k: v for k, v in WHOLE.items() if k != "table"}
    parts |= {"catalog": "main", "schema": "silver", "name": "orders"}
    parts["columns"] = {
        "id": {"type": "bigint", "comment": "key"},
        "customer_id": "INT",
        "lines": "array<struct<sku:string,count:int>>",
        "day": {"type": "date", "nullable": False},
    }
    assert TableSpec.model_validate(parts).row() == TableSpec.model_validate(WHOLE).row()


def test_columns_of_the_primary_key_are_not_null_unless_they_say_so() -> None:
    assert not TableSpec.model_validate(WHOLE).to_table().columns[0].nullable
    columns = [{"name": "id", "type": "int", "nullable": True}]
    found = _findings(columns=columns, foreign_keys=[], cluster_by=[])
    assert found == {"primary_key": "primary key column 'id' may be NULL"}


def test_findings_lead_to_the_place_in_the_document_that_was_given() -> None:
    rest = {"primary_key": [], "foreign_keys": [], "cluster_by": "q"}
    assert "columns[1].type" in _findings(
        columns=[*WHOLE["columns"][:1], {"name": "x", "type": "i"}]
    )
    assert list(_findings(columns={"a": "int", "b": "strng"})) == ["columns.b"]
    assert list(_findings(columns={"a": {"type": "strng"}})) == ["columns.a.type"]
    assert list(_findings(columns={"a b": "int"}, **rest)) == ["columns.a b", "cluster_by"]


@pytest.mark.parametrize(
    ("more", "path"),
    [
        (
            {"columns": {"a": {"type": "bigint", "default": 1, "identity": True}}},
            "columns.a.identity",
        ),
        ({"columns": {"a": {"type": "int", "identity": True}}}, "columns.a.identity"),
        ({"columns": {"a": {"type": "bigint", "identity": {"step": 0}}}}, "columns.a.identity"),
        ({"columns": {"a": {"type": "int", "generated": "(b"}}}, "columns.a.generated"),
        ({"columns": {"a": {"type": "int", "tags": {"a.b": "x"}}}}, "columns.a.tags.a.b"),
        ({"tags": {"x": "y" * 257}}, "tags.x"),
        ({"allow": ["drop_colum a"]}, "allow[0]"),
        ({"renamed_columns": {"old": "new"}}, "renamed_columns.old"),
        ({"renamed_columns": {"x.old": "a"}}, "renamed_columns.x.old"),
        ({"renamed_columns": {"old": "a", "older": "a"}}, "renamed_columns.older"),
        ({"renamed_from": "x.y"}, "renamed_from"),
        ({"renamed_from": "T"}, "renamed_from"),
        ({"renamed_from": "other.s.t"}, "renamed_from"),
        ({"location": "data/t"}, "location"),
        ({"cluster_by": "a.b"}, "cluster_by"),
        ({"properties": {"location": None}}, "properties.location"),
    ],
)
def test_what_is_wrong_with_a_declaration_is_told_at_its_place(
    more: dict[str, Any], path: str
) -> None:
    spec = {"table": "c.s.t", "columns": {"a": "int"}, **more}
    with pytest.raises(ValidationError) as caught:
        TableSpec.model_validate(spec)
    found = validation_findings(caught.value, TableSpec)
    assert [path_text(finding.path) for finding in found] == [path]


def test_renames_that_go_round_are_refused() -> None:
    columns = _columns("a", "b")
    found = _problems(columns, renamed_columns={"a": "b", "b": "a"})
    assert found == {"renamed_columns": "names go round: a → b → a"}
    assert DeltaTable("c", "s", "t", columns, renamed_columns={"x": "a", "a": "b"}).renamed_columns


def test_everything_that_can_be_declared_is_recorded_and_read_again() -> None:
    spec = TableSpec.model_validate(
        {
            "table": "c.s.t",
            "columns": {
                "id": {"type": "bigint", "identity": {"start": 5, "always": False}},
                "n": {"type": "int", "default": 0, "tags": {"pii": "no"}},
                "d": {"type": "date", "generated": "cast(ts as date)"},
                "ts": "timestamp",
                "s": "struct<x:varchar(3) comment 'it'>",
            },
            "properties": {"a": None, "b": 1},
            "tags": {"team": "x"},
            "location": "s3://b/t",
            "renamed_from": "before",
            "renamed_columns": {"s.y": "s.x"},
            "policy": "strict",
            "allow": "drop_column old",
            "cluster_by": ["s.x"],
        }
    )
    table = spec.to_table()
    assert isinstance(table, DeltaTable)
    assert table.columns[1].default == "0"
    assert table.absent_properties == ("a",)
    assert table.clustering_paths == (("s", "x"),)
    assert str(table.old_name) == "c.s.before"
    again = TableSpec.model_validate({"table": "c.s.t", **definition(table)})
    assert again.to_table() == table


def test_views_and_drops_are_declared_in_the_same_list_and_take_nothing_else() -> None:
    view = TableSpec.model_validate({"table": "c.s.v", "view": "SELECT 1 AS x\n", "comment": "c"})
    assert view.to_table() == View("c", "s", "v", "SELECT 1 AS x", "c")
    assert definition(view.to_table()) == {"view": "SELECT 1 AS x", "comment": "c"}
    drop = TableSpec.model_validate({"table": "c.s.v", "drop": True})
    assert drop.to_table() == DroppedTable("c", "s", "v")
    for spec in ({"view": "SELECT 1", "columns": {"a": "int"}}, {"drop": True, "comment": "x"}):
        with pytest.raises(ValidationError, match="takes no"):
            TableSpec.model_validate({"table": "c.s.v", **spec})
    for query in ("SELECT 1; SELECT 2", "SELECT 1;", "DROP TABLE x", "SELECT '${env:HOME}'", " "):
        with pytest.raises(ValidationError, match=r"view|\$|column"):
            TableSpec.model_validate({"table": "c.s.v", "view": query})


def test_a_word_allows_a_change_for_all_columns_or_for_one() -> None:
    columns = _columns("a")
    one = DeltaTable("c", "s", "t", columns, allow=["DROP_COLUMN  Memo"])
    assert one.allows(Consent.DROP_COLUMN, "memo")
    assert not one.allows(Consent.DROP_COLUMN, "other")
    assert not one.allows(Consent.BACKFILL, "memo")
    every = DeltaTable("c", "s", "t", columns, allow=["drop_column"])
    assert every.allows(Consent.DROP_COLUMN, "anything")


@pytest.mark.parametrize("unknown", ["default", "colums", "undeclared_columns"])
def test_what_this_version_does_not_know_is_refused_by_name(unknown: str) -> None:
    assert unknown in " ".join(_findings(**{unknown: "x"}))
