"""Checks of this machine, and getting what is missing."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from lakeflow_meta.backends.local import jars, runtime
from lakeflow_meta.backends.local.class_archive import archive_path, build_class_archive
from lakeflow_meta.backends.local.runtime import Check
from lakeflow_meta.errors import ConfigError

FIX = "run `lakeflow-meta doctor --fix`"


def check_machine(home: Path, cache: Path, *, fix: bool) -> list[Check]:
    """Python, a home to write to, Java, Spark, Delta's jars, the class archive.

    With ``fix``, jars are fetched and the archive is made where they are missing. Raises ConfigError
    when they cannot be.
    """
    if fix:
        jars.install_jars(cache)
        java = runtime.find_java()
        if not archive_path(cache, java).is_file():
            build_class_archive(cache, java)
    return [_python(), _home(home), *runtime.checks(cache), _archive(cache)]


def _python() -> Check:
    version = ".".join(map(str, sys.version_info[:3]))
    return Check("python", sys.version_info >= (3, 11), version, "install Python 3.11 or newer")


def _home(home: Path) -> Check:
    nearest = next(path for path in (home, *home.parents) if path.exists())
    remedy = f"give write permission on {nearest}, or choose another place with --home"
    try:
        with tempfile.TemporaryFile(dir=nearest):
            return Check("home", True, f"{home} can be written to")
    except OSError as error:
        return Check("home", False, f"{nearest}: {os.strerror(error.errno or 0)}", remedy)


def _archive(cache: Path) -> Check:
    """The archive only makes Spark start sooner, so a missing one is no failure."""
    try:
        path = archive_path(cache, runtime.find_java())
    except ConfigError:
        return Check("class archive", True, "needs Java first")
    if path.is_file():
        return Check("class archive", True, str(path))
    return Check("class archive", True, f"none: Spark starts slower; {FIX}")
