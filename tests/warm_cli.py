"""A ``lakeflow-meta`` that stays: one process runs all commands of a page, with one Spark for all.

Each command has the streams, the directory and the environment of whoever calls it, and all parts
anew but the JVM. As a program of its own each call would start Python, and a JVM where it needs
Spark: seconds that show nothing. Commands that wait for signals are processes of their own.

Run as a program this is the one that stays; `warm_cli` starts it and writes the thin programs
``lakeflow-meta`` and ``run-python`` that send it what to do.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lakeflow_meta.app import App
    from lakeflow_meta.backends.local.spark.session import EmbeddedSpark

SOURCE = Path(__file__).parents[1]
OF_THEIR_OWN = {"monitor", "serve", "ui"}
"""Commands that wait for signals, unless they are told to end."""
ENDING = {"--max-iterations", "--list", "--help"}
SECONDS_TO_END = 30

CLIENT = """\
import json, os, socket, sys
words = set(sys.argv[1:])
if {python!r} != "1" and words & {own!r} and not words & {ending!r}:
    os.execv({executable!r}, [{executable!r}, "-m", "lakeflow_meta", *sys.argv[1:]])
call = {{"arguments": sys.argv[1:], "cwd": os.getcwd(), "environment": dict(os.environ)}}
if {python!r} == "1":
    call["python"] = sys.stdin.read()
content = json.dumps(call).encode()
with socket.socket(socket.AF_UNIX) as server:
    server.connect({address!r})
    socket.send_fds(server, [len(content).to_bytes(8, "big")], [0, 1, 2])
    server.sendall(content)
    sys.exit(int(server.recv(8) or b"70"))
"""


@contextmanager
def warm_cli(programs: Path, *, workspace: bool = False) -> Iterator[None]:
    """Programs for a PATH, and the process behind them for as long as this lasts.

    ``workspace``: targets of Databricks are a stand-in of its APIs, with control tables in memory.
    """
    folder = tempfile.mkdtemp(prefix="warm")
    address = f"{folder}/s"  # a socket's name is short
    programs.mkdir(exist_ok=True)
    for name, python in (("lakeflow-meta", ""), ("run-python", "1")):
        text = CLIENT.format(
            python=python,
            own=OF_THEIR_OWN,
            ending=ENDING,
            executable=sys.executable,
            address=address,
        )
        (programs / f".{name}.py").write_text(text)
        program = programs / name
        client = shlex.join([sys.executable, "-IS", str(programs / f".{name}.py")])
        program.write_text(f'#!/bin/sh\nexec {client} "$@"\n')
        program.chmod(0o755)
    python = programs / "python"
    python.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
    python.chmod(0o755)
    path = os.pathsep.join([str(SOURCE), str(SOURCE / "tests")])
    server = subprocess.Popen(
        [sys.executable, __file__, address, *(["workspace"] if workspace else [])],
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
    )
    try:
        assert server.stdout is not None
        assert server.stdout.readline() == b"ready\n"
        yield
    finally:
        end(server)
        assert server.stdout is not None
        server.stdout.close()
        shutil.rmtree(folder)


def end(server: subprocess.Popen[bytes]) -> None:
    server.terminate()
    try:
        server.wait(SECONDS_TO_END)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


class Engines:
    """The process's one Spark, for as long as commands ask for the same."""

    def __init__(self) -> None:
        self._engine: EmbeddedSpark | None = None
        self._key: Any = None

    def lend(self, app: App) -> None:
        """Give the app the engine that there is, where it would make the same."""
        made = app.local.spark
        key = (made.warehouse, app.local._settings.spark_conf, made._catalogs)
        if self._engine is not None and key != self._key:
            self._engine.stop()
            self._engine = None
        if self._engine is None:
            self._engine, self._key = made, key
        app.local.__dict__["spark"] = self._engine


