"""Extracts that would write one file: each would destroy what the other wrote. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from lakeflow_meta.extract.config import Extract
from lakeflow_meta.extract.file_names import clashes
from lakeflow_meta.findings import Finding


def overlaps(extracts: Sequence[Extract]) -> Iterator[tuple[int, int, Finding]]:
    """Later position, earlier position, and what is wrong with the later one.

    What is not active writes nothing. Folders are compared as they are written: two paths that
    lead to one place are not known as one here.
    """
    owners: list[int] = []
    names: list[tuple[str, str]] = []
    for position, extract in enumerate(extracts):
        if extract.is_active is not False:
            for name in extract.published_files().values():
                owners.append(position)
                names.append((str(PurePosixPath(extract.target.path)), name.masked))
    told: set[int] = set()
    for later, earlier in clashes(names):
        second, first = owners[later], owners[earlier]
        if second != first and second not in told:
            told.add(second)
            yield second, first, _finding(extracts[first], names[earlier][1])


def _finding(first: Extract, masked: str) -> Finding:
    shown = masked.replace("\0", "#")
    message = f"writes the same files as extract {first.extract_name!r}: {shown}"
    return Finding(("file_name",), message, "choose another file_name or target.path")
