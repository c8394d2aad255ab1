"""Three-level names in pyspark's own calls, for sessions of the embedded Spark only.

pyspark has no place where a caller could translate names, so its methods are wrapped once for the
process. A wrapper acts only where the SparkContext is one that `attach` has been told of; every
other session (a cluster's, Spark Connect's) runs pyspark's own code.
"""

from __future__ import annotations

import functools
import inspect
import re
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from lakeflow_meta.backends.local.spark.catalog import LocalCatalog
from lakeflow_meta.backends.local.spark.catalog_calls import CATALOG_CALLS
from lakeflow_meta.backends.local.spark.dotted_names import Dotted, items
from lakeflow_meta.backends.local.spark.names_in_sql import Rewritten
from lakeflow_meta.backends.local.spark.statements import Statements
from lakeflow_meta.backends.local.spark.warehouse import Warehouse

if TYPE_CHECKING:
    from pathlib import Path

    from pyspark.sql import DataFrame, SparkSession

SessionOf = Callable[[Any], Any]
"""The session that an object of pyspark's belongs to."""

Finish = Callable[[Statements, Any, str, Any], Any]
"""What is to be done with a call's result: statements, session, the name as written, result."""

_statements: WeakKeyDictionary[Any, Statements] = WeakKeyDictionary()
"""By SparkContext: those of the embedded sessions."""

_asked_texts: WeakKeyDictionary[Any, Rewritten] = WeakKeyDictionary()
"""By DataFrame, and by error."""

_originals: dict[str, Callable[..., Any]] = {}
_wrapping = threading.Lock()


def attach(session: SparkSession, root: Path, catalogs: tuple[str, ...]) -> None:
    """Give every session of this SparkContext three-level names."""
    with _wrapping:
        if not _originals:
            _wrap_everything()
    catalog = LocalCatalog(Warehouse(root), catalogs, spark_sql)
    _statements[session.sparkContext] = Statements(catalog)


def statements_of(session: Any) -> Statements | None:
    """What translates for this session; None for a session that is not embedded."""
    context = getattr(session, "_sc", None)  # Spark Connect has none
    return None if context is None else _statements.get(context)


def spark_sql(session: SparkSession, text: str, args: Any = None, **kwargs: Any) -> DataFrame:
    """pyspark's own ``sql`` with Spark's names; its errors name things as people know them."""
    return _asked(session, Rewritten(text), args, kwargs)


def _asked(session: Any, rewritten: Rewritten, args: Any, kwargs: dict[str, Any]) -> DataFrame:
    from pyspark.errors.exceptions.captured import CapturedException

    try:
        frame: DataFrame = _originals["sql"](session, rewritten.result, args, **kwargs)
    except CapturedException as error:
        _restore(session, error, rewritten)
        _asked_texts[error] = rewritten
        raise
    _asked_texts[frame] = rewritten
    return frame


def asked_text(subject: Any) -> Rewritten | None:
    """The SQL that an answer, or an error, came from; None for what came from no SQL of ours."""
    try:
        return _asked_texts.get(subject)
    except TypeError:  # nothing that can be referred to weakly
        return None


_POSITION = re.compile(r"(line )(\d+)(, | )(pos|position)( )(\d+)")


def _restore(session: Any, error: Any, rewritten: Rewritten | None) -> None:
    """Put names and positions as people wrote them into what the error shows."""
    statements = statements_of(session)
    if statements is None:
        return

    def original(match: re.Match[str]) -> str:
        first = 1 if match[4] == "position" else 0
        line, column = int(match[2]), int(match[6]) - first
        if rewritten is not None:
            line, column = rewritten.original_position(line, column)
        return f"{match[1]}{line}{match[3]}{match[4]}{match[5]}{column + first}"

    shown = _POSITION.sub(original, error._desc)  # noqa: SLF001 - there is no public way
    error._desc = statements.catalog.names.restore(shown)  # noqa: SLF001


