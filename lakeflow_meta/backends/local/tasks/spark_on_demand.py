"""Programs and notebooks that ask pyspark for a session by themselves get the embedded one.

``SparkSession.builder.getOrCreate()``, ``SparkContext.getOrCreate()`` and Databricks Connect's
``DatabricksSession`` know nothing of the embedded warehouse. `install` puts a hook where Python
imports pyspark's session, so nothing is imported, and no JVM started, before somebody asks. Modules
that exist only on Databricks (``databricks.connect``, ``databricks.sdk.runtime``,
``pyspark.dbutils``) are made up by `offered_modules`.

Imports nothing beyond the standard library but `offered_modules`: every Python task loads it.
"""

from __future__ import annotations

import functools
import importlib
import importlib.abc
import importlib.machinery
import logging
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from types import ModuleType
from typing import Any

from lakeflow_meta.backends.local.tasks.offered_modules import offer_everywhere, offered_spec

logger = logging.getLogger(__name__)

AskSession = Callable[[], Any]
"""Gives the session to use, None where pyspark's own is to be made."""

_asked: ContextVar[AskSession | None] = ContextVar("asked_session", default=None)
_making = threading.local()
_installing = threading.Lock()
_everywhere: AskSession | None = None
_HOOKED = ("pyspark.sql.session", "pyspark.core.context")


@contextmanager
def asked_sessions(ask: AskSession) -> Iterator[None]:
    """Who asks pyspark inside, in this thread and those it starts, gets what ``ask`` gives."""
    install()
    token = _asked.set(ask)
    try:
        yield
    finally:
        _asked.reset(token)


def install(
    everywhere: AskSession | None = None, names: Mapping[str, Callable[[], Any]] | None = None
) -> None:
    """Hook pyspark in this process; ``everywhere`` answers where no task has its own session.

    ``names`` makes what ``databricks.sdk.runtime`` offers there.
    """
    global _everywhere
    with _installing:
        _everywhere = everywhere or _everywhere
        offer_everywhere(names or {})
        if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
            sys.meta_path.insert(0, _Finder())
        for name in _HOOKED:
            if name in sys.modules and not _hooks_itself(sys.modules[name]):
                _hook(importlib.import_module(name))  # waits where another thread imports it


def _hooks_itself(module: ModuleType) -> bool:
    """Whether it is hooked when it is loaded. Another thread may be at it: it is empty then."""
    return module.__spec__ is not None and isinstance(module.__spec__.loader, _HookingLoader)


class _Finder(importlib.abc.MetaPathFinder):
    """Finds two modules of pyspark as always, and hooks them once they are loaded."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname not in _HOOKED:
            inside = _asked.get() is not None or _everywhere is not None
            return offered_spec(fullname, path) if inside else None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _HookingLoader(spec.loader)
        return spec


class _HookingLoader(importlib.abc.Loader):
    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        made: ModuleType | None = self._loader.create_module(spec)
        return made

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)
        _hook(module)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)


def _hook(module: ModuleType) -> None:
    if module.__name__ == "pyspark.sql.session":
        session = module.SparkSession
        _wrap(session.Builder, "getOrCreate", _session_of_builder)
        for method in ("getActiveSession", "active"):
            _wrap_class_method(session, method, _ask)
        _keep_running(session)
    else:
        _wrap_class_method(module.SparkContext, "getOrCreate", _ask_for_context)
        _keep_running(module.SparkContext)


def _wrap_class_method(owner: Any, method: str, answer: Callable[[], Any]) -> None:
    original = owner.__dict__[method].__func__
    if not hasattr(original, "_hooked"):
        setattr(owner, method, classmethod(_hooked(original, lambda *_: answer())))


def _keep_running(owner: Any) -> None:
    """A notebook that calls ``spark.stop()`` must not end the session of all other tasks."""
    original = owner.stop
    if hasattr(original, "_hooked"):
        return

    @functools.wraps(original)
    def stop(self: Any) -> None:
        if _asked.get() is None:
            original(self)
        else:
            logger.warning("stop() is ignored: Spark is shared with other tasks")

    vars(stop)["_hooked"] = True
    owner.stop = stop


def _wrap(owner: Any, method: str, answer: Callable[..., Any]) -> None:
    original = getattr(owner, method)
    if not hasattr(original, "_hooked"):
        setattr(owner, method, _hooked(original, answer))


def _hooked(original: Callable[..., Any], answer: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        found = answer(*args)
        return original(*args, **kwargs) if found is None else found

    vars(wrapper)["_hooked"] = True
    return wrapper


@contextmanager
def pyspark_itself() -> Iterator[None]:
    """Inside, pyspark answers: whoever starts the embedded session asks it for a session too."""
    before = getattr(_making, "now", False)
    _making.now = True
    try:
        yield
    finally:
        _making.now = before


def _ask() -> Any:
    """The session to use, None where pyspark is to answer."""
    ask = _asked.get() or _everywhere
    if ask is None or getattr(_making, "now", False):
        return None
    with pyspark_itself():
        return ask()


def _ask_for_context() -> Any:
    session = _ask()
    return None if session is None else session.sparkContext


def _session_of_builder(builder: Any) -> Any:
    """With the builder's options, as far as a running session takes them; else pyspark's own."""
    options = dict(builder._options)  # noqa: SLF001 - there is no public way
    if "spark.remote" in options:
        return None
    session = _ask()
    for key, value in options.items() if session is not None else ():
        if session.conf.isModifiable(key):
            session.conf.set(key, value)
    return session
