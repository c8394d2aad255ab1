"""Files of every file system that Spark knows (``abfss://``, ``s3://``, ``hdfs://`` …), by Spark.

Works on Spark Connect too: all is asked as DataFrames, but for files so large that their bytes have
to be hashed as a stream, which takes Hadoop's own interface.
"""

from __future__ import annotations

import glob
import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from fnmatch import fnmatchcase
from hashlib import sha256
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from lakeflow_meta.backends.spark import translate
from lakeflow_meta.backends.spark_ingest.faults import read_fault
from lakeflow_meta.errors import BackendError, ConfigError, NotFoundError
from lakeflow_meta.ingest.files import Digests, FoundFile, HashedFile, is_hidden
from lakeflow_meta.ingest.listing import FileListing
from lakeflow_meta.ingest.source import AfterSuccess, FileSource
from lakeflow_meta.paths import known_uri
from lakeflow_meta.sql import ident

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

logger = logging.getLogger(__name__)

WHOLE_BYTES = 32 * 2**20
"""Files up to this size are hashed as one value of a row, many at a time."""
LARGEST_ON_CONNECT = 512 * 2**20
"""The largest file whose bytes a worker is asked to hold at once, where there is no stream."""

_ROWS = ("path", "length", "modificationTime")
_EMPTY_HASH = sha256(b"").hexdigest()
_GLOB = re.compile(r"([\\*?\[\]{}])")
_LONG_AGO = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


