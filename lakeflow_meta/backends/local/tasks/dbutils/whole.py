"""``dbutils`` itself. https://docs.databricks.com/dev-tools/databricks-utils"""

from __future__ import annotations

from lakeflow_meta.backends.local.tasks.dbutils.file_system import FileSystem
from lakeflow_meta.backends.local.tasks.dbutils.library import Library
from lakeflow_meta.backends.local.tasks.dbutils.notebook_flow import NotebookFlow
from lakeflow_meta.backends.local.tasks.dbutils.secrets import Secrets
from lakeflow_meta.backends.local.tasks.dbutils.task_values import Jobs
from lakeflow_meta.backends.local.tasks.dbutils.utility import Utility
from lakeflow_meta.backends.local.tasks.dbutils.widgets import Widgets


class Dbutils(Utility):
    """Files, secrets, widgets, other notebooks and task values for a notebook."""

    def __init__(
        self,
        *,
        fs: FileSystem,
        secrets: Secrets,
        widgets: Widgets | None = None,
        notebook: NotebookFlow | None = None,
        jobs: Jobs | None = None,
    ) -> None:
        """What is None is of notebooks only, and is refused by its name."""
        self.fs = fs
        self.secrets = secrets
        self.library = Library()
        if widgets is not None:
            self.widgets = widgets
        if notebook is not None:
            self.notebook = notebook
        if jobs is not None:
            self.jobs = jobs
