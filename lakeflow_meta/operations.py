"""What people ask for that takes several parts: one function a command. Between app and cli."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lakeflow_meta.control.tables import EXECUTIONS, FILES, TableLayout
from lakeflow_meta.errors import (
    ConfigError,
    LakeflowMetaError,
    NotFoundError,
    RunFailedError,
    SpecError,
)
from lakeflow_meta.findings import did_you_mean

if TYPE_CHECKING:
    from lakeflow_meta.app import App
    from lakeflow_meta.backends.local.spark.runtime import Check
    from lakeflow_meta.control.history import HistoryEntry
    from lakeflow_meta.control.rows import Row
    from lakeflow_meta.ingest.batch import IngestResult
    from lakeflow_meta.ingest.source import FileSource


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
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}") from error


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


# --------------------------------------------------------------------------- ingest


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What came of several sources; ``errors`` are of sources that could not be read at all."""

    results: Mapping[str, IngestResult]
    errors: Mapping[str, str]

    @property
    def has_failures(self) -> bool:
        """Whether a file or a whole source failed."""
        return bool(self.errors) or any(r.failed for r in self.results.values())

    def raise_failures(self) -> None:
        """Raise RunFailedError, which carries this report, when anything failed."""
        failures = [
            *(
                f"{name}: {f.path}: {f.reason}"
                for name, r in self.results.items()
                for f in r.failures
            ),
            *(f"{name}: {error}" for name, error in self.errors.items()),
        ]
        if failures:
            raise RunFailedError(titled(failures), self)

    def to_dict(self) -> dict[str, Any]:
        """The JSON result of ``ingest``."""
        results = self.results.values()
        return {
            "processed": sum(r.processed for r in results),
            "skipped": sum(r.skipped for r in results),
            "failed": sum(r.failed for r in results) + len(self.errors),
            "sources": {
                **{name: _source_dict(result) for name, result in self.results.items()},
                **{name: {"error": error} for name, error in self.errors.items()},
            },
        }

    def lines(self) -> Iterator[str]:
        """For people: one line a source, and below it what failed and why."""
        for name, r in self.results.items():
            waiting = f", waiting {r.waiting}" if r.waiting else ""
            yield (
                f"{name} → {r.target}: processed {r.processed}, skipped {r.skipped},"
                f" failed {r.failed}{waiting} ({r.rows:,} rows)"
            )
            yield from (f"  ✗ {f.path}: {f.reason}" for f in r.failures)
        yield from (f"✗ {name}: {error}" for name, error in self.errors.items())


def titled(failures: Sequence[str]) -> str:
    """One line for one failure, else a count and the first."""
    first = failures[0].splitlines()[0]
    return first if len(failures) == 1 else f"{len(failures)} failures, first: {first}"


def _source_dict(result: IngestResult) -> dict[str, Any]:
    return {
        "target": result.target,
        "processed": result.processed,
        "skipped": result.skipped,
        "failed": result.failed,
        "waiting": result.waiting,
        "rows": result.rows,
        "failures": [{"path": f.path, "reason": f.reason} for f in result.failures],
    }


def ingest(app: App, names: Sequence[str] | None, module: str | None) -> IngestReport:
    """Ingest file sources one after another; one that fails does not stop the others."""
    results: dict[str, IngestResult] = {}
    errors: dict[str, str] = {}
    for source in _file_sources(app, names, module):
        try:
            results[source.name] = app.ingestor.ingest(source)
        except LakeflowMetaError as error:
            errors[source.name] = str(error)
    return IngestReport(results, errors)


def _file_sources(app: App, names: Sequence[str] | None, module: str | None) -> list[FileSource]:
    from lakeflow_meta.ingest.source import FileSource, is_file_source

    recorded = app.manager.recorded()
    bad = [row.problem for row in recorded.bad_rows if module in (None, row.module_name)]
    if bad:
        raise SpecError(bad)
    found = {
        f"{source.module_name}/{source.source_id}": source
        for one in recorded.modules.values()
        if one.is_active and module in (None, one.module_name)
        for source in one.sources
        if is_file_source(source)
    }
    chosen = list(found) if names is None else [_one_of(name, found) for name in names]
    return [FileSource.of(found[name]) for name in chosen]


def _one_of(name: str, found: Mapping[str, Any]) -> str:
    matches = [full for full in found if name in (full, full.split("/", 1)[1])]
    if not matches:
        raise ConfigError(f"no file source {name!r} is recorded; {did_you_mean(name, found)}")
    if len(matches) > 1:
        raise ConfigError(f"source {name!r} is in several modules: {', '.join(matches)}")
    return matches[0]


def ingest_log(app: App) -> list[Row]:
    """The ledger, by target and path."""
    rows = rows_of(app, FILES)
    return sorted(rows, key=lambda row: (row["target_table"], row["file_path"]))


# --------------------------------------------------------------------------- scripts


def ddl_log(app: App, targets: Sequence[str] | None) -> list[Row]:
    """Executions of DDL scripts, oldest first."""
    rows = [r for r in rows_of(app, EXECUTIONS) if targets is None or r["target"] in targets]
    return sorted(rows, key=lambda row: row["update_date"])


# --------------------------------------------------------------------------- this machine


def doctor(app: App, *, fix: bool) -> list[Check]:
    """What the machine needs. With ``fix`` the jars and the class archive are made if missing."""
    from lakeflow_meta.backends.local.doctor import check_machine

    return check_machine(app.home, app.local.spark, fix=fix)


def rows_of(app: App, layout: TableLayout, columns: Sequence[str] | None = None) -> list[Row]:
    """Rows of one control table, or some of their columns; none where it does not exist yet."""
    try:
        found = app.store.read(app.tables.of(layout), columns=columns)
        rows: list[Row] = found.to_pylist()
    except NotFoundError:
        return []
    return rows
