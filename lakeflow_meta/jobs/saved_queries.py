"""Inline SQL as saved queries: one for each task, changed by its id, found again by its name."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from lakeflow_meta.errors import ConflictError, LakeflowMetaError, NotFoundError
from lakeflow_meta.jobs.ownership import query_name
from lakeflow_meta.jobs.settings_diff import Change
from lakeflow_meta.jobs.tasks import InlineQuery
from lakeflow_meta.ports import QueriesApi, SavedQuery

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class QueryPlan:
    """What has to be saved before a module's job can be sent."""

    ids: Mapping[str, str] = field(default_factory=dict)
    """Queries that exist, by task key."""
    create: tuple[InlineQuery, ...] = ()
    update: tuple[InlineQuery, ...] = ()
    trash: tuple[str, ...] = ()
    """Ids of queries whose task is gone."""
    changes: tuple[Change, ...] = ()

    @property
    def pending(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.create or self.update or self.trash)


class SavedQueries:
    """Plans and carries out what the tasks of one module need.

    Reads queries one by one, or all of them once that is needed or cheaper. Safe to use from
    several threads.
    """

    def __init__(self, queries: QueriesApi, control_table: str) -> None:
        self._queries = queries
        self._control_table = control_table
        self._listed: Mapping[str, SavedQuery] | None = None
        self._by_name: Mapping[str, SavedQuery] = {}
        self._lock = threading.RLock()

    def list_now(self) -> None:
        """Read all queries. Raises BackendError."""
        listed = self._queries.list_queries()
        with self._lock:
            self._listed = {query.query_id: query for query in listed}
            self._by_name = {query.display_name: query for query in listed}

    def forget(self) -> None:
        """What was read is old: others may have saved queries since."""
        with self._lock:
            self._listed = None

    def plan(
        self,
        module_name: str,
        inline: Sequence[InlineQuery],
        recorded: Mapping[str, str],
        *,
        look_by_name: bool,
    ) -> QueryPlan:
        """Compare with the platform. ``look_by_name``: also find queries that nobody recorded."""
        ids: dict[str, str] = {}
        create: list[InlineQuery] = []
        update: list[InlineQuery] = []
        changes: list[Change] = []
        for query in inline:
            saved = self._recorded(recorded.get(query.task_key))
            if saved is None and look_by_name:
                saved = self._named(self._name(module_name, query))
            path = f"tasks/{query.task_key}/sql_query"
            if saved is None:
                create.append(query)
                changes.append(Change(path, None, query.text))
                continue
            ids[query.task_key] = saved.query_id
            if saved.query_text != query.text:
                update.append(query)
                changes.append(Change(path, saved.query_text, query.text))
        wanted = {query.task_key for query in inline}
        gone = tuple(query_id for key, query_id in recorded.items() if key not in wanted)
        return QueryPlan(ids, tuple(create), tuple(update), gone, tuple(changes))

    def save(self, module_name: str, plan: QueryPlan) -> dict[str, str]:
        """Create and change what the plan says; ids of all queries by task key."""
        ids = dict(plan.ids)
        for query in plan.update:
            self._queries.update_query(ids[query.task_key], query_text=query.text)
        for query in plan.create:
            name = self._name(module_name, query)
            ids[query.task_key] = self._saved(name, query)
        return ids

    def _saved(self, name: str, query: InlineQuery) -> str:
        """A new query's id, or that of the one that has the name: names are ours alone."""
        try:
            return self._queries.create_query(name, query.text, query.warehouse_id or "")
        except ConflictError:
            self.forget()
            found = self._named(name)
            if found is None:
                raise
            self._queries.update_query(found.query_id, query_text=query.text)
            return found.query_id

    def trash(self, query_ids: Iterable[str]) -> None:
        """Move queries to the trash; those that are gone already are done."""
        for query_id in query_ids:
            try:
                self._queries.trash_query(query_id)
            except NotFoundError:
                logger.info("query %s is gone already", query_id)

    def take_back(self, query_ids: Iterable[str]) -> None:
        """After a failure: trash what was made for nothing, without hiding the failure."""
        try:
            self.trash(query_ids)
        except LakeflowMetaError:
            logger.warning("saved queries of a failed job stay behind", exc_info=True)

    def _recorded(self, query_id: str | None) -> SavedQuery | None:
        if query_id is None:
            return None
        with self._lock:
            listed = (self._listed or {}).get(query_id)
        if listed is not None:
            return listed
        try:
            return self._queries.get_query(query_id)
        except NotFoundError:
            return None

    def _named(self, name: str) -> SavedQuery | None:
        with self._lock:
            if self._listed is None:
                self.list_now()
            return self._by_name.get(name)

    def _name(self, module_name: str, query: InlineQuery) -> str:
        return query_name(self._control_table, module_name, query.task_key)
