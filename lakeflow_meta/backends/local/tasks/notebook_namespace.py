"""The names that a notebook finds without importing anything.

https://docs.databricks.com/notebooks/notebooks-code (``spark``, ``dbutils``, ``display``, …)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TextIO

from lakeflow_meta.backends.local.tasks.dbutils.whole import Dbutils
from lakeflow_meta.backends.local.tasks.result_table import SHOWN_ROWS, text_table

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


_WIDEST_NAME = 300
"""Of lists of named tuples, such as files: their paths are to be read whole."""


class Namespace(dict[str, Any]):
    """A notebook's variables; those that need Spark are made when they are first used."""

    def __init__(self, names: dict[str, Any], later: dict[str, Callable[[], Any]]) -> None:
        super().__init__(names)
        self._later = later

    def __missing__(self, name: str) -> Any:
        if name not in self._later:
            raise KeyError(name)
        value = self[name] = self._later[name]()
        return value

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name) or name in self._later

    def get(self, name: str, default: Any = None) -> Any:
        """As of a dict; what is made later is made now."""
        try:
            return self[name]
        except KeyError:
            return default


def notebook_names(
    file: str, dbutils: Dbutils, session: Callable[[], SparkSession], output: TextIO
) -> Namespace:
    """The variables of a notebook that has not run yet."""

    def udf_of() -> Any:
        from pyspark.sql.functions import udf

        return udf

    def display(value: Any = None, *_args: Any, **_kwargs: Any) -> None:
        output.write(displayed(value))

    def display_html(html: str = "", *_args: Any, **_kwargs: Any) -> None:
        output.write(f"{html}\n")

    names = {
        "__name__": "__main__",
        "__file__": file,
        "dbutils": dbutils,
        "getArgument": dbutils.widgets.getArgument,
        "display": display,
        "displayHTML": display_html,
        "sql": lambda text, args=None, **kwargs: session().sql(text, args, **kwargs),
        "table": lambda name: session().table(name),
    }
    later = {
        "spark": session,
        "sc": lambda: session().sparkContext,
        "sqlContext": session,
        "udf": udf_of,
    }
    return Namespace(names, later)


def displayed(value: Any) -> str:
    """A DataFrame as a table, anything else as text."""
    if is_frame(value):
        return text_table(value.columns, value.take(SHOWN_ROWS + 1))
    if isinstance(value, list) and value and all(hasattr(row, "_fields") for row in value):
        return text_table(value[0]._fields, value, _WIDEST_NAME)
    return f"{value}\n"


def is_frame(value: Any) -> bool:
    """Whether it is a DataFrame of Spark's."""
    return hasattr(value, "columns") and hasattr(value, "take") and hasattr(value, "schema")
