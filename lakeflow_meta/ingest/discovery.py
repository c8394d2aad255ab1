"""Which of the files that were found are new, and what is to be done with each. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from lakeflow_meta.ingest.files import FoundFile, HashedFile
from lakeflow_meta.ingest.snapshot import Entry, FileStatus, Snapshot


@dataclass(frozen=True, slots=True)
class Link:
    """A file that repeats the bytes of ``original``: recorded, not loaded."""

    file: HashedFile
    seen: Entry | None
    original: str


@dataclass(slots=True)
class Claim:
    """A file to load. ``seen`` is its row as the ledger has it; ``twins`` repeat its bytes."""

    file: HashedFile
    seen: Entry | None
    replaces_failed: bool = False
    """Whether the ledger holds a failed row of earlier bytes at this path: to be removed."""
    twins: list[Link] = field(default_factory=list)

    @property
    def retry(self) -> bool:
        """Whether these very bytes failed before."""
        return self.seen is not None and self.seen.status is FileStatus.FAILED


@dataclass(slots=True)
class Findings:
    """What is to be done."""

    claims: list[Claim] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)
    touched: list[Link] = field(default_factory=list)
    """Ingested files whose modification time changed, and nothing else."""
    waiting: list[FoundFile] = field(default_factory=list)
    """Files that another ingestor is busy with."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """Files that the ledger does not hold as ingested, by what is still to be learned of them."""

    hashed: tuple[HashedFile, ...]
    """The ledger knows the digest: size and modification time are as recorded."""
    to_hash: tuple[FoundFile, ...]
    waiting: tuple[FoundFile, ...]
    known: tuple[FoundFile, ...] = ()
    """Files that the ledger holds as ingested, unchanged."""


def candidates(found: Sequence[FoundFile], snapshot: Snapshot) -> Candidates:
    """Sort files by whether their bytes have to be read."""
    fresh = snapshot.not_ingested(found)
    new = {file.path for file in fresh}
    known = tuple(file for file in found if file.path not in new)
    entries = snapshot.entries(file.path for file in fresh)
    hashed, to_hash, waiting = [], [], []
    for file in fresh:
        rows = entries.get(file.path, [])
        if any(row.status is FileStatus.PROCESSING for row in rows):
            waiting.append(file)
        elif same := [row for row in rows if row.file == file and row.file_hash]:
            hashed.append(HashedFile(file, same[0].file_hash))
        else:
            to_hash.append(file)
    return Candidates(tuple(hashed), tuple(to_hash), tuple(waiting), known)


def sort_out(files: Iterable[HashedFile], snapshot: Snapshot) -> Findings:
    """Decide for each file: load it, link it to the file that brought its bytes, or wait."""
    ordered = sorted(files, key=lambda item: (item.file.modified_at, item.path))
    entries = snapshot.entries(item.path for item in ordered)
    holders = snapshot.holders(item.file_hash for item in ordered)
    sorting = _Sorting(snapshot, entries, holders)
    for item in ordered:
        sorting.place(item)
    return sorting.findings


class _Sorting:
    def __init__(
        self,
        snapshot: Snapshot,
        entries: Mapping[str, list[Entry]],
        holders: Mapping[str, Entry],
    ) -> None:
        self.findings = Findings()
        self._open = {str(batch_id) for batch_id in snapshot.open_batches()}
        self._entries = entries
        self._holders = holders
        self._claims: dict[str, Claim] = {}

    def place(self, item: HashedFile) -> None:
        rows = self._entries.get(item.path, [])
        seen = next((row for row in rows if row.file_hash == item.file_hash), None)
        holder = self._holders.get(item.file_hash)
        if any(self._busy(row) for row in rows):
            self.findings.waiting.append(item.file)
        elif seen is not None and seen.status is FileStatus.SUCCESS:
            self.findings.touched.append(Link(item, seen, seen.duplicate_of))
        elif holder is not None and holder.status is FileStatus.SUCCESS:
            original = holder.duplicate_of or holder.path
            self.findings.links.append(Link(item, seen, original))
        elif holder is not None:
            self.findings.waiting.append(item.file)
        elif (first := self._claims.get(item.file_hash)) is not None:
            first.twins.append(Link(item, seen, first.file.path))
        else:
            self._claim(item, seen, rows)

    def _claim(self, item: HashedFile, seen: Entry | None, rows: Sequence[Entry]) -> None:
        failed = any(
            row.status is FileStatus.FAILED and row.file_hash != item.file_hash for row in rows
        )
        claim = Claim(item, seen, replaces_failed=failed)
        self._claims[item.file_hash] = claim
        self.findings.claims.append(claim)

    def _busy(self, row: Entry) -> bool:
        """Whether an unsettled batch holds the row, be it that the batch had to leave it out."""
        return row.status is FileStatus.PROCESSING or (
            row.status is FileStatus.FAILED and row.batch_id in self._open
        )
