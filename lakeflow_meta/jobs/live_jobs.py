"""Jobs as the platform has them, each read once, and found again by their tags."""

from __future__ import annotations

import threading
from collections.abc import Mapping

from lakeflow_meta.errors import NotFoundError
from lakeflow_meta.jobs.ownership import MODULE_TAG, TABLE_TAG, ownership_tags
from lakeflow_meta.ports import JobsApi, LiveJob


class LiveJobs:
    """Reads jobs one by one, or all of them in pages once that is needed or cheaper.

    What `list_jobs` gives without its tasks is read again by itself. Safe to use from several
    threads.
    """

    def __init__(self, jobs: JobsApi, control_table: str) -> None:
        self._jobs = jobs
        self._table_tag = ownership_tags(control_table, "")[TABLE_TAG]
        self._control_table = control_table
        self._listed: dict[int, LiveJob] | None = None
        self._by_tag: Mapping[str, list[LiveJob]] = {}
        self._lock = threading.RLock()
        self.may_list = True
        """Whether a job may be looked for by its tags; who creates looks again under the lock."""

    @property
    def is_listed(self) -> bool:
        """Whether all pages were read."""
        return self._listed is not None

    def list_now(self, *, with_tasks: bool = False) -> int:
        """Read all pages again; the number of jobs. Raises BackendError.

        Without tasks it is a short list also of many jobs, enough to find those of ours by their
        tags.
        """
        listed = {job.job_id: job for job in self._jobs.list_jobs(with_tasks=with_tasks)}
        with self._lock:
            self._listed, self._by_tag = listed, self._tagged_jobs(listed)
        return len(listed)

    def get(self, job_id: int) -> LiveJob | None:
        """The job with all settings; None when the platform says that there is none.

        Any other error is raised: it never means "none".
        """
        listed = (self._listed or {}).get(job_id)
        if listed is not None and "tasks" in listed.settings:
            return listed
        self.forget(job_id)
        try:
            return self._jobs.get_job(job_id)
        except NotFoundError:
            return None

    def forget(self, job_id: int) -> bool:
        """Let the next `get` read the job again; True when it was not read by itself before.

        A list of many jobs is old by the time that one of them is changed.
        """
        with self._lock:
            return (self._listed or {}).pop(job_id, None) is not None

    def tagged(self, module_name: str) -> list[LiveJob]:
        """Jobs that carry the tags of this module, oldest (lowest id) first."""
        tag = ownership_tags(self._control_table, module_name)[MODULE_TAG]
        return self.by_module_tag().get(tag, [])

    def by_module_tag(self) -> Mapping[str, list[LiveJob]]:
        """All jobs of this control table, by their module tag."""
        with self._lock:
            if self._listed is None:
                self.list_now()
            return self._by_tag

    def _tagged_jobs(self, listed: Mapping[int, LiveJob]) -> Mapping[str, list[LiveJob]]:
        found: dict[str, list[LiveJob]] = {}
        for _, job in sorted(listed.items()):
            tags = job.settings.get("tags") or {}
            if tags.get(TABLE_TAG) == self._table_tag and MODULE_TAG in tags:
                found.setdefault(tags[MODULE_TAG], []).append(job)
        return found
