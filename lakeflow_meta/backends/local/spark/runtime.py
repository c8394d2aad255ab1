"""What the embedded Spark session needs from the machine: Java, jars, a cache directory.

Nothing here starts a session. Everything can be listed as checks for `lakeflow-meta doctor`.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from lakeflow_meta.errors import ConfigError

logger = logging.getLogger(__name__)

MINIMUM_JAVA = 17
"""Spark 4 runs on Java 17 and 21: https://spark.apache.org/docs/latest/ (Downloading)."""

INSTALL_JAVA = (
    "install Java 17 (for example `apt install openjdk-17-jre-headless`,"
    " `brew install openjdk@17` or `winget install EclipseAdoptium.Temurin.17.JRE`)"
    " or point JAVA_HOME at it"
)
INSTALL_SPARK = 'install the local engine: pip install "lakeflow_meta[local]"'

GET_AVRO = "`lakeflow-meta doctor --fix` fetches it (this needs the network, once)"

JAR_GROUPS = ("io.delta", "io.unitycatalog")
"""Of everything that delta-spark depends on, only these groups are not part of pyspark's jars."""

_DEFAULTS_LAYOUT = 2
"""Another one where the jar has other settings: a cache keeps the jars of all."""

_JAVA_VERSION = re.compile(r'version "(?:1\.)?(\d+)')
_JAVA_ANSWER_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Check:
    """One thing the embedded session needs. ``remedy`` says what to do where it is not ``ok``."""

    name: str
    ok: bool
    detail: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Java:
    """A usable Java. ``release`` is its version line: another line is another Java."""

    executable: Path
    major: int
    release: str

    @property
    def home(self) -> Path:
        """The directory that JAVA_HOME would name."""
        return self.executable.resolve().parent.parent


def find_java() -> Java:
    """The Java of JAVA_HOME, else the one on PATH. Raises ConfigError: missing or too old."""
    executable = _java_executable()
    if executable is None:
        raise ConfigError(f"Java was not found; {INSTALL_JAVA}")
    java = _ask_version(executable)
    if java.major < MINIMUM_JAVA:
        raise ConfigError(f"Java {java.major} at {executable} is too old for Spark; {INSTALL_JAVA}")
    return java


def _java_executable() -> Path | None:
    name = "java.exe" if os.name == "nt" else "java"
    home = os.environ.get("JAVA_HOME")
    if home and (Path(home) / "bin" / name).is_file():
        return Path(home) / "bin" / name
    found = shutil.which("java")
    return Path(found) if found else None


def _ask_version(executable: Path) -> Java:
    try:
        answer = subprocess.run(
            [str(executable), "-version"],
            capture_output=True,
            text=True,
            timeout=_JAVA_ANSWER_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise ConfigError(
            f"{executable} does not answer `java -version`; {INSTALL_JAVA}"
        ) from error
    text = answer.stderr + answer.stdout
    return Java(executable, parse_java_major(text), text.strip())


def parse_java_major(text: str) -> int:
    """The major number in what `java -version` prints (``1.8.0`` is 8). Raises ConfigError."""
    match = _JAVA_VERSION.search(text)
    if match is None:
        raise ConfigError(f"this Java does not tell its version; {INSTALL_JAVA}")
    return int(match.group(1))


def spark_version() -> str:
    """Version of the installed pyspark. Raises ConfigError when it is not installed."""
    return _package_version("pyspark")


def delta_version() -> str:
    """Version of the installed delta-spark. Raises ConfigError when it is not installed."""
    return _package_version("delta-spark")


def _package_version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError as error:
        raise ConfigError(f"{package} is not installed; {INSTALL_SPARK}") from error


def spark_home() -> Path:
    """Where the pip-installed Spark lies; found without importing it. Raises ConfigError."""
    spec = find_spec("pyspark")
    if spec is None or spec.origin is None:
        raise ConfigError(f"pyspark is not installed; {INSTALL_SPARK}")
    return Path(spec.origin).parent


def delta_artifact() -> tuple[str, str, str]:
    """Group, name and version of the Delta jar for the installed Spark.

    ``delta-spark_4.1_2.13``: Spark line and Scala line; pip's Spark is built for Scala 2.13.
    """
    line = ".".join(spark_version().split(".")[:2])
    return "io.delta", f"delta-spark_{line}_2.13", delta_version()


def avro_artifact() -> tuple[str, str, str]:
    """Group, name and versions of Spark's Avro module, which pip's Spark comes without.

    The newest of this Spark's line that is not newer than this Spark: releases of a line go
    together, and a repository may lack the very one.
    https://spark.apache.org/docs/latest/sql-data-sources-avro.html#deploying
    """
    release = spark_version()
    line = ".".join(release.split(".")[:2])
    return "org.apache.spark", "spark-avro_2.13", f"[{line}.0,{release}]"


def default_cache() -> Path:
    """``~/.cache/lakeflow_meta/<spark>-<delta>``: shared by all homes of this user."""
    return Path.home() / ".cache" / "lakeflow_meta" / f"{spark_version()}-{delta_version()}"


def jars_directory(cache: Path) -> Path:
    """Where the Delta jars lie. It exists only when it is complete."""
    return cache / "jars"


def delta_jars(cache: Path) -> tuple[Path, ...]:
    """The Delta jars in a fixed order (the class archive depends on it); empty when absent."""
    return tuple(sorted(jars_directory(cache).glob("*.jar")))


def avro_directory(cache: Path) -> Path:
    """Where Spark's Avro module lies. It exists only when it is complete."""
    return cache / "avro"


def avro_jars(cache: Path) -> tuple[Path, ...]:
    """Spark's Avro module; empty when absent, which costs the Avro format and nothing else."""
    return tuple(sorted(avro_directory(cache).glob("*.jar")))


def defaults_jar(cache: Path) -> Path:
    """Where Hadoop's default settings lie, as `hadoop_defaults` makes them."""
    return cache / f"hadoop-defaults-{_DEFAULTS_LAYOUT}.jar"


def session_jars(cache: Path) -> tuple[Path, ...]:
    """What a session has on its class path in front of pyspark's jars, in a fixed order."""
    defaults = defaults_jar(cache)
    return (*([defaults] if defaults.is_file() else ()), *delta_jars(cache), *avro_jars(cache))


def checks(cache: Path) -> list[Check]:
    """Everything the embedded session needs, without starting it."""
    return [_java_check(), _pyspark_check(), _jars_check(cache), _avro_check(cache)]


def _java_check() -> Check:
    try:
        java = find_java()
    except ConfigError as error:
        return Check("java", False, str(error), INSTALL_JAVA)
    return Check("java", True, f"Java {java.major} at {java.executable}")


def _pyspark_check() -> Check:
    try:
        detail = f"pyspark {spark_version()}, delta-spark {delta_version()}"
    except ConfigError as error:
        return Check("pyspark", False, str(error), INSTALL_SPARK)
    return Check("pyspark", True, detail)


def _jars_check(cache: Path) -> Check:
    found = delta_jars(cache)
    if not found:
        remedy = "they are fetched once when the session first starts; this needs the network"
        return Check("delta jars", False, f"none in {jars_directory(cache)}", remedy)
    return Check("delta jars", True, f"{len(found)} in {jars_directory(cache)}")


def _avro_check(cache: Path) -> Check:
    """Its absence is no fault: only Avro files need it."""
    found = avro_jars(cache)
    detail = found[0].name if found else f"not fetched; Avro files are refused, {GET_AVRO}"
    return Check("avro jar", True, detail)
