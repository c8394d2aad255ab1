"""SQL that people type at the control tables: parsed, checked, and taken apart. Pure.

The text is read with Databricks' grammar; what runs is always generated from the parsed tree, never
the text itself. Only SELECT, INSERT, UPDATE and DELETE on control tables pass, with functions from
a list: the engine under a store may be able to read and write files, and must never be asked to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlglot import exp, parse
from sqlglot.dialects.databricks import Databricks
from sqlglot.errors import SqlglotError

from lakeflow_meta.control.tables import ControlTables, TableLayout
from lakeflow_meta.errors import Problem, SpecError
from lakeflow_meta.names import TableName


class _Spark4(Databricks):
    """Databricks' grammar with Spark 4's strings: ``''`` inside quotes ends one and starts one."""

    class Tokenizer(Databricks.Tokenizer):
        STRING_ESCAPES = ["\\", "'", '"']  # noqa: RUF012 (the shape that sqlglot wants)


_FUNCTIONS: tuple[type[exp.Expr], ...] = (
    exp.Avg, exp.Count, exp.Max, exp.Min, exp.Sum,
    exp.Abs, exp.And, exp.Case, exp.Cast, exp.Coalesce, exp.Concat, exp.CurrentDate,
    exp.CurrentTimestamp, exp.If, exp.Length, exp.Lower, exp.Nullif, exp.Or, exp.Replace,
    exp.Round, exp.StartsWith, exp.EndsWith, exp.StrPosition, exp.Substring, exp.Trim,
    exp.TryCast, exp.Upper,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Select:
    """A query. Its tables are full names of control tables."""

    query: exp.Query


@dataclass(frozen=True, slots=True)
class Insert:
    """New rows, as far as the statement names their columns; or a query that gives them."""

    table: TableName
    layout: TableLayout
    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...] = ()
    query: exp.Query | None = None


@dataclass(frozen=True, slots=True)
class Update:
    """Columns to set in the rows that match."""

    table: TableName
    layout: TableLayout
    assignments: Mapping[str, exp.Expr]
    where: exp.Expr | None


@dataclass(frozen=True, slots=True)
class Delete:
    """The rows that match go."""

    table: TableName
    layout: TableLayout
    where: exp.Expr | None


Statement = Select | Insert | Update | Delete


class _RefusalError(Exception):
    """Why a statement may not run, and what to write instead."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


def parse_statements(text: str, tables: ControlTables, *, now: datetime) -> list[Statement]:
    """Read one or several statements. ``now`` stands for ``current_timestamp()``.

    Raises SpecError that names every statement that may not run.
    """
    try:
        trees = [tree for tree in parse(text, dialect=_Spark4) if tree is not None]
    except (SqlglotError, RecursionError) as error:
        raise _spec_error([_syntax_problem(error)]) from error
    if not trees:
        raise _spec_error([Problem("statement", 0, 0, "", "there is no statement")])
    checker = _Checker(tables, now)
    statements, problems = [], []
    for number, tree in enumerate(trees, 1):
        try:
            statements.append(checker.check(tree))
        except _RefusalError as refusal:
            problems.append(Problem(f"statement {number}", 0, 0, "", str(refusal), refusal.hint))
    if problems:
        raise _spec_error(problems)
    return statements


def _spec_error(problems: Sequence[Problem]) -> SpecError:
    return SpecError(problems)


def _syntax_problem(error: Exception) -> Problem:
    details = getattr(error, "errors", None) or [{}]
    first = details[0]
    return Problem(
        "statement",
        first.get("line") or 0,
        first.get("col") or 0,
        "",
        first.get("description") or "this is not SQL that can be read",
        f"near {first['highlight']!r}" if first.get("highlight") else "",
    )


