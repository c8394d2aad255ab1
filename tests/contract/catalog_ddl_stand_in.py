"""Unity Catalog that runs DDL: what `sql_tables` makes, against the model of `CatalogStandIn`.

A strict reader of the grammar of the Databricks SQL reference: what it does not have is a syntax
error. What the pages refuse is an error with its condition. Where a page is silent the harder
reading is taken: removing a tag that is not there, or a column of a key, is an error.

https://docs.databricks.com/sql/language-manual/ below it: sql-ref-syntax-ddl-create-table-using,
-alter-table, -alter-table-manage-column, -alter-table-add-constraint, -alter-table-drop-constraint,
-create-view, -drop-table, -comment; https://docs.databricks.com/delta/type-widening.html,
/delta/column-mapping.html, /delta/clustering.html; conditions:
https://docs.databricks.com/error-messages/error-classes.html
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from contract.catalog_stand_in import CatalogStandIn, ForeignKey, Place, StandInTable
from contract.row_expressions import (
    UnresolvedColumnError,
    counted,
    paths_in,
    source_paths,
    table_of,
    value_of,
)

from lakeflow_meta.errors import BackendError
from lakeflow_meta.schema.table import Column, Identity
from lakeflow_meta.schema.type_text import parse_type
from lakeflow_meta.schema.types import (
    Array,
    Boolean,
    Char,
    DataType,
    Decimal,
    Map,
    Struct,
    StructField,
    UnknownTypeError,
    Varchar,
    nested_types,
)
from lakeflow_meta.sql import text_of_literal
from lakeflow_meta.sql_tokens import Kind, Token, names_in_query, tokens

Path = tuple[str, ...]
_T = TypeVar("_T")


def refused(condition: str, message: str = "") -> BackendError:
    """An error with its condition."""
    return BackendError(f"[{condition}] {message}", code=condition)


# --------------------------------------------------------------------------- the text


class Text:
    """A statement, read from the left; what does not fit is a syntax error."""

    def __init__(self, statement: str) -> None:
        self._statement = statement
        self._tokens = list(tokens(statement))
        self._at = 0

    def takes(self, phrase: str) -> bool:
        """Whether these words and signs come next; then they are behind us."""
        words = phrase.split()
        found = self._tokens[self._at : self._at + len(words)]
        if [token.word or token.text for token in found] != words:
            return False
        if any(token.kind is Kind.STRING or token.kind is Kind.QUOTED for token in found):
            return False
        self._at += len(words)
        return True

    def needs(self, phrase: str) -> None:
        if not self.takes(phrase):
            raise self.wrong(f"{phrase} is expected")

    def wrong(self, message: str) -> BackendError:
        at = self._next.start if self._more else len(self._statement)
        return refused("PARSE_SYNTAX_ERROR", f"{message} at {at} of {self._statement}")

    @property
    def _more(self) -> bool:
        return self._at < len(self._tokens)

    @property
    def _next(self) -> Token:
        if not self._more:
            raise self.wrong("more is expected")
        return self._tokens[self._at]

    def name(self) -> str:
        token = self._next
        if token.kind not in (Kind.WORD, Kind.QUOTED) or not token.name:
            raise self.wrong("a name is expected")
        self._at += 1
        return token.name

    def path(self) -> Path:
        parts = [self.name()]
        while self.takes("."):
            parts.append(self.name())
        return tuple(parts)

    def place(self) -> Place:
        path = self.path()
        if len(path) != 3:
            raise self.wrong("three names are expected")
        return path[0].lower(), path[1].lower(), path[2].lower()

    def string(self) -> str:
        token = self._next
        if token.kind is not Kind.STRING:
            raise self.wrong("a text is expected")
        self._at += 1
        return text_of_literal(token.text)

    def number(self) -> int:
        sign = -1 if self.takes("-") else 1
        return sign * int(self.name())

    def listed(self, one: Callable[[], _T]) -> list[_T]:
        self.needs("(")
        found = [one()]
        while self.takes(","):
            found.append(one())
        self.needs(")")
        return found

    def pairs(self) -> dict[str, str]:
        return dict(self.listed(self._pair))

    def _pair(self) -> tuple[str, str]:
        key = self.string()
        self.needs("=")
        return key, self.string()

    def type(self) -> DataType:
        start = self._next.start
        self._at += 1
        depth = 0
        while self._more and (depth or self._next.text in ("<", "(")):
            depth += (self._next.text in ("<", "(")) - (self._next.text in (">", ")"))
            self._at += 1
        text = self._statement[start : self._tokens[self._at - 1].end]
        try:
            return parse_type(text)
        except UnknownTypeError as error:
            raise refused("UNSUPPORTED_DATATYPE", str(error)) from error

    def inside(self) -> str:
        """An expression in parentheses."""
        self.needs("(")
        text = self.expression()
        self.needs(")")
        return text

    def expression(self, *stops: str) -> str:
        """Up to a comma, a closing parenthesis or a word of ``stops``, outside of parentheses."""
        start, depth, end = self._next.start, 0, self._next.start
        while self._more:
            token = self._next
            if depth == 0 and (token.text in (",", ")") or token.word in stops):
                break
            depth += (token.text == "(") - (token.text == ")")
            end = token.end
            self._at += 1
        if end == start:
            raise self.wrong("an expression is expected")
        return self._statement[start:end]

    def rest(self) -> str:
        text = self._statement[self._next.start :]
        self._at = len(self._tokens)
        return text

    def ends(self) -> None:
        if self._more:
            raise self.wrong("nothing is expected")


# --------------------------------------------------------------------------- the model


@dataclass
class DdlTable(StandInTable):
    """A table that DDL changes: what the reader sees is made of ``shape`` and its like anew."""

    shape: list[Column] = field(default_factory=list)
    own: dict[str, str] = field(default_factory=dict)
    checks: dict[str, str] = field(default_factory=dict)
    features: set[str] = field(default_factory=lambda: {"appendOnly", "invariants"})
    clustered: list[Path] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)
    governed: set[str] = field(default_factory=set)
    """Keys of governed tags: a column that has one cannot be dropped."""

    def show(self) -> None:
        """Tell the reader."""
        self.columns = [_entry(column) for column in self.shape]
        kinds = {column.name: str(column.data_type) for column in self.shape}
        self.full_types = {name: kind for name, kind in kinds.items() if "char(" in kind}
        self.clustered_by = [".".join(_shown(part) for part in path) for path in self.clustered]
        self.properties = {
            **self.own,
            **{f"delta.constraints.{name}": text for name, text in self.checks.items()},
            **{f"delta.feature.{name}": "supported" for name in self.features},
            "delta.minReaderVersion": "3",
            "delta.minWriterVersion": "7",
        }
        columns = ",\n  ".join(_created(column) for column in self.shape)
        self.create = f"CREATE TABLE t (\n  {columns})\nUSING delta\n"

    def property(self, key: str) -> str:
        return next((v.lower() for k, v in self.own.items() if k.lower() == key.lower()), "")

    def index(self, name: str) -> int:
        """The place of a column, found without regard to case."""
        for index, column in enumerate(self.shape):
            if column.name.lower() == name.lower():
                return index
        raise refused("UNRESOLVED_COLUMN.WITH_SUGGESTION", name)

    def column(self, name: str) -> Column:
        return self.shape[self.index(name)]


def _shown(part: str) -> str:
    return part if part.isidentifier() else f"`{part.replace('`', '``')}`"


def _created(column: Column) -> str:
    parts = [f"`{column.name.replace('`', '``')}`", str(column.data_type).upper()]
    if column.generated:
        parts.append(f"GENERATED ALWAYS AS ( {column.generated} )")
    if column.identity is not None:
        how = "ALWAYS" if column.identity.always else "BY DEFAULT"
        steps = f"START WITH {column.identity.start} INCREMENT BY {column.identity.step}"
        parts.append(f"GENERATED {how} AS IDENTITY ({steps})")
    return " ".join(parts)


def _entry(column: Column) -> dict[str, Any]:
    entry = {"name": column.name, "type": _json(column.data_type), "nullable": column.nullable}
    entry |= {"comment": column.comment} if column.comment else {}
    return entry | ({"default": column.default} if column.default else {})


def _json(kind: DataType) -> dict[str, Any]:
    """As Spark's DescribeRelationJsonCommand writes types; texts have no lengths there."""
    match kind:
        case Array(element):
            return {"name": "array", "element_type": _json(element), "element_nullable": True}
        case Map(key, value):
            inner = {"key_type": _json(key), "value_type": _json(value)}
            return {"name": "map", **inner, "value_nullable": True}
        case Struct(fields):
            return {"name": "struct", "fields": [_entry(_as_column(one)) for one in fields]}
        case Decimal(precision, scale):
            return {"name": "decimal", "precision": precision, "scale": scale}
        case Char() | Varchar():
            return {"name": "string", "collation": "UTF8_BINARY"}
        case _:
            return {"name": str(kind)}


