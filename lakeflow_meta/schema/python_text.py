"""Declarations as the Python module that makes them: the same bytes each time. Pure.

The module holds one variable a declaration and ``registry``, and imports only what it uses. It
stands as ``ruff format`` leaves it, in lines of at most 100 characters where names allow it.
"""

from __future__ import annotations

import builtins
import keyword
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, count

from lakeflow_meta.names import TableName
from lakeflow_meta.schema.python_layout import Call, Code, Entries, Items, Text, layout, line
from lakeflow_meta.schema.table import (
    Column,
    Declared,
    DeltaTable,
    DroppedTable,
    ForeignKey,
    Identity,
    Policy,
    View,
)
from lakeflow_meta.schema.types import (
    Array,
    Char,
    DataType,
    Decimal,
    Map,
    Struct,
    StructField,
    Varchar,
)

_DOCUMENTATION = '"""Tables and views, imported from live ones by `lakeflow-meta tables import`."""'

_PUBLIC = "lakeflow_meta"
_HOMES = {"parse_type": "lakeflow_meta.schema.type_text"}
"""Where names are imported from that are not public."""

_MOST_STRUCTS = 4
"""Levels of structs that are written as calls, each 12 characters further to the right."""


def python_module(tables: Iterable[Declared]) -> str:
    """The declarations, by name, as the source of a module."""
    found = sorted(tables, key=lambda table: table.full_name.key)
    names = variable_names([table.full_name for table in found])
    values = {names[table.full_name]: _declaration(table) for table in found}
    values["registry"] = Call("Registry", (Items(tuple(values)),) if values else ())
    used = {name for value in values.values() for name in _called(value)}
    assigned = [layout(f"{name} = ", value) for name, value in values.items()]
    return "\n".join([_DOCUMENTATION, "", *_imports(used), "", *assigned]) + "\n"


def _imports(used: Iterable[str]) -> Iterator[str]:
    homes: dict[str, list[str]] = {}
    for name in sorted(used, key=lambda name: (name.islower(), name.lower())):
        homes.setdefault(_HOMES.get(name, _PUBLIC), []).append(name)
    for home in sorted(homes):
        names = homes[home]
        whole = f"from {home} import {', '.join(names)}"
        if line(whole):
            yield whole
        else:
            yield "\n".join([f"from {home} import (", *(f"    {name}," for name in names), ")"])


def _called(code: Code) -> Iterator[str]:
    """Names that the code needs."""
    match code:
        case Call(name, values, named):
            yield name
            for value in (*values, *named.values()):
                yield from _called(value)
        case Items(values):
            for value in values:
                yield from _called(value)
        case str() if "." in code:
            yield code.split(".", maxsplit=1)[0]
        case _:
            pass


# --------------------------------------------------------------------------- names of variables


def variable_names(tables: Sequence[TableName]) -> dict[TableName, str]:
    """A variable for each table: its name, with its schema and catalog where others have it too."""
    wanted = [_candidates(table) for table in tables]
    shared = [Counter(names) for names in zip(*wanted, strict=True)]
    taken = {"registry", "parse_type"}
    found: dict[TableName, str] = {}
    for table, names in zip(tables, wanted, strict=True):
        unique = [name for name, others in zip(names, shared, strict=True) if others[name] == 1]
        numbered = (f"{names[-1]}_{number}" for number in count(2))
        found[table] = next(name for name in chain(unique, numbered) if name not in taken)
        taken.add(found[table])
    return found


def _candidates(table: TableName) -> tuple[str, str, str]:
    in_schema = f"{table.schema}_{table.name}"
    return (
        _identifier(table.name),
        _identifier(in_schema),
        _identifier(f"{table.catalog}_{in_schema}"),
    )


def _identifier(text: str) -> str:
    name = re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_") or "table"
    if name[0].isdigit():
        name = f"table_{name}"
    return f"{name}_" if keyword.iskeyword(name) or hasattr(builtins, name) else name


# --------------------------------------------------------------------------- declarations


