"""Which statement a SQL text is, as far as the local catalog must act on it itself. Pure.

Everything that only names tables is left to Spark; these statements name catalogs and schemas,
or change which tables and views there are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lakeflow_meta.backends.local.spark.dotted_names import Dotted, Item
from lakeflow_meta.backends.local.spark.names_in_sql import NameUse, Parts
from lakeflow_meta.sql_tokens import Kind, Token

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
    """CREATE SCHEMA c.s; ``clause`` names what a directory cannot keep, else it is empty."""

    use: NameUse
    clause: str


@dataclass(frozen=True, slots=True)
class DropSchema:
    """DROP SCHEMA c.s."""

    use: NameUse
    cascade: bool


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
    replaces: bool
    if_not_exists: bool


@dataclass(frozen=True, slots=True)
class AlterView:
    """ALTER VIEW v …"""

    view: Parts
    renames: bool


@dataclass(frozen=True, slots=True)
class DropRelation:
    """DROP TABLE t, DROP VIEW v."""

    relation: Parts
    is_view: bool


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
class Script:
    """BEGIN … END: several statements in one text."""


@dataclass(frozen=True, slots=True)
class Other:
    """Every other statement."""


TableCommand = CreateTable | CreateView | AlterView | DropRelation | RenameTable | Describe
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
    | TableCommand
    | Script
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

    def has(self, word: str) -> bool:
        """Whether this keyword is still to come."""
        return any(item.word == word for item in self.items[self.at :])

    def continues(self) -> bool:
        """Whether a name follows the keyword here."""
        return self.at + 1 < len(self.items) and isinstance(self.items[self.at + 1], Dotted)


def read_command(items: Sequence[Item]) -> Command:
    """What the statement is."""
    reader = _Reader(items)
    head = reader.word
    reader.at += 1
    read = _HEADS.get(head)
    return read(reader) if read else Other()


def _set(reader: _Reader) -> Command:
    use = reader.name() if reader.take("CATALOG") else None
    return UseCatalog(use.parts[0]) if use and len(use.parts) == 1 else Other()


def _use(reader: _Reader) -> Command:
    if reader.word == "CATALOG" and reader.continues():
        return _set(reader)
    reader.take_any(SCHEMA_WORDS)
    use = reader.name()
    return UseSchema(use.parts) if use else Other()


def _create(reader: _Reader) -> Command:
    replaces = reader.take("OR", "REPLACE")
    if reader.take("CATALOG"):
        return _create_catalog(reader)
    if reader.take_any(SCHEMA_WORDS):
        return _create_schema(reader)
    reader.take("EXTERNAL")
    kind = reader.take_any({"TABLE", "VIEW"})
    if_not_exists = reader.take("IF", "NOT", "EXISTS")
    use = reader.name() if kind else None
    if use is None:
        return Other()
    if kind == "TABLE":
        return CreateTable(use.parts)
    return CreateView(use.parts, replaces, if_not_exists)


def _create_schema(reader: _Reader) -> Command:
    reader.take("IF", "NOT", "EXISTS")
    use = reader.name()
    refused = [word for word in ("LOCATION", "DBPROPERTIES", "PROPERTIES") if reader.has(word)]
    return CreateSchema(use, "".join(refused[:1])) if use else Other()


def _create_catalog(reader: _Reader) -> Command:
    if_not_exists = reader.take("IF", "NOT", "EXISTS")
    use = reader.name()
    if use is None or len(use.parts) != 1:
        return Other()
    return CreateCatalog(use.parts[0], if_not_exists, reader.word)


def _drop(reader: _Reader) -> Command:
    catalog = reader.take("CATALOG")
    schema = not catalog and bool(reader.take_any(SCHEMA_WORDS))
    relation = "" if catalog or schema else reader.take_any({"TABLE", "VIEW"})
    if_exists = reader.take("IF", "EXISTS")
    use = reader.name()
    if use is None:
        return Other()
    if catalog and len(use.parts) == 1:
        return DropCatalog(use.parts[0], if_exists, reader.has("CASCADE"))
    if schema:
        return DropSchema(use, reader.has("CASCADE"))
    return DropRelation(use.parts, relation == "VIEW") if relation else Other()


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
        return AlterView(use.parts, new is not None)
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


_HEADS: dict[str, Callable[[_Reader], Command]] = {
    "USE": _use,
    "SET": _set,
    "CREATE": _create,
    "REPLACE": _create,
    "DROP": _drop,
    "ALTER": _alter,
    "COMMENT": _comment,
    "DESCRIBE": _describe,
    "DESC": _describe,
    "SHOW": _show,
    "BEGIN": lambda _reader: Script(),
}