def _as_column(one: StructField) -> Column:
    return Column(one.name, one.data_type, one.nullable, one.comment)


# --------------------------------------------------------------------------- fields


def _at(fields: list[Any], name: str) -> int:
    for index, one in enumerate(fields):
        if one.name.lower() == name.lower():
            return index
    raise refused("UNRESOLVED_COLUMN.WITH_SUGGESTION", name)


def edited(fields: list[Any], path: Path, change: Callable[[list[Any], int], None]) -> list[Any]:
    """The same fields with one changed; ``change`` is given the list that has it, and its place."""
    found = list(fields)
    index = _at(found, path[0])
    if len(path) == 1:
        change(found, index)
    else:
        found[index] = replace(
            found[index], data_type=_edited(found[index].data_type, path[1:], change)
        )
    return found


def _edited(kind: DataType, path: Path, change: Callable[[list[Any], int], None]) -> DataType:
    match kind:
        case Struct(fields):
            return Struct(edited(list(fields), path, change))
        case Array(element):
            return Array(_edited_inner("element", element, path, change))
        case Map(key, value) if path[0].lower() == "key":
            return Map(_edited_inner("key", key, path, change), value)
        case Map(key, value):
            return Map(key, _edited_inner("value", value, path, change))
        case _:
            raise refused("UNRESOLVED_COLUMN.WITH_SUGGESTION", ".".join(path))


def _edited_inner(
    step: str, kind: DataType, path: Path, change: Callable[[list[Any], int], None]
) -> DataType:
    if path[0].lower() != step:
        raise refused("UNRESOLVED_COLUMN.WITH_SUGGESTION", ".".join(path))
    if len(path) > 1:
        return _edited(kind, path[1:], change)
    alone = [StructField(step, kind)]
    change(alone, 0)
    return alone[0].data_type


