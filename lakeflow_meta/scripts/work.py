"""The identity of a work function: its source, and the values that it carries. Pure.

A function that carries nothing has the SHA-256 of its source. What it captured, its defaults, what
is bound to it (``functools.partial``, a method's object) and the unchangeable values among the
module's variables that it reads (text, numbers, dates, tuples of them) make another function of the
same source: a loop that defines one function for each table defines as many scripts. A value that
has no lasting form needs an explicit guid.
"""

from __future__ import annotations

import dis
import functools
import inspect
import types
from collections.abc import Callable, Iterator, Mapping, Set
from dataclasses import fields, is_dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any
from uuid import UUID

from pydantic import BaseModel

from lakeflow_meta.errors import ConfigError
from lakeflow_meta.fingerprint import canonical_json, content_hash

Work = Callable[[], object]

_RULE = "work_fn must be a named function defined at top-level"
_WAY_OUT = "; give guid=… to name this script yourself"


class WorkFunctionError(ConfigError, ValueError):
    """The function cannot be told from others by its source."""


class _NoLastingFormError(Exception):
    """A value that another process could not recognise."""


def work_guid(work: Work) -> str:
    """64 hex digits, the same in every process. Raises WorkFunctionError."""
    try:
        source, carried = _parts(work, ())
    except _NoLastingFormError as error:
        raise WorkFunctionError(f"{error}{_WAY_OUT}") from error
    text = f"{source}\0{canonical_json(carried)}" if carried else source
    return content_hash(text.encode())


def check_callable(work: Work) -> None:
    """Refuse what does nothing when it is called. Raises WorkFunctionError."""
    if not callable(work):
        raise WorkFunctionError(f"work_fn is no function but {type(work).__name__}")
    plain = inspect.unwrap(_unbound(work))
    if inspect.iscoroutinefunction(plain) or inspect.isasyncgenfunction(plain):
        raise WorkFunctionError("work_fn is async: calling it would not run its body")
    if inspect.isgeneratorfunction(plain):
        raise WorkFunctionError("work_fn has a yield: calling it would not run its body")


def _unbound(work: Any) -> Any:
    while isinstance(work, functools.partial):
        work = work.func
    return work


def _parts(work: Any, above: tuple[int, ...]) -> tuple[str, dict[str, Any]]:
    """Source, and what goes with it by kind; ``above`` are functions that this one belongs to."""
    bound: dict[str, Any] = {}
    while isinstance(work, functools.partial):
        bound.setdefault("bound", []).append(
            [_value(list(work.args), above), _value(work.keywords, above)]
        )
        work = work.func
    if isinstance(work, types.MethodType):
        bound["self"] = _value(work.__self__, above)
        work = work.__func__
    if not isinstance(work, types.FunctionType):
        raise WorkFunctionError(f"{_RULE}, not {type(work).__name__}{_WAY_OUT}")
    if work.__name__ == "<lambda>":
        raise WorkFunctionError(f"{_RULE}, not a lambda: several may stand on one line{_WAY_OUT}")
    return _source(work), {**bound, **_carried(work, (*above, id(work)))}


def _source(function: types.FunctionType) -> str:
    try:
        return inspect.getsource(function)
    except (OSError, TypeError) as error:
        name = function.__qualname__
        raise WorkFunctionError(f"{_RULE}: {name!r} has no source{_WAY_OUT}") from error


def _carried(function: types.FunctionType, above: tuple[int, ...]) -> dict[str, Any]:
    found = {
        "captured": dict(_captured(function, above)),
        "defaults": [_value(value, above) for value in function.__defaults__ or ()],
        "keyword_defaults": _value(function.__kwdefaults__ or {}, above)[1],
        "module": dict(_read_from_module(function, above)),
    }
    return {kind: values for kind, values in found.items() if values}


def _captured(function: types.FunctionType, above: tuple[int, ...]) -> Iterator[tuple[str, Any]]:
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            value = cell.cell_contents
        except ValueError:  # assigned later, or never
            yield name, None
            continue
        try:
            yield name, _value(value, above)
        except _NoLastingFormError as error:
            raise _NoLastingFormError(f"work_fn captures {name!r}: {error}") from error