class _Checker:
    """Turns one parsed tree into a statement, or says why not."""

    def __init__(self, tables: ControlTables, now: datetime) -> None:
        self._by_name = {table.name.lower(): (table, lay) for table, lay in tables.all().items()}
        self._now = now

    def check(self, tree: exp.Expr) -> Statement:
        match tree:
            case exp.Query():
                return Select(self._query(tree))
            case exp.Insert():
                return self._insert(tree)
            case exp.Update():
                return self._update(tree)
            case exp.Delete():
                return self._delete(tree)
            case _:
                raise _RefusalError(
                    f"{_statement_name(tree)} does not run here",
                    "SELECT, INSERT, UPDATE and DELETE on control tables do",
                )

    # --- the four kinds

    def _query(self, tree: exp.Query) -> exp.Query:
        self._expressions(tree)
        named = {cte.alias.lower() for cte in tree.find_all(exp.CTE)}
        real = _tables_by_scope(tree)
        for table in tree.find_all(exp.Table):
            if id(table) in real or table.db or table.name.lower() not in named:
                self._resolve(table)
        return tree

    def _insert(self, tree: exp.Insert) -> Insert:
        refused = {"overwrite", "partition", "where", "returning", "conflict", "alternative"}
        self._only(tree, refused)
        target = tree.this
        named: tuple[str, ...] = ()
        if isinstance(target, exp.Schema):
            named = tuple(column.name.lower() for column in target.expressions)
            target = target.this
        table, layout = self._resolve(target)
        self._known(layout, named)
        source = tree.expression
        if isinstance(source, exp.Values):
            rows = tuple(self._values(row) for row in source.expressions)
            return Insert(table, layout, self._columns(layout, named, rows), rows)
        if isinstance(source, exp.Query):
            width = len(source.expressions) if isinstance(source, exp.Select) else 0
            columns = named or layout.names[:width]
            return Insert(table, layout, columns, query=self._query(source))
        raise _RefusalError("INSERT takes VALUES or a SELECT")

    def _update(self, tree: exp.Update) -> Update:
        self._only(tree, {"from_", "returning", "order", "limit"})
        table, layout = self._resolve(tree.this)
        assignments: dict[str, exp.Expr] = {}
        for item in tree.expressions:
            if not isinstance(item, exp.EQ) or not isinstance(item.this, exp.Column):
                raise _RefusalError("UPDATE takes SET column = value")
            assignments[item.this.name.lower()] = self._of_one_row(tree, item.expression, layout)
        self._known(layout, tuple(assignments))
        return Update(table, layout, assignments, self._where(tree, layout))

    def _delete(self, tree: exp.Delete) -> Delete:
        self._only(tree, {"using", "returning", "order", "limit", "tables"})
        table, layout = self._resolve(tree.this)
        return Delete(table, layout, self._where(tree, layout))

    # --- parts

    def _where(self, tree: exp.Expr, layout: TableLayout) -> exp.Expr | None:
        where = tree.args.get("where")
        if where is None:
            return None
        return self._of_one_row(tree, where.this, layout)

    def _of_one_row(self, tree: exp.Expr, expression: exp.Expr, layout: TableLayout) -> exp.Expr:
        """An expression over the columns of one row."""
        if expression.find(exp.Query) is not None:
            raise _RefusalError(
                f"{_statement_name(tree)} with a query inside does not run here",
                "select first, then name the values",
            )
        self._expressions(expression)
        columns = list(expression.find_all(exp.Column))
        self._known(layout, tuple(column.name.lower() for column in columns))
        for column in columns:
            column.set("table", None)
        return self._bind_now(expression)

    def _resolve(self, table: exp.Expr) -> tuple[TableName, TableLayout]:
        if not isinstance(table, exp.Table) or not isinstance(table.this, exp.Identifier):
            raise _RefusalError("only control tables can be named here")
        found = self._by_name.get(table.name.lower())
        given = ".".join(part.name for part in table.parts).lower()
        if found is None or not f".{found[0].key}".endswith(f".{given}"):
            names = ", ".join(sorted(self._by_name))
            raise _RefusalError(f"{given} is not a control table", f"these are: {names}")
        for part in ("catalog", "db"):
            table.set(part, None)
        name = found[0].name.lower()
        table.set("this", exp.to_identifier(name))
        if not table.alias:
            table.set("alias", exp.TableAlias(this=exp.to_identifier(name, quoted=True)))
        return found

    def _expressions(self, tree: exp.Expr) -> None:
        for node in tree.walk():
            if isinstance(node, exp.Command | exp.DDL) and not isinstance(node, exp.Query):
                raise _RefusalError(f"{_statement_name(node)} does not run here")
            if isinstance(node, exp.Into | exp.QueryTransform | exp.TableSample | exp.Lateral):
                raise _RefusalError(f"{_statement_name(node)} does not run here")
            if isinstance(node, exp.Func) and not isinstance(node, _FUNCTIONS):
                raise _RefusalError(f"{_function_name(node)}() does not run here")

    def _values(self, row: exp.Expr) -> tuple[Any, ...]:
        items = row.expressions if isinstance(row, exp.Tuple) else [row]
        return tuple(self._value(item) for item in items)

    def _value(self, node: exp.Expr) -> Any:
        match node:
            case exp.Null():
                return None
            case exp.Boolean():
                return node.this
            case exp.Literal():
                return str(node.this) if node.is_string else _number(str(node.this))
            case exp.Neg():
                return -self._value(node.this)
            case exp.Paren():
                return self._value(node.this)
            case exp.Concat():
                return "".join(str(self._value(part)) for part in node.expressions)
            case exp.CurrentTimestamp():
                return self._now
            case exp.Column() if node.name.upper() == "DEFAULT":
                return None
            case exp.Cast() if node.to.is_type(*exp.DataType.TEMPORAL_TYPES):
                return _timestamp(self._value(node.this))
            case _:
                raise _RefusalError(
                    f"VALUES holds {node.sql(dialect=_Spark4)}, which is not a plain value",
                    "write literals, NULL, DEFAULT or current_timestamp()",
                )

    def _columns(
        self, layout: TableLayout, named: tuple[str, ...], rows: Sequence[tuple[Any, ...]]
    ) -> tuple[str, ...]:
        widths = {len(row) for row in rows}
        if len(widths) != 1:
            raise _RefusalError("the rows of VALUES differ in length")
        width = widths.pop()
        columns = named or layout.names[:width]
        if width != len(columns):
            wanted = ", ".join(named or layout.names)
            raise _RefusalError(
                f"VALUES has {width} value(s) a row for {len(columns)} column(s)", wanted
            )
        return columns

    def _known(self, layout: TableLayout, columns: tuple[str, ...]) -> None:
        unknown = [name for name in columns if name not in layout.names]
        if unknown:
            raise _RefusalError(
                f"there is no column {', '.join(unknown)}", f"there are {', '.join(layout.names)}"
            )

    def _only(self, tree: exp.Expr, refused: set[str]) -> None:
        for name in sorted(refused):
            if tree.args.get(name):
                raise _RefusalError(
                    f"{_statement_name(tree)} with {name.upper()} does not run here"
                )

    def _bind_now(self, tree: exp.Expr) -> exp.Expr:
        moment = timestamp_expression(self._now)
        return tree.transform(
            lambda node: moment.copy() if isinstance(node, exp.CurrentTimestamp) else node
        )


