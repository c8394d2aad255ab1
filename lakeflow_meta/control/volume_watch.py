"""Looks at a folder of metadata files: what is new, edited, deleted, or still being written.

Content decides (SHA-256), not names or times. A file younger than the settle time is looked at
twice, a moment apart, and taken when both looks agree, so that a half-written one never is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from lakeflow_meta.control.read_files import Outcome, read_each
from lakeflow_meta.control.watched_files import (
    FolderState,
    Look,
    WatchedFile,
    check_size,
    is_metadata,
    is_settled,
)
from lakeflow_meta.errors import BackendError, NotFoundError
from lakeflow_meta.fingerprint import content_hash
from lakeflow_meta.ports import Clock, WatchedFolder
from lakeflow_meta.progress import Progress, silent

SETTLE_SECONDS = 2.0


class FolderWatch:
    """Remembers its last look, and nothing of files that are as they were taken.

    ``pause`` waits that many seconds; True when it ended early because the monitor is to stop.
    ``at_once`` files are read at the same time (`MetadataFolder.at_once`).
    """

    def __init__(
        self,
        folder: WatchedFolder,
        *,
        clock: Clock,
        pause: Callable[[float], bool],
        settle_seconds: float = SETTLE_SECONDS,
        at_once: int = 1,
        progress: Progress = silent,
    ) -> None:
        self._folder = folder
        self._clock = clock
        self._pause = pause
        self._settle_seconds = settle_seconds
        self._at_once = at_once
        self._progress = progress
        self._looks: dict[str, Look] = {}
        self._etags: dict[str, tuple[str, str]] = {}
        self._digests: dict[str, str] = {}

    def look(self, taken: Mapping[str, str]) -> FolderState:
        """Compare the folder with what was taken: name to digest.

        Raises NotFoundError, BackendError when the folder cannot be listed: that its files are
        gone is never concluded from an error.
        """
        state = FolderState()
        waiting = self._first_look(state, taken)
        gone = taken.keys() - state.digests.keys() - state.errors.keys()
        if waiting or gone:
            if self._pause(self._settle_seconds):
                waiting = self._leave(state, waiting)
            else:
                waiting = self._second_look(state, taken, waiting, gone)
        self._looks = waiting
        self._digests = state.digests
        self._etags = {name: v for name, v in self._etags.items() if name in state.digests}
        return state

    def read(self, names: Iterable[str], errors: dict[str, str]) -> dict[str, bytes]:
        """Contents as at the last look; what cannot be read, or has changed, goes to ``errors``."""
        contents = {}
        for name, outcome in self._read_each(names):
            if isinstance(outcome, BackendError):
                errors[name] = str(outcome)
            elif content_hash(outcome) != self._digests.get(name):
                errors[name] = "the file changed while it was read; the next look takes it"
            else:
                contents[name] = outcome
        return contents

    def _first_look(self, state: FolderState, taken: Mapping[str, str]) -> dict[str, Look]:
        """Looks at every file; those that are not known to be whole are the result."""
        looks = self._looks_at(self._listed(), state, taken)
        return {file.name: look for look, file in looks if not self._is_settled(look, file.name)}

    def _second_look(
        self,
        state: FolderState,
        taken: Mapping[str, str],
        waiting: Mapping[str, Look],
        gone: Iterable[str],
    ) -> dict[str, Look]:
        """Takes what is as at the first look, or is back; the result is what is not whole."""
        listed = {file.name: file for file in self._listed()}
        state.deleted = frozenset(gone) - listed.keys()
        for name in waiting:
            state.changed.pop(name)
            state.digests.pop(name)
        again = [listed[name] for name in sorted({*waiting, *gone}) if name in listed]
        unsettled = {}
        for look, file in self._looks_at(again, state, taken):
            earlier = waiting.get(file.name)
            if (
                earlier.content != look.content
                if earlier
                else not self._is_settled(look, file.name)
            ):
                unsettled[file.name] = look
        return self._leave(state, unsettled)

    def _is_settled(self, look: Look, name: str) -> bool:
        return is_settled(look, self._looks.get(name), self._clock(), self._settle_seconds)

    def _leave(self, state: FolderState, unsettled: dict[str, Look]) -> dict[str, Look]:
        state.unsettled = {name: state.changed.pop(name) for name in unsettled}
        return unsettled

    def _listed(self) -> list[WatchedFile]:
        return [file for file in self._folder.list_files() if is_metadata(file.name)]

    def _read_each(self, names: Iterable[str]) -> Iterator[tuple[str, Outcome]]:
        return read_each(self._folder, list(names), self._at_once, progress=self._progress)

    def _looks_at(
        self, files: Iterable[WatchedFile], state: FolderState, taken: Mapping[str, str]
    ) -> Iterator[tuple[Look, WatchedFile]]:
        """Read files; the result is those that are not as they were taken and can be read."""
        unknown = {f.name: f for f in files if not self._is_known(f, state, taken)}
        for name, outcome in self._read_each(unknown):
            file = unknown[name]
            if isinstance(outcome, BackendError):
                if not isinstance(outcome, NotFoundError):
                    state.errors[name] = str(outcome)
            elif look := self._look(file, outcome, state, taken):
                yield look, file

    def _is_known(self, file: WatchedFile, state: FolderState, taken: Mapping[str, str]) -> bool:
        """Whether it need not be read: too large, or of the etag of what was taken."""
        try:
            check_size(file.size_bytes)
        except BackendError as error:
            state.errors[file.name] = str(error)
            return True
        etag, digest = self._etags.get(file.name, ("", ""))
        if etag == file.etag and taken.get(file.name) == digest:
            state.digests[file.name] = digest
            return True
        return False

    def _look(
        self, file: WatchedFile, data: bytes, state: FolderState, taken: Mapping[str, str]
    ) -> Look | None:
        """What a file holds; None where it is as it was taken.

        One that was written again since it was listed is as young as now.
        """
        name = file.name
        digest = state.digests[name] = content_hash(data)
        if taken.get(name) == digest:
            if file.etag is not None:
                self._etags[name] = (file.etag, digest)
            return None
        state.changed[name] = data
        as_listed = len(data) == file.size_bytes
        return Look(len(data), digest, file.modified_at if as_listed else self._clock())
