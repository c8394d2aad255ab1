"""The watermark of each extract: one row of the controller's state. A verb.

A run that moves it says which state it saw, so of two runs that saw the same one moves it, and a
run that is completed late does not move it back.
"""

from __future__ import annotations

import json
import logging
from typing import Any

from lakeflow_meta.control.tables import STATE, ControlTables
from lakeflow_meta.errors import NotFoundError
from lakeflow_meta.extract.selection import Watermark
from lakeflow_meta.fingerprint import canonical_json
from lakeflow_meta.ports import ControlStore

logger = logging.getLogger(__name__)


class Watermarks:
    """Reads and moves watermarks."""

    def __init__(self, store: ControlStore, tables: ControlTables) -> None:
        self._store = store
        self._table = tables.of(STATE)

    def ensure(self) -> None:
        """Make the table where it is missing. Raises BackendError."""
        self._store.ensure(self._table, STATE)

    def read(self, extract_name: str) -> tuple[Watermark | None, int]:
        """The watermark, and the fence that the next one has to follow."""
        value, fence = self._read(extract_name)
        found = value.get("watermark")
        return (Watermark.from_dict(found) if found else None), fence

    def move(self, extract_name: str, watermark: Watermark, run_id: str, fence: int) -> None:
        """Write the watermark of a run that saw ``fence``. Nothing where it did so before, or
        where somebody moved it meanwhile. Raises BackendError, ConflictError.
        """
        if self._write(extract_name, watermark.to_dict(), run_id, fence):
            return
        value, _ = self._read(extract_name)
        if value.get("run_id") != run_id:
            logger.warning("%s: the watermark was moved by another run and stays", extract_name)

    def forget(self, extract_name: str) -> bool:
        """Let the next run begin as the first one did; whether there was one to forget."""
        found, fence = self.read(extract_name)
        return found is not None and self._write(extract_name, None, "", fence)

    def _write(
        self, extract_name: str, value: dict[str, str] | None, run_id: str, fence: int
    ) -> bool:
        row = {
            "key": _key(extract_name),
            "value": canonical_json({"watermark": value, "run_id": run_id}),
            "fence": fence + 1,
        }
        return self._store.merge(self._table, [row], keys=STATE.keys, fence="fence").changed

    def _read(self, extract_name: str) -> tuple[dict[str, Any], int]:
        try:
            rows = self._store.read(self._table, where={"key": _key(extract_name)}).to_pylist()
        except NotFoundError:
            return {}, 0
        return (json.loads(rows[0]["value"]), rows[0]["fence"]) if rows else ({}, 0)


def _key(extract_name: str) -> str:
    return f"extract-watermark/{extract_name}"
