"""Saved queries in memory, with a log of calls, and faults on demand."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from lakeflow_meta.errors import ConflictError, NotFoundError
from lakeflow_meta.ports import SavedQuery
from lakeflow_meta.testing.faults import Faulty


class FakeQueries(Faulty):
    """A `ports.QueriesApi` that keeps names apart.

    ``calls`` names every call in order; ``trashed`` keeps what went.
    """

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []
        self.trashed: dict[str, SavedQuery] = {}
        self._saved: dict[str, SavedQuery] = {}
        self._numbers = itertools.count(1)
        self._lock = threading.RLock()

    def create_query(self, display_name: str, query_text: str, warehouse_id: str = "") -> str:
        """See `QueriesApi.create_query`."""
        with self._call("create_query"):
            self._check_free(display_name)
            query_id = f"query-{next(self._numbers)}"
            self._saved[query_id] = SavedQuery(query_id, display_name, query_text, warehouse_id)
            return query_id

    def get_query(self, query_id: str) -> SavedQuery:
        """See `QueriesApi.get_query`."""
        with self._call("get_query"):
            return self._found(query_id)

    def list_queries(self) -> list[SavedQuery]:
        """See `QueriesApi.list_queries`."""
        with self._call("list_queries"):
            return sorted(self._saved.values(), key=lambda query: query.display_name)

    def update_query(
        self, query_id: str, *, display_name: str | None = None, query_text: str | None = None
    ) -> None:
        """See `QueriesApi.update_query`."""
        with self._call("update_query"):
            found = self._found(query_id)
            if display_name not in (None, found.display_name):
                self._check_free(display_name)
            name = found.display_name if display_name is None else display_name
            text = found.query_text if query_text is None else query_text
            self._saved[query_id] = replace(found, display_name=name, query_text=text)

    def trash_query(self, query_id: str) -> None:
        """See `QueriesApi.trash_query`."""
        with self._call("trash_query"):
            self.trashed[query_id] = self._found(query_id)
            del self._saved[query_id]

    @contextmanager
    def _call(self, method: str) -> Iterator[None]:
        """One call: takes the lock, is noted, and raises the faults that were asked for."""
        with self._lock:
            self.calls.append(method)
            with self._faults_of(method):
                yield

    def _check_free(self, display_name: str | None) -> None:
        if any(query.display_name == display_name for query in self._saved.values()):
            raise ConflictError(f"a query is named {display_name!r} already")

    def _found(self, query_id: str) -> SavedQuery:
        if query_id not in self._saved:
            raise NotFoundError(f"query {query_id} does not exist", code="RESOURCE_DOES_NOT_EXIST")
        return self._saved[query_id]
