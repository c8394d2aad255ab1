"""The jars: fetched once, by Ivy, into the cache, so that no session start needs a network.

Delta's are needed. Spark's Avro module is needed for Avro files alone: where it cannot be fetched
everything else works, and a later start tries again.

Ivy is the one inside pyspark's jars. It runs in its own process with its own settings and its own
directory, so neither a half-filled ``~/.m2`` nor another Ivy cache can break it.
"""

from __future__ import annotations

import logging
import os
import re
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit
from xml.sax.saxutils import quoteattr

from lakeflow_meta.backends.local.spark.runtime import (
    GET_AVRO,
    JAR_GROUPS,
    avro_artifact,
    avro_directory,
    avro_jars,
    delta_artifact,
    delta_jars,
    find_java,
    jars_directory,
    spark_home,
)
from lakeflow_meta.errors import ConfigError
from lakeflow_meta.ports import Clock, utc_now

logger = logging.getLogger(__name__)

CENTRAL = "Maven Central"
_FETCH_SECONDS = 600
_AVRO_SECONDS = 60
_AVRO_REST = timedelta(days=1)
"""How long session starts leave the Avro module alone after it could not be fetched."""
_TELLING = re.compile(
    r"not found|UNRESOLVED|Host|SERVER ERROR|refused|Exception|ERROR", re.IGNORECASE
)


def install_jars(cache: Path, repository: str = "") -> tuple[Path, ...]:
    """Fetch the Delta jars unless they are there. Raises ConfigError when they cannot be had.

    ``repository`` is a mirror; left out, they come from Ivy's default, which is Maven Central.

    The set is filled in a directory of its own and renamed into place: dying on the way leaves
    nothing that a later start would use, and of two installers one wins and both go on.
    """
    present = delta_jars(cache)
    if present:
        return present
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="ivy-", dir=cache) as work:
        fetched = _fetch(Path(work), delta_artifact(), JAR_GROUPS, repository, _FETCH_SECONDS)
        _publish(fetched, jars_directory(cache))
    return delta_jars(cache)


def install_avro(
    cache: Path, repository: str = "", *, again: bool = False, clock: Clock = utc_now
) -> tuple[Path, ...]:
    """Fetch Spark's Avro module into a cache that has none; empty where it cannot be had.

    A failure is a warning, and is not repeated for a day unless ``again`` asks for it.
    """
    present = avro_jars(cache)
    failed = cache / "avro.failed"
    if present or not (again or _is_due(failed, clock)):
        return present
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="ivy-", dir=cache) as work:
            fetched = _fetch(Path(work), avro_artifact(), (), repository, _AVRO_SECONDS)
            _publish(fetched, avro_directory(cache))
    except (ConfigError, OSError) as error:
        with suppress(OSError):
            failed.touch()
        logger.warning("Avro files are refused until %s: %s", GET_AVRO, error)
    return avro_jars(cache)


def _is_due(failed: Path, clock: Clock) -> bool:
    if not failed.exists():
        return True
    return clock() - datetime.fromtimestamp(failed.stat().st_mtime, UTC) >= _AVRO_REST


def _publish(filled: Path, place: Path) -> None:
    try:
        filled.rename(place)
    except OSError:
        if not any(place.glob("*.jar")):
            raise
        logger.info("another process has installed the jars of %s first", place)


_Artifact = tuple[str, str, str]
"""Group, name, version (or a range of them)."""


def _fetch(
    work: Path, artifact: _Artifact, groups: Sequence[str], repository: str, seconds: int
) -> Path:
    """A directory with the jar of ``artifact``, and those that it needs of ``groups``."""
    target = work / "jars"
    (work / "settings.xml").write_text(_settings(work / "cache", repository), encoding="utf-8")
    (work / "ivy.xml").write_text(_module(artifact, groups), encoding="utf-8")
    command = _ivy_command(work, target)
    logger.info("fetching %s:%s:%s from %s", *artifact, repository or CENTRAL)
    try:
        answer = subprocess.run(
            command, capture_output=True, text=True, timeout=seconds, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConfigError(_refusal(artifact, repository, str(error))) from error
    if answer.returncode != 0 or not any(target.glob(f"{artifact[1]}-*.jar")):
        reason = _reason(answer.stdout + answer.stderr)
        raise ConfigError(_refusal(artifact, repository, reason))
    return target


def _ivy_command(work: Path, target: Path) -> list[str]:
    found = sorted((spark_home() / "jars").glob("ivy-*.jar"))
    if not found:
        raise ConfigError(f"{spark_home()} has no Ivy jar; reinstall pyspark")
    return [
        *(str(find_java().executable), *_proxy_options(), "-jar", str(found[-1])),
        *("-settings", str(work / "settings.xml"), "-ivy", str(work / "ivy.xml")),
        *("-confs", "default", "-warn"),
        *("-retrieve", str(target / "[artifact]-[revision].[ext]")),
    ]


def _proxy_options() -> list[str]:
    """Java does not read the proxy variables that everything else reads."""
    options = ["-Djava.net.useSystemProxies=true"]
    for scheme in ("http", "https"):
        value = os.environ.get(f"{scheme}_proxy") or os.environ.get(f"{scheme.upper()}_PROXY")
        proxy = urlsplit(value or "")
        if proxy.hostname:
            options.append(f"-D{scheme}.proxyHost={proxy.hostname}")
            options.append(f"-D{scheme}.proxyPort={proxy.port or 80}")
    return options


def _settings(cache: Path, repository: str) -> str:
    """One resolver only: nothing of this machine's Maven or Ivy set-up takes part."""
    root = f" root={quoteattr(repository)}" if repository else ""
    return f"""<ivysettings>
  <settings defaultResolver="repository"/>
  <caches defaultCacheDir={quoteattr(str(cache))}/>
  <resolvers>
    <ibiblio name="repository" m2compatible="true"{root}/>
  </resolvers>
</ivysettings>
"""


def _module(artifact: _Artifact, groups: Sequence[str]) -> str:
    """The jar, with those of its dependencies that are of ``groups``: pyspark ships the others."""
    group, name, release = artifact
    dependency = f"org={quoteattr(group)} name={quoteattr(name)} rev={quoteattr(release)}"
    foreign = "|".join(re.escape(kept) for kept in groups)
    others = f"""<exclude org="^(?!({foreign})$).*" matcher="regexp"/>"""
    wanted, excluded = ("master,runtime", others) if groups else ("master", "")
    return f"""<ivy-module version="2.0">
  <info organisation="lakeflow_meta" module="embedded-spark"/>
  <configurations><conf name="default"/></configurations>
  <dependencies>
    <dependency {dependency} conf="default->{wanted}">
      {excluded}
    </dependency>
  </dependencies>
</ivy-module>
"""


def _reason(output: str) -> str:
    """The first line in which Ivy says what went wrong."""
    lines = [line.strip() for line in output.splitlines()]
    telling = [line for line in lines if _TELLING.search(line)]
    return (telling or [line for line in lines if line] or ["no output"])[0]


def _refusal(artifact: _Artifact, repository: str, reason: str) -> str:
    origin = repository or CENTRAL
    return (
        f"{':'.join(artifact)} could not be fetched from {origin}: {reason}; it is needed once,"
        " then no network is"
    )
