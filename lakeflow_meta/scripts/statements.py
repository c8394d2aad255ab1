"""The statements of a SQL script, as far as running them again needs to know. Pure.

A script that died in the middle goes on behind the statements that finished. What a session forgot
(`Kind.SESSION`) is done again; what stands in a transaction of the script's own is done again from
its beginning; and a script that fills temporary tables is done again as a whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from lakeflow_meta import sql, sql_tokens
from lakeflow_meta.fingerprint import content_hash
from lakeflow_meta.warehouse import postgres_split, postgres_tokens
from lakeflow_meta.warehouse.dialects import Dialect


class Kind(StrEnum):
    """What a statement does."""

    SESSION = "session"
    """Changes only the session: USE, SET, temporary views and functions, variables."""
    TEMPORARY_TABLE = "temporary table"
    """Makes rows that end with the session."""
    ROWS = "rows"
    """Writes rows of a table."""
    CREATE = "create"
    ADD = "add"
    """ALTER … ADD."""
    DROP = "drop"
    REPLACE = "replace"
    """ALTER … DROP or RENAME: what it names is gone afterwards."""
    BEGIN = "begin"
    END = "end"
    """The end of a transaction."""
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement. ``digest`` is the same whatever its comments and white space are."""

    text: str
    kind: Kind
    digest: str


def read_statements(body: str, dialect: str) -> tuple[Statement, ...]:
    """The statements of a script in order: of PostgreSQL, or by the rules of Spark."""
    postgres = dialect == Dialect.POSTGRES
    split = postgres_split.split_statements if postgres else sql.split_statements
    return tuple(_read(text, postgres=postgres) for text in split(body))


def _read(text: str, *, postgres: bool) -> Statement:
    found = list((postgres_tokens if postgres else sql_tokens).tokens(text))
    words = [token.word for token in found if token.kind is not sql_tokens.Kind.SYMBOL]
    digest = content_hash(" ".join(token.text for token in found).encode())[:16]
    return Statement(text, _kind(words, postgres=postgres), digest)


_OF_SESSION = frozenset(
    {"USE", "SET", "RESET", "DECLARE", "ADD", "CACHE", "UNCACHE", "PREPARE", "DEALLOCATE"}
    | {"DISCARD", "LISTEN", "UNLISTEN"}
)
_WRITES = frozenset({"INSERT", "MERGE", "UPDATE", "DELETE", "WITH", "FROM", "COPY"})
_TEMPORARY = frozenset({"TEMP", "TEMPORARY"})
_BEFORE_KIND = frozenset({"OR", "REPLACE", "GLOBAL", "LOCAL"})


def _kind(words: Sequence[str], *, postgres: bool) -> Kind:
    first, rest = words[0] if words else "", words[1:]
    if first in _OF_SESSION:
        return Kind.SESSION
    if first in _WRITES:
        return Kind.ROWS
    match first:
        case "CREATE" | "DROP":
            return _made_or_dropped(first, rest)
        case "ALTER":
            return _altered(rest)
        case "BEGIN" | "START" | "COMMIT" | "ROLLBACK" | "ABORT" | "END":
            return _of_transaction(first, rest, postgres=postgres)
    return Kind.OTHER


def _made_or_dropped(first: str, rest: Sequence[str]) -> Kind:
    behind = [word for word in rest[:5] if word not in _BEFORE_KIND]
    if behind and behind[0] in _TEMPORARY:
        is_table = "TABLE" in behind[1:2]
        return Kind.TEMPORARY_TABLE if is_table and first == "CREATE" else Kind.SESSION
    return Kind.CREATE if first == "CREATE" else Kind.DROP


def _altered(rest: Sequence[str]) -> Kind:
    action = next((word for word in rest[1:] if word in {"ADD", "DROP", "RENAME"}), "")
    if not action:
        return Kind.OTHER
    return Kind.ADD if action == "ADD" else Kind.REPLACE


def _of_transaction(first: str, rest: Sequence[str], *, postgres: bool) -> Kind:
    """In Spark, ``BEGIN … END`` is one statement, a block, and END is none."""
    second = rest[0] if rest else ""
    if first == "BEGIN":
        transaction = postgres or second in {"TRANSACTION", "WORK"}
        return Kind.BEGIN if transaction else Kind.OTHER
    if first == "START":
        return Kind.BEGIN if second == "TRANSACTION" else Kind.OTHER
    if first == "ROLLBACK" and "TO" in rest:
        return Kind.OTHER
    return Kind.END


def kept_after(statements: Sequence[Statement]) -> tuple[bool, ...]:
    """Of each statement, whether all that was done up to its end stays when the session ends."""
    if any(statement.kind is Kind.TEMPORARY_TABLE for statement in statements):
        return (False,) * len(statements)
    found, inside = [], False
    for statement in statements:
        if statement.kind in (Kind.BEGIN, Kind.END):
            inside = statement.kind is Kind.BEGIN
        found.append(not inside)
    return tuple(found)


_THERE_ALREADY = {
    Kind.CREATE: frozenset(
        {"TABLE_OR_VIEW_ALREADY_EXISTS", "SCHEMA_ALREADY_EXISTS", "CATALOG_ALREADY_EXISTS"}
        | {"ROUTINE_ALREADY_EXISTS", "VOLUME_ALREADY_EXISTS"}
        | {"42P07", "42P06", "42P04", "42710", "42723"}
    ),
    Kind.ADD: frozenset(
        {"FIELD_ALREADY_EXISTS", "CONSTRAINT_ALREADY_EXISTS", "DELTA_CONSTRAINT_ALREADY_EXISTS"}
        | {"42701", "42710", "42P16"}
    ),
    Kind.DROP: frozenset(
        {"TABLE_OR_VIEW_NOT_FOUND", "SCHEMA_NOT_FOUND", "CATALOG_NOT_FOUND"}
        | {"ROUTINE_NOT_FOUND", "VOLUME_NOT_FOUND"}
        | {"42P01", "3F000", "3D000", "42704", "42883"}
    ),
    Kind.REPLACE: frozenset(
        {"TABLE_OR_VIEW_NOT_FOUND", "UNRESOLVED_COLUMN", "FIELD_NOT_FOUND"}
        | {"CONSTRAINT_DOES_NOT_EXIST", "DELTA_CONSTRAINT_DOES_NOT_EXIST"}
        | {"42P01", "42703", "42704"}
    ),
}
"""Error conditions of Spark and Databricks, and SQLSTATEs of PostgreSQL.

https://docs.databricks.com/error-messages/error-classes
https://www.postgresql.org/docs/current/errcodes-appendix.html
"""


def says_done(kind: Kind, code: str) -> bool:
    """Whether an error says that the effect of such a statement is there already.

    True to be asked only of a statement that may have run before, with nobody left to tell.
    """
    return code in _THERE_ALREADY.get(kind, frozenset())
