"""Composition: the one place where settings, stores, engines and verbs are put together.

Everything is made on first use, so a command pays only for the parts it needs. Explicit arguments
win, then the configured target.
"""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from lakeflow_meta.errors import ConfigError, NotFoundError
from lakeflow_meta.ports import Clock, ControlStore, utc_now
from lakeflow_meta.progress import Progress, silent
from lakeflow_meta.settings import (
    ENVIRONMENT_PREFIX,
    Layer,
    Resolved,
    environment_layer,
    resolve,
)

if TYPE_CHECKING:
    from lakeflow_meta.backends.local.session import EmbeddedSpark
    from lakeflow_meta.backends.local.workspace import LocalWorkspace
    from lakeflow_meta.control.declared import Declared
    from lakeflow_meta.control.manager import MetadataManager
    from lakeflow_meta.control.tables import ControlTables
    from lakeflow_meta.ingest.ingestor import Ingestor
    from lakeflow_meta.jobs.orchestrator import JobOrchestrator
    from lakeflow_meta.schema.engine import SchemaEngine
    from lakeflow_meta.scripts.runner import ScriptRunner


class App:
    """The parts of one target, wired lazily. Keyword arguments replace parts."""

    def __init__(
        self,
        resolved: Resolved,
        *,
        project_root: Path | None = None,
        store: ControlStore | None = None,
        clock: Clock = utc_now,
        progress: Progress = silent,
    ) -> None:
        self.resolved = resolved
        self.settings = resolved.settings
        self.home = self.settings.home.expanduser().absolute()
        self.project_root = project_root or self.home.parent
        self.clock = clock
        self.progress = progress
        if store is not None:
            self.__dict__["store"] = store

    @classmethod
    def from_environment(
        cls,
        *,
        overrides: Mapping[str, Any] | None = None,
        conf: Path | None = None,
        progress: Progress = silent,
    ) -> App:
        """Read ``conf/``, the environment and explicit overrides. Raises ConfigError."""
        return cls(resolve(_layers(overrides or {}, conf)), progress=progress)
