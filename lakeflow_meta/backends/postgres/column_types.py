"""Types of PostgreSQL as Arrow, and values from their text. Exact, or an error by name. Pure.

Text is what both `COPY` and results of queries carry. What Arrow (or Parquet, where rows often go)
has no exact type for stays the text that PostgreSQL writes: numbers of more than 76 digits or of
no fixed scale, intervals (ISO 8601), times with a zone, JSON, addresses, ranges, geometry.

https://www.postgresql.org/docs/current/datatype.html
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from lakeflow_meta.errors import BackendError

_MOST_DIGITS_128, _MOST_DIGITS_256 = 38, 76
_TYPMOD_HEADER = 4  # VARHDRSZ: precision and scale are kept above it

BOOL, BYTEA, NUMERIC, REFCURSOR = 16, 17, 1700, 1790
_PLAIN = {
    BOOL: pa.bool_(),
    20: pa.int64(),
    21: pa.int16(),
    23: pa.int32(),
    26: pa.uint32(),  # oid
    28: pa.uint32(),  # xid
    29: pa.uint32(),  # cid
    5069: pa.uint64(),  # xid8
    700: pa.float32(),
    701: pa.float64(),
    1082: pa.date32(),
    1083: pa.time64("us"),
    1114: pa.timestamp("us"),
    1184: pa.timestamp("us", "UTC"),
}
_AS_TEXT = frozenset(
    {
        *(18, 19, 25, 705, 1042, 1043),  # char, name, text, unknown, character, varchar
        *(114, 3802, 142, 2950, 4072),  # json, jsonb, xml, uuid, jsonpath
        *(1186, 1266, 790, 1560, 1562),  # interval, timetz, money, bit, varbit
        *(869, 650, 829, 774, 3220, 27),  # inet, cidr, macaddr, macaddr8, pg_lsn, tid
        *(600, 601, 602, 603, 604, 628, 718),  # point, lseg, path, box, polygon, line, circle
        *(3614, 3615, 2970, 5038),  # tsvector, tsquery, txid_snapshot, pg_snapshot
        *(3904, 3906, 3908, 3910, 3912, 3926),  # ranges of int4, num, ts, tstz, date, int8
        *(4451, 4532, 4533, 4534, 4535, 4536),  # the same as multiranges
        *(24, 2202, 2203, 2204, 2205, 2206),  # regproc, -procedure, -oper, -operator, -class, -type
        *(4096, 4089, 3734, 3769, 4191),  # regrole, -namespace, -config, -dictionary, -collation
        *(2278, REFCURSOR),  # void
    }
)
TEXT_CATEGORIES = frozenset("er")
"""``typtype`` of enumerations and ranges, which people define themselves; ``m`` are multiranges."""


@dataclass(frozen=True, slots=True)
class ColumnType:
    """A type as a result describes it. ``modifier`` is its typmod, -1 where there is none.

    ``name``, ``kind`` and ``element`` are of the catalog (pg_type: format_type, typtype, typelem of
    a true array), known only where the number says too little.
    """

    oid: int
    modifier: int = -1
    name: str = ""
    kind: str = "b"
    element: int = 0
    element_kind: str = "b"
    delimiter: str = ","


def is_known(oid: int) -> bool:
    """Whether the catalog need not be asked about a type."""
    return oid in _PLAIN or oid in _AS_TEXT or oid in (NUMERIC, BYTEA)


def arrow_type(column: str, found: ColumnType) -> pa.DataType:
    """The Arrow type of a column. Raises BackendError that names an unknown type, and a way out."""
    if found.element:
        one = ColumnType(found.element, found.modifier, found.name, found.element_kind)
        return pa.list_(arrow_type(column, one))
    if found.oid == NUMERIC:
        return _decimal(found.modifier)
    if found.oid == BYTEA:
        return pa.binary()
    if found.oid in _AS_TEXT or found.kind in (*TEXT_CATEGORIES, "m"):
        return pa.string()
    if found.oid in _PLAIN:
        return _PLAIN[found.oid]
    raise BackendError(
        f"column {column} is of type {found.name or found.oid}, which is not known here;"
        f' make it text in the query: "{column}"::text',
        code="UNSUPPORTED_TYPE",
    )


def _decimal(modifier: int) -> pa.DataType:
    """numeric(p, s), where s may be negative or above p; without them the scale is each value's."""
    if modifier < _TYPMOD_HEADER:
        return pa.string()
    packed = modifier - _TYPMOD_HEADER
    precision, scale = packed >> 16, ((packed & 0x7FF) ^ 1024) - 1024
    precision, scale = max(precision - min(scale, 0), scale), max(scale, 0)
    if precision <= _MOST_DIGITS_128:
        return pa.decimal128(precision, scale)
    return pa.decimal256(precision, scale) if precision <= _MOST_DIGITS_256 else pa.string()


