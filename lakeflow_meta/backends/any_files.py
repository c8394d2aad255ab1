"""Files wherever they lie: those of this machine by itself, URIs of other storage by Spark."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from lakeflow_meta.ingest.files import Digests, FoundFile, HashedFile
from lakeflow_meta.ingest.listing import FileListing
from lakeflow_meta.ingest.source import FileSource
from lakeflow_meta.paths import is_uri
from lakeflow_meta.ports import FileLister


class AnyFiles:
    """A `ports.FileLister` that asks another one, by what a path looks like."""

    def __init__(self, local: FileLister, by_spark: FileLister) -> None:
        self._local = local
        self._by_spark = by_spark

    def _of(self, path: str) -> FileLister:
        return self._by_spark if is_uri(path) else self._local

    def known_as(self, path: str) -> str:
        """The one name of a path. Raises ConfigError."""
        return self._of(path).known_as(path)

    def is_folder(self, path: str) -> bool:
        """Whether a path is a folder. Raises ConfigError."""
        return self._of(path).is_folder(path)

    def list_files(self, source: FileSource) -> FileListing:
        """Every file that the source names."""
        return self._of(source.source_config.path).list_files(source)

    def stat(self, paths: Iterable[str]) -> Mapping[str, FoundFile]:
        """Files as they are now; those that are gone are left out."""
        wanted = list(paths)
        found = dict(self._local.stat([path for path in wanted if not is_uri(path)]))
        if uris := [path for path in wanted if is_uri(path)]:
            found |= self._by_spark.stat(uris)
        return found

    def digest(self, files: Sequence[FoundFile]) -> Digests:
        """SHA-256 of each file's bytes."""
        here = self._local.digest([file for file in files if not is_uri(file.path)])
        there = [file for file in files if is_uri(file.path)]
        if not there:
            return here
        found = self._by_spark.digest(there)
        return Digests((*here.hashed, *found.hashed), {**here.unreadable, **found.unreadable})

    def put_away(self, source: FileSource, files: Sequence[HashedFile]) -> Mapping[str, str]:
        """Archive or delete files, as the source says."""
        return self._of(source.source_config.path).put_away(source, files)
