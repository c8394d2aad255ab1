"""`IdempotentIngestor` on a Spark session that it is given: ledger and rows both go through it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession

from lakeflow_meta import IdempotentIngestor, RunFailedError


class Place:
    def __init__(self, spark: SparkSession, schema: str, root: Path) -> None:
        self.spark = spark
        self.root = root
        self.ledger = f"{schema}.loads"
        self.table = f"{schema}.people"

    def ingestor(self, **options: Any) -> IdempotentIngestor:
        return IdempotentIngestor(self.spark, self.ledger, self.table, **options)

    def write(self, name: str, text: str) -> None:
        path = self.root / "in" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)

    def rows(self) -> list[tuple[Any, ...]]:
        return sorted(
            tuple(row) for row in self.spark.table(self.table).select("id", "name").collect()
        )


@pytest.fixture
def place(
    interpreted: SparkSession, schema: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Place:
    monkeypatch.chdir(tmp_path)
    return Place(interpreted, schema, tmp_path)


def upper(frame: DataFrame) -> DataFrame:
    from pyspark.sql import functions as F  # noqa: N812 - Spark's own usage

    return frame.withColumn("name", F.upper("name"))


def broken(_frame: DataFrame) -> DataFrame:
    raise ValueError("this one never works")


def test_files_are_ingested_once_with_their_ledger_in_the_same_spark(place: Place) -> None:
    place.write("a.csv", "id,name\n1,ann\n")
    with pytest.raises(RunFailedError, match="this one never works") as caught:
        place.ingestor().ingest_file("in/a.csv", broken)
    assert "raise ValueError" in caught.value.report.failures[0].reason
    place.write("b.csv", "id,name\n2,bob\n")
    archiving = place.ingestor(after_success="archive", archive_path="done")
    counts = archiving.ingest_directory("in", upper)
    assert counts == {"processed": 2, "skipped": 0, "failed": 0}
    assert place.rows() == [(1, "ANN"), (2, "BOB")]
    ledger = place.spark.table(place.ledger).select("status", "record_count", "attempt").collect()
    assert sorted(tuple(row) for row in ledger) == [("success", 1, 1), ("success", 1, 2)]
    assert sorted(path.name for path in (place.root / "done").iterdir()) == ["a.csv", "b.csv"]
    assert place.ingestor().ingest_file("done/a.csv") is False


def test_the_newest_version_of_a_delta_table_replaces_the_rows(place: Place) -> None:
    source = str(place.root / "lake")
    ingestor = place.ingestor(format="delta", write_mode="overwrite")
    for number in range(2):
        frame = place.spark.createDataFrame([(number, "x")], "id INT, name STRING")
        frame.write.format("delta").mode("append").save(source)
        assert ingestor.ingest_directory(source) == {"processed": 1, "skipped": 0, "failed": 0}
        assert place.rows() == [(each, "x") for each in range(number + 1)]