def kind_at(fields: list[Any], path: Path) -> DataType:
    """The type of a column or field, or of what an array or a map holds."""
    found: list[DataType] = []
    edited(fields, path, lambda inner, index: found.append(inner[index].data_type))
    return found[0]


def _in_rows(
    rows: list[dict[str, Any]], path: Path, change: Callable[[dict[str, Any]], None]
) -> None:
    """Change the mapping that holds what a path leads to; arrays and maps are left alone."""
    for row in rows:
        value: Any = row
        for step in path[:-1]:
            value = value.get(step.lower()) if isinstance(value, dict) else None
        if isinstance(value, dict):
            change(value)


# https://docs.databricks.com/delta/type-widening.html#supported-type-changes
_WIDER = {
    "tinyint": {"smallint", "int", "bigint", "double"},
    "smallint": {"int", "bigint", "double"},
    "int": {"bigint", "double"},
    "float": {"double"},
    "date": {"timestamp_ntz"},
}
_LEAST_DIGITS = {"tinyint": 10, "smallint": 10, "int": 10, "bigint": 20}


def widens(old: DataType, new: DataType) -> bool:
    """Whether the page lists the change."""
    if isinstance(new, Decimal):
        if isinstance(old, Decimal):
            more = new.scale - old.scale
            return more >= 0 and new.precision - old.precision >= more
        digits = _LEAST_DIGITS.get(str(old))
        return digits is not None and new.precision - new.scale >= digits
    return str(new) in _WIDER.get(str(old), set())


def loosens(old: DataType, new: DataType) -> bool:
    """Longer texts are no other type for Delta; a void becomes anything that is flat."""
    if isinstance(old, Char | Varchar) and str(new) == "string":
        return True
    if isinstance(old, Char | Varchar) and isinstance(new, Varchar):
        return new.length >= old.length
    return str(old) == "void" and not isinstance(new, Array | Map | Struct)


_OF_TYPES = {"timestamp_ntz": "timestampNtz", "variant": "variantType"}
_OF_PROPERTIES = {
    ("delta.columnmapping.mode", "name"): "columnMapping",
    ("delta.columnmapping.mode", "id"): "columnMapping",
    ("delta.enabletypewidening", "true"): "typeWidening",
    ("delta.enablechangedatafeed", "true"): "changeDataFeed",
    ("delta.enabledeletionvectors", "true"): "deletionVectors",
}


def _features_of(kind: DataType) -> set[str]:
    return {_OF_TYPES[str(one)] for one in nested_types(kind) if str(one) in _OF_TYPES}


# --------------------------------------------------------------------------- the catalog


