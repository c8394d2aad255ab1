"""SQL templates: parameters by name, names and values that stay what they are, three dialects."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlglot
from hypothesis import example, given
from hypothesis import strategies as st
from sqlglot import exp

from lakeflow_meta.errors import ConfigError
from lakeflow_meta.warehouse.dialects import Dialect, dialect_of, identifier, literal
from lakeflow_meta.warehouse.sql_templates import SqlTemplates

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30)
PLACE = {"schema_name": "s", "table_name": "t"}
SAMPLE: dict[str, dict[str, Any]] = {
    "call_procedure": {"schema_name": "s", "procedure_name": "p", "arguments": [1, "a"]},
    "check_schema_exists": {"schema_name": "s"},
    "check_script_executed": {"script_id": "x"},
    "check_table_exists": PLACE,
    "create_ddl_log_table": {},
    "create_schema": {"schema_name": "s"},
    "create_table": {**PLACE, "columns": {"a": "bigint", "b": "numeric(18,2)"}, "required": ["a"]},
    "create_table_from_values": {**PLACE, "columns": ["a", "b"], "rows": [[1, "x"], [2, None]]},
    "delete_from_table": {**PLACE, "filters": {"a": 1, "b": None, "c": [1, 2]}},
    "drop_table": PLACE,
    "get_table_metadata": PLACE,
    "get_table_row_count": PLACE,
    "get_table_schema": PLACE,
    "insert_ddl_log": {
        "script_id": "x",
        "script_name": "n",
        "execution_status": "Success",
        "update_date": datetime(2025, 1, 31, 12, tzinfo=UTC),
    },
    "insert_row": {**PLACE, "values": {"a": 1, "b": "it's"}},
    "list_schemas": {},
    "list_tables": {"schema_name": "s"},
    "read_function": {"schema_name": "s", "function_name": "f", "arguments": [1]},
    "read_query": {"query": "SELECT 1 AS a; -- one", "columns": ["a"], "condition": "a > 0"},
    "read_table": {**PLACE, "columns": ["a"], "filters": {"a": 1}, "limit": 5},
    "rename_table": {**PLACE, "new_table_name": "u"},
    "truncate_table": PLACE,
    "vacuum_table": PLACE,
}
EVERYWHERE = SAMPLE.keys() - {"read_function", "vacuum_table"}


def one_line(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()


@pytest.mark.parametrize("dialect", Dialect)
def test_every_template_renders_to_what_its_dialect_parses(dialect: Dialect) -> None:
    templates = SqlTemplates(dialect)
    assert set(templates.names()) >= EVERYWHERE
    assert set(templates.names()) <= SAMPLE.keys()
    for name in templates.names():
        text = templates.render(name, **SAMPLE[name])
        assert "lakeflow_" not in text
        assert sqlglot.parse(text, read=dialect), name


@pytest.mark.parametrize(
    ("name", "postgres", "databricks", "tsql"),
    [
        (
            "create_schema",
            'CREATE SCHEMA IF NOT EXISTS "s"',
            "CREATE SCHEMA IF NOT EXISTS `s`",
            "IF SCHEMA_ID(N's') IS NULL EXEC(N'CREATE SCHEMA [s]')",
        ),
        (
            "create_table",
            'CREATE TABLE "s"."t" ("a" BIGINT NOT NULL, "b" DECIMAL(18, 2))',
            "CREATE TABLE `s`.`t` (`a` BIGINT NOT NULL, `b` DECIMAL(18, 2))",
            "CREATE TABLE [s].[t] ( [a] BIGINT NOT NULL, [b] NUMERIC(18, 2) )",
        ),
        (
            "read_table",
            'SELECT "a" FROM "s"."t" WHERE 1 = 1 AND "a" = 1 LIMIT 5',
            "SELECT `a` FROM `s`.`t` WHERE 1 = 1 AND `a` = 1 LIMIT 5",
            "SELECT TOP (5) [a] FROM [s].[t] WHERE 1 = 1 AND [a] = 1",
        ),
        (
            "rename_table",
            'ALTER TABLE "s"."t" RENAME TO "u"',
            "ALTER TABLE `s`.`t` RENAME TO `s`.`u`",
            "EXEC sp_rename N'[s].[t]', N'u'",
        ),
        (
            "insert_ddl_log",
            (
                'INSERT INTO "log".ddl_script_executions (script_id, script_name, execution_status,'
                " update_date) VALUES ('x', 'n', 'Success',"
                " CAST('2025-01-31 12:00:00+00:00' AS TIMESTAMPTZ))"
            ),
            (
                "INSERT INTO `log`.ddl_script_executions (script_id, script_name, execution_status,"
                " update_date) VALUES ('x', 'n', 'Success', TIMESTAMP '2025-01-31 12:00:00+00:00')"
            ),
            (
                "INSERT INTO [log].ddl_script_executions (script_id, script_name, execution_status,"
                " update_date) VALUES (N'x', N'n', N'Success',"
                " CAST('2025-01-31 12:00:00+00:00' AS DATETIMEOFFSET))"
            ),
        ),
        (
            "delete_from_table",
            'DELETE FROM "s"."t" WHERE "a" = 1 AND "b" IS NULL AND "c" IN (1, 2)',
            "DELETE FROM `s`.`t` WHERE `a` = 1 AND `b` IS NULL AND `c` IN (1, 2)",
            "DELETE FROM [s].[t] WHERE [a] = 1 AND [b] IS NULL AND [c] IN (1, 2)",
        ),
        (
            "read_query",
            'SELECT "a" FROM ( SELECT 1 AS a ) AS source WHERE ( a > 0 )',
            "SELECT `a` FROM ( SELECT 1 AS a ) AS source WHERE ( a > 0 )",
            "SELECT [a] FROM ( SELECT 1 AS a ) AS source WHERE ( a > 0 )",
        ),
    ],
)
def test_one_template_is_three_dialects(
    name: str, postgres: str, databricks: str, tsql: str
) -> None:
    found = [one_line(SqlTemplates(dialect).render(name, **SAMPLE[name])) for dialect in Dialect]
    assert found == [postgres, databricks, tsql]


def test_a_catalog_goes_before_the_schema_where_one_is_given() -> None:
    templates = SqlTemplates(Dialect.DATABRICKS)
    assert templates.render("drop_table", catalog_name="main", **PLACE) == (
        "DROP TABLE IF EXISTS `main`.`s`.`t`"
    )
    assert "FROM `main`.INFORMATION_SCHEMA.TABLES" in templates.render(
        "list_tables", catalog_name="main"
    )


# --- parameters


@pytest.mark.parametrize(
    ("name", "given_values", "said"),
    [
        ("create_schema", {}, "required parameters were not given: schema_name"),
        (
            "rename_table",
            {"schema_name": None},
            "required parameters were not given: new_table_name, schema_name, table_name",
        ),
        (
            "create_schema",
            {"schema_name": "s", "owner": "me", "name": "x"},
            r"unknown parameters: name, owner \(it takes: catalog_name, schema_name\)",
        ),
        ("create_schema", {"schema": "s"}, "not given: schema_name; unknown parameters: schema"),
        ("create_shema", {}, "no SQL template 'create_shema'.*create_schema"),
        ("create_schema", {"schema_name": ""}, "at least one character"),
        ("create_schema", {"schema_name": 7}, "a name is text"),
        ("create_schema", {"schema_name": "a\0b"}, "without NUL"),
        ("create_table", {**PLACE, "columns": {"a": "int; drop"}}, "is no type of SQL"),
        ("insert_row", {**PLACE, "values": {}}, "at least one of its names"),
        ("insert_row", {**PLACE, "values": {"a": object()}}, "a object cannot be a value"),
        ("insert_row", {**PLACE, "values": {"a": float("nan")}}, "NaN and infinities"),
        ("insert_row", {**PLACE, "values": {"a": datetime(2025, 1, 1)}}, "needs a zone"),  # noqa: DTZ001
        ("read_table", {**PLACE, "columns": "abc"}, "a list is needed here, not 'abc'"),
        ("read_query", {"query": "SELECT 1; DROP TABLE t"}, "more than one statement"),
        ("read_query", {"query": "SELECT 1) AS x, (SELECT 2"}, "closes that was not opened"),
        ("read_query", {"query": "SELECT (1"}, "is not closed"),
        ("read_query", {"query": " -- nothing"}, "no SQL in this text"),
    ],
)
def test_a_call_that_cannot_be_rendered_says_all_that_is_wrong(
    name: str, given_values: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        SqlTemplates(Dialect.POSTGRES).render(name, **given_values)


def test_parameters_of_a_template_can_be_asked_for() -> None:
    templates = SqlTemplates(Dialect.POSTGRES)
    assert templates.parameters("create_ddl_log_table") == ([], ["schema_name"])
    assert templates.parameters("create_table")[0] == ["columns", "schema_name", "table_name"]
    assert templates.parameters("read_query") == (["query"], ["columns", "condition", "order_by"])


# --- names and values


def written(found: exp.Identifier) -> str:
    """The name with the signs of a temporary table, which sqlglot takes off for T-SQL."""
    signs = "##" if found.args.get("global_") else "#" if found.args.get("temporary") else ""
    return signs + found.name


@given(name=TEXT.filter(bool), value=TEXT)
@example(name="#", value="")
@example(name="##x", value="")
def test_no_name_and_no_value_becomes_sql(name: str, value: str) -> None:
    for dialect in (Dialect.POSTGRES, Dialect.TSQL):
        text = SqlTemplates(dialect).render(
            "delete_from_table", schema_name=name, table_name=name, filters={name: value}
        )
        (tree,) = sqlglot.parse(text, read=dialect)
        assert isinstance(tree, exp.Delete)
        assert {written(found) for found in tree.find_all(exp.Identifier)} == {name}
        texts = (*tree.find_all(exp.Literal), *tree.find_all(exp.National))
        assert [found.name for found in texts][-1:] == [value] or "\\" in value


@given(name=TEXT.filter(bool))
def test_a_quoted_name_ends_where_it_should(name: str) -> None:
    ends = {Dialect.POSTGRES: '"', Dialect.DATABRICKS: "`", Dialect.TSQL: "]"}
    for dialect, end in ends.items():
        quoted = identifier(name, dialect)
        assert quoted[-1] == end
        assert quoted[1:-1].replace(end * 2, end) == name
        assert quoted[1:-1].count(end) == 2 * name.count(end)


@pytest.mark.parametrize(
    ("value", "postgres", "databricks", "tsql"),
    [
        (None, "NULL", "NULL", "NULL"),
        (True, "TRUE", "TRUE", "1"),
        (-5, "-5", "-5", "-5"),
        (0.1, "'0.1'::double precision", "0.1D", "0.1"),
        (Decimal("1.50"), "1.50", "1.50BD", "1.50"),
        ("it's", "'it''s'", "'it\\'s'", "N'it''s'"),
        ("a\\'b", "E'a\\\\''b'", "'a\\\\\\'b'", "N'a\\''b'"),
        ("${x} :y %s", "'${x} :y %s'", "'\\u0024{x} :y %s'", "N'${x} :y %s'"),
        (b"\x00\xff", "'\\x00ff'::bytea", "X'00ff'", "0x00ff"),
        (
            date(2025, 1, 31),
            "CAST('2025-01-31' AS DATE)",
            "DATE '2025-01-31'",
            "CAST('2025-01-31' AS DATE)",
        ),
    ],
)
def test_values_are_literals_of_each_dialect(
    value: Any, postgres: str, databricks: str, tsql: str
) -> None:
    assert [literal(value, dialect) for dialect in Dialect] == [postgres, databricks, tsql]


def test_an_unknown_dialect_is_told_with_those_that_are_known() -> None:
    with pytest.raises(
        ConfigError, match=r"Unsupported dialect: mysql.*postgres, databricks, tsql"
    ):
        dialect_of("mysql")
    assert dialect_of("TSQL") is Dialect.TSQL


# --- templates of one's own


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def test_a_template_of_ones_own_replaces_the_package_s(folder: Path) -> None:
    (folder / "drop_table.sql.jinja").write_text(
        "DROP TABLE {{ schema_name | ident }}.{{ table_name | ident }} CASCADE"
    )
    templates = SqlTemplates(Dialect.POSTGRES, folder)
    assert templates.render("drop_table", **PLACE) == 'DROP TABLE "s"."t" CASCADE'
    assert "create_schema" in templates.names()


def test_a_value_without_a_filter_is_refused_by_name(folder: Path) -> None:
    (folder / "bad.sql.jinja").write_text("SELECT {{ column }}")
    with pytest.raises(ConfigError, match=r"SQL template 'bad': '1; DROP' is put into the text"):
        SqlTemplates(Dialect.POSTGRES, folder).render("bad", column="1; DROP")


def test_what_cannot_be_translated_needs_a_file_of_its_dialect(folder: Path) -> None:
    (folder / "tidy.sql.jinja").write_text("REINDEX TABLE {{ table_name | ident }}")
    templates = SqlTemplates(Dialect.POSTGRES, folder)
    with pytest.raises(ConfigError, match=r"write it as tidy\.postgres\.sql\.jinja"):
        templates.render("tidy", table_name="t")
    (folder / "tidy.postgres.sql.jinja").write_text("REINDEX TABLE {{ table_name | ident }}")
    assert templates.render("tidy", table_name="t") == 'REINDEX TABLE "t"'
    (folder / "tidy.sql.jinja").unlink()
    with pytest.raises(ConfigError, match="no SQL template 'tidy' for dialect databricks"):
        SqlTemplates(Dialect.DATABRICKS, folder).render("tidy", table_name="t")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("SELECT {% if %}", r"broken\.sql\.jinja:1"),
        ("SELECT FROM WHERE {{ a | ident }}", "cannot be translated"),
        ("SELECT {{ a | quoted }}", "quoted"),
        ("{# nothing #}{% if a is defined %}{% endif %}", "cannot be translated"),
    ],
)
def test_a_broken_template_says_which_and_where(folder: Path, text: str, said: str) -> None:
    (folder / "broken.sql.jinja").write_text(text)
    with pytest.raises(ConfigError, match=said):
        SqlTemplates(Dialect.POSTGRES, folder).render("broken", a="x")
