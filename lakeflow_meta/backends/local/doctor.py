"""Checks of this machine, and getting what is missing."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from lakeflow_meta.backends.local.spark.runtime import Check
from lakeflow_meta.backends.local.spark.session import EmbeddedSpark


def check_machine(home: Path, spark: EmbeddedSpark, *, fix: bool) -> list[Check]:
    """Python, a home to write to, and what the embedded Spark needs.

    With ``fix``, jars are fetched and the class archive is made where they are missing. Raises
    ConfigError when they cannot be.
    """
    if fix:
        spark.prepare(again=True)
    return [_python(), _home(home), *spark.checks()]


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
