"""A class-data archive for the JVM: made once, it saves half of every later start.

Java can keep the classes that it has loaded and verified in a file (AppCDS, `JEP 350
<https://openjdk.org/jeps/350>`_). A training session in a process of its own does what a first
task does and leaves that file in the cache. Its name is a digest of the Java and the jars it was
made with, so a stale archive is never used; Java itself checks once more and then goes without.
"""

from __future__ import annotations

import hashlib
import logging
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from lakeflow_meta.backends.local.spark.runtime import Check, Java, session_jars, spark_home

logger = logging.getLogger(__name__)

_TRAINING_SECONDS = 300
_PACKAGE_ROOT = Path(__file__).resolve().parents[4]


def archive_path(cache: Path, java: Java) -> Path:
    """Where the archive for this Java and these jars is, or would be."""
    digest = hashlib.sha256(java.release.encode())
    for jar in (*session_jars(cache), *sorted((spark_home() / "jars").glob("*.jar"))):
        found = jar.stat()
        digest.update(f"{jar}:{found.st_size}:{found.st_mtime_ns}\n".encode())
    return cache / f"classes-{digest.hexdigest()[:16]}.jsa"


def archive_options(cache: Path, java: Java) -> str:
    """The JVM options that use the archive; none where there is no archive."""
    archive = archive_path(cache, java)
    return f'-XX:SharedArchiveFile="{archive}" -Xshare:auto' if archive.is_file() else ""


def build_class_archive(cache: Path, java: Java) -> bool:
    """Make the archive unless it is there; whether it is there now.

    Takes about 40 seconds on 2 cores. Failing costs only speed, so it is a logged warning.
    """
    archive = archive_path(cache, java)
    if archive.is_file():
        return True
    with tempfile.TemporaryDirectory(prefix="training-", dir=cache) as work:
        draft = Path(work) / "classes.jsa"
        failure = _train(cache, Path(work), draft)
        if failure or not draft.is_file():
            logger.warning("no class archive was made, sessions start slower: %s", failure)
            return False
        draft.replace(archive)
    return True


def _train(cache: Path, work: Path, draft: Path) -> str:
    """Run the training session; what went wrong, empty if nothing."""
    command = [sys.executable, "-m", "lakeflow_meta.backends.local.spark.training"]
    paths = [str(_PACKAGE_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    try:
        answer = subprocess.run(
            [*command, str(cache), str(work / "home"), str(draft)],
            capture_output=True,
            text=True,
            timeout=_TRAINING_SECONDS,
            check=False,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return "" if answer.returncode == 0 else answer.stderr.strip()[-500:]


def check(cache: Path, java: Java) -> Check:
    """For `doctor`. A missing archive is no fault: the first session makes it."""
    archive = archive_path(cache, java)
    detail = str(archive) if archive.is_file() else "not made yet; the first session makes it"
    return Check("class archive", True, detail)
