"""Three-level names in pyspark's own calls, for sessions of the embedded Spark only.

pyspark has no place where a caller could translate names, so its methods are wrapped once for the
process. A wrapper acts only where the SparkContext is one that `attach` has been told of; every
other session (a cluster's, Spark Connect's) runs pyspark's own code.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from lakeflow_meta.backends.local.catalog import LocalCatalog
from lakeflow_meta.backends.local.sql_tokens import Dotted, items
from lakeflow_meta.backends.local.statements import Statements
from lakeflow_meta.backends.local.warehouse import Warehouse

if TYPE_CHECKING:
    from pathlib import Path

    from pyspark.sql import DataFrame, SparkSession

_attached: WeakKeyDictionary[Any, NamesOfSession] = WeakKeyDictionary()
_originals: dict[tuple[type, str], Callable[..., Any]] = {}


class NamesOfSession:
    """The catalog and the statements of one embedded Spark."""

    def __init__(self, root: Path, catalogs: tuple[str, ...]) -> None:
        self.catalog = LocalCatalog(Warehouse(root), catalogs, _spark_sql)
        self.statements = Statements(self.catalog)

    def settle(self, session: SparkSession, name: str) -> None:
        """Note what a DataFrame call may have made."""
        found = items(name)
        if len(found) == 1 and isinstance(found[0], Dotted):
            self.statements.settle(session, found[0].parts)


def attach(session: SparkSession, root: Path, catalogs: tuple[str, ...]) -> None:
    """Give every session of this SparkContext three-level names."""
    _wrap_once()
    _attached[session.sparkContext] = NamesOfSession(root, catalogs)


def _names_of(session: Any) -> NamesOfSession | None:
    return _attached.get(getattr(session, "_sc", None)) if hasattr(session, "_sc") else None


def _spark_sql(session: SparkSession, text: str, args: Any = None) -> DataFrame:
    """pyspark's own ``sql``; its errors name things as people know them."""
    from pyspark.errors.exceptions.captured import CapturedException
    from pyspark.sql import SparkSession as SessionClass

    try:
        frame: DataFrame = _originals[SessionClass, "sql"](session, text, args)
    except CapturedException as error:
        restore_names(session, error)
        raise
    return frame


def restore_names(session: Any, error: Any) -> None:
    """Put the names that people know into an error of Spark's."""
    names = _names_of(session)
    if names is not None:
        error._desc = names.catalog.names.restore(error._desc)  # noqa: SLF001 - what str() shows


def _wrap_once() -> None:
    if _originals:
        return
    from delta.tables import DeltaTable, DeltaTableBuilder
    from pyspark.sql import SparkSession
    from pyspark.sql.catalog import Catalog
    from pyspark.sql.classic.dataframe import DataFrame
    from pyspark.sql.readwriter import DataFrameReader, DataFrameWriter
    from pyspark.sql.streaming.readwriter import DataStreamReader, DataStreamWriter

    _wrap(SparkSession, "sql", _sql)
    _wrap_name(SparkSession, "table", lambda session: session)
    for reader in (DataFrameReader, DataStreamReader):
        _wrap_name(reader, "table", lambda each: each._spark)
    for writer, method in (
        (DataFrameWriter, "saveAsTable"),
        (DataFrameWriter, "insertInto"),
        (DataStreamWriter, "toTable"),
    ):
        _wrap_name(writer, method, lambda each: each._spark, settles=True)
    for method in ("writeTo", "mergeInto"):
        _wrap_name(DataFrame, method, lambda frame: frame.sparkSession)
    for method in _CATALOG_TABLE_METHODS:
        _wrap_name(Catalog, method, lambda catalog: catalog._sparkSession)
    _wrap_name(DeltaTableBuilder, "tableName", lambda builder: builder._spark)
    _wrap_static(DeltaTable, "forName")


_CATALOG_TABLE_METHODS = (
    *("tableExists", "getTable", "listColumns", "isCached", "cacheTable", "uncacheTable"),
    *("refreshTable", "recoverPartitions", "createTable"),
)


def _wrap(owner: type, method: str, around: Callable[..., Any]) -> None:
    original = getattr(owner, method)
    _originals[owner, method] = original

    @functools.wraps(original)
    def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
        return around(original, self, *args, **kwargs)

    setattr(owner, method, wrapper)


def _wrap_name(
    owner: type, method: str, session_of: Callable[[Any], Any], *, settles: bool = False
) -> None:
    """Wrap a method whose first argument is a table's name."""

    def around(original: Callable[..., Any], self: Any, *args: Any, **kwargs: Any) -> Any:
        session = session_of(self)
        names = _names_of(session)
        if names is None or not args or not isinstance(args[0], str):
            return original(self, *args, **kwargs)
        result = original(self, names.catalog.spark_name(session, args[0]), *args[1:], **kwargs)
        if settles:
            names.settle(session, args[0])
        return result

    _wrap(owner, method, around)


def _wrap_static(owner: type, method: str) -> None:
    """Wrap a class method that takes a session and a table's name."""
    original = getattr(owner, method)
    _originals[owner, method] = original

    @functools.wraps(original)
    def wrapper(cls: type, session: Any, name: str, *args: Any) -> Any:
        names = _names_of(session)
        known = names.catalog.spark_name(session, name) if names else name
        return original(session, known, *args)

    setattr(owner, method, classmethod(wrapper))


def _sql(
    original: Callable[..., Any], session: Any, sqlQuery: str, args: Any = None, **kwargs: Any  # noqa: N803 - pyspark's name
) -> Any:
    names = _names_of(session)
    if names is None or kwargs:
        return original(session, sqlQuery, args, **kwargs)
    return names.statements.sql(session, sqlQuery, args)
