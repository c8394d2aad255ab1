"""Brings decided runs to their end, and clears away the others. A verb.

Every step may be repeated, so a run that died anywhere between two of them is completed by doing
all of them again.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable

from lakeflow_meta.extract.history import LOST, failed
from lakeflow_meta.extract.publication import Publication
from lakeflow_meta.extract.run_log import RunLog
from lakeflow_meta.extract.watermarks import Watermarks
from lakeflow_meta.ports import Clock, ExtractFolders, Staging

logger = logging.getLogger(__name__)

Check = Callable[[], None]
"""Raises ConflictError when this runner may not go on."""


def staging_of(extract_name: str, folder: str, run_id: str) -> Staging:
    """Where a run of an extract writes."""
    owner = hashlib.sha256(extract_name.encode()).hexdigest()[:16]
    return Staging(folder, owner, run_id)


class Publisher:
    """Publishes what runs wrote, for the holder of an extract's lease."""

    def __init__(
        self, folders: ExtractFolders, log: RunLog, watermarks: Watermarks, clock: Clock
    ) -> None:
        self._folders = folders
        self._log = log
        self._watermarks = watermarks
        self._clock = clock

    def carry_out(self, publication: Publication, check: Check, actor: str) -> None:
        """Do everything that a decided run has left. Raises BackendError, ConflictError; then the
        note is still there, and whoever runs the extract next goes on.
        """
        name, run_id = publication.extract_name, publication.run_id
        staging = staging_of(name, publication.folder, run_id)
        for old in publication.removed:
            check()
            self._folders.remove(publication.folder, old)
        for staged, new in publication.renamed:
            check()
            self._folders.publish(staging, staged, new)
        if publication.watermark is not None:
            self._watermarks.move(name, publication.watermark, run_id, publication.watermark_fence)
        self._log.write(dict(publication.row), actor)
        self._folders.discard(staging)

    def recover(self, extract_name: str, folder: str, check: Check, actor: str) -> list[str]:
        """Complete or clear away what runs of an extract left that died; ids of those completed.

        Raises BackendError, ConflictError.
        """
        unfinished = self._log.unfinished(extract_name)
        folders = dict.fromkeys([folder, *(row["output_file_path"] for row in unfinished)])
        owner = staging_of(extract_name, folder, "").owner
        left = [staging for each in folders for staging in self._folders.staged(each, owner)]
        completed = [run for run in left if self._settle(run, check, actor)]
        lost = {row["run_id"]: row for row in unfinished}
        for staging in completed:
            lost.pop(staging.run_id, None)
        for row in lost.values():
            self._log.write(failed(row, LOST, self._clock()), actor)
        return [staging.run_id for staging in completed]

    def _settle(self, staging: Staging, check: Check, actor: str) -> bool:
        note = self._folders.note(staging)
        check()
        if note is None:
            self._folders.discard(staging)
            return False
        logger.info("run %s in %s is completed", staging.run_id, staging.folder)
        self.carry_out(Publication.from_json(note), check, actor)
        return True
