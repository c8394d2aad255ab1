"""The pages over HTTP: read-only, for this machine, and nothing but what is listed here.

Guards: the ``Host`` of a request must be one that this server is known by, else a page of the web
could read it by a name that it points here (DNS rebinding); another website may have a link here,
and load nothing; only GET and HEAD; a policy that lets the page load its own style sheet and script
and nothing else; no path of a request names a file.
https://developer.mozilla.org/docs/Web/HTTP/Guides/CSP
https://developer.mozilla.org/docs/Web/HTTP/Reference/Headers/Sec-Fetch-Site
"""

from __future__ import annotations

import ipaddress
import logging
import socket
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from lakeflow_meta.errors import ConfigError, LakeflowMetaError, NotFoundError
from lakeflow_meta.ui import markup
from lakeflow_meta.ui.blocks import Banner, Kind, Link, Mark, Page, Place, Tone, place
from lakeflow_meta.ui.markup import View, render_page, script, stylesheet
from lakeflow_meta.ui.run_pages import log_of
from lakeflow_meta.ui.site import PAGES, address_of, place_at
from lakeflow_meta.ui.snapshot import Memory, Snapshot

if TYPE_CHECKING:
    from lakeflow_meta.app import App

logger = logging.getLogger(__name__)

_HTML = "text/html; charset=utf-8"
_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self';"
    " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = (
    ("Content-Security-Policy", _POLICY),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Cache-Control", "no-store"),
)
_IDLE_SECONDS = 30.0
_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back: the body in pieces, whose lengths make ``size``."""

    status: HTTPStatus
    kind: str
    size: int
    pieces: Iterable[bytes]
    headers: tuple[tuple[str, str], ...] = ()


def _whole(status: HTTPStatus, kind: str, text: str) -> Answer:
    content = text.encode("utf-8", errors="replace")
    return Answer(status, kind, len(content), (content,))


class ServerLinks:
    """Every place is there."""

    def address(self, at: Place) -> str | None:
        """The path of a page."""
        return address_of(at)


class Website:
    """Answers to paths, whoever asks. Requests may come from several threads."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._memory = Memory()
        self._title = str(app.tables.sources)

    def warm_up(self) -> None:
        """Read what the first page needs, so that it does not wait for imports."""
        self.answer("/", "")

    def answer(self, path: str, query: str) -> Answer:
        """The answer to a GET."""
        static = _STATIC.get(path)
        if static is not None:
            kind, text = static
            return _whole(HTTPStatus.OK, kind, text())
        snapshot = Snapshot(self._app, self._memory)
        try:
            at = place_at(path, query)
            if at.kind is Kind.LOG:
                return _log(snapshot, at)
            page = PAGES[at.kind](snapshot, at)
        except NotFoundError as error:
            return self._sorry(snapshot, HTTPStatus.NOT_FOUND, "Not found", str(error))
        except LakeflowMetaError as error:
            status = HTTPStatus.INTERNAL_SERVER_ERROR
            return self._sorry(snapshot, status, "This cannot be shown", str(error))
        if page.place != at:
            return _elsewhere(page.place)
        return self._page(snapshot, HTTPStatus.OK, page)

    def _page(self, snapshot: Snapshot, status: HTTPStatus, page: Page) -> Answer:
        view = View(ServerLinks(), snapshot.now)
        return _whole(status, _HTML, render_page(page, view, self._title))

    def _sorry(self, snapshot: Snapshot, status: HTTPStatus, title: str, text: str) -> Answer:
        links = (Link("Overview", place(Kind.OVERVIEW)),)
        banner = Banner(Mark(title, Tone.BAD), text, links)
        return self._page(snapshot, status, Page(place(Kind.OVERVIEW), title, [banner]))


_STATIC = {
    "/static/style.css": ("text/css; charset=utf-8", stylesheet),
    "/static/refresh.js": ("text/javascript; charset=utf-8", script),
    "/static/icon.svg": ("image/svg+xml", markup.icon),
    "/favicon.ico": ("image/svg+xml", markup.icon),  # what a browser asks for beside a plain text
}


def _elsewhere(at: Place) -> Answer:
    """A page that did something is looked at under its own address: a reload does it not again."""
    headers = (("Location", address_of(at)),)
    return Answer(HTTPStatus.SEE_OTHER, "text/plain; charset=utf-8", 0, (), headers)


def _log(snapshot: Snapshot, at: Place) -> Answer:
    size, pieces = log_of(snapshot, at)
    return Answer(HTTPStatus.OK, "text/plain; charset=utf-8", size, pieces)


# --------------------------------------------------------------------------- HTTP