def _read_from_module(
    function: types.FunctionType, above: tuple[int, ...]
) -> Iterator[tuple[str, Any]]:
    """Unchangeable values only: functions, sessions and lists of the module are its tools."""
    for name in sorted(_global_names(function.__code__)):
        value = function.__globals__.get(name)
        if name.startswith("__") or value is None or not isinstance(value, _PLAIN):
            continue
        try:
            yield name, _value(value, above)
        except _NoLastingFormError:
            continue


def _global_names(code: types.CodeType) -> set[str]:
    """Variables of the module that are read; what the function assigns itself is its result."""
    read, assigned = _names(code, "LOAD_GLOBAL"), _names(code, "STORE_GLOBAL")
    return read - assigned


def _names(code: types.CodeType, operation: str) -> set[str]:
    found = {i.argval for i in dis.get_instructions(code) if i.opname == operation}
    for const in code.co_consts:
        if isinstance(const, types.CodeType):
            found |= _names(const, operation)
    return found


_OF_JSON = (bool, int, str)
_FORMS: tuple[tuple[type, str, Callable[[Any], str]], ...] = (
    (PurePath, "path", PurePath.as_posix),
    (datetime, "datetime", str),
    (date, "date", str),
    (time, "time", str),
    (timedelta, "timedelta", str),
    (Decimal, "decimal", str),
    (UUID, "uuid", str),
    (bool, "bool", repr),
    (int, "int", int.__repr__),
    (str, "str", str.__str__),
    (float, "float", repr),
    (complex, "complex", repr),
    (bytes, "bytes", bytes.hex),
    (range, "range", repr),
)
"""Values with the names and texts that they have on every system, and in every version of Python;
a class goes before the one it is made of."""
_SINGLE = tuple(form for form, _, _ in _FORMS)
_PLAIN = (*_SINGLE, Enum, tuple, frozenset)
_TOOLS = frozenset({("pyspark", "SparkSession"), ("lakeflow_meta", "ddl_utils")})
"""Root module and name of classes that stand for where the work is done, and not for what it is."""


def _value(value: Any, above: tuple[int, ...]) -> Any:
    """A JSON form that tells values apart, with the type where JSON would lose it."""
    if value is None or type(value) in _OF_JSON:
        return value
    if isinstance(value, Enum):
        return [_class_name(value), value.name]
    for form, name, text in _FORMS:
        if isinstance(value, form):
            return [name, text(value)]
    if is_dataclass(value) and not isinstance(value, type):
        pairs = {f.name: _value(getattr(value, f.name), above) for f in fields(value)}
        return [_class_name(value), pairs]
    if isinstance(value, BaseModel):
        return [_class_name(value), _value(value.model_dump(), above)]
    return _of_many(value, above)


def _of_many(value: Any, above: tuple[int, ...]) -> Any:
    if isinstance(value, list | tuple):
        kind = "list" if isinstance(value, list) else "tuple"
        return [kind, [_value(item, above) for item in value]]
    if isinstance(value, Mapping):
        pairs = [[_value(key, above), _value(item, above)] for key, item in value.items()]
        return ["mapping", sorted(pairs, key=canonical_json)]
    if isinstance(value, Set):
        return ["set", sorted((_value(item, above) for item in value), key=canonical_json)]
    return _of_code(value, above)


def _of_code(value: Any, above: tuple[int, ...]) -> Any:
    if isinstance(value, types.ModuleType):
        return ["module", value.__name__]
    if isinstance(value, types.BuiltinFunctionType | type):
        return ["named", value.__module__, value.__qualname__]
    if isinstance(value, types.FunctionType | types.MethodType | functools.partial):
        if id(value) in above:
            return ["itself"]
        return ["function", *_parts(value, above)]
    root, _, rest = type(value).__module__.partition(".")
    if (root, type(value).__name__) in _TOOLS:
        return ["tool", type(value).__name__]
    if (root, rest) == ("pyspark", "sql.types"):
        return ["spark type", value.json()]
    raise _NoLastingFormError(f"a {_class_name(value)} is not the same in another process")


def _class_name(value: Any) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"