def _tables_by_scope(tree: exp.Query) -> set[int]:
    """Which names are tables: a name inside its own WITH, or outside of one, is not that WITH."""
    from sqlglot.optimizer.scope import traverse_scope

    try:
        return {
            id(table)
            for scope in traverse_scope(tree)
            for table in scope.tables
            if isinstance(scope.sources.get(table.alias_or_name), exp.Table)
        }
    except SqlglotError as error:
        raise _RefusalError(f"the names of this query cannot be told apart: {error}") from error


def timestamp_expression(moment: datetime) -> exp.Expr:
    """An aware time as an expression that every store reads alike."""
    return exp.cast(exp.Literal.string(moment.isoformat()), "timestamptz")


def _statement_name(tree: exp.Expr) -> str:
    if isinstance(tree, exp.Command):
        return str(tree.this).upper()
    return tree.key.upper()


def _function_name(node: exp.Func) -> str:
    return node.name if isinstance(node, exp.Anonymous) else node.sql_name().lower()


def _number(text: str) -> int | float:
    return int(text) if text.lstrip("-").isdigit() else float(text)


def _timestamp(value: Any) -> datetime:
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError as error:
        raise _RefusalError(
            f"{value!r} is not a timestamp", "write '2025-01-31T08:00:00+00:00'"
        ) from error
    if moment.tzinfo is None:
        raise _RefusalError(
            f"timestamp {value!r} has no time zone", "write '2025-01-31T08:00:00+00:00'"
        )
    return moment


# --- for stores whose engine is DataFusion


@dataclass(frozen=True, slots=True)
class DataFusionQuery:
    """A query as DataFusion runs it: text, the tables it names, and a limit to keep ourselves.

    DataFusion drops a LIMIT when no column of a table is projected, so the caller cuts.
    """

    text: str
    tables: tuple[str, ...]
    limit: int | None


def datafusion_query(query: exp.Query) -> DataFusionQuery:
    """A checked query in DataFusion's dialect."""
    real = _tables_by_scope(query)
    names = {table.name for table in query.find_all(exp.Table) if id(table) in real}
    limit = query.args.get("limit")
    count = limit.expression if isinstance(limit, exp.Limit) else None
    return DataFusionQuery(
        text=query.sql(dialect="postgres"),
        tables=tuple(sorted(names)),
        limit=int(count.this) if isinstance(count, exp.Literal) else None,
    )


def datafusion_text(expression: exp.Expr) -> str:
    """A checked expression in DataFusion's dialect."""
    return expression.sql(dialect="postgres")
