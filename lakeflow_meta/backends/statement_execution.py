"""SQL on a Databricks SQL warehouse, through databricks-sdk: no Spark on this machine.

https://docs.databricks.com/api/workspace/statementexecution

Promises: a statement that writes is sent at most once (the SDK's own retries, made for calls that
may be repeated, are off for it); nothing is left running when we stop waiting; a result is whole
or an error; addresses of results, which carry credentials, are never logged or shown.

What is proven: the protocol, by the real SDK against `tests/contract/http_stand_in.py`, and the
statements, by running them on Spark behind it. Not run against a real workspace: the exact text of
errors, the limits, and that a warehouse's history shows the conditions of a MERGE.
"""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeVar

import pyarrow as pa
from databricks.sdk.core import ApiClient
from databricks.sdk.errors import (
    DatabricksError,
    DeadlineExceeded,
    InternalError,
    TemporarilyUnavailable,
    TooManyRequests,
)
from databricks.sdk.service.sql import (
    ColumnInfo,
    Disposition,
    ExecuteStatementRequestOnWaitTimeout,
    Format,
    ResultData,
    StatementExecutionAPI,
    StatementParameterListItem,
    StatementResponse,
    StatementState,
)

from lakeflow_meta.backends.one_attempt import OneAttempt
from lakeflow_meta.backends.spark import NOT_FOUND_CONDITIONS, TRANSIENT_CONDITIONS
from lakeflow_meta.backends.statement_results import download, read_arrow, read_values, shape
from lakeflow_meta.errors import BackendError, NotFoundError
from lakeflow_meta.ports import Sleep

if TYPE_CHECKING:
    from databricks.sdk import WorkspaceClient

logger = logging.getLogger(__name__)

_T = TypeVar("_T")

STATEMENT_BYTES = 16 * 1024 * 1024
"""The longest text that the API takes; we count the parameters as part of it."""

_MOST_WAIT_SECONDS = 30
_FIRST_PAUSE_SECONDS, _LAST_PAUSE_SECONDS = 0.2, 5.0
_CANCEL_SECONDS = 30.0
_RUNNING = (StatementState.PENDING, StatementState.RUNNING)
_PASSING = (TooManyRequests, TemporarilyUnavailable, DeadlineExceeded, InternalError)
_NOT_FOUND_STATES = frozenset({"42P01", "42704"})
_CONFLICT_STATES = frozenset({"2D521"})
_PASSING_CODES = frozenset(
    {
        "TEMPORARILY_UNAVAILABLE",
        "SERVICE_UNDER_MAINTENANCE",
        "WORKSPACE_TEMPORARILY_UNAVAILABLE",
        "RESOURCE_EXHAUSTED",
    }
)
_CONDITION = re.compile(r"\[([A-Z][A-Z0-9_]*)(?:\.[A-Z0-9_.]+)?\] ")
"""Messages start with their error condition: https://docs.databricks.com/error-messages/

The API has no field of its own for it, only for the SQLSTATE, which several conditions share.
"""


