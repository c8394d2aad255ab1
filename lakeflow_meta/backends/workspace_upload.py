"""Files put on a Databricks workspace: on volumes by the Files API, elsewhere by workspace import.

https://docs.databricks.com/api/workspace/files, https://docs.databricks.com/api/workspace/workspace

Both write a file whole or not at all, so a call may be repeated. What is proven: the protocols, by
the real SDK over HTTP against `tests/contract/upload_stand_in.py`. Not run against a real
workspace: that ``get-status`` tells the size of a file (where it does not, its name has to be
enough), and the limit of 10 MB for a file that is imported.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from lakeflow_meta.backends.request_gate import RequestGate
from lakeflow_meta.backends.workspace_calls import Json, WorkspaceCalls
from lakeflow_meta.errors import NotFoundError
from lakeflow_meta.paths import is_in_volumes

if TYPE_CHECKING:
    from databricks.sdk import WorkspaceClient

_FILES, _DIRECTORIES = "/api/2.0/fs/files", "/api/2.0/fs/directories"
_WORKSPACE = "/api/2.0/workspace"
_PATIENCE_SECONDS = 60.0


class WorkspaceUploads:
    """A `ports.Uploads`; the path of a file says by which API it is reached."""

    def __init__(self, client: WorkspaceClient, gate: RequestGate | None = None) -> None:
        calls = _UploadCalls(client, gate, patience_seconds=_PATIENCE_SECONDS)
        self._volumes = _Volumes(calls)
        self._folders = _Folders(calls)

    def has(self, path: str, size_bytes: int) -> bool:
        """See `Uploads.has`."""
        return self._of(path).has(path, size_bytes)

    def put(self, path: str, content: bytes) -> None:
        """See `Uploads.put`."""
        self._of(path).put(path, content)

    def names(self, folder: str) -> list[str]:
        """See `Uploads.names`."""
        try:
            return sorted(_last(path) for path in self._of(folder).entries(folder))
        except NotFoundError:
            return []

    def remove(self, path: str) -> None:
        """See `Uploads.remove`."""
        try:
            self._of(path).remove(path)
        except NotFoundError:
            return

    def _of(self, path: str) -> _Volumes | _Folders:
        return self._volumes if is_in_volumes(path) else self._folders


class _Volumes:
    """By the Files API."""

    def __init__(self, calls: _UploadCalls) -> None:
        self._calls = calls

    def has(self, path: str, size_bytes: int) -> bool:
        try:
            return self._calls.size(_FILES + quote(path)) == size_bytes
        except NotFoundError:
            return False

    def put(self, path: str, content: bytes) -> None:
        folder = path.rpartition("/")[0]
        volume = ".".join(path.split("/")[2:5])
        try:
            self._calls.change("PUT", _DIRECTORIES + quote(folder))
            self._calls.upload(_FILES + quote(path), content)
        except NotFoundError as error:
            hint = f"is there a volume {volume}, and may you write to it?"
            raise NotFoundError(
                f"{path} cannot be written: {error}; {hint}", code=error.code
            ) from (error)

    def entries(self, folder: str) -> list[str]:
        """Paths of what lies right in a folder. Raises NotFoundError."""
        pages = self._calls.read_pages(_DIRECTORIES + quote(folder), {})
        return [entry["path"] for page in pages for entry in page.get("contents") or ()]

    def remove(self, path: str) -> None:
        """A folder has to be empty before it can be deleted. Raises NotFoundError."""
        try:
            inside = self.entries(path)
        except NotFoundError:
            self._calls.change("DELETE", _FILES + quote(path))
            return
        for entry in inside:
            self._calls.change("DELETE", _FILES + quote(entry))
        self._calls.change("DELETE", _DIRECTORIES + quote(path))


class _Folders:
    """By the Workspace API."""

    def __init__(self, calls: _UploadCalls) -> None:
        self._calls = calls

    def has(self, path: str, size_bytes: int) -> bool:
        try:
            found = self._calls.read(f"{_WORKSPACE}/get-status", {"path": path})
        except NotFoundError:
            return False
        return found.get("object_type") == "FILE" and found.get("size", size_bytes) == size_bytes

    def put(self, path: str, content: bytes) -> None:
        folder = path.rpartition("/")[0]
        self._calls.change("POST", f"{_WORKSPACE}/mkdirs", {"path": folder})
        body = {
            "path": path,
            "format": "AUTO",
            "content": base64.b64encode(content).decode(),
            "overwrite": True,
        }
        self._calls.change("POST", f"{_WORKSPACE}/import", body)

    def entries(self, folder: str) -> list[str]:
        found = self._calls.read(f"{_WORKSPACE}/list", {"path": folder})
        return [entry["path"] for entry in found.get("objects") or ()]

    def remove(self, path: str) -> None:
        self._calls.change("POST", f"{_WORKSPACE}/delete", {"path": path, "recursive": True})


class _UploadCalls(WorkspaceCalls):
    """The same calls; besides, the bytes of files go out as they are."""

    def size(self, address: str) -> int:
        """Bytes of a file. Raises NotFoundError, BackendError."""
        return int(self._call("HEAD", address)["content-length"] or 0)

    def upload(self, address: str, content: bytes) -> None:
        """Raises NotFoundError, BackendError."""
        self._call("PUT", address, query={"overwrite": "true"}, body={"content": content})

    def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, Any] | None,
        body: Mapping[str, Any] | None,
    ) -> Json:
        if method == "HEAD":
            head: Json = self._api.do(
                method, path, headers=self._headers.copy(), response_headers=["content-length"]
            )
            return head
        if body is None or not path.startswith(_FILES):
            return super()._send(method, path, query, body)
        headers = {"Content-Type": "application/octet-stream", **self._headers}
        answer: Json = self._api.do(
            method, path, query=dict(query or {}), headers=headers, data=body["content"]
        )
        return answer


def _last(path: str) -> str:
    return path.rstrip("/").rpartition("/")[2]
