"""Calls to the REST API of a workspace through databricks-sdk, and what their failures mean.

Promises: a call that makes something is sent again only where the platform said that it did not
take it, or where the connection was never made; every other call is repeated while its patience
lasts; errors are told apart by the SDK's classes. Bodies and answers are plain JSON, so that
fields which the installed SDK does not know pass unchanged.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

import requests  # comes with databricks-sdk
from databricks.sdk.core import ApiClient
from databricks.sdk.errors import (
    Aborted,
    DatabricksError,
    DeadlineExceeded,
    InternalError,
    NotFound,
    ResourceConflict,
    TemporarilyUnavailable,
    TooManyRequests,
)
from urllib3.exceptions import NewConnectionError

from lakeflow_meta.backends.one_attempt import OneAttempt
from lakeflow_meta.backends.request_gate import RequestGate
from lakeflow_meta.errors import BackendError, ConflictError, NotFoundError
from lakeflow_meta.ports import NOT_TAKEN, OUTCOME_UNKNOWN

if TYPE_CHECKING:
    from databricks.sdk import WorkspaceClient

logger = logging.getLogger(__name__)

Json = dict[str, Any]

_PAGES_END = 100_000
_LONGEST_PAUSE = 30.0
_CREATION_SECONDS = 20.0
"""How long a call that makes something may take with all its repetitions: whoever makes it holds a
lock for a limited time, so it rather fails than comes late."""


class Meaning(Enum):
    """What a failed call tells of its effect."""

    REFUSED = auto()
    """It had none, and would not have any."""
    NOT_TAKEN = auto()
    """It had none; later it may."""
    UNKNOWN = auto()


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a call failed. ``wait_seconds`` is how long the platform asks everybody to wait."""

    cause: Exception
    meaning: Meaning
    wait_seconds: float | None = None


class WorkspaceCalls:
    """Calls that are counted together, from any number of threads.

    All calls to one workspace share one ``gate``: when the workspace asks one of them to wait, all
    do. Rates are of these calls only, for all threads together; the ones here are below the limits
    that the documentation gives for jobs (https://docs.databricks.com/resources/limits).
    ``patience_seconds`` is how long one call may take with all its repetitions.
    """

    def __init__(
        self,
        client: WorkspaceClient,
        gate: RequestGate | None = None,
        *,
        reads_per_second: float = 50.0,
        writes_per_second: float = 20.0,
        patience_seconds: float = 300.0,
    ) -> None:
        self._api = ApiClient(OneAttempt(client.config, sleep=_no_sleep))
        workspace = getattr(client.config, "workspace_id", None)
        self._headers = {"X-Databricks-Workspace-Id": workspace} if workspace else {}
        self._patience = patience_seconds
        self.gate = gate or RequestGate()
        self._reads = self.gate.lane(reads_per_second)
        self._writes = self.gate.lane(writes_per_second)

    def read(self, path: str, query: Mapping[str, Any] | None = None) -> Json:
        """GET. Raises NotFoundError, BackendError."""
        return self._call("GET", path, query=query)

    def read_pages(self, path: str, query: Mapping[str, Any]) -> Iterator[Json]:
        """GET, page by page. Raises NotFoundError, BackendError."""
        token: str | None = None
        for _ in range(_PAGES_END):
            page = self.read(path, {**query, **({"page_token": token} if token else {})})
            yield page
            following = page.get("next_page_token")
            if not following:
                return
            if following == token:
                break
            token = following
        raise BackendError(f"the pages of {path} do not end", code="PAGES_DO_NOT_END")

    def change(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Json:
        """A write that may be repeated: the second time it changes nothing more.

        Raises NotFoundError, ConflictError, BackendError (`OUTCOME_UNKNOWN`, `NOT_TAKEN`).
        """
        return self._call(method, path, body=body)

    def create(self, path: str, body: Mapping[str, Any]) -> Json:
        """POST that makes something, so it takes effect at most once. Raises as `change` does."""
        return self._call("POST", path, body=body, creates=True)

    def _call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
        creates: bool = False,
    ) -> Json:
        reads = method in ("GET", "HEAD")
        lane = self._reads if reads else self._writes
        what = f"{method} {path}"
        until = self.gate.monotonic() + (_CREATION_SECONDS if creates else self._patience)
        failures: list[Failure] = []
        while lane.enter(until):
            try:
                return self._send(method, path, query, body)
            except OSError as error:  # of the SDK, of requests, or of the network
                failures.append(failure := read_failure(error))
            except ValueError as error:  # no credentials, or no JSON: nothing was sent
                raise BackendError(f"{what}: {error}", code=type(error).__name__) from error
            final = failure.meaning is Meaning.REFUSED
            if final or (creates and failure.meaning is Meaning.UNKNOWN):
                break
            logger.info("%s: %s; tried again", what, failure.cause)
            self._pause(failure, len(failures), until)
        raise _error(what, failures, reads=reads) from (failures[-1].cause if failures else None)

    def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, Any] | None,
        body: Mapping[str, Any] | None,
    ) -> Json:
        answer: Json = self._api.do(
            method,
            path,
            query=None if query is None else dict(query),
            body=None if body is None else dict(body),
            headers={"Accept": "application/json", **self._headers},
        )
        return answer

    def _pause(self, failure: Failure, attempts: int, until: float) -> None:
        """Everybody waits where the platform says so; else only this call, longer each time."""
        if failure.wait_seconds is not None:
            self.gate.hold(failure.wait_seconds)
            return
        pause = min(2.0 ** (attempts - 1) / 2, _LONGEST_PAUSE, until - self.gate.monotonic())
        if pause > 0:
            self.gate.sleep(pause)


