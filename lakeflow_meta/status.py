"""One screen: is everything as declared and recorded, what ran last, what failed, what is next."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from lakeflow_meta import __version__
from lakeflow_meta.control.read_files import read_metadata
from lakeflow_meta.control.tables import (
    DDL_SCRIPTS,
    EXTRACT_DETAILS,
    EXTRACTS,
    FILES,
    MODULES,
    SOURCES,
    TABLES,
)
from lakeflow_meta.errors import ConfigError, NotFoundError, SpecError
from lakeflow_meta.fingerprint import fingerprint
from lakeflow_meta.operations import write_text
from lakeflow_meta.plan_operations import plan
from lakeflow_meta.serve_operations import upcoming
from lakeflow_meta.status_report import (
    DeclaredStatus,
    FilesStatus,
    MonitorStatus,
    Status,
    is_to_be_mended,
)

if TYPE_CHECKING:
    from lakeflow_meta.app import App
    from lakeflow_meta.control.read_files import MetadataTexts
    from lakeflow_meta.control.rows import Recorded
    from lakeflow_meta.ports import JobRun

__all__ = ["DeclaredStatus", "FilesStatus", "MonitorStatus", "Status", "monitor_status", "status"]

logger = logging.getLogger(__name__)

METADATA_FOLDER = "metadata"
"""Where a project has its metadata files; `lakeflow-meta init` makes it."""

_KEPT = "status.json"
_DECLARED = (MODULES, DDL_SCRIPTS, EXTRACT_DETAILS, EXTRACTS, TABLES, SOURCES)
_LATEST_RUNS = 100
_TOLD_FAILURES = 3
_COUNTED_ENTRIES = 20_000
_BY_RUNS = frozenset({"ddl_script", "table"})
"""Kinds of actions of a plan that `apply` leaves to a run of the module's job."""


def status(app: App) -> Status:
    """Read everything once; starts no Spark."""
    from lakeflow_meta.backends.folder_size import size_bytes

    recorded = app.manager.recorded()
    files = files_status(app)
    home = app.home if app.target.runs_here else None
    found = Status(
        str(app.tables.sources),
        _counts(recorded, files),
        pending=(),
        problems=(),
        runs=(),
        monitor=monitor_status(app),
        declared=declared_status(app),
        files=files,
        target=app.settings.target,
        home="" if home is None else str(home),
        home_bytes=None if home is None else size_bytes(home, _COUNTED_ENTRIES),
        now=app.clock(),
    )
    if app.store.version(app.tables.of(SOURCES)) is None:
        return found
    pending, waiting, problems = _against_live(app, recorded)
    return replace(
        found,
        pending=pending,
        waiting=waiting,
        problems=problems,
        runs=_latest_runs(app),
        upcoming=upcoming(app),
    )


def _counts(recorded: Recorded, files: FilesStatus) -> dict[str, int]:
    modules = recorded.modules.values()
    return {
        "modules": sum(module.is_active for module in modules),
        "sources": sum(len(module.sources) for module in modules),
        "tables": sum(len(module.tables) for module in modules),
        "files ingested": files.ingested,
    }


def _against_live(app: App, recorded: Recorded) -> tuple[list[str], list[str], list[str]]:
    """What an apply would do, what a run would do first, and what cannot be done as recorded."""
    found = plan(app, None)
    actions = found.to_dict()["actions"]
    pending: list[str] = []
    waiting: list[str] = []
    for action in actions:
        if not action.get("error"):
            which = waiting if action["kind"] in _BY_RUNS else pending
            which.append(f"{action['action']} {action['name']}")
    wrong = (recorded.problems, found.problems, app.manager.recorded_extracts().problems)
    problems = [str(problem) for some in wrong for problem in some]
    problems += [
        f"{a['name']}: {a['error']}"
        for a in actions
        if a.get("error") and a["name"] not in recorded.unreadable
    ]
    return pending, waiting, problems


def _latest_runs(app: App) -> list[JobRun]:
    """The last run of each job, by name; those that failed with their tasks."""
    latest: dict[str, JobRun] = {}
    for run in app.jobs.list_runs(limit=_LATEST_RUNS):
        latest.setdefault(run.job_name, run)
    failed = [name for name, run in sorted(latest.items()) if is_to_be_mended(run)]
    for name in failed[:_TOLD_FAILURES]:
        latest[name] = app.jobs.get_run(latest[name].run_id)
    return [latest[name] for name in sorted(latest)]


