"""Tables as the information schema of a catalog lists them: kind, tags, keys, and a stamp. Pure."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lakeflow_meta.fingerprint import canonical_json
from lakeflow_meta.names import TableName
from lakeflow_meta.ports import Row
from lakeflow_meta.schema.frozen_mapping import NOTHING, FrozenMapping
from lakeflow_meta.schema.live import LiveForeignKey, LiveKeys, LivePrimaryKey

Place = tuple[str, str]
"""Schema and table in lower case."""

_RECIPE = 1
"""Part of each stamp: a stamp that was made in another way is another number."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A table or view. ``kind`` and ``format`` are the catalog's words, e.g. MANAGED and DELTA.

    ``stamp`` has 63 bits. By lower-case name of the column: ``column_tags``, and ``full_types`` of
    those with CHAR or VARCHAR. ``keys`` None: a foreign key names a table that the user cannot see.
    """

    kind: str
    format: str
    comment: str
    stamp: int
    view_text: str = ""
    tags: FrozenMapping = NOTHING
    column_tags: Mapping[str, FrozenMapping] = field(default_factory=dict)
    full_types: Mapping[str, str] = field(default_factory=dict)
    keys: LiveKeys | None = None


def read_listing(catalog: str, rows: Mapping[str, Sequence[Row]]) -> dict[Place, Listed]:
    """Put the answers of `sql_catalog.CatalogQueries` together."""
    texts = {_place(row): row["view_definition"] or "" for row in rows["views"]}
    tags = _grouped(rows["table_tags"], "schema_name")
    column_tags = _grouped(rows["column_tags"], "schema_name")
    columns = _grouped(rows["columns"], "table_schema")
    keys = _Keys(catalog, rows["keys"])
    found: dict[Place, Listed] = {}
    for row in rows["tables"]:
        place = _place(row)
        facts = (
            dict(row),
            texts.get(place, ""),
            _sorted(tags[place]),
            _sorted(column_tags[place]),
            _sorted(columns[place]),
            keys.facts(place),
        )
        found[place] = Listed(
            row["table_type"],
            (row["data_source_format"] or "").upper(),
            row["comment"] or "",
            _stamp(facts),
            texts.get(place, ""),
            _tags(tags[place]),
            _tags_by_column(column_tags[place]),
            {row["column_name"].lower(): row["full_data_type"] for row in columns[place]},
            keys.of(place),
        )
    return found


def _place(row: Row, schema: str = "table_schema", name: str = "table_name") -> Place:
    return row[schema].lower(), row[name].lower()


def _grouped(rows: Iterable[Row], schema: str) -> defaultdict[Place, list[Row]]:
    groups: defaultdict[Place, list[Row]] = defaultdict(list)
    for row in rows:
        groups[_place(row, schema)].append(row)
    return groups


def _tags(rows: Iterable[Row]) -> FrozenMapping:
    return FrozenMapping({row["tag_name"]: row["tag_value"] or "" for row in rows})


def _tags_by_column(rows: Iterable[Row]) -> dict[str, FrozenMapping]:
    columns: defaultdict[str, list[Row]] = defaultdict(list)
    for row in rows:
        columns[row["column_name"].lower()].append(row)
    return {name: _tags(of_column) for name, of_column in columns.items()}


def _sorted(rows: Iterable[Row]) -> list[str]:
    """Rows as text, in an order that does not depend on the catalog's."""
    return sorted(canonical_json(dict(row)) for row in rows)


def _stamp(facts: Any) -> int:
    digest = hashlib.sha256(canonical_json([_RECIPE, facts]).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


class _Keys:
    """Primary and foreign keys, from a row for each of their columns."""

    def __init__(self, catalog: str, rows: Iterable[Row]) -> None:
        self._catalog = catalog
        constraints: defaultdict[Place, list[Row]] = defaultdict(list)
        for row in sorted(rows, key=lambda row: row["ordinal_position"]):
            constraints[_place(row, "constraint_schema", "constraint_name")].append(row)
        self._own: defaultdict[Place, list[list[Row]]] = defaultdict(list)
        self._inbound: defaultdict[Place, list[list[Row]]] = defaultdict(list)
        for _, columns in sorted(constraints.items()):
            self._own[_place(columns[0])].append(columns)
            if columns[0]["parent_table"] is not None:
                parent = _place(columns[0], "parent_schema", "parent_table")
                self._inbound[parent].append(columns)

    def facts(self, place: Place) -> list[list[str]]:
        """All that is known of the keys of a table, to be compared."""
        return [_sorted(columns) for columns in (*self._own[place], *self._inbound[place])]

    def of(self, place: Place) -> LiveKeys | None:
        """The keys of a table; its own foreign key to itself is not among ``referenced_by``."""
        foreign = [rows for rows in self._own[place] if rows[0]["constraint_type"] != "PRIMARY KEY"]
        if any(row["parent_table"] is None for rows in foreign for row in rows):
            return None
        primary = [rows for rows in self._own[place] if rows not in foreign]
        children = {_place(rows[0]): self._table(rows[0]) for rows in self._inbound[place]}
        return LiveKeys(
            LivePrimaryKey(_name(primary[0]), _columns(primary[0])) if primary else None,
            tuple(_foreign_key(rows) for rows in foreign),
            tuple(sorted(name for child, name in children.items() if child != place)),
        )

    def _table(self, row: Row) -> TableName:
        return TableName(self._catalog, row["table_schema"], row["table_name"])


def _foreign_key(rows: Sequence[Row]) -> LiveForeignKey:
    first = rows[0]
    parent = TableName(first["parent_catalog"], first["parent_schema"], first["parent_table"])
    return LiveForeignKey(_name(rows), _columns(rows), parent, _columns(rows, "parent_column"))


def _name(rows: Sequence[Row]) -> str:
    return str(rows[0]["constraint_name"])


def _columns(rows: Sequence[Row], named: str = "column_name") -> tuple[str, ...]:
    return tuple(row[named] for row in rows)
