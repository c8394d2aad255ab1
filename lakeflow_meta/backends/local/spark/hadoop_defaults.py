"""Hadoop's default settings, without those of clusters and daemons.

Hadoop has 1,100 defaults: YARN's, MapReduce's, and those of RPC servers and web pages. Spark copies
all of them for every file that it opens, which takes longer than to read a small file. A Spark on
one machine needs those that Hadoop's code does not have itself: which class a file system is, and
where temporary files are. The others are left out by a jar in front of Spark's, which Java looks
into first. What people set (``spark.hadoop.*``) is not touched; a session with jars of their own,
which may be of other storage, gets all defaults back.

The files: https://hadoop.apache.org/docs/r3.4.2/hadoop-project-dist/hadoop-common/core-default.xml
and its siblings ``yarn-default.xml`` and ``mapred-default.xml``.
"""

from __future__ import annotations

import logging
import os
import re
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from lakeflow_meta.backends.local.spark.runtime import defaults_jar, spark_home

if TYPE_CHECKING:
    from py4j.java_gateway import JavaObject
    from pyspark.sql import SparkSession

logger = logging.getLogger(__name__)

_CORE = "core-default.xml"
_CLUSTERS = ("yarn-default.xml", "mapred-default.xml")
_KEPT = re.compile(
    r"fs\..*\.impl|fs\.defaultFS|fs\.permissions\.umask-mode|io\.serializations"
    r"|io\.file\.buffer\.size|hadoop\.tmp\.dir|hadoop\.security\.group\.mapping"
)
"""Names of settings that say how files are reached and read; the others are left out."""

_EMPTY = "<configuration/>"
_TIME = 315_532_800
"""1980: of two processes that make the jar at once both make the same one, down to the time that
the class archive goes by."""


def install_defaults(cache: Path) -> None:
    """Make the jar in the cache unless it is there. Failing costs only speed: a logged warning."""
    place = defaults_jar(cache)
    if place.is_file():
        return
    try:
        with zipfile.ZipFile(_hadoop()) as jar:
            files = {_CORE: _without_daemons(jar.read(_CORE)), **dict.fromkeys(_CLUSTERS, _EMPTY)}
        with tempfile.TemporaryDirectory(prefix="defaults-", dir=cache) as work:
            draft = Path(work) / place.name
            with zipfile.ZipFile(draft, "w") as made:
                for name, text in files.items():
                    made.writestr(zipfile.ZipInfo(name), text)
            os.utime(draft, (_TIME, _TIME))
            draft.replace(place)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, ET.ParseError) as error:
        logger.warning("many small files are read slower, Hadoop has all its defaults: %s", error)


def add_defaults(session: SparkSession, settings: JavaObject) -> None:
    """Put all of Hadoop's defaults into ``settings``, a Hadoop configuration; what is set stays."""
    place = _hadoop().as_uri()
    for name in (_CORE, *_CLUSTERS):
        settings.addResource(session._jvm.java.net.URL(f"jar:{place}!/{name}"))  # noqa: SLF001


def _hadoop() -> Path:
    """The jar that has the defaults. Raises ValueError: there is none, or several."""
    (found,) = (spark_home() / "jars").glob("hadoop-client-api-*.jar")
    return found


def _without_daemons(defaults: bytes) -> str:
    """Of ``defaults``, a file of Hadoop's own, what is kept."""
    root = ET.fromstring(defaults)  # noqa: S314 - it is part of the installed Spark
    kept = ET.Element("configuration")
    for each in root.iterfind("property"):
        name, value = each.findtext("name", "").strip(), each.findtext("value")
        if value is not None and _KEPT.fullmatch(name):
            made = ET.SubElement(kept, "property")
            ET.SubElement(made, "name").text = name
            ET.SubElement(made, "value").text = value
    return ET.tostring(kept, encoding="unicode")
