import pytest

from lakeflow_meta.backends.local.spark import commands as c
from lakeflow_meta.backends.local.spark.dotted_names import items


def read(text: str) -> c.Command:
    return c.read_command(items(text))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("USE CATALOG dev", c.UseCatalog("dev")),
        ("set catalog `my cat`", c.UseCatalog("my cat")),
        ("USE main.silver", c.UseSchema(("main", "silver"))),
        ("USE SCHEMA silver;", c.UseSchema(("silver",))),
        ("USE DATABASE silver", c.UseSchema(("silver",))),
        ("USE catalog", c.UseSchema(("catalog",))),
        ("CREATE CATALOG IF NOT EXISTS dev", c.CreateCatalog("dev", True, "")),
        ("CREATE CATALOG dev MANAGED LOCATION 's3://x'", c.CreateCatalog("dev", False, "MANAGED")),
        ("DROP CATALOG IF EXISTS dev CASCADE", c.DropCatalog("dev", True, True)),
        ("SHOW CATALOGS LIKE 'd*'", c.ShowCatalogs("d*")),
        ("SHOW SCHEMAS", c.ShowSchemas("", "*")),
        ("SHOW DATABASES FROM main LIKE 's*'", c.ShowSchemas("main", "s*")),
        ("SHOW TABLES", c.ShowTables((), "*", False)),
        ("SHOW TABLES IN main.silver 'o*'", c.ShowTables(("main", "silver"), "o*", False)),
        ("SHOW VIEWS FROM silver", c.ShowTables(("silver",), "*", True)),
        ("CREATE OR REPLACE VIEW a.b.v AS SELECT 1", c.CreateView(("a", "b", "v"), True, False)),
        ("CREATE VIEW IF NOT EXISTS v (x) AS SELECT 1", c.CreateView(("v",), False, True)),
        ("ALTER VIEW v AS SELECT 2", c.AlterView(("v",), False)),
        ("ALTER VIEW v RENAME TO w", c.AlterView(("v",), True)),
        ("DROP VIEW IF EXISTS a.b.v", c.DropRelation(("a", "b", "v"), True)),
        ("/* x */ DROP TABLE t -- y", c.DropRelation(("t",), False)),
        ("ALTER TABLE a.b.t RENAME TO a.b.u", c.RenameTable(("a", "b", "t"), ("a", "b", "u"))),
        ("CREATE TABLE IF NOT EXISTS t (a INT)", c.CreateTable(("t",))),
        ("CREATE OR REPLACE TABLE t AS SELECT 1", c.CreateTable(("t",))),
        ("REPLACE TABLE t AS SELECT 1", c.CreateTable(("t",))),
        ("DESCRIBE EXTENDED t", c.Describe()),
        ("SHOW CREATE TABLE t", c.Describe()),
        ("BEGIN SELECT 1; END", c.Script()),
    ],
)
def test_a_statement_is_told_by_its_first_words(text: str, expected: c.Command) -> None:
    assert read(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        ";",
        "SELECT 1",
        "SET x = 1",
        "USE",
        "DROP",
        "DROP FUNCTION f",
        "CREATE TEMPORARY VIEW v AS SELECT 1",
        "CREATE OR REPLACE GLOBAL TEMP VIEW v AS SELECT 1",
        "CREATE FUNCTION f() RETURNS INT RETURN 1",
        "ALTER TABLE t ADD COLUMN a INT",
        "ALTER TABLE t RENAME COLUMN a TO b",
        "COMMENT ON TABLE t IS 'x'",
        "DESCRIBE HISTORY t",
        "SHOW FUNCTIONS",
        "'USE CATALOG dev'",
    ],
)
def test_everything_else_is_left_to_spark(text: str) -> None:
    assert read(text) == c.Other()


def test_schema_statements_say_where_the_name_stands() -> None:
    text = "CREATE SCHEMA IF NOT EXISTS main.silver COMMENT 'LOCATION'"
    command = read(text)
    assert isinstance(command, c.CreateSchema)
    assert text[command.use.start : command.use.end] == "main.silver"
    assert command.clause == ""


@pytest.mark.parametrize("clause", ["LOCATION '/x'", "COMMENT 'c' MANAGED LOCATION '/x'"])
def test_a_place_asked_for_a_schema_is_seen(clause: str) -> None:
    command = read(f"CREATE DATABASE s {clause}")
    assert isinstance(command, c.CreateSchema)
    assert command.clause == "LOCATION"


def test_cascade_is_seen() -> None:
    command = read("DROP SCHEMA IF EXISTS a.b CASCADE")
    assert isinstance(command, c.DropSchema)
    assert (command.use.parts, command.cascade) == (("a", "b"), True)