class Server:
    """Runs what it is sent, one after another."""

    def __init__(self, parts: dict[str, Any]) -> None:
        self._parts = parts
        self._engines = Engines()
        self._names: dict[str, Any] = {"__name__": "__main__"}
        self._ended = False

    def end(self, *_signal: Any) -> None:
        """What was started is ended in order, also in the middle of a command."""
        self._ended = True
        sys.exit()

    def serve(self, address: str) -> None:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(address)
            listener.listen()
            os.write(1, b"ready\n")
            while True:
                connection, _ = listener.accept()
                with connection:
                    connection.sendall(str(self.answer(connection)).encode())

    def answer(self, connection: socket.socket) -> int:
        size, streams, _, _ = socket.recv_fds(connection, 8, 3)
        content = b""
        while len(content) < int.from_bytes(size, "big"):
            content += connection.recv(1 << 20)
        call = json.loads(content)
        own = [os.dup(number) for number in range(3)]
        try:
            self.become(call, streams)
            return self.run(call)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            self.become({"cwd": "/", "environment": dict(os.environ)}, own)

    def become(self, call: dict[str, Any], streams: list[int]) -> None:
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        os.chdir(call["cwd"])
        os.environ.clear()
        os.environ.update(call["environment"])

    def run(self, call: dict[str, Any]) -> int:
        try:
            if "python" in call:
                self.run_python(call["python"])
                return 0
            from lakeflow_meta.cli.main import run

            return run(call["arguments"], self.session("--json" in call["arguments"]))
        except SystemExit as stop:
            if self._ended:
                raise
            return stop.code if isinstance(stop.code, int) else 1
        except (Exception, KeyboardInterrupt):  # noqa: BLE001 (told as Python tells it)
            traceback.print_exc()
            return 1

    def session(self, as_json: bool) -> Any:
        from lakeflow_meta.cli.output import Output, Session

        class WarmSession(Session):
            @property
            def app(inner) -> App:  # noqa: N805 (this server is the outer self)
                if inner._app is None:
                    inner._app = self.app(inner.overrides, inner.conf, inner.progress)
                return inner._app

        return WarmSession(Output(as_json=as_json))

    def app(self, overrides: Any, conf: Path | None, progress: Any) -> App:
        from lakeflow_meta.app import App

        app = App.from_environment(overrides=overrides, conf=conf, progress=progress)
        if app.settings.backend == "databricks" and self._parts:
            return App(app.resolved, progress=progress, **self._parts)
        if app.settings.backend == "local":
            self._engines.lend(app)
        return app

    def run_python(self, text: str) -> None:
        from lakeflow_meta.progress import silent

        if "spark" in text and "spark" not in self._names:
            from spark.interpreting import interpreting

            shared = self.app({}, None, silent).local.spark.session()
            self._names["spark"] = interpreting(shared)
        file = Path(f".blocks/{len(text)}.py")  # functions have to have a source
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
        code = compile(text, str(file.absolute()), "exec")
        exec(code, self._names)  # noqa: S102 (our own pages)


def stand_in(lasts: ExitStack, folder: Path) -> dict[str, Any]:
    """Parts of an `App` of a workspace that is not there, and this package as pip installs it."""
    from contract.stand_in_server import TOKEN
    from contract.upload_stand_in import WholeWorkspace
    from databricks.sdk import WorkspaceClient
    from own_distribution import own_distribution

    from lakeflow_meta.testing.fake_store import FakeStore

    if site := own_distribution(folder):
        sys.path.insert(0, str(site))
    workspace = lasts.enter_context(WholeWorkspace().running())
    client = WorkspaceClient(host=workspace.host, token=TOKEN)
    return {"store": FakeStore(), "workspace_client": client}


if __name__ == "__main__":
    with ExitStack() as stack:
        behind = stand_in(stack, Path(sys.argv[1]).parent) if sys.argv[2:] else {}
        warm = Server(behind)
        signal.signal(signal.SIGTERM, warm.end)
        warm.serve(sys.argv[1])
