"""What is remembered of every job, in this process and in the store. The store is always first."""

from __future__ import annotations

from collections.abc import Collection

from lakeflow_meta.ports import FireStore
from lakeflow_meta.serve.memory import Fire, Memory, Note


class Recollection:
    """Every method but `of` raises BackendError; what could not be written is not remembered."""

    def __init__(self, store: FireStore) -> None:
        self._store = store
        self._memories: dict[int, Memory] = {}
        self._seen: dict[int, frozenset[str]] = {}
        self._notes: list[Note] = []

    def load(self) -> None:
        """Read what former processes remembered."""
        self._memories = dict(self._store.memories())

    @property
    def job_ids(self) -> frozenset[int]:
        """The jobs of which something is remembered."""
        return frozenset(self._memories)

    def of(self, job_id: int) -> Memory | None:
        """What is remembered of a job."""
        return self._memories.get(job_id)

    def seen_files(self, job_id: int) -> frozenset[str]:
        """Files that are no news to a job."""
        if job_id not in self._seen:
            self._seen[job_id] = self._store.seen_files(job_id)
        return self._seen[job_id]

    def keep(self, note: Note) -> None:
        """Remember it with the next `write`; nothing where nothing has changed."""
        if note.memory != self._memories.get(note.job_id) or note.appeared or note.gone:
            self._notes.append(note)

    def write(self) -> None:
        """All of one look together: a thousand transactions would take seconds."""
        notes, self._notes = self._notes, []
        if notes:
            self._store.remember(notes)
        for note in notes:
            self._kept(note)

    def claim(self, fire: Fire, note: Note) -> bool:
        """Whether the fire is to be started: it was not claimed before, or claimed and not settled,
        because an answer of the disk was lost.
        """
        is_new = self._store.claim(fire, note)
        self._kept(note)
        return is_new or fire.token in {known.token for known in self._store.open_fires()}

    def forget(self, job_ids: Collection[int]) -> None:
        """Jobs that are gone."""
        for job_id in job_ids:
            self._memories.pop(job_id, None)
            self._seen.pop(job_id, None)
        if job_ids:
            self._store.forget(job_ids)

    def _kept(self, note: Note) -> None:
        self._memories[note.job_id] = note.memory
        if note.job_id in self._seen:
            self._seen[note.job_id] = (self._seen[note.job_id] | note.appeared) - note.gone
