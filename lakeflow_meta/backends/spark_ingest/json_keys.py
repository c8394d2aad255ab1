"""JSON files that spell one key in several ways, told apart.

Spark's inference refuses them all when two keys are one name to it; each file by itself is fine.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from lakeflow_meta.backends.spark_ingest.file_groups import FileGroup
from lakeflow_meta.backends.spark_ingest.reading import FileReader
from lakeflow_meta.ingest.batch import SOURCE_FILE, BadFilesError, Batch

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_DOCUMENT = "document"
_OBJECT = "map<string,variant>"


def by_spelling(reader: FileReader, batch: Batch, group: FileGroup) -> list[FileGroup]:
    """The files in parts that each spell every key in one way.

    Raises BadFilesError with every file that spells a key in two ways itself, and errors of
    Spark's.
    """
    documents = reader.load(
        batch, group.files, None, {"mode": "PERMISSIVE", "singleVariantColumn": _DOCUMENT}
    )
    keys = _keys(documents)
    spelled = {path: keys.get(path, frozenset()) for path in group.paths}
    bad = {path: why for path, names in spelled.items() if (why := _twice(names))}
    if bad:
        raise BadFilesError(bad)
    doubtful = _doubtful(spelled.values())
    parts: dict[frozenset[str], list[int]] = defaultdict(list)
    for number, file in enumerate(group.files):
        own = frozenset(name for name in spelled[file.path] if name.lower() in doubtful)
        parts[own].append(number)
    return [
        FileGroup(tuple(group.files[number] for number in numbers), None)
        for numbers in parts.values()
    ]


def _keys(documents: DataFrame) -> Mapping[str, frozenset[str]]:
    """The keys of the objects in each file, by its path."""
    from pyspark.sql import functions as F  # noqa: N812 - Spark's own usage

    document = documents[_DOCUMENT]
    objects = F.coalesce(
        F.try_variant_get(document, "$", f"array<{_OBJECT}>"),
        F.array(F.try_variant_get(document, "$", _OBJECT)),
    )
    one = documents.select(SOURCE_FILE, F.explode(objects).alias("object"))
    key = one.select(SOURCE_FILE, F.explode(F.map_keys("object")).alias("key"))
    rows = key.groupBy(SOURCE_FILE).agg(F.collect_set("key").alias("keys")).collect()
    return {row[SOURCE_FILE]: frozenset(row["keys"]) for row in rows}


def _twice(names: Iterable[str]) -> str:
    seen: dict[str, str] = {}
    for name in sorted(names):
        if name.lower() in seen:
            return f"it names {seen[name.lower()]!r} twice ({name!r})"
        seen[name.lower()] = name
    return ""


def _doubtful(spelled: Iterable[frozenset[str]]) -> set[str]:
    names = {name for keys in spelled for name in keys}
    lower = [name.lower() for name in names]
    return {name for name in lower if lower.count(name) > 1}
