"""Files of a workspace in memory, behind the HTTP APIs that write them.

https://docs.databricks.com/api/workspace/files (volumes),
https://docs.databricks.com/api/workspace/workspace (all other folders)

Strict: a path, field or method that the documentation does not name is refused. `WholeWorkspace`
is this together with jobs and permissions, at one address.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote, unquote

from contract.jobs_stand_in import Workspace
from contract.stand_in_server import Answer, HttpError, Request, Server, strike

VOLUME = "/Volumes/main/lakeflow/packages"
HOME = "/Workspace/Users/me@example.com"

_FILES, _DIRECTORIES, _WORKSPACE = (
    "/api/2.0/fs/files",
    "/api/2.0/fs/directories",
    "/api/2.0/workspace",
)
_MOST_IMPORTED = 10 * 2**20


class Uploads:
    """The service. ``files`` is content by absolute path; ``requests`` what came, in order.

    ``tells_size``: whether get-status knows the size of a file.
    """

    def __init__(self, *, tells_size: bool = True) -> None:
        self.files: dict[str, bytes] = {}
        self.folders = {VOLUME, HOME}
        self.faults: list[str] = []
        self.requests: list[str] = []
        self.read_only = False
        self._tells_size = tells_size

    @property
    def writes(self) -> list[str]:
        return [line for line in self.requests if not re.match(r"GET|HEAD", line)]

    def answer(self, request: Request) -> Answer:
        """See `Service.answer`. A fault ``after …`` strikes when it has taken effect."""
        request.check_token()
        self.requests.append(request.line)
        fault = self.faults.pop(0) if self.faults else ""
        if not fault.startswith("after "):
            strike(fault, retry_after="0")
        if self.read_only and request.method not in ("GET", "HEAD"):
            raise HttpError(403, "PERMISSION_DENIED", "you may not write here")
        answer = self._route(request)
        strike(fault.removeprefix("after "), retry_after="0")
        return answer

    def _route(self, request: Request) -> Answer:
        if request.path.startswith(f"{_WORKSPACE}/"):
            return self._workspace(request)
        for prefix, routes in (
            (_FILES, {"PUT": self._upload, "HEAD": self._head, "DELETE": self._delete}),
            (_DIRECTORIES, {"PUT": self._mkdir, "GET": self._list, "DELETE": self._rmdir}),
        ):
            if request.path.startswith(f"{prefix}/") and request.method in routes:
                return routes[request.method](_volume_path(request.path, prefix), request)
        raise HttpError(404, "ENDPOINT_NOT_FOUND", f"no API found for {request.line}")

    # --- the Files API

    def _upload(self, path: str, request: Request) -> Answer:
        if request.headers.get("Content-Type") != "application/octet-stream":
            raise _invalid("a file is an octet stream")
        if request.query.get("overwrite", "true") not in ("true", "false"):
            raise _invalid("overwrite is true or false")
        if _parent(path) not in self.folders:
            raise HttpError(404, "NOT_FOUND", "The parent directory is not found.")
        if path in self.files and request.query.get("overwrite") == "false":
            raise HttpError(409, "ALREADY_EXISTS", "The file being created already exists.")
        self.files[path] = request.body
        return Answer(status=204)

    def _head(self, path: str, request: Request) -> Answer:
        if path not in self.files:
            raise HttpError(404, "NOT_FOUND", "The file being accessed is not found.")
        return Answer(headers={"Content-Length": str(len(self.files[path]))})

    def _delete(self, path: str, request: Request) -> Answer:
        if path not in self.files:
            raise HttpError(404, "NOT_FOUND", "The file being accessed is not found.")
        del self.files[path]
        return Answer(status=204)

    def _mkdir(self, path: str, request: Request) -> Answer:
        if request.body:
            raise _invalid("a directory has no body")
        self._make_folders(path)
        return Answer(status=204)

    def _make_folders(self, path: str) -> None:
        above = [path, *_parents(path)]
        found = next((n for n, folder in enumerate(above) if folder in self.folders), None)
        if found is None:
            raise HttpError(404, "NOT_FOUND", f"Volume of {path} does not exist.")
        self.folders |= set(above[:found])

    def _list(self, path: str, request: Request) -> Answer:
        if path not in self.folders:
            raise HttpError(404, "NOT_FOUND", "The directory being accessed is not found.")
        children = sorted(p for p in {*self.files, *self.folders} if _parent(p) == path)
        after = unquote(request.query.get("page_token", ""))
        left = [child for child in children if child > after]
        contents = [
            {"path": child, "name": child.rpartition("/")[2], "is_directory": child in self.folders}
            for child in left[:2]
        ]
        more = {"next_page_token": quote(left[1], safe="")} if len(left) > 2 else {}
        return Answer.of_json({**({"contents": contents} if contents else {}), **more})

    def _rmdir(self, path: str, request: Request) -> Answer:
        if path not in self.folders:
            raise HttpError(404, "NOT_FOUND", "The directory being accessed is not found.")
        if any(_parent(p) == path for p in {*self.files, *self.folders}):
            raise HttpError(400, "FAILED_PRECONDITION", "The directory is not empty.")
        self.folders.remove(path)
        return Answer(status=204)

    # --- the Workspace API

    def _workspace(self, request: Request) -> Answer:
        routes: dict[tuple[str, str], Callable[[Mapping[str, Any]], Mapping[str, Any]]] = {
            ("POST", "mkdirs"): self._mkdirs,
            ("POST", "import"): self._import,
            ("POST", "delete"): self._delete_object,
            ("GET", "get-status"): self._status,
            ("GET", "list"): self._list_objects,
        }
        route = routes.get((request.method, request.path.rpartition("/")[2]))
        if route is None:
            raise HttpError(404, "ENDPOINT_NOT_FOUND", f"no API found for {request.line}")
        given = request.query if request.method == "GET" else request.json()
        if not str(given.get("path", "")).startswith("/Workspace/"):
            raise _invalid(f"path is {given.get('path')!r}")
        return Answer.of_json(route(given))

    def _mkdirs(self, given: Mapping[str, Any]) -> Mapping[str, Any]:
        _only(given, "path")
        self._make_folders(given["path"])
        return {}

    def _import(self, given: Mapping[str, Any]) -> Mapping[str, Any]:
        _only(given, "path", "format", "language", "content", "overwrite")
        path = given["path"]
        if given.get("format") != "AUTO":
            raise _invalid("a file that is no notebook is imported as AUTO")
        if len(given["content"]) > _MOST_IMPORTED:
            raise HttpError(400, "MAX_NOTEBOOK_SIZE_EXCEEDED", "too large")
        if _parent(path) not in self.folders:
            raise HttpError(404, "RESOURCE_DOES_NOT_EXIST", f"{_parent(path)} doesn't exist.")
        if path in self.files and given.get("overwrite") is not True:
            raise HttpError(400, "RESOURCE_ALREADY_EXISTS", f"{path} already exists.")
        try:
            self.files[path] = base64.b64decode(given["content"], validate=True)
        except binascii.Error as error:
            raise _invalid("content is not base64") from error
        return {}

    def _status(self, given: Mapping[str, Any]) -> Mapping[str, Any]:
        _only(given, "path")
        path = given["path"]
        if path in self.folders:
            return {"path": path, "object_type": "DIRECTORY", "object_id": 1}
        if path not in self.files:
            raise HttpError(404, "RESOURCE_DOES_NOT_EXIST", f"Path ({path}) doesn't exist.")
        size = {"size": len(self.files[path])} if self._tells_size else {}
        return {"path": path, "object_type": "FILE", "object_id": 2, **size}

    def _list_objects(self, given: Mapping[str, Any]) -> Mapping[str, Any]:
        _only(given, "path", "notebooks_modified_after")
        if given["path"] not in self.folders:
            raise HttpError(404, "RESOURCE_DOES_NOT_EXIST", f"{given['path']} doesn't exist.")
        children = sorted(p for p in {*self.files, *self.folders} if _parent(p) == given["path"])
        objects = [self._status({"path": child}) for child in children]
        return {"objects": objects} if objects else {}

    def _delete_object(self, given: Mapping[str, Any]) -> Mapping[str, Any]:
        _only(given, "path", "recursive")
        path = given["path"]
        below = {p for p in {*self.files, *self.folders} if p.startswith(f"{path}/")}
        if path not in {*self.files, *self.folders}:
            raise HttpError(404, "RESOURCE_DOES_NOT_EXIST", f"Path ({path}) doesn't exist.")
        if below and given.get("recursive") is not True:
            raise HttpError(400, "DIRECTORY_NOT_EMPTY", f"{path} is not empty")
        self.files = {p: c for p, c in self.files.items() if p not in {path, *below}}
        self.folders -= {path, *below}
        return {}


class WholeWorkspace:
    """Jobs, permissions and files, served at one address."""

    def __init__(self, *, tells_size: bool = True, **options: Any) -> None:
        self.jobs = Workspace(**options)
        self.uploads = Uploads(tells_size=tells_size)
        self.host = ""

    def answer(self, request: Request) -> Answer:
        """See `Service.answer`."""
        if request.path.startswith(("/api/2.0/fs/", f"{_WORKSPACE}/")):
            return self.uploads.answer(request)
        return self.jobs.answer(request)

    @contextmanager
    def running(self) -> Iterator[WholeWorkspace]:
        """Serve on a free port of this machine."""
        server = Server(self)
        with server.running():
            self.host = server.host
            yield self

    @property
    def writes(self) -> list[str]:
        """Every request that changes something."""
        return [*self.uploads.writes, *(f"{r.method} {r.path}" for r in self.jobs.writes)]

    def forget_calls(self) -> None:
        self.uploads.requests.clear()
        self.jobs.requests.clear()
        self.jobs.cancelled.clear()

    @property
    def state(self) -> dict[str, Any]:
        """Everything that lasts, without what differs by nature: the ids of jobs."""
        jobs = {job.settings["name"]: job for job in self.jobs.jobs.values()}
        assert len(jobs) == len(self.jobs.jobs), "one name twice"
        told = {
            name: (job.settings, sorted(map(json.dumps, job.permissions)))
            for name, job in sorted(jobs.items())
        }
        return {"files": dict(self.uploads.files), "jobs": json.loads(json.dumps(told))}


def _volume_path(path: str, prefix: str) -> str:
    encoded = path.removeprefix(prefix)
    decoded = unquote(encoded, errors="strict")
    parts = decoded.split("/")[1:]
    if quote(decoded) != encoded:
        raise _invalid(f"{encoded} is not percent-encoded")
    if parts[0] != "Volumes" or len(parts) < 4 or not set(parts).isdisjoint(("", ".", "..")):
        raise _invalid(f"{decoded} is no path of a volume")
    return decoded


def _only(given: Mapping[str, Any], *known: str) -> None:
    if unknown := set(given) - set(known):
        raise _invalid(f"unknown: {sorted(unknown)}")


def _invalid(message: str) -> HttpError:
    return HttpError(400, "INVALID_PARAMETER_VALUE", message)


def _parent(path: str) -> str:
    return path.rpartition("/")[0]


def _parents(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:count]) for count in range(len(parts) - 1, 1, -1)]
