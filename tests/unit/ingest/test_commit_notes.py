"""What a table tells of our batches, asked without Spark."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import CommitProperties, Transaction, write_deltalake

from lakeflow_meta.backends.spark_ingest.commits import DeltaCommits
from lakeflow_meta.ingest.batch import Batch, BatchId
from lakeflow_meta.ingest.source import FileSource
from lakeflow_meta.names import TableName

TABLE = TableName.parse("main.raw.people")
SOURCE = FileSource.parse("m/s", {"path": "/in", "format": "csv"}, {"table": str(TABLE)})


def no_spark() -> Any:
    raise AssertionError("Spark was asked")


def write(table: Path, version: int | None) -> None:
    properties = None
    if version is not None:
        note = json.dumps({"batch_id": f"app:{version}", "attempt": "x", "excluded": []})
        properties = CommitProperties(
            custom_metadata={"userMetadata": note}, app_transactions=[Transaction("app", version)]
        )
    write_deltalake(table, pa.table({"id": [1]}), mode="append", commit_properties=properties)


def batch(version: int, claimed_at: datetime) -> Batch:
    return Batch(BatchId("app", version), SOURCE, (), claimed_at, claimed_at)


@pytest.mark.parametrize("jump", [timedelta(0), timedelta(days=1), timedelta(days=-1)])
def test_a_commit_is_found_however_far_back_and_whatever_the_clock_said(
    tmp_path: Path, jump: timedelta
) -> None:
    """A batch that is taken for not committed would be loaded again."""
    for version in (None, 1, 3, *[None] * 25):
        write(tmp_path, version)
    commits = DeltaCommits(no_spark, lambda _: tmp_path)
    claimed_at = datetime.now(UTC) + jump
    found = commits.find(TABLE, batch(1, claimed_at))
    assert found is not None
    assert found.batch_id == "app:1"
    assert commits.find(TABLE, batch(2, claimed_at)) is None
    assert commits.find(TABLE, batch(4, claimed_at)) is None
