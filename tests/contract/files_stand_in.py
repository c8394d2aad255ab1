"""A volume in memory, and a local HTTP server that speaks the Files API for it.

https://docs.databricks.com/api/workspace/files

Strict: a path, parameter or method that the documentation does not name is refused. Faults are
asked for by path or for the next requests. Times are those of the service's own clock, in whole
seconds where ``whole_seconds`` is set, as object stores write them.
"""

from __future__ import annotations

import gzip
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from typing import Any
from urllib.parse import quote, unquote

from contract.stand_in_server import Answer, HttpError, Request, strike

VOLUME = "/Volumes/main/lakeflow/metadata"

_FILES, _DIRECTORIES = "/api/2.0/fs/files", "/api/2.0/fs/directories"
_MOST_ENTRIES = 1000


@dataclass
class StoredFile:
    """One file of a volume; ``modified`` in milliseconds since 1970."""

    data: bytes
    modified: int


@dataclass
class Faults:
    """What goes wrong."""

    next: list[str] = field(default_factory=list)
    """Used up from the front, one a request; "" is none. See `stand_in_server.strike`."""
    at: dict[str, list[str]] = field(default_factory=dict)
    """The same for one path on the volume; besides: ``cut`` breaks off in the middle of a file,
    ``chunked`` tells no length of it; ``empty`` answers a listing with nothing."""
    always: dict[str, str] = field(default_factory=dict)
    """One path, every time."""


class FilesService:
    """The service. ``on_list`` is called before a directory is listed: others at work.

    With ``compresses`` there is a proxy before it that sends what it may in gzip.
    """

    def __init__(self, *, page_size: int = _MOST_ENTRIES, whole_seconds: bool = False) -> None:
        self.files: dict[str, StoredFile] = {}
        self.directories: set[str] = {VOLUME}
        self.faults = Faults()
        self.now: Callable[[], float] = time.time
        self.on_list: list[Callable[[str], None]] = []
        self.compresses = False
        self._page_size = page_size
        self._whole_seconds = whole_seconds
        self._lock = threading.Lock()

    # --- what people do on the volume

    def put(self, name: str, data: bytes | str, *, age_seconds: float = 0.0) -> None:
        """Write a file whole, by its path below the volume; its folders are made."""
        path = f"{VOLUME}/{name}"
        content = data.encode() if isinstance(data, str) else data
        seconds = self.now() - age_seconds
        at = int(seconds) * 1000 if self._whole_seconds else int(seconds * 1000)
        self.files[path] = StoredFile(content, at)
        self.make_folder(name.rpartition("/")[0])

    def make_folder(self, name: str) -> None:
        """Make a folder and those above it."""
        path = f"{VOLUME}/{name}".rstrip("/")
        while path != VOLUME:
            self.directories.add(path)
            path = path.rpartition("/")[0]

    def delete(self, name: str) -> None:
        """Remove a file, or a folder with all in it."""
        path = f"{VOLUME}/{name}".rstrip("/")
        self.files = {p: f for p, f in self.files.items() if not _is_in(p, path)}
        self.directories = {p for p in self.directories if not _is_in(p, path)}

    # --- the API

    def answer(self, request: Request) -> Answer:
        """One request."""
        request.check_token()
        with self._lock:
            strike(self.faults.next.pop(0) if self.faults.next else "")
        for prefix, methods in (
            (_FILES, {"GET": self._download, "HEAD": self._file_metadata}),
            (_DIRECTORIES, {"GET": self._list, "HEAD": self._directory_metadata}),
        ):
            if request.path.startswith(f"{prefix}/") and request.method in methods:
                return methods[request.method](_volume_path(request.path, prefix), request)
        raise HttpError(404, "ENDPOINT_NOT_FOUND", f"no API found for {request.line}")

    def _file_metadata(self, path: str, request: Request) -> Answer:
        _only(request, set())
        self._strike(path)
        return self._of_file(path, b"")

    def _directory_metadata(self, path: str, request: Request) -> Answer:
        _only(request, set())
        self._strike(path)
        self._directory(path)
        return Answer()

    def _download(self, path: str, request: Request) -> Answer:
        _only(request, set())
        if request.headers.get("Accept") != "application/octet-stream":
            raise HttpError(400, "INVALID_PARAMETER_VALUE", "a file is an octet stream")
        fault = self._strike(path)
        answer = self._of_file(path, None)
        match fault:
            case "cut":
                return replace(answer, cut_to=5)
            case "chunked":
                return replace(answer, chunked=True)
            case "chunked cut":
                return replace(answer, chunked=True, cut_to=5)
        if self.compresses and "gzip" in request.headers.get("Accept-Encoding", ""):
            packed = gzip.compress(answer.content)
            length = {"Content-Length": str(len(packed)), "Content-Encoding": "gzip"}
            return replace(answer, content=packed, headers={**answer.headers, **length})
        return answer

    def _of_file(self, path: str, content: bytes | None) -> Answer:
        file = self.files.get(path)
        if file is None:
            raise HttpError(404, "NOT_FOUND", "The file being accessed is not found.")
        headers = {
            "Content-Type": "application/octet-stream",
            "Content-Length": str(len(file.data)),
            "Last-Modified": formatdate(file.modified / 1000, usegmt=True),
        }
        return Answer(file.data if content is None else content, headers=headers)

    def _list(self, path: str, request: Request) -> Answer:
        _only(request, {"page_size", "page_token"})
        if self.on_list:
            self.on_list.pop(0)(path)
        if self._strike(path) == "empty":
            return Answer()
        self._directory(path)
        size = min(_whole(request.query.get("page_size", self._page_size)), self._page_size)
        after = _token(request.query.get("page_token"), path)
        children = sorted(p for p in {*self.files, *self.directories} if _parent(p) == path)
        left = [child for child in children if child > after]
        body: dict[str, Any] = {}
        if left:
            body["contents"] = [self._entry(child) for child in left[:size]]
        if len(left) > size:
            body["next_page_token"] = quote(f"after:{left[size - 1]}", safe="")
        return Answer.of_json(body)

    def _entry(self, path: str) -> dict[str, Any]:
        """Fields of proto3 JSON: what is zero or false is left out."""
        entry: dict[str, Any] = {"path": path, "name": path.rpartition("/")[2]}
        file = self.files.get(path)
        if file is None:
            return {**entry, "is_directory": True}
        size = {"file_size": len(file.data)} if file.data else {}
        return {**entry, **size, "last_modified": file.modified}

    def _directory(self, path: str) -> None:
        if path not in self.directories:
            raise HttpError(404, "NOT_FOUND", "The directory being accessed is not found.")

    def _strike(self, path: str) -> str:
        with self._lock:
            waiting = self.faults.at.get(path, [])
            fault = waiting.pop(0) if waiting else self.faults.always.get(path, "")
        return strike(fault)


