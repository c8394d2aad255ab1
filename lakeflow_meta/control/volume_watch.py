"""Looks at a folder of metadata files: what is new, edited, deleted, or still being written.

Content decides (SHA-256), not names or times. A file younger than the settle time is looked at
twice, a moment apart, and taken when both looks agree, so that a half-written one never is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from lakeflow_meta.control.watched_files import (
    MAX_BYTES,
    FolderState,
    Look,
    WatchedFile,
    is_metadata,
    is_settled,
)
from lakeflow_meta.errors import BackendError, NotFoundError
from lakeflow_meta.fingerprint import content_hash
from lakeflow_meta.ports import Clock, WatchedFolder

SETTLE_SECONDS = 2.0


class FolderWatch:
    """Remembers its last look, and nothing of files that are as they were taken.

    ``pause`` waits that many seconds; True when it ended early because the monitor is to stop.
    """

    def __init__(
        self,
        folder: WatchedFolder,
        *,
        clock: Clock,
        pause: Callable[[float], bool],
        settle_seconds: float = SETTLE_SECONDS,
    ) -> None:
        self._folder = folder
        self._clock = clock
        self._pause = pause
        self._settle_seconds = settle_seconds
        self._looks: dict[str, Look] = {}
        self._etags: dict[str, tuple[str, str]] = {}

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
        self._etags = {name: v for name, v in self._etags.items() if name in state.digests}
        return state

    def read(self, names: Iterable[str], errors: dict[str, str]) -> dict[str, bytes]:
        """Contents of files that did not change; what cannot be read goes to ``errors``."""
        contents = {}
        for name in names:
            try:
                contents[name] = self._folder.read_file(name)
            except BackendError as error:
                errors[name] = str(error)
        return contents

    def _first_look(self, state: FolderState, taken: Mapping[str, str]) -> dict[str, Look]:
        """Looks at every file; those that are not known to be whole are the result."""
        waiting = {}
        for file in self._listed():
            look = self._look_at(file, state, taken)
            if look is None:
                continue
            if not is_settled(
                look, self._looks.get(file.name), self._clock(), self._settle_seconds
            ):
                waiting[file.name] = look
        return waiting

    def _second_look(
        self,
        state: FolderState,
        taken: Mapping[str, str],
        waiting: Mapping[str, Look],
        gone: Iterable[str],
    ) -> dict[str, Look]:
        """Takes what is as at the first look; the result is what is not."""
        listed = {file.name: file for file in self._listed()}
        state.deleted = frozenset(gone) - listed.keys()
        unsettled = {}
        for name, earlier in waiting.items():
            state.changed.pop(name, None)
            file = listed.get(name)
            if file is None:
                state.digests.pop(name)
                continue
            look = self._look_at(file, state, taken)
            if look and (look.size_bytes, look.digest) != (earlier.size_bytes, earlier.digest):
                unsettled[name] = look
        return self._leave(state, unsettled)

    def _leave(self, state: FolderState, unsettled: dict[str, Look]) -> dict[str, Look]:
        state.unsettled = {name: state.changed.pop(name) for name in unsettled}
        return unsettled

    def _listed(self) -> list[WatchedFile]:
        return [file for file in self._folder.list_files() if is_metadata(file.name)]

    def _look_at(
        self, file: WatchedFile, state: FolderState, taken: Mapping[str, str]
    ) -> Look | None:
        """Read one file; None where it is as it was taken, or cannot be read."""
        name, known = file.name, self._etags.get(file.name)
        if known and known[0] == file.etag and taken.get(name) == known[1]:
            state.digests[name] = known[1]
            return None
        try:
            data = self._read_whole(file)
        except NotFoundError:
            return None
        except BackendError as error:
            state.errors[name] = str(error)
            return None
        digest = state.digests[name] = content_hash(data)
        if taken.get(name) == digest:
            if file.etag is not None:
                self._etags[name] = (file.etag, digest)
            return None
        state.changed[name] = data
        return Look(len(data), digest, file.modified_at)

    def _read_whole(self, file: WatchedFile) -> bytes:
        if file.size_bytes > MAX_BYTES:
            raise BackendError(f"the file has {file.size_bytes:,} bytes; metadata has less")
        return self._folder.read_file(file.name)