class CatalogDdlStandIn(CatalogStandIn):
    """Also runs DDL; ``before`` sees each statement before it runs, ``after`` when it has run."""

    def __init__(self, *schemas: str) -> None:
        super().__init__()
        for schema in schemas:
            catalog, name = schema.split(".")
            self.schemas.add((catalog, name))
        self.before: Callable[[str], None] = lambda _: None
        self.after: Callable[[str], None] = lambda _: None
        self.changes: list[str] = []
        self._one_at_a_time = threading.RLock()
        self._moment = datetime(2026, 1, 1, tzinfo=UTC)

    def table(self, name: str) -> DdlTable:
        """A table ``catalog.schema.name``."""
        catalog, schema, last = name.lower().split(".")
        found = self.tables[catalog, schema, last]
        assert isinstance(found, DdlTable)
        return found

    def insert(self, name: str, *rows: Mapping[str, Any]) -> None:
        """Add rows as INSERT would: NOT NULL and checks hold."""
        table = self.table(name)
        for given in rows:
            row = {c.name.lower(): given.get(c.name.lower()) for c in table.shape}
            assert row.keys() >= given.keys()
            _check_row(table, row)
            table.rows.append(row)

    def snapshot(self, name: str) -> Any:
        """All that DDL can change of a table, to be compared; None where there is none."""
        catalog, schema, last = name.lower().split(".")
        table = self.tables.get((catalog, schema, last))
        if not isinstance(table, DdlTable):
            return None if table is None else (table.view_text, table.comment)
        return repr(replace(table, last_altered=""))

    def run(self, *statements: str) -> None:
        """Run statements of a test, without telling of them."""
        for statement in statements:
            with self._one_at_a_time:
                self._change(statement)

    def _run(self, statement: str, parameters: dict[str, Any]) -> list[dict[str, Any]]:
        if not statement.startswith(
            ("CREATE", "ALTER", "COMMENT", "DROP", "UPDATE", "SELECT count")
        ):
            with self._one_at_a_time:
                return super()._run(statement, parameters)
        if statement.startswith("SELECT count"):
            with self._one_at_a_time:
                return [self._counted(statement)]
        self.before(statement)
        with self._one_at_a_time:
            self._change(statement)
            self.changes.append(statement)
        self.after(statement)
        return []

    def _counted(self, query: str) -> dict[str, Any]:
        table = self._delta(_lowered(table_of(query)))
        for path in source_paths(query):
            kind_at(list(table.shape), path)
        try:
            return counted(query, table.rows)
        except UnresolvedColumnError as error:
            raise refused("UNRESOLVED_COLUMN.WITH_SUGGESTION", str(error)) from error

    # --- statements

    def _change(self, statement: str) -> None:
        text = Text(statement)
        if text.takes("CREATE TABLE"):
            self._create_table(text, if_absent=text.takes("IF NOT EXISTS"))
        elif text.takes("CREATE OR REPLACE VIEW"):
            self._create_view(text)
        elif text.takes("DROP TABLE"):
            self._drop_table(text)
        elif text.takes("COMMENT ON TABLE"):
            self._comment(text)
        elif text.takes("UPDATE"):
            self._update(text)
        else:
            text.needs("ALTER TABLE")
            self._alter(text)

    def _delta(self, place: Place) -> DdlTable:
        found = self._table(place)
        if not isinstance(found, DdlTable):
            raise refused("EXPECT_TABLE_NOT_VIEW.NO_ALTERNATIVE", ".".join(place))
        return found

    def _altered(self, table: StandInTable) -> None:
        self._moment += timedelta(milliseconds=1)
        table.last_altered = self._moment.isoformat()
        if isinstance(table, DdlTable):
            table.show()

    def _create_table(self, text: Text, *, if_absent: bool) -> None:
        place = text.place()
        table = DdlTable(location=f"s3://managed/{'/'.join(place)}")
        table.shape = text.listed(lambda: _definition(text))
        text.needs("USING DELTA")
        given = _clauses(text)
        self._described_schema(*place[:2])
        if place in self.tables:
            if if_absent:
                return
            raise refused("TABLE_OR_VIEW_ALREADY_EXISTS", ".".join(place))
        _build(table, given)
        self.tables[place] = table
        self._altered(table)

    def _create_view(self, text: Text) -> None:
        place = text.place()
        comment = text.string() if text.takes("COMMENT") else None
        text.needs("AS")
        query = text.rest()
        for name in names_in_query(query):
            self._table(_lowered(name))
        self._described_schema(*place[:2])
        if isinstance(self.tables.get(place), DdlTable):
            raise refused("EXPECT_VIEW_NOT_TABLE.NO_ALTERNATIVE", ".".join(place))
        view = StandInTable(kind="VIEW", view_text=query, comment=comment)
        self.tables[place] = view
        self._altered(view)

    def _drop_table(self, text: Text) -> None:
        """ "Any foreign key constraints referencing the table are also dropped." """
        place = text.place()
        text.ends()
        self._delta(place)
        self._drop_keys_to(place)
        del self.tables[place]

    def _drop_keys_to(self, place: Place) -> None:
        for table in self.tables.values():
            left = [key for key in table.foreign_keys if key.parent != place]
            if len(left) < len(table.foreign_keys):
                table.foreign_keys = left
                self._altered(table)

    def _comment(self, text: Text) -> None:
        table = self._delta(text.place())
        text.needs("IS")
        table.comment = text.string() or None
        text.ends()
        self._altered(table)

    def _update(self, text: Text) -> None:
        """UPDATE t SET c = e WHERE c IS NULL; checks and NOT NULL hold for every row."""
        table = self._delta(text.place())
        text.needs("SET")
        column = table.column(text.name())
        text.needs("=")
        value = text.expression("WHERE")
        text.needs("WHERE")
        condition = text.rest()
        key = column.name.lower()
        updated = [
            {**row, key: value_of(value, row)} if value_of(condition, row) is True else row
            for row in table.rows
        ]
        for row in updated:
            _check_row(table, row)
        table.rows = updated

    def _alter(self, text: Text) -> None:
        place = text.place()
        table = self._delta(place)
        if text.takes("RENAME TO"):
            self._rename_table(place, text)
        elif text.takes("ADD CONSTRAINT"):
            self._add_constraint(place, table, text)
        elif text.takes("DROP CONSTRAINT IF EXISTS"):
            self._drop_constraint(table, text)
        elif text.takes("DROP PRIMARY KEY IF EXISTS CASCADE"):
            text.ends()
            self._drop_primary_key(place, table)
        elif text.takes("RENAME COLUMN"):
            self._rename_column(place, table, text)
        elif text.takes("ALTER COLUMN"):
            self._alter_column(table, text)
        elif text.takes("DROP COLUMNS"):
            self._drop_columns(table, text)
        else:
            _alter_table(table, text)
        self._altered(table)

    def _rename_table(self, place: Place, text: Text) -> None:
        """ "Renames the table within the same schema." Keys stay, those of children too."""
        new = text.place()
        text.ends()
        if new[:2] != place[:2]:
            raise refused("UC_RENAME_ACROSS_SCHEMAS", ".".join(new))
        if new in self.tables:
            raise refused("TABLE_OR_VIEW_ALREADY_EXISTS", ".".join(new))
        self.tables[new] = self.tables.pop(place)
        for table in self.tables.values():
            for key in table.foreign_keys:
                key.parent = new if key.parent == place else key.parent

    # --- constraints

    def _add_constraint(self, place: Place, table: DdlTable, text: Text) -> None:
        name = text.name()
        if text.takes("CHECK"):
            _add_check(table, name, text.inside())
        elif text.takes("PRIMARY KEY"):
            self._add_primary_key(place, table, name.lower(), text.listed(text.name))
        else:
            text.needs("FOREIGN KEY")
            columns = text.listed(text.name)
            text.needs("REFERENCES")
            parent = text.place()
            self._add_foreign_key(
                place, table, name.lower(), columns, parent, text.listed(text.name)
            )
        text.ends()

    def _take_name(self, place: Place, name: str) -> None:
        """Names of keys are unique in a schema, and kept in lower case (observed on workspaces)."""
        for other, table in self.tables.items():
            names = {key.name for key in table.foreign_keys}
            names |= {table.primary_key[0]} if table.primary_key else set()
            if other[:2] == place[:2] and name in names:
                raise refused("CONSTRAINT_ALREADY_EXISTS", f"{name} in {'.'.join(other)}")

    def _add_primary_key(
        self, place: Place, table: DdlTable, name: str, columns: list[str]
    ) -> None:
        self._take_name(place, name)
        if table.primary_key is not None:
            raise refused("PRIMARY_KEY_ALREADY_EXISTS", ".".join(place))
        for column in columns:
            if _exactly(table, column).nullable:
                raise refused("PRIMARY_KEY_COLUMN_NULLABLE", column)
        table.primary_key = (name, tuple(columns))

    def _add_foreign_key(
        self,
        place: Place,
        table: DdlTable,
        name: str,
        columns: list[str],
        parent: Place,
        referenced: list[str],
    ) -> None:
        self._take_name(place, name)
        other = self._delta(parent)
        primary = other.primary_key[1] if other.primary_key else ()
        if sorted(primary) != sorted(referenced) or len(columns) != len(referenced):
            raise refused("FOREIGN_KEY_PARENT_NOT_A_KEY", f"{referenced} of {'.'.join(parent)}")
        for column, remote in zip(columns, referenced, strict=True):
            local, far = _exactly(table, column), _exactly(other, remote)
            if str(local.data_type) != str(far.data_type):
                raise refused("FOREIGN_KEY_TYPES_DIFFER", f"{local} {far}")
        # "Two foreign keys cannot share an identical set of foreign key columns."
        if any(sorted(key.columns) == sorted(columns) for key in table.foreign_keys):
            raise refused("FOREIGN_KEY_ALREADY_EXISTS", str(columns))
        positions = tuple(primary.index(remote) + 1 for remote in referenced)
        table.foreign_keys = [
            *table.foreign_keys,
            ForeignKey(name, tuple(columns), parent, positions),
        ]

    def _drop_constraint(self, table: DdlTable, text: Text) -> None:
        """Case matters (observed): another spelling drops nothing. A key without CASCADE stays."""
        name = text.name()
        text.ends()
        table.foreign_keys = [key for key in table.foreign_keys if key.name != name]
        table.checks.pop(name.lower(), None)
        if table.primary_key is not None and table.primary_key[0] == name:
            raise refused("PRIMARY_KEY_DROPPED_BY_NAME", "the engine never does")

    def _drop_primary_key(self, place: Place, table: DdlTable) -> None:
        if table.primary_key is not None:
            table.primary_key = None
            self._drop_keys_to(place)

    # --- columns

    def _rename_column(self, place: Place, table: DdlTable, text: Text) -> None:
        """Keys that use the column are dropped without a word (observed), those of children too."""
        path = text.path()
        text.needs("TO")
        name = text.name()
        text.ends()
        if table.property("delta.columnMapping.mode") not in ("name", "id"):
            raise refused("DELTA_UNSUPPORTED_RENAME_COLUMN.ENABLE_COLUMN_MAPPING")
        _no_dependents(table, path)
        _no_such_field(table, (*path[:-1], name))
        kind_at(list(table.shape), path)

        def change(fields: list[Any], index: int) -> None:
            fields[index] = replace(fields[index], name=name)

        def change_row(row: dict[str, Any]) -> None:
            items = list(row.items())
            row.clear()
            row.update({name.lower() if k == path[-1].lower() else k: v for k, v in items})

        _in_rows(table.rows, path, change_row)
        table.shape = edited(table.shape, path, change)
        table.clustered = [_moved(one, path, name) for one in table.clustered]
        if len(path) == 1:
            self._rename_whole(place, table, path[0], name)

    def _rename_whole(self, place: Place, table: DdlTable, old: str, name: str) -> None:
        key = old.lower()
        table.partitioned_by = [name if c.lower() == key else c for c in table.partitioned_by]
        tags = table.column_tags
        table.column_tags = {name if c.lower() == key else c: t for c, t in tags.items()}
        keys = table.foreign_keys
        table.foreign_keys = [k for k in keys if key not in map(str.lower, k.columns)]
        if table.primary_key and key in map(str.lower, table.primary_key[1]):
            self._drop_primary_key(place, table)

    def _alter_column(self, table: DdlTable, text: Text) -> None:
        """One column a statement: several need a recent runtime."""
        path = text.path()
        kind = kind_at(list(table.shape), path)
        if text.takes("SET TAGS"):
            name = _whole(table, path).name
            table.column_tags.setdefault(name, {}).update(_tags(text.pairs()))
        elif text.takes("UNSET TAGS"):
            _untag(table.column_tags.get(_whole(table, path).name, {}), text.listed(text.string))
        elif text.takes("TYPE"):
            _change_type(table, path, kind, text.type())
        elif text.takes("COMMENT"):
            _replaced(table, path, comment=text.string())
        elif text.takes("SET NOT NULL"):
            _set_not_null(table, path)
        elif text.takes("DROP NOT NULL"):
            _refuse_key(table, path, "PRIMARY KEY")
            _replaced(table, path, nullable=True)
        elif text.takes("SET DEFAULT"):
            _set_default(table, path, text.rest())
        elif text.takes("DROP DEFAULT"):
            _whole(table, path)
            _replaced(table, path, default="")
        elif text.takes("FIRST"):
            _place_at(table, path, None)
        else:
            text.needs("AFTER")
            _place_at(table, path, text.name())
        text.ends()

    def _drop_columns(self, table: DdlTable, text: Text) -> None:
        paths = text.listed(text.path)
        text.ends()
        if table.property("delta.columnMapping.mode") not in ("name", "id"):
            raise refused("DELTA_UNSUPPORTED_DROP_COLUMN")
        for path in paths:
            _drop_column(table, path)


