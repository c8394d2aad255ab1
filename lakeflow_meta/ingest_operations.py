"""What people ask of the ingestor. Between app and cli, as `operations`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from lakeflow_meta.control.tables import FILES
from lakeflow_meta.errors import (
    ConfigError,
    LakeflowMetaError,
    NotFoundError,
    RunFailedError,
    SpecError,
)
from lakeflow_meta.findings import did_you_mean
from lakeflow_meta.operations import titled

if TYPE_CHECKING:
    import pyarrow as pa

    from lakeflow_meta.app import App
    from lakeflow_meta.control.rows import Row
    from lakeflow_meta.ingest.batch import FileFailure, IngestResult
    from lakeflow_meta.ingest.ingest_plan import IngestPlan
    from lakeflow_meta.ingest.ingestor import Ingestor
    from lakeflow_meta.ingest.ledger_tables import TableNames
    from lakeflow_meta.ingest.selection import Selection
    from lakeflow_meta.ingest.source import FileSource

_T = TypeVar("_T")


def make_ingestor(app: App, tables: TableNames | None = None) -> Ingestor:
    """The ingestor of an app; ``tables``: another ledger than the app's. Starts nothing."""
    from lakeflow_meta.backends.processes import is_running, process_name
    from lakeflow_meta.ingest.ingestor import Ingestor

    return Ingestor(
        app.store,
        tables or app.tables,
        app.batch_loader,
        app.files,
        owner=process_name(),
        is_alive=is_running,
        clock=app.clock,
        progress=app.progress,
        actor=app.actor,
    )


