"""Which files of a batch are to blame for an error of Spark's.

Most errors name their file. For the others (a value that does not fit, a forbidden NULL) the batch
is read without writing, then its halves, until each bad file stands alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lakeflow_meta.backends.spark import translate
from lakeflow_meta.backends.spark_ingest.columns import ColumnsError
from lakeflow_meta.backends.spark_ingest.faults import read_fault
from lakeflow_meta.backends.spark_ingest.links import LinkFolders
from lakeflow_meta.backends.spark_ingest.source_paths import named_files
from lakeflow_meta.errors import LakeflowMetaError
from lakeflow_meta.ingest.batch import BadFilesError, Batch
from lakeflow_meta.paths import PathMap

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

Prepare = Callable[[Batch], "DataFrame"]
"""The rows of a batch as they would be written."""


@dataclass(frozen=True, slots=True)
class _Verdict:
    """What an error says of the files: which ones, or only that their data is the trouble."""

    named: dict[str, str]
    about_data: bool
    reason: str
    unclear: bool = False


class Blame:
    """Finds the files that cannot be loaded."""

    def __init__(self, prepare: Prepare, paths: PathMap, links: LinkFolders | None = None) -> None:
        self._prepare = prepare
        self._paths = paths
        self._links = links

    def of(self, batch: Batch, error: Exception) -> Mapping[str, str] | None:
        """The files that an error is about, with reasons; None when no file is to blame."""
        verdict = self._verdict(batch, error)
        if verdict.unclear:
            return self.bad_files(batch) or None
        if verdict.named or not verdict.about_data:
            return verdict.named or None
        if len(batch.files) == 1:
            return {batch.paths[0]: verdict.reason}
        return self.bad_files(batch) or None

    def bad_files(self, batch: Batch) -> dict[str, str]:
        """Read a batch through; if that fails, its halves. Raises BackendError."""
        if self._links is not None:
            self._links.without_bundles()
        try:
            self._prepare(batch).write.format("noop").mode("append").save()
        except Exception as error:
            verdict = self._verdict(batch, error)
            if not verdict.about_data:
                raise as_ours(error) from error
            known = dict(verdict.named)
            if not known and len(batch.files) == 1:
                known = {batch.paths[0]: verdict.reason}
            return known | self._bad_halves(batch.without(known))
        return {}

    def _bad_halves(self, batch: Batch) -> dict[str, str]:
        middle = len(batch.files) // 2
        bad: dict[str, str] = {}
        for half in (batch.files[:middle], batch.files[middle:]):
            if half:
                bad |= self.bad_files(batch.only(half))
        return bad

    def _verdict(self, batch: Batch, error: Exception) -> _Verdict:
        match error:
            case BadFilesError():
                return _Verdict(error.reasons, True, str(error))
            case ColumnsError():
                return _Verdict({}, True, str(error))
            case LakeflowMetaError():
                return _Verdict({}, False, str(error))
        fault = read_fault(error)
        files = named_files(fault.paths, batch.paths, self._paths, self._links)
        named = dict.fromkeys(files, fault.reason)
        return _Verdict(named, fault.about_data, fault.reason, fault.unclear)


def as_ours(error: Exception) -> LakeflowMetaError:
    """The error of this package that says what Spark said."""
    return error if isinstance(error, LakeflowMetaError) else translate(error)
