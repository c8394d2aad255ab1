"""What people ask for that takes several parts: one function a command. Between app and cli."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lakeflow_meta.control.tables import EXECUTIONS, TableLayout
from lakeflow_meta.errors import (
    ConfigError,
    NotFoundError,
    SpecError,
)

if TYPE_CHECKING:
    from lakeflow_meta.app import App
    from lakeflow_meta.backends.local.spark.runtime import Check
    from lakeflow_meta.control.history import HistoryEntry
    from lakeflow_meta.control.rows import Row


# --------------------------------------------------------------------------- export


def export(app: App, form: str) -> str:
    """The recorded state as metadata (``yaml``) or as an Asset Bundle (``bundle``).

    Raises SpecError for what cannot be exported; of a bundle these are also own tasks, on a
    platform that has to have this package and has not.
    """
    if form == "yaml":
        return app.manager.export()
    if form != "bundle":
        raise ConfigError(f"format {form!r}: write yaml or bundle")
    from lakeflow_meta.control.bundle import export_bundle

    recorded = app.manager.recorded()
    if recorded.problems:
        raise SpecError(recorded.problems)
    return export_bundle(recorded.modules.values(), context=app.deployed_context)


def read_text(path: Path) -> str:
    """A file that people name. Raises ConfigError."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all. Raises ConfigError."""
    if path.is_dir():
        raise ConfigError(f"cannot write {path}: it is a folder; name a file in it")
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}") from error


def titled(failures: Sequence[str]) -> str:
    """One line for one failure, else a count and the first."""
    first = failures[0].splitlines()[0]
    return first if len(failures) == 1 else f"{len(failures)} failures, first: {first}"


# --------------------------------------------------------------------------- history


def history(
    app: App, module: str | None, *, limit: int, since: str | datetime | None = None
) -> list[HistoryEntry]:
    """Who changed what and when, the newest first. Raises ConfigError."""
    from lakeflow_meta.control.history import MetadataHistory
    from lakeflow_meta.control.moment import read_point

    known = MetadataHistory(app.store, app.tables)
    if since is None:
        return known.entries(module, limit=limit)
    oldest = read_point(since)
    if isinstance(oldest, int):
        raise ConfigError(f"since {since} is not a time; write 2025-01-31T08:00:00+00:00")
    return known.entries(module, limit=limit, since=oldest)


def restore(
    app: App, modules: Sequence[str] | None, *, to: int | str | datetime, dry_run: bool
) -> dict[str, Any]:
    """Recorded rows back to what they were; the JSON result. Raises ConfigError, SpecError."""
    from lakeflow_meta.control.restore import MetadataRestore

    verb = MetadataRestore(app.store, app.tables, actor=app.actor, clock=app.clock)
    return verb.restore(modules or None, to=to, dry_run=dry_run).to_dict()


# --------------------------------------------------------------------------- scripts


def ddl_log(app: App, targets: Sequence[str] | None) -> list[Row]:
    """Executions of DDL scripts, oldest first."""
    rows = [r for r in rows_of(app, EXECUTIONS) if targets is None or r["target"] in targets]
    return sorted(rows, key=lambda row: row["update_date"])


# --------------------------------------------------------------------------- this machine


def doctor(app: App, *, fix: bool) -> list[Check]:
    """What the machine needs. With ``fix`` the jars and the class archive are made if missing."""
    from lakeflow_meta.backends.local.doctor import check_machine
    from lakeflow_meta.warehouse_operations import check_warehouse

    return [*check_machine(app.home, app.local.spark, fix=fix), check_warehouse(app)]


def rows_of(app: App, layout: TableLayout, columns: Sequence[str] | None = None) -> list[Row]:
    """Rows of one control table, or some of their columns; none where it does not exist yet."""
    from lakeflow_meta.arrow_values import rows_of as python_rows

    try:
        found = app.store.read(app.tables.of(layout), columns=columns)
    except NotFoundError:
        return []
    return python_rows(found)
