"""A watched folder, control tables and a workspace in memory, and monitors of them."""

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from lakeflow_meta.control.change_memory import ChangeMemory
from lakeflow_meta.control.declared import read_declared
from lakeflow_meta.control.file_intake import FileIntake
from lakeflow_meta.control.manager import MetadataManager
from lakeflow_meta.control.monitor import MetadataMonitor
from lakeflow_meta.control.tables import SOURCES, ControlTables
from lakeflow_meta.control.volume_watch import FolderWatch
from lakeflow_meta.control.watched_files import WatchedFile
from lakeflow_meta.errors import BackendError, NotFoundError
from lakeflow_meta.jobs.job_settings import JobContext
from lakeflow_meta.jobs.orchestrator import JobOrchestrator
from lakeflow_meta.testing import CrashPoint, FakeJobs, FakeQueries, FakeStore, FixedClock

CONTROL = "main.lakeflow.etl_control"
TABLES = ControlTables.named(CONTROL)
LONG_AGO = timedelta(days=1)


def module(name: str, *statements: str, head: str = "") -> str:
    """One module whose sources run these statements."""
    lines = [head, "modules:", f"  - module_name: {name}", "    sources:"]
    for number, statement in enumerate(statements or ("SELECT 1",)):
        task = {"task_type": "sql_query", "sql_task": {"sql_query": statement}}
        lines += [
            f"      - source_id: s{number}",
            "        execution_order: 1",
            f"        transformation_config: {json.dumps(task)}",
        ]
    return "\n".join(lines) + "\n"


@dataclass
class Folder:
    """A watched folder in memory. ``on_list`` is called at each listing: others at work."""

    clock: FixedClock
    files: dict[str, tuple[bytes, datetime]] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)
    missing: bool = False
    reads: int = 0
    on_list: list[Callable[[], None]] = field(default_factory=list)
    etags: bool = False

    def put(self, name: str, text: str | bytes, age: timedelta = LONG_AGO) -> None:
        data = text.encode() if isinstance(text, str) else text
        self.files[name] = (data, self.clock() - age)

    def list_files(self) -> list[WatchedFile]:
        if self.missing:
            raise NotFoundError("there is no such volume")
        if self.on_list:
            self.on_list.pop(0)()
        return [
            WatchedFile(name, len(data), at, str(hash(data)) if self.etags else None)
            for name, (data, at) in sorted(self.files.items())
        ]

    def read_file(self, name: str) -> bytes:
        self.reads += 1
        if name in self.broken:
            raise BackendError(f"{name}: permission denied", code="PermissionError")
        if name not in self.files:
            raise NotFoundError(name)
        return self.files[name][0]


class World:
    """One folder, one control table, one workspace."""

    def __init__(self) -> None:
        self.clock = FixedClock(step_seconds=0.001)
        self.store = FakeStore(self.clock)
        self.jobs = FakeJobs(self.clock)
        self.queries = FakeQueries()
        self.folder = Folder(self.clock)
        self.beats: list[Any] = []
        self.manager = self.new_manager(self.store)

    def new_manager(self, store: Any) -> MetadataManager:
        return MetadataManager(CONTROL, store=store, actor=lambda: "tester", clock=self.clock)

    def monitor(self, crash: CrashPoint | None = None, **options: Any) -> MetadataMonitor:
        """A monitor of a new process."""

        def wrap(port: Any) -> Any:
            return crash.wrap(port) if crash else port

        store, folder = wrap(self.store), wrap(self.folder)
        manager = self.new_manager(store)
        context = JobContext(control_table=CONTROL)
        orchestrator = JobOrchestrator(
            store,
            wrap(self.jobs),
            wrap(self.queries),
            tables=TABLES,
            context=context,
            permissions=wrap(self.jobs.permissions),
            clock=self.clock,
            sleep=self.clock.advance,
        )
        stop = options.pop("stop", threading.Event())
        given = options.pop("given", {})

        def pause(seconds: float) -> bool:
            self.clock.advance(seconds)
            return bool(stop.is_set())

        intake = FileIntake(
            "/Volumes/main/lakeflow/metadata",
            FolderWatch(folder, clock=self.clock, pause=pause),
            store=store,
            tables=TABLES,
            read=lambda yaml, scripts: read_declared(
                yaml, scripts, variables=given, context=context
            ),
            variables=given,
            load=lambda declared, prune: manager.load(declared, prune=prune),
            prune=options.pop("prune", False),
        )
        return MetadataMonitor(
            memory=ChangeMemory(store, TABLES),
            detect=manager.changes,
            apply=options.pop("apply", orchestrator.apply),
            intake=intake,
            check_interval_seconds=0,
            clock=self.clock,
            stop=stop,
            heartbeat=options.pop("heartbeat", self.beats.append),
            **options,
        )

    def statement(self, name: str, source_id: str = "s0") -> str:
        rows = [r for r in self.manager.get_module_sources(name) if r["source_id"] == source_id]
        config = json.loads(rows[0]["transformation_config"])
        return str(config["sql_task"]["sql_query"])

    def set_statement(self, name: str, statement: str) -> None:
        """As SQL on another engine would: no timestamp is touched."""
        config = {"task_type": "sql_query", "sql_task": {"sql_query": statement}}
        row = {
            "module_name": name,
            "source_id": "s0",
            "execution_order": 1,
            "transformation_config": json.dumps(config),
            "is_active": True,
        }
        self.store.merge(TABLES.sources, [row], keys=SOURCES.keys)

    def versions(self) -> dict[str, int | None]:
        return {str(table): self.store.version(table) for table in TABLES.all()}