def read_type(kind: pa.DataType) -> pa.DataType:
    """As what Arrow's CSV reader takes a column: its type, or the text that `finished` reads."""
    later = pa.types.is_list(kind) or pa.types.is_binary(kind) or pa.types.is_decimal256(kind)
    return pa.string() if later else kind


# --- values from text ----------------------------------------------------------------------------


def from_text(column: str, text: pa.Array, kind: pa.DataType, delimiter: str = ",") -> pa.Array:
    """A column of texts in its own type. Raises BackendError for what has no exact value in it."""
    if pa.types.is_list(kind):
        return _arrays(column, text, kind, delimiter)
    if pa.types.is_binary(kind):
        values = [None if item is None else bytes.fromhex(item[2:]) for item in text.to_pylist()]
        return pa.array(values, kind)
    try:
        return _cast(text, kind)
    except pa.ArrowException as error:
        raise _not_exact(column, text, kind) from error


def _cast(text: pa.Array, kind: pa.DataType) -> pa.Array:
    """Arrow reads times of day and dates from text only as parts of a timestamp."""
    if pa.types.is_boolean(kind):
        return pc.equal(text, "t")
    if pa.types.is_date32(kind):
        return text.cast(pa.timestamp("s")).cast(kind)
    if pa.types.is_time64(kind):
        moments = pc.binary_join_element_wise("1970-01-01", text, " ")
        return moments.cast(pa.timestamp("us")).cast(kind)
    return text.cast(kind)


def _not_exact(column: str, text: pa.Array, kind: pa.DataType) -> BackendError:
    """Which value has no place in the type, and what to write in the query."""
    for value in text.to_pylist():
        try:
            _cast(pa.array([value], pa.string()), kind)
        except pa.ArrowException:
            return _no_place(column, value, kind)
    return _no_place(column, "a value", kind)


def _no_place(column: str, value: str, kind: pa.DataType) -> BackendError:
    remedy = f"NULLIF(\"{column}\", '{value}')" if _is_special(value) else f'"{column}"::text'
    return BackendError(
        f"column {column} holds {value}, which {kind} has no place for;"
        f" write {remedy} in the query",
        code="VALUE_OUT_OF_RANGE",
    )


def _is_special(value: str) -> bool:
    return value in {"infinity", "-infinity", "NaN", "Infinity", "-Infinity"}


# --- arrays --------------------------------------------------------------------------------------

_BOUNDS = re.compile(r"(?:\[-?\d+:-?\d+\])+=")


def _arrays(column: str, text: pa.Array, kind: pa.ListType, delimiter: str) -> pa.Array:
    offsets: list[int | None] = []
    flat: list[str | None] = []
    read = _reader(delimiter)
    for item in text.to_pylist():
        if item is None:
            offsets.append(None)
            continue
        offsets.append(len(flat))
        elements = read(item)
        if elements is None:
            raise BackendError(
                f"column {column} holds an array of several dimensions, which {kind} has no place"
                f' for; write to_jsonb("{column}")::text in the query',
                code="UNSUPPORTED_TYPE",
            )
        flat.extend(elements)
    values = from_text(column, pa.array(flat, pa.string()), kind.value_type)
    return pa.ListArray.from_arrays(pa.array([*offsets, len(flat)], pa.int32()), values, type=kind)


def _reader(delimiter: str) -> Callable[[str], Sequence[str | None] | None]:
    """Reads ``{a,NULL,"b \\"c\\""}``; None for an array of arrays.

    https://www.postgresql.org/docs/current/arrays.html#ARRAYS-IO
    """
    item = re.compile(
        rf'"((?:[^"\\]|\\.)*)"({re.escape(delimiter)}|$)|([^"{re.escape(delimiter)}]*)({re.escape(delimiter)}|$)',
        re.DOTALL,
    )

    def read(text: str) -> Sequence[str | None] | None:
        body = _BOUNDS.sub("", text, count=1)[1:-1]
        if body.startswith("{"):
            return None
        found: list[str | None] = []
        position = 0
        while position < len(body):
            match = item.match(body, position)
            if match is None:  # PostgreSQL wrote it, so this is our fault
                raise ValueError("an array cannot be read")
            quoted, _, bare, _ = match.groups()
            found.append(_element(quoted, bare))
            position = match.end()
        return found

    return read


def _element(quoted: str | None, bare: str) -> str | None:
    if quoted is not None:
        return re.sub(r"\\(.)", r"\1", quoted, flags=re.DOTALL)
    return None if bare == "NULL" else bare
