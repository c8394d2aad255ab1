"""``dbutils.secrets``: from the environment, else from ``secrets.yml`` in the home.

``LAKEFLOW_META_SECRET_<SCOPE>_<KEY>`` (in capitals, other characters as ``_``) wins over the file,
which maps scopes to keys to values and must be readable by its owner alone. Whatever has been read
is shown as ``[REDACTED]`` in logs of tasks.
https://docs.databricks.com/security/secrets/redaction
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from lakeflow_meta.backends.local.tasks.dbutils.utility import Utility
from lakeflow_meta.errors import ConfigError, NotFoundError

PREFIX = "LAKEFLOW_META_SECRET_"
REDACTED = "[REDACTED]"


class SecretMetadata(NamedTuple):
    """A secret's key, without its value."""

    key: str


class SecretScope(NamedTuple):
    """A scope's name."""

    name: str

    def getName(self) -> str:  # noqa: N802 - the platform's name
        """The name."""
        return self.name


class SecretStore:
    """The secrets of one workspace, and which of them this process has given out."""

    def __init__(
        self, file: Path | None, environment: Callable[[], Mapping[str, str]] = lambda: os.environ
    ) -> None:
        self._file = file
        self._environment = environment
        self._lock = threading.Lock()
        self._given_out: frozenset[str] = frozenset()

    def get(self, scope: str, key: str) -> str:
        """A value. Raises NotFoundError, and ConfigError for a file that others can read."""
        variable = variable_name(scope, key)
        value = self._environment().get(variable)
        if value is None:
            value = self._in_file().get(scope, {}).get(key)
        if value is None:
            where = f"; set {variable}, or write it into {self._file}" if self._file else ""
            raise NotFoundError(
                f"there is no secret {key!r} in scope {scope!r}{where}", code="NO_SECRET"
            )
        with self._lock:
            self._given_out |= {value}
        return value

    def scopes(self) -> Sequence[str]:
        """The scopes of the file: a variable's name does not tell where its scope ends."""
        return sorted(self._in_file())

    def keys(self, scope: str) -> Sequence[str]:
        """Keys of the file, and those of the environment in small letters."""
        prefix = variable_name(scope, "")
        found = {
            name.removeprefix(prefix).lower()
            for name in self._environment()
            if name.startswith(prefix)
        }
        of_file = self._in_file().get(scope, {})
        found -= {variable_name("", key).removeprefix(f"{PREFIX}_").lower() for key in of_file}
        if not found and scope not in self._in_file():
            raise NotFoundError(f"there is no scope {scope!r}", code="NO_SCOPE")
        return sorted({*found, *of_file})

    def redacted(self, text: str) -> str:
        """The text without any value that was given out; longer ones first."""
        for value in sorted(self._given_out, key=len, reverse=True):
            if value.strip():
                text = text.replace(value, REDACTED)
        return text

    def _in_file(self) -> Mapping[str, Mapping[str, str]]:
        if self._file is None or not self._file.is_file():
            return {}
        if os.name == "posix" and self._file.stat().st_mode & 0o077:
            raise ConfigError(f"{self._file} can be read by others; run: chmod 600 {self._file}")
        try:
            read = yaml.safe_load(self._file.read_text(encoding="utf-8")) or {}
        except yaml.YAMLError as error:  # its text may hold a value, and is not shown
            raise ConfigError(f"{self._file} is no YAML") from error
        return _checked(read, self._file)


def variable_name(scope: str, key: str) -> str:
    """The environment variable of a secret."""
    return PREFIX + re.sub(r"[^A-Za-z0-9]", "_", f"{scope}_{key}").upper()


def _checked(read: Any, file: Path) -> Mapping[str, Mapping[str, str]]:
    """Scopes to keys to texts. Raises ConfigError without showing a value."""
    if not isinstance(read, dict):
        raise ConfigError(f"{file}: write scope, key and value as nested mappings")
    for scope, keys in read.items():
        texts = isinstance(keys, dict) and all(isinstance(value, str) for value in keys.values())
        if not texts:
            raise ConfigError(f"{file}: scope {scope!r} maps keys to texts (quote numbers)")
    return read


class Secrets(Utility):
    """Passwords and keys that stand in no file of the project."""

    TITLE = "dbutils.secrets"

    def __init__(self, store: SecretStore) -> None:
        self._store = store

    def get(self, scope: str, key: str) -> str:
        """The value of a secret."""
        return self._store.get(scope, key)

    def getBytes(self, scope: str, key: str) -> bytes:  # noqa: N802 - the platform's name
        """The value of a secret as UTF-8 bytes."""
        return self._store.get(scope, key).encode()

    def list(self, scope: str) -> Sequence[SecretMetadata]:
        """The keys of a scope."""
        return [SecretMetadata(key) for key in self._store.keys(scope)]

    def listScopes(self) -> Sequence[SecretScope]:  # noqa: N802 - the platform's name
        """The scopes of secrets.yml."""
        return [SecretScope(name) for name in self._store.scopes()]
