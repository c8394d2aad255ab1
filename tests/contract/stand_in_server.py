"""What local HTTP servers that speak a Databricks API have in common.

A service is a function from `Request` to `Answer`. It is strict: what the documentation does not
name is refused by `HttpError`, so that what passes here is what the real service takes.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol
from urllib.parse import parse_qsl, urlsplit

TOKEN = "a-token"  # noqa: S105 (of these servers only)


@dataclass(frozen=True)
class Request:
    """One request. ``path`` is as it was sent, percent-encoded; a query names each key once."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes = b""

    @property
    def line(self) -> str:
        """Method and path, for assertions."""
        return f"{self.method} {self.path}"

    def json(self) -> Any:
        """The body as JSON; an empty one is an empty object."""
        try:
            return json.loads(self.body or b"{}")
        except ValueError as error:
            raise HttpError(400, "MALFORMED_REQUEST", str(error)) from error

    def check_token(self) -> None:
        """Raises HttpError where the request does not carry `TOKEN`."""
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            raise HttpError(401, "UNAUTHENTICATED", "no valid token")


@dataclass(frozen=True)
class Answer:
    """What is sent back. ``cut_to``: the connection breaks after so many bytes of the content.

    ``chunked``: without its length, as a proxy may send it on.
    """

    content: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    cut_to: int | None = None
    chunked: bool = False

    @classmethod
    def of_json(cls, value: Any) -> Answer:
        """A JSON document."""
        return cls(json.dumps(value).encode(), headers={"Content-Type": "application/json"})


class HttpError(Exception):
    """What the service does not take, in the shape of the platform's errors."""

    def __init__(self, status: int, code: str, message: str, **headers: str) -> None:
        super().__init__(message)
        self.answer = Answer(
            json.dumps({"error_code": code, "message": message}).encode(),
            status,
            {name.replace("_", "-"): value for name, value in headers.items()},
        )


class ConnectionLostError(Exception):
    """The connection breaks without an answer."""


class Service(Protocol):
    """What one API does."""

    def answer(self, request: Request) -> Answer:
        """Raises HttpError, ConnectionLostError."""


def strike(fault: str, *, retry_after: str = "7") -> str:
    """Raise what a fault by the name of an HTTP status or ``unreached`` stands for, or pass it."""
    match fault:
        case "429":
            raise HttpError(429, "RESOURCE_EXHAUSTED", "slow down", Retry_After=retry_after)
        case "503":
            raise HttpError(503, "TEMPORARILY_UNAVAILABLE", "not now", Retry_After=retry_after)
        case "500":
            raise HttpError(500, "INTERNAL_ERROR", "something broke")
        case "502":
            raise HttpError(502, "", "bad gateway")
        case "403":
            raise HttpError(403, "PERMISSION_DENIED", "you may not")
        case "401":
            raise HttpError(401, "UNAUTHENTICATED", "who are you")
        case "unreached":
            raise ConnectionLostError
    return fault


class Server:
    """Serves on a free port of this machine. ``latency_seconds`` is added to every answer."""

    def __init__(self, service: Service, *, latency_seconds: float = 0.0) -> None:
        self.service = service
        self.latency_seconds = latency_seconds
        self.requests: list[Request] = []
        self.most_at_once = 0
        self._at_once = 0
        self._lock = threading.Lock()
        self.host = ""

    @property
    def lines(self) -> list[str]:
        """Every request so far, but those by which the SDK gets to know a host."""
        return [r.line for r in self.requests if not r.path.startswith("/.well-known/")]

    @contextmanager
    def running(self) -> Iterator[Server]:
        """Until the block ends."""
        server = self

        class Handler(_Handler):
            owner = server

        http = _Http(("127.0.0.1", 0), Handler)
        self.host = f"http://127.0.0.1:{http.server_address[1]}"
        thread = threading.Thread(target=http.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            http.shutdown()
            http.server_close()
            thread.join()

    def handle(self, request: Request) -> Answer:
        """One answer. Raises ConnectionLostError."""
        with self._lock:
            self.requests.append(request)
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            time.sleep(self.latency_seconds)
            return self.service.answer(request)
        except HttpError as error:
            return error.answer
        finally:
            with self._lock:
                self._at_once -= 1


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64


class _Handler(BaseHTTPRequestHandler):
    owner: Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (the name of the parent)
        """Quiet."""

    def _serve(self) -> None:
        address = urlsplit(self.path)
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        if len(body) < length:  # the client died while it sent: there never was a request
            self.close_connection = True
            return
        request = Request(
            self.command,
            address.path,
            dict(parse_qsl(address.query, keep_blank_values=True)),
            dict(self.headers.items()),
            body,
        )
        try:
            answer = self.owner.handle(request)
        except ConnectionLostError:
            self.close_connection = True
            return
        self._send(answer)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815 (of the parent)

    def _send(self, answer: Answer) -> None:
        headers = {"Content-Length": str(len(answer.content)), **answer.headers}
        content = b"" if self.command == "HEAD" else answer.content[: answer.cut_to]
        if answer.chunked:
            del headers["Content-Length"]
            headers["Transfer-Encoding"] = "chunked"
            content = b"%x\r\n%s\r\n" % (len(content), content)
            content += b"" if answer.cut_to is not None else b"0\r\n\r\n"
        try:
            self.send_response(answer.status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)
        except ConnectionError:  # the client did not want the rest
            self.close_connection = True
        if answer.cut_to is not None:
            self.close_connection = True
