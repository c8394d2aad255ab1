"""Results of statement execution as Arrow: JSON values as text, or Arrow streams at an address."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa
import requests  # comes with databricks-sdk
from databricks.sdk.service.sql import ColumnInfo, ExternalLink

from lakeflow_meta.errors import BackendError

_TYPES = {
    "STRING": pa.string(),
    "BOOLEAN": pa.bool_(),
    "TINYINT": pa.int8(),
    "BYTE": pa.int8(),
    "SMALLINT": pa.int16(),
    "SHORT": pa.int16(),
    "INT": pa.int32(),
    "BIGINT": pa.int64(),
    "LONG": pa.int64(),
    "FLOAT": pa.float32(),
    "DOUBLE": pa.float64(),
    "DATE": pa.date32(),
    "TIMESTAMP": pa.timestamp("us", "UTC"),
    "TIMESTAMP_NTZ": pa.timestamp("us"),
}
_DECIMAL = re.compile(r"DECIMAL\((\d+),\s*(\d+)\)")
_ATTEMPTS = 3
_DOWNLOAD_SECONDS = 60.0

FreshLink = Callable[[int], ExternalLink | None]
"""A new address for the part of that number; addresses hold for minutes."""


def shape(columns: Sequence[ColumnInfo]) -> pa.Schema:
    """Names and types; what has no plain type (structs, maps, …) is its JSON text."""
    return pa.schema([pa.field(str(c.name), _type(c.type_text or "")) for c in columns])


def _type(text: str) -> pa.DataType:
    text = text.upper()
    decimal = _DECIMAL.fullmatch(text)
    if decimal:
        return pa.decimal128(int(decimal[1]), int(decimal[2]))
    return _TYPES.get(text, pa.string())


def read_values(rows: Sequence[Sequence[str | None]], columns: Sequence[ColumnInfo]) -> pa.Table:
    """Rows of the JSON_ARRAY format: each value as text. Raises BackendError."""
    schema = shape(columns)
    try:
        arrays = [
            pa.array([row[number] for row in rows], pa.string()).cast(field.type)
            for number, field in enumerate(schema)
        ]
    except (pa.ArrowException, IndexError) as error:
        raise BackendError(
            f"the result cannot be read: {error}", code="RESULT_UNREADABLE"
        ) from error
    return pa.Table.from_arrays(arrays, schema=schema)


def read_arrow(data: bytes) -> pa.Table:
    """One part of the ARROW_STREAM format. Raises BackendError."""
    try:
        return pa.ipc.open_stream(data).read_all()
    except pa.ArrowException as error:
        raise BackendError(
            f"the result cannot be read: {error}", code="RESULT_UNREADABLE"
        ) from error


def download(link: ExternalLink, fresh: FreshLink, *, plain_http: bool) -> bytes:
    """The bytes at an address; a failed one is tried again at a new address.

    The address is a credential: it goes without ours, and into no message.
    """
    number = link.chunk_index or 0
    why = "there is no address"
    current: ExternalLink | None = link
    for attempt in range(_ATTEMPTS):
        if attempt:
            current = fresh(number)
        if current is not None:
            answer, why = _get(current, plain_http=plain_http)
            if answer is not None:
                return answer
    raise BackendError(
        f"part {number} of a result could not be fetched: {why}",
        code="RESULT_UNREACHABLE",
        transient=True,
    )


def _get(link: ExternalLink, *, plain_http: bool) -> tuple[bytes | None, str]:
    address = str(link.external_link)
    if not address.startswith("https://") and not plain_http:
        return None, "its address is not https"
    try:
        answer = requests.get(
            address,
            headers=link.http_headers or {},
            auth=_no_credentials,
            timeout=_DOWNLOAD_SECONDS,
            allow_redirects=False,
        )
    except requests.RequestException as error:
        return None, type(error).__name__
    content: bytes = answer.content
    return (content, "") if answer.status_code == 200 else (None, f"HTTP {answer.status_code}")


def _no_credentials(request: Any) -> Any:
    """Keeps `requests` from adding what ~/.netrc holds for the host."""
    return request
