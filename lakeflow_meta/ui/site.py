"""Which function makes which page, and how pages are found by the path of a request."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from urllib.parse import parse_qsl, quote, urlencode

from lakeflow_meta.errors import NotFoundError
from lakeflow_meta.ui.blocks import Kind, Page, Place, place
from lakeflow_meta.ui.feed_pages import extracts, feed, plan, scripts
from lakeflow_meta.ui.file_pages import files
from lakeflow_meta.ui.module_pages import module_page, modules
from lakeflow_meta.ui.overview import overview
from lakeflow_meta.ui.run_pages import run_page, runs, task_page
from lakeflow_meta.ui.settings_page import settings
from lakeflow_meta.ui.snapshot import Snapshot
from lakeflow_meta.ui.table_pages import table_page, tables

PAGES: Mapping[Kind, Callable[[Snapshot, Place], Page]] = {
    Kind.OVERVIEW: overview,
    Kind.MODULES: modules,
    Kind.MODULE: module_page,
    Kind.PLAN: plan,
    Kind.RUNS: runs,
    Kind.RUN: run_page,
    Kind.TASK: task_page,
    Kind.FILES: files,
    Kind.TABLES: tables,
    Kind.TABLE: table_page,
    Kind.EXTRACTS: extracts,
    Kind.SCRIPTS: scripts,
    Kind.FEED: feed,
    Kind.SETTINGS: settings,
}
MENU = (
    ("Overview", Kind.OVERVIEW),
    ("Modules", Kind.MODULES),
    ("Plan", Kind.PLAN),
    ("Runs", Kind.RUNS),
    ("Files", Kind.FILES),
    ("Tables", Kind.TABLES),
    ("Extracts", Kind.EXTRACTS),
    ("Scripts", Kind.SCRIPTS),
    ("Feed", Kind.FEED),
    ("Settings", Kind.SETTINGS),
)
SECTIONS = {
    Kind.MODULE: Kind.MODULES,
    Kind.RUN: Kind.RUNS,
    Kind.TASK: Kind.RUNS,
    Kind.TABLE: Kind.TABLES,
}
"""Where in the menu the pages stand that are not in it."""

_FIELDS: Mapping[Kind, frozenset[str]] = {
    Kind.MODULES: frozenset({"name", "page"}),
    Kind.MODULE: frozenset({"name"}),
    Kind.PLAN: frozenset({"again"}),
    Kind.RUNS: frozenset({"job", "state", "page"}),
    Kind.RUN: frozenset({"id"}),
    Kind.TASK: frozenset({"run", "key", "attempt", "iteration"}),
    Kind.LOG: frozenset({"run", "key", "attempt", "iteration"}),
    Kind.FILES: frozenset({"source", "status", "path", "page"}),
    Kind.TABLES: frozenset({"name", "page"}),
    Kind.TABLE: frozenset({"name"}),
    Kind.EXTRACTS: frozenset({"page"}),
    Kind.SCRIPTS: frozenset({"page"}),
    Kind.FEED: frozenset({"object", "page"}),
}
_MOST_FIELDS = 20


def address_of(at: Place) -> str:
    """The path and query of a place on the server. Names stand in the query alone."""
    path = "/" if at.kind is Kind.OVERVIEW else f"/{at.kind}"
    query = urlencode(at.values, quote_via=quote, errors="replace")
    return f"{path}?{query}" if query else path


def place_at(path: str, query: str) -> Place:
    """The place of a request; fields that its page does not know are left out.

    Raises NotFoundError.
    """
    name = path.removeprefix("/") or Kind.OVERVIEW
    if name not in [*Kind] or path == f"/{Kind.OVERVIEW}":
        raise NotFoundError(f"there is no page {path}")
    kind = Kind(name)
    try:
        fields = parse_qsl(query, errors="replace", max_num_fields=_MOST_FIELDS)
    except ValueError as error:
        raise NotFoundError(f"there is no page with that many fields: {error}") from error
    known = _FIELDS.get(kind, frozenset())
    return place(kind, **{field: value for field, value in fields if field in known})
