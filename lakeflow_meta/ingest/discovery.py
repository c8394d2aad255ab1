"""Which of the files that were found are new, and what is to be done with each. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from lakeflow_meta.ingest.files import FoundFile, HashedFile
from lakeflow_meta.ingest.snapshot import Entry, FileStatus, Snapshot
from lakeflow_meta.ingest.source import OnChange

CHANGED = "its content changed since it was ingested (on_change: fail)"


@dataclass(frozen=True, slots=True)
class Link:
    """A file whose bytes are in the target already: recorded, not loaded.

    ``original`` is the file that brought them; empty where it was this one.
    """

    file: HashedFile
    seen: Entry | None
    original: str = ""


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
    passed_over: list[Link] = field(default_factory=list)
    """New content of ingested files, which the source skips."""
    refused: list[Link] = field(default_factory=list)
    """New content of ingested files, which is a failure for the source."""
    waiting: list[FoundFile] = field(default_factory=list)
    """Files that another ingestor is busy with."""

    @property
    def in_target(self) -> Iterator[HashedFile]:
        """Files to record whose bytes are in the target."""
        yield from (link.file for link in self.links)
        yield from (link.file for link in self.touched if link.seen and link.seen.in_target)


@dataclass(frozen=True, slots=True)
class Candidates:
    """Files that the ledger does not hold as settled, by what is still to be learned of them."""

    hashed: tuple[HashedFile, ...]
    """The ledger knows the digest: size and modification time are as recorded."""
    to_hash: tuple[FoundFile, ...]
    waiting: tuple[FoundFile, ...] = ()


def candidates(fresh: Sequence[FoundFile], snapshot: Snapshot) -> Candidates:
    """Sort files by whether their bytes have to be read."""
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
    return Candidates(tuple(hashed), tuple(to_hash), tuple(waiting))


def settled(
    known: Sequence[FoundFile], snapshot: Snapshot, *, sure: bool = True
) -> Iterator[HashedFile]:
    """Unchanged files with their bytes' digest; ``sure``: those whose bytes are in the target."""
    entries = snapshot.entries(file.path for file in known)
    for file in known:
        for row in entries.get(file.path, []):
            if row.file == file and (row.in_target if sure else row.status is FileStatus.SUCCESS):
                yield HashedFile(file, row.file_hash)
                break


def to_force(
    files: Iterable[HashedFile], snapshot: Snapshot
) -> list[tuple[HashedFile, Entry | None]]:
    """Which of these files to ingest again, with their rows: one of each content.

    That is the file that brought the bytes, where it is among them, else the oldest. Files that
    another ingestor is busy with are left to it.
    """
    files = list(files)
    entries = snapshot.entries(item.path for item in files)
    by_hash: dict[str, list[tuple[bool, HashedFile, Entry | None]]] = defaultdict(list)
    for item in files:
        rows = entries.get(item.path, [])
        if not any(is_busy(row, snapshot) for row in rows):
            seen = _row_of(item, rows)
            by_hash[item.file_hash].append((seen is not None and seen.brought, item, seen))
    chosen = [
        min(group, key=lambda each: (not each[0], *_age(each[1]))) for group in by_hash.values()
    ]
    return [(item, seen) for _, item, seen in chosen if seen is None or not seen.forced]


def sort_out(
    files: Iterable[HashedFile], snapshot: Snapshot, on_change: OnChange = OnChange.INGEST
) -> Findings:
    """Decide for each file: load it, link it to the file that brought its bytes, or wait."""
    ordered = sorted(files, key=_age)
    entries = snapshot.entries(item.path for item in ordered)
    holders = snapshot.holders(item.file_hash for item in ordered)
    sorting = _Sorting(snapshot, entries, holders, on_change)
    for item in ordered:
        sorting.place(item)
    return sorting.findings


class _Sorting:
    def __init__(
        self,
        snapshot: Snapshot,
        entries: Mapping[str, list[Entry]],
        holders: Mapping[str, Entry],
        on_change: OnChange,
    ) -> None:
        self.findings = Findings()
        self._snapshot = snapshot
        self._entries = entries
        self._holders = holders
        self._on_change = on_change
        self._claims: dict[str, Claim] = {}

    def place(self, item: HashedFile) -> None:
        rows = self._entries.get(item.path, [])
        seen = _row_of(item, rows)
        holder = self._holders.get(item.file_hash)
        if any(is_busy(row, self._snapshot) for row in rows):
            self.findings.waiting.append(item.file)
        elif seen is not None and self._is_settled(seen):
            self.findings.touched.append(Link(item, seen, seen.duplicate_of))
        elif holder is not None and holder.status is FileStatus.PROCESSING:
            self.findings.waiting.append(item.file)
        elif seen is not None and seen.forced:
            self._load(item, seen, rows)
        elif self._on_change is not OnChange.INGEST and _was_ingested(rows):
            self._leave(Link(item, seen))
        elif holder is not None:
            self.findings.links.append(Link(item, seen, holder.path))
        else:
            self._load(item, seen, rows)

    def _is_settled(self, seen: Entry) -> bool:
        """Bytes that were replaced in the target since are new again where changes are taken."""
        if seen.status is not FileStatus.SUCCESS:
            return False
        return self._on_change is not OnChange.INGEST or self._snapshot.holds(seen)

    def _leave(self, link: Link) -> None:
        if self._on_change is OnChange.SKIP:
            self.findings.passed_over.append(link)
        else:
            self.findings.refused.append(link)

    def _load(self, item: HashedFile, seen: Entry | None, rows: Sequence[Entry]) -> None:
        first = self._claims.get(item.file_hash)
        if first is not None:
            first.twins.append(Link(item, seen, first.file.path))
            return
        failed = any(
            row.status is FileStatus.FAILED and row.file_hash != item.file_hash for row in rows
        )
        claim = Claim(item, seen, replaces_failed=failed)
        self._claims[item.file_hash] = claim
        self.findings.claims.append(claim)


def is_busy(row: Entry, snapshot: Snapshot) -> bool:
    """Whether an unsettled batch holds the row, be it that the batch had to leave it out."""
    return row.status is FileStatus.PROCESSING or (
        row.status is FileStatus.FAILED and row.batch_id in snapshot.open_ids
    )


def _was_ingested(rows: Iterable[Entry]) -> bool:
    """Whether the path had other content that is settled."""
    return any(row.status is FileStatus.SUCCESS for row in rows)


def _row_of(item: HashedFile, rows: Iterable[Entry]) -> Entry | None:
    return next((row for row in rows if row.file_hash == item.file_hash), None)


def _age(item: HashedFile) -> tuple[object, ...]:
    return (item.file.modified_at, item.path)