def _volume_path(path: str, prefix: str) -> str:
    """The path on the volume. Refuses what no client has to send."""
    encoded = path.removeprefix(prefix)
    decoded = unquote(encoded, errors="strict")
    parts = decoded.split("/")[1:]
    if quote(decoded) != encoded:
        raise HttpError(400, "INVALID_PARAMETER_VALUE", f"{encoded} is not percent-encoded")
    if parts[0] != "Volumes" or len(parts) < 4 or not set(parts).isdisjoint(("", ".", "..")):
        raise HttpError(400, "INVALID_PARAMETER_VALUE", f"{decoded} is no path of a volume")
    return decoded


def _only(request: Request, known: set[str]) -> None:
    unknown = set(request.query) - known
    if unknown or request.body:
        raise HttpError(400, "INVALID_PARAMETER_VALUE", f"unknown: {sorted(unknown)} or a body")


def _whole(value: Any) -> int:
    if not str(value).isdigit():
        raise HttpError(400, "INVALID_PARAMETER_VALUE", f"page_size {value!r} is no number")
    return int(value)


def _token(token: str | None, path: str) -> str:
    """Where a page starts; a token is of one directory only."""
    if token is None:
        return ""
    after = unquote(token).removeprefix("after:")
    if _parent(after) != path:
        raise HttpError(400, "INVALID_PARAMETER_VALUE", "this page_token is of another listing")
    return after


def _parent(path: str) -> str:
    return path.rpartition("/")[0]


def _is_in(path: str, folder: str) -> bool:
    return path == folder or path.startswith(f"{folder}/")
