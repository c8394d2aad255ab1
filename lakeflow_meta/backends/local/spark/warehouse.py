"""The warehouse directory is the catalog: ``<warehouse>/<catalog>/<schema>/<table>``.

What is not a Delta directory by itself (views, tables that lie elsewhere, comments of schemas) is
one small JSON file in the schema's ``_lakeflow`` folder. Every change is one rename, so another
process sees the old or the new state and dying in between leaves one of them.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lakeflow_meta.errors import ConfigError
from lakeflow_meta.names import TableName
from lakeflow_meta.paths import path_of_location
from lakeflow_meta.ports import utc_now
from lakeflow_meta.sql import ident

LOG = "_delta_log"
_NOTES = "_lakeflow"
_SCHEMA_NOTE = "_schema"
_DRAFT_SECONDS = 5.0

Identity = tuple[int, ...]
"""Which table or which version of a note it is; another one has another identity."""


@dataclass(frozen=True, slots=True, order=True)
class SchemaName:
    """A two-level name, in lower case as Databricks keeps it."""

    catalog: str
    schema: str

    def table(self, name: str) -> TableName:
        """A table of this schema. Raises ConfigError for a name that no directory may have."""
        return checked_table(self.catalog, self.schema, name)

    def __str__(self) -> str:
        return f"{self.catalog}.{self.schema}"


def checked_table(catalog: str, schema: str, name: str) -> TableName:
    """The name in lower case, fit to be a path below the warehouse. Raises ConfigError."""
    if not (catalog and schema and name):
        raise ConfigError("a name has at least one character")
    table = TableName.parse(".".join(ident(part.lower()) for part in (catalog, schema, name)))
    if _NOTES in (table.catalog, table.schema, table.name):
        raise ConfigError(f"{_NOTES} is kept for the workspace itself; take another name")
    return table


def table_or_none(catalog: str, schema: str, name: str) -> TableName | None:
    """None where the name cannot be a directory: then it is something of Spark's own."""
    try:
        return checked_table(catalog, schema, name)
    except ConfigError:
        return None


def schema_name(table: TableName) -> SchemaName:
    """The schema that a table is in."""
    return SchemaName(table.catalog, table.schema)


def checked_schema(catalog: str, schema: str) -> SchemaName:
    """The name in lower case, fit to be a path below the warehouse. Raises ConfigError."""
    table = checked_table(catalog, schema, "any")
    return SchemaName(table.catalog, table.schema)