def _declaration(table: Declared) -> Code:
    name = table.full_name
    parts = (Text(name.catalog), Text(name.schema), Text(name.name))
    match table:
        case DeltaTable():
            return Call("DeltaTable", parts, _given(_table_parts(table)))
        case View(query=query, comment=comment):
            named = _given({"query": Text(query), "comment": _text(comment)})
            return Call("View", parts, named)
        case DroppedTable():
            return Call("DroppedTable", parts)


def _table_parts(table: DeltaTable) -> dict[str, Code | None]:
    strict = table.policy is Policy.STRICT
    return {
        "columns": Items(tuple(_column(column) for column in table.columns)),
        "comment": _text(table.comment),
        "primary_key": _texts(table.primary_key),
        "foreign_keys": _items(_foreign_key(key) for key in table.foreign_keys),
        "properties": _entries(table.properties),
        "clustered_by": _texts(table.clustered_by),
        "partitioned_by": _texts(table.partitioned_by),
        "checks": _entries(table.checks),
        "tags": _entries(table.tags),
        "location": _text(table.location),
        "renamed_from": _text(table.renamed_from),
        "renamed_columns": _entries(table.renamed_columns),
        "policy": "Policy.STRICT" if strict else None,
        "allow": _texts(table.allow),
        "absent_properties": _texts(table.absent_properties),
    }


def _column(column: Column) -> Code:
    named = {
        "nullable": None if column.nullable else "False",
        "comment": _text(column.comment),
        "default": _text(column.default),
        "generated": _text(column.generated),
        "identity": None if column.identity is None else _identity(column.identity),
        "tags": _entries(column.tags),
    }
    return Call("Column", (Text(column.name), type_code(column.data_type)), _given(named))


def _identity(identity: Identity) -> Code:
    usual = Identity()
    named: dict[str, Code | None] = {
        "start": None if identity.start == usual.start else str(identity.start),
        "step": None if identity.step == usual.step else str(identity.step),
        "always": None if identity.always else "False",
    }
    return Call("Identity", (), _given(named))


def _foreign_key(key: ForeignKey) -> Code:
    named = {"referenced_columns": _texts(key.referenced_columns), "name": _text(key.name)}
    columns = Items(tuple(Text(name) for name in key.columns))
    return Call("ForeignKey", (columns, Text(str(key.parent))), _given(named))


def _given(named: Mapping[str, Code | None]) -> dict[str, Code]:
    """Without what is as it is anyway."""
    return {name: value for name, value in named.items() if value is not None}


def _text(text: str) -> Code | None:
    return Text(text) if text else None


def _texts(names: Iterable[str]) -> Code | None:
    return _items(Text(name) for name in names)


def _items(values: Iterable[Code]) -> Code | None:
    found = tuple(values)
    return Items(found) if found else None


def _entries(values: Mapping[str, str]) -> Code | None:
    return Entries(dict(values)) if values else None


# --------------------------------------------------------------------------- types


def type_code(data_type: DataType) -> Code:
    """The type as a call; one of many levels as SQL text, which stays inside the line."""
    if _structs(data_type) > _MOST_STRUCTS:
        return Call("parse_type", (Text(str(data_type)),))
    return _type_call(data_type)


def _structs(data_type: DataType) -> int:
    match data_type:
        case Array(element):
            return _structs(element)
        case Map(key, value):
            return max(_structs(key), _structs(value))
        case Struct(fields):
            return 1 + max(_structs(field.data_type) for field in fields)
        case _:
            return 0


def _type_call(data_type: DataType) -> Code:
    name = type(data_type).__name__
    match data_type:
        case Array(element):
            return Call(name, (_type_call(element),))
        case Map(key, value):
            return Call(name, (_type_call(key), _type_call(value)))
        case Struct(fields):
            return Call(name, (Items(tuple(_field(field) for field in fields)),))
        case Decimal(precision, scale):
            return Call(name, (str(precision), str(scale)))
        case Char(length) | Varchar(length):
            return Call(name, (str(length),))
        case _:
            return Call(name)


def _field(field: StructField) -> Code:
    nullable = None if field.nullable else "False"
    named = _given({"nullable": nullable, "comment": _text(field.comment)})
    return Call("StructField", (Text(field.name), _type_call(field.data_type)), named)