# --------------------------------------------------------------------------- reports


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What came of several sources; ``errors`` are of sources that could not be read at all."""

    results: Mapping[str, IngestResult]
    errors: Mapping[str, str]

    @property
    def has_failures(self) -> bool:
        """Whether a file or a whole source failed."""
        return bool(self.errors) or any(_failures(r) for r in self.results.values())

    def raise_failures(self) -> None:
        """Raise RunFailedError, which carries this report, when anything failed."""
        failures = [
            *(f"{n}: {f.path}: {f.reason}" for n, r in self.results.items() for f in _failures(r)),
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
        for name, result in self.results.items():
            yield from _lines(name, result)
        yield from (f"✗ {name}: {error}" for name, error in self.errors.items())


def _failures(result: IngestResult) -> list[FileFailure]:
    return [*result.failures, *result.not_put_away]


def _lines(name: str, result: IngestResult) -> Iterator[str]:
    waiting = f", waiting {result.waiting}" if result.waiting else ""
    put_away = f", put away {result.put_away}" if result.put_away else ""
    yield (
        f"{name} → {result.target}: processed {result.processed}, skipped {result.skipped},"
        f" failed {result.failed}{waiting}{put_away} ({result.rows:,} rows)"
    )
    for expectation, rows in sorted(result.violations.items()):
        yield f"  ! {rows:,} rows did not meet {expectation}"
    yield from (f"  ! {warning}" for warning in result.warnings)
    yield from (f"  ✗ {failure.path}: {failure.reason}" for failure in _failures(result))


def _source_dict(result: IngestResult) -> dict[str, Any]:
    return {
        "target": result.target,
        "processed": result.processed,
        "skipped": result.skipped,
        "failed": result.failed,
        "waiting": result.waiting,
        "rows": result.rows,
        "batches": result.batches,
        "put_away": result.put_away,
        "failures": [{"path": f.path, "reason": f.reason} for f in result.failures],
        "not_put_away": [{"path": f.path, "reason": f.reason} for f in result.not_put_away],
        "violations": dict(result.violations),
        "warnings": list(result.warnings),
    }


@dataclass(frozen=True, slots=True)
class IngestPlans:
    """What `ingest` would do with several sources."""

    plans: Mapping[str, IngestPlan]
    errors: Mapping[str, str]

    def raise_failures(self) -> None:
        """Raise RunFailedError, which carries this, when a source cannot be read."""
        if self.errors:
            failures = [f"{name}: {error}" for name, error in self.errors.items()]
            raise RunFailedError(titled(failures), self)

    def to_dict(self) -> dict[str, Any]:
        """The JSON result of ``ingest --dry-run``."""
        plans = self.plans.values()
        return {
            "files": sum(plan.files for plan in plans),
            "bytes": sum(plan.size_bytes for plan in plans),
            "sources": {
                **{name: plan.to_dict() for name, plan in self.plans.items()},
                **{name: {"error": error} for name, error in self.errors.items()},
            },
        }

    def lines(self) -> Iterator[str]:
        """For people."""
        for plan in self.plans.values():
            yield from plan.lines()
        yield from (f"✗ {name}: {error}" for name, error in self.errors.items())


# --------------------------------------------------------------------------- commands


def ingest(
    app: App,
    names: Sequence[str] | None,
    module: str | None,
    *,
    files: Sequence[str] | None = None,
    force: bool = False,
) -> IngestReport:
    """Ingest file sources one after another; one that fails does not stop the others.

    All files of a source go through one Spark, so sources at the same time would not be faster.
    ``files``: only these, by path or pattern; ``force``: although they were ingested. Raises
    ConfigError for sources and files that are not there, SpecError.
    """
    selection = _selection(app, files, force)
    ran = _each(recorded_sources(app, names, module), lambda s: app.ingestor.ingest(s, selection))
    _check_matched(selection, ran[1])
    return IngestReport(*ran)


def plan_ingest(
    app: App,
    names: Sequence[str] | None,
    module: str | None,
    *,
    files: Sequence[str] | None = None,
    force: bool = False,
) -> IngestPlans:
    """What `ingest` would do; it reads files and the ledger, and writes nothing."""
    selection = _selection(app, files, force)
    found = _each(recorded_sources(app, names, module), lambda s: app.ingestor.plan(s, selection))
    _check_matched(selection, found[1])
    return IngestPlans(*found)


def ingest_source(app: App, source: FileSource, *, force: bool = False) -> IngestReport:
    """Ingest a source that is not recorded."""
    selection = _selection(app, None, force)
    return IngestReport(*_each([source], lambda s: app.ingestor.ingest(s, selection)))


def plan_source(app: App, source: FileSource, *, force: bool = False) -> IngestPlans:
    """What `ingest_source` would do."""
    selection = _selection(app, None, force)
    return IngestPlans(*_each([source], lambda s: app.ingestor.plan(s, selection)))


def with_format(app: App, config: Mapping[str, Any]) -> dict[str, Any]:
    """A source configuration with the format that names of files tell, where it says none.

    Raises ConfigError where they tell several.
    """
    from lakeflow_meta.ingest.formats import FileFormat, format_of
    from lakeflow_meta.ingest.source import FileSource

    told = config.get("format") or format_of(config.get("glob") or "") or format_of(config["path"])
    if told:
        return dict(config)
    named = {key: config[key] for key in ("path", "glob", "recursive") if key in config}
    any_format = FileSource.parse(config["path"], {**named, "format": "text"}, _ANY_TABLE)
    listed = app.files.list_files(any_format)
    found = {format_of(path) for path in listed.paths()} - {None}
    if len(found) > 1:
        names = ", ".join(sorted(map(str, found)))
        raise ConfigError(f"{config['path']} has files of the formats {names}; say format, or glob")
    if found:
        return {**config, "format": found.pop()}
    return dict(config) if listed else {**config, "format": FileFormat.TEXT}  # nothing to read


_ANY_TABLE = {"table": "any.any.any"}


def _each(
    sources: Sequence[FileSource], act: Callable[[FileSource], _T]
) -> tuple[dict[str, _T], dict[str, str]]:
    results: dict[str, _T] = {}
    errors: dict[str, str] = {}
    for source in sources:
        try:
            results[source.name] = act(source)
        except LakeflowMetaError as error:
            errors[source.name] = str(error)
    return results, errors


def _selection(app: App, files: Sequence[str] | None, force: bool) -> Selection:
    from lakeflow_meta.ingest.selection import Selection

    wanted = None if files is None else frozenset(map(app.files.known_as, files))
    return Selection(wanted, force=force)


def _check_matched(selection: Selection, errors: Mapping[str, str]) -> None:
    missing = sorted((selection.wanted or set()) - selection.matched)
    if missing and not errors:
        raise ConfigError(
            f"no source has the file {', '.join(missing)}; a file is named by its path as the"
            " ledger shows it, or by a pattern in quotes"
        )


def recorded_sources(app: App, names: Sequence[str] | None, module: str | None) -> list[FileSource]:
    """File sources of the control tables. Raises ConfigError, SpecError."""
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
        known = {*found, *(full.split("/", 1)[1] for full in found)} if "/" not in name else found
        raise ConfigError(f"no file source {name!r} is recorded; {did_you_mean(name, known)}")
    if len(matches) > 1:
        raise ConfigError(f"source {name!r} is in several modules: {', '.join(matches)}")
    return matches[0]


# --------------------------------------------------------------------------- the ledger


def ingest_log(
    app: App,
    names: Sequence[str] | None,
    *,
    status: str | None = None,
    limit: int | None = None,
    since: str | datetime | None = None,
) -> list[Row]:
    """Rows of the ledger, the newest first. Raises ConfigError.

    ``names``: of these sources, which are the files below their paths that went to their tables.
    """
    where = {"status": _status(status)} if status is not None else None
    oldest = _moment(since)
    places = None
    if names is not None:
        places = sorted({place_of(app, source) for source in recorded_sources(app, names, None)})
    try:
        ledger = app.store.read(app.tables.of(FILES), where=where)
    except NotFoundError:
        return []
    from lakeflow_meta.arrow_values import rows_of

    return rows_of(_narrowed(ledger, places, oldest).slice(0, limit))


def _narrowed(
    ledger: pa.Table, places: Sequence[tuple[str, str]] | None, oldest: datetime | None
) -> pa.Table:
    """As columns: a ledger may have a hundred thousand rows, of which people want to see fifty."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if oldest is not None:
        ledger = ledger.filter(pc.greater_equal(ledger["processed_at"], pa.scalar(oldest)))
    if places is not None:
        chosen = [
            ledger.filter(
                pc.and_(
                    pc.equal(ledger["target_table"], target),
                    pc.starts_with(ledger["file_path"], path),
                )
            )
            for target, path in places
        ]
        ledger = pa.concat_tables(chosen) if chosen else ledger.slice(0, 0)
    order = [("processed_at", "descending"), ("target_table", "ascending")]
    return ledger.sort_by([*order, ("file_path", "ascending")])