def read_failure(error: Exception) -> Failure:
    """What is known of a call that failed."""
    cause = error.__cause__ if isinstance(error, TimeoutError) else error
    if not isinstance(cause, Exception):
        return Failure(error, Meaning.UNKNOWN)
    match cause:
        case TooManyRequests():
            return Failure(cause, Meaning.NOT_TAKEN, float(cause.retry_after_secs or 1))
        case TemporarilyUnavailable():
            return Failure(cause, Meaning.UNKNOWN, float(cause.retry_after_secs or 1))
        case DeadlineExceeded() | InternalError():
            return Failure(cause, Meaning.UNKNOWN)
        case DatabricksError():
            # A status that the SDK has no class for, say 502, may come from a proxy on the way.
            known = type(cause) is not DatabricksError
            return Failure(cause, Meaning.REFUSED if known else Meaning.UNKNOWN)
        case requests.ConnectTimeout():
            return Failure(cause, Meaning.NOT_TAKEN)
        case requests.ConnectionError() if _never_connected(cause):
            return Failure(cause, Meaning.NOT_TAKEN)
        case _:
            return Failure(cause, Meaning.UNKNOWN)


def _never_connected(error: requests.ConnectionError) -> bool:
    reason = getattr(error.args[0], "reason", None) if error.args else None
    return isinstance(reason, NewConnectionError)


def _error(what: str, failures: list[Failure], *, reads: bool) -> BackendError | ConflictError:
    """One error for all attempts: whether one of them took effect counts more than the last."""
    if not failures:
        message = f"{what} was not sent: the workspace asks to wait longer than this call may"
        return BackendError(message, code=NOT_TAKEN, transient=True)
    last = failures[-1]
    if last.meaning is Meaning.REFUSED and isinstance(last.cause, DatabricksError):
        return refusal(last.cause)
    if not reads and any(f.meaning is Meaning.UNKNOWN for f in failures):
        message = f"whether {what} took effect is unknown: {last.cause}"
        return BackendError(message, code=OUTCOME_UNKNOWN, transient=True)
    if last.meaning is Meaning.NOT_TAKEN:
        message = f"the workspace did not take {what}: {last.cause}"
        return BackendError(message, code=NOT_TAKEN, transient=True)
    code = getattr(last.cause, "error_code", None) or type(last.cause).__name__
    return BackendError(f"{what}: {last.cause}", code=code, transient=True)


def refusal(error: DatabricksError) -> BackendError | ConflictError:
    """What the platform refused, as one of our errors."""
    code = error.error_code or type(error).__name__
    match error:
        case NotFound() if code != "ENDPOINT_NOT_FOUND":
            return NotFoundError(str(error), code=code)
        case Aborted():
            return BackendError(str(error), code=code, transient=True)
        case ResourceConflict():
            return ConflictError(str(error))
        case _:
            return BackendError(str(error), code=code)


def _no_sleep(_seconds: float) -> None:
    """How long to wait is decided here, for all threads, not inside the SDK."""
