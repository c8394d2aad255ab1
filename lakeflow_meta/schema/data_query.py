"""One look at the data for all questions of a plan, as the columns will be then. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from lakeflow_meta import sql_tables as sql
from lakeflow_meta.schema.field_paths import Path, path_key
from lakeflow_meta.schema.live import LiveTable
from lakeflow_meta.schema.renames import plan_renames
from lakeflow_meta.schema.table import DeltaTable, column_named
from lakeflow_meta.schema.types import DataType, Struct, StructField
from lakeflow_meta.schema.verdict import Question


def data_query(
    declared: DeltaTable,
    live: LiveTable,
    dropped: Sequence[Path],
    filled: Mapping[str, str],
    questions: Sequence[Question],
) -> str:
    """Counts what each question asks for, as the columns ``q0``, ``q1``, … of one row.

    Conditions speak of columns under their new names; new ones are there, without values, and
    ``dropped`` ones are not. ``filled`` are values that missing ones are given, by lower-case name.
    Types stay, so that a condition can ask for what does not fit.
    """
    gone = {path_key(path) for path in dropped}
    renamed = plan_renames(declared, live).live.columns
    shape: list[tuple[str, str]] = []
    for old, new in zip(live.columns, renamed, strict=True):
        wanted = column_named(declared.columns, new.name)
        value = sql.as_type(old.name, old.data_type, new.data_type)
        if wanted is not None:
            value = _with_fields(value, (new.name,), new.data_type, wanted.data_type, gone)
        if path_key((new.name,)) not in gone:
            shape.append((new.name, value))
    there = {column.name.lower() for column in renamed}
    shape += [
        (column.name, sql.typed_null(column.data_type))
        for column in declared.columns
        if column.name.lower() not in there
    ]
    shape = [
        (name, sql.filled(value, filled[name.lower()]) if name.lower() in filled else value)
        for name, value in shape
    ]
    conditions = {f"q{index}": question.condition for index, question in enumerate(questions)}
    return sql.count_rows(live.name, shape, conditions)


def _with_fields(
    value: str, path: Path, live: DataType, declared: DataType, gone: Collection[Path]
) -> str:
    """A value with the fields that a struct will have; inside arrays and maps nothing changes."""
    if not isinstance(live, Struct) or not isinstance(declared, Struct):
        return value
    wanted = {field.name.lower(): field for field in declared.fields}
    fields = [
        (field.name, _kept(value, (*path, field.name), field, wanted, gone))
        for field in live.fields
        if path_key((*path, field.name)) not in gone
    ]
    there = {field.name.lower() for field in live.fields}
    fields += [
        (field.name, sql.typed_null(field.data_type))
        for key, field in wanted.items()
        if key not in there
    ]
    same = [(field.name, sql.field_of(value, field.name)) for field in live.fields]
    return value if fields == same else sql.struct_of(value, fields)


def _kept(
    value: str,
    path: Path,
    field: StructField,
    wanted: dict[str, StructField],
    gone: Collection[Path],
) -> str:
    inner = sql.field_of(value, field.name)
    declared = wanted.get(field.name.lower(), field)
    return _with_fields(inner, path, field.data_type, declared.data_type, gone)
