"""Takes changed metadata files into the control tables, and remembers which contents were taken.

A bad file is reported, stays out, and is tried again at the next look; the others go on. A deleted
file is reported: what it declared stays recorded unless ``prune`` is on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import replace

from lakeflow_meta.control.declared import Declared
from lakeflow_meta.control.monitor_report import FilesCursor, TickReport, read_cursor
from lakeflow_meta.control.tables import STATE, ControlTables
from lakeflow_meta.control.taking import ReadDeclared, Taking, shares, take
from lakeflow_meta.control.volume_watch import FolderWatch
from lakeflow_meta.control.watched_files import FolderState, is_yaml, texts_of
from lakeflow_meta.ports import ControlStore

logger = logging.getLogger(__name__)

LoadDeclared = Callable[[Declared, bool], object]
"""Records what is declared; the second argument says whether to remove what is not."""


class FileIntake:
    """The files of one folder. ``name`` is the folder as people call it: it names the cursor.

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
        prune: bool = False,
        actor: str = "",
    ) -> None:
        self._key = f"monitor/{name}"
        self._watch = watch
        self._store = store
        self._table = tables.of(STATE)
        self._read = read
        self._load = load
        self._prune = prune
        self._actor = actor
        self._cursor: FilesCursor | None = None

    def take(self, tick: TickReport) -> None:
        """One look. What was found and done is put into ``tick``."""
        cursor = self._cursor or self._read_cursor()
        self._cursor = None
        state = self._watch.look(cursor.files)
        tick.files |= dict.fromkeys(state.unsettled, "waiting")
        try:
            if state.changed or state.deleted:
                cursor = self._record(cursor, state, tick)
        finally:
            tick.files |= dict.fromkeys(state.errors, "invalid")
            tick.errors += [f"{name}: {error}" for name, error in sorted(state.errors.items())]
        self._cursor = cursor

    def _record(self, cursor: FilesCursor, state: FolderState, tick: TickReport) -> FilesCursor:
        changed = texts_of(state.changed, state.errors)
        same = state.digests.keys() - state.changed.keys() - state.unsettled
        texts = changed | texts_of(self._watch.read(sorted(same), state.errors), state.errors)
        touched = changed.keys() | state.deleted
        everything = self._prune or bool(touched & cursor.sharing)
        taking = take(texts, changed.keys(), self._read, everything=everything)
        self._report(tick, cursor, state, taking)
        prune = self._prune and self._may_prune(taking, state, texts)
        if taking.names or (state.deleted and everything):
            self._load(taking.declared, prune)
        if self._prune and state.deleted and not prune:
            tick.errors.append("what deleted files declared stays until every other file is good")
            state.deleted = frozenset()
        return self._moved(cursor, state, taking, changed)

    def _may_prune(self, taking: Taking, state: FolderState, texts: Iterable[str]) -> bool:
        whole = not taking.problems and not state.unsettled and not state.errors
        return whole and any(is_yaml(name) for name in texts)

    def _report(
        self, tick: TickReport, cursor: FilesCursor, state: FolderState, taking: Taking
    ) -> None:
        for name in state.changed:
            known = "changed" if name in cursor.files else "new"
            tick.files[name] = known if name in taking.names else "invalid"
        tick.files |= dict.fromkeys(state.deleted, "deleted")
        tick.errors += [str(problem) for problem in taking.problems]

    def _moved(
        self, cursor: FilesCursor, state: FolderState, taking: Taking, changed: dict[str, str]
    ) -> FilesCursor:
        """The next cursor, recorded. Dying before it, the same files are taken again: no change."""
        taken = {name: state.digests[name] for name in taking.names}
        sharing = [name for name in taking.names if shares([changed[name]])]
        offered = cursor.after(taken, sharing, state.deleted)
        if (offered.files, offered.sharing) == (cursor.files, cursor.sharing):
            return cursor
        result = self._store.merge(
            self._table,
            [offered.row(self._key)],
            keys=STATE.keys,
            fence="fence",
            note={"actor": self._actor, "verb": "monitor"},
        )
        if not result.changed:
            logger.info("another monitor moved the cursor %s; it is read again", self._key)
            return self._read_cursor()
        return replace(offered, fence=cursor.fence + 1)

    def _read_cursor(self) -> FilesCursor:
        self._store.ensure(self._table, STATE)
        rows = self._store.read(self._table, where={"key": self._key}).to_pylist()
        if not rows:
            return FilesCursor()
        try:
            return read_cursor(rows[0]["value"], rows[0]["fence"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            logger.warning("cursor %s cannot be read, so all files are new: %r", self._key, error)
            return FilesCursor(fence=rows[0]["fence"] or 0)
