"""Which statement a SQL text is, as far as the local catalog must act on it itself. Pure.

Everything that only names tables is left to Spark; these statements name catalogs and schemas,
or change which tables and views there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lakeflow_meta.backends.local.names_in_sql import NameUse, Parts
from lakeflow_meta.backends.local.sql_tokens import Dotted, Item, Kind, Token

SCHEMA_WORDS = {"SCHEMA", "DATABASE", "NAMESPACE"}
_SCHEMAS_WORDS = {"SCHEMAS", "DATABASES", "NAMESPACES"}


@dataclass(frozen=True, slots=True)
class UseCatalog:
    """USE CATALOG c, SET CATALOG c."""

    catalog: str


@dataclass(frozen=True, slots=True)
class UseSchema:
    """USE [SCHEMA] s, USE c.s."""

    schema: Parts


@dataclass(frozen=True, slots=True)
class CreateCatalog:
    """CREATE CATALOG c. ``clause`` is the first word behind the name, empty where there is none."""

    catalog: str
    if_not_exists: bool
    clause: str


@dataclass(frozen=True, slots=True)
class DropCatalog:
    """DROP CATALOG c."""

    catalog: str
    if_exists: bool
    cascade: bool


@dataclass(frozen=True, slots=True)
class CreateSchema:
    """CREATE SCHEMA c.s; ``has_location`` where a place is asked for."""

    use: NameUse
    has_location: bool


@dataclass(frozen=True, slots=True)
class DropSchema:
    """DROP SCHEMA c.s."""

    use: NameUse


@dataclass(frozen=True, slots=True)
class ChangeSchema:
    """ALTER SCHEMA c.s, COMMENT ON SCHEMA c.s; ``is_comment`` for the latter."""

    use: NameUse
    is_comment: bool


@dataclass(frozen=True, slots=True)
class DescribeSchema:
    """DESCRIBE SCHEMA c.s."""

    use: NameUse


@dataclass(frozen=True, slots=True)
class ShowCatalogs:
    """SHOW CATALOGS [LIKE pattern]."""

    pattern: str


@dataclass(frozen=True, slots=True)
class ShowSchemas:
    """SHOW SCHEMAS [IN c] [LIKE pattern]."""

    catalog: str
    pattern: str


@dataclass(frozen=True, slots=True)
class ShowTables:
    """SHOW TABLES [IN s] [LIKE pattern], SHOW VIEWS …; ``schema`` is empty for the current one."""

    schema: Parts
    pattern: str
    views_only: bool


@dataclass(frozen=True, slots=True)
class CreateView:
    """CREATE [OR REPLACE] VIEW v; not a temporary one."""

    view: Parts


@dataclass(frozen=True, slots=True)
class AlterView:
    """ALTER VIEW v …; ``new`` where it is renamed."""

    view: Parts
    new: Parts


@dataclass(frozen=True, slots=True)
class DropRelation:
    """DROP TABLE t, DROP VIEW v."""

    relation: Parts


@dataclass(frozen=True, slots=True)
class RenameTable:
    """ALTER TABLE t RENAME TO u."""

    table: Parts
    new: Parts


@dataclass(frozen=True, slots=True)
class CreateTable:
    """CREATE [OR REPLACE] TABLE t, REPLACE TABLE t."""

    table: Parts


@dataclass(frozen=True, slots=True)
class Describe:
    """DESCRIBE of a table, SHOW CREATE TABLE: Spark prints its own names in the answer."""


@dataclass(frozen=True, slots=True)
class Other:
    """Every other statement."""


Command = (
    UseCatalog
    | UseSchema
    | CreateCatalog
    | DropCatalog
    | CreateSchema
    | DropSchema
    | ChangeSchema
    | DescribeSchema
    | ShowCatalogs
    | ShowSchemas
    | ShowTables
    | CreateView
    | AlterView
    | DropRelation
    | RenameTable
    | CreateTable
    | Describe
    | Other
)


@dataclass(slots=True)
class _Reader:
    """Reads items one after the other; every step says whether it fitted."""

    items: Sequence[Item]
    at: int = 0

    @property
    def word(self) -> str:
        """The keyword here, empty at the end or at something else."""
        return self.items[self.at].word if self.at < len(self.items) else ""

    def take(self, *words: str) -> bool:
        """Step over these keywords if all of them are here."""
        before = self.at
        for word in words:
            if self.word != word:
                self.at = before
                return False
            self.at += 1
        return True

    def take_any(self, words: set[str]) -> str:
        """Step over one of these keywords; which one, empty if none."""
        word = self.word
        if word in words:
            self.at += 1
            return word
        return ""

    def name(self) -> NameUse | None:
        """Step over a name."""
        item = self.items[self.at] if self.at < len(self.items) else None
        if not isinstance(item, Dotted):
            return None
        self.at += 1
        return NameUse(item.parts, item.start, item.end)

    def pattern(self) -> str:
        """The pattern at the end of a SHOW, ``*`` where there is none."""
        self.take("LIKE")
        item = self.items[self.at] if self.at < len(self.items) else None
        if isinstance(item, Token) and item.kind is Kind.STRING:
            return item.text[1:-1]
        return "*"

    def has(self, *words: str) -> bool:
        """Whether one of these keywords is still to come."""
        return any(item.word in words for item in self.items[self.at :])


def read_command(items: Sequence[Item]) -> Command:
    """What the statement is."""
    reader = _Reader(items)
    head = reader.word
    reader.at += 1
    match head:
        case "USE" | "SET":
            return _use(reader, head)
        case "CREATE" | "REPLACE":
            return _create(reader)
        case "DROP":
            return _drop(reader)
        case "ALTER":
            return _alter(reader)
        case "COMMENT":
            return _comment(reader)
        case "DESCRIBE" | "DESC":
            return _describe(reader)
        case "SHOW":
            return _show(reader)
        case _:
            return Other()


def _use(reader: _Reader, head: str) -> Command:
    if reader.take("CATALOG"):
        use = reader.name()
        return UseCatalog(use.parts[0]) if use and len(use.parts) == 1 else Other()
    if head == "SET":
        return Other()
    reader.take_any(SCHEMA_WORDS)
    use = reader.name()
    return UseSchema(use.parts) if use else Other()


def _create(reader: _Reader) -> Command:
    reader.take("OR", "REPLACE")
    if reader.take("CATALOG"):
        return _create_catalog(reader)
    if reader.take_any(SCHEMA_WORDS):
        reader.take("IF", "NOT", "EXISTS")
        use = reader.name()
        return CreateSchema(use, reader.has("LOCATION")) if use else Other()
    reader.take("EXTERNAL")
    kind = reader.take_any({"TABLE", "VIEW"})
    reader.take("IF", "NOT", "EXISTS")
    use = reader.name() if kind else None
    if use is None:
        return Other()
    return CreateTable(use.parts) if kind == "TABLE" else CreateView(use.parts)


def _create_catalog(reader: _Reader) -> Command:
    if_not_exists = reader.take("IF", "NOT", "EXISTS")
    use = reader.name()
    if use is None or len(use.parts) != 1:
        return Other()
    return CreateCatalog(use.parts[0], if_not_exists, reader.word)


def _drop(reader: _Reader) -> Command:
    catalog = reader.take("CATALOG")
    schema = not catalog and bool(reader.take_any(SCHEMA_WORDS))
    relation = not catalog and not schema and bool(reader.take_any({"TABLE", "VIEW"}))
    if_exists = reader.take("IF", "EXISTS")
    use = reader.name()
    if use is None:
        return Other()
    if catalog and len(use.parts) == 1:
        return DropCatalog(use.parts[0], if_exists, reader.has("CASCADE"))
    if schema:
        return DropSchema(use)
    return DropRelation(use.parts) if relation else Other()


def _alter(reader: _Reader) -> Command:
    if reader.take_any(SCHEMA_WORDS):
        use = reader.name()
        return ChangeSchema(use, is_comment=False) if use else Other()
    kind = reader.take_any({"TABLE", "VIEW"})
    use = reader.name() if kind else None
    if use is None:
        return Other()
    new = reader.name() if reader.take("RENAME", "TO") else None
    if kind == "VIEW":
        return AlterView(use.parts, new.parts if new else ())
    return RenameTable(use.parts, new.parts) if new else Other()


def _comment(reader: _Reader) -> Command:
    if reader.take("ON") and reader.take_any(SCHEMA_WORDS):
        use = reader.name()
        return ChangeSchema(use, is_comment=True) if use else Other()
    return Other()


def _describe(reader: _Reader) -> Command:
    if reader.take_any(SCHEMA_WORDS):
        reader.take("EXTENDED")
        use = reader.name()
        return DescribeSchema(use) if use else Other()
    return Describe() if reader.word not in {"HISTORY", "FUNCTION", "QUERY"} else Other()


def _show(reader: _Reader) -> Command:
    if reader.take("CATALOGS"):
        return ShowCatalogs(reader.pattern())
    if reader.take_any(_SCHEMAS_WORDS):
        use = reader.name() if reader.take_any({"IN", "FROM"}) else None
        return ShowSchemas(use.parts[0] if use else "", reader.pattern())
    kind = reader.take_any({"TABLES", "VIEWS"})
    if kind:
        use = reader.name() if reader.take_any({"IN", "FROM"}) else None
        return ShowTables(use.parts if use else (), reader.pattern(), kind == "VIEWS")
    return Describe() if reader.take("CREATE", "TABLE") else Other()