class Warehouse:
    """Reads and changes the directory tree; knows nothing of Spark."""

    def __init__(self, root: Path) -> None:
        self.root = root

    # --- what there is

    def catalogs(self) -> list[str]:
        """Every catalog."""
        return _folders(self.root)

    def schemas(self, catalog: str) -> list[str]:
        """Every schema of a catalog."""
        return _folders(self.root / catalog)

    def has_catalog(self, catalog: str) -> bool:
        """Whether the catalog's directory is there."""
        return (self.root / catalog).is_dir()

    def has_schema(self, schema: SchemaName) -> bool:
        """Whether the schema's directory is there."""
        return self.schema_path(schema).is_dir()

    def tables(self, schema: SchemaName) -> list[str]:
        """Every table of a schema, wherever its data lies."""
        folder = self.schema_path(schema)
        lying_here = {name for name in _folders(folder) if holds_delta(folder / name)}
        noted = {name for name, note in self._noted(schema) if "view" not in note}
        return sorted(lying_here | noted)

    def views(self, schema: SchemaName) -> list[str]:
        """Every view of a schema."""
        return sorted(name for name, note in self._noted(schema) if "view" in note)

    def relations(self, schema: SchemaName) -> list[str]:
        """Every table and view of a schema."""
        return sorted({*self.tables(schema), *self.views(schema)})

    def is_delta(self, table: TableName) -> bool:
        """Whether a Delta table lies in the table's directory; see `holds_delta`."""
        return holds_delta(self.table_path(table))

    def is_view(self, table: TableName) -> bool:
        """Whether the name is a view's."""
        return not self.is_delta(table) and "view" in self.note(table)

    def identity(self, table: TableName) -> Identity | None:
        """Tells one table or view from the next of the same name; None where there is none."""
        if not self.is_delta(table):
            return self.note_identity(table)
        try:
            log = (self.table_path(table) / LOG).stat()
        except OSError:
            return self.note_identity(table)
        return log.st_dev, log.st_ino

    def note_identity(self, table: TableName) -> Identity | None:
        """Tells one version of a note from the next; None where nothing is noted."""
        try:
            note = self._note_path(table).stat()
        except OSError:
            return None
        return note.st_dev, note.st_ino, note.st_mtime_ns

    # --- where it is

    def schema_path(self, schema: SchemaName) -> Path:
        """The schema's directory."""
        return self.root / schema.catalog / schema.schema

    def table_path(self, table: TableName) -> Path:
        """The directory of a managed table."""
        return self.root / table.catalog / table.schema / table.name

    def location(self, table: TableName) -> Path | None:
        """Where a Delta table lies, here or elsewhere; None where no path of this machine is known.

        What the note of a table elsewhere says is not looked up: there may be nothing any more.
        """
        if self.is_delta(table):
            return self.table_path(table)
        noted = self.note(table).get("location")
        return None if noted is None else path_of_location(noted)

    def _note_path(self, table: TableName) -> Path:
        return self.root / table.catalog / table.schema / _NOTES / f"{table.name}.json"

    # --- changes

    def create_schema(self, schema: SchemaName) -> None:
        """Make the schema's directory, and so its catalog's; nothing happens where it is there."""
        self.schema_path(schema).mkdir(parents=True, exist_ok=True)

    def drop_catalog(self, catalog: str) -> None:
        """Remove the catalog with everything in it."""
        self._remove(self.root / catalog)

    def drop_schema(self, schema: SchemaName) -> None:
        """Remove a schema with everything in it."""
        self._remove(self.schema_path(schema))

    def drop_table(self, table: TableName) -> None:
        """Remove the table's directory and its note, whichever there is."""
        self._note_path(table).unlink(missing_ok=True)
        self._remove(self.table_path(table))

    def clear_vacant(self, table: TableName) -> None:
        """Remove a log without a commit, where CREATE TABLE finds the place "not empty".

        Only drafts and empty directories are removed, one by one, so a commit that comes meanwhile
        survives. A draft is committed within milliseconds of being written: one that is some
        seconds old was left by somebody who died, a younger one is left alone.
        """
        place = self.table_path(table)
        with contextlib.suppress(OSError):
            if is_vacant(place) and not _holds_fresh_drafts(place / LOG):
                for draft in (place / LOG).glob(".*"):
                    draft.unlink(missing_ok=True)
                for folder in (place / LOG / "_staged_commits", place / LOG, place):
                    _remove_empty(folder)

    def rename_table(self, table: TableName, new: TableName) -> None:
        """Give the directory, and the note, another name. Never over another table."""
        if self.identity(new) is not None:
            raise ConfigError(f"{new} exists already")
        self.clear_vacant(new)
        for old_path, new_path in (
            (self.table_path(table), self.table_path(new)),
            (self._note_path(table), self._note_path(new)),
        ):
            if old_path.exists():
                new_path.parent.mkdir(parents=True, exist_ok=True)
                old_path.rename(new_path)

    def _remove(self, path: Path) -> None:
        """Out of sight by one rename, then deleted: nobody ever reads half a table."""
        if not path.is_dir():
            return
        grave = self.root / f".dropped-{uuid.uuid4().hex}"
        path.rename(grave)
        shutil.rmtree(grave, ignore_errors=True)

    # --- notes

    def note(self, table: TableName) -> dict[str, Any]:
        """What is noted of a view or of a table that lies elsewhere; empty where nothing is."""
        return _read(self._note_path(table))

    def write_note(self, table: TableName, note: dict[str, Any]) -> None:
        """Replace the note at once."""
        _write(self._note_path(table), note)

    def schema_note(self, schema: SchemaName) -> dict[str, Any]:
        """What is noted of a schema."""
        return _read(self.schema_path(schema) / _NOTES / f"{_SCHEMA_NOTE}.json")

    def write_schema_note(self, schema: SchemaName, note: dict[str, Any]) -> None:
        """Replace the schema's note at once."""
        _write(self.schema_path(schema) / _NOTES / f"{_SCHEMA_NOTE}.json", note)

    def _noted(self, schema: SchemaName) -> Iterator[tuple[str, dict[str, Any]]]:
        for path in sorted((self.schema_path(schema) / _NOTES).glob("*.json")):
            if path.stem != _SCHEMA_NOTE:
                yield path.stem, _read(path)


def _folders(path: Path) -> list[str]:
    try:
        entries = list(os.scandir(path))
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(e.name for e in entries if e.is_dir() and not _is_ours(e.name))


def holds_delta(folder: Path | str) -> bool:
    """Whether a directory is a Delta table, by its log; `is_vacant` places are none."""
    try:
        return _holds_files(f"{folder}/{LOG}") or not is_vacant(folder)
    except (FileNotFoundError, NotADirectoryError):
        return False


def is_vacant(folder: Path | str) -> bool:
    """Whether nothing lies in a directory but a log without a commit.

    A CREATE TABLE that Delta refuses leaves such a log, one that is killed leaves drafts in it
    (``.….json.<uuid>.tmp`` and its checksum): there is no table, and one can be made.
    Raises OSError where there is no such directory.
    """
    with os.scandir(folder) as entries:
        return all(entry.name == LOG and not _holds_files(entry.path) for entry in entries)


def _holds_files(folder: str) -> bool:
    """Whether there are more than drafts at any depth; Delta makes ``_staged_commits``, too."""
    with os.scandir(folder) as entries:
        return any(
            _holds_files(entry.path) if entry.is_dir() else not _is_draft(entry.name)
            for entry in entries
        )


def _holds_fresh_drafts(log: Path) -> bool:
    since = utc_now().timestamp() - _DRAFT_SECONDS
    return any(draft.stat().st_mtime > since for draft in log.glob(".*"))


def _is_draft(name: str) -> bool:
    return name.startswith(".") and name.removesuffix(".crc").endswith(".tmp")


def _remove_empty(folder: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        folder.rmdir()


def _is_ours(name: str) -> bool:
    return name == _NOTES or name.startswith(".")


def _read(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    note: dict[str, Any] = json.loads(text)
    return note


def _write(path: Path, note: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.stem}-{uuid.uuid4().hex}")
    draft.write_text(json.dumps(note, ensure_ascii=False, indent=1), encoding="utf-8")
    draft.replace(path)