def files_status(app: App) -> FilesStatus:
    """The ledger in a few numbers. As columns: it may have a hundred thousand rows."""
    import pyarrow as pa
    import pyarrow.compute as pc

    from lakeflow_meta.arrow_values import scalar_of

    columns = ["status", "file_path", "error_message"]
    try:
        ledger = app.store.read(app.tables.of(FILES), columns=columns)
    except NotFoundError:
        return FilesStatus()
    succeeded = pc.sum(pc.equal(ledger["status"], scalar_of("success", pa.string()))).as_py() or 0
    failed = ledger.filter(pc.equal(ledger["status"], scalar_of("failed", pa.string())))
    paths, errors = failed["file_path"].to_pylist(), failed["error_message"].to_pylist()
    reasons = (_first_line(error) for error in errors)
    return FilesStatus(succeeded, sorted(zip(paths, reasons, strict=True)))


def _first_line(text: str | None) -> str:
    return next(iter((text or "").splitlines()), "")


def declared_status(app: App) -> DeclaredStatus | None:
    """The project's metadata folder against what is recorded; None where there is no folder.

    An answer without problems is kept below the home, with a fingerprint of the texts and of the
    table versions that it is of: a thousand modules are read as YAML once, not at each `status`.
    """
    folder = app.project_root / METADATA_FOLDER
    if not folder.is_dir():
        return None
    try:
        texts = read_metadata([folder], app.target.metadata_folder, progress=app.progress)
        asked = _fingerprint(app, texts)
        kept = _kept_answer(app, asked)
        if kept is not None:
            return kept
        report = app.manager.plan_load(app.declared_in(texts.yaml, texts.scripts, {})).to_dict()
    except SpecError as error:
        return DeclaredStatus(METADATA_FOLDER, problems=[str(p) for p in error.problems])
    changes = tuple(
        f"{sign}{name}"
        for table in report["tables"].values()
        for sign, action in (("+", "added"), ("~", "changed"))
        for name in table[action]
    )
    found = DeclaredStatus(METADATA_FOLDER, changes, report["not_declared"])
    _keep_answer(app, asked, found)
    return found


def _fingerprint(app: App, texts: MetadataTexts) -> str:
    """Of everything that the answer depends on."""
    versions = {str(t): app.store.version(t) for t in map(app.tables.of, _DECLARED)}
    return fingerprint(
        [
            __version__,
            dict(texts.yaml),
            dict(texts.scripts),
            versions,
            app.settings.model_dump(mode="json", include={"variables", "warehouse_id"}),
        ]
    )


def _kept_answer(app: App, asked: str) -> DeclaredStatus | None:
    try:
        kept = json.loads((app.home / _KEPT).read_text(encoding="utf-8"))
        if kept["of"] == asked:
            return DeclaredStatus(METADATA_FOLDER, tuple(kept["changes"]), kept["not_declared"])
    except (OSError, ValueError, KeyError, TypeError):
        logger.debug("no kept answer", exc_info=True)
    return None


def _keep_answer(app: App, asked: str, found: DeclaredStatus) -> None:
    """Another `status` at the same time writes the same; what cannot be kept is worked out anew."""
    if not app.home.is_dir():
        return
    value = {"of": asked, "changes": found.changes, "not_declared": found.not_declared}
    try:
        write_text(app.home / _KEPT, json.dumps(value))
    except ConfigError as error:
        logger.info("%s", error)


def monitor_status(app: App) -> MonitorStatus | None:
    """What the heartbeat file of this home tells."""
    from lakeflow_meta.backends.heartbeat_file import HeartbeatFile, monitor_state
    from lakeflow_meta.monitor_operations import HEARTBEAT

    beat = HeartbeatFile(app.home / HEARTBEAT).read()
    if beat is None:
        return None
    last = beat.get("last")
    errors: Sequence[object] | object = last.get("errors") if isinstance(last, dict) else None
    return MonitorStatus(
        state=monitor_state(beat, app.clock()),
        looked_at=str(beat.get("at", "")),
        iterations=beat.get("iterations", 0),
        errors=[str(error) for error in errors] if isinstance(errors, list) else [],
        host=str(beat.get("host", "?")),
        pid=beat.get("pid", 0),
    )
