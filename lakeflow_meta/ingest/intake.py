"""What a source brings: its files, and what is to be done with each. Reads, and writes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from lakeflow_meta.ingest.discovery import (
    Claim,
    Findings,
    candidates,
    settled,
    sort_out,
    to_force,
)
from lakeflow_meta.ingest.files import FoundFile, HashedFile
from lakeflow_meta.ingest.listing import FileListing
from lakeflow_meta.ingest.selection import Selection
from lakeflow_meta.ingest.snapshot import Entry, Snapshot
from lakeflow_meta.ingest.source import FileSource
from lakeflow_meta.ports import Clock, FileLister


@dataclass(frozen=True, slots=True)
class Found:
    """The files of a source. ``young`` ones of all that were ``listed`` are left for later."""

    listed: FileListing
    files: FileListing

    @property
    def young(self) -> int:
        """Files that are left for later."""
        return len(self.listed) - len(self.files)


@dataclass(frozen=True, slots=True)
class Discovery:
    """What there is to do. ``known`` files are in the ledger, unchanged."""

    findings: Findings
    known: FileListing
    unreadable: Mapping[FoundFile, str]
    waiting: int
    """Files that others are busy with, or that changed while their bytes were read."""


class Intake:
    """Looks at one source."""

    def __init__(
        self, source: FileSource, lister: FileLister, clock: Clock, selection: Selection
    ) -> None:
        self._source = source
        self._lister = lister
        self._clock = clock
        self._selection = selection

    def find(self) -> Found:
        """List the files. Raises NotFoundError, BackendError."""
        listed = self._selection.of(self._lister.list_files(self._source))
        seconds = self._source.source_config.min_age_seconds
        if not seconds:
            return Found(listed, listed)
        return Found(listed, listed.modified_until(self._clock() - timedelta(seconds=seconds)))

    def discover(self, found: FileListing, snapshot: Snapshot) -> Discovery:
        """Tell new files from known ones; reads the bytes of those that may be new."""
        fresh = snapshot.glance.new(found)
        known = found.without(fresh)
        new = candidates(list(fresh), snapshot)
        digests = self._lister.digest(new.to_hash) if new.to_hash else None
        hashed = digests.hashed if digests else ()
        unreadable = digests.unreadable if digests else {}
        changing = len(new.to_hash) - len(hashed) - len(unreadable)
        findings = sort_out([*new.hashed, *hashed], snapshot, self._source.source_config.on_change)
        return Discovery(findings, known, unreadable, len(new.waiting) + changing)

    def forced(
        self, found: FileListing, snapshot: Snapshot
    ) -> list[tuple[HashedFile, Entry | None]]:
        """Files to ingest again on purpose; their bytes are as the ledger has them, or read now."""
        known = list(settled([*found.without(snapshot.glance.new(found))], snapshot, sure=False))
        fresh = candidates(list(snapshot.glance.new(found)), snapshot)
        digests = self._lister.digest(fresh.to_hash) if fresh.to_hash else None
        return to_force([*known, *fresh.hashed, *(digests.hashed if digests else ())], snapshot)

    def leftovers(self, known: FileListing, snapshot: Snapshot) -> list[HashedFile]:
        """Ingested files that an earlier run was to put away, and did not."""
        return list(settled([*known], snapshot)) if self._source.puts_away and known else []


def would_force(findings: Findings, forced: list[tuple[HashedFile, Entry | None]]) -> None:
    """Add to what is to be loaded what force would add."""
    asked = {item.file_hash for item, _ in forced}
    others = [claim for claim in findings.claims if claim.file.file_hash not in asked]
    findings.claims = [*others, *(Claim(item, seen) for item, seen in forced)]
