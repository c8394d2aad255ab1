"""The few statements with which the local catalog tells Spark what there is. Pure.

Names and paths come from directory names, so every one goes through `ident` or `literal`.
"""

from __future__ import annotations

from pathlib import Path

from lakeflow_meta.sql import ident, literal


def create_database(database: str, place: Path, comment: str) -> str:
    """Register a schema's directory."""
    return _joined(
        "CREATE DATABASE IF NOT EXISTS", ident(database), "COMMENT", literal(comment), at(place)
    )


def drop_database(database: str) -> str:
    """Forget a schema whose directory is gone."""
    return _joined("DROP DATABASE IF EXISTS", ident(database), "CASCADE")


def create_delta_table(table: str, place: Path | str) -> str:
    """Register a Delta directory; ``table`` is quoted already."""
    return _joined("CREATE TABLE IF NOT EXISTS", table, "USING delta", at(place))


def drop_relation(relation: str, *, is_view: bool) -> str:
    """Forget a table that is external to Spark, or a view; ``relation`` is quoted already."""
    return _joined("DROP", "VIEW" if is_view else "TABLE", "IF EXISTS", relation)


def show_create_table(table: str) -> str:
    """Ask for the text that makes a table again; ``table`` is quoted already."""
    return _joined("SHOW CREATE TABLE", table)


def use_database(database: str) -> str:
    """Make a database current."""
    return _joined("USE", ident(database))


def rows_from_json(columns: str) -> str:
    """A query whose rows come from the parameter ``rows``; ``columns`` is ``a string, b int``."""
    fields = ", ".join(":".join(column.split()) for column in columns.split(","))
    return _joined("SELECT inline(from_json(:rows,", literal(f"array<struct<{fields}>>") + "))")


def at(place: Path | str) -> str:
    """The clause that says where files lie."""
    return _joined("LOCATION", literal(str(place)))


def _joined(*parts: str) -> str:
    return " ".join(parts)