class SparkFiles:
    """A `ports.FileLister` over URIs. ``session`` is called at the first need.

    Spark lists files of no bytes by name only, so their modification time is 1970.
    """

    def __init__(self, session: Callable[[], SparkSession]) -> None:
        self._session = session

    def known_as(self, path: str) -> str:
        """The one name of a URI. Raises ConfigError."""
        return known_uri(path)

    def is_folder(self, path: str) -> bool:
        """Whether files lie below a path. Raises ConfigError."""
        known = self.known_as(path)
        found = self._found(known) or []
        return any(file.path != known for file in found)

    # --- listing

    def list_files(self, source: FileSource) -> FileListing:
        """Every file that the source names, but hidden ones.

        Raises ConfigError, NotFoundError, BackendError.
        """
        config = source.source_config
        path = self.known_as(config.path)
        if config.after_success is not AfterSuccess.KEEP:
            raise ConfigError(
                f"{source.name}: after_success: {config.after_success} is for files of this machine"
                f" and of volumes; {path} is kept"
            )
        found = self._found(path)
        if found is None:
            raise NotFoundError(f"{source.name}: there is no {path}", code="PATH_NOT_FOUND")
        base = _fixed_part(path) if glob.has_magic(path) else path
        deepest = None if config.recursive else path.count("/") + 1
        return FileListing.of(
            file
            for file in found
            if (deepest is None or file.path.count("/") <= deepest)
            and (config.glob is None or fnmatchcase(_name(file.path), config.glob))
            and not any(map(is_hidden, file.path.removeprefix(base).split("/")))
        )

    def _found(self, path: str) -> list[FoundFile] | None:
        """All files at and below a path; a path that exists is itself, else it is a glob."""
        try:
            return self._listed([_GLOB.sub(r"\\\1", path)])
        except NotFoundError:
            if not glob.has_magic(path):
                return None
        try:
            return self._listed([path])
        except NotFoundError:
            return [] if self._exists(_fixed_part(path)) else None

    def _exists(self, path: str) -> bool:
        try:
            self._frame([_GLOB.sub(r"\\\1", path)])
        except NotFoundError:
            return False
        return True

    def _listed(self, patterns: Sequence[str]) -> list[FoundFile]:
        """Raises NotFoundError, BackendError."""
        frame = self._frame(patterns)
        try:
            rows = frame.select(*_ROWS).toArrow().to_pylist()
            names = {_known(unquote(uri)) for uri in frame.inputFiles()}
        except Exception as error:
            raise translate(error) from error
        files = [_file(row) for row in rows]
        empty = names - {file.path for file in files}
        return [*files, *(FoundFile(path, 0, _LONG_AGO) for path in sorted(empty))]

    def _frame(self, patterns: Sequence[str]) -> DataFrame:
        reader = self._session().read.format("binaryFile").option("recursiveFileLookup", "true")
        try:
            frame = reader.load(list(patterns))
            _ = frame.schema  # Spark Connect looks for the paths only now
        except Exception as error:
            raise translate(error) from error
        return frame

    def stat(self, paths: Iterable[str]) -> Mapping[str, FoundFile]:
        """Files as they are now; those that are gone are left out."""
        wanted = set(paths)
        folders = sorted({path.rpartition("/")[0] for path in wanted})
        found: dict[str, FoundFile] = {}
        for listed in self._each_or_all(folders):
            found |= {file.path: file for file in listed if file.path in wanted}
        return found

    def _each_or_all(self, folders: Sequence[str]) -> Iterator[list[FoundFile]]:
        """All folders at once; one by one where some are gone."""
        patterns = [_GLOB.sub(r"\\\1", folder) for folder in folders]
        if not patterns:
            return
        try:
            yield self._listed(patterns)
        except NotFoundError:
            for pattern in patterns if len(patterns) > 1 else ():
                try:
                    yield self._listed([pattern])
                except NotFoundError:
                    continue

    # --- bytes

    def digest(self, files: Sequence[FoundFile]) -> Digests:
        """SHA-256 of each file's bytes. A file that is no longer as listed is left out."""
        hashed = [HashedFile(file, _EMPTY_HASH) for file in files if not file.size_bytes]
        unreadable: dict[FoundFile, str] = {}
        small = [file for file in files if 0 < file.size_bytes <= WHOLE_BYTES]
        for file in files:
            if file.size_bytes > WHOLE_BYTES:
                try:
                    hashed += self._hashed_alone(file)
                except BackendError as error:
                    unreadable[file] = f"it cannot be read: {error}"
        hashed += self._hashed_together(small, unreadable)
        return Digests(tuple(hashed), unreadable)

    def _hashed_together(
        self, files: Sequence[FoundFile], unreadable: dict[FoundFile, str]
    ) -> list[HashedFile]:
        """Files that are gone, or cannot be read, are left out one after the other."""
        left = {file.path: file for file in files}
        while left:
            try:
                return self._hashed_by_spark(list(left.values()))
            except Exception as error:
                fault = read_fault(error)
                named = {_known(path) for path in fault.paths} & left.keys()
                if not named:
                    raise translate(error) from error
                still_there = self.stat(named)
                for path in named:
                    file = left.pop(path)
                    if path in still_there:
                        unreadable[file] = f"it cannot be read: {fault.reason}"
        return []

    def _hashed_by_spark(self, files: Sequence[FoundFile]) -> list[HashedFile]:
        from pyspark.sql import functions as F  # noqa: N812 - Spark's own usage

        paths = [_GLOB.sub(r"\\\1", file.path) for file in files]
        frame = self._session().read.format("binaryFile").load(paths)
        parts = max(2, sum(file.size_bytes for file in files) // (4 * WHOLE_BYTES))
        digests = frame.coalesce(parts).select(
            *map(ident, _ROWS), F.sha2("content", 256).alias("h")
        )
        listed = {file.path: file for file in files}
        return [
            HashedFile(listed[now.path], row["h"])
            for row in digests.toArrow().to_pylist()
            if listed.get((now := _file(row)).path) == now
        ]

    def _hashed_alone(self, file: FoundFile) -> list[HashedFile]:
        """A large file: as a stream on this session's driver. Raises BackendError."""
        session: Any = self._session()
        if getattr(session, "_jsparkSession", None) is None:
            if file.size_bytes <= LARGEST_ON_CONNECT:
                return self._hashed_together([file], {})
            raise BackendError(
                f"{file.size_bytes} bytes are too many to be hashed through Spark Connect; read it"
                " by a path of a volume, or run the ingestor on a cluster",
                code="TOO_LARGE",
            )
        try:
            digest = _streamed(session, file.path)
        except Exception as error:
            raise translate(error) from error
        return [HashedFile(file, digest)] if self.stat([file.path]).get(file.path) == file else []

    def put_away(
        self,
        source: FileSource,
        files: Sequence[HashedFile],
    ) -> Mapping[str, str]:
        """Nothing: `list_files` refuses sources that ask for it."""
        reason = f"after_success: {source.source_config.after_success} is not for this file system"
        return {item.path: reason for item in files}


def _streamed(session: Any, path: str) -> str:
    """SHA-256 inside the JVM, in constant memory."""
    jvm = session._jvm  # noqa: SLF001 - classic Spark only, and it has no public name
    place = jvm.org.apache.hadoop.fs.Path(path)
    settings = session._jsparkSession.sessionState().newHadoopConf()  # noqa: SLF001
    stream = place.getFileSystem(settings).open(place)
    try:
        return str(jvm.org.apache.commons.codec.digest.DigestUtils.sha256Hex(stream))
    finally:
        stream.close()


def _file(row: Mapping[str, Any]) -> FoundFile:
    return FoundFile(_known(row["path"]), row["length"], row["modificationTime"])


def _known(path: str) -> str:
    """The name of a file that Spark names."""
    return known_uri(path)


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _fixed_part(pattern: str) -> str:
    """The folder in front of the first part that holds a wildcard."""
    parts = pattern.split("/")
    first = next(i for i, part in enumerate(parts) if glob.has_magic(part))
    return "/".join(parts[:first]) or "/"