class StatementExecution:
    """`RunSql` on one warehouse.

    Results of queries come as Arrow from short-lived addresses in cloud storage. Where the
    network or an administrator forbids these, ``external_links=False`` takes them inline as JSON:
    25 MiB at most, and a time keeps only the digits that the API writes (milliseconds, as far as
    its documentation shows). ``timeout_seconds`` is how long one statement may take, the start of
    the warehouse included; then it is cancelled.
    """

    most_bytes: int | None = STATEMENT_BYTES

    def __init__(
        self,
        client: WorkspaceClient,
        warehouse_id: str,
        *,
        external_links: bool = True,
        timeout_seconds: float = 1800.0,
        sleep: Sleep = time.sleep,
    ) -> None:
        self._api: StatementExecutionAPI = client.statement_execution
        self._once = StatementExecutionAPI(ApiClient(OneAttempt(client.config, sleep)))
        self._warehouse_id = warehouse_id
        self._external_links = external_links
        self._timeout_seconds = timeout_seconds
        self._sleep = sleep
        self._wait = _wait_timeout(client.config.http_timeout_seconds)
        self._plain_http = str(client.config.host).startswith("http://")

    def query(self, statement: str, parameters: Mapping[str, Any] | None = None) -> pa.Table:
        """Run a statement that writes nothing; its rows. The SDK repeats it where that helps."""
        deadline, linked = self._deadline(), self._external_links
        response = _translated(
            lambda: self._submit(self._api, statement, parameters, linked=linked)
        )
        return self._result(self._finished(response, deadline))

    def stream(
        self, statement: str, parameters: Mapping[str, Any] | None = None
    ) -> tuple[pa.Schema, Iterator[pa.Table]]:
        """As `query`, part by part: one part is in memory at a time (about 20 MB, says the API).

        Inline results have one part. Raises BackendError, also later, from the parts.
        """
        deadline, linked = self._deadline(), self._external_links
        response = _translated(
            lambda: self._submit(self._api, statement, parameters, linked=linked)
        )
        finished = self._finished(response, deadline)
        parts = self._parts(finished)
        first = next(parts, None)
        if first is None:
            return shape(_columns(finished)), iter(())
        return first.schema, chain([first], parts)

    def change(
        self,
        statement: str,
        parameters: Mapping[str, Any] | None = None,
        note: Mapping[str, str] | None = None,
    ) -> pa.Table:
        """Run a statement that writes, at most once.

        A warehouse has no session settings, so ``note`` cannot be left in the commit. Raises
        BackendError with code ``OUTCOME_UNKNOWN`` where the connection broke before the warehouse
        had said that it took the statement, and where it did not say how the statement ended.
        """
        logger.debug("a warehouse keeps no note in a commit: %s", note)
        deadline = self._deadline()
        response = self._submit_once(statement, parameters, deadline)
        return self._result(self._finished(response, deadline))

    # --- sending

    def _submit(
        self,
        api: StatementExecutionAPI,
        statement: str,
        parameters: Mapping[str, Any] | None,
        *,
        linked: bool,
    ) -> StatementResponse:
        return api.execute_statement(
            statement,
            self._warehouse_id,
            parameters=[_parameter(name, value) for name, value in (parameters or {}).items()],
            disposition=Disposition.EXTERNAL_LINKS if linked else Disposition.INLINE,
            format=Format.ARROW_STREAM if linked else Format.JSON_ARRAY,
            wait_timeout=self._wait,
            on_wait_timeout=ExecuteStatementRequestOnWaitTimeout.CONTINUE,
        )

    def _submit_once(
        self, statement: str, parameters: Mapping[str, Any] | None, deadline: float
    ) -> StatementResponse:
        """Sent again only where the platform said that it did not take it (HTTP 429)."""
        while True:
            try:
                return self._submit(self._once, statement, parameters, linked=False)
            except TimeoutError as error:  # one attempt, and the SDK would have tried again
                cause = error.__cause__
                if not isinstance(cause, TooManyRequests):
                    raise _unknown_outcome(statement) from error
                if time.monotonic() >= deadline:
                    raise _refused(cause) from error
                logger.info("the warehouse is busy, the statement is sent again")
            except _PASSING as error:
                raise _unknown_outcome(statement) from error
            except DatabricksError as error:
                raise _refused(error) from error

    # --- waiting

    def _deadline(self) -> float:
        return time.monotonic() + self._timeout_seconds

    def _finished(self, response: StatementResponse, deadline: float) -> StatementResponse:
        """The statement when it has succeeded. Raises BackendError, NotFoundError."""
        try:
            response = self._poll(response, deadline)
        except BaseException:  # also Ctrl-C: nothing goes on that nobody waits for
            self._cancel(response)
            raise
        if _state(response) in _RUNNING:
            response = self._cancelled(response)
        if _state(response) is StatementState.SUCCEEDED:
            return response
        raise _failure(response)

    def _poll(self, response: StatementResponse, deadline: float) -> StatementResponse:
        """Look until it has ended, or until pauses or the clock reach the deadline."""
        pause, left = _FIRST_PAUSE_SECONDS, deadline - time.monotonic()
        while _state(response) in _RUNNING and left > 0 and time.monotonic() < deadline:
            self._sleep(pause)
            left -= pause
            pause = min(pause * 1.5, _LAST_PAUSE_SECONDS)
            response = self._look(response)
        return response

    def _look(self, response: StatementResponse) -> StatementResponse:
        return _translated(lambda: self._api.get_statement(_id(response)))

    def _cancelled(self, response: StatementResponse) -> StatementResponse:
        """Cancel, and see how it really ended: it may have been done by then."""
        self._cancel(response)
        ended = self._poll(response, time.monotonic() + _CANCEL_SECONDS)
        if _state(ended) in _RUNNING:
            raise BackendError(
                f"statement {_id(response)} took longer than {self._timeout_seconds:.0f} seconds"
                " and goes on although it was cancelled",
                code="OUTCOME_UNKNOWN",
            )
        return ended

    def _cancel(self, response: StatementResponse) -> None:
        try:
            self._api.cancel_execution(_id(response))
        except (DatabricksError, TimeoutError, OSError):
            logger.warning("statement %s could not be cancelled", _id(response), exc_info=True)

    # --- results

    def _result(self, response: StatementResponse) -> pa.Table:
        parts = list(self._parts(response))
        columns = _columns(response)
        return pa.concat_tables(parts) if parts else shape(columns).empty_table()

    def _parts(self, response: StatementResponse) -> Iterator[pa.Table]:
        """The rows, and an error at their end where they are not all."""
        manifest = response.manifest
        columns = _columns(response)
        if manifest is None or not columns:
            return
        if manifest.truncated:
            raise BackendError("the result was cut off", code="RESULT_TRUNCATED")
        linked = manifest.format is Format.ARROW_STREAM
        count = 0
        for part in self._linked(response) if linked else self._inline(response, columns):
            count += part.num_rows
            yield part
        if manifest.total_row_count is not None and count != manifest.total_row_count:
            raise BackendError(
                f"the result has {count} of {manifest.total_row_count} rows",
                code="RESULT_INCOMPLETE",
            )

    def _inline(self, response: StatementResponse, columns: list[ColumnInfo]) -> Iterator[pa.Table]:
        values = [row for chunk in self._chunks(response) for row in chunk.data_array or []]
        yield read_values(values, columns)

    def _chunks(self, response: StatementResponse) -> Iterator[ResultData]:
        chunk = response.result
        while chunk is not None:
            yield chunk
            links = chunk.external_links or []
            following = links[-1].next_chunk_index if links else chunk.next_chunk_index
            chunk = None if following is None else self._chunk(response, following)

    def _chunk(self, response: StatementResponse, index: int) -> ResultData:
        return _translated(lambda: self._api.get_statement_result_chunk_n(_id(response), index))

    def _linked(self, response: StatementResponse) -> Iterator[pa.Table]:
        for chunk in self._chunks(response):
            for link in chunk.external_links or []:
                yield read_arrow(
                    download(
                        link,
                        lambda index: (self._chunk(response, index).external_links or [None])[0],
                        plain_http=self._plain_http,
                    )
                )


