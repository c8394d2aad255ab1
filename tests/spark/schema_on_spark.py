"""What the tests of the schema engine share: a session that tells, and a judge of its own."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from pyspark.sql import SparkSession

from lakeflow_meta.backends.delta_log import DeltaLogReader
from lakeflow_meta.backends.spark import SparkSqlSession
from lakeflow_meta.ports import Row
from lakeflow_meta.schema.live import LiveTable
from lakeflow_meta.schema.table import Column, DeltaTable, Policy
from lakeflow_meta.schema.type_text import parse_type
from lakeflow_meta.schema.types import Array, DataType, Map, Struct, StructField


class ToldSession:
    """The real session. Remembers what it ran; ``before`` and ``after`` see each statement."""

    def __init__(self, spark: SparkSession) -> None:
        self._inner = SparkSqlSession(spark)
        self.ran: list[str] = []
        self.before: Callable[[str], None] = lambda _: None
        self.after: Callable[[str], None] = lambda _: None

    def execute(self, statement: str, parameters: Mapping[str, Any] | None = None) -> list[Row]:
        self.before(statement)
        self.ran.append(statement)
        rows = self._inner.execute(statement, parameters)
        self.after(statement)
        return rows

    @property
    def changes(self) -> list[str]:
        """All that ran, without questions to the data."""
        return [text for text in self.ran if not text.startswith("SELECT ")]

    def read(self, query: str) -> list[Row]:
        """Rows, without remembering that they were read."""
        return self._inner.execute(query)


def columns(**types: str) -> list[Column]:
    return [Column(name, parse_type(text)) for name, text in types.items()]


def table(schema: str, name: str, made: Sequence[Column], **more: Any) -> DeltaTable:
    catalog, schema_name = schema.split(".")
    return DeltaTable(catalog, schema_name, name, made, **more)


def live_table(reader: DeltaLogReader, declared: DeltaTable) -> LiveTable:
    state = reader.describe([declared.full_name])[declared.full_name]
    assert isinstance(state, LiveTable), state
    return state


def differences(declared: DeltaTable, live: LiveTable) -> list[str]:
    """What is not as declared. Knows nothing of the engine's own comparison."""
    return list(_differences(declared, live))


def _differences(declared: DeltaTable, live: LiveTable) -> Iterator[str]:
    strict = declared.policy is Policy.STRICT
    yield from _of_fields("", declared.columns, live.columns, strict=strict)
    for column in declared.columns:
        there = live.column(column.name)
        if there is not None:
            yield from _unequal(f"default of {column.name}", column.default, there.default)
            yield from _unequal(f"source of {column.name}", column.generated, there.generated)
            if column.identity != there.identity:
                yield f"identity of {column.name}"
    yield from _unequal("comment", declared.comment, live.comment, bare=False)
    checks = {name.lower(): text for name, text in declared.checks.items()}
    for name in checks | dict(live.checks) if strict else checks:
        yield from _unequal(f"check {name}", checks.get(name, ""), live.checks.get(name, ""))
    yield from _of_properties(declared, live, strict=strict)
    clustered = {".".join(path) for path in declared.clustering_paths}
    there_clustered = {name.replace("`", "") for name in live.clustered_by or ()}
    if (clustered or strict) and clustered != there_clustered:
        yield f"clustering {there_clustered}, not {clustered}"


def _of_properties(declared: DeltaTable, live: LiveTable, *, strict: bool) -> Iterator[str]:
    for key, value in declared.properties.items():
        if not key.startswith("delta.feature."):
            yield from _unequal(f"property {key}", value, live.properties.get(key, ""), bare=False)
    yield from (
        f"property {key} is there" for key in declared.absent_properties if key in live.properties
    )
    for key in live.properties:
        if strict and key not in declared.properties and not key.startswith("delta."):
            yield f"property {key} is left"


def _of_fields(
    where: str,
    declared: Sequence[Column] | Sequence[StructField],
    live: Sequence[Column] | Sequence[StructField],
    *,
    strict: bool,
) -> Iterator[str]:
    there = {one.name: one for one in live}
    if strict and [one.name for one in declared] != [one.name for one in live]:
        yield f"fields of {where or 'the table'}: {list(there)}"
    for one in declared:
        path = f"{where}.{one.name}".strip(".")
        if one.name not in there:
            yield f"{path} is missing"
            continue
        found = there[one.name]
        if found.nullable != one.nullable:
            yield f"nullability of {path}"
        yield from _unequal(f"comment of {path}", one.comment, found.comment, bare=False)
        yield from _of_types(path, one.data_type, found.data_type, strict=strict)


def _of_types(path: str, declared: DataType, live: DataType, *, strict: bool) -> Iterator[str]:
    match declared, live:
        case Struct(fields), Struct(others):
            yield from _of_fields(path, fields, others, strict=strict)
        case Array(one), Array(other):
            yield from _of_types(f"{path}.element", one, other, strict=strict)
        case Map(key, value), Map(other_key, other_value):
            yield from _of_types(f"{path}.key", key, other_key, strict=strict)
            yield from _of_types(f"{path}.value", value, other_value, strict=strict)
        case _:
            if str(declared) != str(live):
                yield f"{path} is {live}, not {declared}"


def _unequal(what: str, declared: str, live: str, *, bare: bool = True) -> Iterator[str]:
    """``bare``: blanks do not matter, nor does case."""
    one, other = (declared, live)
    if bare:
        one, other = (re.sub(r"\s", "", text).lower() for text in (declared, live))
    if one != other:
        yield f"{what} is {live!r}, not {declared!r}"