def _lowered(path: tuple[str, str, str]) -> Place:
    return path[0].lower(), path[1].lower(), path[2].lower()


# --------------------------------------------------------------------------- CREATE TABLE


def _definition(text: Text) -> Column:
    """``column_identifier column_type [column_properties]``."""
    column = Column(text.name(), text.type())
    while True:
        if text.takes("NOT NULL"):
            column = replace(column, nullable=False)
        elif text.takes("GENERATED ALWAYS AS IDENTITY"):
            column = replace(column, identity=_identity(text, always=True))
        elif text.takes("GENERATED BY DEFAULT AS IDENTITY"):
            column = replace(column, identity=_identity(text, always=False))
        elif text.takes("GENERATED ALWAYS AS"):
            column = replace(column, generated=text.inside())
        elif text.takes("DEFAULT"):
            column = replace(column, default=text.expression("COMMENT"))
        elif text.takes("COMMENT"):
            column = replace(column, comment=text.string())
        else:
            return column


def _identity(text: Text, *, always: bool) -> Identity:
    text.needs("( START WITH")
    start = text.number()
    text.needs("INCREMENT BY")
    step = text.number()
    text.needs(")")
    return Identity(start, step, always)


def _clauses(text: Text) -> dict[str, Any]:
    given: dict[str, Any] = {}
    readers: dict[str, Callable[[], Any]] = {
        "COMMENT": text.string,
        "TBLPROPERTIES": text.pairs,
        "PARTITIONED BY": lambda: text.listed(text.name),
        "CLUSTER BY": lambda: text.listed(text.path),
        "LOCATION": text.string,
    }
    while clause := next((word for word in readers if text.takes(word)), ""):
        if clause in given:
            raise text.wrong(f"{clause} stands twice")
        given[clause] = readers[clause]()
    text.ends()
    return given


