"""What people ask for with ``monitor``: its parts put together. Between app and cli."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lakeflow_meta.app import App
    from lakeflow_meta.control.file_intake import FileIntake
    from lakeflow_meta.control.monitor import MetadataMonitor

HEARTBEAT = "monitor.json"
"""What the monitor did last; below the home directory."""


def monitor_of(
    app: App,
    volume: str | None,
    *,
    interval_seconds: float = 60.0,
    settle_seconds: float = 2.0,
    apply: bool = True,
    prune: bool = False,
    variables: Mapping[str, Any] | None = None,
    stop: threading.Event | None = None,
) -> MetadataMonitor:
    """A monitor of the control tables and, with ``volume``, of a folder of metadata files."""
    from lakeflow_meta.backends.heartbeat_file import HeartbeatFile
    from lakeflow_meta.control.monitor import MetadataMonitor

    stop = stop or threading.Event()
    intake = None
    if volume is not None:
        intake = _intake(app, volume, variables or {}, prune, settle_seconds, stop)
    return MetadataMonitor(
        memory=app.manager.memory,
        detect=app.manager.changes,
        apply=app.orchestrator.apply if apply else None,
        intake=intake,
        check_interval_seconds=interval_seconds,
        clock=app.clock,
        stop=stop,
        heartbeat=HeartbeatFile(app.home / HEARTBEAT).write,
    )


def _intake(
    app: App,
    volume: str,
    variables: Mapping[str, Any],
    prune: bool,
    settle_seconds: float,
    stop: threading.Event,
) -> FileIntake:
    from lakeflow_meta.control.file_intake import FileIntake
    from lakeflow_meta.control.volume_watch import FolderWatch

    folder = app.target.metadata_folder(volume)
    watch = FolderWatch(
        folder,
        clock=app.clock,
        pause=stop.wait,
        settle_seconds=settle_seconds,
        at_once=folder.at_once,
        progress=app.progress,
    )
    return FileIntake(
        volume,
        watch,
        store=app.store,
        tables=app.tables,
        read=lambda yaml, scripts: app.declared_in(yaml, scripts, variables),
        load=lambda declared, remove: app.manager.load(declared, prune=remove),
        variables={**app.settings.variables, **variables},
        prune=prune,
        actor=app.actor,
    )
