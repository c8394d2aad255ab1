"""The Delta jars: fetched once, by Ivy, into the cache, so that no session start needs a network.

Ivy is the one inside pyspark's jars. It runs in its own process with its own settings and its own
directory, so neither a half-filled ``~/.m2`` nor another Ivy cache can break it.
"""

from __future__ import annotations

import logging
import os
import re
import subprocess
import tempfile
from pathlib import Path
from urllib.parse import urlsplit
from xml.sax.saxutils import quoteattr

from lakeflow_meta.backends.local.spark.runtime import (
    JAR_GROUPS,
    delta_artifact,
    delta_jars,
    find_java,
    jars_directory,
    spark_home,
)
from lakeflow_meta.errors import ConfigError

logger = logging.getLogger(__name__)

CENTRAL = "Maven Central"
_FETCH_SECONDS = 600
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
        fetched = _fetch(Path(work), repository)
        _publish(fetched, jars_directory(cache))
    return delta_jars(cache)


def _publish(filled: Path, place: Path) -> None:
    try:
        filled.rename(place)
    except OSError:
        if not any(place.glob("*.jar")):
            raise
        logger.info("another process has installed the Delta jars first")


def _fetch(work: Path, repository: str) -> Path:
    group, name, release = delta_artifact()
    target = work / "jars"
    (work / "settings.xml").write_text(_settings(work / "cache", repository), encoding="utf-8")
    (work / "ivy.xml").write_text(_module(group, name, release), encoding="utf-8")
    command = _ivy_command(work, target)
    logger.info("fetching %s:%s:%s from %s", group, name, release, repository or CENTRAL)
    try:
        answer = subprocess.run(
            command, capture_output=True, text=True, timeout=_FETCH_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConfigError(_refusal(group, name, release, repository, str(error))) from error
    if answer.returncode != 0 or not any(target.glob(f"{name}-{release}.jar")):
        reason = _reason(answer.stdout + answer.stderr)
        raise ConfigError(_refusal(group, name, release, repository, reason))
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


def _module(group: str, name: str, release: str) -> str:
    """The Delta jar with its dependencies, less all that pyspark ships itself."""
    dependency = f"org={quoteattr(group)} name={quoteattr(name)} rev={quoteattr(release)}"
    foreign = "|".join(re.escape(kept) for kept in JAR_GROUPS)
    return f"""<ivy-module version="2.0">
  <info organisation="lakeflow_meta" module="embedded-spark"/>
  <configurations><conf name="default"/></configurations>
  <dependencies>
    <dependency {dependency} conf="default->master,runtime">
      <exclude org="^(?!({foreign})$).*" matcher="regexp"/>
    </dependency>
  </dependencies>
</ivy-module>
"""


def _reason(output: str) -> str:
    """The first line in which Ivy says what went wrong."""
    lines = [line.strip() for line in output.splitlines()]
    telling = [line for line in lines if _TELLING.search(line)]
    return (telling or [line for line in lines if line] or ["no output"])[0]


def _refusal(group: str, name: str, release: str, repository: str, reason: str) -> str:
    origin = repository or CENTRAL
    return (
        f"the Delta jars ({group}:{name}:{release}) could not be fetched from {origin}:"
        f" {reason}; they are needed once, then no network is"
    )
