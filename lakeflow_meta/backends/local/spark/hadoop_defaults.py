"""Hadoop's default settings, without those of clusters and daemons.

Hadoop has 1,100 defaults: YARN's, MapReduce's, and those of RPC servers and web pages. Spark copies
all of them for every file that it opens, which takes longer than to read a small file. A Spark on
one machine needs the ones of file systems alone: the others are read by nobody, or are the same in
Hadoop's code. They are left out by a jar in front of Spark's, which Java looks into first; what
people set (``spark.hadoop.*``) is not touched.

The files: https://hadoop.apache.org/docs/r3.4.2/hadoop-project-dist/hadoop-common/core-default.xml
and its siblings ``yarn-default.xml`` and ``mapred-default.xml``.
"""

from __future__ import annotations

import logging
import tempfile
import zipfile
from pathlib import Path
from xml.etree import ElementTree as ET

from lakeflow_meta.backends.local.spark.runtime import defaults_jar, spark_home

logger = logging.getLogger(__name__)

_CORE = "core-default.xml"
_CLUSTERS = ("yarn-default.xml", "mapred-default.xml")
_HADOOP = "hadoop-client-api-*.jar"
_KEPT = ("fs.", "io.", "file.", "hadoop.tmp.dir", "hadoop.security.group.mapping")
"""How names begin that say how files are reached and read; the others are left out."""

_EMPTY = "<configuration/>"


def install_defaults(cache: Path) -> None:
    """Make the jar in the cache unless it is there. Failing costs only speed: a logged warning."""
    place = defaults_jar(cache)
    if place.is_file():
        return
    try:
        (hadoop,) = (spark_home() / "jars").glob(_HADOOP)
        with zipfile.ZipFile(hadoop) as jar:
            files = {_CORE: _without_daemons(jar.read(_CORE)), **dict.fromkeys(_CLUSTERS, _EMPTY)}
        with tempfile.TemporaryDirectory(prefix="defaults-", dir=cache) as work:
            draft = Path(work) / place.name
            with zipfile.ZipFile(draft, "w") as made:
                for name, text in files.items():
                    made.writestr(zipfile.ZipInfo(name), text)
            draft.replace(place)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, ET.ParseError) as error:
        logger.warning("many small files are read slower, Hadoop has all its defaults: %s", error)


def _without_daemons(defaults: bytes) -> str:
    """Of ``defaults``, a file of Hadoop's own, what is kept."""
    root = ET.fromstring(defaults)  # noqa: S314 - it is part of the installed Spark
    kept = ET.Element("configuration")
    for each in root.iterfind("property"):
        name, value = each.findtext("name", "").strip(), each.findtext("value")
        if value is not None and name.startswith(_KEPT):
            made = ET.SubElement(kept, "property")
            ET.SubElement(made, "name").text = name
            ET.SubElement(made, "value").text = value
    return ET.tostring(kept, encoding="unicode")