def _columns(response: StatementResponse) -> list[ColumnInfo]:
    manifest = response.manifest
    return list((manifest and manifest.schema and manifest.schema.columns) or [])


def _wait_timeout(http_timeout_seconds: float | None) -> str:
    """How long the first call waits for the result: 0, or 5 to 50 seconds, says the API.

    Well within the connection's own timeout: a broken call leaves the outcome unknown.
    """
    seconds = min(_MOST_WAIT_SECONDS, int((http_timeout_seconds or 60) / 2))
    return f"{seconds if seconds >= 5 else 0}s"


def _parameter(name: str, value: Any) -> StatementParameterListItem:
    match value:
        case None:
            return StatementParameterListItem(name)
        case bool():
            return StatementParameterListItem(name, "BOOLEAN", str(value).lower())
        case str():
            return StatementParameterListItem(name, "STRING", value)
        case int():
            return StatementParameterListItem(name, "BIGINT", str(value))
        case float():
            return StatementParameterListItem(name, "DOUBLE", json.dumps(value, allow_nan=False))
        case datetime() if value.tzinfo is not None:
            moment = value.astimezone(UTC).isoformat()
            return StatementParameterListItem(name, "TIMESTAMP", moment)
        case date() if not isinstance(value, datetime):
            return StatementParameterListItem(name, "DATE", value.isoformat())
        case Decimal() if value.is_finite():
            return StatementParameterListItem(name, _decimal_type(value), f"{value:f}")
        case _:
            raise ValueError(f"a parameter cannot be a {type(value).__name__}: {name}")


def _decimal_type(value: Decimal) -> str:
    _, digits, exponent = value.as_tuple()
    scale = max(-int(exponent), 0)
    return f"DECIMAL({max(len(digits) + max(int(exponent), 0), scale)},{scale})"


# --- errors --------------------------------------------------------------------------------------


def _translated(call: Callable[[], _T]) -> _T:
    try:
        return call()
    except DatabricksError as error:
        raise _refused(error) from error
    except (TimeoutError, OSError) as error:
        raise BackendError(
            "the workspace cannot be reached", code=type(error).__name__, transient=True
        ) from error


def _refused(error: DatabricksError) -> BackendError:
    """Refused by the service. Never NotFoundError: that a warehouse is missing says no table is."""
    code = error.error_code or type(error).__name__
    return BackendError(str(error), code=code, transient=isinstance(error, _PASSING))


def _unknown_outcome(statement: str) -> BackendError:
    first_line = statement.partition("\n")[0][:100]
    return BackendError(
        f"the connection broke before the warehouse answered; whether this ran is unknown:"
        f" {first_line}",
        code="OUTCOME_UNKNOWN",
    )


def _failure(response: StatementResponse) -> BackendError:
    """Why a statement did not succeed; ``code`` is the condition, the SQLSTATE or the state."""
    status = response.status
    state = "" if status is None or status.state is None else status.state.value
    error = status.error if status is not None else None
    message = (error and error.message) or f"the statement ended as {state or 'nothing known'}"
    sql_state = (status and status.sql_state) or ""
    service = error.error_code.value if error and error.error_code else ""
    found = _CONDITION.match(message)
    condition = found[1] if found else ""
    code = condition or sql_state or service or state
    if condition in NOT_FOUND_CONDITIONS or sql_state in _NOT_FOUND_STATES:
        return NotFoundError(message, code=code)
    passing = (
        condition in TRANSIENT_CONDITIONS
        or sql_state in _CONFLICT_STATES
        or service in _PASSING_CODES
        or state == StatementState.CANCELED.value
    )
    return BackendError(message, code=code, transient=passing)


def _state(response: StatementResponse) -> StatementState | None:
    return None if response.status is None else response.status.state


def _id(response: StatementResponse) -> str:
    return str(response.statement_id)
