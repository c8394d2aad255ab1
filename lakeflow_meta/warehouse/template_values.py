"""What a template puts into its text: names and values, never bare text. Pure.

In a template of the canonical dialect a stand-in takes the place of each name and value. It is
replaced in the parsed tree, so no text of a caller is ever parsed as SQL. A template of one dialect
gets the final text at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from lakeflow_meta.errors import ConfigError
from lakeflow_meta.warehouse.dialects import (
    CANONICAL,
    Dialect,
    Value,
    check_name,
    identifier,
    literal,
)
from lakeflow_meta.warehouse.own_sql import checked_sql

if TYPE_CHECKING:
    from sqlglot import exp

_STAND_IN = "lakeflow_"


class SqlText(str):
    """Text that may stand in a statement as it is."""

    __slots__ = ()


class Fillings:
    """The names and values of one rendering. ``direct`` for a template of one dialect."""

    def __init__(self, dialect: Dialect, *, direct: bool) -> None:
        self._dialect = dialect
        self._direct = direct
        self._names: dict[str, str] = {}
        self._texts: dict[str, str] = {}

    def filters(self) -> Mapping[str, Any]:
        """The filters that templates use."""
        return {
            "ident": self.ident,
            "idents": self.idents,
            "literal": self.literal,
            "literals": self.literals,
            "equals": self.equals,
            "name_literal": self.name_literal,
            "sql_type": self.sql_type,
            "own_sql": self.own_sql,
        }

    def ident(self, name: str) -> SqlText:
        """One name, quoted."""
        check_name(name)
        if self._direct:
            return SqlText(identifier(name, self._dialect))
        stand_in = self._new()
        self._names[stand_in] = name
        return SqlText(f'"{stand_in}"')

    def idents(self, names: Iterable[str]) -> SqlText:
        """Several names, separated by commas."""
        return _joined("names", [self.ident(name) for name in _several(names)])

    def literal(self, value: Value) -> SqlText:
        """One value."""
        return self._text(literal(value, self._dialect))

    def literals(self, values: Iterable[Value]) -> SqlText:
        """Several values, separated by commas."""
        return _joined("values", [self.literal(value) for value in _several(values)])

    def equals(self, value: Value | Iterable[Value]) -> SqlText:
        """What follows a column that must have a value, or one of several; NULL is ``IS NULL``."""
        if value is None:
            return SqlText("IS NULL")
        if isinstance(value, list | tuple | set | frozenset):
            return SqlText(f"IN ({self.literals(value)})")
        return SqlText(f"= {self.literal(value)}")  # type: ignore[arg-type]  # no iterable but text

    def name_literal(self, name: str) -> SqlText:
        """A name as a value, as the catalog keeps it: Unity Catalog knows lower case only."""
        check_name(name)
        return self.literal(name.lower() if self._dialect is Dialect.DATABRICKS else name)

    def sql_type(self, text: str) -> SqlText:
        """A type, written in PostgreSQL's words. Raises ConfigError."""
        return SqlText(_type(text).sql(self._dialect if self._direct else CANONICAL))

    def own_sql(self, text: str) -> SqlText:
        """A query or condition that people wrote in the warehouse's own dialect, as it is."""
        return self._text(checked_sql(text, self._dialect))

    def _text(self, text: str) -> SqlText:
        if self._direct:
            return SqlText(text)
        stand_in = self._new()
        self._texts[stand_in] = text
        return SqlText(f":{stand_in}")

    def _new(self) -> str:
        return f"{_STAND_IN}{len(self._names) + len(self._texts)}"

    def replaced(self, tree: exp.Expr) -> exp.Expr:
        """The statement with names and values in the place of what stood in for them."""
        from sqlglot import exp

        def replace(node: exp.Expr) -> exp.Expr:
            if isinstance(node, exp.Identifier) and node.this in self._names:
                return exp.Identifier(this=self._names[node.this], quoted=True)
            if isinstance(node, exp.Placeholder) and node.this in self._texts:
                return exp.Var(this=self._texts[node.this])
            return node

        found: exp.Expr = tree.transform(replace)
        return found


def _several(items: Iterable[Any]) -> list[Any]:
    """Several, never the characters of one text."""
    if isinstance(items, str | bytes) or not isinstance(items, Iterable):
        raise ConfigError(f"a list is needed here, not {items!r}")
    return list(items)


def _joined(what: str, parts: list[SqlText]) -> SqlText:
    if not parts:
        raise ConfigError(f"a statement needs at least one of its {what}")
    return SqlText(", ".join(parts))


def _type(text: str) -> exp.Expr:
    """A type and nothing more: as that of a cast, where nothing may follow it."""
    import sqlglot
    from sqlglot import exp
    from sqlglot.errors import SqlglotError

    try:
        tree = sqlglot.parse_one(f"CAST(NULL AS {text})", read=CANONICAL)
    except SqlglotError as error:
        raise ConfigError(f"{text!r} is no type of SQL") from error
    if not isinstance(tree, exp.Cast) or not isinstance(tree.this, exp.Null):
        raise ConfigError(f"{text!r} is no type of SQL")
    return tree.to