class Handler(BaseHTTPRequestHandler):
    """One request a connection; HTTP/1.0, so that nothing can hide behind a first request."""

    server: Server
    timeout = _IDLE_SECONDS
    error_content_type = "text/plain; charset=utf-8"
    error_message_format = "%(code)d %(message)s\n"

    def do_GET(self) -> None:
        """Send a page."""
        self._respond(with_body=True)

    def do_HEAD(self) -> None:
        """Send what a GET would, without the page."""
        self._respond(with_body=False)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Errors of HTTP itself; a method that is not there is one that is not allowed."""
        if code == HTTPStatus.NOT_IMPLEMENTED:
            text = "only GET and HEAD: this page shows, and changes nothing\n"
            headers = (("Allow", "GET, HEAD"),)
            refused = _whole(HTTPStatus.METHOD_NOT_ALLOWED, self.error_content_type, text)
            self._send(Answer(refused.status, refused.kind, refused.size, refused.pieces, headers))
            return
        super().send_error(code, message, explain)

    def end_headers(self) -> None:
        """Every answer carries the guards."""
        for name, value in _HEADERS:
            self.send_header(name, value)
        super().end_headers()

    def version_string(self) -> str:
        """The name alone: which Python it is nobody needs to know."""
        return "lakeflow-meta"

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 (its name there)
        """Requests are no news."""
        logger.debug(format, *arguments)

    def _respond(self, *, with_body: bool) -> None:
        refused = self._refused()
        if refused is not None:
            self._send(refused, with_body=with_body)
            return
        answer: Answer | None = None
        try:
            answer = self._answer()
        finally:
            if answer is None:  # a bug, which the server logs: who asked is not left waiting
                self.send_error(HTTPStatus.INTERNAL_SERVER_ERROR)
        self._send(answer, with_body=with_body)

    def _refused(self) -> Answer | None:
        """What is said to requests that people of this server did not make."""
        if not self.server.is_known_by(self.headers.get_all("Host") or []):
            text = "this server is not known by that name; open it by the address that it printed\n"
            return _whole(HTTPStatus.MISDIRECTED_REQUEST, self.error_content_type, text)
        site, mode = (self.headers.get(f"Sec-Fetch-{name}", "") for name in ("Site", "Mode"))
        if site in ("cross-site", "same-site") and mode != "navigate":
            text = "another website may lead here, and load nothing from here\n"
            return _whole(HTTPStatus.FORBIDDEN, self.error_content_type, text)
        return None

    def _answer(self) -> Answer:
        try:
            parts = urlsplit(self.path)
        except ValueError:
            text = "that is no address\n"
            return _whole(HTTPStatus.BAD_REQUEST, self.error_content_type, text)
        return self.server.website.answer(parts.path, parts.query)

    def _send(self, answer: Answer, *, with_body: bool = True) -> None:
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.kind)
        self.send_header("Content-Length", str(answer.size))
        for name, value in answer.headers:
            self.send_header(name, value)
        self.end_headers()
        if with_body and self.command != "HEAD":
            for piece in answer.pieces:
                self.wfile.write(piece)


class Server(ThreadingHTTPServer):
    """Serves one website. ``names`` are hosts that it is known by beside its own address."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, website: Website, host: str, port: int, names: Iterable[str] = ()) -> None:
        self.website = website
        self.names = frozenset(name.lower().rstrip(".") for name in (host, *names))
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            super().__init__((host, port), Handler)
        except OSError as error:
            hint = "name another with --port, or 0 for any that is free"
            raise ConfigError(
                f"cannot listen on {host} port {port}: {error.strerror}; {hint}"
            ) from error

    def server_bind(self) -> None:
        """Take the address; the base class would ask the DNS for its name, which may take long."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.port

    @property
    def port(self) -> int:
        """The port, also where any was asked for."""
        return int(self.server_address[1])

    @property
    def address(self) -> str:
        """What to open."""
        host = str(self.server_address[0])
        shown = "127.0.0.1" if host == "0.0.0.0" else host  # noqa: S104 (compared, not bound)
        return f"http://{f'[{shown}]' if ':' in shown else shown}:{self.port}/"

    def is_known_by(self, hosts: list[str]) -> bool:
        """Whether a request names this server: exactly one ``Host``, and a name that is ours.

        An address of numbers cannot be rebound by anybody's DNS, so where this server listens to
        other machines each is good.
        """
        if len(hosts) != 1:
            return False
        try:
            parts = urlsplit(f"//{hosts[0]}")
            name, port = (parts.hostname or "").rstrip("."), parts.port or 80
        except ValueError:
            return False
        known = name in self.names or name in _LOOPBACK_NAMES or self._is_number(name)
        return parts.username is None and port == self.port and known

    def _is_number(self, name: str) -> bool:
        return not is_loopback(str(self.server_address[0])) and _address(name) is not None

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 (its name)
        """Who went away is no news; a bug is."""
        if isinstance(sys.exception(), OSError):
            logger.debug("%s went away", client_address)
        else:
            logger.exception("a request of %s failed", client_address)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    found = _address(host)
    return host.lower() == "localhost" or (found is not None and found.is_loopback)


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
