"""What a Databricks target has for the ingestor, inside its runtime and elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from lakeflow_meta.backends.spark_ingest.loader import SparkLoader
from lakeflow_meta.errors import ConfigError
from lakeflow_meta.ingest.source import FileSource
from lakeflow_meta.settings import Settings
from lakeflow_meta.targets.databricks import DatabricksTarget

SETTINGS = Settings(target="prod", backend="databricks", home=Path(".lakeflow"))


def source(path: str) -> FileSource:
    return FileSource.parse("m/s", {"path": path, "format": "csv"}, {"table": "main.raw.people"})


def test_inside_the_runtime_files_are_plain_files_and_need_no_spark(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id\n1\n")
    target = DatabricksTarget(SETTINGS, inside=True)
    found = list(target.files.list_files(source(str(tmp_path))))
    assert [file.size_bytes for file in found] == [5]
    assert isinstance(target.batch_loader(), SparkLoader)


@pytest.mark.parametrize("path", ["/Volumes/c/s/v/in", "abfss://c@account/in"])
def test_without_a_session_files_are_refused_with_the_remedy(path: str) -> None:
    target = DatabricksTarget(SETTINGS, inside=False)
    with pytest.raises(ConfigError, match="give the session"):
        target.files.list_files(source(path))
