"""Which file a row came from: the path that the ledger knows, from the URI that Spark gives."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from lakeflow_meta.ingest.batch import Batch
from lakeflow_meta.paths import VOLUMES, PathMap, is_in_volumes, is_uri

if TYPE_CHECKING:
    from pyspark.sql import Column

_PLAIN = re.compile(r"[A-Za-z0-9/._~-]*")


def known_path(uri: Column, batch: Batch, paths: PathMap) -> Column:
    """The path that the ledger knows, from the URI that Spark gives for every row.

    In a URI a plus sign stands for itself. Decoding costs as much as reading a row, so it is left
    out where no name needs it.
    """
    from pyspark.sql import functions as F  # noqa: N812 - Spark's own usage

    remote = any(map(is_uri, batch.paths))
    path = uri if remote else F.substring(uri, F.locate("/", uri), F.length(uri))
    physical = [paths.physical(name) for name in batch.paths]
    if not all(_PLAIN.fullmatch(name[name.find("/") :]) for name in physical):
        path = F.url_decode(F.replace(path, F.lit("+"), F.lit("%2B")))
    if paths.volumes is None or not all(is_in_volumes(name) for name in batch.paths):
        return path
    below = F.lit(len(str(paths.volumes)) + 1)
    return F.concat(F.lit(VOLUMES), F.substring(path, below, F.length(path)))


def paths_by_uri(uris: Iterable[str], batch: Batch, paths: PathMap) -> dict[str, str]:
    """The same for a few URIs, here."""
    known = {paths.physical(name): name for name in batch.paths}
    decoded = {uri: unquote(uri if is_uri(uri) else uri[uri.find("/") :]) for uri in uris}
    return {uri: known[path] for uri, path in decoded.items() if path in known}


def uri_of(path: str, paths: PathMap) -> str:
    """What Spark would give for the rows of a file, for rows that have lost it."""
    scheme, _, place = path.partition(":") if is_uri(path) else ("file", "", paths.physical(path))
    return f"{scheme}:{quote(place)}"