def _build(table: DdlTable, given: dict[str, Any]) -> None:
    names = [column.name.lower() for column in table.shape]
    if len(set(names)) < len(names):
        raise refused("COLUMN_ALREADY_EXISTS", str(names))
    table.comment = given.get("COMMENT")
    _set_properties(table, given.get("TBLPROPERTIES", {}), new=True)
    table.partitioned_by = [table.column(name).name for name in given.get("PARTITIONED BY", [])]
    if "LOCATION" in given:
        table.kind, table.location = "EXTERNAL", given["LOCATION"]
    for column in table.shape:
        table.features |= _features_of(column.data_type)
        table.features |= {"generatedColumns"} if column.generated else set()
        table.features |= {"identityColumns"} if column.identity else set()
        if column.default and "allowColumnDefaults" not in table.features:
            raise refused("WRONG_COLUMN_DEFAULTS_FOR_DELTA_FEATURE_NOT_ENABLED", column.name)
        for path in paths_in(column.generated) if column.generated else ():
            kind_at(list(table.shape), path)
    if "CLUSTER BY" in given:
        if table.partitioned_by:
            raise refused("SPECIFY_CLUSTER_BY_WITH_PARTITIONED_BY_IS_NOT_ALLOWED")
        _cluster(table, given["CLUSTER BY"])


# --------------------------------------------------------------------------- ALTER TABLE


def _alter_table(table: DdlTable, text: Text) -> None:
    if text.takes("SET TBLPROPERTIES"):
        _set_properties(table, text.pairs(), new=False)
    elif text.takes("UNSET TBLPROPERTIES IF EXISTS"):
        gone = {key.lower() for key in text.listed(text.string)}
        if "delta.columnmapping.mode" in gone and table.property("delta.columnMapping.mode"):
            raise refused("DELTA_UNSUPPORTED_COLUMN_MAPPING_MODE_CHANGE", "it rewrites all files")
        table.own = {key: value for key, value in table.own.items() if key.lower() not in gone}
    elif text.takes("SET TAGS"):
        table.tags = {**table.tags, **_tags(text.pairs())}
    elif text.takes("UNSET TAGS"):
        _untag(table.tags, text.listed(text.string))
    elif text.takes("CLUSTER BY NONE"):
        table.clustered = []
    elif text.takes("CLUSTER BY"):
        if table.partitioned_by:
            raise refused("DELTA_ALTER_TABLE_CLUSTER_BY_ON_PARTITIONED_TABLE_NOT_ALLOWED")
        _cluster(table, text.listed(text.path))
    else:
        text.needs("ADD COLUMNS")
        for path, column, after in text.listed(lambda: _added(text)):
            _add_column(table, path, column, after)
    text.ends()


