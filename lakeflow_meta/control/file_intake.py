"""Takes changed metadata files into the control tables, and remembers which contents were taken.

A bad file is reported, stays out, and is tried again at the next look; the others go on. A deleted
file is reported: what it declared stays recorded unless ``prune`` is on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from lakeflow_meta.arrow_values import rows_of
from lakeflow_meta.control.declared import Declared
from lakeflow_meta.control.monitor_report import FilesCursor, TickReport, read_cursor
from lakeflow_meta.control.shared_variables import content_of
from lakeflow_meta.control.tables import STATE, ControlTables
from lakeflow_meta.control.taking import FolderTexts, ReadDeclared, Taking, take
from lakeflow_meta.control.volume_watch import FolderWatch
from lakeflow_meta.control.watched_files import FolderState, is_yaml, texts_of
from lakeflow_meta.ports import Actor, ControlStore, nobody

logger = logging.getLogger(__name__)

LoadDeclared = Callable[[Declared, bool], object]
"""Records what is declared; the second argument says whether to remove what is not."""


class FileIntake:
    """The files of one folder. ``name`` is the folder as people call it: it names the cursor.

    ``variables`` are those given to ``read`` besides the files' own, which they win over.
    With ``prune`` rows that no file declares are removed, but never while a file is bad, being
    written or unreadable, and never when no file is left at all.
    """

    def __init__(
        self,
        name: str,
        watch: FolderWatch,
        *,
        store: ControlStore,
        tables: ControlTables,
        read: ReadDeclared,
        load: LoadDeclared,
        variables: Mapping[str, Any] | None = None,
        prune: bool = False,
        actor: Actor = nobody,
    ) -> None:
        self._key = f"monitor/{name}"
        self._watch = watch
        self._store = store
        self._table = tables.of(STATE)
        self._read = read
        self._load = load
        self._prune = prune
        self._actor = actor
        self._variables = dict(variables or {})
        self._cursor: FilesCursor | None = None
        self._looked = False
        """The first look also finds files whose given variables have changed since the last run."""

    def take(self, tick: TickReport) -> None:
        """One look. What was found and done is put into ``tick``."""
        cursor = self._cursor or self._read_cursor()
        self._cursor = None
        taken = {name: content_of(mark) for name, mark in cursor.files.items()}
        state = self._watch.look(taken)
        tick.files |= dict.fromkeys(state.unsettled, "waiting")
        try:
            if state.changed or state.deleted or not self._looked:
                cursor = self._record(cursor, state, tick)
        finally:
            tick.files |= dict.fromkeys(state.errors, "invalid")
            tick.errors += [f"{name}: {error}" for name, error in sorted(state.errors.items())]
        self._cursor = cursor
        self._looked = True

    def _record(self, cursor: FilesCursor, state: FolderState, tick: TickReport) -> FilesCursor:
        folder = self._texts(state)
        taking = take(folder, cursor, self._read, everything=self._prune)
        self._report(tick, cursor, state, taking)
        prune = self._prune and self._may_prune(taking, folder)
        if taking.marks or prune:
            self._load(taking.declared, prune)
        if self._prune and state.deleted and not prune:
            tick.errors.append("what deleted files declared stays until every other file is good")
            state.deleted = frozenset()
        return self._moved(cursor, taking, state.deleted)

    def _texts(self, state: FolderState) -> FolderTexts:
        """Every file as text: one that changed may be about rows of the others."""
        same = state.digests.keys() - state.changed.keys() - state.unsettled.keys()
        contents = state.changed | self._watch.read(sorted(same), state.errors)
        texts = texts_of(contents, state.errors)
        unsettled = {n: data.decode("utf-8", "replace") for n, data in state.unsettled.items()}
        unusable = dict.fromkeys(state.errors, "") | unsettled
        digests = {name: state.digests[name] for name in texts}
        return FolderTexts(texts, digests, unusable, self._variables)

    def _may_prune(self, taking: Taking, folder: FolderTexts) -> bool:
        whole = not taking.problems and not folder.unusable
        return whole and any(is_yaml(name) for name in folder.texts)

    def _report(
        self, tick: TickReport, cursor: FilesCursor, state: FolderState, taking: Taking
    ) -> None:
        for name in state.changed:
            known = "changed" if name in cursor.files else "new"
            tick.files[name] = known if name in taking.marks else "invalid"
        tick.files |= dict.fromkeys(state.deleted, "deleted")
        tick.errors += [str(problem) for problem in taking.problems]

    def _moved(self, cursor: FilesCursor, taking: Taking, deleted: Iterable[str]) -> FilesCursor:
        """The next cursor, recorded. Dying before it, the same files are taken again: no change."""
        offered = cursor.after(taking.marks, taking.defines, deleted)
        if (offered.files, offered.defines) == (cursor.files, cursor.defines):
            return cursor
        result = self._store.merge(
            self._table,
            [offered.row(self._key)],
            keys=STATE.keys,
            fence="fence",
            note={"actor": self._actor(), "verb": "monitor"},
        )
        if not result.changed:
            logger.info("another monitor moved the cursor %s; it is read again", self._key)
            return self._read_cursor()
        return replace(offered, fence=cursor.fence + 1)

    def _read_cursor(self) -> FilesCursor:
        self._store.ensure(self._table, STATE)
        rows = rows_of(self._store.read(self._table, where={"key": self._key}))
        if not rows:
            return FilesCursor()
        try:
            return read_cursor(rows[0]["value"], rows[0]["fence"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            logger.warning("cursor %s cannot be read, so all files are new: %r", self._key, error)
            return FilesCursor(fence=rows[0]["fence"] or 0)