def log_lines(rows: Sequence[Row]) -> Iterator[str]:
    """The ledger for people: one line a file, and below it why it failed or was skipped."""
    for row in rows:
        at = row["processed_at"]
        when = at.isoformat(sep=" ", timespec="seconds") if at is not None else ""
        count = "" if row["record_count"] is None else f"{row['record_count']:,} rows"
        tries = f" (attempt {row['attempt']})" if (row["attempt"] or 0) > 1 else ""
        where = f"{row['file_path']} → {row['target_table']}"
        yield f"{when}  {row['status']:<10} {count:>12}  {where}{tries}"
        yield from (f"    {line}" for line in (row["error_message"] or "").splitlines()[:1])


def _status(text: str) -> str:
    from lakeflow_meta.ingest.snapshot import FileStatus

    if text not in [*FileStatus]:
        raise ConfigError(f"status {text!r}: write {', '.join(FileStatus)}")
    return text


def _moment(since: str | datetime | None) -> datetime | None:
    if since is None:
        return None
    from lakeflow_meta.control.moment import read_point

    found = read_point(since)
    if isinstance(found, int):
        raise ConfigError(f"since {since} is not a time; write 2025-01-31T08:00:00+00:00")
    return found


def place_of(app: App, source: FileSource) -> tuple[str, str]:
    """The target of a source, and what the paths of its files start with."""
    path = app.files.known_as(source.source_config.path)
    wildcards = [path.index(character) for character in "*?[" if character in path]
    return source.target.key, path[: min(wildcards)] if wildcards else path