def _set_properties(table: DdlTable, given: dict[str, str], *, new: bool) -> None:
    for key, value in given.items():
        lowered = key.lower()
        if lowered.startswith("delta.constraints.") or lowered in ("location", "owner", "provider"):
            raise refused("UNSUPPORTED_FEATURE.SET_TABLE_PROPERTY", key)
        if lowered.startswith("delta.feature."):
            if value != "supported":
                raise refused("DELTA_UNSUPPORTED_FEATURE_STATUS", value)
            table.features.add(key.split(".", 2)[2])
            continue
        mode = table.property("delta.columnMapping.mode") or "none"
        is_mode = lowered == "delta.columnmapping.mode" and not new and value != mode
        if is_mode and (mode, value) != ("none", "name"):
            raise refused("DELTA_UNSUPPORTED_COLUMN_MAPPING_MODE_CHANGE", f"{mode} to {value}")
        table.own = {k: v for k, v in table.own.items() if k.lower() != lowered} | {key: value}
        table.features |= {
            name for (k, v), name in _OF_PROPERTIES.items() if (lowered, value.lower()) == (k, v)
        }


def _tags(given: dict[str, str]) -> dict[str, str]:
    """https://docs.databricks.com/database-objects/tags.html#constraints"""
    for key, value in given.items():
        if not key or set(key) & set(".,-=/:") or key != key.strip() or len(key) > 256:
            raise refused("INVALID_PARAMETER_VALUE", f"tag {key!r}")
        if len(value) > 256:
            raise refused("INVALID_PARAMETER_VALUE", f"value of tag {key!r}")
    return given


def _untag(tags: dict[str, str], gone: list[str]) -> None:
    for key in gone:
        if key not in tags:
            raise refused("TAG_ASSIGNMENT_DOES_NOT_EXIST", key)
        del tags[key]


def _cluster(table: DdlTable, paths: list[Path]) -> None:
    if len(paths) > 4:
        raise refused("DELTA_CLUSTER_BY_INVALID_NUM_COLUMNS")
    for path in paths:
        kind = kind_at(list(table.shape), path)
        if isinstance(kind, Array | Map | Struct | Boolean) or str(kind) in ("binary", "variant"):
            raise refused("DELTA_CLUSTERING_COLUMNS_DATATYPE_NOT_SUPPORTED", str(kind))
    table.clustered = paths


# --------------------------------------------------------------------------- columns


def _added(text: Text) -> tuple[Path, Column, str | None]:
    """``{column_identifier | field_name} data_type [COMMENT c] [FIRST | AFTER identifier]``.

    "When you add a column to an existing Delta table, you cannot define a DEFAULT value"; the
    grammar has no NOT NULL.
    """
    path, kind = text.path(), text.type()
    if text.takes("DEFAULT"):
        raise refused("WRONG_COLUMN_DEFAULTS_FOR_DELTA_ALTER_TABLE_ADD_COLUMN_NOT_SUPPORTED")
    comment = text.string() if text.takes("COMMENT") else ""
    after: str | None = ""
    if text.takes("FIRST"):
        after = None
    elif text.takes("AFTER"):
        after = text.name()
    return path, Column(path[-1], kind, True, comment), after


def _add_column(table: DdlTable, path: Path, column: Column, after: str | None) -> None:
    _no_such_field(table, path)
    missing = _features_of(column.data_type) - table.features
    if missing:
        raise refused("DELTA_FEATURES_REQUIRE_MANUAL_ENABLEMENT", ", ".join(sorted(missing)))
    if len(path) == 1:
        table.shape = _with_new(table.shape, column, after)
    else:
        new = StructField(column.name, column.data_type, True, column.comment)

        def change(fields: list[Any], index: int) -> None:
            kind = fields[index].data_type
            if not isinstance(kind, Struct):
                raise refused("INVALID_FIELD_NAME", ".".join(path))
            grown = Struct(_with_new(list(kind.fields), new, after))
            fields[index] = replace(fields[index], data_type=grown)

        table.shape = edited(table.shape, path[:-1], change)
    _in_rows(table.rows, path, lambda row: row.setdefault(path[-1].lower(), None))


def _with_new(fields: list[Any], new: Any, after: str | None) -> list[Any]:
    at = len(fields) if after == "" else 0 if after is None else _at(fields, after) + 1
    return [*fields[:at], new, *fields[at:]]


def _no_such_field(table: DdlTable, path: Path) -> None:
    try:
        kind_at(list(table.shape), path)
    except BackendError:
        return
    raise refused("FIELD_ALREADY_EXISTS", ".".join(path))


def _place_at(table: DdlTable, path: Path, after: str | None) -> None:
    def change(fields: list[Any], index: int) -> None:
        one = fields.pop(index)
        fields[:] = _with_new(fields, one, after)

    table.shape = edited(table.shape, path, change)


def _whole(table: DdlTable, path: Path) -> Column:
    if len(path) != 1:
        raise refused("UNRESOLVED_COLUMN.WITH_SUGGESTION", f"{path} is a field")
    return table.column(path[0])


def _replaced(table: DdlTable, path: Path, **values: Any) -> None:
    def change(fields: list[Any], index: int) -> None:
        fields[index] = replace(fields[index], **values)

    table.shape = edited(table.shape, path, change)


