"""A local HTTP server that speaks the Statement Execution API as its documentation writes it.

https://docs.databricks.com/api/workspace/statementexecution

Strict: a field, format or parameter that the documentation does not name is refused, so that what
passes here is what the real service takes. What a statement does is the test's own function, from
a canned answer to a SparkSession. Faults are asked for by name.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import pyarrow as pa
from contract.stand_in_server import (
    TOKEN,
    Answer,
    ConnectionLostError,
    HttpError,
    Request,
    Server,
    strike,
)

__all__ = ["TOKEN", "WAREHOUSE", "StandIn", "StatementError"]

WAREHOUSE = "abc123"

_FIELDS = {
    "statement": str,
    "warehouse_id": str,
    "parameters": list,
    "disposition": str,
    "format": str,
    "wait_timeout": str,
    "on_wait_timeout": str,
    "byte_limit": int,
    "row_limit": int,
    "catalog": str,
    "schema": str,
    "query_tags": list,
}
_TYPES = re.compile(r"STRING|BOOLEAN|INT|BIGINT|DOUBLE|DATE|TIMESTAMP|DECIMAL\(\d\d?,\d\d?\)")
_TYPE_TEXTS = {
    pa.string(): "STRING",
    pa.bool_(): "BOOLEAN",
    pa.int32(): "INT",
    pa.int64(): "BIGINT",
    pa.float64(): "DOUBLE",
    pa.date32(): "DATE",
}
_MOST_TEXT, _MOST_PARAMETERS, _MOST_INLINE = 16 * 2**20, 256, 25 * 2**20


@dataclass(frozen=True)
class StatementError(Exception):
    """The warehouse ran the statement and it failed."""

    message: str
    sql_state: str | None = None
    error_code: str = "BAD_REQUEST"


@dataclass
class Execution:
    """One statement that the service has taken."""

    number: int
    statement: str
    parameters: dict[str, Any]
    disposition: str
    format: str
    looks: int = 0
    state: str = ""
    table: pa.Table | None = None
    error: StatementError | None = None

    @property
    def id(self) -> str:
        return f"01ee-{self.number:04d}"


Engine = Callable[[str, Mapping[str, Any]], pa.Table]


@dataclass
class Faults:
    """What goes wrong. Lists are used up from the front, one entry a call."""

    posts: list[str] = field(default_factory=list)
    """``429``, ``503``, ``lost`` (run, then the connection breaks), ``unreached``, ``403``."""
    polls: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    """``403``: the address expires just before it is read, and stays so."""
    states: list[str] = field(default_factory=list)
    """The states to be seen before the end, e.g. PENDING, RUNNING."""
    end_state: str = ""
    """CANCELED or CLOSED instead of how it really ended."""
    deaf_to_cancel: bool = False
    truncated: bool = False
    lose_last_chunk: bool = False


class StandIn:
    """The service. ``executions`` is what ran, in order."""

    def __init__(self, engine: Engine, *, rows_a_chunk: int = 1000) -> None:
        self.engine = engine
        self.rows_a_chunk = rows_a_chunk
        self.faults = Faults()
        self.executions: list[Execution] = []
        self.cancelled: list[str] = []
        self.expired: set[str] = set()
        self._addresses = count()
        self._server = Server(self)
        self._lock = threading.Lock()

    @property
    def host(self) -> str:
        """Where it is served."""
        return self._server.host

    @property
    def requests(self) -> list[str]:
        """Method and path of every request."""
        return self._server.lines

    @contextmanager
    def running(self) -> Iterator[StandIn]:
        """Serve on a free port of this machine."""
        with self._server.running():
            yield self

    # --- the service

    def execute(self, body: Mapping[str, Any]) -> Execution:
        """Take a statement and run it. Raises HttpError for what the service does not take."""
        _check_body(body)
        with self._lock:
            execution = Execution(
                number=len(self.executions),
                statement=body["statement"],
                parameters=_parameters(body),
                disposition=body.get("disposition", "INLINE"),
                format=body.get("format", "JSON_ARRAY"),
            )
            self.executions.append(execution)
        try:
            execution.table = self.engine(execution.statement, execution.parameters)
        except StatementError as error:
            execution.error = error
        return execution

    def look(self, execution: Execution) -> dict[str, Any]:
        """The statement as it stands; each look is one step further."""
        states = self.faults.states
        if execution.id in self.cancelled:
            return _response(execution, "CANCELED")
        if execution.looks < len(states):
            execution.looks += 1
            return _response(execution, states[execution.looks - 1])
        if self.faults.end_state:
            return _response(execution, self.faults.end_state)
        if execution.error is not None:
            return _response(execution, "FAILED")
        return self._succeeded(execution)

    def _succeeded(self, execution: Execution) -> dict[str, Any]:
        table = _known(execution.table)
        if execution.disposition == "INLINE" and table.nbytes > _MOST_INLINE:
            execution.error = StatementError("Inline byte limit exceeded.")
            return _response(execution, "FAILED")
        count = self._chunk_count(table)
        manifest = {
            "format": execution.format,
            "schema": {"column_count": table.num_columns, "columns": _columns(table)},
            "total_chunk_count": count,
            "total_row_count": table.num_rows,
            "truncated": self.faults.truncated,
        }
        answer = {**_response(execution, "SUCCEEDED"), "manifest": manifest}
        return {**answer, "result": self.chunk(execution, 0)} if count else answer

    def _chunk_count(self, table: pa.Table) -> int:
        return -(-table.num_rows // self.rows_a_chunk)

    def chunk(self, execution: Execution, index: int) -> dict[str, Any]:
        """One part of the result: rows as text, or an address."""
        table = _known(execution.table)
        start = index * self.rows_a_chunk
        part = table.slice(start, self.rows_a_chunk)
        place = {"chunk_index": index, "row_offset": start, "row_count": part.num_rows}
        last = self._chunk_count(table) - 1 - self.faults.lose_last_chunk
        if index < last:
            path = f"/api/2.0/sql/statements/{execution.id}/result/chunks/{index + 1}"
            place |= {"next_chunk_index": index + 1, "next_chunk_internal_link": path}
        if execution.disposition == "INLINE":
            return {**place, "data_array": _texts(part)}
        secret = f"s3cr3t{next(self._addresses)}"
        link = {
            **place,
            "external_link": f"{self.host}/storage/{execution.id}/{index}?secret={secret}",
            "expiration": "2030-01-01T00:00:00.000Z",
            "http_headers": {"x-amz-key": "needed"},
        }
        return {"external_links": [link]}

    def stored(self, statement_id: str, index: int) -> bytes:
        """The Arrow stream at an address."""
        table = _known(self.executions[int(statement_id[-4:])].table)
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table.slice(index * self.rows_a_chunk, self.rows_a_chunk))
        content: bytes = sink.getvalue().to_pybytes()
        return content

    # --- routes

    def answer(self, request: Request) -> Answer:
        """One request."""
        if found := re.fullmatch(r"/storage/([\w-]+)/(\d+)", request.path):
            return Answer(self._storage(request, found[1], int(found[2])))
        request.check_token()
        return Answer.of_json(self._api(request))

    def _api(self, request: Request) -> dict[str, Any]:
        root = r"/api/2.0/sql/statements"
        if request.line == f"POST {root}":
            return self._execute(request.json())
        if found := re.fullmatch(rf"GET {root}/([\w-]+)", request.line):
            self._strike(self.faults.polls)
            return self.look(self._execution(found[1]))
        if found := re.fullmatch(rf"GET {root}/([\w-]+)/result/chunks/(\d+)", request.line):
            return self.chunk(self._execution(found[1]), int(found[2]))
        if found := re.fullmatch(rf"POST {root}/([\w-]+)/cancel", request.line):
            execution = self._execution(found[1])
            if not self.faults.deaf_to_cancel:
                self.cancelled.append(execution.id)
            return {}
        raise HttpError(404, "ENDPOINT_NOT_FOUND", f"no API at {request.line}")

    def _execute(self, body: Mapping[str, Any]) -> dict[str, Any]:
        fault = self._strike(self.faults.posts)
        execution = self.execute(body)
        if fault == "lost":
            raise ConnectionLostError
        return self.look(execution)

    def _storage(self, request: Request, statement_id: str, index: int) -> bytes:
        address = f"{request.path}?{request.query.get('secret')}"
        if request.headers.get("Authorization"):
            raise HttpError(400, "InvalidRequest", "two ways of authentication")
        if request.headers.get("x-amz-key") != "needed":
            raise HttpError(400, "InvalidRequest", "a header is missing")
        if self.faults.links and self.faults.links.pop(0) == "403":
            self.expired.add(address)
        if address in self.expired or not request.query.get("secret", "").startswith("s3cr3t"):
            raise HttpError(403, "AccessDenied", "the address has expired")
        return self.stored(statement_id, index)

    def _execution(self, statement_id: str) -> Execution:
        for execution in self.executions:
            if execution.id == statement_id:
                return execution
        raise HttpError(404, "NOT_FOUND", f"The statement {statement_id} was not found.")

    def _strike(self, faults: list[str]) -> str:
        return strike(faults.pop(0) if faults else "", retry_after="0")


# --- what the documentation says of requests and answers ------------------------------------------


def _invalid(message: str) -> HttpError:
    return HttpError(400, "INVALID_PARAMETER_VALUE", message)


def _check_body(body: Mapping[str, Any]) -> None:
    for name, value in body.items():
        if name not in _FIELDS or not isinstance(value, _FIELDS[name]):
            raise _invalid(f"field {name} is unknown or of a wrong type")
    if body.get("warehouse_id") != WAREHOUSE:
        raise HttpError(404, "RESOURCE_DOES_NOT_EXIST", f"no warehouse {body.get('warehouse_id')}")
    if len(body["statement"].encode()) > _MOST_TEXT:
        raise _invalid("the statement is longer than 16 MiB")
    if not re.fullmatch(r"0s|([5-9]|[1-4]\d|50)s", body.get("wait_timeout", "10s")):
        raise _invalid("wait_timeout is 0s or 5s to 50s")
    if body.get("on_wait_timeout", "CONTINUE") not in ("CONTINUE", "CANCEL"):
        raise _invalid("on_wait_timeout is CONTINUE or CANCEL")
    allowed = {
        "INLINE": ("JSON_ARRAY",),
        "EXTERNAL_LINKS": ("JSON_ARRAY", "ARROW_STREAM", "CSV"),
    }
    formats = allowed.get(body.get("disposition", "INLINE"), ())
    if body.get("format", "JSON_ARRAY") not in formats:
        raise _invalid("this format does not go with this disposition")


def _parameters(body: Mapping[str, Any]) -> dict[str, Any]:
    """Typed values by name; those that the statement names, no more and no fewer."""
    items = body.get("parameters", [])
    if len(items) > _MOST_PARAMETERS:
        raise _invalid(f"{len(items)} parameters were given but the limit is 256")
    found: dict[str, Any] = {}
    for item in items:
        if not {"name"} <= set(item) <= {"name", "type", "value"}:
            raise _invalid(f"a parameter has name, type and value, not {sorted(item)}")
        if not _TYPES.fullmatch(item.get("type", "STRING")):
            raise _invalid(f"{item['type']} is no type of a parameter")
        if not isinstance(item.get("value", ""), str):
            raise _invalid("a value is text")
        found[item["name"]] = (item.get("type", "STRING"), item.get("value"))
    without_texts = re.sub(r"'(?:\\.|[^'\\])*'|`[^`]*`", "''", body["statement"])
    named = set(re.findall(r"(?<![\w:]):(\w+)", without_texts))
    if named != set(found):
        raise _invalid(f"the statement names {sorted(named)}, given are {sorted(found)}")
    return found


def _response(execution: Execution, state: str) -> dict[str, Any]:
    status: dict[str, Any] = {"state": state}
    if state == "FAILED" and execution.error is not None:
        error = execution.error
        status["error"] = {"error_code": error.error_code, "message": error.message}
        if error.sql_state:
            status["sql_state"] = error.sql_state
    return {"statement_id": execution.id, "status": status}


def _columns(table: pa.Table) -> list[dict[str, Any]]:
    return [
        {"name": f.name, "position": n, "type_text": _type_text(f.type), "type_name": "STRING"}
        for n, f in enumerate(table.schema)
    ]


def _type_text(kind: pa.DataType) -> str:
    if pa.types.is_timestamp(kind):
        return "TIMESTAMP" if kind.tz else "TIMESTAMP_NTZ"
    if pa.types.is_decimal(kind):
        return f"DECIMAL({kind.precision},{kind.scale})"
    return _TYPE_TEXTS.get(kind, "MAP<STRING, STRING>")


def _texts(table: pa.Table) -> list[list[str | None]]:
    return [[_text(value) for value in row.values()] for row in table.to_pylist()]


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    if hasattr(value, "astimezone"):
        return str(value.isoformat(timespec="milliseconds").replace("+00:00", "Z"))
    return json.dumps(dict(value)) if isinstance(value, list) else str(value)


def _known(table: pa.Table | None) -> pa.Table:
    assert table is not None
    return table
