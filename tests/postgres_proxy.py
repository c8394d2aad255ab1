"""A relay between a client and PostgreSQL that breaks connections where a test says."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator


class Relay:
    """Listens at ``port``, and passes bytes on both ways.

    ``cut`` is what a client says when its connection breaks, the next time only; ``passed`` whether
    the server still hears it. ``always`` breaks it each time; after ``deaf_after`` nobody answers.
    """

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.cut: bytes | None = None
        self.passed = False
        self.always = False
        self.deaf_after = False
        self.cuts = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self.deaf_after and self.cuts:
                client.close()
                continue
            server = socket.create_connection(("127.0.0.1", self._target_port))
            threading.Thread(target=self._to_server, args=(client, server), daemon=True).start()
            threading.Thread(target=self._to_client, args=(server, client), daemon=True).start()

    def _to_server(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(65536):
                if self.cut is not None and self.cut in data:
                    self.cuts += 1
                    if not self.always:
                        self.cut = None
                    client.shutdown(socket.SHUT_RDWR)  # the answer finds nobody
                    if self.passed:
                        server.sendall(data)
                        _drain(server)
                    break
                server.sendall(data)
        _end(client, server)

    def _to_client(self, server: socket.socket, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(65536):
                client.sendall(data)
        _end(client, server)


def _drain(server: socket.socket) -> None:
    """Until the server has had time to do what it was told."""
    server.settimeout(0.2)
    with contextlib.suppress(OSError):
        while server.recv(65536):
            pass


def _end(*ends: socket.socket) -> None:
    for end in ends:
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
        end.close()


@contextlib.contextmanager
def relay_to(port: int) -> Iterator[Relay]:
    """A relay for a while."""
    relay = Relay(port)
    try:
        yield relay
    finally:
        relay.close()
