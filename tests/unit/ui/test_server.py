"""The pages over real HTTP: who may ask, for what, and how."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from lakeflow_meta.errors import ConfigError
from lakeflow_meta.ui.server import Server, Website, is_loopback

ANYWHERE = "0.0.0.0"  # noqa: S104 (who listens there is what is tested)


@contextmanager
def serving(website: Website, host: str = "127.0.0.1", *names: str) -> Iterator[Server]:
    with Server(website, host, 0, names) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def server(website: Website) -> Iterator[Server]:
    with serving(website) as running:
        yield running


def ask(
    server: Server, path: str, method: str = "GET", host: str | None = None
) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.putrequest(method, path, skip_host=host is not None)
    if host is not None:
        connection.putheader("Host", host)
    connection.endheaders()
    return connection.getresponse()


def raw(server: Server, request: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def test_a_page_is_sent_with_all_guards(server: Server) -> None:
    answer = ask(server, "/")
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; style-src 'self'; script-src 'self'")
    assert "unsafe" not in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert answer.headers["Cache-Control"] == "no-store"
    assert "Python" not in answer.headers["Server"]
    assert "Access-Control-Allow-Origin" not in answer.headers
    body = answer.read()
    assert len(body) == int(answer.headers["Content-Length"])


@pytest.mark.parametrize("path", ["/", "/static/style.css", "/static/refresh.js", "/nothing"])
def test_head_is_get_without_the_page(server: Server, path: str) -> None:
    got, head = ask(server, path), ask(server, path, "HEAD")
    assert head.status == got.status
    assert head.headers["Content-Type"] == got.headers["Content-Type"]
    assert head.read() == b""


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "MOVE"])
def test_nothing_can_be_changed(server: Server, method: str) -> None:
    answer = ask(server, "/plan", method)
    assert answer.status == 405
    assert answer.headers["Allow"] == "GET, HEAD"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "LOCALHOST", "localhost.", "[::1]"])
def test_it_is_known_by_the_names_of_this_machine(server: Server, name: str) -> None:
    assert ask(server, "/", host=f"{name}:{server.port}").status == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example:{port}", "evil.example", "127.0.0.1", "127.0.0.1:1",
     "localhost.evil.example:{port}",
     "127.0.0.1.nip.io:{port}", "10.0.0.7:{port}", "x@127.0.0.1:{port}", "127.0.0.1:{port}:{port}",
     "", "[::1", "127.0.0.1:x", "0:{port}"],
)  # fmt: skip
def test_a_name_that_somebody_pointed_here_is_refused(server: Server, host: str) -> None:
    answer = ask(server, "/", host=host.format(port=server.port))
    assert answer.status == 421
    assert b"etl_control" not in answer.read()


@pytest.mark.parametrize(
    ("site", "mode", "status"),
    [("cross-site", "no-cors", 403), ("cross-site", "cors", 403), ("same-site", "no-cors", 403),
     ("cross-site", "navigate", 200), ("same-origin", "cors", 200), ("none", "navigate", 200)],
)  # fmt: skip
def test_another_website_may_lead_here_and_load_nothing(
    server: Server, site: str, mode: str, status: int
) -> None:
    head = f"GET /settings HTTP/1.1\r\nHost: localhost:{server.port}\r\n"
    fetched = f"Sec-Fetch-Site: {site}\r\nSec-Fetch-Mode: {mode}\r\n\r\n"
    answer = raw(server, f"{head}{fetched}".encode())
    assert answer.startswith(f"HTTP/1.0 {status}".encode())


def test_one_host_is_named_exactly(server: Server) -> None:
    good = f"Host: 127.0.0.1:{server.port}\r\n".encode()
    assert raw(server, b"GET / HTTP/1.1\r\n" + good + b"\r\n").startswith(b"HTTP/1.0 200")
    for hosts in (b"", good + b"Host: evil.example\r\n"):
        assert raw(server, b"GET / HTTP/1.1\r\n" + hosts + b"\r\n").startswith(b"HTTP/1.0 421")


@pytest.mark.parametrize(
    "path",
    ["/../../../../etc/passwd", "/static/../../pyproject.toml", "/static/%2e%2e/server.py",
     "/static//etc/passwd", "/..%2f..%2fetc/passwd", "/static/style.css/", "/%00", "/C:\\x"],
)  # fmt: skip
def test_a_path_never_leads_to_a_file(server: Server, path: str) -> None:
    answer = ask(server, path)
    assert answer.status == 404
    assert b"root:" not in answer.read()


def test_nonsense_is_answered_and_the_server_lives_on(server: Server) -> None:
    for request in (b"\x00\xff\r\n\r\n", b"GET\r\n\r\n", b"GET http://[ HTTP/1.1\r\n\r\n", b"",
                    b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n"):  # fmt: skip
        answer = raw(server, request)
        assert answer == b"" or any(code in answer for code in (b"400", b"414", b"421"))
    many = "&".join(f"f{n}=1" for n in range(50))
    assert ask(server, f"/files?{many}").status == 404
    assert ask(server, "/").status == 200


def test_many_may_ask_at_once(server: Server) -> None:
    found: list[int] = []
    threads = [
        threading.Thread(target=lambda path=path: found.append(ask(server, path).status))
        for path in ["/", "/runs", "/files", "/plan?again=1", "/module?name=daily_orders"] * 4
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [200] * 16 + [303] * 4


def test_a_name_that_was_given_is_known(website: Website) -> None:
    with serving(website, "127.0.0.1", "Lake.example") as server:
        assert ask(server, "/", host=f"lake.example:{server.port}").status == 200
        assert ask(server, "/", host=f"other.example:{server.port}").status == 421


def test_open_to_others_it_is_known_by_addresses_of_numbers(website: Website) -> None:
    with serving(website, ANYWHERE) as server:
        assert ask(server, "/", host=f"10.0.0.7:{server.port}").status == 200
        assert ask(server, "/", host=f"evil.example:{server.port}").status == 421
        assert server.address == f"http://127.0.0.1:{server.port}/"


def test_a_port_that_is_taken_is_told_with_the_remedy(server: Server, website: Website) -> None:
    taken = socket.socket()
    taken.bind(("127.0.0.1", 0))
    taken.listen()
    with pytest.raises(ConfigError, match="--port"):
        Server(website, "127.0.0.1", taken.getsockname()[1])
    taken.close()


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True),
     (ANYWHERE, False), ("10.1.1.1", False), ("::", False), ("lake.example", False)],
)  # fmt: skip
def test_what_only_this_machine_reaches(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected
