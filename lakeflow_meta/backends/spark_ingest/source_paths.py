"""Which file a row came from: the path that the ledger knows, as an expression on what Spark knows.

From the reader on it stands in the column ``_source_file``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING

from lakeflow_meta.backends.spark_ingest.links import DIGITS, LinkFolder, LinkFolders
from lakeflow_meta.paths import VOLUMES, PathMap, is_in_volumes, is_uri

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

_PLAIN = re.compile(r"[A-Za-z0-9/._~-]*")
_NUL = "\0"  # no path has it


def source_path(
    frame: DataFrame, known: Sequence[str], paths: PathMap, folder: LinkFolder | None = None
) -> Column:
    """The path of each row's file, of a frame that reads the files ``known``.

    ``folder``: what it reads in place of them.
    """
    from pyspark.sql import functions as F  # noqa: N812 - Spark's own usage

    if len(known) == 1:  # what Spark tells of a row's file costs as much as to read a column
        return F.lit(known[0])
    if folder is None:
        return _known_path(frame.metadataColumn("_metadata").getField("file_path"), known, paths)
    # Plans have the paths as text, and Spark keeps plans: so only what tells them apart.
    begin = os.path.commonprefix(known)  # noqa: RUF071 - of texts, whatever they are
    rest = F.lit(_NUL.join(path[len(begin) :] for path in known))
    return F.concat(F.lit(begin), F.get(F.split(rest, _NUL), _number(frame, folder)))


def _number(frame: DataFrame, folder: LinkFolder) -> Column:
    """The position of each row's file: its row says it in a bundle, else the name of the link."""
    from pyspark.sql import functions as F  # noqa: N812 - Spark's own usage

    told = [F.lit(None).cast("int")]
    if folder.numbers in frame.columns:  # inference finds none where all lines are broken
        told.append(frame[folder.numbers].cast("string").try_cast("int"))
    if folder.links:
        name = frame.metadataColumn("_metadata").getField("file_name")
        told.append(F.substring(name, 1, DIGITS).try_cast("int"))
    return F.coalesce(*told)


def _known_path(uri: Column, known: Sequence[str], paths: PathMap) -> Column:
    """From the URI that Spark gives for every row.

    In a URI a plus sign stands for itself. Decoding costs as much as reading a row, so it is left
    out where no name needs it.
    """
    from pyspark.sql import functions as F  # noqa: N812 - Spark's own usage

    remote = any(map(is_uri, known))
    path = uri if remote else F.substring(uri, F.locate("/", uri), F.length(uri))
    physical = [paths.physical(name) for name in known]
    if not all(_PLAIN.fullmatch(name[name.find("/") :]) for name in physical):
        path = F.url_decode(F.replace(path, F.lit("+"), F.lit("%2B")))
    if paths.volumes is None or not all(is_in_volumes(name) for name in known):
        return path
    below = F.lit(len(str(paths.volumes)) + 1)
    return F.concat(F.lit(VOLUMES), F.substring(path, below, F.length(path)))


def named_files(
    spellings: Iterable[str],
    known: Collection[str],
    paths: PathMap,
    links: LinkFolders | None = None,
) -> list[str]:
    """Which of the files an error means that names one: by its known path, where it lies, or one
    of the ``links`` to it. ``spellings`` are of one file; the first that says anything counts."""
    by_place = {paths.physical(path): path for path in known}
    for spelling in spellings:
        for name in (spelling, links.behind(spelling) if links else ""):
            if name in by_place:
                return [by_place[name]]
            if name in known:
                return [name]
    return []
