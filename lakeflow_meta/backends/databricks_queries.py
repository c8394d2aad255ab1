"""Saved queries of a Databricks workspace, through databricks-sdk.

https://docs.databricks.com/api/workspace/queries

Two active queries of one folder never share a name here: the API's own renaming on conflict is
switched off, so that a query can be found again by its name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lakeflow_meta.backends.workspace_calls import Json, WorkspaceCalls
from lakeflow_meta.errors import BackendError, NotFoundError
from lakeflow_meta.ports import OUTCOME_UNKNOWN, SavedQuery

_QUERIES = "/api/2.0/sql/queries"
_A_PAGE = 100


class DatabricksQueries:
    """A `ports.QueriesApi`. Safe to call from several threads.

    New queries are made in the caller's home. Lists are read one page after the other: the
    documentation forbids ten of them at once.
    """

    def __init__(self, calls: WorkspaceCalls) -> None:
        self._calls = calls

    def create_query(self, display_name: str, query_text: str, warehouse_id: str = "") -> str:
        """See `QueriesApi.create_query`."""
        query = {"display_name": display_name, "query_text": query_text}
        if warehouse_id:
            query["warehouse_id"] = warehouse_id
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