def _wrap_everything() -> None:
    from delta.tables import DeltaTable, DeltaTableBuilder
    from pyspark.sql import SparkSession
    from pyspark.sql.catalog import Catalog
    from pyspark.sql.classic.dataframe import DataFrame
    from pyspark.sql.readwriter import DataFrameReader, DataFrameWriter
    from pyspark.sql.streaming.readwriter import DataStreamReader, DataStreamWriter

    _originals["sql"] = SparkSession.sql
    SparkSession.sql = functools.wraps(SparkSession.sql)(_sql)
    _wrap_name(SparkSession, "table", lambda session: session)
    _wrap_name(DataFrameReader, "table", _spark_of)
    _wrap_name(DataStreamReader, "table", _spark_of)
    _wrap_name(DataFrameWriter, "saveAsTable", _spark_of, finish=_settled)
    _wrap_name(DataFrameWriter, "insertInto", _spark_of)
    _wrap_name(DataStreamWriter, "toTable", _spark_of, finish=_settled)
    _wrap_name(DataFrame, "writeTo", lambda frame: frame.sparkSession)
    _wrap_name(DataFrame, "mergeInto", lambda frame: frame.sparkSession)
    _wrap_name(DeltaTableBuilder, "tableName", _spark_of)
    _wrap_for_name(DeltaTable)
    for method in _CATALOG_METHODS_WITH_A_TABLE:
        _wrap_name(Catalog, method, _spark_session_of)
    _wrap_name(Catalog, "createTable", _spark_session_of, finish=_settled)
    _wrap_name(Catalog, "getTable", _spark_session_of, finish=_restored_table)
    for method, call in CATALOG_CALLS.items():
        _wrap_catalog_call(Catalog, method, call)


_CATALOG_METHODS_WITH_A_TABLE = (
    *("isCached", "cacheTable", "uncacheTable", "refreshTable", "recoverPartitions"),
    *("tableExists", "listColumns"),
)


def _spark_of(owner: Any) -> Any:
    return owner._spark  # noqa: SLF001 - readers and writers have no public name for it


def _spark_session_of(catalog: Any) -> Any:
    return catalog._sparkSession  # noqa: SLF001 - likewise


def _sql(session: Any, sqlQuery: str, args: Any = None, **kwargs: Any) -> Any:  # noqa: N803 - pyspark's
    statements = statements_of(session)
    if statements is None:
        return _originals["sql"](session, sqlQuery, args, **kwargs)

    def ask(rewritten: Rewritten) -> DataFrame:
        return _asked(session, rewritten, args, kwargs)

    return statements.sql(session, sqlQuery, args, ask)


def _unchanged(_statements: Statements, _session: Any, _name: str, result: Any) -> Any:
    return result


def _settled(statements: Statements, session: Any, name: str, result: Any) -> Any:
    """The call may have made the table."""
    found = items(name)
    if len(found) == 1 and isinstance(found[0], Dotted):
        statements.settle(session, found[0].parts)
    return result


def _restored_table(statements: Statements, _session: Any, _name: str, result: Any) -> Any:
    schema = statements.catalog.names.schema(result.database or "")
    if schema is None:
        return result
    return result._replace(catalog=schema.catalog, namespace=[schema.schema])


def _wrap_name(owner: Any, method: str, session_of: SessionOf, finish: Finish = _unchanged) -> None:
    """Wrap a method whose first argument is a table's name, and maybe the second its schema."""
    original = getattr(owner, method)
    signature = inspect.signature(original)
    name_of_name = list(signature.parameters)[1]

    @functools.wraps(original)
    def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
        session = session_of(self)
        statements = statements_of(session)
        if statements is None:
            return original(self, *args, **kwargs)
        given = signature.bind(self, *args, **kwargs)
        schema = given.arguments.pop("dbName", None)
        name = given.arguments[name_of_name]
        written = f"{schema}.{name}" if schema else name
        given.arguments[name_of_name] = statements.catalog.spark_name(session, written)
        result = _restoring(session, original, given)
        return finish(statements, session, written, result)

    setattr(owner, method, wrapper)


def _restoring(session: Any, call: Callable[..., Any], given: inspect.BoundArguments) -> Any:
    from pyspark.errors.exceptions.captured import CapturedException

    try:
        return call(*given.args, **given.kwargs)
    except CapturedException as error:
        _restore(session, error, None)
        raise


def _wrap_for_name(owner: Any) -> None:
    """DeltaTable.forName(session, name), a class method."""
    original = owner.forName

    @functools.wraps(original)
    def wrapper(_class: Any, sparkSession: Any, tableOrViewName: str) -> Any:  # noqa: N803 - Delta's
        statements = statements_of(sparkSession)
        if statements is None:
            return original(sparkSession, tableOrViewName)
        return original(sparkSession, statements.catalog.spark_name(sparkSession, tableOrViewName))

    owner.forName = classmethod(wrapper)


def _wrap_catalog_call(owner: Any, method: str, call: Callable[..., Any]) -> None:
    """Answer a method of ``spark.catalog`` from the warehouse."""
    original = getattr(owner, method)

    @functools.wraps(original)
    def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
        session = _spark_session_of(self)
        statements = statements_of(session)
        if statements is None:
            return original(self, *args, **kwargs)
        return call(statements, session, *args, **kwargs)

    setattr(owner, method, wrapper)
