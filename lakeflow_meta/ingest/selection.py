"""Which files of a source one run is about, and how they go into batches. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from lakeflow_meta.ingest.batch import BatchLimits, packed
from lakeflow_meta.ingest.discovery import Claim
from lakeflow_meta.ingest.listing import FileListing
from lakeflow_meta.ingest.source import FileSource, WriteMode

FILES_WITH_PLANS = 200
"""Files in one batch where each has a plan of its own: Spark's planning grows with them."""

_NO_LIMIT = BatchLimits(max_files=2**62, max_bytes=2**62)


@dataclass(frozen=True, slots=True)
class Selection:
    """All files of a source, or some: by name, or by a pattern of the whole path.

    ``force``: ingest them again, whatever the ledger says. ``matched`` collects the words of
    ``wanted`` that named a file.
    """

    wanted: frozenset[str] | None = None
    force: bool = False
    matched: set[str] = field(default_factory=set)

    def of(self, listed: FileListing) -> FileListing:
        """The files that are meant."""
        if self.wanted is None:
            return listed
        chosen, used = listed.matching(self.wanted)
        self.matched.update(used)
        return chosen


def batches(
    claims: Sequence[Claim], source: FileSource, limits: BatchLimits
) -> Iterator[Sequence[Claim]]:
    """Batches in order; files that failed before go last, so that they disturb no new ones.

    What overwrites a table goes together, whatever its size.
    """
    if source.target_config.write_mode is WriteMode.OVERWRITE:
        yield from packed(claims, _sizes(claims), _NO_LIMIT)
        return
    for retried in (False, True):
        chosen = [claim for claim in claims if claim.retry is retried]
        yield from packed(chosen, _sizes(chosen), limits_of(source, limits))


def limits_of(source: FileSource, limits: BatchLimits) -> BatchLimits:
    """What the source asks for, else the given limits."""
    config = source.source_config
    transforms = config.transform is not None or source.transform_fn is not None
    most = FILES_WITH_PLANS if transforms and not config.row_wise else limits.max_files
    return BatchLimits(
        max_files=min(config.max_files or most, most),
        max_bytes=config.max_bytes or limits.max_bytes,
    )


def _sizes(claims: Sequence[Claim]) -> list[int]:
    return [claim.file.file.size_bytes for claim in claims]
