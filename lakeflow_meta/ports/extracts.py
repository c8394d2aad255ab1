"""Extracts: where rows come from, and the folders that files are written to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import pyarrow as pa

    from lakeflow_meta.control.rows import Row
    from lakeflow_meta.extract.file_plan import FilePlan
    from lakeflow_meta.extract.publication import WrittenFile
    from lakeflow_meta.ports.warehouse import Parameters, RowStream


class RowSource(Protocol):
    """One datastore that rows are taken from. A `Warehouse` is one.

    ``:name`` in a statement stands for a bound value. Raises NotFoundError, BackendError.
    """

    @property
    def dialect(self) -> str:
        """Of the statements it takes."""

    def query(self, statement: str, parameters: Parameters = None) -> list[Row]:
        """Run a statement; its few rows."""

    def stream(
        self,
        statement: str,
        parameters: Parameters = None,
        *,
        batch_rows: int = 65_536,
        read_only: bool = True,
    ) -> AbstractContextManager[RowStream]:
        """The rows of a statement, of one moment, in constant memory. ``read_only=False``: it may
        also write, which is committed when the context ends without an error.
        """


@dataclass(frozen=True, slots=True)
class Staging:
    """The hidden folder of one run, beside the files that it will publish."""

    folder: str
    """Where the files are to be: a path as people write it."""
    owner: str
    """Tells the extracts of one folder apart; usable in a name of a file."""
    run_id: str


class ExtractFolders(Protocol):
    """Folders of extracts. Every call may be repeated after the process died in or behind it.

    Raises BackendError where the disk refuses, ConfigError for a path that leads nowhere.
    """

    def staged(self, folder: str, owner: str) -> list[Staging]:
        """What runs of this owner left behind, the oldest name first."""

    def write(
        self,
        staging: Staging,
        plan: FilePlan,
        schema: pa.Schema,
        batches: Iterable[pa.RecordBatch],
    ) -> list[WrittenFile]:
        """Write all rows to staged files; the folder is made. Nobody else sees them."""

    def put(self, staging: Staging, name: str, text: str) -> None:
        """Write a small staged file."""

    def decide(self, staging: Staging, note: str) -> None:
        """Keep the note, at once and whole: from here on the run is to be published."""

    def note(self, staging: Staging) -> str | None:
        """The note, None where the run was not decided."""

    def names(self, folder: str) -> list[str]:
        """Files right in the folder; none where it is not there."""

    def remove(self, folder: str, name: str) -> None:
        """Delete a file; one that is gone is done."""

    def publish(self, staging: Staging, staged: str, name: str) -> None:
        """Give a staged file its name, in place of a file that has it. One that is gone is done:
        it had its name, and readers may have taken it away since.
        """

    def discard(self, staging: Staging) -> None:
        """Delete the staging folder; one that is gone is done."""


class Lease(Protocol):
    """The right to work on one thing, for one runner at a time."""

    def held(self) -> AbstractContextManager[None]:
        """Hold it as long as the block runs. Raises ConflictError where another runner has it."""

    def check(self) -> None:
        """Raises ConflictError where it was lost meanwhile."""


LeaseOf = Callable[[str], Lease]
"""The lease of a name."""

RenderTemplate = Callable[[str, Mapping[str, Any], str], str]
"""A file of the project, its parameters, a dialect: the statement. Raises ConfigError."""
