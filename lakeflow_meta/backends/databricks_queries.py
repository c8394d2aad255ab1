"""Saved queries of a Databricks workspace, through databricks-sdk.

https://docs.databricks.com/api/workspace/queries

Two active queries of one folder never share a name here: the API's own renaming on conflict is
switched off, so that a query can be found again by its name.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lakeflow_meta.backends.request_gate import Monotonic
from lakeflow_meta.backends.workspace_calls import Json, WorkspaceCalls
from lakeflow_meta.errors import BackendError, NotFoundError
from lakeflow_meta.ports import OUTCOME_UNKNOWN, SavedQuery, Sleep

if TYPE_CHECKING:
    from databricks.sdk import WorkspaceClient

_QUERIES = "/api/2.0/sql/queries"
_A_PAGE = 100


class DatabricksQueries:
    """A `ports.QueriesApi`. Safe to call from several threads.

    ``parent_path`` is the workspace folder of new queries; without it, the caller's home. Lists
    are read one page after the other: the documentation forbids ten of them at once.
    """

    def __init__(
        self,
        client: WorkspaceClient,
        *,
        parent_path: str | None = None,
        reads_per_second: float = 20.0,
        writes_per_second: float = 10.0,
        patience_seconds: float = 300.0,
        creation_patience_seconds: float = 20.0,
        sleep: Sleep = time.sleep,
        monotonic: Monotonic = time.monotonic,
    ) -> None:
        self._calls = WorkspaceCalls(
            client,
            reads_per_second=reads_per_second,
            writes_per_second=writes_per_second,
            patience_seconds=patience_seconds,
            creation_patience_seconds=creation_patience_seconds,
            sleep=sleep,
            monotonic=monotonic,
        )
        self._parent_path = parent_path

    def create_query(self, display_name: str, query_text: str, warehouse_id: str = "") -> str:
        """See `QueriesApi.create_query`."""
        query = {"display_name": display_name, "query_text": query_text}
        if warehouse_id:
            query["warehouse_id"] = warehouse_id
        if self._parent_path is not None:
            query["parent_path"] = self._parent_path
        body = {"query": query, "auto_resolve_display_name": False}
        answer = self._calls.create(_QUERIES, body)
        if not answer.get("id"):
            raise BackendError("a new query has no id", code=OUTCOME_UNKNOWN, transient=True)
        return str(answer["id"])

    def get_query(self, query_id: str) -> SavedQuery:
        """See `QueriesApi.get_query`. The API also shows what is in the trash."""
        return _active(query_id, self._calls.read(f"{_QUERIES}/{query_id}"))

    def list_queries(self) -> list[SavedQuery]:
        """See `QueriesApi.list_queries`."""
        pages = self._calls.read_pages(_QUERIES, {"page_size": _A_PAGE})
        entries = [entry for page in pages for entry in page.get("results") or ()]
        active = [entry for entry in entries if not _is_trashed(entry)]
        return list({entry["id"]: _saved_query(entry) for entry in active}.values())

    def update_query(
        self, query_id: str, *, display_name: str | None = None, query_text: str | None = None
    ) -> None:
        """See `QueriesApi.update_query`."""
        given = {"display_name": display_name, "query_text": query_text}
        query = {name: value for name, value in given.items() if value is not None}
        body: Json = {
            "update_mask": ",".join(query),
            "query": query,
            "auto_resolve_display_name": False,
        }
        _active(query_id, self._calls.change("PATCH", f"{_QUERIES}/{query_id}", body))

    def trash_query(self, query_id: str) -> None:
        """See `QueriesApi.trash_query`."""
        self._calls.change("DELETE", f"{_QUERIES}/{query_id}")


def _active(query_id: str, answer: Mapping[str, Any]) -> SavedQuery:
    if _is_trashed(answer):
        raise NotFoundError(f"query {query_id} is in the trash", code="TRASHED")
    return _saved_query(answer)


def _is_trashed(answer: Mapping[str, Any]) -> bool:
    return answer.get("lifecycle_state") == "TRASHED"


def _saved_query(answer: Mapping[str, Any]) -> SavedQuery:
    return SavedQuery(
        query_id=str(answer["id"]),
        display_name=str(answer.get("display_name") or ""),
        query_text=str(answer.get("query_text") or ""),
        warehouse_id=str(answer.get("warehouse_id") or ""),
    )
