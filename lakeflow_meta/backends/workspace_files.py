"""Metadata files on a volume, through the Files API of a workspace: no Spark and no mount here.

https://docs.databricks.com/api/workspace/files

Promises: a listing is whole or an error; so is a file. A call is repeated by `WorkspaceCalls`, not
by the SDK; while the workspace answers nothing, calls fail at once instead of one after another.
Files come straight from the workspace, not from cloud storage by addresses that carry
credentials, which many networks do not let through.

What is proven: the protocol, by the real SDK against `tests/contract/files_stand_in.py`. Not run
against a real workspace: the codes of errors (only their HTTP status counts here), its limits of
rate, and that HEAD on a directory tells a file by 404.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

from lakeflow_meta.backends.local_folder import WALKS
from lakeflow_meta.backends.request_gate import Monotonic, RequestGate
from lakeflow_meta.backends.workspace_calls import Json, WorkspaceCalls
from lakeflow_meta.control.watched_files import MAX_BYTES, WatchedFile, check_size
from lakeflow_meta.errors import BackendError, NotFoundError
from lakeflow_meta.ports import Clock, PathKind, utc_now

if TYPE_CHECKING:
    from databricks.sdk import WorkspaceClient

AT_ONCE = 16
"""Calls at the same time; the SDK keeps 20 connections."""

QUIET_SECONDS = 5.0
"""Object stores write times in whole seconds; clocks of their machines differ by less than this."""

TRUST_SECONDS = 3600.0
"""How long an etag spares a download; then the content is read once again."""

_CALLS_PER_SECOND = 250.0
_GIVEN_UP_IN_A_ROW, _HOLD_SECONDS = 3, 10.0
_DIRECTORIES, _FILES = "/api/2.0/fs/directories", "/api/2.0/fs/files"

_T = TypeVar("_T")


class WorkspaceFolder:
    """A `ports.MetadataFolder` at an absolute path, ``/Volumes/catalog/schema/volume/…``.

    The API tells no version of a file, so size and time of modification stand for the ``etag``.
    The time is the storage's own, users cannot set it, but two writes within its resolution (a
    second) look alike. So an etag is told only when it has been seen for ``QUIET_SECONDS`` of our
    own time: what is read from then on is its last content. What that cannot see, a file moved
    over another one of the same size and second, is found when the trust ends.

    ``patience_seconds`` is how long one call is repeated. Safe to call from several threads.
    """

    at_once = AT_ONCE

    def __init__(
        self,
        client: WorkspaceClient,
        path: str,
        gate: RequestGate | None = None,
        *,
        patience_seconds: float = 60.0,
        clock: Clock = utc_now,
    ) -> None:
        self._calls = _FileCalls(
            client, gate, reads_per_second=_CALLS_PER_SECOND, patience_seconds=patience_seconds
        )
        self._path = path.rstrip("/")
        self._clock = clock
        self._monotonic = self._calls.gate.monotonic
        self._outage = _Outage(self._monotonic)
        self._seen: dict[str, _Seen] = {}

    def kind(self) -> PathKind:
        """See `MetadataFolder.kind`."""
        probes = [(_DIRECTORIES, PathKind.FOLDER), (_FILES, PathKind.FILE)]
        if PurePosixPath(self._path).suffix:
            probes.reverse()
        for api, kind in probes:
            try:
                self._calls.head(_address(api, self._path))
            except NotFoundError:
                continue
            return kind
        return PathKind.MISSING

    def list_files(self) -> list[WatchedFile]:
        """Every file below the folder, without hidden ones, as it is now.

        Whole or an error: where a folder below goes meanwhile, all are listed anew. Raises
        NotFoundError, BackendError.
        """
        for _ in range(WALKS):
            try:
                entries = self._walk()
            except _FolderWentError:
                continue
            seen = {name: self._sighting(name, entry) for name, entry in entries.items()}
            self._seen = seen
            return [self._file(name, entries[name], seen[name]) for name in sorted(entries)]
        raise BackendError(
            f"folders below {self._path} come and go", code="FOLDER_CHANGES", transient=True
        )

    def read_file(self, name: str) -> bytes:
        """The bytes of one file. Raises NotFoundError, BackendError."""
        address = _address(_FILES, f"{self._path}/{name}")
        return self._outage.guard(lambda: self._calls.content(address))

    # --- listing

    def _walk(self) -> dict[str, Json]:
        """What the API tells of each file, by name."""
        found: dict[str, Json] = {}
        folders = _sort_in(self._entries(""), found)
        if not folders:
            return found
        pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="list-metadata")
        try:
            waiting = {pool.submit(self._below, folder) for folder in folders}
            while waiting:
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                for listed in done:
                    below = _sort_in(listed.result(), found)
                    waiting |= {pool.submit(self._below, folder) for folder in below}
        finally:
            pool.shutdown(cancel_futures=True)
        return found

    def _below(self, folder: str) -> dict[str, Json]:
        try:
            return self._entries(f"{folder}/")
        except NotFoundError as error:
            raise _FolderWentError from error

    def _entries(self, above: str) -> dict[str, Json]:
        """Entries of one directory by name, which ``above`` leads to; hidden ones left out."""
        found = {}
        address = _address(_DIRECTORIES, f"{self._path}/{above}".rstrip("/"))
        for page in self._calls.read_pages(address, {}):
            for entry in page.get("contents") or ():
                name = _name(entry)
                if not name.startswith("."):
                    found[above + name] = entry
        return found

    # --- etags

    def _sighting(self, name: str, entry: Json) -> _Seen:
        token = f"{entry.get('last_modified')}-{_size(entry)}"
        before = self._seen.get(name)
        if before is not None and before.token == token:
            return before
        return _Seen(token, self._monotonic())

    def _file(self, name: str, entry: Json, seen: _Seen) -> WatchedFile:
        modified = entry.get("last_modified")
        at = self._clock() if modified is None else _EPOCH + timedelta(milliseconds=int(modified))
        etag = None if modified is None else seen.etag(self._monotonic())
        return WatchedFile(name, _size(entry), at, etag)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class _Seen:
    """Size and time of a file, and since when they are known, on our own monotonic clock."""

    token: str
    since: float

    def etag(self, now: float) -> str | None:
        quiet = now - self.since - QUIET_SECONDS
        return None if quiet < 0 else f"{self.token}-{int(quiet // TRUST_SECONDS)}"


class _FolderWentError(Exception):
    """A folder that was listed a moment ago is not there."""


class _Outage:
    """Whether the workspace answers at all.

    After some calls in a row that were given up, the next ones fail at once for some seconds: many
    files do not each wait for what is known to be down. A call that was given up while others were
    answered says nothing of the workspace: its file is broken.
    """

    def __init__(self, monotonic: Monotonic) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._in_a_row = 0
        self._answers = 0
        self._given_up_at = float("-inf")

    def guard(self, call: Callable[[], _T]) -> _T:
        """Make the call. Raises what it raises, and BackendError."""
        if self._is_on():
            raise BackendError("the workspace does not answer", code="NO_ANSWER", transient=True)
        answers = self._answers
        try:
            result = call()
        except BackendError as error:
            if error.transient:
                self._given_up(answers)
            else:
                self._answered()
            raise
        self._answered()
        return result

    def _is_on(self) -> bool:
        with self._lock:
            held = self._monotonic() - self._given_up_at < _HOLD_SECONDS
            return held and self._in_a_row >= _GIVEN_UP_IN_A_ROW

    def _answered(self) -> None:
        with self._lock:
            self._in_a_row = 0
            self._answers += 1

    def _given_up(self, answers_before: int) -> None:
        with self._lock:
            if self._answers == answers_before:
                self._in_a_row += 1
                self._given_up_at = self._monotonic()


class _FileCalls(WorkspaceCalls):
    """The same for files: answers are bytes, as long as their header says."""

    def head(self, address: str) -> None:
        """Raises NotFoundError, BackendError."""
        self._call("HEAD", address)

    def content(self, address: str) -> bytes:
        """A whole file. Raises NotFoundError, BackendError."""
        content: bytes = self._call("GET", address)["content"]
        return content

    def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, Any] | None,
        body: Mapping[str, Any] | None,  # noqa: ARG002 (reading calls have none)
    ) -> Json:
        """One attempt; a body that breaks off fails it. Raises OSError, ValueError."""
        is_file = path.startswith(_FILES)
        answer = self._api.do(
            method,
            path,
            query=dict(query or {}),
            headers={
                "Accept": "application/octet-stream" if is_file else "application/json",
                "Accept-Encoding": "identity",
                **self._headers,
            },
            response_headers=["content-length"],
            raw=True,
        )
        with closing(answer["contents"]) as stream:
            if method == "HEAD":
                return {}
            content = _whole(stream, answer["content-length"])
        return {"content": content} if is_file else _json(content)


def _whole(stream: Any, promised: str | None) -> bytes:
    """All bytes of a body, which are no more than metadata may have."""
    if promised is not None:
        check_size(int(promised))
    content: bytes = stream.read(MAX_BYTES + 1)
    check_size(len(content))
    if promised is not None and len(content) != int(promised):
        raise ConnectionError(f"{len(content)} of {promised} bytes came")
    return content


def _json(content: bytes) -> Json:
    """An object; nothing at all is no listing. Raises ValueError."""
    found = json.loads(content)
    if not isinstance(found, dict):
        raise ValueError("the answer is no JSON object")  # noqa: TRY004 (as of text that is no JSON)
    return found


def _address(api: str, path: str) -> str:
    """Raises BackendError for a path that no URL can hold."""
    try:
        return api + quote(path)
    except UnicodeEncodeError as error:
        raise BackendError(f"{path!r} is no path of a volume", code="INVALID_PATH") from error


def _sort_in(entries: Mapping[str, Json], files: dict[str, Json]) -> list[str]:
    """Put files to the others; the folders are the result."""
    folders = []
    for name, entry in entries.items():
        if entry.get("is_directory"):
            folders.append(name)
        else:
            files[name] = entry
    return folders


def _name(entry: Json) -> str:
    """The last part of an entry's path. Raises BackendError for what is no entry."""
    name = str(entry.get("name") or entry.get("path") or "").rstrip("/").rpartition("/")[2]
    if name in ("", "..", "."):
        raise BackendError("an entry of a listing has no name", code="LISTING_UNREADABLE")
    return name


def _size(entry: Json) -> int:
    """Bytes; JSON of the API leaves out what is zero."""
    return int(entry.get("file_size") or 0)
