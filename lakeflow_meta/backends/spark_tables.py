"""Tables of any Spark session on open-source Delta, read without their data.

Spark tells where a table lies, one cheap statement a table; what it is like is read from its log,
so its location has to be a directory of this machine. For the embedded workspace there is
`delta_log`, which needs no Spark at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from lakeflow_meta.backends.delta_log import table_at
from lakeflow_meta.errors import NotFoundError
from lakeflow_meta.names import TableName
from lakeflow_meta.paths import path_of_location, place_of
from lakeflow_meta.ports import SqlSession
from lakeflow_meta.schema.live import LiveView, TableState, Unreadable
from lakeflow_meta.sql_tables import describe_schema, describe_table, show_tables


class SparkTableReader:
    """A `ports.TableReader` over a session."""

    def __init__(self, session: SqlSession) -> None:
        self._session = session

    def describe(self, tables: Iterable[TableName]) -> Mapping[TableName, TableState]:
        """What stands at each name. Raises BackendError when Spark does not answer."""
        return {name: self._state(name) for name in dict.fromkeys(tables)}

    def tables_of(self, catalog: str, schema: str) -> list[TableName]:
        """Every table and view of a schema. Raises NotFoundError, BackendError."""
        rows = self._session.execute(show_tables(catalog, schema))
        names = [row["tableName"] for row in rows if not row["isTemporary"]]
        return [TableName(catalog, schema, name) for name in sorted(names)]

    def stamps(self, tables: Iterable[TableName]) -> Mapping[TableName, int]:  # noqa: ARG002 - none
        """None: a statement a table is what `describe` costs, too."""
        return {}

    def _state(self, name: TableName) -> TableState:
        try:
            facts = self._facts(name)
        except NotFoundError:
            return self._absent(name)
        if facts.get("Type") == "VIEW":
            return LiveView(name, facts.get("View Text", ""), facts.get("Comment", ""))
        if facts.get("Provider", "").lower() != "delta":
            reason = f"{name} is a table of {facts.get('Provider') or 'an unknown format'}"
            return Unreadable(reason, "declare another name", "not_delta")
        return _table(name, facts)

    def _facts(self, name: TableName) -> dict[str, str]:
        """The lines of DESCRIBE TABLE EXTENDED below the columns."""
        rows = self._session.execute(describe_table(name))
        lines = [(row["col_name"], row["data_type"]) for row in rows]
        start = next(at for at, (word, _) in enumerate(lines) if word.startswith("# Detailed"))
        return {word: text or "" for word, text in lines[start + 1 :]}

    def _absent(self, name: TableName) -> Unreadable | None:
        schema = f"{name.catalog}.{name.schema}"
        try:
            self._session.execute(describe_schema(name.catalog, name.schema))
        except NotFoundError:
            hint = f"make it first: CREATE SCHEMA IF NOT EXISTS {schema}"
            return Unreadable(f"schema {schema} does not exist", hint, "no_schema")
        return None


def _table(name: TableName, facts: Mapping[str, str]) -> TableState:
    location = facts.get("Location", "")
    path = path_of_location(location)
    if path is None:
        return Unreadable(f"{name} lies at {location or 'an unknown place'}, not on this machine")
    external = facts.get("Type") == "EXTERNAL"
    found = table_at(name, str(path), place_of(location) if external else "")
    return found or Unreadable(f"{name} lies at {location}, where no table is any more")
