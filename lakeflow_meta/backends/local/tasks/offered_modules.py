"""Modules that exist only on Databricks, made up for the programs and notebooks of tasks.

``databricks.sdk.runtime`` gives the names of whichever notebook is running, ``databricks.connect``
the embedded session, ``pyspark.dbutils`` the task's ``dbutils``.

Imports the standard library only: it is loaded by every Python task.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from types import ModuleType
from typing import Any

_namespace: ContextVar[Mapping[str, Any] | None] = ContextVar("notebook_names", default=None)
_makers: dict[str, Callable[[], Any]] = {}


@contextmanager
def offered_names(names: Mapping[str, Any]) -> Iterator[None]:
    """What ``databricks.sdk.runtime`` offers inside: ``spark``, ``dbutils``, ``display``…"""
    token = _namespace.set(names)
    try:
        yield
    finally:
        _namespace.reset(token)


def offer_everywhere(makers: Mapping[str, Callable[[], Any]]) -> None:
    """What it offers in this process outside of notebooks; made at each use."""
    _makers.update(makers)


class Current:
    """Stands for a name of whichever notebook or program is running when it is used."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        return getattr(_current(self._name), attribute)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return _current(self._name)(*args, **kwargs)

    def __repr__(self) -> str:
        return repr(_current(self._name))


def _current(name: str) -> Any:
    names = _namespace.get() or {}
    if name in names:
        return names[name]
    if name in _makers:
        return _makers[name]()
    if name in _OF_A_SESSION:
        session = importlib.import_module("pyspark.sql").SparkSession
        return _OF_A_SESSION[name](session.builder.getOrCreate())
    raise ImportError(f"{name} is there inside of notebooks only")


_OF_A_SESSION: Mapping[str, Callable[[Any], Any]] = {
    "spark": lambda session: session,
    "sqlContext": lambda session: session,
    "sc": lambda session: session.sparkContext,
    "sql": lambda session: session.sql,
    "table": lambda session: session.table,
}


class _AnySession:
    """``DatabricksSession.builder``: whatever it is told to connect to, it is the embedded one."""

    def getOrCreate(self) -> Any:  # noqa: N802 - the platform's name
        session = importlib.import_module("pyspark.sql").SparkSession
        return session.builder.getOrCreate()

    create = getOrCreate

    def __getattr__(self, name: str) -> Any:
        if name not in _CONNECT_OPTIONS:
            raise AttributeError(name)
        return lambda *_args, **_kwargs: self


_CONNECT_OPTIONS = frozenset(
    {"remote", "serverless", "profile", "host", "token", "clusterId", "sdkConfig", "userAgent"}
    | {"validateSession", "withEnvironment", "header", "headers", "appName"}
)
"""https://docs.databricks.com/dev-tools/databricks-connect/python"""


class DatabricksSession:
    """Databricks Connect's entry point, on the embedded Spark."""

    builder = _AnySession()


def _dbutils_of(_spark: Any = None) -> Any:
    return Current("dbutils")


def _runtime_names() -> dict[str, Any]:
    return {name: Current(name) for name in RUNTIME_NAMES}


def _sdk_is_missing(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    raise ImportError(f"databricks.sdk.{name}: databricks-sdk is not installed")


RUNTIME_NAMES = (
    *("dbutils", "spark", "sc", "sql", "table", "display", "displayHTML", "getArgument", "udf"),
    "sqlContext",
)
_PACKAGES = frozenset({"databricks", "databricks.sdk"})
_ALWAYS_OFFERED = frozenset({"databricks.connect", "databricks.sdk.runtime"})
_OFFERED: Mapping[str, Callable[[], dict[str, Any]]] = {
    "databricks": dict,
    "databricks.sdk": lambda: {"__getattr__": _sdk_is_missing},
    "databricks.connect": lambda: {"DatabricksSession": DatabricksSession},
    "databricks.sdk.runtime": _runtime_names,
    "pyspark.dbutils": lambda: {"DBUtils": _dbutils_of},
}


def offered_spec(
    fullname: str, path: Sequence[str] | None
) -> importlib.machinery.ModuleSpec | None:
    """None for a module that is not offered. Two are always made up: the real ones want a
    workspace. Others only where they are missing."""
    if fullname not in _OFFERED:
        return None
    if fullname not in _ALWAYS_OFFERED:
        real = importlib.machinery.PathFinder.find_spec(fullname, path)
        if real is not None:
            return real
    is_package = fullname in _PACKAGES
    return importlib.machinery.ModuleSpec(fullname, _OfferingLoader(), is_package=is_package)


class _OfferingLoader(importlib.abc.Loader):
    def create_module(self, spec: importlib.machinery.ModuleSpec) -> None:
        """Python's own way."""

    def exec_module(self, module: ModuleType) -> None:
        vars(module).update(_OFFERED[module.__name__]())