def _change_type(table: DdlTable, path: Path, old: DataType, new: DataType) -> None:
    """https://docs.databricks.com/delta/type-widening.html"""
    _no_dependents(table, path)
    if not loosens(old, new):
        if not widens(old, new):
            raise refused("DELTA_UNSUPPORTED_ALTER_TABLE_CHANGE_COL_OP", f"{old} to {new}")
        if table.property("delta.enableTypeWidening") != "true":
            raise refused("DELTA_UNSUPPORTED_ALTER_TABLE_CHANGE_COL_OP", "type widening is off")
    missing = _features_of(new) - table.features
    if missing:
        raise refused("DELTA_FEATURES_REQUIRE_MANUAL_ENABLEMENT", ", ".join(sorted(missing)))
    if path[0].lower() in map(str.lower, table.partitioned_by):
        raise refused("DELTA_UNSUPPORTED_ALTER_TABLE_CHANGE_COL_OP", "a partition column")
    _replaced(table, path, data_type=new)


def _set_not_null(table: DdlTable, path: Path) -> None:
    """ "Databricks verifies that all existing rows satisfy the constraint." """
    name = _whole(table, path).name.lower()
    empty = sum(row[name] is None for row in table.rows)
    if empty:
        raise refused("DELTA_NEW_NOT_NULL_VIOLATION", f"{empty} rows")
    _replaced(table, path, nullable=False)


def _set_default(table: DdlTable, path: Path, expression: str) -> None:
    _whole(table, path)
    if "allowColumnDefaults" not in table.features:
        raise refused("WRONG_COLUMN_DEFAULTS_FOR_DELTA_FEATURE_NOT_ENABLED")
    value_of(expression, {})
    _replaced(table, path, default=expression)


def _drop_column(table: DdlTable, path: Path) -> None:
    """ "When you drop a column, you must drop dependent check constraints" and the like."""
    kind_at(list(table.shape), path)
    lowered = tuple(part.lower() for part in path)
    _no_dependents(table, path)
    _refuse_key(table, path, "KEY")
    if lowered[0] in map(str.lower, table.partitioned_by):
        raise refused("DELTA_UNSUPPORTED_DROP_PARTITION_COLUMN", path[0])
    clustered = [tuple(part.lower() for part in one) for one in table.clustered]
    if any(one[: len(lowered)] == lowered for one in clustered):
        raise refused("DELTA_UNSUPPORTED_DROP_CLUSTERING_COLUMN", ".".join(path))
    if len(path) == 1:
        tags = table.column_tags.get(table.column(path[0]).name, {})
        if table.governed & tags.keys():
            raise refused("CANNOT_DROP_TAGGED_COLUMN", path[0])
        table.column_tags.pop(table.column(path[0]).name, None)

    def change(fields: list[Any], index: int) -> None:
        if len(fields) == 1:
            raise refused("DELTA_DROP_COLUMN_ON_SINGLE_FIELD_SCHEMA")
        del fields[index]

    _in_rows(table.rows, path, lambda row: row.pop(path[-1].lower(), None))
    table.shape = edited(table.shape, path, change)


def _moved(one: Path, path: Path, name: str) -> Path:
    inside = [a.lower() for a in one[: len(path)]] == [a.lower() for a in path]
    return (*path[:-1], name, *one[len(path) :]) if inside else one


# --------------------------------------------------------------------------- what hangs on columns


def _exactly(table: DdlTable, name: str) -> Column:
    """ADD CONSTRAINT resolves columns with regard to case, other than all else (observed)."""
    for column in table.shape:
        if column.name == name:
            return column
    raise refused("UNRESOLVED_COLUMN.WITH_SUGGESTION", f"constraint on {name}")


def _no_dependents(table: DdlTable, path: Path) -> None:
    lowered = tuple(part.lower() for part in path)
    generated = {column.name: column.generated for column in table.shape if column.generated}
    for condition, texts in (
        ("DELTA_CONSTRAINT_DEPENDENT_COLUMN_CHANGE", table.checks),
        ("DELTA_GENERATED_COLUMNS_DEPENDENT_COLUMN_CHANGE", generated),
    ):
        for name, text in texts.items():
            for used in paths_in(text):
                shorter = min(len(used), len(lowered))
                if used[:shorter] == lowered[:shorter]:
                    raise refused(condition, f"{name}: {text}")


def _refuse_key(table: DdlTable, path: Path, what: str) -> None:
    keys = [table.primary_key[1]] if table.primary_key else []
    keys += [key.columns for key in table.foreign_keys] if what == "KEY" else []
    if any(path[0].lower() in map(str.lower, columns) for columns in keys):
        raise refused("UC_COLUMN_OF_KEY", path[0])


def _add_check(table: DdlTable, name: str, expression: str) -> None:
    """ "For a CHECK constraint to be satisfied it must evaluate to true", for every row."""
    if name.lower() in table.checks:
        raise refused("DELTA_CONSTRAINT_ALREADY_EXISTS", name)
    for path in paths_in(expression):
        kind_at(list(table.shape), path)
    broken = sum(value_of(expression, row) is not True for row in table.rows)
    if broken:
        raise refused("DELTA_NEW_CHECK_CONSTRAINT_VIOLATION", f"{broken} rows")
    table.checks = {**table.checks, name.lower(): expression}


def _check_row(table: DdlTable, row: dict[str, Any]) -> None:
    for column in table.shape:
        if not column.nullable and row[column.name.lower()] is None:
            raise refused("DELTA_NOT_NULL_CONSTRAINT_VIOLATED", column.name)
    for name, text in table.checks.items():
        if value_of(text, row) is not True:
            raise refused("DELTA_VIOLATE_CONSTRAINT_WITH_VALUES", f"{name} {row}")
