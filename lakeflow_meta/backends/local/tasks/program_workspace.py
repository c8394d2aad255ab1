"""The embedded workspace as a Python task's own process sees it.

The process that runs the job says by an environment variable where the workspace is and how its
Spark is set up; here that becomes a session, a ``dbutils`` with files and secrets, and the modules
that only Databricks has. Nothing of it is made before the program asks.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lakeflow_meta.backends.local.tasks import spark_on_demand

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from lakeflow_meta.backends.local.tasks.dbutils.whole import Dbutils


@dataclass(frozen=True, slots=True)
class ProgramWorkspace:
    """What a program needs to know; paths are absolute. ``cache`` of None is the usual one."""

    home: str
    project_root: str
    cache: str | None
    catalogs: tuple[str, ...]
    conf: Mapping[str, str]

    def as_json(self) -> str:
        """The value of the environment variable."""
        return json.dumps(asdict(self))

    @classmethod
    def of_json(cls, text: str) -> ProgramWorkspace:
        """What `as_json` gave."""
        read: dict[str, Any] = json.loads(text)
        return cls(**{**read, "catalogs": tuple(read["catalogs"])})


class _Program:
    """What this process has of its workspace, made when it is first used."""

    def __init__(self, workspace: ProgramWorkspace) -> None:
        self._workspace = workspace
        self._lock = threading.Lock()
        self._session: SparkSession | None = None
        self._dbutils: Dbutils | None = None

    def session(self) -> SparkSession:
        """The one session of this process; the first call starts a JVM."""
        with self._lock:
            if self._session is None:
                with spark_on_demand.pyspark_itself():
                    self._session = self._start()
            return self._session

    def _start(self) -> SparkSession:
        from lakeflow_meta.backends.local.spark.runtime import default_cache
        from lakeflow_meta.backends.local.spark.session import EmbeddedSpark

        spec = self._workspace
        cache = default_cache() if spec.cache is None else Path(spec.cache)
        home = Path(spec.home)
        return EmbeddedSpark(home, cache=cache, conf=spec.conf, catalogs=spec.catalogs).session()

    def dbutils(self) -> Dbutils:
        """Files and secrets; what belongs to a notebook's task is refused by name."""
        with self._lock:
            if self._dbutils is None:
                self._dbutils = self._make_dbutils()
            return self._dbutils

    def _make_dbutils(self) -> Dbutils:
        """From now on, this program's output shows no secret that it has read."""
        from lakeflow_meta.backends.local.tasks.dbutils.file_system import FileSystem
        from lakeflow_meta.backends.local.tasks.dbutils.secrets import Secrets, SecretStore
        from lakeflow_meta.backends.local.tasks.dbutils.whole import Dbutils
        from lakeflow_meta.backends.local.tasks.redacted_output import RedactedOutput
        from lakeflow_meta.paths import PathMap

        home = Path(self._workspace.home)
        store = SecretStore(home / "secrets.yml")
        for name in ("stdout", "stderr"):
            setattr(sys, name, RedactedOutput(getattr(sys, name), store.redacted))
        paths = PathMap.of_home(home, Path(self._workspace.project_root))
        return Dbutils(fs=FileSystem(paths), secrets=Secrets(store))


def install_hooks(text: str) -> None:
    """Make this process a program of the workspace that ``text`` describes."""
    program = _Program(ProgramWorkspace.of_json(text))
    spark_on_demand.install(program.session, {"dbutils": program.dbutils})
